"""Functions of variance components by sampling covariance matrices from their asymptotic distribution.

Meyer and Houle (2013, Proc. AAABG 20:523), Houle and Meyer (2015, J. Evol. Biol. 28:1542): the estimates are normal on the
scale of Cholesky factors with the logarithms of their diagonals, so that every draw is a covariance matrix. Their covariance
matrix there is J V J', V that of the estimates and J the derivatives of the factors by the elements. A matrix of lower rank r
is drawn at its rank, by the r columns of its factor; what is fixed or on its boundary stays where it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from breedblup.errors import ModelError
from breedblup.inference.expressions import parse_expression
from breedblup.inference.functions import Derived, checked_level, derive
from breedblup.reml.estimates import Estimates
from breedblup.variances import MatrixBlock

FloatArray: TypeAlias = NDArray[np.float64]

NEAR_BOUNDARY = 2.0
"""A variance within so many standard errors of zero is near its boundary."""

SPREAD = 0.10
"""How far the standard deviation of draws may be from the delta method's standard error, relative to that."""

SHIFT = 0.10
"""How far the mean of draws may be from the estimate, in standard errors of the delta method."""

ROUNDED = 1e-12
"""Draws that differ by less than this share of their size are the same."""

SINGULAR = 1e-8
"""A pivot of a correlation matrix below this is a zero."""


@dataclass(frozen=True)
class Sampled:
    """A function of variance components at draws from the asymptotic distribution of the estimates.

    Attributes
    ----------
    derived
        The function at the estimates, with the delta method's standard error.
    values
        At each draw where the function has a value.
    undefined
        Draws without one.
    seed
        Gives the same draws again.
    reasons
        Why the delta method is poor here, by the criteria of `sample_derived`; empty where none of them is met.
    """

    derived: Derived
    values: FloatArray
    undefined: int
    seed: int
    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        self.values.flags.writeable = False

    @property
    def mean(self) -> float:
        """Mean of the draws."""
        return float(self.values.mean())

    @property
    def sd(self) -> float:
        """Standard deviation of the draws: the standard error by sampling."""
        return float(self.values.std(ddof=1))

    @property
    def delta_is_poor(self) -> bool:
        """Whether a criterion says so."""
        return bool(self.reasons)

    def quantile(self, probability: float) -> float:
        """The value that a share of the draws lies below."""
        return float(np.quantile(self.values, checked_level(probability)))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The quantiles that leave equal shares of the draws outside."""
        outside = 0.5 * (1.0 - checked_level(level))
        return self.quantile(outside), self.quantile(1.0 - outside)

    def __repr__(self) -> str:
        low, high = self.interval()
        delta = "none" if self.derived.se is None else f"{self.derived.se:.5g}"
        lines = [
            f"{self.derived.expression} = {self.derived.estimate:.6g}",
            f"  {self.values.size:,} draws (seed {self.seed}): mean {self.mean:.6g}, SD {self.sd:.5g}, "
            f"95 % {low:.6g} to {high:.6g}",
            f"  SE by the delta method: {delta}{', poor:' if self.reasons else ''}",
            *(f"    {reason}" for reason in self.reasons),
        ]
        return "\n".join([*lines, *([f"  {self.undefined:,} draws without a value"] if self.undefined else [])])


def sample_derived(estimates: Estimates, expression: str, *, draws: int = 10_000, seed: int | None = None) -> Sampled:
    """A function of variance components, with its distribution by sampling covariance matrices.

    The result says that the delta method is poor where the standard deviation of the draws differs by more than 10 % from the
    delta method's standard error, their mean by more than a tenth of it from the estimate, where that method gives no standard
    error, or where a variance of the expression is within two standard errors of zero or on its boundary.

    Parameters
    ----------
    estimates
        Of a fit.
    expression
        As `derive` takes it.
    draws
        At least 100.
    seed
        None for a new one, which the result names.

    Raises
    ------
    ModelError
        The expression cannot be read, has no value at the estimates or at fewer than 100 draws, is the same at all draws (as at a
        variance of zero), or ``draws`` is too small.
    """
    derived = derive(estimates, expression)
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 100:
        raise ModelError(f"draws is {draws!r}; it has to be a whole number from 100")
    seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
    parsed = parse_expression(expression, estimates.space)
    values = parsed.values(draw_components(estimates, draws, seed))
    defined = values[np.isfinite(values)]
    if defined.size < 100:
        raise ModelError(
            f"{expression!r} has a finite value at {defined.size:,} of {draws:,} draws only; take more draws, or another function"
        )
    if np.ptp(defined) <= ROUNDED * float(np.abs(defined).max()):
        raise ModelError(_why_the_same(estimates, derived, parsed.components))
    reasons = _why_poor(estimates, derived, parsed.components, defined)
    return Sampled(derived, defined, draws - defined.size, seed, reasons)


def draw_components(estimates: Estimates, draws: int, seed: int) -> FloatArray:
    """Parameters of covariance matrices drawn from the asymptotic distribution of the estimates (draws x p).

    Ties and limits hold to first order.
    """
    space, theta = estimates.space, estimates.theta
    factors = [_factor_of(space.matrix(theta, block), block) for block in space.blocks]
    inverses = [
        np.linalg.pinv(_derivatives(factor, block)) for factor, block in zip(factors, space.blocks, strict=True)
    ]
    units = np.concatenate([_units(factor, block) for factor, block in zip(factors, space.blocks, strict=True)])
    inverse_units = np.divide(1.0, units, out=np.zeros_like(units), where=units > 0.0)
    jacobian = scipy.linalg.block_diag(*inverses) * inverse_units
    covariance = jacobian @ estimates.covariance @ jacobian.T
    values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
    half = vectors * np.sqrt(np.maximum(values, 0.0))
    steps = np.random.default_rng(seed).standard_normal((draws, len(half))) @ half.T
    drawn: FloatArray = np.empty((draws, theta.size))
    start = 0
    for factor, block in zip(factors, space.blocks, strict=True):
        stop = start + factor.rows.size
        drawn[:, block.slice] = _elements_at(factor, block, steps[:, start:stop])
        start = stop
    drawn *= units
    return drawn


class _Factor(NamedTuple):
    """Λ (c x r) of a correlation matrix ΛΛ' of rank r.

    Element ``rows[m], columns[m]`` is a parameter, by its logarithm where ``logged``; the others are zero. ``scale`` (c,)
    holds the standard deviations.
    """

    root: FloatArray
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    logged: NDArray[np.bool_]
    scale: FloatArray


def _factor_of(matrix: FloatArray, block: MatrixBlock) -> _Factor:
    """The Cholesky factor, without the columns of rows that depend on those before them."""
    scale = np.sqrt(np.maximum(matrix.diagonal(), 0.0))
    both = np.outer(scale, scale)
    rest = np.divide(matrix, both, out=np.zeros_like(matrix), where=both > 0.0)
    kept, columns, places = list(range(block.order)), [], []
    while (rest.diagonal() > SINGULAR).any():
        pivot = int(np.flatnonzero(rest.diagonal() > SINGULAR)[0])
        columns.append(rest[:, pivot] / np.sqrt(rest[pivot, pivot]))
        rest = rest - np.outer(columns[-1], columns[-1])
        rest[pivot] = rest[:, pivot] = 0.0
        places += [(i, len(columns) - 1, i == pivot) for i in kept if scale[i] > 0.0 and block.mask[i, pivot]]
        kept.remove(pivot)
    found = np.array(places, dtype=np.int64).reshape(-1, 3)
    root = np.column_stack([np.zeros((block.order, 0)), *columns])
    return _Factor(root, found[:, 0], found[:, 1], found[:, 2].astype(bool), scale)


def _units(factor: _Factor, block: MatrixBlock) -> FloatArray:
    """What an element of the correlation matrix is multiplied by."""
    rows, columns = block.elements
    units: FloatArray = factor.scale[rows] * factor.scale[columns]
    return units


def _derivatives(factor: _Factor, block: MatrixBlock) -> FloatArray:
    """Derivatives of the elements of ΛΛ' by the parameters of Λ: dΛ Λ' + Λ dΛ'."""
    derivatives = np.empty((block.size, factor.rows.size))
    for m, (i, k, logged) in enumerate(zip(factor.rows, factor.columns, factor.logged, strict=True)):
        change = np.zeros((block.order, block.order))
        change[i] = factor.root[:, k] * (factor.root[i, k] if logged else 1.0)
        derivatives[:, m] = (change + change.T)[block.elements]
    return derivatives


