"""Tables of an evaluation as files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

import polars as pl

from breedblup.adjustment.markers import MarkerEffects
from breedblup.evaluation import Evaluation, random_table
from breedblup.io.marker_effects import write_marker_effects
from breedblup.model import Model
from breedblup.pedigree import Pedigree
from breedblup.relationship import RelationshipInverse
from breedblup.run.genotypes import Genotyped, genotype_tables
from breedblup.run.manifest import fingerprint
from breedblup.solvers.records import PcgRound

MARKER_TESTS = "marker_tests"
"""Name of the file with tests of markers."""

MARKER_EFFECTS = "marker_effects"
"""What the names of files with effects of markers begin with."""


def result_tables(
    evaluation: Evaluation, pedigree: Pedigree | None, genotyped: Genotyped | None
) -> dict[str, pl.DataFrame]:
    """Every table that is published, by the name of its file."""
    tables = {"ebv": evaluation.genetic, "fixed": evaluation.fixed_effects}
    if genotyped is not None:
        ids = genotyped.genotypes.ids.implode()
        tables["ebv"] = evaluation.genetic.with_columns(pl.col("id").is_in(ids).alias("genotyped"))
        tables |= genotype_tables(genotyped)
    groups = evaluation.group_solutions
    if groups.height:
        tables["groups"] = groups
    shown = set(evaluation.genetic["term"].unique().to_list())
    others = [term for term in evaluation.effects if term not in shown]
    for term, name in zip(others, file_names(others), strict=True):
        tables[name] = random_table(evaluation.effects[term]).select(pl.lit(term).alias("term"), pl.all())
    if evaluation.solution.method == "pcg":
        tables["convergence"] = convergence_table(evaluation.solution.rounds)
    if pedigree is not None and pedigree.report.repairs.height:
        tables["pedigree_repairs"] = pedigree.report.repairs
    return tables


def genomic_keys(model: Model, relationships: Mapping[str, object]) -> list[str]:
    """Random terms whose markers have effects."""
    found = [(term.key, relationships.get(term.relationship_name or "")) for term in model.random]
    return [key for key, made in found if isinstance(made, RelationshipInverse) and made.genomic is not None]


def core_tables(cores: Mapping[str, Sequence[str]]) -> dict[str, pl.DataFrame]:
    """Ids of the cores of APY, by the name of the file."""
    single = len(cores) == 1
    return {
        "core" if single else file_names([name], "core")[0]: pl.DataFrame({"id": list(ids)})
        for name, ids in cores.items()
    }


def write_effects(folder: Path, effects: Sequence[MarkerEffects]) -> dict[str, dict[str, Any]]:
    """Write effects of markers, a file for each term; returns rows, bytes and checksum of each file."""
    keys = [one.term for one in effects]
    names = [MARKER_EFFECTS] if len(keys) == 1 else file_names(keys, MARKER_EFFECTS)
    written = {}
    for name, one in zip(names, effects, strict=True):
        path = folder / f"{name}.parquet"
        write_marker_effects(one, path)
        written[path.name] = _marked(path, len(one))
    return written


def convergence_table(rounds: Sequence[PcgRound]) -> pl.DataFrame:
    """Every criterion of every round; what was not computed in a round is null."""
    schema = {criterion.name: pl.Float64 for criterion in fields(PcgRound)} | {"round": pl.Int64}
    return pl.DataFrame([asdict(record) for record in rounds], schema=schema)


def file_names(keys: Iterable[str], first: str = "random") -> list[str]:
    """Names of files for random terms: letters and digits of any script, everything else an underscore."""
    names: list[str] = []
    for key in keys:
        name = f"{first}_" + re.sub(r"\W+", "_", key).strip("_")
        names.append(name if name not in names else f"{name}_{len(names) + 1}")
    return names


def write_tables(
    folder: Path, tables: Mapping[str, pl.DataFrame], form: Literal["csv", "parquet"]
) -> dict[str, dict[str, Any]]:
    """Write tables into a folder; returns rows, bytes and checksum of each file."""
    written = {}
    for name, frame in tables.items():
        path = folder / f"{name}.{form}"
        try:
            with path.open("wb") as file:  # a name of its own would have to be in the encoding of the locale
                if form == "csv":
                    frame.write_csv(file)
                else:
                    frame.write_parquet(file)
        except (OSError, pl.exceptions.PolarsError) as wrong:
            raise _system_error(wrong) from wrong
        written[path.name] = _marked(path, frame.height)
    return written


def _marked(path: Path, rows: int) -> dict[str, Any]:
    """Rows, bytes and checksum of a file."""
    mark = fingerprint(path)
    return {"rows": rows, "bytes": mark.bytes, "sha256": mark.sha256}


def _system_error(wrong: Exception) -> OSError:
    """The error of the operating system that polars reports in its text."""
    number = re.search(r"os error (\d+)", str(wrong))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(wrong))
