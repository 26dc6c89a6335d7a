"""What no single term can know: whether traits, terms and residual make one model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from breedblup.errors import ModelError, name_some, nearest
from breedblup.formula import sources_of
from breedblup.model.bytrait import group_key, is_intercept
from breedblup.model.coordinates import coordinates_of, margin_of
from breedblup.model.fixed import Covariate, FixedPart
from breedblup.model.random import Levels, Random, affects
from breedblup.model.residual import Parts, Residual


def check_traits(parts: Parts) -> None:
    """Terms and weights name traits of the model, and each trait has something to fit."""
    traits, fixed, random, residual = parts
    if not (fixed or random):
        raise ModelError("the model has no terms; fit at least the intercept, Fixed(())")
    effects = [effect for term in random for effect in term.effects]
    named = [(trait, f"the term {term.name!r}") for term in fixed for trait in term.traits]
    named += [(trait, f"the random term {term.key!r}") for term in random for e in term.effects for trait in e.traits]
    if residual.weights is not None and not isinstance(residual.weights, str):
        named += [(trait, "the weights") for trait, _ in residual.weights]
    for trait, where in named:
        if trait not in traits:
            raise ModelError(
                f"{where}: the model has no trait {trait!r}{nearest(trait, traits)} (it has {name_some(traits)})"
            )
    for trait in traits:
        if not any(affects(term, trait) for term in (*fixed, *effects)):
            raise ModelError(f"the trait {trait!r} has no terms; fit at least the intercept, Fixed(())")


def check_terms(parts: Parts, keys: Sequence[str]) -> None:
    """Names are unique, traits are no terms, each trait has one constant."""
    traits, fixed, random, residual = parts
    for trait in traits:
        names = [(term.name, _sorted_name(term)) for term in fixed if affects(term, trait)]
        for term, key in zip(random, keys, strict=True):
            if any(affects(effect, trait) for effect in term.effects):
                names.append((key, _sorted_key(term, key)))
        _check_names(names)
    _check_names([(key, _sorted_key(term, key)) for term, key in zip(random, keys, strict=True)])
    used = set(sources_of([name for part in (*fixed, *random, residual) for name in part.columns]))
    for trait in traits:
        if used & set(sources_of([trait])):
            raise ModelError(f"the trait {trait!r} stands also among the terms or weights; leave it out there")
        _check_constant([term for term in fixed if affects(term, trait)])
        _check_repeated(dict(zip(keys, random, strict=True)), trait)
    for term in random:
        _check_random(term, traits)


def settled_residual(residual: Residual, traits: tuple[str, ...]) -> Residual:
    """Weights in the order of the traits; one column where it is that of all."""
    if residual.weights is None or isinstance(residual.weights, str):
        return residual
    columns = dict(residual.weights)
    if len(columns) == len(traits) and len(set(columns.values())) == 1:
        return Residual(next(iter(columns.values())), residual.classes)
    return Residual(tuple((trait, columns[trait]) for trait in traits if trait in columns), residual.classes)


def _check_names(names: Sequence[tuple[str, str]]) -> None:
    """Each term is called by a name of its own, also when its factors are put in another order."""
    seen: set[str] = set()
    for name, ordered in names:
        if seen & {name, ordered}:
            raise ModelError(
                f"two terms of the model are called {name!r}; leave one out, or give it a copy of the column "
                "under another name"
            )
        seen |= {name, ordered}


def _check_repeated(random: Mapping[str, Random], trait: str) -> None:
    """No two random terms do the same to a trait; a formula would make one of them."""
    seen: dict[Hashable, str] = {}
    for key, term in random.items():
        own = frozenset(
            (group_key(effect.group), effect.column, effect.basis, effect.classes)
            for effect in term.effects
            if affects(effect, trait)
        )
        first = seen.setdefault(own, key)
        if own and first != key:
            raise ModelError(
                f"the random terms {first!r} and {key!r} have the same effects for {trait!r}; leave one out, or "
                "give it a copy of the column under another name"
            )


def _sorted_name(term: FixedPart) -> str:
    """One name for all orders of the parts: ``herd:year`` and ``year:herd`` are the same term."""
    if isinstance(term, Covariate):
        return ":".join(sorted((*term.within, term.label)))
    return term.name if is_intercept(term) else ":".join(sorted(term.columns))


def _sorted_key(term: Random, key: str) -> str:
    """The same of a random term that is called by its levels."""
    group = term.groups[0]
    if key != term.key or len(term.groups) > 1 or not isinstance(group, Levels):
        return key
    return str(Levels(tuple(sorted(group.factors)), group.identity, group.relationship))


def _check_constant(fixed: Sequence[FixedPart]) -> None:
    """A curve with a constant of its own stands in the place of the intercept."""
    constants = [term.name for term in fixed if isinstance(term, Covariate) and term.basis.has_constant]
    if constants and any(is_intercept(term) for term in fixed):
        raise ModelError(f"{constants[0]} has a constant of its own; leave the intercept Fixed(()) out")


def _check_random(term: Random, traits: tuple[str, ...]) -> None:
    """Groups share one relationship, each trait has one constant, rows have names of their own."""
    for group in term.groups[1:]:
        if isinstance(group, Levels) and (group.identity or group.relationship is not None):
            raise ModelError(
                f"the groups of the random term {term.key!r} share the relationship of the first one; write "
                f"{':'.join(group.factors)!r} in the place of {str(group)!r}"
            )
    for trait in traits:
        own = [effect for effect in term.effects if affects(effect, trait)]
        curve = next((effect for effect in own if effect.basis.has_constant), None)
        if curve is not None and any(effect.column is None and not effect.classes for effect in own):
            raise ModelError(
                f"{curve.label} of the random term {term.key!r} has a constant of its own; leave the effect without a "
                "column out"
            )
    _check_margins(term, traits)
    row, number = Counter(coordinates_of(term, traits)).most_common(1)[0]
    if number > 1:
        raise ModelError(
            f"two effects of the random term {term.key!r} are called {str(row)!r}; leave one out, or give it a copy of "
            "the column under another name"
        )


def _check_margins(term: Random, traits: tuple[str, ...]) -> None:
    """Where an effect is that of differences from a reference class, its trait has the effect of the reference."""
    for effect in term.effects if term.correlated else ():
        for margin in (margin_of(term, effect, classes) for classes in effect.classes):
            lacking = [trait for trait in traits if margin and affects(effect, trait) and not affects(margin, trait)]
            if margin and lacking:
                raise ModelError(
                    f"the random term {term.key!r} has the effects {margin.label!r} and {effect.label!r}, but for "
                    f"{lacking[0]!r} only the second; write the same left of the bar for each trait"
                )
