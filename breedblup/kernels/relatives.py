"""Inbreeding that descends from one ancestor, and the rows of A⁻¹ that new animals change.

Parents are int32 positions, -1 unknown, parents before offspring.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from breedblup.kernels import kernel, parallel_kernel
from breedblup.kernels.pedigree import offspring_of


@kernel
def _list_with_ancestors(listed, count, sire, dam, oldest, mark, s):  # type: ignore[no-untyped-def]
    """Add the ancestors, from ``oldest`` on, of the animals listed so far; sorted by position. Returns their number."""
    k = 0
    while k < count:
        j = listed[k]
        for parent in (sire[j], dam[j]):
            if parent >= oldest and mark[parent] != s:
                mark[parent] = s
                listed[count] = parent
                count += 1
        k += 1
    listed[:count].sort()
    return count


@kernel
def _relationships_of_mates(s, begin, end, offspring, sire, dam, variance, marks, listed, weight, value):  # type: ignore[no-untyped-def]
    """value[d] = a(s, d) for all mates d of s, by T D T': up from s to its ancestors, down to its mates."""
    marks[0, s] = s
    listed[0] = s
    count = _list_with_ancestors(listed, 1, sire, dam, 0, marks[0], s)
    oldest = listed[0]
    for k in range(count):
        weight[listed[k]] = 0.0
    weight[s] = 1.0
    for k in range(count - 1, -1, -1):
        j = listed[k]
        for parent in (sire[j], dam[j]):
            if parent >= 0:
                weight[parent] += 0.5 * weight[j]
        weight[j] *= variance[j]
    count = 0
    for k in range(begin, end):
        d = dam[offspring[k]]
        if d >= 0:
            value[d] = 0.0  # for mates older than all that s descends from
            if d >= oldest and marks[1, d] != s:
                marks[1, d] = s
                listed[count] = d
                count += 1
    count = _list_with_ancestors(listed, count, sire, dam, oldest, marks[1], s)
    for k in range(count):
        j = listed[k]
        total = 0.0
        for parent in (sire[j], dam[j]):
            if parent >= oldest:
                total += 0.5 * value[parent]
        value[j] = total + weight[j] if marks[0, j] == s else total


@kernel
def _inbreeding_by_descent(sire, dam, share, inbreeding):  # type: ignore[no-untyped-def]
    """F of each animal by alleles that descend from animal 0 alone; all others descend from it.

    ``share`` is what each owes to it. The matrix of relationships by its alleles has the diagonal share + F, and so is
    T D T' with D = ½ share - ¼ (F_sire + F_dam); of the ancestor itself D is its share.
    """
    n = sire.size
    pointer = np.empty(n + 1, dtype=np.int32)
    offspring = np.empty(n, dtype=np.int32)
    offspring_of(sire, pointer, offspring)
    marks = np.full((2, n), -1, dtype=np.int32)
    listed = np.empty(n, dtype=np.int32)
    weight = np.empty(n)
    value = np.empty(n)
    variance = np.empty(n)
    inbreeding[:] = 0.0
    for s in range(n):
        variance[s] = share[s] if s == 0 else 0.5 * share[s]
        for parent in (sire[s], dam[s]):
            if parent >= 0:
                variance[s] -= 0.25 * inbreeding[parent]
        begin, end = pointer[s], pointer[s + 1]
        mated = False
        for k in range(begin, end):
            mated = mated or dam[offspring[k]] >= 0
        if not mated:
            continue
        _relationships_of_mates(s, begin, end, offspring, sire, dam, variance, marks, listed, weight, value)
        for k in range(begin, end):
            i = offspring[k]
            if dam[i] >= 0:
                inbreeding[i] = 0.5 * value[dam[i]]


@parallel_kernel
def partial_inbreeding(sire, dam, origins, amounts, targets, partial):  # type: ignore[no-untyped-def]
    """partial[k, l]: F of animal targets[l] by alleles that descend from origins[k].

    ``amounts[k]`` is the share of the origin's own alleles that count: 1, or ½ for an unknown parent of it.
    """
    n = sire.size
    for k in prange(origins.size):
        local = np.full(n, -1, dtype=np.int32)
        members = np.empty(n - origins[k], dtype=np.int32)
        members[0] = origins[k]
        local[origins[k]] = 0
        count = 1
        for i in range(origins[k] + 1, n):
            if (sire[i] >= 0 and local[sire[i]] >= 0) or (dam[i] >= 0 and local[dam[i]] >= 0):
                local[i] = count
                members[count] = i
                count += 1
        own_sire = np.full(count, -1, dtype=np.int32)
        own_dam = np.full(count, -1, dtype=np.int32)
        share = np.zeros(count)
        share[0] = amounts[k]
        for m in range(1, count):
            i = members[m]
            if sire[i] >= 0 and local[sire[i]] >= 0:
                own_sire[m] = local[sire[i]]
                share[m] += 0.5 * share[own_sire[m]]
            if dam[i] >= 0 and local[dam[i]] >= 0:
                own_dam[m] = local[dam[i]]
                share[m] += 0.5 * share[own_dam[m]]
        inbreeding = np.empty(count)
        _inbreeding_by_descent(own_sire, own_dam, share, inbreeding)
        for place in range(targets.size):
            m = local[targets[place]]
            partial[k, place] = inbreeding[m] if m >= 0 else 0.0


