"""What is fitted, as plain frozen data: names only, no records.

::

    Model
    ├── traits      the columns of the responses
    ├── fixed       Fixed       classes of a factor, or of the observed combinations of several; () is the intercept
    │               Covariate   regression on a Basis of a column, one for all records or one per class
    │               ByType      bare names of a formula: classes or regression, by the type of the column
    ├── random      Random      one effect a level, with a relationship matrix K or with K = I
    └── residual    Residual    variance R, or R/w with a column of weights

A model equals the model made from its formula and from its TOML.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from breedblup.errors import ModelError, name_some, nearest
from breedblup.formula import (
    Call,
    Column,
    Group,
    Interaction,
    ParsedFormula,
    RandomTerm,
    has_constant,
    parse_formula,
)

BasisKind: TypeAlias = Literal["linear", "polynomial", "legendre"]


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
        lower, upper = _limit(self.lower), _limit(self.upper)
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
        object.__setattr__(self, "factors", _names(self.factors, "the factors of Fixed"))

    @property
    def name(self) -> str:
        """``herd:year``, or ``(Intercept)``."""
        return ":".join(self.factors) or "(Intercept)"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the term needs."""
        return self.factors


@dataclass(frozen=True, slots=True)
class Covariate:
    """Regression on the basis of a column; with ``within``, one regression per class of these factors."""

    column: str
    basis: Basis = Basis("linear")
    within: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _names((self.column,), "the column of Covariate")
        if not isinstance(self.basis, Basis):
            raise ModelError(f"the basis of Covariate must be a Basis, found {self.basis!r}")
        object.__setattr__(self, "within", _names(self.within, "the factors within which Covariate is nested"))
        if self.column in self.within:
            raise ModelError(f"{self.column!r} is both the covariate and a factor of the term {self.name!r}")

    @property
    def label(self) -> str:
        """The name without the factors: ``age``, ``poly(age, 2)``, ``leg(dim, 4)``."""
        function = {"linear": "", "polynomial": "poly", "legendre": "leg"}[self.basis.kind]
        return f"{function}({self.column}, {self.basis.degree})" if function else self.column

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
        object.__setattr__(self, "columns", _names(self.columns, "the columns of ByType", at_least=1))

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
        object.__setattr__(self, "factors", _names(self.factors, "the factors of Random", at_least=1))
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
            _names((self.weights,), "the weights of Residual")


FixedPart: TypeAlias = Fixed | Covariate | ByType


