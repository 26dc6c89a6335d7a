"""Factors left of a bar: which names are factors, and which classes they have, as the records say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from breedblup.design.choice import known_text
from breedblup.design.computed import with_computed
from breedblup.design.levels import code_classes
from breedblup.design.terms import MOSTLY_NUMBERS
from breedblup.errors import ModelError
from breedblup.formula import expression_of, product_name
from breedblup.frames import MISSING_VALUES, Table, as_table
from breedblup.model import LINEAR, Classes, Effect, Model, Random
from breedblup.model.random import affects

MOST_CLASSES = 50
"""Classes left of a bar, from the records, up to which a covariance matrix of them is believed to be meant."""


def complete_model(model: Model, records: Any) -> Model:
    """The model with the classes of all factors left of a bar, in their order.

    A bare name left of a bar, ``(x | g)``, is a covariate unless its column holds text or categories; then it is a factor, as in
    lme4, and so are the parts of ``x:z``. Classes are those of records that have a value of a trait: in the order of a polars
    Enum or pandas Categorical, else sorted. A model that is complete comes back as it is.

    Parameters
    ----------
    model
        As `Model.from_formula` makes it.
    records
        Any data frame, or a `Table`.

    Raises
    ------
    ModelError
        A factor has a single class, or more than 50, of which no covariance matrix is to be had.
    """
    table = as_table(records, "records")
    random = tuple(_complete_term(term, model, table) for term in model.random)
    return model if random == model.random else replace(model, random=random)


def _complete_term(term: Random, model: Model, table: Table) -> Random:
    return replace(term, effects=tuple(_complete_effect(effect, model, table) for effect in term.effects))


def _complete_effect(effect: Effect, model: Model, table: Table) -> Effect:
    """An effect whose factors have their classes; covariates among its names are multiplied."""
    column, classes = effect.column, effect.classes
    if not classes:
        bare = column is not None and effect.basis == LINEAR and expression_of(column) is None
        if column is None or not bare or not _holds_classes(table, column):
            return effect
        return replace(effect, column=None, classes=(_complete(Classes(column), effect, model, table),))
    if effect.is_complete:
        return effect
    numbers = [one.factor for one in classes if one.by_type and not _holds_classes(table, one.factor)]
    factors = tuple(_complete(one, effect, model, table) for one in classes if one.factor not in numbers)
    if len(numbers) > 1:
        numbers = [product_name(numbers)]
    return replace(effect, column=numbers[0] if numbers else column, classes=factors)


def _complete(classes: Classes, effect: Effect, model: Model, table: Table) -> Classes:
    """A factor with the classes that the records have."""
    if classes.levels:
        return classes
    traits = [trait for trait in model.traits if affects(effect, trait)]
    measured = np.any([~np.isnan(column) for column in _responses(traits, table)], axis=0)
    texts = known_text(table, classes.factor).filter(pl.Series(measured)).drop_nulls()
    levels, _ = code_classes(texts)
    if len(levels) < 2:
        found = f"the class {levels[0]!r} only" if len(levels) else "no class"
        raise ModelError(f"left of a bar, {classes.factor!r} has {found} in the records -> leave it out there")
    if len(levels) > MOST_CLASSES:
        raise ModelError(
            f"left of a bar, {classes.factor!r} has {len(levels):,} classes, each an effect with variances and covariances "
            f"of its own -> write (1 | {effect.group}:{classes.factor}), or name the classes, as in "
            f"factor({classes.factor}, levels=(A, B))"
        )
    return Classes(classes.factor, tuple(levels.to_list()))


def _responses(traits: Sequence[str], table: Table) -> list[Any]:
    computed = with_computed(table, traits)
    return [computed.numbers(trait) for trait in traits]


def _holds_classes(table: Table, column: str) -> bool:
    """Whether a column holds text or categories that are no numbers with slips."""
    series = table.column(column)
    if series.dtype != pl.String:
        return isinstance(series.dtype, pl.Enum)
    text = series.str.strip_chars()
    text = text.filter(text.is_not_null() & ~text.is_in(MISSING_VALUES))
    wrong = text.cast(pl.Float64, strict=False).is_null()
    return len(text) > 0 and float(wrong.mean()) > MOSTLY_NUMBERS  # type: ignore[arg-type]
