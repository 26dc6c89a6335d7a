"""Genotypes: packed, shared, counted, repacked; arrays that are refused; markers matched against a list."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breedblup.errors import GenotypeError, InputError, ModelError
from breedblup.genotypes import Genotypes, marker_table, match_markers


def drawn(n: int, m: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, 3, (n, m)).astype(np.int8)


def names(n: int) -> list[str]:
    return [f"a{i}" for i in range(n)]


def slowly_packed(calls: np.ndarray) -> np.ndarray:
    """A .bed's bytes by its definition: 00 two copies, 01 missing, 10 one, 11 none; the first animal lowest."""
    n, m = calls.shape
    codes = np.zeros((m, -(-n // 4) * 4), dtype=np.uint8)
    codes[:, :n] = np.array([3, 2, 0, 1])[calls.T]
    return (codes.reshape(m, -1, 4) << np.array([0, 2, 4, 6])).sum(axis=2).astype(np.uint8)


# --- the object -------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 130), st.integers(0, 99))
def test_packed_as_a_bed_file_and_back(n: int, m: int, seed: int) -> None:
    calls = drawn(n, m, seed)
    genotypes = Genotypes.from_calls(calls, names(n))
    assert genotypes.shape == (n, m)
    assert genotypes.packed.tobytes() == slowly_packed(calls).tobytes()
    assert (genotypes.calls() == calls).all()


def test_animals_are_packed_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = drawn(11, 5)
    monkeypatch.setattr(
        "breedblup.genotypes.calls._CALLS", 15
    )  # three animals at a time: bytes are begun and gone on with
    genotypes = Genotypes.from_calls(calls.astype(float), names(11))
    assert genotypes.packed.tobytes() == slowly_packed(calls).tobytes()


def test_subsets_share_the_store() -> None:
    calls = drawn(9, 7)
    whole = Genotypes.from_calls(calls, names(9))
    part = whole.of_animals(["a7", "a0", "a3"]).at_markers(np.array([6, 2])).at_markers(np.array([True, True]))
    assert part.packed is whole.packed
    assert part.ids.to_list() == ["a7", "a0", "a3"]
    assert part.markers["marker"].to_list() == ["M7", "M3"]
    assert (part.calls() == calls[np.ix_([7, 0, 3], [6, 2])]).all()
    assert (
        part.at_markers([1, 0]).markers["marker"].to_list()
        == part.at_markers(part.markers["marker"][::-1]).markers["marker"].to_list()
    )
    again = part.of_animals(["a3", "a7"]).at_markers(["M3"])
    assert again.packed is whole.packed
    assert (again.calls() == calls[np.ix_([3, 7], [2])]).all()
    for array in (whole.packed, part.rows, part.places):
        assert not array.flags.writeable


def test_a_compact_copy_has_what_is_in_use() -> None:
    calls = drawn(9, 7)
    part = Genotypes.from_calls(calls, names(9)).of_animals(["a8", "a1", "a2", "a4", "a6"]).at_markers(np.array([5, 0]))
    compact = part.compact()
    assert compact.packed.tobytes() == slowly_packed(calls[np.ix_([8, 1, 2, 4, 6], [5, 0])]).tobytes()
    assert (compact.samples, compact.rows.tolist(), compact.places.tolist()) == (5, [0, 1], [0, 1, 2, 3, 4])
    assert compact.ids.equals(part.ids)
    assert compact.markers.equals(part.markers)


def test_counts_and_frequencies() -> None:
    calls = np.array([[0, 2, -1], [1, 2, -1], [-1, 1, -1], [0, 2, -1]], dtype=np.int8)
    genotypes = Genotypes.from_calls(calls, names(4))
    assert genotypes.counts.tolist() == [[2, 1, 0, 1], [0, 1, 3, 0], [0, 0, 0, 4]]
    np.testing.assert_array_equal(genotypes.frequencies, [1 / 6, 7 / 8, np.nan])
    assert genotypes.of_animals(["a0", "a1"]).frequencies.tolist()[:2] == [0.25, 1.0]


def test_printed() -> None:
    table = marker_table(["s1", "s2"]).with_columns(
        pl.Series("chromosome", ["1", "2"]), pl.Series("allele1", ["A", "C"]), pl.Series("allele2", ["G", None])
    )
    whole = Genotypes.from_calls([[0, 1], [2, -1], [1, 1]], names(3), table, source="toy")
    assert repr(whole) == (
        "Genotypes toy: 3 animals × 2 markers\n  2 chromosomes, both alleles known of 1 marker\n  calls missing: 16.67%\n"
        "  0.00 MiB in memory"
    )
    assert repr(whole.of_animals(["a0"])).endswith("\n  part of 3 animals × 2 markers")
    nothing_known = Genotypes.from_calls([[0]], ["a"])
    assert "  no chromosome, both alleles known of no marker\n" in repr(nothing_known)


def test_a_large_store_is_looked_at_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    genotypes = Genotypes.from_calls(np.tile([[0, -1]], (4, 5)), names(4))
    monkeypatch.setattr("breedblup.genotypes.genotypes._SHOWN", 5)
    assert "calls missing: 0.00% (of 5 markers)" in repr(genotypes)
    assert genotypes.counts.shape == (10, 4)
    assert "calls missing: 50.00%\n" in repr(genotypes)


# --- arrays -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "missing"),
    [
        ([[0, 1, 2], [-1, 2, 0]], ()),
        ([[0.0, 1.0, 2.0], [np.nan, 2.0, 0.0]], ()),
        (np.array([[0, 1, 2], [5, 2, 0]], dtype=np.uint8), (5,)),
        (np.asfortranarray([[0, 1, 2], [9, 2, 0]]), (5, 9)),
        (np.ma.masked_equal([[0, 1, 2], [7, 2, 0]], 7), ()),
        (pl.DataFrame({"x": [0, None], "y": [1, 2], "z": [2, 0]}), ()),
    ],
)
def test_kinds_of_arrays(calls: object, missing: tuple[float, ...]) -> None:
    genotypes = Genotypes.from_calls(calls, ["x", "y"], ["s1", "s2", "s3"], missing=missing)
    assert genotypes.calls().tolist() == [[0, 1, 2], [-1, 2, 0]]
    assert genotypes.markers["marker"].to_list() == ["s1", "s2", "s3"]
    assert genotypes.markers.schema["position"] == pl.Int64


def test_one_marker_and_all_missing() -> None:
    genotypes = Genotypes.from_calls([[-1], [-1]], [1, 2])
    assert genotypes.ids.to_list() == ["1", "2"]
    assert genotypes.of_animals([2]).ids.to_list() == ["2"]
    assert genotypes.counts.tolist() == [[0, 0, 0, 2]]
    assert np.isnan(genotypes.frequencies).all()


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ([[0, 1], [2, 0.7]], r"genotypes: animal 'y', marker 's2': 0\.7 is a dosage, .* nothing is rounded here"),
        ([[0, 1], [3, 1]], r"animal 'y', marker 's1': 3 is no call -> calls are 0, 1, 2, missing ones NaN or -1"),
        (np.array([[0, 1], [1, -7]], dtype=np.int8), r"animal 'y', marker 's2': -7 is no call"),
        ([0, 1], r"an array of 1 dimensions and type int64 -> give numbers, animals × markers"),
        ([["0", "1"], ["1", "1"]], r"an array of 2 dimensions and type <U1 -> give numbers"),
        ([[0, 1]], r"calls are 1 × 2, with 2 ids and 2 markers -> give a row for each animal"),
    ],
)
def test_refused_arrays(calls: object, message: str) -> None:
    with pytest.raises(GenotypeError, match=message):
        Genotypes.from_calls(calls, ["x", "y"], ["s1", "s2"])


