"""A and A⁻¹ as operators: products and entries from the pedigree, never A itself (`breedblup.kernels.numerator`)."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse
from numba import config, get_num_threads
from numpy.typing import NDArray

from breedblup.kernels import numerator
from breedblup.kernels import numerator_entries as by_entry

ALONE = 20_000
"""Animals up to which one thread makes a product."""


@dataclass(frozen=True)
class PedigreeOperator:
    """A and A⁻¹ as the pedigree gives them, parents before offspring.

    Attributes
    ----------
    sire, dam
        Positions of the n animals' parents, -1 unknown, or n + k: unknown, of class k.
    variance
        Diagonal of D, n.
    classes
        Of unknown parents; their rows follow those of the animals. A⁻¹ then is the sum of what the animals add, which is
        singular; what is known of the classes themselves is added by who knows it.
    """

    sire: NDArray[np.int32]
    dam: NDArray[np.int32]
    variance: NDArray[np.float64]
    classes: int = 0

    def multiply_inverse(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """A⁻¹ V for an (n + classes) × k block."""
        product = np.empty_like(vectors)
        beside = np.empty((self._parts[2, -1], vectors.shape[1]))
        numerator.multiply_a_inverse(self.sire, self.dam, self.variance, self._parts, vectors, product, beside)
        return product

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """A V for an n × k block, of a pedigree without classes."""
        product = vectors.copy()
        numerator.sum_to_parents(self.sire, self.dam, product)
        numerator.pass_to_offspring(self.sire, self.dam, self.variance, product)
        return product

    def entries(self) -> scipy.sparse.csr_array:
        """A⁻¹ in CSR, both triangles, every diagonal stored: one pass counts, one fills."""
        return csr_from(*inverse_entries(self, get_num_threads()), self.sire.size + self.classes)

    @cached_property
    def _parts(self) -> NDArray[np.int64]:
        """For as many threads as there can be, so that the bits do not depend on how many are in use."""
        return product_parts(self, config.NUMBA_NUM_THREADS if self.sire.size > ALONE else 1)  # type: ignore[attr-defined]


def product_parts(of: PedigreeOperator, threads: int) -> NDArray[np.int64]:
    """Runs of animals for `numerator.multiply_a_inverse`, one for each thread.

    Rows: where each begins, the oldest parent of its animals, and the first of the rows that it adds up beside; the last
    column holds the ends.
    """
    n = of.sire.size
    parts = np.zeros((3, threads + 1), dtype=np.int64)
    parts[0] = np.arange(threads + 1) * n // threads
    parts[1, -1] = n
    numerator.oldest_parents(of.sire, of.dam, parts[0], parts[1])
    np.cumsum(parts[0, :-1] - parts[1, :-1] + of.classes, out=parts[2, 1:])
    return parts


def inverse_entries(
    of: PedigreeOperator, threads: int
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int32] | NDArray[np.int64]]:
    """Values, columns and pointer of A⁻¹ in CSR."""
    sire, dam, variance = of.sire, of.dam, of.variance
    rows = sire.size + of.classes
    lists = np.empty(rows + 2, dtype=np.int32)
    windows = np.arange(threads + 1) * rows // threads
    longest = by_entry.offspring_counts(sire, dam, windows, lists)
    links = int(lists[-1])
    records = np.empty(2 * links, dtype=np.int64)
    by_entry.offspring_records(sire, dam, variance, even_cuts(lists[1:], threads), lists, records)
    lists = lists[:-1]
    mates, shares, mated = np.empty(links, dtype=np.int32), np.empty(links), np.empty(rows, dtype=np.int32)
    fits = 3 * rows + 2 * links < np.iinfo(np.int32).max
    pointer = np.empty(rows + 1, dtype=np.int32) if fits else np.empty(rows + 1, dtype=np.int64)
    pointer[0] = 0
    by_entry.merge_mates(
        sire, dam, lists, records, longest, even_cuts(lists, threads), mates, shares, mated, pointer[1:]
    )
    np.cumsum(pointer, out=pointer)
    indices, values = np.empty(pointer[-1], dtype=np.int32), np.empty(pointer[-1])
    cuts = even_cuts(pointer, threads)
    by_entry.fill_rows(sire, dam, variance, lists, records, mates, shares, mated, cuts, pointer, indices, values)
    return values, indices, pointer


def even_cuts(pointer: NDArray[np.integer], parts: int) -> NDArray[np.int64]:
    """Rows that cut a CSR pointer into ``parts`` runs of about equal length, rows counting as well as entries."""
    rows = pointer.size - 1
    total = rows + int(pointer[-1])
    cuts = [bisect_left(range(rows), total * k / parts, key=lambda row: row + int(pointer[row])) for k in range(parts)]
    return np.array([*cuts, rows])


def equal_shares(work: NDArray[np.integer], parts: int) -> NDArray[np.int64]:
    """Bounds that cut rows into ``parts`` runs of about equal work."""
    total = np.cumsum(work, dtype=np.int64)
    cuts = np.searchsorted(total, total[-1] * np.arange(1, parts) / parts) if total.size else np.zeros(parts - 1)
    return np.concatenate([[0], cuts, [work.size]]).astype(np.int64)


def csr_from(
    values: NDArray[np.float64], indices: NDArray[np.int32], pointer: NDArray[np.int32] | NDArray[np.int64], n: int
) -> scipy.sparse.csr_array:
    """A square CSR matrix over given arrays; indices become int64 as soon as the entries pass 2³¹."""
    if pointer[-1] < np.iinfo(np.int32).max:
        matrix = scipy.sparse.csr_array((values, indices, pointer.astype(np.int32, copy=False)), shape=(n, n))
    else:
        matrix = scipy.sparse.csr_array((values, indices.astype(np.int64), pointer), shape=(n, n))
    matrix.has_sorted_indices = True
    return matrix
