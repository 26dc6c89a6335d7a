"""The likelihood as other programs print it: the same but for constants."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from breedblup.errors import ModelError
from breedblup.mme.constraints import FixedPart
from breedblup.reml.point import Point
from breedblup.reml.problem import RemlProblem

Convention = Literal["asreml", "lme4", "blupf90", "invariant"]

CONVENTIONS: tuple[Convention, ...] = ("asreml", "lme4", "blupf90", "invariant")

LOG_2_PI = float(np.log(2.0 * np.pi))


def log_likelihood(point: Point, convention: Convention) -> float:
    """Log-likelihood at a point by the convention of a program.

    Parameters
    ----------
    convention
        ``asreml``: without constants. ``blupf90``: the same; -2 times that differs from what AIREMLF90 prints by a constant that
        pedigree and X alone decide, so compare differences between models of the same records, fixed part and pedigree.
        ``lme4``: with -(N - p)/2 log 2π for REML, -N/2 log 2π for ML. ``invariant``: that of lme4 with ½ log|X'X| of the
        columns kept added, which does not depend on how effects are coded (Harville 1974).

    Raises
    ------
    ModelError
        If there is no such convention.
    """
    if convention not in CONVENTIONS:
        raise ModelError(f"the convention is {convention!r}; it can be {', '.join(map(repr, CONVENTIONS))}")
    plain = -0.5 * point.minus2_log_l
    if convention in ("asreml", "blupf90"):
        return plain
    problem = point.problem
    reml = problem.likelihood == "reml"
    with_constant = plain - 0.5 * (problem.values - (problem.rank if reml else 0)) * LOG_2_PI
    if convention == "lme4" or not reml:
        return with_constant
    return with_constant + 0.5 * _logdet_of_fixed(problem)


def _logdet_of_fixed(problem: RemlProblem) -> float:
    """log|X'X| of the columns that were kept."""
    total = 0.0
    unweighted = replace(problem.design, weights=None)
    for t in range(len(problem.design.traits)):
        part = FixedPart.of(unweighted, problem.plain, t)
        if part.terms:
            dropped = np.flatnonzero(np.isin(part.equations, problem.constraints.equations))
            total += part.factor(part.incidence.rows.values, dropped).logdet()
    return total
