"""Where the relationship of each random term comes from: the pedigree, something built of it, or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from breedblup.design.build import check_relationships
from breedblup.errors import ConfigurationError, ModelError, name_some, nearest
from breedblup.model import Levels, Model, Random
from breedblup.run.schema import RelationshipSection, Sections


@dataclass(frozen=True, slots=True)
class MatrixInput:
    """A file with a relationship matrix, or with its inverse."""

    file: Path
    kind: Literal["relationship", "inverse"]


@dataclass(frozen=True, slots=True)
class FromPedigree:
    """Relationships that the pedigree gives; with ``prune`` those of the animals that records name, and their ancestors.

    ``ratio`` makes groups random, ``gamma`` is the file with the relationships of metafounders.
    """

    kind: Literal["pedigree", "groups", "metafounders", "dominance", "sire_mgs"] = "pedigree"
    prune: bool = False
    ratio: float | None = None
    gamma: Path | None = None


Source: TypeAlias = FromPedigree | MatrixInput


def sources_of(place: Path, sections: Sections, model: Model) -> Mapping[str, Source]:
    """Sources as declared; when nothing is declared the pedigree is that of ``animal``.

    Raises
    ------
    ConfigurationError
        If pedigree and relationships do not fit together, or ``animal`` has none.
    ModelError
        If a random term needs another relationship, or none needs one that is given.
    """
    usable = [term.relationship_name for term in model.random if term.relationship_name is not None]
    if sections.relationships is None:
        chosen = _default(place.name, sections, model)
    else:
        chosen = {name: _source(place, section) for name, section in sections.relationships.items()}
        _check_spelling(place.name, chosen, usable)
        _check_pedigree(place.name, sections, chosen)
    _check_of_sires(place.name, sections, chosen)
    _check_groups(place.name, sections, chosen)
    if "animal" in usable and "animal" not in chosen:
        listed = (
            'add animal = "pedigree" to [relationships], which has to list it too where it is given'
            if sections.pedigree is not None and sections.relationships is not None
            else "give [pedigree], or a matrix in [relationships]"
        )
        raise ConfigurationError(f"{place.name}: the random term 'animal' has no relationship; {listed}")
    _check_named(place.name, chosen, model)
    named: dict[str, Any] = dict(chosen)
    try:
        check_relationships(model, named)
    except ModelError as wrong:
        raise ModelError(f"{place.name}: [relationships] {wrong}") from None
    return chosen


def _default(name: str, sections: Sections, model: Model) -> dict[str, Source]:
    """What is meant where [relationships] is left out."""
    if sections.pedigree is None:
        return {}
    terms = [term for term in model.random if term.relationship_name is not None]
    if any(term.relationship_name == "animal" for term in terms):
        return {"animal": FromPedigree()}
    if not terms:
        found = f"none that takes a relationship (random terms: {name_some(model.keys)})" if model.random else "none"
        raise ConfigurationError(
            f"{name}: [pedigree] is given for the random terms of the model, and there is {found}; leave [pedigree] "
            "out, or write the random term of the animals as (1 | animal)"
        )
    own = [str(term.relationship_name) for term in terms if _named_by(term) is None]
    if not own:
        return {}
    raise ConfigurationError(
        f"{name}: no random term is called 'animal', so [relationships] has to say whose pedigree this is, "
        f'such as {own[0]} = "pedigree" (random terms: {name_some(own)})'
    )


def _named_by(term: Random) -> str | None:
    """Relationship that ``vm()`` names."""
    group = term.groups[0]
    return group.relationship if isinstance(group, Levels) else None


def _check_named(name: str, chosen: Mapping[str, Source], model: Model) -> None:
    """Refuse a ``vm()`` whose relationship is not given, and say what it can be."""
    for term in model.random:
        named = _named_by(term)
        if named is not None and named not in chosen:
            raise ConfigurationError(
                f"{name}: [relationships] {term.key} needs the relationship {named!r}, and none of that name is given; "
                f'write {named} = "dominance" for that of the pedigree, or {named} = {{ file = "k.csv", kind = '
                '"relationship" } for a matrix'
            )


def _check_spelling(name: str, chosen: Mapping[str, Source], usable: Sequence[str]) -> None:
    """Refuse a name that no random term has, and that is near to one that lacks a relationship."""
    lacking = [term for term in usable if term not in chosen]
    for given in chosen:
        hint = "" if given in usable else nearest(given, lacking)
        if hint:
            raise ConfigurationError(
                f"{name}: [relationships] a relationship is given for {given!r}, but no random term (1 | {given}) is "
                f"in the model{hint}"
            )


def _source(place: Path, section: RelationshipSection) -> Source:
    if section.kind == "relationship" or section.kind == "inverse":
        assert section.file is not None
        return MatrixInput(place.parent / section.file, section.kind)
    return FromPedigree(
        section.kind, section.prune, section.ratio, None if section.file is None else place.parent / section.file
    )


def _check_pedigree(name: str, sections: Sections, chosen: Mapping[str, Source]) -> None:
    """Refuse a pedigree that is not used, and a use of one that is not given."""
    used = [source.kind for source in chosen.values() if isinstance(source, FromPedigree)]
    if used and sections.pedigree is None:
        what = "the pedigree" if "pedigree" in used else f"{used[0]!r}, which is made of the pedigree"
        raise ConfigurationError(f"{name}: [relationships] names {what}, but section [pedigree] is missing")
    if not used and sections.pedigree is not None:
        raise ConfigurationError(
            f"{name}: [pedigree] is given and [relationships] does not use it; write which factor's it is, "
            "or leave the section out"
        )


def _check_groups(name: str, sections: Sections, chosen: Mapping[str, Source]) -> None:
    """Refuse groups where the pedigree has none, and a pedigree whose groups nothing uses."""
    if sections.pedigree is None:
        return
    kinds = {column: source.kind for column, source in chosen.items() if isinstance(source, FromPedigree)}
    for column, kind in kinds.items():
        if kind in ("groups", "metafounders") and not sections.pedigree.grouped:
            raise ConfigurationError(
                f'{name}: [relationships] {column} has kind = "{kind}", and [pedigree] has no groups of unknown parents; give '
                "groups (codes in the parent columns), phantom_parents (a file) or group_rule"
            )
        if kind == "metafounders" and sections.solve.inbreeding is not True:
            raise ConfigurationError(
                f'{name}: [relationships] {column} has kind = "metafounders", where Γ decides about inbreeding; leave inbreeding '
                "out of [solve]"
            )
    if sections.pedigree.grouped and not set(kinds.values()) & {"pedigree", "groups", "metafounders"}:
        raise ConfigurationError(
            f"{name}: [pedigree] groups unknown parents, and [relationships] does not use that; leave the groups out"
        )


def _check_of_sires(name: str, sections: Sections, chosen: Mapping[str, Source]) -> None:
    """Refuse to take maternal grandsires for dams."""
    if sections.pedigree is None or sections.pedigree.maternal_grandsire is None:
        return
    for column, source in chosen.items():
        if isinstance(source, FromPedigree) and source.kind != "sire_mgs":
            raise ConfigurationError(
                f'{name}: [relationships] {column} = "{source.kind}" needs dams, and [pedigree] has maternal_grandsire; '
                f'write {column} = "sire_mgs" for relationships among sires, or name the dam in [pedigree]'
            )
