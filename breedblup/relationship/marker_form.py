"""Single-step SNP-BLUP: K of animals that rests on marker effects, which are solved for beside the breeding values.

With 2 the genotyped animals and 1 all others, breeding values are (Liu et al. 2014; Fernando et al. 2014)

    u = W g + ã,      W = [T; I] Z,   T = -(A¹¹)⁻¹A¹²,

marker effects g with variance 1 each (all factors are in the scales of Z), imputed to those without genotypes, and a residual
polygenic part ã, independent of g, whose inverse covariance is

    A⁻¹ + [0 0; 0 C⁻¹ - A₂₂⁻¹],      C = βA₂₂ or a diagonal matrix.

It is K = H for G = ZZ' + C: the same breeding values as with H⁻¹, without forming or inverting G. Nothing of size n × m or n × n
is stored but the packed genotypes: T and A₂₂⁻¹ act by a sparse factor of A¹¹.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from breedblup.errors import ModelError
from breedblup.relationship.ancestry import Ancestry
from breedblup.relationship.blocks import A22Operator, absorb
from breedblup.relationship.component_form import DiagonalComponent, PedigreeComponent, component_of
from breedblup.relationship.genomic_matrix import GenomicMatrix, GenomicPart
from breedblup.relationship.inverse import RelationshipInverse

NOT_FORMED = (
    "the inverse of the single-step form 'markers' is never formed, equations with it are solved for marker effects -> make it "
    "with form='explicit'"
)

_Block = NDArray[np.float64]


@dataclass(frozen=True)
class MarkerOperator:
    """K = H by its parts: imputation, products with Z, the residual polygenic part.

    Attributes
    ----------
    source
        A⁻¹ over all rows.
    matrix
        G among the genotyped.
    blocks
        A₂₂ among them, everybody else absorbed.
    others
        Rows of everybody else.
    component
        C.
    """

    source: RelationshipInverse
    matrix: GenomicMatrix
    blocks: A22Operator
    others: NDArray[np.int64]
    component: PedigreeComponent | DiagonalComponent

    @property
    def genotyped(self) -> NDArray[np.int64]:
        """Rows of the genotyped animals, in the order of the matrix."""
        return self.blocks.places

    def impute(self, values: _Block) -> _Block:
        """T v: what those without genotypes are expected to have of the genotyped animals' values."""
        if self.blocks.factor is None:
            return np.empty((0, values.shape[1]))
        return -self.blocks.factor.solve(self.blocks.across @ values)

    def collect(self, values: _Block) -> _Block:
        """T'v."""
        if self.blocks.factor is None:
            return np.zeros((self.genotyped.size, values.shape[1]))
        return -(self.blocks.across.T @ self.blocks.factor.solve(np.ascontiguousarray(values)))

    def a22_inverse(self, values: _Block, imputed: _Block) -> _Block:
        """A₂₂⁻¹v of values whose imputation T v is at hand."""
        product: _Block = self.blocks.own @ values + self.blocks.across.T @ imputed
        return product

    def multiply_residual(self, vectors: _Block) -> _Block:
        """The covariance of ã times a block over all rows: A with A₂₂ replaced by C among the genotyped."""
        product = self.source.multiply(vectors)
        within = self.blocks.multiply_inverse(product[self.genotyped])
        change = self.component.multiply(within) - product[self.genotyped]
        spread = np.zeros_like(vectors)
        spread[self.genotyped] = self.blocks.multiply_inverse(change)
        return product + self.source.multiply(spread)

    def multiply(self, vectors: _Block) -> _Block:
        """K V for a block over all rows."""
        collected = vectors[self.genotyped] + self.collect(vectors[self.others])
        of_markers = self.matrix.multiply_effects(self.matrix.multiply_effects_transposed(collected))
        product = self.multiply_residual(vectors)
        product[self.genotyped] += of_markers
        product[self.others] += self.impute(of_markers)
        return product

    def multiply_inverse(self, vectors: _Block) -> _Block:
        """Refused: K⁻¹ is not formed."""
        raise ModelError(NOT_FORMED)

    def assembled(self) -> scipy.sparse.csr_array:
        """What equations store: A⁻¹."""
        return self.source.matrix

    def entries(self) -> scipy.sparse.csr_array:
        """Refused: K⁻¹ is not formed."""
        raise ModelError(NOT_FORMED)

    def diagonal(self) -> NDArray[np.float64]:
        """Not known."""
        return np.full(len(self.source), np.nan)


def marker_inverse(
    source: RelationshipInverse, matrix: GenomicMatrix, rows: NDArray[np.int32], *, memory: int | None = None
) -> RelationshipInverse:
    """K⁻¹ in the form of single-step SNP-BLUP.

    Parameters
    ----------
    source
        A⁻¹ over all animals, and metafounders.
    matrix
        G among the genotyped animals.
    rows
        Row of each of them in ``source``.
    memory
        Bytes that the factor of A¹¹ may use.

    Raises
    ------
    ModelError
        If G cannot be written as ZZ' + C with C a multiple of A₂₂ or diagonal, or there are groups of unknown parents that are no
        metafounders.
    ResourceError
        If the factor of A¹¹ would not fit.
    """
    if source.plain_groups:
        raise ModelError(
            "the single-step form 'markers' takes no groups of unknown parents but metafounders -> choose another form, or "
            "metafounder_inverse"
        )
    operator = marker_operator(source, matrix, rows, memory=memory)
    of_residual = "A22" if isinstance(operator.component, PedigreeComponent) else "a diagonal matrix"
    said = (
        *source.made,
        *matrix.made,
        f"single-step SNP-BLUP: {matrix.effects:,} effects of markers solved beside the breeding values of {len(source):,} "
        f"rows, residual polygenic part {of_residual}",
    )
    return RelationshipInverse(
        source.ids, operator, None, float("nan"), said, source.pedigree, source.parents, source.inbreeding, source.groups,
        None, GenomicPart(matrix, rows, 1.0, "markers"),
    )  # fmt: skip


def marker_operator(
    source: RelationshipInverse, matrix: GenomicMatrix, rows: NDArray[np.int32], *, memory: int | None = None
) -> MarkerOperator:
    """K by its parts; arguments as for `marker_inverse`, which refuses what cannot be written so."""
    everyone = Ancestry(np.arange(len(source)), source.operator, np.empty(0), source.logdet)
    blocks = absorb(everyone, rows.astype(np.int64), memory)
    outside = np.ones(len(source), dtype=np.bool_)
    outside[rows] = False
    return MarkerOperator(source, matrix, blocks, np.flatnonzero(outside), component_of(matrix))
