"""A design from records, a model and relationships. Every record read is used, or counted with the reason why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.design.choice import Choice, choose_records, describe_values
from breedblup.design.complete import complete_model
from breedblup.design.computed import with_computed
from breedblup.design.effects import Coding, random_term
from breedblup.design.levels import class_text, code_interaction, code_where, intercept
from breedblup.design.terms import DesignTerm, Entry, Link, resolve
from breedblup.errors import ModelError, counted, nearest
from breedblup.frames import Table, as_table
from breedblup.model import Coordinate, Covariate, Fixed, Model
from breedblup.model.random import affects
from breedblup.relationship import RelationshipInverse


@dataclass(frozen=True, slots=True)
class RecordCounts:
    """What became of the records: ``read`` is the sum of the other three."""

    read: int
    used: int
    without_trait: int
    without_effect: int


@dataclass(frozen=True)
class Design:
    """Records coded for a model.

    Attributes
    ----------
    traits
        Names of the responses.
    y
        Their n × traits values, NaN where missing.
    weights
        Weights w (n × traits) of the records (residual variance R/w), or None.
    residual_levels, residual_codes
        Classes that have a residual variance of their own, and that of each record; None where there is one for all.
    rows
        Row of each record in the table that it came from.
    fixed, random
        Terms in the order of the model.
    counts
        What became of the records read.
    model
        What the records are coded for: the model given, with the classes of factors left of a bar (`complete_model`).
    notes
        What was decided that changes a result.
    table
        Where the records came from, with the columns that the model computes from others.
    """

    traits: tuple[str, ...]
    y: NDArray[np.float64]
    weights: NDArray[np.float64] | None
    residual_levels: pl.Series | None
    residual_codes: NDArray[np.int32] | None
    rows: NDArray[np.int64]
    fixed: tuple[DesignTerm, ...]
    random: tuple[DesignTerm, ...]
    counts: RecordCounts
    notes: tuple[str, ...]
    table: Table
    model: Model

    @property
    def terms(self) -> tuple[DesignTerm, ...]:
        """All terms in the order of their equations: fixed, then random."""
        return self.fixed + self.random

    @property
    def observed(self) -> NDArray[np.bool_]:
        """Which traits each record has, n × traits."""
        return ~np.isnan(self.y)


def build_design(
    model: Model,
    records: Any,
    relationships: Mapping[str, RelationshipInverse],
    *,
    missing_effects: Literal["error", "drop"] = "error",
) -> Design:
    """Code the records for a model.

    Values of a trait that are missing (empty, ``NA``, ``.``, NaN; 0 is a value) are left out; a record that has none of
    the traits is counted and left out.

    Parameters
    ----------
    records
        Any data frame, or a `Table`.
    relationships
        K⁻¹ by the column whose levels it relates, or the name that ``vm()`` gives.
    missing_effects
        What to do with a value whose class, covariate or weight is missing: refuse, or leave it out and count it.

    Raises
    ------
    RecordError
        If there are no records, values cannot be used, or animals are unknown to their relationship.
    ModelError
        If a relationship is missing or not used, or a term cannot be made of its columns.
    """
    table = as_table(records, "records")
    model = complete_model(model, table)
    check_relationships(model, relationships)
    table = with_computed(table, model.computed_columns)
    notes: list[str] = []
    chosen = choose_records(model, table, missing_effects, notes)
    keep = chosen.observed.any(axis=1)
    rows = np.flatnonzero(keep)
    y = np.where(chosen.observed, chosen.y, np.nan)[rows]
    notes += [
        f"{trait}: residual variance divided by {column}, from {weights.min():.6g} to {weights.max():.6g}"
        for trait, column, weights in _weights_used(model, chosen)
    ]
    notes[:0] = [describe_values(trait, y[~np.isnan(y[:, t]), t]) for t, trait in enumerate(model.traits)]
    terms = [resolve(term, table, notes) for term in model.fixed]
    products = set(chain.from_iterable(term.columns for term in terms)) - set(model.computed_columns)
    table = with_computed(table, products)
    used = replace(table, frame=table.frame.filter(pl.Series(keep)))
    coding = Coding(model, table, used, rows, ~np.isnan(y), notes)
    fixed = tuple(
        replace(_fixed_term(term, coding), name=written.name if products.intersection(term.columns) else term.name)
        for term, written in zip(terms, model.fixed, strict=True)
    )
    random = tuple(
        random_term(term, key, coding, relationships) for term, key in zip(model.random, model.keys, strict=True)
    )
    levels, codes = _residual_classes(coding)
    counts = (len(table), rows.size, int(np.count_nonzero(~chosen.measured.any(axis=1))))
    return Design(
        traits=model.traits,
        y=y,
        weights=None if chosen.weights is None else np.where(np.isnan(y), 1.0, chosen.weights[rows]),
        residual_levels=levels,
        residual_codes=codes,
        rows=rows,
        fixed=fixed,
        random=random,
        counts=RecordCounts(*counts, counts[0] - counts[1] - counts[2]),
        notes=tuple(dict.fromkeys(notes)),
        table=table,
        model=model,
    )


def _weights_used(model: Model, chosen: Choice) -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    """Trait, column and values of weights."""
    for t, trait in enumerate(model.traits):
        column = model.residual.weight_of(trait)
        if column is not None and chosen.weights is not None:
            yield trait, column, chosen.weights[chosen.observed[:, t], t]


def check_relationships(model: Model, relationships: Mapping[str, RelationshipInverse]) -> None:
    """Refuse relationships that no term uses, and terms whose relationship is missing."""
    usable = [term.relationship_name for term in model.random if term.relationship_name is not None]
    related = {
        column
        for term in model.random
        if term.relationship_name in relationships
        for group in term.groups
        for column in group.columns
    }
    for term in model.random:
        first = term.groups[0]
        named = getattr(first, "relationship", None)
        if named is not None and named not in relationships:
            known = list(relationships)
            raise ModelError(
                f"{term.key} needs the relationship {named!r}, and none of that name is given{nearest(named, known)} "
                f"-> add it to relationships, or write (1 | {first.columns[0]})"
            )
        if getattr(first, "identity", False) and len(first.columns) == 1 and first.columns[0] not in related:
            raise ModelError(
                f"{term.key} asks for independent levels beside those of a relationship, but none is given for "
                f"{first.columns[0]!r} -> give it, or write (1 | {first.columns[0]})"
            )
    for name in relationships:
        if name not in usable:
            raise ModelError(
                f"a relationship is given for {name!r}, but no random term (1 | {name}) is in the model"
                f"{nearest(name, usable)}"
            )


def _fixed_term(term: Fixed | Covariate, coding: Coding) -> DesignTerm:
    traits, used = coding.model.traits, coding.used
    mine = [t for t, trait in enumerate(traits) if affects(term, trait)]
    needed = coding.needed([term])
    columns = [class_text(used, column) for column in (term.factors if isinstance(term, Fixed) else term.within)]
    levels, codes = code_where(columns, needed) if columns else intercept(needed)
    constant, values = len(levels) == 1, None
    labels: tuple[str, ...] = ("",)
    if isinstance(term, Covariate):
        basis = coding.covariate(term.column, term.basis, [term])
        values, labels = basis.values, basis.coefficients
        constant = constant and term.basis.has_constant
    entries = tuple(
        Entry(t, k * len(mine) + place, -1 if values is None else k)
        for k in range(len(labels))
        for place, t in enumerate(mine)
    )
    return DesignTerm(
        name=term.name,
        kind="fixed",
        levels=levels,
        coordinates=tuple(Coordinate(label, traits[t]) for label in labels for t in mine),
        links=(Link(codes, entries),),
        values=values,
        classes=isinstance(term, Fixed),
        constant=constant,
    )


def _residual_classes(coding: Coding) -> tuple[pl.Series | None, NDArray[np.int32] | None]:
    """Classes with a residual variance of their own."""
    factors = coding.model.residual.classes
    if not factors:
        return None, None
    levels, codes = code_interaction([class_text(coding.used, column) for column in factors])
    sizes = np.bincount(codes, minlength=len(levels)).tolist()
    shown = ", ".join(f"{level} {counted(size, 'record')}" for level, size in zip(levels, sizes, strict=True))
    coding.notes.append(f"residual variance by {':'.join(factors)}: {shown}")
    return levels, codes
