"""Writes pedigree.csv and records.csv of the dairy example: ``python data/dairy/simulate.py [folder]``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl

from breedblup.kernels.inbreeding import NO_CLASSES, half_relationship_of_parents
from breedblup.simulation import (
    PedigreeOptions,
    RecordOptions,
    SimulatedPedigree,
    SimulatedRecords,
    simulate_pedigree,
    simulate_records,
)

POPULATION = PedigreeOptions(animals=5_000, founder_share=0.3, sire_share=0.05, first_year=1996, seed=20_240)
TRAIT = RecordOptions(
    heritability=0.30,
    permanent_environment=0.18,
    phenotypic_variance=1_000_000.0,
    mean=6_400.0,
    parity_effects=(0.0, 500.0, 650.0, 500.0, 200.0),
    retention=0.77,
    age_slope=20.0,
    group_deviation=500.0,
    group_size=20.0,
    recorded_share=0.85,
    females_only=True,
    seed=20_243,
)
FIRST_DAY, LAST_DAY, DAYS_SEED = 31, 134, 20_242
"""Births from 1 February to the middle of May: calvings stay in the calendar year that their herd_year names."""


def write_example(folder: Path) -> None:
    """Simulate the population, then the records with inbreeding taken into account, and write both tables."""
    pedigree = simulate_pedigree(POPULATION)
    inbreeding = np.zeros(len(pedigree))
    half_relationship_of_parents(pedigree.sire, pedigree.dam, NO_CLASSES, inbreeding, inbreeding, 0)
    records = simulate_records(pedigree, TRAIT, inbreeding)
    _pedigree_table(pedigree).write_csv(folder / "pedigree.csv")
    _record_table(records).write_csv(folder / "records.csv", float_precision=1)


def _pedigree_table(pedigree: SimulatedPedigree) -> pl.DataFrame:
    """The pedigree with a date of birth; within a year, ids follow the dates."""
    days = np.random.default_rng(DAYS_SEED).integers(FIRST_DAY, LAST_DAY, len(pedigree), endpoint=True)
    days = days[np.lexsort((days, pedigree.birth_year))]
    new_year = (pedigree.birth_year - 1970).astype("datetime64[Y]").astype("datetime64[D]")
    birth_date = pl.Series("birth_date", new_year + days)
    return pedigree.to_frame().select("animal", "sire", "dam", "sex", birth_date)


def _record_table(records: SimulatedRecords) -> pl.DataFrame:
    """The records with a herd and year as text."""
    herd_year = [f"H{herd + 1:02d}-{year}" for herd, year in zip(records.group_herd, records.group_year, strict=True)]
    return records.to_frame().select(
        "animal",
        pl.Series("herd_year", herd_year).gather(records.contemporary_group),
        "parity",
        "age",
        pl.col("y").alias("milk"),
    )


if __name__ == "__main__":
    write_example(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
