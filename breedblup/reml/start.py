"""Starting values: automatic from moments of the records, or the user's, checked and brought inside the parameter space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from breedblup.design import Design
from breedblup.errors import ModelError
from breedblup.model import Model
from breedblup.reml.moments import Moments
from breedblup.variances.blocks import RESIDUAL, MatrixBlock
from breedblup.variances.components import VarianceComponents
from breedblup.variances.parameters import ParameterSpace
from breedblup.variances.structures import FixedValue, ReducedRank

_Array = NDArray[np.float64]

LEAST_SHARE = 0.02
"""Least eigenvalue of a starting matrix of a random term, on the scale of the variance of records that each row could have."""

LEAST_RESIDUAL = 0.1
"""The same of a residual: most models leave more."""

ON_BOUNDARY = 1e-6
"""A start whose least eigenvalue, on this scale, is below it is lifted to `LEAST_SHARE`."""

MOST_SHARE = 3.0
"""Largest eigenvalue of a starting matrix on the same scale."""

DOUBLINGS = 40
"""Times that variances are doubled to make room for covariances that bounds and ties ask for."""


def expected_scales(design: Design, moments: Moments) -> dict[str, _Array]:
    """By key of each random term, and ``residual``: the variance that each row would have if it were all that there is."""
    total = np.where(moments.variance > 0, moments.variance, 1.0)
    traits = {trait: t for t, trait in enumerate(design.traits)}
    scales = {
        term.name: np.array([total[traits[one.trait]] for one in term.coordinates]) / moments.loads[term.name]
        for term in design.random
    }
    return scales | {RESIDUAL: total}


def starting_values(design: Design, space: ParameterSpace, moments: Moments) -> VarianceComponents:
    """Variances to start from, inside the parameter space.

    Those that solve the equations of `breedblup.reml.moments`, with eigenvalues too small or negative raised, and then scaled so
    that the variances of each trait add up to what the records show. A matrix of reduced rank starts with its rank.

    Raises
    ------
    ModelError
        If bounds and ties leave no covariance matrices.
    """
    scales = expected_scales(design, moments)
    solved = _solved(moments)
    matrices = []
    for block in space.blocks:
        least = LEAST_RESIDUAL if block.is_residual else LEAST_SHARE
        matrices.append(_raised(space.matrix(solved, block), scales[block.key], least, block.mask))
    _scale_to_totals(design, space, moments, matrices)
    matrices = [_of_structure(block, matrix) for block, matrix in zip(space.blocks, matrices, strict=True)]
    return space.unpack(feasible(space, _packed(space, matrices)))


def checked_start(
    start: VarianceComponents, model: Model, design: Design, space: ParameterSpace, moments: Moments
) -> tuple[VarianceComponents, tuple[str, ...]]:
    """The user's starting values inside the parameter space, and what was changed to bring them there.

    Singular matrices are raised, those of reduced rank brought to their rank, and all moved to where bounds and ties hold.

    Raises
    ------
    ModelError
        If they are not the variances of the model, or have a covariance that the structure excludes.
    """
    if not isinstance(start, VarianceComponents):
        raise ModelError(
            f"start is a {type(start).__name__}; make it with VarianceComponents({{...}}, residual=...), or leave it out: "
            "starting values are found from the records"
        )
    start.check(model)
    scales, theta = expected_scales(design, moments), space.pack(start)
    notes, matrices = [], []
    for block in space.blocks:
        matrix, scale = space.matrix(theta, block), scales[block.key]
        raised = matrix
        lowest = matrix.diagonal().min() if isinstance(block.structure, ReducedRank) else _least(matrix, scale)
        if not isinstance(block.structure, FixedValue) and lowest < ON_BOUNDARY:
            raised = _raised(matrix, scale, LEAST_SHARE, block.mask)
        matrices.append(_of_structure(block, raised))
        if isinstance(block.structure, ReducedRank):
            if not np.allclose(matrices[-1], matrix, rtol=1e-8, atol=0.0):
                notes.append(f"start of {block.name}: brought to rank {block.structure.rank}")
        elif raised is not matrix:
            notes.append(
                f"start of {block.name}: on the boundary (a variance of 0, or a singular matrix), raised to begin inside"
            )
    packed = _packed(space, matrices)
    found = feasible(space, packed)
    if not np.allclose(found, packed, rtol=1e-12, atol=0.0):
        notes.append("start: moved to where bounds, ties and fixed values hold")
    return space.unpack(found), tuple(notes)


def feasible(space: ParameterSpace, theta: _Array) -> _Array:
    """The parameters where bounds, ties and fixed values hold, with variances doubled until all matrices are covariance matrices.

    Raises
    ------
    ModelError
        If bounds and ties leave none.
    """
    restrictions = space.restrictions
    variances = np.array([one.row == one.column for one in space.parameters])[restrictions.roots]
    phi = np.clip(theta[restrictions.roots], restrictions.lower, restrictions.upper)
    for _ in range(DOUBLINGS):
        found: _Array = restrictions.offset + restrictions.basis @ phi
        wrong = [block for block in space.blocks if not _is_covariance(space, found, block)]
        if not wrong:
            return found
        touched = np.zeros(space.size, dtype=np.bool_)
        for block in wrong:
            touched[block.slice] = True
        grown = np.where(touched @ (restrictions.basis != 0) & variances, 2.0, 1.0)
        phi = np.clip(phi * grown, restrictions.lower, restrictions.upper)
    names = ", ".join(repr(block.name) for block in wrong)
    raise ModelError(
        f"bounds, ties and fixed values leave no covariance matrix to start from for {names} -> widen the bounds, or give a "
        "start that fulfils them"
    )


def _is_covariance(space: ParameterSpace, theta: _Array, block: MatrixBlock) -> bool:
    """Whether a block is positive definite, or semi-definite where its structure makes it so."""
    matrix = space.matrix(theta, block)
    if isinstance(block.structure, FixedValue | ReducedRank):
        return True
    diagonal = matrix.diagonal()
    return bool((diagonal > 0).all()) and _least(matrix, diagonal) > ON_BOUNDARY


def _least(matrix: _Array, scale: _Array) -> float:
    root = np.sqrt(scale)
    return float(np.linalg.eigvalsh(matrix / np.outer(root, root))[0])


def _solved(moments: Moments) -> _Array:
    """θ that the quadratic forms have as their expectation; scaled first, as parameters differ in size."""
    size = np.sqrt(np.diag(moments.traces))
    size = np.where(size > 0, size, 1.0)
    scaled = np.linalg.lstsq(moments.traces / np.outer(size, size), moments.forms / size, rcond=1e-8)[0]
    solved: _Array = np.nan_to_num(scaled / size)
    return solved


def _raised(matrix: _Array, scale: _Array, least: float, mask: NDArray[np.bool_]) -> _Array:
    """The matrix with eigenvalues between ``least`` and `MOST_SHARE` on the scale given, within its structure."""
    root = np.sqrt(scale)
    relative = matrix / np.outer(root, root)
    values, vectors = np.linalg.eigh(relative)
    if values[0] >= least and values[-1] <= MOST_SHARE:
        return matrix
    clipped = (vectors * np.clip(values, least, MOST_SHARE)) @ vectors.T
    return np.where(mask, 0.5 * (clipped + clipped.T) * np.outer(root, root), 0.0)


def _scale_to_totals(design: Design, space: ParameterSpace, moments: Moments, matrices: list[_Array]) -> None:
    """Rows and columns of each trait times the root of what the records show over what the variances add up to."""
    traits = {trait: t for t, trait in enumerate(design.traits)}
    terms = {term.name: term for term in design.random}
    totals = np.zeros(len(traits))
    codes = np.zeros(len(design.y), dtype=np.int32) if design.residual_codes is None else design.residual_codes
    values = np.array([np.bincount(codes[has], minlength=int(codes.max()) + 1) for has in design.observed.T]).T
    share, number = values / values.sum(axis=0), 0
    of_rows = []
    for block, matrix in zip(space.blocks, matrices, strict=True):
        if block.is_residual:
            totals += share[number] * matrix.diagonal()
            number += 1
            of_rows.append(np.arange(len(traits)))
        else:
            rows = np.array([traits[one.trait] for one in terms[block.key].coordinates])
            np.add.at(totals, rows, matrix.diagonal() * moments.loads[block.key])
            of_rows.append(rows)
    factor = np.sqrt(np.where(moments.variance > 0, moments.variance, 1.0) / totals)
    for matrix, rows in zip(matrices, of_rows, strict=True):
        matrix *= np.outer(factor[rows], factor[rows])


def _of_structure(block: MatrixBlock, matrix: _Array) -> _Array:
    """The matrix that is fixed, or the nearest of reduced rank on the scale of correlations, its variances kept."""
    if isinstance(block.structure, FixedValue):
        return np.asarray(block.structure.matrix)
    if not isinstance(block.structure, ReducedRank):
        return matrix
    root = np.sqrt(np.maximum(matrix.diagonal(), np.finfo(np.float64).tiny))
    relative = matrix / np.outer(root, root)
    loadings = _loadings(relative, block.structure.rank)
    if (loadings**2).sum(axis=1).min() < ON_BOUNDARY:
        loadings = _loadings(relative + LEAST_SHARE, block.structure.rank)  # no row without a share in what is left
    loadings *= (root / np.sqrt((loadings**2).sum(axis=1)))[:, None]
    nearest_of_rank: _Array = loadings @ loadings.T
    return nearest_of_rank


def _loadings(correlations: _Array, rank: int) -> _Array:
    """The largest eigenvectors times the roots of their eigenvalues."""
    values, vectors = np.linalg.eigh(correlations)
    found: _Array = vectors[:, ::-1][:, :rank] * np.sqrt(np.maximum(values[::-1][:rank], LEAST_SHARE))
    return found


def _packed(space: ParameterSpace, matrices: list[_Array]) -> _Array:
    theta = np.zeros(space.size)
    for block, matrix in zip(space.blocks, matrices, strict=True):
        theta[block.slice] = matrix[block.elements]
    return theta
