"""Text ids to codes, from tables and from files, against a coder by dictionary; blocks; groups; identical twins."""

from __future__ import annotations

import gzip
import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import code_by_dict

import breedblup as bb
from breedblup.errors import PedigreeError, ResourceError
from breedblup.frames import Table
from breedblup.io import cells as file_cells
from breedblup.kernels import coding as kernels
from breedblup.pedigree import Pedigree, PedigreeColumns
from breedblup.pedigree import cells as table_cells
from breedblup.pedigree.cells import text_block
from breedblup.pedigree.coding import Dictionary, hashes_of

SEEDS = st.integers(0, 2**32 - 1)
KINDS = ("DE{:010d}", "{}", "Kuh Zoë {}", "a" * 30 + "{}", " {} ", "牛{:03d}", "x{}" + "y" * 7)


def random_rows(seed: int, n: int) -> list[tuple[str, str, str]]:
    """Rows in random order: parents among older animals, some unknown by several codes, some without a row, some rows twice."""
    rng = np.random.default_rng(seed)
    kind = KINDS[rng.integers(len(KINDS))]
    names = [kind.format(k + 1) for k in range(n)]
    rows = []
    for k in range(n):
        parents = []
        for _ in range(2):
            known = k and rng.random() < 0.8
            parents.append(names[rng.integers(k)] if known else ("", "0", "NA", ".", "rowless")[rng.integers(5)])
        rows.append((names[k], *parents))
    rows = [row for row in rows if rng.random() < 0.9] or rows
    rows += [rows[k] for k in rng.integers(len(rows), size=rng.integers(3))]
    return [rows[k] for k in rng.permutation(len(rows))]


def csv(rows: list[tuple[str, str, str]], *, end: str = "\n") -> bytes:
    return end.join(["animal,sire,dam", *(",".join(row) for row in rows), ""]).encode()


def assert_as_by_dict(pedigree: Pedigree, rows: list[tuple[str, str, str]]) -> None:
    ids, sires, dams, order = code_by_dict(rows)
    assert pedigree.ids.to_list() == ids
    assert pedigree.sire.tolist() == sires
    assert pedigree.dam.tolist() == dams
    assert pedigree.user_order.tolist() == order
    assert {str(array.dtype) for array in (pedigree.sire, pedigree.dam, pedigree.user_order)} == {"int32"}
    assert pedigree.report.rows == len(rows)
    assert pedigree.report.merged_rows == len(rows) - len({row[0] for row in rows})
    assert pedigree.report.added_parents == len(ids) - len({row[0] for row in rows})


# --- ids to codes -----------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(SEEDS, st.integers(1, 60))
def test_tables_are_coded_as_by_dict(seed: int, n: int) -> None:
    rows = random_rows(seed, n)
    frame = pl.DataFrame(rows, schema=["animal", "sire", "dam"], orient="row")
    assert_as_by_dict(Pedigree.from_frame(frame), rows)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 60), st.sampled_from(["\n", "\r\n"]), st.integers(40, 400))
