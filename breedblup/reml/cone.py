"""A convex quadratic over half-spaces and cones of positive semi-definite matrices: primal-dual interior point.

Minimise c'x + x'Qx where Ax + b ≥ 0 and each G = mat(f + Fx) is positive semi-definite. Optimal is where the derivative c + 2Qx
is A'z + F'vec(Z), the multipliers z and Z are not negative, and z·slack and GZ + ZG are zero. Newton steps on these conditions,
with a barrier μ in the place of zero that falls to rounding (Alizadeh, Haeberly and Overton 1998; Mehrotra 1992): their equations
stay regular where matrices become singular, so that the last step, μ = 0, finds the face exactly. From a point off the central
path, damped Newton steps on the barrier function lead back to it (Nesterov and Nemirovskii 1994).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dgetrf, dgetrs

from breedblup.reml.symmetric import congruence_operator, product_operator, to_matrix, to_vector

FloatArray: TypeAlias = NDArray[np.float64]

MAX_ROUNDS = 60
_BARRIER_END = 1e-14  # of an objective and matrices whose size is 1: what rounding leaves
_TO_BOUNDARY = 0.98
_LEAST_START = 1e-4
_SHORT = 0.1  # a step shorter than this has left the central path too far
_REDUCTION = 0.2
_LONG, _RAISE = 8, 10.0
_CENTRED = 0.3  # in the metric of the barrier, where 1 is the distance to the boundary


@dataclass(frozen=True, slots=True, eq=False)
class MatrixCone:
    """Matrices mat(f + Fx) of order c, as vectors in which elements off the diagonal are multiplied by √2."""

    order: int
    constant: FloatArray
    linear: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ConeProgram:
    """Minimise c'x + x'Qx where rows · x + offsets ≥ 0 and the cones hold; sizes near 1 are wanted of all of it."""

    linear: FloatArray
    quadratic: FloatArray
    rows: FloatArray
    offsets: FloatArray
    cones: tuple[MatrixCone, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ConePoint:
    """x, the multipliers of the rows, and the matrix of each cone with its multiplier."""

    x: FloatArray
    of_rows: FloatArray
    matrices: tuple[FloatArray, ...]
    multipliers: tuple[FloatArray, ...]


def minimise_over_cones(program: ConeProgram, start: FloatArray) -> ConePoint:
    """The minimiser, from a start strictly inside; the best point that was reached where rounding ends the way."""
    state = _centred(_State.inside(program, start))
    for _ in range(MAX_ROUNDS):
        if state.barrier <= _BARRIER_END:
            break
        try:
            state = _predictor_corrector(state)
        except np.linalg.LinAlgError:
            break
    end = _polished(state)
    return ConePoint(end.x, end.multipliers, tuple(end.values), end.matrices)


@dataclass(frozen=True, eq=False)
class _State:
    """A point and its multipliers, or those that the central path would have there."""

    program: ConeProgram
    x: FloatArray
    multipliers: FloatArray
    matrices: tuple[FloatArray, ...]

    @classmethod
    def inside(cls, program: ConeProgram, start: FloatArray) -> _State:
        """Multipliers μ/slack and μG⁻¹, with a μ at which the way to the central path is short: that of the gradient's length."""
        blank = cls(program, start, np.zeros(len(program.offsets)), ())
        unit_barrier = blank.with_barrier(1.0)
        slope = blank.stationarity
        curved = unit_barrier.penalty_curvature(1.0) + 2 * program.quadratic
        pull = float(np.sqrt(max(float(slope @ np.linalg.solve(curved, slope)), 0.0)))
        return blank.with_barrier(max(pull, _LEAST_START))

    def penalty_curvature(self, barrier: float) -> FloatArray:
        """Second derivatives of -μ log det, where the multipliers are those of μ."""
        scaled = self.program.rows / self.slacks[:, None]
        curved: FloatArray = barrier * scaled.T @ scaled
        for cone, dual in zip(self.program.cones, self.matrices, strict=True):
            curved = curved + cone.linear.T @ congruence_operator(dual) @ cone.linear / barrier
        return curved

    def with_barrier(self, barrier: float) -> _State:
        """The same point with the multipliers that the central path would have there."""
        inverses = tuple(barrier * np.asarray(np.linalg.inv(value), dtype=np.float64) for value in self.values)
        return _State(self.program, self.x, barrier / self.slacks, inverses)

    @cached_property
    def slacks(self) -> FloatArray:
        return self.program.rows @ self.x + self.program.offsets

    @cached_property
    def values(self) -> list[FloatArray]:
        """The matrices of the cones."""
        return [to_matrix(cone.constant + cone.linear @ self.x, cone.order) for cone in self.program.cones]

    @cached_property
    def stationarity(self) -> FloatArray:
        """Gradient less what the multipliers hold."""
        rest = self.program.linear + 2 * self.program.quadratic @ self.x - self.program.rows.T @ self.multipliers
        for cone, multiplier in zip(self.program.cones, self.matrices, strict=False):
            rest = rest - cone.linear.T @ to_vector(multiplier)
        return rest

    @cached_property
    def barrier(self) -> float:
        """μ: mean product of slacks and multipliers, of eigenvalues for matrices."""
        size = len(self.slacks) + sum(cone.order for cone in self.program.cones)
        products = float(self.slacks @ self.multipliers)
        products += sum(float((a * b).sum()) for a, b in zip(self.values, self.matrices, strict=True))
        return products / max(size, 1)

    def moved(self, direction: _Direction, length: float) -> _State:
        """The state after a step."""
        matrices = tuple(a + length * b for a, b in zip(self.matrices, direction.matrices, strict=True))
        x, multipliers = self.x + length * direction.x, self.multipliers + length * direction.multipliers
        return _State(self.program, x, multipliers, matrices)


