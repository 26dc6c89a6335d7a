"""A₂₂⁻¹ of some animals from sparse blocks: those that are not among them are absorbed.

With 2 the animals and 1 the others, A₂₂⁻¹ = A²² - A²¹(A¹¹)⁻¹A¹², all blocks of A⁻¹ (Strandén & Mäntysaari 2014; Masuda et al.
2017). A¹¹ is factorised once; log|A₂₂| = log|A| + log|A¹¹|.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from breedblup.errors import counted
from breedblup.pedigree import Pedigree
from breedblup.relationship.ancestry import (
    COLUMNS,
    Ancestry,
    Ids,
    Related,
    ancestry_of,
    as_text,
    distinct_positions,
    refuse_beyond,
)
from breedblup.relationship.inverse import InverseOperator, RelationshipInverse
from breedblup.solvers.cholesky import CholeskyFactor, analyse


@dataclass(frozen=True)
class A22Operator:
    """A₂₂ and its inverse.

    Attributes
    ----------
    whole
        K among the animals and those that are absorbed.
    size
        Rows of ``whole``.
    places
        Rows of the animals in it.
    own, across
        Blocks of K⁻¹: among the animals, and of the absorbed (rows) with them.
    factor
        Of the block of the absorbed; None where nobody is absorbed.
    """

    whole: InverseOperator
    size: int
    places: NDArray[np.int64]
    own: scipy.sparse.csr_array
    across: scipy.sparse.csr_array
    factor: CholeskyFactor | None

    def multiply_inverse(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """A₂₂⁻¹ V for a k × w block."""
        product: NDArray[np.float64] = self.own @ vectors
        if self.factor is not None:
            product -= self.across.T @ self.factor.solve(self.across @ vectors)
        return product

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """A₂₂ V for a k × w block, without A₂₂ (Colleau 2002)."""
        full = np.zeros((self.size, vectors.shape[1]))
        full[self.places] = vectors
        return self.whole.multiply(full)[self.places]

    def entries(self) -> scipy.sparse.csr_array:
        """A₂₂⁻¹ in CSR, both triangles; nearly dense where many are absorbed.

        Raises
        ------
        ResourceError
            If 20 bytes for each of k² entries would not fit.
        """
        k = self.places.size
        refuse_beyond(None, 20 * k**2, f"A22⁻¹ of {k:,} animals entry by entry", "use its products")
        dense = np.empty((k, k))
        for first in range(0, k, COLUMNS):
            unit = np.zeros((k, min(COLUMNS, k - first)))
            unit[np.arange(first, first + unit.shape[1]), np.arange(unit.shape[1])] = 1.0
            dense[:, first : first + unit.shape[1]] = self.multiply_inverse(unit)
        return scipy.sparse.csr_array(0.5 * (dense + dense.T))


def a22_inverse(source: Related, ids: Ids, *, memory: int | None = None) -> RelationshipInverse:
    """A₂₂⁻¹ of the animals of a list, such as those with genotypes, as products from sparse blocks of A⁻¹.

    Parameters
    ----------
    source
        Pedigree, or inverse of a relationship matrix. Of a pedigree only the ancestors of ``ids`` are taken.
    ids
        Text ids, each once: order of the rows.
    memory
        Bytes that the factor may use; None for 80 % of what is available.

    Returns
    -------
    RelationshipInverse
        Over ``ids``: ``multiply_inverse`` is A₂₂⁻¹v, ``multiply`` A₂₂v, ``logdet`` log|A₂₂|; ``matrix`` forms A₂₂⁻¹.

    Raises
    ------
    PedigreeError
        If an id is unknown or repeated, or none is given.
    ModelError
        If the inverse has fixed groups, with which it is singular.
    ResourceError
        If the factor of A¹¹ would not fit.
    """
    named = distinct_positions(source, ids, "a22_inverse")
    ancestry = ancestry_of(source, named)
    places = ancestry.places_of(named)
    operator, logdet = absorb(ancestry, places, memory)
    made = (f"A from pedigree {source.name}", "inbreeding considered") if isinstance(source, Pedigree) else source.made
    others = counted(ancestry.rows.size - named.size, "other")
    said = f"among {counted(named.size, 'animal')}, {others} absorbed"
    diagonal = ancestry.diagonal[places]
    return RelationshipInverse(as_text(ids), operator, diagonal, logdet, (*made, said))


def absorb(ancestry: Ancestry, places: NDArray[np.int64], memory: int | None) -> tuple[A22Operator, float]:
    """A₂₂ and its inverse for the animals at ``places`` of an ancestry, and log|A₂₂|; the others are absorbed."""
    size = ancestry.rows.size
    inverse = ancestry.operator.entries()
    absorbed = np.ones(size, dtype=np.bool_)
    absorbed[places] = False
    others = np.flatnonzero(absorbed)
    own = inverse[places][:, places]
    across = inverse[others][:, places]
    if not others.size:
        return A22Operator(ancestry.operator, size, places, own, across, None), ancestry.logdet
    among = inverse[others][:, others]
    among.sort_indices()
    symbolic = analyse(among)
    what = f"the factor of A¹¹, of {counted(others.size, 'animal')}, for A22⁻¹"
    refuse_beyond(memory, symbolic.bytes, what, "name fewer animals, or form A22 with a22")
    factor = symbolic.factorise(among)
    return A22Operator(ancestry.operator, size, places, own, across, factor), ancestry.logdet + factor.logdet()
