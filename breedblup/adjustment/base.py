"""The base: which animals have a mean EBV of zero.

BLUP sets the base at the animals without known parents, whose expected breeding value is zero. Publishing asks for another:
the mean of chosen animals is subtracted from every EBV (and parent average) of an effect, or combination of effects. Differences
between animals do not change, nor do PEV and reliability, which remain those of the breeding value itself and not of the
difference to the base.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError, name_some
from breedblup.evaluation import Evaluation, RandomEffects
from breedblup.pedigree import Pedigree
from breedblup.relationship import RelationshipInverse


@dataclass(frozen=True, slots=True)
class BaseFounders:
    """Animals without known parents."""


@dataclass(frozen=True, slots=True)
class BaseBirthYears:
    """Animals born in the years from ``first`` to ``last``, both included; with records of their own only, if asked for."""

    first: int
    last: int
    recorded_only: bool = False


@dataclass(frozen=True, slots=True)
class BaseIds:
    """Animals by name."""

    ids: tuple[str, ...]

    @classmethod
    def of(cls, ids: Sequence[str] | pl.Series) -> BaseIds:
        """From any sequence of ids."""
        return cls(tuple(str(name) for name in ids))


Base = BaseFounders | BaseBirthYears | BaseIds

_NOTE = "base: "
"""How the note begins that says what was subtracted."""


def check_base(base: Base, relationships: Mapping[str, RelationshipInverse]) -> None:
    """Refuse a base that these relationships cannot give, before anything is solved, with `ModelError` as `rebase` does."""
    if not isinstance(base, BaseFounders | BaseBirthYears | BaseIds):
        raise ModelError(
            f"the base is a {type(base).__name__}; give BaseFounders(), BaseBirthYears(...) or BaseIds.of(...)"
        )
    if not relationships:
        raise ModelError("a base is asked for, but no random term has a relationship -> leave the base out")
    for relationship in _moved(list(relationships.values())):
        _members(base, relationship, np.ones(relationship.animals, dtype=bool))


def rebase(evaluation: Evaluation, base: Base) -> Evaluation:
    """A new evaluation whose EBVs are deviations from the mean of the base animals, by term, trait and effect or combination.

    Animals "with records of their own" are those with records of the first effect of a term (the direct one) for any of the
    traits: all effects of a term have the same base animals, so that a combination and its parts agree.

    Where some terms have a pedigree and others a relationship of another kind (dominance), the base is that of the first.

    Raises
    ------
    ModelError
        If the base has no animals: unknown ids, years without births, a relationship without pedigree.
    """
    check_base(base, evaluation.relationships)
    moved = _moved(list(evaluation.relationships.values()))
    tables: list[pl.DataFrame] = []
    means: list[str] = []
    subtracted = dict(evaluation.subtracted)
    groups = evaluation.genetic.partition_by("term", "trait", "effect", maintain_order=True)
    of_terms = Counter(table["term"][0] for table in groups)
    members: dict[str, NDArray[np.bool_]] = {}
    for table in groups:
        key = table.select("term", "trait", "effect").row(0)
        effects = evaluation.effects[key[0]]
        relationship = effects.term.relationship
        assert relationship is not None  # only terms with a relationship are in the table
        if not any(relationship is one for one in moved):
            tables.append(table)
            continue
        if key[0] not in members:
            members[key[0]] = _members(base, relationship, _recorded(effects))[_user_order(relationship)]
        of_animals = table["ebv"].to_numpy()[: relationship.animals]  # identical twins, which stand last, count once
        mean = float(of_animals[members[key[0]]].mean())
        tables.append(table.with_columns(pl.col("ebv") - mean, pl.col("parent_average") - mean))
        subtracted[key] = subtracted.get(key, 0.0) + mean
        called = key[0] if of_terms[key[0]] == 1 else " ".join(key)
        means.append(f"{called} {subtracted[key]:.6g} over {np.count_nonzero(members[key[0]]):,} animals")
    statement = f"mean of {_in_words(base)} is 0 (subtracted: {'; '.join(means)})"
    note = f"{_NOTE}{statement}; PEV and reliability are those of the breeding value, not of its difference to the base"
    kept = (before for before in evaluation.notes if not before.startswith(_NOTE))
    return replace(evaluation, genetic=pl.concat(tables), base=statement, notes=(*kept, note), subtracted=subtracted)


def _recorded(effects: RandomEffects) -> NDArray[np.bool_]:
    """Animals with records of their own: of the first group's effects, for any trait."""
    first = effects.term.functions[0].group
    own = [function.group == first for function in effects.term.functions]
    relationship = effects.term.relationship
    animals = slice(None if relationship is None else relationship.animals)
    most: NDArray[np.int64] = effects.records[animals, own].max(axis=1)
    recorded: NDArray[np.bool_] = most > 0
    return recorded


def _moved(relationships: Sequence[RelationshipInverse]) -> list[RelationshipInverse]:
    """Those whose effects a base moves: made from a pedigree, or all where none is.

    Dominance deviations and other effects beside additive ones keep the zero of their own expectation.
    """
    return [one for one in relationships if one.pedigree is not None] or list(relationships)


def _user_order(relationship: RelationshipInverse) -> NDArray[np.int32]:
    if relationship.pedigree is None:
        return np.arange(relationship.animals, dtype=np.int32)
    return relationship.pedigree.user_order


def _members(base: Base, relationship: RelationshipInverse, recorded: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which animals make the base, in the order of the relationship."""
    if isinstance(base, BaseIds):
        wanted = pl.Series(base.ids, dtype=pl.String).unique(maintain_order=True)
        if not len(wanted):
            raise ModelError("the base is empty: no ids are given")
        found = relationship.positions_of(wanted)
        lacking = (found < 0) | (found >= relationship.animals)
        if lacking.any():
            unknown = wanted.filter(pl.Series(lacking))
            raise ModelError(f"base animals that are not evaluated: {name_some(unknown.to_list())}")
        members = np.zeros(relationship.animals, dtype=bool)
        members[found] = True
        return members
    pedigree = relationship.pedigree
    if pedigree is None:
        raise ModelError(f"a base of {_in_words(base)} needs a pedigree; this relationship has none -> give ids")
    if isinstance(base, BaseFounders):
        founders: NDArray[np.bool_] = (pedigree.sire < 0) & (pedigree.dam < 0)
        return founders
    years = _birth_years(pedigree)
    members = (years >= base.first) & (years <= base.last)
    if base.recorded_only:
        members &= recorded
    if not members.any():
        raise ModelError(f"the base is empty: no {_in_words(base)} among the animals evaluated")
    return members


def _birth_years(pedigree: Pedigree) -> NDArray[np.int32]:
    years = pedigree.birth_years()
    if years is None:
        raise ModelError(f"{pedigree.name} has no births, which a base of birth years needs -> give ids, or founders")
    return years


def _in_words(base: Base) -> str:
    if isinstance(base, BaseFounders):
        return "animals without known parents"
    if isinstance(base, BaseIds):
        return f"{len(base.ids):,} named animals"
    return f"animals born {base.first} to {base.last}" + (" with records" if base.recorded_only else "")
