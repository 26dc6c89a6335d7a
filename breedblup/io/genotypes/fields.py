"""Small text files of columns between blanks or tabs, such as .bim and .fam: a row a line, nothing guessed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from breedblup.errors import GenotypeError
from breedblup.io.delimited import open_bytes

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def check_file(place: Path) -> Path:
    """The path of a file that is there and holds something.

    Raises
    ------
    GenotypeError
        Otherwise.
    """
    if place.is_dir():
        raise GenotypeError(f"{place}: this is a folder -> name a file in it")
    if not place.exists():
        raise GenotypeError(f"{place}: there is no such file -> correct the name")
    if not place.stat().st_size:
        raise GenotypeError(f"{place.name}: the file is empty -> write it again")
    return place


def read_fields(place: Path, columns: Sequence[str], kind: str) -> pl.DataFrame:
    """Columns of text between blanks or tabs, one row a line; `GenotypeError` for a line with fewer or more.

    Parameters
    ----------
    kind
        What such a file is called in messages.
    """
    with open_bytes(check_file(place)) as file:
        content = file.read().removeprefix(_BYTE_ORDER_MARK).rstrip()
    try:
        text = content.decode()
    except UnicodeDecodeError as wrong:
        line = content.count(b"\n", 0, wrong.start) + 1
        raise GenotypeError(f"{place.name}:{line}: a byte is not UTF-8 -> convert the file") from None
    lines = pl.Series("line", text.replace("\r", "").split("\n"), dtype=pl.String)
    cells = lines.str.strip_chars().str.replace_all(r"[ \t]+", "\t").str.split("\t")
    wrong_lines = ((cells.list.len() != len(columns)) | (lines.str.strip_chars() == "")).arg_true()
    if len(wrong_lines):
        row = wrong_lines[0]
        number = 0 if not lines[row].strip() else len(cells[row])
        raise GenotypeError(
            f"{place.name}:{row + 1}: {number} columns where {kind} has {len(columns)}: {', '.join(columns)} -> correct the "
            "line; what is not known is written 0, and no name holds a blank"
        )
    return pl.DataFrame([cells.list.get(k).alias(column) for k, column in enumerate(columns)])


def whole_numbers(place: Path, cells: pl.Series, what: str, first_line: int = 1) -> pl.Series:
    """Cells as whole numbers; `GenotypeError` naming the first that is none."""
    numbers = cells.cast(pl.Int64, strict=False)
    wrong = (numbers.is_null() & cells.is_not_null()).arg_true()
    if len(wrong):
        raise GenotypeError(
            f"{place.name}:{wrong[0] + first_line}: {what} {cells[wrong[0]]!r} is no whole number -> correct it"
        )
    return numbers


def unknown_zero(cells: pl.Series) -> pl.Series:
    """Text with null where it is 0."""
    return cells.set(cells == "0", None)
