"""Groups of unknown parents, fixed or random, in H⁻¹.

With u = Qg + a for the pedigree, the genotypes enter in one of two ways (Misztal et al. 2013; Masuda et al. 2021):

- full: u = Qg + h with h ~ H. Δ acts on u₂ - Q₂g.
- altered: genotypes already tell what groups differ by, u₂ ~ N(0, G_eff) has no groups, and the others follow by the pedigree,
  u₁ = T u₂ + (Q₁ - TQ₂)g + e with T = A₁₂A₂₂⁻¹. Among (u₂, g) H⁻¹ then has beyond the pedigree's part

      [τG⁻¹ - ωA₂₂⁻¹   A₂₂⁻¹Q₂; Q₂'A₂₂⁻¹   -Q₂'A₂₂⁻¹Q₂]

What has no prior where groups are fixed are the columns [D; I], D being Q, or (Q₁ - TQ₂; 0). A and A₂₂ are those of the pedigree
without groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from breedblup.errors import ResourceError
from breedblup.relationship.group_operator import GroupOperator
from breedblup.relationship.groups import GROUPS_AT_ONCE
from breedblup.relationship.inverse import RelationshipInverse
from breedblup.relationship.operator import PedigreeOperator
from breedblup.relationship.remainders import Array, Difference
from breedblup.relationship.single_step_operator import (
    SingleStepOperator,
    StoredOperator,
    with_block,
)

GroupEquations: TypeAlias = Literal["altered", "full"]


@dataclass(frozen=True)
class FullRemainder:
    """Δ on u₂ - Q₂g.

    Attributes
    ----------
    rows
        Of the genotyped animals, ascending, and then of the groups.
    order
        Which animal of G has each row of a genotyped one.
    shares
        Q₂ in the order of G.
    """

    rows: NDArray[np.int32]
    order: NDArray[np.int64]
    shares: Array
    difference: Difference

    @cached_property
    def diagonal(self) -> Array:
        """Of it, or near it; exact for groups."""
        of_groups = (self.shares * self.difference.multiply(self.shares)).sum(axis=0)
        return np.concatenate([self.difference.diagonal[self.order], of_groups])

    def multiply(self, vectors: Array) -> Array:
        """The product with a block of the rows."""
        n = self.order.size
        deviation = _in_order(vectors[:n], self.order) - self.shares @ vectors[n:]
        product = self.difference.multiply(deviation)
        return np.concatenate([product[self.order], -(self.shares.T @ product)])

    def dense(self) -> Array:
        """Entry by entry, exactly symmetric."""
        own = self.difference.dense()
        beside = -(own @ self.shares)
        return _bordered(own[np.ix_(self.order, self.order)], beside[self.order], -(self.shares.T @ beside))


@dataclass(frozen=True)
class AlteredRemainder:
    """Δ on u₂, and what cancels the pedigree's part of the groups among the genotyped.

    Attributes
    ----------
    beside
        A₂₂⁻¹Q₂ in the order of G.
    own
        -Q₂'A₂₂⁻¹Q₂.
    """

    rows: NDArray[np.int32]
    order: NDArray[np.int64]
    beside: Array
    own: Array
    difference: Difference

    @property
    def diagonal(self) -> Array:
        """Of it, or near it."""
        return np.concatenate([self.difference.diagonal[self.order], self.own.diagonal()])

    def multiply(self, vectors: Array) -> Array:
        """The product with a block of the rows."""
        n = self.order.size
        values, of_groups = _in_order(vectors[:n], self.order), vectors[n:]
        product = self.difference.multiply(values) + self.beside @ of_groups
        return np.concatenate([product[self.order], self.beside.T @ values + self.own @ of_groups])

    def dense(self) -> Array:
        """Entry by entry, exactly symmetric."""
        among = self.difference.dense()[np.ix_(self.order, self.order)]
        return _bordered(among, self.beside[self.order], self.own)


@dataclass(frozen=True)
class SingleStepGroupOperator:
    """H⁻¹ over animals and then groups of unknown parents.

    Attributes
    ----------
    source
        The pedigree's part, over the same rows.
    groups
        Q, and var(g).
    animals
        H of the animals, at given groups.
    equations
        ``full`` or ``altered``.
    """

    source: RelationshipInverse
    groups: GroupOperator
    animals: SingleStepOperator
    remainder: FullRemainder | AlteredRemainder
    equations: GroupEquations

    def multiply_inverse(self, vectors: Array) -> Array:
        """H⁻¹ V for an (n + g) × k block."""
        product = self.source.multiply_inverse(vectors)
        product[self.remainder.rows] += self.remainder.multiply(vectors[self.remainder.rows])
        return product

    def multiply(self, vectors: Array) -> Array:
        """H V for an (n + g) × k block; at given groups where they are fixed."""
        n = len(self.animals.source)
        of_animals = np.ascontiguousarray(vectors[:n])
        of_groups = self.groups.covariance @ (self.collected_by_groups(of_animals) + vectors[n:])
        return np.concatenate([self.animals.multiply(of_animals) + self.owed_to_groups(of_groups), of_groups])

    def owed_to_groups(self, of_groups: Array) -> Array:
        """D V for a g × k block: what the animals have of the groups' values."""
        owed = self.groups.owed_to_groups(of_groups)
        if self.equations == "full":
            return owed
        of = self.animals
        spread = np.zeros_like(owed)
        spread[of.rows] = of.a22.multiply_inverse(owed[of.rows])
        owed -= of.source.multiply(spread)
        owed[of.rows] = 0.0
        return owed

    def collected_by_groups(self, of_animals: Array) -> Array:
        """D'V for an n × k block."""
        if self.equations == "full":
            return self.groups.collected_by_groups(of_animals)
        of = self.animals
        others = of_animals.copy()
        others[of.rows] = 0.0
        related = of.source.multiply(others)[of.rows]
        others[of.rows] = -of.a22.multiply_inverse(related)
        return self.groups.collected_by_groups(others)

    def to_classes(self, vectors: Array) -> Array:
        """Values of animals and groups → of animals and classes."""
        return self.groups.to_classes(vectors)

    def assembled(self) -> scipy.sparse.csr_array:
        """The pedigree's part in CSR."""
        return self.source.matrix

    def entries(self) -> scipy.sparse.csr_array:
        """H⁻¹ in CSR, both triangles.

        Raises
        ------
        ResourceError
            If it would not fit.
        """
        return with_block(self.source.matrix, self.remainder.rows, self.remainder.dense)

    def diagonal(self) -> Array:
        """Diagonal of H, 0 for fixed groups, by a factor of H⁻¹; where that would not fit, NaN for what is not known."""
        g = 0 if self.groups.covariance.any() else self.groups.covariance.shape[0]
        try:
            return StoredOperator(self, self.entries(), g).diagonal()
        except ResourceError:
            return self.known_of_diagonal()

    def known_of_diagonal(self) -> Array:
        """What of the diagonal of H is known without a factor: with fixed groups that of the animals at given groups."""
        random = self.groups.covariance.any()
        known = np.full(len(self.animals.source), np.nan) if random else self.animals.known_of_diagonal()
        return np.concatenate([known, self.groups.covariance.diagonal()])

    def genomic_duals(self, solutions: Array) -> Array:
        """G⁻¹ times the genomic part of solutions of all rows (û₂, or û₂ - Q₂ĝ with full equations), in the order of G."""
        n = len(self.animals.source)
        own = solutions[self.animals.rows]
        if isinstance(self.remainder, FullRemainder):
            own = own - self.remainder.shares @ solutions[n:]
        return self.animals.difference.multiply_genomic_inverse(np.ascontiguousarray(own))


