"""Writes the tables and genotypes of the flock book: ``python data/genomic/simulate.py [folder]``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.genotypes import Genotypes
from breedblup.io.genotypes import write_plink
from breedblup.simulation import (
    GenomeOptions,
    PedigreeOptions,
    RecordOptions,
    SimulatedGenome,
    SimulatedPedigree,
    SimulatedRecords,
    simulate_genotypes,
    simulate_pedigree,
    simulate_records,
)

POPULATION = PedigreeOptions(
    animals=3_030, years=10, founder_share=0.3, sire_share=0.06, dam_ages=(2, 7), first_year=2009, seed=20_250
)
GENOME = GenomeOptions(chromosomes=5, markers=2_000, qtl=200, lowest_frequency=0.02, seed=20_251)
TRAIT = RecordOptions(
    heritability=0.35,
    phenotypic_variance=0.36,
    mean=4.5,
    age_slope=0.03,
    group_deviation=0.4,
    group_size=25.0,
    recorded_share=0.7,
    seed=20_252,
)
CHIP_SEED = 20_253
GENOTYPED, YOUNG, NEW = 800, 120, 30
"""In genotypes.bed, how many of them of the two youngest cohorts, and the lambs in new.bed."""

MISSING, ERRORS = 0.003, 0.0003
"""Shares of all calls."""

FEW_CALLS, CALLED = 12, (0.55, 0.85)
"""Markers with few calls, and the range of their call rates."""

MONOMORPHIC, SWAPPED, OTHER_STRAND = 8, 150, 40
"""Markers: without variation; of new.bim, with exchanged alleles, and read from the other strand."""

STRAND = {"A": "T", "C": "G", "G": "C", "T": "A"}


def write_example(folder: Path) -> None:
    """Simulate flock, genome and records, spoil them as laboratories and lambing sheds do, and write everything."""
    random = np.random.default_rng(CHIP_SEED)
    flock = simulate_pedigree(POPULATION)
    records = simulate_records(flock, TRAIT)
    chosen = _choose(random, flock, records)
    genome = simulate_genotypes(flock, GENOME, chosen)
    records = simulate_records(flock, TRAIT, breeding_value=genome.breeding_value)
    pedigree = _with_one_wrong_sire(flock, chosen[:GENOTYPED])
    in_book = pl.arange(len(flock), eager=True) < len(flock) - NEW
    pedigree.filter(in_book).write_csv(folder / "pedigree.csv")
    _record_table(flock, records).write_csv(folder / "records.csv", float_precision=2)
    truth = pl.DataFrame({"animal": genome.ids, "breeding_value": records.breeding_value})
    truth.write_csv(folder / "truth.csv", float_precision=3)
    calls = _chip(random, genome)
    fam = pedigree.select(pl.lit("flock").alias("family"), pl.col("animal").alias("id"), "sire", "dam", "sex")
    fam = fam.with_columns(phenotype=pl.lit("-9"))
    ids, markers = genome.genotypes.ids, genome.genotypes.markers
    old = Genotypes.from_calls(calls[:GENOTYPED], ids[:GENOTYPED], markers)
    write_plink(old, folder / "genotypes", animals=fam, replace=True)
    new = Genotypes.from_calls(*_written_otherwise(random, calls[GENOTYPED:], ids[GENOTYPED:], markers))
    write_plink(new, folder / "new", animals=fam, replace=True)


def _choose(random: np.random.Generator, flock: SimulatedPedigree, records: SimulatedRecords) -> NDArray[np.int64]:
    """Sires of the last cohorts, young without a record, the youngest with one; then the new, who are last of all."""
    book = len(flock) - NEW
    sires = np.unique(flock.sire[flock.birth_year > flock.birth_year[-1] - 6])
    sires = sires[sires >= 0]
    young = np.flatnonzero(_too_young(flock)[:book])
    young = random.choice(young[~np.isin(young, sires)], YOUNG, replace=False)
    recorded = np.unique(records.animal[~_too_young(flock)[records.animal]])
    recorded = recorded[~np.isin(recorded, sires)][sires.size + YOUNG - GENOTYPED :]
    return np.concatenate((np.sort(np.concatenate((sires, recorded, young))), np.arange(book, len(flock))))


def _too_young(flock: SimulatedPedigree) -> NDArray[np.bool_]:
    """Born in the last two years: their first shearing as adults is yet to come."""
    return flock.birth_year > flock.birth_year[-1] - 2


def _with_one_wrong_sire(flock: SimulatedPedigree, genotyped: NDArray[np.int64]) -> pl.DataFrame:
    """The pedigree as it is on file: the last genotyped animal whose sire is genotyped has another genotyped one."""
    genotyped_sire = np.isin(flock.sire[genotyped], genotyped)
    animal = genotyped[genotyped_sire][-1]
    others = np.unique(flock.sire[(flock.birth_year == flock.birth_year[animal]) & np.isin(flock.sire, genotyped)])
    sire = flock.sire.copy()
    sire[animal] = others[others != sire[animal]][0]
    on_file = SimulatedPedigree(sire, flock.dam, flock.sex, flock.birth_year)
    return on_file.to_frame().select("animal", "sire", "dam", "sex", "birth_year")


def _record_table(flock: SimulatedPedigree, records: SimulatedRecords) -> pl.DataFrame:
    """Records so far, with flock and year as text."""
    flock_year = [f"F{herd + 1:02d}-{year}" for herd, year in zip(records.group_herd, records.group_year, strict=True)]
    table = records.to_frame().select(
        "animal",
        pl.Series("flock_year", flock_year).gather(records.contemporary_group),
        pl.col("age").round(1),
        pl.col("y").alias("fleece"),
    )
    return table.filter(~pl.Series(_too_young(flock)[records.animal]))


def _chip(random: np.random.Generator, genome: SimulatedGenome) -> NDArray[np.int8]:
    """Calls as a chip reads them: markers that do not vary, errors, missing calls."""
    calls = genome.genotypes.calls()
    spoilt = random.choice(calls.shape[1], MONOMORPHIC + FEW_CALLS, replace=False)
    calls[:, spoilt[:MONOMORPHIC]] = 2 * random.integers(2, size=MONOMORPHIC)
    wrong = random.random(calls.shape) < ERRORS
    wrong[:, spoilt[:MONOMORPHIC]] = False
    calls[wrong] = (calls[wrong] + random.integers(1, 3, size=wrong.sum())) % 3
    rate = np.full(calls.shape[1], 1 - MISSING)
    rate[spoilt[MONOMORPHIC:]] = random.uniform(*CALLED, FEW_CALLS)
    calls[random.random(calls.shape) > rate] = -1
    return calls


def _written_otherwise(
    random: np.random.Generator, calls: NDArray[np.int8], ids: pl.Series, markers: pl.DataFrame
) -> tuple[NDArray[np.int8], pl.Series, pl.DataFrame]:
    """The same animals as another laboratory writes them: alleles exchanged at some markers, the other strand at others."""
    chosen = random.choice(markers.height, SWAPPED + OTHER_STRAND, replace=False)
    swapped = np.isin(np.arange(markers.height), chosen[:SWAPPED])
    strand = pl.Series(np.isin(np.arange(markers.height), chosen[SWAPPED:]))
    first = pl.when(pl.Series(swapped)).then("allele2").otherwise("allele1")
    second = pl.when(pl.Series(swapped)).then("allele1").otherwise("allele2")
    table = markers.with_columns(first.alias("allele1"), second.alias("allele2")).with_columns(
        pl.when(strand).then(pl.col(name).replace_strict(STRAND)).otherwise(name).alias(name)
        for name in ("allele1", "allele2")
    )
    return np.where(swapped & (calls >= 0), 2 - calls, calls).astype(np.int8), ids, table


if __name__ == "__main__":
    write_example(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
