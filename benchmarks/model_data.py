"""The models of `models.py`, each with its variances and with records simulated by it.

Populations are those of `breedblup.simulation`; 60 % of the animals (of the females, for test days) are recorded. Seeds
are fixed: the same number of animals gives the same data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

import breedblup as bb
from breedblup.simulation import (
    PedigreeOptions,
    RecordOptions,
    SimulatedPedigree,
    drop_breeding_values,
    simulate_pedigree,
    simulate_records,
    text_ids,
)

Matrix = NDArray[np.float64]

TINY = 1000
SEED = 3

TRAITS = ("birth", "weaning", "yearling", "muscle")
MEANS = (38.0, 220.0, 380.0, 6.0)
PHENOTYPIC_SD = np.array([4.0, 24.0, 32.0, 1.2])
HERITABILITIES = np.array([0.40, 0.25, 0.40, 0.30])
GENETIC_CORRELATIONS = np.array(
    [[1.00, 0.50, 0.55, 0.20], [0.50, 1.00, 0.75, 0.35], [0.55, 0.75, 1.00, 0.40], [0.20, 0.35, 0.40, 1.00]]
)
RESIDUAL_CORRELATIONS = np.array(
    [[1.00, 0.25, 0.20, 0.05], [0.25, 1.00, 0.55, 0.20], [0.20, 0.55, 1.00, 0.25], [0.05, 0.20, 0.25, 1.00]]
)
MISSING = 0.3
"""Probability that a trait of a record is missing."""
ONLY_LATER = 0.1
"""Share of the records that lack the first half of the traits."""
BATCHES = 2
"""Parts of a herd in a year that a trait is measured in; each trait has its own."""

DIRECT, MATERNAL, DIRECT_MATERNAL = 30.0, 15.0, -0.3
MATERNAL_ENVIRONMENT, MATERNAL_RESIDUAL = 10.0, 50.0

FIRST_DAY, LAST_DAY = 5, 305
MONTH = 30
TESTS = 10
"""One a month, days 5 to 34 first."""
MISSED = 0.2
"""Probability that a cow is not tested in a month: 8 test days each."""
CURVE = (30.0, -5.0, -1.5)
GENETIC_CURVE = np.array([[16.0, 1.5, -1.6], [1.5, 2.5, 0.2], [-1.6, 0.2, 1.0]])
PERMANENT_CURVE = np.array([[20.0, 1.0, -1.5], [1.0, 4.5, 0.3], [-1.5, 0.3, 2.0]])
TEST_DAY_RESIDUAL = 7.0


@dataclass(frozen=True)
class BenchmarkModel:
    """A model at known variances, and how records of it are made.

    Attributes
    ----------
    formulas
        One, or one for each trait.
    simulate
        Records of a population, with text ids.
    about
        What the records are, after their number.
    """

    title: str
    formulas: tuple[str, ...]
    variances: bb.VarianceComponents
    simulate: Callable[[SimulatedPedigree], pl.DataFrame]
    about: str

    @property
    def model(self) -> bb.Model:
        """What is fitted."""
        return bb.Model.from_formula(self.formulas[0] if len(self.formulas) == 1 else list(self.formulas))


def trait_covariances(traits: Sequence[int]) -> tuple[Matrix, Matrix]:
    """G₀ and R₀ of some of `TRAITS`."""
    part = np.ix_(traits, traits)
    genetic = np.sqrt(HERITABILITIES) * PHENOTYPIC_SD
    residual = np.sqrt(1.0 - HERITABILITIES) * PHENOTYPIC_SD
    return (np.outer(genetic, genetic) * GENETIC_CORRELATIONS)[part], (
        np.outer(residual, residual) * RESIDUAL_CORRELATIONS
    )[part]


def simulate_traits(pedigree: SimulatedPedigree, traits: Sequence[int]) -> pl.DataFrame:
    """One record per animal of some of `TRAITS`, each with contemporary groups of its own; records of nothing left out."""
    random = np.random.default_rng(SEED)
    taken = simulate_records(pedigree, RecordOptions(group_size=50.0))
    genetic, residual = trait_covariances(traits)
    breeding_value = drop_breeding_values(pedigree.sire, pedigree.dam, _normal(random, genetic, len(pedigree)))
    shape = len(taken), len(traits)
    group = BATCHES * taken.contemporary_group[:, None] + random.integers(BATCHES, size=shape)
    group_effect = random.normal(0.0, 0.5 * PHENOTYPIC_SD[list(traits)], (group.max() + 1, len(traits)))
    y = np.array(MEANS)[list(traits)] + group_effect[group, np.arange(len(traits))]
    y += breeding_value[taken.animal] + _normal(random, residual, len(taken))
    missing = random.random(shape) < MISSING
    missing[random.random(len(taken)) < ONLY_LATER, : len(traits) // 2] = True
    y[missing] = np.nan
    columns: dict[str, pl.Series] = {"animal": text_ids(taken.animal, len(pedigree))}
    for k, trait in enumerate(traits):
        name = TRAITS[trait]
        columns[name] = pl.Series(y[:, k]).fill_nan(None)
        columns[f"{name}_group"] = pl.Series(group[:, k]).cast(pl.String).set(pl.Series(missing[:, k]), None)
    return pl.DataFrame(columns).filter(~pl.Series(missing.all(axis=1)))


def simulate_maternal(pedigree: SimulatedPedigree) -> pl.DataFrame:
    """One record per animal with a known dam: direct effect, those of the dam, contemporary group of about 20."""
    random = np.random.default_rng(SEED)
    taken = simulate_records(pedigree, RecordOptions(group_size=20.0))
    effect = drop_breeding_values(pedigree.sire, pedigree.dam, _normal(random, maternal_covariance(), len(pedigree)))
    environment = random.normal(0.0, np.sqrt(MATERNAL_ENVIRONMENT), len(pedigree))
    dam = pedigree.dam[taken.animal]
    y = 220.0 + taken.group_effect[taken.contemporary_group] + effect[taken.animal, 0]
    y += effect[dam, 1] + environment[dam] + random.normal(0.0, np.sqrt(MATERNAL_RESIDUAL), len(taken))
    frame = pl.DataFrame(
        {
            "animal": text_ids(taken.animal, len(pedigree)),
            "dam": text_ids(dam, len(pedigree)),
            "group": pl.Series(taken.contemporary_group).cast(pl.String),
            "weaning": y,
        }
    )
    return frame.filter(pl.col("dam").is_not_null())


def maternal_covariance() -> Matrix:
    """G₀ of direct and maternal effects."""
    covariance = DIRECT_MATERNAL * np.sqrt(DIRECT * MATERNAL)
    return np.array([[DIRECT, covariance], [covariance, MATERNAL]])


def simulate_test_days(pedigree: SimulatedPedigree) -> pl.DataFrame:
    """Monthly test days of one lactation per cow, calvings all the year round; about 20 cows in a herd-test-day."""
    random = np.random.default_rng(SEED)
    taken = simulate_records(pedigree, RecordOptions(group_size=30.0, females_only=True))
    genetic = drop_breeding_values(pedigree.sire, pedigree.dam, _normal(random, GENETIC_CURVE, len(pedigree)))
    permanent = _normal(random, PERMANENT_CURVE, len(pedigree))
    first = random.integers(FIRST_DAY, FIRST_DAY + MONTH, len(taken))
    calving_month = 12 * taken.group_year[taken.contemporary_group] + random.integers(12, size=len(taken))
    herd = taken.group_herd[taken.contemporary_group]

    cow, test = np.nonzero(random.random((len(taken), TESTS)) >= MISSED)
    days = first[cow] + MONTH * test
    month = calving_month[cow] + test
    group = np.unique(np.column_stack([herd[cow], month]), axis=0, return_inverse=True)[1].ravel()
    animal = taken.animal[cow]
    y = legendre(days) @ np.array(CURVE) + random.normal(0.0, 3.0, group.max() + 1)[group]
    y += np.sum(legendre(days) * (genetic[animal] + permanent[animal]), axis=1)
    y += random.normal(0.0, np.sqrt(TEST_DAY_RESIDUAL), days.size)
    return pl.DataFrame(
        {
            "animal": text_ids(animal, len(pedigree)),
            "herd_test_day": pl.Series(group).cast(pl.String),
            "dim": days.astype(np.float64),
            "milk": y,
        }
    )


def legendre(days: NDArray[np.int64]) -> Matrix:
    """Normalised Legendre polynomials of degree 0 to 2 of the days in milk (Kirkpatrick, Lofsvold and Bulmer 1990)."""
    t = 2.0 * (days - FIRST_DAY) / (LAST_DAY - FIRST_DAY) - 1.0
    return np.column_stack([np.full(t.size, 0.5**0.5), 1.5**0.5 * t, 2.5**0.5 * (1.5 * t**2 - 0.5)])


def _normal(random: np.random.Generator, covariance: Matrix, rows: int) -> Matrix:
    """Rows of correlated normal deviates."""
    return random.standard_normal((rows, len(covariance))) @ np.linalg.cholesky(covariance).T


def _multitrait(title: str, traits: Sequence[int]) -> BenchmarkModel:
    genetic, residual = trait_covariances(traits)
    names = [TRAITS[trait] for trait in traits]
    return BenchmarkModel(
        title,
        tuple(f"{name} ~ 0 + factor({name}_group) + (1 | animal)" for name in names),
        bb.VarianceComponents({"animal": genetic}, residual=residual),
        lambda pedigree: simulate_traits(pedigree, traits),
        f"{', '.join(names)} of 60 % of the animals; {100 * MISSING:.0f} % of each trait missing at random, "
        f"{100 * ONLY_LATER:.0f} % of the records without the first half of the traits, contemporary groups of each trait "
        "for itself",
    )


_CURVES = f"leg(dim, 2, range=({FIRST_DAY}, {LAST_DAY}))"

MODELS = {
    "two_traits": _multitrait("Two traits", (1, 2)),
    "four_traits": _multitrait("Four traits", (0, 1, 2, 3)),
    "maternal": BenchmarkModel(
        "Direct and maternal",
        ("weaning ~ 0 + factor(group) + (1 | animal + dam) + (1 | ide(dam))",),
        bb.VarianceComponents(
            {"animal + dam": maternal_covariance(), "ide(dam)": MATERNAL_ENVIRONMENT}, residual=MATERNAL_RESIDUAL
        ),
        simulate_maternal,
        f"one of each of 60 % of the animals with a known dam, correlation of direct and maternal effects {DIRECT_MATERNAL}",
    ),
    "random_regression": BenchmarkModel(
        "Random regression of degree 2",
        (f"milk ~ factor(herd_test_day) + {_CURVES} + ({_CURVES} | animal) + ({_CURVES} | ide(animal))",),
        bb.VarianceComponents({"animal": GENETIC_CURVE, "ide(animal)": PERMANENT_CURVE}, residual=TEST_DAY_RESIDUAL),
        simulate_test_days,
        "test days of one lactation of 60 % of the females, 8 each in 10 months; one curve over all, groups of herd and "
        "month",
    ),
}
"""By the names that the script takes."""


def write_frames(folder: Path, animals: int) -> None:
    """Simulate populations of two sizes, and records of every model on each, and write them as Parquet."""
    for size, count in (("full", animals), ("tiny", TINY)):
        pedigree = simulate_pedigree(PedigreeOptions(animals=count))
        pedigree.to_frame().select("animal", "sire", "dam").write_parquet(folder / f"pedigree_{size}.parquet")
        for name, case in MODELS.items():
            case.simulate(pedigree).write_parquet(folder / f"{name}_{size}.parquet")


def read_frames(folder: Path, name: str, size: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Pedigree and records of a model, ``full`` or ``tiny``."""
    return pl.read_parquet(folder / f"pedigree_{size}.parquet"), pl.read_parquet(folder / f"{name}_{size}.parquet")
