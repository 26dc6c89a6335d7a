"""Slow, obvious twins of what the package does fast: dense, by definition, a loop at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import factorial
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


def group_shares_by_recursion(
    sire: Sequence[int], dam: Sequence[int], sire_class: Sequence[int], dam_class: Sequence[int], shares: Array
) -> Array:
    """Q: what each animal owes to each group, half of what its parents owe; unknown parents have the shares of their class."""
    q = np.zeros((len(sire), shares.shape[1]))
    for i in range(len(sire)):
        for parent, own in ((sire[i], sire_class[i]), (dam[i], dam_class[i])):
            q[i] += 0.5 * (q[parent] if parent >= 0 else shares[own])
    return q


def inbreeding_by_contemporaries(
    sire: Sequence[int], dam: Sequence[int], years: Sequence[int], mean: Mapping[int, float]
) -> Array:
    """F where an unknown parent of an animal of year t is related to every older animal by 2 mean[t] (VanRaden 1992)."""
    n = len(sire)
    a = np.zeros((n, n))
    for i in range(n):
        with_unknown = 2.0 * mean[years[i]]

        def with_parent(parent: int, other: int, unknown: float = with_unknown) -> float:
            return a[parent, other] if parent >= 0 else unknown

        for j in range(i):
            a[i, j] = a[j, i] = 0.5 * (with_parent(sire[i], j) + with_parent(dam[i], j))
        parents = a[sire[i], dam[i]] if sire[i] >= 0 and dam[i] >= 0 else with_unknown
        a[i, i] = 1.0 + 0.5 * parents
    return np.diag(a) - 1.0


# --- inbreeding by ancestors ------------------------------------------------------------------------------------------


def partial_kinship(sire: Sequence[int], dam: Sequence[int], ancestor: int) -> Array:
    """Kinship by alleles of one ancestor, taken as a founder: ½ with itself, 0 of all that do not descend from it.

    The tabular method with ½ replaced by the kinship with the ancestor (Lacy, Alaks & Walsh 1996); an animal without a parent
    owes it nothing by that parent. Parents before offspring.
    """
    n = len(sire)
    kinship = np.zeros((n, n))
    kinship[ancestor, ancestor] = 0.5
    for i in range(ancestor + 1, n):
        for parent in (sire[i], dam[i]):
            if parent >= 0:
                kinship[i, :i] += 0.5 * kinship[parent, :i]
        kinship[:i, i] = kinship[i, :i]
        both = sire[i] >= 0 and dam[i] >= 0
        kinship[i, i] = kinship[ancestor, i] + (0.5 * kinship[sire[i], dam[i]] if both else 0.0)
    return kinship


def autozygosity_by_enumeration(sire: Sequence[int], dam: Sequence[int], animal: int) -> dict[tuple[int, int], float]:
    """Probability that both alleles of an animal are copies of one allele, by (owner, role) of its first bearer's parent.

    Every one of the equally likely ways in which the alleles of all animals can be handed down is gone through. An allele that
    came from an unknown parent is labelled (offspring, role), role 0 for sire and 1 for dam; those of a founder (founder, -1).
    """
    handed = [(i, role) for i in range(len(sire)) for role in (0, 1) if (sire[i], dam[i])[role] >= 0]
    found: dict[tuple[int, int], float] = {}
    for choice in range(2 ** len(handed)):
        taken = {link: choice >> k & 1 for k, link in enumerate(handed)}
        alleles: list[tuple[tuple[int, int, int], ...]] = []
        for i in range(len(sire)):
            own = []
            for role in (0, 1):
                parent = (sire[i], dam[i])[role]
                if parent >= 0:
                    own.append(alleles[parent][taken[i, role]])
                elif sire[i] < 0 and dam[i] < 0:
                    own.append((i, -1, role))
                else:
                    own.append((i, role, 0))
            alleles.append(tuple(own))
        first, second = alleles[animal]
        if first == second:
            found[first[:2]] = found.get(first[:2], 0.0) + 0.5 ** len(handed)
    return found


# --- description of a pedigree ----------------------------------------------------------------------------------------


def ancestors_by_generation(animal: int, sire: Sequence[int], dam: Sequence[int], depth: int) -> list[list[int]]:
    """The 2^g ancestors of each generation g = 0, …, depth, sire's side first, -1 unknown; many stand several times."""
    generations = [[animal]]
    for _ in range(depth):
        last = generations[-1]
        generations.append([parent[j] if j >= 0 else -1 for j in last for parent in (sire, dam)])
    return generations