def test_refused_names() -> None:
    calls = [[0, 1], [1, 1], [2, 2]]
    with pytest.raises(
        GenotypeError, match=r"^genotypes rows 0, 2: more than one animal is called 'x' -> give each animal once"
    ):
        Genotypes.from_calls(calls, ["x", "y", "x"])
    with pytest.raises(GenotypeError, match=r"genotypes row 1: animal without a name -> name it"):
        Genotypes.from_calls(calls, ["x", "", "z"])
    with pytest.raises(GenotypeError, match=r"genotypes, markers, rows 0, 1: more than one marker is called 's'"):
        Genotypes.from_calls(calls, ["x", "y", "z"], ["s", "s"])
    with pytest.raises(
        GenotypeError, match=r"the table of markers has the columns 'snp' and no 'marker' -> name it so"
    ):
        Genotypes.from_calls(calls, ["x", "y", "z"], pl.DataFrame({"snp": ["s", "t"]}))
    wrong = pl.DataFrame({"marker": ["s", "t"], "position": ["17", "far"]})
    with pytest.raises(
        GenotypeError, match=r"column 'position' of marker 't' is 'far' where a whole number belongs -> correct it"
    ):
        Genotypes.from_calls(calls, ["x", "y", "z"], wrong)
    with pytest.raises(GenotypeError, match=r"0, 1 and 2 are calls and cannot be missing as well"):
        Genotypes.from_calls(calls, ["x", "y", "z"], missing=[0])
    many = ["x", "x", "y", "y", "z", "z"]
    with pytest.raises(GenotypeError, match=r"rows 0, 1: more than one animal is called 'x'; 2 more names of the kind"):
        Genotypes.from_calls(calls * 2, many)


