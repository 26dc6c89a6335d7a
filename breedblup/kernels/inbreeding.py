"""Inbreeding, and what follows from it: Mendelian sampling variances and the diagonal of A.

A = T D T', with row i of T⁻¹ holding 1 at i and -½ at its parents, and D the diagonal of Mendelian sampling variances
(Henderson 1976; Quaas 1976). With F = -1 for an unknown parent, D = ½ - ¼(F_sire + F_dam) covers all three cases.
Parents are int32 positions, -1 unknown, parents before offspring.
"""

from __future__ import annotations

import numpy as np

from breedblup.kernels import kernel
from breedblup.kernels.pedigree import offspring_of


@kernel
def _push_unseen(parent, mark, s, listed, count):  # type: ignore[no-untyped-def]
    if parent >= 0 and mark[parent] != s:
        mark[parent] = s
        listed[count] = parent
        return count + 1
    return count


@kernel
def _trace_sire(s, sire, dam, f_used, mark, listed, weight):  # type: ignore[no-untyped-def]
    """weight[j] = (row s of T)_j · D_j for s and all its ancestors, which are listed; returns their number."""
    mark[s] = s
    listed[0] = s
    count = 1
    k = 0
    while k < count:
        j = listed[k]
        count = _push_unseen(sire[j], mark, s, listed, count)
        count = _push_unseen(dam[j], mark, s, listed, count)
        k += 1
    listed[:count].sort()
    for k in range(count):
        weight[listed[k]] = 0.0
    weight[s] = 1.0
    for k in range(count - 1, -1, -1):
        j = listed[k]
        f_sire = f_dam = -1.0
        half = 0.5 * weight[j]
        if sire[j] >= 0:
            weight[sire[j]] += half
            f_sire = f_used[sire[j]]
        if dam[j] >= 0:
            weight[dam[j]] += half
            f_dam = f_used[dam[j]]
        weight[j] *= 0.5 - 0.25 * (f_sire + f_dam)
    return count


@kernel
def _relationship_with(d, s, oldest, sire, dam, mark, weight, known, value, stack):  # type: ignore[no-untyped-def]
    """a(s, d) by a(s, j) = weight_j + ½(a(s, sire_j) + a(s, dam_j)), remembered for the other mates of s."""
    stack[0] = d
    top = 0
    while top >= 0:
        j = stack[top]
        if known[j] == s:
            top -= 1
            continue
        a = sire[j]
        b = dam[j]
        if a >= oldest and known[a] != s:
            top += 1
            stack[top] = a
            continue
        if b >= oldest and known[b] != s:
            top += 1
            stack[top] = b
            continue
        total = 0.0
        if a >= oldest:
            total += value[a]
        if b >= oldest:
            total += value[b]
        total *= 0.5
        if mark[j] == s:
            total += weight[j]
        value[j] = total
        known[j] = s
        top -= 1
    return value[d]


@kernel
def half_relationship_of_parents(sire, dam, f_used, half):  # type: ignore[no-untyped-def]
    """half[i] = ½ a(sire_i, dam_i), 0 where a parent is unknown; D is made of ``f_used``.

    With ``f_used`` the same array as ``half`` this is the inbreeding coefficient F; with zeros it belongs to the matrix
    that ignores inbreeding. The ancestors of each sire are traced once for all of its offspring (Sargolzaei, Iwaisaki &
    Colleau 2005). Sires are taken parents first, so every F that a sire's ancestry needs is there: the ancestors' sires
    came before.
    """
    n = sire.size
    pointer = np.empty(n + 1, dtype=np.int32)
    offspring = np.empty(n, dtype=np.int32)
    offspring_of(sire, pointer, offspring)
    mark = np.full(n, -1, dtype=np.int32)
    known = np.full(n, -1, dtype=np.int32)
    listed = np.empty(n, dtype=np.int32)
    weight = np.empty(n)
    value = np.empty(n)
    half[:] = 0.0
    for s in range(n):
        traced = False
        oldest = 0
        for k in range(pointer[s], pointer[s + 1]):
            i = offspring[k]
            d = dam[i]
            if d < 0:
                continue
            if not traced:
                _trace_sire(s, sire, dam, f_used, mark, listed, weight)
                oldest = listed[0]
                traced = True
            if d >= oldest:
                a = _relationship_with(d, s, oldest, sire, dam, mark, weight, known, value, listed)
                half[i] = 0.5 * a


@kernel
def mendelian_variance(sire, dam, f_used, variance):  # type: ignore[no-untyped-def]
    """D = ½ - ¼(F_sire + F_dam), with F = -1 for an unknown parent."""
    for i in range(sire.size):
        f_sire = f_used[sire[i]] if sire[i] >= 0 else -1.0
        f_dam = f_used[dam[i]] if dam[i] >= 0 else -1.0
        variance[i] = 0.5 - 0.25 * (f_sire + f_dam)


@kernel
def relationship_diagonal(sire, dam, variance, half, diagonal):  # type: ignore[no-untyped-def]
    """Diagonal of T D T': D_i + ¼(k_ss + k_dd) + ½ k_sd; 1 + F where D takes inbreeding into account."""
    for i in range(sire.size):
        total = variance[i] + half[i]
        if sire[i] >= 0:
            total += 0.25 * diagonal[sire[i]]
        if dam[i] >= 0:
            total += 0.25 * diagonal[dam[i]]
        diagonal[i] = total
