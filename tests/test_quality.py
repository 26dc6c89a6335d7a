"""Quality control of genotypes: each check against its definition, what becomes of what it finds, and bad input."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from reference import conflicts_by_calls, dropped_calls, hardy_weinberg_by_enumeration

from breedblup.errors import GenotypeError, InputError, ModelError
from breedblup.genotypes import Genotypes
from breedblup.genotypes import genotypes as packed
from breedblup.genotypes.planes import planes_by_block
from breedblup.genotypes.quality import (
    GenotypeQuality,
    QualityResult,
    Severities,
    check_diagonal,
    check_genotypes,
    duplicates,
    markers,
)
from breedblup.genotypes.quality.animals import animal_counts
from breedblup.genotypes.quality.duplicates import duplicate_pairs
from breedblup.genotypes.quality.markers import hardy_weinberg
from breedblup.genotypes.quality.mendelian import count_conflicts, genotyped_families
from breedblup.kernels.genotypes import code_counts
from breedblup.kernels.homozygosity import exact_probabilities
from breedblup.pedigree import Pedigree, PedigreeColumns
from breedblup.report.genotype_plots import plot_quality

Calls = NDArray[np.int8]

LOOSE = GenotypeQuality(
    marker_call_rate=0.0,
    animal_call_rate=0.0,
    minor_allele_frequency=0.0,
    hardy_weinberg=0.0,
    mendelian_errors_per_marker=1.0,
    fewest_compared=5,
    severities=Severities(monomorphic="report"),
)
"""Nothing is excluded."""


def marker_frame(m: int, chromosome: Any = "1") -> pl.DataFrame:
    names = np.broadcast_to(np.asarray(chromosome), m)
    return pl.DataFrame(
        {
            "marker": [f"s{j}" for j in range(m)],
            "chromosome": names.astype(str),
            "position": 1000 * np.arange(1, m + 1),
            "allele1": ["A"] * m,
            "allele2": ["B"] * m,
        }
    )


def genotypes_of(calls: Calls, chromosome: Any = "1") -> Genotypes:
    n, m = calls.shape
    return Genotypes.from_calls(calls, [f"a{i}" for i in range(n)], marker_frame(m, chromosome))


def pedigree_of(sire: Any, dam: Any, **more: Any) -> Pedigree:
    def names(parents: Any) -> list[str | None]:
        return [None if parent < 0 else f"a{parent}" for parent in parents]

    return Pedigree.from_frame(
        pl.DataFrame({"id": [f"a{i}" for i in range(len(sire))], "sire": names(sire), "dam": names(dam), **more})
    )


@pytest.fixture(scope="module")
def family() -> tuple[Calls, NDArray[np.int64], NDArray[np.int64]]:
    """60 animals of three generations at 700 markers, a hundredth of the calls missing."""
    rng = np.random.default_rng(5)
    n, m = 60, 700
    sire, dam = np.full((2, n), -1)
    for i in range(20, n):
        first = 20 * (i // 20 - 1)
        sire[i], dam[i] = first + 2 * rng.integers(0, 4), first + 1 + 2 * rng.integers(0, 10)
    calls = dropped_calls(rng, sire.tolist(), dam.tolist(), rng.uniform(0.3, 0.7, m)).astype(np.int8)
    calls[rng.random((n, m)) < 0.01] = -1
    return calls, sire, dam


# --- kernels ----------------------------------------------------------------------------------------------------------


def test_planes_hold_the_calls(family: Any) -> None:
    calls = family[0]
    genotypes = genotypes_of(calls).at_markers(np.arange(699, -1, -3)).of_animals([f"a{i}" for i in range(59, 9, -1)])
    expected = calls[59:9:-1, 699::-3]
    found = []
    for _, (first, second) in planes_by_block(genotypes, most_bytes=16 * 50 * 2):  # two words at a time
        bits = [
            np.unpackbits(plane.view(np.uint8), axis=1, bitorder="little").astype(np.int8) for plane in (first, second)
        ]
        found.append(np.where(bits[0] + bits[1] == 0, -1, np.where(bits[1] == 0, 2, bits[0])))
    whole = np.hstack(found)
    np.testing.assert_array_equal(whole[:, :234], expected)
    assert (whole[:, 234:256] == -1).all()  # the rest of the last word


def test_conflicts_are_those_of_the_definition(family: Any) -> None:
    calls, sire, dam = family
    rng = np.random.default_rng(2)
    swapped = rng.permutation(60)  # most are in conflict
    genotypes = genotypes_of(np.ascontiguousarray(calls[swapped]))
    families = genotyped_families(genotypes, pedigree_of(sire, np.where(np.arange(60) < 50, dam, -1)))
    counts = count_conflicts(genotypes, families)
    calls = calls[swapped]
    conflicts = np.zeros(700, dtype=int)
    compared = np.zeros(700, dtype=int)
    assert len(families) == 40
    for (animal, s, d), n, bad in zip(families.tolist(), counts.compared, counts.conflicts, strict=True):
        parents = [[s], [d], [s, d]] if d >= 0 else [[s]]
        for k, given in enumerate(parents):
            assert (n[k], bad[k]) == conflicts_by_calls(calls, animal, given)
        for j in range(700):
            n_here, bad_here = conflicts_by_calls(calls[:, j : j + 1], animal, parents[-1])
            compared[j] += n_here
            conflicts[j] += bad_here
    np.testing.assert_array_equal(counts.marker_conflicts, conflicts)
    np.testing.assert_array_equal(counts.marker_compared, compared)


@pytest.mark.parametrize("counts", [(5, 3, 4), (0, 7, 30), (12, 0, 9), (1, 0, 0), (0, 1, 0), (3, 40, 3), (50, 20, 2)])
def test_exact_test(counts: tuple[int, int, int]) -> None:
    found, _ = hardy_weinberg(np.array([[*counts, 9]]))
    np.testing.assert_allclose(found, hardy_weinberg_by_enumeration(*counts), rtol=1e-9)


def test_exact_test_of_a_published_sample() -> None:
    """MN blood groups; 0.6556635 by HWExact of the R package HardyWeinberg (Graffelman 2015)."""
    probability, deviation = hardy_weinberg(np.array([[213, 489, 298, 0], [25_000, 0, 25_000, 0], [0, 0, 0, 5]]))
    np.testing.assert_allclose(probability, [0.6556635, 0.0, 1.0], rtol=1e-6)
    p = (489 + 2 * 298) / 2000
    np.testing.assert_allclose(deviation, [0.489 - 2 * p * (1 - p), -0.5, 0.0])


def test_calls_of_animals_are_counted(family: Any) -> None:
    genotypes = genotypes_of(family[0]).at_markers(np.arange(699, 0, -2)).of_animals(["a59", "a3", "a40"])
    calls = genotypes.calls()
    np.testing.assert_array_equal(animal_counts(genotypes).T, [(calls >= 0).sum(axis=1), (calls == 1).sum(axis=1)])


def test_nothing_is_counted_twice(family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, sire, dam = family
    calls = calls.copy()
    counted, tested = [], []

    def counting(*given: Any) -> None:
        counted.append(given)
        code_counts(*given)

    def testing(*given: Any) -> None:
        tested.append(given)
        exact_probabilities(*given)

    monkeypatch.setattr(packed, "code_counts", counting)
    monkeypatch.setattr(markers, "exact_probabilities", testing)
    result = check_genotypes(genotypes_of(calls), pedigree=pedigree_of(sire, dam))
    assert (len(counted), len(tested)) == (1, 1)
    assert (result.markers["hardy_weinberg"] == hardy_weinberg(genotypes_of(calls).counts)[0]).all()
    counted.clear()
    calls[8, 100:600] = -1  # others are left: all is counted once more
    less = check_genotypes(genotypes_of(calls), pedigree=pedigree_of(sire, dam))
    assert len(counted) == 2
    fresh = less.genotypes.of_animals(less.genotypes.ids)
    np.testing.assert_array_equal(less.genotypes.counts, fresh.counts)


# --- markers and animals ----------------------------------------------------------------------------------------------


def test_nothing_is_wrong_with_good_calls(family: Any) -> None:
    calls, sire, dam = family
    result = check_genotypes(genotypes_of(calls), GenotypeQuality(hardy_weinberg=0.0), pedigree=pedigree_of(sire, dam))
    assert result.genotypes.shape == (60, 700)
    for table in (result.excluded_animals, result.excluded_markers, result.reported_animals, result.reported_markers):
        assert table.is_empty()
    assert result.duplicates.is_empty()
    assert result.exclusions.is_empty()
    assert result.conflicts["conflicts"].sum() == 0
    assert result.conflicts["role"].value_counts().sort("role")["count"].to_list() == [40, 40, 40]
    np.testing.assert_array_equal(result.frequencies, result.genotypes.frequencies)
    assert result.notes == ()


def test_markers_and_animals_are_excluded_in_order(family: Any) -> None:
    calls = family[0].copy()
    calls[:, 0] = -1  # no call
    calls[:30, 1] = -1
    calls[:, 2] = 2
    calls[:, 3] = np.where(np.arange(60) == 7, 1, 0)
    calls[:, 4] = 1
    calls[8, 100:600] = -1  # half of an animal's calls, and so of few markers
    result = check_genotypes(genotypes_of(calls))
    found = result.excluded_markers
    assert found["marker"].to_list() == ["s0", "s1", "s2", "s3", "s4"]
    assert found["why"].to_list() == [
        "call rate of the marker", "call rate of the marker", "monomorphic", "minor allele frequency",
        "Hardy-Weinberg proportions",
    ]  # fmt: skip
    np.testing.assert_allclose(found["value"][:4], [0.0, 0.5, 0.0, 1 / 118])  # animal a8 is not among the 59
    np.testing.assert_allclose(found["value"][4], hardy_weinberg_by_enumeration(0, 59, 0))
    np.testing.assert_allclose(found["threshold"], [0.9, 0.9, 0.0, 0.01, 1e-6])
    rate = (calls[8, 2:] >= 0).mean()
    assert result.excluded_animals.rows() == [("a8", "call rate of the animal", pytest.approx(rate), 0.9)]
    assert result.steps.rows() == [
        ("read", 60, 700),
        ("call rate of markers", 60, 698),
        ("call rate of animals", 59, 698),
        ("allele frequencies", 59, 696),
        ("Hardy-Weinberg proportions", 59, 695),
        ("duplicates", 59, 695),
    ]
    assert result.notes == ("no pedigree was given: calls are not compared with those of parents",)
    np.testing.assert_allclose(result.animals["call_rate"][8], rate)
    first, second = result.markers.filter(pl.col("marker").is_in(["s0", "s5"])).rows(named=True)
    assert (first["call_rate"], first["frequency"], first["hardy_weinberg"]) == (0.0, None, None)
    assert second["frequency"] == pytest.approx(result_frequency(calls[:, 5]))
    text = str(result)
    for line in ("read", "59 animals", "excluded markers: 2, call rate of the marker", "no pedigree was given"):
        assert line in text


def result_frequency(calls: Calls) -> float:
    return float(calls[calls >= 0].mean() / 2)


def test_hardy_weinberg_needs_both_limits(family: Any) -> None:
    calls = family[0].copy()
    calls[:, 4] = 1
    for quality in (GenotypeQuality(hardy_weinberg=0.0), GenotypeQuality(heterozygosity_deviation=0.6)):
        assert "s4" in check_genotypes(genotypes_of(calls), quality).genotypes.markers["marker"]


def test_frequencies_of_all_or_of_those_kept(family: Any) -> None:
    calls = family[0].copy()
    calls[8, :400] = -1
    kept = check_genotypes(genotypes_of(calls))
    before = check_genotypes(genotypes_of(calls), GenotypeQuality(frequencies="all"))
    chosen = [int(name[1:]) for name in kept.genotypes.markers["marker"]]
    others = np.delete(calls, 8, axis=0)
    np.testing.assert_allclose(kept.frequencies, [result_frequency(others[:, j]) for j in chosen])
    np.testing.assert_allclose(before.frequencies, [result_frequency(calls[:, j]) for j in chosen])
    assert not kept.frequencies.flags.writeable


def test_chromosomes_that_are_no_autosomes(family: Any) -> None:
    chromosome = np.repeat(["1", "X", "MT"], [600, 50, 50])
    genotypes = genotypes_of(family[0], chromosome)
    result = check_genotypes(genotypes, LOOSE)
    assert result.genotypes.shape == (60, 600)
    assert set(result.excluded_markers["why"]) == {"not on an autosome"}
    assert result.excluded_markers["value"].is_null().all()
    assert result.markers["hardy_weinberg"].is_null().to_list() == [False] * 600 + [True] * 100
    reported = check_genotypes(
        genotypes, replace(LOOSE, severities=Severities(not_autosomal="report", monomorphic="report"))
    )
    assert reported.genotypes.shape == (60, 700)
    assert reported.reported_markers.height == 100


# --- sex --------------------------------------------------------------------------------------------------------------


def sexed(family: Any) -> tuple[Calls, NDArray[np.str_], NDArray[np.int64]]:
    """Even animals are male, with no heterozygote among the last 100 markers; a7 and a30 are of the other sex."""
    calls = family[0].copy()
    sex = np.where(np.arange(60) % 2 == 0, 1, 2)
    truth = sex.copy()
    truth[[7, 30]] = 3 - truth[[7, 30]]
    part = calls[:, 600:]
    part[(part == 1) & (truth == 1)[:, None]] = 2
    calls[11, 600:690] = -1  # too few calls to tell
    return calls, np.repeat(["1", "X"], [600, 100]), sex


def with_unnamed_x(family: Any) -> tuple[Calls, NDArray[np.str_]]:
    """The last 100 markers are of X, called '30': males, who are even, have their dam's allele alone, called as two."""
    calls, sire, dam = family[0].copy(), *family[1:]
    rng = np.random.default_rng(21)
    alleles = rng.integers(0, 2, (2, 60, 100))
    for i in range(60):
        if dam[i] >= 0:
            alleles[0, i] = np.where(rng.random(100) < 0.5, alleles[0, dam[i]], alleles[1, dam[i]])
            alleles[1, i] = alleles[0, sire[i]]
        if i % 2 == 0:
            alleles[1, i] = alleles[0, i]
    calls[:, 600:] = alleles.sum(axis=0)
    return calls, np.repeat(["1", "2", "30"], [300, 300, 100])


