"""Random terms: which levels a record reaches, and which effects these have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from breedblup.errors import ModelError, name_some
from breedblup.formula.tokens import number_text
from breedblup.model.bases import LINEAR, Basis
from breedblup.model.checks import checked_names, checked_terms, checked_weights
from breedblup.model.classes import Classes
from breedblup.model.fixed import FixedPart


@dataclass(frozen=True, slots=True)
class Levels:
    """One level a record: of a factor, or of the observed combinations of several.

    Parameters
    ----------
    factors
        Columns.
    identity
        Levels are independent (K = I) although ``relationships`` may have the factor: ``ide(animal)``.
    relationship
        Name of the relationship that is meant where it is not that of the factor: ``vm(animal, D)``.
    """

    factors: tuple[str, ...]
    identity: bool = False
    relationship: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", checked_names(self.factors, "the factors of a random term", at_least=1))
        if not isinstance(self.identity, bool):
            raise ModelError(f"identity of a random term is true or false, found {self.identity!r}")
        if self.relationship is None:
            return
        checked_names((self.relationship,), "the relationship of a random term")
        if self.identity or len(self.factors) > 1:
            raise ModelError(
                f"the relationship {self.relationship!r} is that of one factor, without identity; found "
                f"{name_some(self.factors)}{' with identity' if self.identity else ''}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that hold levels."""
        return self.factors

    def __str__(self) -> str:
        joined = ":".join(self.factors)
        if self.relationship is not None:
            return f"vm({joined}, {self.relationship})"
        return f"ide({joined})" if self.identity else joined


@dataclass(frozen=True, slots=True)
class Members:
    """Several levels a record, each with a weight: ``mm(sire, mgs, weights=(1, 0.5))``.

    Parameters
    ----------
    columns
        Columns that hold levels; an empty cell has no effect on the record.
    weights
        Columns or numbers, one for each; none stands for 1 each.
    """

    columns: tuple[str, ...]
    weights: tuple[str | float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", checked_names(self.columns, "the columns of Members", at_least=1))
        weights = checked_weights(self.weights)
        if len(weights) == 1:
            weights = weights * len(self.columns)
        if weights and len(weights) != len(self.columns):
            raise ModelError(f"mm() of {name_some(self.columns)} has {len(weights)} weights; give one for each, or one")
        object.__setattr__(self, "weights", () if all(weight == 1.0 for weight in weights) else weights)

    @property
    def weight_columns(self) -> tuple[str, ...]:
        """Columns that hold weights."""
        return tuple(weight for weight in self.weights if isinstance(weight, str))

    def __str__(self) -> str:
        arguments = list(self.columns)
        if self.weights:
            shown = [w if isinstance(w, str) else number_text(w) for w in self.weights]
            same = len(set(shown)) == 1
            arguments.append(f"weights={shown[0]}" if same else f"weights=({', '.join(shown)})")
        return f"mm({', '.join(arguments)})"


LevelGroup: TypeAlias = Levels | Members


@dataclass(frozen=True, slots=True)
class Effect:
    """What a record takes from its level of a random term: an effect, or a regression on a basis of a column.

    Parameters
    ----------
    group
        Which level, or levels.
    column, basis
        The covariate that multiplies the effect and its functions, an effect for each; None for a 1.
    traits
        Those that it affects; none stands for all of the model.
    classes
        Factors that multiply it: an effect for each (combination) of their classes.
    """

    group: LevelGroup
    column: str | None = None
    basis: Basis = LINEAR
    traits: tuple[str, ...] = ()
    classes: tuple[Classes, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.group, Levels | Members):
            raise ModelError(f"the group of an Effect must be Levels or Members, found {self.group!r}")
        if not isinstance(self.basis, Basis):
            raise ModelError(f"the basis of an Effect must be a Basis, found {self.basis!r}")
        if self.column is None and self.basis != LINEAR:
            raise ModelError(f"the basis {self.basis.kind!r} of an Effect needs a column")
        if self.basis.kind == "polynomial":
            raise ModelError(
                f"poly({self.column}, {self.basis.degree}) depends on the records in use and cannot be a random regression; "
                "write leg(), bspline(), or its powers as columns, x + I(x^2)"
            )
        if self.column is not None:
            checked_names((self.column,), "the column of an Effect")
        object.__setattr__(self, "traits", checked_names(self.traits, "the traits of an Effect"))
        object.__setattr__(self, "classes", checked_terms(self.classes, (Classes,), "class"))
        own = () if self.column is None else (self.column,)
        checked_names((*(classes.factor for classes in self.classes), *own), "the columns of an Effect")

    @property
    def label(self) -> str:
        """``1``, ``dim``, ``leg(dim, 2)``, ``breed:leg(dim, 2)``."""
        own = () if self.column is None else (self.basis.label(self.column),)
        return ":".join((*(classes.factor for classes in self.classes), *own)) or "1"

    @property
    def is_complete(self) -> bool:
        """Whether the classes of all of its factors are known."""
        return all(classes.levels for classes in self.classes)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the effect needs."""
        weights = self.group.weight_columns if isinstance(self.group, Members) else ()
        own = () if self.column is None else (self.column,)
        return (*self.group.columns, *weights, *(classes.factor for classes in self.classes), *own)


@dataclass(frozen=True, slots=True)
class Random:
    """Effects of the same levels that share one covariance matrix: var(u) = G₀ ⊗ K.

    Parameters
    ----------
    effects
        Those of one group of levels stand together. K is the relationship of the first group, which the others share.
    correlated
        False (``||`` in a formula): covariances between effects are zero, those between traits are not.
    """

    effects: tuple[Effect, ...]
    correlated: bool = True

    def __post_init__(self) -> None:
        effects = checked_terms(self.effects, (Effect,), "random")
        if not effects:
            raise ModelError("a random term has no effects; give at least one Effect")
        if not isinstance(self.correlated, bool):
            raise ModelError(f"correlated of Random is true or false, found {self.correlated!r}")
        groups = list(dict.fromkeys(effect.group for effect in effects))
        object.__setattr__(self, "effects", tuple(sorted(effects, key=lambda effect: groups.index(effect.group))))

    @classmethod
    def of(cls, *factors: str, identity: bool = False, relationship: str | None = None) -> Random:
        """The usual term: one effect a level of a factor, or of the observed combinations of several."""
        return cls((Effect(Levels(factors, identity, relationship)),))

    @property
    def groups(self) -> tuple[LevelGroup, ...]:
        """The groups of levels, each once."""
        return tuple(dict.fromkeys(effect.group for effect in self.effects))

    @property
    def key(self) -> str:
        """What stands right of the bar of a formula: ``animal``, ``ide(animal)``, ``animal + dam``."""
        return " + ".join(str(group) for group in self.groups)

    @property
    def relationship_name(self) -> str | None:
        """What ``relationships`` calls its K: the first column, or what ``vm()`` names; None where K = I always."""
        first = self.groups[0]
        if isinstance(first, Members):
            return first.columns[0]
        if first.relationship is not None:
            return first.relationship
        return None if first.identity or len(first.factors) > 1 else first.factors[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the term needs."""
        return tuple(dict.fromkeys(name for effect in self.effects for name in effect.columns))


def affects(term: FixedPart | Effect, trait: str) -> bool:
    """Whether a term belongs to a trait."""
    return not term.traits or trait in term.traits
