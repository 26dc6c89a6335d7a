"""EM and parameter-expanded EM: variances from derivatives of -2 log L, without a second pass over the records.

With d(-2 log L) = tr(Γ dG₀), the expectation of u'K⁻¹u over q levels, given the records, is q(G₀ - G₀ΓG₀/q): this without q is
what EM puts in the place of G₀ (Dempster, Laird and Rubin 1977), and for residuals, missing traits included, R - RΓR/N.

Parameter expansion (Liu, Rubin and Wu 1998; Foulley and van Dyk 2000) fits u = (Λ ⊗ I)v with var(v) = Φ ⊗ K. One round from Φ = I
estimates Λ by the regression of the records on v, Λ - ½M⁻¹ ∂(-2 log L)/∂Λ with M the second moments of its
regressors, and Φ by EM, I - Λ'ΓΛ/q; then G₀ is ΛΦΛ'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from breedblup.errors import ModelError
from breedblup.reml.feasible import strictly_feasible
from breedblup.reml.reduced_rank import cut_to_rank
from breedblup.reml.steps import constrained_step
from breedblup.variances import FixedValue, MatrixBlock, ParameterSpace, ReducedRank

FloatArray: TypeAlias = NDArray[np.float64]

_LIFT = 1e-8  # of a variance: what is known of a direction without variance


class WorkingMoments(NamedTuple):
    """What parameter expansion needs of a random term.

    Attributes
    ----------
    root
        Λ (c x c) of the equations.
    moments
        M (c, c, c, c): expected Σ Z'R⁻¹Z ⊗ vv' over the records (`breedblup.mme.record_sums.moments`).
    """

    root: FloatArray
    moments: FloatArray


def check_em(space: ParameterSpace) -> None:
    """Whether EM can find the maximum.

    Raises
    ------
    ModelError
        A matrix has reduced rank: every round of EM leaves the space of its rows' effects as it was.
    """
    for block in space.blocks:
        if isinstance(block.structure, ReducedRank):
            raise ModelError(
                f"the matrix of {block.name!r} has reduced rank, and EM never changes which combinations have variance; "
                "use method='ai' or 'px-em'"
            )


def em_update(
    space: ParameterSpace, theta: FloatArray, derivatives: Sequence[FloatArray], counts: Sequence[float]
) -> FloatArray:
    """θ after a round of EM: -2 log L is not higher there.

    Matrices that are diagonal, or fall into uncorrelated parts, are updated part by part; fixed ones stay; those of reduced rank
    keep their rank and the space that they span (`check_em`). Where there are bounds or ties, or structural zeros that leave no
    parts, the step is the minimiser within the parameter space of the quadratic that EM follows elsewhere, the information of
    complete records (Lange 1995): not higher only to second order.

    Parameters
    ----------
    theta
        (p,).
    derivatives
        Γ (c x c) of each block: d(-2 log L) = tr(Γ dG).
    counts
        Levels of each random term, then records of the residual or of each of its classes.
    """
    if _is_plain(space):
        updated = theta.copy()
        for block, slope, count in zip(space.blocks, derivatives, counts, strict=True):
            if not isinstance(block.structure, FixedValue):
                matrix = block.filled(theta[block.slice])
                updated[block.slice] = (matrix - matrix @ (slope * block.mask) @ matrix / count)[block.elements]
        return updated
    information = complete_information(space, theta, counts)
    gradient = space.from_matrices(derivatives)
    return constrained_step(space, theta, gradient, information, strictly_feasible(space, _lifted(space, theta))).theta1


def px_em_update(
    space: ParameterSpace,
    theta: FloatArray,
    derivatives: Sequence[FloatArray],
    counts: Sequence[float],
    working: Sequence[WorkingMoments],
) -> FloatArray:
    """θ after a round of parameter-expanded EM: random terms by Λ and Φ, the residual by EM.

    Several random terms share the regression: each takes an equal part of its own step, which never takes them past the
    minimum. -2 log L is not higher afterwards where there is one trait and no residual class; elsewhere Λ and R, which are found
    from the same expectations, can be at odds. Bounds and ties leave EM as it is (`em_update`).

    Parameters
    ----------
    theta, derivatives, counts
        As for `em_update`.
    working
        Λ and M of each random term.
    """
    if not _is_plain(space):
        return em_update(space, theta, derivatives, counts)
    updated = em_update(space, theta, derivatives, counts)
    terms = [block for block in space.blocks if not block.is_residual]
    share = 1 / max(sum(not isinstance(block.structure, FixedValue) for block in terms), 1)
    for block, slope, count, own in zip(terms, derivatives, counts, working, strict=False):
        if isinstance(block.structure, FixedValue):
            continue
        matrix = _expanded(block, slope, count, own, share)
        if isinstance(block.structure, ReducedRank):
            matrix = _of_rank(matrix, block.rank)
        updated[block.slice] = matrix[block.elements]
    return updated


def complete_information(space: ParameterSpace, theta: FloatArray, counts: Sequence[float]) -> FloatArray:
    """Average information (p, p) if the effects and residuals themselves were the records: ½ q tr(G⁻¹ dG G⁻¹ dG)."""
    information = np.zeros((space.size, space.size))
    lifted = _lifted(space, theta)
    for block, count in zip(space.blocks, counts, strict=True):
        inverse = np.linalg.inv(block.filled(lifted[block.slice]))
        unit = np.stack([block.filled(row) for row in np.eye(block.size)])
        product = inverse @ unit
        information[block.slice, block.slice] = 0.5 * count * np.einsum("iab,jba->ij", product, product, optimize=True)
    return information


def _expanded(block: MatrixBlock, slope: FloatArray, count: float, own: WorkingMoments, share: float) -> FloatArray:
    """ΛΦΛ' after a round; entries of Λ between uncorrelated parts stay zero."""
    root, moments = own
    gamma = slope * block.mask
    free = np.flatnonzero(block.mask)
    change = np.zeros(root.size)
    system = moments.reshape(root.size, root.size)[np.ix_(free, free)]
    change[free] = np.linalg.lstsq(system, (gamma @ root).ravel()[free], rcond=None)[0]
    moved = root - share * change.reshape(root.shape)
    spread = np.eye(root.shape[1]) - root.T @ gamma @ root / count
    return np.asarray(moved @ spread @ moved.T, dtype=np.float64)


