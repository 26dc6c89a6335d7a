"""Z, centred and scaled genotypes, as an operator on packed calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from breedblup.genotypes.cross_products import centre_products, cross_precision, cross_product, whole_numbers
from breedblup.genotypes.genotypes import Genotypes
from breedblup.genotypes.tiles import (
    MARKERS,
    Strip,
    blocks_of,
    distinct,
    on_threads,
    store_of,
    strips_of,
    unpack_chosen,
    values_of_codes,
)
from breedblup.kernels.genotype_products import STRIP, multiply_packed, multiply_packed_transposed

FEW = 8
"""Animals of the store for each one in use, beyond which those in use are looked up one by one."""

VECTORS = 4
"""Up to so many vectors are multiplied one after the other: that costs less than tiles and BLAS."""


@dataclass(frozen=True, eq=False)
class CentredGenotypes:
    """Z (animals × markers): z_ij = (x_ij - centre_j) · scale_j, and 0 where the call is missing.

    Attributes
    ----------
    genotypes
        The calls x, counts of the first allele; they stay packed.
    centre, scale
        One number for each marker (m).
    """

    genotypes: Genotypes
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    def __post_init__(self) -> None:
        for array in (self.centre, self.scale):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.genotypes)

    def multiply(self, effects: NDArray[Any]) -> NDArray[Any]:
        """Z v for an m vector or an m × k block; float32 gives float32, all else float64.

        A few vectors are multiplied straight on the packed bytes, in float64; more of them by BLAS, in tiles of the type of the
        block, which are summed in float64.
        """
        block = _of_float(effects)
        if block.ndim == 2 and not self._by_vector(block.shape[1]):
            return self._multiply_block(block)
        if block.ndim == 2:
            return _columns([self.multiply(block[:, k]) for k in range(block.shape[1])], len(self), block.dtype)
        if not self._by_vector(1):
            return np.asarray(self._multiply_block(block[:, None])[:, 0])
        return self._multiply_vector(block.astype(np.float64)).astype(block.dtype, copy=False)

    def multiply_transposed(self, values: NDArray[Any]) -> NDArray[Any]:
        """Z'w for an n vector or an n × k block; types and ways as of `multiply`."""
        block = _of_float(values)
        if block.ndim == 2 and not self._by_vector(block.shape[1]):
            return self._multiply_block_transposed(block)
        if block.ndim == 2:
            columns = [self.multiply_transposed(block[:, k]) for k in range(block.shape[1])]
            return _columns(columns, self.scale.size, block.dtype)
        if not self._by_vector(1):
            return np.asarray(self._multiply_block_transposed(block[:, None])[:, 0])
        return self._multiply_vector_transposed(block.astype(np.float64)).astype(block.dtype, copy=False)

    def cross_product(self) -> NDArray[np.float64]:
        """ZZ', n × n, both triangles; `precision` says how."""
        everyone = np.arange(len(self))
        return self._cross(everyone, None)

    def cross_block(self, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.float64]:
        """Z_r Z_c' for animals by number."""
        return self._cross(rows, columns)

    @property
    def precision(self) -> str:
        """How `cross_product` multiplies, and what that costs in accuracy."""
        return cross_precision(self.genotypes, self.scale, len(self) ** 2).text

    def squared_lengths(self) -> NDArray[np.float64]:
        """Diagonal of ZZ' (n)."""
        out = np.zeros(len(self))

        def add(strip: Strip) -> None:
            total = np.zeros(strip.animals.size)
            for part in blocks_of(self.scale.size, MARKERS):
                tile = strip.tile(self.genotypes, self.centre, self.scale, part, np.float64)
                total += np.einsum("ji,ji->i", tile, tile)
            used = strip.animals >= 0
            out[strip.animals[used]] = total[used]

        on_threads(add, self._strips)
        return out

    def dense(self, first: int, last: int) -> NDArray[np.float64]:
        """Columns of Z, expanded: animals × (last - first)."""
        return self.dense_of(np.arange(len(self)), first, last)

    def dense_of(self, animals: NDArray[np.integer], first: int, last: int) -> NDArray[np.float64]:
        """Columns of Z for some animals by number, expanded."""
        part = slice(first, last)
        values = values_of_codes(self.centre[part], self.scale[part])
        return unpack_chosen(self.genotypes, self.genotypes.places[animals], part, values, np.float64).T

    def _cross(self, rows: NDArray[np.integer], columns: NDArray[np.integer] | None) -> NDArray[np.float64]:
        places = self.genotypes.places
        others = None if columns is None else places[columns]
        how = cross_precision(self.genotypes, self.scale, rows.size * (rows.size if columns is None else columns.size))
        if not how.exact:
            values = values_of_codes(self.centre, self.scale)
            return cross_product(self.genotypes, places[rows], others, values, how.dtype)
        total = cross_product(self.genotypes, places[rows], others, whole_numbers(self.scale.size), how.dtype)
        squares = float(np.square(self.centre - 1.0).sum())
        centre_products(total, self._moved[rows], self._moved[rows if columns is None else columns], squares)
        total *= self.scale[0] ** 2
        return total

    @cached_property
    def _moved(self) -> NDArray[np.float64]:
        """(X - 11') (c - 1), which centring takes from the products of whole numbers."""
        ones = np.ones(self.scale.size)
        return replace(self, centre=ones, scale=ones).multiply(self.centre - 1.0)

    @cached_property
    def _strips(self) -> tuple[Strip, ...]:
        return strips_of(self.genotypes)

    @cached_property
    def _most_in_use(self) -> bool:
        """Whether products go over all animals of the store, in use or not."""
        places = self.genotypes.places
        return places.size * FEW >= self.genotypes.samples and distinct(places)

    def _by_vector(self, vectors: int) -> bool:
        return vectors <= VECTORS and self._most_in_use

    def _multiply_vector(self, effects: NDArray[np.float64]) -> NDArray[np.float64]:
        """Σ_j (2 - c_j) u_j - Σ_j r_ij u_j, r = 1 where a call is missing, and that taken back there; u = s v."""
        rows, places = self.genotypes.rows, self.genotypes.places
        scaled, spare = self.scale * effects, -rows.size % 4
        factors = np.concatenate([-scaled, np.zeros(spare)])
        at_missing = np.concatenate([(self.centre - 1.0) * scaled, np.zeros(spare)])
        fours = np.concatenate([rows, np.repeat(rows[-1:], spare)])
        packed = store_of(self.genotypes)
        width = packed.shape[1]
        planes = np.zeros((4, width))
        threads = numba.get_num_threads()
        parts = threads * max(1, -(-width // (STRIP * threads)))
        strip = max(1, -(-width // (64 * parts))) * 64
        multiply_packed(packed, fours, factors, at_missing, strip, planes)
        copies = (2.0 - self.centre) * scaled
        # No dot product: BLAS leaves a thread spinning on a core that the kernel wants next.
        return np.asarray(copies.sum() + planes[places & 3, places >> 2])

    def _multiply_vector_transposed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """s_j ((2 - c_j) Σ w - Σ r_ij w_i), both sums over animals with a call."""
        places, packed = self.genotypes.places, store_of(self.genotypes)
        weights = np.zeros((4, packed.shape[1]))
        weights[places & 3, places >> 2] = values
        sums = np.zeros((self.scale.size, 2))
        multiply_packed_transposed(packed, self.genotypes.rows, weights, sums)
        bits, lost = sums.T
        return np.asarray(self.scale * ((2.0 - self.centre) * (values.sum() - lost) - (bits - lost)))

    def _multiply_block(self, effects: NDArray[Any]) -> NDArray[Any]:
        out = np.empty((len(self), effects.shape[1]), dtype=effects.dtype)

        def multiply(strip: Strip) -> None:
            total = np.zeros((strip.animals.size, effects.shape[1]))
            for part in blocks_of(self.scale.size, MARKERS):
                tile = strip.tile(self.genotypes, self.centre, self.scale, part, effects.dtype.type)
                total += tile.T @ effects[part]
            used = strip.animals >= 0
            out[strip.animals[used]] = total[used]

        on_threads(multiply, self._strips)
        return out

    def _multiply_block_transposed(self, values: NDArray[Any]) -> NDArray[Any]:
        out = np.empty((self.scale.size, values.shape[1]), dtype=values.dtype)
        padded = np.concatenate([values, np.zeros((1, values.shape[1]), dtype=values.dtype)])
        strips = [(strip, padded[strip.animals]) for strip in self._strips]

        def multiply(part: slice) -> None:
            total = np.zeros((len(out[part]), values.shape[1]))
            for strip, weights in strips:
                total += strip.tile(self.genotypes, self.centre, self.scale, part, values.dtype.type) @ weights
            out[part] = total

        on_threads(multiply, blocks_of(self.scale.size, MARKERS))
        return out


def _of_float(values: NDArray[Any]) -> NDArray[Any]:
    return values if values.dtype == np.float32 else np.asarray(values, dtype=np.float64)


def _columns(vectors: list[NDArray[Any]], length: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Vectors beside each other, also where there are none."""
    return np.stack(vectors, axis=1) if vectors else np.empty((length, 0), dtype=dtype)
