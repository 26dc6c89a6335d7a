"""Steps within the parameter space and EM: optimality, exact zeros, and a likelihood that never falls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear, minimize

from breedblup.errors import ModelError
from breedblup.model import Model
from breedblup.reml.cone import ConeProgram, MatrixCone, minimise_over_cones
from breedblup.reml.em import WorkingMoments, check_em, complete_information, em_update, px_em_update
from breedblup.reml.feasible import RESIDUAL_FLOOR, at_residual_floor, strictly_feasible
from breedblup.reml.steps import constrained_step
from breedblup.reml.symmetric import to_vector
from breedblup.variances import Bound, Diagonal, FixedValue, ParameterSpace, ReducedRank, Tie

MODELS = [
    Model.from_formula(formula)
    for formula in (
        "y ~ x + (1 | a) + (1 | b)",
        "y ~ x + (1 + t | a)",
        "(y, z) ~ x + (1 | a)",
        "y ~ x + (1 + t + s | a) + (1 | b)",
        "(y, z) ~ x + (1 + t || a) + (1 | b)",
    )
]


def random_covariance(order: int, rng: np.random.Generator) -> np.ndarray:
    half = rng.normal(size=(order, order + 1))
    return half @ half.T / order


def random_theta(space: ParameterSpace, rng: np.random.Generator) -> np.ndarray:
    theta = np.empty(space.size)
    for block in space.blocks:
        theta[block.slice] = (random_covariance(block.order, rng) * block.mask)[block.elements]
    return theta


@dataclass(frozen=True)
class Quadratic:
    """g'd + d'Id at a point, in any units of the rows."""

    theta: np.ndarray
    gradient: np.ndarray
    information: np.ndarray
    interior: np.ndarray


def random_quadratic(space: ParameterSpace, rng: np.random.Generator, force: float = 20.0) -> Quadratic:
    theta, interior = random_theta(space, rng), random_theta(space, rng)
    half = rng.normal(size=(space.size, space.size + 3))
    units = np.empty(space.size)
    for block in space.blocks:
        own = 10.0 ** rng.uniform(-2, 2, block.order)
        units[block.slice] = np.outer(own, own)[block.elements]
    gradient = force * rng.normal(size=space.size)
    return Quadratic(theta * units, gradient / units, half @ half.T / np.outer(units, units), interior * units)


def taken(space: ParameterSpace, problem: Quadratic) -> Any:
    return constrained_step(space, problem.theta, problem.gradient, problem.information, problem.interior)


def slope_at(problem: Quadratic, theta: np.ndarray) -> np.ndarray:
    return problem.gradient + 2 * problem.information @ (theta - problem.theta)


# the cone program


@given(st.integers(0, 10_000), st.sampled_from([(2,), (4,), (2, 2), (3, 3), (5, 2), (1, 1, 3)]), st.integers(0, 3))
def test_the_cone_program_ends_at_its_optimality_conditions(seed: int, orders: tuple[int, ...], limits: int) -> None:
    """From starts near the boundary and with curvatures 1000 apart."""
    rng = np.random.default_rng(seed)
    sizes = [order * (order + 1) // 2 for order in orders]
    n = limits + sum(sizes)
    x = np.zeros(n)
    x[:limits] = 10.0 ** rng.uniform(-3, 1, limits)
    rows = np.vstack([np.eye(n)[:limits], -np.eye(n)[:limits]])
    offsets = np.repeat([0.0, 20.0], limits)
    cones = []
    for at, order, size in zip(limits + np.cumsum([0, *sizes]), orders, sizes, strict=False):
        linear = np.eye(n)[at : at + size]
        axes = np.linalg.qr(rng.normal(size=(order, order)))[0]
        x += linear.T @ to_vector(axes * 10.0 ** rng.uniform(-3, 1, order) @ axes.T)
        cones.append(MatrixCone(order, np.zeros(size), linear))
    half = 10.0 ** rng.uniform(-1.5, 0, n)[:, None] * rng.normal(size=(n, 2 * n))
    quadratic = half @ half.T
    c = rng.normal(size=n)
    size = max(np.abs(c).max(), quadratic.max())
    program = ConeProgram(c / size, quadratic / size, rows, offsets, tuple(cones))
    found = minimise_over_cones(program, x)
    rest = program.linear + 2 * program.quadratic @ found.x - rows.T @ found.of_rows
    for cone, matrix, multiplier in zip(cones, found.matrices, found.multipliers, strict=True):
        rest -= cone.linear.T @ to_vector(multiplier)
        reach = max(1.0, np.abs(matrix).max())
        assert np.linalg.eigvalsh(matrix)[0] >= -1e-10 * reach
        assert np.linalg.eigvalsh(multiplier)[0] >= -1e-10
        assert np.abs(matrix @ multiplier).max() <= 1e-10 * reach
    assert np.abs(rest).max() <= 1e-10
    slacks = rows @ found.x + offsets
    assert slacks.min(initial=0.0) >= -1e-10
    assert found.of_rows.min(initial=0.0) >= -1e-10
    assert np.abs(slacks * found.of_rows).max(initial=0.0) <= 1e-10


# the step


def test_inside_the_step_is_newtons() -> None:
    rng = np.random.default_rng(1)
    space = ParameterSpace.of(MODELS[3])
    problem = random_quadratic(space, rng, force=1e-3)
    step = taken(space, problem)
    newton = -np.linalg.solve(2 * problem.information, problem.gradient)
    assert np.allclose(step.theta1 - problem.theta, newton, rtol=1e-5, atol=1e-7 * np.abs(newton))
    assert step.predicted == pytest.approx(-0.5 * problem.gradient @ newton, rel=1e-6)
    assert np.array_equal(step.at(0.0), problem.theta)
    assert np.array_equal(step.at(1.0), step.theta1)
    assert np.allclose(step.at(0.25), 0.75 * problem.theta + 0.25 * step.theta1, rtol=1e-14)


@settings(max_examples=150)
@given(st.integers(0, 100_000), st.integers(0, len(MODELS) - 1))
def test_a_step_meets_the_optimality_conditions(seed: int, which: int) -> None:
    """Matrices S = G - floor and the slope's Z: both positive semi-definite, with SZ = 0."""
    rng = np.random.default_rng(seed)
    space = ParameterSpace.of(MODELS[which])
    problem = random_quadratic(space, rng)
    step = taken(space, problem)
    slope = slope_at(problem, step.theta1)
    size = 0.0
    for block in space.blocks:
        unit = np.sqrt(np.diag(block.filled(problem.interior[block.slice])))
        matrix = block.filled(step.theta1[block.slice])
        if block.is_residual:
            matrix = matrix - RESIDUAL_FLOOR * np.diag(unit**2)
        outer = np.outer(unit, unit)
        held = block.filled(slope[block.slice]) * (0.5 + 0.5 * np.eye(block.order)) * outer
        force = block.filled(problem.gradient[block.slice]) * outer
        size = max(size, np.abs(force).max())
        matrix = matrix / outer
        for part in {tuple(np.flatnonzero(row)) for row in block.mask}:
            rows = np.ix_(part, part)
            reach = max(1.0, np.abs(matrix[rows]).max())
            assert np.linalg.eigvalsh(matrix[rows])[0] >= -1e-11 * reach
            assert np.linalg.eigvalsh(held[rows])[0] >= -1e-6 * size * reach
            assert np.abs(matrix[rows] @ held[rows]).max() <= 1e-6 * size * reach**2


