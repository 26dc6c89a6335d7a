"""The numerator relationship matrix A: its inverse from the pedigree, never A itself.

A = T D T'. All of A⁻¹, products and diagonal come from the parents and the Mendelian sampling variances D
(`breedblup.kernels.numerator`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numba import get_num_threads
from numpy.typing import NDArray

from breedblup.kernels import numerator
from breedblup.kernels.inbreeding import half_relationship_of_parents, mendelian_variance, relationship_diagonal
from breedblup.kernels.pedigree import offspring_of
from breedblup.pedigree import Pedigree
from breedblup.relationship.inverse import RelationshipInverse, refuse_other_pedigrees


@dataclass(frozen=True)
class PedigreeOperator:
    """A and A⁻¹ as the pedigree gives them: parents before offspring, ``variance`` the diagonal of D."""

    sire: NDArray[np.int32]
    dam: NDArray[np.int32]
    variance: NDArray[np.float64]

    def multiply_inverse(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """A⁻¹ V for an n × k block."""
        product = np.empty_like(vectors)
        numerator.multiply_a_inverse(self.sire, self.dam, self.variance, vectors, product)
        return product

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """A V for an n × k block."""
        product = vectors.copy()
        numerator.multiply_a(self.sire, self.dam, self.variance, product)
        return product

    def entries(self) -> scipy.sparse.csr_array:
        """A⁻¹ in CSR: one pass counts, one fills."""
        n = self.sire.size
        lists = (*_offspring_lists(self.sire), *_offspring_lists(self.dam))
        work = 1 + np.diff(lists[0]) + np.diff(lists[2])
        bounds = equal_shares(work, get_num_threads())
        counts = np.empty(n, dtype=np.int64)
        numerator.a_inverse_counts(self.sire, self.dam, self.variance, lists, bounds, counts)
        pointer = np.zeros(n + 1, dtype=np.int64)
        np.cumsum(counts, out=pointer[1:])
        indices = np.empty(pointer[-1], dtype=np.int32)
        values = np.empty(pointer[-1])
        numerator.a_inverse_entries(self.sire, self.dam, self.variance, lists, bounds, pointer, indices, values)
        return csr_from(values, indices, pointer, n)


def _offspring_lists(parent: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    pointer = np.empty(parent.size + 1, dtype=np.int32)
    offspring = np.empty(parent.size, dtype=np.int32)
    offspring_of(parent, pointer, offspring)
    return pointer, offspring


def equal_shares(work: NDArray[np.integer], parts: int) -> NDArray[np.int64]:
    """Bounds that cut rows into ``parts`` runs of about equal work."""
    total = np.cumsum(work, dtype=np.int64)
    cuts = np.searchsorted(total, total[-1] * np.arange(1, parts) / parts) if total.size else np.zeros(parts - 1)
    return np.concatenate([[0], cuts, [work.size]]).astype(np.int64)


def csr_from(
    values: NDArray[np.float64], indices: NDArray[np.int32], pointer: NDArray[np.int64], n: int
) -> scipy.sparse.csr_array:
    """A square CSR matrix over given arrays; indices become int64 as soon as the entries pass 2³¹."""
    if pointer[-1] < np.iinfo(np.int32).max:
        matrix = scipy.sparse.csr_array((values, indices, pointer.astype(np.int32)), shape=(n, n))
    else:
        matrix = scipy.sparse.csr_array((values, indices.astype(np.int64), pointer), shape=(n, n))
    matrix.has_sorted_indices = True
    return matrix


def a_inverse(pedigree: Pedigree, *, inbreeding: bool = True) -> RelationshipInverse:
    """A⁻¹ of a pedigree (Henderson 1976; Quaas 1976).

    Parameters
    ----------
    inbreeding
        Whether Mendelian sampling variances take the parents' inbreeding into account. Without it the result is what some
        programs use by default: the inverse of T D₀ T' with D₀ of 1, ¾ and ½, whose diagonal is not 1 + F.

    Returns
    -------
    RelationshipInverse
        Over ``pedigree.ids``, with the diagonal and log-determinant of the matrix whose inverse it is.
    """
    refuse_other_pedigrees(pedigree, "a_inverse", of_sires=False)
    sire, dam = pedigree.sire, pedigree.dam
    used = pedigree.inbreeding if inbreeding else np.zeros(len(pedigree))
    variance = np.empty(len(pedigree))
    mendelian_variance(sire, dam, used, variance)
    if inbreeding:
        diagonal = 1.0 + used
    else:
        half = np.empty(len(pedigree))
        half_relationship_of_parents(sire, dam, used, half)
        diagonal = np.empty(len(pedigree))
        relationship_diagonal(sire, dam, variance, half, diagonal)
    variance.flags.writeable = False
    made = (f"A from pedigree {pedigree.name}", "inbreeding considered" if inbreeding else "inbreeding ignored")
    return RelationshipInverse(
        pedigree.ids,
        PedigreeOperator(sire, dam, variance),
        diagonal,
        float(np.log(variance).sum()),
        made,
        pedigree,
        ((sire, 0.5), (dam, 0.5)),
        pedigree.inbreeding,
    )
