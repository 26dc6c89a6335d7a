"""Weights that turn the coefficients of a random regression into values along its curve.

The value of a curve at t is φ(t)'û, the sum over a range Σφ(t)'û, the difference of two points (φ(s) - φ(t))'û: each is a
linear combination of the coefficients of one trait and one group of levels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from breedblup.design import DesignTerm
from breedblup.design.basis import basis_values
from breedblup.errors import ModelError, name_some, nearest
from breedblup.formula.tokens import number_text

WHOLE = 1e-9
"""How far a number of steps may be from a whole number and be taken for rounding."""


MOST_STEPS = 100_000
"""Of a sum over a range: three hundred years of days."""


class WeightedSum(NamedTuple):
    """A combination of the coordinates of a term: what its rows are called, and a weight for each coordinate."""

    name: str
    trait: str
    weights: NDArray[np.float64]


class CurveValue(NamedTuple):
    """Points on a curve, each with a factor, that add up to one value."""

    name: str
    points: NDArray[np.float64]
    factors: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AtPoints:
    """Breeding values along the curve of a random regression: rows called ``at 60``, with groups ``direct at 60``.

    Parameters
    ----------
    points
        Distinct numbers in the unit of the covariate, within the limits of its basis.
    term
        Key of the random term; None is the only one that has a relationship.
    trait
        None is each of the term's traits.
    group
        ``direct``, ``maternal``, …; None is each by itself.
    """

    points: Iterable[float]
    term: str | None = None
    trait: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        try:
            points = tuple(finite_number(point, "a point of AtPoints") for point in self.points)
        except TypeError:
            raise ModelError(f"AtPoints takes a list of points, found {self.points!r}") from None
        if not points:
            raise ModelError("AtPoints has no points; give at least one")
        repeated = [point for k, point in enumerate(points) if point in points[:k]]
        if repeated:
            raise ModelError(f"AtPoints has the point {repeated[0]:g} more than once")
        object.__setattr__(self, "points", points)

    def values(self) -> Iterator[CurveValue]:
        """One value a point."""
        for point in self.points:
            yield CurveValue(f"at {number_text(point)}", np.array([point]), np.ones(1))


@dataclass(frozen=True, slots=True)
class SumOverRange:
    """Sum of the curve of a random regression over points in equal steps: ``sum 5 to 305``, a 305-day yield.

    Parameters
    ----------
    first, last
        Both included, in the unit of the covariate.
    step
        Distance of the points; a whole number of steps leads from first to last.
    term, trait, group
        As in `AtPoints`.
    """

    first: float
    last: float
    step: float = 1.0
    term: str | None = None
    trait: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        for field in ("first", "last", "step"):
            object.__setattr__(self, field, finite_number(getattr(self, field), f"{field} of SumOverRange"))
        if self.last <= self.first or self.step <= 0:
            raise ModelError(
                f"SumOverRange goes up from first to last, found {self.first:g} to {self.last:g} in steps of {self.step:g}"
            )
        steps = (self.last - self.first) / self.step
        if steps > MOST_STEPS:
            raise ModelError(
                f"SumOverRange from {self.first:g} to {self.last:g} in steps of {self.step:g} adds up {steps:.2g} points; "
                f"at most {MOST_STEPS:,} -> take longer steps"
            )
        if abs(steps - round(steps)) > WHOLE * steps:
            raise ModelError(
                f"SumOverRange from {self.first:g} in steps of {self.step:g} passes over {self.last:g} "
                f"-> end at {self.first + math.floor(steps) * self.step:g}, or change the step"
            )

    def values(self) -> Iterator[CurveValue]:
        """The sum."""
        steps = round((self.last - self.first) / self.step)
        name = f"sum {number_text(self.first)} to {number_text(self.last)}"
        if self.step != 1.0:
            name += f" by {number_text(self.step)}"
        yield CurveValue(name, np.linspace(self.first, self.last, steps + 1), np.ones(steps + 1))


@dataclass(frozen=True, slots=True)
class Difference:
    """Value of the curve of a random regression at a later point less that at an earlier one: persistency, ``280 less 60``.

    Parameters
    ----------
    later, earlier
        In the unit of the covariate.
    term, trait, group
        As in `AtPoints`.
    """

    later: float
    earlier: float
    term: str | None = None
    trait: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        for field in ("later", "earlier"):
            object.__setattr__(self, field, finite_number(getattr(self, field), f"{field} of Difference"))
        if self.later <= self.earlier:
            raise ModelError(
                f"the later point of Difference has to be above the earlier, found {self.later:g} and {self.earlier:g}"
            )

    def values(self) -> Iterator[CurveValue]:
        """The difference."""
        name = f"{number_text(self.later)} less {number_text(self.earlier)}"
        yield CurveValue(name, np.array([self.later, self.earlier]), np.array([1.0, -1.0]))


Curve: TypeAlias = AtPoints | SumOverRange | Difference


def finite_number(value: object, what: str) -> float:
    """A finite number, NumPy's included."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.integer | np.floating)
        or not math.isfinite(value)
    ):
        raise ModelError(f"{what} must be a finite number, found {value!r}")
    return float(value)


