"""Fixed terms: classes, regressions, and names whose meaning the data decide; each is checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from breedblup.errors import ModelError, name_some
from breedblup.model.bases import LINEAR, Basis
from breedblup.model.checks import checked_names


@dataclass(frozen=True, slots=True)
class Fixed:
    """Classes of one factor, or of the observed combinations of several; no factors: the intercept.

    ``traits`` are those that it affects; none stands for all of the model.
    """

    factors: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", checked_names(self.factors, "the factors of Fixed"))
        object.__setattr__(self, "traits", checked_names(self.traits, "the traits of Fixed"))

    @property
    def name(self) -> str:
        """``herd:year``, or ``(Intercept)``."""
        return ":".join(self.factors) or "(Intercept)"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the term needs."""
        return self.factors


INTERCEPT = Fixed(())


@dataclass(frozen=True, slots=True)
class Covariate:
    """Regression on the basis of a column; with ``within``, one regression per class of these factors.

    ``traits`` are those that it affects; none stands for all of the model.
    """

    column: str
    basis: Basis = LINEAR
    within: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checked_names((self.column,), "the column of Covariate")
        if not isinstance(self.basis, Basis):
            raise ModelError(f"the basis of Covariate must be a Basis, found {self.basis!r}")
        within = checked_names(self.within, "the factors within which Covariate is nested")
        object.__setattr__(self, "within", within)
        object.__setattr__(self, "traits", checked_names(self.traits, "the traits of Covariate"))
        if self.column in within:
            raise ModelError(f"{self.column!r} is both the covariate and a factor of the term {self.name!r}")

    @property
    def label(self) -> str:
        """The name without the factors: ``age``, ``poly(age, 2)``, ``leg(dim, 4)``."""
        return self.basis.label(self.column)

    @property
    def name(self) -> str:
        """The factors that it is nested in, and the label: ``herd:age``."""
        return ":".join((*self.within, self.label))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the term needs."""
        return (*self.within, self.column)


@dataclass(frozen=True, slots=True)
class ByType:
    """Bare names of a formula: each is a factor or a covariate by the type of its column, as in lme4.

    ``traits`` are those that it affects; none stands for all of the model. ``factors`` are those of the columns that are
    factors whatever their type, as in ``factor(herd):age``.
    """

    columns: tuple[str, ...]
    traits: tuple[str, ...] = ()
    factors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", checked_names(self.columns, "the columns of ByType", at_least=1))
        factors = checked_names(self.factors, "the factors of ByType")
        object.__setattr__(self, "factors", tuple(column for column in self.columns if column in factors))
        if not set(factors) < set(self.columns):
            raise ModelError(
                f"the factors of ByType are some of its columns, not all; found {name_some(factors)} of "
                f"{name_some(self.columns)}"
            )
        object.__setattr__(self, "traits", checked_names(self.traits, "the traits of ByType"))

    @property
    def name(self) -> str:
        """``herd:year``."""
        return ":".join(self.columns)


FixedPart: TypeAlias = Fixed | Covariate | ByType
