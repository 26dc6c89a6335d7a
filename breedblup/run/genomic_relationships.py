"""Relationships that rest on genotypes, as a configuration asks for them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ConfigurationError, InputError, counted, gib, name_some
from breedblup.frames import Table, positions
from breedblup.genotypes import CentredGenotypes, Genotypes
from breedblup.io.tables import read_table
from breedblup.pedigree import Pedigree
from breedblup.relationship import RelationshipInverse, a22_inverse
from breedblup.relationship.ancestry import Related
from breedblup.relationship.apy import apy_inverse
from breedblup.relationship.apy_core import core_at_random, core_by_eigenvalues
from breedblup.relationship.blending import PedigreeBlend
from breedblup.relationship.diagnostics import AgreementLimits, check_against_pedigree
from breedblup.relationship.genomic import GenomicOptions, a22_where_needed, g_inverse, genomic_matrix
from breedblup.relationship.genomic_dominance import dominance_g_inverse
from breedblup.relationship.genomic_matrix import GenomicMatrix
from breedblup.relationship.single_step import h_inverse
from breedblup.relationship.single_step_groups import without_groups
from breedblup.relationship.single_step_plan import plan_single_step
from breedblup.run.genotypes import Genotyped, listed_by_reason
from breedblup.run.sources import RIDGE_ALONE, FromGenotypes

CORE_SHARE = 0.98
"""Of the variation in G that a core explains, where its size is not given (Pocrnic et al. 2016)."""

SEED = 1
"""Of cores drawn at random."""

RIDGED = f"ridge = {RIDGE_ALONE:g}, as neither blend nor ridge is given: G of observed allele frequencies is singular without"

FEWEST_COMPARED = 3
"""Genotyped animals that the pedigree has to know for a correlation with A₂₂ to be told."""

_NO_LIMIT = 2**62
"""Bytes that every form fits into."""

_log = logging.getLogger("breedblup")


@dataclass(frozen=True, slots=True)
class GenomicRelationship:
    """K⁻¹ that rests on genotypes, the core of APY where there is one, and notes."""

    inverse: RelationshipInverse
    core: tuple[str, ...]
    notes: tuple[str, ...]


def of_genotyped_animals(
    source: FromGenotypes, place: str, genotyped: Genotyped, pedigree: Pedigree | None, memory: int | None
) -> GenomicRelationship:
    """G⁻¹ of the genotyped animals alone, additive or of dominance; ``pedigree`` where something is taken from A₂₂.

    ``place`` is where messages say that the relationship was asked for.
    """
    genotypes = genotyped.genotypes
    options = with_files(source, genotypes)
    said = (RIDGED,) if source.ridged else ()
    if source.kind == "genomic_dominance":
        made = dominance_g_inverse(genotypes, frequencies=options.frequencies, ridge=options.ridge, memory=memory)
        return GenomicRelationship(made, (), said)
    if source.form != "apy":
        return GenomicRelationship(g_inverse(genotypes, options, pedigree=pedigree, memory=memory), (), said)
    core, left_out = core_of(source, place, genotyped, options, pedigree)
    made = apy_inverse(genotypes, options, core=core, pedigree=pedigree, memory=memory)
    return GenomicRelationship(made, tuple(core), (*said, *left_out))


def around_pedigree(
    source: FromGenotypes, place: str, genotyped: Genotyped, of_pedigree: RelationshipInverse, memory: int | None
) -> GenomicRelationship:
    """H⁻¹ of all animals of a pedigree; a note tells what each form would take."""
    genotypes = genotyped.genotypes
    options = with_files(source, genotypes)
    core, left_out = core_of(source, place, genotyped, options, of_pedigree) if source.form == "apy" else (None, ())
    made = h_inverse(
        of_pedigree, genotypes, options, form=source.form, core=core, tau=source.tau, omega=source.omega,
        group_equations=source.group_equations, memory=memory,
    )  # fmt: skip
    size = None if core is None else len(core)
    needed = plan_single_step(*genotypes.shape, len(of_pedigree), core=size, memory=_NO_LIMIT).bytes
    said = f"memory of H⁻¹ by form: {', '.join(f'{form} {gib(count)}' for form, count in needed.items())}"
    reasons = [statement for statement in made.made if statement.startswith(("form ", "not form "))]
    return GenomicRelationship(made, tuple(core or ()), (*left_out, *reasons, said))


def agreement_notes(made: RelationshipInverse, related: Related | None, limits: AgreementLimits) -> list[str]:
    """How G goes with A₂₂ among the genotyped animals that the pedigree knows; of identical twins one is compared.

    Raises
    ------
    GenotypeError
        If their correlation is below the limit to stop at.
    """
    if made.genomic is None or related is None:
        return []
    matrix = made.genomic.matrix
    found_at = related.positions_of(matrix.ids)
    unknown = int((found_at < 0).sum())
    lacking = (
        [f"G against A22: {counted(unknown, 'genotyped animal')} not compared, not in the pedigree"] if unknown else []
    )
    places, first = np.unique(found_at, return_index=True)
    compared = np.sort(first[places >= 0])
    if compared.size < FEWEST_COMPARED:
        return lacking
    if compared.size < len(matrix):
        matrix = _plain(matrix, compared)
    if isinstance(related, RelationshipInverse) and related.plain_groups:
        related = without_groups(related)
    blended = matrix.blended
    a22 = blended.of if isinstance(blended, PedigreeBlend) else a22_inverse(related, matrix.ids)
    found = check_against_pedigree(matrix, a22, limits)
    for warning in found.warnings:
        _log.warning("%s", warning)
    sample = f"{found.animals:,} animals{' drawn at random' if found.sampled else ''}"
    return [
        f"G against A22, {sample}: correlation {found.off_diagonal:.4f} between animals, {found.diagonal:.4f} of diagonals, "
        f"slope {found.slope:.4f}",
        *lacking,
        *found.warnings,
    ]


def _plain(matrix: GenomicMatrix, rows: NDArray[np.intp]) -> GenomicMatrix:
    """G of some rows, without what it is blended with."""
    z = CentredGenotypes(matrix.z.genotypes.of_animals(matrix.ids.gather(rows)), matrix.z.centre, matrix.z.scale)
    return GenomicMatrix(
        z, matrix.constant, 0.0, None, None if matrix.added is None else matrix.added[rows], matrix.made
    )


def with_files(source: FromGenotypes, genotypes: Genotypes) -> GenomicOptions:
    """Options of G with the numbers that stand in files."""
    options = source.options
    if source.frequencies is not None:
        options = replace(options, frequencies=_of_markers(source.frequencies, "frequency", genotypes))
    if source.weights is not None:
        options = replace(options, weights=_of_markers(source.weights, "weight", genotypes))
    return options


def core_of(
    source: FromGenotypes, place: str, genotyped: Genotyped, options: GenomicOptions, related: Related | None
) -> tuple[list[str], tuple[str, ...]]:
    """Ids of the core of APY, and a note of those of a file that take no part."""
    genotypes = genotyped.genotypes
    if isinstance(source.core, Path):
        return _kept_core(source.core, genotyped)
    if isinstance(source.core, int):
        if source.core > len(genotypes):
            raise ConfigurationError(
                f"{place} has core_number = {source.core:,}, and {counted(len(genotypes), 'genotyped animal')} "
                "take part; ask for no more than these"
            )
        return core_at_random(genotypes, source.core, seed=SEED), ()
    plain = replace(options, blend=0.0, tuning="none", ridge=0.0)
    matrix = genomic_matrix(genotypes, plain, a22_where_needed(genotypes, plain, related))
    return core_by_eigenvalues(matrix, source.core or CORE_SHARE, seed=SEED), ()


def _kept_core(file: Path, genotyped: Genotyped) -> tuple[list[str], tuple[str, ...]]:
    """Ids of a core that stands in a file, without those that take no part (any more), and a note of these."""
    ids = read_ids(file, "a core")
    repeated = ids.filter(ids.is_duplicated()).unique(maintain_order=True)
    if len(repeated):
        raise InputError(
            f"{file.name}: the core has {name_some(repeated.to_list())} more than once; name each animal once"
        )
    absent = genotyped.absent(ids)
    if not absent.height:
        return ids.to_list(), ()
    what = f"{absent.height:,} of {counted(len(ids), 'animal')} of the core take no part: {listed_by_reason(absent)}"
    if absent.height == len(ids):
        raise InputError(f"{file.name}: {what}; none is left, choose a core anew by core_number or core_share")
    note = f"{file.name}: {what}; the core is the others"
    _log.warning("%s", note)
    return ids.filter(~ids.is_in(absent["animal"].implode())).to_list(), (note,)


def read_ids(file: Path, what: str) -> pl.Series:
    """Ids of a file with one column, or with a column ``id``; ``what`` needs them."""
    table = read_table(file)
    ids = table.text(table.frame.columns[0] if table.frame.width == 1 else "id").drop_nulls()
    if ids.is_empty():
        raise InputError(f"{table.name}: no ids below the header; {what} needs at least one animal")
    return ids


def _of_markers(file: Path, column: str, genotypes: Genotypes) -> NDArray[np.float64]:
    """A number for each marker in use, from a file with the columns marker and ``column``."""
    table: Table = read_table(file)
    names, values = table.text("marker"), table.numbers(column)
    wanted = genotypes.markers["marker"]
    repeated = names.filter(names.is_duplicated()).unique(maintain_order=True)
    if len(repeated):
        raise InputError(
            f"{table.name}: more than one {column} of {name_some(repeated.to_list())}; give each marker once"
        )
    found = positions(wanted, names)
    lacking = (found < 0) | np.isnan(values[np.maximum(found, 0)])
    if lacking.any():
        without = wanted.filter(pl.Series(lacking)).to_list()
        raise InputError(
            f"{table.name}: no {column} of {counted(len(without), 'marker')} in use: {name_some(without)}; add the rows"
        )
    return np.asarray(values[found])
