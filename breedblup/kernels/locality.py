"""An order of equations that keeps coupled ones together, and the lower triangle of a symmetric matrix in it.

The matrix is symmetric sorted CSR, both triangles. Equations come in blocks (of one level), block b from ``starts[b]`` to
``starts[b + 1]``; those before ``starts[0]`` lead and stay where they are. A row of more than ``longest`` entries is long.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel

_Ints = NDArray[np.int32] | NDArray[np.int64]
_Places = NDArray[np.int32]

LONGEST_COUNTED = 63
"""Rows of more entries than this are not told apart when rows of one length are put together."""


@kernel
def _first_of(part: _Places, i: int) -> int:
    """The first row of the part that a row is in, by halving paths."""
    while part[i] != i:
        part[i] = part[part[i]]
        i = part[i]
    return i


@kernel
def join_rows(indptr: _Ints, indices: _Ints, starts: NDArray[np.int64], longest: int, part: _Places) -> None:
    """Fill the first row of the part that each row is in: blocks that are coupled, long and leading rows left aside."""
    leading = starts[0]
    part[:leading] = np.arange(leading)
    for b in range(starts.size - 1):
        part[starts[b] : starts[b + 1]] = starts[b]
    for i in range(leading, part.size):
        if indptr[i + 1] - indptr[i] > longest:
            continue
        for p in range(indptr[i], indptr[i + 1]):
            j = indices[p]
            if j >= i:
                break
            if j < leading or indptr[j + 1] - indptr[j] > longest:
                continue
            one, other = _first_of(part, i), _first_of(part, j)
            if one < other:
                part[other] = one
            elif other < one:
                part[one] = other
    for i in range(part.size):
        part[i] = part[part[i]]


@kernel
def rank_parts(
    indptr: _Ints, indices: _Ints, starts: NDArray[np.int64], longest: int, part: _Places, ranks: _Places
) -> int:
    """Fill each block's rank: 0 where its first row is long, else that of its part; return the largest.

    Parts are ranked by the first leading column that any of their rows has, ties and parts without one as they come.
    """
    leading, n = starts[0], part.size
    column = np.full(n, leading, np.int32)
    for i in range(leading, n):
        if indptr[i] < indptr[i + 1] and indices[indptr[i]] < column[part[i]]:
            column[part[i]] = indices[indptr[i]]
    at = np.zeros(leading + 2, np.int32)
    for b in range(starts.size - 1):
        i = starts[b]
        if part[i] == i:
            at[column[i] + 1] += 1
    for k in range(leading + 1):
        at[k + 1] += at[k]
    for b in range(starts.size - 1):
        i = starts[b]
        if part[i] == i:  # its rank replaces its column: a part's first row comes before the others
            k = column[i]
            column[i] = at[k] + 1
            at[k] += 1
        ranks[b] = 0 if indptr[i + 1] - indptr[i] > longest else column[part[i]]
    return int(at[leading])


@kernel
def order_by_rank(ranks: _Places, largest: int, blocks: _Places) -> None:
    """Fill the blocks by ascending rank, ties as they come."""
    at = np.zeros(largest + 2, np.int32)
    for b in range(ranks.size):
        at[ranks[b] + 1] += 1
    for k in range(largest + 1):
        at[k + 1] += at[k]
    for b in range(ranks.size):
        blocks[at[ranks[b]]] = b
        at[ranks[b]] += 1


@kernel
def order_of_blocks(starts: NDArray[np.int64], blocks: _Places, order: _Places) -> None:
    """Fill the equations in an order of their blocks."""
    k = starts[0]
    order[:k] = np.arange(k)
    for at in range(blocks.size):
        b = blocks[at]
        for i in range(starts[b], starts[b + 1]):
            order[k] = i
            k += 1


@parallel_kernel
def sort_within_windows(indptr: _Ints, starts: NDArray[np.int64], window: int, blocks: _Places) -> None:
    """Within windows of blocks put those together whose first rows have equally many entries, ties as they come."""
    for w in numba.prange((blocks.size + window - 1) // window):
        first, end = w * window, min((w + 1) * window, blocks.size)
        before = blocks[first:end].copy()
        at = np.zeros(LONGEST_COUNTED + 2, np.int32)
        for k in range(before.size):
            i = starts[before[k]]
            at[min(indptr[i + 1] - indptr[i], LONGEST_COUNTED) + 1] += 1
        for k in range(LONGEST_COUNTED + 1):
            at[k + 1] += at[k]
        for k in range(before.size):
            i = starts[before[k]]
            length = min(indptr[i + 1] - indptr[i], LONGEST_COUNTED)
            blocks[first + at[length]] = before[k]
            at[length] += 1


@parallel_kernel
def lower_counts(
    indptr: _Ints, indices: _Ints, place: _Places, bounds: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    """Fill how many entries each row has up to the diagonal, with it, when rows and columns stand at given places.

    Rows are read as they come and written where they belong: they are longer before than after.
    """
    for c in numba.prange(bounds.size - 1):
        for i in range(np.uint64(bounds[c]), np.uint64(bounds[c + 1])):
            k, count = place[i], 1
            for p in range(np.uint64(indptr[i]), np.uint64(indptr[i + np.uint64(1)])):
                count += place[np.uint64(indices[p])] < k
            counts[np.uint64(k)] = count


@parallel_kernel
def lower_entries(
    matrix: tuple[_Ints, _Ints, NDArray[np.float64]],
    place: _Places,
    bounds: NDArray[np.int64],
    lower: tuple[_Ints, _Places, NDArray[np.float64]],
) -> None:
    """Fill those entries, that of the diagonal last in its row; a pointer is given."""
    indptr, indices, data = matrix
    pointer, columns, values = lower
    for c in numba.prange(bounds.size - 1):
        for i in range(np.uint64(bounds[c]), np.uint64(bounds[c + 1])):
            k, diagonal = place[i], 0.0
            at = np.uint64(pointer[np.uint64(k)])
            for p in range(np.uint64(indptr[i]), np.uint64(indptr[i + np.uint64(1)])):
                j = place[np.uint64(indices[p])]
                if j < k:
                    columns[at] = j
                    values[at] = data[p]
                    at += np.uint64(1)
                elif j == k:
                    diagonal = data[p]
            columns[at] = k
            values[at] = diagonal
