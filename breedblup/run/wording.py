"""What is wrong with a configuration file, in the words and the notation of the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from typing import TypeAlias

from pydantic_core import ErrorDetails

from breedblup.errors import nearest

Place: TypeAlias = tuple[str | int, ...]

_WANTED = {
    "string_type": "text in quotes",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a section",
    "model_type": "a section",
}

_FORMS = {
    "structures": '"diagonal", "unstructured", { kind = "reduced_rank", rank = 1 } or { kind = "fixed", value = 20.0 }',
    "bounds": "{ lower = 0.5, upper = 2.0 }, or one of the two",
    "ties": '{ to = "animal[1,1]", factor = 2.0 }, the element that it follows',
}
"""What stands behind a name in sections of [reml]."""


def in_words(error: ErrorDetails, known_keys: Callable[[tuple[str, ...]], Sequence[str]]) -> str:
    """One line for one error of pydantic; ``known_keys`` tells the keys of a section."""
    place, kind, found = error["loc"], error["type"], error["input"]
    where, context = _in_file(place), error.get("ctx", {})
    if kind == "extra_forbidden":
        known = known_keys(tuple(key for key in place[:-1] if isinstance(key, str)))
        what = "section" if len(place) == 1 and isinstance(found, dict) else "key"
        inside = _section(place[:-1]) + " " if len(place) > 1 else ""
        return f"{inside}unknown {what} {place[-1]!r}{nearest(str(place[-1]), known)} (known: {', '.join(known)})"
    if kind == "missing":
        return f"{where} is missing; it has to be given"
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", context["expected"])
        hint = nearest(found, words) if isinstance(found, str) else ""
        expected = context["expected"].replace("True", "true").replace("False", "false")
        return f"{where} can be {expected}, found {_described(found)}{hint}"
    if kind == "value_error":
        return f"{where}: {context['error']}"
    if kind == "string_too_short":
        return f"{where} is empty text; write a name, or leave the key out"
    if kind in ("greater_than", "greater_than_equal"):
        least = context.get("gt", context.get("ge"))
        return f"{where} has to be {'more than' if 'gt' in context else 'at least'} {least:g}, found {found}"
    if kind == "finite_number":
        return f"{where} has to be a finite number, found {found}"
    if kind == "tuple_type" and len(place) == 1 and isinstance(found, dict):
        return f"{where} has to be a list of sections; write [[{place[0]}]] with two brackets"
    wanted = (
        _FORMS[str(place[1])] if kind == "model_type" and place[:1] == ("reml",) and len(place) == 3 else _WANTED[kind]
    )
    return f"{where} has to be {wanted}, found {_described(found)}"


def _in_file(place: Place) -> str:
    """A place as it is written in the file: ``[pedigree.rules] loop``, ``[[curves]] 2 points item 3``."""
    start = 2 if _numbered(place) else max(1, sum(isinstance(key, str) for key in place) - 1)
    keys = ".".join(key for key in place[start:] if isinstance(key, str))
    item = f"item {place[-1] + 1}" if isinstance(place[-1], int) and len(place) > start else ""
    return " ".join(filter(None, (_section(place[:start]), keys, item)))


def _section(place: Place) -> str:
    """Name of a section as it is written in the file: ``[pedigree.rules]``, ``[[curves]] 2``."""
    if _numbered(place):
        inner = ".".join(str(key) for key in place[2:])
        return f"[[{place[0]}]] {int(place[1]) + 1}{' ' if inner else ''}{inner}"
    keys = [str(key) if str(key).isidentifier() else f'"{key}"' for key in place]
    return f"[{'.'.join(keys)}]"


def _numbered(place: Place) -> bool:
    """Whether a place is in one of a list of sections."""
    return len(place) > 1 and isinstance(place[1], int)


def _described(value: object) -> str:
    """A value of the file with its kind."""
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, str(value).lower()),
        (str, f"text {value!r}"),
        (int, f"the whole number {value}"),
        (float, f"the number {value}"),
        (list, "a list"),
        (dict, "a section"),
        ((datetime, date, time), f"the date {value}"),
    )
    return next(words for kind, words in kinds if isinstance(value, kind))
