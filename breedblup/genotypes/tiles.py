"""Values of Z in tiles small enough for the cache of a core: some markers × some animals, made, used and written over.

A thread makes a tile and multiplies it by itself, with BLAS on one thread: threads that meet for every tile cost more than the
tile, all the more where other processes want the cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from breedblup.genotypes.genotypes import Genotypes
from breedblup.kernels.genotype_products import unpack_planes, unpack_values
from breedblup.solvers.threads import one_blas_thread

MARKERS = 128
"""Of a tile."""

ANIMALS = 2048
"""Of a tile, about: with float32 it takes 1 MiB."""

MOSTLY = 0.7
"""Share of the animals of the store from which all of them are unpacked, which is faster for each, to use some."""

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Strip:
    """Columns of tiles.

    Attributes
    ----------
    animals
        Which animal in use each column is; -1 for none.
    first
        The byte that its columns begin with, where they are whole bytes in planes.
    places
        Places in the store, where they are chosen animals.
    """

    animals: NDArray[np.int64]
    first: int
    places: NDArray[np.int32] | None

    def tile(
        self,
        genotypes: Genotypes,
        centre: NDArray[np.float64],
        scale: NDArray[np.float64],
        part: slice,
        dtype: type[np.floating[Any]],
    ) -> NDArray[Any]:
        """Values at some markers: markers × columns."""
        packed, rows = store_of(genotypes), genotypes.rows[part]
        out = np.empty((rows.size, self.animals.size), dtype=dtype)
        if self.places is None:
            planes = out.reshape(rows.size, 4, self.animals.size // 4)
            unpack_planes(packed, rows, self.first, centre[part], scale[part], planes)
        else:
            unpack_values(packed, rows, self.places, values_of_codes(centre[part], scale[part]), out)
        return out


def strips_of(genotypes: Genotypes) -> tuple[Strip, ...]:
    """All animals in use, in strips of about equal width that do not depend on the number of threads."""
    places = genotypes.places
    if distinct(places) and places.size >= MOSTLY * genotypes.samples:
        width = genotypes.packed.shape[1]
        animal = np.full(4 * width, -1)
        animal[places] = np.arange(places.size)
        by_byte = animal.reshape(width, 4)
        return tuple(Strip(by_byte[a:b].T.ravel(), a, None) for a, b in _cuts(width, ANIMALS // 4))
    return tuple(Strip(np.arange(a, b), 0, places[a:b]) for a, b in _cuts(places.size, ANIMALS))


def _cuts(size: int, most: int) -> list[tuple[int, int]]:
    """An even number of about equal parts."""
    ends = np.linspace(0, size, 2 * -(-size // (2 * most)) + 1).astype(int).tolist()
    return [(a, b) for a, b in pairwise(ends) if b > a]


def blocks_of(count: int, size: int) -> list[slice]:
    """Markers or animals in blocks of a size, the last one smaller."""
    return [slice(a, min(a + size, count)) for a in range(0, count, size)]


def distinct(places: NDArray[np.int32]) -> bool:
    """Whether no place of the store stands twice."""
    return places.size == 0 or int(np.bincount(places).max()) <= 1


def store_of(genotypes: Genotypes) -> NDArray[np.uint8]:
    """The packed bytes as a plain array, whether they lie on disk or not."""
    return np.asarray(genotypes.packed)


def values_of_codes(centre: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each code stands for: markers × 4."""
    return np.stack([(2.0 - centre) * scale, np.zeros(scale.size), (1.0 - centre) * scale, -centre * scale], axis=1)


def unpack_chosen(
    genotypes: Genotypes, places: NDArray[np.int32], part: slice, values: NDArray[np.float64], dtype: type[Any]
) -> NDArray[Any]:
    """What stands for the codes of chosen animals at some markers: markers × animals."""
    packed, rows = store_of(genotypes), genotypes.rows[part]
    out = np.empty((rows.size, places.size), dtype=dtype)

    def fill(some: slice) -> None:
        unpack_values(packed, rows[some], places, values[some], out[some])

    on_threads(fill, blocks_of(rows.size, MARKERS))
    return out


def on_threads(work: Callable[[_Part], None], parts: Sequence[_Part]) -> None:
    """Do each part on one of numba's number of threads, BLAS within it on one."""
    threads = min(numba.get_num_threads(), len(parts))
    with one_blas_thread():
        if threads < 2:
            for part in parts:
                work(part)
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, parts))
