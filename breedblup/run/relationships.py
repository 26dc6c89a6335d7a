"""Relationships as a configuration asks for them: a pedigree, what is built of it, or a matrix from a file."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.analysis.founders import add_founders, ids_in, level_columns
from breedblup.analysis.preparation import inbreeding_asked_for
from breedblup.errors import ConfigurationError, NotPositiveDefinite, RecordError, name_some, nearest
from breedblup.frames import Table
from breedblup.genotypes import Genotypes
from breedblup.io.matrices import read_matrix
from breedblup.pedigree import Pedigree
from breedblup.pedigree.reading import SEX_CODES
from breedblup.relationship import (
    RelationshipInverse,
    a_inverse,
    dominance_inverse,
    group_inverse,
    inverse_from,
    metafounder_inverse,
    sire_mgs_inverse,
)
from breedblup.relationship.gamma import gamma_from_genotypes
from breedblup.run.config import Configuration
from breedblup.run.genomic_relationships import (
    GenomicRelationship,
    agreement_notes,
    around_pedigree,
    of_genotyped_animals,
)
from breedblup.run.genotypes import Genotyped
from breedblup.run.sources import FromGenotypes, FromPedigree, MatrixInput, uses_pedigree

SHOWN = 5
"""Names that a message shows before it counts the rest."""

_log = logging.getLogger("breedblup")


@dataclass(frozen=True, slots=True)
class MadeRelationships:
    """What random terms look up.

    Attributes
    ----------
    of
        Relationship by name.
    cores
        Ids of the core of those that are made with APY.
    notes, genomic_notes
        What was done to have them; the latter of those that rest on genotypes.
    """

    of: Mapping[str, Pedigree | RelationshipInverse]
    cores: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    genomic_notes: tuple[str, ...]


def make_relationships(
    config: Configuration, pedigree: Pedigree | None, records: Table, genotyped: Genotyped | None
) -> MadeRelationships:
    """The relationship of each name, and notes of what was done to have it.

    Animals of the records that the pedigree lacks are left to the evaluation where the relationship is the pedigree's own,
    and to those who refuse unknown levels otherwise, save where they are to be founders.
    """
    made: dict[str, Pedigree | RelationshipInverse] = {}
    cores: dict[str, tuple[str, ...]] = {}
    notes: list[str] = []
    genomic_notes: list[str] = []
    for name, source in config.relationships.items():
        if isinstance(source, MatrixInput):
            made[name] = _read_relationship(name, source)
        elif isinstance(source, FromGenotypes):
            assert genotyped is not None
            found = _from_genotypes(config, name, source, pedigree, records, genotyped)
            made[name] = found.inverse
            genomic_notes += [f"{name}: {said}" for said in found.notes]
            if found.core:
                cores[name] = found.core
        else:
            assert pedigree is not None
            whole = source.kind == "pedigree" and not source.prune
            made[name] = pedigree if whole else _related(config, name, source, pedigree, records, notes)
    return MadeRelationships(made, cores, tuple(notes), tuple(genomic_notes))


def _from_genotypes(
    config: Configuration,
    name: str,
    source: FromGenotypes,
    pedigree: Pedigree | None,
    records: Table,
    genotyped: Genotyped,
) -> GenomicRelationship:
    """H⁻¹ or G⁻¹, with a note of how G goes with A₂₂."""
    _log.info("building relationships of %s: %s", name, source.kind)
    assert config.genotypes is not None
    place = f"{config.path.name}: [relationships] {name}"
    memory, notes = config.options.memory_bytes, list[str]()
    related: Pedigree | RelationshipInverse | None = pedigree
    if source.kind == "single_step":
        assert pedigree is not None
        related = _around_genotypes(config, name, source, pedigree, records, genotyped.genotypes, notes)
        made = around_pedigree(source, place, genotyped, related, memory)
    else:
        made = of_genotyped_animals(source, place, genotyped, pedigree if uses_pedigree(source) else None, memory)
    if config.marker_tests and made.inverse.genomic is not None and made.inverse.genomic.form == "markers":
        raise ConfigurationError(
            f'{place} has form = "auto", which comes to "markers" here, and [results] marker_tests need a factor; write form = '
            '"explicit" if memory bears it (`breedblup check` without marker_tests prints the bytes), or leave marker_tests out'
        )
    agreement = agreement_notes(made.inverse, related, config.genotypes.agreement)
    return replace(made, notes=(*notes, *made.notes, *agreement))


def _around_genotypes(
    config: Configuration,
    name: str,
    source: FromGenotypes,
    pedigree: Pedigree,
    records: Table,
    genotypes: Genotypes,
    notes: list[str],
) -> RelationshipInverse:
    """A⁻¹ that H⁻¹ is made of, with groups of unknown parents where there are any."""
    whole = pl.Series("group", [], dtype=pl.String) if pedigree.groups is None else pedigree.groups.names
    if config.options.unknown_animals == "founder":
        pedigree = add_founders(pedigree, config.model, records, name, notes)
    if source.prune:
        named = _named(pedigree, level_columns(config.model, name), records)
        pedigree = pedigree.ancestors_of(pl.concat([named, genotypes.ids]).unique(maintain_order=True))
    inbreeding = inbreeding_asked_for(pedigree, config.options)
    if pedigree.groups is None:
        return a_inverse(pedigree, inbreeding=inbreeding)
    if source.groups != "metafounders":
        return group_inverse(pedigree, ratio=source.ratio, inbreeding=inbreeding)
    if source.gamma is not None:
        return _with_gamma(source.gamma, pedigree, whole)
    found = gamma_from_genotypes(genotypes, pedigree)
    notes += found.made
    return metafounder_inverse(pedigree, found.gamma, names=found.names.to_list())


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
    columns = level_columns(config.model, name)
    whole = pl.Series("group", [], dtype=pl.String) if pedigree.groups is None else pedigree.groups.names
    if source.kind != "pedigree":
        _log.info("building relationships of %s: %s", name, source.kind)
        if config.options.unknown_animals == "founder":
            pedigree = add_founders(pedigree, config.model, records, name, notes)
    derived = source.kind == "sire_mgs" and not pedigree.of_sires
    if source.kind == "sire_mgs":
        _refuse_females(config, name, pedigree, records, derived=derived)
    known = _named(pedigree, columns, records) if source.prune or derived else pedigree.ids
    if source.kind == "dominance":
        return dominance_inverse(pedigree, known if source.prune else None)
    if derived:
        pedigree = pedigree.male_ancestors_of(known)
    elif source.prune:
        pedigree = pedigree.ancestors_of(known)
    if source.kind == "sire_mgs":
        return sire_mgs_inverse(pedigree, inbreeding=bool(config.options.inbreeding))
    return pedigree if source.kind == "pedigree" else _grouped(config, source, pedigree, whole)


def _grouped(
    config: Configuration, source: FromPedigree, pedigree: Pedigree, all_groups: pl.Series
) -> RelationshipInverse:
    """Genetic groups or metafounders of a pedigree's unknown parents."""
    if source.gamma is None:
        return group_inverse(pedigree, ratio=source.ratio, inbreeding=inbreeding_asked_for(pedigree, config.options))
    return _with_gamma(source.gamma, pedigree, all_groups)


