"""Reading and checking a pedigree: what is accepted, refused, merged and repaired, and under which words."""

from __future__ import annotations

import datetime
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import random_pedigree, tabular_a

from breedblup.errors import InputError, ModelError, PedigreeError
from breedblup.frames import Table
from breedblup.pedigree import Pedigree, PedigreeColumns, PedigreeRules, inbreeding_coefficients


def table(text: str, name: str = "pedigree.csv") -> Table:
    """A pedigree as it would be read from a file."""
    return Table(pl.read_csv(text.encode(), infer_schema=False), name, 2)


def parents_of(pedigree: Pedigree) -> dict[str, tuple[str | None, str | None]]:
    frame = pedigree.to_frame()
    return {row[0]: (row[1], row[2]) for row in frame.iter_rows()}


SMALL = "animal,sire,dam\n5,3,4\n4,1,2\n3,1,2\n2,,\n1,,\n"


def test_any_order_is_accepted_and_the_users_order_given_back() -> None:
    pedigree = Pedigree.from_frame(table(SMALL))
    assert pedigree.to_frame()["animal"].to_list() == ["5", "4", "3", "2", "1"]
    assert parents_of(pedigree)["5"] == ("3", "4")
    assert pedigree.to_frame()["inbreeding"].to_list() == [0.25, 0, 0, 0, 0]
    assert pedigree.report.warnings == ()


def test_order_is_kept_where_it_is_free() -> None:
    pedigree = Pedigree.from_frame(table("id,sire,dam\nb,,\na,,\nd,b,a\nc,,\n"))
    assert pedigree.ids.to_list() == ["b", "a", "d", "c"]


@pytest.mark.parametrize("convert", [pl.DataFrame.to_pandas, pl.DataFrame.to_arrow, lambda f: f, pl.DataFrame.lazy])
def test_any_data_frame(convert) -> None:  # type: ignore[no-untyped-def]
    frame = pl.DataFrame({"Animal": ["a", "b", "c"], "SIRE": [None, None, "a"], "Dam": ["0", "0", "b"]})
    assert parents_of(Pedigree.from_frame(convert(frame)))["c"] == ("a", "b")


def test_whole_numbers_of_a_typed_frame_become_their_text() -> None:
    frame = pd.DataFrame({"animal": [1, 2, 10], "sire": [np.nan, np.nan, 1], "dam": [0, 0, 2]})
    assert parents_of(Pedigree.from_frame(frame)) == {"1": (None, None), "2": (None, None), "10": ("1", "2")}


def test_arrow_table() -> None:
    frame = pa.table({"id": ["x", "y"], "sire": [None, "x"], "dam": [None, None]})
    assert parents_of(Pedigree.from_frame(frame)) == {"x": (None, None), "y": ("x", None)}


def test_not_a_data_frame() -> None:
    with pytest.raises(
        InputError, match=r"pedigree: a data frame is needed, not list; files are read by read_pedigree"
    ):
        Pedigree.from_frame([1, 2])


def test_parents_without_a_row_become_founders() -> None:
    pedigree = Pedigree.from_frame(table("id,sire,dam\nc,a,b\nd,a,\n"))
    assert pedigree.report.added_parents == 2
    assert pedigree.report.founders == 2
    assert pedigree.to_frame()["animal"].to_list() == ["c", "d", "a", "b"]


def test_missing_codes_can_be_declared() -> None:
    pedigree = Pedigree.from_frame(table("id,sire,dam\n0,-9,-9\nb,0,-9\n"), missing_parents=["-9"])
    assert parents_of(pedigree) == {"0": (None, None), "b": ("0", None)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,sire,dam\n0,,\n",
            r"pedigree.csv line 2: an animal is called '0', which is declared as a code of a missing parent",
        ),
        ("id,sire,dam\na,,\n,a,\n", r"pedigree.csv line 3: the animal has no id -> give it one"),
        ("id,sire,dam\n", r"pedigree.csv: no animals below the header"),
        ("1,,\n2,,\n", r"pedigree.csv: no column found for id \(id or animal\), sire .* the first line reads '1'"),
        ("animal,sire,dam\n3,3,\n", r"own parent: pedigree.csv:2 animal '3' is its own sire -> correct the parent"),
        (
            "animal,sire,dam\n1,,\n2,1,4\n3,2,\n4,3,1\n5,4,2\n",
            r"loop, animal -> parent: '2' -> '4' -> '3' -> '2' \(pedigree.csv:3, pedigree.csv:5, pedigree.csv:4\) -> correct",
        ),
        (
            "animal,sire,dam\n5,,\n3,1,2\n3,5,2\n",
            r"conflicting duplicates: animal '3': pedigree.csv:3 says sire '1' but pedigree.csv:4 says sire '5' -> keep one",
        ),
        ("animal,sire,dam,sex\na,,,X\n", r"pedigree.csv line 2: sex 'X' is not understood; write M or F"),
        (
            "animal,sire,dam,born\na,,,03/04/2011\n",
            r"pedigree.csv line 2: birth '03/04/2011' is not a date like 2019-03-28",
        ),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(PedigreeError, match=message):
        Pedigree.from_frame(table(text))


