"""Everything up to the solution: check, code, assemble, plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from breedblup.analysis.founders import add_founders
from breedblup.analysis.genomic import bytes_beside, refuse_elimination, stored_where_it_pays
from breedblup.analysis.options import EvaluateOptions
from breedblup.analysis.progress import Monitor, Stopwatch
from breedblup.analysis.system import find_reduction, reduction_note, terms_with_parents
from breedblup.design import Design, DesignTerm, build_design, complete_model
from breedblup.errors import ModelError, name_some
from breedblup.frames import Table, as_table
from breedblup.mme import (
    Constraints,
    EquationLayout,
    EquationPattern,
    build_incidence,
    constrain,
    count_pattern,
    group_equations,
)
from breedblup.mme.reduction import Reduction
from breedblup.model import Model
from breedblup.pedigree import ContemporaryInbreeding, Pedigree, inbreeding_of_contemporaries
from breedblup.plan import (
    CSR_ENTRY,
    SolvePlan,
    choose_plan,
    incidence_bytes,
    may_analyse,
    memory_budget,
    plan_reduced,
    refuse_unless_fits,
)
from breedblup.relationship import RelationshipInverse, a_inverse, group_inverse
from breedblup.reml.options import RemlOptions
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
    reduction
        What is eliminated before solving, where that was asked for.
    symbolic
        The analysed pattern of what is solved, where a factor was considered.
    """

    model: Model
    variances: VarianceComponents
    options: EvaluateOptions
    relationships: Mapping[str, RelationshipInverse]
    design: Design
    layout: EquationLayout
    constraints: Constraints
    pattern: EquationPattern
    reduction: Reduction | None
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
    """Everything up to the solution: check, code, assemble, plan. Arguments as for `evaluate`.

    Raises
    ------
    InputError, ModelError, ResourceError
        As `evaluate` does.
    """
    check_kinds(model, relationships, options, EvaluateOptions)
    table = as_table(records, "records")
    model = complete_model(model, table)
    _check_variances(model, variances)
    watch = Stopwatch(monitor)
    with watch.stage("relationships", "inbreeding and relationships"):
        inverses, notes = built_inverses(model, table, relationships or {}, options)
        inverses, why = stored_where_it_pays(model, inverses, options)
        by_products = refuse_elimination(inverses, options)
    with watch.stage("design", f"coding {len(table):,} records"):
        design = build_design(model, table, inverses, missing_effects=options.missing_effects)
        layout = EquationLayout.of(design.terms, variances)
        notes += _residual_notes(design, variances)
        if not layout.size:
            raise ModelError("no equations are left: the model has no fixed effects, and every variance is 0")
    budget = memory_budget(options.memory_bytes)
    needed = bytes_of_incidence(layout, design)
    refuse_unless_fits("coding the records for the equations", needed, budget, "give more memory")
    with watch.stage("equations", f"assembling {layout.size:,} equations"):
        incidence = build_incidence(design, layout)
        constraints = constrain(design, layout)
        counts = count_pattern(incidence, layout, constraints.equations)
        refuse_unless_fits("assembling the equations", needed + counts.bytes, budget, "give more memory")
        pattern = EquationPattern.of(counts, layout, constraints)
    options, reasons = _without_pev_of_groups(options, layout)
    if by_products:
        reduction, symbolic, plan = None, None, plan_by_products(pattern.nonzeros, layout, budget - needed, why)
    else:
        reduction, symbolic, plan = _plan(options, pattern, layout, budget - needed, watch)
    notes += design.notes + _rank_notes(layout) + constraints.notes(layout)
    notes += () if reduction is None else (reduction_note(reduction, layout),)
    plan = replace(plan, reasons=plan.reasons + reasons)
    notes += plan.reasons
    return Prepared(
        model,
        variances,
        options,
        inverses,
        design,
        layout,
        constraints,
        pattern,
        reduction,
        symbolic,
        plan,
        notes,
        watch.seconds,
    )


def _plan(
    options: EvaluateOptions, pattern: EquationPattern, layout: EquationLayout, budget: int, watch: Stopwatch
) -> tuple[Reduction | None, SymbolicFactor | None, SolvePlan]:
    """What is eliminated, the analysed pattern of what is solved, and how; ``budget`` is what records and lists leave.

    PCG iterates on fewer equations where that was not forbidden; a factor eliminates the same animals by itself.
    """
    solved, reduction, taken = pattern.pattern.matrix(pattern.values), None, 0
    if options.reduce:
        with watch.stage("reduction", "finding animals to eliminate"):
            reduction = find_reduction(pattern, layout)
            taken = CSR_ENTRY * pattern.nonzeros + reduction.bytes
            refuse_unless_fits("eliminating animals", taken, budget, "set reduce to false")
            solved, budget = reduction.matrix(), budget - taken
    symbolic = None
    if may_analyse(options.method, options.pev, solved.shape[0]):
        with watch.stage("analysis", "ordering the equations, counting their factor"):
            symbolic = analyse(solved)
    plan = choose_plan(solved.shape[0], solved.nnz, symbolic, method=options.method, pev=options.pev, budget=budget)
    if reduction is not None:
        plan = replace(plan, bytes=dict(plan.bytes) | {"elimination": taken})
    if options.reduce is None and plan.method == "pcg" and not plan.pev and terms_with_parents(layout):
        with watch.stage("reduction", "finding animals to eliminate"):
            found = find_reduction(pattern, layout)
            if found.nonzeros < pattern.nonzeros and found.bytes < budget - sum(plan.bytes.values()):
                reduction, plan = found, plan_reduced(plan, found.kept.size, found.nonzeros, found.bytes)
    return reduction, symbolic, plan


