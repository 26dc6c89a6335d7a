"""A₂₂⁻¹ of some animals from sparse blocks: those that are not among them are absorbed.

With 2 the animals and 1 the others, A₂₂⁻¹ = A²² - A²¹(A¹¹)⁻¹A¹², all blocks of A⁻¹ (Strandén & Mäntysaari 2014; Masuda et al.
2017). A¹¹ is factorised once; log|A₂₂| = log|A| + log|A¹¹|.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from breedblup.errors import ModelError, counted
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
    own, across, among
        Blocks of K⁻¹: among the animals, of the absorbed (rows) with them, and among the absorbed; None where nobody is.
    memory
        Bytes that the factor may use; None for 80 % of what is available when it is made.
    """

    whole: InverseOperator
    size: int
    places: NDArray[np.int64]
    own: scipy.sparse.csr_array
    across: scipy.sparse.csr_array
    among: scipy.sparse.csr_array | None
    memory: int | None = None

    @cached_property
    def factor(self) -> CholeskyFactor | None:
        """Of the block of the absorbed, made when first needed.

        Raises
        ------
        ResourceError
            If it would not fit.
        """
        if self.among is None:
            return None
        symbolic = analyse(self.among)
        what = f"the factor of A¹¹, of {counted(self.among.shape[0], 'animal')}, for A22⁻¹"
        refuse_beyond(self.memory, symbolic.bytes, what, "name fewer animals, or form A22 with a22")
        return symbolic.factorise(self.among)

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
        If the inverse has fixed groups, with which it is singular, or rests on genotypes.
    ResourceError
        If the factor of A¹¹ would not fit.
    """
    return with_logdet(a22_products(source, ids, memory=memory))


def with_logdet(of_products: RelationshipInverse) -> RelationshipInverse:
    """What `a22_products` gave, with its factor made and log|A₂₂| = log|A| + log|A¹¹|."""
    factor = cast(A22Operator, of_products.operator).factor
    return replace(of_products, logdet=of_products.logdet + (0.0 if factor is None else factor.logdet()))


def a22_products(source: Related, ids: Ids, *, memory: int | None = None) -> RelationshipInverse:
    """The same, without the factor until a product with A₂₂⁻¹ needs it; ``logdet`` is that of all who are visited."""
    if isinstance(source, RelationshipInverse) and source.genomic is not None:
        raise ModelError(
            "a22_inverse: the inverse rests on genotypes, so that what it has among these animals is not A22 -> give the "
            "pedigree, or its A⁻¹"
        )
    named = distinct_positions(source, ids, "a22_inverse")
    ancestry = ancestry_of(source, named)
    operator = absorb(ancestry, ancestry.places_of(named), memory)
    made = (f"A from pedigree {source.name}", "inbreeding considered") if isinstance(source, Pedigree) else source.made
    others = counted(ancestry.rows.size - named.size, "other")
    said = f"among {counted(named.size, 'animal')}, {others} absorbed"
    diagonal = ancestry.diagonal[operator.places]
    return RelationshipInverse(as_text(ids), operator, diagonal, ancestry.logdet, (*made, said))


def absorb(ancestry: Ancestry, places: NDArray[np.int64], memory: int | None) -> A22Operator:
    """A₂₂ and its inverse for the animals at ``places`` of an ancestry; the others are absorbed."""
    inverse = ancestry.operator.entries()
    absorbed = np.ones(ancestry.rows.size, dtype=np.bool_)
    absorbed[places] = False
    others = np.flatnonzero(absorbed)
    own, across = inverse[places][:, places], inverse[others][:, places]
    among = None
    if others.size:
        among = inverse[others][:, others]
        among.sort_indices()
    return A22Operator(ancestry.operator, ancestry.rows.size, places, own, across, among, memory)
