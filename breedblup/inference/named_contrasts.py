"""Contrasts of fixed effects that a user writes by the names of the effects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError, name_some, nearest
from breedblup.inference.contrasts import (
    ESTIMABLE,
    Contrasts,
    FTest,
    degrees_of_freedom,
    estimate_contrasts,
    joint_test,
    two_sided_p,
)
from breedblup.inference.fixed import effect_labels
from breedblup.inference.printed import table_lines
from breedblup.reml.estimates import Estimates
from breedblup.reml.point import Point
from breedblup.reml.problem import RemlProblem

EXAMPLE = "{'M - F': {('sex', 'M'): 1, ('sex', 'F'): -1}}"

EffectName: TypeAlias = str | tuple[str, ...]
"""Term, level and trait as the table of fixed effects has them; the level of a covariate, and the trait of a model with one
trait, are left out."""


@dataclass(frozen=True)
class ContrastTests:
    """Contrasts one by one, and all at once.

    Attributes
    ----------
    table
        contrast, estimate, se, df (Satterthwaite), t, p (two-sided), note. A contrast that records do not determine
        has nulls, and the note names the effects set to zero that it depends on.
    joint
        F test of all contrasts being 0; None where one of them cannot be estimated.
    """

    table: Any
    joint: FTest | None

    def __repr__(self) -> str:
        lines = ["Contrasts of fixed effects", *table_lines(self.table)]
        if self.joint is not None:
            df = f"{self.joint.numerator_df} and {self.joint.denominator_df:.5g}"
            lines.append(f"  all zero: F {self.joint.f:.5g} on {df} df, p {self.joint.p:.4g}")
        return "\n".join(lines)


def contrast_tests(point: Point, estimates: Estimates, contrasts: Mapping[str, Mapping[Any, float]]) -> ContrastTests:
    """Estimate and test contrasts of fixed effects.

    Parameters
    ----------
    point, estimates
        Solutions, and the variances with their covariance.
    contrasts
        By a name of the user's: coefficients by `EffectName`, ``{"G02 - G03": {("gen", "G02"): 1, ("gen", "G03"): -1}}``.
        Effects that are set to zero may stand in it.

    Raises
    ------
    ModelError
        If there is no such effect, or a coefficient is no finite number, or a contrast has none other than 0.
    """
    if not contrasts:
        raise ModelError("no contrasts are given -> give a table of coefficients of effects for each")
    rows = np.array([_row_of(point.problem, name, coefficients) for name, coefficients in contrasts.items()])
    found = estimate_contrasts(point, rows)
    usable = found.estimable
    estimate, se, df = (
        np.where(usable, one, np.nan)
        for one in (found.estimates, found.standard_errors, degrees_of_freedom(found, estimates))
    )
    with np.errstate(invalid="ignore"):
        t = estimate / se
    table = pl.DataFrame({
        "contrast": list(contrasts), "estimate": estimate, "se": se, "df": df, "t": t, "p": two_sided_p(t, df),
        "note": pl.Series(_reasons(point.problem, found), dtype=pl.String),
    })  # fmt: skip
    return ContrastTests(
        table.with_columns(pl.col(pl.Float64).fill_nan(None)), joint_test(found, estimates) if usable.all() else None
    )


def _row_of(problem: RemlProblem, name: str, coefficients: Any) -> NDArray[np.float64]:
    """Coefficients of the fixed equations in one contrast."""
    if not isinstance(coefficients, Mapping):
        raise ModelError(
            f"contrast {name!r}: found {coefficients!r} where a table of coefficients belongs -> write a name of your own, then "
            f"effects with their coefficients: {EXAMPLE}"
        )
    row = np.zeros(problem.plain.fixed_size)
    for effect, coefficient in coefficients.items():
        if isinstance(coefficient, bool) or not isinstance(coefficient, int | float) or not math.isfinite(coefficient):
            raise ModelError(f"contrast {name!r}: the coefficient of {effect!r} is {coefficient!r}, no finite number")
        row[_equation_of(problem, name, effect)] += coefficient
    if not row.any():
        raise ModelError(f"contrast {name!r}: no effect has a coefficient other than 0 -> write such as {EXAMPLE}")
    return row


def _equation_of(problem: RemlProblem, contrast: str, effect: EffectName) -> int:
    """The fixed equation of an effect."""
    name, *rest = (effect,) if isinstance(effect, str) else effect
    terms = [term.name for term in problem.design.fixed]
    where = f"contrast {contrast!r}"
    if name not in terms:
        hint = _level_hint(problem, name) or nearest(name, terms)
        raise ModelError(f"{where}: no fixed term {name!r}{hint} (there are {name_some(terms)})")
    k = terms.index(name)
    term, traits = problem.design.fixed[k], problem.design.traits
    labels = effect_labels(term)
    if len(labels.unique()) == 1 and not labels[0]:
        rest = ["", *rest]
    if len(traits) == 1 and len(rest) == 1:
        rest = [*rest, traits[0]]
    if len(rest) != 2:
        wanted = "(term, level)" if len(traits) == 1 else "(term, level, trait), without the level for a covariate"
        raise ModelError(f"{where}: {effect!r} names no single effect -> write {wanted}")
    level, trait = rest
    of_trait = np.array([one.trait for one in term.coordinates] * len(term.levels)) == trait
    places: NDArray[np.int64] = np.flatnonzero((labels == level).to_numpy() & of_trait)
    if not places.size:
        if not of_trait.any():
            raise ModelError(f"{where}: {name!r} has no effect on {trait!r}{nearest(trait, traits)}")
        known = labels.unique(maintain_order=True).to_list()
        raise ModelError(f"{where}: {name!r} has no level {level!r}{nearest(level, known)} (it has {name_some(known)})")
    return int(problem.plain.starts[k] + places[0])


def _level_hint(problem: RemlProblem, name: str) -> str:
    """How an effect is written that a user has named by its level alone, or as printed: term and level in one."""
    traits = problem.design.traits
    for term in problem.design.fixed:
        for level in effect_labels(term).unique(maintain_order=True):
            if level and name in (level, f"{term.name} {level}", f"{term.name}{level}", f"{term.name}:{level}"):
                wanted = (term.name, level) if len(traits) == 1 else (term.name, level, traits[0])
                return f"; write {wanted!r}"
    return ""


def _reasons(problem: RemlProblem, found: Contrasts) -> list[str | None]:
    """Which effects set to zero a contrast depends on."""
    equations = problem.constraints.equations
    wrong = np.abs(found.missed) > ESTIMABLE * found.scale
    return [
        f"not estimable: depends on {', '.join(problem.plain.name(int(e)) for e in equations[one])}, set to zero"
        if one.any()
        else None
        for one in wrong
    ]
