"""The loop: rounds of average information within the parameter space, or of EM, until all criteria are met.

A round, by average information:

1. derivatives g of -2 log L and the average information I at the point (`breedblup.reml.score`);
2. the step d that is lowest on g'd + d'Id within the parameter space (`breedblup.reml.steps`): the Newton step where that is
   inside; single variances go there along a curve (`breedblup.reml.curved`);
3. the point at the step's end; halved until -2 log L is lower, and an EM step where that fails.

What is reported was solved at the variances that are reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import NotPositiveDefinite, NumericalError, counted
from breedblup.mme.record_sums import moments
from breedblup.reml.clock import Clock
from breedblup.reml.curved import curved_end
from breedblup.reml.em import WorkingMoments, check_em, em_update, px_em_update
from breedblup.reml.feasible import at_residual_floor
from breedblup.reml.options import RemlOptions
from breedblup.reml.point import Point, point_at
from breedblup.reml.problem import RemlProblem
from breedblup.reml.score import Score, average_information, score_at
from breedblup.reml.secants import Secant, with_secants
from breedblup.reml.steps import Step, constrained_step
from breedblup.solvers.selected_inverse import threads_for

_Vector = NDArray[np.float64]

HALVINGS = 8
"""Halvings of a step before an EM step is taken instead."""

SUFFICIENT = 1e-4
"""Share of the predicted decrease of -2 log L that a step has to bring."""

ROUNDED = 1e-12
"""A rise of -2 log L below this share of its largest part is rounding."""

STANDING = 6
"""Rounds without a gain after which a maximum is flat: parameters may still move along a direction that changes nothing."""

STALLED = 1e-6
"""A gain that the model promises and no step brings is put down to rounding up to this."""

LIFTED = 1e-7
"""By how much -2 log L may differ between singular matrices and those lifted by a hair."""

FAST = 0.15
"""Where a round leaves less of the gradient than this, average information alone is left to go on."""

NEAR = 1.0
"""A step that promised more than this in -2 log L is too long to tell of the curvature at its end."""

Monitor = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class RemlRound:
    """One round: where it stood, and how it went on.

    Attributes
    ----------
    minus2_log_l
        -2 log L at the parameters of the round, without (N - p) log 2π.
    gradient
        √(g'I⁻¹g)/2, the length of the derivative in units of standard errors.
    gain
        By how much the quadratic model promised to lower -2 log L.
    change
        Largest relative change of a parameter by the step that the model proposed.
    step
        What was done: ``AI``, ``AI / 4`` (a quarter of it), ``EM``, ``PX-EM``, ``converged``, ``stopped``.
    seconds
        By part: assembly, factorisation, solves, selected inverse, traces, step.
    """

    round: int
    minus2_log_l: float
    theta: _Vector
    gradient: float
    gain: float
    change: float
    step: str
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Maximum:
    """Where the likelihood is highest, as far as was found.

    Attributes
    ----------
    point
        At the parameters, exactly.
    score, information
        Derivatives of -2 log L and the average information there (singular matrices lifted by a hair).
    floor
        Residual matrices that are as small as they may be (`breedblup.reml.feasible.RESIDUAL_FLOOR`).
    reason
        In words: which criteria were met, or why it ended without.
    """

    point: Point
    score: Score
    information: _Vector
    history: tuple[RemlRound, ...]
    converged: bool
    reason: str
    floor: tuple[str, ...]


def maximise(
    problem: RemlProblem, start: _Vector, options: RemlOptions = RemlOptions(), monitor: Monitor | None = None
) -> Maximum:
    """Go up the likelihood from a point inside the parameter space.

    Raises
    ------
    ModelError
        If EM is asked for with a matrix of reduced rank.
    NotPositiveDefinite
        If the equations cannot be factorised at the start.
    NumericalError
        If derivatives are not finite at a point.
    """
    if options.method == "em":
        check_em(problem.space)
    with threads_for(problem.work):
        return _rounds(problem, start, options, monitor)


def _rounds(problem: RemlProblem, start: _Vector, options: RemlOptions, monitor: Monitor | None) -> Maximum:
    """As `maximise`."""
    history: list[RemlRound] = []
    clock, converged, reason = Clock(), False, f"no convergence in {counted(options.rounds, 'round')}"
    point = point_at(problem, start, clock=clock)
    before: tuple[_Vector, _Vector] | None = None
    secants: list[Secant] = []
    while True:
        score = score_at(point, clock)
        if before is not None and history[-1].gain < NEAR:
            secants.append(Secant(point.theta - before[0], 0.5 * (score.values - before[1])))
        information = average_information(point, clock)
        if not (np.isfinite(score.values).all() and np.isfinite(information).all()):
            raise NumericalError(
                f"the derivatives of the likelihood are not finite at the parameters of round {len(history)} -> look for records "
                "that other terms explain entirely, extreme covariates, or values too large; give starting values"
            )
        with clock.stage("step"):
            length = _gradient_length(problem, point.theta, score.values, information)
            slow = bool(history) and length > FAST * history[-1].gradient
            curvature = with_secants(information, secants) if slow else information
            step = constrained_step(problem.space, point.theta, score.values, curvature, start)
        change = _relative_change(problem, point.theta, step)
        record = RemlRound(
            len(history), point.minus2_log_l, point.theta, length, max(step.predicted, 0.0) + 0.0, change, "stopped", {}
        )
        stalled = step.predicted <= STALLED and _gained(history, point) <= options.gain
        converged = stalled or (step.predicted <= options.gain and change <= options.change)
        following, done = None, "converged"
        if not converged and len(history) < options.rounds:
            following, done = _go_on(point, score, information, step, options, clock)
            if following is None and step.predicted <= STALLED:
                converged = True
        if converged:
            reason = f"the last round gains {record.gain:.1e} and changes no parameter by more than {change:.1e}"
            reason += f"; the last {STANDING} have gained nothing" if stalled and change > options.change else ""
        elif following is None and len(history) < options.rounds:
            reason = "no step raises the likelihood further"
        done = "converged" if converged else done if following is not None else "stopped"
        history.append(replace(record, step=done, seconds=clock.seconds))
        if monitor is not None:
            monitor("round", {"round": record.round, "minus2_log_l": record.minus2_log_l, "gain": record.gain})
        if following is None:
            break
        before, point, clock = (point.theta, score.values), following, Clock()
    return Maximum(
        _last_point(point, step if converged else None), score, information, tuple(history), converged, reason,
        at_residual_floor(problem.space, point.theta, start),
    )  # fmt: skip


def _gained(history: list[RemlRound], point: Point) -> float:
    """By how much -2 log L fell in the last rounds."""
    return history[-STANDING].minus2_log_l - point.minus2_log_l if len(history) >= STANDING else np.inf


def _last_point(point: Point, step: Step | None) -> Point:
    """The point that is reported, made exactly: at the end of the last, short step unless rounding has the better of it."""
    if step is not None and step.predicted > 0.0:
        last = point_at(point.problem, step.at(1.0), exact=True)
        if last.minus2_log_l <= point.minus2_log_l + LIFTED:
            return last
    return point_at(point.problem, point.theta, exact=True)


def _go_on(
    point: Point, score: Score, information: _Vector, step: Step, options: RemlOptions, clock: Clock
) -> tuple[Point | None, str]:
    """The next point with a higher likelihood, and how it was found; none where nothing raises it."""
    if options.method != "ai":
        found, done = _by_em(point, score, options.method, clock)
        return (found, done) if found is not None or options.method == "em" else _by_em(point, score, "em", clock)
    bent = curved_end(point.problem.space, step, score.values, information, levels_of_blocks(point.problem))
    if bent is not None:
        found = _try(point, bent, SUFFICIENT * step.predicted, clock)
        if found is not None:
            return found, "AI"
    share = 1.0
    for _ in range(HALVINGS):
        found = _try(point, step.at(share), SUFFICIENT * share * step.predicted, clock)
        if found is not None:
            return found, "AI" if share == 1.0 else f"AI / {round(1 / share)}"
        share /= 2.0
    return _by_em(point, score, "em", clock)


def _by_em(point: Point, score: Score, method: str, clock: Clock) -> tuple[Point | None, str]:
    problem = point.problem
    with clock.stage("step"):
        if method == "em":
            theta = em_update(problem.space, point.theta, score.matrices, levels_of_blocks(problem))
        else:
            theta = px_em_update(
                problem.space, point.theta, score.matrices, levels_of_blocks(problem), _working_moments(point, score)
            )
    return _try(point, theta, 0.0, clock), method.upper()


def _working_moments(point: Point, score: Score) -> list[WorkingMoments]:
    """What parameter expansion needs of each random term."""
    problem, pattern = point.problem, point.problem.pattern.pattern
    return [
        WorkingMoments(
            point.root(k),
            moments(
                problem.incidence, point.layout, problem.plain_slots, problem.dropped, point.residual_inverses,
                (pattern.pointer, pattern.indices), score.inverse, point.x, k,
            ),
        )
        for k, term in enumerate(problem.layout.terms)
        if term.kind == "random"
    ]  # fmt: skip


def _try(point: Point, theta: _Vector, decrease: float, clock: Clock) -> Point | None:
    """A point, if -2 log L is lower there by enough."""
    try:
        found = point_at(point.problem, theta, clock=clock)
    except NotPositiveDefinite:
        return None
    parts = point.parts
    rounding = ROUNDED * max(abs(parts.residuals), abs(parts.equations), abs(parts.quadratic))
    lower = point.minus2_log_l - found.minus2_log_l
    return found if np.isfinite(lower) and lower >= decrease - rounding else None


def levels_of_blocks(problem: RemlProblem) -> list[int]:
    """How many independent columns each covariance matrix is the variance of: levels of a term, records of a residual class."""
    levels = [
        len(term.levels) - _fixed_rows(problem, k)
        for k, term in enumerate(problem.layout.terms)
        if term.kind == "random"
    ]
    codes = problem.design.residual_codes
    if codes is None:
        return [*levels, len(problem.y)]
    return [*levels, *np.bincount(codes, minlength=len(problem.residual_levels)).tolist()]


def _fixed_rows(problem: RemlProblem, k: int) -> int:
    """Rows of a term that are fixed groups of unknown parents."""
    relationship = problem.layout.terms[k].relationship
    if relationship is None or relationship.groups is None or relationship.groups.kind != "fixed":
        return 0
    return len(relationship.groups.names)


def _relative_change(problem: RemlProblem, theta: _Vector, step: Step) -> float:
    """Largest change of a parameter by a step, on the scale of its matrix."""
    sizes = np.empty(problem.space.size)
    for block in problem.space.blocks:
        scale = problem.scales[block.key]
        diagonal = np.maximum(problem.space.matrix(theta, block).diagonal(), 0.01 * scale)
        rows, columns = block.elements
        sizes[block.slice] = np.sqrt(diagonal[rows] * diagonal[columns])
    return float(np.max(np.abs(step.at(1.0) - theta) / sizes, initial=0.0))


def _gradient_length(problem: RemlProblem, theta: _Vector, gradient: _Vector, information: _Vector) -> float:
    """√(g'I⁻¹g)/2 along the directions in which the parameters are free."""
    basis = problem.space.free_basis(theta)
    along, curved = basis.T @ gradient, basis.T @ information @ basis
    squared = float(along @ np.linalg.lstsq(curved, along, rcond=None)[0])
    return 0.5 * float(np.sqrt(max(squared, 0.0)))