def limited(seed: int) -> tuple[ParameterSpace, Quadratic]:
    rng = np.random.default_rng(seed)
    space = ParameterSpace.of(
        MODELS[2],
        ties=[Tie("residual[2,2]", "residual[1,1]", 0.5), Tie("a[2,1]", "residual[2,1]", -1.0)],
        bounds=[Bound("residual[2,1]", upper=0.1), Bound("a[2,2]", 0.2, 0.9)],
    )
    problem = random_quadratic(ParameterSpace.of(MODELS[2]), rng)
    units = np.sqrt(np.abs(np.diag(problem.information)))
    interior = strictly_feasible(space, random_theta(space, rng))
    return space, Quadratic(interior, problem.gradient / units, problem.information / np.outer(units, units), interior)


@pytest.mark.parametrize("seed", range(12))
def test_a_step_with_ties_and_bounds_is_that_of_a_general_optimiser(seed: int) -> None:
    space, problem = limited(seed)
    step = taken(space, problem)
    restrictions = space.restrictions

    def theta_of(phi: np.ndarray) -> np.ndarray:
        return np.asarray(restrictions.offset + restrictions.basis @ phi)

    def value(phi: np.ndarray) -> float:
        change = theta_of(phi) - problem.theta
        return float(problem.gradient @ change + change @ problem.information @ change)

    floor = RESIDUAL_FLOOR * problem.interior

    def determinants(phi: np.ndarray) -> np.ndarray:
        t = theta_of(phi)
        r = t[3:] - np.array([floor[3], 0.0, floor[5]])
        return np.array([t[0] * t[2] - t[1] ** 2, r[0] * r[2] - r[1] ** 2, t[0], r[0]])

    best = minimize(
        value, problem.theta[restrictions.roots], jac=lambda phi: restrictions.basis.T @ slope_at(problem, theta_of(phi)),
        bounds=list(zip(restrictions.lower, restrictions.upper, strict=True)),
        constraints={"type": "ineq", "fun": determinants}, method="SLSQP", options={"ftol": 1e-15, "maxiter": 1000},
    )  # fmt: skip
    mine = step.theta1[restrictions.roots]
    assert value(mine) <= best.fun + 1e-6  # it may leave the space by rounding, which multipliers of 1e8 make that much
    assert np.abs(mine - best.x).max() < 2e-4
    assert determinants(mine).min() >= -1e-12
    assert np.array_equal(step.theta1, theta_of(mine))
    assert (mine >= restrictions.lower).all()
    assert (mine <= restrictions.upper).all()


