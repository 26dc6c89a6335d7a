"""Records of one trait on a pedigree, with the true effects that they were made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError
from breedblup.kernels.inbreeding import NO_CLASSES, mendelian_variance
from breedblup.kernels.simulation import drop_values
from breedblup.simulation.pedigrees import FEMALE, SimulatedPedigree, text_ids, unequal_draw

FIRST_RECORD_AGE = 2
"""Age in whole years at the first record; one more for each later parity."""

_HERD_SIZE_SHAPE = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """What records to simulate.

    y = mean + parity + age_slope · (age − 24 months) + contemporary group + u + p + e

    An animal has one herd, and its record of parity k is taken k + 1 years after its birth. A contemporary group is a
    herd in a year of records: with one record per animal, a herd's animals of one birth year. The last year of records
    is that in which the youngest animals have their first.

    Parameters
    ----------
    heritability, permanent_environment
        Shares of the phenotypic variance within contemporary groups; the residual has the rest.
    phenotypic_variance
        Variance of u + p + e of a non-inbred animal.
    mean
        Expected record of parity 1 at 24 months.
    parity_effects
        One for each parity: its length is the largest number of records of an animal.
    retention
        Probability that an animal with a record has one of the next parity.
    age_slope
        Units of y per month.
    group_deviation
        Standard deviation of the effects of contemporary groups.
    group_size
        Mean number of records in a contemporary group; herds differ in size.
    recorded_share
        Share of the animals (of the females, with ``females_only``) that have records.
    females_only
        Whether males have no records.
    seed
        The same seed gives the same records.
    """

    heritability: float = 0.3
    permanent_environment: float = 0.0
    phenotypic_variance: float = 100.0
    mean: float = 100.0
    parity_effects: tuple[float, ...] = (0.0,)
    retention: float = 0.7
    age_slope: float = 0.5
    group_deviation: float = 5.0
    group_size: float = 20.0
    recorded_share: float = 0.6
    females_only: bool = False
    seed: int = 2

    def __post_init__(self) -> None:
        """Refuse what no trait can have."""
        shares = self.heritability, self.permanent_environment
        if min(shares) < 0 or sum(shares) > 1:
            raise ModelError(
                f"simulated records: heritability {self.heritability} and permanent_environment "
                f"{self.permanent_environment} are shares of a variance; give both from 0, with a sum of at most 1"
            )
        if not 0 < self.recorded_share <= 1:
            raise ModelError(
                f"simulated records: recorded_share is {self.recorded_share}; give a share above 0, at most 1"
            )
        if not 0 <= self.retention < 1:
            raise ModelError(f"simulated records: retention is {self.retention}; give 0 or a probability below 1")
        if self.phenotypic_variance <= 0:
            raise ModelError(
                f"simulated records: phenotypic_variance is {self.phenotypic_variance}; give a number above 0"
            )
        if not self.parity_effects:
            raise ModelError("simulated records: parity_effects is empty; give one number for each parity")
        if self.group_size < 1:
            raise ModelError(f"simulated records: group_size is {self.group_size}; give at least 1")

    @property
    def genetic_variance(self) -> float:
        """σ²a."""
        return self.heritability * self.phenotypic_variance

    @property
    def permanent_environment_variance(self) -> float:
        """σ²p."""
        return self.permanent_environment * self.phenotypic_variance

    @property
    def residual_variance(self) -> float:
        """σ²e."""
        return max(0.0, 1.0 - (self.heritability + self.permanent_environment)) * self.phenotypic_variance


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedRecords:
    """Simulated records, ordered by animal and parity, and what they were made of.

    Attributes
    ----------
    animal
        Row in the pedigree, per record.
    contemporary_group
        Code 0, 1, … per record; every code has a record.
    parity
        1, 2, … per record.
    age
        Months at the record.
    y
        The record.
    group_herd, group_year
        Herd (code) and year of records, per contemporary group.
    group_effect
        True effect, per contemporary group.
    breeding_value, permanent_environment
        True effects, per animal of the pedigree.
    options
        What was asked for; its ``genetic_variance``, ``permanent_environment_variance`` and ``residual_variance`` are
        those that were used.
    """

    animal: NDArray[np.int32]
    contemporary_group: NDArray[np.int32]
    parity: NDArray[np.int32]
    age: NDArray[np.float64]
    y: NDArray[np.float64]
    group_herd: NDArray[np.int32]
    group_year: NDArray[np.int32]
    group_effect: NDArray[np.float64]
    breeding_value: NDArray[np.float64]
    permanent_environment: NDArray[np.float64]
    options: RecordOptions

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for name in self.__slots__:
            if name != "options":
                getattr(self, name).flags.writeable = False

    def __len__(self) -> int:
        """Count the records."""
        return self.y.size

    def to_frame(self, prefix: str = "UK") -> pl.DataFrame:
        """Give the records as a user has them, with the ids of `SimulatedPedigree.to_frame`."""
        return pl.DataFrame(
            {
                "animal": text_ids(self.animal, self.breeding_value.size, prefix),
                "contemporary_group": self.contemporary_group,
                "parity": self.parity,
                "age": self.age,
                "y": self.y,
            }
        )


def drop_breeding_values(
    sire: NDArray[np.int32],
    dam: NDArray[np.int32],
    deviates: NDArray[np.float64],
    inbreeding: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Hand breeding values down a pedigree: u = ½ u_sire + ½ u_dam + √(½ − ¼(F_sire + F_dam)) z.

    Parameters
    ----------
    sire, dam
        Rows of the parents, −1 where unknown; parents before offspring.
    deviates
        z, independent normal deviates with the genetic standard deviation, one row per animal; several columns are
        several samples (or, correlated by the factor of G₀, traits).
    inbreeding
        F of every animal. None takes every F as zero: the Mendelian sampling variance of inbred parents is then too
        large by ¼(F_sire + F_dam) σ²a.
    """
    values = np.array(deviates, dtype=np.float64, order="C")
    mendelian = np.empty(sire.size)
    used = np.zeros(sire.size) if inbreeding is None else inbreeding
    mendelian_variance(sire, dam, NO_CLASSES, used, mendelian)
    drop_values(sire, dam, mendelian, values.reshape(sire.size, -1))
    return values


