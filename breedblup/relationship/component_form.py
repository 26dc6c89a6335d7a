"""G⁻¹ from its components (ssGTBLUP, Mäntysaari et al. 2017): G = WW' + C, and by Woodbury's identity

    G⁻¹ = C⁻¹ - C⁻¹W (I + W'C⁻¹W)⁻¹ W'C⁻¹

where W is Z and, where G is tuned, one more column √a 1. Only a factor with as many rows as markers is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from breedblup.errors import ModelError, counted
from breedblup.genotypes import CentredGenotypes
from breedblup.relationship.ancestry import refuse_beyond
from breedblup.relationship.blending import IdentityBlend, PedigreeBlend
from breedblup.relationship.genomic_matrix import GenomicMatrix
from breedblup.relationship.inverse import RelationshipInverse
from breedblup.relationship.remainders import Array, probed_diagonal
from breedblup.solvers.dense import factorise_in_place

MARKERS_AT_ONCE = 64
"""Columns of Z that are expanded at a time."""


@dataclass(frozen=True)
class PedigreeComponent:
    """C = βA₂₂."""

    share: float
    of: RelationshipInverse

    @property
    def logdet(self) -> float:
        """log|C|."""
        return len(self.of) * float(np.log(self.share)) + self.of.logdet

    def multiply(self, vectors: Array) -> Array:
        """C V."""
        return self.share * self.of.multiply(vectors)

    def solve(self, vectors: Array) -> Array:
        """C⁻¹ V."""
        return self.solved_beside(vectors, self.of.multiply_inverse(vectors))

    def solved_beside(self, vectors: Array, by_a22: Array) -> Array:
        """C⁻¹ V where A₂₂⁻¹ V is at hand."""
        return by_a22 / self.share


@dataclass(frozen=True)
class DiagonalComponent:
    """C, a diagonal matrix."""

    variances: Array

    @property
    def logdet(self) -> float:
        """log|C|."""
        return float(np.log(self.variances).sum())

    def multiply(self, vectors: Array) -> Array:
        """C V."""
        return self.variances[:, None] * vectors

    def solve(self, vectors: Array) -> Array:
        """C⁻¹ V."""
        return vectors / self.variances[:, None]

    def solved_beside(self, vectors: Array, by_a22: Array) -> Array:
        """C⁻¹ V where A₂₂⁻¹ V is at hand."""
        return self.solve(vectors)


@dataclass(frozen=True)
class ComponentInverse:
    """G⁻¹ by Woodbury's identity.

    Attributes
    ----------
    component
        C.
    factor
        Cholesky factor L' of I + W'C⁻¹W, in its upper triangle.
    """

    matrix: GenomicMatrix
    component: PedigreeComponent | DiagonalComponent
    factor: Array

    @property
    def logdet(self) -> float:
        """log|G|."""
        return self.component.logdet + 2.0 * float(np.log(self.factor.diagonal()).sum())

    def multiply(self, vectors: Array) -> Array:
        """G V."""
        return self.matrix.multiply(vectors)

    def multiply_inverse(self, vectors: Array) -> Array:
        """G⁻¹ V."""
        scaled = self.component.solve(vectors)
        inner = self.matrix.multiply_effects_transposed(scaled)
        inner = scipy.linalg.cho_solve((self.factor.T, True), inner, overwrite_b=True, check_finite=False)
        scaled -= self.component.solve(self.matrix.multiply_effects(inner))
        return scaled

    def inverse_diagonal(self) -> Array:
        """Near the diagonal of G⁻¹: from probes, not below 1/gᵢᵢ, where it cannot be."""
        return np.maximum(probed_diagonal(self.multiply_inverse, len(self.matrix)), 1.0 / self.matrix.diagonal())


def component_inverse(matrix: GenomicMatrix, memory: int | None = None) -> ComponentInverse:
    """Factorise I + W'C⁻¹W, by blocks of markers.

    Raises
    ------
    ModelError
        If G has a negative constant, or C cannot be inverted by itself.
    ResourceError
        If the factor would not fit.
    """
    component = component_of(matrix)
    m, size = matrix.z.centre.size, matrix.effects
    what = f"the factor of form 'components' for {counted(m, 'marker')}"
    refuse_beyond(memory, component_bytes(len(matrix), size), what, "choose form 'markers', or 'apy' with a core")
    inner = np.zeros((size, size))
    _fill(matrix, component, inner)
    inner[np.diag_indices(size)] += 1.0
    factorise_in_place(inner)
    return ComponentInverse(matrix, component, inner)


def component_bytes(genotyped: int, size: int) -> int:
    """Most bytes while the factor is made."""
    return 8 * size**2 + 8 * MARKERS_AT_ONCE * (4 * genotyped + size)


def component_of(matrix: GenomicMatrix) -> PedigreeComponent | DiagonalComponent:
    """C, for which G = WW' + C.

    Raises
    ------
    ModelError
        If G has a negative constant, or C is singular, or a sum of A₂₂ and a diagonal matrix.
    """
    if matrix.constant < 0.0:
        raise ModelError(
            "forms 'components' and 'markers' need a constant of G that is not negative, tuning gives "
            f"a = {matrix.constant:.6g} -> choose another tuning, or another form"
        )
    if isinstance(matrix.blended, PedigreeBlend):
        if matrix.added is not None:
            raise ModelError(
                "forms 'components' and 'markers' need the inverse of βA22 plus a diagonal matrix, which is not sparse -> leave "
                "out the ridge and the method of Yang et al., blend with the identity, or choose another form"
            )
        return PedigreeComponent(matrix.share, matrix.blended.of)
    variances = np.zeros(len(matrix)) if matrix.added is None else matrix.added.copy()
    if isinstance(matrix.blended, IdentityBlend):
        variances += matrix.share
    if not (variances > 0.0).all():
        raise ModelError(
            "forms 'components' and 'markers' need a G that is more than markers explain, for each animal -> blend it "
            "(blend = 0.05), or choose another form"
        )
    return DiagonalComponent(variances)


def _fill(matrix: GenomicMatrix, component: PedigreeComponent | DiagonalComponent, inner: Array) -> None:
    """Upper triangle of W'C⁻¹W, some rows at a time."""
    z, root = matrix.z, np.sqrt(matrix.constant)
    m = z.centre.size
    for first in range(0, m, MARKERS_AT_ONCE):
        last = min(first + MARKERS_AT_ONCE, m)
        scaled = component.solve(z.dense(first, last))
        inner[first:last, first:m] = _from(z, first).multiply_transposed(scaled).T
        inner[first:last, m:] = root * scaled.sum(axis=0)[:, None]
    if matrix.constant > 0.0:
        scaled = component.solve(np.full((len(matrix), 1), root))
        inner[m, m] = root * float(scaled.sum())


def _from(z: CentredGenotypes, first: int) -> CentredGenotypes:
    """Z without the markers before one."""
    chosen: NDArray[np.int64] = np.arange(first, z.centre.size)
    return CentredGenotypes(z.genotypes.at_markers(chosen), z.centre[first:], z.scale[first:])
