"""Letters of a formula → tokens; how names and numbers are written, and how a refusal shows its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from breedblup.errors import ModelError

_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_QUOTED = re.compile(r"`((?:[^`]|``)*)`")


@dataclass(frozen=True, slots=True)
class Token:
    """``kind`` is name, quoted, number, end, or the symbol itself; ``value`` is a name without its backticks."""

    kind: str
    text: str
    value: str
    start: int

    def __str__(self) -> str:
        return "the end of the formula" if self.kind == "end" else f"'{self.text}'"


def tokenize(text: str) -> list[Token]:
    """The tokens of a formula; the last one is its end."""
    tokens = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        tokens.append(_next_token(text, at))
        at += len(tokens[-1].text)
    return [*tokens, Token("end", "", "", len(text))]


def quote_name(name: str) -> str:
    """A column name as a formula writes it, between backticks where needed."""
    plain = name[:1].isidentifier() and _name_end(name, 0) == len(name)
    return name if plain else "`" + name.replace("`", "``") + "`"


def number_text(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return repr(float(value)).removesuffix(".0")


def fail(text: str, position: int, message: str) -> NoReturn:
    """Refuse a formula, with a mark under the place."""
    shown = "".join(" " if character.isspace() else character for character in text)
    raise ModelError(f"formula, column {position + 1}: {message}\n    {shown}\n    {' ' * position}^")


def _name_end(text: str, start: int) -> int:
    """Where a plain name that begins at ``start`` ends; digits may follow, dots as in R."""
    end = start
    while end < len(text) and (text[end] == "." or ("a" + text[end]).isidentifier()):
        end += 1
    return end


def _next_token(text: str, at: int) -> Token:
    character = text[at]
    if character == "`":
        quoted = _QUOTED.match(text, at)
        if quoted is None:
            fail(text, at, "the backtick is not closed; write another one after the name")
        if not quoted[1]:
            fail(text, at, "there is no name between the backticks")
        return Token("quoted", quoted[0], quoted[1].replace("``", "`"), at)
    number = _NUMBER.match(text, at)
    if number is not None:
        end = _name_end(text, number.end())
        if end > number.end():
            fail(text, at, f"a name that begins with a digit goes between backticks: `{text[at:end]}`")
        return Token("number", number[0], number[0], at)
    if character.isidentifier():
        name = text[at : _name_end(text, at)]
        return Token("name", name, name, at)
    if character in "~+-*/:(),=|^":
        symbol = text[at : at + 2] if text.startswith(("||", "**"), at) else character
        return Token("^" if symbol == "**" else symbol, symbol, symbol, at)
    if character == "." and _name_end(text, at) == at + 1:
        fail(text, at, "'.' does not stand for all other columns here; write their names")
    if text.startswith("%in%", at):
        fail(text, at, "'%in%' has no meaning here; write a:b for the classes of a within those of b")
    fail(text, at, f"'{character}' has no meaning here; a name that contains it goes between backticks")