def contributions_to(members: Sequence[int], sire: Sequence[int], dam: Sequence[int]) -> Array:
    """Mean of the rows of (I - P)⁻¹ of some animals, row i of P holding ½ at each known parent."""
    n = len(sire)
    p = np.zeros((n, n))
    for i in range(n):
        for parent in (sire[i], dam[i]):
            if parent >= 0:
                p[i, parent] += 0.5
    return np.asarray(np.linalg.inv(np.eye(n) - p)[list(members)].mean(axis=0), dtype=np.float64)


def chosen_ancestors(members: Sequence[int], sire: Sequence[int], dam: Sequence[int]) -> tuple[list[int], list[float]]:
    """Ancestors and marginal contributions as Boichard, Maignel & Verrier (1997) find them: all anew after each choice."""
    n = len(sire)
    cut_sire, cut_dam = list(sire), list(dam)
    chosen: list[int] = []
    marginal: list[float] = []
    while True:
        contribution = contributions_to(members, cut_sire, cut_dam)
        explained = np.zeros(n)
        for i in range(n):
            parents = [explained[p] for p in (cut_sire[i], cut_dam[i]) if p >= 0]
            explained[i] = 1.0 if i in chosen else 0.5 * sum(parents)
        left = contribution * (1.0 - explained)
        best = int(np.argmax(np.round(left, 13)))  # of equal ones the first
        if left[best] < 1e-12:
            return chosen, marginal
        chosen.append(best)
        marginal.append(float(left[best]))
        cut_sire[best] = cut_dam[best] = -1


# --- order of equations -----------------------------------------------------------------------------------------------


def parts_without_long_rows(dense: Array, leading: int, longest: int) -> list[set[int]]:
    """Sets of equations that are coupled, directly or by others, when the leading and the long rows are taken out."""
    short = {i for i in range(leading, len(dense)) if np.count_nonzero(dense[i]) <= longest}
    parts: list[set[int]] = []
    while short:
        part = {min(short)}
        while grown := {j for i in part for j in np.flatnonzero(dense[i]).tolist() if j in short} - part:
            part |= grown
        short -= part
        parts.append(part)
    return parts


# --- reading a pedigree -----------------------------------------------------------------------------------------------


def code_by_dict(
    rows: Sequence[tuple[str, str | None, str | None]], missing: Sequence[str] = ("", "0", "NA", ".")
) -> tuple[list[str], list[int], list[int], list[int]]:
    """Ids parents first, sires, dams, and where the animals of the rows stand, then parents without a row, sires before dams.

    The first row of an animal counts. An animal stands as early as its place in the rows and its ancestors let it.
    """
    first: dict[str, tuple[str | None, str | None]] = {}
    for id, *parents in rows:
        if id not in first:
            sire, dam = (None if parent is None or parent in missing else parent for parent in parents)
            first[id] = (sire, dam)
    listed = list(first)
    for role in (0, 1):
        for id in list(first):
            parent = first[id][role]
            if parent is not None and parent not in first and parent not in listed:
                listed.append(parent)
    order: list[str] = []

    def put(id: str) -> None:
        for parent in first.get(id, (None, None)):
            if parent is not None and parent not in order:
                put(parent)
        if id not in order:
            order.append(id)

    for id in listed:
        put(id)
    place = {id: k for k, id in enumerate(order)} | {None: -1}
    sires, dams = ([place[first.get(id, (None, None))[role]] for id in order] for role in (0, 1))
    return order, sires, dams, [place[id] for id in listed]


