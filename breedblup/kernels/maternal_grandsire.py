"""Loops over sires and maternal grandsires: tracing, the diagonal, products with K = T D T'.

Positions are int32, -1 unknown; both of an animal stand before it. Row i of T⁻¹ holds 1 at i, -½ at its sire and -¼ at its
maternal grandsire. With F = -1 for an unknown one, D = 1 - ¼(1 + F_sire) - 1/16 (1 + F_grandsire) covers all cases.
"""

from __future__ import annotations

import numpy as np

from breedblup.kernels import kernel

SIRE_SHARE = 0.5
GRANDSIRE_SHARE = 0.25


@kernel
def _push_unseen(ancestor, mark, i, listed, count):  # type: ignore[no-untyped-def]
    if ancestor >= 0 and mark[ancestor] != i:
        mark[ancestor] = i
        listed[count] = ancestor
        return count + 1
    return count


@kernel
def _relationship(i, sire, grandsire, variance, mark, listed, of_sire, of_grandsire):  # type: ignore[no-untyped-def]
    """k(sire_i, grandsire_i) = Σ t_sj t_mj D_j over the ancestors j of both, the youngest first."""
    s = sire[i]
    m = grandsire[i]
    count = _push_unseen(s, mark, i, listed, 0)
    count = _push_unseen(m, mark, i, listed, count)
    k = 0
    while k < count:
        j = listed[k]
        count = _push_unseen(sire[j], mark, i, listed, count)
        count = _push_unseen(grandsire[j], mark, i, listed, count)
        k += 1
    listed[:count].sort()
    for k in range(count):
        of_sire[listed[k]] = 0.0
        of_grandsire[listed[k]] = 0.0
    of_sire[s] = 1.0
    of_grandsire[m] = 1.0
    total = 0.0
    for k in range(count - 1, -1, -1):
        j = listed[k]
        total += of_sire[j] * of_grandsire[j] * variance[j]
        if sire[j] >= 0:
            of_sire[sire[j]] += SIRE_SHARE * of_sire[j]
            of_grandsire[sire[j]] += SIRE_SHARE * of_grandsire[j]
        if grandsire[j] >= 0:
            of_sire[grandsire[j]] += GRANDSIRE_SHARE * of_sire[j]
            of_grandsire[grandsire[j]] += GRANDSIRE_SHARE * of_grandsire[j]
    return total


@kernel
def quarter_relationship(sire, grandsire, f_used, variance, quarter):  # type: ignore[no-untyped-def]
    """quarter[i] = ¼ k(sire_i, grandsire_i), 0 where one is unknown, and the diagonal of D; D is made of ``f_used``.

    With ``f_used`` the same array as ``quarter`` this is the inbreeding coefficient F; with zeros it belongs to the matrix
    that ignores inbreeding. The ancestors of each animal are traced, the youngest first (Meuwissen & Luo 1992).
    """
    n = sire.size
    mark = np.full(n, -1, dtype=np.int32)
    listed = np.empty(n, dtype=np.int32)
    of_sire = np.empty(n)
    of_grandsire = np.empty(n)
    for i in range(n):
        f_sire = f_used[sire[i]] if sire[i] >= 0 else -1.0
        f_grandsire = f_used[grandsire[i]] if grandsire[i] >= 0 else -1.0
        variance[i] = 1.0 - SIRE_SHARE**2 * (1.0 + f_sire) - GRANDSIRE_SHARE**2 * (1.0 + f_grandsire)
        quarter[i] = 0.0
        if sire[i] >= 0 and grandsire[i] >= 0:
            both = _relationship(i, sire, grandsire, variance, mark, listed, of_sire, of_grandsire)
            quarter[i] = 2.0 * SIRE_SHARE * GRANDSIRE_SHARE * both


@kernel
def relationship_diagonal(sire, grandsire, variance, quarter, diagonal):  # type: ignore[no-untyped-def]
    """Diagonal of T D T': D_i + ¼ k_ss + 1/16 k_mm + ¼ k_sm; 1 + F where D takes inbreeding into account."""
    for i in range(sire.size):
        total = variance[i] + quarter[i]
        if sire[i] >= 0:
            total += SIRE_SHARE**2 * diagonal[sire[i]]
        if grandsire[i] >= 0:
            total += GRANDSIRE_SHARE**2 * diagonal[grandsire[i]]
        diagonal[i] = total


@kernel
def multiply(sire, grandsire, variance, vectors):  # type: ignore[no-untyped-def]
    """vectors <- T D T' vectors, in place, for an n × k block: up to the ancestors, scale, down again."""
    n, width = vectors.shape
    for i in range(n - 1, -1, -1):
        for c in range(width):
            if sire[i] >= 0:
                vectors[sire[i], c] += SIRE_SHARE * vectors[i, c]
            if grandsire[i] >= 0:
                vectors[grandsire[i], c] += GRANDSIRE_SHARE * vectors[i, c]
    for i in range(n):
        for c in range(width):
            total = variance[i] * vectors[i, c]
            if sire[i] >= 0:
                total += SIRE_SHARE * vectors[sire[i], c]
            if grandsire[i] >= 0:
                total += GRANDSIRE_SHARE * vectors[grandsire[i], c]
            vectors[i, c] = total
