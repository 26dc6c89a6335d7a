"""Model: traits, terms and residual together, and what no single one of them can know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from breedblup.errors import ModelError, name_some
from breedblup.model.checks import checked_names, checked_terms
from breedblup.model.plain import parts_from_plain, plain_from_parts
from breedblup.model.terms import INTERCEPT, ByType, Covariate, Fixed, FixedPart, Parts, Random, Residual
from breedblup.model.wording import formula_from_parts, overview, parts_from_formula


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
    residual: Residual = field(default_factory=Residual)

    def __post_init__(self) -> None:
        object.__setattr__(self, "traits", checked_names(self.traits, "the traits of a model", at_least=1))
        fixed = checked_terms(self.fixed, (Fixed, Covariate, ByType), "fixed")
        object.__setattr__(self, "fixed", tuple(sorted(fixed, key=lambda term: term != INTERCEPT)))
        object.__setattr__(self, "random", checked_terms(self.random, (Random,), "random"))
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
        return cls(*parts_from_formula(text, weights))

    @property
    def formula(self) -> str:
        """A formula that gives this model back (weights apart, which formulas do not hold)."""
        return formula_from_parts(self._parts)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the records need, each once: traits, fixed, random, weights."""
        names = [*self.traits, *(name for term in (*self.fixed, *self.random) for name in term.columns)]
        if self.residual.weights is not None:
            names.append(self.residual.weights)
        return tuple(dict.fromkeys(names))

    def to_dict(self) -> dict[str, Any]:
        """Lists, tables, text and numbers as TOML has them; what equals its default is left out."""
        return plain_from_parts(self._parts)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Model:
        """The model that `to_dict` wrote."""
        return cls(*parts_from_plain(plain))

    @property
    def _parts(self) -> Parts:
        return self.traits, self.fixed, self.random, self.residual

    def __str__(self) -> str:
        return self.formula

    def __repr__(self) -> str:
        return overview(self._parts)


def _check_model(model: Model) -> None:
    """What no single term can know: one trait, something to fit, unique names, one constant."""
    if len(model.traits) > 1:
        raise ModelError(f"this version fits one trait, found {name_some(model.traits)}; make a model of each")
    terms = (*model.fixed, *model.random)
    if not terms:
        raise ModelError("the model has no terms; fit at least the intercept, Fixed(())")
    seen: set[str] = set()
    for term in terms:
        names = {term.name, _sorted_name(term)}
        if names & seen:
            raise ModelError(
                f"two terms of the model are called {term.name!r}; leave one out, or give it a copy of the column "
                "under another name"
            )
        seen |= names
    used = {name for term in terms for name in term.columns} | {model.residual.weights}
    for trait in model.traits:
        if trait in used:
            raise ModelError(f"the trait {trait!r} stands also among the terms or weights; leave it out there")
    constants = [term.name for term in model.fixed if isinstance(term, Covariate) and term.basis.kind == "legendre"]
    if constants and INTERCEPT in model.fixed:
        raise ModelError(f"{constants[0]} has a constant of its own; leave the intercept Fixed(()) out")


def _sorted_name(term: FixedPart | Random) -> str:
    """One name for all orders of the parts: ``herd:year`` and ``year:herd`` are the same term."""
    if isinstance(term, Covariate):
        return ":".join(sorted((*term.within, term.label)))
    joined = ":".join(sorted(term.columns))
    return f"ide({joined})" if isinstance(term, Random) and term.identity else joined
