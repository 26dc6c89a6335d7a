"""The parts of a model ⇄ lists, tables, text and numbers as TOML has them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from breedblup.errors import ModelError, name_some
from breedblup.model.bases import Basis
from breedblup.model.checks import checked_list, checked_table
from breedblup.model.classes import Classes
from breedblup.model.fixed import ByType, Covariate, Fixed, FixedPart
from breedblup.model.random import Effect, LevelGroup, Levels, Members, Random
from breedblup.model.residual import Parts, Residual

_BASIS = ("basis", "degree", "lower", "upper", "knots")
_LEVELS = ("factors", "identity", "relationship")


def plain_from_parts(parts: Parts) -> dict[str, Any]:
    """A table of the parts; what equals its default is left out."""
    traits, fixed, random, residual = parts
    plain: dict[str, Any] = {"traits": list(traits), "fixed": [_plain_fixed(term) for term in fixed]}
    if random:
        plain["random"] = [_plain_random(term) for term in random]
    shown = _plain_residual(residual)
    return plain | ({"residual": shown} if shown else {})


def parts_from_plain(plain: object) -> Parts:
    """The parts that `plain_from_parts` wrote."""
    table = checked_table(plain, ("traits", "fixed", "random", "residual"), ("traits", "fixed"), "model")
    random = tuple(_random_term(entry) for entry in checked_list(table.get("random", []), "random"))
    residual = checked_table(table.get("residual", {}), ("weights", "classes"), (), "residual")
    fixed = tuple(_fixed_term(entry) for entry in checked_list(table["fixed"], "fixed"))
    return table["traits"], fixed, random, Residual(**residual)


def toml_text(plain: Mapping[str, Any]) -> str:
    """A [model] section: a key a line, a list of tables with a table a line."""
    lines = ["[model]"]
    for key, value in plain.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines += [f"{key} = [", *(f"    {_toml_value(entry)}," for entry in value), "]"]
        else:
            lines.append(f"{key} = {_toml_value(value)}")
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    """Text, a number, a list or a table as TOML writes it in one line; its text is escaped as that of JSON."""
    if isinstance(value, Mapping):
        pairs = (f"{_toml_key(key)} = {_toml_value(entry)}" for key, entry in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list):
        return f"[{', '.join(_toml_value(entry) for entry in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _toml_value(key)


def _plain_fixed(term: FixedPart) -> dict[str, Any]:
    plain: dict[str, Any]
    if isinstance(term, Fixed):
        plain = {"factors": list(term.factors)}
    elif isinstance(term, ByType):
        plain = {"columns": list(term.columns)} | ({"as_factors": list(term.factors)} if term.factors else {})
    else:
        plain = {"covariate": term.column} | _plain_basis(term.basis)
        if term.within:
            plain["within"] = list(term.within)
    return plain | _plain_traits(term)


def _plain_basis(basis: Basis) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    if basis.kind != "linear":
        plain |= {"basis": basis.kind, "degree": basis.degree}
    if basis.lower is not None:
        plain |= {"lower": basis.lower, "upper": basis.upper}
    return plain | ({"knots": list(basis.knots)} if basis.knots else {})


def _plain_traits(term: FixedPart | Effect) -> dict[str, Any]:
    return {"traits": list(term.traits)} if term.traits else {}


def _plain_random(term: Random) -> dict[str, Any]:
    """A term of one effect as the table of its group, others as a list of effects."""
    effects = [_plain_effect(effect) for effect in term.effects]
    if len(effects) == 1 and not effects[0].keys() - set(_LEVELS):
        return effects[0]
    return {"effects": effects} | ({} if term.correlated else {"correlated": False})


def _plain_effect(effect: Effect) -> dict[str, Any]:
    plain: dict[str, Any]
    if isinstance(effect.group, Members):
        plain = {"members": list(effect.group.columns)}
        if effect.group.weights:
            plain["weights"] = list(effect.group.weights)
    else:
        plain = {"factors": list(effect.group.factors)}
        if effect.group.identity:
            plain["identity"] = True
        if effect.group.relationship is not None:
            plain["relationship"] = effect.group.relationship
    if effect.column is not None:
        plain |= {"covariate": effect.column} | _plain_basis(effect.basis)
    if effect.classes:
        plain["classes"] = [_plain_classes(classes) for classes in effect.classes]
    return plain | _plain_traits(effect)


def _plain_classes(classes: Classes) -> dict[str, Any]:
    plain: dict[str, Any] = {"column" if classes.by_type else "factor": classes.factor}
    return plain | ({"levels": list(classes.levels)} if classes.levels else {})


def _plain_residual(residual: Residual) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    if residual.weights is not None:
        plain["weights"] = residual.weights if isinstance(residual.weights, str) else dict(residual.weights)
    return plain | ({"classes": list(residual.classes)} if residual.classes else {})


def _fixed_term(entry: object) -> FixedPart:
    kinds = ("factors", "columns", "covariate")
    table = checked_table(entry, (*kinds, *_BASIS, "within", "as_factors", "traits"), (), "fixed term")
    kind = _one_of(table, kinds, "a fixed term")
    traits = table.get("traits", ())
    if kind == "covariate":
        checked_table(table, (kind, *_BASIS, "within", "traits"), (), f"fixed term with {kind!r}")
        return Covariate(table["covariate"], _basis(table), table.get("within", ()), traits)
    if kind == "columns":
        checked_table(table, (kind, "as_factors", "traits"), (), f"fixed term with {kind!r}")
        return ByType(table["columns"], traits, table.get("as_factors", ()))
    checked_table(table, (kind, "traits"), (), f"fixed term with {kind!r}")
    return Fixed(table["factors"], traits)


def _random_term(entry: object) -> Random:
    if isinstance(entry, Mapping) and "effects" in entry:
        table = checked_table(entry, ("effects", "correlated"), (), "random term with 'effects'")
        effects = [_effect(one) for one in checked_list(table["effects"], "effects of a random term")]
        return Random(tuple(effects), table.get("correlated", True))
    table = checked_table(entry, ("effects", *_LEVELS), (), "random term")
    _one_of(table, ("factors", "effects"), "a random term")
    return Random((Effect(Levels(**table)),))


def _effect(entry: object) -> Effect:
    known = (*_LEVELS, "members", "weights", "covariate", *_BASIS, "classes", "traits")
    table = checked_table(entry, known, (), "effect of a random term")
    kind = _one_of(table, ("factors", "members"), "an effect of a random term")
    own = _LEVELS if kind == "factors" else ("members", "weights")
    regression = ("covariate", *_BASIS) if "covariate" in table else ("covariate",)
    where = f"effect with {kind!r} and {'a' if 'covariate' in table else 'no'} 'covariate'"
    checked_table(table, (*own, *regression, "classes", "traits"), (), where)
    group: LevelGroup
    if kind == "factors":
        group = Levels(**{key: table[key] for key in _LEVELS if key in table})
    else:
        group = Members(table["members"], table.get("weights", ()))
    classes = tuple(_classes(one) for one in checked_list(table.get("classes", []), "classes of an effect"))
    return Effect(group, table.get("covariate"), _basis(table), table.get("traits", ()), classes)


def _classes(entry: object) -> Classes:
    table = checked_table(entry, ("factor", "column", "levels"), (), "classes of an effect")
    kind = _one_of(table, ("factor", "column"), "an entry of classes")
    return Classes(table[kind], table.get("levels", ()), by_type=kind == "column")


def _basis(table: Mapping[str, Any]) -> Basis:
    options = {key: table[key] for key in _BASIS[1:] if key in table}
    return Basis(table.get("basis", "linear"), **options)


def _one_of(table: Mapping[str, Any], kinds: tuple[str, ...], what: str) -> str:
    """Which of these keys a table has."""
    found = [key for key in kinds if key in table]
    if len(found) != 1:
        named = f"{', '.join(repr(key) for key in kinds[:-1])} and {kinds[-1]!r}"
        raise ModelError(f"{what} has one of {named}, found {name_some(table) or 'nothing'}")
    return found[0]