@dataclass(frozen=True, slots=True, eq=False)
class _Direction:
    x: FloatArray
    multipliers: FloatArray
    matrices: tuple[FloatArray, ...]


class _Newton:
    """The Newton equations of a state, factorised once for several right-hand sides."""

    def __init__(self, state: _State) -> None:
        program = state.program
        self.state = state
        parts = (len(state.x), len(state.slacks), *(len(cone.constant) for cone in program.cones))
        self.ends = np.cumsum(parts)
        n, q = self.ends[:2]
        system = np.zeros((self.ends[-1],) * 2)
        system[:n] = np.hstack([2 * program.quadratic, -program.rows.T, *(-cone.linear.T for cone in program.cones)])
        system[n:q, :n] = state.multipliers[:, None] * program.rows
        system[np.arange(n, q), np.arange(n, q)] = state.slacks
        for k, cone in enumerate(program.cones):
            own = slice(self.ends[k + 1], self.ends[k + 2])
            system[own, :n] = product_operator(state.matrices[k]) @ cone.linear
            system[own, own] = product_operator(state.values[k])
        factor, pivots, failed = dgetrf(system)
        if failed:
            raise np.linalg.LinAlgError("singular")
        self.factor = factor, pivots
        self.halves = [_half_inverse(matrix) for matrix in state.values]
        self.dual_halves = [_half_inverse(matrix) for matrix in state.matrices]

    def direction(self, barrier: float, before: _Direction | None) -> _Direction:
        """The direction towards slack · multiplier = μ; with the second-order terms of a direction found before."""
        state = self.state
        products = barrier - state.slacks * state.multipliers
        if before is not None:
            products = products - (state.program.rows @ before.x) * before.multipliers
        right = [-state.stationarity, products]
        for k, cone in enumerate(state.program.cones):
            target = barrier * np.eye(cone.order) - _jordan(state.values[k], state.matrices[k])
            if before is not None:
                target = target - _jordan(to_matrix(cone.linear @ before.x, cone.order), before.matrices[k])
            right.append(to_vector(target))
        found = np.split(dgetrs(*self.factor, np.concatenate(right))[0], self.ends)
        matrices = (to_matrix(part, cone.order) for part, cone in zip(found[2:-1], state.program.cones, strict=True))
        return _Direction(found[0], found[1], tuple(matrices))

    def length(self, direction: _Direction) -> float:
        """How far all slacks and multipliers stay positive, at most 1 / _TO_BOUNDARY."""
        reach = [_reach(self.state.slacks, self.state.program.rows @ direction.x)]
        reach.append(_reach(self.state.multipliers, direction.multipliers))
        for k, cone in enumerate(self.state.program.cones):
            reach.append(_matrix_reach(self.halves[k], to_matrix(cone.linear @ direction.x, cone.order)))
            reach.append(_matrix_reach(self.dual_halves[k], direction.matrices[k]))
        return min(1 / _TO_BOUNDARY, *reach)


