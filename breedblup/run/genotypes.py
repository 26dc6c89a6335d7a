"""Genotypes of an evaluation: read, checked, without what is excluded and without animals that the pedigree lacks."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import polars as pl

from breedblup.adjustment.markers import list_digest
from breedblup.errors import GenotypeError, counted, name_some
from breedblup.frames import Table
from breedblup.genotypes import Genotypes
from breedblup.genotypes.quality import QualityResult, check_diagonal, check_genotypes
from breedblup.io.genotypes import read_genotypes
from breedblup.io.tables import read_table
from breedblup.pedigree import Pedigree
from breedblup.relationship.genomic import genomic_matrix
from breedblup.run.genotype_input import GenotypeFile, GenotypesInput

NOT_IN_PEDIGREE = "not in the pedigree"

_log = logging.getLogger("breedblup")


@dataclass(frozen=True, slots=True)
class Genotyped:
    """Genotypes that take part, and what became of the others.

    Attributes
    ----------
    quality
        What the checks kept, and left out.
    unknown
        Animals that the pedigree lacks, with what was done: animal, outcome (dropped, founder).
    unused
        Animals whose records were left out, and why: animal, why, records (each counted for one animal).
    notes
        What changes numbers.
    """

    quality: QualityResult
    unknown: pl.DataFrame
    unused: pl.DataFrame
    notes: tuple[str, ...]

    @property
    def genotypes(self) -> Genotypes:
        """Animals and markers that take part."""
        return self.quality.genotypes

    def absent(self, ids: pl.Series) -> pl.DataFrame:
        """Those of some ids whose genotypes take no part, each once: animal, why."""
        names = ids.unique(maintain_order=True)
        out = names.filter(pl.Series(self.genotypes.positions_of(names) < 0, dtype=pl.Boolean))
        excluded = self.quality.excluded_animals.select("animal", pl.format("left out: {}", "why").alias("why"))
        dropped = self.unknown.filter(outcome="dropped").select("animal", pl.lit(NOT_IN_PEDIGREE).alias("why"))
        table = out.to_frame("animal").join(pl.concat([excluded, dropped]), "animal", "left", maintain_order="left")
        return table.with_columns(pl.col("why").fill_null("no genotype"))


def listed_by_reason(absent: pl.DataFrame) -> str:
    """Animals that take no part, by why: ``2 no genotype ('a1', 'a2'); 1 left out: listed ('a3')``."""
    groups = absent.group_by("why", maintain_order=True).agg("animal").iter_rows()
    return "; ".join(f"{len(animals):,} {why} ({name_some(animals)})" for why, animals in groups)


def read_genotype_file(source: GenotypeFile) -> Genotypes:
    """Open a file of genotypes, and log what it is."""
    _log.info("reading genotypes %s", source.file)
    genotypes = read_genotypes(
        source.file, format=source.format, missing=source.missing, markers=source.map, ids=source.ids,
        multiallelic=source.multiallelic,
    )  # fmt: skip
    animals, markers = genotypes.shape
    _log.info("genotypes: %s at %s", counted(animals, "animal"), counted(markers, "marker"))
    return genotypes


def read_genotyped(
    source: GenotypesInput, pedigree: Pedigree | None, *, through_pedigree: bool
) -> tuple[Genotyped, Pedigree | None]:
    """Read and check genotypes; with the pedigree, in which animals that it lacked may be founders now.

    Parameters
    ----------
    through_pedigree
        Whether a relationship is made of both, so that genotyped animals have to be in the pedigree.

    Raises
    ------
    GenotypeError
        If they cannot be read, a check leaves nothing or stops, or an animal is not in the pedigree.
    """
    genotypes = read_genotype_file(source.source)
    listed = None if source.exclusions is None else read_table(source.exclusions)
    unknown, notes = pl.DataFrame(schema={"animal": pl.String, "outcome": pl.String}), []
    if pedigree is not None and through_pedigree:
        lacking = _lacking(genotypes, pedigree, listed)
        if len(lacking):
            _refuse_unknown(genotypes.source, pedigree, lacking, source.unknown_animals)
            genotypes, pedigree, outcome = _placed(genotypes, pedigree, lacking, source.unknown_animals)
            unknown = pl.DataFrame({"animal": lacking, "outcome": outcome})
            notes.append(
                f"{counted(len(lacking), 'genotyped animal')} not in {pedigree.name}, {_OUTCOMES[outcome]}: "
                f"{name_some(lacking.to_list())}"
            )
    quality = check_genotypes(genotypes, source.quality, pedigree=pedigree, exclusions=listed)
    quality = check_diagonal(quality, genomic_matrix(quality.genotypes).diagonal())
    for line in str(quality).splitlines():
        _log.info("genotypes: %s", line.strip())
    unused = pl.DataFrame(schema={"animal": pl.String, "why": pl.String, "records": pl.UInt32})
    return Genotyped(quality, unknown, unused, (*notes, *_kept(genotypes, quality))), pedigree


_OUTCOMES = {"dropped": "left out", "founder": "added to it as unrelated"}


def _lacking(genotypes: Genotypes, pedigree: Pedigree, listed: Table | None) -> pl.Series:
    """Genotyped animals that the pedigree lacks, but for those on the list of exclusions."""
    lacking = genotypes.ids.filter(pl.Series(pedigree.positions_of(genotypes.ids) < 0, dtype=pl.Boolean))
    if listed is None or not {"kind", "name"} <= set(listed.frame.columns):
        return lacking
    excluded = listed.frame.filter(pl.col("kind") == "animal")["name"].cast(pl.String)
    return lacking.filter(~lacking.is_in(excluded.implode()))


def _refuse_unknown(name: str, pedigree: Pedigree, lacking: pl.Series, outcome: str) -> None:
    """`GenotypeError` where animals that the pedigree lacks are an error, or cannot be founders."""
    if outcome == "error":
        raise GenotypeError(
            f"{name}: {counted(len(lacking), 'genotyped animal')} not in {pedigree.name}: {name_some(lacking.to_list())} -> "
            'add them to the pedigree, or say unknown_animals = "drop" (left out) or "founder" (unrelated) in [genotypes]'
        )
    bearing = lacking.filter(lacking.str.strip_chars().is_in(pedigree.missing_parents))
    if outcome == "founder" and len(bearing):
        raise GenotypeError(
            f"{name}: the genotyped animal {name_some(bearing.to_list())} bears the code of a missing parent -> it cannot be "
            "added to the pedigree; correct the id"
        )


def _placed(
    genotypes: Genotypes, pedigree: Pedigree, lacking: pl.Series, outcome: str
) -> tuple[Genotypes, Pedigree, str]:
    """Genotypes without animals that the pedigree lacks, or the pedigree with them; and what was done."""
    if outcome == "founder":
        return genotypes, pedigree.with_founders(lacking), "founder"
    known = genotypes.ids.filter(~genotypes.ids.is_in(lacking.implode()))
    if not len(known):
        raise GenotypeError(
            f"{genotypes.source}: none of its animals is in {pedigree.name} -> correct the names of files, or the ids"
        )
    return genotypes.of_animals(known), pedigree, "dropped"


def _kept(genotypes: Genotypes, quality: QualityResult) -> tuple[str, ...]:
    """Notes of what the checks left out."""
    kept = quality.genotypes
    said = [f"{genotypes.source}: {note}" for note in (*genotypes.notes, *quality.notes)]
    said += [
        f"{genotypes.source}: {kept.shape[0]:,} of {counted(genotypes.shape[0], 'animal')} and {kept.shape[1]:,} of "
        f"{counted(genotypes.shape[1], 'marker')} take part"
    ]
    for outcome, what in (("excluded", "left out"), ("reported", "reported, taking part")):
        for kind in ("animals", "markers"):
            table: pl.DataFrame = getattr(quality, f"{outcome}_{kind}")
            reasons = table["why"].value_counts().sort("why").iter_rows()
            said += [f"{genotypes.source}: {counted(number, kind[:-1])} {what}: {why}" for why, number in reasons]
    return tuple(said)


def genotype_tables(genotyped: Genotyped) -> dict[str, pl.DataFrame]:
    """What is published of genotypes that did not take part as they are, by the name of the file."""
    quality = genotyped.quality
    animals = [
        *_with_outcome(quality.excluded_animals, quality.reported_animals),
        genotyped.unknown.with_columns(pl.lit(NOT_IN_PEDIGREE).alias("why")),
        genotyped.unused.select("animal", pl.lit("records dropped").alias("outcome"), "why"),
    ]
    tables = {
        "genotype_animals": pl.concat(animals, how="diagonal").select("animal", "outcome", "why", "value", "threshold"),
        "genotype_markers": pl.concat(_with_outcome(quality.excluded_markers, quality.reported_markers)),
        "conflicts": quality.conflicts.filter("conflict").drop("conflict"),
        "duplicates": quality.duplicates,
    }
    found = {name: table for name, table in tables.items() if table.height}
    return found | {"exclusions": quality.exclusions}


def _with_outcome(*tables: pl.DataFrame) -> list[pl.DataFrame]:
    """Tables of what was excluded, and of what was only reported, that say so."""
    return [
        table.select(table.columns[0], pl.lit(outcome).alias("outcome"), *table.columns[1:])
        for outcome, table in zip(("excluded", "reported"), tables, strict=True)
    ]


def genotype_record(genotyped: Genotyped | None) -> dict[str, Any] | None:
    """What the run record says of the genotypes."""
    if genotyped is None:
        return None
    quality, kept = genotyped.quality, genotyped.genotypes
    return {
        "source": kept.source,
        "animals": kept.shape[0],
        "markers": kept.shape[1],
        "marker_list_sha256": list_digest(kept.markers),
        "steps": quality.steps.to_dicts(),
        "excluded_animals": quality.excluded_animals.height,
        "excluded_markers": quality.excluded_markers.height,
        "conflicts": quality.conflicts.filter(pl.col("conflict")).height,
        "not_in_the_pedigree": genotyped.unknown.height,
        "records_dropped": int(genotyped.unused["records"].sum()),
        "notes": genotyped.notes,
    }
