"""Identical twins and clones: ids that share the equation of another animal, whose genotype they share."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.frames import positions

NO_TWINS = pl.DataFrame(schema={"id": pl.String, "of": pl.String, "position": pl.Int32})


def positions_with_twins(values: pl.Series, ids: pl.Series, twins: pl.DataFrame) -> NDArray[np.int32]:
    """As `positions`, with that of its original for a twin."""
    found = positions(values, ids)
    if not twins.height:
        return found
    twin = positions(values, twins["id"])
    return np.where(twin >= 0, twins["position"].to_numpy()[twin], found)


def with_twins(table: pl.DataFrame, order: NDArray[np.int32], twins: pl.DataFrame) -> pl.DataFrame:
    """Rows of a table in some order, then the twins: their own ids in the first column, else what is said of their originals."""
    rows = table if (np.diff(order) == 1).all() and order.size == table.height else table[order]
    if not twins.height:
        return rows
    return pl.concat([rows, table[twins["position"].to_numpy()].with_columns(twins["id"].alias(table.columns[0]))])
