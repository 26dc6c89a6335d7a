"""The benchmarks of models and of REML run, their data are what they are said to be, and their verdicts can go against them."""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import EXACT
from numpy.testing import assert_allclose

import breedblup as bb
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


@pytest.fixture
def reml(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script of REML, small, with its runs in this process and floors of one."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script, one_run, floor, growth = (
        importlib.import_module(name) for name in ("reml", "own_reml", "floor", "reml_growth")
    )

    def run_here(_: Path, folder: str, name: str, *kind: str) -> Any:
        return (one_run.planned if kind else one_run.measure)(Path(folder), name)

    monkeypatch.setattr(script, "run_in_child", run_here)
    monkeypatch.setattr(script, "measure_floors", lambda: floor.Floors(*[1e9] * 7))
    for name, sizes in (("FEW_SIRES", (300,)), ("RANDOM_MATING", (300,)), ("GROUPS", (300,))):
        monkeypatch.setattr(script, name, sizes)
    monkeypatch.setattr(script, "SLOPE_ROWS", 600)
    monkeypatch.setattr(one_run, "SHORT", 0.0)
    monkeypatch.setattr(one_run, "SETTLE", 0.0)
    monkeypatch.delitem(growth.SERIES, "random")
    for name, series in growth.SERIES.items():
        monkeypatch.setitem(growth.SERIES, name, replace(series, sizes=(200, 300)))
    return script


def test_reml_script_tells_of_animals_groups_and_growth(reml: ModuleType, tmp_path: Path) -> None:
    written = tmp_path / "reml.md"
    reml.main(["--parts", "animals", "groups", "growth", "--repeats", "1", "--output", str(written)])
    text = written.read_text(encoding="utf-8")
    for title in ("Aims", "Animal models", "Beside the R packages for animal models", "How cost grows"):
        assert f"## {title}\n" in text
    assert "300 animals, 2 % of the males are sires" in text
    assert "refused" not in text
    assert "not fitted" not in text
    assert "(reml_growth.svg)" in text
    assert "random slopes, no pedigree: n^" in (tmp_path / "reml_growth.svg").read_text(encoding="utf-8")


def test_reml_script_plans_what_is_too_large_to_fit(reml: ModuleType, tmp_path: Path) -> None:
    written = tmp_path / "reml.md"
    reml.main(["--parts", "animals", "--most-flops", "1", "--output", str(written)])
    rows = {line.split(" | ")[0].strip("| "): line for line in written.read_text(encoding="utf-8").splitlines()}
    assert rows["**total, s**"].count("not fitted") == 2
    assert "not fitted" not in rows["entries of L"]
    assert rows["records"] == "| records | 300 | 300 |"


def test_reml_script_says_why_a_peer_failed(reml: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reml.Peers, "installed", lambda *_: reml.Peers("no package manager", "no index", tmp_path, 1.0))
    written = tmp_path / "reml.md"
    reml.main(["--parts", "examples", "--repeats", "1", "--output", str(written)])
    text = written.read_text(encoding="utf-8")
    assert "lme4's own data: failed: no package manager" in text
    (line,) = (line for line in text.splitlines() if line.startswith("| Random slopes, 600 records |"))
    assert "failed: no package manager" in line
    assert "failed: no index" in line


def test_reason_of_a_failure_is_one_line(reml: ModuleType) -> None:
    peers = importlib.import_module("reml_peers")
    assert "no-such-program" in peers._measured(["no-such-program"], 1.0)["failed"]
    wrong = [sys.executable, "-c", "import sys; sys.exit('a reason\\n---')"]
    assert re.fullmatch(r"python\S* ended with 1: a reason", peers._measured(wrong, 30.0)["failed"])
    late = peers._measured([sys.executable, "-c", "import time; time.sleep(30)"], 0.5)
    assert late == {"failed": "no result within 0 s"}


def test_fixed_effects_in_treatment_contrasts_are_those_of_generalised_least_squares(reml: ModuleType) -> None:
    random, fixed = np.random.default_rng(5), importlib.import_module("reml_fixed")
    a, b, g, x = random.integers(3, size=90), random.integers(2, size=90), np.arange(90) // 6, random.normal(size=90)
    y = a + 2.0 * a * b + x + random.normal(size=15)[g] + random.normal(size=90)
    names = {"a": [f"a{k}" for k in a], "b": [f"b{k}" for k in b], "g": [f"g{k}" for k in g]}
    records = pl.DataFrame({**names, "x": x, "y": y})
    fit = bb.estimate_variances(bb.Model.from_formula("y ~ a * b + x + (1 | g)"), records)
    of_a, of_b = np.eye(3)[a][:, 1:], np.eye(2)[b][:, 1:]
    coded = np.column_stack([np.ones(90), of_a, of_b, of_a * of_b, x])
    v = fit.variances["g"] * (g[:, None] == g) + fit.variances.residual * np.eye(90)
    information = coded.T @ np.linalg.solve(v, coded)
    expected = np.linalg.solve(information, coded.T @ np.linalg.solve(v, y))
    estimates, errors = fixed.in_coding(fixed.fixed_effects(fit), records, range(90), coded)
    assert_allclose(estimates, expected, rtol=1e-9)
    assert_allclose(errors, np.sqrt(np.diag(np.linalg.inv(information))), rtol=1e-9)


