"""Loops that compare calls of animals with each other, and follow them along markers: 64 at a time, two bits a call.

The *planes* of an animal are rows of words, a bit for each marker: whether it carries the counted allele
(``first``), and whether it carries the other (``second``). A missing call carries neither, a heterozygote both.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel

CHUNK = 256
"""Animals whose words are filled at a time: they stay in the first cache."""

PAIRS = np.uint64(0x5555555555555555)
FOURS = np.uint64(0x3333333333333333)
BYTES = np.uint64(0x0F0F0F0F0F0F0F0F)
LAST = np.uint64(0x7F)
ONE = np.uint64(1)


@kernel
def ones(word: np.uint64) -> np.int64:
    """Bits that are set."""
    word = word - ((word >> ONE) & PAIRS)
    word = (word & FOURS) + ((word >> np.uint64(2)) & FOURS)
    word = (word + (word >> np.uint64(4))) & BYTES
    word = word + (word >> np.uint64(8))
    word = word + (word >> np.uint64(16))
    word = word + (word >> np.uint64(32))
    return np.int64(word & LAST)


@kernel
def add_bits(word: np.uint64, counts: NDArray[np.int32], start: int) -> None:
    """Add one to the count of each marker whose bit is set."""
    while word != 0:
        rest = word & (word - ONE)
        counts[start + ones((word ^ rest) - ONE)] += 1
        word = rest


@parallel_kernel
def carrier_planes(
    packed: NDArray[np.uint8],
    rows: NDArray[np.int64],
    places: NDArray[np.int32],
    first: NDArray[np.uint64],
    second: NDArray[np.uint64],
) -> None:
    """Fill the planes (animals × words) at some markers; bits after the last marker are those of a missing call."""
    for chunk in prange((places.size + CHUNK - 1) // CHUNK):
        start = chunk * CHUNK
        size = min(CHUNK, places.size - start)
        low = np.empty(CHUNK, dtype=np.uint64)
        high = np.empty(CHUNK, dtype=np.uint64)
        for word in range(first.shape[1]):
            low[:] = 0
            high[:] = 0
            for bit in range(min(64, rows.size - 64 * word)):
                row = packed[rows[64 * word + bit]]
                at = np.uint64(bit)
                for i in range(size):
                    place = places[start + i]
                    code = np.uint64(row[place >> 2]) >> np.uint64(2 * (place & 3))
                    low[i] |= ((code & ONE) ^ ONE) << at
                    high[i] |= ((code >> ONE) & ONE) << at
            for i in range(size):
                first[start + i, word] = low[i]
                second[start + i, word] = high[i]


@parallel_kernel
def add_family_conflicts(
    first: NDArray[np.uint64],
    second: NDArray[np.uint64],
    families: NDArray[np.int32],
    compared: NDArray[np.int64],
    conflicts: NDArray[np.int64],
    by_marker: NDArray[np.int32],
) -> None:
    """Add the markers compared, and those in conflict, of animals with their parents.

    ``families``: animal, sire, dam (-1 where it has no genotype). ``compared`` and ``conflicts`` (families × 3):
    with the sire, with the dam, with both. ``by_marker`` (parts × 2 × markers): families in conflict, and families
    that cannot be compared, at each marker, with all parents that are there; each part of the families has its own.
    """
    parts = by_marker.shape[0]
    for part in prange(parts):
        for k in range(families.shape[0] * part // parts, families.shape[0] * (part + 1) // parts):
            animal, sire, dam = families[k]
            for word in range(first.shape[1]):
                a, b = first[animal, word], second[animal, word]
                both = a | b
                wrong = np.uint64(0)
                if sire >= 0:
                    known = (first[sire, word] | second[sire, word]) & (a | b)
                    bad = known & ~((a & first[sire, word]) | (b & second[sire, word]))
                    compared[k, 0] += ones(known)
                    conflicts[k, 0] += ones(bad)
                    both &= known
                    wrong = bad
                if dam >= 0:
                    known = (first[dam, word] | second[dam, word]) & (a | b)
                    bad = known & ~((a & first[dam, word]) | (b & second[dam, word]))
                    compared[k, 1] += ones(known)
                    conflicts[k, 1] += ones(bad)
                    both &= known
                    wrong = bad
                if sire >= 0 and dam >= 0:
                    s, t = first[sire, word], second[sire, word]
                    d, e = first[dam, word], second[dam, word]
                    possible = (a & ~b & s & d) | (b & ~a & t & e) | (a & b & ((s & e) | (t & d)))
                    wrong = both & ~possible
                    compared[k, 2] += ones(both)
                    conflicts[k, 2] += ones(wrong)
                add_bits(wrong, by_marker[part, 0], 64 * word)
                add_bits(~both, by_marker[part, 1], 64 * word)


@parallel_kernel
def add_candidate_conflicts(
    first: NDArray[np.uint64],
    second: NDArray[np.uint64],
    animals: NDArray[np.int32],
    candidates: NDArray[np.int32],
    compared: NDArray[np.int32],
    conflicts: NDArray[np.int32],
) -> None:
    """Add markers compared and opposing homozygotes of animals with each candidate (animals × candidates)."""
    for j in prange(candidates.size):
        for i in range(animals.size):
            known_here, bad_here = np.int64(0), np.int64(0)
            for word in range(first.shape[1]):
                a, b = first[animals[i], word], second[animals[i], word]
                s, t = first[candidates[j], word], second[candidates[j], word]
                known = (a | b) & (s | t)
                known_here += ones(known)
                bad_here += ones(known & ~((a & s) | (b & t)))
            compared[i, j] += known_here
            conflicts[i, j] += bad_here


@parallel_kernel
def add_identical(
    first: NDArray[np.uint64],
    second: NDArray[np.uint64],
    one: NDArray[np.int32],
    other: NDArray[np.int32],
    compared: NDArray[np.int64],
    identical: NDArray[np.int64],
) -> None:
    """Add markers compared and identical calls of pairs of animals."""
    for k in prange(one.size):
        for word in range(first.shape[1]):
            a, b = first[one[k], word], second[one[k], word]
            s, t = first[other[k], word], second[other[k], word]
            known = (a | b) & (s | t)
            compared[k] += ones(known)
            identical[k] += ones(known & ~(a ^ s) & ~(b ^ t))


@parallel_kernel
def add_runs(
    first: NDArray[np.uint64],
    second: NDArray[np.uint64],
    apart: NDArray[np.uint64],
    position: NDArray[np.int64],
    limits: NDArray[np.int64],
    state: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    """Go on with each animal's runs of homozygosity along the markers of some planes.

    ``apart``: bits of the markers before which every run ends. ``limits``: shortest length, fewest homozygous markers,
    most heterozygous, most missing. ``state`` (animals × 5): homozygous, heterozygous and missing calls of the run that
    is open (0 homozygous where none is), its first and last position. ``out`` (animals × 2): number and total length of
    runs that ended.
    """
    shortest, fewest, most_heterozygous, most_missing = limits
    for i in prange(first.shape[0]):
        homozygous, heterozygous, missing, start, end = state[i]
        for word in range((position.size + 63) // 64):
            base = 64 * word
            size = min(64, position.size - base)
            a, b, ends = first[i, word], second[i, word], apart[word]
            stops = ~(a ^ b) | ends
            at = np.int64(0)
            while at < size:
                low = stops & (~stops + ONE) if stops != 0 else stops
                stop = min(size, ones(low - ONE) if low != 0 else 64)
                if stop > at:
                    if homozygous == 0:
                        start = position[base + at]
                    homozygous += stop - at
                    end = position[base + stop - 1]
                if stop == size:
                    break
                is_heterozygous, is_missing = (a & b & low) != 0, ((a | b) & low) == 0
                if (
                    (ends & low) != 0
                    or (is_heterozygous and heterozygous == most_heterozygous)
                    or (is_missing and missing == most_missing)
                ):
                    if homozygous >= fewest and end - start >= shortest and homozygous > 0:
                        out[i, 0] += 1
                        out[i, 1] += end - start
                    homozygous, heterozygous, missing = 0, 0, 0
                if not is_heterozygous and not is_missing:
                    start, end = position[base + stop], position[base + stop]
                    homozygous = 1
                elif homozygous > 0:
                    heterozygous += is_heterozygous
                    missing += is_missing
                stops ^= low
                at = np.int64(stop + 1)
        state[i, 0], state[i, 1], state[i, 2], state[i, 3], state[i, 4] = homozygous, heterozygous, missing, start, end
