"""The parts of a model ⇄ the text of a formula, or of one formula for each trait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from breedblup.errors import ModelError, name_some
from breedblup.formula import (
    Call,
    Column,
    Group,
    Interaction,
    Membership,
    ParsedFormula,
    RandomTerm,
    expression_of,
    has_constant,
    parse_formula,
    product_name,
)
from breedblup.model.bases import BASIS_FUNCTIONS, LINEAR, Basis
from breedblup.model.bytrait import OneTrait, Regressor, is_intercept, joined_terms, regressors_of, terms_of
from breedblup.model.checks import checked_names, is_list
from breedblup.model.classes import Classes
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
    """What variances call each random term: the text right of its bar, or that between its parentheses.

    Factors left of the bar are bare names there, so that a term is called the same before and after its classes are known.
    """
    keys = [term.key for term in random]
    return tuple(key if keys.count(key) == 1 else _whole_key(term) for key, term in zip(keys, random, strict=True))


def _whole_key(term: Random) -> str:
    written = _written_random(term)
    effects = tuple(Interaction(tuple(sorted(map(_bare, one.parts), key=str))) for one in written.effects)
    return str(replace(written, effects=effects))[1:-1]


def _bare(part: Column | Call) -> Column | Call:
    """The name of a factor or covariate without its role."""
    role = isinstance(part, Call) and part.function in ("factor", "covariate") and expression_of(part.column) is None
    return Column(part.column) if isinstance(part, Call) and role else part


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
    levels = [part for part in term.parts if isinstance(part, Call) and part.levels]
    if levels:
        raise ModelError(
            f"{term}: levels= stands left of a bar; a fixed factor has the levels of its column, in the order of a polars Enum "
            "or pandas Categorical -> leave levels= out"
        )
    factors = [part for part in term.parts if part not in covariates]
    names = tuple(part.name if isinstance(part, Column) else part.column for part in factors)
    if covariates:
        return Covariate(*_product(covariates, str(term)), names)
    bare = [part.name for part in factors if isinstance(part, Column)]
    if not bare:
        return Fixed(names)
    return ByType(names, factors=tuple(name for name in names if name not in bare))


def _product(covariates: Sequence[Call], where: str) -> tuple[str, Basis]:
    """The covariate of a term, or the product of several as a column of its own."""
    if len(covariates) == 1:
        return covariates[0].column, _basis(covariates[0])
    if any(call.function != "covariate" for call in covariates):
        raise ModelError(
            f"{where}: of several covariates only the columns themselves are multiplied, not functions such as poly(); write "
            "their product, as in I(x * z)"
        )
    return product_name([call.column for call in covariates]), LINEAR


def _basis(call: Call) -> Basis:
    lower, upper = call.range or (None, None)
    return Basis(_BASIS_KINDS[call.function], call.degree or 1, lower, upper, call.knots)


def _random_term(term: RandomTerm) -> Random:
    """The effects of each group, in the order in which they are written."""
    groups = [_group(group) for group in term.groups]
    regressors = [_regressor(part) for part in term.effects]
    effects = [Effect(group, one.column, one.basis, (), one.classes) for group in groups for one in regressors]
    if term.intercept and not any(has_constant(part) for part in term.effects):
        effects = [Effect(group) for group in groups] + effects
    return Random(tuple(effects), term.correlated)


def _regressor(interaction: Interaction) -> Regressor:
    """What stands left of a bar: covariates, factors, and names between which the types of their columns decide.

    A name by itself is a covariate unless its column holds text; one that multiplies a covariate is a factor.
    """
    covariates = [part for part in interaction.parts if isinstance(part, Call) and part.function != "factor"]
    factors = [part for part in interaction.parts if part not in covariates]
    if not covariates and len(factors) == 1 and isinstance(factors[0], Column):
        return Regressor(factors[0].name, LINEAR)
    classes = tuple(
        Classes(part.name, by_type=not covariates) if isinstance(part, Column) else Classes(part.column, part.levels)
        for part in factors
    )
    if not covariates:
        return Regressor(None, LINEAR, classes)
    column, basis = _product(covariates, str(interaction))
    return Regressor(column, basis, classes)


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
        declared = term.factors
        return Interaction(tuple(Call("factor", name) if name in declared else Column(name) for name in term.columns))
    return Interaction((*(Column(name) for name in term.within), _written_basis(term.column, term.basis)))


def _written_basis(column: str, basis: Basis) -> Call:
    limits = None if basis.lower is None or basis.upper is None else (basis.lower, basis.upper)
    degree = None if basis.kind == "linear" else basis.degree
    return Call(BASIS_FUNCTIONS[basis.kind], column, degree, limits, basis.knots)


def _written_random(term: Random) -> RandomTerm:
    """The random term as a formula writes it, for all of its traits together."""
    regressors = regressors_of(term)
    effects = tuple(_written_regressor(one) for one in regressors if not one.is_constant)
    intercept = any(one.is_constant or one.basis.has_constant for one in regressors)
    return RandomTerm(tuple(_written_group(group) for group in term.groups), intercept, effects, term.correlated)


def _written_regressor(regressor: Regressor) -> Interaction:
    column, basis, classes = regressor
    parts: list[Column | Call] = [
        Column(one.factor) if one.by_type else Call("factor", one.factor, levels=one.levels) for one in classes
    ]
    if column is not None:
        bare = basis.kind == "linear" and not classes and expression_of(column) is None
        parts.append(Column(column) if bare else _written_basis(column, basis))
    return Interaction(tuple(parts))


def _written_group(group: LevelGroup) -> Group | Membership:
    if isinstance(group, Members):
        same = len(set(group.weights)) == 1
        return Membership(group.columns, group.weights[:1] if same else group.weights)
    return Group(group.factors, group.identity, group.relationship)
