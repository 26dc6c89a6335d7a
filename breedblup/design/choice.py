"""Which values of which records are used, and what is said of the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.design.levels import class_text
from breedblup.errors import RecordError, counted, name_some
from breedblup.frames import MISSING_VALUES, Table
from breedblup.model import Levels, Model
from breedblup.model.random import affects


@dataclass(frozen=True, slots=True)
class Choice:
    """Values and weights of all records (rows × traits), which values were measured, and which of these are used."""

    y: NDArray[np.float64]
    weights: NDArray[np.float64] | None
    measured: NDArray[np.bool_]
    observed: NDArray[np.bool_]


def choose_records(model: Model, table: Table, missing_effects: Literal["error", "drop"], notes: list[str]) -> Choice:
    """Find the values that can be used: measured, with every class, covariate and weight that their trait needs.

    Raises
    ------
    RecordError
        If there are no records, a trait has no values, a weight is not positive, or an effect is missing and that is not to be
        dropped.
    """
    columns = [table.numbers(trait) for trait in model.traits]
    if not len(table):
        raise RecordError(f"{table.name}: no records below the header")
    y = np.column_stack(columns)
    measured = ~np.isnan(y)
    for t, trait in enumerate(model.traits):
        if not measured[:, t].any():
            raise RecordError(f"{table.name}: none of the {len(table):,} records has a value of {trait!r}")
    observed = measured.copy()
    for column, traits in _needs(model):
        _leave_out(model, table, column, traits, missing_effects, (measured, observed), notes)
    for t, trait in enumerate(model.traits):
        if not observed[:, t].any():
            of_trait = "" if len(model.traits) == 1 else f" with {trait!r}"
            raise RecordError(
                f"{table.name}: no record{of_trait} is left after those with a missing effect were left out"
            )
    notes += _values_used(model.traits, measured, observed)
    return Choice(y, _weights(model, table, observed), measured, observed)


def _values_used(traits: tuple[str, ...], measured: NDArray[np.bool_], observed: NDArray[np.bool_]) -> Iterator[str]:
    """How many records are left out, and how many have each of several traits."""
    absent = int(np.count_nonzero(~measured.any(axis=1)))
    if absent:
        yield f"{counted(absent, 'record')} without a value of {' or '.join(map(repr, traits))} left out"
    for t, trait in enumerate(traits if len(traits) > 1 else ()):
        number = int(np.count_nonzero(observed[:, t]))
        yield f"{trait}: {number:,} of {np.count_nonzero(observed.any(axis=1)):,} records in use have a value"


def _needs(model: Model) -> Iterator[tuple[str, list[int]]]:
    """Columns that must have a value, each with the traits that need it; members of mm() may be missing."""
    traits = model.traits
    wanted: dict[str, set[int]] = {}

    def need(columns: tuple[str, ...], numbers: list[int]) -> None:
        for column in columns:
            wanted.setdefault(column, set()).update(numbers)

    for term in model.fixed:
        need(term.columns, [t for t, trait in enumerate(traits) if affects(term, trait)])
    for random in model.random:
        for effect in random.effects:
            numbers = [t for t, trait in enumerate(traits) if affects(effect, trait)]
            need(effect.group.columns if isinstance(effect.group, Levels) else (), numbers)
            need(() if effect.column is None else (effect.column,), numbers)
            need(tuple(classes.factor for classes in effect.classes), numbers)
    need(model.residual.classes, list(range(len(traits))))
    for t, trait in enumerate(traits):
        weight = model.residual.weight_of(trait)
        need(() if weight is None else (weight,), [t])
    return ((column, sorted(numbers)) for column, numbers in wanted.items())


def _leave_out(
    model: Model,
    table: Table,
    column: str,
    traits: list[int],
    missing_effects: str,
    known: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    notes: list[str],
) -> None:
    """Refuse, or take out of ``known`` (measured, observed), the values that lack a column that they need."""
    measured, observed = known
    lacking = missing(table, column)[:, None] & measured[:, traits]
    records = np.flatnonzero(lacking.any(axis=1))
    if not records.size:
        return
    concerned = [model.traits[t] for k, t in enumerate(traits) if lacking[:, k].any()]
    if missing_effects == "error":
        raise RecordError(
            f"{table.places(records)}: {column!r} is missing where {name_some(concerned)} is known "
            "-> fill it in, or set missing_effects to 'drop'"
        )
    whose = "" if len(model.traits) == 1 else f" of {name_some(concerned)}"
    notes.append(f"{counted(records.size, 'value' if whose else 'record')}{whose} without {column!r} left out")
    observed[:, traits] &= ~lacking


def missing(table: Table, column: str) -> NDArray[np.bool_]:
    """Empty, or one of the codes of a missing value."""
    if table.column(column).dtype.is_float():
        return np.isnan(table.numbers(column))
    text = table.text(column).str.strip_chars()
    empty: NDArray[np.bool_] = (text.is_null() | text.is_in(MISSING_VALUES)).fill_null(True).to_numpy()
    return empty


def known_text(table: Table, column: str) -> pl.Series:
    """A column as text, or as a polars Enum where it is one; null where it is missing."""
    return class_text(table, column).set(pl.Series(missing(table, column)), None)


def describe_values(name: str, values: NDArray[np.float64]) -> str:
    """Mean, standard deviation and range of a trait or covariate of the records in use."""
    spread = values.std(ddof=1) if values.size > 1 else 0.0
    return f"{name}: mean {values.mean():.6g}, SD {spread:.6g}, from {values.min():.6g} to {values.max():.6g}"


def _weights(model: Model, table: Table, observed: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Weight of each value, 1 where its trait has none; None where no trait has any."""
    columns = [model.residual.weight_of(trait) for trait in model.traits]
    if all(column is None for column in columns):
        return None
    weights = np.ones(observed.shape)
    for t, column in enumerate(columns):
        if column is None:
            continue
        weights[:, t] = table.numbers(column)
        wrong = np.flatnonzero(observed[:, t] & ~(weights[:, t] > 0))
        if wrong.size:
            found = name_some([f"{value:g}" for value in np.unique(weights[wrong, t])], 3).replace("'", "")
            raise RecordError(f"{table.places(wrong)}: weight {column!r} is {found}; weights have to be positive")
    return weights
