"""Animals of the records that a pedigree lacks."""

from __future__ import annotations

import numpy as np
import polars as pl

from breedblup.design.computed import with_computed
from breedblup.errors import RecordError, counted, name_some
from breedblup.frames import MISSING_VALUES, Table
from breedblup.model import Model
from breedblup.pedigree import Pedigree


def level_columns(model: Model, name: str) -> tuple[str, ...]:
    """Columns whose levels the relationship of a name relates."""
    terms = [term for term in model.random if term.relationship_name == name]
    return tuple(dict.fromkeys(column for term in terms for group in term.groups for column in group.columns))


def ids_in(table: Table, columns: tuple[str, ...]) -> pl.Series:
    """Ids that stand in some columns, each once."""
    named = [table.text(column).drop_nulls().rename("id") for column in columns]
    ids = pl.concat([pl.Series("id", [], dtype=pl.String), *named]).unique(maintain_order=True)
    return ids.filter(~ids.str.strip_chars().is_in(MISSING_VALUES))


def add_founders(pedigree: Pedigree, model: Model, table: Table, name: str, notes: list[str]) -> Pedigree:
    """A pedigree with those animals as unrelated ones that it lacks and that have a record; a note names them.

    Raises
    ------
    RecordError
        If one of them bears the code of a missing parent.
    """
    columns = level_columns(model, name)
    traits = with_computed(table, model.traits)
    measured = ~np.column_stack([np.isnan(traits.numbers(trait)) for trait in model.traits]).all(axis=1)
    used = Table(table.frame.filter(pl.Series(measured, dtype=pl.Boolean)), table.name, table.first_line, table.backend)
    ids = ids_in(used, columns)
    new = ids.filter(pl.Series(pedigree.positions_of(ids) < 0, dtype=pl.Boolean))
    if not len(new):
        return pedigree
    bearing = new.filter(new.str.strip_chars().is_in(pedigree.missing_parents))
    if len(bearing):
        raise RecordError(
            f"{table.name}: {', '.join(columns)} {name_some(bearing.to_list())} of the records bears the code of a "
            "missing parent -> it cannot be added to the pedigree; correct the id"
        )
    notes.append(
        f"{counted(len(new), 'animal')} of the records added to the pedigree as unrelated: {name_some(new.to_list())}"
    )
    return pedigree.with_founders(new)
