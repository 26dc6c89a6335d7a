"""From prepared equations to an `Evaluation`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breedblup.analysis.genomic import duals_by_term
from breedblup.analysis.options import EvaluateOptions
from breedblup.analysis.preparation import Prepared, prepare
from breedblup.analysis.progress import Monitor, Stopwatch
from breedblup.analysis.system import System
from breedblup.errors import NotConverged, NotPositiveDefinite, NumericalError
from breedblup.evaluation import Evaluation, fixed_table, genetic_table, inverse_by_level, random_effects
from breedblup.mme import EquationLayout
from breedblup.model import Model
from breedblup.pedigree import Pedigree
from breedblup.relationship import RelationshipInverse
from breedblup.solvers.cholesky import CholeskyFactor
from breedblup.solvers.operators import CsrOperator
from breedblup.solvers.pcg import solve_pcg
from breedblup.solvers.records import PcgRound, Solution
from breedblup.solvers.threads import one_blas_thread
from breedblup.variances import VarianceComponents

REFINEMENTS = 1
"""Steps of iterative refinement of a direct solution: one takes it to the accuracy of its own digits."""

DIRECT_RESIDUAL = 1e-8
"""Largest relative residual of a direct solution that is let through."""


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
    return evaluate_by_factor(prepared, monitor=monitor)[0]


def evaluate_by_factor(
    prepared: Prepared, *, monitor: Monitor | None = None
) -> tuple[Evaluation, CholeskyFactor | None]:
    """As `evaluate_prepared`, and the factor of what was solved, where there is one."""
    watch = Stopwatch(monitor)
    with watch.stage("values", "filling in the variances"):
        equations = prepared.pattern.equations(prepared.variances)
    system = System(equations, None)
    if prepared.reduction is not None:
        with watch.stage("elimination", f"eliminating {prepared.reduction.starts.size:,} animals"):
            system = System.of(equations, prepared.reduction)
    factor = None
    if prepared.plan.method == "cholesky" or prepared.plan.pev:
        with watch.stage("factor", f"factorising, {prepared.plan.factor_nonzeros:,} entries"):
            factor = _factorise(prepared, system)
    with watch.stage("solve", f"solving by {prepared.plan.method}"):
        solution = solve_system(system, prepared, factor, monitor)
    inverse = None
    if prepared.plan.pev and factor is not None:
        with watch.stage("selected inverse", "prediction error variances by the selected inverse"):
            inverse = inverse_by_level(factor, equations.layout, system.reduced)
    with watch.stage("tables", "tables of results"):
        evaluation = _evaluation(prepared, equations.layout, solution, inverse)
    return replace(evaluation, seconds=prepared.seconds | watch.seconds), factor


def _factorise(prepared: Prepared, system: System) -> CholeskyFactor:
    assert prepared.symbolic is not None
    try:
        return prepared.symbolic.factorise(system.lhs)
    except NotPositiveDefinite as failure:
        equation = system.number(failure.equation)
        raise NotPositiveDefinite(
            f"{prepared.layout.describe(equation)} has a non-positive pivot: the equations are not positive "
            "definite to working precision -> look for a term that repeats another, or extreme covariates",
            equation,
        ) from None


def solve_system(
    system: System,
    prepared: Prepared,
    factor: CholeskyFactor | None,
    monitor: Monitor | None = None,
) -> Solution:
    """Solve by the factor where the plan says so, by PCG otherwise; the solution is that of all equations.

    Raises
    ------
    NotConverged
        If the iteration did not end well.
    """
    options = prepared.options.pcg
    if prepared.plan.method == "cholesky":
        assert factor is not None
        direct = _direct_solution(CsrOperator(system.lhs), system.rhs, factor)
        return replace(direct, x=system.expand(direct.x))
    fixed, ordered = system.factor_fixed(), system.in_locality_order()

    def tell(record: PcgRound) -> None:
        if monitor is not None:
            monitor("round", {"round": record.round, "error": record.error_estimate})

    with one_blas_thread() if ordered.by_products else nullcontext():
        solution = solve_pcg(
            ordered.operator, ordered.rhs, ordered.preconditioner(fixed), options=options,
            error_bound=ordered.bound(prepared.variances, fixed), monitor=tell,
        )  # fmt: skip
    solution = ordered.as_laid_out(solution)
    if not solution.converged:
        raise NotConverged(
            f"PCG stopped after {len(solution.rounds)} rounds with {options.criterion} at {_reached(solution):.1e}, above "
            f"{options.tolerance:g} -> allow more rounds, or a larger tolerance",
            solution,
        )
    return replace(solution, x=system.expand(solution.x))


def _reached(solution: Solution) -> float:
    """Where the criterion stood at the end."""
    last = solution.rounds[-1]
    if solution.criterion != "error":
        return float(getattr(last, solution.criterion))
    return float("nan") if last.error_estimate is None else (last.error_bound or last.error_estimate)


def _direct_solution(operator: CsrOperator, rhs: NDArray[np.float64], factor: CholeskyFactor) -> Solution:
    """A solution by factor, refined by its accurate residual, with the criteria that apply."""
    x = factor.solve(rhs)
    residual = np.empty_like(rhs)
    change = 0.0
    for _ in range(REFINEMENTS):
        operator.residual(rhs, x, residual)
        step = factor.solve(residual)
        x = x + step
        change = _ratio(step, x)
    operator.residual(rhs, x, residual)
    relative = _ratio(residual, rhs)
    if not (np.isfinite(x).all() and relative <= DIRECT_RESIDUAL):
        raise NumericalError(
            f"the solution by Cholesky factor leaves a relative residual of {relative:.1e}: the equations are too near to "
            "singular, or values too large -> centre and scale covariates and trait"
        )
    record = PcgRound(0, relative, relative**2, change, None, None)
    return Solution(x, (record,), True, "cholesky", "direct", 0.0)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> float:
    size = float(np.linalg.norm(whole))
    return float(np.linalg.norm(part)) / size if size > 0 else 0.0


def _evaluation(
    prepared: Prepared, layout: EquationLayout, solution: Solution, inverse: list[NDArray[np.float64]] | None
) -> Evaluation:
    design = prepared.design
    counts = {
        "records_read": design.counts.read,
        "records_used": design.counts.used,
        "records_without_trait": design.counts.without_trait,
        "records_without_effect": design.counts.without_effect,
        "animals": max((term.relationship.animals for term in design.random if term.relationship), default=0),
        "genotyped": max(
            (
                term.relationship.genomic.rows.size
                for term in design.random
                if term.relationship and term.relationship.genomic
            ),
            default=0,
        ),
        "equations": layout.size,
        "nonzeros": prepared.pattern.nonzeros,
    }
    observed = design.observed
    effects = {
        term.name: random_effects(
            layout, k, prepared.variances, solution.x, None if inverse is None else inverse[k], observed
        )
        for k, term in enumerate(layout.terms)
        if term.kind == "random"
    }
    of_fixed = None if inverse is None else np.concatenate([np.empty(0), *inverse[: len(design.fixed)]])
    return Evaluation(
        model=prepared.model,
        variances=prepared.variances,
        genetic=genetic_table(list(effects.values()), prepared.options.accuracy),
        fixed_effects=fixed_table(layout, prepared.constraints, solution.x, of_fixed),
        effects=effects,
        relationships=prepared.relationships,
        solution=solution,
        plan=prepared.plan,
        accuracy_scale=prepared.options.accuracy,
        base=_base_in_words(prepared.relationships),
        notes=prepared.notes,
        counts=counts,
        seconds={},
        backend=design.table.backend,
        duals=duals_by_term(layout, solution),
    )


def _base_in_words(relationships: Mapping[str, RelationshipInverse]) -> str:
    """What a breeding value of 0 means before any other base is asked for."""
    if not relationships:
        return "none: no random term has a relationship"
    kinds = {one.groups.kind for one in relationships.values() if one.groups is not None}
    if "fixed" in kinds:
        return (
            "breeding values are relative to groups of unknown parents that were set to 0: only their differences count"
        )
    if kinds:
        return "the expected breeding value of groups of unknown parents is 0"
    if all(relationship.parents for relationship in relationships.values()):
        return "the expected breeding value of animals without known parents is 0"
    return "expected breeding values are 0 under the relationships given"
