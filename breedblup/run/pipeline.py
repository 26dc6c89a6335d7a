"""From a configuration to a plan (`check_evaluation`) or to published results (`run_evaluation`)."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from breedblup.adjustment import (
    Base,
    BaseBirthYears,
    BaseFounders,
    BaseIds,
    check_base,
    check_combinations,
    combine,
    rebase,
)
from breedblup.adjustment.markers import (
    MarkerEffects,
    MarkerInference,
    infer_markers,
    marker_effects,
    prepare_inference,
)
from breedblup.analysis import Monitor, Prepared, evaluate_by_factor, prepare
from breedblup.errors import ConfigurationError
from breedblup.evaluation import Evaluation
from breedblup.frames import Table
from breedblup.io.tables import read_pedigree, read_phantom_parents, read_records, read_table
from breedblup.pedigree import Pedigree, group_unknown_parents
from breedblup.pedigree.reading import find_columns
from breedblup.relationship import RelationshipInverse
from breedblup.run import manifest
from breedblup.run.config import Configuration, PedigreeInput
from breedblup.run.fitted import placed
from breedblup.run.genomic_relationships import read_ids
from breedblup.run.genotypes import Genotyped, genotype_record, read_genotyped
from breedblup.run.publish import MANIFEST, prepare_target, publish_folder
from breedblup.run.relationships import make_relationships
from breedblup.run.results import MARKER_TESTS, core_tables, genomic_keys, result_tables, write_effects, write_tables
from breedblup.run.sources import FromGenotypes, uses_pedigree
from breedblup.run.ungenotyped import of_genotyped_only
from breedblup.variances import VarianceComponents

_log = logging.getLogger("breedblup")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the files of a configuration hold, and what is built of them.

    Attributes
    ----------
    pedigree
        Of the file, and genotyped animals that it lacked where they are to be founders.
    cores
        Ids of the core of each relationship that is made with APY.
    notes, genotype_notes
        How things were built; the latter what there is to say of genotypes.
    """

    records: Table
    pedigree: Pedigree | None
    genotyped: Genotyped | None
    relationships: Mapping[str, Pedigree | RelationshipInverse]
    cores: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    genotype_notes: tuple[str, ...]
    base: Base | None


def read_inputs(config: Configuration) -> Inputs:
    """Read and check every file that a configuration names."""
    pedigree = None if config.pedigree is None else _read_pedigree(config.pedigree)
    _log.info("reading records %s", config.records)
    records = read_records(config.records)
    genotyped = None
    if config.genotypes is not None:
        sources = config.relationships.values()
        through = any(isinstance(source, FromGenotypes) and uses_pedigree(source) for source in sources)
        genotyped, pedigree = read_genotyped(config.genotypes, pedigree, through_pedigree=through)
        records, genotyped = of_genotyped_only(config, records, genotyped)
    made = make_relationships(config, pedigree, records, genotyped)
    said = () if genotyped is None else genotyped.notes + made.genomic_notes
    return Inputs(records, pedigree, genotyped, made.of, made.cores, said + made.notes, said, _base(config.base))


def _read_pedigree(source: PedigreeInput) -> Pedigree:
    _log.info("reading pedigree %s", source.file)
    table = read_table(source.file)
    groups = source.groups if source.phantom_parents is None else read_phantom_parents(source.phantom_parents)
    pedigree = read_pedigree(
        table, columns=source.columns, missing_parents=source.missing_parents, rules=source.rules, groups=groups
    )
    if source.group_rule is not None:
        pedigree = group_unknown_parents(pedigree, source.group_rule, breeds=_breeds(table, source))
    report = pedigree.report
    counts = (f"{report.animals:,}", f"{report.founders:,}", f"{report.added_parents:,}")
    _log.info("pedigree: %s animals, %s founders, %s of them parents without a row of their own", *counts)
    for warning in report.warnings:
        _log.warning("pedigree: %s", warning)
    if pedigree.groups is not None:
        for made in pedigree.groups.made:
            _log.info("pedigree: %s", made)
        for group, members in pedigree.groups.table().iter_rows():
            _log.info("pedigree: group %r: %s unknown parents", group, f"{members:,.10g}")
    return pedigree


def _breeds(table: Table, source: PedigreeInput) -> pl.DataFrame | None:
    """Animals and their breeds, from the table of the pedigree."""
    if source.breed is None:
        return None
    ids = table.text(find_columns(table, source.columns)["id"])
    return pl.DataFrame({"animal": ids, "breed": table.text(source.breed)})


def check_evaluation(config: Configuration, *, monitor: Monitor | None = None) -> tuple[Prepared, tuple[str, ...]]:
    """Read and check everything and plan how to solve; nothing is solved or written. With what there is to say of genotypes."""
    _variances(config)
    inputs = read_inputs(config)
    return _prepared(config, inputs, monitor), inputs.genotype_notes


def _prepared(config: Configuration, inputs: Inputs, monitor: Monitor | None) -> Prepared:
    """Everything up to the solution, combinations and a base that can be had."""
    given = (config.model, inputs.records, _variances(config), inputs.relationships)
    notes = inputs.notes
    if config.marker_tests:
        keys = genomic_keys(config.model, inputs.relationships)
        prepared = prepare_inference(*given, terms=keys, options=config.options, monitor=monitor)
        notes += ("marker_tests: solved by a factor of all equations, of which the errors of the effects are made",)
    else:
        prepared = prepare(*given, options=config.options, monitor=monitor)
    specs = list(config.combinations.values())
    for number, place in enumerate(config.combinations, 1):
        with placed(config.path.name, place):
            check_combinations(prepared.design.random, *specs[:number])  # with those before it: names are unique
    if inputs.base is not None:
        check_base(inputs.base, prepared.relationships)
    return dataclasses.replace(prepared, notes=tuple(dict.fromkeys(notes + prepared.notes)))


