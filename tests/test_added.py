"""Animals added to a pedigree and its A⁻¹: equal to a full run, the old not computed again, changes of old animals refused."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import random_pedigree, tabular_a

import breedblup as bb
from breedblup.errors import ModelError, PedigreeError
from breedblup.frames import Table
from breedblup.pedigree import Pedigree, PedigreeColumns, PedigreeRules, PhantomParents
from breedblup.relationship.added import extend_inverse
from breedblup.relationship.groups import group_inverse
from breedblup.simulation import PedigreeOptions, simulate_pedigree

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 40)
SPANS = st.integers(1, 15)


def frame_of(sire: np.ndarray, dam: np.ndarray) -> pl.DataFrame:
    """A pedigree as a table, ids a0, a1, …"""
    names = [f"a{i}" for i in range(sire.size)]
    columns = {"id": names} | {
        role: [None if p < 0 else names[p] for p in of.tolist()] for role, of in (("sire", sire), ("dam", dam))
    }
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def table(text: str, name: str = "added.csv") -> Table:
    """Rows as they would be read from a file."""
    return Table(pl.read_csv(text.encode(), infer_schema=False), name, 2)


def old_one(text: str = "id,sire,dam\na,,\nb,,\nc,a,b\n", **options: Any) -> Pedigree:
    """A small pedigree."""
    return Pedigree.from_frame(table(text, "old.csv"), **options)


def assert_same(extended: Pedigree, full: Pedigree) -> None:
    """The same animals, parents and inbreeding, in the same order."""
    assert extended.ids.to_list() == full.ids.to_list()
    np.testing.assert_array_equal(extended.sire, full.sire)
    np.testing.assert_array_equal(extended.dam, full.dam)
    np.testing.assert_array_equal(extended.user_order, full.user_order)
    np.testing.assert_allclose(extended.inbreeding, full.inbreeding, rtol=1e-15, atol=1e-15)
    assert extended.report.animals == full.report.animals
    assert extended.report.founders == full.report.founders


def assert_same_inverse(extended: bb.RelationshipInverse, full: bb.RelationshipInverse) -> None:
    """The same to rounding, and the same pattern."""
    np.testing.assert_allclose(extended.diagonal, full.diagonal, rtol=1e-15)
    np.testing.assert_allclose(extended.operator.variance, full.operator.variance, rtol=1e-15)  # type: ignore[attr-defined]
    assert extended.logdet == pytest.approx(full.logdet, rel=1e-13, abs=1e-13)
    assert extended.made == full.made
    np.testing.assert_array_equal(extended.matrix.indptr, full.matrix.indptr)
    np.testing.assert_array_equal(extended.matrix.indices, full.matrix.indices)
    scale = np.abs(full.matrix).max()
    np.testing.assert_allclose(extended.matrix.data, full.matrix.data, rtol=1e-14, atol=1e-14 * scale)
    vectors = np.random.default_rng(1).standard_normal((len(full), 2))
    np.testing.assert_array_equal(extended.multiply_inverse(vectors), full.multiply_inverse(vectors))
    assert extended.pedigree is not None
    np.testing.assert_array_equal(extended.parents[0][0], full.parents[0][0])


@settings(max_examples=25, deadline=None)
@given(SEEDS, SIZES, SPANS, st.integers(1, 40), st.booleans())
def test_equal_to_a_full_run(seed: int, n: int, span: int, old: int, built: bool) -> None:
    sire, dam = random_pedigree(np.random.default_rng(seed), n + old, span)
    frame = frame_of(sire, dam)
    full = Pedigree.from_frame(frame)
    first = Pedigree.from_frame(frame.head(old))
    inverse = bb.a_inverse(first)
    assert not built or inverse.matrix.nnz
    repeated = frame.head(old).sample(fraction=0.5, seed=seed)
    extended = first.extended(pl.concat([frame.tail(n), repeated]).sample(fraction=1.0, shuffle=True, seed=seed))
    by_name = (
        pedigree.to_frame().sort("animal").select("animal", "sire", "dam").rows() for pedigree in (extended, full)
    )
    assert next(by_name) == next(by_name)
    np.testing.assert_array_equal(extended.sire[:old], first.sire)
    np.testing.assert_allclose(extended.inbreeding[extended.positions_of(full.ids)], full.inbreeding, atol=1e-15)
    continued = extend_inverse(inverse, extended)
    assert ("matrix" in vars(continued)) == built
    anew = replace(extended)  # that knows nothing yet
    assert "inbreeding" not in vars(anew)
    np.testing.assert_allclose(extended.inbreeding, anew.inbreeding, rtol=1e-15, atol=1e-15)
    assert_same_inverse(continued, bb.a_inverse(anew))
    a = tabular_a(extended.sire.tolist(), extended.dam.tolist())
    np.testing.assert_allclose(continued.matrix @ a, np.eye(n + old), atol=1e-8)


def test_in_batches_of_a_simulated_population() -> None:
    frame = simulate_pedigree(PedigreeOptions(animals=1500, years=15)).to_frame()
    full = Pedigree.from_frame(frame)
    pedigree = Pedigree.from_frame(frame.head(1000))
    inverse = bb.a_inverse(pedigree)
    assert inverse.matrix.nnz > 0
    for first in range(1000, 1500, 125):
        pedigree = pedigree.extended(frame.slice(first, 125))
        inverse = extend_inverse(inverse, pedigree)
    assert_same(pedigree, full)
    assert_same_inverse(inverse, bb.a_inverse(full))
    assert pedigree.birth is not None
    assert pedigree.birth.to_list() == full.birth.to_list()  # type: ignore[union-attr]
    np.testing.assert_array_equal(pedigree.sex, full.sex)
    assert pedigree.report.rows == full.report.rows


def test_entries_that_cancel_stay_in_the_pattern() -> None:
    """Sire and dam of the new animal are parent and offspring: -½/D of the dam and ¼/D of the new one add up to zero."""
    sire = np.array([-1, -1, 0, 0, 0], dtype=np.int32)
    dam = np.array([-1, -1, 1, 2, 2], dtype=np.int32)
    frame = frame_of(sire, dam)
    first = Pedigree.from_frame(frame.head(3))
    inverse = bb.a_inverse(first)
    assert inverse.matrix.nnz == 9
    continued = extend_inverse(inverse, first.extended(frame.tail(2)))
    assert_same_inverse(continued, bb.a_inverse(Pedigree.from_frame(frame)))
    assert continued.matrix.toarray()[0, 2] == 0
    assert 2 in continued.matrix.indices[: continued.matrix.indptr[1]]


def test_the_old_are_not_computed_again() -> None:
    sire = np.array([-1, -1, 0, 2, 3], dtype=np.int32)
    frame = frame_of(sire, np.array([-1, -1, 1, 1, 2], dtype=np.int32))
    first = Pedigree.from_frame(frame.head(4))
    planted = np.array([0.01, 0.02, 0.03, 0.3])
    vars(first)["inbreeding"] = planted
    inverse = bb.a_inverse(first)
    matrix = inverse.matrix.copy()
    matrix.data *= 2.0
    vars(inverse)["matrix"] = matrix
    extended = first.extended(frame.tail(1))
    np.testing.assert_array_equal(extended.inbreeding[:4], planted)
    with_itself = 0.5 - 0.25 * (0.01 + 0.02) + 0.5  # of 2, son of 0 and 1, by D of the planted values; with 1 it has ½
    assert extended.inbreeding[4] == pytest.approx(0.5 * (0.5 * with_itself + 0.5 * 0.5), rel=1e-15)
    continued = extend_inverse(inverse, extended)
    np.testing.assert_array_equal(continued.diagonal[:4], 1 + planted)
    np.testing.assert_array_equal(continued.operator.variance[:4], inverse.operator.variance)  # type: ignore[attr-defined]
    new = 1 / (0.5 - 0.25 * (0.3 + 0.03))
    q = np.array([0, 0, -0.5, -0.5, 1])
    padded = np.zeros((5, 5))
    padded[:4, :4] = matrix.toarray()
    np.testing.assert_allclose(continued.matrix.toarray(), padded + new * np.outer(q, q), rtol=1e-14)
    fresh = Pedigree.from_frame(frame.head(4)).extended(frame.tail(1))  # nobody has asked for F of the old
    assert "inbreeding" not in vars(fresh)
    np.testing.assert_array_equal(fresh.inbreeding, Pedigree.from_frame(frame).inbreeding)


def test_nobody_new() -> None:
    first = old_one()
    same = first.extended(table("id,sire,dam\nc,a,b\n"))
    assert_same(same, first)
    assert same.report.merged_rows == 1
    inverse = bb.a_inverse(first)
    assert inverse.matrix.nnz == 9
    assert_same_inverse(extend_inverse(inverse, same), inverse)


def test_new_parents_without_a_row_become_founders() -> None:
    extended = old_one().extended(table("id,sire,dam\ne,d,x\nd,a,b\n"))
    assert extended.ids.to_list() == ["a", "b", "c", "d", "x", "e"]
    assert extended.to_frame()["animal"].to_list() == ["a", "b", "c", "e", "d", "x"]
    assert (extended.report.added_parents, extended.report.founders, extended.report.rows) == (1, 3, 5)
    assert extended.name == "old.csv"


def test_the_frame_need_not_be_a_polars_one() -> None:
    assert old_one().extended(pl.DataFrame({"id": ["d"], "sire": ["a"], "dam": ["c"]}).to_pandas()).ids.to_list() == [
        *"abcd"
    ]


# --- what is refused --------------------------------------------------------------------------------------------------


def test_other_parents_of_an_old_animal() -> None:
    with pytest.raises(
        PedigreeError,
        match=r"added\.csv:3 gives 'c' the sire 'b'; in old\.csv it is 'a'\n"
        r"added\.csv:3 gives 'c' the dam unknown; in old\.csv it is 'b'\n"
        r"parents of animals that are known cannot change -> read the whole pedigree anew",
    ):
        old_one().extended(table("id,sire,dam\nd,a,b\nc,b,\n"))
    with pytest.raises(PedigreeError, match=r"added\.csv:2 gives 'a' the sire 'new'; in old\.csv it is unknown\n"):
        old_one().extended(table("id,sire,dam\na,new,\n"))
    many = "id,sire,dam\n" + "".join(f"x{i},,\n" for i in range(12))
    with pytest.raises(PedigreeError, match=r"\nand 2 more\nparents of animals"):
        old_one(many).extended(table(many.replace(",,", ",s,")))


def test_a_parent_that_was_repaired_away_may_be_named_again() -> None:
    rules = PedigreeRules(born_after="repair")
    first = old_one("id,sire,dam,birth\na,,,2010\nb,,,2000\nc,a,b,2005\n", rules=rules)
    assert first.sire.tolist() == [-1, -1, -1]
    extended = first.extended(table("id,sire,dam\nc,a,b\nd,c,b\n"))
    assert extended.ids.to_list() == ["a", "b", "c", "d"]
    assert extended.sire.tolist() == [-1, -1, -1, 2]


def test_what_reading_refuses_is_refused() -> None:
    with pytest.raises(PedigreeError, match=r"added\.csv: own parent: added\.csv:2 animal 'd' is its own sire"):
        old_one().extended(table("id,sire,dam\nd,d,\n"))
    with pytest.raises(PedigreeError, match=r"added\.csv: loop, animal -> parent: 'd' -> 'e' -> 'd'"):
        old_one().extended(table("id,sire,dam\nd,e,\ne,d,\n"))
    with pytest.raises(PedigreeError, match=r"added\.csv line 2: an animal is called '0', which is declared as a code"):
        old_one().extended(table("id,sire,dam\n0,a,\n"))
    with pytest.raises(PedigreeError, match=r"gives 'a' the sire 'd'; in old\.csv it is unknown"):  # would be a loop
        old_one().extended(table("id,sire,dam\nd,c,\na,d,\n"))


def test_missing_codes_are_those_of_the_pedigree() -> None:
    first = Pedigree.from_frame(table("id,sire,dam\na,-9,-9\n"), missing_parents=["-9"])
    assert first.extended(table("id,sire,dam\nd,a,-9\n")).dam.tolist() == [-1, -1]


def test_pedigrees_of_sires() -> None:
    columns = PedigreeColumns(maternal_grandsire="mgs")
    first = Pedigree.from_frame(table("id,sire,mgs\na,,\nb,a,\n", "old.csv"), columns=columns)
    extended = first.extended(table("id,sire,mgs\nc,b,a\n"), columns=columns)
    assert extended.of_sires
    assert extended.dam.tolist() == [-1, -1, 0]
    assert extended.report.warnings == ()
    with pytest.raises(
        PedigreeError, match=r"added\.csv names dams where old\.csv has maternal grandsires -> name the columns"
    ):
        first.extended(table("id,sire,dam\nc,b,a\n"))
    with pytest.raises(
        PedigreeError, match=r"added\.csv names maternal grandsires where old\.csv has dams -> name the columns"
    ):
        old_one().extended(table("id,sire,mgs\nd,a,b\n"), columns=columns)


# --- sexes, births, roles ---------------------------------------------------------------------------------------------

SEXED = "id,sire,dam,sex,birth\na,,,M,2000\nb,,,F,2001\nc,a,b,,\n"


def test_sexes_and_births_are_carried_on() -> None:
    first = old_one(SEXED)
    extended = first.extended(table("id,sire,dam,sex,birth\nd,c,b,M,2010\nc,a,b,M,2005\n"))
    assert extended.sex is not None
    assert extended.sex.tolist() == [1, 2, 1, 1]
    assert extended.birth is not None
    assert extended.birth.to_list() == [2000, 2001, 2005, 2010]
    assert first.birth is not None
    assert first.birth.to_list() == [2000, 2001, None]
    assert first.sex is not None
    assert first.sex.tolist() == [1, 2, 0]
    bare = first.extended(table("id,sire,dam\nd,c,b\n"))
    assert bare.sex is not None
    assert bare.sex.tolist() == [1, 2, 0, 0]
    assert bare.birth is not None
    assert bare.birth.to_list() == [2000, 2001, None, None]
    told = old_one().extended(table("id,sire,dam,sex,birth\nd,c,b,F,2010\n"))
    assert told.sex is not None
    assert told.sex.tolist() == [0, 0, 0, 2]
    assert told.birth is not None
    assert told.birth.to_list() == [None, None, None, 2010]
    assert old_one().extended(table("id,sire,dam\nd,c,b\n")).sex is None


def test_a_sex_or_birth_that_contradicts() -> None:
    first = old_one(SEXED)
    with pytest.raises(
        PedigreeError,
        match=r"added\.csv:2 says that 'a' is female, not male as in old\.csv\n-> correct the rows, or read the whole",
    ):
        first.extended(table("id,sire,dam,sex\na,,,F\n"))
    with pytest.raises(PedigreeError, match=r"added\.csv:2 says that 'b' is born 1999, not 2001 as in old\.csv"):
        first.extended(table("id,sire,dam,birth\nb,,,1999\n"))
    with pytest.raises(PedigreeError, match=r"old\.csv has years of birth, added\.csv dates -> give both alike"):
        first.extended(table("id,sire,dam,birth\nd,,,2019-03-01\n"))
    dated = old_one("id,sire,dam,birth\na,,,2019-03-01\n")
    with pytest.raises(PedigreeError, match=r"added\.csv has years of birth, old\.csv dates -> give both alike"):
        dated.extended(table("id,sire,dam,birth\nd,,,2020\n"))


def test_new_links_to_old_parents_are_checked() -> None:
    first = old_one(SEXED)
    rows = table("id,sire,dam,sex,birth\nd,b,,M,1990\ne,a,,F,2003\n")
    extended = first.extended(rows)
    role, sex, born = extended.report.warnings
    assert role == "both sire and dam: animal 'b' was dam and is sire of 'd' (added.csv:2)"
    assert sex == "sex against role: 'b' is female and sire of 'd' (added.csv:2)"
    assert born == "parent not born before offspring: added.csv:2 sire 'b' (born 2001) of 'd' (born 1990)"
    with pytest.raises(
        PedigreeError, match=r"added\.csv: parent not born before offspring: added\.csv:2 sire 'b' \(born 2001\)"
    ):
        first.extended(rows, rules=PedigreeRules(born_after="error"))
    repaired = first.extended(rows, rules=PedigreeRules(sire_and_dam="repair"))
    assert repaired.sire.tolist() == [-1, -1, 0, -1, 0]
    assert repaired.dam.tolist() == [*first.dam.tolist(), -1, -1]
    assert repaired.report.repairs.rows() == [("d", "sire", "b", "sire_and_dam", "added.csv:2")]


def test_faults_are_reported_once() -> None:
    """What stands in the new rows alone was checked with them; what was known of the old is not said again."""
    first = old_one("id,sire,dam,sex\na,,,M\nb,,,M\nc,a,b,\n")
    assert len(first.report.warnings) == 1
    rows = table("id,sire,dam,sex\nd,b,,F\nb,,,M\ne,d,,M\n")
    extended = first.extended(rows)
    assert extended.report.warnings[1:] == (
        "sex against role: 'd' is female and sire of 'e' (added.csv:4)",
        "both sire and dam: animal 'b' was dam and is sire of 'd' (added.csv:2)",
    )
    again = extended.extended(table("id,sire,dam\nf,b,\n"))
    assert again.report.warnings == extended.report.warnings


def test_a_parent_that_differs_from_an_old_animal_by_spaces() -> None:
    extended = old_one().extended(pl.DataFrame({"id": ["d"], "sire": ["a "], "dam": ["b"]}))
    assert extended.report.warnings == (
        "1 parent id spelled like that of an animal of old.csv but for spaces, taken as another animal: 'a '",
    )


# --- twins and groups -------------------------------------------------------------------------------------------------


def test_twins_are_carried_on() -> None:
    first = old_one("id,sire,dam,twin_of\na,,,\nb,,,\nc,a,b,\nt,a,b,c\n")
    assert first.twins.rows() == [("t", "c", 2)]
    extended = first.extended(table("id,sire,dam,twin_of\nd,t,b,\ne,c,b,\nu,,,d\nc,a,b,\nv,,,c\n"))
    assert extended.ids.to_list() == [*"abcde"]
    assert extended.sire.tolist() == [-1, -1, 0, 2, 2]
    assert sorted(extended.twins.rows()) == [("t", "c", 2), ("u", "d", 3), ("v", "c", 2)]
    assert extended.report.twins == 3
    again = extended.extended(table("id,sire,dam,twin_of,birth\nc,a,b,,2001\nt,a,b,c,\n"))
    assert sorted(again.twins.rows()) == sorted(extended.twins.rows())
    alone = again.extended(table("id,sire,dam,birth\nt,,,2009\nf,t,u,2012\n"))  # a row of a known twin alone
    assert alone.sire.tolist()[-1] == 2
    assert alone.dam.tolist()[-1] == 3
    assert alone.birth is not None
    assert alone.birth.to_list() == [None, None, 2001, None, None, 2012]


def test_twins_that_contradict() -> None:
    first = old_one("id,sire,dam,twin_of\na,,,\nb,,,\nc,a,b,\nt,a,b,c\n")
    with pytest.raises(
        PedigreeError, match=r"added\.csv:3 makes 'c' a twin of 'd'; in old\.csv it is an animal of its own -> read"
    ):
        first.extended(table("id,sire,dam,twin_of\nd,a,b,\nc,a,b,d\n"))
    with pytest.raises(
        PedigreeError, match=r"added\.csv:3 makes 't' a twin of 'd'; in old\.csv it is a twin of 'c' -> read the"
    ):
        first.extended(table("id,sire,dam,twin_of\nd,a,b,\nt,a,b,d\n"))
    with pytest.raises(PedigreeError, match=r"added\.csv:2 gives 't' the sire 'b'; in old\.csv it is 'a'"):
        first.extended(table("id,sire,dam\nt,b,a\n"))


def test_groups_are_carried_on() -> None:
    first = old_one("id,sire,dam\na,g1,g2\nb,g1,g1\nc,a,b\n", groups=["g1", "g2"])
    extended = first.extended(table("id,sire,dam\nd,c,g2\na,g1,g2\n"))
    assert extended.groups is not None
    assert extended.groups.sire.tolist() == [0, 0, -1, -1]
    assert extended.groups.dam.tolist() == [1, 0, -1, 1]
    with pytest.raises(
        PedigreeError, match=r"added\.csv:2 gives the unknown dam of 'a' the group 'g1'; in old\.csv it is 'g2'\n"
    ):
        first.extended(table("id,sire,dam\na,g1,g1\n"))
    with pytest.raises(
        PedigreeError,
        match=r"old\.csv: unknown parents without a group: .*dam of 'd'.* -> give every unknown parent",
    ):
        first.extended(table("id,sire,dam\nd,c,\n"))
    with pytest.raises(ModelError, match=r"2 groups of unknown parents .* is not the A⁻¹ of a pedigree alone"):
        extend_inverse(group_inverse(first), extended)
    phantoms = PhantomParents.of_table(table("parent,x,y\np,0.5,0.5\n", "shares.csv"))
    with pytest.raises(
        PedigreeError, match=r"old\.csv has phantom parents with shares of groups, which new rows cannot name"
    ):
        old_one("id,sire,dam\na,p,p\n", groups=phantoms).extended(table("id,sire,dam\nd,a,p\n"))


# --- inverses that cannot be extended ---------------------------------------------------------------------------------


def test_inverses_that_cannot_be_extended() -> None:
    first = old_one()
    longer = first.extended(table("id,sire,dam\nd,a,b\n"))
    inverse = bb.a_inverse(first)
    with pytest.raises(
        ModelError, match=r"extend_inverse: inverse relationship matrix given, .* is not the A⁻¹ of a pedigree alone"
    ):
        extend_inverse(bb.inverse_from(inverse.matrix, first.ids, kind="inverse"), longer)
    with pytest.raises(
        ModelError,
        match=r"old\.csv; inbreeding ignored: D is not of the pedigree's own F -> make it anew with a_inv",
    ):
        extend_inverse(bb.a_inverse(first, inbreeding=False), longer)
    with pytest.raises(
        ModelError, match=r"extend_inverse: old\.csv has 3 animals, fewer than the 4 that A⁻¹ was made of"
    ):
        extend_inverse(bb.a_inverse(longer), first)
    other = old_one("id,sire,dam\na,,\nb,,\nc,a,\nd,a,b\n")
    with pytest.raises(
        ModelError,
        match=r"does not begin with the pedigree that A⁻¹ was made of: position 2 was 'c' of 'a' and 'b' and is 'c' of 'a' and "
        r"unknown -> extend that pedigree with pedigree\.extended\(frame\), or make A⁻¹ anew",
    ):
        extend_inverse(inverse, other)
    with pytest.raises(ModelError, match=r"extend_inverse takes a Pedigree, found a str"):
        extend_inverse(inverse, "old.csv")  # type: ignore[arg-type]


def test_as_plain_python_too() -> None:
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "cancel or batches", __file__]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout
