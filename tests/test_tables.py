"""Tables from files: what is read stays as written, what would be read wrongly is refused with its line."""

import gzip
from pathlib import Path

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breedblup.errors import InputError
from breedblup.io import delimited
from breedblup.io.delimited import inspect_layout
from breedblup.io.tables import read_pedigree, read_records, read_table

PATHOLOGICAL = Path(__file__).parent / "refs" / "pathological"


def write(folder: Path, content: bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_cells_are_text_as_written(tmp_path):
    table = read_table(write(tmp_path, "id,n\n001, 1.50 \nÄ b,\n𝛼,1e3\n".encode()))
    assert table.frame.to_dict(as_series=False) == {"id": ["001", "Ä b", "𝛼"], "n": [" 1.50 ", None, "1e3"]}
    assert (table.name, table.first_line, table.backend) == ("t.csv", 2, "polars")
    assert table.where(2) == "t.csv:4"


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,2\n3,\n",
        b"a,b\n1,2\n3,",
        b"a,b\r\n1,2\r\n3,\r\n",
        b"a,b\r\n1,2\r\n3,",
        b"a,b\n1,2\r\n3,\n",
        b"a\tb\n1\t2\n3\t\n",
        b"a;b\n1;2\n3;\n",
        b"\xef\xbb\xbfa,b\n1,2\n3,\n",
        b'\xef\xbb\xbf"a","b"\n"1","2"\n"3",""\n',
        b" a , b\n1,2\n3,\n",
        b"a,b\n1,2\n3,\n\n\n",
        b"a,b\n1,2\n3,\n\r\n\r\n",
        b"a,b,\n1,2,\n3,,\n",
        b'"a","b",\r\n1,"2",\r\n3,"",\r\n',
    ],
)
def test_variants_of_one_table(tmp_path, content):
    expected = {"a": ["1", "3"], "b": ["2", None]}
    assert read_table(write(tmp_path, content)).frame.to_dict(as_series=False) == expected
    packed = write(tmp_path, gzip.compress(content), "t.csv.gz")
    assert read_table(packed).frame.to_dict(as_series=False) == expected


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_quotes_protect_delimiters_and_quotes(tmp_path, delimiter):
    line = f'"Kalb{delimiter} Jr."{delimiter}"5 "" x"{delimiter}""""\n'
    table = read_table(write(tmp_path, f'"a{delimiter}z"{delimiter}b{delimiter}c\n{line}'.encode()))
    assert table.frame.rows() == [(f"Kalb{delimiter} Jr.", '5 " x', '"')]
    assert table.frame.columns == [f"a{delimiter}z", "b", "c"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"t\.csv: the file is empty$"),
        (b"\xef\xbb\xbf", r"t\.csv: the file is empty$"),
        (b"\n1,2\n", r"t\.csv:1: the line is empty where the names of the columns belong$"),
        (b"a,b\r1,2\r", r"t\.csv:1: lines end in CR alone .* save the file with LF or CRLF"),
        (b"a,,b,,c\n", r"t\.csv:1: no name for column 2, 4 of 5; name every column$"),
        (b'a,"b\n1,2\n', r"t\.csv:1: a quote is opened in the header and not closed$"),
        (
            b"1,,\n2,,\n",
            r"t\.csv:1: no name for column 2 of 3; name every column\. The first line reads '1', '', '': if ",
        ),
        (
            b"1,0,0\n2,0,0\n",
            r"t\.csv:1: more than one column is called '0'; .* such as animal, sire, dam, is not found",
        ),
        (b"a,b,a\n1,2,3\n", r"t\.csv:1: more than one column is called 'a'; rename or remove one$"),
        (b"a,b\n1,2\n3\n4,5\n", r"t\.csv:3: the header has 2 comma-separated columns, this line 1; add or remove"),
        (b"a,b\n1,2\n3,4,5\n", r"t\.csv:3: the header has 2 comma-separated columns, this line 3;"),
        (b"a\tb\n1\t2\n3\n4\t5\t6\n", r"t\.csv:3: the header has 2 tab-separated columns, this line 1;"),
        (b"a;b\n1;2;3\n4\n", r"t\.csv:2: the header has 2 semicolon-separated columns, this line 3;"),
        (b'a,b\n"1,2"\n3,4,5\n', r"t\.csv:2: the header has 2 comma-separated columns, this line 1;"),
        (b"a,b\n1,2\n\n3,4\n", r"t\.csv:3: the line is empty; remove it$"),
        (b'a,b\n1,x"y\n', r"t\.csv:2: a quote stands inside a cell, or is not closed on its line; write the cell as"),
        (b'a,b\n1,x"y"z\n', r"t\.csv:2: a quote stands inside a cell"),
        (b'a,b\n1, "2,3"\n', r"t\.csv:2: a quote stands inside a cell"),
        (b'a,b\n1,"2" \n', r"t\.csv:2: a quote stands inside a cell"),
        (b'a,b\n1,"2\n3,4\n', r"t\.csv:2: a quote stands inside a cell, or is not closed"),
        (b'a,b\n1,"2\n3",4\n', r"t\.csv:2: a quote stands inside a cell, or is not closed"),
        (b"a,b,\n1,2,\n1,2,x\n", r"t\.csv:3: the last column has values and no name; name it in the header$"),
        (b"a,b\n1,2\n\xe4,2\n", r"t\.csv:3: byte 0xE4 is not UTF-8; convert the file, for example: iconv "),
        (b"a,\xff\n1,2\n", r"t\.csv:1: byte 0xFF is not UTF-8"),
        (b"a,b\n1,2\n\0,2\n", r"t\.csv:3: the file holds NUL bytes: it is no text in UTF-8 but UTF-16, a spreadsheet"),
        ("a,b\n1,2\n".encode("utf-16"), r"t\.csv:1: the file holds NUL bytes"),
    ],
)
def test_refused_with_the_line(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_table(write(tmp_path, content))
    if content:
        with pytest.raises(InputError, match=message):
            read_table(write(tmp_path, gzip.compress(content), "t.csv"))


def test_damaged_gzip(tmp_path):
    path = write(tmp_path, gzip.compress(b"a,b\n" + b"1,2\n" * 1000)[:-9], "t.csv.gz")
    with pytest.raises(InputError, match=r"t\.csv\.gz: the compressed file is damaged or cut short; copy it again"):
        read_table(path)


def test_a_fault_is_found_in_any_block(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK", 16)
    rows = [b'"%d","x, y"' % number for number in range(40)]
    path = write(tmp_path, b"a,b\n" + b"\n".join(rows) + b"\n\n\n")
    assert len(read_table(path)) == 40
    for bad, what in (
        (b"1", "this line 1"),
        (b'1,"2', "a quote stands"),
        (b"", "the line is empty"),
        (b"1,2\0", "NUL"),
    ):
        broken = [*rows[:25], bad, *rows[25:]]
        with pytest.raises(InputError, match=rf"t\.csv:27: .*{what}"):
            read_table(write(tmp_path, b"a,b\n" + b"\n".join(broken)))


TEXT = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=5)


@given(rows=st.lists(st.tuples(TEXT, TEXT), max_size=6), delimiter=st.sampled_from(",;\t"), newline=st.booleans())
def test_written_cells_are_read_back(tmp_path_factory, rows, delimiter, newline):
    quoted = [delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in [("a", "b"), *rows]]
    path = tmp_path_factory.getbasetemp() / "quoted.csv"
    path.write_bytes("\n".join(quoted).encode() + b"\n" * newline)
    assert read_table(path).frame.rows() == [tuple(cell or None for cell in row) for row in rows]


def test_header_only(tmp_path):
    for content in (b"a,b\n", b"a,b"):
        table = read_table(write(tmp_path, content))
        assert len(table) == 0
        assert table.frame.schema == {"a": pl.String, "b": pl.String}


def test_one_column_keeps_empty_cells_inside(tmp_path):
    assert read_table(write(tmp_path, b"id\n1\n\n2\n\n")).frame.rows() == [("1",), (None,), ("2",)]


def test_parquet_keeps_types(tmp_path):
    frame = pl.DataFrame({"id": ["001", None], "milk": [1.5, 2.0], "parity": [1, 2]})
    frame.write_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.typed
    assert table.frame.equals(frame)
    assert table.where(1) == "t.parquet row 1"


def test_parquet_cut_short(tmp_path):
    pl.DataFrame({"id": list(range(100))}).write_parquet(tmp_path / "t.parquet")
    path = write(tmp_path, (tmp_path / "t.parquet").read_bytes()[:-20], "cut.parquet")
    with pytest.raises(InputError, match=r"cut\.parquet: not a whole Parquet file \(.+\); write it again"):
        read_table(path)
    with pytest.raises(InputError, match=r"text\.parquet: not a whole Parquet file"):
        read_table(write(tmp_path, b"a,b\n1,2\n", "text.parquet"))


def test_files_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"x\.csv: there is no such file in "):
        read_table("x.csv")
    with pytest.raises(InputError, match=r"no/x\.csv: there is no such file, nor the folder no$"):
        read_table("no/x.csv")
    with pytest.raises(InputError, match=r"x\.csv: there is no such file$"):
        read_table(tmp_path / "x.csv")
    with pytest.raises(InputError, match=r"this is a folder; name a file in it$"):
        read_table(tmp_path)
    with pytest.raises(InputError, match=r"the file cannot be read: File name too long"):
        read_table(tmp_path / ("x" * 300))


