"""Symmetric matrices as what they do to a vector."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from breedblup.kernels.locality import lower_counts, lower_entries
from breedblup.kernels.sparse import (
    csr_product,
    csr_product_columns,
    csr_residual,
    lower_product,
    lower_product_columns,
    lowest_columns,
    merge_parts,
)
from breedblup.solvers.locality import Locality

_PRODUCT_CHUNKS = 256

MOST_PARTS = 16
"""Parts of a product of one triangle: each adds up a vector of its own for the first, common equations."""

_Vector = NDArray[np.float64]


class SymmetricOperator(Protocol):
    """A symmetric matrix that is known by its products."""

    def multiply(self, x: _Vector, out: _Vector) -> None:
        """Fill A x."""
        ...


@runtime_checkable
class AccurateOperator(SymmetricOperator, Protocol):
    """A symmetric matrix that forms residuals itself, more accurately than from a product."""

    def residual(self, rhs: _Vector, x: _Vector, out: _Vector) -> None:
        """Fill b - A x."""
        ...


class CsrOperator:
    """A symmetric matrix stored whole in CSR; multiplies one vector or, n × k, several."""

    def __init__(self, matrix: csr_array) -> None:
        self.matrix = matrix
        self._chunks = _equal_cuts(matrix.indptr, _PRODUCT_CHUNKS)

    def multiply(self, x: _Vector, out: _Vector) -> None:
        """Fill A x."""
        product = csr_product if x.ndim == 1 else csr_product_columns
        product(self.matrix.indptr, self.matrix.indices, self.matrix.data, self._chunks, x, out)

    def residual(self, rhs: _Vector, x: _Vector, out: _Vector) -> None:
        """Fill b - A x, rounded once."""
        csr_residual(self.matrix.indptr, self.matrix.indices, self.matrix.data, self._chunks, x, rhs, out)


class LowerOperator:
    """A symmetric matrix of which one triangle is multiplied, its equations in an order of their own.

    Vectors stand in that order. The whole matrix is kept for accurate residuals only.

    Attributes
    ----------
    matrix
        Both triangles, as given.
    locality
        The order of the equations; each as given unless told.
    lower
        Lower triangle in that order, the diagonal last in its row, other columns as they come.
    """

    def __init__(self, matrix: csr_array, locality: Locality | None = None) -> None:
        self.matrix = matrix
        self.locality = Locality.as_given(matrix.shape[0]) if locality is None else locality
        self.lower = lower_triangle(matrix, self.locality.order)
        self._entries = (self.lower.indptr, self.lower.indices, self.lower.data)
        self._use_parts(_equal_cuts(self.lower.indptr, min(numba.get_num_threads(), MOST_PARTS)))

    def _use_parts(self, cuts: NDArray[np.int64]) -> None:
        """Multiply in these parts."""
        self._cuts, self._low, self._numbers = cuts, np.empty(cuts.size - 1, np.int64), np.empty(0)
        lowest_columns(self._entries, cuts, self.locality.common, self._low)

    def _apart(self, shape: tuple[int, ...]) -> _Vector:
        """A vector (or n × k) for every part but the first; takes memory only where it is touched, and is kept."""
        size = (self._low.size - 1) * math.prod(shape)
        if self._numbers.size < size:
            self._numbers = np.empty(size)
        return self._numbers[:size].reshape(self._low.size - 1, *shape)

    def multiply(self, x: _Vector, out: _Vector) -> None:
        """Fill A x, or for n × k vectors A X."""
        product = lower_product if x.ndim == 1 else lower_product_columns
        apart = self._apart(x.shape)
        product(self._entries, self._cuts, self._low, self.locality.common, x, apart, out)
        merge_parts(self._cuts, self._low, self.locality.common, apart, out)

    def residual(self, rhs: _Vector, x: _Vector, out: _Vector) -> None:
        """Fill b - A x, rounded once."""
        given = np.empty_like(out)
        whole = CsrOperator(self.matrix)
        whole.residual(self.locality.from_order(rhs), self.locality.from_order(x), given)
        np.take(given, self.locality.order, out=out)


def lower_triangle(matrix: csr_array, order: NDArray[np.int32]) -> csr_array:
    """The lower triangle of a symmetric matrix in an order of its equations, the diagonal (also a zero) last in each row.

    Parameters
    ----------
    matrix
        Both triangles.
    order
        Equations in the order wanted.
    """
    place = np.empty_like(order)
    place[order] = np.arange(order.size, dtype=np.int32)
    bounds = _equal_cuts(matrix.indptr, _PRODUCT_CHUNKS)
    counts = np.empty(order.size, np.int64)
    lower_counts(matrix.indptr, matrix.indices, place, bounds, counts)
    entries = int(counts.sum())
    kind = np.dtype(np.int32 if entries <= np.iinfo(np.int32).max else np.int64)
    pointer: NDArray[np.int32] | NDArray[np.int64] = np.zeros(order.size + 1, kind)
    np.cumsum(counts, out=pointer[1:])
    columns, values = np.empty(entries, np.int32), np.empty(entries)
    data = np.asarray(matrix.data, dtype=np.float64)
    lower_entries((matrix.indptr, matrix.indices, data), place, bounds, (pointer, columns, values))
    return csr_array((values, columns, pointer), shape=matrix.shape)


def _equal_cuts(indptr: NDArray[np.int32] | NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """Cuts of the rows into parts of about equal entries."""
    cuts = np.searchsorted(indptr, np.linspace(0, indptr[-1], parts + 1), side="left").astype(np.int64)
    cuts[0], cuts[-1] = 0, indptr.size - 1
    return cuts


def fill_residual(operator: SymmetricOperator, rhs: _Vector, x: _Vector, out: _Vector) -> None:
    """Fill b - A x, as accurately as the operator can."""
    if isinstance(operator, AccurateOperator):
        operator.residual(rhs, x, out)
        return
    operator.multiply(x, out)
    np.subtract(rhs, out, out=out)
