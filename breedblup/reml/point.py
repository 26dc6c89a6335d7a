"""The likelihood at given variances, with the solutions that it takes.

With every random term fitted as u = (Λ ⊗ I)v, G₀ = ΛΛ', and C the coefficient matrix of Henderson's equations of b and v,

    -2 log L = Σ log|R_i| + Σ c_k log|K_k| + log|C| + ê'R⁻¹ê + v̂'K⁻¹v̂        (Harville 1977; Patterson & Thompson 1971)

but for (N - p) log 2π. Nothing in it fails where G₀ is singular. ML has log|C| of the equations of v alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from breedblup.errors import NotPositiveDefinite
from breedblup.mme import EquationLayout
from breedblup.mme.assemble import MixedModelEquations
from breedblup.mme.covariances import inverse_covariance
from breedblup.mme.incidence import build_slots
from breedblup.mme.record_sums import apply_residual_inverse, collected, fitted_values
from breedblup.reml.clock import Clock
from breedblup.reml.problem import RemlProblem
from breedblup.reml.roots import FLOOR, FLOOR_OF_GROUPS, floored, lower_root
from breedblup.solvers.cholesky import CholeskyFactor, SymbolicFactor
from breedblup.variances import VarianceComponents

_Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LikelihoodParts:
    """The summands of -2 log L without (N - p) log 2π.

    Attributes
    ----------
    residuals
        Σ log|R_i|.
    relationships
        Σ c log|K|, less log|G₀| once for each fixed group of unknown parents that is estimated.
    equations
        log|C|.
    quadratic
        y'Py.
    """

    residuals: float
    relationships: float
    equations: float
    quadratic: float

    @property
    def total(self) -> float:
        """-2 log L."""
        return self.residuals + self.relationships + self.equations + self.quadratic


@dataclass(frozen=True)
class Point:
    """The likelihood and the solutions at some variances.

    Attributes
    ----------
    theta
        The parameters, as `ParameterSpace` orders them.
    layout
        With the Λ of these variances.
    factor
        Of C.
    random_factor
        Of the equations of v alone, for ML.
    x
        Solutions b̂ and v̂.
    residuals
        ê, n × traits, 0 where missing.
    residual_inverses
        R⁻¹ of the observed traits by pattern, patterns × traits × traits.
    """

    problem: RemlProblem
    theta: _Vector
    variances: VarianceComponents
    layout: EquationLayout
    factor: CholeskyFactor
    random_factor: CholeskyFactor | None
    x: _Vector
    residuals: _Vector
    residual_inverses: _Vector
    parts: LikelihoodParts

    @property
    def minus2_log_l(self) -> float:
        """-2 log L without (N - p) log 2π."""
        return self.parts.total

    @cached_property
    def weighted_residuals(self) -> _Vector:
        """R⁻¹ê = Py, n × traits."""
        return apply_residual_inverse(self.problem.incidence, self.residual_inverses, self.residuals)

    def root(self, k: int) -> _Vector:
        """Λ of the k-th term."""
        root = self.layout.loadings[k]
        assert root is not None
        return root

    def of_term(self, vector: _Vector, k: int) -> _Vector:
        """Part of a vector over the equations that belongs to a term, levels × coordinates."""
        start, end = self.layout.starts[k : k + 2]
        return vector[start:end].reshape(-1, self.layout.width(k))


def point_at(problem: RemlProblem, theta: _Vector, *, clock: Clock | None = None, exact: bool = False) -> Point:
    """Factorise and solve at some parameters.

    Parameters
    ----------
    exact
        Whether singular covariance matrices are taken as they are. While iterating they are lifted by 1e-10 of a variance of the
        size to be expected, so that derivatives towards the inside exist.

    Raises
    ------
    NotPositiveDefinite
        If the equations are not positive definite to working precision.
    """
    clock = Clock() if clock is None else clock
    with clock.stage("assembly"):
        variances = problem.space.unpack(theta)
        layout = problem.layout.with_roots(roots_of(problem, variances, exact=exact))
        inverses = problem.incidence.residual_inverses(variances)
        covariances = [inverse_covariance(layout, k, variances) for k in range(len(layout.terms))]
        equations = problem.pattern.filled(layout, inverses, covariances)
    with clock.stage("factorisation"):
        factor, random_factor = _factors(problem, equations)
        logdet = factor.logdet() if problem.likelihood == "reml" else 0.0
        logdet += 0.0 if random_factor is None else random_factor.logdet()
    with clock.stage("solves"):
        x = factor.solve(equations.rhs)
        incidence = problem.incidence
        residuals = problem.y - fitted_values(incidence, build_slots(layout), problem.dropped, x)
        weighted = apply_residual_inverse(incidence, inverses, residuals)
        quadratic = float(np.vdot(residuals, weighted)) + _prior_quadratic(problem, layout, x, weighted)
    parts = LikelihoodParts(
        _residual_logdet(problem, inverses), _relationship_logdet(problem, layout), logdet, quadratic
    )
    return Point(problem, theta, variances, layout, factor, random_factor, x, residuals, inverses, parts)


def roots_of(problem: RemlProblem, variances: VarianceComponents, *, exact: bool) -> dict[str, _Vector]:
    """Λ of every random term."""
    roots = {}
    for k, term in enumerate(problem.layout.terms):
        if term.kind == "random":
            scale = problem.scales[term.name]
            matrix, has_groups = variances.matrix(term.name), k in problem.groups_of_terms
            if has_groups or not exact:
                matrix = floored(matrix, scale, FLOOR_OF_GROUPS if has_groups else FLOOR)
            roots[term.name] = lower_root(matrix, scale)
    return roots


def weighted_fit(point: Point, a: _Vector) -> _Vector:
    """R⁻¹Wa for a vector over the equations, n × traits."""
    problem = point.problem
    fitted = fitted_values(problem.incidence, build_slots(point.layout), problem.dropped, a)
    return apply_residual_inverse(problem.incidence, point.residual_inverses, fitted)


def residual_products(problem: RemlProblem, left: _Vector, right: _Vector) -> list[_Vector]:
    """Σ D^-½ a b' D^-½ over the records of each residual class, D the weights; arguments n × traits."""
    rows = problem.incidence.rows
    a, b = left / rows.roots, right / rows.roots
    if problem.design.residual_codes is None:
        return [0.5 * (a.T @ b + b.T @ a)]
    found = []
    for level in range(len(problem.residual_levels)):
        mine = problem.design.residual_codes == level
        product = a[mine].T @ b[mine]
        found.append(0.5 * (product + product.T))
    return found


