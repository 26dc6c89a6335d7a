"""Functions of a column: which role it has, and the degree, knots and range of its basis."""

from __future__ import annotations

from itertools import pairwise

from breedblup.formula.cursor import Cursor
from breedblup.formula.terms import FUNCTIONS, GROUP_FUNCTIONS, Call
from breedblup.formula.tokens import Token, number_text, quote_name

_OPTIONS = {"leg": ("range",), "bspline": ("knots", "range")}


def read_call(cursor: Cursor) -> Call:
    """The call that begins here."""
    if cursor.token.value in GROUP_FUNCTIONS:
        name = cursor.token.value
        cursor.fail(f"{name}() belongs right of the bar of a random term, as in (1 | {name}(...))")
    function, opening = cursor.open_call(FUNCTIONS)
    column = cursor.name(f"the column of {function}()")
    degree = limits = None
    knots: tuple[float, ...] = ()
    if function in ("leg", "bspline", "poly"):
        cursor.expect(",", f"and the degree, as in {function}({quote_name(column)}, 2)")
        degree = _degree(cursor, function)
    known = _OPTIONS.get(function, ())
    given: set[str] = set()
    while known and cursor.take(","):
        start = cursor.token
        option = cursor.keyword(function, *known)
        if option in given:
            cursor.fail(f"{function}() has '{option}=' twice; leave one out", start)
        given.add(option)
        if option == "range":
            limits = _limits(cursor, start)
        else:
            knots = _knots(cursor, start)
    cursor.close(opening)
    return Call("factor" if function == "C" else function, column, degree, limits, knots)


def _degree(cursor: Cursor, function: str) -> int:
    if cursor.token.kind == "name":
        if cursor.token.value in _OPTIONS.get(function, ()):
            cursor.fail(f"{function}() needs its degree before '{cursor.token.value}=', as in {function}(x, 3)")
        cursor.keyword(function, "degree")
    token = cursor.take("number")
    if token is None or not token.text.isdecimal() or int(token.text) < 1:
        cursor.fail(f"the degree of {function}() is a whole number from 1, found {token or cursor.token}", token)
    return int(token.text)


def _limits(cursor: Cursor, start: Token) -> tuple[float, float]:
    opening = cursor.expect("(", "before the limits, as in range=(5, 305)")
    lower = cursor.number("the lower limit of the range")
    cursor.expect(",", "between the limits of the range")
    upper = cursor.number("the upper limit of the range")
    cursor.close(opening)
    if lower >= upper:
        cursor.fail(f"the range from {number_text(lower)} to {number_text(upper)} is empty", start)
    return lower, upper


def _knots(cursor: Cursor, start: Token) -> tuple[float, ...]:
    """One knot, or several between parentheses."""
    opening = cursor.take("(")
    knots = [cursor.number("a knot")]
    while opening is not None and cursor.take(","):
        knots.append(cursor.number("a knot"))
    if opening is not None:
        cursor.close(opening)
    if any(later <= knot for knot, later in pairwise(knots)):
        cursor.fail(f"the knots have to ascend, found {', '.join(number_text(knot) for knot in knots)}", start)
    return tuple(knots)
