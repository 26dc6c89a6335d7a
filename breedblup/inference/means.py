"""Predicted means of the levels of factors, with standard errors, and of their differences.

Marginal means of the fixed part (Searle, Speed & Milliken 1980): levels of the other factors weighted equally
whatever the numbers of records, covariates at their mean over the records of the trait, random effects at 0. Standard
errors are those of estimates of the fixed effects; a mean that takes what records do not determine is null and says
so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import t as t_distribution

from breedblup.errors import ModelError, ResourceError, counted, nearest
from breedblup.frames import as_table
from breedblup.inference.contrasts import (
    Contrasts,
    degrees_of_freedom,
    estimate_contrasts,
    satterthwaite,
    two_sided_p,
    within_rounding,
)
from breedblup.inference.grid import Means, TraitFactors, means_of_trait
from breedblup.inference.printed import MOST_ROWS, table_lines
from breedblup.model import Model
from breedblup.reml.estimates import Estimates
from breedblup.reml.point import Point

_Vector = NDArray[np.float64]

MEANS = 500
"""Most means at once: the table of differences has half the square of it."""

PAIRS_AT_ONCE = 2000
"""Differences that are judged at once."""

AVERAGES = {
    "trait": pl.String, "average_sed": pl.Float64, "minimum_sed": pl.Float64, "maximum_sed": pl.Float64, "lsd": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True)
class PredictedMeans:
    """Means, and their differences.

    Attributes
    ----------
    means
        trait, a column for each factor, mean, se, df, lower, upper (95 % confidence limits), note.
    differences
        trait, level, other (levels joined by ``:``), difference, sed, df, t, p: the first less the second. p is of
        each by itself, not adjusted for their number.
    averages
        trait, average_sed (of all differences that can be estimated), minimum_sed, maximum_sed, lsd (least
        significant difference at 5 %: t of the mean degrees of freedom times average_sed).
    notes
        What was averaged over, and where covariates stand.
    """

    means: Any
    differences: Any
    averages: Any
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        lines = ["Predicted means", *table_lines(self.means), *(f"  {note}" for note in self.notes)]
        differences = as_table(self.differences, "differences").frame
        if differences.height > MOST_ROWS:
            lines += ["Differences: averages of all", *table_lines(self.averages)]
        elif differences.height:
            lines += ["Differences", *table_lines(differences)]
        return "\n".join(lines)


def predicted_means(
    model: Model,
    point: Point,
    estimates: Estimates,
    by: str | Sequence[str] = (),
    *,
    at: Mapping[str, float] | None = None,
    traits: Sequence[str] = (),
) -> PredictedMeans:
    """Marginal means of a fixed factor, or of the combinations of several.

    Parameters
    ----------
    model
        That was fitted.
    point, estimates
        Solutions, and the variances with their covariance.
    by
        Names of factors (columns of the records) in fixed terms; none gives the mean over all.
    at
        Values of covariates in their own units; the others stand at their mean over the records of the trait.
    traits
        Of which traits; none for all.

    Raises
    ------
    ModelError
        If a trait is unknown, or has no such fixed factor or covariate.
    ResourceError
        If there are more than `MEANS` means, or too many combinations of levels have to be averaged together.
    """
    factors = (by,) if isinstance(by, str) else tuple(by)
    for name in traits:
        if name not in model.traits:
            raise ModelError(
                f"the model has no trait {name!r}{nearest(name, model.traits)} (it has {', '.join(model.traits)})"
            )
    tables: list[tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]] = []
    notes: list[str] = []
    for trait, name in enumerate(model.traits):
        if not traits or name in traits:
            coded = TraitFactors.of(model, point.problem.design, trait)
            fixed = len(point.problem.design.fixed)
            asked = means_of_trait(coded, factors, at or {}, point.problem.plain.starts[: fixed + 1])
            notes += _notes(name, asked)
            tables.append(_tables(point, estimates, name, asked))
    means, differences, averages = (pl.concat(parts) for parts in zip(*tables, strict=True))
    return PredictedMeans(means, differences, averages, tuple(dict.fromkeys(notes)))


def _notes(trait: str, asked: Means) -> list[str]:
    found = [f"{trait}: random effects at 0"]
    for names, which in ((asked.averaged, "that may exist"), (asked.averaged_observed, "with records")):
        if names:
            found.append(f"{trait}: averaged over {', '.join(names)}, every combination {which} counting the same")
    if asked.covariates:
        found.append(f"{trait}: at {', '.join(f'{name} = {value:g}' for name, value in asked.covariates.items())}")
    return found


def _tables(
    point: Point, estimates: Estimates, trait: str, asked: Means
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Means, differences and averages of one trait."""
    if len(asked.rows) > MEANS:
        raise ResourceError(
            f"{trait}: {counted(len(asked.rows), 'mean')} asked for by {', '.join(asked.levels)}, more than {MEANS} at once "
            "-> ask for a factor of fewer levels"
        )
    found = estimate_contrasts(point, asked.rows)
    usable = found.estimable & ~asked.missing
    df = np.where(usable, degrees_of_freedom(found, estimates), np.nan)
    estimate, se = np.where(usable, found.estimates, np.nan), np.where(usable, found.standard_errors, np.nan)
    half = se * t_distribution.ppf(0.975, df)
    columns: dict[str, Any] = {"trait": pl.repeat(trait, len(usable), eager=True)} | asked.levels
    columns |= {"mean": estimate, "se": se, "df": df, "lower": estimate - half, "upper": estimate + half,
                "note": _reasons(found.estimable, asked.missing)}  # fmt: skip
    differences, averages = _differences(estimates, trait, asked, found)
    return _without_nan(pl.DataFrame(columns)), differences, averages