def test_differences_from_lme4_are_on_the_scale_of_the_variances(reml: ModuleType) -> None:
    agreement = importlib.import_module("reml_agreement")
    own = {"variances": {"batch:cask": [[2.0]], "s": [[4.1, 0.6], [0.6, 9.0]], "zero": [[0.2]]}, "residual": [[5.0]]}
    peer = {"variances": {"cask:batch": [[2.0]], "s": [[4.0, 0.0], [0.0, 9.0]], "zero": [[0]]}, "residual": [[5.0]]}
    found = {pair.name: pair.difference for pair in agreement._variances(own, peer)}
    expected = {"batch:cask": 0.0, "s[1,1]": 0.025, "s[2,1]": 0.1, "s[2,2]": 0.0, "zero": 0.04, "residual": 0.0}
    assert found == pytest.approx(expected, abs=EXACT)
    assert agreement.variance_difference(own, peer) == pytest.approx(0.1)


def test_aims_of_reml_can_be_missed(reml: ModuleType) -> None:
    verdict = importlib.import_module("reml_verdict")

    def fitted(total: float, a_round: float) -> dict[str, Any]:
        return {"total": total, "cpu": total, "parts": {"assembly": a_round}, "factorisation": 1.0, "records": 20_000}

    animals = {("few", 100_000): fitted(10.5, 4.1), ("random", 60_000): {"records": 60_000}}
    slow, fast = fitted(2.0, 1.0), fitted(0.5, 1.0)
    found = verdict.aims(animals, {"slopes": fitted(1.0, 3.9)}, {"InstEval": (slow, fast)}, {5_000: fast})
    assert [aim.met for aim in found] == [False, True, False, False, False, True]
    unmeasured = verdict.aims({}, {}, {}, {5_000: {}})
    assert [aim.met for aim in unmeasured] == [None, None, None]
    assert verdict.aims_table(found).count("**MISSED**") == 4


def test_exponent_is_that_of_the_largest_sizes(reml: ModuleType) -> None:
    growth = importlib.import_module("reml_growth")
    sizes = [1_000, 10_000, 20_000, 40_000]
    assert growth.exponent(sizes, [99.0, *(3.0 * n**1.5 for n in sizes[1:])]) == pytest.approx(1.5)
    assert np.isnan(growth.exponent([1_000], [1.0]))


def test_populations_of_reml_are_mated_as_stated(reml: ModuleType) -> None:
    data = importlib.import_module("reml_data")
    few, every = (simulate_pedigree(make(20_000)) for make in (data.few_sires, data.random_mating))
    males = [np.count_nonzero(one.sex == data.MALE) for one in (few, every)]
    sires = [np.unique(one.sire[one.sire >= 0]).size for one in (few, every)]
    assert 0.015 < sires[0] / males[0] <= 0.02
    assert sires[1] / males[1] > 0.6
    assert np.array_equal(every.sire < 0, every.dam < 0)
    assert np.mean(every.sire < 0) == pytest.approx(0.25, abs=0.001)


def test_records_of_reml_have_the_variances_of_their_models(reml: ModuleType) -> None:
    data = importlib.import_module("reml_data")
    animals = data.simulate_animals(data.few_sires(40_000)).records
    assert within_groups(animals, "y", "sex").var() == pytest.approx(data.GENETIC + data.RESIDUAL, rel=SAMPLING)
    slopes = data.simulate_slopes(60_000).records
    assert slopes["g"].value_counts()["count"].unique().to_list() == [data.ROWS_PER_GROUP]
    x, y = slopes["x"].to_numpy(), slopes["y"].to_numpy()
    variance = data.SLOPE_COVARIANCE[0, 0] + data.SLOPE_COVARIANCE[1, 1] / 3.0 + data.SLOPE_RESIDUAL
    assert np.var(y - 50.0 - 2.0 * x) == pytest.approx(variance, rel=SAMPLING)
    coded = data.simulate_groups(5_000)
    assert len(coded.records) == pytest.approx(0.582 * 5_000, rel=SAMPLING)


def test_forms_of_single_step_agree_and_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("BREEDBLUP_BENCHMARKS", str(tmp_path))
    script, one_run, data = (importlib.import_module(name) for name in ("genomic", "own_genomic", "genomic_data"))
    small = data.GenomicCase(1_000, 120, 300, chromosomes=2)
    monkeypatch.setitem(data.CASES, "tiny", small)

    def run_here(_: Path, name: str, kind: str, file: str) -> Any:
        return one_run.measure(data.CASES[name], kind, file)

    monkeypatch.setattr(script, "run_in_child", run_here)
    kinds = ["pedigree", "explicit", "factor", "components", "markers"]
    runs, differences = script.measured_case("tiny", kinds)
    assert max(differences[kind] for kind in kinds[1:]) < 2e-6
    assert differences["pedigree"] > 0.01
    told = script.table("tiny", runs | {"apy": {"refused": "no memory"}}, differences)
    assert "## 1,000 animals, 120 genotyped at 300 markers" in told
    assert "| explicit, CHOLMOD with PEV | direct |" in told
    assert "| refused: no memory |" in told