@given(st.integers(0, 10_000))
def test_scalars_are_a_bounded_least_squares_problem(seed: int) -> None:
    rng = np.random.default_rng(seed)
    space = ParameterSpace.of(MODELS[0], bounds=[Bound("b", lower=0.3, upper=0.5)])
    half = rng.normal(size=(6, 3))
    interior = np.array([1.0, 0.4, 1.0])
    problem = Quadratic(interior, rng.normal(size=3) * 20, half.T @ half, interior)
    half = np.linalg.cholesky(problem.information).T
    target = half @ interior - np.linalg.solve(half.T, problem.gradient) / 2
    best = lsq_linear(half, target, ([0, 0.3, RESIDUAL_FLOOR], [np.inf, 0.5, np.inf]), method="bvls", tol=1e-14).x
    assert np.allclose(taken(space, problem).theta1, best, rtol=1e-5, atol=1e-6 * max(1.0, np.abs(best).max()))


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_no_feasible_point_is_lower(seed: int) -> None:
    """The variational inequality, at random points of the space, ties and bounds among its restrictions."""
    space, problem = limited(seed)
    theta = taken(space, problem).theta1
    slope = slope_at(problem, theta)
    rng = np.random.default_rng(seed)
    for _ in range(5):
        other = strictly_feasible(space, random_theta(space, rng))
        assert slope @ (other - theta) >= -1e-6 * np.abs(slope) @ (1 + np.abs(other - theta))


def test_a_variance_that_vanishes_is_zero() -> None:
    space = ParameterSpace.of(MODELS[0])
    interior = np.array([2.0, 1.0, 1.0])
    step = constrained_step(space, interior, np.array([50.0, 3.0, 1.0]), np.diag([4.0, 3.0, 2.0]), interior)
    assert step.theta1[0] == 0.0
    assert np.allclose(step.theta1[1:], [0.5, 0.75], rtol=1e-7)
    assert space.status(step.theta1) == ("boundary", "free", "free")
    again = constrained_step(space, step.theta1, np.array([34.0, 0.0, 0.0]), np.diag([4.0, 3.0, 2.0]), interior)
    assert np.allclose(again.theta1, step.theta1, rtol=1e-12)
    assert again.predicted == pytest.approx(0.0, abs=1e-12)
    away = constrained_step(space, step.theta1, np.array([-8.0, 0.0, 0.0]), np.diag([4.0, 3.0, 2.0]), interior)
    assert away.theta1[0] == pytest.approx(1.0, rel=1e-6)


def test_a_correlation_that_becomes_one_is_one() -> None:
    space = ParameterSpace.of(MODELS[1])
    interior = np.array([4.0, 0.0, 9.0, 1.0])
    gradient = np.array([0.0, -40.0, 0.0, 0.0])
    step = constrained_step(space, interior, gradient, np.diag([2.0, 1.0, 0.5, 1.0]), interior)
    matrix = space.matrix(step.theta1, space.blocks[0])
    assert abs(np.linalg.eigvalsh(matrix)[0]) < 1e-14 * matrix.trace()
    assert "the correlation of 'intercept y' and 't y' is 1" in space.singular(step.theta1)[0]


def test_a_variance_of_zero_within_a_matrix_leaves_exact_zeros() -> None:
    space = ParameterSpace.of(MODELS[1])
    interior = np.array([4.0, 0.5, 9.0, 1.0])
    gradient = np.array([0.0, 4.0, 200.0, 0.0])
    step = constrained_step(space, interior, gradient, np.diag([2.0, 4.0, 0.5, 1.0]), interior)
    assert step.theta1[1:3].tolist() == [0.0, 0.0]
    assert step.theta1[0] == pytest.approx(4.0)
    assert space.status(step.theta1)[:3] == ("free", "boundary", "boundary")


