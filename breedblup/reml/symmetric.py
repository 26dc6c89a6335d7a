"""Symmetric matrices as vectors with their inner product: elements off the diagonal are multiplied by √2."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]


@lru_cache(maxsize=64)
def _symmetric_basis(order: int) -> FloatArray:
    """Orthonormal symmetric matrices (t, c, c), those of the lower triangle row by row."""
    rows, columns = np.tril_indices(order)
    basis = np.zeros((len(rows), order, order))
    at = np.arange(len(rows))
    basis[at, rows, columns] = basis[at, columns, rows] = np.where(rows == columns, 1.0, np.sqrt(0.5))
    basis.flags.writeable = False
    return basis


@lru_cache(maxsize=64)
def _flat_basis(order: int) -> FloatArray:
    """The same as vectors, (t, c·c)."""
    return _symmetric_basis(order).reshape(-1, order * order)


def to_vector(matrix: FloatArray) -> FloatArray:
    """The vector of a symmetric matrix, with its inner product."""
    return _flat_basis(len(matrix)) @ matrix.ravel()


def to_matrix(vector: FloatArray, order: int) -> FloatArray:
    """The symmetric matrix of a vector."""
    return (vector @ _flat_basis(order)).reshape(order, order)


def product_operator(matrix: FloatArray) -> FloatArray:
    """The matrix of Y → (XY + YX)/2 between vectors."""
    flat = _flat_basis(len(matrix))
    return flat @ (matrix @ _symmetric_basis(len(matrix))).reshape(flat.shape).T


def congruence_operator(matrix: FloatArray) -> FloatArray:
    """The matrix of Y → XYX between vectors."""
    flat = _flat_basis(len(matrix))
    return flat @ (matrix @ _symmetric_basis(len(matrix)) @ matrix).reshape(flat.shape).T
