"""The selected inverse: entries of A⁻¹ from its Cholesky factor, supernode by supernode, from the root to the leaves.

Storage. L comes as sorted CSC in the order of elimination. A supernode is a range of columns J with one set of rows S below
them. Its front, dense, is Z = A⁻¹ at S×S, S×J and J×J, one after the other in one stack.

Computation (Takahashi, Fagan & Chin 1973, in blocks). With Y = L_SJ L_JJ⁻¹,

    Z_SJ = -Z_SS Y,    Z_JJ = L_JJ⁻ᵀ L_JJ⁻¹ - Yᵀ Z_SJ,

and Z_SS is part of the parent's front, since S lies within the parent's columns and rows.

Order. Children after their parent; the child whose subtree needs most memory comes last and takes the place of the parent's
front, so that a chain of supernodes needs one front, not one for each link.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breedblup.kernels import kernel

_Ints = NDArray[np.int32] | NDArray[np.int64]


class Supernodes(NamedTuple):
    """Columns, rows and places in the stack of all supernodes; ``relative`` gives each row's place in the parent's front."""

    start: NDArray[np.int64]
    row_start: NDArray[np.int64]
    rows: NDArray[np.int32]
    relative: NDArray[np.int32]
    parent: NDArray[np.int64]
    visit: NDArray[np.int64]
    position: NDArray[np.int64]
    replaces: NDArray[np.bool_]


@kernel
def plan_stack(
    size: NDArray[np.int64],
    parent: NDArray[np.int64],
    visit: NDArray[np.int64],
    position: NDArray[np.int64],
    replaces: NDArray[np.bool_],
) -> int:
    """Fill the order of visits and each front's place in the stack; return the length of the stack."""
    count = parent.size
    peak = np.zeros(count, np.int64)
    second = np.zeros(count, np.int64)
    heaviest = np.full(count, -1, np.int64)
    head = np.full(count, -1, np.int64)
    following = np.full(count, -1, np.int64)
    length = 0
    for s in range(count):
        own = size[s] + second[s]
        peak[s] = max(own, peak[heaviest[s]]) if heaviest[s] != -1 else own
        up = parent[s]
        if up == -1:
            length = max(length, peak[s])
            continue
        following[s] = head[up]
        head[up] = s
        if heaviest[up] == -1 or peak[s] > peak[heaviest[up]]:
            if heaviest[up] != -1:
                second[up] = max(second[up], peak[heaviest[up]])
            heaviest[up] = s
        else:
            second[up] = max(second[up], peak[s])
    stack = np.empty(count, np.int64)
    visited = 0
    for root in range(count):
        if parent[root] != -1:
            continue
        position[root] = 0
        replaces[root] = False
        stack[0] = root
        top = 1
        while top > 0:
            top -= 1
            s = stack[top]
            visit[visited] = s
            visited += 1
            if heaviest[s] != -1:
                stack[top] = heaviest[s]
                top += 1
            child = head[s]
            while child != -1:
                replaces[child] = child == heaviest[s]
                position[child] = position[s] if replaces[child] else position[s] + size[s]
                if not replaces[child]:
                    stack[top] = child
                    top += 1
                child = following[child]
    return length


@kernel
def supernode_rows(
    pattern: tuple[_Ints, _Ints],
    order: NDArray[np.int64],
    place: NDArray[np.int64],
    start: NDArray[np.int64],
    is_head: NDArray[np.bool_],
    row_start: NDArray[np.int64],
    rows: NDArray[np.int32],
) -> None:
    """Fill the rows of each supernode; those that are pieces of one wide supernode (a head and what follows it) go together."""
    indptr, indices = pattern
    count = start.size - 1
    n = order.size
    owner = np.empty(n, np.int64)
    mark = np.full(n, -1, np.int64)
    child_head = np.full(count, -1, np.int64)
    following = np.full(count, -1, np.int64)
    found = np.empty(n, np.int32)
    s = 0
    while s < count:
        last = s
        while last + 1 < count and not is_head[last + 1]:
            last += 1
        end = start[last + 1]
        owner[start[s] : end] = s
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
        below = np.sort(found[:length])
        for piece in range(s, last + 1):
            p = row_start[piece]
            for i in range(start[piece + 1], end):
                rows[p] = i
                p += 1
            rows[p : p + length] = below
        if length > 0:
            # The supernode of the first row is not reached yet: its head is found by bisection.
            up = np.searchsorted(start, below[0], side="right") - 1
            while not is_head[up]:
                up -= 1
            following[last] = child_head[up]
            child_head[up] = last
        s = last + 1


@kernel
def relative_rows(
    start: NDArray[np.int64],
    row_start: NDArray[np.int64],
    rows: NDArray[np.int32],
    parent: NDArray[np.int64],
    relative: NDArray[np.int32],
) -> None:
    """Fill the place of each row of a supernode within its parent's columns and rows."""
    count = parent.size
    head = np.full(count, -1, np.int64)
    following = np.full(count, -1, np.int64)
    for s in range(count):
        if parent[s] != -1:
            following[s] = head[parent[s]]
            head[parent[s]] = s
    where = np.empty(start[count], np.int32)
    for up in range(count):
        width = start[up + 1] - start[up]
        for j in range(width):
            where[start[up] + j] = j
        for p in range(row_start[up], row_start[up + 1]):
            where[rows[p]] = width + p - row_start[up]
        child = head[up]
        while child != -1:
            for p in range(row_start[child], row_start[child + 1]):
                relative[p] = where[rows[p]]
            child = following[child]


