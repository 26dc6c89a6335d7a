"""Supernodes of a factor: their rows, the subtrees they form, and panels that hold their columns.

A supernode is a range of columns J with one set of rows S below them. Its panel holds these columns one after the other, J
before S: first of L, then of A⁻¹ (`breedblup/kernels/inverse.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel

_Ints = NDArray[np.int32] | NDArray[np.int64]
_Vector = NDArray[np.float64]


class Supernodes(NamedTuple):
    """First columns, rows below with their starts, starts of the panels, and the supernode that owns each column."""

    start: NDArray[np.int64]
    row_start: NDArray[np.int64]
    rows: NDArray[np.int32]
    panel: NDArray[np.int64]
    owner: NDArray[np.int32]


@kernel
def supernode_rows(
    pattern: tuple[_Ints, _Ints],
    order: NDArray[np.int64],
    place: NDArray[np.int64],
    start: NDArray[np.int64],
    row_start: NDArray[np.int64],
    rows: NDArray[np.int32],
    owner: NDArray[np.int32],
) -> None:
    """Fill the rows of each supernode, sorted, and the owner of each column."""
    indptr, indices = pattern
    count = start.size - 1
    n = order.size
    mark = np.full(n, -1, np.int64)
    child_head = np.full(count, -1, np.int64)
    following = np.full(count, -1, np.int64)
    found = np.empty(n, np.int32)
    for s in range(count):
        owner[start[s] : start[s + 1]] = s
    for s in range(count):
        end = start[s + 1]
        length = 0
        for j in range(start[s], end):
            for p in range(indptr[order[j]], indptr[order[j] + 1]):
                i = place[indices[p]]
                if i >= end and mark[i] != s:
                    mark[i] = s
                    found[length] = i
                    length += 1
        child = child_head[s]
        while child != -1:
            for p in range(row_start[child], row_start[child + 1]):
                i = rows[p]
                if i >= end and mark[i] != s:
                    mark[i] = s
                    found[length] = i
                    length += 1
            child = following[child]
        rows[row_start[s] : row_start[s] + length] = np.sort(found[:length])
        if length > 0:
            up = owner[rows[row_start[s]]]
            following[s] = child_head[up]
            child_head[up] = s


@kernel
def split_forest(
    parent: NDArray[np.int64], is_large: NDArray[np.bool_], work: _Vector, parts: int, part: NDArray[np.int64]
) -> None:
    """Mark the ancestors of large supernodes as large too; give each other one a part, whole subtrees of like total work."""
    count = parent.size
    below = np.zeros(count)
    total = 0.0
    for s in range(count):
        up = parent[s]
        if is_large[s]:
            if up != -1:
                is_large[up] = True
            continue
        below[s] += work[s]
        if up != -1:
            below[up] += below[s]
        total += work[s]
    done = 0.0
    for s in range(count - 1, -1, -1):
        up = parent[s]
        if is_large[s]:
            part[s] = -1
        elif up != -1 and not is_large[up]:
            part[s] = part[up]
        else:
            part[s] = min(parts - 1, int(parts * done / total))
            done += below[s]


@parallel_kernel
def fill_panels(
    lower: tuple[_Ints, _Ints, _Vector], nodes: Supernodes, bounds: NDArray[np.int64], panels: _Vector
) -> None:
    """Fill the panels with L, sorted CSC in the order of elimination; each thread takes the columns between two bounds."""
    indptr, indices, data = lower
    start, row_start, rows, panel, owner = nodes
    for part in prange(bounds.size - 1):
        for j in range(bounds[part], bounds[part + 1]):
            s = owner[j]
            first, end = start[s], start[s + 1]
            below = rows[row_start[s] : row_start[s + 1]]
            column = panels[panel[s] + (j - first) * (end - first + below.size) :][: end - first + below.size]
            column[:] = 0.0
            at = 0
            for p in range(indptr[j], indptr[j + 1]):
                # The library pads its own supernodes with zeros, perhaps at rows that ours do not have.
                if data[p] == 0.0:
                    continue
                i = indices[p]
                if i < end:
                    column[i - first] = data[p]
                else:
                    while below[at] < i:
                        at += 1
                    column[end - first + at] = data[p]


@parallel_kernel
def entries_at(
    pattern: tuple[_Ints, _Ints], place: NDArray[np.int64], nodes: Supernodes, panels: _Vector, out: _Vector
) -> None:
    """Fill the entries of A⁻¹ on a pattern in the order of A."""
    indptr, indices = pattern
    start, row_start, rows, panel, owner = nodes
    for row in prange(indptr.size - 1):
        for p in range(indptr[row], indptr[row + 1]):
            low, high = place[row], place[indices[p]]
            if low > high:
                low, high = high, low
            s = owner[low]
            first, end = start[s], start[s + 1]
            length = end - first + row_start[s + 1] - row_start[s]
            at = high - first
            if high >= end:
                at = end - first + np.searchsorted(rows[row_start[s] : row_start[s + 1]], high)
            out[p] = panels[panel[s] + (low - first) * length + at]


@parallel_kernel
def lies_within(part: tuple[_Ints, _Ints], whole: tuple[_Ints, _Ints]) -> bool:
    """Whether every position of a pattern is one of the other's, whose columns are sorted."""
    starts, columns = part
    indptr, indices = whole
    missing = 0
    for row in prange(indptr.size - 1):
        known = indices[indptr[row] : indptr[row + 1]]
        for p in range(starts[row], starts[row + 1]):
            at = np.searchsorted(known, columns[p])
            if at == known.size or known[at] != columns[p]:
                missing += 1
    return missing == 0
