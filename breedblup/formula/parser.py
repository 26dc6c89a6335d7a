"""Tokens → terms, by recursive descent: one function per rule of the grammar.

Grammar (binding from loose to tight, as in R and lme4)::

    formula   = responses "~" sum
    responses = response | "(" response "," response ... ")"
    response  = name | computed
    sum       = ["-"] summand {("+" | "-") summand}       "-" takes 1, or terms, away again
    summand   = "0" | "1" | "(" sum bar groups ")" | product
    product   = cross {("*" | "/") cross}                 a*b = a + b + a:b,  a/b = a + a:b
    cross     = atom {":" atom}
    atom      = name | call | computed | "(" sum ")" ["^" d]      (a + b)^2 = a + b + a:b; ** is the same
    call      = factor(x, levels=(a, b)) | C(x) | covariate(v) | poly(v, d) | leg(v, d, range=(a, b))
              | bspline(v, d, knots=(k, l), range=(a, b))         levels, knots and ranges may be left out
    v         = name | computed
    computed  = log(e) | log2(e) | log10(e) | log1p(e) | exp(e) | sqrt(e) | abs(e) | I(e)
    e         = arithmetic of names, numbers and computed: + - * / ^ and parentheses, as in R
    bar       = "|" | "||"
    groups    = group {"+" group}                         effects that share one covariance matrix
    group     = ide(f:g) | vm(f, K) | mm(a, b, weights=(u, v)) | f {":" f} {"/" f {":" f}}     factor(f) is f

Names are letters of any script, digits, ``_`` and ``.``; other names go between backticks, where two backticks stand
for one. Terms keep the order in which they were written; a fixed one that comes again (also as ``b:a``) is merged with
the first, as in R, and a random one is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from breedblup.formula.calls import read_call
from breedblup.formula.cursor import Cursor
from breedblup.formula.expressions import COLUMN_FUNCTIONS, is_computed, read_column
from breedblup.formula.groups import read_groups
from breedblup.formula.terms import (
    Column,
    Interaction,
    ParsedFormula,
    RandomTerm,
    crossed,
    merged,
)
from breedblup.formula.tokens import Token


def parse_formula(text: str) -> ParsedFormula:
    """Parse a formula such as ``milk ~ herd:year + leg(dim, 4) + (1 | animal)``.

    Raises
    ------
    ModelError
        The text breaks the grammar; the message shows the place, what was found there and what could stand there.
    """
    cursor = Cursor(text)
    responses = _responses(cursor)
    tilde = cursor.expect("~", "between the response and the terms, as in milk ~ herd + (1 | animal)")
    if cursor.token.kind == "end":
        cursor.fail("nothing on the right of '~'; write the terms, for example 1 + (1 | animal)")
    total = _sum(cursor, top=True)
    cursor.end()
    if not (total.intercept or total.fixed or total.random):
        cursor.fail("nothing on the right of '~' is left to fit; write the terms beside the 0", tilde)
    return ParsedFormula(responses, merged(total.fixed), tuple(total.random), total.intercept)


_DEGREES = "123456789"


@dataclass(slots=True)
class _Sum:
    """Terms read so far; ``number`` is the last 0 or 1 among them."""

    fixed: list[Interaction] = field(default_factory=list)
    random: list[RandomTerm] = field(default_factory=list)
    intercept: bool = True
    number: Token | None = None


def _responses(cursor: Cursor) -> tuple[str, ...]:
    opening = cursor.take("(")
    if opening is None:
        return (_response(cursor, "the column of the response"),)
    names = [_response(cursor, "the column of a response")]
    while cursor.take(","):
        names.append(_response(cursor, "the column of a response"))
    cursor.close(opening)
    return tuple(names)


def _response(cursor: Cursor, what: str) -> str:
    if cursor.calls() and not is_computed(cursor):
        cursor.open_call(COLUMN_FUNCTIONS)
    return read_column(cursor, what)


def _sum(cursor: Cursor, *, top: bool) -> _Sum:
    """``["-"] summand {("+" | "-") summand}``; random terms stand only in the ``top`` one."""
    total = _Sum()
    sign = cursor.take("-")
    _summand(cursor, total, top=top, subtracted=sign is not None)
    while sign := cursor.take("+", "-"):
        _summand(cursor, total, top=top, subtracted=sign.kind == "-")
    return total


def _summand(cursor: Cursor, total: _Sum, *, top: bool, subtracted: bool) -> None:
    number = cursor.take("number")
    if number is not None:
        if subtracted and number.text != "1":
            cursor.fail("of numbers only 1 can be subtracted, it removes the intercept", number)
        if number.text not in ("0", "1"):
            cursor.fail("a number among the terms can only be 1 (intercept) or 0 (no intercept)", number)
        if cursor.token.kind in (":", "*", "/"):
            cursor.fail("a number cannot be part of an interaction; write names", number)
        total.intercept = number.text == "1" and not subtracted
        total.number = number
    elif top and not subtracted and (opening := cursor.open_random()):
        for term in _random_terms(cursor, opening):
            if any(term.key == other.key for other in total.random):
                cursor.fail(f"the random term {term} stands twice; leave one out", opening)
            total.random.append(term)
    elif subtracted:
        _take_away(cursor, total)
    else:
        total.fixed += _product(cursor)


def _take_away(cursor: Cursor, total: _Sum) -> None:
    """Terms that were written before leave again, as in ``a*b - a:b``."""
    start = cursor.token
    for term in _product(cursor):
        if all(term.key != other.key for other in total.fixed):
            cursor.fail(f"there is no term {term} before it that could be taken away", start)
        total.fixed = [other for other in total.fixed if other.key != term.key]


def _random_terms(cursor: Cursor, opening: Token) -> list[RandomTerm]:
    """``sum bar groups ")"``; ``a/b`` right of the bar makes several terms."""
    left = _sum(cursor, top=False)
    bar = cursor.take("|", "||") or cursor.fail(f"expected '+' or '|', found {cursor.token}")
    if not (left.intercept or left.fixed):
        cursor.fail("nothing on the left of the bar is left to fit; write (1 | factor)", bar)
    effects = merged(left.fixed)
    terms = [RandomTerm(groups, left.intercept, effects, bar.kind == "|") for groups in read_groups(cursor)]
    cursor.close(opening)
    return terms


def _product(cursor: Cursor) -> list[Interaction]:
    terms = _cross(cursor)
    while operator := cursor.take("*", "/"):
        right = _cross(cursor)
        if operator.kind == "*":
            terms = terms + right + crossed(terms, right)
        else:
            whole = Interaction(tuple(dict.fromkeys(part for term in terms for part in term.parts)))
            terms = terms + crossed([whole], right)
    return terms


def _cross(cursor: Cursor) -> list[Interaction]:
    terms = _atom(cursor)
    while cursor.take(":"):
        terms = crossed(terms, _atom(cursor))
    return terms


def _atom(cursor: Cursor) -> list[Interaction]:
    if bracket := cursor.open_random():
        cursor.fail("a random term stands by itself, joined to the others by '+'", bracket)
    opening = cursor.take("(")
    if opening is not None:
        inner = _sum(cursor, top=False)
        if inner.number is not None:
            cursor.fail("the intercept is set outside parentheses (a random term: (1 | animal))", inner.number)
        cursor.close(opening)
        return _powers(cursor, inner.fixed) if cursor.take("^") else inner.fixed
    start = cursor.token
    part = read_call(cursor) if cursor.calls() else Column(cursor.name("a term"))
    if cursor.token.kind == "^":
        cursor.fail(
            f"'^' crosses terms between parentheses, as in (a + b)^2; the power of a column is I({part}^2)", start
        )
    return [Interaction((part,))]


def _powers(cursor: Cursor, base: list[Interaction]) -> list[Interaction]:
    """The terms and their interactions of up to as many as the number says."""
    number = cursor.take("number")
    if number is None or number.text not in _DEGREES:
        cursor.fail(
            f"the power of a sum is a whole number from 1 to {_DEGREES[-1]}, found {number or cursor.token}", number
        )
    terms = base
    for _ in range(int(number.text) - 1):
        terms = list(merged(terms + crossed(terms, base)))
    return terms