def _elements_at(factor: _Factor, block: MatrixBlock, steps: FloatArray) -> FloatArray:
    """Elements of ΛΛ' at steps of the parameters of Λ (draws x m)."""
    roots = np.broadcast_to(factor.root, (len(steps), *factor.root.shape)).copy()
    log, plain = factor.logged, ~factor.logged
    roots[:, factor.rows[log], factor.columns[log]] *= np.exp(steps[:, log])
    roots[:, factor.rows[plain], factor.columns[plain]] += steps[:, plain]
    rows, columns = block.elements
    products: FloatArray = np.einsum("dmr,dmr->dm", roots[:, rows], roots[:, columns])
    return products


def _why_the_same(estimates: Estimates, derived: Derived, components: tuple[int, ...]) -> str:
    """Why there is no distribution, and what has an interval in its place."""
    names = [estimates.space.names[i] for i in components if estimates.status[i] == "boundary"]
    instead = f"fit.profile({names[0]!r}) gives an interval there" if names else "ask for another function"
    return f"{derived.expression!r} is {derived.estimate:.6g} at all draws, which is no interval ({derived.note}) -> {instead}"


def _why_poor(
    estimates: Estimates, derived: Derived, components: tuple[int, ...], values: FloatArray
) -> tuple[str, ...]:
    """The criteria by which the delta method is poor."""
    reasons = [*_near_boundary(estimates, components)]
    if derived.se is None:
        return (*reasons, "the delta method gives no standard error")
    sd, shift = float(values.std(ddof=1)), float(values.mean()) - derived.estimate
    if abs(sd / derived.se - 1.0) > SPREAD:
        reasons.append(f"the SD of the draws is {sd / derived.se:.3g} times its standard error")
    if abs(shift) > SHIFT * derived.se:
        reasons.append(
            f"the mean of the draws is {abs(shift) / derived.se:.2g} SE {'above' if shift > 0 else 'below'} the estimate"
        )
    return tuple(reasons)


def _near_boundary(estimates: Estimates, components: tuple[int, ...]) -> Iterator[str]:
    """Variances among the components that are at their boundary or near it."""
    errors = np.sqrt(np.maximum(estimates.covariance.diagonal(), 0.0))
    for i in components:
        parameter = estimates.space.parameters[i]
        if estimates.status[i] == "boundary":
            yield f"{parameter.name} is on its boundary"
        elif parameter.row == parameter.column and errors[i] > 0.0 and estimates.theta[i] < NEAR_BOUNDARY * errors[i]:
            yield f"{parameter.name} is {estimates.theta[i] / errors[i]:.2g} SE from zero"
