"""The residual: one covariance matrix, or one for each class of records, divided by weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from breedblup.errors import ModelError
from breedblup.model.checks import checked_names
from breedblup.model.fixed import FixedPart
from breedblup.model.random import Random


@dataclass(frozen=True, slots=True)
class Residual:
    """Residual covariance R of the traits of a record, and what changes it from record to record.

    Parameters
    ----------
    weights
        Column of weights w for all traits, or (trait, column) pairs: residual variance R/w, covariance R/√(w₁w₂).
    classes
        Factors whose observed combinations have a residual variance (matrix) of their own.
    """

    weights: str | tuple[tuple[str, str], ...] | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", checked_names(self.classes, "the classes of Residual"))
        if self.weights is None:
            return
        if isinstance(self.weights, str):
            checked_names((self.weights,), "the weights of Residual")
            return
        pairs = self.weights.items() if isinstance(self.weights, Mapping) else self.weights
        try:
            listed = tuple((trait, column) for trait, column in pairs)
        except (TypeError, ValueError):
            raise ModelError(
                f"weights are the name of a column, or a column for each of some traits; found {self.weights!r}"
            ) from None
        checked_names([trait for trait, _ in listed], "the traits of weights", at_least=1)
        for _, column in listed:
            checked_names((column,), "the weights of Residual")
        object.__setattr__(self, "weights", listed)

    def weight_of(self, trait: str) -> str | None:
        """Column of weights of a trait."""
        if self.weights is None or isinstance(self.weights, str):
            return self.weights
        return dict(self.weights).get(trait)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it needs."""
        weights = (
            () if self.weights is None
            else (self.weights,) if isinstance(self.weights, str)
            else tuple(column for _, column in self.weights)
        )  # fmt: skip
        return (*weights, *self.classes)


Parts: TypeAlias = tuple[tuple[str, ...], tuple[FixedPart, ...], tuple[Random, ...], Residual]
"""Traits, fixed terms, random terms and residual, as `Model` takes them."""
