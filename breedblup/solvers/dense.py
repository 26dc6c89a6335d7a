"""Inverses and factors of dense symmetric matrices, in place; what is singular but for rounding is refused."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from breedblup.errors import NotPositiveDefinite

SINGULAR = 1e-14
"""A pivot of K at most this times its diagonal, for each row, is the rounding of a zero."""

TILE = 512
"""Rows and columns that are copied to the other triangle at once."""


def invert_dense(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Inverse, exactly symmetric, and log-determinant; a pivot that is no more than rounding counts as none.

    Raises
    ------
    NotPositiveDefinite
        With the row of the first such pivot.
    """
    inverse = np.array(matrix, dtype=np.float64, order="C")
    return inverse, invert_in_place(inverse)


def invert_in_place(matrix: NDArray[np.float64]) -> float:
    """Put the inverse of a symmetric matrix (C order) in its place, exactly symmetric; the log-determinant of the matrix.

    Raises
    ------
    NotPositiveDefinite
        With the row of the first pivot that is negative or no more than rounding; the matrix is then spoilt.
    """
    logdet = factorise_in_place(matrix)
    failed = scipy.linalg.lapack.dpotri(matrix.T, lower=1, overwrite_c=1)[1]
    if failed:
        raise NotPositiveDefinite(f"the pivot of row {failed - 1} is zero", int(failed) - 1)
    mirror(matrix)
    return logdet


def factorise_in_place(matrix: NDArray[np.float64]) -> float:
    """Put L', LL' the matrix (symmetric, C order), in its upper triangle, and leave the lower; the log-determinant.

    Raises
    ------
    NotPositiveDefinite
        As `invert_in_place`.
    """
    size = matrix.shape[0]
    diagonal = matrix.diagonal().copy()
    failed = scipy.linalg.lapack.dpotrf(matrix.T, lower=1, clean=0, overwrite_a=1)[1]
    if failed:
        raise NotPositiveDefinite(f"row {failed - 1} has a non-positive pivot", int(failed) - 1)
    pivots = matrix.diagonal()
    rounding = np.flatnonzero(pivots**2 <= size * SINGULAR * diagonal)
    if rounding.size:
        raise NotPositiveDefinite(f"the pivot of row {rounding[0]} is rounding", int(rounding[0]))
    return 2.0 * float(np.log(pivots).sum())


def mirror(matrix: NDArray[np.float64]) -> None:
    """Copy the upper triangle to the lower, tile by tile."""
    n = matrix.shape[0]
    for first in range(0, n, TILE):
        rows = slice(first, first + TILE)
        tile = matrix[rows, rows]
        tile[:] = np.triu(tile) + np.triu(tile, 1).T
        for second in range(first + TILE, n, TILE):
            columns = slice(second, second + TILE)
            matrix[columns, rows] = matrix[rows, columns].T
