"""Where the relationship of each random term comes from: the pedigree, something built of it, genotypes, or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from breedblup.design.build import check_relationships
from breedblup.errors import ConfigurationError, ModelError, name_some, nearest
from breedblup.model import Levels, Model, Random
from breedblup.relationship.genomic import GenomicOptions
from breedblup.relationship.single_step_groups import GroupEquations
from breedblup.run.relationship_schema import (
    ESTIMATED,
    G_KEYS,
    Form,
    GenomicKind,
    Groups,
    PedigreeKind,
    RelationshipSection,
    refuse_marker_tests,
)
from breedblup.run.schema import Sections

RIDGE_ALONE = 0.01
"""Added to the diagonal where only genotyped animals are evaluated, and the file says nothing that makes G regular."""


@dataclass(frozen=True, slots=True)
class MatrixInput:
    """A file with a relationship matrix, or with its inverse."""

    file: Path
    kind: Literal["relationship", "inverse"]

    @property
    def files(self) -> dict[str, Path]:
        """Files that it is made with, by what is said of them."""
        return {"": self.file}


@dataclass(frozen=True, slots=True)
class FromPedigree:
    """Relationships that the pedigree gives; with ``prune`` those of the animals that records name, and their ancestors.

    ``ratio`` makes groups random, ``gamma`` is the file with the relationships of metafounders.
    """

    kind: PedigreeKind = "pedigree"
    prune: bool = False
    ratio: float | None = None
    gamma: Path | None = None

    @property
    def files(self) -> dict[str, Path]:
        """Files that it is made with, by what is said of them."""
        return {} if self.gamma is None else {"": self.gamma}


@dataclass(frozen=True, slots=True)
class FromGenotypes:
    """Relationships that genotypes give, with those of the pedigree around them (``single_step``) or alone.

    Attributes
    ----------
    options
        Of G, but for what stands in files.
    form, core
        How the inverse is had; the core of APY: a file with ids, a number of animals, or a share of the variation in G.
    gamma
        File with Γ; None with ``groups`` of metafounders: estimated from the genotypes.
    ridged
        Whether the ridge is `RIDGE_ALONE`, unasked.
    """

    kind: GenomicKind
    options: GenomicOptions
    frequencies: Path | None = None
    weights: Path | None = None
    form: Form = "auto"
    core: Path | int | float | None = None
    tau: float = 1.0
    omega: float = 1.0
    groups: Groups | None = None
    ratio: float | None = None
    gamma: Path | None = None
    group_equations: GroupEquations | None = None
    prune: bool = False
    ridged: bool = False

    @property
    def files(self) -> dict[str, Path]:
        """Files that it is made with, by what is said of them."""
        given = {" frequencies": self.frequencies, " weights": self.weights, " core": self.core, " gamma": self.gamma}
        return {what: file for what, file in given.items() if isinstance(file, Path)}


Source: TypeAlias = FromPedigree | FromGenotypes | MatrixInput


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
        chosen = {name: _source(place, name, section) for name, section in sections.relationships.items()}
        _check_spelling(place.name, chosen, usable)
        _check_pedigree(place.name, sections, chosen)
    _check_genotypes(place.name, sections, chosen)
    _check_of_sires(place.name, sections, chosen)
    _check_groups(place.name, sections, chosen)
    if sections.results.marker_tests and sections.relationships is not None:
        grouped = sections.pedigree is not None and sections.pedigree.grouped
        refuse_marker_tests(place.name, sections.relationships, grouped=grouped)
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


def _source(place: Path, name: str, section: RelationshipSection) -> Source:
    file = None if section.file is None else place.parent / section.file
    if section.kind == "relationship" or section.kind == "inverse":
        assert file is not None
        return MatrixInput(file, section.kind)
    if section.kind == "genomic" or section.kind == "single_step" or section.kind == "genomic_dominance":
        return _genomic(place, name, section, section.kind)
    return FromPedigree(section.kind, section.prune, section.ratio, file)


def _genomic(place: Path, name: str, section: RelationshipSection, kind: GenomicKind) -> FromGenotypes:
    given = section.model_dump(include=set(G_KEYS), exclude_none=True)
    if section.groups == "metafounders" and section.frequency_file is None:
        given = {"frequencies": "half"} | given  # Γ is on their scale
    ridged = kind != "single_step" and section.blend is None and section.ridge is None
    if ridged:
        given["ridge"] = RIDGE_ALONE
    try:
        options = GenomicOptions(**given)
    except ModelError as wrong:
        raise ConfigurationError(f"{place.name}: [relationships] {name}: {wrong}") from None

    def path(file: str | None) -> Path | None:
        return None if file is None else place.parent / file

    core = path(section.core_file) or section.core_number or section.core_share
    return FromGenotypes(
        kind, options, path(section.frequency_file), path(section.weight_file),
        "apy" if core is not None else section.form, core, section.tau, section.omega, section.groups, section.ratio,
        None if section.gamma == ESTIMATED else path(section.gamma), section.group_equations, section.prune, ridged,
    )  # fmt: skip


def uses_pedigree(source: Source) -> bool:
    """Whether a relationship cannot be without a pedigree."""
    if isinstance(source, FromGenotypes):
        return source.kind == "single_step" or needs_a22(source.options)
    return isinstance(source, FromPedigree)


def needs_a22(options: GenomicOptions) -> bool:
    """Whether G by itself takes something from A₂₂: what is blended with it, base frequencies, tuning."""
    blended = bool(options.blend) and options.blend_with == "a22"
    base = isinstance(options.frequencies, str) and options.frequencies == "base"
    return blended or base or options.tuning in ("chen", "mean", "vitezica")


def _check_pedigree(name: str, sections: Sections, chosen: Mapping[str, Source]) -> None:
    """Refuse a pedigree that is not used, and a use of one that is not given."""
    used = [source.kind for source in chosen.values() if uses_pedigree(source)]
    if used and sections.pedigree is None:
        what = "the pedigree" if "pedigree" in used else f"{used[0]!r}, which is made of the pedigree"
        if used[0] == "genomic":
            what = '"genomic" with something of A22 (blend without blend_with = "identity", tuning, frequencies of the base)'
        raise ConfigurationError(f"{name}: [relationships] names {what}, but section [pedigree] is missing")
    if not used and sections.pedigree is not None and sections.genotypes is None:
        raise ConfigurationError(
            f"{name}: [pedigree] is given and [relationships] does not use it; write which factor's it is, "
            "or leave the section out"
        )


def _check_genotypes(name: str, sections: Sections, chosen: Mapping[str, Source]) -> None:
    """Refuse genotypes that no relationship rests on, and relationships without them."""
    resting = {column: source.kind for column, source in chosen.items() if isinstance(source, FromGenotypes)}
    if resting and sections.genotypes is None:
        column, kind = next(iter(resting.items()))
        raise ConfigurationError(
            f'{name}: [relationships] {column} has kind = "{kind}", and section [genotypes] is missing; give the file of '
            "the genotypes there"
        )
    if sections.genotypes is not None and not resting:
        raise ConfigurationError(
            f'{name}: [genotypes] is given, and no relationship rests on them; write animal = "single_step" (with the pedigree) '
            'or animal = "genomic" (genotyped animals alone) in [relationships], or leave the section out'
        )


def _check_groups(name: str, sections: Sections, chosen: Mapping[str, Source]) -> None:
    """Refuse groups where the pedigree has none, and a pedigree whose groups nothing uses."""
    if sections.pedigree is None:
        return
    kinds = {column: _groups_of(source) for column, source in chosen.items()}
    for column, kind in kinds.items():
        asked = f'groups = "{kind}"' if isinstance(chosen[column], FromGenotypes) else f'kind = "{kind}"'
        if kind not in (None, "pedigree") and not sections.pedigree.grouped:
            raise ConfigurationError(
                f"{name}: [relationships] {column} has {asked}, and [pedigree] has no groups of unknown parents; give "
                "groups (codes in the parent columns), phantom_parents (a file) or group_rule"
            )
        if kind == "metafounders" and sections.solve.inbreeding is not True:
            raise ConfigurationError(
                f"{name}: [relationships] {column} has {asked}, where Γ decides about inbreeding; leave inbreeding "
                "out of [solve]"
            )
    if sections.pedigree.grouped and not set(kinds.values()) - {None}:
        raise ConfigurationError(
            f"{name}: [pedigree] groups unknown parents, and [relationships] does not use that; leave the groups out"
        )


def _groups_of(source: Source) -> str | None:
    """What is made of groups of unknown parents, in the words of [relationships]; None where they have no part."""
    if isinstance(source, FromGenotypes):
        return (source.groups or "pedigree") if source.kind == "single_step" else None
    made = isinstance(source, FromPedigree) and source.kind in ("pedigree", "groups", "metafounders")
    return source.kind if made else None


def _check_of_sires(name: str, sections: Sections, chosen: Mapping[str, Source]) -> None:
    """Refuse to take maternal grandsires for dams."""
    if sections.pedigree is None or sections.pedigree.maternal_grandsire is None:
        return
    for column, source in chosen.items():
        if uses_pedigree(source) and source.kind != "sire_mgs":
            raise ConfigurationError(
                f'{name}: [relationships] {column} = "{source.kind}" needs dams, and [pedigree] has maternal_grandsire; '
                f'write {column} = "sire_mgs" for relationships among sires, or name the dam in [pedigree]'
            )