def plan_by_products(nonzeros: int, layout: EquationLayout, budget: int, why: tuple[str, ...]) -> SolvePlan:
    """PCG on equations that are stored in part: a relationship that rests on genotypes is known by products, and why."""
    plan = choose_plan(layout.size, nonzeros, None, method="pcg", pev="none", budget=budget)
    names = name_some([term.name for term in layout.terms if term.relationship and term.relationship.by_products])
    stored = dict(plan.bytes) | {"genotypes": bytes_beside(layout)}
    refuse_unless_fits("solving by pcg", sum(stored.values()), budget, "give more memory")
    reason = f"PCG: the relationship of {names} is known by products, no factor is made and no PEV comes of it"
    return replace(plan, bytes=stored, reasons=(reason, *why))


def _without_pev_of_groups(options: EvaluateOptions, layout: EquationLayout) -> tuple[EvaluateOptions, tuple[str, ...]]:
    """No PEV with fixed groups of unknown parents: that of û holds the error of groups set to zero.

    Raises
    ------
    ModelError
        If it is insisted on.
    """
    if not group_equations(layout).size or options.pev == "none":
        return options, ()
    why = "with fixed groups of unknown parents only differences between breeding values are estimable"
    if options.pev == "exact":
        raise ModelError(f"pev is 'exact', but {why} -> leave pev out, or take random groups or metafounders")
    return replace(options, pev="none"), (f"no PEV: {why}",)


def check_kinds(model: object, relationships: object, options: object, kind: type) -> None:
    """Refuse what is not of the kind that is needed, before it fails somewhere inside."""
    if not isinstance(model, Model):
        raise ModelError(f"the model is a {type(model).__name__}; make one with Model.from_formula(...)")
    if not isinstance(options, kind):
        raise ModelError(f"the options are a {type(options).__name__}; make them with {kind.__name__}(...)")
    if relationships is not None and not isinstance(relationships, Mapping):
        raise ModelError(
            f"relationships is a {type(relationships).__name__}; give a dictionary, such as {{'animal': pedigree}}"
        )


def _check_variances(model: Model, variances: object) -> None:
    """Refuse what are no variances of the model."""
    if not isinstance(variances, VarianceComponents):
        raise ModelError(
            f"the variances are a {type(variances).__name__}; make them with VarianceComponents({{...}}, residual=...)"
        )
    variances.check(model)


def _residual_notes(design: Design, variances: VarianceComponents) -> tuple[str, ...]:
    """Refuse classes of the records without a residual variance; name variances without records."""
    if design.residual_levels is None:
        return ()
    known = variances.residual_classes
    lacking = [level for level in design.residual_levels if level not in known]
    if lacking:
        raise ModelError(
            f"no residual variance is given for {name_some(lacking)}, which the records have (given: {name_some(known)}) "
            "-> add it to the variances, or correct the records"
        )
    unused = [level for level in known if level not in set(design.residual_levels)]
    return (f"no record has the residual class {name_some(unused)}",) if unused else ()


def _rank_notes(layout: EquationLayout) -> tuple[str, ...]:
    """Which covariance matrices are singular, or nearly so, and how they are fitted."""
    return tuple(
        f"{term.name}: covariance matrix of order {len(term.coordinates)} and rank {loading.shape[1]}"
        f"{', nearly singular' if loading.shape[0] == loading.shape[1] else ''}, fitted by as many uncorrelated effects a level"
        for term, loading in zip(layout.terms, layout.loadings, strict=True)
        if loading is not None
    )


def built_inverses(
    model: Model,
    table: Table,
    relationships: Mapping[str, Pedigree | RelationshipInverse],
    options: EvaluateOptions | RemlOptions,
) -> tuple[dict[str, RelationshipInverse], tuple[str, ...]]:
    """K⁻¹ by name for each relationship given; animals that a pedigree lacks become founders where the user said so."""
    inverses = {}
    notes: list[str] = []
    for name, given in relationships.items():
        if isinstance(given, RelationshipInverse):
            inverses[name] = given
            continue
        if not isinstance(given, Pedigree):
            raise ModelError(
                f"relationships[{name!r}] is a {type(given).__name__}; give a Pedigree or a RelationshipInverse "
                "(inverse_from makes one of a matrix and its ids)"
            )
        pedigree = given
        notes += given.report.warnings
        if options.unknown_animals == "founder":
            pedigree = add_founders(pedigree, model, table, name, notes)
        inbreeding = inbreeding_asked_for(pedigree, options)
        make = a_inverse if pedigree.groups is None else group_inverse
        inverses[name] = make(pedigree, inbreeding=inbreeding)
    return inverses, tuple(notes)


def inbreeding_asked_for(pedigree: Pedigree, options: EvaluateOptions | RemlOptions) -> bool | ContemporaryInbreeding:
    """What inbreeding A⁻¹ is to take into account."""
    if options.inbreeding == "contemporaries":
        return inbreeding_of_contemporaries(pedigree)
    return bool(options.inbreeding)


def bytes_of_incidence(layout: EquationLayout, design: Design) -> int:
    """Bytes of the coded records and their lists, and of the inverse relationships."""
    entries = sum(_inverse_entries(term) for term in design.random)
    links = sum(len(term.links) for term in layout.terms)
    columns = sum(term.values.shape[1] for term in layout.terms if term.values is not None)
    return incidence_bytes(len(design.y), len(design.traits), links, columns, layout.size, entries)


def _inverse_entries(term: DesignTerm) -> int:
    """Most entries of the K⁻¹ of a random term, without building that of a pedigree."""
    if term.relationship is None:
        return len(term.levels)
    if term.relationship.pedigree is not None and (term.relationship.genomic is None or term.relationship.by_products):
        return ENTRIES_OF_A_INVERSE * len(term.levels)
    return int(term.relationship.matrix.nnz)
