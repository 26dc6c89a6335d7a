"""An order of the equations in which those that a product couples lie near each other.

Three things cost time in a product with sparse equations beside the bytes of the matrix: entries whose place in the vectors
is not in cache, the guess of the processor when a row ends, and each entry read twice where both triangles are stored. So

- long rows (sires of many, whose columns nearly every row has) follow the fixed effects, close together and in cache: the
  hubs of degree-based grouping (Faldu, Diamond & Grot 2019);
- without them and the fixed effects the equations fall into parts that are not coupled, mostly lines of dams, found by
  joining sets; a part stays together, and parts stand by the first fixed effect that they have, as a herd's do;
- within windows of 512 levels, rows of one length stand together, so that where the next row ends is guessed right.

It takes one pass over the pattern, and counting. It depends on the order that the equations were given in for ties only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from breedblup.kernels import locality as kernels

LONG = 3
"""A row is long that has more entries than this times the mean of those that do not lead."""

WINDOW = 512
"""Levels among which rows of one length are put together: their vectors stay in the first cache."""


@dataclass(frozen=True)
class Locality:
    """An order of equations (`locality_order`).

    Attributes
    ----------
    order
        The equations in their new order.
    starts
        Boundaries of the blocks in the new order.
    common
        How many equations come first because rows from anywhere are coupled with them.
    """

    order: NDArray[np.int32]
    starts: NDArray[np.int64]
    common: int

    @classmethod
    def as_given(cls, size: int) -> Locality:
        """The order that equations have already, each a block."""
        return cls(np.arange(size, dtype=np.int32), np.arange(size + 1, dtype=np.int64), 0)

    def to_order(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """What belongs to the equations as given, in the new order."""
        return x[self.order]

    def from_order(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """What belongs to the equations in the new order, as given."""
        out = np.empty_like(x)
        out[self.order] = x
        return out


def locality_order(matrix: csr_array, starts: NDArray[np.int64]) -> Locality:
    """Order equations by blocks, those before the first block left where they are.

    Parameters
    ----------
    matrix
        Symmetric, both triangles, columns sorted; values are not looked at.
    starts
        First equation of each block, and the end of the last.
    """
    n, count = matrix.shape[0], starts.size - 1
    indptr, indices = matrix.indptr, matrix.indices
    leading = int(starts[0])
    longest = LONG * (matrix.nnz - int(indptr[leading])) // max(n - leading, 1)
    part, ranks = np.empty(n, np.int32), np.empty(count, np.int32)
    order, blocks = np.empty(n, np.int32), np.empty(count, np.int32)
    kernels.join_rows(indptr, indices, starts, longest, part)
    largest = kernels.rank_parts(indptr, indices, starts, longest, part, ranks)
    kernels.order_by_rank(ranks, largest, blocks)
    kernels.sort_within_windows(indptr, starts, WINDOW, blocks)
    kernels.order_of_blocks(starts, blocks, order)
    widths = np.diff(starts)
    common = leading + int(widths[ranks == 0].sum())
    new_starts = leading + np.concatenate([[0], np.cumsum(widths[blocks])])
    for array in (order, new_starts):
        array.setflags(write=False)
    return Locality(order, new_starts, common)
