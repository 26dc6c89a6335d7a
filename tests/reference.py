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
