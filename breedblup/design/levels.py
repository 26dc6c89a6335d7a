"""Text columns → levels and codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError, name_some
from breedblup.frames import Table, positions

WHOLE_NUMBER = r"^(0|-?[1-9][0-9]{0,17})$"


def class_text(table: Table, column: str) -> pl.Series:
    """A column as text, or as it is where it is a polars Enum, whose order is that of its levels."""
    series = table.column(column)
    return series if isinstance(series.dtype, pl.Enum) else table.text(column)


def code_classes(values: pl.Series) -> tuple[pl.Series, NDArray[np.int32]]:
    """Levels of a column without nulls, and the code of each row.

    Text is sorted, whole numbers by value; the levels of an Enum that occur keep its order.
    """
    if isinstance(values.dtype, pl.Enum):
        found, codes = np.unique(values.to_physical().to_numpy(), return_inverse=True)
        return values.dtype.categories.gather(found).rename(values.name), codes.astype(np.int32)
    levels = values.unique()
    whole = bool(levels.str.contains(WHOLE_NUMBER).all())
    levels = levels.gather(levels.cast(pl.Int64).arg_sort()) if whole else levels.sort()
    return levels, positions(values, levels)


def code_interaction(columns: Sequence[pl.Series]) -> tuple[pl.Series, NDArray[np.int32]]:
    """Observed combinations of several text columns, labelled ``a:b``, in the order of their levels."""
    levels, codes = code_classes(columns[0])
    for column in columns[1:]:
        inner, inner_codes = code_classes(column)
        both = codes.astype(np.int64) * len(inner) + inner_codes
        observed, codes64 = np.unique(both, return_inverse=True)
        codes = codes64.astype(np.int32)
        outer = levels.gather(observed // len(inner))
        levels = outer + ":" + inner.gather(observed % len(inner))
    return _told_apart(levels.rename("level")), codes


def _told_apart(levels: pl.Series) -> pl.Series:
    """Refuse labels that two combinations share."""
    shared = levels.filter(levels.is_duplicated()).unique(maintain_order=True)
    if len(shared):
        raise ModelError(
            f"two combinations of levels are both written {name_some(shared.to_list())}, because levels hold ':' themselves "
            "-> write another sign in the records"
        )
    return levels


def code_where(columns: Sequence[pl.Series], needed: NDArray[np.bool_]) -> tuple[pl.Series, NDArray[np.int32]]:
    """`code_interaction` of the rows that are needed; the others have code -1."""
    if needed.all():
        return code_interaction(columns)
    mask = pl.Series(needed)
    codes = np.full(needed.size, -1, dtype=np.int32)
    levels, codes[needed] = code_interaction([column.filter(mask) for column in columns])
    return levels, codes


def intercept(needed: NDArray[np.bool_]) -> tuple[pl.Series, NDArray[np.int32]]:
    """The single level of the rows that are needed."""
    return pl.Series("level", [""]), np.where(needed, 0, -1).astype(np.int32)
