"""Columns that a covariate contributes (polynomials, Legendre polynomials, B-splines), and covariances along them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import BSpline

from breedblup.errors import ModelError, RecordError, name_some
from breedblup.model import Basis


def legendre(t: NDArray[np.float64], degree: int, lower: float, upper: float) -> NDArray[np.float64]:
    """Normalised Legendre polynomials of degrees 0 to ``degree``, one column each.

    φ_k(t) = √((2k + 1)/2) P_k(x), x = -1 + 2 (t - lower)/(upper - lower); the constant is 0.7071 (Kirkpatrick, Lofsvold &
    Bulmer 1990). Shape (n, degree + 1).
    """
    x = -1.0 + 2.0 * (np.asarray(t, dtype=np.float64) - lower) / (upper - lower)
    k = np.arange(degree + 1)
    polynomials = np.polynomial.legendre.legvander(x, degree) * np.sqrt((2 * k + 1) / 2)
    return polynomials.astype(np.float64, copy=False)


def b_splines(
    t: NDArray[np.float64], degree: int, lower: float, upper: float, knots: tuple[float, ...] = ()
) -> NDArray[np.float64]:
    """B-splines of a degree on the inner knots given, one column each, for t in [lower, upper], both ends included.

    The limits are knots ``degree + 1`` times, so that the first spline is 1 at ``lower`` and the last is 1 at ``upper``. All
    are non-negative and add up to 1 everywhere; at most ``degree + 1`` differ from 0 at a point (de Boor 1978). Shape
    (n, degree + 1 + number of inner knots).
    """
    all_knots = np.concatenate([np.full(degree + 1, lower), knots, np.full(degree + 1, upper)])
    columns: NDArray[np.float64] = BSpline.design_matrix(t, all_knots, degree).toarray()
    return columns


def orthogonal_polynomials(x: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Polynomials of degrees 1 to ``degree``, orthonormal over the values given and orthogonal to the constant.

    What R's ``poly(x, degree)`` returns. Shape (n, degree). Raises `ModelError` where there are not more than ``degree``
    distinct values.
    """
    distinct = np.unique(x).size
    if distinct <= degree:
        raise ModelError(f"a polynomial of degree {degree} needs more than {degree} distinct values; found {distinct}")
    centred = x - x.mean()
    q, r = np.linalg.qr(np.vander(centred / np.abs(centred).max(), degree + 1, increasing=True))
    columns: NDArray[np.float64] = q[:, 1:] * np.sign(np.diag(r))[1:]
    return columns


def basis_values(basis: Basis, t: ArrayLike) -> NDArray[np.float64]:
    """Functions of a basis whose limits are known, at points, one column each.

    Parameters
    ----------
    basis
        Linear, Legendre or B-splines.
    t
        n points in the unit of the covariate.

    Returns
    -------
    (n, ``basis.size``) array.

    Raises
    ------
    ModelError
        If a point lies outside the limits or is no finite number, the limits are not known, or the functions are orthogonal
        polynomials, which exist for the records that they were made from only.
    """
    points = np.asarray(t, dtype=np.float64).reshape(-1)
    if not np.isfinite(points).all():
        raise ModelError(
            f"a covariate is {points[~np.isfinite(points)][0]}; its functions are known for finite numbers"
        )
    if basis.kind == "linear":
        return points[:, None].copy()
    if basis.kind == "polynomial":
        raise ModelError(
            "orthogonal polynomials are known for the records in use only, not at other points -> use a Legendre basis"
        )
    lower, upper = _known_limits(basis)
    outside = points[(points < lower) | (points > upper)]
    if outside.size:
        raise ModelError(
            f"{outside[0]:g} lies outside the limits ({lower:g}, {upper:g}) of a {basis.kind} basis of degree {basis.degree}, "
            "which says nothing there -> choose points within"
        )
    if basis.kind == "legendre":
        return legendre(points, basis.degree, lower, upper)
    return b_splines(points, basis.degree, lower, upper, basis.knots)


def _known_limits(basis: Basis) -> tuple[float, float]:
    """Limits of a Legendre or B-spline basis."""
    if basis.lower is None or basis.upper is None:
        raise ModelError(
            f"the limits of a {basis.kind} basis of degree {basis.degree} are not known -> give lower and upper"
        )
    return basis.lower, basis.upper


def resolved(basis: Basis, column: str, t: NDArray[np.float64]) -> Basis:
    """A basis with its limits: those declared, or the range of the values.

    NaN (records that have no use for the covariate) is passed over. Linear bases and orthogonal polynomials have no limits and
    come back as they are.

    Raises
    ------
    ModelError
        If limits have to come from the values, and these are all equal or missing, or an inner knot is not between them.
    """
    if not basis.has_constant:
        return basis
    if basis.lower is None or basis.upper is None:
        return _with_range(basis, basis.label(column), t[~np.isnan(t)])
    return basis


def refuse_outside(
    basis: Basis, column: str, x: NDArray[np.float64], places: Callable[[NDArray[np.int64]], str]
) -> None:
    """`RecordError` where values lie outside the limits that a basis declares; ``places`` says where these records stand."""
    if basis.lower is None or basis.upper is None:
        return
    outside = np.flatnonzero((x < basis.lower) | (x > basis.upper))
    if outside.size:
        raise RecordError(
            f"{places(outside)}: {column} is {x[outside[0]]:g}, outside the range ({basis.lower:g}, {basis.upper:g}) of "
            f"{basis.label(column)} -> widen the range, or correct the records"
        )


