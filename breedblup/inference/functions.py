"""Functions of variance components with standard errors by the delta method.

A function f of the parameters has var(f) = g'Vg to first order, g its derivatives at the estimates and V the covariance matrix
of the estimates (Lynch and Walsh 1998, appendix 1). Derivatives are exact. A component that is fixed, on its boundary or at a
limit of the user's adds no variance, and the result says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import norm

from breedblup.errors import ModelError
from breedblup.frames import give_back
from breedblup.inference.expression_trees import Linearised
from breedblup.inference.expressions import parse_expression
from breedblup.reml.estimates import Estimates
from breedblup.reml.options import Information

FloatMatrix: TypeAlias = NDArray[np.float64]

ROUNDED = 1e-12
"""A variance below this share of what its parts would give if they were uncorrelated is the rounding of a zero."""

REASONS = {
    "fixed": "has a value that was given",
    "boundary": "is on its boundary",
    "bound": "is at a limit that was given",
}
"""Why a parameter adds no variance, by its status."""


@dataclass(frozen=True)
class Derived:
    """A function of variance components at the estimates.

    Attributes
    ----------
    name, expression
        What it is called, and how it was written.
    estimate
        Its value.
    se
        Standard error by the delta method; None where there is none.
    gradient
        Derivatives by the parameters, p.
    information
        Matrix that the covariance of the estimates is the inverse of.
    note
        What its standard error leaves out, or why there is none; empty where there is nothing to say.
    """

    name: str
    expression: str
    estimate: float
    se: float | None
    gradient: FloatMatrix
    information: Information
    note: str

    def __post_init__(self) -> None:
        self.gradient.flags.writeable = False

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Estimate ± a normal quantile times the standard error; None without a standard error.

        Raises
        ------
        ModelError
            The level is not between 0 and 1.
        """
        width = norm.ppf(0.5 + 0.5 * checked_level(level))
        return None if self.se is None else (self.estimate - width * self.se, self.estimate + width * self.se)

    def __repr__(self) -> str:
        error = "no SE" if self.se is None else f"SE {self.se:.5g}, delta method, {self.information} information"
        named = self.expression if self.name == self.expression else f"{self.name} = {self.expression}"
        note = f"\n  {self.note}" if self.note else ""
        return f"{named} = {self.estimate:.6g} ({error}){note}"


@dataclass(frozen=True)
class DerivedTable:
    """Several functions of variance components, with the covariances of their sampling errors.

    Attributes
    ----------
    items
        One for each function.
    covariance
        k x k, by the delta method.
    backend
        Library of the table.
    """

    items: tuple[Derived, ...]
    covariance: FloatMatrix
    backend: str = "polars"

    def __post_init__(self) -> None:
        self.covariance.flags.writeable = False

    @property
    def frame(self) -> Any:
        """name, expression, estimate, se, note."""
        columns = {
            "name": pl.String,
            "expression": pl.String,
            "estimate": pl.Float64,
            "se": pl.Float64,
            "note": pl.String,
        }
        rows = [{column: getattr(item, column) for column in columns} for item in self.items]
        return give_back(pl.DataFrame(rows, schema=columns), self.backend)

    def __getitem__(self, name: str) -> Derived:
        for item in self.items:
            if item.name == name:
                return item
        raise ModelError(
            f"there is no function {name!r}; there are {', '.join(repr(item.name) for item in self.items)}"
        )

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.items))


@overload
def derive(estimates: Estimates, expressions: str) -> Derived: ...
@overload
def derive(estimates: Estimates, expressions: list[str] | tuple[str, ...] | Mapping[str, str]) -> DerivedTable: ...
def derive(
    estimates: Estimates, expressions: str | list[str] | tuple[str, ...] | Mapping[str, str]
) -> Derived | DerivedTable:
    """Functions of the variance components, with standard errors by the delta method.

    Parameters
    ----------
    estimates
        Of a fit.
    expressions
        One, such as ``"animal / (animal + residual)"`` (see `parse_expression`), or several: a list, or a table of names and
        expressions.

    Returns
    -------
    Derived or DerivedTable
        The table has covariances between the functions as well.

    Raises
    ------
    ModelError
        An expression cannot be read, or has no finite value at the estimates.

    Examples
    --------
    >>> derive(fit.estimates, "animal / (animal + residual)")  # doctest: +SKIP
    animal / (animal + residual) = 0.510171 (SE 0.074324, delta method, average information)
    """
    if isinstance(expressions, str):
        return _derived(estimates, expressions, expressions)
    pairs = expressions.items() if isinstance(expressions, Mapping) else [(text, text) for text in expressions]
    items = tuple(_derived(estimates, name, text) for name, text in pairs)
    if not items:
        raise ModelError("the list of expressions is empty; write at least one")
    return DerivedTable(items, joint_covariance(estimates, [item.gradient for item in items]))


def _derived(estimates: Estimates, name: str, text: str) -> Derived:
    expression = parse_expression(text, estimates.space)
    linearised = expression.linearised(estimates.theta)
    return with_error(estimates, name, text, linearised)


def with_error(estimates: Estimates, name: str, expression: str, linearised: Linearised) -> Derived:
    """A function of the parameters whose derivatives are known, with its standard error."""
    se, note = delta_error(estimates, linearised.gradient)
    return Derived(name, expression, linearised.value, se, linearised.gradient, estimates.information, note)


def delta_error(estimates: Estimates, gradient: FloatMatrix) -> tuple[float | None, str]:
    """Standard error √(g'Vg) of a function with derivatives g (p,), and what has to be said of it.

    There is none where the function has no derivative, or where everything that it depends on is held.
    """
    if not np.isfinite(gradient).all():
        return None, "no standard error: the function has no derivative at the estimates"
    if not gradient.any():
        return None, "no standard error: the value is the same whatever the components are"
    errors = np.sqrt(np.maximum(estimates.covariance.diagonal(), 0.0))
    used = np.flatnonzero(gradient).tolist()
    said = "; ".join(_said_of_held(estimates, i) for i in used if errors[i] == 0.0)
    variance = float(gradient @ estimates.covariance @ gradient)
    if variance <= ROUNDED * float(np.sum(np.square(gradient * errors))):
        why = said or "the components are held in one proportion to each other (ties, or a matrix of reduced rank)"
        return None, f"no standard error: {why}"
    return float(np.sqrt(variance)), said


def _said_of_held(estimates: Estimates, i: int) -> str:
    """Why a parameter adds no variance."""
    reason = REASONS.get(estimates.status[i], "is held by other parameters")
    return f"{estimates.space.names[i]} {reason} and adds no variance"


def joint_covariance(estimates: Estimates, gradients: Sequence[FloatMatrix]) -> FloatMatrix:
    """Covariances (k x k) of functions with these derivatives; NaN for functions without derivatives."""
    rows = np.stack(gradients)
    covariance: FloatMatrix = rows @ estimates.covariance @ rows.T
    undefined = ~np.isfinite(rows).all(axis=1)
    covariance[undefined] = covariance[:, undefined] = np.nan
    return covariance


def checked_level(level: float) -> float:
    """A level of confidence between 0 and 1."""
    if not isinstance(level, float) or not 0.0 < level < 1.0:
        raise ModelError(f"the level of an interval is a number between 0 and 1, such as 0.95; found {level!r}")
    return level
