"""Covariance matrices ΛΛ' of reduced rank: a step moves along Λ, since matrices of a rank are no convex set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]

_NO_COLUMN = 1e-6  # an eigenvalue below this, of a matrix near a correlation matrix, leaves Λ no column
_OPENING = 1e-3
_TURNS = 1e-6
_LEAST = 1e-12  # of a quadratic near a correlation matrix: below it rounding decides


@dataclass(frozen=True, slots=True, eq=False)
class RootCoordinates:
    """Directions of a root Λ (c x r) of a matrix near a correlation matrix, the rotations of its columns left out.

    Attributes
    ----------
    root
        Λ.
    directions
        (m, c, r): changes of Λ.
    jacobian
        (t, m): changes of the lower triangle of ΛΛ' to first order.
    curvature
        (m, m): tr(Γ dΛ dΛ'), what the linear part of the objective has beyond the first order.
    """

    root: FloatArray
    directions: FloatArray
    jacobian: FloatArray
    curvature: FloatArray

    def moved(self, change: FloatArray) -> FloatArray:
        """Λ after a change along the directions."""
        return self.root + np.tensordot(change, self.directions, axes=1)


def root_coordinates(matrix: FloatArray, slope: FloatArray, rank: int) -> RootCoordinates:
    """Coordinates at a matrix, cut to its rank; a column that it lacks opens along Γ's most negative eigenvector.

    Parameters
    ----------
    matrix
        c x c, near a correlation matrix.
    slope
        Γ, the derivative of the objective by it: df = tr(Γ dG).
    """
    root = _opened(cut_to_rank(matrix, rank), slope)
    rows, columns = np.tril_indices(len(matrix))
    unit = np.eye(root.size).reshape(root.size, *root.shape)
    changes = unit @ root.T
    jacobian = (changes + changes.transpose(0, 2, 1))[:, rows, columns].T
    _, lengths, right = np.linalg.svd(jacobian, full_matrices=False)
    kept = right[lengths > _TURNS * lengths.max(initial=0.0)]
    directions = kept.reshape(-1, *root.shape)
    curvature = np.einsum("iar,ab,jbr->ij", directions, slope, directions, optimize=True)
    return RootCoordinates(root, directions, jacobian @ kept.T, curvature)


def convexified(quadratic: FloatArray, curvature: FloatArray) -> FloatArray:
    """The sum of a positive definite matrix and another, which may take at most nine tenths of it away."""
    scale = np.sqrt(np.maximum(quadratic.diagonal(), np.finfo(float).tiny))
    least = float(np.linalg.eigvalsh(quadratic / np.outer(scale, scale))[0])
    half = np.linalg.cholesky(quadratic + max(_LEAST - least, 0.0) * np.diag(scale**2))
    inverse = np.linalg.inv(half)
    values, vectors = np.linalg.eigh(inverse @ curvature @ inverse.T)
    inner = np.eye(len(half)) + (vectors * np.maximum(values, -0.9)) @ vectors.T
    return np.asarray(half @ inner @ half.T, dtype=np.float64)


def cut_to_rank(matrix: FloatArray, rank: int, least: float = 0.0) -> FloatArray:
    """The root (c x r) of the largest eigenvalues, each at least ``least``."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors[:, -rank:] * np.sqrt(np.maximum(values[-rank:], least)), dtype=np.float64)


def _opened(root: FloatArray, slope: FloatArray) -> FloatArray:
    """The root with a small start for its first missing column, where the objective falls that way."""
    missing = np.flatnonzero((root**2).sum(axis=0) < _NO_COLUMN)
    values, vectors = np.linalg.eigh(slope)
    if not missing.size or values[0] >= 0:
        return root
    opened = root.copy()
    opened[:, missing[0]] = np.sqrt(_OPENING) * vectors[:, 0]
    return opened
