"""Tables in and out: any data frame becomes a `Table`, columns become text, numbers or codes.

Inside, a table is a polars frame. Frames of other libraries (pandas, arrow, and whatever else narwhals knows) are converted
on the way in, and what is returned to the analyst is converted back to the library that it came in.

Ids and class levels are text as written: nothing here turns `001` into a number. A column that is numeric in a typed frame
becomes the text of its numbers (whole numbers without a decimal point) when it is used as a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, cast

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import InputError, RecordError, name_some, nearest

MISSING_VALUES = ("", "NA", ".", "NaN", "nan")
"""Codes of a missing number in a text column; 0 is a value."""

FEW = 16
"""Ids for each value that is sought from which on few are sought."""

EXACT_WHOLE = 2**53
"""From here on a float no longer tells neighbouring whole numbers apart."""


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Table:
    """A data frame and where its rows can be found by the person who has to mend them.

    ``name`` is the file's name, or the role of a data frame (``records``). ``first_line`` is the line of row 0 in a text
    file; None for typed tables (data frames, Parquet), whose rows are counted from 0.
    """

    frame: pl.DataFrame
    name: str
    first_line: int | None = None
    backend: str = "polars"

    @property
    def typed(self) -> bool:
        """Whether the columns have types of their own; a text file has none."""
        return self.first_line is None

    def __len__(self) -> int:
        return self.frame.height

    def where(self, row: int) -> str:
        """Where a row stands: ``pedigree.csv:6`` or ``records row 4``."""
        if self.first_line is None:
            return f"{self.name} row {row}"
        return f"{self.name}:{row + self.first_line}"

    def places(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> str:
        """Where the first ten of some rows stand, and how many more there are."""
        label = "row" if self.typed else "line"
        first = self.first_line or 0
        plural = "s" if len(rows) > 1 else ""
        return f"{self.name} {label}{plural} {name_some(int(row) + first for row in rows)}"

    def column(self, column: str) -> pl.Series:
        """A column by name; refuses an unknown one with the nearest known."""
        if column not in self.frame.columns:
            known = name_some(self.frame.columns)
            raise InputError(
                f"{self.name} has no column {column!r}{nearest(column, self.frame.columns)} (its columns: {known})"
            )
        return self.frame[column]

    def text(self, column: str) -> pl.Series:
        """A column as text, as written; an empty cell is null."""
        series = self.column(column)
        if series.dtype == pl.String:
            return series.set(series == "", None)
        if series.dtype.is_float():
            known = series.fill_nan(None)
            whole = (known == known.round()) & (known.abs() < EXACT_WHOLE)  # pandas makes floats beside missing values
            as_whole = known.cast(pl.Int64, strict=False).cast(pl.String)
            return as_whole.zip_with(whole.fill_null(True), known.cast(pl.String))
        return series.cast(pl.String)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """A column as float64, missing values NaN; refuses text that is no number, and infinities, naming the rows."""
        series = self.column(column)
        if isinstance(series.dtype, pl.Enum):
            series = series.cast(pl.String)
        if series.dtype == pl.String:
            text = series.str.strip_chars()
            text = text.set(text.is_in(MISSING_VALUES), None)
            values = text.cast(pl.Float64, strict=False)
            wrong = ((values.is_null() | values.is_nan()) & text.is_not_null()).arg_true()
            if len(wrong):
                found = name_some(series.gather(wrong[:10]).unique(maintain_order=True).to_list(), 3)
                raise RecordError(
                    f"{self.places(wrong.to_numpy())}: column {column!r} holds {found} where a number belongs; "
                    f"correct it, or write one of the missing codes {', '.join(map(repr, MISSING_VALUES))}"
                )
        elif series.dtype.is_numeric() or series.dtype == pl.Boolean or series.dtype == pl.Null:
            values = series.cast(pl.Float64)
        else:
            raise RecordError(f"{self.name}: column {column!r} is of type {series.dtype}; a number is needed")
        array: NDArray[np.float64] = values.fill_null(float("nan")).to_numpy().astype(np.float64)
        infinite = np.flatnonzero(np.isinf(array))
        if infinite.size:
            raise RecordError(
                f"{self.places(infinite)}: column {column!r} is infinite; correct the values or make them missing"
            )
        return array


def as_table(data: Any, name: str) -> Table:
    """Any data frame as a `Table`; a `Table` is returned as it is.

    Categories become their text, and so classes. An order that the user gave them (polars Enum, pandas Categorical) is kept.

    Raises
    ------
    InputError
        If ``data`` is no data frame, or a pandas frame is given and pyarrow, which the conversion needs, is not installed.
    """
    if isinstance(data, Table):
        return data
    try:
        frame = nw.from_native(data)
        kinds = frame.collect_schema()
    except TypeError:
        raise InputError(
            f"{name}: a data frame is needed, not {type(data).__name__}; files are read by read_pedigree and read_records"
        ) from None
    except ValueError as wrong:  # such as two columns of one name
        raise InputError(f"{name}: the data frame cannot be read: {wrong}") from None
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    backend = frame.implementation.value
    categories = [column for column, kind in kinds.items() if kind in (nw.Categorical, nw.Enum)]
    orders = {column: _given_order(frame[column]) for column in categories}
    frame = frame.with_columns(nw.col(*categories).cast(nw.String)) if categories else frame
    try:
        converted = frame.to_polars()
    except ImportError as missing:
        raise InputError(f"{name}: a {backend} frame needs pyarrow here: pip install pyarrow ({missing})") from None
    except (TypeError, ValueError) as wrong:  # such as a column of text and numbers
        raise InputError(f"{name}: the {backend} frame cannot be read: {str(wrong).splitlines()[0]}") from None
    converted = converted.with_columns(pl.col(column).cast(pl.Enum(order)) for column, order in orders.items() if order)
    return Table(converted, name, None, backend)


def _given_order(series: nw.Series[Any]) -> list[str]:
    """The categories of a column in the user's order; none where there is no such order, or a category is empty."""
    categories: list[Any] = []
    if series.implementation.is_pandas():
        categories = series.to_native().cat.categories.tolist()
    elif isinstance(series.dtype, nw.Enum):
        categories = list(series.dtype.categories)
    plain = all(isinstance(category, str | int) and category != "" for category in categories)
    return [str(category) for category in categories] if plain else []


