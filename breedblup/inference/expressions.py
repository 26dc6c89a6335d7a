"""Functions of variance components as a user writes them: text → a tree → values and exact derivatives.

::

    expression = product {("+" | "-") product}          product = sign {("*" | "/") sign}
    sign       = {"+" | "-"} power                       power   = atom ["**" sign]
    atom       = number | component | function "(" expression ")" | "(" expression ")"

with the precedence of Python. A component is a name of `ParameterSpace`, plain or with its key between backticks; the
longest name that fits is meant, so the key ``animal + dam`` is read as one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

import numpy as np

from breedblup.errors import ModelError, name_some, nearest
from breedblup.inference.expression_trees import (
    FUNCTIONS,
    FloatVector,
    Linearised,
    Node,
    components_of,
    fail,
    linearised,
    values_of,
)
from breedblup.variances import ParameterSpace

DEEPEST = 60
"""Parentheses, powers and signs within each other."""

_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"[^\W\d][\w.]*(?:\s*\[[^\]]*\])?")
_QUOTED = re.compile(r"`([^`]*)`(\s*\[[^\]]*\])?")
_PIECE = re.compile(r"\w+|[^\w\s]")
_WORD_END = re.compile(r"\w$")


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed function of variance components.

    Attributes
    ----------
    text
        As it was written.
    components
        Positions of the parameters that it names, ascending.
    """

    text: str
    components: tuple[int, ...]
    _root: Node

    def values(self, theta: FloatVector) -> FloatVector:
        """Values at parameters (..., p); NaN or infinite where there is none."""
        with np.errstate(all="ignore"):
            return np.asarray(values_of(self._root, theta) + np.zeros(theta.shape[:-1]))

    def linearised(self, theta: FloatVector) -> Linearised:
        """Value and derivatives at parameters (p,), by forward differentiation; a derivative may be infinite or NaN.

        Raises
        ------
        ModelError
            A part of the expression has no finite value there; the message shows which.
        """
        with np.errstate(all="ignore"):
            value, gradient = linearised(self._root, theta, self.text)
        return Linearised(float(value), gradient)


def parse_expression(text: str, space: ParameterSpace) -> Expression:
    """The function of the parameters of a space that a text describes.

    Numbers, ``+ - * / **``, parentheses and the functions sqrt, log, exp and abs. ``animal[1,2]`` is ``animal[2,1]``, and
    ``animal[1,1]`` is ``animal`` where that is a single variance. Nothing is evaluated as Python.

    Parameters
    ----------
    text
        Such as ``animal / (animal + residual)`` or ``sqrt(`animal + dam`[2,2])``.

    Raises
    ------
    ModelError
        It cannot be read, or names no component; the message shows where, what was found, and the nearest names.
    """
    if not isinstance(text, str) or not text.strip():
        raise ModelError(
            f"an expression is a text such as 'animal / (animal + residual)', with at least one component; found {text!r}"
        )
    reader = _Reader(text, space)
    root = reader.whole()
    components = tuple(sorted(components_of(root)))
    if not components:
        raise ModelError(f"the expression {text!r} names no component; there are {name_some(space.names)}")
    return Expression(text, components, root)


def _known_names(space: ParameterSpace) -> dict[str, int]:
    """Every way to write the name of a parameter, and its position."""
    known = {}
    for place, parameter in enumerate(space.parameters):
        base = parameter.key if parameter.level is None else f"{parameter.key} {parameter.level}"
        known[parameter.name] = place
        known[f"{base}[{parameter.row + 1},{parameter.column + 1}]"] = place
        known[f"{base}[{parameter.column + 1},{parameter.row + 1}]"] = place
    return known


def _pattern(name: str) -> re.Pattern[str]:
    """What matches a name with any spaces, where no index, bracket or letter follows that would make it another."""
    pieces = _PIECE.findall(name)
    joined = re.escape(pieces[0])
    for before, piece in pairwise(pieces):
        joined += (r"\s+" if _WORD_END.search(before) and _WORD_END.search(piece) else r"\s*") + re.escape(piece)
    return re.compile(joined + (r"(?![\w.]|\s*[\[(])" if _WORD_END.search(name) else r"(?!\s*\[)"))


