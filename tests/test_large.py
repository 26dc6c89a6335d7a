"""A hundred thousand animals: the ways to solve agree, and no answer depends on the order of the rows."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import breedblup as bb
from breedblup.simulation import PedigreeOptions, RecordOptions, simulate_pedigree, simulate_records

ANIMALS = 100_000
LARGEST_DIFFERENCE = 1e-6
"""In genetic standard deviations; the default tolerance of PCG promises as much."""

MODEL = bb.Model.from_formula("y ~ 0 + factor(contemporary_group) + (1 | animal)")


@dataclass(frozen=True)
class Population:
    pedigree: pl.DataFrame
    records: pl.DataFrame
    variances: bb.VarianceComponents


@pytest.fixture(scope="module")
def population() -> Population:
    pedigree = simulate_pedigree(PedigreeOptions(animals=ANIMALS))
    options = RecordOptions(group_size=20.0, recorded_share=0.6)
    records = simulate_records(pedigree, options)
    variances = bb.VarianceComponents({"animal": options.genetic_variance}, residual=options.residual_variance)
    return Population(pedigree.to_frame(), records.to_frame(), variances)


def solved(population: Population, method: str) -> bb.Evaluation:
    return bb.evaluate(
        MODEL,
        population.records,
        population.variances,
        relationships={"animal": bb.read_pedigree(population.pedigree)},
        options=bb.EvaluateOptions(method=method, pev="none"),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def by_factor(population: Population) -> bb.Evaluation:
    return solved(population, "cholesky")


@pytest.fixture(scope="module")
def by_iteration(population: Population) -> bb.Evaluation:
    return solved(population, "pcg")


def largest_difference(one: bb.Evaluation, other: bb.Evaluation) -> float:
    """Of the EBVs of the same animals, in genetic standard deviations √((1 + F) σ²a)."""
    both = one.ebv.select("id", "ebv", "inbreeding").join(other.ebv.select("id", "ebv"), on="id", validate="1:1")
    assert both.height == one.ebv.height == other.ebv.height
    deviation = np.sqrt((1.0 + both["inbreeding"].to_numpy()) * float(one.variances.matrix("animal")[0, 0]))
    return float(np.max(np.abs((both["ebv"] - both["ebv_right"]).to_numpy()) / deviation))


def test_the_population_is_what_it_should_be(population: Population, by_factor: bb.Evaluation) -> None:
    records = population.records
    assert population.pedigree.height == by_factor.ebv.height == ANIMALS
    assert records["animal"].n_unique() == pytest.approx(0.6 * ANIMALS, rel=0.02)
    assert records.height / records["contemporary_group"].n_unique() == pytest.approx(20, rel=0.1)
    assert (by_factor.ebv["inbreeding"] > 0).sum() > ANIMALS / 100
    assert by_factor.ebv["ebv"].std() > 0.1 * float(np.sqrt(population.variances.matrix("animal")[0, 0]))


def test_factor_and_iteration_agree(by_factor: bb.Evaluation, by_iteration: bb.Evaluation) -> None:
    assert (by_factor.solution.method, by_iteration.solution.method) == ("cholesky", "pcg")
    assert by_iteration.solution.tolerance == bb.PcgOptions().tolerance
    difference = largest_difference(by_iteration, by_factor)
    assert 0 < difference <= LARGEST_DIFFERENCE
    bound = by_iteration.solution.rounds[-1].error_bound
    assert bound is not None
    assert difference <= bound <= by_iteration.solution.tolerance


@pytest.mark.parametrize("method", ["cholesky", "pcg"])
def test_permuted_rows_permute_the_answers(population: Population, by_factor: bb.Evaluation, method: str) -> None:
    shuffled = Population(
        population.pedigree.sample(fraction=1.0, shuffle=True, seed=3),
        population.records.sample(fraction=1.0, shuffle=True, seed=4),
        population.variances,
    )
    evaluation = solved(shuffled, method)
    assert evaluation.ebv["id"].equals(shuffled.pedigree["animal"].rename("id"))
    assert not evaluation.ebv["id"].equals(by_factor.ebv["id"])
    assert largest_difference(evaluation, by_factor) <= LARGEST_DIFFERENCE
    counts = pl.concat([by_factor.ebv, evaluation.ebv]).group_by("id").agg(pl.col("inbreeding", "records").n_unique())
    assert counts["inbreeding"].max() == 1
    assert counts["records"].max() == 1
    effects = by_factor.fixed.join(evaluation.fixed, on=["term", "level"], validate="1:1")
    assert effects.height == by_factor.fixed.height == evaluation.fixed.height
    np.testing.assert_allclose(effects["estimate"], effects["estimate_right"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "animals"),
    [
        ("two_traits", ANIMALS),
        ("maternal", ANIMALS),
        ("four_traits", ANIMALS // 5),
        ("random_regression", ANIMALS // 5),
    ],
)
def test_factor_iteration_and_elimination_agree(name: str, animals: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The models of the benchmark, which compares all of them at a hundred thousand animals."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    case, one_run = importlib.import_module("model_data").MODELS[name], importlib.import_module("own_model")
    population = simulate_pedigree(PedigreeOptions(animals=animals))
    pedigree, records = population.to_frame().select("animal", "sire", "dam"), case.simulate(population)
    found = {
        kind: one_run.run(case, pedigree, records, one_run.OPTIONS[kind])[1] for kind in ("cholesky", "pcg", "reduced")
    }
    deviates = {kind: one_run.prior_deviates(result) for kind, result in found.items()}
    for kind in ("pcg", "reduced"):
        bound = found[kind].solution.rounds[-1].error_bound
        assert bound is not None
        assert 0 < np.abs(deviates[kind] - deviates["cholesky"]).max() <= bound <= LARGEST_DIFFERENCE
    assert found["reduced"].plan.equations < found["pcg"].plan.equations == found["cholesky"].plan.equations