def curve_sums(curve: Curve, term: DesignTerm) -> list[WeightedSum]:
    """Weights of the coordinates of a term: group outer, then value, then trait.

    Raises
    ------
    ModelError
        If the term has no such group or trait, no covariate or several, or a point lies outside the limits of its basis.
    """
    chosen = _chosen(curve, term)
    groups = dict.fromkeys(group for group, _ in chosen)
    return [
        WeightedSum(" ".join(filter(None, (group, value.name))), trait, _weights(value, term, places))
        for group in groups
        for value in curve.values()
        for (of_group, trait), places in chosen.items()
        if of_group == group
    ]


def _chosen(curve: Curve, term: DesignTerm) -> dict[tuple[str, str], list[int]]:
    """Coordinates of each group and trait that are asked for and have a covariate."""
    _check_known(curve.group, [function.group for function in term.functions], "group of levels", term)
    _check_known(curve.trait, [coordinate.trait for coordinate in term.coordinates], "trait", term)
    parts: dict[tuple[str, str], list[int]] = {}
    columns: dict[str, None] = {}
    for k, (coordinate, function) in enumerate(zip(term.coordinates, term.functions, strict=True)):
        if curve.group in (None, function.group) and curve.trait in (None, coordinate.trait):
            parts.setdefault((function.group, coordinate.trait), []).append(k)
            columns |= {} if function.column is None else {function.column: None}
    if not columns:
        raise ModelError(
            f"no effect of {term.name!r} that is asked for depends on a covariate, so there is no curve -> name a term with a "
            "random regression"
        )
    if len(columns) > 1:
        raise ModelError(
            f"effects of {term.name!r} depend on the covariates {name_some(columns)}, and a point is a value of one "
            "-> choose a trait or a group that has one of them, or give the weights in a Combination"
        )
    return {part: places for part, places in parts.items() if any(term.functions[k].column for k in places)}


def _check_known(name: str | None, known: list[str], what: str, term: DesignTerm) -> None:
    """Refuse a group or trait that the term does not have."""
    if name is None or name in known:
        return
    there = [other for other in dict.fromkeys(known) if other]
    found = f"it has {name_some(there)}" if there else "it has one, without a name; leave the group out"
    raise ModelError(f"{term.name!r} has no {what} {name!r}{nearest(name, there)} ({found})")


def _weights(value: CurveValue, term: DesignTerm, places: list[int]) -> NDArray[np.float64]:
    """Sum of the functions at the points of a value, for the coordinates of one group and trait; 0 for the others."""
    weights = np.zeros(len(term.coordinates))
    for k in places:
        _, column, basis, place = term.functions[k]
        if column is None:
            weights[k] = value.factors.sum()
            continue
        try:
            values = basis_values(basis, value.points)
        except ModelError as refusal:
            raise ModelError(f"{value.name!r} of {term.name!r}: {refusal}") from None
        weights[k] = value.factors @ values[:, place]
    return weights
