"""Random terms of a model, coded: levels of all of its groups, what links records to them, what multiplies each effect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.design.basis import BasisColumns, evaluate_basis, refuse_outside
from breedblup.design.choice import describe_values, known_text
from breedblup.design.levels import class_text, code_classes, code_where
from breedblup.design.terms import DesignTerm, Entry, Function, Link
from breedblup.errors import RecordError, counted, name_some
from breedblup.frames import Table, positions
from breedblup.model import Basis, Classes, Effect, FixedPart, LevelGroup, Levels, Members, Model, Random
from breedblup.model.bytrait import Regressor
from breedblup.model.coordinates import class_labels, coordinates_of, effect_classes, group_label, margin_of
from breedblup.model.random import affects
from breedblup.relationship import PedigreeOperator, RelationshipInverse


@dataclass(frozen=True, slots=True)
class Coding:
    """What terms are coded from.

    ``used`` are the records in use, ``rows`` their rows in the ``table`` that they came from, ``observed`` (n × traits) which
    traits each of them has. ``notes`` gathers what has to be said.
    """

    model: Model
    table: Table
    used: Table
    rows: NDArray[np.int64]
    observed: NDArray[np.bool_]
    notes: list[str]

    def needed(self, terms: Iterable[FixedPart | Effect]) -> NDArray[np.bool_]:
        """Which records have a trait that one of the terms affects."""
        mine = [t for t, trait in enumerate(self.model.traits) if any(affects(term, trait) for term in terms)]
        needed: NDArray[np.bool_] = np.any(self.observed[:, mine], axis=1)
        return needed

    def places(self, records: NDArray[np.int64]) -> str:
        """Where some of the records in use stand in the table that they came from."""
        return self.table.places(self.rows[records])

    def covariate(
        self, column: str, basis: Basis, terms: Iterable[FixedPart | Effect], key: str | None = None
    ) -> BasisColumns:
        """The functions of a covariate for the records that need it, 0 for the others; notes say how they were made.

        ``key`` is that of a random term, whose limits may be others than those of the next.
        """
        needed = self.needed(terms)
        x = np.where(needed, self.used.numbers(column), np.nan)
        refuse_outside(basis, column, x, self.places)
        columns = evaluate_basis(basis, column, x)
        made = columns.notes if key is None else tuple(f"{key}: {note}" for note in columns.notes)
        self.notes.extend([describe_values(column, x[needed]), *made])
        return columns


def random_term(term: Random, key: str, coding: Coding, relationships: Mapping[str, RelationshipInverse]) -> DesignTerm:
    """Code a random term.

    Raises
    ------
    RecordError
        If a level is not in the relationship, a weight is missing, or a covariate lies outside its declared range.
    """
    relationship = None if term.relationship_name is None else relationships.get(term.relationship_name)
    if relationship is None:
        levels, codes = _own_levels(term, coding)
        coding.notes.append(f"{key}: levels independent (K = I), {counted(len(levels), 'level')} with records")
    else:
        levels = relationship.ids
        codes = [
            [_positions_in(relationship, term, label, text, coding) for label, text in _columns(term, group, coding)]
            for group in term.groups
        ]
        coding.notes.append(f"{key}: {'; '.join(relationship.made)}")
        if relationship.twins.height:
            coding.notes.append(
                f"{key}: identical twins and clones have the level of the animal whose genotype they share: "
                f"{name_some(relationship.twins['id'].to_list())}"
            )
    values: list[NDArray[np.float64]] = []
    functions, entries = _effects(term, key, coding, values)
    links = []
    for group, of_group in zip(term.groups, codes, strict=True):
        for place, link_codes in enumerate(of_group):
            links.append(Link(link_codes, _weighted(group, place, entries[group], coding, link_codes, values)))
        if isinstance(group, Members):
            _note_members(term, key, group, of_group, coding)
    return DesignTerm(
        name=key,
        kind="random",
        levels=levels,
        coordinates=coordinates_of(term, coding.model.traits),
        links=tuple(links),
        values=np.ascontiguousarray(np.column_stack(values)) if values else None,
        relationship=relationship,
        functions=functions,
        correlated=term.correlated,
    )


def _of_group(term: Random, group: LevelGroup) -> list[Effect]:
    return [effect for effect in term.effects if effect.group == group]


def _columns(term: Random, group: LevelGroup, coding: Coding) -> list[tuple[str, pl.Series]]:
    """Columns of levels, null where no record needs them; an interaction is one column."""
    mask = pl.Series(~coding.needed(_of_group(term, group)))
    texts = [known_text(coding.used, column).cast(pl.String).set(mask, None) for column in group.columns]
    if isinstance(group, Members):
        return list(zip(group.columns, texts, strict=True))
    if len(texts) == 1:
        return [(group.columns[0], texts[0])]
    levels, codes = code_where(texts, ~mask.to_numpy())
    index = pl.Series(codes)
    return [(":".join(group.columns), levels.gather(index.set(index < 0, None)))]


def _own_levels(term: Random, coding: Coding) -> tuple[pl.Series, list[list[NDArray[np.int32]]]]:
    """Levels that records name in any of the groups, and the codes of each column."""
    first = term.groups[0]
    if len(term.groups) == 1 and isinstance(first, Levels):
        texts = [class_text(coding.used, column) for column in first.columns]
        levels, codes = code_where(texts, coding.needed(term.effects))
        return levels, [[codes]]
    columns = [_columns(term, group, coding) for group in term.groups]
    levels, _ = code_classes(pl.concat([text.drop_nulls().rename("level") for group in columns for _, text in group]))
    return levels, [[positions(text, levels) for _, text in group] for group in columns]


def _positions_in(
    relationship: RelationshipInverse, term: Random, column: str, text: pl.Series, coding: Coding
) -> NDArray[np.int32]:
    codes = relationship.positions_of(text)
    unknown = np.flatnonzero((codes < 0) & text.is_not_null().to_numpy())
    if unknown.size:
        animals = text.gather(unknown).unique(maintain_order=True).to_list()
        advice = (
            "add to the pedigree, or set unknown_animals to 'founder'"
            if type(relationship.operator) is PedigreeOperator
            else "correct the records, or give a relationship that has them"
        )
        raise RecordError(
            f"{coding.places(unknown)}: {column} {name_some(animals)} "
            f"{'is' if len(animals) == 1 else 'are'} not in the relationship given for {term.relationship_name!r} "
            f"-> {advice}"
        )
    return codes


def _effects(
    term: Random, key: str, coding: Coding, values: list[NDArray[np.float64]]
) -> tuple[tuple[Function, ...], dict[LevelGroup, list[Entry]]]:
    """What multiplies each coordinate, and the entries of each group; columns of covariates are added to ``values``."""
    functions: list[Function] = []
    entries: dict[LevelGroup, list[Entry]] = {group: [] for group in term.groups}
    columns: dict[tuple[Regressor, tuple[str, ...]], tuple[int, Basis]] = {}
    for effect in term.effects:
        mine = [t for t, trait in enumerate(coding.model.traits) if affects(effect, trait)]
        regressor = Regressor.of(effect)
        start, basis = -1, effect.basis
        if not regressor.is_constant:
            known = (regressor, effect.traits)
            if known not in columns:
                made, basis = _multipliers(term, effect, key, coding)
                columns[known] = (len(values), basis)
                values.extend(made)
            start, basis = columns[known]
        group = group_label(term, effect.group)
        for levels in effect_classes(term, effect):
            label = " ".join(filter(None, (group, ":".join(class_labels(effect, levels)))))
            for k in range(effect.basis.size):
                for t in mine:
                    entries[effect.group].append(Entry(t, len(functions), start))
                    functions.append(Function(label, effect.column, basis, k))
                start += not regressor.is_constant
    return tuple(functions), entries


def _multipliers(term: Random, effect: Effect, key: str, coding: Coding) -> tuple[list[NDArray[np.float64]], Basis]:
    """The columns of an effect, classes outside the functions of its covariate, and the basis with its limits."""
    own, basis = [np.ones(len(coding.used))], effect.basis
    if effect.column is not None:
        evaluated = coding.covariate(effect.column, effect.basis, [effect], key)
        own, basis = list(evaluated.values.T), evaluated.basis
    texts = [_known_classes(classes, effect, coding) for classes in effect.classes]
    if effect.classes:
        coding.notes.append(f"{key}: {_coded(term, effect)}")
    made = []
    for levels in effect_classes(term, effect):
        belongs = np.ones(len(coding.used), dtype=np.bool_)
        for text, level in zip(texts, levels, strict=True):
            belongs &= (text == level).fill_null(False).to_numpy()
        made += [np.where(belongs, column, 0.0) for column in own]
    return made, basis


def _coded(term: Random, effect: Effect) -> str:
    """Which classes have effects, and which are references."""
    listed = (", ".join(classes.levels) for classes in effect.classes)
    references = [
        f"{classes.factor} {classes.levels[0]}"
        for classes in effect.classes
        if term.correlated and margin_of(term, effect, classes)
    ]
    against = f", as differences from {' and '.join(references)}" if references else ""
    apart = "" if term.correlated else ", uncorrelated with each other"
    return f"effects {effect.label} of the classes {' by '.join(listed)}{against}{apart}"


def _known_classes(classes: Classes, effect: Effect, coding: Coding) -> pl.Series:
    """A factor left of a bar as text; refuses classes that the model does not have."""
    text = known_text(coding.used, classes.factor).cast(pl.String)
    unknown = pl.Series(coding.needed([effect])) & text.is_not_null() & ~text.is_in(classes.levels)
    wrong = unknown.arg_true().to_numpy()
    if wrong.size:
        raise RecordError(
            f"{coding.places(wrong)}: {classes.factor} is {name_some(text.gather(wrong).unique(maintain_order=True).to_list())}, "
            f"and left of a bar the model has the classes {name_some(classes.levels)} -> correct the records, or the levels"
        )
    return text


def _weighted(
    group: LevelGroup,
    place: int,
    entries: list[Entry],
    coding: Coding,
    codes: NDArray[np.int32],
    values: list[NDArray[np.float64]],
) -> tuple[Entry, ...]:
    """Entries of one column of levels, times its weight."""
    weight = group.weights[place] if isinstance(group, Members) and group.weights else 1.0
    if not isinstance(weight, str):
        return tuple(entry._replace(scale=float(weight)) for entry in entries)
    w = coding.used.numbers(weight)
    lacking = np.flatnonzero(np.isnan(w) & (codes >= 0))
    if lacking.size:
        raise RecordError(
            f"{coding.places(lacking)}: the weight {weight!r} is missing where {group.columns[place]!r} is "
            "known -> fill it in, or leave that level empty"
        )
    w = np.where(codes >= 0, w, 0.0)
    made: dict[int, int] = {}
    for column in sorted({entry.column for entry in entries}):
        made[column] = len(values)
        values.append(w if column < 0 else w * values[column])
    return tuple(entry._replace(column=made[entry.column]) for entry in entries)


def _note_members(term: Random, key: str, group: Members, codes: list[NDArray[np.int32]], coding: Coding) -> None:
    """Name the weights, and how many records have no level at all."""
    shown = ", ".join(str(weight) for weight in group.weights) or "1 each"
    named = ", ".join(group.columns)
    coding.notes.append(f"{key}: effects of {named} added up, weights {shown}")
    empty = int(np.count_nonzero(coding.needed(_of_group(term, group)) & np.all([one < 0 for one in codes], axis=0)))
    if empty:
        coding.notes.append(f"{key}: {counted(empty, 'record')} without any of {named}: no such effect on them")