def selected_inverse_by_entries(dense: Array) -> Array:
    """A⁻¹ where L of A = LL' may be other than zero, and the mirror image, entry by entry (Takahashi, Fagan & Chin 1973)."""
    n = len(dense)
    lower, filled, inverse = np.linalg.cholesky(dense), dense != 0.0, np.zeros((n, n))
    for j in range(n):
        filled[j + 1 :, j + 1 :] |= np.outer(filled[j + 1 :, j], filled[j + 1 :, j])
    for j in range(n - 1, -1, -1):
        below = [k for k in range(j + 1, n) if filled[k, j]]
        for i in [*below[::-1], j]:
            total = sum(lower[k, j] * inverse[i, k] for k in below)
            own = 1.0 / lower[j, j] if i == j else 0.0
            inverse[i, j] = inverse[j, i] = (own - total) / lower[j, j]
    return inverse


# --- the numerator relationship matrix from animals and classes of unknown parents --------------------------------------


def added_by_animals(sire: Sequence[int], dam: Sequence[int], variance: Sequence[float], classes: int) -> Array:
    """Sum over animals of q q'/D, q = 1 at the animal, -½ at its parents, classes behind the animals (Quaas 1988)."""
    n = len(sire)
    total = np.zeros((n + classes, n + classes))
    for i in range(n):
        q = [(i, 1.0), *((parent, -0.5) for parent in (sire[i], dam[i]) if parent >= 0)]
        for row, of_row in q:
            for column, of_column in q:
                total[row, column] += of_row * of_column / variance[i]
    return total


def trace_to_parents(sire: Sequence[int], dam: Sequence[int], classes: int) -> Array:
    """T: the share of each gene pool, animal or class, in each animal; classes are of themselves."""
    n = len(sire)
    trace = np.eye(n + classes)
    for i in range(n):
        for parent in (sire[i], dam[i]):
            if parent >= 0:
                trace[i] += 0.5 * trace[parent]
    return trace


# --- unknown parents in classes ---------------------------------------------------------------------------------------


def tabular_a_with_classes(sire: Sequence[int], dam: Sequence[int], base: Array) -> Array:
    """Animals, then classes: the tabular method with an unknown parent of class k at n + k; -1 is related to nobody."""
    n = len(sire)
    a = np.zeros((n + len(base), n + len(base)))
    a[n:, n:] = base
    for i in range(n):
        parents = [parent for parent in (sire[i], dam[i]) if parent >= 0]
        row = sum((0.5 * a[parent] for parent in parents), np.zeros(len(a)))
        a[i], a[:, i] = row, row
        a[i, i] = 1.0 + (0.5 * a[sire[i], dam[i]] if len(parents) == 2 else 0.0)
    return a


# --- assembly ---------------------------------------------------------------------------------------------------------


def dense_equations(
    design: Any, layout: Any, residual: Any, covariances: Sequence[Array], dropped: Sequence[int]
) -> tuple[Array, Array]:
    """W'R⁻¹W + G₀⁻¹ ⊗ K⁻¹ and W'R⁻¹y, a record at a time; ``residual(i)`` is the covariance of all traits of record i."""
    lhs, rhs = np.zeros((layout.size, layout.size)), np.zeros(layout.size)
    for i, y in enumerate(design.y):
        has = np.flatnonzero(~np.isnan(y))
        w = np.zeros((y.size, layout.size))
        for k, term in enumerate(layout.terms):
            for link in term.links:
                for entry in link.entries if link.codes[i] >= 0 else ():
                    e = layout.starts[k] + link.codes[i] * layout.width(k) + entry.coordinate
                    w[entry.trait, e] += entry.scale * (1.0 if entry.column < 0 else term.values[i, entry.column])
        inverse = np.linalg.inv(residual(i)[np.ix_(has, has)])
        lhs += w[has].T @ inverse @ w[has]
        rhs += w[has].T @ inverse @ y[has]
    for k, term in enumerate(layout.terms):
        own = slice(layout.starts[k], layout.starts[k + 1])
        inverse = np.eye(len(term.levels)) if term.relationship is None else term.relationship.matrix.toarray()
        if term.kind == "random":
            lhs[own, own] += np.kron(inverse, np.linalg.inv(covariances[k]))
    lhs[dropped], lhs[:, dropped], rhs[dropped] = 0.0, 0.0, 0.0
    lhs[dropped, dropped] = 1.0
    return lhs, rhs


