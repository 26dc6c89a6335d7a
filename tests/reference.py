"""Slow, obvious twins of what the package does fast: dense, by definition, a loop at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


# --- BLUP of any model, by V⁻¹ ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DenseTerm:
    """var(u) = G₀ ⊗ K, the levels of one coordinate together; each coordinate has a trait and its n x levels loads."""

    k: Array
    g0: Array
    loads: Sequence[tuple[int, Array]]


@dataclass(frozen=True)
class DenseBlup:
    """``fitted`` is Xb of every record and trait; ``error`` is var(u - û) of all terms, ``places`` where each stands."""

    fitted: Array
    rank: int
    solutions: dict[str, Array]
    error: Array
    places: dict[str, slice]

    def pev(self, name: str) -> Array:
        """Prediction error (co)variances among the coordinates of each level, levels x c x c."""
        own = self.error[self.places[name], self.places[name]]
        levels, c = self.solutions[name].shape
        blocks = np.zeros((levels, c, c))
        for level in range(levels):
            for i in range(c):
                for j in range(c):
                    blocks[level, i, j] = own[i * levels + level, j * levels + level]
        return blocks


def blup_dense(y: Array, x: Sequence[Array], terms: Mapping[str, DenseTerm], residual: Sequence[Array]) -> DenseBlup:
    """b by generalised least squares, û = GZ'V⁻¹(y - Xb), var(u - û) = G - GZ'PZG, over the observed records.

    ``y`` is n x traits with NaN for what is missing, ``x`` the fixed columns of each trait (n x pₜ, of any rank),
    ``residual`` the covariance matrix of the traits of each record.
    """
    n, traits = y.shape
    observed = [(i, t) for i in range(n) for t in range(traits) if not np.isnan(y[i, t])]
    everywhere = np.zeros((n, traits, sum(part.shape[1] for part in x)))
    start = 0
    for t, part in enumerate(x):
        everywhere[:, t, start : start + part.shape[1]] = part
        start += part.shape[1]
    design = np.array([everywhere[i, t] for i, t in observed])
    spanning = full_rank_columns(design)
    z, g, places = _dense_random(observed, terms)
    r = np.array([[residual[i][t, s] if i == j else 0.0 for j, s in observed] for i, t in observed])
    v_inverse = np.linalg.inv(z @ g @ z.T + r)
    values = np.array([y[i, t] for i, t in observed])
    information = spanning.T @ v_inverse @ spanning
    b = np.linalg.solve(information, spanning.T @ v_inverse @ values)
    p = v_inverse - v_inverse @ spanning @ np.linalg.solve(information, spanning.T @ v_inverse)
    u = g @ z.T @ p @ values
    solutions = {name: u[place].reshape(len(terms[name].g0), -1).T for name, place in places.items()}
    fitted = np.full((n, traits), np.nan)
    for (i, t), value in zip(observed, spanning @ b, strict=True):
        fitted[i, t] = value
    return DenseBlup(fitted, spanning.shape[1], solutions, g - g @ z.T @ p @ z @ g, places)


def _dense_random(
    observed: Sequence[tuple[int, int]], terms: Mapping[str, DenseTerm]
) -> tuple[Array, Array, dict[str, slice]]:
    """Z and G of all random terms, one after the other, and where each stands."""
    size = sum(len(term.g0) * len(term.k) for term in terms.values())
    z, g = np.zeros((len(observed), size)), np.zeros((size, size))
    places = {}
    start = 0
    for name, term in terms.items():
        levels = len(term.k)
        places[name] = slice(start, start + len(term.g0) * levels)
        g[places[name], places[name]] = np.kron(term.g0, term.k)
        for c, (trait, load) in enumerate(term.loads):
            for row, (i, t) in enumerate(observed):
                if t == trait:
                    z[row, start + c * levels : start + (c + 1) * levels] = load[i]
        start = places[name].stop
    return z, g, places


def loads_of(values: Sequence[Any], levels: Sequence[Any], factors: Sequence[float] | None = None) -> Array:
    """One column a level: the factor (1) where a record has it; a missing level has none."""
    load = np.zeros((len(values), len(levels)))
    for i, value in enumerate(values):
        if value is not None:
            load[i, list(levels).index(value)] = 1.0 if factors is None else factors[i]
    return load


def legendre_by_recursion(t: Sequence[float], degree: int, lower: float, upper: float) -> Array:
    """√((2k + 1)/2) Pₖ(x) with (k + 1) Pₖ₊₁ = (2k + 1) x Pₖ - k Pₖ₋₁ (Bonnet), a value at a time."""
    rows = []
    for value in t:
        x = 2.0 * (value - lower) / (upper - lower) - 1.0
        p = [1.0, x]
        for k in range(1, degree):
            p.append(((2 * k + 1) * x * p[k] - k * p[k - 1]) / (k + 1))
        rows.append([np.sqrt((2 * k + 1) / 2) * p[k] for k in range(degree + 1)])
    return np.array(rows)


def bspline_by_recursion(t: Sequence[float], degree: int, inner: Sequence[float], lower: float, upper: float) -> Array:
    """B-splines by the recursion of Cox and de Boor, end knots repeated; the last interval holds its upper end."""
    knots = [lower] * (degree + 1) + list(inner) + [upper] * (degree + 1)
    last = len(knots) - degree - 2

    def value(i: int, k: int, at: float) -> float:
        if k == 0:
            return float(knots[i] <= at < knots[i + 1] or (i == last and at == upper))
        left, right = knots[i + k] - knots[i], knots[i + k + 1] - knots[i + 1]
        rising = (at - knots[i]) / left * value(i, k - 1, at) if left > 0 else 0.0
        falling = (knots[i + k + 1] - at) / right * value(i + 1, k - 1, at) if right > 0 else 0.0
        return rising + falling

    return np.array([[value(i, degree, at) for i in range(degree + 1 + len(inner))] for at in t])


# --- relationships of sires and maternal grandsires, dominance ---------------------------------------------------------


def tabular_sire_mgs(sire: Sequence[int], grandsire: Sequence[int]) -> Array:
    """K by the tabular method with ½ of the sire and ¼ of the maternal grandsire; 1 + ¼ k(sire, grandsire) on the diagonal."""
    n = len(sire)
    k = np.zeros((n, n))
    for i in range(n):
        for ancestor, share in ((sire[i], 0.5), (grandsire[i], 0.25)):
            if ancestor >= 0:
                k[i, :i] += share * k[ancestor, :i]
        k[:i, i] = k[i, :i]
        both = sire[i] >= 0 and grandsire[i] >= 0
        k[i, i] = 1.0 + (0.25 * k[sire[i], grandsire[i]] if both else 0.0)
    return k


def sire_mgs_ignoring_inbreeding(sire: Sequence[int], grandsire: Sequence[int]) -> Array:
    """T D T' with D of 11/16 (both known), ¾ (sire), 15/16 (grandsire) and 1."""
    n = len(sire)
    t_inverse = np.eye(n)
    d = np.zeros(n)
    for i in range(n):
        known = (sire[i] >= 0, grandsire[i] >= 0)
        d[i] = {(True, True): 11 / 16, (True, False): 3 / 4, (False, True): 15 / 16, (False, False): 1.0}[known]
        if known[0]:
            t_inverse[i, sire[i]] -= 0.5
        if known[1]:
            t_inverse[i, grandsire[i]] -= 0.25
    t = np.linalg.inv(t_inverse)
    return np.asarray(t @ np.diag(d) @ t.T)


def dominance_by_definition(sire: Sequence[int], dam: Sequence[int]) -> Array:
    """D, two animals at a time, from a tabular A (Cockerham 1954)."""
    a = tabular_a(sire, dam)
    n = len(sire)
    d = np.eye(n)
    for i in range(n):
        for j in range(n):
            if i != j and min(sire[i], dam[i], sire[j], dam[j]) >= 0:
                straight = a[sire[i], sire[j]] * a[dam[i], dam[j]]
                crossed = a[sire[i], dam[j]] * a[dam[i], sire[j]]
                d[i, j] = 0.25 * (straight + crossed)
    return d
