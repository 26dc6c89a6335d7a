"""Simulated pedigrees and records have the structure that was asked for, and are the same for the same seed."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import reference
from conftest import EXACT
from numpy.testing import assert_allclose, assert_array_equal

from breedblup.errors import ModelError
from breedblup.kernels.inbreeding import NO_CLASSES, half_relationship_of_parents
from breedblup.simulation import (
    FEMALE,
    MALE,
    PedigreeOptions,
    RecordOptions,
    SimulatedPedigree,
    drop_breeding_values,
    simulate_pedigree,
    simulate_records,
    text_ids,
)

DAIRY = Path(__file__).parent.parent / "data" / "dairy"
POPULATION = PedigreeOptions(animals=40_000)
OFFSPRING_FROM = POPULATION.first_year + POPULATION.dam_ages[1]
REPEATED = RecordOptions(permanent_environment=0.2, parity_effects=(0.0, 10.0, 15.0), females_only=True)


@pytest.fixture(scope="module")
def pedigree() -> SimulatedPedigree:
    """One population for all tests that only look."""
    return simulate_pedigree(POPULATION)


def inbreeding_of(pedigree: SimulatedPedigree) -> np.ndarray[Any, np.dtype[np.float64]]:
    """F of every animal."""
    inbreeding = np.zeros(len(pedigree))
    half_relationship_of_parents(pedigree.sire, pedigree.dam, NO_CLASSES, inbreeding, inbreeding, 0)
    return inbreeding


# --- pedigrees --------------------------------------------------------------------------------------------------------


def test_parents_stand_before_their_offspring(pedigree: SimulatedPedigree) -> None:
    rows = np.arange(len(pedigree))
    assert np.all(pedigree.sire < rows)
    assert np.all(pedigree.dam < rows)


def test_parents_have_a_breeding_age_and_generations_overlap(pedigree: SimulatedPedigree) -> None:
    for parents, ages in ((pedigree.sire, POPULATION.sire_ages), (pedigree.dam, POPULATION.dam_ages)):
        known = parents >= 0
        age = pedigree.birth_year[known] - pedigree.birth_year[parents[known]]
        assert_array_equal(np.unique(age), np.arange(ages[0], ages[1] + 1))


def test_sires_are_males_and_dams_are_females(pedigree: SimulatedPedigree) -> None:
    assert np.all(pedigree.sex[pedigree.sire[pedigree.sire >= 0]] == MALE)
    assert np.all(pedigree.sex[pedigree.dam[pedigree.dam >= 0]] == FEMALE)


def test_share_of_males_used_and_of_females_that_become_dams(pedigree: SimulatedPedigree) -> None:
    old_enough = pedigree.birth_year < pedigree.birth_year[-1] - POPULATION.dam_ages[1]
    for parents, sex, low, high in ((pedigree.sire, MALE, 0.012, 0.018), (pedigree.dam, FEMALE, 0.4, 0.51)):
        used = np.zeros(len(pedigree), dtype=bool)
        used[parents[parents >= 0]] = True
        assert low < used[old_enough & (pedigree.sex == sex)].mean() < high


def test_founders_have_no_parents_and_others_miss_a_few(pedigree: SimulatedPedigree) -> None:
    founders = pedigree.birth_year < OFFSPRING_FROM
    assert founders.sum() == POPULATION.animals * POPULATION.founder_share
    for parents in (pedigree.sire, pedigree.dam):
        assert np.all(parents[founders] == -1)
        assert 0.025 < np.mean(parents[~founders] < 0) < 0.035


def test_without_missing_parents_all_are_known() -> None:
    pedigree = simulate_pedigree(replace(POPULATION, missing_parents=0.0))
    young = pedigree.birth_year >= OFFSPRING_FROM
    assert np.all(pedigree.sire[young] >= 0)
    assert np.all(pedigree.dam[young] >= 0)


def test_a_dam_has_at_most_one_offspring_a_year_while_dams_suffice(pedigree: SimulatedPedigree) -> None:
    known = pedigree.dam >= 0
    litters = np.unique(np.column_stack((pedigree.dam[known], pedigree.birth_year[known])), axis=0)
    assert litters.shape[0] == known.sum()


def test_some_sires_are_popular(pedigree: SimulatedPedigree) -> None:
    progeny = np.bincount(pedigree.sire[pedigree.sire >= 0])
    progeny = progeny[progeny > 0]
    assert progeny.max() > 3 * progeny.mean()
    assert np.median(progeny) < progeny.mean()


def test_inbreeding_accumulates_slowly(pedigree: SimulatedPedigree) -> None:
    inbreeding = inbreeding_of(pedigree)
    youngest = inbreeding[pedigree.birth_year == pedigree.birth_year[-1]].mean()
    middle = inbreeding[pedigree.birth_year == OFFSPRING_FROM + 10].mean()
    assert 0 < middle < youngest < 0.05


def test_cohorts_differ_by_one_animal_at_most() -> None:
    pedigree = simulate_pedigree(PedigreeOptions(animals=10_007))
    years, sizes = np.unique(pedigree.birth_year, return_counts=True)
    assert_array_equal(np.diff(years), 1)
    founder_years = years < OFFSPRING_FROM
    assert np.ptp(sizes[founder_years]) <= 1
    assert np.ptp(sizes[~founder_years]) <= 1
    assert sizes.sum() == 10_007


def test_the_same_seed_gives_the_same_population_and_another_seed_another(pedigree: SimulatedPedigree) -> None:
    again, other = simulate_pedigree(POPULATION), simulate_pedigree(replace(POPULATION, seed=99))
    for name in ("sire", "dam", "sex", "birth_year"):
        assert_array_equal(getattr(again, name), getattr(pedigree, name))
    assert not np.array_equal(other.sire, pedigree.sire)


def test_arrays_are_small_and_read_only(pedigree: SimulatedPedigree) -> None:
    assert [a.dtype for a in (pedigree.sire, pedigree.dam, pedigree.birth_year)] == [np.int32] * 3
    assert pedigree.sex.dtype == np.int8
    with pytest.raises(ValueError, match="read-only"):
        pedigree.sire[0] = 1


def test_frame_of_a_pedigree_has_text_ids() -> None:
    parents = np.array([-1, -1, 0], dtype=np.int32)
    sex = np.array([MALE, FEMALE, MALE], dtype=np.int8)
    frame = SimulatedPedigree(
        parents, parents[[0, 1, 1]] + 0, sex, np.array([2001, 2001, 2003], dtype=np.int32)
    ).to_frame()
    assert frame.columns == ["animal", "sire", "dam", "sex", "birth_year"]
    assert frame.rows()[0] == ("UK0000001", None, None, "M", 2001)
    assert frame.rows()[2] == ("UK0000003", "UK0000001", None, "M", 2003)


def test_ids_grow_where_seven_digits_do_not_suffice() -> None:
    rows = np.array([122, -1, 12_345_677], dtype=np.int32)
    assert text_ids(rows, 12_345_678, "DK").to_list() == ["DK00000123", None, "DK12345678"]
    assert text_ids(rows[:2], 9_999_999).to_list() == ["UK0000123", None]


# --- records ----------------------------------------------------------------------------------------------------------


def test_breeding_values_follow_their_definition() -> None:
    pedigree = simulate_pedigree(PedigreeOptions(animals=300, years=12, missing_parents=0.2))
    inbreeding = inbreeding_of(pedigree)
    assert inbreeding.max() > 0
    z = np.random.default_rng(5).normal(size=(300, 2))
    sire, dam = pedigree.sire.tolist(), pedigree.dam.tolist()
    slow = reference.dropped_values(sire, dam, inbreeding.tolist(), z)
    assert_allclose(drop_breeding_values(pedigree.sire, pedigree.dam, z, inbreeding), slow, rtol=EXACT, atol=EXACT)
    assert_allclose(
        drop_breeding_values(pedigree.sire, pedigree.dam, z[:, 0], inbreeding), slow[:, 0], rtol=EXACT, atol=EXACT
    )


def test_without_inbreeding_every_f_is_zero_and_the_deviates_stay() -> None:
    pedigree = simulate_pedigree(PedigreeOptions(animals=300, years=12))
    z = np.random.default_rng(6).normal(size=300)
    before = z.copy()
    slow = reference.dropped_values(pedigree.sire.tolist(), pedigree.dam.tolist(), [0.0] * 300, z[:, None])
    assert_allclose(drop_breeding_values(pedigree.sire, pedigree.dam, z), slow[:, 0], rtol=EXACT, atol=EXACT)
    assert_array_equal(z, before)


def test_variances_are_those_asked_for(pedigree: SimulatedPedigree) -> None:
    options = RecordOptions(heritability=0.4, permanent_environment=0.25, parity_effects=(0.0, 5.0))
    records = simulate_records(pedigree, options, inbreeding_of(pedigree))
    founders = pedigree.birth_year < OFFSPRING_FROM
    assert records.breeding_value[founders].var() == pytest.approx(40.0, rel=0.05)
    assert records.permanent_environment.var() == pytest.approx(25.0, rel=0.05)
    residual = (
        records.y
        - options.mean
        - np.array(options.parity_effects)[records.parity - 1]
        - options.age_slope * (records.age - 24.0)
        - records.group_effect[records.contemporary_group]
        - (records.breeding_value + records.permanent_environment)[records.animal]
    )
    assert residual.mean() == pytest.approx(0.0, abs=0.2)
    assert residual.var() == pytest.approx(35.0, rel=0.05)
    assert (options.genetic_variance, options.permanent_environment_variance) == (40.0, 25.0)
    assert options.residual_variance == pytest.approx(35.0, rel=EXACT)
    assert records.group_effect.std() == pytest.approx(5.0, rel=0.1)


def test_share_of_animals_recorded_and_size_of_groups(pedigree: SimulatedPedigree) -> None:
    records = simulate_records(pedigree, RecordOptions())
    assert 0.58 < np.unique(records.animal).size / len(pedigree) < 0.62
    sizes = np.bincount(records.contemporary_group)
    assert 18 < sizes.mean() < 22
    assert sizes.min() > 0
    assert sizes.size == records.group_herd.size == records.group_year.size


def test_a_group_is_a_herd_in_a_year_and_an_animal_has_one_herd(pedigree: SimulatedPedigree) -> None:
    records = simulate_records(pedigree, REPEATED)
    year = records.group_year[records.contemporary_group]
    assert_array_equal(year, pedigree.birth_year[records.animal] + 1 + records.parity)
    herd = records.group_herd[records.contemporary_group]
    pairs = np.unique(np.column_stack((records.animal, herd)), axis=0)
    assert pairs.shape[0] == np.unique(records.animal).size
    labels = np.column_stack((records.group_herd, records.group_year))
    assert np.unique(labels, axis=0).shape[0] == records.group_herd.size


def test_repeated_records_of_females_count_parities_from_one(pedigree: SimulatedPedigree) -> None:
    records = simulate_records(pedigree, REPEATED)
    assert np.all(pedigree.sex[records.animal] == FEMALE)
    counts = np.bincount(records.animal)
    assert_array_equal(np.unique(counts[counts > 0]), [1, 2, 3])
    expected = np.concatenate([np.arange(1, count + 1) for count in counts[counts > 0]])
    assert_array_equal(records.parity, expected)
    assert np.all(np.diff(records.animal) >= 0)
    assert records.group_year.max() == pedigree.birth_year[-1] + 2
    assert np.all(np.abs(records.age - 12 * (records.parity + 1) - 2) <= 2)


def test_retention_decides_how_many_go_on(pedigree: SimulatedPedigree) -> None:
    early = pedigree.birth_year < OFFSPRING_FROM
    records = simulate_records(pedigree, replace(REPEATED, retention=0.5))
    counts = np.bincount(records.animal, minlength=len(pedigree))[early]
    assert 0.47 < np.mean(counts[counts > 0] >= 2) < 0.53
    assert simulate_records(pedigree, replace(REPEATED, retention=0.0)).parity.max() == 1


def test_the_same_seed_gives_the_same_records_and_another_seed_others(pedigree: SimulatedPedigree) -> None:
    first, again = simulate_records(pedigree, REPEATED), simulate_records(pedigree, REPEATED)
    other = simulate_records(pedigree, replace(REPEATED, seed=99))
    for name in ("animal", "contemporary_group", "y", "breeding_value"):
        assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(other.breeding_value, first.breeding_value)
    with pytest.raises(ValueError, match="read-only"):
        first.y[0] = 1.0


def test_frame_of_records_has_the_ids_of_the_pedigree(pedigree: SimulatedPedigree) -> None:
    records = simulate_records(pedigree, RecordOptions())
    frame = records.to_frame()
    assert frame.columns == ["animal", "contemporary_group", "parity", "age", "y"]
    assert_array_equal(frame["animal"].to_numpy(), pedigree.to_frame()["animal"].to_numpy()[records.animal])
    assert len(frame) == len(records)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sire_share": 0.0}, "sire_share is 0.0; give a share above 0, at most 1"),
        ({"dam_survival": 1.5}, "dam_survival is 1.5; give a share above 0, at most 1"),
        ({"missing_parents": 1.0}, "missing_parents is 1.0; give 0 or a share below 1"),
        ({"sire_popularity": 0.0}, "sire_popularity is 0.0; give a number above 0"),
        ({"years": 0}, "years is 0; give at least 1"),
        ({"dam_ages": (0, 8)}, r"dam_ages is \(0, 8\); give youngest, oldest, from 1"),
        ({"animals": 20}, "5 founders and 15 other animals are too few for 8 and 20 years"),
        (
            {"animals": 60, "sire_ages": (2, 2), "seed": 0},
            "no males for the year 20..; add animals",
        ),
        ({"animals": 60, "dam_ages": (2, 2), "seed": 0}, "no females for the year 20..; add animals"),
    ],
)
def test_impossible_populations_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        simulate_pedigree(PedigreeOptions(**options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"heritability": 0.7, "permanent_environment": 0.4},
            "heritability 0.7 and permanent_environment 0.4 are shares",
        ),
        ({"phenotypic_variance": 0.0}, "phenotypic_variance is 0.0; give a number above 0"),
        ({"recorded_share": 0.0}, "recorded_share is 0.0; give a share above 0, at most 1"),
        ({"recorded_share": 1e-9}, "no animal has a record; ask for more animals or a larger recorded_share"),
        ({"retention": 1.0}, "retention is 1.0; give 0 or a probability below 1"),
        ({"parity_effects": ()}, "parity_effects is empty; give one number for each parity"),
        ({"group_size": 0.5}, "group_size is 0.5; give at least 1"),
    ],
)
def test_impossible_records_are_refused(pedigree: SimulatedPedigree, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        simulate_records(pedigree, RecordOptions(**options))


# --- the example ------------------------------------------------------------------------------------------------------


def test_the_dairy_example_is_what_its_script_writes(tmp_path: Path) -> None:
    runpy.run_path(str(DAIRY / "simulate.py"))["write_example"](tmp_path)
    for name in ("pedigree.csv", "records.csv"):
        assert (tmp_path / name).read_bytes() == (DAIRY / name).read_bytes(), name


def test_the_dairy_readme_states_what_the_script_uses() -> None:
    script = runpy.run_path(str(DAIRY / "simulate.py"))
    readme = (DAIRY / "README.md").read_text(encoding="utf-8").replace("\n", " ")
    trait, population = script["TRAIT"], script["POPULATION"]
    for variance in (trait.genetic_variance, trait.permanent_environment_variance, trait.residual_variance):
        assert f"| {variance:,.0f} kg² |".replace(",", " ") in readme
    assert f"Seeds: {population.seed} (pedigree), {trait.seed} (records), {script['DAYS_SEED']} (days" in readme
    assert f"with probability {trait.retention}" in readme
    assert f"+ {trait.age_slope:g} · (age" in readme
    assert f"| {', '.join(f'{effect:g}' for effect in trait.parity_effects)} kg |" in readme
    herds = pl.read_csv(DAIRY / "records.csv")["herd_year"].str.head(3).n_unique()
    assert f"{herds} spring-calving herds" in readme


def test_calvings_fall_into_the_year_of_their_group() -> None:
    pedigree = pl.read_csv(DAIRY / "pedigree.csv", try_parse_dates=True)
    records = pl.read_csv(DAIRY / "records.csv").join(pedigree, on="animal", validate="m:1")
    calving = pl.col("birth_date") + pl.duration(days=(pl.col("age") * 30.4375).round().cast(pl.Int64))
    years = records.select(calving=calving.dt.year(), group=pl.col("herd_year").str.tail(4).cast(pl.Int32))
    assert_array_equal(years["calving"].to_numpy(), years["group"].to_numpy())