def test_files_are_coded_as_by_dict(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, end: str, size: int
) -> None:
    rows = random_rows(seed, n)
    path = tmp_path_factory.mktemp("files") / "pedigree.csv"
    path.write_bytes(csv(rows, end=end))
    with pytest.MonkeyPatch.context() as small:
        small.setattr(file_cells, "_BLOCK", size)
        assert_as_by_dict(bb.read_pedigree(path), rows)


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_blocks_of_a_table_do_not_matter(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    written = random_rows(3, 200)
    monkeypatch.setattr(table_cells, "_ROWS", rows)
    assert_as_by_dict(Pedigree.from_frame(pl.DataFrame(written, schema=["id", "sire", "dam"], orient="row")), written)


@pytest.mark.parametrize(
    "content",
    [
        b"animal,sire,dam,note\nc,a,b,x\nb,,,\na,0,NA,x\n",
        b"animal,sire,dam,note\nc,a,b,x\nb,,,\na,0,NA,x",
        b"animal,sire,dam,note\r\nc,a,b,x\r\nb,,,\r\na,0,NA,x\r\n\r\n",
        b"\xef\xbb\xbfnote;dam;sire;animal\nx;b;a;c\n;;;b\nx;NA;0;a\n\n\n",
        b'animal,sire,dam\n"c",a,b\nb,,\na,0,NA\n',
        b"animal,sire,dam,\nc,a,b,\nb,,,\na,0,NA,\n",
    ],
)
def test_variants_of_one_file(tmp_path: Path, content: bytes) -> None:
    expected = [("c", "a", "b"), ("b", "", ""), ("a", "0", "NA")]
    for name, written in (("p.csv", content), ("p.csv.gz", gzip.compress(content))):
        path = tmp_path / name
        path.write_bytes(written)
        assert_as_by_dict(bb.read_pedigree(path), expected)


def test_sex_and_birth_are_the_same_from_file_and_table(tmp_path: Path) -> None:
    text = "id,sire,dam,sex,born\na,,,M,2001-02-03\nb,,, f ,\nc,a,b,u,2004-01-31\nd,a,b,NA,2005-01-31\ne,a,x,,NA\n"
    path = tmp_path / "p.csv"
    path.write_text(text, encoding="utf-8")
    pedigree, frame = bb.read_pedigree(path), pl.read_csv(path, infer_schema=False)
    assert pedigree.sex is not None
    assert pedigree.ids.to_list() == ["a", "b", "c", "d", "x", "e"]
    assert pedigree.sex.tolist() == [1, 2, 0, 0, 0, 0]
    typed = Pedigree.from_frame(frame.with_columns(pl.col("born").str.to_date(strict=False)))
    for other in (Pedigree.from_frame(frame), typed):
        assert other.sex is not None
        assert other.sex.tolist() == pedigree.sex.tolist()
        assert other.birth.equals(pedigree.birth, null_equal=True)  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,sire,dam\na,,\n,a,\n", r"p\.csv line 3: the animal has no id -> give it one"),
        (
            b"id,sire,dam\na,,\nNA,a,\n",
            r"p\.csv line 3: an animal is called 'NA', which is declared as a code of a miss",
        ),
        (b"id,sire,dam\n", r"p\.csv: no animals below the header"),
        (b"id,sire,dam\na,,\nb,a\n", r"p\.csv:3: the header has 3 comma-separated columns, this line 2"),
        (b"id,sire,dam\na,,\n\nb,a,\n", r"p\.csv:3: the line is empty"),
        (b"id,sire,dam\na,,\n\xe4,a,\n", r"p\.csv:3: byte 0xE4 is not UTF-8"),
        (b"id,sire,dam\na,,\na,b,\n", r"animal 'a': p\.csv:2 says sire None but p\.csv:3 says sire 'b' -> keep one"),
        (b"id,sire,dam,sex\na,,,M\nb,a,,x\n", r"p\.csv line 3: sex 'x' is not understood; write M or F"),
        (b"id,sire,dam,born\na,,,2001\nb,a,,2002-01-01\n", r"p\.csv line 2: birth '2001' is not a date like"),
        (b"id,sire,dam\na,b,\nb,a,\n", r"loop, animal -> parent: 'a' -> 'b' -> 'a' \(p\.csv:2, p\.csv:3\)"),
    ],
)
def test_files_are_refused_by_their_lines(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(content)
    with pytest.raises(bb.InputError, match=message):
        bb.read_pedigree(path)


def test_a_line_longer_than_a_block_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a" * 100, "", ""), ("b", "a" * 100, "")]
    path = tmp_path / "p.csv"
    path.write_bytes(csv(rows))
    monkeypatch.setattr(file_cells, "_BLOCK", 16)
    assert_as_by_dict(bb.read_pedigree(path), rows)


# --- the dictionary ---------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=60), st.integers(1, 7))
def test_texts_are_numbered_as_they_are_met(texts: list[str], size: int) -> None:
    known: dict[str, int] = {}
    expected = [-1 if not text else known.setdefault(text, len(known)) for text in texts]
    dictionary, found = Dictionary(), []
    for begin in range(0, len(texts), size):
        block = text_block([pl.Series(texts[begin : begin + size], dtype=pl.String)], len(texts))
        found += dictionary.code(block.words, block.starts, block.stops, hashes_of(block), -1, len(texts))[0].tolist()
    assert found == expected
    assert dictionary.all_texts().to_list() == list(known)


def test_texts_with_one_hash_are_told_apart() -> None:
    texts = ["a", "b", "ab", "a", "", "b\0", "b", "12345678", "123456789", "12345678"]
    block = text_block([pl.Series(texts)], len(texts))
    same = np.where(hashes_of(block) == 0, np.uint64(0), np.uint64(7) << np.uint64(40))
    codes = Dictionary().code(block.words, block.starts, block.stops, same, -1, len(texts))
    assert codes[0].tolist() == [0, 1, 2, 0, -1, 3, 1, 4, 5, 4]


def test_ids_beyond_all_codes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "LAST_PLACE", 100)
    with pytest.raises(ResourceError, match="more than 16 GB of different ids cannot be coded -> shorten the ids"):
        Pedigree.from_frame(pl.DataFrame(random_rows(1, 60), schema=["id", "sire", "dam"], orient="row"))