# --- likelihood of variances ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DenseLikelihood:
    """-2 log L without its constant, V = Σ θᵢ Vᵢ: log|V| + log|X'V⁻¹X| + y'Py (Harville 1977), the second of REML only.

    ``x`` are the columns of X that are kept, ``parts`` the Vᵢ in the order of the parameters.
    """

    y: Array
    x: Array
    parts: Sequence[Array]
    restricted: bool = True

    def variance(self, theta: Sequence[float]) -> Array:
        """V."""
        return sum((value * part for value, part in zip(theta, self.parts, strict=True)), np.zeros_like(self.parts[0]))

    def projection(self, theta: Sequence[float]) -> tuple[Array, Array]:
        """V⁻¹ and P."""
        inverse = np.linalg.inv(self.variance(theta))
        if not self.x.shape[1]:
            return inverse, inverse
        vx = inverse @ self.x
        return inverse, inverse - vx @ np.linalg.solve(self.x.T @ vx, vx.T)

    def minus2_log_l(self, theta: Sequence[float]) -> float:
        """The function that is minimised; infinite where V is no covariance matrix."""
        v = self.variance(theta)
        try:
            np.linalg.cholesky(v)
        except np.linalg.LinAlgError:
            return np.inf
        inverse, p = self.projection(theta)
        value = np.linalg.slogdet(v)[1] + self.y @ p @ self.y
        if self.restricted and self.x.shape[1]:
            value += np.linalg.slogdet(self.x.T @ inverse @ self.x)[1]
        return float(value)

    def gradient(self, theta: Sequence[float]) -> Array:
        """tr(PVᵢ) - y'PVᵢPy; of ML tr(V⁻¹Vᵢ) stands for the trace."""
        inverse, p = self.projection(theta)
        py = p @ self.y
        of_trace = p if self.restricted else inverse
        return np.array([np.sum(of_trace * part) - py @ part @ py for part in self.parts])

    def differences(self, theta: Sequence[float], steps: Sequence[float]) -> Array:
        """The gradient by central differences of the fourth order."""
        return central_differences(self.minus2_log_l, theta, steps)

    def information(self, theta: Sequence[float], kind: str) -> Array:
        """½ y'PVᵢPVⱼPy (average), ½ tr(PVᵢPVⱼ) (expected), or twice the first less the second (observed)."""
        inverse, p = self.projection(theta)
        of_trace = p if self.restricted else inverse
        work = [part @ p @ self.y for part in self.parts]
        average = 0.5 * np.array([[a @ p @ b for b in work] for a in work])
        products = [of_trace @ part for part in self.parts]
        expected = 0.5 * np.array([[np.sum(a * b.T) for b in products] for a in products])
        return {"average": average, "expected": expected, "observed": 2.0 * average - expected}[kind]


def central_differences(function: Callable[[Array], float], at: Sequence[float], steps: Sequence[float]) -> Array:
    """(8 (f₊₁ - f₋₁) - (f₊₂ - f₋₂)) / 12 h along each axis."""
    point = np.array(at, dtype=np.float64)
    slopes = []
    for i, step in enumerate(steps):
        f = {}
        for k in (-2, -1, 1, 2):
            moved = point.copy()
            moved[i] += k * step
            f[k] = function(moved)
        slopes.append((8.0 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12.0 * step))
    return np.array(slopes)


