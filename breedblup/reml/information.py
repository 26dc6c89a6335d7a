"""The asymptotic covariance of estimates from the average, observed or expected information."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import ModelError, NotPositiveDefinite, NumericalError
from breedblup.reml.estimates import Estimates
from breedblup.reml.fit import Maximum
from breedblup.reml.options import Information
from breedblup.reml.point import point_at
from breedblup.reml.score import score_at

STEP = 1e-3
"""Steps of the central differences that give the observed information, in standard errors: their error is some 1e-6 of it."""

NO_INFORMATION = 1e-12
"""A direction whose information is this share of the largest, on the scale of correlations, has none."""


def estimates_of(maximum: Maximum, kind: Information) -> Estimates:
    """Estimates at a maximum.

    Raises
    ------
    NumericalError
        If the records hold no information on some combination of the parameters, or if other than the average information is
        asked for at a singular covariance matrix, where the likelihood has no second derivatives.
    """
    point, space = maximum.point, maximum.point.problem.space
    basis = space.free_basis(point.theta)
    at_floor = [block for block in space.blocks if block.name in maximum.floor]
    held = [i for block in at_floor for i in range(block.slice.start, block.slice.stop)]
    basis = basis[:, ~np.any(basis[held] != 0.0, axis=0)]
    along = basis.T @ maximum.information @ basis
    if kind != "average":
        observed = _observed(maximum, basis, along)
        along = observed if kind == "observed" else 2.0 * along - observed
    covariance = basis @ inverse_information(along, kind) @ basis.T
    status = tuple(
        "boundary" if i in held and one == "free" else one for i, one in enumerate(space.status(point.theta))
    )
    return Estimates(space, point.theta, 0.5 * (covariance + covariance.T), status, kind)


def inverse_information(information: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """The inverse; `NumericalError` where the matrix is singular on the scale of correlations."""
    scale = np.sqrt(np.maximum(information.diagonal(), 0.0))
    scale[scale == 0.0] = 1.0
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    if values.size and values[0] < NO_INFORMATION * max(values[-1], 0.0):
        other = "" if kind == "average" else ", or ask for the average information"
        raise NumericalError(
            f"the {kind} information matrix of the variances is singular: the records cannot tell some of them apart -> leave a "
            f"term out, tie parameters, or fix one{other}"
        )
    inverse: NDArray[np.float64] = (vectors / values) @ vectors.T / np.outer(scale, scale)
    return inverse


def _observed(maximum: Maximum, basis: NDArray[np.float64], along: NDArray[np.float64]) -> NDArray[np.float64]:
    """½ ∂g/∂θ along the free directions, by central differences."""
    problem, theta = maximum.point.problem, maximum.point.theta
    found = np.empty_like(along)
    steps = STEP / np.sqrt(along.diagonal())
    for j, step in enumerate(steps):
        try:
            ends = [score_at(point_at(problem, theta + sign * step * basis[:, j])).values for sign in (1.0, -1.0)]
        except (ModelError, NotPositiveDefinite, NumericalError, ValueError) as failure:
            raise NumericalError(
                "the observed information is asked for beside the boundary of the parameter space, where it does not exist -> "
                "ask for the average information"
            ) from failure
        found[j] = basis.T @ (ends[0] - ends[1]) / (4.0 * step)
    return 0.5 * (found + found.T)
