"""Elimination of small blocks of equations that are not coupled with each other, and the way back.

The equations are a symmetric positive definite matrix in sorted CSR, both triangles. ``place[e]`` is the number of a kept
equation among the kept ones, and -1 - b for an equation of block b. ``neighbours`` is (pointer, list): the kept equations
that each block is coupled with, ascending. With C_bb = LL' of a block and Y = L⁻¹ C_bn, n its neighbours,

    S = C_rr - Σ Y'Y,   s = b_r - Σ Y'L⁻¹b_b,   x_b = L⁻ᵀ(L⁻¹b_b - Y x_n),   (C⁻¹)_bb = L⁻ᵀ(I + Y S⁻¹_nn Y')L⁻¹.

Only sums of squares are added in the last: nothing cancels.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel

_Floats = NDArray[np.float64]
Ints = NDArray[np.int32] | NDArray[np.int64]
Pattern = tuple[Ints, Ints]
_Matrix = tuple[Ints, Ints, _Floats]


@kernel
def independent_blocks(
    pattern: Pattern, starts: NDArray[np.int64], width: int, taken: NDArray[np.bool_], chosen: NDArray[np.bool_]
) -> None:
    """Choose, first come, each block that is not coupled with one chosen before; ``taken`` comes as False."""
    indptr, indices = pattern
    for b in range(starts.size):
        first = starts[b]
        free = True
        for p in range(indptr[first], indptr[first + width]):
            if taken[indices[p]]:
                free = False
                break
        chosen[b] = free
        if free:
            taken[first : first + width] = True


@kernel
def _neighbours_of(
    pattern: Pattern,
    first: int,
    width: int,
    place: NDArray[np.int32],
    stamp: NDArray[np.int32],
    found: NDArray[np.int32],
) -> int:
    """Fill the kept equations that a block is coupled with; return their number, -1 where it is coupled with a block."""
    indptr, indices = pattern
    own = place[first]
    count = 0
    for p in range(indptr[first], indptr[first + width]):
        r = place[indices[p]]
        if r == own:
            continue
        if r < 0:
            return -1
        if stamp[r] != own:
            stamp[r] = own
            found[count] = r
            count += 1
    return count


@parallel_kernel
def neighbour_counts(
    pattern: Pattern,
    starts: NDArray[np.int64],
    width: int,
    place: NDArray[np.int32],
    kept: int,
    bounds: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Fill how many kept equations each block is coupled with; -1 where it is coupled with another block."""
    for t in numba.prange(bounds.size - 1):
        stamp, found = np.zeros(kept, np.int32), np.empty(kept, np.int32)
        for b in range(bounds[t], bounds[t + 1]):
            counts[b] = _neighbours_of(pattern, starts[b], width, place, stamp, found)


@parallel_kernel
def neighbour_lists(
    pattern: Pattern,
    starts: NDArray[np.int64],
    width: int,
    place: NDArray[np.int32],
    kept: int,
    bounds: NDArray[np.int64],
    neighbours: tuple[NDArray[np.int64], NDArray[np.int32]],
) -> None:
    """Fill the kept equations that each block is coupled with, ascending."""
    pointer, listed = neighbours
    for t in numba.prange(bounds.size - 1):
        stamp, found = np.zeros(kept, np.int32), np.empty(kept, np.int32)
        for b in range(bounds[t], bounds[t + 1]):
            count = _neighbours_of(pattern, starts[b], width, place, stamp, found)
            found[:count].sort()
            listed[pointer[b] : pointer[b + 1]] = found[:count]


@kernel
def _reduced_row(
    pattern: Pattern,
    e: int,
    place: NDArray[np.int32],
    neighbours: tuple[NDArray[np.int64], NDArray[np.int32]],
    stamp: NDArray[np.int32],
    found: NDArray[np.int32],
) -> int:
    """Fill the columns of the row of S that equation e becomes, in any order; return their number."""
    indptr, indices = pattern
    pointer, listed = neighbours
    row = place[e]
    count, last = 0, 0
    for p in range(indptr[e], indptr[e + 1]):
        c = place[indices[p]]
        if c >= 0:
            if stamp[c] != row:
                stamp[c] = row
                found[count] = c
                count += 1
        elif c != last:  # equations of one block are neighbours in a row
            last = c
            for q in range(pointer[-1 - c], pointer[-c]):
                s = listed[q]
                if stamp[s] != row:
                    stamp[s] = row
                    found[count] = s
                    count += 1
    return count