def dense_likelihood(
    design: Any, layout: Any, dropped: Sequence[int], parameters: Sequence[Any], restricted: bool = True
) -> DenseLikelihood:
    """The likelihood of a design, a record and trait at a time.

    ``layout`` numbers the equations, ``dropped`` are those of fixed effects and of fixed groups that are set to zero,
    ``parameters`` have ``key``, ``level`` (residual class or None), ``row`` and ``column``. Fixed groups are columns ZQ of X.
    """
    observed = [(i, t) for i, y in enumerate(design.y) for t in range(y.size) if not np.isnan(y[t])]
    loads = [_dense_loads(term, observed) for term in layout.terms]
    columns, numbers = [], []
    for k, term in enumerate(layout.terms):
        c, start = len(term.coordinates), int(layout.starts[k])
        groups = getattr(term.relationship, "groups", None)
        if term.kind == "fixed":
            columns += [loads[k][j][:, level] for level in range(len(term.levels)) for j in range(c)]
            numbers += list(range(start, int(layout.starts[k + 1])))
        elif groups is not None and groups.kind == "fixed":
            n, shares = term.relationship.animals, groups.operator.owed_to_groups(np.eye(len(groups.names)))
            columns += [loads[k][j][:, :n] @ shares[:, g] for g in range(len(groups.names)) for j in range(c)]
            numbers += [start + (n + g) * c + j for g in range(len(groups.names)) for j in range(c)]
    kept = [column for number, column in zip(numbers, columns, strict=True) if number not in set(dropped)]
    x = np.column_stack(kept) if kept else np.zeros((len(observed), 0))
    parts = [_dense_part(design, layout, loads, observed, parameter) for parameter in parameters]
    return DenseLikelihood(np.array([design.y[i, t] for i, t in observed]), x, parts, restricted)


def _dense_loads(term: Any, observed: Sequence[tuple[int, int]]) -> list[Array]:
    """The columns of W of each coordinate of a term, records and traits x levels."""
    loads = [np.zeros((len(observed), len(term.levels))) for _ in term.coordinates]
    for row, (i, t) in enumerate(observed):
        for link in term.links:
            for entry in link.entries if link.codes[i] >= 0 else ():
                if entry.trait == t:
                    value = 1.0 if entry.column < 0 else term.values[i, entry.column]
                    loads[entry.coordinate][row, link.codes[i]] += entry.scale * value
    return loads


def _dense_part(
    design: Any, layout: Any, loads: Sequence[list[Array]], observed: Sequence[tuple[int, int]], parameter: Any
) -> Array:
    """dV/dθ: Z_k K Z_l' and its transpose for a random term, weighted pairs of traits of each record for the residual."""
    for k, term in enumerate(layout.terms):
        if term.kind == "random" and term.name == parameter.key:
            size = len(term.levels)
            kinship = np.eye(size) if term.relationship is None else term.relationship.multiply(np.eye(size))
            part = loads[k][parameter.row] @ kinship @ loads[k][parameter.column].T
            return np.asarray(part if parameter.row == parameter.column else part + part.T, dtype=np.float64)
    part = np.zeros((len(observed), len(observed)))
    for a, (i, t) in enumerate(observed):
        if parameter.level is not None and design.residual_levels[int(design.residual_codes[i])] != parameter.level:
            continue
        for b, (j, s) in enumerate(observed):
            if (
                i == j
                and {t, s} == {parameter.row, parameter.column}
                and (t == s) == (parameter.row == parameter.column)
            ):
                weight = 1.0 if design.weights is None else design.weights[i, t] * design.weights[i, s]
                part[a, b] = 1.0 / np.sqrt(weight)
    return part


# --- sums over records ------------------------------------------------------------------------------------------------


def dense_rows(design: Any, layout: Any) -> Array:
    """Rows of W, n x traits x equations of a layout without roots of covariance matrices; 0 where the trait is missing."""
    w = np.zeros((*design.y.shape, layout.size))
    for k, term in enumerate(layout.terms):
        for link in term.links:
            for i in np.flatnonzero(link.codes >= 0):
                for entry in link.entries:
                    e = layout.starts[k] + link.codes[i] * layout.width(k) + entry.coordinate
                    w[i, entry.trait, e] += entry.scale * (1.0 if entry.column < 0 else term.values[i, entry.column])
    w[np.isnan(design.y)] = 0.0
    return w


