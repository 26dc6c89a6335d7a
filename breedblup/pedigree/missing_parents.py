"""Inbreeding where parents are missing: that of contemporaries in the place of zero (VanRaden 1992)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import NumericalError, PedigreeError, counted
from breedblup.kernels.inbreeding import half_relationship_of_parents
from breedblup.pedigree.grouping import NO_YEAR, estimated_birth_years
from breedblup.pedigree.pedigree import Pedigree

CHANGE = 1e-8
"""Largest change of a yearly mean between the last two rounds."""

MAXIMUM_ROUNDS = 500
"""Published pedigrees took 6 (Aguilar & Misztal 2008)."""


@dataclass(frozen=True)
class ContemporaryInbreeding:
    """F of every animal when unknown parents are as related to others as contemporaries are.

    Attributes
    ----------
    ids
        Animals of the pedigree, in its order.
    inbreeding
        F, in the order of the pedigree; read-only.
    yearly
        year, animals (born in it, both parents known), mean_inbreeding (what was given to those born in it with an unknown
        parent).
    rounds
        Rounds until the yearly means stood still.
    made
        Statement of how it was made.
    """

    ids: pl.Series
    inbreeding: NDArray[np.float64]
    yearly: pl.DataFrame
    rounds: int
    made: str


def inbreeding_of_contemporaries(pedigree: Pedigree) -> ContemporaryInbreeding:
    """F with unknown parents related to all older animals, and to each other, by twice the mean F of the year.

    An animal with an unknown parent, born in year t, gets F̄_t: the mean F of those born in t whose parents are both known
    (VanRaden 1992; Aguilar & Misztal 2008). As F̄ depends on F, rounds go on until the means stand still. In terms of
    relationships among classes of unknown parents by year of their offspring, γ(t, t') = 2F̄ of the later year, so each round is
    one pass of the algorithm for metafounders. A year in which nobody has two known parents takes the mean of the one before it.
    Unknown years are estimated (`estimated_birth_years`); animals without any have F̄ = 0.

    Raises
    ------
    PedigreeError
        If the pedigree has no births, or maternal grandsires in the place of dams.
    NumericalError
        If the means did not stand still.
    """
    if pedigree.of_sires:
        raise PedigreeError(f"{pedigree.name} has maternal grandsires in the place of dams: its F cannot be completed")
    years, estimated = estimated_birth_years(pedigree)
    levels, code = np.unique(years, return_inverse=True)
    later = np.maximum(*np.indices((levels.size, levels.size)))
    n = np.int32(len(pedigree))
    sire, dam = (np.where(p >= 0, p, n + code).astype(np.int32) for p in (pedigree.sire, pedigree.dam))
    complete = (pedigree.sire >= 0) & (pedigree.dam >= 0)
    counts = np.bincount(code[complete], minlength=levels.size)
    means, inbreeding = np.zeros(levels.size), np.zeros(len(pedigree))
    change, rounds = np.inf, 0
    while change > CHANGE:
        if rounds == MAXIMUM_ROUNDS:
            raise NumericalError(
                f"{pedigree.name}: mean inbreeding by year still changes by {change:.1e} after {rounds} rounds "
                "-> look for years in which few animals have both parents"
            )
        used = means
        half_relationship_of_parents(sire, dam, 2.0 * used[later], inbreeding, inbreeding, 0)
        means = _yearly_means(np.bincount(code[complete], inbreeding[complete], levels.size), counts, levels)
        change, rounds = float(np.abs(means - used).max()), rounds + 1
    inbreeding.flags.writeable = False
    yearly = pl.DataFrame({"year": levels.astype(np.int32), "animals": counts, "mean_inbreeding": used})
    made = (
        f"unknown parents as inbred as contemporaries (VanRaden 1992): {counted(rounds, 'round')}, "
        f"{counted(estimated, 'year')} of birth estimated"
    )
    return ContemporaryInbreeding(pedigree.ids, inbreeding, yearly, rounds, made)


def _yearly_means(sums: NDArray[Any], counts: NDArray[np.int64], levels: NDArray[np.int32]) -> NDArray[np.float64]:
    """Mean of each year, that of the year before where nobody counts; 0 for those without a year."""
    means = np.zeros(levels.size)
    for k, year in enumerate(levels):
        if year != NO_YEAR:
            means[k] = sums[k] / counts[k] if counts[k] else (means[k - 1] if k else 0.0)
    return means
