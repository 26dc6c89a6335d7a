"""Where the cells of a pedigree come from: blocks of text, whatever it lies in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.frames import Table

_ROWS = 1 << 16
"""Rows of a block of a data frame."""


@dataclass(frozen=True, slots=True)
class CellBlock:
    """Some rows: bytes of UTF-8, and where the cells of some columns begin and stop in them.

    ``words`` are the bytes as 64-bit words, one to spare; ``starts`` and ``stops`` are columns × rows, equal in an empty cell;
    ``ids`` is the first column as text; ``expected`` how many rows there may be in all.
    """

    words: NDArray[np.uint64]
    starts: NDArray[np.int32]
    stops: NDArray[np.int32]
    ids: pl.Series
    expected: int

    @property
    def rows(self) -> int:
        """Rows of the block."""
        return int(self.starts.shape[1])


class Cells(Protocol):
    """A table whose columns can be read as text, block by block, the first of those asked for as a series too.

    ``places`` names rows for people: an empty table of the same name and first line.
    """

    @property
    def places(self) -> Table: ...

    @property
    def columns(self) -> Sequence[str]: ...

    def blocks(self, columns: Sequence[str]) -> Iterator[CellBlock]:
        """All rows of some columns, in order."""
        ...

    def dates(self, column: str) -> pl.Series | None:
        """A column of dates that has that type already; None for text and numbers."""
        ...


@dataclass(frozen=True, slots=True)
class TableCells:
    """The cells of a table in memory."""

    places: Table

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""
        return self.places.frame.columns

    def dates(self, column: str) -> pl.Series | None:
        """A column of dates or times, as dates."""
        series = self.places.column(column)
        return series.cast(pl.Date) if series.dtype in (pl.Date, pl.Datetime) else None

    def blocks(self, columns: Sequence[str]) -> Iterator[CellBlock]:
        """All rows, some at a time."""
        series = [self.places.column(column) for column in columns]
        text = [s if s.dtype == pl.String else self.places.text(c) for s, c in zip(series, columns, strict=True)]
        for begin in range(0, len(self.places), _ROWS):
            yield text_block([column.slice(begin, _ROWS) for column in text], len(self.places))


def text_block(columns: Sequence[pl.Series], expected: int) -> CellBlock:
    """A block made of columns of text."""
    joined = [(column.str.join("").item() or "").encode() for column in columns]
    lengths = np.array([column.str.len_bytes().fill_null(0).to_numpy() for column in columns], dtype=np.int64)
    stops = np.cumsum(lengths.ravel()).reshape(lengths.shape)
    content = np.frombuffer(b"".join(joined), dtype=np.uint8)
    words = np.zeros(content.size // 8 + 2, dtype=np.uint64)
    words.view(np.uint8)[: content.size] = content
    return CellBlock(words, (stops - lengths).astype(np.int32), stops.astype(np.int32), columns[0], expected)
