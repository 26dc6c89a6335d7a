"""What describes a pedigree, against plain loops and dense matrices."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import ancestors_by_generation, chosen_ancestors, contributions_to, random_pedigree, tabular_a

from breedblup.errors import PedigreeError
from breedblup.pedigree import (
    Pedigree,
    PedigreeColumns,
    ancestor_contributions,
    completeness_by_depth,
    completeness_index,
    contributions,
    describe,
    effective_population_sizes,
    equivalent_generations,
    family_size_distribution,
    family_sizes,
    founder_contributions,
    generation_interval,
    generation_intervals,
    generation_intervals_by_year,
    generations_of,
    genetic_contributions,
    inbreeding_by_year,
    mean_coancestry,
    parents_by_year,
    reference_population,
)

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(2, 30)
SPANS = st.integers(2, 12)


def pedigree_of(sire: Any, dam: Any, **columns: Any) -> Pedigree:
    """A pedigree of animals 0, 1, …, whose order is kept."""
    frame = pl.DataFrame(
        {
            "id": [str(i) for i in range(len(sire))],
            "sire": [str(s) if s >= 0 else "" for s in sire],
            "dam": [str(d) if d >= 0 else "" for d in dam],
            **columns,
        }
    )
    return Pedigree.from_frame(frame, missing_parents=[""])


def random_case(seed: int, n: int, span: int) -> tuple[Pedigree, list[int], list[int], list[int]]:
    """A pedigree with sire, dam and some of its animals as a reference."""
    rng = np.random.default_rng(seed)
    sire, dam = random_pedigree(rng, n, span)
    members = np.sort(rng.choice(n, rng.integers(1, n + 1), replace=False))
    return pedigree_of(sire, dam), sire.tolist(), dam.tolist(), members.tolist()


def names(rows: list[int]) -> list[str]:
    return [str(row) for row in rows]


def born_pedigree(seed: int = 3, n: int = 60) -> tuple[Pedigree, list[int], list[int], list[int], list[str]]:
    """A pedigree with birth years and sexes, some of both unknown; parents are of the right sex and some years older."""
    rng = np.random.default_rng(seed)
    years = np.sort(rng.integers(2000, 2012, n))
    sexes = rng.choice(["M", "F"], n)
    sire, dam = [-1] * n, [-1] * n
    for i in range(n):
        for sex, parent in (("M", sire), ("F", dam)):
            older = np.flatnonzero((sexes == sex) & (years < years[i] - 1))
            if older.size and rng.random() < 0.9:
                parent[i] = int(rng.choice(older))
    shown = [str(sex) if rng.random() < 0.8 else "" for sex in sexes]
    known = [int(year) if rng.random() < 0.95 else None for year in years]
    pedigree = pedigree_of(sire, dam, sex=shown, birth_year=known)
    return pedigree, sire, dam, [-1 if year is None else year for year in known], shown


# --- generations and completeness ---------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 14), SPANS)
def test_generations_and_completeness(seed: int, n: int, span: int) -> None:
    pedigree, sire, dam, members = random_case(seed, n, span)
    found = generations_of(pedigree)
    lists = [
        ancestors_by_generation(i, sire, dam, n) if n < 9 else ancestors_by_generation(i, sire, dam, 13)
        for i in range(n)
    ]
    for i, generations in enumerate(lists):
        known = [[j >= 0 for j in generation] for generation in generations]
        assert found.most[i] == max(g for g, of in enumerate(known) if any(of))
        assert found.full[i] == max(g for g in range(len(known)) if all(map(all, known[: g + 1])))
        assert found.equivalent[i] == pytest.approx(sum(sum(of) / 2**g for g, of in enumerate(known) if g), abs=1e-14)
    np.testing.assert_array_equal(equivalent_generations(pedigree), found.equivalent)
    table = completeness_by_depth(pedigree, names(members))
    assert table["generation"].to_list() == list(range(1, int(found.most[members].max()) + 1))
    for depth in range(1, min(table.height, 5) + 1):
        share = np.mean([np.mean(np.array(lists[i][depth]) >= 0) for i in members])
        assert table["known"][depth - 1] == pytest.approx(share, abs=1e-14)
        index = [maccluer(lists[i], depth) for i in range(n)]
        np.testing.assert_allclose(completeness_index(pedigree, depth=depth), index, atol=1e-14)
        assert table["index"][depth - 1] == pytest.approx(np.mean([index[i] for i in members]), abs=1e-14)


def maccluer(generations: list[list[int]], depth: int) -> float:
    """4 I_s I_d / (I_s + I_d), I the mean over generations of known ancestors on one side among all 2^g."""
    sides = []
    for part in (0, 1):
        shares = []
        for g in range(1, depth + 1):
            half = 2 ** (g - 1)
            side = generations[g][part * half : (part + 1) * half]
            shares.append(sum(j >= 0 for j in side) / 2**g)
        sides.append(np.mean(shares))
    return float(4 * sides[0] * sides[1] / sum(sides)) if sum(sides) else 0.0


def test_generations_by_hand() -> None:
    """2 = 0 × 1, 3 = 0 × ?, 4 = 2 × 3."""
    found = generations_of(pedigree_of([-1, -1, 0, 0, 2], [-1, -1, 1, -1, 3]))
    assert found.most.tolist() == [0, 0, 1, 1, 2]
    assert found.full.tolist() == [0, 0, 1, 0, 1]
    assert found.equivalent.tolist() == [0.0, 0.0, 1.0, 0.5, 1.75]


def test_depth() -> None:
    pedigree = pedigree_of([-1, -1, 0], [-1, -1, 1])
    assert completeness_by_depth(pedigree, ["2"], depth=3)["known"].to_list() == [1.0, 0.0, 0.0]
    for wrong in (0, -2):
        message = f"pedigree: completeness over {wrong} generations is asked for -> give 1 or more"
        with pytest.raises(PedigreeError, match=message):
            completeness_by_depth(pedigree, depth=wrong)
        with pytest.raises(PedigreeError, match=message):
            completeness_index(pedigree, depth=wrong)


# --- contributions ------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(SEEDS, SIZES, SPANS)
def test_contributions_of_founders(seed: int, n: int, span: int) -> None:
    pedigree, sire, dam, members = random_case(seed, n, span)
    of_all = contributions_to(members, sire, dam)
    np.testing.assert_allclose(genetic_contributions(pedigree, names(members)), of_all, atol=1e-13)
    full_sire, full_dam, unknown = list(sire), list(dam), []
    for i in range(n):  # unknown parents beside a known one become animals
        if (sire[i] < 0) != (dam[i] < 0):
            (full_sire if sire[i] < 0 else full_dam)[i] = n + len(unknown)
            unknown.append((str(i), "sire" if sire[i] < 0 else "dam"))
    order = np.argsort([*(2 * i + 1 for i in range(n)), *(2 * int(i) for i, _ in unknown)], kind="stable")
    new = np.append(np.argsort(order), -1)
    sorted_sire, sorted_dam = ([int(new[p[j]]) if j < n else -1 for j in order] for p in (full_sire, full_dam))
    shares = contributions_to([int(new[i]) for i in members], sorted_sire, sorted_dam)[new[:-1]]
    expected = {(str(i), None): shares[i] for i in range(n) if sire[i] < 0 and dam[i] < 0 and shares[i] > 0}
    expected |= {key: shares[n + k] for k, key in enumerate(unknown) if shares[n + k] > 0}
    found = founder_contributions(pedigree, names(members))
    table = found.table
    assert {(a, b): c for a, b, c, _ in table.iter_rows()} == pytest.approx(expected, abs=1e-13)
    assert table["contribution"].is_sorted(descending=True)
    assert table["cumulated"][-1] == pytest.approx(1.0, abs=1e-12)
    assert found.founders + found.unknown_parents == len(expected)
    assert found.effective == pytest.approx(1 / sum(p**2 for p in expected.values()), rel=1e-12)
    a = tabular_a(sire, dam)
    mean = a[np.ix_(members, members)].mean() / 2
    assert mean_coancestry(pedigree, names(members)) == pytest.approx(mean, rel=1e-12)
    assert found.genomes == pytest.approx(1 / (2 * mean), rel=1e-12)


@settings(max_examples=60)
@given(SEEDS, SIZES, SPANS)
def test_contributions_of_ancestors(seed: int, n: int, span: int) -> None:
    pedigree, sire, dam, members = random_case(seed, n, span)
    chosen, marginal = chosen_ancestors(members, sire, dam)
    found = ancestor_contributions(pedigree, names(members))
    assert found.table["id"].to_list() == names(chosen)
    np.testing.assert_allclose(found.table["marginal"], marginal, atol=1e-13)
    np.testing.assert_allclose(found.table["contribution"], contributions_to(members, sire, dam)[chosen], atol=1e-13)
    assert found.explained == 1.0
    assert found.effective == pytest.approx(1 / sum(p**2 for p in marginal), rel=1e-12)
    assert found.bounds == (found.effective, found.effective)
    for limit in range(1, len(chosen)):
        early = ancestor_contributions(pedigree, names(members), limit=limit)
        assert early.table["id"].to_list() == names(chosen[:limit])
        assert early.explained == pytest.approx(sum(marginal[:limit]), rel=1e-12)
        low, high = early.bounds
        assert low == early.effective
        assert low * (1 - 1e-12) <= found.effective <= high * (1 + 1e-12)


def test_ancestors_of_a_bottleneck_by_hand() -> None:
    """Founders 0 to 3, sire 4 = 0 × 1 with three mates, 5 and 6 = 4 × 2, 7 = 4 × 3: the sire explains half."""
    pedigree = pedigree_of([-1, -1, -1, -1, 0, 4, 4, 4], [-1, -1, -1, -1, 1, 2, 2, 3])
    reference = ["5", "6", "7"]
    founders = founder_contributions(pedigree, reference)
    assert dict(founders.table.select("id", "contribution").iter_rows()) == pytest.approx(
        {"0": 1 / 4, "1": 1 / 4, "2": 1 / 3, "3": 1 / 6}
    )
    assert founders.effective == pytest.approx(1 / (2 / 16 + 1 / 9 + 1 / 36))
    ancestors = ancestor_contributions(pedigree, reference)
    assert ancestors.table["id"].to_list() == ["4", "2", "3"]
    assert ancestors.effective == pytest.approx(1 / (1 / 4 + 1 / 9 + 1 / 36))
    low, high = ancestor_contributions(pedigree, reference, limit=1).bounds
    assert low == pytest.approx(1 / (1 / 4 + 1 / 2 * 1 / 2))
    assert high == pytest.approx(1 / (1 / 4 + (1 / 2) ** 2 / 7))
    with pytest.raises(
        PedigreeError, match="pedigree: 0 ancestors are asked for -> give a limit of 1 or more, or none"
    ):
        ancestor_contributions(pedigree, limit=0)


def test_a_long_choice_of_ancestors_ends_with_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    pedigree, *_ = born_pedigree(3)
    exact = describe(pedigree)
    monkeypatch.setattr(contributions, "STEPS", 30)
    early = describe(pedigree)
    number = early.tables["ancestors"].height
    assert 1 < number < exact.tables["ancestors"].height
    assert early.tables["ancestors"].equals(exact.tables["ancestors"].head(number))
    low, high = early.ancestor_bounds
    assert early.effective_ancestors == low < exact.effective_ancestors < high
    assert exact.ancestor_bounds == (exact.effective_ancestors, exact.effective_ancestors)
    assert f"{number} ancestors explain " in str(early)
    assert f"effective {low:.1f} to {high:.1f}" in str(early)


def test_one_parent_in_every_generation_is_found_in_a_deep_pedigree() -> None:
    """Sixty generations of selfing after a cross: one animal carries all genes of its descendants."""
    pedigree = pedigree_of([-1, -1, 0, *range(2, 62)], [-1, -1, 1, *range(2, 62)])
    found = describe(pedigree, reference=["61", "62"])
    assert found.effective_founders == pytest.approx(2.0)
    assert found.effective_ancestors == pytest.approx(1.0)
    assert found.tables["ancestors"]["id"].to_list() == ["2"]
    assert found.founder_genomes == pytest.approx(0.5)
    assert found.most_generations == 61
    assert found.equivalent_generations == pytest.approx(60.5)
    assert found.largest_inbreeding == 1.0


# --- effective population size --------------------------------------------------------------------------------------------


def slope(x: list[float], y: list[float]) -> float:
    return float(np.polyfit(x, y, 1)[0])


def sizes_by(table: pl.DataFrame) -> dict[str, tuple[float | None, float | None, float | None]]:
    return {row["method"]: (row["rate"], row["ne"], row["se"]) for row in table.iter_rows(named=True)}


@settings(max_examples=25)
@given(SEEDS)
def test_effective_sizes(seed: int) -> None:
    pedigree, sire, dam, years, _ = born_pedigree(seed)
    members = [i for i, year in enumerate(years) if year >= 2009]
    found = sizes_by(effective_population_sizes(pedigree, (2009, 2030), years=(2005, 2011)))
    a = tabular_a(sire, dam)
    f, t = np.diag(a) - 1, equivalent_generations(pedigree)

    used = [i for i in members if t[i] > 1]
    increases = [1 - (1 - f[i]) ** (1 / (t[i] - 1)) for i in used]
    rate, ne, se = found["individual inbreeding"]
    assert rate == pytest.approx(np.mean(increases), abs=1e-13)
    if rate is not None and rate > 0:
        assert ne == pytest.approx(1 / (2 * rate), rel=1e-12)
        assert se == pytest.approx(2 / np.sqrt(len(used)) * ne**2 * np.std(increases, ddof=1), rel=1e-9)

    kept = set(members)
    for i in reversed(range(len(sire))):
        kept |= {p for p in (sire[i], dam[i]) if i in kept and p >= 0}
    among = sorted(kept)
    expected = 1 - np.exp(slope([t[i] for i in among], [np.log(1 - f[i]) for i in among]))
    assert found["inbreeding by generation"][0] == pytest.approx(expected, abs=1e-12)

    interval = generation_interval(pedigree)
    assert interval is not None
    born = [i for i, year in enumerate(years) if 2005 <= year <= 2011]
    expected = 1 - np.exp(interval * slope([years[i] for i in born], [np.log(1 - f[i]) for i in born]))
    assert found["inbreeding by year"][0] == pytest.approx(expected, abs=1e-12)

    pairs = [(i, j) for i in members for j in members if i < j]
    increases = [1 - (1 - a[i, j] / 2) ** (2 / (t[i] + t[j])) if a[i, j] else 0.0 for i, j in pairs]
    assert found["individual coancestry"] == (
        pytest.approx(np.mean(increases), rel=1e-11),
        pytest.approx(0.5 / np.mean(increases), rel=1e-11),
        None,
    )

    cohorts = {year: [i for i in born if years[i] == year] for year in range(2005, 2012)}
    means = {
        year: np.mean([a[i, j] / 2 for i in rows for j in rows if i != j])
        for year, rows in cohorts.items()
        if len(rows) > 1
    }
    expected = 1 - np.exp(interval * slope(list(means), [np.log(1 - c) for c in means.values()]))
    assert found["coancestry by year"][0] == pytest.approx(expected, abs=1e-11)

    males, females = ({parent[i] for i in members} - {-1} for parent in (sire, dam))
    assert found["numbers of parents"][1] == pytest.approx(4 * len(males) * len(females) / (len(males) + len(females)))


def test_sampled_coancestries() -> None:
    """The mean over draws is that of all pairs, and so is their spread what the standard error says."""
    pedigree, *_ = born_pedigree(5, 150)
    exact = sizes_by(effective_population_sizes(pedigree, (2005, 2011), sampled=None))["individual coancestry"]
    assert exact[0] is not None
    assert exact[1] is not None
    drawn = [
        sizes_by(effective_population_sizes(pedigree, (2005, 2011), sampled=20, seed=seed))["individual coancestry"]
        for seed in range(150)
    ]
    rates = np.array([rate for rate, _, _ in drawn])
    spread = float(rates.std(ddof=1))
    assert abs(rates.mean() - exact[0]) < 3.5 * spread / np.sqrt(150)
    errors = np.array([se / (2 * ne**2) for _, ne, se in drawn if ne and se])
    assert errors.mean() == pytest.approx(spread, rel=0.3)
    again = sizes_by(effective_population_sizes(pedigree, (2005, 2011), sampled=20, seed=3))["individual coancestry"]
    assert again == drawn[3]


def test_a_population_of_full_sibs_has_the_size_that_theory_gives() -> None:
    """Full-sib mating: F_t = ¼ (1 + 2 F_{t-1} + F_{t-2}) tends to ΔF = 0.191 (Wright 1921), Ne = 2.62."""
    sire = np.repeat(np.arange(-2, 58, 2), 2)
    sire[:2] = -1
    dam = np.where(sire >= 0, sire + 1, -1)
    pedigree = pedigree_of(sire, dam)
    found = sizes_by(effective_population_sizes(pedigree, ["58", "59"]))
    t, f = 29, float(pedigree.inbreeding[-1])
    assert found["individual inbreeding"][0] == pytest.approx(1 - (1 - f) ** (1 / (t - 1)))
    assert found["individual inbreeding"][1] == pytest.approx(2.62, abs=0.05)
    assert found["individual coancestry"][1] == pytest.approx(2.62, abs=0.05)
    assert found["inbreeding by generation"][1] == pytest.approx(2.62, abs=0.05)
    assert found["inbreeding by year"] == (None, None, None)
    assert found["numbers of parents"][1] == pytest.approx(2.0)


def test_sizes_that_do_not_exist() -> None:
    founders = pedigree_of([-1, -1], [-1, -1], birth_year=[2001, 2002])
    found = sizes_by(effective_population_sizes(founders))
    assert set(found.values()) == {(None, None, None)}
    found = sizes_by(effective_population_sizes(founders, ["0", "1"]))
    assert found["individual coancestry"] == (0.0, None, None)
    with pytest.raises(
        PedigreeError, match="pedigree: 0 sampled animals are asked for -> give 1 or more, or None for all"
    ):
        effective_population_sizes(founders, sampled=0)
    with pytest.raises(PedigreeError, match="pedigree: the years 2004 to 2001 are none -> give the first year first"):
        effective_population_sizes(founders, years=(2004, 2001))


# --- intervals, families, years -------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(SEEDS)
def test_generation_intervals(seed: int) -> None:
    pedigree, sire, dam, years, shown = born_pedigree(seed)
    parents = {"M": set(sire) - {-1}, "F": set(dam) - {-1}}
    sexes = [s or next((sex for sex, of in parents.items() if i in of), "") for i, s in enumerate(shown)]
    ages: dict[tuple[str, str], list[float]] = {}
    by_year: dict[tuple[int, str, str], list[float]] = {}
    for i in range(len(sire)):
        for role, parent in (("sire", sire[i]), ("dam", dam[i])):
            if parent < 0 or years[i] < 0 or years[parent] < 0:
                continue
            ends = ["offspring", *({"M": ["son"], "F": ["daughter"], "": []}[sexes[i]])]
            for end in ends:
                for what in ("all", *(["parents"] if i in parents["M"] | parents["F"] else [])):
                    ages.setdefault((f"{role} to {end}", what), []).append(years[i] - years[parent])
                    by_year.setdefault((years[i], f"{role} to {end}", what), []).append(years[i] - years[parent])
    table = generation_intervals(pedigree)
    assert {(r[0], r[1]) for r in table.iter_rows()} == set(ages)
    for path, what, number, mean, sd, smallest, largest in table.iter_rows():
        of = ages[path, what]
        assert (number, mean, smallest, largest) == (len(of), pytest.approx(np.mean(of)), min(of), max(of))
        assert sd == (pytest.approx(np.std(of, ddof=1)) if len(of) > 1 else None)
    yearly = generation_intervals_by_year(pedigree)
    assert {(r[0], r[1], r[2]): (r[3], r[4]) for r in yearly.iter_rows()} == {
        key: (len(of), pytest.approx(np.mean(of))) for key, of in by_year.items()
    }
    paths = ("sire to son", "sire to daughter", "dam to son", "dam to daughter")
    means = [np.mean(ages[path, "parents"]) for path in paths if (path, "parents") in ages]
    assert generation_interval(pedigree) == pytest.approx(np.mean(means))


def test_intervals_of_dates_are_parts_of_years() -> None:
    born = [datetime.date(2001, 1, 1), datetime.date(2001, 7, 1), datetime.date(2003, 7, 2), datetime.date(2006, 7, 2)]
    pedigree = pedigree_of([-1, -1, 0, 2], [-1, -1, 1, -1], birth_date=born)
    table = generation_intervals(pedigree).filter(pl.col("offspring") == "all")
    assert dict(table.select("path", "mean").iter_rows()) == pytest.approx(
        {"sire to son": 912 / 365.25, "dam to son": 731 / 365.25, "sire to offspring": (912 + 1096) / 2 / 365.25,
         "dam to offspring": 731 / 365.25}
    )  # fmt: skip


def test_intervals_where_animals_are_sires_and_dams() -> None:
    pedigree = pedigree_of([-1, -1, 0, 2, 3], [-1, -1, 1, 2, 3], birth_year=[2000, 1999, 2002, 2003, 2004])
    table = generation_intervals(pedigree)
    assert set(table["path"]) == {"sire to offspring", "dam to offspring"}
    assert generation_interval(pedigree) == pytest.approx(((2 + 1) / 2 + (3 + 1) / 2) / 2)
    assert "generation interval 1.75 years: sire to offspring 1.50, dam to offspring 2.00" in str(describe(pedigree))


def test_a_parent_born_after_its_offspring_has_no_age() -> None:
    pedigree = pedigree_of([-1, -1, 0, 1], [-1, -1, -1, -1], birth_year=[2005, 2001, 2003, 2003])
    assert generation_intervals(pedigree)["number"].to_list() == [1]
    assert len(pedigree.report.warnings) == 1


@settings(max_examples=25)
@given(SEEDS)
def test_families(seed: int) -> None:
    pedigree, sire, dam, years, shown = born_pedigree(seed)
    counts = [
        Counter((s,) for s in sire if s >= 0),
        Counter((d,) for d in dam if d >= 0),
        Counter((s, d) for s, d in zip(sire, dam, strict=True) if s >= 0 and d >= 0),
    ]
    distribution = family_size_distribution(pedigree)
    for row, count in zip(family_sizes(pedigree).iter_rows(named=True), counts, strict=True):
        sizes = list(count.values())
        assert (row["families"], row["offspring"], row["largest"]) == (len(sizes), sum(sizes), max(sizes))
        assert row["mean"] == pytest.approx(np.mean(sizes))
        assert row["sd"] == pytest.approx(np.std(sizes, ddof=1))
        oldest = min(key for key, size in count.items() if size == max(sizes))
        assert row["parents"] == " × ".join(map(str, oldest))
        part = distribution.filter(pl.col("family") == row["family"])
        assert dict(part.select("size", "families").iter_rows()) == Counter(sizes)
        assert part["size"].is_sorted()
    table = parents_by_year(pedigree)
    assert table["birth_year"].to_list() == sorted(set(years) - {-1})
    used = set(sire) | set(dam)
    for row in table.iter_rows(named=True):
        born = [i for i, year in enumerate(years) if year == row["birth_year"]]
        assert row["animals"] == len(born)
        for role, parent in (("sire", sire), ("dam", dam)):
            of = [parent[i] for i in born if parent[i] >= 0]
            assert row[f"{role}s"] == len(set(of))
            assert row[f"offspring_per_{role}"] == (pytest.approx(len(of) / len(set(of))) if of else None)
        for sex, name in (("M", "males"), ("F", "females")):
            of = [i for i in born if shown[i] == sex]
            assert row[name] == len(of)
            assert row[f"{name}_selected"] == (pytest.approx(np.mean([i in used for i in of])) if of else None)


def test_inbreeding_by_year() -> None:
    pedigree, sire, dam, years, _ = born_pedigree(8)
    f = np.diag(tabular_a(sire, dam)) - 1
    generations = generations_of(pedigree)
    table = inbreeding_by_year(pedigree)
    assert table["birth_year"].to_list() == sorted(set(years) - {-1})
    assert max(table["inbred"]) > 0
    for row in table.iter_rows(named=True):
        of = [i for i, year in enumerate(years) if year == row["birth_year"]]
        assert row["animals"] == len(of)
        assert row["inbreeding"] == pytest.approx(f[of].mean(), abs=1e-14)
        assert row["largest"] == pytest.approx(f[of].max(), abs=1e-14)
        assert row["inbred"] == pytest.approx(np.mean(f[of] > 0))
        inbred = [i for i in of if f[i] > 0]
        assert row["inbreeding_of_inbred"] == (pytest.approx(f[inbred].mean()) if inbred else None)
        assert row["equivalent_generations"] == pytest.approx(generations.equivalent[of].mean())
        assert row["full_generations"] == pytest.approx(generations.full[of].mean())
        assert row["most_generations"] == generations.most[of].max()


# --- the reference population -----------------------------------------------------------------------------------------------


def test_default_reference() -> None:
    pedigree, *_, years, _ = born_pedigree(2)
    interval = generation_interval(pedigree)
    assert interval is not None
    first = max(years) + 1 - round(interval)
    chosen = reference_population(pedigree)
    assert chosen.rows.tolist() == [i for i, year in enumerate(years) if year >= first]
    assert (
        str(chosen)
        == f"{len(chosen)} animals born {first} to 2011 (the last generation interval, {interval:.2f} years)"
    )
    assert reference_population(pedigree, chosen) is chosen
    lone = pedigree_of([-1, -1, -1], [-1, -1, -1], birth_year=[2001, None, 2003])
    assert str(reference_population(lone)) == "1 animal born 2003 (the latest year; no age of a parent is known)"
    none = pedigree_of([-1, -1, 0, 0], [-1, -1, 1, 1])
    assert str(reference_population(none)) == "2 animals that are nobody's parent (births are not known)"


def test_reference_by_years_and_ids() -> None:
    pedigree = pedigree_of([-1, -1, 0], [-1, -1, 1], birth_year=[2001, 2002, 2005])
    assert str(reference_population(pedigree, (2001, 2002))) == "2 animals born 2001 to 2002"
    for ids in (["2"], pl.Series(["2"]), ("2",)):
        chosen = reference_population(pedigree, ids)
        assert (chosen.rows.tolist(), str(chosen)) == ([2], "1 animal given by id")
    other = pedigree_of([-1, -1, 0], [-1, -1, 1])
    for choice, message in (
        (
            (2010, 2012),
            r"pedigree has no animals born 2010 to 2012 -> name other years, or ids, as the reference population",
        ),
        ((2003, 2001), r"pedigree: the reference \(2003, 2001\) is no first and last birth year -> give these two"),
        ((2003,), r"pedigree: the reference \(2003,\) is no first and last birth year"),
        ([], r"pedigree: no ids are given -> name at least one animal"),
        (["x"], r"pedigree has no animal 'x'"),
        (
            reference_population(other, ["2"]),
            r"pedigree: the reference \(1 animal given by id\) is that of another pedigree",
        ),
    ):
        with pytest.raises(PedigreeError, match=message):
            describe(pedigree, reference=choice)
    with pytest.raises(
        PedigreeError, match="pedigree has no births, which a reference by birth year needs -> name ids"
    ):
        describe(other, reference=(2001, 2002))


# --- all of it ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sire", "dam"),
    [
        ([-1], [-1]),
        ([-1] * 4, [-1] * 4),
        ([-1, 0], [-1, 0]),
        ([-1, 0, 1, 2], [-1, -1, -1, -1]),
        ([-1, -1, 0, 2, 2], [-1, -1, 1, 1, 3]),
    ],
    ids=["one animal", "founders", "selfing", "sires only", "backcrosses"],
)
@pytest.mark.parametrize("births", [False, True])
def test_every_pedigree_can_be_described(sire: list[int], dam: list[int], births: bool) -> None:
    years = {"birth_year": [2000 + 3 * i for i in range(len(sire))]} if births else {}
    pedigree = pedigree_of(sire, dam, **years)
    found = describe(pedigree)
    members = found.reference.rows.tolist()
    a = tabular_a(sire, dam)[np.ix_(members, members)]
    assert found.inbreeding == pytest.approx(np.diag(a).mean() - 1, abs=1e-14)
    assert found.coancestry == pytest.approx(a.mean() / 2)
    assert (found.animals, found.founders) == (len(sire), pedigree.report.founders)
    assert found.half_founders == sum((s < 0) != (d < 0) for s, d in zip(sire, dam, strict=True))
    assert set(found.tables) == {
        "birth_years", "completeness", "effective_size", "founders", "ancestors", "generation_intervals",
        "generation_intervals_by_year", "family_sizes", "family_size_distribution", "parents_by_year",
    }  # fmt: skip
    assert ("generation interval " in str(found)) == (found.generation_interval is not None)
    assert str(found.reference) in repr(found)
    with pytest.raises(TypeError):
        found.tables["founders"] = pl.DataFrame()  # type: ignore[index]


def test_what_a_description_prints() -> None:
    text = str(describe(born_pedigree(3)[0]))
    for line in (
        "Description of pedigree: 60 animals",
        "  reference: ",
        "    individual inbreeding",
        "sire to son",
        "families: sire",
    ):
        assert line in text
    text = str(describe(pedigree_of([-1, -1], [-1, -1])))
    for line in (
        "ancestors known: none",
        "individual inbreeding    not known",
        "generation intervals are not known",
        "families: none",
    ):
        assert line in text
    assert "individual coancestry    none, the rate is 0  (all pairs of 2 animals of the reference)" in text


def test_a_pedigree_of_sires_is_refused() -> None:
    frame = pl.DataFrame({"sire_id": ["a", "b"], "sire": ["", "a"], "mgs": ["", ""]})
    pedigree = Pedigree.from_frame(
        frame, columns=PedigreeColumns(id="sire_id", sire="sire", maternal_grandsire="mgs"), missing_parents=[""]
    )
    for measure in (describe, generations_of, completeness_index, inbreeding_by_year):
        with pytest.raises(PedigreeError, match="maternal grandsires in the place of dams, which leaves generations"):
            measure(pedigree)


# --- print(pedigree) ------------------------------------------------------------------------------------------------------------


def test_printed_pedigree() -> None:
    sire, dam = [-1, -1, 0, 0, 2, -1], [-1, -1, 1, 1, 3, 3]
    pedigree = pedigree_of(sire, dam, sex=["M", "F", "M", "F", "", ""], birth_year=[2000, 2000, 2002, 2002, None, 2005])
    assert str(pedigree).splitlines() == [
        "Pedigree pedigree: 6 animals, 2 founders",
        "  rows read 6, merged 0, parents added as founders 0",
        "  sires 2, dams 2; most offspring 2 (sire 0), 2 (dam 1)",
        "  parents: both known of 3, sire only 0, dam only 1",
        "  known: parents 58.3 %, grandparents 25.0 %, great-grandparents 0.0 %",
        "  generations: at most 2, all ancestors known of at most 2, complete equivalents mean 0.83, largest 2.00",
        "  inbreeding mean 0.0417, largest 0.2500, inbred 1 (16.7 %)",
        "  born 2000 to 2005, unknown of 1",
        "  males 2, females 2, sex unknown of 2",
    ]


def test_small_coefficients_are_printed_with_two_digits() -> None:
    rows = 2000
    pedigree = pedigree_of([-1, -1, 0, 0, 2] + [-1] * rows, [-1, -1, 1, 1, 3] + [-1] * rows)
    assert "  inbreeding mean 0.00012, largest 0.2500, inbred 1 (0.0 %)" in str(pedigree)


def test_printed_without_births_or_parents() -> None:
    lines = str(pedigree_of([-1], [-1])).splitlines()
    assert "  sires 0, dams 0" in lines
    assert not [line for line in lines if "born" in line or "males" in line]
    assert "  births: none is known" in str(pedigree_of([-1], [-1], birth_year=pl.Series([None], dtype=pl.Int64)))


def test_printed_pedigree_of_sires() -> None:
    pedigree = pedigree_of([-1, -1, 0, 2], [-1, -1, 1, 1]).male_ancestors_of(["3"])
    assert str(pedigree).splitlines()[2:] == [
        "  sires 2, maternal grandsires 0; most offspring 1 (sire 0)",
        "  parents: both known of 0, sire only 2, maternal grandsire only 0",
    ]
