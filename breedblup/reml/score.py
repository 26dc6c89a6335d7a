"""First derivatives of -2 log L, and the average information.

In the coordinates of v, with S = [X Z(Λ ⊗ I)] and ∂/∂Λ the derivative by the entries of Λ,

    ∂(-2 log L)/∂Λ_ab = 2 tr(C⁻¹ S'R⁻¹ ∂S/∂Λ_ab) - 2 ê'R⁻¹ (∂S/∂Λ_ab) x̂,

a sum over records of entries of C⁻¹ on its own pattern: no trace of a difference of nearly equal numbers, so that it is exact
also where a variance is nearly zero. With Γ defined by d(-2 log L) = tr(Γ dG₀) it is 2ΓΛ, whose lower triangle gives Γ row
by row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breedblup.mme.incidence import build_slots
from breedblup.mme.record_sums import InverseSums, apply_residual_inverse, collected, fitted_values, inverse_sums
from breedblup.reml.clock import Clock
from breedblup.reml.point import Point, collected_of_term, related, residual_products
from breedblup.reml.problem import RemlProblem

_Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """Derivatives of -2 log L.

    Attributes
    ----------
    values
        By each parameter.
    matrices
        Γ of every random term in their order, then of the residual or its classes: d(-2 log L) = tr(Γ dG₀).
    inverse
        C⁻¹ on the pattern of C.
    """

    values: _Vector
    matrices: tuple[_Vector, ...]
    inverse: _Vector


def score_at(point: Point, clock: Clock | None = None) -> Score:
    """Derivatives at a point that was not made exact."""
    clock = Clock() if clock is None else clock
    with clock.stage("selected inverse"):
        inverse = inverse_values(point)
    with clock.stage("traces"):
        problem = point.problem
        pattern = problem.pattern.pattern
        sums = inverse_sums(
            problem.incidence, point.layout, problem.plain_slots, problem.dropped, point.residual_inverses,
            (pattern.pointer, pattern.indices), inverse,
        )  # fmt: skip
        of_residuals = _collected_residuals(point)
        matrices = []
        for k, term in enumerate(problem.layout.terms):
            if term.kind == "fixed":
                continue
            loading = sums.loadings[k]
            assert loading is not None
            data = point.of_term(of_residuals, k).T @ _deviations(point, k)
            by_root = 2.0 * (loading - data)
            matrices.append(_by_covariance(by_root, point.root(k)) - _of_groups(point, k))
        matrices += _of_residual(point, sums)
    values = problem.space.from_matrices(matrices)
    return Score(values, tuple(matrices), inverse)


def inverse_values(point: Point) -> _Vector:
    """C⁻¹ on the pattern of C; for ML that of the equations of v, zero elsewhere."""
    pattern = point.problem.pattern.pattern
    lhs = pattern.matrix(point.problem.pattern.values)
    if point.problem.likelihood == "reml":
        return np.asarray(point.factor.inverse_on(lhs).data)
    cut = point.layout.fixed_size
    values = np.zeros(pattern.nonzeros)
    if point.random_factor is None:
        return values
    part = lhs[cut:, cut:]
    begin = int(pattern.pointer[cut])
    values[begin + np.flatnonzero(pattern.indices[begin:] >= cut)] = point.random_factor.inverse_on(part).data
    return values


def average_information(point: Point, clock: Clock | None = None) -> _Vector:
    """½ f_i'P f_j with f_i = (∂V/∂θ_i)Py (Gilmour, Thompson & Cullis 1995; Johnson & Thompson 1995), parameters × parameters."""
    clock = Clock() if clock is None else clock
    with clock.stage("solves"):
        problem = point.problem
        incidence, slots = problem.incidence, build_slots(point.layout)
        working = np.stack(_working_variates(point))
        weighted = np.stack([apply_residual_inverse(incidence, point.residual_inverses, f) for f in working])
        sides = collected(incidence, slots, problem.dropped, weighted)
        solved = point.factor.solve(sides)
        size = len(working)
        direct = working.reshape(size, -1) @ weighted.reshape(size, -1).T
        information = 0.5 * (direct - sides.T @ solved)
    return _semidefinite(0.5 * (information + information.T))


