"""Formulas: what each text means, and what is said of each that means nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breedblup.errors import ModelError
from breedblup.formula import (
    Call,
    Column,
    Group,
    Interaction,
    Membership,
    ParsedFormula,
    RandomTerm,
    expression_of,
    has_constant,
    parse_formula,
    product_name,
    quote_name,
    sources_of,
)


def term(*parts: str | Call) -> Interaction:
    return Interaction(tuple(Column(part) if isinstance(part, str) else part for part in parts))


A, B, C, D = term("a"), term("b"), term("c"), term("d")
AB, AC, BC, ABC = term("a", "b"), term("a", "c"), term("b", "c"), term("a", "b", "c")

FIXED = {
    "a": (A,),
    "1 + a": (A,),
    "a + b": (A, B),
    "a:b": (AB,),
    "a*b": (A, B, AB),
    "a*b*c": (A, B, AB, C, AC, BC, ABC),
    "a/b": (A, AB),
    "a/b/c": (A, AB, ABC),
    "a/(b + c)": (A, AB, AC),
    "(a + b)/c": (A, B, ABC),
    "(a + b):c": (AC, BC),
    "(a + b)*c": (A, B, C, AC, BC),
    "a*b:c": (A, BC, ABC),
    "(a)": (A,),
    "((a + b)) + c": (A, B, C),
    "a + a": (A,),
    "a:b + b:a": (AB,),
    "a:a": (A,),
    "a*a": (A,),
    "a + a*b": (A, B, AB),
    "leg(t, 2)": (term(Call("leg", "t", 2)),),
    "leg(t, degree=2)": (term(Call("leg", "t", 2)),),
    "leg(t, 2, range=(-5, 3.1e2))": (term(Call("leg", "t", 2, (-5.0, 310.0))),),
    "bspline(t, 3)": (term(Call("bspline", "t", 3)),),
    "bspline(t, degree=3, knots=100)": (term(Call("bspline", "t", 3, None, (100.0,))),),
    "bspline(t, 3, knots=(100))": (term(Call("bspline", "t", 3, None, (100.0,))),),
    "bspline(t, 3, knots=(-1, 2.5), range=(-5, 5))": (term(Call("bspline", "t", 3, (-5.0, 5.0), (-1.0, 2.5))),),
    "bspline(t, 3, range=(-5, 5), knots=(-1, 2.5))": (term(Call("bspline", "t", 3, (-5.0, 5.0), (-1.0, 2.5))),),
    "herd:bspline(t, 1)": (term("herd", Call("bspline", "t", 1)),),
    "poly(x, 3)": (term(Call("poly", "x", 3)),),
    "factor(x) + C(x)": (term(Call("factor", "x")),),
    "covariate(x)": (term(Call("covariate", "x")),),
    "herd:leg(dim, 2)": (term("herd", Call("leg", "dim", 2)),),
    "breed:poly(age, 2)": (term("breed", Call("poly", "age", 2)),),
    "factor(herd):covariate(age)": (term(Call("factor", "herd"), Call("covariate", "age")),),
    "`herd year` + `a``b`": (term("herd year"), term("a`b")),
    "besætning + 牛群 + herd.year_2": (term("besætning"), term("牛群"), term("herd.year_2")),
    "leg + vm + knots": (term("leg"), term("vm"), term("knots")),
    "a\n + b\t": (A, B),
    "(a + b)^2": (A, B, AB),
    "(a + b + c)^2": (A, B, C, AB, AC, BC),
    "(a + b + c)**3": (A, B, C, AB, AC, BC, ABC),
    "(a + b)^1": (A, B),
    "(a + b)^2:c": (AC, BC, ABC),
    "(a + b + c)^2 - a:b": (A, B, C, AC, BC),
    "a*b - b:a": (A, B),
    "a + b - a": (B,),
    "a*b*c - (a + b)*c": (AB, ABC),
    "factor(x, levels=(b, `c d`, 1))": (term(Call("factor", "x", levels=("b", "c d", "1"))),),
    "log(x)": (term(Call("covariate", "log(x)")),),
    "I(x)": (term(Call("covariate", "x")),),
    "I(log( x ))": (term(Call("covariate", "log(x)")),),
    "covariate(log(x))": (term(Call("covariate", "log(x)")),),
    "I(x**2)": (term(Call("covariate", "I(x^2)")),),
    "herd:sqrt(x)": (term("herd", Call("covariate", "sqrt(x)")),),
    "poly(log(`my x`), 2)": (term(Call("poly", "log(`my x`)", 2)),),
    "leg(log10(x), 2, range=(0, 3))": (term(Call("leg", "log10(x)", 2, (0.0, 3.0))),),
    "`log(x)`": (term("log(x)"),),
    "factor(`log(x)`)": (term(Call("factor", "log(x)")),),
    "log + I + sqrt": (term("log"), term("I"), term("sqrt")),
}


@pytest.mark.parametrize("right", FIXED)
def test_fixed_part(right: str) -> None:
    assert parse_formula(f"milk ~ {right}") == ParsedFormula(("milk",), FIXED[right])


@pytest.mark.parametrize(
    ("right", "intercept"),
    [("1", True), ("0 + a", False), ("-1 + a", False), ("a - 1", False), ("a + 0", False), ("a - 1 + 1", True)],
)
def test_intercept(right: str, intercept: bool) -> None:
    assert parse_formula(f"milk ~ {right}").intercept is intercept


@pytest.mark.parametrize(
    ("left", "names"),
    [
        ("milk", ("milk",)),
        ("(wwt, pwt)", ("wwt", "pwt")),
        ("(`fat %`)", ("fat %",)),
        ("log( y+1 )", ("log(y + 1)",)),
        ("(I(a/b), c)", ("I(a/b)", "c")),
    ],
)
def test_responses(left: str, names: tuple[str, ...]) -> None:
    assert parse_formula(f"{left} ~ 1").responses == names


def random(*groups: Group | Membership, **options: object) -> RandomTerm:
    return RandomTerm(groups, **options)  # type: ignore[arg-type]


F = Group(("f",))
RANDOM = {
    "(1 | f)": [random(F)],
    "(1 || f)": [random(F, correlated=False)],
    "(1 | ide(f))": [random(Group(("f",), identity=True))],
    "(1 | ide(a:b))": [random(Group(("a", "b"), identity=True))],
    "(1 | a:b)": [random(Group(("a", "b")))],
    "(1 | a:a)": [random(Group(("a",)))],
    "(1 | a/b)": [random(Group(("a",))), random(Group(("a", "b")))],
    "(1 | a/b/c)": [random(Group(("a",))), random(Group(("a", "b"))), random(Group(("a", "b", "c")))],
    "(x | f) + (x || f)": [random(F, effects=(term("x"),)), random(F, effects=(term("x"),), correlated=False)],
    "(1 + t | f)": [random(F, effects=(term("t"),))],
    "(t + t | f)": [random(F, effects=(term("t"),))],
    "(0 + t | f)": [random(F, effects=(term("t"),), intercept=False)],
    "(x || f)": [random(F, effects=(term("x"),), correlated=False)],
    "(leg(t, 2) | f)": [random(F, effects=(term(Call("leg", "t", 2)),))],
    "(1 | vm(animal, D))": [random(Group(("animal",), relationship="D"))],
    "(1 | vm(animal, `my D`))": [random(Group(("animal",), relationship="my D"))],
    "(1 | vm(a, D)) + (1 | vm(a, E)) + (1 | a)": [
        random(Group(("a",), relationship="D")),
        random(Group(("a",), relationship="E")),
        random(Group(("a",))),
    ],
    "(1 | vm(animal, D) + dam)": [random(Group(("animal",), relationship="D"), Group(("dam",)))],
    "(bspline(t, 2, knots=5) | f)": [random(F, effects=(term(Call("bspline", "t", 2, None, (5.0,))),))],
    "(1 | animal + dam)": [random(Group(("animal",)), Group(("dam",)))],
    "(1 | mm(a, b))": [random(Membership(("a", "b")))],
    "(1 | mm(a, b, weights=w))": [random(Membership(("a", "b"), ("w",)))],
    "(1 | mm(sire, mgs, weights=(1, -0.5)))": [random(Membership(("sire", "mgs"), (1.0, -0.5)))],
    "(1 | mm(a, b, weights=(u, v)))": [random(Membership(("a", "b"), ("u", "v")))],
    "(1 | `my animal`)": [random(Group(("my animal",)))],
    "(1 | factor(a)/C(b))": [random(Group(("a",))), random(Group(("a", "b")))],
    "(factor(x) | f)": [random(F, effects=(term(Call("factor", "x")),))],
    "(0 + factor(x, levels=(a, b)) || f)": [
        random(F, intercept=False, effects=(term(Call("factor", "x", levels=("a", "b"))),), correlated=False)
    ],
    "(x*z | f)": [random(F, effects=(term("x"), term("z"), term("x", "z")))],
    "((x + z)^2 - x | f)": [random(F, effects=(term("z"), term("x", "z")))],
    "(log(x) | f)": [random(F, effects=(term(Call("covariate", "log(x)")),))],
}


@pytest.mark.parametrize("right", RANDOM)
def test_random_part(right: str) -> None:
    parsed = parse_formula(f"milk ~ a + {right}")
    assert parsed == ParsedFormula(("milk",), (A,), tuple(RANDOM[right]))
    assert parse_formula(str(parsed)) == parsed


ERRORS = [
    ("", 1, "expected the column of the response, found the end of the formula"),
    ("milk", 5, "expected '~' between the response and the terms, as in milk ~ herd + (1 | animal), found the end"),
    ("(a, 1) ~ b", 5, "expected the column of a response, found '1'"),
    ("(a b) ~ b", 4, "expected ')' to close the '(' of column 1, found 'b'"),
    ("log() ~ a", 5, "expected a column or a number, found ')'"),
    ("cbind(a, b) ~ c", 1, "cbind() is not known here; write several responses as (y1, y2) ~ ..."),
    ("lug(milk) ~ a", 1, "unknown function 'lug'; did you mean 'log'?; known here are log(), log2(), log10()"),
    ("milk ~", 7, "nothing on the right of '~'; write the terms, for example 1 + (1 | animal)"),
    ("milk ~ 0", 6, "nothing on the right of '~' is left to fit; write the terms beside the 0"),
    ("milk ~ a +", 11, "expected a term, found the end of the formula"),
    ("milk ~ a + + b", 12, "expected a term, found '+'"),
    ("milk ~ a b", 10, "expected '+' or the end of the formula, found 'b'; terms are joined by '+'"),
    ("milk ~ a ~ b", 10, "expected '+' or the end of the formula, found '~'"),
    ("milk ~ a - b", 12, "there is no term b before it that could be taken away"),
    ("milk ~ a - 0", 12, "of numbers only 1 can be subtracted, it removes the intercept"),
    ("milk ~ a - (1 | f)", 12, "a random term stands by itself, joined to the others by '+'"),
    ("milk ~ (a + b)^x", 16, "the power of a sum is a whole number from 1 to 9, found 'x'"),
    ("milk ~ (a + b)^0", 16, "the power of a sum is a whole number from 1 to 9, found '0'"),
    ("milk ~ I(x + )", 14, "expected a column or a number, found ')'"),
    ("milk ~ I(3)", 8, "I() holds no column; write the name of one"),
    ("milk ~ I(x + 1e999)", 14, "'1e999' is too large for a number"),
    ("milk ~ I(x + cos(x))", 14, "unknown function 'cos'; known here are log(), log2()"),
    ("milk ~ scale(x)", 8, "scale() is not known here; it depends on the records in use; write its numbers, as in"),
    ("milk ~ as.factor(x)", 8, "as.factor() is not known here; write factor(x)"),
    ("milk ~ a %in% b", 10, "'%in%' has no meaning here; write a:b for the classes of a within those of b"),
    ("milk ~ a % b", 10, "'%' has no meaning here; a name that contains it goes between backticks"),
    ("milk ~ 1 | f", 10, "a random term stands between parentheses, as in (1 | animal)"),
    ("milk ~ poly(x, 2, raw=TRUE)", 17, "poly() has a column and a degree; for powers as they are write I(x^2)"),
    ("milk ~ factor(x, levels=(a))", 18, "a factor has two levels or more, each once, found a"),
    ("milk ~ factor(x, levels=(a, a))", 18, "a factor has two levels or more, each once, found a, a"),
    ("milk ~ factor(x, levels=a)", 25, "expected '(' before the levels, as in levels=(A, B, C), found 'a'"),
    ("milk ~ factor(x, levels=(a, +))", 29, "expected a level (between backticks where it is no name), found '+'"),
    ("milk ~ a + 2", 12, "a number among the terms can only be 1 (intercept) or 0 (no intercept)"),
    ("milk ~ 1:a", 8, "a number cannot be part of an interaction; write names"),
    ("milk ~ (1 + a) + b", 9, "the intercept is set outside parentheses (a random term: (1 | animal))"),
    ("milk ~ (a + b", 14, "expected ')' to close the '(' of column 8, found the end of the formula"),
    ("milk ~ a:(1 | f)", 10, "a random term stands by itself, joined to the others by '+'"),
    ("milk ~ (a + (1 | f))", 13, "a random term stands by itself, joined to the others by '+'"),
    (
        "milk ~ lag(x, 2)",
        8,
        "unknown function 'lag'; did you mean 'log'?; known here are leg(), bspline(), poly(), factor(), C(), covariate(), log()",
    ),
    ("milk ~ a + ide(x)", 12, "ide() belongs right of the bar of a random term, as in (1 | ide(...))"),
    ("milk ~ vm(x, D)", 8, "vm() belongs right of the bar of a random term, as in (1 | vm(...))"),
    ("milk ~ leg(2, x)", 12, "expected the column of leg(), found '2'"),
    ("milk ~ leg(x)", 13, "expected ',' and the degree, as in leg(x, 2), found ')'"),
    ("milk ~ poly(x, 0)", 16, "the degree of poly() is a whole number from 1, found '0'"),
    ("milk ~ poly(x, 1.5)", 16, "the degree of poly() is a whole number from 1, found '1.5'"),
    ("milk ~ poly(x, -1)", 16, "the degree of poly() is a whole number from 1, found '-'"),
    ("milk ~ poly(x, degre=2)", 16, "poly() has no argument 'degre'; did you mean 'degree'?"),
    ("milk ~ leg(x, 2, rang=(1, 2))", 18, "leg() has no argument 'rang'; did you mean 'range'?"),
    ("milk ~ leg(x, 2, 5)", 18, "expected 'range=', found '5'"),
    ("milk ~ leg(x, 2, range(1, 2))", 23, "expected '=' after range, found '('"),
    ("milk ~ leg(x, 2, range=1)", 24, "expected '(' before the limits, as in range=(5, 305), found '1'"),
    ("milk ~ leg(x, 2, range=(a, 2))", 25, "expected the lower limit of the range, found 'a'"),
    ("milk ~ leg(x, 2, range=(1))", 26, "expected ',' between the limits of the range, found ')'"),
    ("milk ~ leg(x, 2, range=(1, b))", 28, "expected the upper limit of the range, found 'b'"),
    ("milk ~ leg(x, 2, range=(2, 2))", 18, "the range from 2 to 2 is empty"),
    ("milk ~ leg(x, 2, range=(1, 2), range=(1, 2))", 32, "leg() has 'range=' twice; leave one out"),
    ("milk ~ leg(x, 2, knots=3)", 18, "leg() has no argument 'knots'"),
    ("milk ~ bspline(x)", 17, "expected ',' and the degree, as in bspline(x, 2), found ')'"),
    ("milk ~ bspline(x, 0)", 19, "the degree of bspline() is a whole number from 1, found '0'"),
    ("milk ~ bspline(x, 3, 5)", 22, "expected 'knots=' or 'range=', found '5'"),
    ("milk ~ bspline(x, 3, knot=5)", 22, "bspline() has no argument 'knot'; did you mean 'knots'?"),
    ("milk ~ bspline(x, 3, knots 5)", 28, "expected '=' after knots, found '5'"),
    ("milk ~ bspline(x, 3, knots=())", 29, "expected a knot, found ')'"),
    ("milk ~ bspline(x, 3, knots=(1, a))", 32, "expected a knot, found 'a'"),
    ("milk ~ bspline(x, 3, knots=(1, 2)", 34, "expected ')' to close the '(' of column 15, found the end"),
    ("milk ~ bspline(x, 3, knots=(1 2))", 31, "expected ')' to close the '(' of column 28, found '2'"),
    ("milk ~ bspline(x, 3, knots=(2, 2))", 22, "the knots have to ascend, found 2, 2"),
    ("milk ~ bspline(x, 3, knots=1, knots=2)", 31, "bspline() has 'knots=' twice; leave one out"),
    ("milk ~ bspline(x, 3, knots=1, range=(2, 1))", 31, "the range from 2 to 1 is empty"),
    ("milk ~ (0 | f)", 11, "nothing on the left of the bar is left to fit; write (1 | factor)"),
    ("milk ~ (1 | f) + (1 | f)", 18, "the random term (1 | f) stands twice; leave one out"),
    ("milk ~ (1 | f) + (1 || f)", 18, "the random term (1 || f) stands twice; leave one out"),
    ("milk ~ (1 | a:b) + (1 | b:a)", 20, "the random term (1 | b:a) stands twice; leave one out"),
    ("milk ~ (1 | b) + (1 | a/b) + (1 | a)", 30, "the random term (1 | a) stands twice; leave one out"),
    ("milk ~ ( | f)", 10, "expected a term, found '|'"),
    ("milk ~ (a b | f)", 11, "expected '+' or '|', found 'b'"),
    ("milk ~ (1 | f", 14, "expected ')' to close the '(' of column 8, found the end of the formula"),
    ("milk ~ (1 | 2)", 13, "expected a factor, found '2'"),
    ("milk ~ (1 | a*b)", 14, "'*' has no meaning right of the bar; write (1 | a) + (1 | b) + (1 | a:b), or a/b"),
    ("milk ~ (1 | log(a))", 13, "log() cannot stand right of the bar; write a factor or ide(factor)"),
    ("milk ~ (1 | a/b + c)", 17, "'/' and '+' cannot be mixed right of the bar; write two random terms"),
    ("milk ~ (1 | ide(a):b)", 19, "ide() is a whole group and cannot be joined by ':'"),
    ("milk ~ (1 | a:ide(b))", 15, "ide() cannot be part of an interaction of groups; write a factor"),
    ("milk ~ (1 | leg(t, 2))", 13, "leg() cannot stand right of the bar; write a factor or ide(factor)"),
    ("milk ~ (1 | idd(a))", 13, "unknown function 'idd'; did you mean 'ide'?; known here are ide(), vm(), mm()"),
    ("milk ~ (1 | vm(animal))", 22, "expected ',' and the name of its relationship, as in vm(animal, D), found ')'"),
    ("milk ~ (1 | vm(a:b, D))", 17, "expected ',' and the name of its relationship, as in vm(animal, D), found ':'"),
    ("milk ~ (1 | vm(animal, 2))", 24, "expected the name of a relationship, found '2'"),
    ("milk ~ (1 | vm(2, D))", 16, "expected a factor, found '2'"),
    ("milk ~ (1 | vm(a, D):b)", 21, "vm() is a whole group and cannot be joined by ':'"),
    ("milk ~ (1 | mm(a, b, weight=w))", 22, "mm() has no argument 'weight'; did you mean 'weights'?"),
    ("milk ~ (1 | mm(a, b, weights=(w, +)))", 34, "expected a column or number as weight, found '+'"),
    ("milk ~ `herd year", 8, "the backtick is not closed; write another one after the name"),
    ("milk ~ a + ``", 12, "there is no name between the backticks"),
    ("milk ~ 1st_calving", 8, "a name that begins with a digit goes between backticks: `1st_calving`"),
    (
        "milk ~ x^2",
        8,
        "'^' crosses terms between parentheses, as in (a + b)^2; the power of a column is I(x^2)",
    ),
    ("milk ~ .", 8, "'.' does not stand for all other columns here; write their names"),
    ("milk ~ .x", 8, "'.' has no meaning here; a name that contains it goes between backticks"),
]


@pytest.mark.parametrize(("text", "column", "message"), ERRORS)
def test_errors_point_at_the_place(text: str, column: int, message: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(f'formula, column {column}: {message}')}") as caught:
        parse_formula(text)
    _, shown, caret = str(caught.value).split("\n")
    assert shown == f"    {text}"
    assert caret.index("^") == 4 + column - 1


def test_a_formula_on_several_lines_is_shown_on_one() -> None:
    with pytest.raises(ModelError, match="column 13: expected a term") as caught:
        parse_formula("milk ~\n a +\n")
    assert str(caught.value).split("\n")[1:] == ["    milk ~  a + ", "    " + " " * 12 + "^"]


@pytest.mark.parametrize(
    ("text", "constant"), [("leg(t, 1)", True), ("a:leg(t, 1)", True), ("bspline(t, 1)", True), ("poly(t, 1)", False)]
)
def test_legendre_terms_and_splines_carry_a_constant(text: str, constant: bool) -> None:
    assert has_constant(parse_formula(f"milk ~ {text}").fixed[0]) is constant


@given(st.text(min_size=1))
def test_any_name_can_be_quoted(name: str) -> None:
    assert parse_formula(f"{quote_name(name)} ~ 1").responses == (name,)


names = st.text(st.sampled_from("ab1_. `:é牛|"), min_size=1, max_size=4)
numbers = st.floats(allow_nan=False, allow_infinity=False)
limits = st.tuples(numbers, numbers).filter(lambda pair: pair[0] < pair[1])
knots = st.lists(numbers, max_size=3, unique=True).map(lambda some: tuple(sorted(some)))
arithmetic = st.recursive(
    names.map(quote_name) | st.sampled_from(["2", "0.5"]),
    lambda inner: st.one_of(
        st.builds("({}){}({})".format, inner, st.sampled_from("+-*/^"), inner),
        st.builds("{}{}{}".format, names.map(quote_name), st.sampled_from("+-*/^"), inner),
        st.builds("-{}".format, inner),
        st.builds("{}({})".format, st.sampled_from(["log", "sqrt", "I"]), inner),
    ),
    max_leaves=6,
)
columns = names | st.builds("{}({} + {})".format, st.sampled_from(["log", "I"]), names.map(quote_name), arithmetic).map(
    lambda text: parse_formula(f"{text} ~ 1").responses[0]
)
some_levels = st.just(()) | st.lists(names, min_size=2, max_size=3, unique=True).map(tuple)
parts = st.one_of(
    st.builds(Column, columns),
    st.builds(lambda name, levels: Call("factor", name, levels=levels), columns, some_levels),
    st.builds(Call, st.just("covariate"), columns),
    st.builds(Call, st.just("poly"), columns, st.integers(1, 9)),
    st.builds(Call, st.just("leg"), columns, st.integers(1, 9), st.none() | limits),
    st.builds(Call, st.just("bspline"), columns, st.integers(1, 9), st.none() | limits, knots),
)
interactions = st.builds(Interaction, st.lists(parts, min_size=1, max_size=3, unique=True).map(tuple))
fixed_parts = st.lists(interactions, max_size=4, unique_by=lambda one: frozenset(one.parts)).map(tuple)
groups = st.builds(Group, st.lists(names, min_size=1, max_size=3, unique=True).map(tuple), st.booleans())
related = st.builds(Group, names.map(lambda name: (name,)), st.just(False), names)
members = st.builds(
    Membership, st.lists(names, min_size=1, max_size=3).map(tuple), st.lists(names | numbers, max_size=3).map(tuple)
)
random_terms = st.builds(
    RandomTerm,
    st.lists(groups | related | members, min_size=1, max_size=2).map(tuple),
    st.booleans(),
    fixed_parts,
    st.booleans(),
).filter(lambda one: one.intercept or bool(one.effects))


@given(
    st.builds(
        ParsedFormula, st.lists(columns, min_size=1, max_size=2).map(tuple), fixed_parts, st.just(()), st.booleans()
    ),
    st.none() | random_terms,
)
def test_what_is_printed_parses_back(parsed: ParsedFormula, term: RandomTerm | None) -> None:
    random_part = () if term is None else (term,)
    whole = ParsedFormula(parsed.responses, parsed.fixed, random_part, parsed.intercept)
    if whole.intercept or whole.fixed or whole.random:
        assert parse_formula(str(whole)) == whole


@given(st.text(st.sampled_from("ab1~+-*/:()|,=. `legidvm^Io"), max_size=30))
def test_any_text_is_parsed_or_refused_with_a_place(text: str) -> None:
    try:
        parsed = parse_formula(text)
    except ModelError as error:
        refusal = str(error)
        parsed = None
    if parsed is None:
        assert re.match(r"formula, column \d+: ", refusal)
    else:
        assert parse_formula(str(parsed)) == parsed


def test_a_spline_without_its_degree() -> None:
    with pytest.raises(ModelError, match=r"bspline\(\) needs its degree before 'knots=', as in bspline\(x, 3\)"):
        parse_formula("y ~ bspline(x, knots=60)")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("I(x * z / 10)", "I(x * z/10)"),
        ("I((x - 250) / 40)", "I((x - 250)/40)"),
        ("I(a - (b - c))", "I(a - (b - c))"),
        ("I((a - b) - c)", "I(a - b - c)"),
        ("I(a / (b / c))", "I(a/(b/c))"),
        ("I(a^(b^c))", "I(a^b^c)"),
        ("I((a^b)^c)", "I((a^b)^c)"),
        ("I(-x^2)", "I(-x^2)"),
        ("I((-x)^2)", "I((-x)^2)"),
        ("I(x^-1)", "I(x^-1)"),
        ("I(-(a * b))", "I(-(a * b))"),
        ("I(exp(a) * I(b + 1))", "I(exp(a) * (b + 1))"),
        ("log(I(x + 1))", "log(x + 1)"),
        ("log2((a + `b c`))", "log2(a + `b c`)"),
        ("abs(log1p(x))", "abs(log1p(x))"),
    ],
)
def test_functions_of_columns_are_named_as_r_prints_them(written: str, name: str) -> None:
    assert parse_formula(f"{written} ~ 1").responses == (name,)
    assert parse_formula(f"{name} ~ 1").responses == (name,)
    assert expression_of(name) is not None


@pytest.mark.parametrize("name", ["x", "log", "log(x", "log( x )", "I(x)", "log(x) + 1", "log(1)1)", "cos(x)", "I(§)"])
def test_other_names_are_those_of_columns(name: str) -> None:
    assert expression_of(name) is None
    assert sources_of([name]) == (name,)


def test_columns_that_functions_need() -> None:
    assert sources_of(["log(x)", "I(x/z)", "y", "I(`a b`^z)"]) == ("x", "z", "y", "a b")


def test_products_of_columns() -> None:
    assert product_name(["x", "I(a + b)", "log(z)"]) == "I(x * (a + b) * log(z))"
