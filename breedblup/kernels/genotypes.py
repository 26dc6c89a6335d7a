"""Loops over packed genotypes: two bits a call, four calls a byte, markers as rows, as in a PLINK .bed file.

Codes: 0 two copies of the counted allele, 1 missing, 2 one copy, 3 none. The first animal of a byte has its lowest bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel

TILE = 64
"""Markers whose calls of an animal are written or read together."""

STRIP = 512
"""Bytes of a row whose animals are counted together."""

MOST = 255
"""What a counter of one byte can hold."""

PART = 2**18
"""Bytes of a row whose counts fit the bits that they are given."""

FEW = 16
"""Animals of the store for each one in use, beyond which they are looked up one by one."""


@parallel_kernel
def unpack_calls(
    packed: NDArray[np.uint8], rows: NDArray[np.int64], places: NDArray[np.int32], out: NDArray[np.int8]
) -> None:
    """Calls of some animals at some markers: ``out`` (animals × markers) gets 0, 1, 2 and -1 for missing."""
    for tile in prange((rows.size + TILE - 1) // TILE):
        for i in range(places.size):
            byte, shift = places[i] >> 2, 2 * (places[i] & 3)
            for j in range(tile * TILE, min(rows.size, (tile + 1) * TILE)):
                code = (packed[rows[j], byte] >> shift) & 3
                out[i, j] = 2 if code == 0 else (-1 if code == 1 else 3 - code)


@kernel
def chosen_bits(places: NDArray[np.int32], mask: NDArray[np.uint8]) -> bool:
    """Set both bits of each place in a row of bytes; false where a place stands twice."""
    for i in range(places.size):
        bits = 3 << (2 * (places[i] & 3))
        if mask[places[i] >> 2] & bits:
            return False
        mask[places[i] >> 2] |= bits
    return True


@kernel
def counts_of_bytes() -> NDArray[np.uint64]:
    """For each byte, how many of its calls have code 1, 2 and 3: in the lowest 21 bits, those above, the last."""
    table = np.zeros(256, dtype=np.uint64)
    for byte in range(256):
        for k in range(4):
            code = (byte >> (2 * k)) & 3
            if code > 0:
                table[byte] += np.uint64(1) << np.uint64(21 * (code - 1))
    return table


@kernel
def count_by_byte(row: NDArray[np.uint8], mask: NDArray[np.uint8], table: NDArray[np.uint64]) -> Any:
    """Counts of the chosen calls of a stretch of bytes, as in the table."""
    found = np.uint64(0)
    for i in range(row.size):
        found += table[row[i] & mask[i]]
    return found


@parallel_kernel
def code_counts(
    packed: NDArray[np.uint8], rows: NDArray[np.int64], places: NDArray[np.int32], out: NDArray[np.int64]
) -> None:
    """How often each of the four codes stands among some animals at each marker: ``out`` (markers × 4)."""
    width = packed.shape[1]
    mask = np.zeros(width, dtype=np.uint8)
    by_byte = places.size * FEW >= 4 * width and chosen_bits(places, mask)
    table = counts_of_bytes()
    for j in prange(rows.size):
        row = packed[rows[j]]
        out[j] = 0
        if by_byte:
            for start in range(0, width, PART):
                found = count_by_byte(row[start : start + PART], mask[start : start + PART], table)
                for code in range(1, 4):
                    out[j, code] += np.int64((found >> np.uint64(21 * (code - 1))) & np.uint64(0x1FFFFF))
            out[j, 0] = places.size - out[j, 1] - out[j, 2] - out[j, 3]
        else:
            for i in range(places.size):
                out[j, (row[places[i] >> 2] >> (2 * (places[i] & 3))) & 3] += 1


@kernel
def tally(row: NDArray[np.uint8], place: int, code: int, counts: NDArray[np.uint8]) -> None:
    """Add one for each byte that has a code at a place."""
    for i in range(row.size):
        counts[i] += np.uint8(((row[i] >> np.uint8(2 * place)) & np.uint8(3)) == np.uint8(code))


@kernel
def count_codes_in_strip(
    packed: NDArray[np.uint8], rows: NDArray[np.int64], first: int, last: int, counts: NDArray[np.int64]
) -> None:
    """Add the markers with code 1, 2 and 3 of the animals in some bytes: ``counts`` (12 × bytes of a row), codes of planes."""
    few = np.empty((12, last - first), dtype=np.uint8)
    for start in range(0, rows.size, MOST):
        few[:] = 0
        for j in range(start, min(rows.size, start + MOST)):
            row = packed[rows[j], first:last]
            for line in range(12):
                tally(row, line // 3, line % 3 + 1, few[line])
        for line in range(12):
            for i in range(first, last):
                counts[line, i] += few[line, i - first]


@parallel_kernel
def animal_code_counts(
    packed: NDArray[np.uint8], rows: NDArray[np.int64], places: NDArray[np.int32], out: NDArray[np.int64]
) -> None:
    """How often each of the four codes stands at some markers for each animal: ``out`` (animals × 4)."""
    width, n = packed.shape[1], places.size
    if n * FEW >= 4 * width:
        counts = np.zeros((12, width), dtype=np.int64)
        for s in prange((width + STRIP - 1) // STRIP):
            count_codes_in_strip(packed, rows, s * STRIP, min(width, (s + 1) * STRIP), counts)
        for i in range(n):
            for code in range(1, 4):
                out[i, code] = counts[3 * (places[i] & 3) + code - 1, places[i] >> 2]
            out[i, 0] = rows.size - out[i, 1] - out[i, 2] - out[i, 3]
    else:
        for tile in prange((n + TILE - 1) // TILE):
            first, last = tile * TILE, min(n, (tile + 1) * TILE)
            out[first:last] = 0
            for j in range(rows.size):
                row = packed[rows[j]]
                for i in range(first, last):
                    out[i, (row[places[i] >> 2] >> (2 * (places[i] & 3))) & 3] += 1
