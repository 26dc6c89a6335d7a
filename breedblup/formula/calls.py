"""Functions of a column: which role it has, the degree, knots and range of its basis, the levels of a factor."""

from __future__ import annotations

from itertools import pairwise

from breedblup.formula.cursor import Cursor
from breedblup.formula.expressions import COLUMN_FUNCTIONS, is_computed, read_column, written_column
from breedblup.formula.terms import FUNCTIONS, GROUP_FUNCTIONS, Call
from breedblup.formula.tokens import Token, number_text, quote_name

_OPTIONS = {"leg": ("range",), "bspline": ("knots", "range"), "factor": ("levels",), "C": ("levels",)}


def read_call(cursor: Cursor) -> Call:
    """The call that begins here."""
    if cursor.token.value in GROUP_FUNCTIONS:
        name = cursor.token.value
        cursor.fail(f"{name}() belongs right of the bar of a random term, as in (1 | {name}(...))")
    if is_computed(cursor):
        column = read_column(cursor, "a column")
        return Call("covariate", column)
    function, opening = cursor.open_call((*FUNCTIONS, *COLUMN_FUNCTIONS))
    what = f"the column of {function}()"
    column = cursor.name(what) if function in ("factor", "C") else read_column(cursor, what)
    degree = limits = None
    knots: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    if function in ("leg", "bspline", "poly"):
        cursor.expect(",", f"and the degree, as in {function}({quote_name(column)}, 2)")
        degree = _degree(cursor, function)
        if function == "poly" and cursor.token.kind == ",":
            cursor.fail(f"poly() has a column and a degree; for powers as they are write I({written_column(column)}^2)")
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
        elif option == "levels":
            levels = _levels(cursor, start)
        else:
            knots = _knots(cursor, start)
    cursor.close(opening)
    return Call("factor" if function == "C" else function, column, degree, limits, knots, levels)


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


def _levels(cursor: Cursor, start: Token) -> tuple[str, ...]:
    """Two or more names or numbers, as text."""
    opening = cursor.expect("(", "before the levels, as in levels=(A, B, C)")
    levels = [_level(cursor)]
    while cursor.take(","):
        levels.append(_level(cursor))
    cursor.close(opening)
    if len(levels) < 2 or len(set(levels)) < len(levels):
        cursor.fail(f"a factor has two levels or more, each once, found {', '.join(levels)}", start)
    return tuple(levels)


def _level(cursor: Cursor) -> str:
    number = cursor.take("number")
    return cursor.name("a level (between backticks where it is no name)") if number is None else number.text
