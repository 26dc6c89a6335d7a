"""Search for parents: opposing homozygotes of every candidate, who is none, and the verdicts."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from reference import conflicts_by_calls, dropped_calls

from breedblup.errors import GenotypeError, ModelError
from breedblup.genotypes import Genotypes, parentage
from breedblup.genotypes.parentage import ParentRule, find_parents
from breedblup.pedigree import Pedigree

Calls = NDArray[np.int8]


class Family:
    """Ten sires (even), ten dams (odd), and 20 offspring at 800 markers; births in years."""

    def __init__(self) -> None:
        rng = np.random.default_rng(11)
        self.sire = np.append(np.full(20, -1), 2 * rng.integers(0, 10, 20))
        self.dam = np.append(np.full(20, -1), 2 * rng.integers(0, 10, 20) + 1)
        calls = dropped_calls(rng, self.sire.tolist(), self.dam.tolist(), rng.uniform(0.3, 0.7, 800))
        self.calls = calls.astype(np.int8)
        self.calls[rng.random(calls.shape) < 0.01] = -1
        self.ids = [f"a{i}" for i in range(40)]
        self.genotypes = Genotypes.from_calls(self.calls, self.ids)

    def pedigree(self, sire: Any = None, dam: Any = None, birth: Any = None) -> Pedigree:
        def names(parents: Any) -> list[str | None]:
            return [None if parent < 0 else f"a{parent}" for parent in parents]

        given = {"birth": birth} if birth is not None else {}
        sexes = np.where(np.arange(40) % 2 == 0, "M", "F")
        frame = {"id": self.ids, "sire": names(self.sire if sire is None else sire),
                 "dam": names(self.dam if dam is None else dam), "sex": sexes, **given}  # fmt: skip
        return Pedigree.from_frame(pl.DataFrame(frame))


@pytest.fixture(scope="module")
def family() -> Family:
    return Family()


def test_recorded_parents_are_confirmed(family: Family) -> None:
    search = find_parents(family.genotypes, family.ids[20:], pedigree=family.pedigree())
    assert search.parents["verdict"].to_list() == ["confirmed"] * 40
    assert search.parents.filter(pl.col("role") == "sire")["found"].to_list() == [f"a{s}" for s in family.sire[20:]]
    assert search.parents.filter(pl.col("role") == "dam")["found"].to_list() == [f"a{d}" for d in family.dam[20:]]
    assert search.parents["rate"].to_list() == search.parents["recorded_rate"].to_list() == [0.0] * 40
    assert str(search).splitlines() == ["Search for parents", "  sire: confirmed 20", "  dam: confirmed 20"]


def test_candidates_are_ranked(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parentage, "GROUP_BYTES", parentage.PAIR_BYTES * 20 * 3)  # three animals at a time
    search = find_parents(
        family.genotypes, ["a33", "a34", "a33", "a35", "a36"], sires=[f"a{i}" for i in range(0, 20, 2)],
        dams=[f"a{i}" for i in range(1, 20, 2)], rule=ParentRule(kept=10),
    )  # fmt: skip
    assert search.candidates.height == 80
    for row in search.candidates.rows(named=True):
        animal, candidate = int(row["animal"][1:]), int(row["candidate"][1:])
        compared, conflicts = conflicts_by_calls(family.calls, animal, [candidate])
        assert (row["compared"], row["conflicts"], row["rate"]) == (compared, conflicts, conflicts / compared)
        one, other = family.calls[animal], family.calls[candidate]
        assert row["identical"] == pytest.approx((one == other)[(one >= 0) & (other >= 0)].mean())
        assert not row["recorded"]
    for _, part in search.candidates.group_by("animal", "role"):
        assert part["rank"].to_list() == list(range(1, 11))
        assert part["rate"].is_sorted()
    assert search.parents["verdict"].to_list() == ["found"] * 8
    assert search.parents["found"][:4].to_list() == [f"a{family.sire[i]}" for i in (33, 34, 35, 36)]
    assert search.parents["next_rate"].min() > 0.02


def test_wrong_and_unknown_parents_are_found(family: Family) -> None:
    sire, dam = family.sire.copy(), family.dam.copy()
    sire[25] = 0 if sire[25] != 0 else 2
    dam[26] = -1
    search = find_parents(family.genotypes, ["a25", "a26"], pedigree=family.pedigree(sire, dam))
    wrong = search.parents.row(0, named=True)
    compared, conflicts = conflicts_by_calls(family.calls, 25, [int(sire[25])])
    assert (wrong["recorded"], wrong["found"], wrong["verdict"]) == (f"a{sire[25]}", f"a{family.sire[25]}", "found")
    assert wrong["recorded_rate"] == pytest.approx(conflicts / compared)
    unknown = search.parents.row(3, named=True)
    assert (unknown["recorded"], unknown["recorded_rate"]) == (None, None)
    assert (unknown["found"], unknown["verdict"]) == (f"a{family.dam[26]}", "found")


def test_a_parent_that_is_not_there(family: Family) -> None:
    others = [f"a{i}" for i in range(0, 20, 2) if i != family.sire[30]]
    (sire, _) = find_parents(
        family.genotypes, ["a30"], sires=others, dams=[], pedigree=family.pedigree()
    ).parents.rows()
    assert sire[:5] == ("a30", "sire", f"a{family.sire[30]}", None, None)
    assert sire[-1] == "none"
    without = find_parents(family.genotypes, ["a30"], sires=[], dams=[])
    assert without.parents["verdict"].to_list() == ["none", "none"]
    assert without.candidates.is_empty()


def test_two_samples_of_a_parent_are_ambiguous(family: Family) -> None:
    calls = np.vstack([family.calls, family.calls[family.sire[20]]])
    genotypes = Genotypes.from_calls(calls, [*family.ids, "again"])
    search = find_parents(genotypes, ["a20"], sires=[*family.ids[:20:2], "again"], dams=[])
    assert search.parents["verdict"].to_list() == ["ambiguous", "none"]
    assert set(search.candidates["candidate"][:2]) == {f"a{family.sire[20]}", "again"}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("samples", [1, 4, 5, 17])
def test_many_samples_of_the_animal_hide_no_parent(family: Family, samples: int, first: bool) -> None:
    """The animal sampled many times under other names, before or after its sire, and the sire once or twice."""
    sire = int(family.sire[20])
    itself, same = [f"same{i}" for i in range(samples)], np.repeat(family.calls[20:21], samples, axis=0)
    parts = [(itself, same), (family.ids, family.calls), (["again"], family.calls[sire : sire + 1])]
    parts = parts if first else parts[::-1]
    genotypes = Genotypes.from_calls(np.vstack([calls for _, calls in parts]), [i for ids, _ in parts for i in ids])
    others = [*itself, *family.ids[:20:2]]
    once = find_parents(genotypes, ["a20", "a21"], sires=others, dams=[])
    assert once.parents["found"].to_list()[:2] == [f"a{sire}", f"a{family.sire[21]}"]
    assert once.parents["verdict"][0] == "found"
    twice = find_parents(genotypes, ["a20"], sires=[*others, "again"], dams=[])
    assert twice.parents["verdict"][0] == "ambiguous"
    assert twice.candidates["candidate"].to_list()[:2] == [f"a{sire}", "again"]
    assert twice.candidates.height == 3


def test_the_animal_itself_is_no_parent(family: Family) -> None:
    """Sampled twice under another name, without conflict with itself."""
    calls = np.vstack([family.calls, family.calls[20]])
    genotypes = Genotypes.from_calls(calls, [*family.ids, "again"])
    search = find_parents(genotypes, ["a20"])
    assert "again" not in search.candidates["candidate"]
    assert "a20" not in search.candidates["candidate"]


def test_offspring_and_the_younger_are_no_candidates(family: Family) -> None:
    father = int(family.sire[20])
    recorded = find_parents(family.genotypes, [f"a{father}"], pedigree=family.pedigree())
    assert recorded.parents["verdict"].to_list() == ["none", "none"]
    nothing = np.full(40, -1)
    births = [2000 if i < 20 else 2003 for i in range(40)]
    born = find_parents(family.genotypes, [f"a{father}"], pedigree=family.pedigree(nothing, nothing, births))
    assert born.candidates.is_empty()
    # without births an offspring cannot be told from a parent
    unborn = find_parents(family.genotypes, [f"a{father}"], pedigree=family.pedigree(nothing, nothing))
    assert {"found", "ambiguous"} & set(unborn.parents["verdict"])


def test_sexes_choose_the_candidates(family: Family) -> None:
    sex = np.where(np.arange(40) % 2 == 0, 1, 2)
    search = find_parents(family.genotypes, ["a20"], sex=sex, rule=ParentRule(kept=40))
    for role, parity in (("sire", 0), ("dam", 1)):
        found = search.candidates.filter(pl.col("role") == role)["candidate"]
        assert {int(name[1:]) % 2 for name in found} == {parity}


def test_too_few_markers_in_common(family: Family) -> None:
    calls = family.calls.copy()
    calls[family.sire[20], 50:] = -1
    search = find_parents(Genotypes.from_calls(calls, family.ids), ["a20"], sires=[f"a{family.sire[20]}"], dams=[])
    assert search.parents["verdict"].to_list() == ["none", "none"]


def test_who_has_no_genotype(family: Family) -> None:
    with pytest.raises(
        GenotypeError, match=r"^genotypes: animals without a genotype: 'x' -> leave them out of the search"
    ):
        find_parents(family.genotypes, ["x"])
    with pytest.raises(GenotypeError, match="candidates without a genotype: 'y'"):
        find_parents(family.genotypes, ["a20"], sires=["y"])
    with pytest.raises(GenotypeError, match="no animals to seek parents of -> name at least one"):
        find_parents(family.genotypes, [])


def test_other_things_than_genotypes(family: Family) -> None:
    with pytest.raises(GenotypeError, match=r"find_parents takes genotypes, found the path 'g.bed' -> make them first"):
        find_parents("g.bed", ["a1"])  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="find_parents: pedigree is a str -> read it with read_pedigree"):
        find_parents(family.genotypes, ["a20"], pedigree="p.csv")  # type: ignore[arg-type]


def test_groups_of_animals_keep_to_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = np.random.default_rng(3).integers(0, 3, (1500, 64)).astype(np.int8)
    genotypes = Genotypes.from_calls(calls, [f"a{i}" for i in range(1500)])
    monkeypatch.setattr(parentage, "GROUP_BYTES", 6_000_000)
    tracemalloc.start()
    try:
        find_parents(genotypes, genotypes.ids[:200], dams=[])
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 3e6 < most < 7e6


def test_rules_that_make_no_sense() -> None:
    with pytest.raises(ModelError, match="search for parents: gap is 2 -> a share between 0 and 1"):
        ParentRule(gap=2)
    with pytest.raises(ModelError, match="search for parents: kept is 0 -> at least 1"):
        ParentRule(kept=0)