@kernel
def _gather(front: NDArray[np.float64], s: int, w: int, relative: NDArray[np.int32], out: NDArray[np.float64]) -> None:
    """Take Z_SS of a child out of the parent's front (s rows, w columns)."""
    ss = front[: s * s].reshape(s, s)
    sj = front[s * s : s * s + s * w].reshape(s, w)
    jj = front[s * s + s * w : s * s + s * w + w * w].reshape(w, w)
    n = relative.size
    inside = 0
    while inside < n and relative[inside] < w:
        inside += 1
    for a in range(inside):
        for b in range(inside):
            out[a, b] = jj[relative[a], relative[b]]
        for b in range(inside, n):
            value = sj[relative[b] - w, relative[a]]
            out[a, b] = value
            out[b, a] = value
    for a in range(inside, n):
        row = relative[a] - w
        for b in range(inside, n):
            out[a, b] = ss[row, relative[b] - w]


@kernel
def _invert_lower(lower: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Fill the inverse of a lower triangle row by row; zeros above."""
    w = lower.shape[0]
    for i in range(w):
        out[i, :] = 0.0
        for k in range(i):
            factor = lower[i, k]
            for j in range(k + 1):
                out[i, j] -= factor * out[k, j]
        for j in range(i):
            out[i, j] /= lower[i, i]
        out[i, i] = 1.0 / lower[i, i]


@kernel
def _fill_front(
    zss: NDArray[np.float64],
    zsj: NDArray[np.float64],
    zjj: NDArray[np.float64],
    lsj: NDArray[np.float64],
    ljj: NDArray[np.float64],
) -> None:
    """Z_SJ and Z_JJ from Z_SS and the columns of L; ``lsj`` is overwritten."""
    s, w = lsj.shape
    # One narrow supernode costs less than the call of BLAS: loops up to 2 columns of 32 rows.
    if w == 1 and s <= 32:
        pivot = 1.0 / ljj[0, 0]
        corner = pivot * pivot
        for a in range(s):
            lsj[a, 0] *= pivot
        for a in range(s):
            total = 0.0
            for b in range(s):
                total -= zss[a, b] * lsj[b, 0]
            zsj[a, 0] = total
            corner -= total * lsj[a, 0]
        zjj[0, 0] = corner
        return
    inverse = np.empty((w, w))
    _invert_lower(ljj, inverse)
    np.dot(inverse.T, inverse, zjj)
    if s > 0:
        y = np.dot(lsj, inverse)
        np.dot(zss, y, zsj)
        zsj *= -1.0
        zjj -= np.dot(y.T, zsj)


@kernel
def selected_inverse(
    lower: tuple[_Ints, _Ints, NDArray[np.float64]],
    nodes: Supernodes,
    stack: NDArray[np.float64],
    wanted: tuple[NDArray[np.int64], NDArray[np.int32]],
    out: NDArray[np.float64],
) -> None:
    """Fill the entries of A⁻¹ that ``wanted`` (columns of the lower triangle: starts, rows) asks for, in its order."""
    indptr, indices, data = lower
    wanted_start, wanted_rows = wanted
    count = nodes.parent.size
    where = np.empty(nodes.start[count], np.int64)
    widest, tallest = 0, 0
    for s in range(count):
        widest = max(widest, nodes.start[s + 1] - nodes.start[s])
        tallest = max(tallest, nodes.row_start[s + 1] - nodes.row_start[s])
    scratch = np.empty(tallest * tallest)
    columns = np.empty(tallest * widest)
    triangle = np.empty(widest * widest)
    for t in range(count):
        node = nodes.visit[t]
        first, below = nodes.start[node], nodes.row_start[node]
        w, s = nodes.start[node + 1] - first, nodes.row_start[node + 1] - below
        front = stack[nodes.position[node] :]
        zss = front[: s * s].reshape(s, s)
        zsj = front[s * s : s * s + s * w].reshape(s, w)
        zjj = front[s * s + s * w : s * s + s * w + w * w].reshape(w, w)
        up = nodes.parent[node]
        if up != -1:
            above = stack[nodes.position[up] :]
            up_w, up_s = nodes.start[up + 1] - nodes.start[up], nodes.row_start[up + 1] - nodes.row_start[up]
            relative = nodes.relative[below : below + s]
            if nodes.replaces[node]:
                _gather(above, up_s, up_w, relative, scratch[: s * s].reshape(s, s))
                front[: s * s] = scratch[: s * s]
            else:
                _gather(above, up_s, up_w, relative, zss)
        for j in range(w):
            where[first + j] = j
        for p in range(s):
            where[nodes.rows[below + p]] = w + p
        lsj = columns[: s * w].reshape(s, w)
        ljj = triangle[: w * w].reshape(w, w)
        lsj[:, :] = 0.0
        ljj[:, :] = 0.0
        for j in range(w):
            for p in range(indptr[first + j], indptr[first + j + 1]):
                # The library pads its own supernodes with zeros, perhaps at rows that ours do not have.
                if data[p] != 0.0:
                    i = where[indices[p]]
                    if i < w:
                        ljj[i, j] = data[p]
                    else:
                        lsj[i - w, j] = data[p]
        _fill_front(zss, zsj, zjj, lsj, ljj)
        for j in range(w):
            for p in range(wanted_start[first + j], wanted_start[first + j + 1]):
                i = where[wanted_rows[p]]
                out[p] = zjj[i, j] if i < w else zsj[i - w, j]
