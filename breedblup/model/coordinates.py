"""The rows of the covariance matrix of a random term: what they are called, and which classes of a factor have one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from breedblup.model.classes import Classes
from breedblup.model.random import Effect, LevelGroup, Levels, Random, affects


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One of the effects that a level of a random term has: a row of its covariance matrix."""

    effect: str
    trait: str

    def __str__(self) -> str:
        return f"{self.effect} {self.trait}"


def coordinates_of(random: Random, traits: tuple[str, ...]) -> tuple[Coordinate, ...]:
    """Rows of the covariance matrix of a random term: effect or coefficient outer, trait inner."""
    rows = []
    for effect in random.effects:
        for label in effect_labels(random, effect):
            rows += [Coordinate(label, trait) for trait in traits if affects(effect, trait)]
    return tuple(rows)


def effect_labels(random: Random, effect: Effect) -> tuple[str, ...]:
    """What tables call the coefficients of an effect: ``direct``, ``maternal``, ``0``, ``maternal 0``, ``dim``, ``sex F``.

    Classes stand outside the functions of a covariate: ``sex F:0``, ``sex F:1``, ``sex M:0``, ``sex M:1``.
    """
    group = group_label(random, effect.group)
    if not effect.is_complete:
        return (" ".join(filter(None, (group, effect.label))),)
    own = [other for other in random.effects if other.group == effect.group]
    if effect.column is None:
        alone = all(other.column is None and not other.classes for other in own)
        coefficients = ["" if alone or effect.classes else "intercept"]
    elif effect.basis.kind == "linear":
        coefficients = [effect.column]
    else:
        several = len({(other.column, other.basis) for other in own if other.basis.kind != "linear"}) > 1
        before = f"{effect.basis.label(effect.column)} " if several else ""
        coefficients = [f"{before}{k}" for k in range(effect.basis.size)]
    labels = [
        ":".join(filter(None, (*class_labels(effect, levels), name)))
        for levels in effect_classes(random, effect)
        for name in coefficients
    ]
    return tuple(" ".join(filter(None, (group, label))) or "direct" for label in labels)


def class_labels(effect: Effect, levels: tuple[str, ...]) -> tuple[str, ...]:
    """``sex F`` for each factor of an effect."""
    return tuple(f"{classes.factor} {level}" for classes, level in zip(effect.classes, levels, strict=True))


def effect_classes(random: Random, effect: Effect) -> tuple[tuple[str, ...], ...]:
    """The combinations of classes that have coefficients of their own, the first factor outermost; () without factors.

    As R codes factors: all classes, but without the first one, the reference, where the term holds the same effect without the
    factor. Effects that are uncorrelated have all classes: with zero covariances a reference would change the model.
    """
    columns = [
        classes.levels[1:] if random.correlated and margin_of(random, effect, classes) else classes.levels
        for classes in effect.classes
    ]
    return tuple(product(*columns))


def margin_of(random: Random, effect: Effect, classes: Classes) -> Effect | None:
    """The effect of the same group whose columns add up to those of all the classes of one of its factors."""
    own = [other for other in random.effects if other.group == effect.group]
    rest = frozenset(effect.classes) - {classes}
    for other in own:
        if other.column == effect.column and other.basis == effect.basis and frozenset(other.classes) == rest:
            return other
    if rest or effect.column is not None:
        return None
    before = own[: own.index(effect)]
    constant = [other for other in own if other.basis.has_constant and not other.classes]
    constant += [other for other in before if other.column is None and len(other.classes) == 1]
    return next(iter(constant), None)


def group_label(random: Random, group: LevelGroup) -> str:
    """Nothing where there is one group; otherwise direct, maternal, associative, or the group itself."""
    groups = random.groups
    if len(groups) == 1:
        return ""
    if group == groups[0]:
        return "direct"
    single = len(group.columns) == 1 or isinstance(group, Levels)
    alike = [other for other in groups[1:] if (len(other.columns) == 1 or isinstance(other, Levels)) == single]
    if len(alike) > 1:
        return str(group)
    return "maternal" if single else "associative"
