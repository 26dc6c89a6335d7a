"""The selected inverse: entries of A⁻¹ from its Cholesky factor, supernode by supernode, from the root to the leaves.

Storage. The panel of a supernode (columns J, rows S below them) holds L, and afterwards Z = A⁻¹, of which the half of Z_JJ
that has ``row >= column`` is valid.

Computation (Takahashi, Fagan & Chin 1973, in blocks). With Y = L_SJ L_JJ⁻¹,

    Z_SJ = -Z_SS Y,    Z_JJ = L_JJ⁻ᵀ L_JJ⁻¹ - Yᵀ Z_SJ.

Z_SS is gathered from the panels of the supernodes that own the columns S: ancestors, which are done. Nothing else is kept, so
supernodes that are not ancestors of one another may be taken in any order, or at once.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel
from breedblup.kernels.supernodes import Supernodes

_Vector = NDArray[np.float64]


@kernel
def _positions(
    sought: NDArray[np.int32], first: int, end: int, rows: NDArray[np.int32], out: NDArray[np.uint32]
) -> None:
    """Fill where sorted rows, all of them there, stand in a panel of columns ``first`` to ``end``, then ``rows``."""
    low = 0
    for t in range(sought.size):
        row = sought[t]
        if row < end:
            out[t] = row - first
            continue
        # Rows are near one another: steps double from where the last one was found, then bisect.
        step = 1
        high = low
        while high < rows.size and rows[high] < row:
            low = high + 1
            high += step
            step += step
        high = min(high, rows.size)
        while low < high:
            middle = (low + high) // 2
            if rows[middle] < row:
                low = middle + 1
            else:
                high = middle
        out[t] = end - first + low


@kernel
def _gather(
    sought: NDArray[np.int32],
    first: int,
    last: int,
    nodes: Supernodes,
    panels: _Vector,
    place: NDArray[np.uint32],
    out: NDArray[np.float64],
) -> None:
    """Fill ``out[b - first, a - first]`` with Z at rows a >= b of ``sought``, b from ``first`` to ``last``."""
    start, row_start, rows, panel, owner = nodes
    size = sought.size
    b = first
    while b < last:
        up = owner[sought[b]]
        end = start[up + 1]
        length = end - start[up] + row_start[up + 1] - row_start[up]
        _positions(sought[b:], start[up], end, rows[row_start[up] : row_start[up + 1]], place[b:])
        while b < last and sought[b] < end:
            begin = panel[up] + np.int64(place[b]) * length
            source = panels[begin : begin + length]
            target = out[b - first]
            for a in range(b, size):
                target[a - first] = source[place[a]]
            b += 1


@kernel
def quotient(panel: NDArray[np.float64], inverse: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Fill L_JJ⁻¹ (zeros above) and Y from a panel that holds L."""
    w = panel.shape[0]
    for i in range(w):
        inverse[i, :] = 0.0
        for k in range(i):
            factor = panel[k, i]
            for j in range(k + 1):
                inverse[i, j] -= factor * inverse[k, j]
        for j in range(i):
            inverse[i, j] /= panel[i, i]
        inverse[i, i] = 1.0 / panel[i, i]
    s = y.shape[0]
    if s > 0:
        columns = np.empty((s, w))
        for j in range(w):
            for a in range(s):
                columns[a, j] = panel[j, w + a]
        np.dot(columns, inverse, y)


@kernel
def put_columns(
    inverse: NDArray[np.float64], y: NDArray[np.float64], product: NDArray[np.float64], panel: NDArray[np.float64]
) -> None:
    """Fill a panel with Z, from L_JJ⁻¹, Y and Z_SS Y."""
    s, w = y.shape
    corner = np.dot(inverse.T, inverse)
    if s > 0:
        corner += np.dot(y.T, product)
    panel[:, :w] = corner
    for j in range(w):
        for a in range(s):
            panel[j, w + a] = -product[a, j]


