"""What a covariance matrix is: checks with the reason of a refusal, and roots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breedblup.errors import ModelError

FloatMatrix: TypeAlias = NDArray[np.float64]

# On the scale of correlations: rounding of a matrix that was made as LL' stays near 1e-16, a matrix that was printed
# with five digits misses by 1e-5, and such a miss is the user's to mend.
_TOLERANCE = 1e-10


def covariance(value: ArrayLike, what: str) -> FloatMatrix:
    """A read-only covariance matrix, or a message that says why it is none."""
    matrix = _square(value, what)
    if not np.isfinite(matrix).all():
        raise ModelError(f"the variance of {what} is not finite: {_shown(matrix)}")
    diagonal = matrix.diagonal()
    if (diagonal < 0).any():
        at = int(np.argmin(diagonal))
        number = f" (row {at + 1} of its matrix)" if len(matrix) > 1 else ""
        raise ModelError(f"variance of {what}{number} is {diagonal[at]:g}; a variance cannot be negative")
    scale = np.sqrt(diagonal)
    asymmetry = np.abs(matrix - matrix.T) - _TOLERANCE * np.outer(scale, scale)
    if (asymmetry > 0).any():
        i, j = divmod(int(np.argmax(asymmetry)), len(matrix))
        raise ModelError(
            f"the matrix of {what} is not symmetric: row {i + 1}, column {j + 1} is {matrix[i, j]:g}, "
            f"row {j + 1}, column {i + 1} is {matrix[j, i]:g}"
        )
    matrix = (matrix + matrix.T) / 2 if len(matrix) > 1 else matrix
    smallest = _smallest_correlation_eigenvalue(matrix)
    if smallest < -_TOLERANCE:
        raise ModelError(
            f"the matrix of {what} is not positive semi-definite: its smallest eigenvalue is "
            f"{np.linalg.eigvalsh(matrix)[0]:.6g} ({smallest:.4g} on the scale of correlations){_impossible(matrix)}"
        )
    matrix.flags.writeable = False
    return matrix


def _impossible(matrix: FloatMatrix) -> str:
    """The largest correlation, where it is beyond 1."""
    scale = np.sqrt(np.where(matrix.diagonal() > 0, matrix.diagonal(), np.inf))
    correlations = matrix / np.outer(scale, scale)
    i, j = divmod(int(np.argmax(np.tril(np.abs(correlations), -1))), len(matrix))
    if abs(correlations[i, j]) <= 1.0:
        return ""
    return f"; row {i + 1}, column {j + 1} is {matrix[i, j]:g}, a correlation of {correlations[i, j]:.4g}"


def residual_covariance(value: ArrayLike, name: str = "the residual") -> FloatMatrix:
    """A residual covariance matrix."""
    matrix = covariance(value, name)
    _check_positive(matrix, name)
    return matrix


def residual_classes(values: Mapping[str, ArrayLike]) -> dict[str, FloatMatrix]:
    """A residual covariance matrix for each class, all of the same order."""
    if not values:
        raise ModelError("the residual variances of classes are empty; give one for each class")
    matrices: dict[str, FloatMatrix] = {}
    for level, value in values.items():
        if not isinstance(level, str) or not level.strip():
            raise ModelError(f"the classes of the residual are named by text, found {level!r}")
        matrices[level] = residual_covariance(value, residual_name(level, True))
        first = next(iter(matrices))
        if len(matrices[level]) != len(matrices[first]):
            orders = [f"{len(matrices[one])} x {len(matrices[one])}" for one in (first, level)]
            raise ModelError(
                f"the matrix of the residual class {first!r} is {orders[0]}, that of {level!r} is {orders[1]}; each "
                "class needs a row for each trait"
            )
    return matrices


def residual_name(level: str, by_class: bool) -> str:
    return f"the residual class {level!r}" if by_class else "the residual"


def covariance_root(matrix: FloatMatrix) -> FloatMatrix:
    """Λ (c x r) with ΛΛ' = G₀, r the rank of G₀."""
    scale = np.sqrt(matrix.diagonal())
    kept = np.flatnonzero(scale)
    values, vectors = np.linalg.eigh(matrix[np.ix_(kept, kept)] / np.outer(scale[kept], scale[kept]))
    large = values > _TOLERANCE * values.max(initial=0.0)
    if large.all():
        half = np.linalg.cholesky(matrix[np.ix_(kept, kept)])
    else:
        half = scale[kept, None] * vectors[:, large] * np.sqrt(values[large])
    root = np.zeros((len(matrix), half.shape[1]))
    root[kept] = half
    root.flags.writeable = False
    return root


def _square(value: ArrayLike, what: str) -> FloatMatrix:
    """A copy of the value as a square float matrix."""
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "iuf":
        raise ModelError(f"the variance of {what} must be a number or a square matrix, found {value!r}")
    matrix = np.array(array, dtype=np.float64, order="C", ndmin=2) + 0.0  # -0 becomes 0: equal values, equal bytes
    if array.ndim not in (0, 2) or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        shape = " x ".join(str(length) for length in array.shape)
        raise ModelError(f"the variance of {what} must be a number or a square matrix, found an array of shape {shape}")
    return matrix


def _smallest_correlation_eigenvalue(matrix: FloatMatrix) -> float:
    """The eigenvalue that decides, free of the units of the traits."""
    scale = np.sqrt(matrix.diagonal())
    scale = np.where(scale > 0, scale, 1.0)
    return float(np.linalg.eigvalsh(matrix / np.outer(scale, scale))[0])


def _check_positive(matrix: FloatMatrix, name: str) -> None:
    """Refuse a residual without variance of its own."""
    if len(matrix) == 1:
        if matrix[0, 0] == 0:
            raise ModelError(f"the variance of {name} is 0; it must be positive")
        return
    if _smallest_correlation_eigenvalue(matrix) <= _TOLERANCE:
        raise ModelError(
            f"the matrix of {name} is not positive definite: its smallest eigenvalue is "
            f"{np.linalg.eigvalsh(matrix)[0]:.6g}; every trait needs residual variance of its own"
        )


def _shown(matrix: FloatMatrix) -> str:
    return f"{matrix[0, 0]:g}" if len(matrix) == 1 else str(matrix.tolist())
