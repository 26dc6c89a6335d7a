"""Calls of animals by 64 markers, made from the store a block of markers at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from breedblup.genotypes.genotypes import Genotypes
from breedblup.kernels.mendelian import carrier_planes

BLOCK_BYTES = 64 * 2**20
"""Of the planes of a block, both together."""

Planes = tuple[NDArray[np.uint64], NDArray[np.uint64]]


def planes_by_block(genotypes: Genotypes, most_bytes: int = BLOCK_BYTES) -> Iterator[tuple[slice, Planes]]:
    """Markers of each block, and the planes of all animals there, which the next block writes over."""
    n, m = genotypes.shape
    words = max(1, min(-(-m // 64), most_bytes // (16 * n)))
    first = np.empty((n, words), dtype=np.uint64)
    second = np.empty((n, words), dtype=np.uint64)
    for start in range(0, m, 64 * words):
        part = slice(start, min(m, start + 64 * words))
        carrier_planes(genotypes.packed, genotypes.rows[part], genotypes.places, first, second)
        yield part, (first, second)


def planes_at(genotypes: Genotypes, markers: NDArray[np.int64]) -> Planes:
    """Planes of all animals at markers by number, which may repeat."""
    shape = len(genotypes), -(-markers.size // 64)
    first, second = np.empty(shape, dtype=np.uint64), np.empty(shape, dtype=np.uint64)
    carrier_planes(genotypes.packed, genotypes.rows[markers], genotypes.places, first, second)
    return first, second


def of_rows(genotypes: Genotypes, chosen: NDArray[np.bool_] | NDArray[np.integer]) -> Genotypes:
    """The animals of a mask, or by number, in order; the store is shared."""
    numbers = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
    return replace(genotypes, ids=genotypes.ids.gather(numbers), places=genotypes.places[numbers])
