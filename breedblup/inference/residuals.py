"""Residuals of records, and how far each record determines its own fitted value.

The conditional residual ê = y - Xb̂ - Zû has the variance R - WC⁻¹W', the marginal one y - Xb̂ is what is left before
the random effects. The leverage of a value is ∂ŷ/∂y, the diagonal of H = WC⁻¹W'R⁻¹. Their sum are the effective degrees
of freedom of the fit (Hodges & Sargent 2001): p for p fixed effects alone, more as random effects are shrunk less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import counted
from breedblup.frames import give_back
from breedblup.inference.printed import table_lines
from breedblup.mme.incidence import build_slots
from breedblup.mme.record_sums import fitted_values, leverages
from breedblup.reml.point import Point
from breedblup.reml.score import inverse_values

_Vector = NDArray[np.float64]

QUANTILES = {"min": 0.0, "q1": 0.25, "median": 0.5, "q3": 0.75, "max": 1.0}

NO_VARIANCE = 1e-10
"""A residual whose variance is below this share of R is zero whatever the record: it has no studentised value."""


@dataclass(frozen=True)
class Residuals:
    """Residuals of the records in use, n × traits each, NaN where a trait is missing.

    Attributes
    ----------
    observed
        y.
    conditional, marginal
        y - Xb̂ - Zû and y - Xb̂.
    scaled
        Conditional residuals in units of their residual standard deviation √(R/w).
    rows
        Row of each record in the table that it came from.
    traits
        Their names.
    backend
        Library of the tables.
    """

    observed: _Vector
    conditional: _Vector
    marginal: _Vector
    scaled: _Vector
    rows: NDArray[np.int64]
    traits: tuple[str, ...]
    backend: str = "polars"

    @cached_property
    def table(self) -> Any:
        """row, trait, observed, fitted, conditional, marginal, scaled: one row for each value, trait by trait within records."""
        columns = {
            "observed": self.observed,
            "fitted": self.observed - self.conditional,
            "conditional": self.conditional,
            "marginal": self.marginal,
            "scaled": self.scaled,
        }
        return give_back(_by_value(self.rows, self.traits, columns), self.backend)

    @cached_property
    def quantiles(self) -> Any:
        """trait, min, q1, median, q3, max of the scaled residuals, as lme4 prints them (R's quantiles of type 7)."""
        found = [
            {"trait": trait} | {name: float(np.nanquantile(self.scaled[:, t], q)) for name, q in QUANTILES.items()}
            for t, trait in enumerate(self.traits)
        ]
        return give_back(pl.DataFrame(found), self.backend)

    def __repr__(self) -> str:
        numbers = (~np.isnan(self.observed)).sum(axis=0).tolist()
        counts = ", ".join(f"{trait} {counted(n, 'value')}" for trait, n in zip(self.traits, numbers, strict=True))
        return "\n".join(
            [f"Residuals ({counts}), quantiles of scaled ones; all in .table", *table_lines(self.quantiles)]
        )


def _by_value(rows: NDArray[np.int64], traits: tuple[str, ...], columns: Mapping[str, _Vector]) -> pl.DataFrame:
    """n × traits arrays as columns, a row for each value that the first of them has."""
    r, t = np.nonzero(~np.isnan(next(iter(columns.values()))))
    of = {"row": rows[r], "trait": pl.Series(traits, dtype=pl.String).gather(t)}
    return pl.DataFrame(of | {name: values[r, t] for name, values in columns.items()})


def residuals_of(point: Point) -> Residuals:
    """Residuals at a point."""
    problem = point.problem
    observed = problem.design.observed
    fixed_only = np.where(np.arange(point.x.size) < point.layout.fixed_size, point.x, 0.0)
    predicted = fitted_values(problem.incidence, build_slots(point.layout), problem.dropped, fixed_only)

    def known(values: _Vector) -> _Vector:
        found = np.where(observed, values, np.nan)
        found.flags.writeable = False
        return found

    return Residuals(
        problem.design.y,
        known(point.residuals),
        known(problem.y - predicted),
        known(point.residuals / np.sqrt(residual_variances(point))),
        problem.design.rows,
        problem.design.traits,
        problem.design.table.backend,
    )


def residual_variances(point: Point) -> _Vector:
    """R/w of each value, n × traits."""
    problem = point.problem
    rows, classes = problem.incidence.rows, problem.incidence.classes
    of_pattern = np.array([
        point.variances.residual_matrix(classes[p] if classes else None).diagonal() for p in range(len(rows.observed))
    ])  # fmt: skip
    return np.asarray(of_pattern[rows.pattern] / rows.roots**2)


@dataclass(frozen=True)
class Leverages:
    """How far records determine their own fitted values.

    Attributes
    ----------
    values
        Diagonal of H, n × traits, NaN where a trait is missing.
    studentised
        Conditional residuals in units of their own standard deviation, √diag(R - WC⁻¹W'); NaN where that is 0.
    effective_df
        Sum of the values by trait.
    rows, traits
        Row of each record in the table that it came from, and names.
    backend
        Library of the table.
    """

    values: _Vector
    studentised: _Vector
    effective_df: _Vector
    rows: NDArray[np.int64]
    traits: tuple[str, ...]
    backend: str = "polars"

    @cached_property
    def table(self) -> Any:
        """row, trait, leverage, studentised (null where it is not defined): one row for each value."""
        table = _by_value(self.rows, self.traits, {"leverage": self.values, "studentised": self.studentised})
        return give_back(table.with_columns(pl.col("studentised").fill_nan(None)), self.backend)

    def __repr__(self) -> str:
        table = pl.DataFrame(
            {
                "trait": self.traits,
                "values": (~np.isnan(self.values)).sum(axis=0),
                "effective_df": self.effective_df,
                "mean": np.nanmean(self.values, axis=0),
                "max": np.nanmax(self.values, axis=0),
            }
        )
        return "\n".join(["Leverages, by trait; all in .table", *table_lines(table)])


def leverages_of(point: Point) -> Leverages:
    """Leverages and studentised residuals, by the selected inverse.

    Those of maximum likelihood take C⁻¹ with fixed effects too, as residuals do.
    """
    problem = point.problem
    pattern = problem.pattern.pattern
    blocks = leverages(
        problem.incidence, point.layout, problem.dropped, (pattern.pointer, pattern.indices), _inverse(point)
    )
    hat = np.einsum("nij,nji->ni", blocks, point.residual_inverses[problem.incidence.rows.pattern])
    weighted = np.einsum("nii->ni", blocks) / problem.incidence.rows.roots**2
    variances = residual_variances(point)
    left = variances - weighted
    observed = problem.design.observed
    usable = observed & (left > NO_VARIANCE * variances)
    studentised = np.where(usable, point.residuals / np.sqrt(np.where(usable, left, 1.0)), np.nan)
    values = np.where(observed, hat, np.nan)
    design = problem.design
    return Leverages(
        values, studentised, np.nansum(values, axis=0), design.rows, design.traits, design.table.backend
    )  # fmt: skip


def _inverse(point: Point) -> _Vector:
    """C⁻¹ on the pattern of C, also where the likelihood has the random part alone."""
    if point.random_factor is None:
        return inverse_values(point)
    pattern = point.problem.pattern
    return np.asarray(point.factor.inverse_on(pattern.pattern.matrix(pattern.values)).data)
