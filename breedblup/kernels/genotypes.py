"""Loops over packed genotypes: two bits a call, four calls a byte, markers as rows, as in a PLINK .bed file.

Codes: 0 two copies of the counted allele, 1 missing, 2 one copy, 3 none. The first animal of a byte has its lowest bits.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from breedblup.kernels import parallel_kernel


@parallel_kernel
def unpack_calls(
    packed: NDArray[np.uint8], rows: NDArray[np.int64], places: NDArray[np.int32], out: NDArray[np.int8]
) -> None:
    """Calls of some animals at some markers: ``out`` (animals × markers) gets 0, 1, 2 and -1 for missing."""
    for j in prange(rows.size):
        row = packed[rows[j]]
        for i in range(places.size):
            code = (row[places[i] >> 2] >> (2 * (places[i] & 3))) & 3
            out[i, j] = 2 if code == 0 else (-1 if code == 1 else 3 - code)


@parallel_kernel
def pack_calls(calls: NDArray[np.int8], packed: NDArray[np.uint8]) -> None:
    """Pack animals × markers of 0, 1, 2 (any other value: missing) into rows of markers; unused bits are 0."""
    for j in prange(calls.shape[1]):
        for byte in range(packed.shape[1]):
            value = 0
            for k in range(min(4, calls.shape[0] - 4 * byte)):
                call = calls[4 * byte + k, j]
                code = 0 if call == 2 else (2 if call == 1 else (3 if call == 0 else 1))
                value |= code << (2 * k)
            packed[j, byte] = value


@parallel_kernel
def code_counts(
    packed: NDArray[np.uint8], rows: NDArray[np.int64], places: NDArray[np.int32], out: NDArray[np.int64]
) -> None:
    """How often each of the four codes stands among some animals at each marker: ``out`` (markers × 4)."""
    for j in prange(rows.size):
        row = packed[rows[j]]
        out[j] = 0
        for i in range(places.size):
            out[j, (row[places[i] >> 2] >> (2 * (places[i] & 3))) & 3] += 1
