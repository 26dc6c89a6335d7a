"""Symmetric matrices as CHOLMOD takes them: as they are, or in an order that is given instead of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array


@dataclass(frozen=True)
class Arrangement:
    """Rows and columns in another order, found once for a pattern.

    Attributes
    ----------
    order
        Row of the matrix that comes k-th.
    indptr, indices
        The pattern in this order.
    taken
        Where each of its values stands in the matrix.
    """

    order: NDArray[np.int64]
    indptr: NDArray[Any]
    indices: NDArray[Any]
    taken: NDArray[np.int64]

    @classmethod
    def of(cls, pattern: csr_array, order: NDArray[np.int64]) -> Arrangement:
        """Of a symmetric pattern."""
        numbered = csr_array((np.arange(pattern.nnz, dtype=np.float64), pattern.indices, pattern.indptr), pattern.shape)
        moved = numbered[order][:, order].tocsr()
        moved.sort_indices()
        return cls(order, moved.indptr, moved.indices, moved.data.astype(np.int64))

    def matrix(self, given: csr_array) -> csr_array:
        """The matrix in this order."""
        return csr_array((given.data[self.taken], self.indices, self.indptr), shape=given.shape)


def for_cholmod(matrix: csr_array, wide: bool) -> csc_array:
    """The symmetric matrix as CSC, with both index arrays of the one type that the library takes."""
    kind = np.int64 if wide else np.int32
    csc = csc_array(matrix.shape, dtype=np.float64)
    csc.data = np.ascontiguousarray(matrix.data, dtype=np.float64)
    csc.indices = matrix.indices.astype(kind, copy=False)
    csc.indptr = matrix.indptr.astype(kind, copy=False)
    csc.has_sorted_indices = True
    return csc
