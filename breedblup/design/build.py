"""A design from records, a model and relationships. Every record read is used, or counted with the reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.design.basis import evaluate_basis
from breedblup.design.terms import DesignTerm, code_classes, code_interaction, intercept, resolve
from breedblup.errors import ModelError, RecordError, counted, name_some, nearest
from breedblup.frames import MISSING_VALUES, Table, as_table, positions
from breedblup.model import Covariate, Fixed, Model, Random
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
    trait
        Name of the response.
    y
        Its n values.
    weights
        Weights w of the records (residual variance R/w), or None.
    rows
        Row of each record in the table that it came from.
    fixed, random
        Terms in the order of the model.
    counts
        What became of the records read.
    notes
        What was decided that changes a result.
    table
        Where the records came from.
    """

    trait: str
    y: NDArray[np.float64]
    weights: NDArray[np.float64] | None
    rows: NDArray[np.int64]
    fixed: tuple[DesignTerm, ...]
    random: tuple[DesignTerm, ...]
    counts: RecordCounts
    notes: tuple[str, ...]
    table: Table

    @property
    def terms(self) -> tuple[DesignTerm, ...]:
        """All terms in the order of their equations: fixed, then random."""
        return self.fixed + self.random


def build_design(
    model: Model,
    records: Any,
    relationships: Mapping[str, RelationshipInverse],
    *,
    missing_effects: Literal["error", "drop"] = "error",
) -> Design:
    """Code the records for a model.

    Records without a value of the trait (empty, ``NA``, ``.``, NaN; 0 is a value) are counted and left out.

    Parameters
    ----------
    records
        Any data frame, or a `Table`.
    relationships
        K⁻¹ by the column whose levels it relates.
    missing_effects
        What to do with a record whose trait is known but a class, covariate or weight is missing: refuse, or leave it out
        and count it.

    Raises
    ------
    RecordError
        If there are no records, values cannot be used, or animals are unknown to their relationship.
    ModelError
        If a relationship is not used, or a term cannot be made of its columns.
    """
    table = as_table(records, "records")
    _check_relationships(model, relationships)
    notes: list[str] = []
    y, keep, counts = _choose_records(model, table, missing_effects, notes)
    notes.insert(0, describe_values(model.traits[0], y[keep]))
    used = Table(table.frame.filter(pl.Series(keep)), table.name, table.first_line, table.backend)
    rows = np.flatnonzero(keep)
    fixed_terms = [resolve(term, table, notes) for term in model.fixed]
    return Design(
        trait=model.traits[0],
        y=y[keep],
        weights=None if model.residual.weights is None else table.numbers(model.residual.weights)[keep],
        rows=rows,
        fixed=tuple(_fixed_term(term, used, notes) for term in fixed_terms),
        random=tuple(_random_term(term, used, rows, table, relationships, notes) for term in model.random),
        counts=counts,
        notes=tuple(dict.fromkeys(notes)),
        table=table,
    )


def _check_relationships(model: Model, relationships: Mapping[str, RelationshipInverse]) -> None:
    usable = [term.factors[0] for term in model.random if not term.identity and len(term.factors) == 1]
    for term in model.random:
        if term.identity and len(term.factors) == 1 and term.factors[0] not in relationships:
            raise ModelError(
                f"{term.key} asks for independent levels beside those of a relationship, but none is given for "
                f"{term.factors[0]!r} -> give it, or write (1 | {term.factors[0]})"
            )
    for name in relationships:
        if name not in usable:
            raise ModelError(
                f"a relationship is given for {name!r}, but no random term (1 | {name}) is in the model"
                f"{nearest(name, usable)}"
            )