def test_a_store_of_another_shape_is_refused() -> None:
    with pytest.raises(GenotypeError, match=r"a store of \(2, 1\) bytes for 5 animals and 2 markers -> it needs a row"):
        Genotypes.from_store(names(5), marker_table(["s", "t"]), np.zeros((2, 1), dtype=np.uint8))


def test_refused_choices() -> None:
    genotypes = Genotypes.from_calls(drawn(3, 2), names(3))
    with pytest.raises(GenotypeError, match=r"genotypes: no genotype of 'b' -> leave them out of the list"):
        genotypes.of_animals(["a1", "b"])
    with pytest.raises(
        GenotypeError, match=r"list of animals, rows 0, 1: more than one animal is called 'a1' -> name each"
    ):
        genotypes.of_animals(["a1", "a1"])
    with pytest.raises(GenotypeError, match=r"no marker 'M3' -> leave them out of the list"):
        genotypes.at_markers(["M1", "M3"])
    with pytest.raises(GenotypeError, match=r"a mask of \(3,\) values for 2 markers -> give one for each"):
        genotypes.at_markers(np.array([True, False, True]))
    for numbers in ([0, 2], [-1]):
        with pytest.raises(GenotypeError, match=r"by number -> they count from 0 to 1"):
            genotypes.at_markers(np.array(numbers))
    with pytest.raises(GenotypeError, match=r"a marker is chosen twice -> choose each once"):
        genotypes.at_markers(np.array([1, 1]))


# --- lists of markers -------------------------------------------------------------------------------------------------


def markers(**alleles: str) -> pl.DataFrame:
    """A table from names and alleles such as ``s1="A/G"``; ? is not known."""
    rows = [(name, *(None if a == "?" else a for a in pair.split("/"))) for name, pair in alleles.items()]
    return pl.DataFrame(rows, schema=["marker", "allele1", "allele2"], orient="row")


def with_markers(**alleles: str) -> Genotypes:
    return Genotypes.from_calls(np.zeros((1, len(alleles))), ["x"], markers(**alleles), source="young")


@pytest.mark.parametrize(
    ("wanted", "found", "problem", "swapped"),
    [
        ("A/G", "A/G", None, False),
        ("A/G", "a/g", None, False),
        ("A/G", "G/A", "swapped", True),
        ("A/G", "T/C", "strand", False),
        ("A/G", "C/T", "swapped, strand", True),
        ("A/G", "?/G", None, False),  # PLINK's way with a marker that does not vary
        ("A/G", "?/A", "swapped", True),
        ("A/G", "?/T", "swapped, strand", True),
        ("?/G", "A/G", None, False),
        ("A/G", "?/?", "unchecked", False),
        ("?/?", "A/G", "unchecked", False),
        ("A/?", "?/G", "unchecked", False),
        ("A/B", "B/A", "swapped", True),
        ("1/2", "1/2", None, False),
        ("A/T", "A/T", None, False),
    ],
)
def test_alleles_are_compared(wanted: str, found: str, problem: str | None, swapped: bool) -> None:
    unknown: Any = "as_written" if problem == "unchecked" else "refuse"
    match = match_markers(with_markers(s=found), markers(s=wanted), unknown_alleles=unknown)
    assert match.position.tolist() == [0]
    assert match.swapped.tolist() == [swapped]
    assert match.table["problem"].to_list() == ([] if problem is None else [problem])
    if problem is not None:
        assert match.table.rows() == [("s", problem, wanted, found)]
    if problem not in (None, "unchecked"):
        with pytest.raises(
            GenotypeError, match=r"young: alleles exchanged or read from the other strand at 1 marker: s \("
        ):
            match_markers(with_markers(s=found), markers(s=wanted), flips="refuse")


