"""Crossovers: how many, where, and which strand a gamete begins with (Haldane 1919: no interference)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Meioses:
    """What happens in the making of gametes 0, 1, …

    Attributes
    ----------
    strand
        0 or 1: which haplotype of the parent each begins with.
    pointer
        Where the crossovers of each begin; one longer.
    crossovers
        The locus before which strands change, in no order within a gamete.
    """

    strand: NDArray[np.int32]
    pointer: NDArray[np.int64]
    crossovers: NDArray[np.int32]


def draw_meioses(
    random: np.random.Generator, morgan: NDArray[np.float64], length_morgan: float, gametes: int
) -> Meioses:
    """Meioses on a chromosome with loci at some places: crossovers are a Poisson process of one a Morgan."""
    strand = random.integers(2, size=gametes, dtype=np.int32)
    pointer = np.zeros(gametes + 1, dtype=np.int64)
    np.cumsum(random.poisson(length_morgan, gametes), out=pointer[1:])
    places = random.random(int(pointer[-1])) * length_morgan
    return Meioses(strand, pointer, np.searchsorted(morgan, places).astype(np.int32))
