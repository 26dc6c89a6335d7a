"""Slow, obvious twins of what the package does fast: dense, by definition, a loop at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# --- pedigree ---------------------------------------------------------------------------------------------------------


def tabular_a(sire: Sequence[int], dam: Sequence[int]) -> Array:
    """A by the tabular method (Emik & Terrill 1949); parents before offspring, -1 unknown."""
    n = len(sire)
    a = np.zeros((n, n))
    for i in range(n):
        for parent in (sire[i], dam[i]):
            if parent >= 0:
                a[i, :i] += 0.5 * a[parent, :i]
        a[:i, i] = a[i, :i]
        both = sire[i] >= 0 and dam[i] >= 0
        a[i, i] = 1.0 + (0.5 * a[sire[i], dam[i]] if both else 0.0)
    return a


def a_ignoring_inbreeding(sire: Sequence[int], dam: Sequence[int]) -> Array:
    """T D T' with D of 1, ¾ and ½ by the number of known parents."""
    n = len(sire)
    t_inverse = np.eye(n)
    d = np.zeros(n)
    for i in range(n):
        known = [parent for parent in (sire[i], dam[i]) if parent >= 0]
        for parent in known:
            t_inverse[i, parent] -= 0.5
        d[i] = 1.0 - 0.25 * len(known)
    t = np.linalg.inv(t_inverse)
    return t @ np.diag(d) @ t.T


def random_pedigree(
    rng: np.random.Generator, n: int, span: int = 10_000
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Parents among the last ``span`` animals, selfing included, some unknown."""
    sire = np.array([rng.integers(max(-1, i - span), i) if i else -1 for i in range(n)], dtype=np.int32)
    dam = np.array([rng.integers(max(-1, i - span), i) if i else -1 for i in range(n)], dtype=np.int32)
    sire[rng.random(n) < 0.1] = -1
    dam[rng.random(n) < 0.1] = -1
    return sire, dam


# --- BLUP without mixed model equations -------------------------------------------------------------------------------


def blup_by_v(
    y: Array, x: Array, effects: Mapping[str, tuple[Array, Array]], residual: Array
) -> tuple[Array, dict[str, Array], dict[str, Array]]:
    """b by generalised least squares, û = G Z'V⁻¹(y - Xb), PEV by its definition; X of full column rank.

    ``effects`` holds Z and the covariance matrix G of each random term, ``residual`` is R.
    """
    v = residual + sum((z @ g @ z.T for z, g in effects.values()), np.zeros_like(residual))
    v_inverse = np.linalg.inv(v)
    xvx_inverse = np.linalg.inv(x.T @ v_inverse @ x) if x.shape[1] else np.zeros((0, 0))
    b = xvx_inverse @ x.T @ v_inverse @ y
    p = v_inverse - v_inverse @ x @ xvx_inverse @ x.T @ v_inverse
    solutions = {name: g @ z.T @ p @ y for name, (z, g) in effects.items()}
    pev = {name: np.diag(g - g @ z.T @ p @ z @ g) for name, (z, g) in effects.items()}
    return b, solutions, pev


def indicator(values: Sequence[Any]) -> tuple[Array, list[Any]]:
    """One column for each level, in sorted order."""
    levels = sorted(set(values))
    return np.array([[float(value == level) for level in levels] for value in values]), levels


def full_rank_columns(x: Array) -> Array:
    """Columns of X that span it, the earliest of them (pivoted by hand, one column at a time)."""
    kept: list[int] = []
    for j in range(x.shape[1]):
        if np.linalg.matrix_rank(x[:, [*kept, j]]) > len(kept):
            kept.append(j)
    return x[:, kept]


def positive_definite(rng: np.random.Generator, n: int) -> Array:
    """A random covariance matrix."""
    root = rng.standard_normal((n, n + 2))
    return root @ root.T / n + 0.1 * np.eye(n)


# --- simulation -------------------------------------------------------------------------------------------------------


def dropped_values(sire: Sequence[int], dam: Sequence[int], inbreeding: Sequence[float], deviates: Array) -> Array:
    """u = (I − P)⁻¹ D^½ z: row i of P holds ½ at the known parents; D is 1 less ¼(1 + F) for each of them."""
    n = len(sire)
    p = np.zeros((n, n))
    d = np.ones(n)
    for i in range(n):
        for parent in (sire[i], dam[i]):
            if parent >= 0:
                p[i, parent] += 0.5
                d[i] -= 0.25 * (1.0 + inbreeding[parent])
    return np.asarray(np.linalg.solve(np.eye(n) - p, np.sqrt(d)[:, None] * deviates), dtype=np.float64)


# --- solvers ----------------------------------------------------------------------------------------------------------


def eliminated_counts(matrix: Array, order: Sequence[int]) -> list[int]:
    """Non-zeros of each column of L: cross out one equation after the other and join its neighbours."""
    filled = matrix[np.ix_(order, order)] != 0
    counts = []
    for k in range(len(order)):
        below = [i for i in range(k + 1, len(order)) if filled[i, k]]
        counts.append(1 + len(below))
        for i in below:
            for j in below:
                filled[i, j] = True
    return counts


def first_bad_pivot(matrix: Array, order: Sequence[int]) -> int | None:
    """The first equation in this order whose pivot is not positive."""
    left = matrix.copy()
    for k in order:
        if left[k, k] <= 0:
            return int(k)
        left = left - np.outer(left[:, k], left[k]) / left[k, k]
    return None


def ldl_with_dropped(matrix: Array, order: Sequence[int], tolerance: float) -> tuple[list[int], Array]:
    """Columns that depend on those before them, and all pivots in the original order: what is left after those kept."""
    left = matrix.copy()
    dropped = []
    pivots = np.zeros(len(order))
    for k in order:
        pivots[k] = left[k, k]
        if left[k, k] <= tolerance * matrix[k, k]:
            dropped.append(int(k))
            pivots[k] = 0.0
        else:
            left = left - np.outer(left[:, k], left[k]) / left[k, k]
    return sorted(dropped), pivots


def conjugate_gradients(matrix: Array, rhs: Array, inverse: Array, rounds: int) -> list[Array]:
    """Iterates of the textbook algorithm from zero; ``inverse`` is the preconditioner M⁻¹."""
    x, r = np.zeros_like(rhs), rhs.copy()
    p = inverse @ r
    iterates = []
    for _ in range(rounds):
        rho = r @ inverse @ r
        alpha = rho / (p @ matrix @ p)
        x, r = x + alpha * p, r - alpha * (matrix @ p)
        p = inverse @ r + (r @ inverse @ r) / rho * p
        iterates.append(x)
    return iterates


def smallest_ritz_value(matrix: Array, rhs: Array, inverse: Array, rounds: int) -> float:
    """Smallest eigenvalue of M⁻¹A on the Krylov space of so many rounds, by an orthonormal basis of it."""
    root = np.linalg.cholesky(inverse)
    scaled = root.T @ matrix @ root
    basis = np.zeros((rhs.size, 0))
    vector = root.T @ rhs
    for _ in range(rounds):
        for _ in range(2):
            vector = vector - basis @ (basis.T @ vector)
        basis = np.column_stack([basis, vector / np.linalg.norm(vector)])
        vector = scaled @ basis[:, -1]
    return float(np.linalg.eigvalsh(basis.T @ scaled @ basis)[0])
