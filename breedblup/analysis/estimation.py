"""From records to variances: the stages of `estimate_variances`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breedblup.analysis.preparation import built_inverses, bytes_of_incidence, check_kinds
from breedblup.analysis.progress import Monitor, Stopwatch
from breedblup.analysis.reml_fit import RemlFit
from breedblup.analysis.search import highest
from breedblup.design import Design, build_design
from breedblup.errors import ModelError, NotConverged, counted
from breedblup.frames import as_table
from breedblup.mme import (
    Constraints,
    EquationLayout,
    EquationPattern,
    build_incidence,
    constrain,
    count_pattern,
    group_equations,
)
from breedblup.mme.layout import independent_equations
from breedblup.model import Model
from breedblup.pedigree import Pedigree
from breedblup.plan import CSR_ENTRY, memory_budget, refuse_unless_fits
from breedblup.relationship import RelationshipInverse
from breedblup.relationship.single_step import as_stored
from breedblup.reml.checks import check_estimable, never_together, never_together_notes
from breedblup.reml.feasible import RESIDUAL_FLOOR
from breedblup.reml.fit import Maximum
from breedblup.reml.information import estimates_of
from breedblup.reml.moments import moments_of
from breedblup.reml.options import RemlOptions
from breedblup.reml.problem import RemlProblem
from breedblup.reml.start import checked_start, expected_scales, starting_values
from breedblup.solvers.cholesky import SymbolicFactor, analyse
from breedblup.variances import Bound, ParameterSpace, Tie, VarianceComponents
from breedblup.variances.structures import Structure


@dataclass(frozen=True)
class PreparedEstimation:
    """All that is known before the first round.

    Attributes
    ----------
    start
        Where the first round begins, inside the parameter space.
    relationships
        K⁻¹ by the column whose levels it relates.
    bytes
        Memory by stage.
    """

    model: Model
    options: RemlOptions
    problem: RemlProblem
    start: NDArray[np.float64]
    relationships: Mapping[str, RelationshipInverse]
    bytes: Mapping[str, int]
    notes: tuple[str, ...]
    seconds: Mapping[str, float]


def estimate_variances(
    model: Model,
    records: Any,
    relationships: Mapping[str, Pedigree | RelationshipInverse] | None = None,
    *,
    start: VarianceComponents | None = None,
    structures: Mapping[str, Structure] | None = None,
    bounds: Sequence[Bound] = (),
    ties: Sequence[Tie] = (),
    options: RemlOptions = RemlOptions(),
    monitor: Monitor | None = None,
) -> RemlFit:
    """Variance components by restricted maximum likelihood, or by maximum likelihood.

    Parameters
    ----------
    model
        What is fitted.
    records
        Any data frame, or a `Table` that was read from a file.
    relationships
        A `Pedigree` (A⁻¹ is built) or a `RelationshipInverse` by the column whose levels it relates.
    start
        Where to begin; found from simple moments unless given.
    structures
        Of the covariance matrix of a random term by its key, or of the ``residual``: `Unstructured` (unless given), `Diagonal`,
        `ReducedRank`, `FixedValue`.
    bounds, ties
        Limits of single elements of covariance matrices, and multiples that some are of others.
    monitor
        Told of stages and rounds.

    Raises
    ------
    InputError
        If records cannot be used as they are.
    ModelError
        If model, structures and relationships do not fit together, or a component cannot be estimated.
    NotConverged
        If the criteria were not met in the rounds allowed.
    ResourceError
        If the factor does not fit the machine's memory.
    """
    prepared = prepare_estimation(
        model, records, relationships, start=start, structures=structures, bounds=bounds, ties=ties, options=options,
        monitor=monitor,
    )  # fmt: skip
    return estimate_prepared(prepared, monitor=monitor)


def prepare_estimation(
    model: Model,
    records: Any,
    relationships: Mapping[str, Pedigree | RelationshipInverse] | None = None,
    *,
    start: VarianceComponents | None = None,
    structures: Mapping[str, Structure] | None = None,
    bounds: Sequence[Bound] = (),
    ties: Sequence[Tie] = (),
    options: RemlOptions = RemlOptions(),
    monitor: Monitor | None = None,
) -> PreparedEstimation:
    """Everything up to the first round: check, code, assemble, plan. Arguments and errors as for `estimate_variances`."""
    check_kinds(model, relationships, options, RemlOptions)
    table = as_table(records, "records")
    watch = Stopwatch(monitor)
    with watch.stage("relationships", "inbreeding and relationships"):
        inverses, notes = built_inverses(model, table, relationships or {}, options)
        inverses = {name: as_stored(inverse) for name, inverse in inverses.items()}
    with watch.stage("design", f"coding {len(table):,} records"):
        design = build_design(model, table, inverses, missing_effects=options.missing_effects)
        model = design.model
        _refuse_fixed_groups_in_ml(design, options)
        levels = () if design.residual_levels is None else tuple(design.residual_levels.to_list())
        space = ParameterSpace.of(model, levels, structures, bounds, ties, never_together(design))
        plain = EquationLayout.of(design.terms)
        constraints = constrain(design, plain)
    with watch.stage("start", "checking what can be estimated, starting values"):
        moments = moments_of(design, plain, constraints, space)
        check_estimable(design, space, moments, constraints.rank + _estimated_groups(plain, constraints))
        no_notes: tuple[str, ...] = ()
        if start is None:
            begin, of_start = starting_values(design, space, moments), no_notes
        else:
            begin, of_start = checked_start(start, model, design, space, moments)
    with watch.stage("equations", "assembling the equations"):
        scales = expected_scales(design, moments)
        problem, stored = _problem(design, space, constraints, scales, options)
    notes += design.notes + never_together_notes(design) + of_start + constraints.notes(plain)
    return PreparedEstimation(model, options, problem, space.pack(begin), inverses, stored, notes, watch.seconds)


def estimate_prepared(prepared: PreparedEstimation, *, monitor: Monitor | None = None) -> RemlFit:
    """The second half of `estimate_variances`: rounds, standard errors, and the result.

    Raises
    ------
    NotConverged
        If the criteria were not met in the rounds allowed.
    """
    watch = Stopwatch(monitor)
    with watch.stage("rounds", f"estimating {counted(prepared.problem.space.size, 'parameter')}"):
        maximum, found = highest(prepared.model, prepared.problem, prepared.start, prepared.options, monitor)
    if not maximum.converged:
        last = maximum.history[-1]
        raise NotConverged(
            f"REML stopped after {counted(last.round, 'round')} at -2 log L {last.minus2_log_l:.6f}, where a further round "
            f"promised {last.gain:.1e}: {maximum.reason} -> allow more rounds, give starting values, or fit a simpler model"
            + "".join(f"; {note}" for note in _floor_notes(maximum)),
            maximum,
        )
    with watch.stage("information", "standard errors"):
        estimates = estimates_of(maximum, prepared.options.information)
    notes = prepared.problem.space.singular(estimates.theta) + _floor_notes(maximum) + found
    seconds = dict(prepared.seconds) | watch.seconds
    return RemlFit(
        prepared.model, prepared.options, estimates, maximum, prepared.relationships, prepared.notes + notes, seconds
    )


def _floor_notes(maximum: Maximum) -> tuple[str, ...]:
    """What has to be said where the likelihood rises towards a singular residual."""
    return tuple(
        f"{name}: on its boundary, the least residual that is allowed ({RESIDUAL_FLOOR:g} of what was expected for some "
        "combination of traits): the other terms explain the records, and the likelihood may have no maximum -> leave a term "
        "out, or look for records that repeat each other, and for traits that are functions of each other"
        for name in maximum.floor
    )


def _problem(
    design: Design,
    space: ParameterSpace,
    constraints: Constraints,
    scales: Mapping[str, NDArray[np.float64]],
    options: RemlOptions,
) -> tuple[RemlProblem, dict[str, int]]:
    """The equations, analysed, with the bytes that they take."""
    budget = memory_budget(options.memory_bytes)
    needed = bytes_of_incidence(EquationLayout.of(design.terms), design)
    refuse_unless_fits("coding the records for the equations", needed, budget, "give more memory")
    random = [block for block in space.blocks if not block.is_residual]
    roots = {block.key: np.eye(block.order) for block in random}
    layout = EquationLayout.factored(design.terms, roots, {block.key: np.tril(block.mask) for block in random})
    counts = count_pattern(build_incidence(design, layout), layout, constraints.equations)
    refuse_unless_fits("assembling the equations", needed + counts.bytes, budget, "give more memory")
    pattern = EquationPattern.of(counts, layout, constraints)
    matrix = pattern.pattern.matrix(pattern.values)
    symbolic = analyse(matrix, independent_equations(layout))
    random_symbolic: SymbolicFactor | None = None
    if options.likelihood == "ml" and layout.fixed_size < layout.size:
        random_symbolic = analyse(matrix[layout.fixed_size :, layout.fixed_size :])
    stored = {
        "records": needed,
        "equations": (CSR_ENTRY + 8) * pattern.nonzeros,
        "factor": symbolic.bytes_with_inverse + (0 if random_symbolic is None else random_symbolic.bytes_with_inverse),
        "working variates": 3 * 8 * space.size * (design.y.size + layout.size),
    }
    refuse_unless_fits(
        f"estimating variances with a factor of {symbolic.nonzeros:,} entries", sum(stored.values()), budget,
        "give more memory, or estimate from a part of the records",
    )  # fmt: skip
    return RemlProblem(
        design, space, layout, constraints, pattern, symbolic, random_symbolic, scales, options.likelihood
    ), stored


def _estimated_groups(layout: EquationLayout, constraints: Constraints) -> int:
    """Effects of fixed groups of unknown parents that are estimated."""
    return int(group_equations(layout).size - constraints.groups.size)


def _refuse_fixed_groups_in_ml(design: Design, options: RemlOptions) -> None:
    """Fixed groups stand among the random equations, whose determinant ML needs without them."""
    for term in design.random:
        groups = None if term.relationship is None else term.relationship.groups
        if options.likelihood == "ml" and groups is not None and groups.kind == "fixed":
            raise ModelError(
                f"{term.name}: ML with fixed groups of unknown parents is not there -> use REML, or random groups "
                "(group_inverse(pedigree, ratio=...))"
            )