def _of_rank(matrix: FloatArray, rank: int) -> FloatArray:
    """The matrix cut to its rank, on the scale of correlations."""
    scale = np.sqrt(np.where(matrix.diagonal() > 0, matrix.diagonal(), 1.0))
    root = scale[:, None] * cut_to_rank(matrix / np.outer(scale, scale), rank)
    return np.asarray(root @ root.T, dtype=np.float64)


def _is_plain(space: ParameterSpace) -> bool:
    """Whether EM has a closed form: no bounds, no ties, and matrices that fall into full parts."""
    return not space.bounds and not space.ties and all(_has_parts(block) for block in space.blocks)


def _has_parts(block: MatrixBlock) -> bool:
    """Whether structural zeros are those between parts."""
    _, part = connected_components(block.mask, directed=False)
    return bool(np.array_equal(part[:, None] == part, block.mask))


def _lifted(space: ParameterSpace, theta: FloatArray) -> FloatArray:
    """θ with every matrix positive definite."""
    lifted = theta.copy()
    diagonals = [block.filled(theta[block.slice]).diagonal() for block in space.blocks]
    largest = max(float(diagonal.max()) for diagonal in diagonals)
    for block, diagonal in zip(space.blocks, diagonals, strict=True):
        rows, columns = block.elements
        size = float(diagonal.max()) or largest
        lifted[block.slice] += np.where(rows == columns, _LIFT * np.maximum(diagonal, _LIFT * size)[rows], 0.0)
    return lifted
