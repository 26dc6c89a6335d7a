"""Checks of animals: their call rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from breedblup.genotypes.genotypes import Genotypes
from breedblup.genotypes.quality.workspace import Workspace
from breedblup.kernels.genotypes import animal_code_counts


def animal_counts(genotypes: Genotypes) -> NDArray[np.int64]:
    """Calls of each animal, and heterozygotes among them (n × 2)."""
    codes = np.empty((len(genotypes), 4), dtype=np.int64)
    animal_code_counts(genotypes.packed, genotypes.rows, genotypes.places, codes)
    return np.stack([genotypes.shape[1] - codes[:, 1], codes[:, 2]], axis=1)


def check_animal_calls(work: Workspace) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exclude animals with too few calls at the markers that are kept.

    Returns call rate and share of heterozygotes of every animal, NaN for those that were excluded before.
    """
    numbers = np.flatnonzero(work.animals)
    kept = work.kept()
    called, heterozygous = animal_counts(kept).T
    rate = called / kept.shape[1]
    threshold = work.quality.animal_call_rate
    low = (rate < threshold) | (rate == 0.0)
    work.apply(
        "animals",
        numbers[low],
        "call rate of the animal",
        rate[low],
        threshold,
        work.quality.severities.animal_call_rate,
    )
    work.end_step("call rate of animals")
    rates, shares = np.full((2, work.animals.size), np.nan)
    rates[numbers] = rate
    shares[numbers] = np.where(called > 0, heterozygous / np.maximum(called, 1), np.nan)
    return rates, shares