def test_unknown_column_names_the_nearest() -> None:
    with pytest.raises(PedigreeError, match=r"has no column 'sir' for the sire; did you mean 'sire'\?"):
        Pedigree.from_frame(table(SMALL), columns=PedigreeColumns(sire="sir"))


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(PedigreeError) as refused:
        Pedigree.from_frame(table("animal,sire,dam\na,a,\nb,c,\nc,b,\n"))
    assert "own parent" in str(refused.value)
    assert "'b' -> 'c' -> 'b'" in str(refused.value)
    assert "'a' -> 'a'" not in str(refused.value)


def test_the_first_ten_are_named_and_the_rest_counted() -> None:
    rows = "".join(f"a{i},a{i},\n" for i in range(13))
    with pytest.raises(PedigreeError, match=r"'a9' is its own sire and 3 more ->") as refused:
        Pedigree.from_frame(table("animal,sire,dam\n" + rows))
    assert "'a10'" not in str(refused.value)


def test_many_loops_are_counted() -> None:
    rows = "".join(f"a{i},b{i},\nb{i},a{i},\n" for i in range(12))
    with pytest.raises(PedigreeError, match=r"'a9' -> 'b9' -> 'a9' \(pedigree.csv:20, pedigree.csv:21\) and 2 more"):
        Pedigree.from_frame(table("animal,sire,dam\n" + rows))


def test_sire_and_dam_warns_by_default_and_a_is_well_defined() -> None:
    pedigree = Pedigree.from_frame(table("animal,sire,dam\n1,,\n2,,\n3,1,2\n4,2,3\n5,3,4\n"))
    assert pedigree.to_frame()["inbreeding"].to_list() == [0, 0, 0, 0.25, 0.375]
    assert re.search(
        r"animal '2' is sire of '4' \(pedigree.csv:5\) and dam of '3' \(pedigree.csv:4\)", pedigree.report.warnings[0]
    )


def test_identical_duplicates_are_merged_and_counted() -> None:
    text = "animal,sire,dam\n3,1,2\n3,1,2\n"
    pedigree = Pedigree.from_frame(table(text))
    assert pedigree.report.merged_rows == 1
    assert "identical duplicates: 1 row beyond the first of 1 animal left out ('3')" in pedigree.report.warnings[0]
    with pytest.raises(PedigreeError, match="identical duplicates: 1 row beyond .* remove the repeated rows"):
        Pedigree.from_frame(table(text), rules=PedigreeRules(identical_duplicate="error"))


def test_born_after_names_the_pairs() -> None:
    text = "animal,sire,dam,born\n1,,,2001-01-01\n2,,,2000-06-01\n3,1,2,1999-03-01\n4,3,2,2004-02-01\n"
    pedigree = Pedigree.from_frame(table(text))
    assert "sire '1' (born 2001-01-01) of '3' (born 1999-03-01)" in pedigree.report.warnings[0]
    assert "dam '2' (born 2000-06-01) of '3'" in pedigree.report.warnings[0]
    assert pedigree.birth_years() is not None
    with pytest.raises(PedigreeError, match="parent not born before offspring: .* correct the dates"):
        Pedigree.from_frame(table(text), rules=PedigreeRules(born_after="error"))


def test_years_may_be_equal_but_dates_may_not() -> None:
    years = Pedigree.from_frame(table("animal,sire,dam,born\n1,,,2001\n2,1,,2001\n"))
    assert years.report.warnings == ()
    same_day = pl.DataFrame(
        {"id": ["1", "2"], "sire": [None, "1"], "dam": [None, None], "birth": [datetime.date(2001, 1, 1)] * 2}
    )
    assert "not born before" in Pedigree.from_frame(same_day).report.warnings[0]


def test_sex_against_role() -> None:
    pedigree = Pedigree.from_frame(table("animal,sire,dam,sex\na,,,F\nb,,,M\nc,a,b,\nd,a,,1\n"))
    assert "'a' is female and sire of 'c' (pedigree.csv:4); 'b' is male and dam of 'c'" in pedigree.report.warnings[0]