def _with_range(basis: Basis, label: str, known: NDArray[np.float64]) -> Basis:
    """The basis on the range of the values."""
    if not known.size:
        raise ModelError(f"{label}: no record has a value; declare a range=(lower, upper)")
    lower, upper = float(known.min()), float(known.max())
    if not lower < upper:
        raise ModelError(f"{label}: all values are {lower:g}; declare a range=(lower, upper)")
    outside = [knot for knot in basis.knots if not lower < knot < upper]
    if outside:
        raise ModelError(
            f"{label}: inner knots {name_some(outside)} are not between {lower:g} and {upper:g}, the range of the records "
            "-> move them, or declare a range=(lower, upper)"
        )
    return replace(basis, lower=lower, upper=upper)


@dataclass(frozen=True, slots=True)
class BasisColumns:
    """What a covariate contributes.

    Attributes
    ----------
    values
        n × c; 0 in every column where the covariate is missing.
    coefficients
        Names of the c columns; a single empty one where there is nothing to tell apart.
    notes
        What has to be said of how they were made.
    basis
        The basis with its limits.
    """

    values: NDArray[np.float64]
    coefficients: tuple[str, ...]
    notes: tuple[str, ...]
    basis: Basis


def evaluate_basis(basis: Basis, column: str, x: NDArray[np.float64]) -> BasisColumns:
    """Columns of one covariate for the records in use.

    A record whose covariate is NaN has 0 in every column: it belongs to traits that have no use for the covariate, whoever
    calls having refused or left out the others. Such values decide neither limits nor orthogonal polynomials.

    Raises
    ------
    ModelError
        If a value lies outside the limits declared (`refuse_outside` names its record), the values are too few for the
        degree, or give no limits where limits have to come from them.
    """
    found = resolved(basis, column, x)
    known = ~np.isnan(x)
    polynomial = found.kind == "polynomial"
    values = np.zeros((x.size, found.size))
    values[known] = orthogonal_polynomials(x[known], found.degree) if polynomial else basis_values(found, x[known])
    first = 1 if polynomial else 0
    names = ("",) if found.kind == "linear" else tuple(str(first + k) for k in range(found.size))
    return BasisColumns(values, names, _how_made(found, column, basis.lower is not None), found)


def _how_made(basis: Basis, column: str, declared: bool) -> tuple[str, ...]:
    """What a result says of a basis."""
    if basis.kind == "linear":
        return ()
    if basis.kind == "polynomial":
        return (f"{column}: orthogonal polynomials over the records in use",)
    functions = "normalised Legendre polynomials" if basis.kind == "legendre" else "B-splines"
    knots = f" with inner knots {', '.join(f'{knot:g}' for knot in basis.knots)}" if basis.knots else ""
    origin = "the model" if declared else "the records in use"
    return (f"{basis.label(column)}: {functions} on ({basis.lower:g}, {basis.upper:g}){knots}, range from {origin}",)


def covariance_at(basis: Basis, coefficients: ArrayLike, points: ArrayLike) -> NDArray[np.float64]:
    """Covariances between the values of a random curve at points, Φ K Φ' (Kirkpatrick, Lofsvold & Bulmer 1990).

    Parameters
    ----------
    basis
        With its limits, as `Function.basis` has it.
    coefficients
        K, ``basis.size`` × ``basis.size``: covariance matrix of the coefficients of one trait and one group of levels.
    points
        n points in the unit of the covariate.

    Returns
    -------
    (n, n) array.

    Raises
    ------
    ModelError
        If K has another order than the basis, or as `basis_values` does.
    """
    phi = basis_values(basis, points)
    matrix = _of_order(coefficients, basis.size, "the covariance matrix of the coefficients", "functions of the basis")
    return phi @ matrix @ phi.T


def coefficients_from(basis: Basis, covariance: ArrayLike, points: ArrayLike) -> NDArray[np.float64]:
    """Covariance matrix of the coefficients that gives these covariances at these points, Φ⁻¹ G Φ⁻ᵀ.

    The full fit of Kirkpatrick, Lofsvold and Bulmer (1990): as many points as functions, each covariance met exactly.

    Parameters
    ----------
    basis
        With its limits.
    covariance
        G, n × n: covariances between the values at the points.
    points
        n = ``basis.size`` distinct points in the unit of the covariate.

    Returns
    -------
    (n, n) array.

    Raises
    ------
    ModelError
        If there are not as many points as functions, G has another order, the functions at these points depend on each other,
        or as `basis_values` does.
    """
    phi = basis_values(basis, points)
    if len(phi) != basis.size:
        raise ModelError(
            f"{len(phi)} points are given for {basis.size} functions of the basis; give as many as functions"
        )
    matrix = _of_order(covariance, len(phi), "the covariance matrix", "points")
    if np.linalg.matrix_rank(phi) < len(phi):
        raise ModelError(
            "the functions of the basis depend on each other at these points -> choose distinct points, for B-splines one "
            "within the reach of each"
        )
    half = np.linalg.solve(phi, matrix)
    coefficients: NDArray[np.float64] = np.linalg.solve(phi, half.T).T
    return 0.5 * (coefficients + coefficients.T)


def _of_order(matrix: ArrayLike, order: int, what: str, whose: str) -> NDArray[np.float64]:
    """A matrix with a row and a column for each."""
    array = np.asarray(matrix, dtype=np.float64)
    if array.shape != (order, order):
        shape = " x ".join(str(length) for length in array.shape) or "a single number"
        raise ModelError(f"{what} is {shape}; there are {order} {whose}, which need {order} x {order}")
    return array