def test_an_unnamed_sex_chromosome_is_noticed(family: Any) -> None:
    calls, chromosome = with_unnamed_x(family)
    genotypes, pedigree = genotypes_of(calls, chromosome), pedigree_of(*family[1:])
    loose = replace(LOOSE, mendelian_errors_per_marker=0.05)
    by_parents = check_genotypes(genotypes, loose, pedigree=pedigree)
    (note,) = by_parents.notes
    assert note.startswith(
        "chromosome '30': 100 of 100 markers with Mendelian conflicts lie on it, which has 100: it looks"
    )
    assert note.endswith("it looks like a sex chromosome -> add '30' to x_chromosome")
    assert note in str(by_parents)
    proportions = replace(loose, hardy_weinberg=0.01)
    (note,) = check_genotypes(genotypes, proportions, pedigree=pedigree).notes  # told once
    assert "markers out of Hardy-Weinberg proportions lie on it, which has 100: it looks like a sex" in note
    named = replace(proportions, x_chromosome=("30",))
    assert check_genotypes(genotypes, named, pedigree=pedigree).notes == ()


def test_faults_that_are_no_sex_chromosome(family: Any) -> None:
    """A few bad markers of one chromosome, bad markers everywhere, no map, or only one chromosome."""
    calls, chromosome = with_unnamed_x(family)
    pedigree = pedigree_of(*family[1:])
    everywhere = np.random.default_rng(1).permutation(700)
    few = family[0].copy()
    few[:, 600:609] = calls[:, 600:609]
    quality = replace(LOOSE, mendelian_errors_per_marker=0.05)
    for wrong, names in (
        (calls[:, everywhere], chromosome),
        (few, chromosome),
        (calls, "1"),
        (calls, np.repeat(["1", "0"], [600, 100])),
    ):
        assert check_genotypes(genotypes_of(wrong, names), quality, pedigree=pedigree).notes == ()


