"""Right of the bar of a random term: factors, ``a/b``, ``ide()``, ``vm()``, ``mm()``, and effects that share a covariance."""

from __future__ import annotations

from breedblup.formula.cursor import Cursor
from breedblup.formula.expressions import COLUMN_FUNCTIONS
from breedblup.formula.terms import FUNCTIONS, GROUP_FUNCTIONS, Group, Membership

ROLES_OF_FACTORS = ("factor", "C")
"""What makes a factor of a column; right of a bar each column is one."""


def read_groups(cursor: Cursor) -> list[tuple[Group | Membership, ...]]:
    """What stands right of the bar: the groups of each term that it makes."""
    chain = _chain(cursor)
    if cursor.token.kind == "*":
        cursor.fail(
            "'*' has no meaning right of the bar; write (1 | a) + (1 | b) + (1 | a:b), or a/b for (1 | a) + (1 | a:b)"
        )
    if cursor.token.kind != "+":
        return [(group,) for group in chain]
    shared = [chain]
    while plus := cursor.take("+"):
        shared.append(_chain(cursor))
        if max(len(one) for one in shared) > 1:
            cursor.fail("'/' and '+' cannot be mixed right of the bar; write two random terms", plus)
    return [tuple(one[0] for one in shared)]


def _chain(cursor: Cursor) -> list[Group | Membership]:
    """One group, or ``a/b`` as ``a`` and ``a:b``."""
    if cursor.calls() and cursor.token.value not in ROLES_OF_FACTORS:
        return [_group_call(cursor)]
    nested = [_factors(cursor)]
    while cursor.take("/"):
        nested.append(tuple(dict.fromkeys(nested[-1] + _factors(cursor))))
    return [Group(factors) for factors in nested]


def _factors(cursor: Cursor) -> tuple[str, ...]:
    """``f {":" f}``."""
    names = []
    while True:
        names.append(_factor(cursor))
        if not cursor.take(":"):
            return tuple(dict.fromkeys(names))


def _factor(cursor: Cursor) -> str:
    """A name; ``factor()`` around it says what is known here anyway."""
    if not cursor.calls():
        return cursor.name("a factor")
    if cursor.token.value not in ROLES_OF_FACTORS:
        cursor.fail(f"{cursor.token.value}() cannot be part of an interaction of groups; write a factor")
    _, opening = cursor.open_call(ROLES_OF_FACTORS)
    name = cursor.name("a factor")
    cursor.close(opening)
    return name


def _group_call(cursor: Cursor) -> Group | Membership:
    if cursor.token.value in (*FUNCTIONS, *COLUMN_FUNCTIONS):
        cursor.fail(f"{cursor.token.value}() cannot stand right of the bar; write a factor or ide(factor)")
    function, opening = cursor.open_call(GROUP_FUNCTIONS)
    group: Group | Membership
    if function == "ide":
        group = Group(_factors(cursor), identity=True)
    else:
        group = _related(cursor) if function == "vm" else _membership(cursor)
    cursor.close(opening)
    if cursor.token.kind in (":", "/"):
        cursor.fail(f"{function}() is a whole group and cannot be joined by '{cursor.token.kind}'")
    return group


def _related(cursor: Cursor) -> Group:
    """What stands between the parentheses of ``vm()``."""
    factor = cursor.name("a factor")
    cursor.expect(",", "and the name of its relationship, as in vm(animal, D)")
    return Group((factor,), relationship=cursor.name("the name of a relationship"))


def _membership(cursor: Cursor) -> Membership:
    """What stands between the parentheses of ``mm()``."""
    columns = [cursor.name("a factor")]
    weights: tuple[str | float, ...] = ()
    while cursor.take(","):
        if cursor.followed_by("="):
            cursor.keyword("mm", "weights")
            weights = _weights(cursor)
            break
        columns.append(cursor.name("a factor"))
    return Membership(tuple(columns), weights)


def _weights(cursor: Cursor) -> tuple[str | float, ...]:
    """One weight, or several between parentheses."""
    opening = cursor.take("(")
    if opening is None:
        return (_weight(cursor),)
    weights = [_weight(cursor)]
    while cursor.take(","):
        weights.append(_weight(cursor))
    cursor.close(opening)
    return tuple(weights)


def _weight(cursor: Cursor) -> str | float:
    if cursor.token.kind in ("name", "quoted"):
        return cursor.name("a weight")
    return cursor.number("a column or number as weight")
