"""What the reader of a model sees: its parts as a table for a terminal, and its equation in words."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from breedblup.formula.tokens import number_text
from breedblup.model.bases import Basis
from breedblup.model.bytrait import is_intercept
from breedblup.model.coordinates import coordinates_of, effect_classes, group_label
from breedblup.model.fixed import ByType, Fixed, FixedPart
from breedblup.model.random import Effect, Members, Random, affects
from breedblup.model.residual import Parts, Residual

_WIDTH = 100


def model_table(parts: Parts, keys: Sequence[str]) -> str:
    """The parts as a table: what it is, its name, what is fitted; then the equation of each trait."""
    traits, fixed, random, residual = parts
    rows = [("trait", trait, [""]) for trait in traits]
    rows += [("fixed", term.name, [_described_fixed(term)]) for term in fixed]
    rows += [("random", key, _described_random(term, traits)) for key, term in zip(keys, random, strict=True)]
    rows.append(("residual", "R" if residual.weights is None else _weighted(residual), _described_residual(parts)))
    width = max(len(name) for _, name, _ in rows)
    lines = ["Model"]
    for n, (part, name, what) in enumerate(rows):
        heading = "" if n and rows[n - 1][0] == part else part
        lines += [
            f"  {'' if k else heading:<9} {'' if k else name:<{width}}  {line}".rstrip() for k, line in enumerate(what)
        ]
    for n, equation in enumerate(_equations(parts)):
        lines += [f"  {'' if n or k else 'equation':<9} {line}" for k, line in enumerate(equation)]
    return "\n".join(lines)


def _described_fixed(term: FixedPart) -> str:
    return "; ".join(filter(None, (_kind(term), f"for {', '.join(term.traits)}" if term.traits else "")))


def _kind(term: FixedPart) -> str:
    if isinstance(term, Fixed):
        return "classes" if term.factors else ""
    if isinstance(term, ByType):
        return "classes or regression, by the type of the column"
    shown = _described_basis(term.basis)
    return f"{shown}, within {':'.join(term.within)}" if term.within else shown


def _described_basis(basis: Basis) -> str:
    limits = "the range of the data"
    if basis.lower is not None and basis.upper is not None:
        limits = f"{number_text(basis.lower)} to {number_text(basis.upper)}"
    if basis.kind == "linear":
        return "regression"
    if basis.kind == "polynomial":
        return f"orthogonal polynomials of degree 1 to {basis.degree}"
    if basis.kind == "legendre":
        return f"normalised Legendre polynomials of degree 0 to {basis.degree} on {limits}"
    knots = f", inner knots {', '.join(number_text(knot) for knot in basis.knots)}" if basis.knots else ""
    return f"B-splines of degree {basis.degree} on {limits}{knots}"


def _described_random(term: Random, traits: tuple[str, ...]) -> list[str]:
    """Relationship; regressions; the rows of the covariance matrix where it has several."""
    first = term.groups[0]
    name = term.relationship_name
    if name is None:
        lines = ["identity"]
    elif isinstance(first, Members) or first.relationship is None:
        lines = [f"K of {name!r} where given, else identity"]
    else:
        lines = [f"K of {name!r}"]
    lines += dict.fromkeys(_described_classes(term, effect) for effect in term.effects if effect.classes)
    bases = {
        effect.basis.label(effect.column): effect.basis
        for effect in term.effects
        if effect.column is not None and effect.basis.kind != "linear"
    }
    lines += [f"{label}: {_described_basis(basis)}" for label, basis in bases.items()]
    rows = coordinates_of(term, traits)
    if len(rows) > 1 and all(effect.is_complete for effect in term.effects):
        kind = "covariance matrix" if term.correlated else "covariance matrix, effects uncorrelated"
        lines += wrap(f"{kind} {len(rows)} x {len(rows)}: {', '.join(str(row) for row in rows)}", _WIDTH)
    return lines


def _described_classes(term: Random, effect: Effect) -> str:
    """Which classes have an effect."""
    if not effect.is_complete:
        by_type = any(classes.by_type for classes in effect.classes)
        return f"{effect.label}: classes that the records have{', or regression, by type' if by_type else ''}"
    shown = ", ".join(":".join(levels) for levels in effect_classes(term, effect))
    return f"{effect.label}: classes {shown}"


def _weighted(residual: Residual) -> str:
    return f"R/{residual.weights}" if isinstance(residual.weights, str) else "R/w"


def _described_residual(parts: Parts) -> list[str]:
    """Order, weights of single traits, classes."""
    traits, _, _, residual = parts
    shown = []
    if len(traits) > 1:
        shown.append(f"covariance matrix {len(traits)} x {len(traits)}: {', '.join(traits)}")
    if residual.weights is not None and not isinstance(residual.weights, str):
        shown.append("w: " + ", ".join(f"{column} for {trait}" for trait, column in residual.weights))
    if residual.classes:
        shown.append(f"one for each class of {':'.join(residual.classes)}")
    return shown or [""]


def _equations(parts: Parts) -> list[list[str]]:
    """The equation of each trait in words, a list of lines each."""
    traits, fixed, random, _ = parts
    equations = []
    for trait in traits:
        terms = ["intercept" if is_intercept(term) else term.name for term in fixed if affects(term, trait)]
        terms += [_in_words(term, effect) for term in random for effect in term.effects if affects(effect, trait)]
        equations.append(wrap(f"{trait} = {' + '.join([*terms, 'residual'])}", _WIDTH, subsequent_indent="    "))
    return equations


def _in_words(term: Random, effect: Effect) -> str:
    """``animal (direct)``, ``dam (maternal)``, ``animal:leg(dim, 2)``."""
    named = str(effect.group) if effect.label == "1" else f"{effect.group}:{effect.label}"
    label = group_label(term, effect.group)
    return f"{named} ({label})" if label and label != str(effect.group) else named
