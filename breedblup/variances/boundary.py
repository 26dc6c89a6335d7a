"""What is left free where covariance matrices are singular or bounds are met, and the words for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import name_some
from breedblup.variances.blocks import MatrixBlock
from breedblup.variances.restrictions import Restrictions
from breedblup.variances.structures import FixedValue

FloatVector: TypeAlias = NDArray[np.float64]

SINGULAR = 1e-8
"""Eigenvalues of a correlation matrix below this are zero: what rounding leaves of a singular matrix lies near 1e-15."""

AT_BOUND = 1e-10
"""An element this near to its limit, relative to the limit or the element, is at it."""


def null_vectors(matrix: FloatVector) -> FloatVector:
    """Vectors (c x k) that a covariance matrix maps to zero, of its rows with variance; on the scale of correlations."""
    scale = np.sqrt(np.maximum(matrix.diagonal(), 0.0))
    kept = np.flatnonzero(scale)
    values, vectors = np.linalg.eigh(matrix[np.ix_(kept, kept)] / np.outer(scale[kept], scale[kept]))
    null = np.zeros((len(matrix), int((values < SINGULAR).sum())))
    null[kept] = vectors[:, values < SINGULAR] / scale[kept, None]
    return null


def free_directions(blocks: Sequence[MatrixBlock], restrictions: Restrictions, theta: FloatVector) -> FloatVector:
    """Columns that span the directions left free at θ."""
    phi = theta[restrictions.roots]
    held = at_limit(restrictions, phi)
    size = _sizes(blocks, theta)
    basis = restrictions.basis[:, ~held]
    steps = np.max(np.where(basis != 0, size[:, None] / np.abs(np.where(basis != 0, basis, 1.0)), 0.0), axis=0)
    basis = basis * np.where(steps > 0, steps, 1.0)
    conditions = [_held_elements(block, theta) @ basis[block.slice] for block in blocks if _may_be_singular(block)]
    return basis @ _null_space(np.vstack([np.zeros((0, basis.shape[1])), *conditions]))


def statuses(blocks: Sequence[MatrixBlock], restrictions: Restrictions, theta: FloatVector) -> tuple[str, ...]:
    """The status of each parameter at θ."""
    words = np.where(restrictions.tied, "tied", np.full(len(theta), "free", dtype="<U8"))
    met = restrictions.roots[at_limit(restrictions, theta[restrictions.roots])]
    words[met] = "bound"
    for block in blocks:
        matrix = block.filled(theta[block.slice])
        rows, columns = block.elements
        without = matrix.diagonal() <= 0
        words[block.slice] = np.where(without[rows] | without[columns], "boundary", words[block.slice])
    words[restrictions.fixed] = "fixed"
    return tuple(str(word) for word in words)


def singular_matrices(blocks: Sequence[MatrixBlock], theta: FloatVector) -> tuple[str, ...]:
    """A sentence for each matrix that is singular at θ without having been asked to be."""
    found = (_singularity(block, block.filled(theta[block.slice])) for block in blocks if _may_be_singular(block))
    return tuple(sentence for sentence in found if sentence)


def at_limit(restrictions: Restrictions, phi: FloatVector) -> NDArray[np.bool_]:
    """Which of the parameters that are their own stand at a limit."""
    reach = AT_BOUND * np.maximum(np.abs(phi), np.finfo(float).tiny)
    return (phi <= restrictions.lower + reach) | (phi >= restrictions.upper - reach)


def _may_be_singular(block: MatrixBlock) -> bool:
    return not isinstance(block.structure, FixedValue)


def _sizes(blocks: Sequence[MatrixBlock], theta: FloatVector) -> FloatVector:
    """√(Gᵢᵢ Gⱼⱼ) of each element."""
    sizes = np.empty(len(theta))
    for block in blocks:
        scale = np.sqrt(np.maximum(block.filled(theta[block.slice]).diagonal(), 0.0))
        rows, columns = block.elements
        sizes[block.slice] = scale[rows] * scale[columns]
    return sizes


def _held_elements(block: MatrixBlock, theta: FloatVector) -> FloatVector:
    """Rows of conditions on the elements of a block: N'HN = 0 on its null vectors, no change where a variance is zero."""
    matrix = block.filled(theta[block.slice])
    rows, columns = block.elements
    without = matrix.diagonal() <= 0
    stay = np.eye(block.size)[without[rows] | without[columns]]
    null = null_vectors(matrix)
    first, second = np.tril_indices(null.shape[1])
    twice = np.where(rows == columns, 0.5, 1.0)
    both = null[rows][:, first] * null[columns][:, second] + null[columns][:, first] * null[rows][:, second]
    return np.vstack([stay, (twice[:, None] * both).T])


def _null_space(conditions: FloatVector) -> FloatVector:
    """An orthonormal basis of the vectors that meet all conditions."""
    if not conditions.size:
        return np.eye(conditions.shape[1])
    lengths = np.linalg.norm(conditions, axis=1)
    rows = conditions[lengths > 0] / lengths[lengths > 0, None]
    _, singular, right = np.linalg.svd(rows)
    rank = int((singular > SINGULAR).sum())
    return right[rank:].T


def _singularity(block: MatrixBlock, matrix: FloatVector) -> str:
    """Why a matrix is singular: variances of zero, correlations of ±1, or its rank; nothing where it is regular."""
    without = matrix.diagonal() <= 0
    if without.all():
        return (
            f"the variance of {block.name!r} is zero"
            if block.order == 1
            else f"all variances of {block.name!r} are zero"
        )
    rank = block.order - int(without.sum()) - null_vectors(matrix).shape[1]
    if rank >= block.rank:
        return ""
    reasons = []
    if without.any():
        labels = name_some(label for label, zero in zip(block.labels, without, strict=True) if zero)
        reasons.append(f"the variance of {labels} is zero")
    scale = np.sqrt(np.where(without, np.inf, matrix.diagonal()))
    correlations = matrix / np.outer(scale, scale)
    for i, j in np.argwhere(np.tril(np.abs(correlations) > 1 - SINGULAR, -1)):
        sign = "1" if correlations[i, j] > 0 else "-1"
        reasons.append(f"the correlation of {block.labels[j]!r} and {block.labels[i]!r} is {sign}")
    words = f"the matrix of {block.name!r} has rank {rank} of {block.order}"
    return f"{words}: {', '.join(reasons)}" if reasons else words