def _semidefinite(matrix: _Vector) -> _Vector:
    """The matrix without what rounding has made of its eigenvalues of zero."""
    size = np.sqrt(np.maximum(matrix.diagonal(), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(matrix / np.outer(size, size))
    if values[0] >= 0.0:
        return matrix
    clipped: _Vector = (vectors * np.maximum(values, 0.0)) @ vectors.T * np.outer(size, size)
    return 0.5 * (clipped + clipped.T)


def _collected_residuals(point: Point) -> _Vector:
    """[X Z]'R⁻¹ê, in the coordinates of u."""
    problem = point.problem
    nothing = np.zeros_like(problem.dropped)
    return collected(problem.incidence, problem.plain_slots, nothing, point.weighted_residuals)


def _by_covariance(by_root: _Vector, root: _Vector) -> _Vector:
    """Γ from the lower triangle of 2ΓΛ: the last row first, each from its last column on."""
    size = len(root)
    found = np.zeros_like(root)
    for a in range(size - 1, -1, -1):
        for b in range(a, -1, -1):
            known = found[a, b + 1 :] @ root[b + 1 :, b]
            found[a, b] = found[b, a] = (0.5 * by_root[a, b] - known) / root[b, b]
    return found


def _of_groups(point: Point, k: int) -> _Vector:
    """∂/∂G₀ of log|G₀| of the fixed groups of unknown parents that Λ has scaled, G₀ leading block by leading block."""
    root = point.root(k)
    total = np.zeros_like(root)
    counts = point.problem.groups_of_terms.get(k)
    if counts is None:
        return total
    covariance = root @ root.T
    after = np.append(counts[1:], 0)
    for a, number in enumerate(counts - after):
        total[: a + 1, : a + 1] += number * np.linalg.inv(covariance[: a + 1, : a + 1])
    return total


def _of_residual(point: Point, sums: InverseSums) -> list[_Vector]:
    """Γ of the residual, or of each of its classes: Σ R⁻¹ - R⁻¹(êê' + SC⁻¹S')R⁻¹ over the records."""
    problem = point.problem
    rows = problem.incidence.rows
    numbers = np.bincount(rows.pattern, minlength=len(rows.observed))
    inverses = point.residual_inverses
    traces = [number * inverse - inverse @ leverage @ inverse for number, inverse, leverage in
              zip(numbers, inverses, sums.leverage, strict=True)]  # fmt: skip
    found = residual_products(problem, point.weighted_residuals, point.weighted_residuals)
    totals = [-product for product in found]
    for p, trace in enumerate(traces):
        totals[_class_of_pattern(problem, p)] += trace
    return totals


def _class_of_pattern(problem: RemlProblem, p: int) -> int:
    """Number of the residual class of a pattern of traits."""
    return problem.residual_levels.index(problem.incidence.classes[p]) if problem.residual_levels else 0


def _working_variates(point: Point) -> list[_Vector]:
    """f_i = (∂V/∂θ_i)Py for each parameter, n × traits."""
    problem = point.problem
    rows = problem.incidence.rows
    numbers = {term.name: k for k, term in enumerate(problem.layout.terms)}
    nothing, scaled = np.zeros_like(problem.dropped), point.weighted_residuals / rows.roots
    observed = problem.design.observed
    of_v = {k: _kz_py(point, k) for k in numbers.values() if problem.layout.terms[k].kind == "random"}
    codes = problem.design.residual_codes
    found = []
    for parameter in problem.space.parameters:
        i, j = parameter.row, parameter.column
        if parameter.key == "residual":
            f = np.zeros_like(problem.y)
            f[:, i] = scaled[:, j]
            f[:, j] = scaled[:, i]
            if codes is not None and parameter.level is not None:
                f[codes != problem.residual_levels.index(parameter.level)] = 0.0
            found.append(np.where(observed, f / rows.roots, 0.0))
            continue
        k = numbers[parameter.key]
        vector = np.zeros(problem.layout.size)
        part = vector[problem.layout.starts[k] : problem.layout.starts[k + 1]].reshape(-1, problem.layout.width(k))
        part[:, i] = of_v[k][:, j]
        part[:, j] = of_v[k][:, i]
        found.append(fitted_values(problem.incidence, problem.plain_slots, nothing, vector))
    return found


def _kz_py(point: Point, k: int) -> _Vector:
    """K Z'Py = Λ⁻ᵀv̂, levels × coordinates; by K where v̂ holds fixed groups of unknown parents too."""
    if k in point.problem.groups_of_terms:
        return related(point.problem, k, collected_of_term(point.problem, k, point.weighted_residuals))
    v = point.of_term(point.x, k)
    return np.ascontiguousarray(np.linalg.solve(point.root(k).T, v.T).T)


def _deviations(point: Point, k: int) -> _Vector:
    """v̂ = (Λ' ⊗ K)Z'Py without fixed groups of unknown parents, levels × coordinates."""
    if k in point.problem.groups_of_terms:
        return _kz_py(point, k) @ point.root(k)
    return point.of_term(point.x, k)
