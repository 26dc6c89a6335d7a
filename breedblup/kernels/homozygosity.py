"""Loops over packed genotypes for the exact test of Hardy-Weinberg proportions, and sums of weights by animal."""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel

CHUNK = 512
"""Animals that a thread follows at a time."""

TIES = 1.0 + 1e-9
"""Probabilities within this factor are equal."""


@kernel
def exact_probability(homozygous: int, heterozygous: int, other: int) -> float:
    """Probability of genotypes at most as probable as these, given the alleles (Wigginton, Cutler & Abecasis 2005)."""
    number = homozygous + heterozygous + other
    rare = 2 * min(homozygous, other) + heterozygous
    if rare == 0:
        return 1.0
    middle = int(rare * (2.0 * number - rare) / (2.0 * number))
    middle += (middle ^ rare) & 1
    total, at_most, observed = 0.0, 0.0, -1.0
    for round_ in range(2):  # the first finds the probability of what was observed, relative to the middle
        for direction in (-2, 2):
            h = middle
            p = 1.0
            while p > 0.0 and 0 <= h <= rare:
                if round_ == 0:
                    if h == heterozygous:
                        observed = p
                    if not (direction == 2 and h == middle):
                        total += p
                elif p <= observed * TIES and not (direction == 2 and h == middle):
                    at_most += p
                few = (rare - h) // 2
                many = number - h - few
                if direction == -2:
                    p *= h * (h - 1.0) / (4.0 * (few + 1.0) * (many + 1.0))
                else:
                    p *= 4.0 * few * many / ((h + 2.0) * (h + 1.0))
                h += direction
    return min(1.0, at_most / total) if observed > 0.0 else 0.0


@parallel_kernel
def exact_probabilities(counts: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    """`exact_probability` of each marker from its counts of 0, 1 and 2 copies."""
    for j in prange(out.size):
        out[j] = exact_probability(counts[j, 0], counts[j, 1], counts[j, 2])


@parallel_kernel
def add_weights_of_calls(
    packed: NDArray[np.uint8],
    rows: NDArray[np.int64],
    places: NDArray[np.int32],
    weights: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Add ``weights`` (markers × 4 codes × sums) of the calls of each animal to ``out`` (animals × sums)."""
    for chunk in prange((places.size + CHUNK - 1) // CHUNK):
        for j in range(rows.size):
            row = packed[rows[j]]
            for i in range(chunk * CHUNK, min((chunk + 1) * CHUNK, places.size)):
                code = (row[places[i] >> 2] >> (2 * (places[i] & 3))) & 3
                for k in range(out.shape[1]):
                    out[i, k] += weights[j, code, k]
