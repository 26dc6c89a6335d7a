"""Relationship matrices from files: one entry a row, by the ids of its row and column."""

from __future__ import annotations

from os import PathLike

import numpy as np
import polars as pl
import scipy.sparse

from breedblup.errors import InputError, name_some
from breedblup.frames import Table, positions
from breedblup.io.tables import read_table

_COLUMNS = ("id1", "id2", "value")

_ROUNDING = 1e-8
"""Largest difference between two values of one entry, relative to the largest entry, that is taken for rounding."""


def read_matrix(path: str | PathLike[str]) -> tuple[scipy.sparse.csr_array, pl.Series]:
    """A symmetric matrix and the ids of its rows, from a file with the columns id1, id2, value.

    An entry is given once, in either triangle, or in both; entries that are not given are zero. Every id needs its
    entry on the diagonal. The order of the ids is that of their first appearance.
    """
    table = read_table(path)
    if table.frame.width != len(_COLUMNS) or set(table.frame.columns) != set(_COLUMNS):
        raise InputError(
            f"{table.name}: the columns are {name_some(table.frame.columns)}; a matrix has the columns id1, id2, value"
        )
    entries = _entries(table)
    ids = pl.concat([entries["id1"], entries["id2"]]).unique(maintain_order=True).rename("id")
    row, column = positions(entries["id1"], ids), positions(entries["id2"], ids)
    single = _once(
        table,
        entries.with_columns(pl.Series("low", np.minimum(row, column)), pl.Series("high", np.maximum(row, column))),
    )
    low, high, value = (single[name].to_numpy() for name in ("low", "high", "value"))
    diagonal = low == high
    without = np.setdiff1d(np.arange(len(ids)), low[diagonal])
    if without.size:
        raise InputError(
            f"{table.name}: no diagonal entry for {name_some(ids.gather(without).to_list())}; add rows id, id, value"
        )
    lower = (np.concatenate([high, low[~diagonal]]), np.concatenate([low, high[~diagonal]]))
    matrix = scipy.sparse.csr_array((np.concatenate([value, value[~diagonal]]), lower), shape=(len(ids), len(ids)))
    matrix.sort_indices()
    return matrix, ids


def _entries(table: Table) -> pl.DataFrame:
    """Columns id1, id2, value and row; refuses what is empty."""
    frame = pl.DataFrame([table.text("id1"), table.text("id2"), pl.Series("value", table.numbers("value"))])
    empty = frame.select(pl.any_horizontal(pl.col("id1", "id2").is_null(), pl.col("value").is_nan()))
    rows = empty.to_series().arg_true()
    if len(rows):
        raise InputError(
            f"{table.places(rows.to_numpy())}: an id or the value is missing; fill it in, or remove the row"
        )
    return frame.with_row_index("row")


def _once(table: Table, entries: pl.DataFrame) -> pl.DataFrame:
    """Entries given more than once, or in both triangles, once; refuses those that differ."""
    groups = entries.group_by("low", "high", maintain_order=True).agg(
        pl.col("value").first(), pl.col("row"), spread=pl.col("value").max() - pl.col("value").min()
    )
    largest = float(np.abs(entries["value"].to_numpy()).max(initial=0.0))
    differing = groups.filter(pl.col("spread") > _ROUNDING * largest)
    if differing.height:
        first = differing["row"][0]
        raise InputError(
            f"{table.places(first.to_numpy())}: {entries['id1'][first[0]]!r}, {entries['id2'][first[0]]!r} has values "
            f"that differ ({differing.height} such entries); give each once, or the same in both triangles"
        )
    return groups
