"""Pedigrees of a population with overlapping generations, a few sires and many dams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError

MALE, FEMALE = 1, 2
UNKNOWN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class PedigreeOptions:
    """What population to simulate.

    Founders are born evenly over as many years as the oldest parent counts, then come ``years`` cohorts of equal size.
    In each cohort some animals are kept for breeding, drawn at random (there is no selection). Every year sires and
    dams of all ages in use are mated at random: sires by a popularity of their own, older dams less often, and a dam
    with at most one offspring a year as long as there are enough of her age.

    Parameters
    ----------
    animals
        Animals in all, founders included.
    years
        Cohorts after the founders.
    founder_share
        Share of the animals that are founders.
    sire_share, dam_share
        Share of the males (females) of a cohort kept for breeding, at least one.
    missing_parents
        Probability that a known sire, and independently a known dam, is not on file.
    sire_ages, dam_ages
        Youngest and oldest age in whole years at the birth of offspring.
    dam_survival
        Probability that a dam is still in use a year later.
    sire_popularity
        Coefficient of variation of how often a sire is used.
    first_year
        Birth year of the first founders.
    seed
        The same seed gives the same population.
    """

    animals: int = 100_000
    years: int = 20
    founder_share: float = 0.25
    sire_share: float = 0.015
    dam_share: float = 0.5
    missing_parents: float = 0.03
    sire_ages: tuple[int, int] = (2, 6)
    dam_ages: tuple[int, int] = (2, 8)
    dam_survival: float = 0.9
    sire_popularity: float = 0.8
    first_year: int = 1995
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what no population can have."""
        for name in ("founder_share", "sire_share", "dam_share", "dam_survival"):
            if not 0 < getattr(self, name) <= 1:
                raise ModelError(
                    f"simulated pedigree: {name} is {getattr(self, name)}; give a share above 0, at most 1"
                )
        if not 0 <= self.missing_parents < 1:
            raise ModelError(
                f"simulated pedigree: missing_parents is {self.missing_parents}; give 0 or a share below 1"
            )
        if self.sire_popularity <= 0:
            raise ModelError(f"simulated pedigree: sire_popularity is {self.sire_popularity}; give a number above 0")
        if self.years < 1:
            raise ModelError(f"simulated pedigree: years is {self.years}; give at least 1")
        for name in ("sire_ages", "dam_ages"):
            youngest, oldest = getattr(self, name)
            if not 1 <= youngest <= oldest:
                raise ModelError(f"simulated pedigree: {name} is {youngest, oldest}; give youngest, oldest, from 1")


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedPedigree:
    """A simulated population: one row per animal, in order of birth, hence parents before offspring.

    Attributes
    ----------
    sire, dam
        Rows of the parents, −1 where unknown.
    sex
        `MALE` (1) or `FEMALE` (2).
    birth_year
        Calendar year.
    """

    sire: NDArray[np.int32]
    dam: NDArray[np.int32]
    sex: NDArray[np.int8]
    birth_year: NDArray[np.int32]

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.sire, self.dam, self.sex, self.birth_year):
            array.flags.writeable = False

    def __len__(self) -> int:
        """Count the animals."""
        return self.sire.size

    def to_frame(self, prefix: str = "UK") -> pl.DataFrame:
        """Give the pedigree as a user has it: text ids, null for unknown parents, sex M or F."""
        animals = len(self)
        return pl.DataFrame(
            {
                "animal": text_ids(np.arange(animals, dtype=np.int32), animals, prefix),
                "sire": text_ids(self.sire, animals, prefix),
                "dam": text_ids(self.dam, animals, prefix),
                "sex": pl.Series(self.sex).replace_strict({MALE: "M", FEMALE: "F"}, return_dtype=pl.String),
                "birth_year": self.birth_year,
            }
        )


def text_ids(rows: NDArray[np.int32], animals: int, prefix: str = "UK") -> pl.Series:
    """Name rows 0, 1, … of ``animals`` as UK0000001, UK0000002, …, with at least seven digits; null for −1."""
    digits = max(7, len(str(animals)))
    row = pl.col("row")
    text = pl.lit(prefix) + (row + 1).cast(pl.String).str.zfill(digits)
    return pl.DataFrame({"row": rows}).select(id=pl.when(row >= 0).then(text)).to_series()


