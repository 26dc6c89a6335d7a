"""Assembly of mixed model equations in CSR: one pass counts, one fills, a third refreshes values on the same pattern.

Records are rows of the incidence W = [X Z], held as ``columns`` (n × K equation numbers, -1 for none) with values 1, or those
of column ``slots[k]`` of ``covariates`` where that is not -1. A row of the left-hand side is gathered whole by one thread:
from the records that its equation stands in, and from its row of K⁻¹.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from breedblup.kernels import kernel, parallel_kernel


@kernel
def records_of_equations(columns, pointer, entries):  # type: ignore[no-untyped-def]
    """Lists of incidence entries by equation: ``entries`` holds record · K + k, ascending within an equation."""
    n, width = columns.shape
    pointer[:] = 0
    for i in range(n):
        for k in range(width):
            if columns[i, k] >= 0:
                pointer[columns[i, k] + 1] += 1
    for e in range(pointer.size - 1):
        pointer[e + 1] += pointer[e]
    filled = pointer[:-1].copy()
    for i in range(n):
        for k in range(width):
            e = columns[i, k]
            if e >= 0:
                entries[filled[e]] = i * width + k
                filled[e] += 1


@kernel
def _incidence(i, k, slots, covariates):  # type: ignore[no-untyped-def]
    return 1.0 if slots[k] < 0 else covariates[i, slots[k]]


@parallel_kernel
def lhs_counts(columns, pointer, entries, inverse, bounds, counts):  # type: ignore[no-untyped-def]
    """Entries in each row of the left-hand side; ``inverse`` is (first equation, pointer, indices) of all K⁻¹ stacked."""
    width = columns.shape[1]
    first, inverse_pointer, inverse_indices = inverse
    for t in prange(bounds.size - 1):
        stamp = np.full(counts.size, -1, dtype=np.int32)
        for e in range(bounds[t], bounds[t + 1]):
            count = 0
            for p in range(pointer[e], pointer[e + 1]):
                i = entries[p] // width
                for k in range(width):
                    c = columns[i, k]
                    if c >= 0 and stamp[c] != e:
                        stamp[c] = e
                        count += 1
            if e >= first:
                for p in range(inverse_pointer[e - first], inverse_pointer[e - first + 1]):
                    c = inverse_indices[p]
                    if stamp[c] != e:
                        stamp[c] = e
                        count += 1
            if stamp[e] != e:
                count += 1
            counts[e] = count


@kernel
def _sort_indices(indices, start, end):  # type: ignore[no-untyped-def]
    if end - start > 32:
        indices[start:end].sort()
        return
    for k in range(start + 1, end):
        column = indices[k]
        m = k - 1
        while m >= start and indices[m] > column:
            indices[m + 1] = indices[m]
            m -= 1
        indices[m + 1] = column


@parallel_kernel
def lhs_entries(columns, slots, covariates, weights, pointer, entries, inverse, bounds, lhs, place):  # type: ignore[no-untyped-def]
    """Fill indices (ascending), the values of W'DW (D the weights), and where each entry of K⁻¹ stands.

    ``lhs`` is (pointer, indices, values). Every row has its diagonal, which stays 0 where no record reaches it.
    """
    width = columns.shape[1]
    first, inverse_pointer, inverse_indices = inverse
    lhs_pointer, indices, values = lhs
    for t in prange(bounds.size - 1):
        stamp = np.full(lhs_pointer.size - 1, -1, dtype=np.int32)
        position = np.empty(lhs_pointer.size - 1, dtype=np.int64)
        for e in range(bounds[t], bounds[t + 1]):
            start = lhs_pointer[e]
            filled = start
            stamp[e] = e
            indices[filled] = e
            filled += 1
            for p in range(pointer[e], pointer[e + 1]):
                i = entries[p] // width
                for k in range(width):
                    c = columns[i, k]
                    if c >= 0 and stamp[c] != e:
                        stamp[c] = e
                        indices[filled] = c
                        filled += 1
            if e >= first:
                for p in range(inverse_pointer[e - first], inverse_pointer[e - first + 1]):
                    c = inverse_indices[p]
                    if stamp[c] != e:
                        stamp[c] = e
                        indices[filled] = c
                        filled += 1
            _sort_indices(indices, start, filled)
            for q in range(start, filled):
                position[indices[q]] = q
                values[q] = 0.0
            for p in range(pointer[e], pointer[e + 1]):
                i = entries[p] // width
                scale = weights[i] * _incidence(i, entries[p] - i * width, slots, covariates)
                for k in range(width):
                    c = columns[i, k]
                    if c >= 0:
                        values[position[c]] += scale * _incidence(i, k, slots, covariates)
            if e >= first:
                for p in range(inverse_pointer[e - first], inverse_pointer[e - first + 1]):
                    place[p] = position[inverse_indices[p]]


@parallel_kernel
def combine(records_part, residual_weight, inverse_values, place, weights, bounds, values):  # type: ignore[no-untyped-def]
    """values <- residual_weight · W'DW + weight of its term · K⁻¹, entry by entry; ``bounds`` cuts K⁻¹ by terms."""
    for p in prange(values.size):
        values[p] = residual_weight * records_part[p]
    for t in range(bounds.size - 1):
        weight = weights[t]
        for p in prange(bounds[t], bounds[t + 1]):
            values[place[p]] += weight * inverse_values[p]


@kernel
def rhs_sums(columns, slots, covariates, weighted_y, rhs):  # type: ignore[no-untyped-def]
    """rhs += W' (D y)."""
    n, width = columns.shape
    for i in range(n):
        for k in range(width):
            e = columns[i, k]
            if e >= 0:
                rhs[e] += _incidence(i, k, slots, covariates) * weighted_y[i]