def test_sex(family: Any) -> None:
    calls, chromosome, sex = sexed(family)
    genotypes = genotypes_of(calls, chromosome)
    result = check_genotypes(genotypes, replace(LOOSE, animal_call_rate=0.5), sex=sex)
    assert result.reported_animals.select("animal", "why").rows() == [
        ("a7", "recorded female, male by heterozygosity of X"),
        ("a30", "recorded male, female by heterozygosity of X"),
    ]
    assert result.sexes.filter("conflict")["animal"].to_list() == ["a7", "a30"]
    assert result.sexes["found"].value_counts().sort("found").rows() == [("female", 29), ("male", 30), ("unknown", 1)]
    x = calls[:, 600:]
    p = np.array([result_frequency(x[:, j]) for j in range(100)])
    expected = [(row == 1).sum() / (2 * p * (1 - p))[row >= 0].sum() for row in x]
    np.testing.assert_allclose(result.sexes["heterozygosity"], expected)
    np.testing.assert_array_equal(result.sexes["markers"], (x >= 0).sum(axis=1))


def test_sex_of_the_pedigree_and_of_roles(family: Any) -> None:
    calls, chromosome, sex = sexed(family)
    genotypes = genotypes_of(calls, chromosome)
    _, sire, dam = family
    stated = pedigree_of(sire, dam, sex=np.where(sex == 1, "M", "F"))
    quality = replace(LOOSE, severities=Severities(monomorphic="report", sex="exclude"))
    wrong = check_genotypes(genotypes, quality, pedigree=stated)
    assert set(wrong.excluded_animals["animal"]) == {"a7", "a30"}
    by_role = check_genotypes(genotypes, quality, pedigree=pedigree_of(sire, dam)).sexes
    known = dict(by_role.select("animal", "recorded").iter_rows())
    assert {known[f"a{i}"] for i in set(sire[20:].tolist())} == {"male"}
    assert known["a59"] == "unknown"


