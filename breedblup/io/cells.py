"""Cells of a plain delimited file, read in blocks: what a pedigree of many animals is coded from without a table of it.

Plain is a file without quotes below its header, with as many cells in each line as the header has, blank lines only at its
end, and text in UTF-8. All else is for `breedblup.io.tables`, which also says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import InputError
from breedblup.frames import Table
from breedblup.io.delimited import open_bytes, read_header
from breedblup.kernels import coding
from breedblup.pedigree.cells import CellBlock

_BLOCK = 1 << 21
_BEHIND = 16
"""Bytes to spare behind a block: a line end, and whole words of the last cell."""

_BETWEEN = 1
"""A byte that stands in no id, for a reader that wants to be told what separates columns where there is one."""

_TEXT, _DELIMITER, _LINE_END, _RETURN, _STRANGE = range(5)


class NotPlainError(InputError):
    """The file has to be read as a table; never seen by a user."""


@dataclass(frozen=True, slots=True)
class PlainCells:
    """The cells of a plain file."""

    path: Path
    columns: Sequence[str]
    delimiter: str

    @property
    def places(self) -> Table:
        """An empty table that names lines of the file."""
        return Table(pl.DataFrame(), self.path.name, first_line=2)

    def dates(self, column: str) -> pl.Series | None:
        """None: all cells are text."""
        return None

    def blocks(self, columns: Sequence[str]) -> Iterator[CellBlock]:
        """All rows, some at a time.

        Raises
        ------
        NotPlainError
            When a block is not plain.
        """
        marks = np.full(256, _TEXT, dtype=np.uint8)
        marks[[0, _BETWEEN, ord('"')]] = _STRANGE
        marks[ord("\r")], marks[ord("\n")], marks[ord(self.delimiter)] = _RETURN, _LINE_END, _DELIMITER
        wanted = np.array([columns.index(c) if c in columns else len(columns) for c in self.columns], dtype=np.int64)
        rows = consumed = 0
        for buffer, stop in _whole_lines(self.path):
            block = _cut(buffer, stop, marks, wanted, len(columns))
            rows, consumed = rows + block[0].shape[1], consumed + stop
            expected = max(rows, int(rows * self.path.stat().st_size / consumed))
            yield CellBlock(buffer.view(np.uint64), *block, _texts(buffer, block[0][0], block[1][0]), expected)


def plain_cells(path: Path) -> PlainCells:
    """The cells of a file, if its header lets it be plain.

    Raises
    ------
    InputError
        If there is something wrong with the header.
    """
    with open_bytes(path) as file:
        columns, delimiter = read_header(path.name, file.readline())
    if not columns[-1]:
        raise NotPlainError(f"{path.name}: the last column has no name")
    return PlainCells(path, columns, delimiter)


def _whole_lines(path: Path) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Blocks of whole lines below the header, each in a buffer of its own with bytes to spare, and where they stop."""
    with open_bytes(path) as file:
        file.readline()
        rest = np.empty(0, dtype=np.uint8)
        size = min(_BLOCK, path.stat().st_size)
        while True:
            buffer = np.zeros((rest.size + size + _BEHIND) // 8 * 8, dtype=np.uint8)
            buffer[: rest.size] = rest
            filled = rest.size + _fill(file, buffer.data[rest.size : rest.size + size])
            if filled < rest.size + size:
                content = buffer[:filled].tobytes().rstrip(b"\r\n")
                if content:
                    buffer[len(content)] = coding.LINE_FEED
                    buffer[len(content) + 1 :] = 0
                    yield buffer, len(content) + 1
                return
            stop = filled
            while stop and buffer[stop - 1] != coding.LINE_FEED:
                stop -= 1
            if not stop:
                raise NotPlainError(f"{path.name}: a line of more than {size} bytes")
            rest = buffer[stop:filled].copy()
            yield buffer, stop


def _fill(file: BinaryIO, buffer: memoryview) -> int:
    """Read until a buffer is full or the file ends."""
    filled = 0
    while filled < len(buffer) and (read := file.readinto(buffer[filled:])):  # type: ignore[attr-defined]
        filled += read
    return filled


def _cut(
    buffer: NDArray[np.uint8], stop: int, marks: NDArray[np.uint8], wanted: NDArray[np.int64], columns: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    lines, bits = coding.count_lines(buffer, 0, stop)
    starts, stops = (np.empty((columns + 1, lines), dtype=np.int32) for _ in range(2))
    if not coding.cut_cells(buffer, 0, stop, marks, wanted, starts, stops):
        raise NotPlainError("quotes, or lines that are not like the header")
    if bits >= 0x80:
        try:
            buffer[:stop].tobytes().decode()
        except UnicodeDecodeError:
            raise NotPlainError("not UTF-8") from None
    return starts[:columns], stops[:columns]


def _texts(buffer: NDArray[np.uint8], starts: NDArray[np.int32], stops: NDArray[np.int32]) -> pl.Series:
    """Cells of one column as a series."""
    joined = np.empty(int(stops.sum(dtype=np.int64) - starts.sum(dtype=np.int64)) + starts.size, dtype=np.uint8)
    coding.join_cells(buffer, starts, stops, joined)
    return pl.read_csv(
        joined.tobytes(),
        has_header=False,
        new_columns=["id"],
        infer_schema=False,
        quote_char=None,
        separator=chr(_BETWEEN),
    ).to_series()
