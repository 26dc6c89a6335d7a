"""Symmetric matrices as what they do to a vector."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from breedblup.kernels.sparse import csr_product, csr_product_columns, csr_residual

_PRODUCT_CHUNKS = 256

_Vector = NDArray[np.float64]


class SymmetricOperator(Protocol):
    """A symmetric matrix that is known by its products."""

    def multiply(self, x: _Vector, out: _Vector) -> None:
        """Fill A x."""
        ...


class CsrOperator:
    """A symmetric matrix stored whole in CSR; multiplies one vector or, n × k, several."""

    def __init__(self, matrix: csr_array) -> None:
        self.matrix = matrix
        share = np.linspace(0, matrix.nnz, _PRODUCT_CHUNKS + 1)
        self._chunks = np.searchsorted(matrix.indptr, share, side="left").astype(np.int64)
        self._chunks[0], self._chunks[-1] = 0, matrix.shape[0]

    def multiply(self, x: _Vector, out: _Vector) -> None:
        """Fill A x."""
        product = csr_product if x.ndim == 1 else csr_product_columns
        product(self.matrix.indptr, self.matrix.indices, self.matrix.data, self._chunks, x, out)

    def residual(self, rhs: _Vector, x: _Vector, out: _Vector) -> None:
        """Fill b - A x, rounded once."""
        csr_residual(self.matrix.indptr, self.matrix.indices, self.matrix.data, self._chunks, x, rhs, out)


def fill_residual(operator: SymmetricOperator, rhs: _Vector, x: _Vector, out: _Vector) -> None:
    """Fill b - A x, as accurately as the operator can."""
    if isinstance(operator, CsrOperator):
        operator.residual(rhs, x, out)
        return
    operator.multiply(x, out)
    np.subtract(rhs, out, out=out)
