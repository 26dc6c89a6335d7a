"""Functions of columns, ``log(x)`` or ``I(x / 10)``: a column whose name is its own rule, read from and written to that name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import TypeAlias

from breedblup.errors import ModelError
from breedblup.formula.cursor import Cursor
from breedblup.formula.tokens import number_text, quote_name

COLUMN_FUNCTIONS = ("log", "log2", "log10", "log1p", "exp", "sqrt", "abs", "I")
"""What makes a column from others, row by row; ``I()`` is arithmetic."""

_SUM, _PRODUCT, _SIGN, _POWER, _SINGLE = range(1, 6)
_BINDING = {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "negative": _SIGN, "^": _POWER}


@dataclass(frozen=True, slots=True)
class Operation:
    """``+ - * / ^`` of two operands, ``negative`` or a function of one; ``I`` stands outermost or not at all."""

    symbol: str
    operands: tuple[Expression, ...]


Expression: TypeAlias = "float | str | Operation"
"""A number, the name of a column, or what is computed from them."""


@lru_cache(maxsize=1024)
def expression_of(name: str) -> Operation | None:
    """What computes the column of this name, None for a column of the records; only the printed form is a rule."""
    if not name.endswith(")") or not name.startswith(tuple(f"{function}(" for function in COLUMN_FUNCTIONS)):
        return None
    try:
        cursor = Cursor(name)
        expression = _computed(cursor)
    except ModelError:
        return None
    whole = cursor.token.kind == "end" and isinstance(expression, Operation) and _text(expression) == name
    return expression if whole and isinstance(expression, Operation) else None


def sources_of(names: Sequence[str]) -> tuple[str, ...]:
    """The columns of the records that these columns are made of, each once."""
    found: dict[str, None] = {}
    for name in names:
        expression = expression_of(name)
        found |= dict.fromkeys([name] if expression is None else _columns(expression))
    return tuple(found)


def written_column(name: str) -> str:
    """A column as a formula writes it where it stands for numbers."""
    return quote_name(name) if expression_of(name) is None else name


def product_name(names: Sequence[str]) -> str:
    """Name of the product of several columns: ``I(x * z)``."""
    return _named(reduce(lambda left, right: Operation("*", (left, right)), map(_factor, names)))


def _factor(name: str) -> Expression:
    """A column as it stands in a product."""
    expression = expression_of(name)
    if expression is None:
        return name
    return expression.operands[0] if expression.symbol == "I" else expression


def is_computed(cursor: Cursor) -> bool:
    """Whether a function of columns begins here."""
    return cursor.calls() and cursor.token.value in COLUMN_FUNCTIONS


def read_column(cursor: Cursor, what: str) -> str:
    """A column by name, or the name of the one that the function that begins here makes."""
    if not is_computed(cursor):
        return cursor.name(what)
    start = cursor.token
    expression = _computed(cursor)
    if not any(True for _ in _columns(expression)):
        cursor.fail(f"{start.value}() holds no column; write the name of one", start)
    return expression if isinstance(expression, str) else _named(expression)


def _named(expression: Expression) -> str:
    """The printed form, within ``I()`` where no function stands outermost."""
    arithmetic = not isinstance(expression, Operation) or expression.symbol in _BINDING
    return _text(Operation("I", (expression,)) if arithmetic else expression)


def _computed(cursor: Cursor) -> Expression:
    """One call; ``I()`` around a column, or around another call, says nothing."""
    function, opening = cursor.open_call(COLUMN_FUNCTIONS)
    inner = _sum(cursor)
    cursor.close(opening)
    if function != "I":
        return Operation(function, (inner,))
    return Operation("I", (inner,)) if isinstance(inner, Operation) and inner.symbol in _BINDING else inner


def _sum(cursor: Cursor) -> Expression:
    left = _product(cursor)
    while sign := cursor.take("+", "-"):
        left = Operation(sign.kind, (left, _product(cursor)))
    return left


def _product(cursor: Cursor) -> Expression:
    left = _signed(cursor)
    while sign := cursor.take("*", "/"):
        left = Operation(sign.kind, (left, _signed(cursor)))
    return left


def _signed(cursor: Cursor) -> Expression:
    if cursor.take("-"):
        return Operation("negative", (_signed(cursor),))
    base = _single(cursor)
    return Operation("^", (base, _signed(cursor))) if cursor.take("^") else base


def _single(cursor: Cursor) -> Expression:
    if cursor.calls():
        inner = _computed(cursor)
        return inner.operands[0] if isinstance(inner, Operation) and inner.symbol == "I" else inner
    if opening := cursor.take("("):
        inner = _sum(cursor)
        cursor.close(opening)
        return inner
    number = cursor.take("number")
    if number is None:
        return cursor.name("a column or a number")
    if not math.isfinite(float(number.text)):
        cursor.fail(f"{number} is too large for a number", number)
    return float(number.text)


def _columns(expression: Expression) -> Iterator[str]:
    if isinstance(expression, str):
        yield expression
    elif isinstance(expression, Operation):
        for operand in expression.operands:
            yield from _columns(operand)


def _text(expression: Expression, binding: int = 0) -> str:
    """As R prints it, with parentheses where something is to bind more tightly than it does."""
    if isinstance(expression, str):
        return quote_name(expression)
    if isinstance(expression, float):
        return number_text(expression)
    symbol, operands = expression.symbol, expression.operands
    own = _BINDING.get(symbol, _SINGLE)
    if symbol == "negative":
        shown = f"-{_text(operands[0], _SIGN)}"
    elif symbol == "^":
        shown = f"{_text(operands[0], _SINGLE)}^{_text(operands[1], _SIGN)}"
    elif own == _SINGLE:
        return f"{symbol}({_text(operands[0])})"
    else:
        sign = "/" if symbol == "/" else f" {symbol} "
        shown = f"{_text(operands[0], own)}{sign}{_text(operands[1], own + 1)}"
    return f"({shown})" if own < binding else shown
