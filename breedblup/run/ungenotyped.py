"""Records of animals that take no part in the genotypes, where a relationship is of genotyped animals alone."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.design.computed import with_computed
from breedblup.errors import RecordError, counted, name_some
from breedblup.frames import MISSING_VALUES, Table
from breedblup.model import Random
from breedblup.model.random import affects
from breedblup.run.config import Configuration
from breedblup.run.genotypes import Genotyped, listed_by_reason
from breedblup.run.sources import FromGenotypes

_log = logging.getLogger("breedblup")


def of_genotyped_only(config: Configuration, records: Table, genotyped: Genotyped) -> tuple[Table, Genotyped]:
    """Records without those whose animals take no part; rows are emptied, so that the others keep their numbers.

    Raises
    ------
    RecordError
        If there are such records and they are not to be dropped, or nothing else is left.
    """
    assert config.genotypes is not None
    alone = [name for name, one in config.relationships.items() if _is_alone(one)]
    terms = [term for term in config.model.random if term.relationship_name in alone]
    if not terms:
        return records, genotyped
    measured = [_measured(config, records, term) for term in terms]
    rows = pl.concat([_levels(records, term, given) for term, given in zip(terms, measured, strict=True)])
    absent = genotyped.absent(rows["animal"])
    wrong = rows.join(absent, "animal")
    if not wrong.height:
        return records, genotyped
    out = wrong["row"].unique()
    columns = dict.fromkeys(column for term in terms for group in term.groups for column in group.columns)
    what = (
        f"{counted(len(out), 'record')} with {name_some(columns)} of {counted(absent.height, 'animal')} that take no part in "
        f"the genotypes, which [relationships] {', '.join(alone)} is made of alone: {listed_by_reason(absent)}"
    )
    if config.genotypes.ungenotyped_records == "error":
        raise RecordError(
            f'{records.name}: {what} -> write ungenotyped_records = "drop" in [genotypes] to leave these records out, or '
            'kind = "single_step" to evaluate all animals of the pedigree'
        )
    kept = np.ones(len(records), dtype=np.bool_)
    kept[out.to_numpy()] = False
    if not (kept & np.any(measured, axis=0)).any():
        raise RecordError(
            f"{records.name}: no record is left without the {what} -> correct the ids, or the names of files"
        )
    _log.warning("%s: %s", records.name, what)
    counts = wrong.unique("row", maintain_order=True).group_by("animal").len("records")  # a record may name two
    unused = absent.join(counts, "animal", "left", maintain_order="left").with_columns(pl.col("records").fill_null(0))
    frame = records.frame.select(pl.when(pl.Series(kept)).then(pl.all()))
    note = f"{records.name}: dropped, counted as without a value: {what}"
    return replace(records, frame=frame), replace(genotyped, unused=unused, notes=(*genotyped.notes, note))


def _is_alone(source: object) -> bool:
    """Whether a relationship knows genotyped animals only."""
    return isinstance(source, FromGenotypes) and source.kind != "single_step"


def _measured(config: Configuration, records: Table, term: Random) -> NDArray[np.bool_]:
    """Records with a value of a trait that a term belongs to."""
    traits = [one for one in config.model.traits if any(affects(effect, one) for effect in term.effects)]
    table = with_computed(records, traits)
    missing = np.column_stack([np.isnan(table.numbers(trait)) for trait in traits])
    return np.asarray(~missing.all(axis=1))


def _levels(records: Table, term: Random, measured: NDArray[np.bool_]) -> pl.DataFrame:
    """Levels that some records name: row, animal."""
    found = []
    for column in dict.fromkeys(column for group in term.groups for column in group.columns):
        text = records.text(column)
        table = pl.DataFrame({"animal": text}).with_row_index("row")
        known = pl.col("animal").is_not_null() & ~pl.col("animal").str.strip_chars().is_in(MISSING_VALUES)
        found.append(table.filter(known & pl.Series(measured, dtype=pl.Boolean)))
    return pl.concat(found)
