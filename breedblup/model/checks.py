"""What comes from outside, as the types that a model promises; anything else is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeGuard

from breedblup.errors import ModelError, name_some, nearest


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a value is a sequence; one text is none."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def checked_names(value: object, what: str, at_least: int = 0) -> tuple[str, ...]:
    """A tuple of distinct, non-empty names."""
    if not is_list(value):
        raise ModelError(f"{what} must be a list of names, found {value!r}")
    for name in value:
        if not isinstance(name, str):
            raise ModelError(f"{what} must be names, found {name!r}")
        if not name.strip():
            raise ModelError(f"{what} hold an empty name")
    if len(value) < at_least:
        raise ModelError(f"{what} are empty; at least {at_least} must be named")
    repeated = [name for n, name in enumerate(value) if name in value[:n]]
    if repeated:
        raise ModelError(f"{what} hold {repeated[0]!r} more than once")
    return tuple(value)


def checked_terms(value: object, kinds: tuple[type, ...], part: str) -> tuple[Any, ...]:
    """A tuple of terms of the right kinds."""
    wanted = " or ".join(kind.__name__ for kind in kinds)
    if not is_list(value):
        raise ModelError(f"the {part} terms must be a list of {wanted}, found {value!r}")
    for term in value:
        if not isinstance(term, kinds):
            raise ModelError(f"a {part} term must be {wanted}, found {term!r}")
    return tuple(value)


def checked_limit(value: object) -> float:
    """A limit of a basis."""
    return _checked_number(value, "the limits of a basis are two finite numbers")


def _checked_number(value: object, rule: str) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ModelError(f"{rule}, found {value!r}")
    return float(value)


def checked_table(value: object, known: Sequence[str], needed: Sequence[str], where: str) -> Mapping[str, Any]:
    """A table with the needed keys and no unknown one."""
    if not isinstance(value, Mapping):
        raise ModelError(f"{where}: expected a table, found {value!r}")
    for key in value:
        if key not in known:
            raise ModelError(f"{where}: unknown key {key!r}{nearest(str(key), known)}; known are {name_some(known)}")
    for key in needed:
        if key not in value:
            raise ModelError(f"{where}: the key {key!r} is missing")
    return value


def checked_list(value: object, where: str) -> Sequence[Any]:
    """A list; each of its tables is checked by itself."""
    if not is_list(value):
        raise ModelError(f"{where}: expected a list of tables, found {value!r}")
    return value


def checked_knots(value: object) -> tuple[float, ...]:
    """Finite numbers, ascending."""
    if not is_list(value):
        raise ModelError(f"the knots of a basis must be a list of numbers, found {value!r}")
    knots = tuple(_checked_number(knot, "the knots of a basis are finite numbers") for knot in value)
    if any(later <= knot for knot, later in pairwise(knots)):
        raise ModelError(f"the knots of a basis have to ascend, found {name_some(knots)}")
    return knots


def checked_weights(value: object) -> tuple[str | float, ...]:
    """Names of columns, or finite numbers."""
    if not is_list(value):
        raise ModelError(f"the weights of Members must be a list of columns or numbers, found {value!r}")
    rule = "the weights of Members are columns or finite numbers"
    return tuple(
        checked_names((weight,), "the weights of Members")[0]
        if isinstance(weight, str)
        else _checked_number(weight, rule)
        for weight in value
    )