def test_residuals_stop_at_their_floor() -> None:
    space = ParameterSpace.of(MODELS[2])
    interior = np.array([1.0, 0.0, 1.0, 4.0, 0.0, 2.0])
    step = constrained_step(space, interior, np.array([0, 0, 0, 90.0, 0, 0]), np.eye(6), interior)
    assert step.theta1[3] == pytest.approx(4.0 * RESIDUAL_FLOOR, rel=1e-9)
    assert at_residual_floor(space, step.theta1, interior) == ("residual",)
    assert at_residual_floor(space, interior, interior) == ()
    space.unpack(step.theta1)


def test_what_is_fixed_stays() -> None:
    space = ParameterSpace.of(MODELS[3], structures={"a": FixedValue(np.diag([1.0, 0.0, 2.0]))})
    rng = np.random.default_rng(2)
    problem = random_quadratic(ParameterSpace.of(MODELS[3]), rng)
    theta = problem.interior.copy()
    theta[:6] = space.restrictions.offset[:6]
    step = constrained_step(space, theta, problem.gradient, problem.information, theta)
    assert np.array_equal(step.theta1[:6], theta[:6])
    assert (step.theta1[6:] >= 0).all()


def test_parameters_that_no_record_tells_apart_share_the_step() -> None:
    space = ParameterSpace.of(MODELS[0])
    interior = np.array([1.0, 1.0, 1.0])
    information = np.array([[2.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    step = constrained_step(space, interior, np.array([-1.0, -1.0, 0.0]), information, interior)
    assert np.allclose(step.theta1, [1.125, 1.125, 1.0], rtol=1e-6)


def test_an_element_without_information_stays_in_the_space() -> None:
    space = ParameterSpace.of(MODELS[1])
    interior = np.array([1.0, 0.2, 1.0, 1.0])
    step = constrained_step(space, interior, np.array([-1.0, 0.5, 0.0, 0.0]), np.diag([1.0, 0.0, 1.0, 1.0]), interior)
    space.unpack(step.theta1)
    assert np.isfinite(step.theta1).all()
    assert step.predicted > 0


def test_where_nothing_may_move_the_step_is_none() -> None:
    space = ParameterSpace.of(
        MODELS[0], structures={"a": FixedValue(1.0), "b": FixedValue(0.0), "residual": FixedValue(2.0)}
    )
    theta = np.array([1.0, 0.0, 2.0])
    step = constrained_step(space, theta, np.ones(3), np.eye(3), strictly_feasible(space, theta))
    assert np.array_equal(step.theta1, theta)
    assert step.predicted == 0.0
    assert space.free_basis(theta).shape == (3, 0)


def test_a_model_without_random_terms_has_a_step() -> None:
    space = ParameterSpace.of(Model.from_formula("y ~ x"))
    step = constrained_step(space, np.array([2.0]), np.array([1.0]), np.array([[1.0]]), np.array([2.0]))
    assert step.theta1[0] == pytest.approx(1.5)


def test_an_interior_point_on_a_bound_is_moved_inside() -> None:
    space = ParameterSpace.of(MODELS[1], bounds=[Bound("a[2,1]", lower=0.2)])
    theta = np.array([1.0, 0.2, 1.0, 1.0])
    step = constrained_step(space, theta, np.array([90.0, 5.0, 0.0, 0.0]), np.eye(4), theta)
    assert step.theta1[1] == 0.2
    assert np.prod(step.theta1[[0, 2]]) == pytest.approx(0.04, rel=1e-12)


def test_structural_zeros_that_leave_no_parts_stay_zero() -> None:
    """Traits 1 and 3 are never recorded together, both are with 2: the matrix that is positive semi-definite with that zero."""
    apart = np.zeros((3, 3), dtype=bool)
    apart[2, 0] = True
    model = Model.from_formula("(y, z, w) ~ x + (1 | a)")
    space = ParameterSpace.of(model, structures={"a": FixedValue(np.eye(3))}, never_together=apart)
    theta = np.concatenate([np.eye(3)[np.tril_indices(3)], [1.0, 0.0, 1.0, 0.0, 1.0]])
    gradient = np.concatenate([np.zeros(6), [0.0, -20.0, 0.0, -20.0, 0.0]])
    step = constrained_step(space, theta, gradient, np.eye(11), theta)
    residual = space.matrix(step.theta1, space.blocks[1])
    assert residual[2, 0] == 0.0
    assert np.linalg.eigvalsh(residual)[0] == pytest.approx(RESIDUAL_FLOOR, rel=1e-6)
    assert residual[1, 0] == pytest.approx(residual[2, 1], rel=1e-9)
    updated = em_update(space, theta, [np.zeros((3, 3)), np.diag([1.0, 2.0, 3.0])], [10, 50])
    assert np.allclose(updated[[6, 8, 10]], 1 - np.array([1.0, 2.0, 3.0]) / 50, rtol=1e-7)


# a start inside


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, len(MODELS) - 1))
def test_any_values_become_a_start_inside(seed: int, which: int) -> None:
    rng = np.random.default_rng(seed)
    first = ParameterSpace.of(MODELS[which])
    off = [p.name for p in first.parameters if p.row != p.column]
    space = ParameterSpace.of(MODELS[which], bounds=[Bound(off[0], 0.3, 0.4)] if off else [Bound("b", 0.3, 0.4)])
    start = rng.normal(size=space.size)
    diagonal = np.array([p.row == p.column for p in space.parameters])
    start[diagonal] = 10.0 ** rng.uniform(-1, 1, diagonal.sum())
    theta = strictly_feasible(space, start)
    for block in space.blocks:
        matrix = block.filled(theta[block.slice])
        scale = np.sqrt(np.diag(matrix))
        assert np.linalg.eigvalsh(matrix / np.outer(scale, scale))[0] > 1e-4
    phi = theta[space.restrictions.roots]
    assert (phi > space.restrictions.lower).all()
    assert (phi < space.restrictions.upper).all()


def test_a_good_start_stays_as_it_is() -> None:
    space = ParameterSpace.of(MODELS[1])
    theta = np.array([1.0, 0.3, 2.0, 1.0])
    assert np.array_equal(strictly_feasible(space, theta), theta)


def test_a_start_with_reduced_rank_has_it() -> None:
    space = ParameterSpace.of(MODELS[3], structures={"a": ReducedRank(2)})
    matrix = space.matrix(strictly_feasible(space, np.array([1.0, 0.1, 1, 0.2, 0.1, 1, 1, 1])), space.blocks[0])
    values = np.linalg.eigvalsh(matrix)
    assert abs(values[0]) < 1e-14
    assert values[1] > 0.1


def test_restrictions_that_leave_nothing_are_refused() -> None:
    bounds = [Bound("a[1,1]", upper=1.0), Bound("a[2,2]", upper=1.0), Bound("a[2,1]", lower=2.0)]
    space = ParameterSpace.of(MODELS[1], bounds=bounds)
    with pytest.raises(
        ModelError,
        match=r"the bounds, ties and fixed values of 'a\[1,1\]', 'a\[2,1\]', 'a\[2,2\]' leave no positive definite covariance matrices",
    ):
        strictly_feasible(space, np.array([1.0, 0.0, 1.0, 1.0]))


# a dense likelihood


@dataclass(frozen=True)
class Dense:
    """A small mixed model of one trait with K = I: f = -2 log L (REML), its derivatives, and the moments of v."""

    y: np.ndarray
    fixed: np.ndarray
    designs: tuple[tuple[np.ndarray, ...], ...]
    space: ParameterSpace

    def covariance(self, theta: np.ndarray) -> np.ndarray:
        parts = [theta[-1] * np.eye(len(self.y))]
        for block, design in zip(self.space.blocks, self.designs, strict=False):
            matrix = self.space.matrix(theta, block)
            parts += [matrix[a, b] * design[a] @ design[b].T for a in range(len(design)) for b in range(len(design))]
        return np.asarray(reduce(np.add, parts))

    def projection(self, theta: np.ndarray) -> np.ndarray:
        inverse = np.linalg.inv(self.covariance(theta))
        weighted = inverse @ self.fixed
        return np.asarray(inverse - weighted @ np.linalg.solve(self.fixed.T @ weighted, weighted.T))

    def value(self, theta: np.ndarray) -> float:
        covariance = self.covariance(theta)
        information = self.fixed.T @ np.linalg.solve(covariance, self.fixed)
        logs = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(information)[1]
        return float(logs + self.y @ self.projection(theta) @ self.y)

    def derivatives(self, theta: np.ndarray) -> list[np.ndarray]:
        """Γ of each block."""
        projection = self.projection(theta)
        solved = projection @ self.y
        inner = projection - np.outer(solved, solved)
        found = []
        for design in self.designs:
            gamma = [[np.sum((inner @ one) * other) for other in design] for one in design]
            found.append((np.array(gamma) + np.array(gamma).T) / 2)
        return [*found, np.array([[np.trace(inner)]])]

    def information(self, theta: np.ndarray) -> np.ndarray:
        projection = self.projection(theta)
        columns = []
        for parameter in self.space.parameters:
            unit = np.zeros(self.space.size)
            unit[self.space.index_of(parameter.name)] = 1.0
            columns.append(self.covariance(unit) @ projection @ self.y)
        working = np.stack(columns)
        return np.asarray(0.5 * working @ projection @ working.T)

    def working(self, theta: np.ndarray) -> list[WorkingMoments]:
        """Λ, and M from the posterior of v with the fixed effects integrated out."""
        projection = self.projection(theta)
        found = []
        for block, design in zip(self.space.blocks, self.designs, strict=False):
            matrix = self.space.matrix(theta, block)
            root = np.linalg.cholesky(matrix + 1e-14 * np.eye(len(matrix)))
            order, levels = len(root), design[0].shape[1]
            loaded = np.stack([sum(design[a] * root[a, b] for a in range(order)) for b in range(order)])
            flat = loaded.transpose(1, 0, 2).reshape(len(self.y), -1)
            mean = flat.T @ projection @ self.y
            second = np.outer(mean, mean) + np.eye(len(mean)) - flat.T @ projection @ flat
            second = second.reshape(order, levels, order, levels)
            crossed = np.stack([[one.T @ other for other in design] for one in design]) / theta[-1]
            found.append(WorkingMoments(root, np.einsum("acij,bidj->abcd", crossed, second)))
        return found

    @property
    def counts(self) -> list[int]:
        return [*(design[0].shape[1] for design in self.designs), len(self.y)]


def dense(formula: str, seed: int, spread: tuple[float, ...], **space: Any) -> Dense:
    """40 records of 8 levels a term, with an effect for each of the spreads' rows."""
    rng = np.random.default_rng(seed)
    model = Model.from_formula(formula)
    whole = ParameterSpace.of(model, **space)
    records, designs, y = 40, [], rng.normal(size=40)
    at = 0
    for block in whole.blocks[:-1]:
        incidence = np.eye(8)[rng.integers(0, 8, records)]
        covariates = [np.ones(records), *(rng.normal(size=records) for _ in range(block.order - 1))]
        designs.append(tuple(covariate[:, None] * incidence for covariate in covariates))
        for design in designs[-1]:
            y = y + design @ rng.normal(size=8) * spread[at]
            at += 1
    fixed = np.column_stack([np.ones(records), rng.normal(size=records)])
    return Dense(y, fixed, tuple(designs), whole)


def start_of(case: Dense) -> np.ndarray:
    theta = np.zeros(case.space.size)
    for block in case.space.blocks:
        theta[block.slice] = np.eye(block.order)[block.elements]
    return strictly_feasible(case.space, theta)


def ai_rounds(case: Dense, theta: np.ndarray, rounds: int = 60) -> np.ndarray:
    """Steps halved until f falls."""
    interior = theta
    for _ in range(rounds):
        gradient = case.space.from_matrices(case.derivatives(theta))
        step = constrained_step(case.space, theta, gradient, case.information(theta), interior)
        value, share = case.value(step.at(0.0)), 1.0
        while case.value(step.at(share)) > value and share > 1e-4:
            share /= 2
        theta = step.at(share if share > 1e-4 else 0.0)
    return theta


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("formula", "spread", "space"),
    [
        ("y ~ x + (1 | a) + (1 | b)", (1.0, 0.0), {}),
        ("y ~ x + (1 + t | a)", (1.0, 0.1), {}),
        ("y ~ x + (1 + t + s | a)", (1.0, 0.7, 0.1), {}),
        ("y ~ x + (1 + t + s | a)", (1.0, 0.7, 0.5), {"structures": {"a": ReducedRank(1)}}),
        ("y ~ x + (1 + t + s | a)", (1.0, 0.7, 0.5), {"structures": {"a": ReducedRank(2)}}),
        ("y ~ x + (1 + t + s | a)", (1.0, 0.7, 0.0), {"structures": {"a": Diagonal()}}),
        ("y ~ x + (1 + t | a)", (1.0, 0.5), {"ties": [Tie("a[2,2]", "a[1,1]", 0.5)], "bounds": [Bound("a[2,1]", upper=-0.1)]}),
    ],
    ids=["scalars", "slopes", "three", "rank 1", "rank 2", "diagonal", "ties and bounds"],
)  # fmt: skip
def test_steps_end_at_the_maximum_that_brute_force_finds(
    formula: str, spread: tuple[float, ...], space: dict[str, Any], seed: int
) -> None:
    case = dense(formula, seed, spread, **space)
    found = ai_rounds(case, start_of(case))
    rng = np.random.default_rng(seed)
    best = min(brute_force(case, start) for start in [found, *(random_theta(case.space, rng) for _ in range(3))])
    assert case.value(found) <= best + 1e-7


