"""Everything up to the solution: check, code, assemble, plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from breedblup.analysis.options import EvaluateOptions
from breedblup.analysis.progress import Monitor, Stopwatch
from breedblup.design import Design, DesignTerm, build_design
from breedblup.errors import ModelError, RecordError, counted, name_some
from breedblup.frames import MISSING_VALUES, Table, as_table
from breedblup.mme import (
    Constraints,
    EquationLayout,
    EquationPattern,
    assemble_equations,
    build_incidence,
    constrain_fixed,
    inverse_variance,
)
from breedblup.model import Model
from breedblup.pedigree import Pedigree
from breedblup.plan import SolvePlan, assembly_bytes, choose_plan, may_analyse, memory_budget, refuse_unless_fits
from breedblup.relationship import RelationshipInverse, a_inverse
from breedblup.solvers.cholesky import SymbolicFactor, analyse
from breedblup.variances import VarianceComponents

ENTRIES_OF_A_INVERSE = 9
"""Most entries that an animal adds to A⁻¹: three by three."""


@dataclass(frozen=True)
class Prepared:
    """All that is known before anything is solved.

    Attributes
    ----------
    relationships
        K⁻¹ by the column whose levels it relates.
    pattern
        The equations but for the variances.
    symbolic
        The analysed pattern where a factor was considered.
    """

    model: Model
    variances: VarianceComponents
    options: EvaluateOptions
    relationships: Mapping[str, RelationshipInverse]
    design: Design
    layout: EquationLayout
    constraints: Constraints
    pattern: EquationPattern
    symbolic: SymbolicFactor | None
    plan: SolvePlan
    notes: tuple[str, ...]
    seconds: dict[str, float]


def prepare(
    model: Model,
    records: Any,
    variances: VarianceComponents,
    relationships: Mapping[str, Pedigree | RelationshipInverse] | None = None,
    *,
    options: EvaluateOptions = EvaluateOptions(),
    monitor: Monitor | None = None,
) -> Prepared:
    """Everything up to the solution: check, code, assemble, plan. Arguments and errors as for `evaluate`."""
    _check_arguments(model, variances, relationships)
    table = as_table(records, "records")
    watch = Stopwatch(monitor)
    with watch.stage("relationships", "inbreeding and relationships"):
        inverses, notes = _inverses(model, table, relationships or {}, options)
    with watch.stage("design", f"coding {len(table):,} records"):
        design = build_design(model, table, inverses, missing_effects=options.missing_effects)
        layout = EquationLayout.of(design.terms)
    budget = memory_budget(options.memory_bytes)
    refuse_unless_fits("assembling the equations", _assembly_bytes(layout, design), budget, "give more memory")
    with watch.stage("equations", f"assembling {layout.size:,} equations"):
        incidence = build_incidence(design, layout)
        constraints = constrain_fixed(incidence, layout)
        pattern = assemble_equations(incidence, layout, constraints)
    symbolic = None
    if may_analyse(options.method, options.pev, layout.size):
        with watch.stage("analysis", "ordering the equations, counting their factor"):
            symbolic = analyse(pattern.pattern.matrix(pattern.pattern.records_part))
    plan = choose_plan(layout.size, pattern.nonzeros, symbolic, method=options.method, pev=options.pev, budget=budget)
    notes += design.notes + constraints.notes(layout) + plan.reasons
    return Prepared(
        model, variances, options, inverses, design, layout, constraints, pattern, symbolic, plan, notes, watch.seconds
    )


def _check_arguments(model: object, variances: object, relationships: object) -> None:
    """Refuse what is not of the kind that is needed, before it fails somewhere inside."""
    if not isinstance(model, Model):
        raise ModelError(f"the model is a {type(model).__name__}; make one with Model.from_formula(...)")
    if not isinstance(variances, VarianceComponents):
        raise ModelError(
            f"the variances are a {type(variances).__name__}; make them with VarianceComponents({{...}}, residual=...)"
        )
    if relationships is not None and not isinstance(relationships, Mapping):
        raise ModelError(
            f"relationships is a {type(relationships).__name__}; give a dictionary, such as {{'animal': pedigree}}"
        )
    variances.check(model)
    for term in model.random:
        inverse_variance(term.key, variances)


def _inverses(
    model: Model,
    table: Table,
    relationships: Mapping[str, Pedigree | RelationshipInverse],
    options: EvaluateOptions,
) -> tuple[dict[str, RelationshipInverse], tuple[str, ...]]:
    """K⁻¹ for each relationship given; animals that a pedigree lacks become founders where the user said so."""
    inverses = {}
    notes: list[str] = []
    for column, given in relationships.items():
        if isinstance(given, RelationshipInverse):
            inverses[column] = given
            continue
        if not isinstance(given, Pedigree):
            raise ModelError(
                f"relationships[{column!r}] is a {type(given).__name__}; give a Pedigree or a RelationshipInverse "
                "(inverse_from makes one of a matrix and its ids)"
            )
        pedigree = given
        notes += given.report.warnings
        if options.unknown_animals == "founder" and column in table.frame.columns:
            new = _new_ids(model, table, column, pedigree)
            if len(new):
                pedigree = pedigree.with_founders(new)
                shown = name_some(new.to_list())
                notes.append(
                    f"{counted(len(new), 'animal')} of the records added to the pedigree as unrelated: {shown}"
                )
        inverses[column] = a_inverse(pedigree, inbreeding=options.inbreeding)
    return inverses, tuple(notes)


def _new_ids(model: Model, table: Table, column: str, pedigree: Pedigree) -> pl.Series:
    """Ids with a record of the trait that a pedigree lacks, each once; a missing id is left to the design to refuse."""
    measured = pl.Series(~np.isnan(table.numbers(model.traits[0])), dtype=pl.Boolean)
    ids = table.text(column).filter(measured).drop_nulls().unique(maintain_order=True)
    new = ids.filter(pl.Series(pedigree.positions_of(ids) < 0, dtype=pl.Boolean))
    new = new.filter(~new.str.strip_chars().is_in(MISSING_VALUES))
    bearing = new.filter(new.str.strip_chars().is_in(pedigree.missing_parents))
    if len(bearing):
        raise RecordError(
            f"{table.name}: {column} {name_some(bearing.to_list())} of the records bears the code of a missing parent "
            "-> it cannot be added to the pedigree; correct the id"
        )
    return new


def _assembly_bytes(layout: EquationLayout, design: Design) -> int:
    entries = sum(_inverse_entries(term) for term in design.random)
    width = sum(len(term.coefficients) for term in layout.terms)
    return assembly_bytes(design.y.size, width, layout.size, entries)


def _inverse_entries(term: DesignTerm) -> int:
    """Most entries of the K⁻¹ of a random term, without building that of a pedigree."""
    if term.relationship is None:
        return len(term.levels)
    if term.relationship.pedigree is not None:
        return ENTRIES_OF_A_INVERSE * len(term.levels)
    return int(term.relationship.matrix.nnz)
