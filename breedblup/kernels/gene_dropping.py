"""Haplotypes handed down a pedigree, 64 loci a word, and what is read from them.

Haplotypes are rows of words; the lowest bit of a word is its first locus. Those of one animal are neighbours, 2k and 2k + 1, so
that the other of haplotype h is h ^ 1.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel

ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
ONE = np.uint64(1)
LAST = np.uint64(63)


@kernel
def sort_few(values: NDArray[np.int32], first: int, last: int) -> None:
    """Sort a short stretch in place."""
    for k in range(first + 1, last):
        value = values[k]
        at = k
        while at > first and values[at - 1] > value:
            values[at] = values[at - 1]
            at -= 1
        values[at] = value


@kernel
def drop_gametes(
    start: NDArray[np.int32],
    pointer: NDArray[np.int64],
    crossovers: NDArray[np.int32],
    first: int,
    haplotypes: NDArray[np.uint64],
) -> None:
    """Make gamete g, row ``first`` + g, of haplotype start[g] and the other of its animal, one gamete after the other.

    A gamete changes strand before each locus in its stretch of ``crossovers``, which is sorted here.
    """
    words = haplotypes.shape[1]
    for gamete in range(start.size):
        one, other = haplotypes[start[gamete]], haplotypes[start[gamete] ^ 1]
        made = haplotypes[first + gamete]
        at, last = pointer[gamete], pointer[gamete + 1]
        sort_few(crossovers, at, last)
        from_other = np.uint64(0)
        for word in range(words):
            while at < last and crossovers[at] < 64 * (word + 1):
                from_other ^= ONES << np.uint64(crossovers[at] - 64 * word)
                at += 1
            made[word] = one[word] ^ ((one[word] ^ other[word]) & from_other)
            from_other = ONES if (from_other >> LAST) & ONE else np.uint64(0)


@parallel_kernel
def add_values(
    haplotypes: NDArray[np.uint64],
    first: int,
    places: NDArray[np.int32],
    sums: NDArray[np.float64],
    values: NDArray[np.float64],
) -> None:
    """Add to each animal's value the effects of the alleles on both of its haplotypes, eight loci at a time.

    ``places`` are bytes of a haplotype (0 has the first eight loci); sums[k, b] is the sum of the effects of the bits set in b.
    """
    for animal in prange(values.size):
        total = 0.0
        for row in range(first + 2 * animal, first + 2 * animal + 2):
            haplotype = haplotypes[row]
            for k in range(places.size):
                place = places[k]
                total += sums[k, np.int64((haplotype[place >> 3] >> np.uint64(8 * (place & 7))) & np.uint64(255))]
        values[animal] += total


@parallel_kernel
def pack_haplotypes(
    haplotypes: NDArray[np.uint64],
    first: int,
    animals: NDArray[np.int32],
    loci: NDArray[np.int32],
    packed: NDArray[np.uint8],
) -> None:
    """Calls of some animals at some loci, as in a PLINK .bed file: ``packed`` has a row for each locus."""
    for block in prange((animals.size + 63) // 64):
        for j in range(loci.size):
            word, bit = loci[j] >> 6, np.uint64(loci[j] & 63)
            for byte in range(16 * block, min(16 * block + 16, packed.shape[1])):
                value = 0
                for k in range(4 * byte, min(4 * byte + 4, animals.size)):
                    row = first + 2 * animals[k]
                    copies = np.int64((haplotypes[row, word] >> bit) & ONE) + np.int64(
                        (haplotypes[row + 1, word] >> bit) & ONE
                    )
                    code = 0 if copies == 2 else (2 if copies == 1 else 3)
                    value |= code << (2 * (k & 3))
                packed[j, byte] = value