EVERYTHING = PedigreeRules(
    own_parent="repair", loop="repair", conflicting_duplicate="repair",
    sire_and_dam="repair", born_after="repair", sex_role="repair",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "rule", "animal", "role"),
    [
        ("animal,sire,dam\n2,,\n3,3,2\n", "own_parent", "3", "sire"),
        ("animal,sire,dam\na,b,\nb,a,\n", "loop", "b", "sire"),
        ("animal,sire,dam\n1,,\n5,,\n3,1,\n3,5,\n", "conflicting_duplicate", "3", "sire"),
        ("animal,sire,dam\n1,,\n2,1,\n3,1,\n4,,1\n", "sire_and_dam", "4", "dam"),
        ("animal,sire,dam,born\n1,,,2002\n2,1,,2001\n", "born_after", "2", "sire"),
        ("animal,sire,dam,sex\n1,,,M\n2,,1,\n", "sex_role", "2", "dam"),
    ],
)
def test_repairs_set_the_parent_missing_and_are_listed(text: str, rule: str, animal: str, role: str) -> None:
    pedigree = Pedigree.from_frame(table(text), rules=EVERYTHING)
    repairs = pedigree.report.repairs
    assert repairs["rule"].unique().to_list() == [rule]
    assert (repairs["animal"][0], repairs["role"][0]) == (animal, role)
    assert parents_of(pedigree)[animal][0 if role == "sire" else 1] is None
    assert len(pedigree.report.warnings) == 1


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"loop": "warn"}, "pedigree rule 'loop' cannot be 'warn': no A exists"),
        ({"born_after": "ignore"}, "pedigree rule 'born_after' is 'ignore'; it can be 'error', 'warn' or 'repair'"),
        ({"identical_duplicate": "repair"}, "pedigree rule 'identical_duplicate' cannot be 'repair'"),
    ],
)
def test_impossible_rules(rules: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        PedigreeRules(**rules)  # type: ignore[arg-type]


def test_a_pedigree_made_by_hand_keeps_its_promise() -> None:
    good = Pedigree.from_frame(table(SMALL))
    with pytest.raises(PedigreeError, match=r"sire of '5' does not stand before it -> make a Pedigree with"):
        Pedigree(good.ids.reverse(), good.sire[::-1].copy(), good.dam, good.user_order, None, None, good.report)


def test_with_founders() -> None:
    pedigree = Pedigree.from_frame(table("id,sire,dam,sex,born\nc,a,b,F,2011\n")).with_founders(pl.Series(["new"]))
    assert pedigree.to_frame()["animal"].to_list() == ["c", "a", "b", "new"]
    assert pedigree.report.founders == 3
    assert pedigree.birth_years().tolist() == [-1, -1, 2011, -1]  # type: ignore[union-attr]


def test_printed() -> None:
    text = str(Pedigree.from_frame(table(SMALL)))
    assert "Pedigree pedigree.csv: 5 animals, 2 founders" in text
    assert "largest 0.2500" in text


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 12))
def test_permuting_rows_permutes_the_answers(seed: int, n: int, span: int) -> None:
    rng = np.random.default_rng(seed)
    sire, dam = random_pedigree(rng, n, span)
    names = np.array([f"id {i}" for i in range(n)])
    frame = pl.DataFrame(
        {"id": names, "sire": np.where(sire >= 0, names[sire], ""), "dam": np.where(dam >= 0, names[dam], "")}
    )
    shuffled = Pedigree.from_frame(frame[rng.permutation(n)])
    expected = np.diag(tabular_a(sire.tolist(), dam.tolist())) - 1.0
    found = dict(zip(shuffled.ids.to_list(), inbreeding_coefficients(shuffled), strict=True))
    np.testing.assert_allclose([found[name] for name in names], expected, atol=1e-13)


def test_ids_that_differ_by_spaces_are_other_animals_and_said_so() -> None:
    pedigree = Pedigree.from_frame(table("id,sire,dam\na,,\nb, a,\n"))
    assert pedigree.report.added_parents == 1
    assert pedigree.report.warnings == (
        "1 parent id spelled like that of an animal but for spaces, taken as another animal: ' a'",
    )


def test_floats_that_are_whole_numbers_are_written_as_such() -> None:
    frame = pl.DataFrame({"id": [1.0, 1e300], "sire": [None, 1.0], "dam": [None, None]})
    assert Pedigree.from_frame(frame).to_frame().rows() == [("1", None, None, 0.0), ("1e+300", "1", None, 0.0)]


def test_parents_that_look_like_missing_codes() -> None:
    pedigree = Pedigree.from_frame(table("id,sire,dam\nA,NaN,\nB,-9,A\n"))
    assert "'NaN', '-9' in the parent columns is taken as an animal" in pedigree.report.warnings[0]


def test_two_columns_for_one_role() -> None:
    with pytest.raises(PedigreeError, match="columns 'animal', 'ID' could all be the id -> name the column"):
        Pedigree.from_frame(table("animal,ID,sire,dam\na,b,,\n"))


def test_frames_that_cannot_be_read() -> None:
    twice = pd.DataFrame([[1, 2, 3]], columns=["id", "sire", "sire"])
    with pytest.raises(InputError, match="pedigree: the data frame cannot be read: "):
        Pedigree.from_frame(twice)
    mixed = pd.DataFrame({"id": ["a", 1], "sire": ["", ""], "dam": ["", ""]}, dtype=object)
    with pytest.raises(InputError, match="pedigree: the pandas frame cannot be read: "):
        Pedigree.from_frame(mixed)
