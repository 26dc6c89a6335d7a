"""Proportions of the variance of a record that have names, with standard errors by the delta method.

What the phenotypic variance is made of is said in `breedblup.inference.shares`, and so are its two scales. For a term whose K
comes from a pedigree the estimate is the ratio of the components, which is that of the base population (K_ii = 1), as ASReml,
BLUPF90 and WOMBAT print it. Components of another K (genomic, given, with metafounders) mean little by themselves: the estimate
has σ² times the mean of K_ii over the records (Speed and Balding 2015, Nat. Rev. Genet. 16:33; Legarra 2016, Theor. Popul.
Biol. 107:26, who also subtracts the mean of K). Tables hold both, as ``scaled`` and ``plain``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from breedblup.design import Design
from breedblup.errors import ModelError, name_some, nearest
from breedblup.inference.places import SCALE_NAMES, Place, may_be_sires, places_of
from breedblup.inference.ratio_table import Ratio, RatioRow, RatioTable, tabulated_ratios
from breedblup.inference.shares import default_scale, group_name
from breedblup.model import Levels, Model
from breedblup.model.coordinates import group_label
from breedblup.reml.estimates import Estimates

OF_SIRES = 4.0
"""Sires hand on half of their breeding values: the genetic variance is four times theirs."""

IF_SIRES = "if its levels are the sires of the recorded animals, the heritability is 4 times this share"


def heritabilities(
    estimates: Estimates,
    model: Model,
    design: Design,
    *,
    trait: str | None = None,
    points: Sequence[float] | None = None,
) -> RatioTable:
    """Heritability of each trait: the share of each effect of each term that has a relationship.

    The numerator is the variance of the effect (four times that where the pedigree is one of sires), the denominator the
    phenotypic variance. ``effect`` tells direct from maternal ones, whose share is m². Levels of a pedigree of animals may be the
    sires of those recorded, which the records do not say: the note of a row whose levels look like it tells what it is then.

    Parameters
    ----------
    estimates, model, design
        Of a fit.
    trait
        None for all.
    points
        Along a curve: points of the covariate, in its unit; needed for random regressions.

    Returns
    -------
    RatioTable
        trait, point and residual_class (where there are such), term, effect, scale (``base population`` or ``mean diagonal of
        K``: what the estimate is), mean_diagonal of K over the records, estimate, se, plain and scaled with their standard
        errors, expression (`derive` takes it), note.

    Raises
    ------
    ModelError
        No term has a relationship, a trait is unknown, or points are missing, not wanted, or out of reach.
    """
    if all(term.relationship is None for term in design.random):
        raise ModelError(
            "no random term has a relationship, so there is no heritability; see fit.proportions and fit.intraclass_correlation"
        )
    rows = []
    for place in places_of(estimates, model, design, trait, points):
        for k, term in enumerate(design.random):
            if term.relationship is not None:
                rows += list(_heritabilities_of(place, k, model, design))
    if not rows:
        raise ModelError("no random term of the trait has a relationship, so it has no heritability")
    return tabulated_ratios("Heritability", estimates, design, rows, [*_notes(model, design), *_notes_of_sires(design)])


def proportions(
    estimates: Estimates,
    model: Model,
    design: Design,
    *,
    trait: str | None = None,
    points: Sequence[float] | None = None,
) -> RatioTable:
    """What share of the phenotypic variance each term, effect, covariance between effects, and the residual has.

    The shares of a trait add up to 1. Parameters, columns and errors are those of `heritabilities`; ``effect`` is ``direct,
    maternal`` for twice a covariance times the relationship of the levels.
    """
    rows = []
    for place in places_of(estimates, model, design, trait, points):
        for parts in zip(*place.shares(), strict=True):
            share = parts[0]
            effect = share.effect if share.effect == share.other else f"{share.effect}, {share.other}"
            labels = {**place.labels, "term": share.term, "effect": effect or None}
            if any(part.weights.any() for part in parts):
                rows.append(RatioRow(labels, *place.ratios([part.weights for part in parts])))
    return tabulated_ratios("Proportions of variance", estimates, design, rows, _notes(model, design))


def phenotypic_variances(
    estimates: Estimates,
    model: Model,
    design: Design,
    *,
    trait: str | None = None,
    points: Sequence[float] | None = None,
) -> RatioTable:
    """The phenotypic variance of each trait; parameters, columns and errors as `heritabilities` has them."""
    rows = [
        RatioRow(place.labels, *(Ratio(total) for total in place.totals))
        for place in places_of(estimates, model, design, trait, points)
    ]
    return tabulated_ratios("Phenotypic variance", estimates, design, rows, _notes(model, design))


def intraclass_correlations(
    estimates: Estimates,
    model: Model,
    design: Design,
    *,
    trait: str | None = None,
    points: Sequence[float] | None = None,
) -> RatioTable:
    """Correlation of two records of the same level of a grouping, and of nothing that this does not imply.

    For each set of grouping factors of the model: the shares of all terms whose factors are among them. Records of the same
    ``a:b`` share their ``a``; those of the same animal share ``animal`` and ``ide(animal)``, so that the row ``animal`` is the
    repeatability. Parameters, columns and errors are those of `heritabilities`, ``grouping`` in the place of term and effect.
    """
    rows = []
    for place in places_of(estimates, model, design, trait, points):
        for grouping in _groupings(model):
            rows += _shared_within(place, model, grouping)
    if not rows:
        raise ModelError(
            "there are no random terms with one level a record, whose records could be alike; see fit.components"
            if design.random
            else "the model has no random terms, so no records are more alike than others; see fit.linear_model, fit.components"
        )
    return tabulated_ratios("Intra-class correlation", estimates, design, rows, _notes(model, design))


def repeatabilities(
    estimates: Estimates,
    model: Model,
    design: Design,
    *,
    factor: str | None = None,
    trait: str | None = None,
    points: Sequence[float] | None = None,
) -> RatioTable:
    """Repeatability: the intra-class correlation of records of the same animal, here of the same level of ``factor``.

    Parameters
    ----------
    factor
        Column of the animals; None is that of the only factor that has a relationship, or the only one of all terms.
    estimates, model, design, trait, points
        As `heritabilities` takes them; so are columns and errors.

    Raises
    ------
    ModelError
        No term, or several, could be the animals.
    """
    chosen = _factor_of_animals(model, design, factor)
    rows = []
    for place in places_of(estimates, model, design, trait, points):
        rows += _shared_within(place, model, (chosen,))
    if not rows:
        raise ModelError(f"no random term of the trait has the levels of {chosen!r}, so there is no repeatability")
    return tabulated_ratios("Repeatability", estimates, design, rows, _notes(model, design))


def total_maternal_heritabilities(
    estimates: Estimates, model: Model, design: Design, *, trait: str | None = None
) -> RatioTable:
    """Total heritability of direct and maternal effects, (σ²_A + 1.5 σ_AM + 0.5 σ²_M)/σ²_P (Willham 1972).

    Parameters, columns and errors as `heritabilities` has them.

    Raises
    ------
    ModelError
        No term of the traits has direct and maternal effects, or they are random regressions.
    """
    rows = []
    for place in places_of(estimates, model, design, trait, None):
        for k, (key, term) in enumerate(zip(model.keys, design.random, strict=True)):
            groups = {function.group for function in term.functions}
            if groups >= {"direct", "maternal"} and place.affected(k, "direct") and place.affected(k, "maternal"):
                means = place.mean_diagonals(k, "direct")
                own = place.effects(k, {"direct": 1.0, "maternal": 0.5}, {("direct", "maternal"): 1.5})
                labels = {**place.labels, "term": key, **place.scale_labels(k, "direct")}
                rows.append(RatioRow(labels, *place.ratios([mean * own for mean in means])))
    if not rows:
        raise ModelError(
            "no term has direct and maternal effects of the trait, so there is no total maternal heritability; "
            "(1 | animal + dam) has them"
        )
    return tabulated_ratios("Total maternal heritability", estimates, design, rows, _notes(model, design))


def _heritabilities_of(place: Place, k: int, model: Model, design: Design) -> Iterator[RatioRow]:
    """A row for each group of levels of a term that affects the trait."""
    term = design.random[k]
    pedigree = None if term.relationship is None else term.relationship.pedigree
    times = OF_SIRES if pedigree is not None and pedigree.of_sires else 1.0
    for group in dict.fromkeys(function.group for function in term.functions):
        if place.affected(k, group):
            own = times * place.effects(k, {group: 1.0})
            labels = {**place.labels, "term": term.name, "effect": group_name(group), **place.scale_labels(k, group)}
            if may_be_sires(model, design, k, place.trait):
                labels["note"] = IF_SIRES
            yield RatioRow(labels, *place.ratios([mean * own for mean in place.mean_diagonals(k, group)]))


def _groupings(model: Model) -> list[tuple[str, ...]]:
    """The sets of grouping factors of the model, each once."""
    groups = [group for term in model.random for group in term.groups if isinstance(group, Levels)]
    return list({frozenset(group.factors): group.factors for group in groups}.values())


def _shared_within(place: Place, model: Model, grouping: tuple[str, ...]) -> list[RatioRow]:
    """What records of the same level of a grouping share; nothing where no term of the trait belongs to it."""
    inner = {
        (key, group_name(group_label(term, group)))
        for key, term in zip(model.keys, model.random, strict=True)
        for group in term.groups
        if isinstance(group, Levels) and set(group.factors) <= set(grouping)
    }

    own = [
        sum((s.weights for s in shares if {(s.term, s.effect), (s.term, s.other)} <= inner), np.zeros(place.size))
        for shares in place.shares()
    ]
    if not own[0].any():
        return []
    return [RatioRow({**place.labels, "grouping": ":".join(grouping)}, *place.ratios(own))]


def _factor_of_animals(model: Model, design: Design, factor: str | None) -> str:
    """The column whose levels are the animals."""
    pairs = list(zip(model.random, design.random, strict=True))
    single = [(term.groups[0], made.relationship) for term, made in pairs]
    factors = {g.factors[0]: r for g, r in single if isinstance(g, Levels) and len(g.factors) == 1}
    if factor is not None:
        if factor not in factors:
            known = list(factors)
            raise ModelError(
                f"no random term has the levels of {factor!r}{nearest(factor, known)}; there are {name_some(known) or 'none'}"
            )
        return factor
    related = {g.factors[0] for g, r in single if isinstance(g, Levels) and r is not None}
    candidates = sorted(related or factors)
    if not candidates:
        raise ModelError(
            "no random term has the levels of one factor, so there is no repeatability; see fit.components"
        )
    if len(candidates) != 1:
        raise ModelError(
            f"the levels of {name_some(candidates)} could be the animals whose records repeat; name the column: "
            "fit.repeatability_of(column)"
        )
    return candidates[0]


def _notes(model: Model, design: Design) -> list[str]:
    """What the scale of each related term is, and which residual variance was used."""
    notes = []
    for term in design.random:
        if term.relationship is not None:
            scale = SCALE_NAMES[default_scale(term.relationship)]
            mean = float(term.relationship.diagonal[: term.relationship.animals].mean())
            notes.append(
                f"{term.name}: estimates are those of the {scale}; K has a mean diagonal of {mean:.4g} over its levels"
            )
    if model.residual.weights is not None:
        notes.append("the residual variance is that of a record with weight 1")
    return notes


def _notes_of_sires(design: Design) -> list[str]:
    related = [(term.name, term.relationship.pedigree) for term in design.random if term.relationship is not None]
    return [
        f"{name}: levels are sires, so the heritability is 4 times their share"
        for name, pedigree in related
        if pedigree is not None and pedigree.of_sires
    ]
