"""Roots of covariance matrices that keep their shape where a matrix is singular."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLOOR = 1e-10
"""Least eigenvalue of a covariance matrix while iterating, on the scale of variances to be expected. Its effect on -2 log L is
that share of what the whole variance has; standard deviations of 1e-5 leave derivatives eight digits."""

NO_PIVOT = 1e-9
"""A pivot below this, on the same scale, is none."""


FLOOR_OF_GROUPS = 1e-6
"""The same of a term with fixed groups of unknown parents: these are scaled by Λ with the rest, and their columns, which have no
prior, must not fade."""


def floored(matrix: NDArray[np.float64], scale: NDArray[np.float64], floor: float = FLOOR) -> NDArray[np.float64]:
    """The matrix, lifted off the boundary where it lies there; ``scale`` has a variance for each row."""
    size = np.sqrt(scale)
    least = float(np.linalg.eigvalsh(matrix / np.outer(size, size))[0])
    return matrix if least >= floor else matrix + (floor - min(least, 0.0)) * np.diag(scale)


def lower_root(matrix: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lower triangular Λ with ΛΛ' = G₀, square; a column is zero where G₀ has no pivot."""
    try:
        return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
    except np.linalg.LinAlgError:
        pass
    rest, root = matrix.copy(), np.zeros_like(matrix)
    for k in range(len(matrix)):
        if rest[k, k] > NO_PIVOT * scale[k]:
            root[k:, k] = rest[k:, k] / np.sqrt(rest[k, k])
            rest -= np.outer(root[:, k], root[:, k])
    return root
