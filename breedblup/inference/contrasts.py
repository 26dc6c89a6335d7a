"""Linear functions of fixed effects, with standard errors and degrees of freedom.

The estimate of l'b is linear in the records, l'b̂ = h'y, with

    h = V⁻¹X(X'V⁻¹X)⁻l = R⁻¹Wa,   Ca = l,   var(l'b̂) = l'C⁻¹l = h'Vh,

C the coefficient matrix of Henderson's equations and W = [X Z]. l'b can be estimated if X'h = l, columns that are set to zero
included, since the expectation of h'y is h'Xb. By the parameters of the variances

    ∂var(l'b̂)/∂θ = h'(∂V/∂θ)h,

which gives Satterthwaite's degrees of freedom, 2 var² / var(var) (Giesbrecht & Burns 1985); several functions at once
are tested as Fai & Cornelius (1996) do, in the form of lmerTest (Kuznetsova, Brockhoff & Christensen 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from breedblup.mme.record_sums import collected
from breedblup.reml.estimates import Estimates
from breedblup.reml.point import Point, weighted_fit
from breedblup.reml.problem import RemlProblem

_Vector = NDArray[np.float64]

BLOCK_BYTES = 2**30
"""Memory for the records' weights h and the solutions a of the functions that are worked on at once."""

ESTIMABLE = 1e-6
"""What X'h may miss of l, relative to the lengths of a column of X and of h in the trait that the column belongs to."""

ROUNDED = 1e-10
"""Eigenvalues of a covariance matrix of functions below this share of the largest are those of functions that repeat others."""

SAME_DF = 1e-8
"""Degrees of freedom of single functions that differ by less are the same."""


@dataclass(frozen=True)
class Contrasts:
    """Estimates of m linear functions of the fixed effects.

    Attributes
    ----------
    estimates
        m values l'b̂.
    covariance
        m × m, of sampling.
    derivatives
        Of that covariance by the parameters of the variances, p × m × m; None where the records' weights of all
        functions together would take too much memory.
    missed, scale
        What X'h misses of l at the equations that are set to zero, m × equations, and the size that rounding is
        judged by.
    """

    estimates: _Vector
    covariance: _Vector
    derivatives: _Vector | None
    missed: _Vector
    scale: _Vector

    @property
    def estimable(self) -> NDArray[np.bool_]:
        """Whether the records determine each function, whatever columns of X were set to zero."""
        return within_rounding(self.missed, self.scale)

    @property
    def standard_errors(self) -> _Vector:
        """m values."""
        return np.sqrt(np.maximum(self.covariance.diagonal(), 0.0))

    def combined(self, rows: _Vector) -> Contrasts:
        """Linear functions of these functions, k × m."""
        derivatives = None if self.derivatives is None else rows @ self.derivatives @ rows.T
        return Contrasts(
            rows @ self.estimates, rows @ self.covariance @ rows.T, derivatives, rows @ self.missed,
            np.abs(rows) @ self.scale,
        )  # fmt: skip


def within_rounding(missed: _Vector, scale: _Vector) -> NDArray[np.bool_]:
    """Whether X'h is l in every column of a row."""
    wrong: NDArray[np.bool_] = np.any(np.abs(missed) > ESTIMABLE * scale, axis=1)
    return ~wrong


class FTest(NamedTuple):
    """An F statistic; ``denominator_df`` is infinite where variances are known, NaN where they were not computed."""

    numerator_df: int
    denominator_df: float
    f: float
    p: float


def estimate_contrasts(point: Point, rows: _Vector) -> Contrasts:
    """Estimate linear functions of the fixed effects.

    Parameters
    ----------
    point
        Variances and the solutions at them.
    rows
        Coefficients l, functions × fixed equations; those of equations that are set to zero count for whether the
        function can be estimated.
    """
    problem, size = point.problem, point.layout.fixed_size
    m, step = len(rows), block_size(problem)
    kept = np.where(problem.dropped[:size], 0.0, rows)
    constrained = problem.constraints.equations
    covariance, missed, scale = np.empty((m, m)), np.empty((m, constrained.size)), np.empty((m, constrained.size))
    lengths, traits = column_lengths(problem)[constrained], traits_of_columns(problem)
    concerned = np.stack([(rows[:, traits == t] != 0.0).any(axis=1) for t in range(problem.y.shape[1])], axis=1)
    derivatives: _Vector | None = np.empty((problem.space.size, 0, 0)) if m == 0 else None
    for first in range(0, m, step):
        part = slice(first, first + step)
        a, h = _weights(point, kept[part])
        covariance[:, part] = kept @ a[:size]
        missed[part] = (_expectations(problem, h) - rows[part])[:, constrained]
        scale[part] = np.sqrt(np.sum(h**2, axis=1))[:, traits[constrained]] * lengths + np.abs(
            rows[part][:, constrained]
        )
        if m <= step:
            derivatives = covariance_derivatives(problem, h)
    missed[~concerned[:, traits[constrained]]] = 0.0  # no column of X has records of two traits
    return Contrasts(kept @ point.x[:size], 0.5 * (covariance + covariance.T), derivatives, missed, scale)