def test_kernels_without_the_compiler_give_the_same() -> None:
    code = (
        "import polars as pl; from breedblup.pedigree.cells import text_block; "
        "from breedblup.pedigree.coding import Dictionary, hashes_of; "
        "b = text_block([pl.Series(['a', 'Zoë 12345', '', 'a' * 30])], 4); h = hashes_of(b); "
        "print(h.tolist(), Dictionary().code(b.words, b.starts, b.stops, h, -1, 4).tolist())"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True,
            env=os.environ | {"NUMBA_DISABLE_JIT": flag},
        ).stdout
        for flag in ("0", "1")
    ]  # fmt: skip
    assert printed[0] == printed[1]
    assert printed[0].endswith("[[0, 1, -1, 2]]\n")


# --- groups of unknown parents ----------------------------------------------------------------------------------------

GROUPED = "id,sire,dam\nb,a,g2\na,g1,0\nc,b,x\n"


def grouped(text: str = GROUPED, groups: tuple[str, ...] = ("g1", "g2"), **options: object) -> object:
    from_text = Table(pl.read_csv(text.encode(), infer_schema=False), "p.csv", 2)
    return bb.pedigree.reading.code_pedigree(
        from_text, PedigreeColumns(), ("", "0", "NA", "."), bb.PedigreeRules(), groups
    )


def test_groups_are_unknown_parents() -> None:
    coded = grouped()
    assert coded.ids.to_list() == ["a", "b", "x", "c"]  # type: ignore[attr-defined]
    assert coded.sire.tolist() == [-1, 0, -1, 1]  # type: ignore[attr-defined]
    assert coded.sire_group.tolist() == [0, -1, -1, -1]  # type: ignore[attr-defined]
    assert coded.dam_group.tolist() == [-1, 1, -1, -1]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "groups", "message"),
    [
        (
            GROUPED + "g1,,\n",
            ("g1", "g2"),
            r"p\.csv line 5: an animal is called 'g1', which is declared as a group of unknown parents -> rename the "
            r"animal, or declare other groups \(now 'g1', 'g2'\)",
        ),
        (
            GROUPED,
            ("g1", "NA"),
            r"p\.csv: 'NA' is declared twice as a group of unknown parents, or as a code of a missing",
        ),
        (GROUPED, ("g1", "g1"), r"p\.csv: 'g1' is declared twice as a group"),
    ],
)
def test_groups_that_are_refused(text: str, groups: tuple[str, ...], message: str) -> None:
    with pytest.raises(PedigreeError, match=message):
        grouped(text, groups)


def test_a_group_that_does_not_occur_is_refused() -> None:
    frame = pl.DataFrame({"id": ["a", "b"], "sire": ["g10", "a"], "dam": ["g20", "g20"]})
    with pytest.raises(
        PedigreeError,
        match=r"pedigree: no parent bears 'g21', declared as a group of unknown parents; did you mean 'g20'\? -> correct",
    ):
        Pedigree.from_frame(frame, groups=("g10", "g21"))


# --- identical twins and clones ---------------------------------------------------------------------------------------

TWINS = """id,sire,dam,sex,twin_of
a,,,M,
b,,,F,
c,a,b,,
t,a,b,F,c
u,0,,F,t
d,a,u,M,
e,d,t,F,
"""


def twinned(text: str = TWINS) -> Pedigree:
    return Pedigree.from_frame(Table(pl.read_csv(text.encode(), infer_schema=False), "p.csv", 2))


def test_twins_are_one_animal() -> None:
    pedigree = twinned()
    plain = twinned("id,sire,dam,sex\na,,,M\nb,,,F\nc,a,b,F\nd,a,c,M\ne,d,c,F\n")
    assert pedigree.ids.to_list() == plain.ids.to_list()
    assert pedigree.sire.tolist() == plain.sire.tolist()
    assert pedigree.dam.tolist() == plain.dam.tolist()
    assert pedigree.sex is not None
    assert pedigree.sex.tolist() == [1, 2, 2, 1, 2]
    assert pedigree.twins.rows() == [("t", "c", 2), ("u", "c", 2)]
    assert (pedigree.report.animals, pedigree.report.rows, pedigree.report.twins) == (5, 7, 2)
    assert pedigree.positions_of(pl.Series(["u", "c", "e", "z", None])).tolist() == [2, 2, 4, -1, -1]
    assert pedigree.known_positions_of(["t", "a"]).tolist() == [2, 0]
    assert pedigree.to_frame()["animal"].to_list() == ["a", "b", "c", "d", "e", "t", "u"]
    assert pedigree.to_frame().row(6) == ("u", "a", "b", 0.0)
    assert "identical twins 2" in str(pedigree)


def test_twins_in_any_order_and_parents_that_are_twins() -> None:
    pedigree = twinned("id,sire,dam,clone_of\ny,k2,,x\nx,k1,,\nk2,,,k1\nz,y,,\nk1,,,\n")
    assert pedigree.ids.to_list() == ["k1", "x", "z"]
    assert pedigree.sire.tolist() == [-1, 0, 1]
    assert pedigree.twins.rows() == [("y", "x", 1), ("k2", "k1", 0)]


