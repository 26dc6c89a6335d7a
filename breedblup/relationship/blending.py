"""What G is blended with: A₂₂, or the identity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import ModelError
from breedblup.genotypes import Genotypes
from breedblup.relationship.ancestry import COLUMNS
from breedblup.relationship.inverse import RelationshipInverse


@dataclass(frozen=True)
class IdentityBlend:
    """I of some size."""

    size: int

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """V itself, copied."""
        return vectors.copy()

    def multiply_inverse(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """V itself, copied."""
        return vectors.copy()

    def diagonal(self) -> NDArray[np.float64]:
        """Ones."""
        return np.ones(self.size)

    def block(self, rows: NDArray[np.int32], columns: NDArray[np.int32]) -> NDArray[np.float64]:
        """1 where the animal is the same."""
        return np.equal.outer(rows, columns).astype(np.float64)


@dataclass(frozen=True)
class PedigreeBlend:
    """A₂₂, or A^Γ₂₂, of the genotyped animals as `a22_inverse` gives it."""

    of: RelationshipInverse

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """A₂₂ V."""
        return self.of.multiply(vectors)

    def multiply_inverse(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """A₂₂⁻¹ V."""
        return self.of.multiply_inverse(vectors)

    def diagonal(self) -> NDArray[np.float64]:
        """Diagonal of A₂₂."""
        return self.of.diagonal

    def block(self, rows: NDArray[np.int32], columns: NDArray[np.int32]) -> NDArray[np.float64]:
        """Entries of A₂₂, by products with unit vectors (Colleau 2002)."""
        if rows.size < columns.size:
            return np.ascontiguousarray(self.block(columns, rows).T)
        found = np.empty((rows.size, columns.size))
        for first in range(0, columns.size, COLUMNS):
            some = columns[first : first + COLUMNS]
            unit = np.zeros((len(self.of), some.size))
            unit[some, np.arange(some.size)] = 1.0
            found[:, first : first + some.size] = self.of.multiply(unit)[rows]
        return found


def refuse_other_animals(genotypes: Genotypes, a22: RelationshipInverse) -> None:
    """`ModelError` unless A₂₂ is of the genotyped animals, in their order."""
    if not a22.ids.equals(genotypes.ids):
        raise ModelError(
            f"{genotypes.source}: A22 is of {len(a22):,} animals that are not the {len(genotypes):,} genotyped ones in their "
            "order -> make it with a22_inverse(pedigree, genotypes.ids)"
        )
