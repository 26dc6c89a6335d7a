"""Populations with genotypes, for the benchmarks of genomic evaluation: ``python benchmarks/genomic_data.py [CASE …]``.

A case is made once and kept in the folder of temporary files (``BREEDBLUP_BENCHMARKS`` names another), as what a user has:
pedigree and records as Parquet, genotypes as PLINK files. A case of 10⁶ animals takes half a minute and 640 MB of disk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.genotypes import Genotypes
from breedblup.io.genotypes import read_plink, write_plink
from breedblup.simulation import (
    GenomeOptions,
    PedigreeOptions,
    RecordOptions,
    SimulatedPedigree,
    simulate_genotypes,
    simulate_pedigree,
    simulate_records,
)

RECORDS = RecordOptions(heritability=0.3)
"""One record of 60 % of the animals, contemporary groups of 20."""


@dataclass(frozen=True)
class GenomicCase:
    """How many animals, how many of them genotyped, at how many markers."""

    animals: int
    genotyped: int
    markers: int
    chromosomes: int = 30
    seed: int = 7

    @property
    def folder(self) -> Path:
        """Where it is kept; another name for other numbers."""
        place = Path(os.environ.get("BREEDBLUP_BENCHMARKS") or tempfile.gettempdir()) / "breedblup_genomic"
        return place / sha256(f"{self}{RECORDS}".encode()).hexdigest()[:12]


CASES = {
    "tiny": GenomicCase(2_000, 200, 1_000, chromosomes=3),
    "medium": GenomicCase(100_000, 5_000, 50_000),
    "many": GenomicCase(100_000, 20_000, 5_000),
    "large": GenomicCase(1_000_000, 50_000, 50_000),
}
"""``tiny`` is to warm kernels with."""


@dataclass(frozen=True)
class GenomicData:
    """What a user has, and the truth.

    Attributes
    ----------
    pedigree, records
        Columns animal, sire, dam; animal, contemporary_group, y. No record of the last cohort.
    genotypes
        Mapped from their .bed file: sires, then the youngest animals, half of the last cohort among them where it is large.
    truth
        id, breeding_value in the unit of the records, of all animals.
    """

    pedigree: pl.DataFrame
    records: pl.DataFrame
    genotypes: Genotypes
    truth: pl.DataFrame


def genomic_data(case: GenomicCase) -> GenomicData:
    """Read a case, made before if need be."""
    folder = case.folder
    if not folder.is_dir():
        make(case, folder)
    frames = [pl.read_parquet(folder / f"{name}.parquet") for name in ("pedigree", "records", "truth")]
    return GenomicData(frames[0], frames[1], read_plink(folder / "genotypes"), frames[2])


def make(case: GenomicCase, folder: Path) -> None:
    """Simulate and write a case; the folder appears when it is whole."""
    of_pedigree, of_genome, of_records = np.random.SeedSequence(case.seed).generate_state(3).tolist()
    population = simulate_pedigree(PedigreeOptions(animals=case.animals, seed=of_pedigree))
    options = GenomeOptions(chromosomes=case.chromosomes, markers=case.markers, seed=of_genome)
    genome = simulate_genotypes(population, options, chosen_animals(population, case.genotyped))
    records = simulate_records(population, replace(RECORDS, seed=of_records), breeding_value=genome.breeding_value)
    old = population.birth_year[records.animal] < population.birth_year[-1]
    table = records.to_frame().select("animal", pl.col("contemporary_group").cast(pl.String), "y")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        population.to_frame().select("animal", "sire", "dam").write_parquet(aside / "pedigree.parquet")
        table.filter(pl.Series(old)).write_parquet(aside / "records.parquet")
        truth = pl.DataFrame({"id": genome.ids, "breeding_value": records.breeding_value})
        truth.write_parquet(aside / "truth.parquet")
        write_plink(genome.genotypes, aside / "genotypes")
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside)
        raise


def chosen_animals(population: SimulatedPedigree, wanted: int) -> NDArray[np.int32]:
    """Sires of the last ten years, half as many of the last cohort as are left then, and the youngest of those before it."""
    last = population.birth_year[-1]
    sires = np.unique(population.sire[population.birth_year > last - 10])
    sires = sires[sires >= 0][-(wanted // 2) :]
    young = np.flatnonzero(population.birth_year == last)
    young = young[~np.isin(young, sires)][: (wanted - sires.size) // 2]
    older = np.flatnonzero(population.birth_year < last)
    older = older[~np.isin(older, sires)][sires.size + young.size - wanted :]
    return np.concatenate((sires, older, young)).astype(np.int32)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make cases anew, or for the first time, and say how long it took."""
    parser = argparse.ArgumentParser(description="Populations with genotypes, kept in the folder of temporary files.")
    parser.add_argument("cases", nargs="*", default=["medium"], help=f"of {', '.join(CASES)}; medium when left out")
    for name in parser.parse_args(arguments).cases:
        case = CASES[name]
        shutil.rmtree(case.folder, ignore_errors=True)
        start = time.perf_counter()
        make(case, case.folder)
        print(f"{name}: {time.perf_counter() - start:.1f} s, {case.folder}", flush=True)


if __name__ == "__main__":
    main()
