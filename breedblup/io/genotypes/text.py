"""Calls as text: one animal a line, read some lines at a time and packed at once."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, counted
from breedblup.frames import MISSING_VALUES
from breedblup.genotypes.genotypes import Genotypes
from breedblup.genotypes.markers import marker_table, refuse_duplicates
from breedblup.io.delimited import read_header
from breedblup.io.genotypes.fields import check_file
from breedblup.io.genotypes.lines import LineBlock, count_lines, line_blocks
from breedblup.kernels.genotype_packing import MISSING, STRANGE, add_animals, cut_cells, cut_digits

BLUPF90_MISSING = "5"

_CALLS = 1 << 22
"""Calls that are expanded at a time."""

_DELIMITERS = "\t;,"
_BLANKS = re.compile(rb"[ \t]+")
_WORDS = {"\t": "tab-separated", ";": "semicolon-separated", ",": "comma-separated", "": "blank-separated"}


@dataclass(frozen=True)
class _Cells:
    """What the cells of a line are: an id, then ``width`` calls, ``extra`` of which is an empty one behind them."""

    name: str
    delimiter: str
    width: int
    extra: int
    missing: tuple[str, ...]
    header: bool


def first_line(path: Path) -> str:
    """The first line of a text file, without its end and a byte-order mark.

    Raises
    ------
    GenotypeError
        If there is no such file, it is empty, or no text.
    """
    block = next(line_blocks(check_file(path)))
    text = block.text[block.starts[0] : block.stops[0]]
    return _decoded(path.name, 1, text)


def delimiter_of(line: str) -> str:
    """What separates the cells of a line; nothing where blanks do."""
    found = max(_DELIMITERS, key=line.count)
    return found if found in line else ""


def are_calls(cells: Sequence[str], missing: Sequence[str]) -> bool:
    """Whether all of some cells are calls, as in a file without a header."""
    return bool(cells) and all(cell in ("0", "1", "2", *MISSING_VALUES, *missing) for cell in cells)


def read_call_table(
    path: Path, missing: Sequence[str], header: bool, listed: Callable[[int | list[str]], pl.DataFrame]
) -> Genotypes:
    """Calls between commas, tabs, semicolons or blanks, one animal a line, its id first.

    Parameters
    ----------
    missing
        Codes of a missing call beside those of any table.
    header
        Whether the first line names the markers.
    listed
        The table of markers from their names, or from their number where there is no header.

    Raises
    ------
    GenotypeError
        If a line has not as many cells as the first, or a cell is no call.
    """
    line = first_line(path)
    delimiter = delimiter_of(line)
    cells = _split(line, delimiter)
    if header and are_calls(cells[1:], missing):
        raise GenotypeError(
            f'{path.name}:1: calls where a header with the names of the markers belongs -> add it, or read with format="rows"'
        )
    columns = list(read_header(path.name, line.encode())[0]) if header and delimiter else cells
    extra = int(columns[-1] == "" and len(columns) > 1 and bool(delimiter))
    width = len(columns) - 1 - extra
    if width < 1:
        raise GenotypeError(
            f"{path.name}:1: {line[:40]!r} is an id and no call -> separate calls by comma, tab or blank"
        )
    markers = listed(columns[1 : 1 + width] if header else width)
    refuse_duplicates(markers["marker"], "marker", f"{path.name}, markers,", None, "name them apart")
    layout = _Cells(path.name, delimiter, width, extra, (*MISSING_VALUES, *missing), header)
    return _packed(path, markers, int(header), lambda block, ids: _cut_table(block, layout, markers, ids))


def read_fixed_calls(
    path: Path, missing: Sequence[str], listed: Callable[[int | list[str]], pl.DataFrame]
) -> Genotypes:
    """Calls of one character each without anything between, all beginning in one column, behind the id (BLUPF90).

    Raises
    ------
    GenotypeError
        If a line has more or fewer calls than the first, they begin elsewhere, or one is none of 0, 1, 2 and 5.
    """
    line = first_line(path)
    begin, calls = _cut_fixed(path.name, 1, line.encode())
    markers = listed(len(calls))
    call_of = np.full(256, STRANGE, dtype=np.int8)
    for call in (0, 1, 2):
        call_of[ord("0") + call] = call
    for code in (BLUPF90_MISSING, *missing):
        if len(code.encode()) != 1:
            raise GenotypeError(f"{path.name}: missing code {code!r} -> in this format a code is one character")
        call_of[ord(code)] = MISSING
    return _packed(
        path, markers, 0, lambda block, ids: _cut_digits(path.name, block, begin, call_of, markers["marker"], ids)
    )


def numbered_markers(names: int | list[str]) -> pl.DataFrame:
    """Markers by name, or M1, M2, … where only their number is known."""
    return marker_table([f"M{j + 1}" for j in range(names)] if isinstance(names, int) else names)


def _packed(
    path: Path, markers: pl.DataFrame, header: int, cut: Callable[[LineBlock, list[str]], NDArray[np.int8]]
) -> Genotypes:
    """Calls of a file, block by block; ``cut`` makes those of a block and appends its ids."""
    last = count_lines(path)
    n = last - header
    if not n:
        raise GenotypeError(f"{path.name}: a header and no animals -> write it again")
    packed = np.zeros((markers.height, -(-n // 4)), dtype=np.uint8)
    ids: list[str] = []
    for whole in line_blocks(path):
        begin = max(0, header + 1 - whole.first)
        stop = min(whole.starts.size, last + 1 - whole.first)
        step = max(1, _CALLS // max(1, markers.height))
        for first in range(begin, stop, step):
            part = slice(first, min(first + step, stop))
            block = LineBlock(whole.text, whole.starts[part], whole.stops[part], whole.first + first)
            before = len(ids)
            add_animals(cut(block, ids), before, packed)
    names = pl.Series("id", ids, dtype=pl.String)
    refuse_duplicates(names, "animal", path.name, header + 1, "give each animal one line")
    return Genotypes.from_store(names, markers, packed, source=path.name)


def _cut_table(block: LineBlock, layout: _Cells, markers: pl.DataFrame, ids: list[str]) -> NDArray[np.int8]:
    """Calls of a block between delimiters; ids are appended."""
    begins = np.empty(block.starts.size, dtype=np.int64)
    for i, (start, stop) in enumerate(zip(block.starts.tolist(), block.stops.tolist(), strict=True)):
        line = block.text[start:stop]
        if not line.strip():
            raise GenotypeError(f"{layout.name}:{block.first + i}: the line is empty -> remove it")
        text, length = _cut_id(line, layout.delimiter)
        ids.append(_decoded(layout.name, block.first + i, text))
        begins[i] = start + length
    codes = [code.encode() for code in layout.missing]
    calls = np.empty((begins.size, layout.width + layout.extra), dtype=np.int8)
    cells = np.empty(begins.size, dtype=np.int64)
    cut_cells(
        np.frombuffer(block.text, dtype=np.uint8),
        begins,
        block.stops,
        ord(layout.delimiter or "\0"),
        np.frombuffer(b"".join(codes), dtype=np.uint8),
        np.cumsum([len(code) for code in codes]),
        calls,
        cells,
    )
    _check_cells(block, layout, markers["marker"], begins, calls, cells)
    return np.ascontiguousarray(calls[:, : layout.width]) if layout.extra else calls


def _check_cells(
    block: LineBlock,
    layout: _Cells,
    markers: pl.Series,
    begins: NDArray[np.int64],
    calls: NDArray[np.int8],
    cells: NDArray[np.int64],
) -> None:
    """Refuse the first line with more or fewer cells than there should be, or the first cell that is no call."""
    uneven = np.flatnonzero(cells != calls.shape[1])
    if uneven.size:
        i = int(uneven[0])
        first = "the header" if layout.header else "the first line"
        raise GenotypeError(
            f"{layout.name}:{block.first + i}: {counted(int(cells[i]) + 1, 'cell')}, where {first} has {calls.shape[1] + 1} "
            f"({_WORDS[layout.delimiter]}) -> add or remove the difference"
        )
    filled = np.flatnonzero(calls[:, -1] != MISSING) if layout.extra else uneven
    if filled.size:
        raise GenotypeError(
            f"{layout.name}:{block.first + int(filled[0])}: a call in the last column, which the header gives no name -> name it"
        )
    if calls.min(initial=0) == STRANGE:
        i, j = np.argwhere(calls == STRANGE)[0].tolist()
        line = block.text[begins[i] : block.stops[i]]
        cell = line.split(layout.delimiter.encode() or None)[j].decode(errors="replace")
        _refuse_cell(layout.name, block.first + i, markers[j], cell)


def _cut_digits(
    name: str, block: LineBlock, begin: int, call_of: NDArray[np.int8], markers: pl.Series, ids: list[str]
) -> NDArray[np.int8]:
    m = len(markers)
    for i, (start, stop) in enumerate(zip(block.starts.tolist(), block.stops.tolist(), strict=True)):
        line = block.text[start:stop]
        at, calls = _cut_fixed(name, block.first + i, line)
        if at != begin:
            raise GenotypeError(
                f"{name}:{block.first + i}: the calls begin in column {at + 1}, those of the first line in {begin + 1} -> "
                "let all begin in the same column"
            )
        if len(calls) != m:
            raise GenotypeError(
                f"{name}:{block.first + i}: {counted(len(calls), 'call')}, where the first line has {m} -> add or remove the "
                "difference"
            )
        ids.append(_decoded(name, block.first + i, line[:at].strip()))
    made = np.empty((block.starts.size, m), dtype=np.int8)
    cut_digits(np.frombuffer(block.text, dtype=np.uint8), block.starts + begin, call_of, made)
    if made.min() == STRANGE:
        i, j = np.argwhere(made == STRANGE)[0].tolist()
        at = int(block.starts[i]) + begin + j
        _refuse_cell(name, block.first + i, markers[j], block.text[at : at + 1].decode(errors="replace"))
    return made


def _cut_fixed(name: str, number: int, line: bytes) -> tuple[int, bytes]:
    """Where the calls of a line begin, and they themselves."""
    parts = line.split()
    if len(parts) != 2:
        raise GenotypeError(
            f"{name}:{number}: {len(parts)} words, where an id and its calls belong, without blanks in them -> correct the line"
        )
    return line.rindex(parts[1]), parts[1]


def _refuse_cell(name: str, line: int, marker: str, cell: str) -> None:
    if re.fullmatch(r"[01]?\.\d+", cell):
        found = "is a dosage; nothing is rounded here -> write the call, or NA where none is certain"
    else:
        found = (
            'is no call -> calls are 0, 1 and 2; declare a code of missing ones, such as missing=["9"], or correct it'
        )
    raise GenotypeError(f"{name}:{line}: marker {marker!r}: {cell!r} {found}")


def _split(line: str, delimiter: str) -> list[str]:
    """Cells of a header, or of a first line."""
    return next(csv.reader([line], delimiter=delimiter)) if delimiter else line.split()


def _cut_id(line: bytes, delimiter: str) -> tuple[bytes, int]:
    """The id of a line, and where its calls begin."""
    if delimiter and line.startswith(b'"'):
        quoted = re.match(rb'"((?:[^"]|"")*)"', line)
        if quoted:
            return quoted[1].replace(b'""', b'"'), quoted.end() + 1
    if delimiter:
        text = line.partition(delimiter.encode())[0]
        return text, len(text) + 1
    stripped = line.lstrip(b" \t")
    text = _BLANKS.split(stripped, maxsplit=1)[0]
    return text, len(line) - len(stripped) + len(text)


def _decoded(name: str, line: int, text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise GenotypeError(f"{name}:{line}: the id is not UTF-8 -> convert the file") from None
