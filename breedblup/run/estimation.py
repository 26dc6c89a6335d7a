"""From a configuration to estimated variances, published."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from breedblup.analysis import Monitor
from breedblup.analysis.estimation import PreparedEstimation, estimate_prepared, prepare_estimation
from breedblup.analysis.history import history_table
from breedblup.analysis.reml_fit import RemlFit
from breedblup.analysis.sections import as_text
from breedblup.analysis.summary import SummaryTables, summary_sections, summary_tables
from breedblup.run import manifest
from breedblup.run.config import Configuration
from breedblup.run.genotypes import genotype_record
from breedblup.run.pipeline import Inputs, pedigree_record, read_inputs
from breedblup.run.publish import MANIFEST, prepare_target, publish_folder
from breedblup.run.results import write_tables
from breedblup.variances import VarianceComponents

VARIANCES = "variances.toml"
SUMMARY = "summary.txt"

_log = logging.getLogger("breedblup")


def run_estimation(config: Configuration, *, replace: bool = False, monitor: Monitor | None = None) -> str:
    """Estimate the variances of a configuration and publish them; returns the summary.

    Those that the configuration gives are where the first round begins.

    Raises
    ------
    NotConverged
        If the criteria were not met in the rounds allowed; nothing is published.
    PublishError
        If results are in the way and ``replace`` is not asked for, or the results cannot be written.
    InputError
        If an input is refused, or changed while the estimation ran.
    """
    folder = config.reml.folder
    meter, started = manifest.StageMeter(), manifest.now()
    prepare_target(folder, "reml", replace=replace)
    meter.begin("checksums of inputs")
    before = manifest.fingerprints(config.inputs())
    meter.begin("read inputs")
    inputs = read_inputs(config)
    prepared = _prepared(config, inputs, meter, monitor)
    fit = estimate_prepared(prepared, monitor=_measured(meter, monitor))
    meter.begin("tables")
    tables = summary_tables(fit)
    summary = as_text(summary_sections(fit, tables))

    def write(place: Path) -> None:
        meter.begin("write results")
        files = write_tables(place, _tables(fit, tables), config.format)
        for name, text in ((VARIANCES, variances_toml(fit.variances)), (SUMMARY, summary + "\n")):
            files[name] = _write_text(place / name, text)
        meter.begin("checksums of inputs again")
        manifest.refuse_changed(before, manifest.fingerprints(config.inputs()))
        meter.end()
        inputs_read = {role: asdict(mark) for role, mark in before.items()}
        facts = {"command": "reml", "started": started, "inputs": inputs_read, "files": files}
        record = facts | _made(config, inputs, fit) | {"plan": prepared.bytes} | {"stages": meter.stages()}
        manifest.write_manifest(place / MANIFEST, record)

    publish_folder(folder, "reml", write, replace=replace)
    _log.info("published %s", folder)
    return summary


def variances_toml(variances: VarianceComponents) -> str:
    """The section [variances] of a configuration, with every digit."""
    plain = variances.to_dict()
    lines = ["[variances]", *(f"{_quoted(key)} = {_listed(value)}" for key, value in plain["random"].items())]
    residual = plain["residual"]
    if not isinstance(residual, dict):
        return "\n".join([*lines, f"residual = {_listed(residual)}", ""])
    lines += [
        "",
        "[variances.residual]",
        *(f"{_quoted(level)} = {_listed(value)}" for level, value in residual.items()),
    ]
    return "\n".join([*lines, ""])


def _prepared(
    config: Configuration, inputs: Inputs, meter: manifest.StageMeter, monitor: Monitor | None
) -> PreparedEstimation:
    """Everything up to the first round."""
    task = config.reml
    prepared = prepare_estimation(
        config.model, inputs.records, inputs.relationships, start=config.variances, structures=task.structures,
        bounds=task.bounds, ties=task.ties, options=task.options, monitor=_measured(meter, monitor),
    )  # fmt: skip
    return dataclasses.replace(prepared, notes=tuple(dict.fromkeys(inputs.notes + prepared.notes)))


def _measured(meter: manifest.StageMeter, monitor: Monitor | None) -> Monitor:
    """A monitor that measures stages, and tells the other."""

    def tell(stage: str, facts: Mapping[str, Any]) -> None:
        if stage != "round":
            meter.begin(stage)
        if monitor is not None:
            monitor(stage, facts)

    return tell


def _tables(fit: RemlFit, tables: SummaryTables) -> dict[str, pl.DataFrame]:
    """Every table that is published, by the name of its file."""
    found = {
        "components": fit.estimates.table, "ratios": tables.ratios, "fixed": tables.fixed, "wald": tables.wald,
        "history": history_table(fit.history, fit.estimates.space.names),
    }  # fmt: skip
    return {name: table for name, table in found.items() if table.height}


def _made(config: Configuration, inputs: Inputs, fit: RemlFit) -> dict[str, Any]:
    """What the run record says of configuration, pedigree, estimates and every default that mattered."""
    task, problem = config.reml, fit.problem
    counts = problem.design.counts
    return {
        "finished": manifest.now(),
        "versions": manifest.versions(),
        "machine": manifest.machine(),
        "configuration": config.content,
        "model": config.model.to_dict(),
        "options": asdict(fit.options),
        "structures": {key: repr(structure) for key, structure in task.structures.items()},
        "bounds": [asdict(bound) for bound in task.bounds],
        "ties": [asdict(tie) for tie in task.ties],
        "start": None if config.variances is None else config.variances.to_dict(),
        "counts": {
            "records_read": counts.read, "records_used": counts.used, "records_without_trait": counts.without_trait,
            "records_without_effect": counts.without_effect, "values": problem.values, "fixed_rank": problem.rank,
            "equations": problem.layout.size, "parameters": problem.space.size,
        },
        "pedigree": pedigree_record(inputs.pedigree),
        "genotypes": genotype_record(inputs.genotyped),
        "notes": fit.notes,
        "likelihood": {
            "minus2_log_l": fit.minus2_log_likelihood, "with_constant": fit.reml_criterion,
            "rounds": len(fit.history), "converged": fit.maximum.converged, "reason": fit.maximum.reason,
        },
        "information": fit.estimates.information,
    }  # fmt: skip


def _write_text(path: Path, text: str) -> dict[str, Any]:
    path.write_text(text, encoding="utf-8")
    mark = manifest.fingerprint(path)
    return {"rows": text.count("\n"), "bytes": mark.bytes, "sha256": mark.sha256}


def _quoted(name: str) -> str:
    """A key of TOML; JSON's escapes are those of TOML."""
    return json.dumps(name, ensure_ascii=False)


def _listed(value: Any) -> str:
    """A number, or rows of numbers."""
    return repr(value) if isinstance(value, float) else json.dumps(value)
