"""Tables of an evaluation as files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

import polars as pl

from breedblup.evaluation import Evaluation, random_table
from breedblup.pedigree import Pedigree
from breedblup.run.manifest import fingerprint
from breedblup.solvers.records import PcgRound


def result_tables(evaluation: Evaluation, pedigree: Pedigree | None) -> dict[str, pl.DataFrame]:
    """Every table that is published, by the name of its file."""
    tables = {"ebv": evaluation.genetic, "fixed": evaluation.fixed_effects}
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


def convergence_table(rounds: Sequence[PcgRound]) -> pl.DataFrame:
    """Every criterion of every round; what was not computed in a round is null."""
    schema = {criterion.name: pl.Float64 for criterion in fields(PcgRound)} | {"round": pl.Int64}
    return pl.DataFrame([asdict(record) for record in rounds], schema=schema)


def file_names(keys: Iterable[str]) -> list[str]:
    """Names of files for random terms: letters and digits of any script, everything else an underscore."""
    names: list[str] = []
    for key in keys:
        name = "random_" + re.sub(r"\W+", "_", key).strip("_")
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
        mark = fingerprint(path)
        written[path.name] = {"rows": frame.height, "bytes": mark.bytes, "sha256": mark.sha256}
    return written


def _system_error(wrong: Exception) -> OSError:
    """The error of the operating system that polars reports in its text."""
    number = re.search(r"os error (\d+)", str(wrong))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(wrong))
