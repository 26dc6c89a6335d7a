"""Genomic predictions of young animals are better than those of the pedigree, and not inflated; the populations for benchmarks."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numba
import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_limits

import breedblup as bb
from breedblup.simulation import PedigreeOptions, simulate_pedigree

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
REPLICATES = 12
"""Dispersions of genomic predictions have a standard deviation of 0.18 between replicates (of 40), of the pedigree's 0.27."""

DISPERSION = 3 * 0.18 / REPLICATES**0.5
"""Three standard errors of a mean."""


@pytest.fixture
def accuracy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that compares predictions with the truth."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("genomic_accuracy")


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The populations of the benchmarks, kept in a folder of this test."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("BREEDBLUP_BENCHMARKS", str(tmp_path))
    return importlib.import_module("genomic_data")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For matrices of 400 rows: threads that wait for each other cost more than they do."""
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        numba.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_genotypes_add_to_the_accuracy_and_do_not_inflate(accuracy: ModuleType) -> None:
    scenario = accuracy.Scenario("small", animals=1500, years=10, chromosomes=5, markers=1000, reference=300, young=100)
    found = accuracy.compare(scenario, REPLICATES)
    mean = {name: np.mean([run.accuracy for run in runs]) for name, runs in found.items()}
    dispersion = {name: np.mean([run.dispersion for run in runs]) for name, runs in found.items()}
    assert mean["pedigree BLUP"] > 0.25
    assert mean["GBLUP"] > mean["pedigree BLUP"] + 0.1
    assert mean["single-step"] > mean["pedigree BLUP"] + 0.1
    assert mean["single-step"] > mean["GBLUP"] - 0.03
    assert dispersion["pedigree BLUP"] == pytest.approx(1.0, abs=1.5 * DISPERSION)
    assert dispersion["GBLUP"] == pytest.approx(1.0, abs=DISPERSION)
    assert dispersion["single-step"] == pytest.approx(1.0, abs=DISPERSION)


def test_young_animals_have_no_record_and_a_genotype(accuracy: ModuleType) -> None:
    scenario = accuracy.Scenario(
        "small", animals=600, years=6, chromosomes=2, markers=50, qtl=10, reference=80, young=20
    )
    replicate = accuracy.simulate(scenario, 3)
    ids = replicate.genotypes.ids
    assert ids[80:].equals(replicate.young["id"], check_names=False)
    recorded = replicate.records["animal"]
    assert ids[:80].is_in(recorded.implode()).all()
    assert not ids[80:].is_in(recorded.implode()).any()


def test_the_table_has_means_errors_and_gains_within_replicates(accuracy: ModuleType) -> None:
    found = {
        "pedigree BLUP": [accuracy.Found(0.3, 1.0), accuracy.Found(0.5, 0.9)],
        "GBLUP": [accuracy.Found(0.5, 1.1), accuracy.Found(0.7, 1.1)],
    }
    lines = accuracy.accuracy_table(found).splitlines()
    assert lines[2] == "| pedigree BLUP | 0.400 ± 0.100 |  | 0.950 ± 0.050 |"
    assert lines[3] == "| GBLUP | 0.600 ± 0.100 | 0.200 ± 0.000 | 1.100 ± 0.000 |"


def test_the_script_writes_its_tables(accuracy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = accuracy.Scenario("Small", animals=600, years=6, chromosomes=2, markers=200, reference=60, young=20)
    monkeypatch.setattr(accuracy, "SCENARIOS", (small,))
    accuracy.main(["--replicates", "1", "--output", str(tmp_path / "table.md")])
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "## Small\n\n600 animals, 60 genotyped" in text
    assert text.count("\n| ") == 5


def test_a_case_is_made_once_and_is_what_it_says(data: ModuleType) -> None:
    case = data.GenomicCase(2_000, 200, 300, chromosomes=3)
    made = data.genomic_data(case)
    written = (case.folder / "genotypes.bed").stat().st_mtime_ns
    again = data.genomic_data(case)
    assert (case.folder / "genotypes.bed").stat().st_mtime_ns == written
    assert [path.name for path in case.folder.parent.iterdir()] == [case.folder.name]
    assert again.genotypes.shape == made.genotypes.shape == (200, 300)
    assert made.genotypes.location.startswith("mapped from")
    assert made.pedigree.height == made.truth.height == 2_000
    recorded = set(made.records["animal"])
    young = [animal for animal in made.genotypes.ids if int(animal[2:]) > 1925]  # of the last 75
    assert 50 < len(young) <= 75
    assert not recorded & set(young)
    sires = made.pedigree["sire"].drop_nulls().unique()
    assert sires.is_in(made.genotypes.ids.implode()).sum() > 10


def test_chosen_animals_are_all_different(data: ModuleType) -> None:
    population = simulate_pedigree(PedigreeOptions(animals=2_000))
    for wanted in (50, 200, 900):
        chosen = data.chosen_animals(population, wanted)
        assert chosen.size == np.unique(chosen).size == wanted


def test_records_of_a_case_rest_on_its_truth(data: ModuleType) -> None:
    case = data.GenomicCase(2_000, 50, 300, chromosomes=3, seed=9)
    made = data.genomic_data(case)
    assert np.isclose(made.truth["breeding_value"].std() ** 2, data.RECORDS.genetic_variance, rtol=0.5)
    both = made.records.join(made.truth, left_on="animal", right_on="id")
    y, u = (pl.col(name) - pl.col(name).mean().over("contemporary_group") for name in ("y", "breeding_value"))
    slope = both.select((y * u).sum() / (u * u).sum()).item()
    assert slope == pytest.approx(1.0, abs=0.2)
    assert bb.Pedigree.from_frame(made.pedigree).ids.equals(made.truth["id"], check_names=False)
