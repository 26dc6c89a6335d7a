"""Δ = τG⁻¹ - ωA₂₂⁻¹ formed: two dense inverses, in place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from breedblup.errors import NotPositiveDefinite, counted
from breedblup.relationship.ancestry import refuse_beyond
from breedblup.relationship.blending import PedigreeBlend
from breedblup.relationship.definiteness import indefinite
from breedblup.relationship.dense import refuse_singular, singular
from breedblup.relationship.genomic_matrix import GenomicMatrix
from breedblup.relationship.inverse import RelationshipInverse
from breedblup.relationship.remainders import DenseDifference
from breedblup.solvers.dense import factorise_in_place, invert_in_place

ARRAYS = 3
"""Of n₂ × n₂ numbers that are held at a time while Δ is made."""


def dense_difference(
    matrix: GenomicMatrix, a22: RelationshipInverse, tau: float, omega: float, memory: int | None = None
) -> DenseDifference:
    """Δ, and the factor of G_eff⁻¹ where ω is not 1.

    Raises
    ------
    NotPositiveDefinite
        If G is singular, or ω is so large that H⁻¹ is indefinite.
    ResourceError
        If three dense matrices would not fit.
    """
    n = len(matrix)
    what = f"H⁻¹ with the dense inverse of G among {counted(n, 'animal')}"
    refuse_beyond(memory, explicit_bytes(n), what, "choose form 'markers', 'components', or 'apy' with a core")
    refuse_singular(matrix)
    genomic, pedigree = _both(matrix, a22)
    try:
        logdet = invert_in_place(genomic)
    except NotPositiveDefinite as failure:
        noticed = f"noticed at {matrix.ids[failure.equation]!r}"
        raise singular(matrix.z.genotypes, "G", failure.equation, noticed) from None
    invert_in_place(pedigree)
    genomic *= tau
    effective, logdet = None, logdet - n * float(np.log(tau))
    if omega != 1.0:
        effective, logdet = _factorise_effective(genomic, pedigree, omega)
    pedigree *= omega
    genomic -= pedigree
    return DenseDifference(genomic, matrix, a22, tau, omega, effective, logdet)


def explicit_bytes(genotyped: int) -> int:
    """Most bytes while Δ is made."""
    return ARRAYS * 8 * genotyped**2


def _both(matrix: GenomicMatrix, a22: RelationshipInverse) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """G and A₂₂; A₂₂ is found once where G is blended with it."""
    everyone = np.arange(len(matrix), dtype=np.int32)
    pedigree = PedigreeBlend(a22).block(everyone, everyone)
    pedigree = 0.5 * (pedigree + pedigree.T)
    if not (isinstance(matrix.blended, PedigreeBlend) and matrix.blended.of is a22):
        return np.ascontiguousarray(matrix.dense()), pedigree
    genomic = np.ascontiguousarray(replace(matrix, share=0.0, blended=None).dense())
    genomic += matrix.share * pedigree
    return genomic, pedigree


def _factorise_effective(
    genomic: NDArray[np.float64], pedigree: NDArray[np.float64], omega: float
) -> tuple[NDArray[np.float64], float]:
    """Cholesky factor of G_eff⁻¹ from τG⁻¹ and A₂₂⁻¹, and log|G_eff|."""
    effective = genomic + (1.0 - omega) * pedigree
    try:
        return effective, -factorise_in_place(effective)
    except NotPositiveDefinite:
        last = len(genomic) - 1
        (largest,) = scipy.linalg.eigvalsh(pedigree, genomic, subset_by_index=[last, last])
        raise indefinite(float(largest), omega) from None