class _Reader:
    """Reads an expression from left to right."""

    def __init__(self, text: str, space: ParameterSpace) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.names = space.names
        self.known = _known_names(space)
        self.patterns = [(_pattern(name), name) for name in sorted(self.known, key=len, reverse=True)]
        self.spelled = {"".join(_PIECE.findall(name)): place for name, place in self.known.items()}

    def whole(self) -> Node:
        """The expression, and nothing after it."""
        node = self.sum()
        if self.peek():
            self.refuse("expected an operator")
        return node

    def peek(self) -> str:
        """The next character that is no space; nothing at the end."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def take(self, *symbols: str) -> str:
        """The next symbol when it is one of these, ``*`` not being half of ``**``."""
        self.peek()
        for symbol in symbols:
            if self.text.startswith(symbol, self.at) and not (symbol == "*" and self.text.startswith("**", self.at)):
                self.at += len(symbol)
                return symbol
        return ""

    def refuse(self, expected: str) -> NoReturn:
        """Say what was expected and what is there."""
        found = self.peek()
        hint = "; a power is written **" if found == "^" else ""
        fail(self.text, self.at, f"{expected}, found {repr(found) if found else 'the end'}{hint}")

    def sum(self) -> Node:
        return self.chain(("+", "-"), self.product)

    def product(self) -> Node:
        return self.chain(("*", "/"), self.sign)

    def chain(self, symbols: tuple[str, ...], part: Callable[[], Node]) -> Node:
        """Parts with operators of one rank between them, from the left."""
        node = part()
        while symbol := self.take(*symbols):
            right = part()
            node = Node(symbol, (node, right), node.start, right.end)
        return node

    def sign(self) -> Node:
        self.peek()
        start = self.at
        self.descend()
        symbol = self.take("+", "-")
        node = self.sign() if symbol else self.power()
        self.depth -= 1
        return Node("negative", (node,), start, node.end) if symbol == "-" else node

    def power(self) -> Node:
        node = self.atom()
        if not self.take("**"):
            return node
        exponent = self.sign()
        return Node("**", (node, exponent), node.start, exponent.end)

    def descend(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            fail(self.text, self.at, f"more than {DEEPEST} levels of parentheses; write it in parts")

    def atom(self) -> Node:
        """A component, a number, a call, or an expression between parentheses."""
        self.peek()
        start = self.at
        for pattern, name in self.patterns:
            if (match := pattern.match(self.text, start)) and not name.isdigit():
                return self.leaf(match.end(), component=self.known[name])
        if match := _QUOTED.match(self.text, start):
            return self.leaf(match.end(), component=self.quoted(match))
        if match := _NUMBER.match(self.text, start):
            if not math.isfinite(float(match[0])):
                fail(self.text, start, f"the number {match[0]} is too large")
            return self.leaf(match.end(), number=float(match[0]))
        if self.take("("):
            return self.enclosed(start)
        if match := _WORD.match(self.text, start):
            return self.call(match)
        return self.refuse("expected a component, a number or '('")

    def leaf(self, end: int, number: float = 0.0, component: int = -1) -> Node:
        start, self.at = self.at, end
        return Node("", (), start, end, number, component)

    def quoted(self, match: re.Match[str]) -> int:
        """The parameter whose name, or whose key before an index, stands between backticks."""
        name = match[1] + (match[2] or "")
        place = self.spelled.get("".join(_PIECE.findall(name)))
        return self.unknown(name, match.start()) if place is None else place

    def unknown(self, name: str, start: int) -> NoReturn:
        known = [*self.names, *FUNCTIONS]
        fail(
            self.text, start, f"there is no component {name!r}{nearest(name, known)}; there are {name_some(self.names)}"
        )

    def call(self, match: re.Match[str]) -> Node:
        """A function of an expression."""
        name, start = match[0], self.at
        if name not in FUNCTIONS:
            self.unknown(name, start)
        self.at = match.end()
        if not self.take("("):
            self.refuse(f"expected '(' after {name}")
        inner = self.enclosed(start)
        return Node(name, (inner,), start, inner.end)

    def enclosed(self, start: int) -> Node:
        """What stands between a parenthesis that was read and the one that closes it."""
        node = self.sum()
        if not self.take(")"):
            self.refuse("expected ')' or an operator")
        return node._replace(start=start, end=self.at)
