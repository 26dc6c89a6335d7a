"""Profile likelihood: -2 log L as a function of one component, all others at their best.

The interval holds the values that a likelihood-ratio test does not reject: those whose -2 log L is less than a quantile of χ²₁
above its minimum (Venzon and Moolgavkar 1988, Appl. Stat. 37:87). Unlike an estimate ± 2 SE it respects boundaries and is the
same on every scale. A limit is found on the signed root ζ = ±√(rise of -2 log L), which is nearly linear in the component
(Bates and Watts 1988), by inverse interpolation inside a bracket.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import chi2

from breedblup.errors import ModelError
from breedblup.inference.expressions import parse_expression
from breedblup.inference.functions import checked_level, derive
from breedblup.inference.profile_limits import Curve, limit_beyond
from breedblup.reml.estimates import Estimates
from breedblup.variances import MatrixBlock, Tie

Refit = Callable[[Mapping[str, float], Sequence[Tie]], float]
"""-2 log L at its lowest with some parameters held at values, and others at multiples of each other."""


@dataclass(frozen=True)
class Profile:
    """The profile likelihood of a component or of a function.

    Attributes
    ----------
    name
        What it is of.
    estimate, minus2_log_l
        Where -2 log L is lowest, and its value there.
    level
        Of confidence.
    lower, upper
        Limits; a boundary of the parameter space where a test does not reject that, infinite where nothing is rejected.
    frame
        value, minus2_log_l, zeta (signed root of the difference to the lowest), ascending.
    refits
        How often the other components were estimated anew.
    notes
        What has to be said of the limits.
    """

    name: str
    estimate: float
    minus2_log_l: float
    level: float
    lower: float
    upper: float
    frame: Any
    refits: int
    notes: tuple[str, ...]

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper limit."""
        return self.lower, self.upper

    def __repr__(self) -> str:
        limits = f"{100 * self.level:g} % by profile likelihood {self.lower:.6g} to {self.upper:.6g}"
        shown = f"{self.name} = {self.estimate:.6g}, {limits}"
        return "\n".join([f"{shown} ({self.refits} refits)", *(f"  {note}" for note in self.notes)])


def profile_component(
    estimates: Estimates, minus2_log_l: float, name: str, refit: Refit, *, level: float = 0.95, points: int = 8
) -> Profile:
    """Profile likelihood of an element of a covariance matrix.

    Parameters
    ----------
    estimates, minus2_log_l
        Of a fit.
    name
        Of a parameter, such as ``animal`` or ``animal[2,1]``.
    refit
        Called with ``{name: value}`` and no ties; 0 for a variance is its boundary.
    level
        Of confidence.
    points
        Values on a grid between the limits, for a plot; 0 for none.

    Raises
    ------
    ModelError
        The name is unknown, or the parameter is fixed or tied.
    NotConverged
        A refit is better than the fit, which was not at its maximum.
    """
    i = estimates.space.index_of(name)
    if estimates.status[i] in ("fixed", "tied"):
        raise ModelError(f"{name!r} is {estimates.status[i]}, so it has no profile; name a parameter that is estimated")
    limits, attained = _limits_of(estimates, i)
    return profile_of(
        lambda value: refit({name: value}, ()),
        float(estimates.theta[i]),
        minus2_log_l,
        math.sqrt(max(float(estimates.covariance[i, i]), 0.0)) or 0.1 * _scale_of(estimates, i),
        name=name,
        limits=limits,
        attained=(attained, True),
        level=level,
        points=points,
    )


def profile_ratio(
    estimates: Estimates, minus2_log_l: float, expression: str, refit: Refit, *, level: float = 0.95, points: int = 8
) -> Profile:
    """Profile likelihood of a ratio n/(n + d) of two components, such as ``animal / (animal + residual)``.

    Holding it at h ties one component to the other, n = h/(1 - h) d; holding it at 0 is the boundary n = 0.

    Parameters
    ----------
    expression
        The ratio; see `parse_expression`.
    refit
        Called with a tie, or with ``{name: 0.0}`` and none.
    estimates, minus2_log_l, level, points
        As `profile_component` takes them.

    Raises
    ------
    ModelError
        The expression is no such ratio of two variances that are estimated.
    NotConverged
        A refit is better than the fit, which was not at its maximum.
    """
    above, below = _two_components(estimates, expression)
    space = estimates.space

    def at(value: float) -> float:
        if value == 0.0:
            return refit({space.names[above]: 0.0}, ())
        return refit({}, (Tie(space.names[above], space.names[below], value / (1.0 - value)),))

    derived = derive(estimates, expression)
    return profile_of(
        at, derived.estimate, minus2_log_l, derived.se or 0.05, name=expression, limits=(0.0, 1.0), attained=(True, False),
        level=level, points=points,
    )  # fmt: skip