def dense_roots(layout: Any) -> Array:
    """I of fixed terms and I x root of random ones on the diagonal: from equations of v to those of u."""
    blocks = []
    for k, term in enumerate(layout.terms):
        root = np.eye(layout.width(k)) if layout.loadings[k] is None else layout.loadings[k]
        blocks.append(np.kron(np.eye(len(term.levels)), root))
    found = np.zeros((sum(len(b) for b in blocks), sum(b.shape[1] for b in blocks)))
    i = j = 0
    for b in blocks:
        found[i : i + b.shape[0], j : j + b.shape[1]] = b
        i, j = i + b.shape[0], j + b.shape[1]
    return found


@dataclass(frozen=True)
class DenseMixedModel:
    """Records of one random factor without relationships as V, values of all traits one after the other within records."""

    rows: tuple[dict[str, Any], ...]
    values: tuple[tuple[int, str], ...]
    traits: tuple[str, ...]
    factor: str
    weights: str | None

    @classmethod
    def of(cls, traits: Sequence[str], records: Any, factor: str, weights: str | None) -> DenseMixedModel:
        """Values that are there, by record and trait."""
        rows = tuple(records.rows(named=True))
        values = tuple((i, t) for i, row in enumerate(rows) for t in traits if row[t] is not None)
        return cls(rows, values, tuple(traits), factor, weights)

    def columns(self, effects: Sequence[tuple[str, str, str]]) -> Array:
        """X of some effects, each the name of its term (``a``, ``a:b``, ``a:x``), its level and trait."""
        return np.array([[self._entry(*effect, i, t) for effect in effects] for i, t in self.values])

    def _entry(self, term: str, level: str, trait: str, i: int, t: str) -> float:
        if t != trait:
            return 0.0
        cells = [self.rows[i][name] for name in term.split(":")] if term != "(Intercept)" else []
        labels = [cell for cell in cells if isinstance(cell, str)]
        same = ":".join(labels) == level
        return float(np.prod([cell for cell in cells if not isinstance(cell, str)])) if same else 0.0

    def covariance(self, group: Array, residual: Array) -> Array:
        """V from the covariances of traits between records of a level and within a record."""
        v = np.zeros((len(self.values),) * 2)
        for p, (i, t) in enumerate(self.values):
            for q, (j, s) in enumerate(self.values):
                at = self.traits.index(t), self.traits.index(s)
                if self.rows[i][self.factor] == self.rows[j][self.factor]:
                    v[p, q] += group[at]
                if i == j:
                    v[p, q] += residual[at] / (1.0 if self.weights is None else self.rows[i][self.weights])
        return v

    def generalised_least_squares(self, x: Array, variances: Any) -> tuple[Array, Array]:
        """Solutions for X of full rank and their covariance matrix, (X'V⁻¹X)⁻¹."""
        weighted = np.linalg.solve(self.covariance(variances.matrix(self.factor), variances.residual_matrix()), x)
        y = np.array([self.rows[i][t] for i, t in self.values])
        covariance = np.linalg.inv(x.T @ weighted)
        return covariance @ (weighted.T @ y), covariance

    def slopes(self, x: Array, space: Any, theta: Array, step: float = 1e-4) -> Array:
        """Derivatives of the variances of solutions by each parameter, by central differences: parameters × solutions."""
        found = []
        for direction in np.eye(space.size) * step:
            ends = [self.generalised_least_squares(x, space.unpack(theta + s * direction))[1] for s in (1.0, -1.0)]
            found.append((ends[0] - ends[1]).diagonal() / (2.0 * step))
        return np.array(found)