def _with_gamma(file: Path, pedigree: Pedigree, all_groups: pl.Series) -> RelationshipInverse:
    """Metafounders with the Γ of a file."""
    values, names = read_matrix(file)
    assert pedigree.groups is not None
    dense, used, known = values.toarray(), pedigree.groups.names.to_list(), all_groups.to_list()
    unknown = [name for name in names if name not in known]
    lacking = [name for name in used if name not in set(names)]
    if unknown or lacking:
        parts = [f"{name!r} is no group{nearest(name, known)}" for name in unknown[:SHOWN]]
        parts += [f"no rows for {name_some(lacking)}"] if lacking else []
        raise ConfigurationError(
            f"{file.name}: {'; '.join(parts)}; Γ needs id, id, value for each group of {pedigree.name}, and each "
            "related pair of them"
        )
    kept = [k for k, name in enumerate(names) if name in set(used)]  # pruning can leave groups without descendants
    return metafounder_inverse(pedigree, dense[np.ix_(kept, kept)], names=[names[k] for k in kept])


def _refuse_females(config: Configuration, name: str, pedigree: Pedigree, records: Table, *, derived: bool) -> None:
    """Refuse relationships among sires where records name females: those of that sex, or dams where there are any."""
    columns = level_columns(config.model, name)
    female = np.zeros(len(pedigree), dtype=np.bool_)
    if derived:
        female[pedigree.dam[pedigree.dam >= 0]] = True
    if pedigree.sex is not None:
        female |= pedigree.sex == SEX_CODES["female"]
    wrong = pedigree.ids.filter(pl.Series(female & _is_named(pedigree, columns, records))).to_list()
    if wrong:
        source = "females or dams" if derived else "females"
        raise ConfigurationError(
            f'{config.path.name}: [relationships] {name} = "sire_mgs" relates sires, but {name_some(columns)} of '
            f"{records.name} names {len(wrong):,} that {pedigree.name} has as {source}: {name_some(wrong)}; write "
            f'{name} = "pedigree"' + ("" if derived else ", with the dam in [pedigree]")
        )


def _is_named(pedigree: Pedigree, columns: tuple[str, ...], records: Table) -> NDArray[np.bool_]:
    """Which animals of a pedigree stand in some columns of the records."""
    found = pedigree.positions_of(ids_in(records, columns))
    named = np.zeros(len(pedigree), dtype=np.bool_)
    named[found[found >= 0]] = True
    return named


def _named(pedigree: Pedigree, columns: tuple[str, ...], records: Table) -> pl.Series:
    """Animals of a pedigree that records name, with a trait or without, in its user's order."""
    chosen = _is_named(pedigree, columns, records)
    if not chosen.any():
        raise RecordError(
            f"{records.name}: none of the ids in {name_some(columns)} is in {pedigree.name} "
            "-> correct the names of files or columns, or the ids"
        )
    order = pedigree.user_order
    return pedigree.ids.gather(order[chosen[order]])
