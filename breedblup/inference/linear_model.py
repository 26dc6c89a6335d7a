"""What readers of R's `lm` look for in a model without random terms: residual standard error, R², adjusted R², F.

R² is that of R: about the weighted mean where the model has a constant, about zero where it has none (`summary.lm`),
and so is F.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import f as f_distribution

from breedblup.errors import ModelError
from breedblup.reml.point import Point


@dataclass(frozen=True, slots=True, repr=False)
class LinearModelSummary:
    """Fit of a linear model.

    Attributes
    ----------
    residual_se
        √(residual sum of squares / residual_df), in units of the trait.
    residual_df
        Records less the rank of X.
    r_squared, adjusted_r_squared
        Shares of the sum of squares; NaN where there is none to share.
    f, numerator_df, p
        Of all effects but the constant; the denominator has ``residual_df``. NaN where there is only a constant.
    has_constant
        Whether sums of squares are about the mean.
    """

    residual_se: float
    residual_df: int
    r_squared: float
    adjusted_r_squared: float
    f: float
    numerator_df: int
    p: float
    has_constant: bool

    def __str__(self) -> str:
        lines = [f"Residual standard error: {self.residual_se:.4g} on {self.residual_df} degrees of freedom"]
        if self.numerator_df:
            lines += [
                f"Multiple R-squared: {self.r_squared:.4f}, adjusted R-squared: {self.adjusted_r_squared:.4f}",
                f"F-statistic: {self.f:.4g} on {self.numerator_df} and {self.residual_df} df, p-value: {self.p:.4g}",
            ]
        return "\n".join(lines)

    __repr__ = __str__


def linear_model_summary(point: Point) -> LinearModelSummary:
    """Summarise a model without random terms.

    Parameters
    ----------
    point
        Solutions of the model; the variance that they stand at does not matter.

    Raises
    ------
    ModelError
        If the model has random terms, several traits, or residual variances by class: these are not R's linear
        models.
    """
    design = point.problem.design
    found = "random terms" if design.random else "several traits" if len(design.traits) > 1 else (
        "residual variances by class" if design.residual_levels is not None else None
    )  # fmt: skip
    if found:
        raise ModelError(
            "residual standard error, R² and F are those of a linear model with one trait and one residual variance; this "
            f"one has {found} -> look at fit.components and fit.wald"
        )
    weights = np.ones(len(design.y)) if design.weights is None else design.weights[:, 0]
    residuals = point.residuals[:, 0]
    fitted = design.y[:, 0] - residuals
    has_constant = any(term.constant for term in design.fixed)
    rank, n = point.problem.rank, len(weights)
    centre = float(np.average(fitted, weights=weights)) if has_constant else 0.0
    explained, left = float(weights @ (fitted - centre) ** 2), float(weights @ residuals**2)
    residual_df, model_df = n - rank, rank - has_constant
    return _summary(explained, left, residual_df, model_df, has_constant=has_constant)


def _summary(
    explained: float, left: float, residual_df: int, model_df: int, *, has_constant: bool
) -> LinearModelSummary:
    """From sums of squares and their degrees of freedom."""
    mean_square = left / residual_df if residual_df else float("nan")
    r_squared = adjusted = f = p = float("nan")
    if model_df and residual_df and explained + left > 0.0:
        r_squared = explained / (explained + left)
        adjusted = 1.0 - (1.0 - r_squared) * (residual_df + model_df) / residual_df
        f = explained / model_df / mean_square if left > 0.0 else float("inf")
        p = float(f_distribution.sf(f, model_df, residual_df))
    return LinearModelSummary(mean_square**0.5, residual_df, r_squared, adjusted, f, model_df, p, has_constant)
