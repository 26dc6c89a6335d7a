"""The terms of a model ⇄ those of each trait: what lets a formula for each trait say the whole model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from breedblup.errors import ModelError, name_some
from breedblup.model.bases import Basis
from breedblup.model.classes import Classes
from breedblup.model.fixed import ByType, Fixed, FixedPart
from breedblup.model.random import Effect, LevelGroup, Levels, Random, affects

OneTrait: TypeAlias = tuple[tuple[FixedPart, ...], tuple[Random, ...]]
"""Fixed and random terms of one trait, which therefore name no traits."""


class Regressor(NamedTuple):
    """What multiplies an effect: what stands left of a bar."""

    column: str | None
    basis: Basis
    classes: tuple[Classes, ...] = ()

    @classmethod
    def of(cls, effect: Effect) -> Regressor:
        """That of an effect."""
        return cls(effect.column, effect.basis, effect.classes)

    @property
    def is_constant(self) -> bool:
        """Whether it is 1."""
        return self.column is None and not self.classes


def is_intercept(term: FixedPart) -> bool:
    """Whether a term is the intercept, of all traits or of some."""
    return isinstance(term, Fixed) and not term.factors


def regressors_of(random: Random) -> tuple[Regressor, ...]:
    """What stands left of the bar, each once."""
    return tuple(dict.fromkeys(Regressor.of(effect) for effect in random.effects))


def terms_of(fixed: Sequence[FixedPart], random: Sequence[Random], trait: str) -> OneTrait:
    """The terms that affect a trait, in the order in which a formula writes them."""
    own_fixed = sorted((replace(term, traits=()) for term in fixed if affects(term, trait)), key=_after_intercept)
    own_random = []
    for term in random:
        own = [replace(effect, traits=()) for effect in term.effects if affects(effect, trait)]
        if own:
            own.sort(key=lambda effect: not Regressor.of(effect).is_constant)
            own_random.append(Random(tuple(own), term.correlated))
    return tuple(own_fixed), tuple(own_random)


def joined_terms(traits: tuple[str, ...], each: Sequence[OneTrait]) -> OneTrait:
    """One set of terms from those of each trait: what is equal becomes one term with its ``traits``.

    The k-th of the equal fixed terms, and the k-th of the random terms with the same first group, is the same term in
    each trait. Terms stand in the order in which the traits bring them, the intercept first.
    """
    fixed: dict[Hashable, list[tuple[str, FixedPart]]] = {}
    random: dict[Hashable, list[tuple[str, Random]]] = {}
    for trait, (own_fixed, own_random) in zip(traits, each, strict=True):
        seen: Counter[Hashable] = Counter()
        for term in own_fixed:
            key = _fixed_key(term)
            fixed.setdefault((key, seen[key]), []).append((trait, term))
            seen[key] += 1
        for effects in own_random:
            key = group_key(effects.groups[0])
            random.setdefault((key, seen[key]), []).append((trait, effects))
            seen[key] += 1
    spelled: dict[Hashable, LevelGroup] = {}
    for drafts in random.values():
        for group in (group for _, term in drafts for group in term.groups):
            spelled.setdefault(group_key(group), group)
    together = [
        replace(drafts[0][1], traits=_some(traits, [trait for trait, _ in drafts])) for drafts in fixed.values()
    ]
    return tuple(sorted(together, key=_after_intercept)), tuple(
        _joined_random(traits, drafts, spelled) for drafts in random.values()
    )


def check_written(random: Sequence[Random], traits: tuple[str, ...]) -> None:
    """Refuse random terms that no formulas, one for each trait, could say."""
    before: dict[Hashable, Random] = {}
    for term in random:
        first = term.groups[0]
        earlier = before.setdefault(group_key(first), term)
        for trait in traits:
            own = [effect for effect in term.effects if affects(effect, trait)]
            if not own:
                continue
            _check_product(term, own, trait)
            if all(effect.group != first for effect in own):
                raise ModelError(
                    f"the random term {term.key!r} affects {trait!r} without its first group {str(first)!r}; give the "
                    "trait an effect of that group too, or write two terms"
                )
            if not any(affects(effect, trait) for effect in earlier.effects):
                raise ModelError(
                    f"the second random term of {str(first)!r} affects {trait!r} and the one before it does not; put "
                    "the term of more traits first, or give one of them a copy of the column under another name"
                )
        before[group_key(first)] = term


def group_key(group: LevelGroup) -> Hashable:
    """The same for all orders of factors."""
    return (frozenset(group.factors), group.identity, group.relationship) if isinstance(group, Levels) else group


def _check_product(term: Random, own: list[Effect], trait: str) -> None:
    """In one trait each group has the same effects, each once, as ``(1 + t | animal + dam)`` has."""
    of_group: dict[LevelGroup, list[Regressor]] = {}
    for effect in own:
        of_group.setdefault(effect.group, []).append(Regressor.of(effect))
    spelled: dict[Hashable, LevelGroup] = {}
    for group, regressors in of_group.items():
        repeated = Counter(regressors).most_common(1)[0][1] > 1
        if repeated or spelled.setdefault(group_key(group), group) != group:
            raise ModelError(f"the random term {term.key!r} has the same effect twice for {trait!r}; leave one out")
    first, *others = of_group
    for group in others:
        if set(of_group[group]) != set(of_group[first]):
            shown = [name_some(effect.label for effect in own if effect.group == one) for one in (first, group)]
            raise ModelError(
                f"the random term {term.key!r} has the effects {shown[0]} for {str(first)!r} and {shown[1]} for "
                f"{str(group)!r} (trait {trait!r}); give each group the same effects, or write two terms"
            )


def _joined_random(
    traits: tuple[str, ...], drafts: list[tuple[str, Random]], spelled: dict[Hashable, LevelGroup]
) -> Random:
    """One term of several traits; groups and effects stand in the order in which the traits bring them."""
    correlated = drafts[0][1].correlated
    groups: dict[LevelGroup, None] = {}
    regressors: dict[Regressor, None] = {}
    affected: dict[tuple[LevelGroup, Regressor], list[str]] = {}
    for trait, term in drafts:
        if term.correlated != correlated:
            raise ModelError(
                f"the random term {drafts[0][1].key!r} of {drafts[0][0]!r} has '{'|' if correlated else '||'}' and "
                f"{term.key!r} of {trait!r} '{'||' if correlated else '|'}'; write the same bar in each formula"
            )
        for effect in term.effects:
            group = spelled[group_key(effect.group)]
            regressor = Regressor.of(effect)
            groups[group] = regressors[regressor] = None
            affected.setdefault((group, regressor), []).append(trait)
    effects = tuple(
        Effect(group, regressor.column, regressor.basis, _some(traits, affected[group, regressor]), regressor.classes)
        for group in groups
        for regressor in regressors
        if (group, regressor) in affected
    )
    several = len(effects) > 1 or effects[0].basis.size > 1 or bool(effects[0].classes)
    return Random(effects, correlated or not several)


def _some(traits: tuple[str, ...], named: Sequence[str]) -> tuple[str, ...]:
    """Traits in the order of the model; all of them are ()."""
    return () if set(named) == set(traits) else tuple(trait for trait in traits if trait in named)


def _after_intercept(term: FixedPart) -> bool:
    return not is_intercept(term)


def _fixed_key(term: FixedPart) -> Hashable:
    """The same for all orders of factors, another for each kind."""
    if isinstance(term, Fixed):
        return Fixed, frozenset(term.factors)
    if isinstance(term, ByType):
        return ByType, frozenset(term.columns), frozenset(term.factors)
    return term.column, term.basis, frozenset(term.within)
