"""Inverses that are full matrices, such as G⁻¹: held as arrays, made in place, refused where K is singular."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from breedblup.errors import NotPositiveDefinite
from breedblup.genotypes import CentredGenotypes, Genotypes
from breedblup.relationship.genomic_matrix import GenomicMatrix
from breedblup.solvers.dense import SINGULAR, invert_in_place

BYTES_AN_ENTRY = 16
"""Of K and K⁻¹, in double precision."""

RIDGE = "add to its diagonal (ridge = 0.01)"

BLEND = f"{RIDGE}, or blend it (blend = 0.05) with A22, or with I (blend_with = 'identity'), which needs no pedigree"


@dataclass(frozen=True)
class DenseOperator:
    """K and K⁻¹ as arrays, n × n; `entries` share the numbers of K⁻¹."""

    inverse: NDArray[np.float64]
    direct: NDArray[np.float64]

    def __post_init__(self) -> None:
        self.direct.flags.writeable = False  # K⁻¹ stays writable: kernels are compiled anew for read-only values

    def multiply_inverse(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """K⁻¹ V for an n × k block."""
        return np.asarray(self.inverse @ vectors)

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """K V for an n × k block."""
        return np.asarray(self.direct @ vectors)

    def diagonal(self) -> NDArray[np.float64]:
        """Diagonal of K."""
        return self.direct.diagonal().copy()

    def entries(self) -> scipy.sparse.csr_array:
        """K⁻¹ in CSR, every entry stored: 12 bytes each beside the arrays."""
        n = self.inverse.shape[0]
        columns = np.tile(np.arange(n, dtype=np.int32), n)
        kind = np.int32 if n * n < np.iinfo(np.int32).max else np.int64
        pointer = np.arange(n + 1, dtype=kind) * n
        matrix = scipy.sparse.csr_array((self.inverse.ravel(), columns.astype(kind, copy=False), pointer), shape=(n, n))
        matrix.has_sorted_indices = True
        return matrix


def invert_genomic(matrix: GenomicMatrix) -> tuple[DenseOperator, float]:
    """G and G⁻¹ as arrays, and log|G|.

    Raises
    ------
    NotPositiveDefinite
        If G is singular: what is known to make it so is said.
    """
    refuse_singular(matrix)
    direct = matrix.dense()
    inverse = direct.copy()
    try:
        logdet = invert_in_place(inverse)
    except NotPositiveDefinite as failure:
        raise singular(
            matrix.z.genotypes, "G", failure.equation, f"noticed at {matrix.ids[failure.equation]!r}"
        ) from None
    return DenseOperator(inverse, direct), logdet


def singular(genotypes: Genotypes, what: str, row: int, reason: str, advice: str = BLEND) -> NotPositiveDefinite:
    """The error of a singular matrix among genotyped animals, with two of the same genotypes where there are such."""
    pair = identical_pair(genotypes)
    why = reason if pair is None else f"{pair[0]!r} and {pair[1]!r} have the same genotypes"
    return NotPositiveDefinite(
        f"{genotypes.source}: {what} of {len(genotypes):,} animals is not positive definite, {why} -> {advice}",
        row,
    )


def identical_pair(genotypes: Genotypes) -> tuple[str, str] | None:
    """Ids of two animals with the same calls, missing ones too; None where all differ.

    Calls are compared where a random combination of the markers is the same but for rounding.
    """
    markers = genotypes.shape[1]
    plain = CentredGenotypes(genotypes, np.ones(markers), np.ones(markers))
    values = plain.multiply(np.random.default_rng(0).standard_normal(markers))
    order = np.argsort(values, kind="stable")
    close = np.flatnonzero(np.diff(values[order]) <= 1e-9 * np.abs(values).max(initial=0.0))
    for place in close:
        pair = genotypes.ids.gather(np.sort(order[place : place + 2])).to_list()
        calls = genotypes.of_animals(pair).calls()
        if (calls[0] == calls[1]).all():
            return pair[0], pair[1]
    return None


def refuse_singular(matrix: GenomicMatrix, rows: NDArray[np.int32] | None = None, what: str = "G") -> None:
    """`NotPositiveDefinite` where ZZ' + a11' of some rows is singular for a reason that rounding of its products could hide.

    Without a share of B and without anything on the diagonal, that is; nothing is looked at else.
    """
    if matrix.share != 0.0 or matrix.added is not None:
        return
    genotypes = matrix.z.genotypes
    if rows is not None:
        genotypes = genotypes.of_animals(matrix.ids.gather(rows))
    n, m = genotypes.shape
    if identical_pair(genotypes) is not None:
        raise singular(genotypes, what, -1, "")
    if n > m + (matrix.constant > 0.0):
        raise singular(genotypes, what, -1, f"{m:,} markers are too few for so many animals")
    if n < len(matrix) or matrix.constant != 0.0:
        return
    total = matrix.z.multiply_transposed(np.ones(n))
    if np.square(total).sum() <= n * SINGULAR * matrix.z.squared_lengths().sum():
        reason = "genotypes centred by their own mean frequencies add up to 0 over the animals"
        raise singular(genotypes, what, -1, reason)