def simulate_records(
    pedigree: SimulatedPedigree,
    options: RecordOptions,
    inbreeding: NDArray[np.float64] | None = None,
    *,
    breeding_value: NDArray[np.float64] | None = None,
) -> SimulatedRecords:
    """Simulate records of one trait: effects of animals, who is recorded when and in which group, then the sum.

    ``inbreeding`` as in `drop_breeding_values`: None takes every F as zero. ``breeding_value`` stands for those that would be
    drawn, in genetic standard deviations, as in `SimulatedGenome`; whatever else is drawn stays the same.

    Raises
    ------
    ModelError
        If there is not one breeding value for each animal, or no animal has a record.
    """
    random = np.random.default_rng(options.seed)
    deviates = random.normal(0.0, np.sqrt(options.genetic_variance), len(pedigree))
    if breeding_value is None:
        breeding_value = drop_breeding_values(pedigree.sire, pedigree.dam, deviates, inbreeding)
    elif breeding_value.shape != (len(pedigree),):
        raise ModelError(
            f"simulated records: {breeding_value.size} breeding values for {len(pedigree)} animals; give one for each"
        )
    else:
        breeding_value = np.sqrt(options.genetic_variance) * breeding_value
    permanent = random.normal(0.0, np.sqrt(options.permanent_environment_variance), len(pedigree))

    recorded, counts = _draw_recorded(random, pedigree, options)
    animal = np.repeat(recorded, counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    parity = (np.arange(animal.size) - first + 1).astype(np.int32)
    year = pedigree.birth_year[animal] + parity + np.int32(FIRST_RECORD_AGE - 1)
    group, group_herd, group_year = _draw_groups(random, options, counts, year)
    group_effect = random.normal(0.0, options.group_deviation, group_herd.size)
    late = 4.0 * random.beta(2.0, 4.0, animal.size)
    age = 12.0 * (parity + FIRST_RECORD_AGE - 1) + late

    y = random.normal(options.mean, np.sqrt(options.residual_variance), animal.size)
    y += np.array(options.parity_effects)[parity - 1]
    y += options.age_slope * (age - 12.0 * FIRST_RECORD_AGE)
    y += group_effect[group]
    y += breeding_value[animal] + permanent[animal]
    return SimulatedRecords(
        animal, group, parity, age, y, group_herd, group_year, group_effect, breeding_value, permanent, options
    )


def _draw_recorded(
    random: np.random.Generator, pedigree: SimulatedPedigree, options: RecordOptions
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Rows of the animals with records, and how many each has."""
    has_records = random.random(len(pedigree), dtype=np.float32) < options.recorded_share
    if options.females_only:
        has_records &= pedigree.sex == FEMALE
    recorded = np.flatnonzero(has_records).astype(np.int32)
    if not recorded.size:
        raise ModelError("simulated records: no animal has a record; ask for more animals or a larger recorded_share")
    most = np.minimum(len(options.parity_effects), pedigree.birth_year[-1] - pedigree.birth_year[recorded] + 1)
    return recorded, np.minimum(random.geometric(1.0 - options.retention, recorded.size), most)


def _draw_groups(
    random: np.random.Generator, options: RecordOptions, counts: NDArray[np.int64], year: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Contemporary group of every record; herd and year of every group."""
    years = int(year.max()) - int(year.min()) + 1
    herds = max(1, round(year.size / years / options.group_size))
    sizes = random.gamma(_HERD_SIZE_SHAPE, size=herds)
    herd = np.repeat(unequal_draw(random, sizes, counts.size), counts)
    cell = (year - year.min()).astype(np.int64) * herds + herd
    observed = np.bincount(cell, minlength=years * herds) > 0
    code = (np.cumsum(observed) - 1).astype(np.int32)
    year_of_group, herd_of_group = np.divmod(np.flatnonzero(observed), herds)
    return code[cell], herd_of_group.astype(np.int32), (year_of_group + year.min()).astype(np.int32)