def brute_force(case: Dense, start: np.ndarray) -> float:
    """The lowest f over roots of the matrices, bounds and ties by a penalty that is exact at a feasible point."""
    restrictions = case.space.restrictions
    sizes = [block.order * block.rank for block in case.space.blocks]

    def theta_of(z: np.ndarray) -> np.ndarray:
        theta = np.empty(case.space.size)
        for block, part in zip(case.space.blocks, np.split(z, np.cumsum(sizes)[:-1]), strict=True):
            root = part.reshape(block.order, block.rank) * block.mask[:, : block.rank]
            theta[block.slice] = (root @ root.T)[block.elements]
        return theta

    def failing(z: np.ndarray) -> np.ndarray:
        theta = theta_of(z)
        return np.asarray(theta - restrictions.offset - restrictions.basis @ theta[restrictions.roots])

    def slack(z: np.ndarray) -> np.ndarray:
        phi = theta_of(z)[restrictions.roots]
        both = np.concatenate([phi - restrictions.lower, restrictions.upper - phi])
        return both[np.isfinite(both)]

    roots = []
    for block in case.space.blocks:
        values, vectors = np.linalg.eigh(block.filled(start[block.slice]))
        roots.append((vectors * np.sqrt(np.maximum(values, 1e-3)))[:, -block.rank :].ravel())
    restricted = [{"type": "eq", "fun": failing}, {"type": "ineq", "fun": slack}] if case.space.ties else []
    method = {"method": "SLSQP", "constraints": restricted} if restricted else {"method": "BFGS"}
    found = minimize(lambda z: case.value(theta_of(z)), np.concatenate(roots), **method)
    feasible = not restricted or (np.abs(failing(found.x)).max() < 1e-6 and slack(found.x).min() > -1e-6)
    return float(found.fun) if feasible else np.inf


