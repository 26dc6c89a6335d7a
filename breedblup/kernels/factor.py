"""Symbolic analysis of a symmetric sparse matrix, and a sparse LDL' that leaves out dependent columns.

The matrix comes as sorted CSR with both triangles; ``order[k]`` is the row eliminated k-th, ``place`` its inverse.
Everything symbolic takes time near linear in the non-zeros of the matrix, never in those of its factor.

References: Liu (1990) for the elimination tree; Gilbert, Ng & Peyton (1994) for the column counts; Davis (2006), chapter 4,
for both and for the factor row by row; Ashcraft & Grimes (1989) for relaxed supernodes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from breedblup.kernels import kernel

_Ints = NDArray[np.int32] | NDArray[np.int64]


@kernel
def elimination_tree(
    indptr: _Ints, indices: _Ints, order: NDArray[np.int64], place: NDArray[np.int64], parent: NDArray[np.int64]
) -> None:
    """Fill the parent of each eliminated column, -1 for a root."""
    n = order.size
    ancestor = np.full(n, -1, np.int64)
    for k in range(n):
        parent[k] = -1
        row = order[k]
        for p in range(indptr[row], indptr[row + 1]):
            i = place[indices[p]]
            while i != -1 and i < k:
                above = ancestor[i]
                ancestor[i] = k
                if above == -1:
                    parent[i] = k
                i = above


@kernel
def postorder(parent: NDArray[np.int64], post: NDArray[np.int64]) -> None:
    """Fill the columns so that each subtree is contiguous and ends in its root."""
    n = parent.size
    head = np.full(n, -1, np.int64)
    following = np.full(n, -1, np.int64)
    for j in range(n - 1, -1, -1):
        if parent[j] != -1:
            following[j] = head[parent[j]]
            head[parent[j]] = j
    stack = np.empty(n, np.int64)
    count = 0
    for root in range(n):
        if parent[root] != -1:
            continue
        top = 0
        stack[0] = root
        while top >= 0:
            j = stack[top]
            child = head[j]
            if child == -1:
                post[count] = j
                count += 1
                top -= 1
            else:
                head[j] = following[child]
                top += 1
                stack[top] = child


@kernel
def _leaf(
    i: int,
    j: int,
    first: NDArray[np.int64],
    furthest: NDArray[np.int64],
    previous: NDArray[np.int64],
    ancestor: NDArray[np.int64],
) -> int:
    """-2 where j is no leaf of the row subtree of i, -1 for its first leaf, else the common ancestor with the last leaf."""
    if i <= j or first[j] <= furthest[i]:
        return -2
    furthest[i] = first[j]
    last = previous[i]
    previous[i] = j
    if last == -1:
        return -1
    root = last
    while root != ancestor[root]:
        root = ancestor[root]
    while last != root:
        above = ancestor[last]
        ancestor[last] = root
        last = above
    return int(root)


@kernel
def column_counts(
    indptr: _Ints,
    indices: _Ints,
    order: NDArray[np.int64],
    place: NDArray[np.int64],
    parent: NDArray[np.int64],
    post: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Fill the non-zeros of each column of L, its diagonal included."""
    n = order.size
    first = np.full(n, -1, np.int64)
    furthest = np.full(n, -1, np.int64)
    previous = np.full(n, -1, np.int64)
    ancestor = np.arange(n)
    for k in range(n):
        j = post[k]
        counts[j] = 1 if first[j] == -1 else 0
        while j != -1 and first[j] == -1:
            first[j] = k
            j = parent[j]
    for k in range(n):
        j = post[k]
        if parent[j] != -1:
            counts[parent[j]] -= 1
        row = order[j]
        for p in range(indptr[row], indptr[row + 1]):
            i = place[indices[p]]
            root = _leaf(i, j, first, furthest, previous, ancestor)
            if root >= -1:
                counts[j] += 1
            if root >= 0:
                counts[root] -= 1
        if parent[j] != -1:
            ancestor[j] = parent[j]
    for j in range(n):
        if parent[j] != -1:
            counts[parent[j]] += counts[j]