def estimable_part(point: Point, equations: NDArray[np.int64]) -> _Vector:
    """For each of some estimated fixed equations the estimable function that its solution is, at the equations set to zero.

    Returns
    -------
    array
        Equations × ``constraints.equations``: with b_j = 0 there, the solution of equation i estimates b_i plus these times b_j.
    """
    problem = point.problem
    constrained = problem.constraints.equations
    found, step = np.empty((equations.size, constrained.size)), block_size(problem)
    for first in range(0, equations.size, step):
        mine = equations[first : first + step]
        rows = np.zeros((mine.size, point.layout.fixed_size))
        rows[np.arange(mine.size), mine] = 1.0
        h = _weights(point, rows)[1]
        found[first : first + step] = _expectations(problem, h)[:, constrained]
    traits = traits_of_columns(problem)
    return np.where(traits[equations][:, None] == traits[constrained], found, 0.0)


def block_size(problem: RemlProblem) -> int:
    """How many functions are worked on at once."""
    return max(1, BLOCK_BYTES // (8 * (problem.y.size + 3 * problem.layout.size)))


def satterthwaite(variances: _Vector, derivatives: _Vector, estimates: Estimates) -> _Vector:
    """Degrees of freedom 2 v² / g'Ag of variances v with derivatives g (p × m), A the covariance of the variance parameters.

    Infinite where g'Ag is 0: nothing that v depends on was estimated.
    """
    spread = np.einsum("im,ij,jm->m", derivatives, estimates.covariance, derivatives)
    known = spread <= 0.0
    return np.where(known, np.inf, 2.0 * variances**2 / np.where(known, 1.0, spread))


def degrees_of_freedom(contrasts: Contrasts, estimates: Estimates) -> _Vector:
    """Satterthwaite's degrees of freedom of each function; NaN where derivatives were not computed."""
    if contrasts.derivatives is None:
        return np.full(contrasts.estimates.size, np.nan)
    diagonal = np.einsum("imm->im", contrasts.derivatives)
    return satterthwaite(contrasts.covariance.diagonal(), diagonal, estimates)


def two_sided_p(t: _Vector, df: _Vector) -> _Vector:
    """Probability of a t as far from 0; NaN where the degrees of freedom are."""
    return np.asarray(2.0 * t_distribution.sf(np.abs(t), df))


def joint_test(contrasts: Contrasts, estimates: Estimates) -> FTest:
    """Wald F of all functions being 0 at once, with the degrees of freedom of Fai & Cornelius (1996).

    The functions are turned into uncorrelated ones with variances d_m and Satterthwaite's ν_m: F = Σ t_m²/q, and with
    E = Σ ν_m/(ν_m - 2) the denominator has 2E/(E - q), or 2 where a ν_m is not above 2. Functions of so different units that
    the smaller variances look like rounding are scaled to a variance of 1 first.
    """
    turned, values = _uncorrelated(contrasts)
    if values.size < contrasts.estimates.size:
        errors = np.where(contrasts.standard_errors > 0.0, contrasts.standard_errors, 1.0)
        scaled, of_scaled = _uncorrelated(contrasts.combined(np.diag(1.0 / errors)))
        turned, values = (scaled, of_scaled) if of_scaled.size > values.size else (turned, values)
    q = values.size
    f = float(np.sum(turned.estimates**2 / values) / q)
    df = _pooled(degrees_of_freedom(turned, estimates))
    p = float(t_distribution.sf(np.sqrt(f), df) * 2.0) if q == 1 else float(f_distribution.sf(f, q, min(df, 1e12)))
    return FTest(q, df, f, p)


def _uncorrelated(contrasts: Contrasts) -> tuple[Contrasts, _Vector]:
    """Principal functions, without those that repeat others, and their variances."""
    values, vectors = np.linalg.eigh(contrasts.covariance)
    used = values > ROUNDED * values[-1]
    return contrasts.combined(vectors[:, used].T), values[used]


def _pooled(df: _Vector) -> float:
    """Degrees of freedom of the denominator from those of uncorrelated functions."""
    if np.isnan(df).any():
        return float("nan")
    if np.isinf(df).all() or np.ptp(df) < SAME_DF * df.min():
        return float(df.mean())
    if df.min() <= 2.0:
        return 2.0
    e = float(np.sum(1.0 + 2.0 / (df - 2.0)))
    return 2.0 * e / (e - df.size)


def covariance_derivatives(problem: RemlProblem, h: _Vector) -> _Vector:
    """h_a'(∂V/∂θ_i)h_b for all pairs of some weights of the records.

    Parameters
    ----------
    h
        m × n × traits, 0 where missing.

    Returns
    -------
    array
        Parameters × m × m.
    """
    products = [*_of_terms(problem, h), *_of_residuals(problem, h)]
    found = np.empty((problem.space.size, len(h), len(h)))
    for block, product in zip(problem.space.blocks, products, strict=True):
        rows, columns = block.elements
        both = product[:, rows, :, columns] + product[:, columns, :, rows]  # elements first
        found[block.slice] = np.where(rows == columns, 0.5, 1.0)[:, None, None] * both
    return found


def _of_terms(problem: RemlProblem, h: _Vector) -> list[_Vector]:
    """h_a'Z(E_ij ⊗ K)Z'h_b of each random term, m × order × m × order."""
    layout = problem.plain
    sums = collected(problem.incidence, problem.plain_slots, np.zeros_like(problem.dropped), h)
    found = []
    for k, term in enumerate(layout.terms):
        if term.kind == "random":
            part = sums[layout.starts[k] : layout.starts[k + 1]].reshape(-1, layout.width(k), len(h))
            columns = np.ascontiguousarray(part.transpose(0, 2, 1)).reshape(len(part), -1)
            related = columns if term.relationship is None else term.relationship.multiply(columns)
            found.append((columns.T @ related).reshape((len(h), layout.width(k)) * 2))
    return found


def _of_residuals(problem: RemlProblem, h: _Vector) -> list[_Vector]:
    """The same of the residual, or of each of its classes, weights of records included."""
    design = problem.design
    scaled = np.ascontiguousarray((h / problem.incidence.rows.roots).transpose(0, 2, 1)).reshape(-1, h.shape[1])
    shape = (len(h), h.shape[2]) * 2
    if design.residual_codes is None or design.residual_levels is None:
        return [(scaled @ scaled.T).reshape(shape)]
    parts = [scaled[:, design.residual_codes == level] for level in range(len(design.residual_levels))]
    return [(part @ part.T).reshape(shape) for part in parts]


def _weights(point: Point, rows: _Vector) -> tuple[_Vector, _Vector]:
    """a = C⁻¹l (equations × m) and h = R⁻¹Wa (m × n × traits) of functions without constrained equations."""
    sides = np.zeros((point.layout.size, len(rows)))
    sides[: rows.shape[1]] = rows.T
    a = point.factor.solve(sides)
    return a, weighted_fit(point, a)


def _expectations(problem: RemlProblem, h: _Vector) -> _Vector:
    """X'h over all fixed equations, m × equations."""
    sums = collected(problem.incidence, problem.plain_slots, np.zeros_like(problem.dropped), h)
    return sums[: problem.plain.fixed_size].T


def column_lengths(problem: RemlProblem) -> _Vector:
    """Length √(x'x) of each column of X, over the records that have the trait."""
    squares = np.zeros(problem.plain.fixed_size)
    observed = problem.design.observed
    for k, term in enumerate(problem.design.fixed):
        part = squares[problem.plain.starts[k] : problem.plain.starts[k + 1]].reshape(len(term.levels), -1)
        link = term.links[0]
        for entry in link.entries:
            mine = observed[:, entry.trait]
            values = (
                None
                if entry.column < 0 or term.values is None
                else (term.values[mine, entry.column] * entry.scale) ** 2
            )
            part[:, entry.coordinate] += np.bincount(link.codes[mine], values, len(term.levels))
    return np.sqrt(squares)


def traits_of_columns(problem: RemlProblem) -> NDArray[np.int64]:
    """Number of the trait that each column of X belongs to."""
    numbers = {trait: t for t, trait in enumerate(problem.design.traits)}
    parts = [np.empty(0, dtype=np.int64)]
    for term in problem.design.fixed:
        own = np.array([numbers[one.trait] for one in term.coordinates], dtype=np.int64)
        parts.append(np.tile(own, len(term.levels)))
    return np.concatenate(parts)