def test_a_step_of_reduced_rank_keeps_the_rank_on_its_way() -> None:
    case = dense("y ~ x + (1 + t + s | a)", 3, (1.0, 0.7, 0.5), structures={"a": ReducedRank(1)})
    theta = start_of(case)
    gradient = case.space.from_matrices(case.derivatives(theta))
    step = constrained_step(case.space, theta, gradient, case.information(theta), theta)
    for share in (0.0, 0.3, 1.0):
        values = np.linalg.eigvalsh(case.space.matrix(step.at(share), case.space.blocks[0]))
        assert np.abs(values[:2]).max() < 1e-14
    assert np.array_equal(step.at(1.0), step.theta1)


def test_a_matrix_without_variance_opens_again_at_its_rank() -> None:
    case = dense("y ~ x + (1 + t + s | a)", 3, (1.0, 0.7, 0.5), structures={"a": ReducedRank(1)})
    nothing = np.zeros(case.space.size)
    nothing[-1] = 1.0
    interior = start_of(case)
    gradient = case.space.from_matrices(case.derivatives(nothing))
    step = constrained_step(case.space, nothing, gradient, case.information(nothing), interior)
    assert case.value(step.at(0.1)) < case.value(nothing) - 0.01


# EM


def test_em_is_the_expected_covariance_of_the_effects() -> None:
    """The textbook's E-step, by the posterior of u."""
    case = dense("y ~ x + (1 + t | a)", 5, (1.0, 0.5))
    theta = np.array([0.8, 0.2, 0.5, 1.3])
    matrix, projection = case.space.matrix(theta, case.space.blocks[0]), case.projection(theta)
    flat = np.hstack(case.designs[0])
    prior = np.kron(matrix, np.eye(8))
    mean = prior @ flat.T @ projection @ case.y
    second = np.outer(mean, mean) + prior - prior @ flat.T @ projection @ flat @ prior
    expected = np.einsum("aibi->ab", second.reshape(2, 8, 2, 8)) / 8
    updated = em_update(case.space, theta, case.derivatives(theta), case.counts)
    assert np.allclose(case.space.matrix(updated, case.space.blocks[0]), expected, rtol=1e-10)
    residual = theta[-1] * projection @ case.y
    spread = theta[-1] * np.eye(40) - theta[-1] ** 2 * projection
    assert updated[-1] == pytest.approx((residual @ residual + np.trace(spread)) / 40, rel=1e-10)


