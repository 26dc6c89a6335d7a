"""G as a recipe on packed genotypes: what every form of a genomic or single-step evaluation is made of.

    G = ZZ' + a 11' + β B + diag(d)

Z holds all factors (1/k, blending, tuning) in the scales of its columns; B is A₂₂ or I.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import counted
from breedblup.genotypes import CentredGenotypes

COLUMNS = 256
"""Columns of B that are held at once."""


class Blended(Protocol):
    """B, and its inverse."""

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """B V."""
        ...

    def multiply_inverse(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """B⁻¹ V."""
        ...

    def diagonal(self) -> NDArray[np.float64]:
        """Diagonal of B."""
        ...

    def block(self, rows: NDArray[np.int32], columns: NDArray[np.int32]) -> NDArray[np.float64]:
        """Entries of B."""
        ...


@dataclass(frozen=True, repr=False, eq=False)
class GenomicMatrix:
    """G among the genotyped animals (n), not formed.

    Attributes
    ----------
    z
        Z, all factors in its scales.
    constant
        a, ≥ 0 or below.
    share
        β.
    blended
        B; None where β is 0.
    added
        d (n): what else is added to the diagonal; None for nothing.
    made
        How it was made, one statement an entry.
    """

    z: CentredGenotypes
    constant: float
    share: float
    blended: Blended | None
    added: NDArray[np.float64] | None
    made: tuple[str, ...]

    @property
    def ids(self) -> pl.Series:
        """Animals, in the order of the rows."""
        return self.z.genotypes.ids

    def __len__(self) -> int:
        return len(self.z)

    def __repr__(self) -> str:
        return "\n  ".join((f"G of {counted(len(self), 'animal')}, not formed", *self.made))

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """G V for an n × k block."""
        product = self.z.multiply(self.z.multiply_transposed(vectors))
        product += self.constant * vectors.sum(axis=0)
        if self.blended is not None:
            product += self.share * self.blended.multiply(vectors)
        if self.added is not None:
            product += self.added[:, None] * vectors
        return product

    @property
    def effects(self) -> int:
        """Columns of W = [Z, √a 1], for which ZZ' + a 11' = WW'; without the last where a is 0."""
        return self.z.centre.size + (self.constant > 0.0)

    def multiply_effects(self, effects: NDArray[np.float64]) -> NDArray[np.float64]:
        """W V for a block with as many rows as W has columns."""
        markers = self.z.centre.size
        product = self.z.multiply(np.ascontiguousarray(effects[:markers]))
        return product + np.sqrt(self.constant) * effects[markers:] if self.constant > 0.0 else product

    def multiply_effects_transposed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """W'V for an n × k block."""
        product = self.z.multiply_transposed(np.ascontiguousarray(values))
        if self.constant <= 0.0:
            return product
        return np.vstack([product, np.sqrt(self.constant) * values.sum(axis=0, keepdims=True)])

    def diagonal(self) -> NDArray[np.float64]:
        """Diagonal of G (n)."""
        total = self.z.squared_lengths() + self.constant
        if self.blended is not None:
            total += self.share * self.blended.diagonal()
        return total if self.added is None else total + self.added

    def dense(self) -> NDArray[np.float64]:
        """G, n × n; B is added some columns at a time."""
        everyone = np.arange(len(self), dtype=np.int32)
        whole = self.z.cross_product()
        whole += self.constant
        if self.blended is not None:
            for first in range(0, len(self), COLUMNS):
                some = everyone[first : first + COLUMNS]
                whole[:, first : first + COLUMNS] += self.share * self.blended.block(everyone, some)
        if self.added is not None:
            whole[everyone, everyone] += self.added
        return whole

    def block(self, rows: NDArray[np.int32], columns: NDArray[np.int32]) -> NDArray[np.float64]:
        """Entries of G for animals by number."""
        part = self.z.cross_block(rows, columns)
        part += self.constant
        if self.blended is not None:
            part += self.share * self.blended.block(rows, columns)
        if self.added is not None:
            part += np.equal.outer(rows, columns) * self.added[rows][:, None]
        return part


@dataclass(frozen=True)
class GenomicPart:
    """What a K⁻¹ knows of the genotypes that it rests on.

    Attributes
    ----------
    matrix
        G, whole: blended, tuned.
    rows
        Row of K⁻¹ of each genotyped animal, in the order of ``matrix``.
    tau
        K⁻¹ holds τG⁻¹.
    form
        ``explicit``, ``apy``, ``components`` or ``markers``.
    """

    matrix: GenomicMatrix
    rows: NDArray[np.int32]
    tau: float
    form: str
