"""The search for the limits of a profile likelihood: few refits, inverse interpolation on ζ = √(rise of -2 log L)."""

from __future__ import annotations

import math
from collections.abc import Callable

from breedblup.errors import NotConverged

ROUNDED = 1e-4
"""-2 log L may come out this much below that of the fit by rounding and the fit's own tolerance."""

CLOSE = 2e-3
"""A limit is found where the next guess is this near to a value that was tried, relative to its distance from the estimate."""

NEAR = 1e-3
"""Where a limit itself is not possible, values this near to it stand for it, relative to the distance of the estimate."""

MOST_REFITS = 30
"""Refits for one limit."""


class Curve:
    """-2 log L at values, each computed once."""

    def __init__(self, refit: Callable[[float], float], estimate: float, lowest: float, name: str) -> None:
        self.refit, self.estimate, self.lowest, self.name = refit, estimate, lowest, name
        self.found = {estimate: lowest}

    def zeta(self, value: float) -> float:
        """√ of the rise of -2 log L."""
        if value not in self.found:
            self.found[value] = self.refit(value)
        rise = self.found[value] - self.lowest
        if rise < -ROUNDED:
            raise NotConverged(
                f"the profile of {self.name!r} found a -2 log L that is {-rise:.3g} lower than that of the fit, at {value:g}: "
                "the fit was not at its maximum; start it from there",
                value,
            )
        return math.sqrt(max(rise, 0.0))


def limit_beyond(curve: Curve, step: float, root: float, bound: float, attained: bool) -> tuple[float, str]:
    """The value beyond the estimate, in the direction of a step, at which ζ meets its quantile; a note where there is none."""
    side = "lower" if step < 0.0 else "upper"
    if curve.estimate == bound:
        return bound, f"the estimate is at its {side} limit"
    known, value = [(0.0, curve.estimate)], curve.estimate + root * step
    for _ in range(MOST_REFITS):
        inside = known[-1][1]
        if (value - bound) * step >= 0.0:
            value = bound if attained else 0.5 * (inside + bound)
        known.append((curve.zeta(value), value))
        if known[-1][0] >= root:
            return _root_between(curve, known, root), ""
        if value == bound:
            return bound, f"{bound:g}, the {side} limit of what is possible, is not rejected"
        reach, wanted = value - curve.estimate, _expected(known, 1.05 * root) - curve.estimate
        value = curve.estimate + reach * min(max(wanted / reach, 1.3), 4.0)
        if abs(known[-1][1] - bound) < NEAR * abs(curve.estimate - bound):
            return (
                bound,
                f"{bound:g}, the {side} limit of what is possible, is not rejected as far as {known[-1][1]:.3g}",
            )
    return (bound if attained else value), f"no {side} limit was found in {MOST_REFITS} refits: -2 log L is nearly flat"


def _root_between(curve: Curve, known: list[tuple[float, float]], root: float) -> float:
    """Where ζ meets its quantile between the last two of the known pairs of ζ and value."""
    inner, outer = known[-2], known[-1]
    for _ in range(MOST_REFITS):
        value = _expected(known, root)
        if min(abs(value - pair[1]) for pair in (inner, outer)) <= CLOSE * abs(value - curve.estimate):
            return value
        low, high = sorted((inner[1], outer[1]))
        value = value if low < value < high else 0.5 * (low + high)
        known.append((curve.zeta(value), value))
        inner, outer = (known[-1], outer) if known[-1][0] < root else (inner, known[-1])
    return value


def _expected(known: list[tuple[float, float]], zeta: float) -> float:
    """The value at ζ, by the polynomial through the (at most three) known pairs that are nearest to it."""
    near = sorted(dict(known).items(), key=lambda pair: abs(pair[0] - zeta))[:3]
    total = 0.0
    for i, (own, value) in enumerate(near):
        total += value * math.prod((zeta - other) / (own - other) for k, (other, _) in enumerate(near) if k != i)
    return total