def profile_of(
    refit: Callable[[float], float],
    estimate: float,
    minus2_log_l: float,
    step: float,
    *,
    name: str,
    limits: tuple[float, float] = (-math.inf, math.inf),
    attained: tuple[bool, bool] = (True, True),
    level: float = 0.95,
    points: int = 8,
) -> Profile:
    """Profile likelihood of anything that a model can be refitted at values of.

    Parameters
    ----------
    refit
        -2 log L at its lowest with the value held.
    estimate, minus2_log_l
        Where -2 log L is lowest, and its value there.
    step
        About a standard error: where the search begins.
    name
        What it is of.
    limits, attained
        Of the values that are possible, and whether these limits themselves are.
    level, points
        As `profile_component` takes them.

    Raises
    ------
    NotConverged
        A refit is better than the fit, which was not at its maximum.
    """
    root = math.sqrt(float(chi2.ppf(checked_level(level), 1)))
    curve = Curve(refit, estimate, minus2_log_l, name)
    lower, said_below = limit_beyond(curve, -step, root, limits[0], attained[0])
    upper, said_above = limit_beyond(curve, step, root, limits[1], attained[1])
    if points and math.isfinite(upper - lower):
        for value in np.linspace(lower, upper, points + 2).tolist():
            curve.zeta(value)
    frame = pl.DataFrame(
        {"value": list(curve.found), "minus2_log_l": list(curve.found.values())}, schema_overrides={"value": pl.Float64}
    ).sort("value")
    rise = (pl.col("minus2_log_l") - minus2_log_l).clip(lower_bound=0.0).sqrt()
    frame = frame.with_columns(zeta=rise * (pl.col("value") - estimate).sign())
    notes = tuple(note for note in (said_below, said_above) if note)
    return Profile(name, estimate, minus2_log_l, level, lower, upper, frame, len(curve.found) - 1, notes)


def _limits_of(estimates: Estimates, i: int) -> tuple[tuple[float, float], bool]:
    """What a parameter may be (a variance from 0; limits of the user's), and whether it can be held at the lower limit.

    That is not so for 0 as the variance of a residual, or of one effect among others.
    """
    parameter, restrictions = estimates.space.parameters[i], estimates.space.restrictions
    place = int(np.flatnonzero(restrictions.roots == i)[0])
    given = float(restrictions.lower[place]), float(restrictions.upper[place])
    if parameter.row != parameter.column or given[0] > 0.0:
        return given, True
    block = _block_of(estimates, i)
    return (0.0, given[1]), block.order == 1 and not block.is_residual


def _scale_of(estimates: Estimates, i: int) -> float:
    """The size of a parameter without a standard error: that of its matrix, or of all variances where that is zero."""
    space, parameter = estimates.space, estimates.space.parameters[i]
    variances = space.matrix(estimates.theta, _block_of(estimates, i)).diagonal()
    own = math.sqrt(float(variances[parameter.row] * variances[parameter.column]))
    if own:
        return own
    return float(np.mean([space.matrix(estimates.theta, block).diagonal().mean() for block in space.blocks]))


def _block_of(estimates: Estimates, i: int) -> MatrixBlock:
    """The matrix that a parameter is an element of."""
    return next(block for block in estimates.space.blocks if block.slice.start <= i < block.slice.stop)


def _two_components(estimates: Estimates, expression: str) -> tuple[int, int]:
    """Positions of n and d of a ratio n/(n + d)."""
    parsed = parse_expression(expression, estimates.space)
    parameters = [estimates.space.parameters[i] for i in parsed.components]
    if len(parameters) == 2 and all(one.row == one.column for one in parameters):
        for above, below in (parsed.components, parsed.components[::-1]):
            trial = np.zeros((3, estimates.space.size))
            trial[:, above], trial[:, below] = (1.0, 3.0, 0.5), (1.0, 1.0, 7.0)
            if np.allclose(parsed.values(trial), trial[:, above] / (trial[:, above] + trial[:, below])):
                return above, below
    raise ModelError(
        f"{expression!r} is no ratio n / (n + d) of two variances, which alone can be held by a tie; profile its components, "
        "or use fit.sample, which draws from the distribution of the estimates"
    )
