"""The parts of a model ⇄ the text of a formula, or of one formula for each trait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from breedblup.errors import ModelError, name_some
from breedblup.formula import (
    Call,
    Column,
    Group,
    Interaction,
    Membership,
    ParsedFormula,
    RandomTerm,
    has_constant,
    parse_formula,
)
from breedblup.model.bases import BASIS_FUNCTIONS, Basis
from breedblup.model.bytrait import OneTrait, is_intercept, joined_terms, regressors_of, terms_of
from breedblup.model.checks import checked_names, is_list
from breedblup.model.fixed import INTERCEPT, ByType, Covariate, Fixed, FixedPart
from breedblup.model.random import Effect, LevelGroup, Levels, Members, Random
from breedblup.model.residual import Parts, Residual

_BASIS_KINDS = {function: kind for kind, function in BASIS_FUNCTIONS.items()}


def parts_from_formula(
    text: str | Sequence[str], weights: str | Mapping[str, str] | None, residual_classes: str | Sequence[str]
) -> Parts:
    """The parts of the model that a formula, or one for each trait, describes; implied intercepts are among them."""
    pairs = tuple(weights.items()) if isinstance(weights, Mapping) else weights
    classes = (residual_classes,) if isinstance(residual_classes, str) else residual_classes
    residual = Residual(pairs, checked_names(classes, "the classes of Residual"))
    texts = [text] if isinstance(text, str) else text
    if not is_list(texts) or not all(isinstance(one, str) for one in texts):
        raise ModelError(f"a formula is a text, or a list of texts, one for each trait; found {text!r}")
    parsed = [parse_formula(one) for one in texts]
    if len(parsed) == 1:
        return parsed[0].responses, *_terms(parsed[0]), residual
    traits = _single_responses(parsed)
    return traits, *joined_terms(traits, [_terms(one) for one in parsed]), residual


def formulas_from_parts(parts: Parts) -> tuple[str, ...]:
    """Formulas that give the parts back, all but the residual: one, or one for each trait where terms name traits."""
    traits, fixed, random, _ = parts
    by_trait = any(term.traits for term in fixed) or any(effect.traits for term in random for effect in term.effects)
    if not by_trait:
        return (_written_formula(traits, (fixed, random)),)
    return tuple(_written_formula((trait,), terms_of(fixed, random, trait)) for trait in traits)


def random_keys(random: Sequence[Random]) -> tuple[str, ...]:
    """What variances call each random term: the text right of its bar, or that between its parentheses."""
    keys = [term.key for term in random]
    return tuple(
        key if keys.count(key) == 1 else str(_written_random(term))[1:-1]
        for key, term in zip(keys, random, strict=True)
    )


def _single_responses(parsed: list[ParsedFormula]) -> tuple[str, ...]:
    """The trait of each of several formulas."""
    if not parsed:
        raise ModelError("the list of formulas is empty; write one for each trait")
    found: list[str] = []
    for number, one in enumerate(parsed, 1):
        if len(one.responses) > 1:
            raise ModelError(
                f"formula {number} of {len(parsed)} has the responses {name_some(one.responses)}; in a list each formula "
                "has one response"
            )
        if one.responses[0] in found:
            raise ModelError(
                f"the formulas {found.index(one.responses[0]) + 1} and {number} both have the response "
                f"{one.responses[0]!r}; write one formula for each trait"
            )
        found.append(one.responses[0])
    return tuple(found)


def _terms(parsed: ParsedFormula) -> OneTrait:
    """What stands right of the ~."""
    fixed = [_fixed_term(term) for term in parsed.fixed]
    if parsed.intercept and not any(has_constant(term) for term in parsed.fixed):
        fixed.insert(0, INTERCEPT)
    return tuple(fixed), tuple(_random_term(term) for term in parsed.random)


def _fixed_term(term: Interaction) -> FixedPart:
    """The term that a fixed part of a formula means; bare names beside a covariate are factors."""
    covariates = [part for part in term.parts if isinstance(part, Call) and part.function != "factor"]
    if len(covariates) > 1:
        raise ModelError(f"{term}: a term can hold one covariate; make their product a column of the records")
    factors = [part for part in term.parts if part not in covariates]
    names = tuple(part.name if isinstance(part, Column) else part.column for part in factors)
    if covariates:
        return Covariate(covariates[0].column, _basis(covariates[0]), names)
    bare = [part.name for part in factors if isinstance(part, Column)]
    if not bare:
        return Fixed(names)
    if len(bare) < len(names):
        raise ModelError(
            f"{term}: whether {name_some(bare)} is a factor or a covariate must be said; write factor() or covariate()"
        )
    return ByType(names)


def _basis(call: Call) -> Basis:
    lower, upper = call.range or (None, None)
    return Basis(_BASIS_KINDS[call.function], call.degree or 1, lower, upper, call.knots)


def _random_term(term: RandomTerm) -> Random:
    """The effects of each group, in the order in which they are written."""
    groups = [_group(group) for group in term.groups]
    effects = [Effect(group, *_regressor(part, term)) for group in groups for part in term.effects]
    if term.intercept and not any(has_constant(part) for part in term.effects):
        effects = [Effect(group) for group in groups] + effects
    return Random(tuple(effects), term.correlated)


def _regressor(interaction: Interaction, term: RandomTerm) -> tuple[str, Basis]:
    """The covariate left of a bar; a bare name is one."""
    if len(interaction.parts) > 1:
        raise ModelError(
            f"{term}: {interaction} cannot stand left of the bar; make the product a column of the records, or nest the "
            "groups, as in (1 | animal:herd)"
        )
    part = interaction.parts[0]
    if isinstance(part, Column):
        return part.name, Basis("linear")
    if part.function == "factor":
        raise ModelError(
            f"{term}: {interaction} cannot stand left of the bar; make a column of 0 and 1 for each class, and write "
            "(0 + class1 + class2 | group)"
        )
    return part.column, _basis(part)


def _group(group: Group | Membership) -> LevelGroup:
    if isinstance(group, Membership):
        return Members(group.columns, group.weights)
    return Levels(group.factors, group.identity, group.relationship)


def _written_formula(responses: tuple[str, ...], terms: OneTrait) -> str:
    fixed, random = terms
    shown = tuple(_written(term) for term in fixed if not is_intercept(term))
    intercept = any(is_intercept(term) for term in fixed) or any(has_constant(term) for term in shown)
    return str(ParsedFormula(responses, shown, tuple(_written_random(term) for term in random), intercept))


def _written(term: FixedPart) -> Interaction:
    """The fixed term as a formula writes it."""
    if isinstance(term, Fixed):
        return Interaction(tuple(Call("factor", name) for name in term.factors))
    if isinstance(term, ByType):
        return Interaction(tuple(Column(name) for name in term.columns))
    return Interaction((*(Column(name) for name in term.within), _written_basis(term.column, term.basis)))


def _written_basis(column: str, basis: Basis) -> Call:
    limits = None if basis.lower is None or basis.upper is None else (basis.lower, basis.upper)
    degree = None if basis.kind == "linear" else basis.degree
    return Call(BASIS_FUNCTIONS[basis.kind], column, degree, limits, basis.knots)


def _written_random(term: Random) -> RandomTerm:
    """The random term as a formula writes it, for all of its traits together."""
    regressors = regressors_of(term)
    effects = tuple(
        Interaction((Column(column) if basis.kind == "linear" else _written_basis(column, basis),))
        for column, basis in regressors
        if column is not None
    )
    intercept = any(column is None or basis.has_constant for column, basis in regressors)
    return RandomTerm(tuple(_written_group(group) for group in term.groups), intercept, effects, term.correlated)


def _written_group(group: LevelGroup) -> Group | Membership:
    if isinstance(group, Members):
        return Membership(group.columns, group.weights)
    return Group(group.factors, group.identity, group.relationship)