@dataclass(frozen=True, slots=True, repr=False)
class Model:
    """Traits, fixed terms, random terms and residual of a mixed model.

    The intercept stands first. A Legendre term has a constant of its own and stands in the place of the intercept.
    Names of terms are unique in a model.

    Examples
    --------
    >>> model = Model.from_formula("milk ~ herd:year + leg(dim, 4) + (1 | animal) + (1 | ide(animal))")
    >>> [term.key for term in model.random]
    ['animal', 'ide(animal)']
    """

    traits: tuple[str, ...]
    fixed: tuple[FixedPart, ...]
    random: tuple[Random, ...] = ()
    residual: Residual = Residual()

    def __post_init__(self) -> None:
        object.__setattr__(self, "traits", _names(self.traits, "the traits of a model", at_least=1))
        fixed = _terms(self.fixed, (Fixed, Covariate, ByType), "fixed")
        object.__setattr__(self, "fixed", tuple(sorted(fixed, key=lambda term: term != Fixed(()))))
        object.__setattr__(self, "random", _terms(self.random, (Random,), "random"))
        if not isinstance(self.residual, Residual):
            raise ModelError(f"residual must be a Residual, found {self.residual!r}")
        _check_model(self)

    @classmethod
    def from_formula(cls, text: str, *, weights: str | None = None) -> Model:
        """The model that a formula describes.

        Parameters
        ----------
        text
            Such as ``milk ~ herd:year + factor(parity) + poly(age, 2) + (1 | animal)``. A bare name is a factor or a
            covariate by the type of its column; ``factor()`` and ``covariate()`` decide it; a bare name that
            multiplies a covariate is a factor. The intercept is implied, ``0 +`` removes it.
        weights
            Column of weights w; the residual variance of a record is R/w.
        """
        parsed = parse_formula(text)
        fixed = [_fixed_part(term) for term in parsed.fixed]
        if parsed.intercept and not any(has_constant(term) for term in parsed.fixed):
            fixed.insert(0, Fixed(()))
        random = tuple(_random_part(term) for term in parsed.random)
        return cls(parsed.responses, tuple(fixed), random, Residual(weights))

    @property
    def formula(self) -> str:
        """A formula that gives this model back (weights apart, which formulas do not hold)."""
        shown = tuple(_parsed_fixed(term) for term in self.fixed if term != Fixed(()))
        intercept = Fixed(()) in self.fixed or any(has_constant(term) for term in shown)
        random = tuple(RandomTerm((Group(term.factors, term.identity),)) for term in self.random)
        return str(ParsedFormula(self.traits, shown, random, intercept))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the records need, each once: traits, fixed, random, weights."""
        names = [*self.traits, *(name for term in (*self.fixed, *self.random) for name in term.columns)]
        if self.residual.weights is not None:
            names.append(self.residual.weights)
        return tuple(dict.fromkeys(names))

    def to_dict(self) -> dict[str, Any]:
        """Lists, tables, text and numbers as TOML has them; what equals its default is left out."""
        plain: dict[str, Any] = {"traits": list(self.traits), "fixed": [_fixed_to_dict(term) for term in self.fixed]}
        if self.random:
            plain["random"] = [
                {"factors": list(term.factors)} | ({"identity": True} if term.identity else {}) for term in self.random
            ]
        if self.residual.weights is not None:
            plain["residual"] = {"weights": self.residual.weights}
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Model:
        """The model that `to_dict` wrote."""
        _table(plain, ("traits", "fixed", "random", "residual"), ("traits", "fixed"), "model")
        random = []
        for entry in _list(plain.get("random", []), "random"):
            _table(entry, ("factors", "identity"), ("factors",), "random term")
            random.append(Random(**entry))
        residual = _table(plain.get("residual", {}), ("weights",), (), "residual")
        fixed = tuple(_fixed_from_dict(entry) for entry in _list(plain["fixed"], "fixed"))
        return cls(plain["traits"], fixed, tuple(random), Residual(**residual))

    def __str__(self) -> str:
        return self.formula

    def __repr__(self) -> str:
        rows = [("trait", trait, "") for trait in self.traits]
        rows += [("fixed", term.name, _description(term)) for term in self.fixed]
        rows += [("random", term.key, "identity" if term.identity else "K given or identity") for term in self.random]
        weights = self.residual.weights
        rows.append(("residual", "R" if weights is None else f"R/{weights}", ""))
        width = max(len(name) for _, name, _ in rows)
        lines = [
            f"  {'' if n and rows[n - 1][0] == part else part:<9} {name:<{width}}  {what}".rstrip()
            for n, (part, name, what) in enumerate(rows)
        ]
        return "\n".join(["Model", *lines])


def _names(value: object, what: str, at_least: int = 0) -> tuple[str, ...]:
    """A tuple of distinct, non-empty names."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ModelError(f"{what} must be a list of names, found {value!r}")
    for name in value:
        if not isinstance(name, str):
            raise ModelError(f"{what} must be names, found {name!r}")
        if not name.strip():
            raise ModelError(f"{what} hold an empty name")
    if len(value) < at_least:
        raise ModelError(f"{what} are empty; at least {at_least} must be named")
    repeated = [name for n, name in enumerate(value) if name in value[:n]]
    if repeated:
        raise ModelError(f"{what} hold {repeated[0]!r} more than once")
    return tuple(value)