def _variances(config: Configuration) -> VarianceComponents:
    """The variances, which an evaluation needs."""
    if config.variances is None:
        raise ConfigurationError(
            f"{config.path.name}: [variances] is missing; it has to be given, and `breedblup reml` estimates it"
        )
    return config.variances


def run_evaluation(config: Configuration, *, replace: bool = False, monitor: Monitor | None = None) -> Path:
    """Evaluate and publish; returns the folder of the results.

    Raises
    ------
    NotConverged
        If the solution did not reach its criterion; nothing is published.
    PublishError
        If results are in the way and ``replace`` is not asked for, or the results cannot be written.
    InputError
        If an input is refused, or changed while the evaluation ran.
    """
    _variances(config)
    meter, started = manifest.StageMeter(), manifest.now()
    prepare_target(config.folder, "run", replace=replace)
    meter.begin("checksums of inputs")
    before = manifest.fingerprints(config.inputs())
    meter.begin("read inputs")
    inputs = read_inputs(config)
    evaluation, tests = _evaluate(config, inputs, meter, monitor)
    effects = [_effects(evaluation, key, tests) for key in genomic_keys(config.model, inputs.relationships)]

    def write(folder: Path) -> None:
        meter.begin("write results")
        tables = result_tables(evaluation, inputs.pedigree, inputs.genotyped) | core_tables(inputs.cores)
        if tests:
            tables[MARKER_TESTS] = pl.concat([one.table for one in tests.values()])
        files = write_tables(folder, tables, config.format) | write_effects(folder, effects)
        meter.begin("checksums of inputs again")
        manifest.refuse_changed(before, manifest.fingerprints(config.inputs()))
        meter.end()
        inputs_read = {role: asdict(mark) for role, mark in before.items()}
        facts = {"command": "run", "started": started, "inputs": inputs_read, "files": files}
        record = facts | _made(config, inputs, evaluation) | {"stages": meter.stages()}
        manifest.write_manifest(folder / MANIFEST, record)

    publish_folder(config.folder, "run", write, replace=replace)
    for line in evaluation.summary():
        _log.info(line)
    _log.info("published %s", config.folder)
    return config.folder


def _evaluate(
    config: Configuration, inputs: Inputs, meter: manifest.StageMeter, monitor: Monitor | None
) -> tuple[Evaluation, dict[str, MarkerInference]]:
    """Breeding values on the base asked for, and tests of markers by term where those are asked for.

    Stages are measured, and what was decided is logged.
    """

    def tell(stage: str, facts: Mapping[str, Any]) -> None:
        if stage != "round":
            meter.begin(stage)
        if monitor is not None:
            monitor(stage, facts)

    prepared = _prepared(config, inputs, tell)
    evaluation, factor = evaluate_by_factor(prepared, monitor=tell)
    tests = {}
    if config.marker_tests:
        assert factor is not None
        meter.begin("tests of markers")
        for key in genomic_keys(config.model, inputs.relationships):
            _log.info("testing markers of %s", key)
            tests[key] = infer_markers(prepared, evaluation, factor, term=key)
    evaluation = combine(evaluation, *config.combinations.values())
    if inputs.base is not None:
        evaluation = rebase(evaluation, inputs.base)
    warned = () if inputs.pedigree is None else inputs.pedigree.report.warnings
    for note in evaluation.notes:
        if note not in warned:
            _log.info("note: %s", note)
    return evaluation, tests


def _effects(evaluation: Evaluation, key: str, tests: Mapping[str, MarkerInference]) -> MarkerEffects:
    """Effects on the base of the evaluation, with what reliabilities need where they were tested."""
    effects = marker_effects(evaluation, key)
    if key not in tests:
        return effects
    return dataclasses.replace(effects, factor=tests[key].effects.factor, made=tests[key].effects.made)


def _made(config: Configuration, inputs: Inputs, evaluation: Evaluation) -> dict[str, Any]:
    """What the run record says of configuration, pedigree, genotypes, solution and every default that mattered."""
    solution = evaluation.solution
    return {
        "finished": manifest.now(),
        "versions": manifest.versions(),
        "machine": manifest.machine(),
        "configuration": config.content,
        "model": config.model.to_dict(),
        "options": asdict(config.options),
        "combinations": {place: asdict(spec) for place, spec in config.combinations.items()},
        "counts": evaluation.counts,
        "pedigree": pedigree_record(inputs.pedigree),
        "genotypes": genotype_record(inputs.genotyped),
        "cores": {name: len(core) for name, core in inputs.cores.items()},
        "notes": evaluation.notes,
        "base": evaluation.base,
        "plan": asdict(evaluation.plan),
        "accuracy_scale": evaluation.accuracy_scale,
        "solution": {
            "method": solution.method, "converged": solution.converged, "criterion": solution.criterion,
            "tolerance": solution.tolerance, "last_round": asdict(solution.rounds[-1]),
        },
    }  # fmt: skip


def pedigree_record(pedigree: Pedigree | None) -> dict[str, Any] | None:
    """What the run record says of the pedigree."""
    if pedigree is None:
        return None
    report = pedigree.report
    return {
        "rows": report.rows, "animals": report.animals, "founders": report.founders,
        "merged_rows": report.merged_rows, "added_parents": report.added_parents,
        "repairs": report.repairs.height, "warnings": report.warnings,
        "groups": () if pedigree.groups is None else pedigree.groups.made,
    }  # fmt: skip


def _base(base: BaseFounders | BaseBirthYears | Path | None) -> Base | None:
    """The base as `rebase` takes it; ids are read from their file."""
    if not isinstance(base, Path):
        return base
    return BaseIds.of(read_ids(base, "the base"))
