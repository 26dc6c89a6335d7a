"""Tables of results as text."""

from __future__ import annotations

from typing import Any

import polars as pl

from breedblup.frames import as_table

MOST_ROWS = 30
"""Rows that are shown of a long table."""


def table_lines(frame: Any, *, digits: int = 5, most: int = MOST_ROWS) -> list[str]:
    """A table as lines of text: numbers on the right, columns without a value and empty notes left out.

    Parameters
    ----------
    frame
        Any data frame.
    digits
        Significant digits of numbers.
    most
        Rows shown; a last line says how many there are beside.
    """
    table: pl.DataFrame = as_table(frame, "table").frame
    columns = []
    for series in table.head(most).iter_columns():
        numeric = series.dtype.is_numeric()
        shown = ["" if v is None else f"{v:.{digits}g}" if isinstance(v, float) else str(v) for v in series]
        if not any(shown):
            continue
        cells = [series.name, *shown]
        width = max(map(len, cells))
        columns.append([cell.rjust(width) if numeric else cell.ljust(width) for cell in cells])
    lines = ["  " + "  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
    return [*lines, f"  … and {table.height - most:,} rows more"] if table.height > most else lines