def _limit(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ModelError(f"the limits of a basis are two finite numbers, found {value!r}")
    return float(value)


def _terms(value: object, kinds: tuple[type, ...], part: str) -> tuple[Any, ...]:
    """A tuple of terms of the right kinds."""
    wanted = " or ".join(kind.__name__ for kind in kinds)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ModelError(f"the {part} terms must be a list of {wanted}, found {value!r}")
    for term in value:
        if not isinstance(term, kinds):
            raise ModelError(f"a {part} term must be {wanted}, found {term!r}")
    return tuple(value)


def _check_model(model: Model) -> None:
    """What no single term can know: one trait, something to fit, unique names, one constant."""
    if len(model.traits) > 1:
        raise ModelError(f"this version fits one trait, found {name_some(model.traits)}; make a model of each")
    if not (model.fixed or model.random):
        raise ModelError("the model has no terms; fit at least the intercept, Fixed(())")
    seen: set[str] = set()
    for term in (*model.fixed, *model.random):
        names = {term.name, _sorted_name(term)}
        if names & seen:
            raise ModelError(
                f"two terms of the model are called {term.name!r}; leave one out, or give it a copy of the column "
                "under another name"
            )
        seen |= names
    used = {name for term in (*model.fixed, *model.random) for name in term.columns} | {model.residual.weights}
    for trait in model.traits:
        if trait in used:
            raise ModelError(f"the trait {trait!r} stands also among the terms or weights; leave it out there")
    constants = [term.name for term in model.fixed if isinstance(term, Covariate) and term.basis.kind == "legendre"]
    if constants and Fixed(()) in model.fixed:
        raise ModelError(f"{constants[0]} has a constant of its own; leave the intercept Fixed(()) out")


def _sorted_name(term: FixedPart | Random) -> str:
    """One name for all orders of the parts: ``herd:year`` and ``year:herd`` are the same term."""
    if isinstance(term, Covariate):
        return ":".join(sorted((*term.within, term.label)))
    joined = ":".join(sorted(term.columns))
    return f"ide({joined})" if isinstance(term, Random) and term.identity else joined


def _fixed_part(term: Interaction) -> FixedPart:
    """The term that a fixed part of a formula means; bare names beside a covariate are factors."""
    covariates = [part for part in term.parts if isinstance(part, Call) and part.function != "factor"]
    if len(covariates) > 1:
        raise ModelError(f"{term}: a term can hold one covariate; make their product a column of the records")
    if covariates:
        within = tuple(_column_of(part) for part in term.parts if part is not covariates[0])
        return Covariate(covariates[0].column, _basis(covariates[0]), within)
    bare = [part.name for part in term.parts if isinstance(part, Column)]
    if not bare:
        return Fixed(tuple(_column_of(part) for part in term.parts))
    if len(bare) < len(term.parts):
        raise ModelError(
            f"{term}: whether {name_some(bare)} is a factor or a covariate must be said; write factor() or covariate()"
        )
    return ByType(tuple(bare))


def _column_of(part: Column | Call) -> str:
    return part.name if isinstance(part, Column) else part.column


def _basis(call: Call) -> Basis:
    if call.function == "covariate":
        return Basis("linear")
    lower, upper = call.range or (None, None)
    return Basis("legendre" if call.function == "leg" else "polynomial", call.degree or 1, lower, upper)


def _random_part(term: RandomTerm) -> Random:
    group = term.groups[0]
    if len(term.groups) > 1 or not isinstance(group, Group) or term.effects or not term.intercept:
        raise ModelError(
            f"{term}: this version fits scalar random terms, one effect a level; write (1 | factor), (1 | ide(factor)) "
            "or (1 | a:b)"
        )
    return Random(group.factors, group.identity)


def _parsed_fixed(term: FixedPart) -> Interaction:
    """The term as a formula writes it."""
    if isinstance(term, Fixed):
        return Interaction(tuple(Call("factor", name) for name in term.factors))
    if isinstance(term, ByType):
        return Interaction(tuple(Column(name) for name in term.columns))
    basis = term.basis
    function = {"linear": "covariate", "polynomial": "poly", "legendre": "leg"}[basis.kind]
    limits = None if basis.lower is None or basis.upper is None else (basis.lower, basis.upper)
    call = Call(function, term.column, None if basis.kind == "linear" else basis.degree, limits)
    return Interaction((*(Column(name) for name in term.within), call))


def _description(term: FixedPart) -> str:
    """What a fixed term is, for the reader of a ``repr``."""
    if isinstance(term, Fixed):
        return "classes" if term.factors else ""
    if isinstance(term, ByType):
        return "classes or regression, by the type of the column"
    basis = term.basis
    limits = "the range of the data" if basis.lower is None else f"{basis.lower:g} to {basis.upper:g}"
    shown = {
        "linear": "regression",
        "polynomial": f"orthogonal polynomials of degree 1 to {basis.degree}",
        "legendre": f"normalised Legendre polynomials of degree 0 to {basis.degree} on {limits}",
    }[basis.kind]
    return f"{shown}, within {':'.join(term.within)}" if term.within else shown


def _fixed_to_dict(term: FixedPart) -> dict[str, Any]:
    if isinstance(term, Fixed):
        return {"factors": list(term.factors)}
    if isinstance(term, ByType):
        return {"columns": list(term.columns)}
    basis = term.basis
    plain: dict[str, Any] = {"covariate": term.column}
    if basis.kind != "linear":
        plain |= {"basis": basis.kind, "degree": basis.degree}
    if basis.lower is not None:
        plain |= {"lower": basis.lower, "upper": basis.upper}
    return plain | ({"within": list(term.within)} if term.within else {})


def _fixed_from_dict(plain: Any) -> FixedPart:
    _table(plain, ("factors", "columns", "covariate", "basis", "degree", "lower", "upper", "within"), (), "fixed term")
    kinds = [key for key in ("factors", "columns", "covariate") if key in plain]
    if len(kinds) != 1:
        raise ModelError(
            f"a fixed term has one of 'factors', 'columns' and 'covariate', found {name_some(plain) or 'nothing'}"
        )
    if kinds[0] == "covariate":
        options = {key: plain[key] for key in ("degree", "lower", "upper") if key in plain}
        return Covariate(plain["covariate"], Basis(plain.get("basis", "linear"), **options), plain.get("within", ()))
    _table(plain, kinds, kinds, f"fixed term with {kinds[0]!r}")
    return Fixed(plain["factors"]) if kinds[0] == "factors" else ByType(plain["columns"])


def _table(plain: Any, known: Sequence[str], needed: Sequence[str], where: str) -> Mapping[str, Any]:
    """A table with these keys."""
    if not isinstance(plain, Mapping):
        raise ModelError(f"{where}: expected a table, found {plain!r}")
    for key in plain:
        if key not in known:
            raise ModelError(f"{where}: unknown key {key!r}{nearest(str(key), known)}; known are {name_some(known)}")
    for key in needed:
        if key not in plain:
            raise ModelError(f"{where}: the key {key!r} is missing")
    return plain


def _list(value: Any, where: str) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ModelError(f"{where}: expected a list of tables, found {value!r}")
    return value
