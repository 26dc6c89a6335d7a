"""Linear combinations of the effects of a random term, as further rows of the table of breeding values.

Effects that a level has in one term share a covariance matrix, so a combination w'û has everything that an effect has: PEV
w'Pw with P the block of prediction error covariances of the level, and reliability 1 - w'Pw/(K_ii w'G₀w).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import polars as pl

from breedblup.adjustment.curve import AtPoints, Curve, Difference, SumOverRange, WeightedSum, curve_sums, finite_number
from breedblup.design import DesignTerm
from breedblup.errors import ModelError, name_some, nearest
from breedblup.evaluation import Evaluation, genetic_rows

ByTrait: TypeAlias = tuple[tuple[str, float], ...]

ROUNDED_WEIGHT = 1e-12
"""Share of the largest weight that a statement leaves out: what rounding leaves of a zero."""

SHOWN = 3
"""Sums of one kind whose weights a note spells out."""


@dataclass(frozen=True, slots=True)
class Combination:
    """A weighted sum of effects of one random term, under a name of its own.

    Parameters
    ----------
    name
        What the column ``effect`` of the table calls it.
    weights
        A weight for each effect, ``{"direct": 1, "maternal": 1}``: the sum is made for each trait that has all of these
        effects. Or for each effect a weight for each trait, ``{"direct": {"wwt": 0.3, "ywt": 0.7}}``: one index over traits,
        whose trait is called ``wwt + ywt``. Pairs in place of mappings will do.
    trait
        Make the sum for this trait only.
    term
        Key of the random term; None is the only one that has a relationship.

    Notes
    -----
    Total breeding value of direct and maternal effects: 1 direct + 1 maternal (Willham 1972). Total maternal value of the Beef
    Improvement Federation: ½ direct + 1 maternal. Total breeding value in groups of n: 1 direct + (n - 1) associative
    (Muir 2005; Bijma, Muir & van Arendonk 2007).
    """

    name: str
    weights: Mapping[str, float | Mapping[str, float]] | tuple[tuple[str, float | ByTrait], ...]
    trait: str | None = None
    term: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ModelError(f"a combination needs a name, found {self.name!r}")
        pairs = _pairs(self.weights, f"the combination {self.name!r}")
        checked: list[tuple[str, float | ByTrait]] = []
        for effect, weight in pairs:
            where = f"the weight of {effect!r} in {self.name!r}"
            if isinstance(weight, Mapping | Sequence) and not isinstance(weight, str):
                of_traits = _pairs(weight, where)
                checked.append(
                    (effect, tuple((trait, finite_number(w, f"{where}, {trait!r}")) for trait, w in of_traits))
                )
            else:
                checked.append((effect, finite_number(weight, where)))
        if len({isinstance(weight, tuple) for _, weight in checked}) > 1:
            raise ModelError(
                f"weights of {self.name!r} are numbers for some effects and by trait for others -> give all by trait"
            )
        object.__setattr__(self, "weights", tuple(checked))
        if not any(weight for _, _, weight in self.parts):
            raise ModelError(f"all weights of {self.name!r} are 0; give one that is not")
        if self.trait is not None and self.parts[0][1] is not None:
            raise ModelError(f"weights of {self.name!r} are given by trait; leave out the trait {self.trait!r}")

    @property
    def parts(self) -> tuple[tuple[str, str | None, float], ...]:
        """Effect, trait (None: each) and weight."""
        flat: list[tuple[str, str | None, float]] = []
        for effect, weight in _pairs(self.weights, self.name):
            flat += (
                [(effect, trait, w) for trait, w in weight] if isinstance(weight, tuple) else [(effect, None, weight)]
            )
        return tuple(flat)


CombinationSpec: TypeAlias = Combination | Curve


def _pairs(weights: object, where: str) -> list[tuple[str, float | ByTrait]]:
    """Names, each once, with what is given for them."""
    try:
        pairs = [(name, weight) for name, weight in (weights.items() if isinstance(weights, Mapping) else weights)]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ModelError(f"{where}: weights are a table of names and numbers, found {weights!r}") from None
    names = [name for name, _ in pairs]
    if not names or not all(isinstance(name, str) for name in names):
        raise ModelError(f"{where}: weights need names, found {weights!r}")
    repeated = [name for k, name in enumerate(names) if name in names[:k]]
    if repeated:
        raise ModelError(f"{where}: {repeated[0]!r} has more than one weight")
    return pairs


def combine(evaluation: Evaluation, *specs: CombinationSpec) -> Evaluation:
    """A new evaluation with rows for linear combinations of the effects of random terms that have a relationship.

    Rows are added behind those of the table, by combination, then trait; a note says which weights made them. What is null
    for the effects (PEV, where no factor was made) is null for a combination, and so is the reliability of one that has no
    variance. Another base (`rebase`) comes after.

    Parameters
    ----------
    evaluation
        As `evaluate` returns it.
    specs
        `Combination`, `AtPoints`, `SumOverRange`, `Difference`.

    Raises
    ------
    ModelError
        If a term, trait, group or effect is not there, it is not clear which term is meant, the term has no relationship, a
        point lies outside the limits of a basis, a name is taken, or the evaluation has been rebased.
    """
    if evaluation.subtracted:
        raise ModelError(
            "this evaluation has another base, which combinations would not share -> combine first, then rebase"
        )
    terms = [effects.term for effects in evaluation.effects.values()]
    tables, notes = [evaluation.genetic], []
    there = set(evaluation.genetic.select("term", "effect", "trait").unique().iter_rows())
    for spec, (term, sums) in zip(specs, check_combinations(terms, *specs), strict=True):
        for each in sums:
            _refuse_taken(term, each, there)
        effects = evaluation.effects[term.name]
        tables += [
            genetic_rows(effects, each.weights, each.name, each.trait, evaluation.accuracy_scale) for each in sums
        ]
        notes.append(_statement(spec, term, sums, evaluation.base))
    return replace(evaluation, genetic=pl.concat(tables), notes=(*evaluation.notes, *notes))


def check_combinations(
    terms: Sequence[DesignTerm], *specs: CombinationSpec
) -> list[tuple[DesignTerm, list[WeightedSum]]]:
    """Term and weights of each combination, found or refused before anything is solved, with `ModelError` as `combine` does.

    ``terms`` are the random terms of a design (`Design.random`).
    """
    taken = {(term.name, *coordinate) for term in terms for coordinate in _named(term)}
    found = []
    for spec in specs:
        if not isinstance(spec, Combination | AtPoints | SumOverRange | Difference):
            raise ModelError(
                f"a combination is a {type(spec).__name__}; give Combination, AtPoints, SumOverRange or Difference"
            )
        term = _term_of(spec, terms)
        sums = _effect_sums(spec, term) if isinstance(spec, Combination) else curve_sums(spec, term)
        for each in sums:
            _refuse_taken(term, each, taken)
            taken.add((term.name, each.name, each.trait))
        found.append((term, sums))
    return found


def _refuse_taken(term: DesignTerm, found: WeightedSum, taken: set[tuple[str, str, str]]) -> None:
    """Rows of one term, effect and trait stand once in a table."""
    if (term.name, found.name, found.trait) in taken:
        raise ModelError(
            f"{term.name!r} already has an effect {found.name!r} of {found.trait!r} -> choose another name, or leave one out"
        )


def _named(term: DesignTerm) -> list[tuple[str, str]]:
    return [(coordinate.effect, coordinate.trait) for coordinate in term.coordinates]


def _term_of(spec: CombinationSpec, terms: Sequence[DesignTerm]) -> DesignTerm:
    """The term that is meant; it has a relationship."""
    by_name = {term.name: term for term in terms}
    related = [term.name for term in terms if term.relationship is not None]
    if not related:
        raise ModelError("combinations are made of random terms that have a relationship, and the model has none")
    if spec.term is None:
        if len(related) > 1:
            raise ModelError(f"which term a combination is made of is not clear; name one of {name_some(related)}")
        return by_name[related[0]]
    if spec.term not in by_name:
        raise ModelError(
            f"no random term {spec.term!r}{nearest(spec.term, related)} (name one of {name_some(related)})"
        )
    if spec.term not in related:
        raise ModelError(
            f"{spec.term!r} has no relationship, and the table of breeding values no rows for it; "
            f"name one of {name_some(related)}"
        )
    return by_name[spec.term]


def _effect_sums(spec: Combination, term: DesignTerm) -> list[WeightedSum]:
    """Weights of the coordinates of a term: one sum a trait, or an index over traits."""
    places = {pair: k for k, pair in enumerate(_named(term))}
    all_traits = list(dict.fromkeys(trait for _, trait in places))
    all_effects = list(dict.fromkeys(effect for effect, _ in places))
    for effect, trait, _ in spec.parts:
        if effect not in all_effects:
            hint = nearest(effect, all_effects)
            raise ModelError(
                f"{spec.name!r}: {term.name!r} has no effect {effect!r}{hint} (it has {name_some(all_effects)})"
            )
        for wanted in {trait, spec.trait} - {None, *all_traits}:
            hint = nearest(str(wanted), all_traits)
            raise ModelError(
                f"{spec.name!r}: {term.name!r} has no trait {wanted!r}{hint} (it has {name_some(all_traits)})"
            )
    if spec.parts[0][1] is not None:
        index = {(effect, str(trait)): weight for effect, trait, weight in spec.parts}
        used = [trait for trait in all_traits if any(trait == other for _, other in index)]
        by_name = {" + ".join(used): index}
    else:
        wanted_traits = all_traits if spec.trait is None else [spec.trait]
        by_name = {trait: {(effect, trait): weight for effect, _, weight in spec.parts} for trait in wanted_traits}
        if spec.trait is None:
            by_name = {trait: index for trait, index in by_name.items() if index.keys() <= places.keys()}
    if not by_name:
        raise ModelError(
            f"{spec.name!r}: no trait of {term.name!r} has all of {name_some(e for e, _, _ in spec.parts)}"
        )
    sums = []
    for trait_name, index in by_name.items():
        weights = np.zeros(len(places))
        for (effect, trait), weight in index.items():
            if (effect, trait) not in places:
                raise ModelError(f"{spec.name!r}: {term.name!r} has no effect {effect!r} of {trait!r}")
            weights[places[effect, trait]] = weight
        sums.append(WeightedSum(spec.name, trait_name, weights))
    return sums


def _statement(spec: CombinationSpec, term: DesignTerm, sums: list[WeightedSum], base: str) -> str:
    """What a result says of rows that were added: weights, functions and base."""
    one_trait = isinstance(spec, Combination) and spec.parts[0][1] is not None
    stated: dict[str, list[str]] = {}
    for each in sums:
        coordinates = zip(term.coordinates, each.weights, strict=True)
        least = ROUNDED_WEIGHT * float(np.abs(each.weights).max())
        weights = [f"{c if one_trait else c.effect} = {w:.6g}" for c, w in coordinates if abs(w) > least]
        stated.setdefault(f"{each.name!r} with {', '.join(weights)}", []).append(each.trait)
    listed = [f"{words} ({', '.join(traits)})" for words, traits in stated.items()]
    more = f"; and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    functions = "" if isinstance(spec, Combination) else f"; functions {_functions(term)}"
    return f"combined effects of {term.name}: {'; '.join(listed[:SHOWN])}{more}{functions}; base: {base}"


def _functions(term: DesignTerm) -> str:
    """The bases of a term with their limits."""
    words = []
    for function in term.functions:
        basis = function.basis
        if function.column is not None:
            limits = f" on ({basis.lower:g}, {basis.upper:g})" if basis.has_constant else ""
            words.append(basis.label(function.column) + limits)
    return ", ".join(dict.fromkeys(words))
