"""The parts of a model: bases, fixed and random terms, the residual; each is checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from breedblup.errors import ModelError, name_some, nearest
from breedblup.model.checks import checked_limit, checked_names

BasisKind: TypeAlias = Literal["linear", "polynomial", "legendre"]

BASIS_FUNCTIONS: dict[BasisKind, str] = {"linear": "covariate", "polynomial": "poly", "legendre": "leg"}
"""What a formula calls each kind of basis."""


@dataclass(frozen=True, slots=True)
class Basis:
    """Functions of a covariate, one column each.

    Parameters
    ----------
    kind
        ``linear``: the covariate itself. ``polynomial``: orthogonal polynomials of degree 1 to ``degree`` over the
        records, without the constant, as R's ``poly()``. ``legendre``: normalised Legendre polynomials
        :math:`\\sqrt{(2k+1)/2}\\,P_k(t^*)`, k = 0 to ``degree``, of :math:`t^* = -1 + 2(t - l)/(u - l)`
        (Kirkpatrick, Lofsvold and Bulmer 1990), with the constant k = 0.
    degree
        Highest degree, at least 1.
    lower, upper
        The limits l and u of Legendre polynomials; None is the range of the data, which the design keeps.
    """

    kind: BasisKind
    degree: int = 1
    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        kinds = get_args(BasisKind)
        if self.kind not in kinds:
            known = name_some(kinds)
            raise ModelError(f"unknown basis {self.kind!r}{nearest(str(self.kind), kinds)}; known are {known}")
        if isinstance(self.degree, bool) or not isinstance(self.degree, int) or self.degree < 1:
            raise ModelError(f"the degree of a basis is a whole number from 1, found {self.degree!r}")
        if self.kind == "linear" and self.degree != 1:
            raise ModelError(f"a linear basis has degree 1, found {self.degree}; use 'polynomial' or 'legendre'")
        if self.lower is None and self.upper is None:
            return
        if self.kind != "legendre":
            raise ModelError(f"only a Legendre basis has limits, found {self.lower!r} and {self.upper!r} ({self.kind})")
        lower, upper = checked_limit(self.lower), checked_limit(self.upper)
        if lower >= upper:
            raise ModelError(f"the lower limit of a basis must be below the upper one, found {lower!r} and {upper!r}")
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)

    @property
    def size(self) -> int:
        """Number of columns, the constant of a Legendre basis among them."""
        return self.degree + (self.kind == "legendre")


@dataclass(frozen=True, slots=True)
class Fixed:
    """Classes of one factor, or of the observed combinations of several; no factors: the intercept."""

    factors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", checked_names(self.factors, "the factors of Fixed"))

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
    """Regression on the basis of a column; with ``within``, one regression per class of these factors."""

    column: str
    basis: Basis = Basis("linear")
    within: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checked_names((self.column,), "the column of Covariate")
        if not isinstance(self.basis, Basis):
            raise ModelError(f"the basis of Covariate must be a Basis, found {self.basis!r}")
        within = checked_names(self.within, "the factors within which Covariate is nested")
        object.__setattr__(self, "within", within)
        if self.column in within:
            raise ModelError(f"{self.column!r} is both the covariate and a factor of the term {self.name!r}")

    @property
    def label(self) -> str:
        """The name without the factors: ``age``, ``poly(age, 2)``, ``leg(dim, 4)``."""
        if self.basis.kind == "linear":
            return self.column
        return f"{BASIS_FUNCTIONS[self.basis.kind]}({self.column}, {self.basis.degree})"

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
    """Bare names of a formula: each is a factor or a covariate by the type of its column, as in lme4."""

    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", checked_names(self.columns, "the columns of ByType", at_least=1))

    @property
    def name(self) -> str:
        """``herd:year``."""
        return ":".join(self.columns)


@dataclass(frozen=True, slots=True)
class Random:
    """One effect per level, var(u) = K σ²; K is what ``relationships`` has for the key, or I (always with identity)."""

    factors: tuple[str, ...]
    identity: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", checked_names(self.factors, "the factors of Random", at_least=1))
        if not isinstance(self.identity, bool):
            raise ModelError(f"identity of Random is true or false, found {self.identity!r}")

    @property
    def key(self) -> str:
        """What variances and relationships call the term: ``animal``, ``ide(animal)``, ``herd:year``."""
        joined = ":".join(self.factors)
        return f"ide({joined})" if self.identity else joined

    @property
    def name(self) -> str:
        """The key."""
        return self.key

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the term needs."""
        return self.factors


@dataclass(frozen=True, slots=True)
class Residual:
    """Residual variance R, or R/w where ``weights`` names the column of w."""

    weights: str | None = None

    def __post_init__(self) -> None:
        if self.weights is not None:
            checked_names((self.weights,), "the weights of Residual")


FixedPart: TypeAlias = Fixed | Covariate | ByType

Parts: TypeAlias = tuple[tuple[str, ...], tuple[FixedPart, ...], tuple[Random, ...], Residual]
"""Traits, fixed terms, random terms and residual, as `Model` takes them."""