@pytest.mark.parametrize("sex", [[1, 2], np.full(60, 3)])
def test_sexes_that_do_not_fit(family: Any, sex: Any) -> None:
    with pytest.raises(
        GenotypeError, match=r"^genotypes: sex needs 60 codes, 0 unknown, 1 male or 2 female, in the order"
    ):
        check_genotypes(genotypes_of(family[0]), LOOSE, sex=sex)


# --- duplicates -------------------------------------------------------------------------------------------------------


def test_duplicates(family: Any) -> None:
    calls = family[0].copy()
    rng = np.random.default_rng(1)
    calls[41] = calls[40]
    calls[50] = np.where(rng.random(700) < 0.01, 1, calls[10])  # some calls differ
    calls[50, :20] = -1
    result = check_genotypes(genotypes_of(calls), LOOSE)
    pairs = {(row["animal"], row["other"]): row for row in result.duplicates.rows(named=True)}
    assert set(pairs) == {("a40", "a41"), ("a10", "a50")}
    both = (calls[10] >= 0) & (calls[50] >= 0)
    assert pairs["a10", "a50"]["compared"] == both.sum()
    assert pairs["a10", "a50"]["identical"] == pytest.approx((calls[10] == calls[50])[both].mean())
    assert result.reported_animals["animal"].to_list() == ["a41", "a50"]  # the later, and the one with fewer calls
    assert result.reported_animals["value"].to_list() == [1.0, pairs["a10", "a50"]["identical"]]
    gone = check_genotypes(
        genotypes_of(calls), replace(LOOSE, severities=Severities(monomorphic="report", duplicates="exclude"))
    )
    assert gone.excluded_animals["animal"].to_list() == ["a41", "a50"]
    assert len(gone.genotypes) == 58


