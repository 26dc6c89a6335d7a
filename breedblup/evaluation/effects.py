"""Solutions of random terms, level by level, with what their precision is computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from breedblup.design import DesignTerm
from breedblup.mme import EquationLayout
from breedblup.mme.reduction import ReducedEquations
from breedblup.solvers.cholesky import CholeskyFactor
from breedblup.variances import VarianceComponents


@dataclass(frozen=True)
class RandomEffects:
    """Solutions of one random term for its n levels, each with c effects (those of ``term.coordinates``).

    Attributes
    ----------
    covariance
        G₀, c × c.
    solutions
        n × c, in the order of ``term.levels``.
    pev
        n × c × c: prediction error (co)variances of the effects of each level; None where they were not computed, and where
        levels are relative to fixed groups of unknown parents.
    records
        n × c: records that each effect of a level stands in.
    """

    term: DesignTerm
    covariance: NDArray[np.float64]
    solutions: NDArray[np.float64]
    pev: NDArray[np.float64] | None
    records: NDArray[np.int64]

    def __post_init__(self) -> None:
        for array in (self.covariance, self.solutions, self.pev, self.records):
            if array is not None:
                array.flags.writeable = False


def random_effects(
    layout: EquationLayout,
    k: int,
    variances: VarianceComponents,
    x: NDArray[np.float64],
    inverse_blocks: NDArray[np.float64] | None,
    observed: NDArray[np.bool_],
) -> RandomEffects:
    """Effects of the k-th term of a layout from a solution; where G₀ has lower rank, u = (Λ ⊗ I)v and its PEV is ΛCΛ'.

    Parameters
    ----------
    inverse_blocks
        Blocks of C⁻¹ of the levels, as `inverse_by_level` gives them.
    observed
        Which traits each record has, n × traits.
    """
    term, loading = layout.terms[k], layout.loadings[k]
    levels, width = len(term.levels), layout.width(k)
    solutions = x[layout.starts[k] : layout.starts[k + 1]].reshape(levels, width)
    pev = inverse_blocks
    if (
        term.relationship is not None
        and term.relationship.groups is not None
        and term.relationship.groups.kind == "fixed"
    ):
        pev = None  # that of û at groups set to zero: no property of the animal
    if loading is not None:
        solutions = solutions @ loading.T
        pev = None if pev is None else loading @ pev @ loading.T
    records = np.column_stack([term.recorded(c, observed) for c in range(len(term.coordinates))])
    return RandomEffects(term, variances.matrix(term.name), solutions.copy(), pev, records)


def inverse_by_level(
    factor: CholeskyFactor, layout: EquationLayout, reduced: ReducedEquations | None = None
) -> list[NDArray[np.float64]]:
    """C⁻¹ of every level by term: levels × width × width for a random term, the diagonal for a fixed one.

    Parameters
    ----------
    factor
        Of all equations, or of the ``reduced`` ones.
    """
    widths = [
        np.full(len(term.levels), layout.width(k)) if term.kind == "random" else np.ones(layout.equations(k))
        for k, term in enumerate(layout.terms)
    ]
    pattern = _blocks_along_the_diagonal(np.concatenate([*widths, np.empty(0)]).astype(np.int64), layout.size)
    values = factor.inverse_on(pattern).data if reduced is None else _expanded(factor, pattern, reduced)
    blocks, begin = [], 0
    for k, term in enumerate(layout.terms):
        width, levels = layout.width(k), len(term.levels)
        shape = (levels, width, width) if term.kind == "random" else (layout.equations(k),)
        blocks.append(values[begin : begin + int(np.prod(shape))].reshape(shape))
        begin += int(np.prod(shape))
    return blocks


def _blocks_along_the_diagonal(widths: NDArray[np.int64], size: int) -> scipy.sparse.csr_array:
    """A pattern of dense blocks of these widths, one after the other."""
    widths = widths[widths > 0]
    of_row = np.repeat(widths, widths)
    start_of_row = np.repeat(np.cumsum(widths) - widths, widths)
    pointer = np.concatenate([[0], np.cumsum(of_row)])
    place = np.arange(pointer[-1]) - np.repeat(pointer[:-1], of_row)
    columns = (np.repeat(start_of_row, of_row) + place).astype(np.int32)
    return scipy.sparse.csr_array((np.ones(pointer[-1]), columns, pointer), shape=(size, size))


def _expanded(
    factor: CholeskyFactor, pattern: scipy.sparse.csr_array, reduced: ReducedEquations
) -> NDArray[np.float64]:
    """C⁻¹ on a pattern of blocks along the diagonal, from a factor of the reduced equations."""
    reduction = reduced.reduction
    inverse = factor.inverse_on(reduced.lhs)
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    number = np.full(pattern.shape[0], -1)
    number[reduction.kept] = np.arange(reduction.kept.size)
    stays = number[rows] >= 0
    values = np.empty(pattern.nnz)
    values[stays] = inverse[number[rows[stays]], number[pattern.indices[stays]]]
    places = pattern.indptr[reduction.starts][:, None] + np.arange(reduction.width**2)
    values[places] = reduced.inverse_blocks(inverse).reshape(places.shape)
    return values
