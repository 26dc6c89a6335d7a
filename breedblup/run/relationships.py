"""Relationships as a configuration asks for them: a pedigree, what is built of it, or a matrix from a file."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from breedblup.errors import NotPositiveDefinite, RecordError, counted, name_some
from breedblup.frames import MISSING_VALUES, Table
from breedblup.io.matrices import read_matrix
from breedblup.model import Model
from breedblup.pedigree import Pedigree
from breedblup.relationship import RelationshipInverse, dominance_inverse, inverse_from, sire_mgs_inverse
from breedblup.run.config import Configuration
from breedblup.run.sources import FromPedigree, MatrixInput

_log = logging.getLogger("breedblup")


def make_relationships(
    config: Configuration, pedigree: Pedigree | None, records: Table
) -> tuple[Mapping[str, Pedigree | RelationshipInverse], tuple[str, ...]]:
    """The relationship of each name, and notes of what was done to have it.

    Animals of the records that the pedigree lacks are left to the evaluation where the relationship is the pedigree's own,
    and to those who refuse unknown levels otherwise, save where they are to be founders.
    """
    made: dict[str, Pedigree | RelationshipInverse] = {}
    notes: list[str] = []
    for name, source in config.relationships.items():
        if isinstance(source, MatrixInput):
            made[name] = _read_relationship(name, source)
            continue
        assert pedigree is not None
        whole = source.kind == "pedigree" and not source.prune
        made[name] = pedigree if whole else _related(config, name, source, pedigree, records, notes)
    return made, tuple(notes)


def _read_relationship(name: str, source: MatrixInput) -> RelationshipInverse:
    _log.info("reading relationship of %s %s", name, source.file)
    values, ids = read_matrix(source.file)
    try:
        return inverse_from(values, ids, kind=source.kind)
    except NotPositiveDefinite as wrong:
        raise NotPositiveDefinite(f"{source.file.name}: {wrong}", wrong.equation) from None


def _related(
    config: Configuration, name: str, source: FromPedigree, pedigree: Pedigree, records: Table, notes: list[str]
) -> Pedigree | RelationshipInverse:
    """A pruned pedigree, or the inverse of what is built of a pedigree."""
    columns = _columns(config.model, name)
    if source.kind != "pedigree":
        _log.info("building %s relationships of %s", source.kind, name)
        if config.options.unknown_animals == "founder":
            pedigree = _with_founders(pedigree, columns, records, config.model.traits, notes)
    of_sires = config.pedigree is not None and config.pedigree.of_sires
    derived = source.kind == "sire_mgs" and not of_sires
    known = _named(pedigree, columns, records) if source.prune or derived else pedigree.ids
    if source.kind == "dominance":
        return dominance_inverse(pedigree, known if source.prune else None)
    if derived:
        pedigree = pedigree.male_ancestors_of(known)
    elif source.prune:
        pedigree = pedigree.ancestors_of(known)
    return pedigree if source.kind == "pedigree" else sire_mgs_inverse(pedigree, inbreeding=config.options.inbreeding)


def _columns(model: Model, name: str) -> tuple[str, ...]:
    """Columns of the terms that look up a relationship."""
    terms = [term for term in model.random if term.relationship_name == name]
    return tuple(dict.fromkeys(column for term in terms for group in term.groups for column in group.columns))


def _ids(records: Table, columns: tuple[str, ...]) -> pl.Series:
    """Ids that stand in some columns, each once."""
    ids = pl.concat([records.text(column).rename("id") for column in columns]).drop_nulls().unique(maintain_order=True)
    return ids.filter(~ids.str.strip_chars().is_in(MISSING_VALUES))


def _named(pedigree: Pedigree, columns: tuple[str, ...], records: Table) -> pl.Series:
    """Animals of a pedigree that records name, with a trait or without, in its user's order."""
    ids = _ids(records, columns)
    found = pedigree.positions_of(ids)
    chosen = np.zeros(len(pedigree), dtype=np.bool_)
    chosen[found[found >= 0]] = True
    if not chosen.any():
        raise RecordError(
            f"{records.name}: none of the ids in {name_some(columns)} is in {pedigree.name} "
            "-> correct the names of files or columns, or the ids"
        )
    order = pedigree.user_order
    return pedigree.ids.gather(order[chosen[order]])


def _with_founders(
    pedigree: Pedigree, columns: tuple[str, ...], records: Table, traits: tuple[str, ...], notes: list[str]
) -> Pedigree:
    """A pedigree with those as unrelated animals that it lacks and that have a trait; codes of a missing parent are refused."""
    missing = np.column_stack([np.isnan(records.numbers(trait)) for trait in traits]).all(axis=1)
    measured = replace(records, frame=records.frame.filter(pl.Series(~missing, dtype=pl.Boolean)))
    ids = _ids(measured, columns)
    new = ids.filter(pl.Series(pedigree.positions_of(ids) < 0, dtype=pl.Boolean))
    if not len(new):
        return pedigree
    bearing = new.filter(new.str.strip_chars().is_in(pedigree.missing_parents))
    if len(bearing):
        raise RecordError(
            f"{records.name}: {', '.join(columns)} {name_some(bearing.to_list())} of the records bears the code of a "
            "missing parent -> it cannot be added to the pedigree; correct the id"
        )
    shown = name_some(new.to_list())
    notes.append(f"{counted(len(new), 'animal')} of the records added to the pedigree as unrelated: {shown}")
    return pedigree.with_founders(new)
