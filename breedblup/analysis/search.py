"""Which starts the rounds are begun from, and which of the maxima that they end at is taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from breedblup.analysis.progress import Monitor
from breedblup.analysis.spaces import other_space
from breedblup.errors import NumericalError
from breedblup.model import Model
from breedblup.reml.feasible import strictly_feasible
from breedblup.reml.fit import Maximum, maximise
from breedblup.reml.options import RemlOptions
from breedblup.reml.point import point_at
from breedblup.reml.problem import RemlProblem
from breedblup.variances import ReducedRank, Unstructured
from breedblup.variances.boundary import null_vectors

SMALL = 1e9
"""Operations of a round up to which a maximum on the boundary is looked at from a second start."""

SHARES = (3.0, 0.3)
"""Of a second start: times the random variances, and the residual ones, of the first."""

HIGHER = 1e-4
"""By how much -2 log L of another maximum has to be lower to be taken."""


def highest(
    model: Model, problem: RemlProblem, start: NDArray[np.float64], options: RemlOptions, monitor: Monitor | None
) -> tuple[Maximum, tuple[str, ...]]:
    """The highest maximum found, with what has to be said of the search.

    Matrices of reduced rank are no convex set: they are first estimated without that limit. Where that ends within the rank it
    is the maximum, and elsewhere its largest eigenvalues are the start.

    A small problem whose maximum lies on the boundary, or was not found, is begun a second time with most of the variance in the
    random terms: the likelihood of few records can have two maxima.
    """
    maximum, notes = _relaxed_first(model, problem, start, options, monitor)
    space = problem.space
    inside = maximum.converged and not space.singular(maximum.point.theta)
    if inside or problem.work > SMALL or options.method != "ai":
        return maximum, notes
    for other in _second_starts(problem, start):
        try:
            found = maximise(problem, other, options, monitor)
        except NumericalError:
            continue
        gained = maximum.point.minus2_log_l - found.point.minus2_log_l
        if found.converged and (gained > HIGHER or not maximum.converged):
            if maximum.converged:
                notes += (f"the likelihood has two maxima: the one reported is higher by {gained:.4g} of -2 log L",)
            maximum = found
    return maximum, notes


def _second_starts(problem: RemlProblem, start: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    theta = start.copy()
    for block in problem.space.blocks:
        theta[block.slice] *= SHARES[block.is_residual]
    yield strictly_feasible(problem.space, theta)


def _relaxed_first(
    model: Model, problem: RemlProblem, start: NDArray[np.float64], options: RemlOptions, monitor: Monitor | None
) -> tuple[Maximum, tuple[str, ...]]:
    """As `highest`, from one start."""
    space = problem.space
    limited = {block.name: block.structure.rank for block in space.blocks if isinstance(block.structure, ReducedRank)}
    if not limited or options.method != "ai":
        return maximise(problem, start, options, monitor), ()
    wide = other_space(model, problem, dict.fromkeys(limited, Unstructured()))
    relaxed = maximise(replace(problem, space=wide), strictly_feasible(wide, start), options, monitor)
    theta = relaxed.point.theta
    matrices = {block.name: wide.matrix(theta, block) for block in wide.blocks if block.name in limited}
    ranks = {
        name: int(np.count_nonzero(matrix.diagonal())) - null_vectors(matrix).shape[1]
        for name, matrix in matrices.items()
    }
    if relaxed.converged and all(ranks[name] <= limited[name] for name in limited):
        point = point_at(problem, theta, exact=True)
        said = ", ".join(f"{name!r} has rank {rank}" for name, rank in ranks.items())
        return replace(relaxed, point=point), (f"without a limit of rank the matrix of {said}: the limit is not felt",)
    return maximise(problem, strictly_feasible(space, theta), options, monitor), ()
