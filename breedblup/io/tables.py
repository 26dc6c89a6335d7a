"""Tables from files: delimited text and Parquet.

Text files have a header line; comma, tab or semicolon is recognised from it. They are UTF-8, with or without a
byte-order mark, with LF or CRLF line ends, perhaps compressed by gzip. All cells are text, byte for byte as written; an
empty cell is missing. A last column without a name and without values, which a delimiter at the end of every line
makes, is left out. What would be read wrongly is refused (`breedblup.io.delimited`). Parquet files keep their types.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import polars as pl

from breedblup.errors import InputError
from breedblup.frames import Table, as_table
from breedblup.io.cells import NotPlainError, plain_cells
from breedblup.io.delimited import Layout, inspect_layout, refuse_first_fault
from breedblup.pedigree import MISSING_PARENTS, Pedigree, PedigreeColumns, PedigreeRules, PhantomParents

_PARQUET_MAGIC = b"PAR1"


def read_table(path: str | PathLike[str]) -> Table:
    """Read a delimited text file or a Parquet file, recognised by its content.

    Raises
    ------
    InputError
        If there is no such file or it cannot be read; if it is empty, not UTF-8, has a column without a name or two of
        one name, or a line whose number of cells is not that of the header.
    """
    place = Path(fspath(path))
    return _read_parquet(place) if _is_parquet(place) else _read_text(place)


def _is_parquet(place: Path) -> bool:
    """Whether a file is Parquet, by its content or name; `InputError` where there is nothing to read."""
    try:
        with place.open("rb") as file:
            start = file.read(len(_PARQUET_MAGIC))
    except FileNotFoundError:
        raise InputError(f"{place}: there is no such file{_neighbour(place)}") from None
    except IsADirectoryError:
        raise InputError(f"{place}: this is a folder; name a file in it") from None
    except OSError as wrong:
        raise InputError(f"{place}: the file cannot be read: {wrong.strerror}") from None
    if not start:
        raise InputError(f"{place.name}: the file is empty")
    return start == _PARQUET_MAGIC or place.suffix == ".parquet"


def read_records(source: Any) -> Table:
    """The records of an evaluation: a path, any data frame, or a `Table`."""
    return _read(source, "records")


def read_pedigree(
    source: Any,
    *,
    columns: PedigreeColumns = PedigreeColumns(),
    missing_parents: Sequence[str] = MISSING_PARENTS,
    rules: PedigreeRules = PedigreeRules(),
    groups: Sequence[str] | PhantomParents = (),
) -> Pedigree:
    """Read and check a pedigree.

    Parameters
    ----------
    source
        Path of a CSV or Parquet file, any data frame, or a `Table`: one row per animal.
    columns
        Names of the columns; those not given are recognised (`animal, sire, dam`; `sex` and `birth` where present).
    missing_parents
        What stands for an unknown parent.
    rules
        What is an error, what a warning and what is repaired.
    groups
        Codes in the parent columns that name groups of unknown parents, or `PhantomParents` (`read_phantom_parents`).

    Examples
    --------
    >>> import polars as pl
    >>> read_pedigree(pl.DataFrame({"animal": ["a", "b"], "sire": ["0", "a"], "dam": ["0", "0"]})).ids.to_list()
    ['a', 'b']
    """
    how: dict[str, Any] = {"columns": columns, "missing_parents": missing_parents, "rules": rules, "groups": groups}
    if isinstance(source, str | PathLike):
        place = Path(fspath(source))
        if not _is_parquet(place):
            try:
                return Pedigree.from_cells(plain_cells(place), **how)
            except NotPlainError:
                pass  # it is read as a table, which also says what is wrong
    return Pedigree.from_frame(_read(source, "pedigree"), **how)


def read_phantom_parents(source: Any) -> PhantomParents:
    """Phantom parents and what each owes to the groups of unknown parents, for `read_pedigree`.

    Parameters
    ----------
    source
        Path of a CSV or Parquet file, any data frame, or a `Table`: the first column names the phantom parent as the parent
        columns of the pedigree do, the others are the groups, their cells the shares.
    """
    return PhantomParents.of_table(_read(source, "phantom parents"))


def _read(source: Any, name: str) -> Table:
    """A table from a path or a frame; ``name`` is the role that a frame is called by."""
    return read_table(source) if isinstance(source, str | PathLike) else as_table(source, name)


def _neighbour(place: Path) -> str:
    """A hint at what is there instead of a missing file."""
    if not place.parent.is_dir():
        return f", nor the folder {place.parent}"
    return "" if place.is_absolute() else f" in {Path.cwd()}"


def _read_parquet(place: Path) -> Table:
    try:
        return Table(pl.read_parquet(place), place.name)
    except (pl.exceptions.PolarsError, OSError) as wrong:
        raise InputError(f"{place.name}: not a whole Parquet file ({_first_line(wrong)}); write it again") from None


def _read_text(place: Path) -> Table:
    layout = inspect_layout(place)
    try:
        frame = pl.read_csv(place, separator=layout.delimiter, infer_schema=False)
    except pl.exceptions.PolarsError as wrong:
        refuse_first_fault(place, layout, _first_line(wrong))
    frame.columns = list(layout.columns)
    frame = frame.head(layout.rows)
    if layout.quoted:
        filled = pl.all()
        frame = frame.with_columns(pl.when(filled != "").then(filled))
    return Table(_without_empty_column(place.name, layout, frame), place.name, first_line=2)


def _without_empty_column(name: str, layout: Layout, frame: pl.DataFrame) -> pl.DataFrame:
    """Leave out the column that a delimiter at the end of every line makes."""
    if layout.columns[-1]:
        return frame
    filled = frame[""].is_not_null().arg_true()
    if len(filled):
        raise InputError(f"{name}:{filled[0] + 2}: the last column has values and no name; name it in the header")
    return frame.drop("")


def _first_line(wrong: Exception) -> str:
    return str(wrong).partition("\n")[0].strip()
