"""The table of markers, and names that have to be distinct."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from breedblup.errors import GenotypeError, counted, name_some

MARKER_COLUMNS = {
    "marker": pl.String,
    "chromosome": pl.String,
    "position": pl.Int64,
    "allele1": pl.String,
    "allele2": pl.String,
}
"""Columns of the table of markers; ``allele1`` is the counted one, null where it is not known."""


def marker_table(names: Sequence[str] | pl.Series) -> pl.DataFrame:
    """A table of markers of which only the names are known."""
    return complete_markers(pl.DataFrame({"marker": pl.Series(list(names), dtype=pl.String)}), "markers")


def complete_markers(frame: pl.DataFrame, source: str) -> pl.DataFrame:
    """A table of markers with the columns of `MARKER_COLUMNS` in their order and types, null where it has none.

    Raises
    ------
    GenotypeError
        If there is no column ``marker``, or a position is no whole number.
    """
    if "marker" not in frame.columns:
        raise GenotypeError(
            f"{source}: the table of markers has the columns {name_some(frame.columns)} and no 'marker' -> name it so"
        )
    made = []
    for name, kind in MARKER_COLUMNS.items():
        series = frame[name] if name in frame.columns else pl.Series(name, [None] * frame.height, dtype=kind)
        if name != "marker" and series.dtype == pl.String:
            series = series.set(series == "", None)
        cast = series.cast(kind, strict=False)
        wrong = (cast.is_null() & series.is_not_null()).arg_true()
        if len(wrong):
            marker, value = frame["marker"][wrong[0]], series[wrong[0]]
            raise GenotypeError(
                f"{source}: column {name!r} of marker {marker!r} is {value!r} where {_KINDS[kind]} belongs -> correct it"
            )
        made.append(cast)
    return pl.DataFrame(made)


_KINDS = {pl.String: "text", pl.Int64: "a whole number"}


def refuse_duplicates(names: pl.Series, noun: str, source: str, first: int | None, advice: str) -> None:
    """Refuse names that are missing, empty or repeated; ``first`` is the line of the first, None for rows from 0.

    Raises
    ------
    GenotypeError
        Naming places and names.
    """
    label, offset = ("row", 0) if first is None else ("line", first)
    empty = (names.fill_null("") == "").arg_true()
    if len(empty):
        places = name_some(row + offset for row in empty.to_list())
        raise GenotypeError(f"{source} {label} {places}: {noun} without a name -> name it, or leave it out")
    repeated = names.is_duplicated()
    if repeated.any():
        name = names.filter(repeated)[0]
        places = name_some(row + offset for row in (names == name).arg_true().to_list())
        others = names.filter(repeated).n_unique() - 1
        more = f"; {counted(others, 'more name')} of the kind" if others else ""
        raise GenotypeError(f"{source} {label}s {places}: more than one {noun} is called {name!r}{more} -> {advice}")