def test_order_and_lacking_markers() -> None:
    young = with_markers(s4="A/G", s1="G/A", s3="A/C", extra="A/G")
    match = match_markers(young, markers(s1="A/G", s2="A/C", s3="A/C", s4="A/G"))
    assert match.position.tolist() == [1, -1, 2, 0]
    assert match.swapped.tolist() == [True, False, False, False]
    assert match.lacking == ["s2"]
    assert match.notes == ("1 marker lacking", "1 marker with allele1 and allele2 exchanged, repaired")
    assert match.table.rows() == [("s1", "swapped", "A/G", "G/A"), ("s2", "lacking", "A/C", None)]


def test_alleles_that_are_not_known() -> None:
    """Where no allele tells, exchanged ones would be taken as the same in silence."""
    bare = with_markers(s1="?/?", s2="?/?", s3="A/G")
    for young, wanted, message in (
        (
            bare,
            markers(s1="A/G", s2="A/C", t="A/G"),
            r"alleles of 2 markers are not known, so that .* markers=\"map\.csv\", or",
        ),
        (
            with_markers(s1="A/G"),
            markers(s1="?/?"),
            r"not be seen -> take effects of known alleles, or say that the same al",
        ),
    ):
        with pytest.raises(GenotypeError, match=rf"^young: .*{message}"):
            match_markers(young, wanted)
        assert not match_markers(young, wanted, unknown_alleles="as_written").swapped.any()
    some = match_markers(bare, markers(s1="A/G", s2="A/C", s3="G/A"))
    assert some.notes[1] == (
        'alleles of 2 markers are not known: exchanged ones are not seen; of text a map tells them, markers="map.csv"'
    )
    assert repr(some) == f"3 of 3 markers found\n  {some.notes[0]}\n  {some.notes[1]}"


def test_what_is_matched_is_genotypes_and_a_table() -> None:
    with pytest.raises(
        GenotypeError, match=r"^match_markers takes genotypes, found the path 'new\.bed' -> make them first"
    ):
        match_markers("new.bed", markers(s="A/G"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^list of markers: a data frame is needed, not str"):
        match_markers(with_markers(s="A/G"), "markers.csv")
    with pytest.raises(ModelError, match=r"^unknown_alleles is 'no'; it can be 'refuse' or 'as_written'$"):
        match_markers(with_markers(s="A/G"), markers(s="A/G"), unknown_alleles="no")  # type: ignore[arg-type]


def test_contradicting_alleles_are_refused() -> None:
    message = r"young: other alleles than the list has at 1 marker: s2 \(A/C for A/G\) -> they are other markers"
    with pytest.raises(GenotypeError, match=message):
        match_markers(with_markers(s1="A/G", s2="A/C"), markers(s1="A/G", s2="A/G"))
    with pytest.raises(GenotypeError, match=r"other alleles than the list has"):
        match_markers(with_markers(s1="A/B"), markers(s1="C/B"))


def test_other_lists_are_refused() -> None:
    with pytest.raises(
        GenotypeError, match=r"young: none of the 2 markers of the list, such as 't1', 't2' -> were these"
    ):
        match_markers(with_markers(s1="A/G"), markers(t1="A/G", t2="A/G"))
    with pytest.raises(GenotypeError, match=r"young, list of markers, rows 0, 1: more than one marker is called 's1'"):
        match_markers(with_markers(s1="A/G"), marker_table(["s1", "s1"]))


def test_palindromes_are_refused_where_in_doubt() -> None:
    message = (
        r"young: 1 marker with alleles A/T or C/G may count the other allele .* s1 \(T/A for A/T\) -> leave them out"
    )
    with pytest.raises(GenotypeError, match=message):
        match_markers(with_markers(s1="T/A", s2="A/G"), markers(s1="A/T", s2="A/G"))
    taken = match_markers(
        with_markers(s1="T/A", s2="A/G"), markers(s1="A/T", s2="A/G"), palindromes="as_written"
    )  # fmt: skip
    assert taken.swapped.tolist() == [True, False]
    with pytest.raises(GenotypeError, match=r"1 marker with alleles A/T or C/G may"):  # s2 tells of the other strand
        match_markers(with_markers(s1="C/G", s2="T/C"), markers(s1="C/G", s2="A/G"))
