"""Columns that a covariate contributes: itself, orthogonal polynomials, normalised Legendre polynomials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import ModelError, RecordError
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


@dataclass(frozen=True, slots=True)
class BasisColumns:
    """Values, one column for each coefficient, their names, and what has to be said of how they were made."""

    values: NDArray[np.float64]
    coefficients: tuple[str, ...]
    notes: tuple[str, ...]


def evaluate_basis(basis: Basis, column: str, x: NDArray[np.float64]) -> BasisColumns:
    """Columns of one covariate for the records in use.

    Raises
    ------
    RecordError
        If a value lies outside the range declared for a Legendre basis.
    ModelError
        If the values are too few for the degree.
    """
    if basis.kind == "linear":
        return BasisColumns(x[:, None], ("",), ())
    if basis.kind == "polynomial":
        values = orthogonal_polynomials(x, basis.degree)
        names = tuple(str(k) for k in range(1, basis.degree + 1))
        return BasisColumns(values, names, (f"{column}: orthogonal polynomials over the records in use",))
    lower = float(x.min()) if basis.lower is None else basis.lower
    upper = float(x.max()) if basis.upper is None else basis.upper
    if not lower < upper:
        raise ModelError(f"leg({column}, {basis.degree}): all values are {lower:g}; declare a range=(lower, upper)")
    outside = np.flatnonzero((x < lower) | (x > upper))
    if outside.size:
        raise RecordError(
            f"{column} is {x[outside[0]]:g} in one of {outside.size} records outside the range ({lower:g}, {upper:g}) "
            f"of leg({column}, {basis.degree}) -> widen the range, or correct the records"
        )
    names = tuple(str(k) for k in range(basis.degree + 1))
    origin = "the records in use" if basis.lower is None else "the model"
    note = (
        f"leg({column}, {basis.degree}): normalised Legendre polynomials on ({lower:g}, {upper:g}), range from {origin}"
    )
    return BasisColumns(legendre(x, basis.degree, lower, upper), names, (note,))