CASES: list[tuple[str, tuple[float, ...], dict[str, Any]]] = [
    ("y ~ x + (1 | a) + (1 | b)", (1.0, 0.3), {}),
    ("y ~ x + (1 + t | a)", (1.0, 0.5), {}),
    ("y ~ x + (1 + t || a) + (1 | b)", (1.0, 0.2, 0.5), {}),
    ("y ~ x + (1 + t + s | a)", (1.0, 0.5, 0.2), {"structures": {"a": Diagonal()}}),
    ("y ~ x + (1 + t | a) + (1 | b)", (1.0, 0.5, 0.3), {"structures": {"b": FixedValue(0.3)}}),
    ("y ~ x + (1 + t + s | a)", (1.0, 0.7, 0.5), {"structures": {"a": ReducedRank(2)}}),
    ("y ~ x + (1 + t | a)", (1.0, 0.5), {"ties": [Tie("a[2,2]", "a[1,1]", 0.5)], "bounds": [Bound("a[2,1]", upper=-0.1)]}),
]  # fmt: skip
NAMES = ["scalars", "slopes", "uncorrelated", "diagonal", "fixed", "rank 2", "ties and bounds"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("px", [False, True], ids=["EM", "PX-EM"])
@pytest.mark.parametrize(("formula", "spread", "space"), CASES, ids=NAMES)
def test_the_likelihood_never_falls(
    formula: str, spread: tuple[float, ...], space: dict[str, Any], px: bool, seed: int
) -> None:
    case = dense(formula, seed, spread, **space)
    theta = start_of(case)
    first = before = case.value(theta)
    for _ in range(25):
        derivatives = case.derivatives(theta)
        theta = (
            px_em_update(case.space, theta, derivatives, case.counts, case.working(theta))
            if px
            else em_update(case.space, theta, derivatives, case.counts)
        )
        case.space.unpack(theta)
        after = case.value(theta)
        assert after <= before + 1e-9
        before = after
    assert before < first - 0.1


def test_em_leaves_what_is_fixed_and_the_rank() -> None:
    case = dense("y ~ x + (1 + t + s | a) + (1 | b)", 1, (1.0, 0.7, 0.5, 1.0), structures={"a": ReducedRank(2), "b": FixedValue(0.3)})  # fmt: skip
    theta = start_of(case)
    for updated in (
        em_update(case.space, theta, case.derivatives(theta), case.counts),
        px_em_update(case.space, theta, case.derivatives(theta), case.counts, case.working(theta)),
    ):
        assert updated[case.space.index_of("b")] == 0.3
        assert abs(np.linalg.eigvalsh(case.space.matrix(updated, case.space.blocks[0]))[0]) < 1e-13


def test_parameter_expansion_needs_fewer_rounds_for_a_small_variance() -> None:
    case = dense("y ~ x + (1 | a)", 3, (0.35,))
    best = case.value(ai_rounds(case, start_of(case)))
    rounds = []
    for px in (False, True):
        theta, count = start_of(case), 0
        while case.value(theta) > best + 1e-6 and count < 1000:
            derivatives = case.derivatives(theta)
            theta = (
                px_em_update(case.space, theta, derivatives, case.counts, case.working(theta))
                if px
                else em_update(case.space, theta, derivatives, case.counts)
            )
            count += 1
        rounds.append(count)
    assert rounds[1] < 0.5 * rounds[0] < 100


def test_complete_records_have_the_information_of_their_own_covariance() -> None:
    """EM's step is Newton's with it."""
    case = dense("y ~ x + (1 + t | a)", 5, (1.0, 0.5))
    theta = np.array([0.8, 0.2, 0.5, 1.3])
    information = complete_information(case.space, theta, case.counts)
    gradient = case.space.from_matrices(case.derivatives(theta))
    newton = theta - 0.5 * np.linalg.solve(information, gradient)
    assert np.allclose(newton, em_update(case.space, theta, case.derivatives(theta), case.counts), rtol=1e-6)


def test_em_alone_is_refused_for_reduced_rank() -> None:
    check_em(ParameterSpace.of(MODELS[3]))
    with pytest.raises(
        ModelError, match="the matrix of 'a' has reduced rank, and EM never changes which combinations have variance"
    ):
        check_em(ParameterSpace.of(MODELS[3], structures={"a": ReducedRank(1)}))