def simulate_pedigree(options: PedigreeOptions) -> SimulatedPedigree:
    """Simulate a population with overlapping generations, cohort by cohort."""
    random = np.random.default_rng(options.seed)
    sizes = _cohort_sizes(options)
    founder_years = sizes.size - options.years
    bounds = np.concatenate(([0], np.cumsum(sizes)))
    sex = random.integers(MALE, FEMALE, size=options.animals, dtype=np.int8, endpoint=True)
    sire = np.full(options.animals, UNKNOWN, dtype=np.int32)
    dam = np.full(options.animals, UNKNOWN, dtype=np.int32)
    sires: list[NDArray[np.int32]] = []
    dams: list[NDArray[np.int32]] = []
    popularity: list[NDArray[np.float64]] = []
    shape = options.sire_popularity**-2
    for cohort in range(sizes.size):
        born = slice(bounds[cohort], bounds[cohort + 1])
        if cohort >= founder_years:
            sire[born] = _draw_sires(random, options, sires, popularity, sizes[cohort])
            dam[born] = _draw_dams(random, options, dams, sizes[cohort])
        sires.append(_keep(random, sex[born] == MALE, options.sire_share, born.start))
        dams.append(_keep(random, sex[born] == FEMALE, options.dam_share, born.start))
        popularity.append(random.gamma(shape, size=sires[-1].size))
    birth_year = np.repeat(np.arange(options.first_year, options.first_year + sizes.size, dtype=np.int32), sizes)
    return SimulatedPedigree(sire, dam, sex, birth_year)


def _cohort_sizes(options: PedigreeOptions) -> NDArray[np.int64]:
    """Animals born each year: the founders' years, then the others."""
    founder_years = max(options.sire_ages[1], options.dam_ages[1])
    founders = round(options.animals * options.founder_share)
    young = options.animals - founders
    if founders < founder_years or young < options.years:
        raise ModelError(
            f"simulated pedigree: {founders} founders and {young} other animals are too few for {founder_years} and "
            f"{options.years} years; ask for more animals or fewer years"
        )
    return np.concatenate((_even_parts(founders, founder_years), _even_parts(young, options.years)))


def _even_parts(total: int, parts: int) -> NDArray[np.int64]:
    """Split a count into parts that differ by at most one."""
    return np.diff(np.arange(parts + 1) * total // parts)


def _keep(random: np.random.Generator, eligible: NDArray[np.bool_], share: float, start: int) -> NDArray[np.int32]:
    """Rows of the animals of a cohort that are kept for breeding."""
    rows = np.flatnonzero(eligible).astype(np.int32) + np.int32(start)
    kept = min(rows.size, max(1, round(share * rows.size)))
    return random.choice(rows, kept, replace=False)


def _draw_sires(
    random: np.random.Generator,
    options: PedigreeOptions,
    sires: list[NDArray[np.int32]],
    popularity: list[NDArray[np.float64]],
    size: int,
) -> NDArray[np.int32]:
    """Sires of a cohort, in random order, -1 where not on file."""
    youngest, oldest = options.sire_ages
    in_use = slice(len(sires) - oldest, len(sires) - youngest + 1)
    candidates = np.concatenate(sires[in_use])
    if not candidates.size:
        raise ModelError(f"simulated pedigree: no males for the year {options.first_year + len(sires)}; add animals")
    drawn = candidates[unequal_draw(random, np.concatenate(popularity[in_use]), size)]
    drawn[random.random(size, dtype=np.float32) < options.missing_parents] = UNKNOWN
    return drawn


def _draw_dams(
    random: np.random.Generator, options: PedigreeOptions, dams: list[NDArray[np.int32]], size: int
) -> NDArray[np.int32]:
    """Dams of a cohort, in random order, -1 where not on file."""
    youngest, oldest = options.dam_ages
    cohorts = [dams[len(dams) - age] for age in range(youngest, oldest + 1)]
    weights = np.array([rows.size for rows in cohorts]) * options.dam_survival ** np.arange(len(cohorts))
    if not weights.any():
        raise ModelError(f"simulated pedigree: no females for the year {options.first_year + len(dams)}; add animals")
    births = random.multinomial(size, weights / weights.sum())
    drawn = np.concatenate(
        [
            random.choice(rows, count, replace=bool(count > rows.size))
            for rows, count in zip(cohorts, births, strict=True)
            if count
        ]
    )
    random.shuffle(drawn)
    drawn[random.random(size, dtype=np.float32) < options.missing_parents] = UNKNOWN
    return drawn


def unequal_draw(random: np.random.Generator, weights: NDArray[np.float64], size: int) -> NDArray[np.int32]:
    """Draw positions with probabilities proportional to weights; counts first, then a shuffle: O(size), no search."""
    counts = random.multinomial(size, weights / weights.sum())
    drawn = np.repeat(np.arange(weights.size, dtype=np.int32), counts)
    random.shuffle(drawn)
    return drawn
