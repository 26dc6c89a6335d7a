"""Which supernodes a factor has, and how the selected inverse sweeps over them.

Panels are dense and never move (`breedblup/kernels/inverse.py`). Small supernodes hang as subtrees below the large ones; the
threads take whole subtrees. The large ones come before, one at a time: in a wide one, such as the dense block that ends
every animal model, LAPACK has the threads, in a tall one the gathering does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack
from scipy.sparse import csc_array

from breedblup.kernels.factor import relaxed_supernodes
from breedblup.kernels.inverse import multiply_gathered, put_columns, quotient, sweep_subtrees
from breedblup.kernels.supernodes import Supernodes, fill_panels, split_forest, supernode_rows
from breedblup.solvers.threads import one_blas_thread

SMALL = 1000
"""Most columns and rows of a supernode that one thread takes by itself: bringing threads together for each costs more."""

WIDE = 128
"""Columns from which a supernode is worth LAPACK on all threads."""

CHUNK = 128
"""Columns of Z_SS that a thread gathers at once: what BLAS reads next is still in cache. 64 to 256 differ by 5 %."""

ONE_THREAD_UP_TO = 1e9
"""Operations of the factorisation. At half of this the inverse took 50 ms on one thread, and 400 to 1,300 ms on two where other
processes wanted the cores and waiting threads were spinning."""

SHARES = 8
"""Parts for each thread: of unlike length, and threads come late."""

_Vector = NDArray[np.float64]


@dataclass(frozen=True)
class SupernodeCounts:
    """Supernodes of a postordered elimination tree, with all sizes but no rows yet.

    Attributes
    ----------
    start
        First column of each, and the end.
    below
        Rows below its columns.
    parent
        Supernode that owns the first of these rows, -1 for none.
    """

    start: NDArray[np.int64]
    below: NDArray[np.int64]
    parent: NDArray[np.int64]

    @classmethod
    def of(cls, parent: NDArray[np.int64], counts: NDArray[np.int64]) -> SupernodeCounts:
        """Join columns to supernodes."""
        is_first = np.empty(parent.size, np.bool_)
        relaxed_supernodes(parent, counts, is_first)
        start = np.append(np.flatnonzero(is_first), parent.size)
        above = parent[start[1:] - 1]
        up = np.where(above >= 0, np.searchsorted(start, above, side="right") - 1, -1)
        return cls(start, counts[start[1:] - 1] - 1, up)

    @cached_property
    def widths(self) -> NDArray[np.int64]:
        """Columns of each."""
        return np.diff(self.start)

    @property
    def stored(self) -> int:
        """Values in all panels."""
        return int((self.widths * (self.widths + self.below)).sum())

    @property
    def update_bytes(self) -> int:
        """Most bytes of an update of one supernode by another while factorising."""
        return 8 * int((self.below * np.minimum(self.below, self.widths.max())).max())

    @property
    def rows_bytes(self) -> int:
        """Of the rows of all supernodes and the owners of the columns."""
        return 4 * int(self.below.sum()) + 4 * int(self.start[-1])

    @property
    def panel_bytes(self) -> int:
        """Of the panels."""
        return 8 * self.stored

    def working_bytes(self) -> int:
        """Most bytes of the sweep beside panels and rows, on the threads there are."""
        threads = numba.get_num_threads()
        width, below = self.widths, self.below
        values = (4 + 2 * threads) * width * below + threads * CHUNK * below + 2 * width**2 * (below > 0)
        is_small = width + below <= SMALL
        return 8 * int(values.max() + (threads * values * is_small).max())

    def with_rows(
        self, pattern: tuple[NDArray[Any], NDArray[Any]], order: NDArray[np.int64], place: NDArray[np.int64]
    ) -> Supernodes:
        """Find the rows in the pattern of the matrix (both triangles)."""
        row_start = np.concatenate([[0], np.cumsum(self.below)]).astype(np.int64)
        panel = np.concatenate([[0], np.cumsum(self.widths * (self.widths + self.below))]).astype(np.int64)
        rows, owner = np.empty(row_start[-1], np.int32), np.empty(order.size, np.int32)
        supernode_rows(pattern, order, place, self.start, row_start, rows, owner)
        return Supernodes(self.start, row_start, rows, panel, owner)


def panels_of(lower: csc_array, nodes: Supernodes) -> _Vector:
    """L, sorted by columns in the order of elimination, as panels."""
    panels = np.empty(nodes.panel[-1])
    shares = np.linspace(0, lower.indptr[-1], SHARES * numba.get_num_threads() + 1)
    bounds = np.searchsorted(lower.indptr, shares).astype(np.int64)
    bounds[0], bounds[-1] = 0, lower.shape[0]
    fill_panels((lower.indptr, lower.indices, lower.data), nodes, bounds, panels)
    return panels


def sweep(counts: SupernodeCounts, nodes: Supernodes, panels: _Vector) -> None:
    """Turn L into A⁻¹ on the pattern of L, within the panels; the same bits for the same number of threads."""
    parts = SHARES * numba.get_num_threads()
    is_large = counts.widths + counts.below > SMALL
    part = np.empty(is_large.size, np.int64)
    gathered = counts.below.astype(np.float64) ** 2
    # In units of one gathered value; 500 for looking up where anything is.
    split_forest(counts.parent, is_large, 500.0 + gathered * (1.0 + counts.widths / 8.0), parts, part)
    for is_wide, group in groupby(np.flatnonzero(is_large)[::-1], key=lambda node: counts.widths[node] >= WIDE):
        if is_wide:
            for node in group:
                _invert_wide(int(node), nodes, panels)
        else:
            with one_blas_thread():
                for node in group:
                    _invert_tall(int(node), nodes, panels)
    small = np.lexsort((-np.arange(part.size), part))[np.count_nonzero(is_large) :]
    bounds = np.searchsorted(part[small], np.arange(parts + 1))
    with one_blas_thread():
        sweep_subtrees(small, bounds, CHUNK, nodes, panels)


@contextmanager
def threads_for(flops: float) -> Iterator[None]:
    """One thread where there is little to do."""
    before = numba.get_num_threads()
    if flops > ONE_THREAD_UP_TO or before == 1:
        yield
        return
    numba.set_num_threads(1)
    try:
        with one_blas_thread():
            yield
    finally:
        numba.set_num_threads(before)


def _panel(node: int, nodes: Supernodes, panels: _Vector) -> NDArray[np.float64]:
    values = panels[nodes.panel[node] : nodes.panel[node + 1]]
    return values.reshape(nodes.start[node + 1] - nodes.start[node], -1)


def _invert_tall(node: int, nodes: Supernodes, panels: _Vector) -> None:
    """A supernode of few columns and many rows."""
    panel = _panel(node, nodes, panels)
    width, length = panel.shape
    inverse, y = np.empty((width, width)), np.empty((length - width, width))
    quotient(panel, inverse, y)
    put_columns(inverse, y, _multiply(node, nodes, panels, y), panel)


def _invert_wide(node: int, nodes: Supernodes, panels: _Vector) -> None:
    """A supernode of many columns. To LAPACK, which stores by columns, a panel turned is L."""
    panel = _panel(node, nodes, panels)
    width = panel.shape[0]
    if panel.shape[1] == width:
        lapack.dpotri(panel.T, lower=1, overwrite_c=1)
        return
    inverse, _ = lapack.dtrtri(panel[:, :width].T, lower=1)
    y = blas.dtrmm(1.0, inverse, panel[:, width:].T, side=1, lower=1)
    with one_blas_thread():
        product = _multiply(node, nodes, panels, np.ascontiguousarray(y))
    corner, _ = lapack.dlauum(inverse, lower=1, overwrite_c=1)
    corner = blas.dgemm(1.0, product.T, y, beta=1.0, c=corner, overwrite_c=1)
    panel[:, :width] = corner.T
    panel[:, width:] = -product.T


def _multiply(node: int, nodes: Supernodes, panels: _Vector, y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Z_SS Y."""
    product = np.empty_like(y)
    multiply_gathered(node, nodes, panels, y, numba.get_num_threads(), CHUNK, product)
    return product