def without_groups(source: RelationshipInverse) -> RelationshipInverse:
    """A⁻¹ of the animals at given groups, from an inverse with fixed or random ones."""
    pedigree, operator = source.pedigree, source.operator
    assert pedigree is not None
    assert isinstance(operator, GroupOperator)
    n, variances = len(pedigree), operator.covariance.diagonal()
    diagonal = source.diagonal[:n].copy()
    if variances.any():
        for first in range(0, variances.size, GROUPS_AT_ONCE):
            some = slice(first, first + GROUPS_AT_ONCE)
            diagonal -= np.square(operator.owed_to_groups(np.eye(variances.size)[:, some])) @ variances[some]
    variance = operator.among_classes.variance
    animals = PedigreeOperator(pedigree.sire, pedigree.dam, variance)
    made = source.made[:1]
    return RelationshipInverse(pedigree.ids, animals, diagonal, float(np.log(variance).sum()), made, pedigree)


def with_groups(
    source: RelationshipInverse, animals: SingleStepOperator, equations: GroupEquations
) -> SingleStepGroupOperator:
    """H⁻¹ over animals and groups from that of the animals at given groups."""
    operator = source.operator
    assert isinstance(operator, GroupOperator)
    n, g = len(animals.source), operator.covariance.shape[0]
    shares = np.empty((animals.rows.size, g))
    for first in range(0, g, GROUPS_AT_ONCE):
        some = slice(first, first + GROUPS_AT_ONCE)
        shares[:, some] = operator.owed_to_groups(np.eye(g)[:, some])[animals.rows]
    rows = np.concatenate([animals.remainder.rows, np.arange(n, n + g, dtype=np.int32)])
    order, difference = animals.remainder.order, animals.difference
    remainder: FullRemainder | AlteredRemainder
    if equations == "full":
        remainder = FullRemainder(rows, order, shares, difference)
    else:
        beside = animals.a22.multiply_inverse(shares)
        own = shares.T @ beside
        remainder = AlteredRemainder(rows, order, beside, -0.5 * (own + own.T), difference)
    return SingleStepGroupOperator(source, operator, animals, remainder, equations)


def _in_order(vectors: Array, order: NDArray[np.int64]) -> Array:
    """Rows that ascend → in the order of G."""
    found = np.empty_like(vectors)
    found[order] = vectors
    return found


def _bordered(own: Array, beside: Array, of_groups: Array) -> Array:
    return np.block([[own, beside], [beside.T, 0.5 * (of_groups + of_groups.T)]])
