"""The parts of a model ⇄ the text of a formula, and the table that a reader of the model sees."""

from __future__ import annotations

from breedblup.errors import ModelError, name_some
from breedblup.formula import (
    Call,
    Column,
    Group,
    Interaction,
    ParsedFormula,
    RandomTerm,
    has_constant,
    parse_formula,
)
from breedblup.model.terms import (
    BASIS_FUNCTIONS,
    INTERCEPT,
    Basis,
    ByType,
    Covariate,
    Fixed,
    FixedPart,
    Parts,
    Random,
    Residual,
)

_BASIS_KINDS = {function: kind for kind, function in BASIS_FUNCTIONS.items()}


def parts_from_formula(text: str, weights: str | None) -> Parts:
    """The parts of the model that a formula describes; the implied intercept is among them."""
    parsed = parse_formula(text)
    fixed = [_fixed_term(term) for term in parsed.fixed]
    if parsed.intercept and not any(has_constant(term) for term in parsed.fixed):
        fixed.insert(0, INTERCEPT)
    return parsed.responses, tuple(fixed), tuple(_random_term(term) for term in parsed.random), Residual(weights)


def formula_from_parts(parts: Parts) -> str:
    """A formula that gives the parts back, all but the weights."""
    traits, fixed, random, _ = parts
    shown = tuple(_written(term) for term in fixed if term != INTERCEPT)
    intercept = INTERCEPT in fixed or any(has_constant(term) for term in shown)
    groups = tuple(RandomTerm((Group(term.factors, term.identity),)) for term in random)
    return str(ParsedFormula(traits, shown, groups, intercept))


def overview(parts: Parts) -> str:
    """The parts as a table for a terminal: what it is, its name, what is fitted."""
    traits, fixed, random, residual = parts
    rows = [("trait", trait, "") for trait in traits]
    rows += [("fixed", term.name, _description(term)) for term in fixed]
    rows += [("random", term.key, "identity" if term.identity else "K given or identity") for term in random]
    rows.append(("residual", "R" if residual.weights is None else f"R/{residual.weights}", ""))
    width = max(len(name) for _, name, _ in rows)
    lines = [
        f"  {'' if n and rows[n - 1][0] == part else part:<9} {name:<{width}}  {what}".rstrip()
        for n, (part, name, what) in enumerate(rows)
    ]
    return "\n".join(["Model", *lines])


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
    return Basis(_BASIS_KINDS[call.function], call.degree or 1, lower, upper)


def _random_term(term: RandomTerm) -> Random:
    group = term.groups[0]
    if len(term.groups) > 1 or not isinstance(group, Group) or term.effects or not term.intercept:
        raise ModelError(
            f"{term}: this version fits scalar random terms, one effect a level; write (1 | factor), (1 | ide(factor)) "
            "or (1 | a:b)"
        )
    return Random(group.factors, group.identity)


def _written(term: FixedPart) -> Interaction:
    """The term as a formula writes it."""
    if isinstance(term, Fixed):
        return Interaction(tuple(Call("factor", name) for name in term.factors))
    if isinstance(term, ByType):
        return Interaction(tuple(Column(name) for name in term.columns))
    basis = term.basis
    limits = None if basis.lower is None or basis.upper is None else (basis.lower, basis.upper)
    call = Call(BASIS_FUNCTIONS[basis.kind], term.column, None if basis.kind == "linear" else basis.degree, limits)
    return Interaction((*(Column(name) for name in term.within), call))


def _description(term: FixedPart) -> str:
    """What a fixed term is, for the reader of a ``repr``."""
    if isinstance(term, Fixed):
        return "classes" if term.factors else ""
    if isinstance(term, ByType):
        return "classes or regression, by the type of the column"
    basis = term.basis
    limits = "the range of the data" if basis.lower is None else f"{basis.lower:g} to {basis.upper:g}"
    shown = {
        "linear": "regression",
        "polynomial": f"orthogonal polynomials of degree 1 to {basis.degree}",
        "legendre": f"normalised Legendre polynomials of degree 0 to {basis.degree} on {limits}",
    }[basis.kind]
    return f"{shown}, within {':'.join(term.within)}" if term.within else shown