@kernel
def relaxed_supernodes(parent: NDArray[np.int64], counts: NDArray[np.int64], is_first: NDArray[np.bool_]) -> None:
    """Mark the first column of each supernode of a postordered tree.

    Columns of one pattern belong together; a supernode then joins the one at its right that holds its parent where that
    stores few zeros more: always up to 4 columns, 80 % of zeros up to 16, 10 % up to 48, 5 % beyond (CHOLMOD's limits).
    """
    n = parent.size
    is_first[0] = True
    for j in range(1, n):
        is_first[j] = parent[j - 1] != j or counts[j - 1] != counts[j] + 1
    start, end, stored = n, n, 0
    j = n - 1
    while j >= 0:
        last = j
        entries = counts[j]
        while not is_first[j]:
            j -= 1
            entries += counts[j]
        if start < n and start <= parent[last] < end:
            width = end - j
            total = width * (width + 1) // 2 + width * (counts[end - 1] - 1)
            zeros = 1.0 - (stored + entries) / total
            if width <= 4 or (width <= 16 and zeros < 0.8) or (width <= 48 and zeros < 0.1) or zeros < 0.05:
                is_first[start] = False
                start, stored = j, stored + entries
                j -= 1
                continue
        start, end, stored = j, last + 1, entries
        j -= 1


@kernel
def ldl_dropping(
    matrix: tuple[_Ints, _Ints, NDArray[np.float64]],
    order: NDArray[np.int64],
    place: NDArray[np.int64],
    parent: NDArray[np.int64],
    tolerance: float,
    factor: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]],
    pivots: NDArray[np.float64],
) -> None:
    """Fill L (unit diagonal left out) and D row by row; a pivot of 0 marks a column that depends on those before it.

    ``factor``: where each column starts, where it ends (filled), rows, values. For the k-th column y solves L y = a_k over the
    columns kept so far, d_k = a_kk - sum y_i^2 / d_i; row and column k of L stay empty where d_k <= tolerance * a_kk. Sums carry
    what they lose (Kahan 1965): without, a dependent column beside 10⁶ levels kept a pivot of 1.02e-11 times its diagonal.
    """
    indptr, indices, data = matrix
    start, end, rows, values = factor
    n = order.size
    y = np.zeros(n)
    lost = np.zeros(n)
    flag = np.full(n, -1, np.int64)
    pattern = np.empty(n, np.int64)
    path = np.empty(n, np.int64)
    for k in range(n):
        top = n
        flag[k] = k
        diagonal = 0.0
        for p in range(indptr[order[k]], indptr[order[k] + 1]):
            i = place[indices[p]]
            if i == k:
                diagonal = data[p]
            if i >= k:
                continue
            y[i] = data[p]
            length = 0
            while flag[i] != k:
                path[length] = i
                length += 1
                flag[i] = k
                i = parent[i]
            while length > 0:
                top -= 1
                length -= 1
                pattern[top] = path[length]
        pivot, pivot_lost = diagonal, 0.0
        for t in range(top, n):
            i = pattern[t]
            if pivots[i] == 0.0:
                y[i] = 0.0
                continue
            for p in range(start[i], end[i]):
                row = rows[p]
                step = values[p] * y[i] + lost[row]
                total = y[row] - step
                lost[row] = (total - y[row]) + step
                y[row] = total
            step = y[i] * y[i] / pivots[i] + pivot_lost
            total = pivot - step
            pivot_lost = (total - pivot) + step
            pivot = total
        pivots[k] = pivot if pivot > tolerance * diagonal else 0.0
        for t in range(top, n):
            i = pattern[t]
            if pivots[k] != 0.0 and y[i] != 0.0:
                rows[end[i]] = k
                values[end[i]] = y[i] / pivots[i]
                end[i] += 1
            y[i] = 0.0
            lost[i] = 0.0
        y[k] = 0.0


@kernel
def ldl_solve(
    factor: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]],
    pivots: NDArray[np.float64],
    order: NDArray[np.int64],
    rhs: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Fill the solution, zero at the columns that were left out."""
    start, end, rows, values = factor
    n = order.size
    x = np.empty(n)
    for k in range(n):
        x[k] = rhs[order[k]] if pivots[k] != 0.0 else 0.0
    for k in range(n):
        for p in range(start[k], end[k]):
            x[rows[p]] -= values[p] * x[k]
    for k in range(n - 1, -1, -1):
        total = x[k] / pivots[k] if pivots[k] != 0.0 else 0.0
        for p in range(start[k], end[k]):
            total -= values[p] * x[rows[p]]
        x[k] = total
        out[order[k]] = total