@kernel
def _add_chunks(
    sought: NDArray[np.int32],
    nodes: Supernodes,
    panels: _Vector,
    y: NDArray[np.float64],
    columns: int,
    first: int,
    step: int,
    out: NDArray[np.float64],
) -> None:
    """Add to Z_SS Y what chunks of ``columns`` columns of Z_SS give, of which each ``step``-th is taken."""
    s = sought.size
    place = np.empty(s, np.uint32)
    scratch = np.empty(columns * s)
    for begin in range(first * columns, s, step * columns):
        end = min(begin + columns, s)
        chunk = scratch[: (end - begin) * (s - begin)].reshape(end - begin, s - begin)
        _gather(sought, begin, end, nodes, panels, place, chunk)
        # The block on the diagonal is used twice, as it is and turned: half of its diagonal, zeros on one side.
        for b in range(end - begin):
            chunk[b, :b] = 0.0
            chunk[b, b] *= 0.5
        out[begin:end] += np.dot(chunk, y[begin:])
        out[begin:] += np.dot(chunk.T, y[begin:end])


@parallel_kernel
def multiply_gathered(
    node: int,
    nodes: Supernodes,
    panels: _Vector,
    y: NDArray[np.float64],
    parts: int,
    columns: int,
    out: NDArray[np.float64],
) -> None:
    """Fill Z_SS Y of one supernode; each part takes its share of the chunks."""
    sought = nodes.rows[nodes.row_start[node] : nodes.row_start[node + 1]]
    s, w = y.shape
    sums = np.zeros((parts, s, w))
    for part in prange(parts):
        _add_chunks(sought, nodes, panels, y, columns, part, parts, sums[part])
    out[:, :] = sums[0]
    for part in range(1, parts):
        out += sums[part]


@kernel
def _single_column(column: _Vector, zss: NDArray[np.float64]) -> None:
    """A supernode of one column."""
    s = column.size - 1
    pivot = 1.0 / column[0]
    corner = pivot * pivot
    y = column[1:] * pivot
    out = column[1:]
    out[:] = 0.0
    for b in range(s):
        factor = y[b]
        out[b] -= factor * zss[b, b]
        total = 0.0
        for a in range(b + 1, s):
            out[a] -= factor * zss[b, a]
            total += y[a] * zss[b, a]
        out[b] -= total
    for b in range(s):
        corner -= out[b] * y[b]
    column[0] = corner


@kernel
def _invert_whole(
    sought: NDArray[np.int32],
    nodes: Supernodes,
    panels: _Vector,
    place: NDArray[np.uint32],
    zss: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> None:
    """A supernode of few rows: Z_SS is held whole."""
    _gather(sought, 0, sought.size, nodes, panels, place, zss)
    w = columns.shape[0]
    if w == 1:
        _single_column(columns[0], zss)
        return
    for b in range(sought.size):
        for a in range(b):
            zss[b, a] = zss[a, b]
    inverse, y = np.empty((w, w)), np.empty((sought.size, w))
    quotient(columns, inverse, y)
    put_columns(inverse, y, np.dot(zss, y), columns)


@parallel_kernel
def sweep_subtrees(
    visit: NDArray[np.int64], bounds: NDArray[np.int64], most: int, nodes: Supernodes, panels: _Vector
) -> None:
    """Turn L into Z in the panels of supernodes, those of different parts at once, parents before children.

    Z_SS is held whole up to ``most`` rows, and gathered in chunks of as many columns beyond.
    """
    start, row_start, rows, panel = nodes.start, nodes.row_start, nodes.rows, nodes.panel
    for part in prange(bounds.size - 1):
        place = np.empty(most, np.uint32)
        scratch = np.empty(most * most)
        for t in range(bounds[part], bounds[part + 1]):
            node = visit[t]
            w, s = start[node + 1] - start[node], row_start[node + 1] - row_start[node]
            columns = panels[panel[node] : panel[node + 1]].reshape(w, w + s)
            sought = rows[row_start[node] : row_start[node + 1]]
            if s <= most:
                _invert_whole(sought, nodes, panels, place, scratch[: s * s].reshape(s, s), columns)
            else:
                inverse, y, product = np.empty((w, w)), np.empty((s, w)), np.zeros((s, w))
                quotient(columns, inverse, y)
                _add_chunks(sought, nodes, panels, y, most, 0, 1, product)
                put_columns(inverse, y, product, columns)