def _predictor_corrector(state: _State) -> _State:
    """One round of Mehrotra's; from the central path anew where that has no step."""
    newton = _Newton(state)
    ahead = newton.direction(0.0, None)
    barrier = state.barrier
    after = max(state.moved(ahead, min(1.0, newton.length(ahead))).barrier, 0.0)
    chosen = newton.direction(min(1.0, (after / barrier) ** 3) * barrier, ahead)
    length = _TO_BOUNDARY * newton.length(chosen)
    if length >= _SHORT:
        return state.moved(chosen, length)
    return _centred(state.with_barrier(_REDUCTION * barrier))


def _centred(state: _State) -> _State:
    """Near the point of the central path with the barrier of a state that has its multipliers: Newton on m - μ log det.

    Such steps always lead there; where the way is long, to a point with a larger barrier. The multipliers that the last one
    gives meet stationarity exactly.
    """
    barrier, rows = state.barrier, state.program.rows
    for count in range(1, MAX_ROUNDS + 1):
        slope = state.stationarity
        hessian = 2 * state.program.quadratic + state.penalty_curvature(barrier)
        x = np.asarray(np.linalg.solve(hessian, -slope), dtype=np.float64)
        decrement = np.sqrt(max(float(-slope @ x), 0.0) / barrier)
        steps = [to_matrix(cone.linear @ x, cone.order) for cone in state.program.cones]
        changes = (-dual @ step @ dual / barrier for dual, step in zip(state.matrices, steps, strict=True))
        direction = _Direction(x, -(state.multipliers**2) * (rows @ x) / barrier, tuple(changes))
        if decrement <= _CENTRED:
            return state.moved(direction, 1.0)
        reach = _reach(state.slacks, rows @ x)
        reach = min(
            reach, *(_matrix_reach(_half_inverse(a), b) for a, b in zip(state.values, steps, strict=True)), np.inf
        )
        state = _lowered(state, direction, min(1.0, _TO_BOUNDARY * reach), decrement, barrier)
        if count % _LONG == 0:
            barrier *= _RAISE
            state = state.with_barrier(barrier)
    return state


def _lowered(state: _State, direction: _Direction, length: float, decrement: float, barrier: float) -> _State:
    """The longest step, halved and halved again, that lowers m - μ log det; 1 / (1 + decrement) always does."""
    before, sure = _penalised(state, barrier), 1 / (1 + decrement)
    while length > sure:
        moved = state.moved(direction, length)
        if _penalised(moved, barrier) <= before - 0.1 * length * barrier * decrement**2:
            return moved.with_barrier(barrier)
        length /= 2
    return state.moved(direction, min(length, sure)).with_barrier(barrier)


def _penalised(state: _State, barrier: float) -> float:
    """m - μ (Σ log slack + Σ log det G)."""
    logs = float(np.log(state.slacks).sum()) + sum(float(np.linalg.slogdet(value)[1]) for value in state.values)
    program = state.program
    return float(program.linear @ state.x + state.x @ program.quadratic @ state.x) - barrier * logs


def _polished(state: _State) -> _State:
    """A full step to μ = 0, where it brings the state nearer to it."""
    try:
        moved = state.moved(_Newton(state).direction(0.0, None), 1.0)
    except np.linalg.LinAlgError:
        return state
    return moved if _distance(moved) < _distance(state) else state


def _distance(state: _State) -> float:
    """By how much the optimality conditions fail."""
    parts = [state.stationarity, state.slacks * state.multipliers]
    parts += [_jordan(a, b).ravel() for a, b in zip(state.values, state.matrices, strict=True)]
    return float(np.linalg.norm(np.concatenate(parts)))


def _jordan(a: FloatArray, b: FloatArray) -> FloatArray:
    half = a @ b
    return (half + half.T) / 2


def _reach(values: FloatArray, steps: FloatArray) -> float:
    falling = steps < 0
    return float(np.min(values[falling] / -steps[falling], initial=np.inf))


def _half_inverse(matrix: FloatArray) -> FloatArray:
    """The inverse of the Cholesky factor."""
    return np.asarray(np.linalg.inv(np.linalg.cholesky(matrix)), dtype=np.float64)


def _matrix_reach(half_inverse: FloatArray, step: FloatArray) -> float:
    smallest = float(np.linalg.eigvalsh(half_inverse @ step @ half_inverse.T)[0])
    return -1 / smallest if smallest < 0 else np.inf
