"""Model: traits, terms and residual together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from breedblup.errors import ModelError, name_some, nearest
from breedblup.formula import sources_of
from breedblup.model.bytrait import check_written, joined_terms, terms_of
from breedblup.model.checks import checked_names, checked_terms
from breedblup.model.coordinates import Coordinate, coordinates_of
from breedblup.model.fixed import ByType, Covariate, Fixed, FixedPart
from breedblup.model.overview import model_table
from breedblup.model.plain import parts_from_plain, plain_from_parts, toml_text
from breedblup.model.random import Random
from breedblup.model.residual import Parts, Residual
from breedblup.model.rules import check_terms, check_traits, settled_residual
from breedblup.model.wording import formulas_from_parts, parts_from_formula, random_keys


@dataclass(frozen=True, slots=True, repr=False)
class Model:
    """Traits, fixed terms, random terms and residual of a mixed model.

    The terms of a model stand in the order in which formulas bring them: the intercept first, then those of the first
    trait, then what each later trait adds; equal fixed terms of several traits are one term. A term of Legendre
    polynomials or B-splines has a constant of its own and stands in the place of the intercept.

    Parameters
    ----------
    traits
        Columns of the responses.
    fixed, random
        Terms; those that name ``traits`` affect these only. Their names are unique in each trait.
    residual
        Weights and classes of the residual (co)variance.

    Raises
    ------
    ModelError
        The parts do not fit together, or no formula could say them.

    Examples
    --------
    >>> model = Model.from_formula("milk ~ herd:year + leg(dim, 4) + (1 | animal) + (1 | ide(animal))")
    >>> model.keys
    ('animal', 'ide(animal)')
    >>> model = Model.from_formula(["wwt ~ sex + (1 | animal + dam)", "pwt ~ sex + age + (1 | animal)"])
    >>> [str(row) for row in model.coordinates("animal + dam")]
    ['direct wwt', 'direct pwt', 'maternal wwt']
    """

    traits: tuple[str, ...]
    fixed: tuple[FixedPart, ...]
    random: tuple[Random, ...] = ()
    residual: Residual = field(default_factory=Residual)

    def __post_init__(self) -> None:
        traits = checked_names(self.traits, "the traits of a model", at_least=1)
        fixed = checked_terms(self.fixed, (Fixed, Covariate, ByType), "fixed")
        random = checked_terms(self.random, (Random,), "random")
        if not isinstance(self.residual, Residual):
            raise ModelError(f"residual must be a Residual, found {self.residual!r}")
        check_traits((traits, fixed, random, self.residual))
        check_written(random, traits)
        fixed, random = joined_terms(traits, [terms_of(fixed, random, trait) for trait in traits])
        residual = settled_residual(self.residual, traits)
        check_terms((traits, fixed, random, residual), random_keys(random))
        for name, value in (("traits", traits), ("fixed", fixed), ("random", random), ("residual", residual)):
            object.__setattr__(self, name, value)

    @classmethod
    def from_formula(
        cls,
        text: str | Sequence[str],
        *,
        weights: str | Mapping[str, str] | None = None,
        residual_classes: str | Sequence[str] = (),
    ) -> Model:
        """The model that a formula, or a list of one for each trait, describes.

        Parameters
        ----------
        text
            Such as ``milk ~ herd:year + factor(parity) + poly(age, 2) + (1 | animal)``. A bare name is a factor or a
            covariate by the type of its column; ``factor()`` and ``covariate()`` decide it; a bare name that
            multiplies a covariate is a factor, one left of a bar a covariate unless its column holds text. The
            intercept is implied, ``0 +`` removes it. ``log(x)``, ``I(x^2)`` and their like are columns made of
            others. ``(wwt, pwt) ~`` gives several traits the same terms. In a list, equal fixed terms are one term of
            several traits, and so are random terms with the same first group (the first of each formula, the second
            of each, ...): their effects share one covariance matrix.
        weights
            Column of weights w of all traits, or of each of some traits; the residual variance of a record is R/w.
        residual_classes
            Factors whose observed combinations have a residual (co)variance of their own.
        """
        return cls(*parts_from_formula(text, weights, residual_classes))

    @property
    def formulas(self) -> tuple[str, ...]:
        """Formulas that give this model back (weights and classes apart, which formulas do not hold).

        One, or one for each trait where a term does not affect all of them.
        """
        return formulas_from_parts(self._parts)

    @property
    def formula(self) -> str:
        """The formula, or the several joined by ``; ``."""
        return "; ".join(self.formulas)

    @property
    def keys(self) -> tuple[str, ...]:
        """What variances call each random term.

        The text right of the bar, or where two terms share it the whole text between the parentheses.
        """
        return random_keys(self.random)

    def coordinates(self, key: str) -> tuple[Coordinate, ...]:
        """Rows of the covariance matrix of a random term.

        Raises
        ------
        ModelError
            No term has this key, or it has a factor left of its bar whose classes are not known yet.
        """
        keys = self.keys
        if key not in keys:
            known = name_some(keys) or "none"
            raise ModelError(f"the model has no random term {key!r}{nearest(key, keys)} (it has {known})")
        term = self.random[keys.index(key)]
        for effect in term.effects:
            if not effect.is_complete:
                raise ModelError(
                    f"the random term {key!r} has an effect for each class of {effect.label!r}, which the records know -> "
                    "name them, as in factor(x, levels=(A, B)), or take complete_model(model, records)"
                )
        return coordinates_of(term, self.traits)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the records need, each once: traits, fixed, random, weights and classes; ``x`` for ``log(x)``."""
        return sources_of(self.computed_columns)

    @property
    def computed_columns(self) -> tuple[str, ...]:
        """The same with functions of columns as they are, ``log(x)``, not taken apart."""
        parts = (*self.fixed, *self.random, self.residual)
        return tuple(dict.fromkeys([*self.traits, *(name for part in parts for name in part.columns)]))

    def to_dict(self) -> dict[str, Any]:
        """Lists, tables, text and numbers as TOML has them; what equals its default is left out."""
        return plain_from_parts(self._parts)

    def to_toml(self) -> str:
        """The [model] section of `evaluation.toml` in full; what equals its default is left out."""
        return toml_text(self.to_dict())

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
        return model_table(self._parts, self.keys)