def gametes_locus_by_locus(
    alleles: NDArray[np.bool_], start: Sequence[int], pointer: Sequence[int], crossovers: Sequence[int]
) -> NDArray[np.bool_]:
    """Haplotypes × loci with those of gametes below: each follows one haplotype of its parent, and changes at crossovers."""
    made = [list(row) for row in alleles]
    for gamete, strand in enumerate(start):
        changes = list(crossovers[pointer[gamete] : pointer[gamete + 1]])
        row = []
        for locus in range(alleles.shape[1]):
            if changes.count(locus) % 2:
                strand = strand ^ 1
            row.append(made[strand][locus])
        made.append(row)
    return np.array(made)


# --- single-step ------------------------------------------------------------------------------------------------------


def single_step_h(a: Array, rows: Sequence[int] | NDArray[np.int32], effective: Array) -> Array:
    """H by conditioning: genotyped animals have ``effective``, the others follow from them by A (Legarra et al. 2009)."""
    n, two = len(a), list(rows)
    one = [i for i in range(n) if i not in two]
    t = a[np.ix_(one, two)] @ np.linalg.inv(a[np.ix_(two, two)])
    h = np.zeros((n, n))
    h[np.ix_(two, two)] = effective
    h[np.ix_(one, two)] = t @ effective
    h[np.ix_(two, one)] = h[np.ix_(one, two)].T
    h[np.ix_(one, one)] = a[np.ix_(one, one)] + t @ (effective - a[np.ix_(two, two)]) @ t.T
    return h


def altered_shares(a: Array, rows: Sequence[int] | NDArray[np.int32], q: Array) -> Array:
    """What animals owe to groups where the genotyped ones owe nothing: (Q₁ - TQ₂; 0)."""
    n, two = len(a), list(rows)
    one = [i for i in range(n) if i not in two]
    t = a[np.ix_(one, two)] @ np.linalg.inv(a[np.ix_(two, two)])
    shares = np.zeros_like(q)
    shares[one] = q[one] - t @ q[two]
    return shares


# --- genomic relationships --------------------------------------------------------------------------------------------


def genomic_by_definition(calls: Array, p: Array, method: str, weights: Array | None = None) -> Array:
    """G, entry by entry; ``calls`` (animals × markers) has NaN where missing: 2p, and left out of the diagonal of Yang."""
    n, m = calls.shape
    x = np.where(np.isnan(calls), 2.0 * p, calls)
    w = np.ones(m) if weights is None else weights / weights.mean()
    variance = 2.0 * p * (1.0 - p)
    g = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            products = w * (x[i] - 2.0 * p) * (x[j] - 2.0 * p)
            g[i, j] = products.sum() / variance.sum() if method == "vanraden1" else (products / variance).sum() / m
        if method == "yang":
            own = x[i] ** 2 - (1.0 + 2.0 * p) * x[i] + 2.0 * p**2
            known = ~np.isnan(calls[i])
            g[i, i] = 1.0 + (w * own / variance)[known].sum() / w[known].sum()
    return g


def apy_by_definition(g: Array, core: Sequence[int]) -> Array:
    """G_APY⁻¹ as the sum of its two parts (Misztal 2016)."""
    n, c = len(g), list(core)
    others = [i for i in range(n) if i not in c]
    inverse = np.zeros((n, n))
    inverse[np.ix_(c, c)] = np.linalg.inv(g[np.ix_(c, c)])
    for i in others:
        p = np.linalg.solve(g[np.ix_(c, c)], g[c, i])
        row = np.zeros(n)
        row[c], row[i] = -p, 1.0
        inverse += np.outer(row, row) / (g[i, i] - p @ g[c, i])
    return inverse


def genomic_dominance_by_definition(calls: Array, p: Array) -> Array:
    """WW'/Σ(2pq)² (Vitezica et al. 2013); NaN where missing, which has 0 in W."""
    q = 1.0 - p
    rows = [
        [{2.0: -2.0 * b**2, 1.0: 2.0 * a * b, 0.0: -2.0 * a**2}.get(x, 0.0) for x, a, b in zip(row, p, q, strict=True)]
        for row in calls.tolist()
    ]
    w = np.array(rows)
    return np.asarray(w @ w.T / np.square(2.0 * p * q).sum())