@kernel
def _add_contribution(i, own, j, sire, dam, variance, stamp, place, count, indices, values):  # type: ignore[no-untyped-def]
    """Row j of q q'/D_i, q = 1 at i and -½ at its parents; only counted where ``indices`` is empty. Returns the entries."""
    for member in range(3):
        column = i if member == 0 else (sire[i] if member == 1 else dam[i])
        if column < 0:
            continue
        if stamp[column] != j:
            stamp[column] = j
            place[column] = count
            if indices.size > 0:
                indices[count] = column
                values[count] = 0.0
            count += 1
        if indices.size > 0:
            values[place[column]] += own * (1.0 if member == 0 else -0.5) / variance[i]
    return count


@kernel
def _changed_row(j, old_indices, old_values, by_sire, by_dam, sire, dam, variance, stamp, place, indices, values):  # type: ignore[no-untyped-def]
    """Row j: what it had, what it has of itself where it is new, what its new offspring bring. Returns its entries."""
    count = old_indices.size
    for k in range(count):
        stamp[old_indices[k]] = j
        place[old_indices[k]] = k
        if indices.size > 0:
            indices[k] = old_indices[k]
            values[k] = old_values[k]
    if count == 0:
        count = _add_contribution(j, 1.0, j, sire, dam, variance, stamp, place, count, indices, values)
    for k in range(by_sire.size):
        count = _add_contribution(by_sire[k], -0.5, j, sire, dam, variance, stamp, place, count, indices, values)
    for k in range(by_dam.size):
        count = _add_contribution(by_dam[k], -0.5, j, sire, dam, variance, stamp, place, count, indices, values)
    return count


@parallel_kernel
def extended_rows(sire, dam, variance, old, by_sire, by_dam, bounds, pointer, indices, values, counts):  # type: ignore[no-untyped-def]
    """Rows of A⁻¹ when animals are added at its end: first only their ``counts``, then, into ``pointer``, all entries.

    ``old`` is the CSR before, ``by_sire`` and ``by_dam`` are pointer and list of the new offspring of each animal. Rows
    ``bounds[t]`` to ``bounds[t + 1]`` belong to thread t; columns ascend. ``indices`` is empty in the first call.
    """
    old_pointer, old_indices, old_values = old
    sire_pointer, sire_offspring = by_sire
    dam_pointer, dam_offspring = by_dam
    animals = old_pointer.size - 1
    for t in prange(bounds.size - 1):
        stamp = np.full(sire.size, -1, dtype=np.int32)
        place = np.empty(sire.size, dtype=np.int32)
        j = bounds[t]
        while j < bounds[t + 1]:
            stop = j  # behind the old rows from j on that have no new offspring: they are copied as one
            while (
                stop < min(bounds[t + 1], animals)
                and sire_pointer[stop] == sire_pointer[stop + 1]
                and dam_pointer[stop] == dam_pointer[stop + 1]
            ):
                counts[stop] = old_pointer[stop + 1] - old_pointer[stop]
                stop += 1
            if stop > j:
                if indices.size > 0:
                    indices[pointer[j] : pointer[stop]] = old_indices[old_pointer[j] : old_pointer[stop]]
                    values[pointer[j] : pointer[stop]] = old_values[old_pointer[j] : old_pointer[stop]]
                j = stop
                continue
            begin = old_pointer[min(j, animals)]
            end = old_pointer[min(j + 1, animals)]
            row, entries = indices[pointer[j] : pointer[j + 1]], values[pointer[j] : pointer[j + 1]]
            counts[j] = _changed_row(
                j,
                old_indices[begin:end],
                old_values[begin:end],
                sire_offspring[sire_pointer[j] : sire_pointer[j + 1]],
                dam_offspring[dam_pointer[j] : dam_pointer[j + 1]],
                sire,
                dam,
                variance,
                stamp,
                place,
                row,
                entries,
            )
            if indices.size > 0:
                order = np.argsort(row)
                row[:] = row[order]
                entries[:] = entries[order]
            j += 1
