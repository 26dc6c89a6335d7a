"""The parts of a model ⇄ lists, tables, text and numbers as TOML has them."""

from __future__ import annotations

from typing import Any

from breedblup.errors import ModelError, name_some
from breedblup.model.checks import checked_list, checked_table
from breedblup.model.terms import Basis, ByType, Covariate, Fixed, FixedPart, Parts, Random, Residual


def plain_from_parts(parts: Parts) -> dict[str, Any]:
    """A table of the parts; what equals its default is left out."""
    traits, fixed, random, residual = parts
    plain: dict[str, Any] = {"traits": list(traits), "fixed": [_plain_fixed(term) for term in fixed]}
    if random:
        plain["random"] = [_plain_random(term) for term in random]
    if residual.weights is not None:
        plain["residual"] = {"weights": residual.weights}
    return plain


def parts_from_plain(plain: object) -> Parts:
    """The parts that `plain_from_parts` wrote."""
    table = checked_table(plain, ("traits", "fixed", "random", "residual"), ("traits", "fixed"), "model")
    random = tuple(_random_term(entry) for entry in checked_list(table.get("random", []), "random"))
    residual = checked_table(table.get("residual", {}), ("weights",), (), "residual")
    fixed = tuple(_fixed_term(entry) for entry in checked_list(table["fixed"], "fixed"))
    return table["traits"], fixed, random, Residual(**residual)


def _plain_fixed(term: FixedPart) -> dict[str, Any]:
    if isinstance(term, Fixed):
        return {"factors": list(term.factors)}
    if isinstance(term, ByType):
        return {"columns": list(term.columns)}
    basis = term.basis
    plain: dict[str, Any] = {"covariate": term.column}
    if basis.kind != "linear":
        plain |= {"basis": basis.kind, "degree": basis.degree}
    if basis.lower is not None:
        plain |= {"lower": basis.lower, "upper": basis.upper}
    return plain | ({"within": list(term.within)} if term.within else {})


def _plain_random(term: Random) -> dict[str, Any]:
    return {"factors": list(term.factors)} | ({"identity": True} if term.identity else {})


def _fixed_term(entry: object) -> FixedPart:
    known = ("factors", "columns", "covariate", "basis", "degree", "lower", "upper", "within")
    table = checked_table(entry, known, (), "fixed term")
    kinds = [key for key in ("factors", "columns", "covariate") if key in table]
    if len(kinds) != 1:
        raise ModelError(
            f"a fixed term has one of 'factors', 'columns' and 'covariate', found {name_some(table) or 'nothing'}"
        )
    if kinds == ["covariate"]:
        options = {key: table[key] for key in ("degree", "lower", "upper") if key in table}
        return Covariate(table["covariate"], Basis(table.get("basis", "linear"), **options), table.get("within", ()))
    checked_table(table, kinds, (), f"fixed term with {kinds[0]!r}")
    return Fixed(table["factors"]) if kinds == ["factors"] else ByType(table["columns"])


def _random_term(entry: object) -> Random:
    return Random(**checked_table(entry, ("factors", "identity"), ("factors",), "random term"))