@parallel_kernel
def reduced_counts(
    pattern: Pattern,
    kept: NDArray[np.int64],
    place: NDArray[np.int32],
    neighbours: tuple[NDArray[np.int64], NDArray[np.int32]],
    bounds: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Fill the entries in each row of S."""
    for t in numba.prange(bounds.size - 1):
        stamp, found = np.full(kept.size, -1, np.int32), np.empty(kept.size, np.int32)
        for r in range(bounds[t], bounds[t + 1]):
            counts[r] = _reduced_row(pattern, kept[r], place, neighbours, stamp, found)


@parallel_kernel
def reduced_columns(
    pattern: Pattern,
    kept: NDArray[np.int64],
    place: NDArray[np.int32],
    neighbours: tuple[NDArray[np.int64], NDArray[np.int32]],
    bounds: NDArray[np.int64],
    reduced: tuple[NDArray[np.int64], NDArray[np.int32]],
) -> None:
    """Fill the columns of S, ascending in each row."""
    pointer, columns = reduced
    for t in numba.prange(bounds.size - 1):
        stamp, found = np.full(kept.size, -1, np.int32), np.empty(kept.size, np.int32)
        for r in range(bounds[t], bounds[t + 1]):
            count = _reduced_row(pattern, kept[r], place, neighbours, stamp, found)
            found[:count].sort()
            columns[pointer[r] : pointer[r + 1]] = found[:count]


@kernel
def _search(listed: Ints, start: int, end: int, wanted: int) -> int:
    """Where a number stands in an ascending stretch of a list, or -1."""
    while start < end:
        middle = (start + end) // 2
        if listed[middle] < wanted:
            start = middle + 1
        elif listed[middle] > wanted:
            end = middle
        else:
            return middle
    return -1


@kernel
def _cholesky(block: _Floats) -> int:
    """Put L in the place of a small matrix's lower triangle; return a bad pivot's row, or -1."""
    for i in range(block.shape[0]):
        for j in range(i + 1):
            total = block[i, j]
            for k in range(j):
                total -= block[i, k] * block[j, k]
            if i > j:
                block[i, j] = total / block[j, j]
            elif total > 0.0:
                block[i, i] = np.sqrt(total)
            else:
                return i
    return -1


@kernel
def _solve_lower(root: _Floats, columns: _Floats) -> None:
    """columns <- L⁻¹ columns."""
    for i in range(root.shape[0]):
        for j in range(columns.shape[1]):
            total = columns[i, j]
            for k in range(i):
                total -= root[i, k] * columns[k, j]
            columns[i, j] = total / root[i, i]


@kernel
def _solve_upper(root: _Floats, columns: _Floats) -> None:
    """columns <- L⁻ᵀ columns."""
    for i in range(root.shape[0] - 1, -1, -1):
        for j in range(columns.shape[1]):
            total = columns[i, j]
            for k in range(i + 1, root.shape[0]):
                total -= root[k, i] * columns[k, j]
            columns[i, j] = total / root[i, i]


@parallel_kernel
def factor_blocks(
    matrix: _Matrix,
    starts: NDArray[np.int64],
    place: NDArray[np.int32],
    neighbours: tuple[NDArray[np.int64], NDArray[np.int32]],
    bounds: NDArray[np.int64],
    roots: _Floats,
    coupling: _Floats,
    failed: NDArray[np.int64],
) -> None:
    """Fill L (m × w × w) and Y (one w × d block after the other); ``failed`` takes the first bad pivot of each share."""
    indptr, indices, data = matrix
    pointer, listed = neighbours
    width = roots.shape[1]
    for t in numba.prange(bounds.size - 1):
        failed[t] = -1
        for b in range(bounds[t], bounds[t + 1]):
            first, root = starts[b], roots[b]
            beside = coupling[width * pointer[b] : width * pointer[b + 1]].reshape(width, pointer[b + 1] - pointer[b])
            root[:, :] = 0.0
            beside[:, :] = 0.0
            for i in range(width):
                for p in range(indptr[first + i], indptr[first + i + 1]):
                    r = place[indices[p]]
                    if r < 0:
                        root[i, indices[p] - first] = data[p]
                    else:
                        beside[i, _search(listed, pointer[b], pointer[b + 1], r) - pointer[b]] = data[p]
            bad = _cholesky(root)
            if bad >= 0:
                failed[t] = first + bad
                break
            _solve_lower(root, beside)


@parallel_kernel
def half_solutions(starts: NDArray[np.int64], roots: _Floats, rhs: _Floats, halves: _Floats) -> None:
    """Fill L⁻¹b of each block (m × w)."""
    width = roots.shape[1]
    for b in numba.prange(starts.size):
        halves[b] = rhs[starts[b] : starts[b] + width]
        _solve_lower(roots[b], halves[b].reshape(width, 1))


@parallel_kernel
def reduced_values(
    matrix: _Matrix,
    rhs: _Floats,
    kept: NDArray[np.int64],
    place: NDArray[np.int32],
    neighbours: tuple[NDArray[np.int64], NDArray[np.int32]],
    bounds: NDArray[np.int64],
    coupling: _Floats,
    halves: _Floats,
    reduced: tuple[NDArray[np.int64], NDArray[np.int32], _Floats],
    reduced_rhs: _Floats,
) -> None:
    """Fill the values of S and its right-hand side.

    Blocks are subtracted in the order of their equations, in a row as in its column: S is symmetric to the bit.
    """
    indptr, indices, data = matrix
    pointer, listed = neighbours
    reduced_pointer, columns, values = reduced
    width = halves.shape[1]
    for t in numba.prange(bounds.size - 1):
        sums = np.zeros(kept.size)
        for r in range(bounds[t], bounds[t + 1]):
            e, last, side = kept[r], 0, rhs[kept[r]]
            for p in range(indptr[e], indptr[e + 1]):
                if place[indices[p]] >= 0:
                    sums[place[indices[p]]] = data[p]
            for p in range(indptr[e], indptr[e + 1]):
                c = place[indices[p]]
                if c >= 0 or c == last:
                    continue
                last = c
                start, end = pointer[-1 - c], pointer[-c]
                own = _search(listed, start, end, r) - start
                for k in range(width):
                    row = width * start + k * (end - start)
                    side -= coupling[row + own] * halves[-1 - c, k]
                    for q in range(end - start):
                        sums[listed[start + q]] -= coupling[row + own] * coupling[row + q]
            reduced_rhs[r] = side
            for q in range(reduced_pointer[r], reduced_pointer[r + 1]):
                values[q] = sums[columns[q]]
                sums[columns[q]] = 0.0


@parallel_kernel
def expand_blocks(
    starts: NDArray[np.int64],
    neighbours: tuple[NDArray[np.int64], NDArray[np.int32]],
    roots: _Floats,
    coupling: _Floats,
    halves: _Floats,
    reduced: _Floats,
    x: _Floats,
) -> None:
    """Fill x at the equations of all blocks from the reduced solution."""
    pointer, listed = neighbours
    width = halves.shape[1]
    for b in numba.prange(starts.size):
        part = x[starts[b] : starts[b] + width]
        count = pointer[b + 1] - pointer[b]
        for k in range(width):
            total = halves[b, k]
            for q in range(count):
                total -= coupling[width * pointer[b] + k * count + q] * reduced[listed[pointer[b] + q]]
            part[k] = total
        _solve_upper(roots[b], part.reshape(width, 1))


@kernel
def _gather(matrix: _Matrix, listed: NDArray[np.int32], front: _Floats) -> bool:
    """Fill the entries of a symmetric matrix at all pairs of a list; False where one is not stored."""
    indptr, indices, data = matrix
    for i in range(listed.size):
        for j in range(i + 1):
            row, column = listed[i], listed[j]
            if indptr[row + 1] - indptr[row] > indptr[column + 1] - indptr[column]:
                row, column = column, row
            at = _search(indices, indptr[row], indptr[row + 1], column)
            if at < 0:
                return False
            front[i, j] = data[at]
            front[j, i] = data[at]
    return True


@kernel
def _inverse_block(root: _Floats, beside: _Floats, front: _Floats, block: _Floats) -> None:
    """Fill L⁻ᵀ(I + Y H Y')L⁻¹, symmetric to the bit."""
    width, count = beside.shape
    for i in range(width):
        block[i, :] = 0.0
        block[i, i] = 1.0
        for p in range(count):
            weight = 0.0
            for q in range(count):
                weight += beside[i, q] * front[p, q]
            for j in range(width):
                block[i, j] += weight * beside[j, p]
    _solve_upper(root, block)
    _solve_upper(root, block.T)
    for i in range(width):
        block[:i, i] = block[i, :i]


@parallel_kernel
def inverse_blocks(
    inverse: _Matrix,
    neighbours: tuple[NDArray[np.int64], NDArray[np.int32]],
    bounds: NDArray[np.int64],
    roots: _Floats,
    coupling: _Floats,
    blocks: _Floats,
    failed: NDArray[np.int64],
) -> None:
    """Fill (C⁻¹)_bb of all blocks from S⁻¹; ``failed`` takes the first block of each share that misses an entry of S⁻¹."""
    pointer, listed = neighbours
    width = roots.shape[1]
    most = 0
    for b in range(pointer.size - 1):
        most = max(most, pointer[b + 1] - pointer[b])
    for t in numba.prange(bounds.size - 1):
        failed[t] = -1
        front = np.empty((most, most))
        for b in range(bounds[t], bounds[t + 1]):
            count = pointer[b + 1] - pointer[b]
            if not _gather(inverse, listed[pointer[b] : pointer[b + 1]], front):
                failed[t] = b
                break
            beside = coupling[width * pointer[b] : width * pointer[b + 1]].reshape(width, count)
            _inverse_block(roots[b], beside, front, blocks[b])