def test_records_from_a_path_or_any_frame(tmp_path):
    expected = [("1", "2")]
    for source in (
        write(tmp_path, b"a,b\n1,2\n"),
        str(write(tmp_path, b"a,b\n1,2\n")),
        pl.DataFrame({"a": ["1"], "b": ["2"]}),
        pd.DataFrame({"a": ["1"], "b": ["2"]}),
    ):
        assert read_records(source).frame.rows() == expected
    with pytest.raises(InputError, match=r"records: a data frame is needed, not list; files are read"):
        read_records([1, 2])


def test_pedigree_from_a_path_or_any_frame(tmp_path):
    path = write(tmp_path, b"animal,sire,dam\n3,1,2\n")
    for source in (path, read_table(path), read_table(path).frame, read_table(path).frame.to_pandas()):
        pedigree = read_pedigree(source)
        assert sorted(pedigree.ids.to_list()) == ["1", "2", "3"]
        assert np.count_nonzero(pedigree.sire >= 0) == 1


@pytest.mark.parametrize("name", ["trailing_delimiter.csv", "crlf.csv", "bom.csv", "tab.txt", "no_final_newline.csv"])
def test_odd_but_sound_files(name):
    table = read_table(PATHOLOGICAL / name)
    assert table.frame.columns == ["animal", "sire", "dam"]
    assert table.frame["animal"].to_list() == ["1", "2", "3"]
    assert table.frame.rows()[2] == ("3", "1", "2")


def test_ids_are_byte_identical():
    path = PATHOLOGICAL / "ids_spaces_utf8.csv"
    assert read_table(path).frame["animal"].to_list() == ["Stier Älpler", "Kuh Zoë", "Kalb, Jr.", "牛3"]
    assert read_table(PATHOLOGICAL / "ids_leading_zeros.csv").frame["animal"].to_list()[:3] == ["001", "1", "01"]


def test_what_the_reader_itself_cannot_say(tmp_path):
    layout = inspect_layout(write(tmp_path, b"a,b\n1,2\n"))
    with pytest.raises(InputError, match=r"t\.csv: the file cannot be read as delimited text: because$"):
        delimited.refuse_first_fault(tmp_path / "t.csv", layout, "because")


def test_a_frame_that_needs_pyarrow(monkeypatch):
    def absent(frame):
        raise ImportError("pyarrow is required")

    monkeypatch.setattr(nw.DataFrame, "to_polars", absent)
    with pytest.raises(
        InputError, match=r"records: a pandas frame needs pyarrow here: pip install pyarrow \(pyarrow is"
    ):
        read_records(pd.DataFrame({"a": ["1"]}))
