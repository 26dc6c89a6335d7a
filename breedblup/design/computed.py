"""Columns that are functions of others, ``log(x)`` or ``I(x / 10)``, computed row by row from their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError, RecordError
from breedblup.formula import Expression, expression_of, sources_of
from breedblup.frames import Table

_FUNCTIONS: Mapping[str, Callable[..., NDArray[np.float64]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
    "negative": np.negative,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "I": np.positive,
}


def with_computed(table: Table, names: Iterable[str]) -> Table:
    """The table with those of the columns named that are functions of others; missing where one of these is.

    Raises
    ------
    RecordError
        A function has no finite value in some row, such as the logarithm of 0.
    ModelError
        The table has a column whose name says that it is computed from others, and which holds something else.
    """
    made = {}
    for name in dict.fromkeys(names):
        expression = expression_of(name)
        if expression is None:
            continue
        values = _values(expression, name, table)
        if name not in table.frame.columns:
            made[name] = values
        elif not np.array_equal(table.numbers(name), values, equal_nan=True):
            raise ModelError(
                f"{table.name} has a column called {name!r}, which in a model means what is computed from "
                f"{' and '.join(map(repr, sources_of([name])))}, and its values are others -> rename the column"
            )
    if not made:
        return table
    return replace(table, frame=table.frame.with_columns(pl.Series(name, column) for name, column in made.items()))


def _values(expression: Expression, name: str, table: Table) -> NDArray[np.float64]:
    """One value a row; what is not finite though its columns are known is refused where it first arises."""
    if isinstance(expression, str):
        return table.numbers(expression)
    if isinstance(expression, float):
        return np.full(len(table), expression)
    operands = [_values(operand, name, table) for operand in expression.operands]
    known = ~np.isnan(operands).any(axis=0)
    with np.errstate(all="ignore"):
        values = _FUNCTIONS[expression.symbol](*operands)
    wrong = np.flatnonzero(known & ~np.isfinite(values))
    if wrong.size:
        row = int(wrong[0])
        found = ", ".join(f"{column} = {table.numbers(column)[row]:g}" for column in sources_of([name]))
        raise RecordError(
            f"{table.places(wrong)}: {name} has no finite value (the first: {found}) -> correct the records, make the values "
            "missing, or leave these records out"
        )
    return np.where(known, values, np.nan)
