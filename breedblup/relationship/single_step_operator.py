"""H and H⁻¹ as operators: products, entries, diagonal, whatever form Δ has.

H⁻¹ = A⁻¹ + [0 0; 0 Δ],    H = A + A_{·2} A₂₂⁻¹(G_eff - A₂₂)A₂₂⁻¹ A_{2·}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from breedblup.errors import ResourceError, counted
from breedblup.relationship.ancestry import refuse_beyond
from breedblup.relationship.inverse import RelationshipInverse
from breedblup.relationship.remainders import Array, Difference, GenotypedRemainder
from breedblup.solvers.cholesky import analyse

ENTRY_BYTES = 40
"""Of an entry of Δ while it is put into CSR."""


class SingleStepProducts(Protocol):
    """H and H⁻¹ by products, with or without groups."""

    def multiply(self, vectors: Array) -> Array:
        """H V."""
        ...

    def known_of_diagonal(self) -> Array:
        """What of the diagonal of H is known without a factor."""
        ...

    def genomic_duals(self, solutions: Array) -> Array:
        """G⁻¹û₂."""
        ...


@dataclass(frozen=True)
class SingleStepOperator:
    """H and H⁻¹ over the rows of A⁻¹.

    Attributes
    ----------
    source
        A⁻¹, or (A^Γ)⁻¹ with its metafounders.
    rows
        Of the genotyped animals, in the order of G.
    a22
        A₂₂⁻¹ among them.
    """

    source: RelationshipInverse
    rows: NDArray[np.int32]
    a22: RelationshipInverse
    difference: Difference
    remainder: GenotypedRemainder

    def multiply_inverse(self, vectors: Array) -> Array:
        """H⁻¹ V for an n × k block."""
        product = self.source.multiply_inverse(vectors)
        product[self.remainder.rows] += self.remainder.multiply(vectors[self.remainder.rows])
        return product

    def multiply(self, vectors: Array) -> Array:
        """H V for an n × k block: two products with A, two with A₂₂⁻¹, one with G_eff."""
        product = self.source.multiply(vectors)
        own = product[self.rows]
        changed = self.difference.multiply_effective(self.a22.multiply_inverse(own)) - own
        spread = np.zeros_like(vectors)
        spread[self.rows] = self.a22.multiply_inverse(changed)
        product += self.source.multiply(spread)
        return product

    def assembled(self) -> scipy.sparse.csr_array:
        """A⁻¹ in CSR."""
        return self.source.matrix

    def entries(self) -> scipy.sparse.csr_array:
        """H⁻¹ in CSR, both triangles.

        Raises
        ------
        ResourceError
            If Δ among the genotyped animals would not fit.
        """
        return with_block(self.source.matrix, self.remainder.rows, self.remainder.dense)

    def diagonal(self) -> Array:
        """Diagonal of H by a factor of H⁻¹; where that would not fit only gᵢᵢ/τ of genotyped animals (ω = 1), NaN elsewhere."""
        try:
            return StoredOperator(self, self.entries(), 0).diagonal()
        except ResourceError:
            return self.known_of_diagonal()

    def known_of_diagonal(self) -> Array:
        """What of the diagonal of H is known without a factor: gᵢᵢ/τ where ω is 1."""
        found = np.full(len(self.source), np.nan)
        if self.difference.omega == 1.0:
            found[self.rows] = self.difference.matrix.diagonal() / self.difference.tau
        return found

    def genomic_duals(self, solutions: Array) -> Array:
        """G⁻¹û₂ of solutions of all rows (n × c), in the order of G: what marker effects are made of."""
        return self.difference.multiply_genomic_inverse(np.ascontiguousarray(solutions[self.rows]))


@dataclass(frozen=True)
class StoredOperator:
    """The same with every entry of H⁻¹ at hand, and its diagonal by a factor of them."""

    products: SingleStepProducts
    matrix: scipy.sparse.csr_array
    fixed: int

    def multiply_inverse(self, vectors: Array) -> Array:
        """H⁻¹ V for an n × k block."""
        return np.asarray(self.matrix @ vectors)

    def multiply(self, vectors: Array) -> Array:
        """H V for an n × k block."""
        return self.products.multiply(vectors)

    def entries(self) -> scipy.sparse.csr_array:
        """H⁻¹ in CSR."""
        return self.matrix

    def diagonal(self) -> Array:
        """Diagonal of H, 0 for the last, ``fixed`` rows; what is known of it where the factor would not fit."""
        size = self.matrix.shape[0]
        regular = leading_block(self.matrix, size - self.fixed) if self.fixed else self.matrix
        try:
            return np.append(diagonal_by_factor(regular), np.zeros(self.fixed))
        except ResourceError:
            return self.products.known_of_diagonal()

    def genomic_duals(self, solutions: Array) -> Array:
        """G⁻¹ times the genomic part of solutions."""
        return self.products.genomic_duals(solutions)


def with_block(
    matrix: scipy.sparse.csr_array, rows: NDArray[np.int32], dense: Callable[[], Array]
) -> scipy.sparse.csr_array:
    """A symmetric matrix plus a full symmetric block at some of its rows, which ascend.

    Raises
    ------
    ResourceError
        If the block would not fit; it is not made then.
    """
    what = f"H⁻¹ entry by entry, {counted(rows.size, 'row')} of it full,"
    refuse_beyond(None, ENTRY_BYTES * rows.size**2, what, "solve by pcg, which takes products")
    size = matrix.shape[0]
    pointer = np.zeros(size + 1, dtype=np.int64)
    pointer[rows + 1] = rows.size
    block = dense()
    columns = np.tile(rows, rows.size)
    full = scipy.sparse.csr_array((block.ravel(), columns, np.cumsum(pointer)), shape=matrix.shape)
    total = scipy.sparse.csr_array(matrix + full)
    total.sort_indices()
    return total


def leading_block(matrix: scipy.sparse.csr_array, n: int) -> scipy.sparse.csr_array:
    """The first rows and columns."""
    block = scipy.sparse.csr_array(matrix[:n][:, :n])
    block.sort_indices()
    return block


def diagonal_by_factor(matrix: scipy.sparse.csr_array) -> Array:
    """Diagonal of the inverse of a positive definite matrix.

    Raises
    ------
    ResourceError
        If its factor and the selected inverse would not fit.
    """
    symbolic = analyse(matrix)
    refuse_beyond(None, symbolic.bytes_with_inverse, "the diagonal of H", "leave reliabilities out")
    return symbolic.factorise(matrix).inverse_diagonal()