def _reasons(estimable: NDArray[np.bool_], missing: NDArray[np.bool_]) -> pl.Series:
    """Why a mean is null."""
    why = [
        "takes a combination of levels without records"
        if lacks
        else None
        if can
        else "not estimable: depends on effects set to zero"
        for can, lacks in zip(estimable, missing, strict=True)
    ]
    return pl.Series("note", why, dtype=pl.String)


def _differences(estimates: Estimates, trait: str, asked: Means, found: Contrasts) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All pairs of means, and what is averaged over them."""
    first, second = np.triu_indices(len(asked.rows), 1)
    usable = ~asked.missing[first] & ~asked.missing[second]
    usable &= _pairs_estimable(found, first, second)
    variance = _of_pairs(found.covariance, first, second)
    df = np.full(first.size, np.nan)
    if found.derivatives is not None:
        slopes = np.array([_of_pairs(one, first, second) for one in found.derivatives])
        df = np.where(usable, satterthwaite(variance, slopes, estimates), np.nan)
    estimate = np.where(usable, found.estimates[first] - found.estimates[second], np.nan)
    sed = np.where(usable, np.sqrt(np.maximum(variance, 0.0)), np.nan)
    t = estimate / sed
    names = (
        pl.select(pl.concat_str(list(asked.levels.values()), separator=":")).to_series()
        if asked.levels
        else pl.Series([""])
    )
    table = {
        "trait": pl.repeat(trait, first.size, eager=True), "level": names.gather(first), "other": names.gather(second),
        "difference": estimate, "sed": sed, "df": df, "t": t, "p": two_sided_p(t, df),
    }  # fmt: skip
    return _without_nan(pl.DataFrame(table)), _without_nan(pl.DataFrame([_averages(trait, sed, df)], schema=AVERAGES))


def _pairs_estimable(found: Contrasts, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the difference of two means can be estimated: what neither can be may cancel."""
    usable = np.empty(first.size, dtype=np.bool_)
    for begin in range(0, first.size, PAIRS_AT_ONCE):
        part = slice(begin, begin + PAIRS_AT_ONCE)
        one, other = first[part], second[part]
        missed, scale = found.missed[one] - found.missed[other], found.scale[one] + found.scale[other]
        usable[part] = within_rounding(missed, scale)
    return usable


def _of_pairs(matrix: _Vector, first: NDArray[np.int64], second: NDArray[np.int64]) -> _Vector:
    """(e_i - e_j)'M(e_i - e_j)."""
    diagonal = matrix.diagonal()
    return np.asarray(diagonal[first] + diagonal[second] - 2.0 * matrix[first, second])


def _averages(trait: str, sed: _Vector, df: _Vector) -> dict[str, str | float | None]:
    """Average, least and largest standard error of a difference, and the least significant difference."""
    known = sed[~np.isnan(sed)]
    if not known.size:
        return {"trait": trait}
    average = float(known.mean())
    lsd = average * float(t_distribution.ppf(0.975, df[~np.isnan(sed)].mean()))
    return {
        "trait": trait, "average_sed": average, "minimum_sed": float(known.min()), "maximum_sed": float(known.max()),
        "lsd": lsd,
    }  # fmt: skip


def _without_nan(table: pl.DataFrame) -> pl.DataFrame:
    """What was not computed is null."""
    return table.with_columns(pl.col(pl.Float64).fill_nan(None))