def test_of_many_alike_the_one_with_most_calls_is_kept(family: Any) -> None:
    calls = np.repeat(family[0][:1], 120, axis=0)
    calls[:100, 0] = -1
    quality = replace(LOOSE, severities=Severities(monomorphic="report", duplicates="exclude"))
    kept = check_genotypes(genotypes_of(calls), quality).genotypes.ids.to_list()
    assert kept == ["a100"]


def test_all_pairs_among_many_are_found() -> None:
    """500 animals, 40 of them sampled twice with 2 % of errors and 3 % missing calls each: all pairs, and no others."""
    rng = np.random.default_rng(9)
    p = rng.uniform(0.05, 0.5, 2000)
    calls = rng.binomial(2, p, (540, 2000)).astype(np.int8)
    calls[500:] = calls[:40]
    wrong = rng.random(calls.shape) < 0.01
    calls[wrong] = rng.integers(0, 3, wrong.sum())
    calls[rng.random(calls.shape) < 0.03] = -1
    pairs, _, share = duplicate_pairs(genotypes_of(calls), 0.95, 1)
    assert pairs.tolist() == [[i, 500 + i] for i in range(40)]
    assert share.min() > 0.96


def test_candidates_are_dropped_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 animals at three markers: some 20,000 pairs, each of which 64 bands find."""
    rng = np.random.default_rng(3)
    genotypes = genotypes_of(rng.binomial(2, 0.5, (1000, 3)).astype(np.int8))
    whole = duplicate_pairs(genotypes, 0.98, 1)
    monkeypatch.setattr(duplicates, "TOGETHER", 1 << 16)
    tracemalloc.start()
    try:
        bounded = duplicate_pairs(genotypes, 0.98, 1)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    for one, other in zip(bounded, whole, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(bounded[0]) > 15_000
    assert most < 16e6  # all pairs of all bands took 31 MB


def test_identical_twins_are_not_reported(family: Any) -> None:
    calls, sire, dam = family
    calls = calls.copy()
    calls[59] = calls[58]
    names = [f"a{i}" for i in range(60)]
    frame = pl.DataFrame(
        {
            "id": names,
            "sire": [None if s < 0 else f"a{s}" for s in sire],
            "dam": [None if d < 0 else f"a{d}" for d in dam],
            "twin_of": [None] * 59 + ["a58"],
        }
    )
    frame = frame.with_columns(pl.col("sire", "dam").gather([*range(59), 58]))  # twins have the same parents
    columns = PedigreeColumns(twin_of="twin_of")
    result = check_genotypes(genotypes_of(calls), LOOSE, pedigree=Pedigree.from_frame(frame, columns=columns))
    assert result.duplicates.select("animal", "other", "twins").rows() == [("a58", "a59", True)]
    assert result.reported_animals.is_empty()


# --- parents ----------------------------------------------------------------------------------------------------------


def test_wrong_parents_are_reported(family: Any) -> None:
    calls, sire, dam = family
    told = sire.copy()
    told[45] = 20 if sire[45] != 20 else 22
    result = check_genotypes(genotypes_of(calls), LOOSE, pedigree=pedigree_of(told, dam))
    wrong = result.conflicts.filter("conflict")
    assert wrong.select("animal", "parent", "role").rows() == [("a45", f"a{told[45]}", "sire"), ("a45", None, "both")]
    compared, conflicts = conflicts_by_calls(calls, 45, [int(told[45])])
    assert wrong.row(0)[3:6] == (compared, conflicts, pytest.approx(conflicts / compared))
    assert result.reported_animals.row(0) == ("a45", "Mendelian conflicts with parents", wrong["rate"][0], 0.01)
    text = str(result)
    assert "of 120 comparisons with parents, in conflict: 1 with the sire, 0 with the dam, 1 with both together" in text


def test_the_animal_in_most_conflicts_is_to_blame(family: Any) -> None:
    calls, sire, dam = family[0].copy(), *family[1:]
    busy = int(np.bincount(sire[40:]).argmax())  # a sire of the last generation, whose own parents are known
    calls[busy] = np.random.default_rng(3).permutation(calls[0])
    quality = replace(LOOSE, severities=Severities(monomorphic="report", mendelian="exclude"))
    result = check_genotypes(genotypes_of(calls), quality, pedigree=pedigree_of(sire, dam))
    assert result.conflicts.filter("conflict").height > 5
    assert result.excluded_animals["animal"].to_list() == [f"a{busy}"]
    # rates of markers are those without its families
    assert result.excluded_markers.is_empty()
    assert result.markers["families_in_conflict"].sum() == 0


def test_parents_that_only_together_are_wrong() -> None:
    """Both parents homozygous for the same allele, the offspring heterozygous: no conflict with either."""
    calls = np.zeros((3, 200), dtype=np.int8)
    calls[:, 100:] = 1
    calls[2, :50] = 1
    result = check_genotypes(genotypes_of(calls), LOOSE, pedigree=pedigree_of([-1, -1, 0], [-1, -1, 1]))
    assert result.conflicts["rate"].to_list() == [0.0, 0.0, 0.25]
    assert result.conflicts["conflict"].to_list() == [False, False, True]
    (found,) = result.reported_animals.filter(pl.col("why").str.starts_with("Mend")).rows()
    assert found == ("a2", "Mendelian conflicts with both parents together", 0.25, 0.02)


def test_markers_in_conflict(family: Any) -> None:
    calls, sire, dam = family
    calls = calls.copy()
    calls[:, 17] = np.random.default_rng(1).binomial(2, 0.5, 60)
    quality = replace(LOOSE, mendelian_errors_per_marker=0.05)
    result = check_genotypes(genotypes_of(calls), quality, pedigree=pedigree_of(sire, dam))
    (found,) = result.excluded_markers.rows(named=True)
    assert (found["marker"], found["why"]) == ("s17", "Mendelian conflicts at the marker")
    expected = sum(conflicts_by_calls(calls[:, 17:18], i, [sire[i], dam[i]])[1] for i in range(20, 60))
    row = result.markers.row(17, named=True)
    assert (row["families_compared"], row["families_in_conflict"]) == (40, expected)
    assert found["value"] == row["conflict_rate"] == expected / 40


def test_animals_outside_the_pedigree_are_counted(family: Any) -> None:
    calls = family[0]
    pedigree = pedigree_of(np.full(50, -1), np.full(50, -1))
    result = check_genotypes(genotypes_of(calls), LOOSE, pedigree=pedigree)
    assert result.notes == ("10 genotyped animals are not in pedigree: not compared with parents",)
    assert result.conflicts.is_empty()
    assert result.markers["conflict_rate"].is_null().all()


def test_maternal_grandsires_are_no_dams(family: Any) -> None:
    calls, sire, _ = family
    frame = pl.DataFrame({"id": ["a20"], "sire": [f"a{sire[20]}"], "mgs": ["a59"]})
    pedigree = Pedigree.from_frame(frame, columns=PedigreeColumns(maternal_grandsire="mgs"))
    result = check_genotypes(genotypes_of(calls), LOOSE, pedigree=pedigree)
    assert result.conflicts["role"].to_list() == ["sire"]


# --- exclusions, the diagonal of G ------------------------------------------------------------------------------------


def test_exclusions_are_kept_for_ever(family: Any) -> None:
    calls = family[0].copy()
    calls[:, 0] = -1
    listed = pl.DataFrame(
        {"kind": ["animal", "marker", "animal"], "name": ["a3", "s9", "gone"], "why": ["mixed up", None, "x"]}
    )
    result = check_genotypes(genotypes_of(calls), exclusions=listed)
    assert "a3" not in result.genotypes.ids
    assert result.excluded_animals["why"].to_list() == ["on the exclusion list"]
    assert result.exclusions.rows() == [
        ("animal", "a3", "mixed up"),
        ("marker", "s9", "listed"),
        ("animal", "gone", "x"),
        ("marker", "s0", "call rate of the marker"),
    ]
    assert "1 of the exclusion list are not among these genotypes; they stay on the list" in result.notes
    again = check_genotypes(genotypes_of(family[0]), exclusions=result.exclusions.to_pandas())
    assert again.genotypes.shape == (59, 698)
    assert again.exclusions.rows() == result.exclusions.rows()


def test_exclusions_that_cannot_be_read(family: Any) -> None:
    wrong = pl.DataFrame({"kind": ["animal", "snp", "marker"], "name": ["a1", "s1", None]})
    with pytest.raises(
        GenotypeError, match=r"^exclusions rows 1, 2: an exclusion needs a kind, 'animal' or 'marker', and a name"
    ):
        check_genotypes(genotypes_of(family[0]), exclusions=wrong)
    with pytest.raises(InputError, match="exclusions has no column 'kind'"):
        check_genotypes(genotypes_of(family[0]), exclusions=pl.DataFrame({"name": ["a1"]}))


def test_diagonal_of_g(family: Any) -> None:
    result = check_genotypes(genotypes_of(family[0]))
    n = len(result.genotypes)
    diagonal = np.linspace(0.9, 1.1, n)
    diagonal[[4, 9]] = 0.2, 2.5
    checked = check_diagonal(result, diagonal)
    assert checked.reported_animals.rows() == [
        (result.genotypes.ids[4], "diagonal of G too small", 0.2, 0.5),
        (result.genotypes.ids[9], "diagonal of G too large", 2.5, 1.6),
    ]
    assert checked.diagonal is not None
    np.testing.assert_array_equal(checked.diagonal["diagonal"], diagonal)
    strict = replace(result, quality=GenotypeQuality(severities=Severities(g_diagonal="exclude")))
    without = check_diagonal(strict, diagonal)
    assert len(without.genotypes) == n - 2
    assert without.excluded_animals.height == 2
    assert without.steps.row(-1) == ("diagonal of G", n - 2, 700)
    np.testing.assert_array_equal(without.frequencies, without.genotypes.frequencies)
    assert without.exclusions.height == 2
    with pytest.raises(
        GenotypeError, match="the diagonal of G has 3 values, 60 animals are kept -> give one for each of"
    ):
        check_diagonal(result, diagonal[:3])


# --- severities, bad input --------------------------------------------------------------------------------------------


def test_stop(family: Any) -> None:
    calls, sire, dam = family
    calls = calls.copy()
    calls[:, 3] = -1
    quality = GenotypeQuality(severities=Severities(marker_call_rate="stop"))
    with pytest.raises(
        GenotypeError,
        match=r"^genotypes: call rate of the marker \(threshold 0\.9\): markers 's3' -> correct the calls, or let the severity",
    ):
        check_genotypes(genotypes_of(calls), quality, pedigree=pedigree_of(sire, dam))


def test_nothing_left(family: Any) -> None:
    empty = np.full((5, 30), -1, dtype=np.int8)
    with pytest.raises(
        GenotypeError,
        match=r"^genotypes: none of the markers is left after 'call rate of the marker' \(threshold 0\.9\) -> correct",
    ):
        check_genotypes(genotypes_of(empty))
    with pytest.raises(GenotypeError, match="none of the markers is left after 'call rate of the marker'"):
        check_genotypes(genotypes_of(empty), LOOSE)  # no call at all is no marker, whatever the threshold
    alike = np.ones((5, 1), dtype=np.int8) * 2
    with pytest.raises(GenotypeError, match="none of the markers is left after 'monomorphic'"):
        check_genotypes(genotypes_of(alike))
    with pytest.raises(
        GenotypeError, match=r"^genotypes: 0 animals and 700 markers -> quality control needs one of each"
    ):
        check_genotypes(genotypes_of(family[0][:0]), LOOSE)


def test_other_things_than_genotypes(family: Any) -> None:
    with pytest.raises(GenotypeError, match=r"check_genotypes takes genotypes, found the path 'g.bed' -> make them"):
        check_genotypes("g.bed")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="check_genotypes: pedigree is a str -> read it with read_pedigree, or leave"):
        check_genotypes(genotypes_of(family[0]), pedigree="p.csv")  # type: ignore[arg-type]


def test_what_a_notebook_shows_is_short(family: Any) -> None:
    calls, sire, dam = family
    result = check_genotypes(genotypes_of(calls), pedigree=pedigree_of(sire, dam))
    assert repr(result) == str(result)
    assert repr(result).startswith("Quality of genotypes\n  read ")
    assert len(repr(result)) < 1000


def test_all_markers_on_x(family: Any) -> None:
    with pytest.raises(
        GenotypeError, match=r"none of the markers is left after 'not on an autosome' -> correct the calls, or"
    ):
        check_genotypes(genotypes_of(family[0], "X"), LOOSE, pedigree=pedigree_of(*family[1:]))


def test_pathological_genotypes() -> None:
    """Two animals alike, and two markers of one allele (`pathological`: geno_duplicate_genotypes, geno_monomorphic)."""
    alike = np.array([[0, 1, 2, 0, 1, 1], [1, 0, 1, 2, 0, 1], [1, 0, 1, 2, 0, 1], [2, 1, 0, 1, 1, 0]], dtype=np.int8)
    found = check_genotypes(Genotypes.from_calls(alike, ["4", "5", "6", "7"]))
    assert found.duplicates.rows() == [("5", "6", 6, 1.0, False)]
    assert found.genotypes.shape == (4, 6)
    single = np.array([[0, 1, 2, 2], [1, 0, 2, 2], [2, 1, 2, 2], [1, 2, 2, 2]], dtype=np.int8)
    kept = check_genotypes(Genotypes.from_calls(single, ["4", "5", "6", "7"]))
    assert kept.genotypes.markers["marker"].to_list() == ["M1", "M2"]


def test_one_marker_and_one_animal() -> None:
    one_marker = check_genotypes(genotypes_of(np.array([[0], [1], [2], [1]], dtype=np.int8)))
    assert one_marker.genotypes.shape == (4, 1)
    one_animal = check_genotypes(genotypes_of(np.array([[0, 1, 2, 1]], dtype=np.int8)))
    assert one_animal.genotypes.markers["marker"].to_list() == ["s1", "s3"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"marker_call_rate": 90}, "quality of genotypes: marker_call_rate is 90 -> a share between 0 and 1"),
        ({"x_heterozygosity": (0.5, 0.2)}, r"x_heterozygosity is \(0.5, 0.2\) -> the smaller number first"),
        ({"fewest_compared": 0}, "quality of genotypes: fewest_compared is 0 -> at least 1"),
        ({"frequencies": "base"}, "quality of genotypes: frequencies is 'base' -> 'kept' or 'all'"),
    ],
)
def test_thresholds_that_make_no_sense(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        GenotypeQuality(**changed)


def test_severity_that_is_none() -> None:
    with pytest.raises(
        ModelError, match="quality of genotypes: severity of sex is 'warn' -> 'exclude', 'report' or 'stop'"
    ):
        Severities(sex="warn")  # type: ignore[arg-type]


# --- plots ------------------------------------------------------------------------------------------------------------


def drawn_quality(family: Any) -> QualityResult:
    calls, sire, dam = family
    calls = calls.copy()
    calls[:, 4] = 1
    result = check_genotypes(genotypes_of(calls), pedigree=pedigree_of(sire, dam))
    return check_diagonal(result, np.linspace(0.9, 1.2, len(result.genotypes)))


def test_plot(family: Any) -> None:
    result = drawn_quality(family)
    figure = plot_quality(result)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    heights = {name: sum(bar.get_height() for bar in axes.patches) for name, axes in panels.items()}
    assert heights["Call rate of markers"] == heights["Minor allele frequency"] == 700
    assert heights["Call rate of animals"] == heights["Diagonal of G"] == 60
    conflicts = panels["Conflicts with recorded parents"]
    assert sum(bar.get_height() for container in conflicts.containers for bar in container) == 80
    good, failed = panels["Heterozygotes, observed and expected"].collections
    (line,) = panels["Heterozygotes, observed and expected"].lines
    assert line.get_zorder() > max(good.get_zorder(), failed.get_zorder())
    assert (len(good.get_offsets()), failed.get_offsets().tolist()) == (699, [[0.5, 1.0]])


def test_plot_of_what_is_not_known(family: Any) -> None:
    figure = plot_quality(check_genotypes(genotypes_of(family[0])))
    unknown = [
        axes.get_title(loc="left") for axes in figure.axes if any("not known" in t.get_text() for t in axes.texts)
    ]
    assert unknown == ["Conflicts with recorded parents", "Diagonal of G"]
    assert figure.axes[-1].texts[0].get_text() == "not known\ncheck_diagonal(quality, diagonal) adds it"
    with pytest.raises(
        ModelError, match="plot_quality takes what check_genotypes gives, found a str -> check them first"
    ):
        plot_quality("genotypes")  # type: ignore[arg-type]
