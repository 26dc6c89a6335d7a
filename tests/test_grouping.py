"""Groups of unknown parents by rule, years of birth that are not known, and inbreeding of unknown parents."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import inbreeding_by_contemporaries, random_pedigree

import breedblup as bb
from breedblup.simulation import PedigreeOptions, simulate_pedigree


def founders(years: list[int | None], **columns: list[str]) -> bb.Pedigree:
    """Animals without parents, born in these years."""
    ids = [f"a{i}" for i in range(len(years))]
    frame = {"animal": ids, "sire": ["0"] * len(ids), "dam": ["0"] * len(ids)} | columns
    return bb.read_pedigree(
        pl.DataFrame(frame | {"birth": [None if year is None else str(year) for year in years]}),
    )


def population(animals: int, years: int) -> bb.Pedigree:
    """A simulated pedigree with births and sexes."""
    frame = simulate_pedigree(PedigreeOptions(animals=animals, years=years)).to_frame()
    return bb.read_pedigree(frame.with_columns(pl.col("birth_year").cast(pl.String)))


def named_groups(pedigree: bb.Pedigree) -> dict[str, tuple[str, ...]]:
    """Groups of the unknown sire and dam of each animal."""
    groups = pedigree.groups
    names = [*groups.names.to_list(), ""]  # the last for -1
    return {animal: (names[s], names[d]) for animal, s, d in zip(pedigree.ids, groups.sire, groups.dam, strict=True)}


def test_periods_and_paths() -> None:
    rule = bb.GroupRule(years=5, smallest=1)
    pedigree = bb.group_unknown_parents(founders([2001, 2004, 2005, 2011]), rule)
    assert named_groups(pedigree) == {
        "a0": ("unknown sires, 2000-2004", "unknown dams, 2000-2004"),
        "a1": ("unknown sires, 2000-2004", "unknown dams, 2000-2004"),
        "a2": ("unknown sires, 2005-2009", "unknown dams, 2005-2009"),
        "a3": ("unknown sires, 2010-2014", "unknown dams, 2010-2014"),
    }
    assert pedigree.groups.table().rows()[0] == ("unknown sires, 2000-2004", 2.0)
    assert pedigree.groups.made == (
        "6 groups of unknown parents by birth in periods of 5 years, path, merged up to at least 1",
        "0 years of birth estimated from relatives, 0 unknown parents without one",
    )
    single = bb.group_unknown_parents(founders([2001, 2003]), bb.GroupRule(years=1, path=False, smallest=1))
    assert single.groups.names.to_list() == ["2001", "2003"]


def test_small_periods_are_joined_from_the_earliest_on() -> None:
    years = [1990, 1991, 1992, 1992, 1993, 1994]  # with smallest 3: 1990-1992 has 4, then 1993-1994 has 2 and joins
    pedigree = bb.group_unknown_parents(founders(years), bb.GroupRule(years=1, path=True, smallest=3))
    assert pedigree.groups.names.to_list() == ["unknown sires, 1990-1994", "unknown dams, 1990-1994"]
    longer = bb.group_unknown_parents(founders([*years, 1995]), bb.GroupRule(years=1, path=True, smallest=3))
    assert longer.groups.names.to_list()[:2] == ["unknown sires, 1990-1992", "unknown sires, 1993-1995"]
    assert longer.groups.members().tolist() == [4.0, 3.0, 4.0, 3.0]


def test_small_lines_join_the_largest_of_their_breed_and_path() -> None:
    years, sexes = [2000] * 10, ["M"] * 7 + ["F"] * 3
    breeds = pl.DataFrame({"animal": [f"a{i}" for i in range(10)], "breed": ["H"] * 9 + ["J"]})
    rule = bb.GroupRule(years=0, sex=True, smallest=3)
    pedigree = bb.group_unknown_parents(founders(years, sex=sexes), rule, breeds=breeds)
    # Smallest first: the Jersey's dam and sire (one each) join the largest line of all, by then the males of one path; the two
    # Holstein females' parents join the males of their path.
    assert pedigree.groups.names.to_list() == ["H, unknown sires", "H + J, unknown parents"]
    pairs = Counter(named_groups(pedigree).values())
    assert pairs["H, unknown sires", "H + J, unknown parents"] == 9
    assert pairs["H + J, unknown parents", "H + J, unknown parents"] == 1
    (said,) = [line for line in pedigree.groups.made if line.startswith("too small and joined: ")]
    assert "H, unknown dams of females with H, unknown dams of males" in said
    assert "J, unknown sires of females with H, unknown dams of males" in said


def test_sex_of_the_role_where_none_is_recorded() -> None:
    frame = pl.DataFrame({"animal": ["s", "d", "x"], "sire": ["0", "0", "s"], "dam": ["0", "0", "d"]})
    pedigree = bb.group_unknown_parents(bb.read_pedigree(frame), bb.GroupRule(years=0, sex=True, smallest=1))
    assert named_groups(pedigree) == {
        "s": ("unknown sires of males", "unknown dams of males"),
        "d": ("unknown sires of females", "unknown dams of females"),
        "x": ("", ""),
    }


def test_estimated_years_of_birth() -> None:
    frame = pl.DataFrame(
        {
            "animal": ["old", "sire", "dam", "x", "y", "late", "alone"],
            "sire": ["0", "old", "0", "sire", "sire", "x", "0"],
            "dam": ["0", "0", "0", "dam", "dam", "0", "0"],
            "birth": ["", "", "2000", "2003", "2002", "", ""],
        }
    )
    years, estimated = bb.estimated_birth_years(bb.read_pedigree(frame))
    # Mean age of parents: dam at x 3, at y 2 -> 2.5, rounded to 2. sire: 2002 - 2, old: 2000 - 2, late: 2003 + 2.
    assert dict(zip(frame["animal"], years.tolist(), strict=True)) == {
        "old": 1998, "sire": 2000, "dam": 2000, "x": 2003, "y": 2002, "late": 2005, "alone": -1,
    }  # fmt: skip
    assert estimated == 3


def test_rules_that_are_refused() -> None:
    with pytest.raises(bb.ModelError, match="smallest of a rule for groups is 0; it has to be at least 1"):
        bb.GroupRule(smallest=0)
    with pytest.raises(bb.ModelError, match="years of a rule for groups is -1; it has to be at least 0"):
        bb.GroupRule(years=-1)
    with pytest.raises(bb.ModelError, match="years of a rule for groups is 2.5; it has to be a whole number"):
        bb.GroupRule(years=2.5)  # type: ignore[arg-type]
    with pytest.raises(bb.ModelError, match="path of a rule for groups is 'yes'; it can be True or False"):
        bb.GroupRule(path="yes")  # type: ignore[arg-type]
    whole = bb.read_pedigree(pl.DataFrame({"animal": ["a"], "sire": ["0"], "dam": ["0"]}))
    with pytest.raises(bb.PedigreeError, match="pedigree has no births, which years are taken from -> name the column"):
        bb.group_unknown_parents(whole)
    with pytest.raises(bb.PedigreeError, match="breeds: a column of animals and one of their breeds are needed"):
        bb.group_unknown_parents(whole, bb.GroupRule(years=0), breeds=pl.DataFrame({"animal": ["a"]}))
    other = pl.DataFrame({"animal": ["b"], "breed": ["H"]})
    groups = bb.group_unknown_parents(whole, bb.GroupRule(years=0, path=False), breeds=other).groups
    assert groups.names.to_list() == ["unknown breed"]
    assert "1 animal without a breed, a breed of their own: 'a'" in groups.made


def test_groups_of_a_simulated_population() -> None:
    """Every unknown parent has one group, of the period that its offspring was born in."""
    pedigree = bb.group_unknown_parents(population(3000, 12), bb.GroupRule(years=3, smallest=30))
    unknown = np.count_nonzero(pedigree.sire < 0) + np.count_nonzero(pedigree.dam < 0)
    assert pedigree.groups.members().sum() == unknown
    assert pedigree.groups.members().min() >= 30
    np.testing.assert_array_equal(pedigree.groups.sire >= 0, pedigree.sire < 0)


# --- inbreeding of unknown parents --------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_inbreeding_of_contemporaries(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 30))
    sire, dam = random_pedigree(rng, n, 5)
    years = np.sort(rng.integers(2000, 2006, n))
    ids = [f"a{i}" for i in range(n)]
    names = [*ids, "0"]
    frame = pl.DataFrame({"animal": ids, "sire": [names[s] for s in sire], "dam": [names[d] for d in dam]})
    pedigree = bb.read_pedigree(
        frame.with_columns(pl.Series("birth", years).cast(pl.String)), rules=bb.PedigreeRules(sire_and_dam="warn")
    )
    found = bb.inbreeding_of_contemporaries(pedigree)
    mean = dict.fromkeys(range(2000, 2006), 0.0) | dict(found.yearly.select("year", "mean_inbreeding").iter_rows())
    slow = inbreeding_by_contemporaries(sire.tolist(), dam.tolist(), years.tolist(), mean)
    place = [pedigree.ids.to_list().index(name) for name in ids]
    np.testing.assert_allclose(found.inbreeding[place], slow, atol=1e-7)
    complete = (sire >= 0) & (dam >= 0)
    for year, animals, value in found.yearly.iter_rows():
        here = complete & (years == year)
        assert animals == np.count_nonzero(here)
        if animals:
            assert value == pytest.approx(slow[here].mean(), abs=1e-7)
    assert found.rounds >= 1
    assert "VanRaden 1992" in found.made


def test_complete_pedigrees_keep_their_inbreeding() -> None:
    """Without inbreeding among contemporaries nothing is added, and founders of the first year have none."""
    simulated = population(2000, 10)
    found = bb.inbreeding_of_contemporaries(simulated)
    assert (found.inbreeding >= simulated.inbreeding - 1e-12).all()
    first = simulated.birth_years() == simulated.birth_years().min()
    assert not found.inbreeding[first].any()
    relationship = bb.a_inverse(simulated, inbreeding=found)
    assert found.made in relationship.made
    np.testing.assert_array_equal(relationship.inbreeding, found.inbreeding)
    # The diagonal is that of T D T', which is 1 + F only where D has the pedigree's own F.
    some = np.array([5, 900, 1999])
    unit = np.zeros((len(simulated), 3))
    unit[some, range(3)] = 1.0
    np.testing.assert_allclose(relationship.diagonal[some], relationship.multiply(unit)[some, range(3)], rtol=1e-12)
    with pytest.raises(bb.ModelError, match="inbreeding is given for other animals than those of pedigree -> take"):
        bb.a_inverse(founders([2000, 2001, 2002]), inbreeding=found)


def test_inbreeding_of_contemporaries_needs_births() -> None:
    frame = pl.DataFrame({"animal": ["a"], "sire": ["0"], "dam": ["0"]})
    with pytest.raises(bb.PedigreeError, match="has no births"):
        bb.inbreeding_of_contemporaries(bb.read_pedigree(frame))
    lines = bb.read_pedigree(
        pl.DataFrame({"animal": ["a"], "sire": ["0"], "mgs": ["0"]}),
        columns=bb.PedigreeColumns(maternal_grandsire="mgs"),
    )
    with pytest.raises(bb.PedigreeError, match="maternal grandsires in the place of dams: its F cannot be completed"):
        bb.inbreeding_of_contemporaries(lines)
