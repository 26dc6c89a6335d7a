"""Tables of functions of variance components, with standard errors by the delta method and expressions that `derive` takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.design import Design
from breedblup.errors import ModelError
from breedblup.frames import as_table
from breedblup.inference.expression_trees import Linearised
from breedblup.inference.functions import delta_error, joint_covariance
from breedblup.inference.printed import table_lines
from breedblup.reml.estimates import Estimates
from breedblup.variances import ParameterSpace

FloatArray: TypeAlias = NDArray[np.float64]

_PLAIN_NAME = re.compile(r"[^\W\d]\w*(\[\d+,\d+\])?")


@dataclass(frozen=True)
class RatioTable:
    """Functions of variance components, one a row.

    Attributes
    ----------
    what
        What they are.
    frame
        What each row is of, then estimate, se, and the columns that the function which makes the table documents; polars, or in
        the library of the records where a fit hands it out.
    covariance
        k x k: of the sampling errors of the rows, by the delta method; NaN for rows without an estimate.
    notes
        What has to be known to read them.
    covariate
        What the points are values of, where there are points.
    """

    what: str
    frame: Any
    covariance: FloatArray
    notes: tuple[str, ...] = ()
    covariate: str = ""

    def __post_init__(self) -> None:
        self.covariance.flags.writeable = False

    @property
    def estimate(self) -> float:
        """The estimate, where there is a single row; `ModelError` where there are more."""
        return float(self._single("estimate"))

    @property
    def se(self) -> float | None:
        """The standard error, where there is a single row; `ModelError` where there are more."""
        value = self._single("se")
        return None if value is None else float(value)

    def _single(self, column: str) -> Any:
        rows = self._rows
        if rows.height != 1:
            raise ModelError(
                f"{self.what}: there are {rows.height} rows, so there is no single {column}; take it from .frame"
            )
        return rows[column][0]

    @property
    def _rows(self) -> pl.DataFrame:
        """The table in polars."""
        return as_table(self.frame, self.what).frame

    def __repr__(self) -> str:
        shown = self._rows.drop("expression", strict=False)
        if "plain" in shown.columns and np.allclose(shown["plain"], shown["scaled"], rtol=1e-4, atol=0.0):
            shown = shown.drop("plain", "plain_se", "scaled", "scaled_se")
        return "\n".join([self.what, *table_lines(shown), *(f"  {note}" for note in self.notes)])


class Ratio(NamedTuple):
    """A linear function of the parameters over another, as weights (p,); without a denominator it is linear."""

    numerator: FloatArray
    denominator: FloatArray | None = None

    def linearised(self, theta: FloatArray) -> Linearised:
        """Value and derivatives: (n - f d)/d'θ for f = n'θ/d'θ."""
        value = float(self.numerator @ theta)
        if self.denominator is None:
            return Linearised(value, self.numerator.copy())
        below = float(self.denominator @ theta)
        return Linearised(value / below, (self.numerator - value / below * self.denominator) / below)

    def text(self, space: ParameterSpace) -> str:
        """As an expression."""
        above = linear_text(space, self.numerator)
        if self.denominator is None:
            return above
        return f"{_bracketed(above)} / {_bracketed(linear_text(space, self.denominator))}"


class RatioRow(NamedTuple):
    """Labels of a row, with a ``note`` where there is one, and the ratio in its default scale, without K, and with mean K_ii."""

    labels: Mapping[str, Any]
    default: Ratio
    plain: Ratio
    scaled: Ratio


def tabulated_ratios(
    what: str, estimates: Estimates, design: Design, rows: Sequence[RatioRow], notes: Sequence[str]
) -> RatioTable:
    """The table of ratios, in their order; there is one at least."""
    theta, lines, gradients = estimates.theta, [], []
    for row in rows:
        default, labels = row.default.linearised(theta), dict(row.labels)
        said = labels.pop("note", "")
        gradients.append(default.gradient)
        se, note = delta_error(estimates, default.gradient)
        line = {**labels, "estimate": default.value, "se": se}
        for name, ratio in (("plain", row.plain), ("scaled", row.scaled)):
            own = ratio.linearised(theta)
            line |= {name: own.value, f"{name}_se": delta_error(estimates, own.gradient)[0]}
        line = {**line, "expression": row.default.text(estimates.space)}
        lines.append({**line, "note": "; ".join(filter(None, (said, note)))})
    frame = pl.DataFrame(lines, infer_schema_length=None)
    errors = [name for name in frame.columns if name.endswith("se")]
    frame = frame.with_columns(pl.col(errors).cast(pl.Float64))
    covariate = covariate_of(design) if "point" in frame.columns else ""
    return RatioTable(what, frame, joint_covariance(estimates, gradients), tuple(notes), covariate)


def covariate_of(design: Design) -> str:
    """Columns that the effects of random regressions are functions of."""
    columns = [f.column for term in design.random for f in term.functions if f.column is not None]
    return ", ".join(dict.fromkeys(columns))


def linear_text(space: ParameterSpace, weights: FloatArray) -> str:
    """A linear function of the parameters as an expression."""
    parts = []
    for name, weight in zip(space.names, weights.tolist(), strict=True):
        shown = name if _PLAIN_NAME.fullmatch(name) else f"`{name}`"
        if weight:
            parts.append(shown if weight == 1.0 else f"{weight!r} * {shown}")
    return " + ".join(parts)


def _bracketed(text: str) -> str:
    return text if _PLAIN_NAME.fullmatch(text) else f"({text})"
