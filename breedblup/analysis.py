"""The calls that an analyst makes: each is the stages of the package, one a line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from breedblup.design import Design, DesignTerm, build_design
from breedblup.errors import ModelError, NotConverged, NotPositiveDefinite, counted, name_some
from breedblup.evaluation import AccuracyScale, Evaluation, fixed_table, genetic_table, random_table
from breedblup.frames import Table, as_table
from breedblup.mme import (
    Constraints,
    EnergyBound,
    EquationLayout,
    EquationPattern,
    MixedModelEquations,
    assemble_equations,
    build_incidence,
    constrain_fixed,
)
from breedblup.model import Model
from breedblup.pedigree import Pedigree
from breedblup.plan import SolvePlan, assembly_bytes, choose_plan, may_analyse, memory_budget, refuse_unless_fits
from breedblup.relationship import RelationshipInverse, a_inverse
from breedblup.solvers.cholesky import CholeskyFactor, SymbolicFactor, analyse
from breedblup.solvers.pcg import CsrOperator, PcgOptions, PcgRound, Solution, solve_pcg
from breedblup.solvers.preconditioners import FixedAndBlocks
from breedblup.variances import VarianceComponents

log = logging.getLogger("breedblup")

Monitor = Callable[[str, Mapping[str, Any]], None]
"""Told of each stage as it begins, and of each round of an iteration: ``monitor("solve", {...})``."""

ENTRIES_OF_A_INVERSE = 9
"""Most entries that an animal adds to A⁻¹: three by three."""


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """How to evaluate; every choice that changes a number is named in the result.

    Attributes
    ----------
    method
        ``auto`` (see `breedblup.plan`), ``cholesky`` or ``pcg``.
    pev
        ``auto`` (where the factor can be had), ``exact`` or ``none``.
    inbreeding
        Whether A⁻¹ takes inbreeding into account.
    accuracy
        Scale of the accuracy: ``r``, ``r2`` or ``bif``.
    unknown_animals
        Records of animals that a pedigree does not have: ``error``, or add them as unrelated ``founder``.
    missing_effects
        Records whose trait is known but a class, covariate or weight is missing: ``error`` or ``drop``.
    memory_bytes
        Memory to plan with; None for 80 % of what is available.
    pcg
        Criterion, tolerance and rounds of the iteration.
    """

    method: Literal["auto", "cholesky", "pcg"] = "auto"
    pev: Literal["auto", "exact", "none"] = "auto"
    inbreeding: bool = True
    accuracy: AccuracyScale = "r"
    unknown_animals: Literal["error", "founder"] = "error"
    missing_effects: Literal["error", "drop"] = "error"
    memory_bytes: int | None = None
    pcg: PcgOptions = field(default_factory=PcgOptions)

    def __post_init__(self) -> None:
        for name, allowed in (
            ("method", ("auto", "cholesky", "pcg")),
            ("pev", ("auto", "exact", "none")),
            ("accuracy", ("r", "r2", "bif")),
            ("unknown_animals", ("error", "founder")),
            ("missing_effects", ("error", "drop")),
        ):
            if getattr(self, name) not in allowed:
                raise ModelError(f"{name} is {getattr(self, name)!r}; it can be {', '.join(map(repr, allowed))}")


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


class Stopwatch:
    """Seconds by stage; tells the monitor and the log when a stage begins."""

    def __init__(self, monitor: Monitor | None) -> None:
        self.seconds: dict[str, float] = {}
        self._monitor = monitor

    @contextmanager
    def stage(self, name: str, words: str) -> Iterator[None]:
        """Time what happens inside; ``words`` are for the log."""
        log.info(words)
        if self._monitor is not None:
            self._monitor(name, {})
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


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


def evaluate(
    model: Model,
    records: Any,
    variances: VarianceComponents,
    relationships: Mapping[str, Pedigree | RelationshipInverse] | None = None,
    *,
    options: EvaluateOptions = EvaluateOptions(),
    monitor: Monitor | None = None,
) -> Evaluation:
    """Breeding values (BLUP) at known variances.

    Parameters
    ----------
    model
        What is fitted.
    records
        Any data frame, or a `Table` that was read from a file.
    variances
        Variance components by random term, and residual.
    relationships
        A `Pedigree` (A⁻¹ is built) or a `RelationshipInverse` by the column whose levels it relates.
    monitor
        Told of stages and rounds.

    Raises
    ------
    InputError
        If records cannot be used as they are.
    ModelError
        If model, variances and relationships do not fit together.
    NotConverged
        If the iteration ended before its criterion was met.
    ResourceError
        If the machine's memory would not suffice.
    """
    return evaluate_prepared(
        prepare(model, records, variances, relationships, options=options, monitor=monitor), monitor=monitor
    )


def evaluate_prepared(prepared: Prepared, *, monitor: Monitor | None = None) -> Evaluation:
    """The second half of `evaluate`: fill in the variances, solve, and put the result together."""
    watch = Stopwatch(monitor)
    with watch.stage("values", "filling in the variances"):
        equations = prepared.pattern.equations(prepared.variances)
    factor = None
    if prepared.plan.method == "cholesky" or prepared.plan.pev:
        with watch.stage("factor", f"factorising, {prepared.plan.factor_nonzeros:,} entries"):
            factor = _factorise(prepared, equations)
    with watch.stage("solve", f"solving by {prepared.plan.method}"):
        solution = solve_equations(equations, prepared, factor, monitor)
    inverse_diagonal = None
    if prepared.plan.pev and factor is not None:
        with watch.stage("selected inverse", "prediction error variances by the selected inverse"):
            inverse_diagonal = factor.inverse_diagonal()
    with watch.stage("tables", "tables of results"):
        evaluation = _evaluation(prepared, solution, inverse_diagonal)
    return replace(evaluation, seconds=prepared.seconds | watch.seconds)


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
            ids = table.text(column).drop_nulls().unique(maintain_order=True)
            new = ids.filter(pedigree.positions_of(ids) < 0)
            if len(new):
                pedigree = pedigree.with_founders(new)
                shown = name_some(new.to_list())
                notes.append(
                    f"{counted(len(new), 'animal')} of the records added to the pedigree as unrelated: {shown}"
                )
        inverses[column] = a_inverse(pedigree, inbreeding=options.inbreeding)
    return inverses, tuple(notes)


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


def _factorise(prepared: Prepared, equations: MixedModelEquations) -> CholeskyFactor:
    assert prepared.symbolic is not None
    try:
        return prepared.symbolic.factorise(equations.lhs)
    except NotPositiveDefinite as failure:
        raise NotPositiveDefinite(
            f"{prepared.layout.describe(failure.equation)} has a non-positive pivot: the equations are not positive "
            "definite to working precision -> look for a term that repeats another, or extreme covariates",
            failure.equation,
        ) from None


def solve_equations(
    equations: MixedModelEquations,
    prepared: Prepared,
    factor: CholeskyFactor | None,
    monitor: Monitor | None = None,
) -> Solution:
    """Solve by the factor where the plan says so, by PCG otherwise; `NotConverged` where that did not end well."""
    options = prepared.options.pcg
    operator = CsrOperator(equations.lhs)
    if prepared.plan.method == "cholesky":
        assert factor is not None
        return _direct_solution(operator, equations.rhs, factor.solve(equations.rhs))
    preconditioner = FixedAndBlocks.of(
        equations.lhs, prepared.layout.blocks(), prepared.constraints.factor,
        float(prepared.variances.residual_matrix()[0, 0]),
    )  # fmt: skip
    bound = EnergyBound(operator, prepared.layout, prepared.variances, prepared.constraints.factor)

    def tell(record: PcgRound) -> None:
        if monitor is not None:
            monitor("round", {"round": record.round, "error": record.error_estimate})

    solution = solve_pcg(operator, equations.rhs, preconditioner, options=options, error_bound=bound, monitor=tell)
    if not solution.converged:
        raise NotConverged(
            f"PCG stopped after {len(solution.rounds)} rounds with {options.criterion} above {options.tolerance:g} "
            "-> allow more rounds, or a larger tolerance",
            solution,
        )
    return solution


def _base_in_words(relationships: Mapping[str, RelationshipInverse]) -> str:
    """What a breeding value of 0 means before any other base is asked for."""
    if not relationships:
        return "none: no random term has a relationship"
    if all(relationship.pedigree is not None for relationship in relationships.values()):
        return "the expected breeding value of animals without known parents is 0"
    return "expected breeding values are 0 under the relationships given"


def _direct_solution(operator: CsrOperator, rhs: NDArray[np.float64], x: NDArray[np.float64]) -> Solution:
    """A solution by factor, with the one criterion that applies: its relative residual."""
    product = np.empty_like(rhs)
    operator.multiply(x, product)
    size = float(np.linalg.norm(rhs))
    relative = float(np.linalg.norm(rhs - product)) / size if size > 0 else 0.0
    record = PcgRound(
        round=0, relative_residual=relative, squared_relative_residual=relative**2, relative_change=0.0,
        error_estimate=None, error_bound=None,
    )  # fmt: skip
    return Solution(x, (record,), True, "cholesky", "direct", 0.0)


def _evaluation(
    prepared: Prepared,
    solution: Solution,
    inverse_diagonal: NDArray[np.float64] | None,
) -> Evaluation:
    design, layout = prepared.design, prepared.layout
    trait = design.trait
    counts = {
        "records_read": design.counts.read,
        "records_used": design.counts.used,
        "records_without_trait": design.counts.without_trait,
        "records_without_effect": design.counts.without_effect,
        "animals": max((len(term.levels) for term in design.random if term.relationship), default=0),
        "equations": layout.size,
        "nonzeros": prepared.pattern.nonzeros,
    }
    return Evaluation(
        model=prepared.model,
        variances=prepared.variances,
        genetic=genetic_table(
            design, layout, solution.x, inverse_diagonal, prepared.variances, prepared.options.accuracy
        ),
        fixed_effects=fixed_table(design, layout, prepared.constraints, solution.x, inverse_diagonal),
        random_effects={
            term.name: random_table(term, trait, layout.slice_of(term.name), solution.x, inverse_diagonal)
            for term in design.random
        },
        relationships=prepared.relationships,
        solution=solution,
        plan=prepared.plan,
        accuracy_scale=prepared.options.accuracy,
        base=_base_in_words(prepared.relationships),
        notes=prepared.notes,
        counts=counts,
        seconds={},
        backend=design.table.backend,
    )