def give_back(frame: pl.DataFrame, backend: str) -> Any:
    """A result in the data-frame library that the user's records came in; polars where that is not known."""
    if backend == "pandas":
        return frame.to_pandas()
    if backend == "pyarrow":
        return frame.to_arrow()
    return frame


def give_back_tables(result: Result, backend: str) -> Result:
    """A dataclass whose tables are in a library: fields that hold one, and a field ``backend`` of those that make them."""
    changed: dict[str, Any] = {}
    known = fields(cast(Any, result))
    for field in known:
        value = getattr(result, field.name)
        if isinstance(value, pl.DataFrame):
            changed[field.name] = give_back(value, backend)
    if any(field.name == "backend" for field in known):
        changed["backend"] = backend
    return cast(Result, replace(cast(Any, result), **changed))


def positions(values: pl.Series, ids: pl.Series) -> NDArray[np.int32]:
    """Position of each text value among the distinct ``ids``, -1 where it is null or not among them."""
    if FEW * len(values) < len(ids):  # the table to look up in is made of what is sought, not of all
        rows = ids.is_in(values.implode()).arg_true()
        among = positions(values, ids.gather(rows)) if len(rows) else np.full(len(values), -1, dtype=np.int32)
        found: NDArray[np.int32] = np.append(rows.to_numpy().astype(np.int32), np.int32(-1))[among]
        return found
    keys = pl.DataFrame({"value": ids, "position": np.arange(len(ids), dtype=np.int32)})
    joined = pl.DataFrame({"value": values}).join(keys, on="value", how="left", maintain_order="left")
    return joined["position"].fill_null(-1).to_numpy().astype(np.int32)
