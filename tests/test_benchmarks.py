"""The benchmark of models runs, its data are what they are said to be, and its verdict can go against it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import EXACT
from numpy.testing import assert_allclose

from breedblup.design.basis import basis_values
from breedblup.model import Basis
from breedblup.simulation import PedigreeOptions, SimulatedPedigree, simulate_pedigree

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SAMPLING = 0.06
"""Relative, of variances of some ten thousand records."""


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with its runs in this process and floors of one."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script, one_run, floor = (importlib.import_module(name) for name in ("models", "own_model", "floor"))

    def run_here(_: Path, folder: str, name: str, kind: str) -> Any:
        return one_run.measure(Path(folder), name, kind)

    monkeypatch.setattr(script, "run_in_child", run_here)
    monkeypatch.setattr(script, "measure_floors", lambda: floor.Floors(*[1e9] * 7))
    return script


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The data of the script."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("model_data")


@pytest.fixture(scope="module")
def pedigree() -> SimulatedPedigree:
    """One population for all tests."""
    return simulate_pedigree(PedigreeOptions(animals=40_000))


def within_groups(frame: pl.DataFrame, column: str, group: str) -> pl.Series:
    """Deviations from the means of groups of two or more, with the variance that the records have in their groups."""
    size, value = pl.len().over(group), pl.col(column)
    deviation = (value - value.mean().over(group)) * (size / (size - 1)).sqrt()
    return frame.drop_nulls([column, group]).filter(size > 1).select(deviation).to_series()


def test_script_finds_that_pcg_and_cholmod_agree(models: ModuleType, tmp_path: Path) -> None:
    written = tmp_path / "models.md"
    models.main(["--animals", "500", "--repeats", "1", "--output", str(written)])
    text = written.read_text(encoding="utf-8")
    assert text.count("| pass |") == 4
    assert "refused" not in text
    for case in models.MODELS.values():
        assert f"## {case.title}\n" in text


def test_script_says_where_a_factor_does_not_fit(
    models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("cholesky", "exact"):
        little = replace(models.OPTIONS[kind], memory_bytes=2**18)
        monkeypatch.setitem(models.OPTIONS, kind, little)
    written = tmp_path / "models.md"
    models.main(["--animals", "500", "--models", "maternal", "--repeats", "1", "--output", str(written)])
    text = written.read_text(encoding="utf-8")
    assert "| no factor | no factor | not compared |" in text
    assert "\nCHOLMOD: coding the records for the equations would take" in text
    assert "\nCHOLMOD, PEV: coding the records for the equations would take" in text


def test_difference_above_the_requirement_fails(models: ModuleType) -> None:
    assert models._verdict([1e-7, 1.1e-6]) == "**FAILS**"
    assert models._verdict([1e-7, 1e-6]) == "pass"


def test_traits_are_missing_as_stated_and_have_the_covariances_of_the_model(
    data: ModuleType, pedigree: SimulatedPedigree
) -> None:
    frame = data.simulate_traits(pedigree, (0, 1, 2, 3))
    recorded = 0.6 * len(pedigree)
    genetic, residual = data.trait_covariances((0, 1, 2, 3))
    for k, trait in enumerate(data.TRAITS):
        group = frame[f"{trait}_group"]
        assert group.is_null().equals(frame[trait].is_null())
        present = 0.7 * (0.9 if k < 2 else 1.0)
        assert frame[trait].drop_nulls().len() == pytest.approx(present * recorded, rel=SAMPLING)
        found = within_groups(frame, trait, f"{trait}_group").var()
        assert found == pytest.approx(genetic[k, k] + residual[k, k], rel=SAMPLING)
    assert not frame.select(pl.all_horizontal(pl.col(data.TRAITS).is_null()).any()).item()
    both = frame.drop_nulls(["weaning", "yearling"])
    assert both.select(["weaning_group", "yearling_group"]).n_unique() > 1.5 * both["weaning_group"].n_unique()
    deviations = both.select(pl.col(t) - pl.col(t).mean().over(f"{t}_group") for t in ("weaning", "yearling"))
    expected = (genetic + residual)[1, 2] / np.sqrt(np.prod(np.diag(genetic + residual)[1:3]))
    assert deviations.select(pl.corr("weaning", "yearling")).item() == pytest.approx(expected, abs=0.03)


def test_maternal_records_have_the_variance_of_the_model(data: ModuleType, pedigree: SimulatedPedigree) -> None:
    frame = data.simulate_maternal(pedigree)
    (direct, covariance), (_, maternal) = data.maternal_covariance()
    assert covariance == pytest.approx(-0.3 * np.sqrt(30.0 * 15.0))
    expected = direct + covariance + maternal + data.MATERNAL_ENVIRONMENT + data.MATERNAL_RESIDUAL
    assert within_groups(frame, "weaning", "group").var() == pytest.approx(expected, rel=SAMPLING)
    assert frame["dam"].null_count() == 0


def test_test_days_follow_the_basis_of_the_model(data: ModuleType, pedigree: SimulatedPedigree) -> None:
    frame = data.simulate_test_days(pedigree)
    days = frame["dim"].to_numpy()
    basis = data.legendre(days)
    assert_allclose(basis, basis_values(Basis("legendre", 2, 5, 305), days), rtol=EXACT, atol=EXACT)
    assert 5 <= days.min() <= days.max() <= 305
    assert frame["animal"].value_counts()["count"].mean() == pytest.approx(8.0, rel=0.02)
    of_animal = data.GENETIC_CURVE + data.PERMANENT_CURVE
    expected = np.mean(np.sum(basis @ of_animal * basis, axis=1)) + data.TEST_DAY_RESIDUAL
    centred = frame.with_columns(milk=pl.col("milk") - pl.Series(basis @ np.array(data.CURVE)))
    assert within_groups(centred, "milk", "herd_test_day").var() == pytest.approx(expected, rel=SAMPLING)
