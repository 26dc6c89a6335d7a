"""A⁻¹ entry by entry, and products with A⁻¹ and A from the pedigree alone.

A = T D T', with row i of T⁻¹ holding 1 at i and -½ at its parents, and D the diagonal of Mendelian sampling variances
(Henderson 1976; Quaas 1976). Parents are int32 positions, -1 unknown, parents before offspring.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from breedblup.kernels import kernel, parallel_kernel


@kernel
def _a_inverse_row(j, sire, dam, variance, lists, stamp, place, indices, values, start):  # type: ignore[no-untyped-def]
    """Write the entries of row j from ``start`` on, or only count them where ``indices`` is empty; returns their number.

    Each animal i adds q q'/D_i with q = 1 at i, -½ at its parents (Henderson 1976): row j gets its own and those of its
    offspring. ``lists`` holds offspring by sire and by dam.
    """
    writing = indices.size > 0
    count = 0
    sire_pointer, sire_offspring, dam_pointer, dam_offspring = lists
    for part in range(3):
        if part == 0:
            begin, end = 0, 1
        elif part == 1:
            begin, end = sire_pointer[j], sire_pointer[j + 1]
        else:
            begin, end = dam_pointer[j], dam_pointer[j + 1]
        for k in range(begin, end):
            if part == 0:
                i = j
                own = 1.0
            elif part == 1:
                i = sire_offspring[k]
                own = -0.5
            else:
                i = dam_offspring[k]
                own = -0.5
            scale = own / variance[i]
            for member in range(3):
                if member == 0:
                    column, q = i, 1.0
                elif member == 1:
                    column, q = sire[i], -0.5
                else:
                    column, q = dam[i], -0.5
                if column < 0:
                    continue
                if stamp[column] != j:
                    stamp[column] = j
                    place[column] = count
                    if writing:
                        indices[start + count] = column
                        values[start + count] = 0.0
                    count += 1
                if writing:
                    values[start + place[column]] += scale * q
    return count


@kernel
def _sort_row(indices, values, start, end):  # type: ignore[no-untyped-def]
    if end - start > 32:
        order = np.argsort(indices[start:end])
        indices[start:end] = indices[start:end][order]
        values[start:end] = values[start:end][order]
        return
    for k in range(start + 1, end):
        column = indices[k]
        value = values[k]
        m = k - 1
        while m >= start and indices[m] > column:
            indices[m + 1] = indices[m]
            values[m + 1] = values[m]
            m -= 1
        indices[m + 1] = column
        values[m + 1] = value


@parallel_kernel
def a_inverse_counts(sire, dam, variance, lists, bounds, counts):  # type: ignore[no-untyped-def]
    """Number of entries in each row of A⁻¹; rows ``bounds[t]`` to ``bounds[t + 1]`` belong to thread t."""
    nothing = np.empty(0, dtype=np.int32)
    no_values = np.empty(0)
    for t in prange(bounds.size - 1):
        stamp = np.full(sire.size, -1, dtype=np.int32)
        place = np.empty(sire.size, dtype=np.int32)
        for j in range(bounds[t], bounds[t + 1]):
            counts[j] = _a_inverse_row(j, sire, dam, variance, lists, stamp, place, nothing, no_values, 0)


@parallel_kernel
def a_inverse_entries(sire, dam, variance, lists, bounds, pointer, indices, values):  # type: ignore[no-untyped-def]
    """Fill the rows of A⁻¹, columns ascending, both triangles; ``pointer`` comes from `a_inverse_counts`."""
    for t in prange(bounds.size - 1):
        stamp = np.full(sire.size, -1, dtype=np.int32)
        place = np.empty(sire.size, dtype=np.int32)
        for j in range(bounds[t], bounds[t + 1]):
            _a_inverse_row(j, sire, dam, variance, lists, stamp, place, indices, values, pointer[j])
            _sort_row(indices, values, pointer[j], pointer[j + 1])


@kernel
def multiply_a(sire, dam, variance, vectors):  # type: ignore[no-untyped-def]
    """vectors <- T D T' vectors, in place, for an n × k block (Colleau 2002): up to the parents, scale, down again."""
    n, width = vectors.shape
    for i in range(n - 1, -1, -1):
        for c in range(width):
            half = 0.5 * vectors[i, c]
            if sire[i] >= 0:
                vectors[sire[i], c] += half
            if dam[i] >= 0:
                vectors[dam[i], c] += half
    for i in range(n):
        for c in range(width):
            total = variance[i] * vectors[i, c]
            if sire[i] >= 0:
                total += 0.5 * vectors[sire[i], c]
            if dam[i] >= 0:
                total += 0.5 * vectors[dam[i], c]
            vectors[i, c] = total


@kernel
def multiply_a_inverse(sire, dam, variance, vectors, out):  # type: ignore[no-untyped-def]
    """out <- A⁻¹ vectors for an n × k block, from the pedigree alone: the sum over animals of q (q'v) / D."""
    n, width = vectors.shape
    out[:] = 0.0
    for i in range(n):
        for c in range(width):
            total = vectors[i, c]
            if sire[i] >= 0:
                total -= 0.5 * vectors[sire[i], c]
            if dam[i] >= 0:
                total -= 0.5 * vectors[dam[i], c]
            total /= variance[i]
            out[i, c] += total
            if sire[i] >= 0:
                out[sire[i], c] -= 0.5 * total
            if dam[i] >= 0:
                out[dam[i], c] -= 0.5 * total
