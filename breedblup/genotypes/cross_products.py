"""ZZ' and parts of it: one symmetric product for each block of markers, never more than a block unpacked.

Where no call is missing and all scales are s, x - 1 is -1, 0 or 1. T, of these numbers, makes TT' exact in float32 (sums of a
block stay far below 2²⁴), at twice the speed of float64, and centring is of rank two: with d = centre - 1,

    ZZ' = s² (TT' - (Td)1' - 1(Td)' + d'd 11').
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breedblup.genotypes.genotypes import Genotypes
from breedblup.genotypes.tiles import blocks_of, on_threads, unpack_chosen

SMALL = 1e11
"""Operations (of a symmetric product) up to which float64 is used for any calls and scales: a few seconds."""

TILE = 512
"""Rows and columns of ZZ' that a thread makes at once, with BLAS by itself; on the diagonal BLAS makes one triangle."""

BLOCK_BYTES = 64 * 2**20
"""Of the values that are unpacked at once."""

FEWEST, MOST = 256, 2048
"""Markers of a block."""


@dataclass(frozen=True)
class Precision:
    """How products are made.

    Attributes
    ----------
    exact
        Of whole numbers, centred afterwards.
    dtype
        In which type.
    text
        In words.
    """

    exact: bool
    dtype: type[np.floating[Any]]
    text: str


EXACT = Precision(True, np.float32, "ZZ' in whole numbers (exact in float32), centred in float64")
DOUBLE = Precision(False, np.float64, "ZZ' in float64")
SINGLE = Precision(
    False, np.float32, "ZZ' in float32 by blocks of markers, summed in float64 (about 1e-7 of a diagonal)"
)


def cross_precision(genotypes: Genotypes, scale: NDArray[np.float64], entries: int) -> Precision:
    """What some entries of ZZ' need."""
    if scale.size and (scale == scale[0]).all() and not genotypes.counts[:, 3].any():
        return EXACT
    return DOUBLE if entries * scale.size <= SMALL else SINGLE


def whole_numbers(markers: int) -> NDArray[np.float64]:
    """x - 1 by code: markers × 4."""
    return np.tile([1.0, 0.0, 0.0, -1.0], (markers, 1))


def cross_product(
    genotypes: Genotypes,
    rows: NDArray[np.int32],
    columns: NDArray[np.int32] | None,
    values: NDArray[np.float64],
    dtype: type[np.floating[Any]],
) -> NDArray[np.float64]:
    """Sums over markers of products of what stands for the calls of two animals, by their places in the store.

    Parameters
    ----------
    columns
        None where they are the rows: then the product is symmetric.
    values
        What stands for each code: markers × 4.
    dtype
        Of the products of a block of markers; blocks are summed in float64.
    """
    wide = rows.size if columns is None else columns.size
    total = np.zeros((rows.size, wide))
    tiles = [(a, b) for a in _tiles(rows.size) for b in _tiles(wide) if columns is not None or b.start <= a.start]
    for part in blocks_of(len(values), _markers_of_block(rows.size, wide)):
        z = unpack_chosen(genotypes, rows, part, values[part], dtype)
        other = z if columns is None else unpack_chosen(genotypes, columns, part, values[part], dtype)

        def add(tile: tuple[slice, slice], z: NDArray[Any] = z, other: NDArray[Any] = other) -> None:
            total[tile] += z[:, tile[0]].T @ other[:, tile[1]]

        on_threads(add, tiles)
    if columns is None:
        _mirror(total)
    return total


def centre_products(
    total: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64], squares: float
) -> None:
    """Take (Td)_i and (Td)_j from products of whole numbers and add d'd."""
    for part in _tiles(len(total)):
        total[part] -= (left[part, None] + right) - squares


def _markers_of_block(rows: int, columns: int) -> int:
    return int(np.clip(BLOCK_BYTES // (8 * max(rows, columns, 1)), FEWEST, MOST))


def _tiles(size: int) -> list[slice]:
    return blocks_of(size, TILE)


def _mirror(total: NDArray[np.float64]) -> None:
    """Copy what is below the tiles of the diagonal to above them."""
    for part in _tiles(len(total)):
        total[: part.start, part] = total[part, : part.start].T
