"""The parametric bootstrap: variances estimated from responses that are simulated at those of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.analysis.responses import Drawer
from breedblup.errors import ModelError, NumericalError
from breedblup.frames import give_back
from breedblup.inference.expressions import parse_expression
from breedblup.inference.functions import checked_level
from breedblup.inference.printed import table_lines
from breedblup.reml.fit import maximise

if TYPE_CHECKING:
    from breedblup.analysis.reml_fit import RemlFit

_Array = NDArray[np.float64]

LEAST_REPLICATES = 2


@dataclass(frozen=True)
class Bootstrap:
    """Estimates from responses simulated at the estimates of a fit.

    Attributes
    ----------
    names
        Parameters, then expressions.
    estimates
        Of the fit.
    values
        Replicates × names; NaN where an expression has no value.
    failures
        Replicates whose likelihood found no maximum; they are left out of ``values``.
    seed
        Gives the same replicates again.
    """

    names: tuple[str, ...]
    estimates: _Array
    values: _Array
    failures: int
    seed: int
    backend: str

    def __post_init__(self) -> None:
        for array in (self.estimates, self.values):
            array.flags.writeable = False

    @property
    def replicates(self) -> Any:
        """A row for each replicate and a column for each name."""
        return give_back(pl.DataFrame({n: self.values[:, k] for k, n in enumerate(self.names)}), self.backend)

    def table(self, level: float = 0.95) -> Any:
        """name, estimate, mean, sd, bias, lower, upper; limits are quantiles (Efron & Tibshirani 1993, ch. 13)."""
        tail = 0.5 * (1.0 - checked_level(level))
        mean = np.nanmean(self.values, axis=0)
        lower, upper = np.nanquantile(self.values, [tail, 1.0 - tail], axis=0)
        frame = pl.DataFrame(
            {
                "name": self.names,
                "estimate": self.estimates,
                "mean": mean,
                "sd": np.nanstd(self.values, axis=0, ddof=1),
                "bias": mean - self.estimates,
                "lower": lower,
                "upper": upper,
            }
        )
        return give_back(frame, self.backend)

    def __repr__(self) -> str:
        failed = f", {self.failures} without a maximum left out" if self.failures else ""
        title = f"Bootstrap of {len(self.values):,} replicates{failed}, seed {self.seed}"
        return "\n".join([title, *table_lines(self.table()), "  limits: 95 %, quantiles; others by .table(level)"])


def parametric_bootstrap(
    fit: RemlFit, replicates: int = 200, *, seed: int = 0, expressions: Sequence[str] = ()
) -> Bootstrap:
    """Estimate the variances anew from responses simulated at those of a fit.

    Parameters
    ----------
    replicates
        Sets of responses: some hundreds for standard deviations, a thousand for limits.
    seed
        The same seed gives the same replicates.
    expressions
        Functions of the components beside these, as `derive` takes them.

    Raises
    ------
    ModelError
        If ``replicates`` is below 2, or an expression cannot be read.
    NumericalError
        If fewer than two replicates have a maximum.
    """
    if replicates < LEAST_REPLICATES:
        raise ModelError(f"bootstrap: replicates is {replicates}; give a whole number from {LEAST_REPLICATES}")
    space, problem = fit.estimates.space, fit.problem
    parsed = [parse_expression(text, space) for text in expressions]
    options = replace(fit.options, method="ai", max_rounds=None)
    inside = "boundary" not in fit.estimates.status and not space.singular(fit.estimates.theta)
    begin = fit.estimates.theta if inside else fit.history[0].theta
    random, drawer = np.random.default_rng(seed), Drawer.of(fit.point, conditional=False)
    found = []
    for _ in range(replicates):
        try:
            maximum = maximise(problem.with_y(drawer.draw(random)), begin, options)
        except NumericalError:
            continue
        if maximum.converged:
            found.append(maximum.point.theta)
    if len(found) < LEAST_REPLICATES:
        raise NumericalError(
            f"bootstrap: {len(found)} of {replicates} replicates have a maximum -> fit a simpler model, or look "
            "at the responses that simulate() gives"
        )
    theta = np.array(found)
    return Bootstrap(
        (*space.names, *expressions),
        np.concatenate([fit.estimates.theta, *(np.atleast_1d(one.values(fit.estimates.theta)) for one in parsed)]),
        np.column_stack([theta, *(one.values(theta) for one in parsed)]),
        replicates - len(found),
        seed,
        problem.design.table.backend,
    )