def _factors(problem: RemlProblem, equations: MixedModelEquations) -> tuple[CholeskyFactor, CholeskyFactor | None]:
    """Of all equations and, for ML, of those of v."""
    factor = _factor(problem, problem.symbolic, equations.lhs, 0)
    if problem.random_symbolic is None:
        return factor, None
    cut = problem.layout.fixed_size
    return factor, _factor(problem, problem.random_symbolic, equations.lhs[cut:, cut:], cut)


def _factor(problem: RemlProblem, symbolic: SymbolicFactor, lhs: csr_array, first: int) -> CholeskyFactor:
    """Factor of the equations from ``first`` on."""
    try:
        return symbolic.factorise(lhs)
    except NotPositiveDefinite as failure:
        equation = first + failure.equation
        raise NotPositiveDefinite(
            f"{problem.layout.describe(equation)} has a non-positive pivot: the equations are not positive definite to "
            "working precision -> look for a term that repeats another, or extreme covariates",
            equation,
        ) from None


def _prior_quadratic(problem: RemlProblem, layout: EquationLayout, x: _Vector, weighted: _Vector) -> float:
    """v'(I ⊗ K⁻¹)v; with fixed groups of unknown parents, which v holds and K⁻¹ takes away, of the rest alone."""
    total = 0.0
    for k, term in enumerate(layout.terms):
        if term.kind == "fixed":
            continue
        if k in problem.groups_of_terms:
            part = collected_of_term(problem, k, weighted)
            root = layout.loadings[k]
            assert root is not None
            total += float(np.vdot(root @ root.T, part.T @ related(problem, k, part)))
            continue
        v = x[layout.starts[k] : layout.starts[k + 1]].reshape(len(term.levels), -1)
        total += float(np.vdot(v, v if term.relationship is None else term.relationship.multiply_inverse(v)))
    return total


def collected_of_term(problem: RemlProblem, k: int, h: _Vector) -> _Vector:
    """Z'h of a random term, levels × coordinates of u."""
    layout = problem.plain
    found = collected(problem.incidence, problem.plain_slots, np.zeros_like(problem.dropped), h)
    return np.ascontiguousarray(found[layout.starts[k] : layout.starts[k + 1]].reshape(-1, layout.width(k)))


def related(problem: RemlProblem, k: int, block: _Vector) -> _Vector:
    """K times a block, levels × coordinates; of animals at given groups where groups of unknown parents are fixed."""
    relationship = problem.layout.terms[k].relationship
    return block if relationship is None else relationship.multiply(block)


def _residual_logdet(problem: RemlProblem, inverses: _Vector) -> float:
    """Σ log|R_i|."""
    rows = problem.incidence.rows
    numbers = np.bincount(rows.pattern, minlength=len(rows.observed))
    total = 0.0
    for number, observed, inverse in zip(numbers, rows.observed, inverses, strict=True):
        total -= number * float(np.linalg.slogdet(inverse[np.ix_(observed, observed)])[1])
    weights = problem.design.weights
    return total - (0.0 if weights is None else float(np.log(weights[problem.design.observed]).sum()))


def _relationship_logdet(problem: RemlProblem, layout: EquationLayout) -> float:
    """Σ c log|K|; fixed groups are fixed effects, whose columns Λ has scaled."""
    total = 0.0
    for k, term in enumerate(layout.terms):
        if term.relationship is not None:
            total += layout.width(k) * term.relationship.logdet
        if k in problem.groups_of_terms:
            root = layout.loadings[k]
            assert root is not None
            total -= float(problem.groups_of_terms[k] @ np.log(root.diagonal() ** 2))
    return total