def _choose_records(
    model: Model, table: Table, missing_effects: str, notes: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], RecordCounts]:
    """Values of the trait, which records are used, and the counts of the others."""
    trait = model.traits[0]
    y = table.numbers(trait)
    if not len(table):
        raise RecordError(f"{table.name}: no records below the header")
    measured = ~np.isnan(y)
    if not measured.any():
        raise RecordError(f"{table.name}: none of the {y.size:,} records has a value of {trait!r}")
    keep = measured.copy()
    for column in (name for name in model.columns if name != trait):
        missing = _missing(table, column) & measured
        lacking = np.flatnonzero(missing)
        if not lacking.size:
            continue
        if missing_effects == "error":
            raise RecordError(
                f"{table.places(lacking)}: {column!r} is missing where {trait!r} is known "
                "-> fill it in, or set missing_effects to 'drop'"
            )
        notes.append(f"{counted(lacking.size, 'record')} without {column!r} left out")
        keep &= ~missing
    if model.residual.weights is not None:
        weights = table.numbers(model.residual.weights)
        wrong = np.flatnonzero(keep & ~(weights > 0))
        if wrong.size:
            raise RecordError(
                f"{table.places(wrong)}: weight {model.residual.weights!r} is {weights[wrong[0]]:g}; weights have to be positive"
            )
    without_trait = int(np.count_nonzero(~measured))
    used = int(np.count_nonzero(keep))
    if not used:
        raise RecordError(f"{table.name}: no record is left after those with a missing effect were left out")
    if without_trait:
        notes.append(f"{counted(without_trait, 'record')} without a value of {trait!r} left out")
    return y, keep, RecordCounts(y.size, used, without_trait, y.size - used - without_trait)


def _missing(table: Table, column: str) -> NDArray[np.bool_]:
    """Empty, or one of the codes of a missing value."""
    if table.column(column).dtype.is_float():
        return np.isnan(table.numbers(column))
    text = table.text(column).str.strip_chars()
    missing: NDArray[np.bool_] = (text.is_null() | text.is_in(MISSING_VALUES)).fill_null(True).to_numpy()
    return missing


def describe_values(name: str, values: NDArray[np.float64]) -> str:
    """Mean, standard deviation and range of a trait or covariate of the records in use."""
    spread = values.std(ddof=1) if values.size > 1 else 0.0
    return f"{name}: mean {values.mean():.6g}, SD {spread:.6g}, from {values.min():.6g} to {values.max():.6g}"


def _fixed_term(term: Fixed | Covariate, used: Table, notes: list[str]) -> DesignTerm:
    classes = term.factors if isinstance(term, Fixed) else term.within
    columns = [used.text(column) for column in classes]
    levels, codes = code_interaction(columns) if columns else intercept(len(used))
    if isinstance(term, Fixed):
        return DesignTerm(term.name, "fixed", levels, codes)
    values = used.numbers(term.column)
    basis = evaluate_basis(term.basis, term.column, values)
    notes.append(describe_values(term.column, values))
    notes.extend(basis.notes)
    return DesignTerm(term.name, "fixed", levels, codes, basis.values, basis.coefficients, classes=False)


def _random_term(
    term: Random,
    used: Table,
    rows: NDArray[np.int64],
    table: Table,
    relationships: Mapping[str, RelationshipInverse],
    notes: list[str],
) -> DesignTerm:
    columns = [used.text(column) for column in term.factors]
    relationship = None if term.identity or len(columns) > 1 else relationships.get(term.factors[0])
    if relationship is None:
        levels, codes = code_interaction(columns) if len(columns) > 1 else code_classes(columns[0])
        notes.append(f"{term.key}: levels independent (K = I), {counted(len(levels), 'level')} with records")
        return DesignTerm(term.key, "random", levels, codes)
    codes = _positions_in(relationship, columns[0], term.factors[0], rows, table)
    notes.append(f"{term.key}: {'; '.join(relationship.made)}")
    return DesignTerm(term.key, "random", relationship.ids, codes, relationship=relationship)


def _positions_in(
    relationship: RelationshipInverse, ids: pl.Series, column: str, rows: NDArray[np.int64], table: Table
) -> NDArray[np.int32]:
    codes = positions(ids, relationship.ids)
    unknown = np.flatnonzero(codes < 0)
    if unknown.size:
        animals = ids.gather(unknown).unique(maintain_order=True).to_list()
        raise RecordError(
            f"{table.places(rows[unknown])}: {column} {name_some(animals)} "
            f"{'is' if len(animals) == 1 else 'are'} not in the relationship given for {column!r} "
            "-> add to the pedigree, or set unknown_animals to 'founder'"
        )
    return codes