def dropped_calls(rng: np.random.Generator, sire: Sequence[int], dam: Sequence[int], p: Array) -> Array:
    """Calls at unlinked markers, an unknown parent giving an allele with frequency p of a base, or of its row of p."""
    n = len(sire)
    base = np.broadcast_to(p, (n, np.shape(p)[-1]))
    alleles = np.zeros((n, 2, base.shape[1]))
    for i in range(n):
        for k, parent in enumerate((sire[i], dam[i])):
            which = rng.integers(0, 2, base.shape[1])
            inherited = alleles[parent, which, np.arange(base.shape[1])]
            alleles[i, k] = inherited if parent >= 0 else rng.random(base.shape[1]) < base[i]
    return np.asarray(alleles.sum(axis=1))


# --- quality of genotypes ---------------------------------------------------------------------------------------------


def conflicts_by_calls(calls: Array, animal: int, parents: Sequence[int]) -> tuple[int, int]:
    """Markers at which all have a call, and those at which the animal's is impossible given one parent's or two parents'; -1 missing."""
    compared = conflicts = 0
    for j in range(calls.shape[1]):
        given = [int(calls[parent, j]) for parent in parents]
        own = int(calls[animal, j])
        if min([own, *given]) < 0:
            continue
        compared += 1
        gametes = [{0: (0,), 1: (0, 1), 2: (1,)}[call] for call in given] + [(0, 1)] * (2 - len(given))
        conflicts += own not in {a + b for a in gametes[0] for b in gametes[1]}
    return compared, conflicts


def hardy_weinberg_by_enumeration(homozygous: int, heterozygous: int, other: int) -> float:
    """Sum of the probabilities of all numbers of heterozygotes that are at most as probable as the one observed, as fractions."""
    number, rare = homozygous + heterozygous + other, 2 * homozygous + heterozygous
    weights = {}
    for h in range(rare % 2, min(rare, 2 * number - rare) + 1, 2):
        few = (rare - h) // 2
        weights[h] = Fraction(2**h, factorial(few) * factorial(h) * factorial(number - few - h))
    at_most = sum(weight for weight in weights.values() if weight <= weights[heterozygous])
    return float(at_most / sum(weights.values()))


def runs_by_walk(
    calls: Sequence[int], chromosome: Sequence[int], position: Sequence[int], limits: Sequence[int]
) -> list[tuple[int, int]]:
    """First and last position of each run of homozygosity of an animal; limits: length, homozygous, heterozygous, missing, gap."""
    shortest, fewest, most_heterozygous, most_missing, widest = limits
    found, j = [], 0
    while j < len(calls):
        if calls[j] not in (0, 2):
            j += 1
            continue
        first = last = j
        homozygous, heterozygous, missing = 1, 0, 0
        j += 1
        while j < len(calls) and chromosome[j] == chromosome[first] and position[j] - position[j - 1] <= widest:
            heterozygous += calls[j] == 1
            missing += calls[j] == -1
            if heterozygous > most_heterozygous or missing > most_missing:
                break
            if calls[j] in (0, 2):
                homozygous, last = homozygous + 1, j
            j += 1
        if homozygous >= fewest and position[last] - position[first] >= shortest:
            found.append((position[first], position[last]))
    return found


# --- products with genotypes ------------------------------------------------------------------------------------------


def centred_by_definition(calls: NDArray[np.int8], centre: Array, scale: Array) -> Array:
    """Z: (x - centre) · scale, 0 where a call is -1."""
    z = [[(x - c) * s if x >= 0 else 0.0 for x, c, s in zip(row, centre, scale, strict=True)] for row in calls]
    return np.array(z).reshape(calls.shape)


def codes_by_definition(calls: NDArray[np.int8]) -> NDArray[np.int64]:
    """For each call which of the four codes (two copies, missing, one, none) it has: animals × markers × 4, one of four is 1."""
    order = (2, -1, 1, 0)
    ones = [[[int(x == code) for code in order] for x in row] for row in calls]
    return np.array(ones, dtype=np.int64).reshape(*calls.shape, 4)
