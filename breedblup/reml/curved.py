"""A longer way to the end of a step: single variances are moved along a curve on which the likelihood is nearly quadratic.

The likelihood of a variance θ that q levels tell of behaves as q log τ + S/τ with τ = θ + c, c what the records add of their
own. The two numbers τ and S follow from the derivative g = q/τ - S/τ² and the average information, 2I = S/τ³:

    2Iτ² + gτ - q = 0.

In 1/τ the Newton step by average information ends at the maximum, τ = S/q, in one round; in θ it falls short by (1 - τq/S)²,
which from far off means many rounds of doubling. A step d in θ becomes d/(1 - d/τ).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from breedblup.reml.steps import Step
from breedblup.variances.parameters import ParameterSpace
from breedblup.variances.structures import FixedValue

FARTHEST = 0.9
"""Largest d/τ: a variance is made at most ten times as large, in its τ, at once."""

NEAR = 0.05
"""Steps d/τ up to this are left straight."""


def curved_end(
    space: ParameterSpace,
    step: Step,
    gradient: NDArray[np.float64],
    information: NDArray[np.float64],
    levels: Sequence[int],
) -> NDArray[np.float64] | None:
    """The end of a step with its single variances bent; None where nothing is bent.

    Parameters
    ----------
    levels
        By block: columns that the covariance matrix is the variance of.
    """
    straight = step.at(1.0)
    bent = straight.copy()
    tied = bool(space.ties) or bool(space.bounds)
    for block, q in zip(space.blocks, levels, strict=True):
        i = block.first
        before = float(step.theta0[i])
        if tied or block.order > 1 or isinstance(block.structure, FixedValue) or before == 0.0:
            continue
        g, curvature = float(gradient[i]), 2.0 * float(information[i, i])
        if curvature <= 0.0:
            continue
        tau = (np.sqrt(g * g + 4.0 * curvature * q) - g) / (2.0 * curvature)
        if straight[i] == 0.0:  # beyond the boundary, which for the variance by itself may lie farther off
            bent[i] = max(before + curvature * tau**3 / q - tau, 0.0)
            continue
        share = min((straight[i] - before) / tau, FARTHEST)
        if abs(share) > NEAR:
            bent[i] = before + share * tau / (1.0 - share)
    scalars = [block.first for block in space.blocks if block.order == 1]
    return None if np.array_equal(bent, straight) or (bent[scalars] < 0.0).any() else bent