def test_twins_go_with_their_original() -> None:
    pedigree = twinned()
    pruned = pedigree.ancestors_of(["u"])
    assert pruned.ids.to_list() == ["a", "b", "c"]
    assert pruned.twins.rows() == [("t", "c", 2), ("u", "c", 2)]
    assert pedigree.ancestors_of(["a"]).twins.is_empty()
    assert pedigree.with_founders(pl.Series(["new"])).twins.height == 2
    assert pedigree.male_ancestors_of(["d"]).twins.is_empty()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "a,,,M,\nt,,,M,x\n",
            r"identical twins: p\.csv:3 't' shares the genotype of 'x', which has no row here -> correct",
        ),
        ("a,,,M,a\n", r"identical twins: p\.csv:2 'a' is by 'a' a twin of itself -> correct"),
        (
            "a,,,M,b\nb,,,M,c\nc,,,M,a\n",
            r"identical twins: p\.csv:2 'a' is by 'b', 'c', 'a' a twin of itself -> correct",
        ),
        ("a,,,M,\nt,,,F,a\n", r"p\.csv:3 't' has the sex F, but p\.csv:2 'a', whose genotype it shares, M -> correct"),
        (
            "s,,,M,\na,,,M,\nt,s,,M,a\n",
            r"p\.csv:4 't' has the sire 's', but p\.csv:3 'a', whose genotype it shares, unknown -> correct",
        ),
        (
            "a,,y,M,\nt,,x,M,a\n",
            r"p\.csv:3 't' has the dam 'x', but p\.csv:2 'a', whose genotype it shares, 'y' -> correct",
        ),
    ],
)
def test_twins_that_are_refused(rows: str, message: str) -> None:
    with pytest.raises(PedigreeError, match=message):
        twinned("id,sire,dam,sex,twin_of\n" + rows)


def test_many_wrong_twins_are_counted() -> None:
    rows = "".join(f"t{k},,,,x{k}\n" for k in range(12))
    with pytest.raises(
        PedigreeError, match=r"'t9' shares the genotype of 'x9', which has no row here and 2 more -> correct"
    ):
        twinned("id,sire,dam,sex,twin_of\n" + rows)


def test_a_model_with_twins_is_that_with_records_recoded() -> None:
    records = pl.DataFrame({"animal": ["c", "t", "u", "d", "e", "b"], "y": [3.0, 5.0, 4.0, 2.0, 6.0, 1.0]})
    model = bb.Model.from_formula("y ~ (1 | animal)")
    variances = bb.VarianceComponents({"animal": 1.0}, residual=2.0)
    found = bb.evaluate(model, records, variances, relationships={"animal": twinned()})
    recoded = records.with_columns(pl.col("animal").replace({"t": "c", "u": "c"}))
    plain = twinned("id,sire,dam,sex\na,,,M\nb,,,F\nc,a,b,F\nd,a,c,M\ne,d,c,F\n")
    expected = bb.evaluate(model, recoded, variances, relationships={"animal": plain})
    assert found.ebv[:5].equals(expected.ebv)
    assert found.ebv["id"].to_list() == ["a", "b", "c", "d", "e", "t", "u"]
    for twin in (5, 6):
        assert found.ebv[twin].drop("id").equals(found.ebv[2].drop("id"))
    assert found.random("animal")["level"].to_list() == found.ebv["id"].to_list()
    assert any("animal: identical twins and clones have the level of the animal" in note for note in found.notes)
    by_twin, by_original = (bb.rebase(one, bb.BaseIds.of(ids)) for one, ids in ((found, ["t"]), (expected, ["c"])))
    assert by_twin.ebv[:5].equals(by_original.ebv)
    assert bb.rebase(found, bb.BaseFounders()).ebv[:5].equals(bb.rebase(expected, bb.BaseFounders()).ebv)


# --- the benchmark ----------------------------------------------------------------------------------------------------


def test_the_benchmark_measures_and_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    script, floor = importlib.import_module("kernel_reading"), importlib.import_module("floor")

    def run_here(_: str, path: str, tiny: str, repeats: str) -> dict[str, float]:
        measured: dict[str, float] = script.measure_file(Path(path), Path(tiny), int(repeats))
        return measured | {"grown": 1e6}  # the peak of this process is not that of the reading

    monkeypatch.setattr(script, "run_in_child", run_here)
    runs = [script.measure(animals, 1) for animals in (2000, 4000)]
    assert runs[0]["birth ids"] == 12 * 2000
    table = script.rows(runs, floor.Floors(*[1e9] * 7))
    assert table.count("| 2,000 | by birth |") == 2
    assert "Growth from 2,000 animals: by birth " in table
