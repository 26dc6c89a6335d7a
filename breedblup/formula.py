"""Text of a formula → parsed terms; knows no model and no data.

Grammar (binding from loose to tight, as in R and lme4)::

    formula   = response "~" sum
    response  = name | "(" name "," name ... ")"
    sum       = ["-"] summand {("+" | "-") summand}       only 1 can be subtracted
    summand   = "0" | "1" | "(" sum bar groups ")" | product
    product   = cross {("*" | "/") cross}                 a*b = a + b + a:b,  a/b = a + a:b
    cross     = atom {":" atom}
    atom      = name | call | "(" sum ")"
    call      = factor(x) | C(x) | covariate(x) | poly(x, d) | leg(x, d, range=(a, b))
    bar       = "|" | "||"
    groups    = group {"+" group}                         effects that share one covariance matrix
    group     = ide(f:g) | mm(a, b, weights=(u, v)) | f {":" f} {"/" f {":" f}}

Names are letters of any script, digits, ``_`` and ``.``; other names go between backticks, where two backticks stand
for one. Terms keep the order in which they were written; one that comes again (also as ``b:a``) is merged with the
first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NoReturn, TypeVar

from breedblup.errors import ModelError, nearest

_CALLS = ("leg", "poly", "factor", "C", "covariate")
_GROUP_CALLS = ("ide", "mm")
_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_QUOTED = re.compile(r"`((?:[^`]|``)*)`")
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Column:
    """A bare name; whether it holds classes or numbers is seen in the data."""

    name: str

    def __str__(self) -> str:
        return quote_name(self.name)


@dataclass(frozen=True, slots=True)
class Call:
    """A column with its role; ``function`` is ``factor`` (also for ``C``), ``covariate``, ``poly`` or ``leg``."""

    function: str
    column: str
    degree: int | None = None
    range: tuple[float, float] | None = None

    def __str__(self) -> str:
        arguments = [quote_name(self.column)]
        if self.degree is not None:
            arguments.append(str(self.degree))
        if self.range is not None:
            arguments.append(f"range=({_number_text(self.range[0])}, {_number_text(self.range[1])})")
        return f"{self.function}({', '.join(arguments)})"


@dataclass(frozen=True, slots=True)
class Interaction:
    """A fixed term: one part, or the product of several."""

    parts: tuple[Column | Call, ...]

    def __str__(self) -> str:
        return ":".join(str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Group:
    """A random factor or interaction of factors; ``identity`` where ``ide()`` asks for uncorrelated levels."""

    factors: tuple[str, ...]
    identity: bool = False

    def __str__(self) -> str:
        joined = ":".join(quote_name(name) for name in self.factors)
        return f"ide({joined})" if self.identity else joined


@dataclass(frozen=True, slots=True)
class Membership:
    """``mm(a, b, weights=(...))``: several levels a record, weighted by columns or numbers."""

    columns: tuple[str, ...]
    weights: tuple[str | float, ...] = ()

    def __str__(self) -> str:
        arguments = [quote_name(name) for name in self.columns]
        if self.weights:
            shown = [quote_name(w) if isinstance(w, str) else _number_text(w) for w in self.weights]
            arguments.append(f"weights={shown[0]}" if len(shown) == 1 else f"weights=({', '.join(shown)})")
        return f"mm({', '.join(arguments)})"


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """``(effects | groups)``; ``correlated`` is False for ``||``."""

    groups: tuple[Group | Membership, ...]
    intercept: bool = True
    effects: tuple[Interaction, ...] = ()
    correlated: bool = True

    def __str__(self) -> str:
        left = [str(effect) for effect in self.effects]
        if not self.intercept:
            left.insert(0, "0")
        elif not any(has_constant(effect) for effect in self.effects):
            left.insert(0, "1")
        bar = "|" if self.correlated else "||"
        return f"({' + '.join(left)} {bar} {' + '.join(str(group) for group in self.groups)})"


@dataclass(frozen=True, slots=True)
class ParsedFormula:
    """What a formula says; ``intercept`` is True unless it was removed by ``0 +`` or ``- 1``."""

    responses: tuple[str, ...]
    fixed: tuple[Interaction, ...] = ()
    random: tuple[RandomTerm, ...] = ()
    intercept: bool = True

    def __str__(self) -> str:
        names = [quote_name(name) for name in self.responses]
        right = [str(term) for term in self.fixed]
        if not self.intercept:
            right.insert(0, "0")
        elif not self.fixed:
            right.insert(0, "1")
        right += [str(term) for term in self.random]
        return f"{names[0] if len(names) == 1 else '(' + ', '.join(names) + ')'} ~ {' + '.join(right)}"


def parse_formula(text: str) -> ParsedFormula:
    """Parse a formula such as ``milk ~ herd:year + leg(dim, 4) + (1 | animal)``.

    Raises
    ------
    ModelError
        The text breaks the grammar; the message shows the place, what was found there and what could stand there.
    """
    return _Parser(text).formula()


def has_constant(term: Interaction) -> bool:
    """Whether a term carries its own constant (it has a Legendre part) and so replaces the intercept."""
    return any(isinstance(part, Call) and part.function == "leg" for part in term.parts)


def quote_name(name: str) -> str:
    """A column name as a formula writes it, between backticks where needed."""
    plain = name[:1].isidentifier() and _name_end(name, 0) == len(name)
    return name if plain else "`" + name.replace("`", "``") + "`"


def _number_text(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return repr(float(value)).removesuffix(".0")


@dataclass(frozen=True, slots=True)
class _Token:
    """``kind`` is name, quoted, number, end, or the symbol itself; ``value`` is a name without its backticks."""

    kind: str
    text: str
    value: str
    start: int

    def __str__(self) -> str:
        return "the end of the formula" if self.kind == "end" else f"'{self.text}'"


def _fail(text: str, position: int, message: str) -> NoReturn:
    shown = "".join(" " if character.isspace() else character for character in text)
    raise ModelError(f"formula, column {position + 1}: {message}\n    {shown}\n    {' ' * position}^")


def _name_end(text: str, start: int) -> int:
    """Where a plain name that begins at ``start`` ends; digits may follow, dots as in R."""
    end = start
    while end < len(text) and (text[end] == "." or ("a" + text[end]).isidentifier()):
        end += 1
    return end


def _next_token(text: str, at: int) -> _Token:
    character = text[at]
    if character == "`":
        quoted = _QUOTED.match(text, at)
        if quoted is None:
            _fail(text, at, "the backtick is not closed; write another one after the name")
        if not quoted[1]:
            _fail(text, at, "there is no name between the backticks")
        return _Token("quoted", quoted[0], quoted[1].replace("``", "`"), at)
    number = _NUMBER.match(text, at)
    if number is not None:
        end = _name_end(text, number.end())
        if end > number.end():
            _fail(text, at, f"a name that begins with a digit goes between backticks: `{text[at:end]}`")
        return _Token("number", number[0], number[0], at)
    if character.isidentifier():
        name = text[at : _name_end(text, at)]
        return _Token("name", name, name, at)
    if character in "~+-*/:(),=|":
        symbol = "||" if text.startswith("||", at) else character
        return _Token(symbol, symbol, symbol, at)
    _fail(text, at, f"'{character}' has no meaning here; a name that contains it goes between backticks")


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        tokens.append(_next_token(text, at))
        at += len(tokens[-1].text)
    return [*tokens, _Token("end", "", "", len(text))]


def _merged(items: Iterable[_Item], key: Callable[[_Item], Hashable]) -> tuple[_Item, ...]:
    """The items without those whose key came before."""
    first: dict[Hashable, _Item] = {}
    for item in items:
        first.setdefault(key(item), item)
    return tuple(first.values())


def _random_key(term: RandomTerm) -> Hashable:
    groups = tuple(
        (frozenset(group.factors), group.identity) if isinstance(group, Group) else group for group in term.groups
    )
    effects = frozenset(frozenset(effect.parts) for effect in term.effects)
    return groups, effects, term.intercept, term.correlated or not term.effects


def _cross(left: Sequence[Interaction], right: Sequence[Interaction]) -> list[Interaction]:
    """Each of the left with each of the right; ``a:a`` is ``a``."""
    return [Interaction(tuple(dict.fromkeys(a.parts + b.parts))) for a, b in product(left, right)]


@dataclass(slots=True)
class _Sum:
    """Terms read so far; ``number`` is the last 0 or 1 among them."""

    fixed: list[Interaction] = field(default_factory=list)
    random: list[RandomTerm] = field(default_factory=list)
    intercept: bool = True
    number: _Token | None = None


class _Parser:
    """Recursive descent over the tokens; one method per rule of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.at = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def fail(self, message: str, token: _Token | None = None) -> NoReturn:
        _fail(self.text, (token or self.token).start, message)

    def take(self, *kinds: str) -> _Token | None:
        """The next token when it is of one of these kinds."""
        if self.token.kind not in kinds:
            return None
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, kind: str, purpose: str) -> _Token:
        return self.take(kind) or self.fail(f"expected '{kind}' {purpose}, found {self.token}")

    def name(self, what: str) -> str:
        token = self.take("name", "quoted") or self.fail(f"expected {what}, found {self.token}")
        return token.value

    def close(self, opening: _Token) -> None:
        self.expect(")", f"to close the '(' of column {opening.start + 1}")

    def calls(self) -> bool:
        """Whether a function call begins here."""
        return self.token.kind == "name" and self.tokens[self.at + 1].kind == "("

    def opens_random(self) -> bool:
        """Whether a parenthesis begins here that has a bar of its own."""
        if self.token.kind != "(":
            return False
        depth = 0
        for token in self.tokens[self.at :]:
            depth += (token.kind == "(") - (token.kind == ")")
            if depth == 0 or (depth == 1 and token.kind in ("|", "||")):
                return depth == 1
        return False

    def formula(self) -> ParsedFormula:
        responses = self.responses()
        tilde = self.expect("~", "between the response and the terms, as in milk ~ herd + (1 | animal)")
        if self.token.kind == "end":
            self.fail("nothing on the right of '~'; write the terms, for example 1 + (1 | animal)")
        total = self.sum(top=True)
        if self.token.kind != "end":
            self.fail(f"expected '+' or the end of the formula, found {self.token}; terms are joined by '+'")
        if not (total.intercept or total.fixed or total.random):
            self.fail("nothing on the right of '~' is left to fit; write the terms beside the 0", tilde)
        fixed = _merged(total.fixed, lambda term: frozenset(term.parts))
        return ParsedFormula(responses, fixed, _merged(total.random, _random_key), total.intercept)

    def responses(self) -> tuple[str, ...]:
        if self.calls():
            self.fail(
                "the response is a column, not a function; make the column in the records (several traits: (wwt, pwt))"
            )
        opening = self.take("(")
        if opening is None:
            return (self.name("the column of the response"),)
        names = [self.name("the column of a response")]
        while self.take(","):
            names.append(self.name("the column of a response"))
        self.close(opening)
        return tuple(names)

    def sum(self, *, top: bool) -> _Sum:
        total = _Sum()
        sign = self.take("-")
        while True:
            self.summand(total, top=top, subtracted=sign is not None and sign.kind == "-")
            sign = self.take("+", "-")
            if sign is None:
                return total

    def summand(self, total: _Sum, *, top: bool, subtracted: bool) -> None:
        number = self.take("number")
        if subtracted and (number is None or number.text != "1"):
            self.fail("only '- 1' can be subtracted, it removes the intercept; leave other terms out", number)
        if number is not None:
            if number.text not in ("0", "1"):
                self.fail("a number among the terms can only be 1 (intercept) or 0 (no intercept)", number)
            if self.token.kind in (":", "*", "/"):
                self.fail("a number cannot be part of an interaction; write names", number)
            total.intercept = number.text == "1" and not subtracted
            total.number = number
        elif top and self.opens_random():
            total.random += self.random()
        else:
            total.fixed += self.product()

    def product(self) -> list[Interaction]:
        terms = self.cross()
        while operator := self.take("*", "/"):
            right = self.cross()
            if operator.kind == "*":
                terms = terms + right + _cross(terms, right)
            else:
                whole = Interaction(tuple(dict.fromkeys(part for term in terms for part in term.parts)))
                terms = terms + _cross([whole], right)
        return terms

    def cross(self) -> list[Interaction]:
        terms = self.atom()
        while self.take(":"):
            terms = _cross(terms, self.atom())
        return terms

    def atom(self) -> list[Interaction]:
        if self.opens_random():
            self.fail("a random term stands by itself, joined to the others by '+'")
        opening = self.take("(")
        if opening is not None:
            inner = self.sum(top=False)
            if inner.number is not None:
                self.fail("the intercept is set outside parentheses (a random term: (1 | animal))", inner.number)
            self.close(opening)
            return inner.fixed
        if self.calls():
            return [Interaction((self.call(),))]
        return [Interaction((Column(self.name("a term")),))]

    def call(self) -> Call:
        function = self.token.value
        if function in _GROUP_CALLS:
            self.fail(f"{function}() belongs right of the bar of a random term, as in (1 | {function}(...))")
        if function not in _CALLS:
            self.unknown_function(_CALLS)
        self.at += 1
        opening = self.expect("(", f"after {function}")
        column = self.name(f"the column of {function}()")
        degree = limits = None
        if function in ("leg", "poly"):
            self.expect(",", f"and the degree, as in {function}({quote_name(column)}, 2)")
            degree = self.degree(function)
        if function == "leg" and self.take(","):
            limits = self.range()
        self.close(opening)
        return Call("factor" if function == "C" else function, column, degree, limits)

    def unknown_function(self, known: Sequence[str]) -> NoReturn:
        name = self.token.value
        listed = ", ".join(f"{function}()" for function in known)
        self.fail(f"unknown function {name!r}{nearest(name, known)}; known here are {listed}")

    def keyword(self, function: str, known: str) -> None:
        """``known =``, or a complaint about another name."""
        token = self.token
        if self.take("name") is None:
            self.fail(f"expected '{known}=', found {token}")
        if token.value != known:
            self.fail(f"{function}() has no argument {token.value!r}{nearest(token.value, [known])}", token)
        self.expect("=", f"after {known}")

    def degree(self, function: str) -> int:
        if self.token.kind == "name":
            self.keyword(function, "degree")
        token = self.take("number")
        if token is None or not token.text.isdecimal() or int(token.text) < 1:
            self.fail(f"the degree of {function}() is a whole number from 1, found {token or self.token}", token)
        return int(token.text)

    def number(self, what: str) -> float:
        sign = -1.0 if self.take("-") else 1.0
        token = self.take("number") or self.fail(f"expected {what}, found {self.token}")
        return sign * float(token.text)

    def range(self) -> tuple[float, float]:
        start = self.token
        self.keyword("leg", "range")
        opening = self.expect("(", "before the limits, as in range=(5, 305)")
        lower = self.number("the lower limit of the range")
        self.expect(",", "between the limits of the range")
        upper = self.number("the upper limit of the range")
        self.close(opening)
        if lower >= upper:
            self.fail(f"the range from {_number_text(lower)} to {_number_text(upper)} is empty", start)
        return lower, upper

    def random(self) -> list[RandomTerm]:
        opening = self.expect("(", "before a random term")
        left = self.sum(top=False)
        bar = self.take("|", "||") or self.fail(f"expected '+' or '|', found {self.token}")
        if not (left.intercept or left.fixed):
            self.fail("nothing on the left of the bar is left to fit; write (1 | factor)", bar)
        effects = _merged(left.fixed, lambda term: frozenset(term.parts))
        terms = [RandomTerm(groups, left.intercept, effects, bar.kind == "|") for groups in self.groups()]
        self.close(opening)
        return terms

    def groups(self) -> list[tuple[Group | Membership, ...]]:
        """What stands right of the bar: the groups of each term that it makes."""
        chain = self.chain()
        if self.token.kind != "+":
            return [(group,) for group in chain]
        shared = [chain]
        while plus := self.take("+"):
            shared.append(self.chain())
            if max(len(one) for one in shared) > 1:
                self.fail("'/' and '+' cannot be mixed right of the bar; write two random terms", plus)
        return [tuple(one[0] for one in shared)]

    def chain(self) -> Sequence[Group | Membership]:
        """One group, or ``a/b`` as ``a`` and ``a:b``."""
        if self.calls():
            function = self.token.value
            group = self.group_call()
            if self.token.kind in (":", "/"):
                self.fail(f"{function}() is a whole group and cannot be joined by '{self.token.kind}'")
            return [group]
        nested = [self.factors()]
        while self.take("/"):
            nested.append(tuple(dict.fromkeys(nested[-1] + self.factors())))
        return [Group(factors) for factors in nested]

    def factors(self) -> tuple[str, ...]:
        names = []
        while True:
            if self.calls():
                self.fail(f"{self.token.value}() cannot be part of an interaction of groups; write a factor")
            names.append(self.name("a factor"))
            if not self.take(":"):
                return tuple(dict.fromkeys(names))

    def group_call(self) -> Group | Membership:
        function = self.token.value
        if function in _CALLS:
            self.fail(f"{function}() cannot stand right of the bar; write a factor or ide(factor)")
        if function not in _GROUP_CALLS:
            self.unknown_function(_GROUP_CALLS)
        self.at += 1
        opening = self.expect("(", f"after {function}")
        group = Group(self.factors(), identity=True) if function == "ide" else self.membership()
        self.close(opening)
        return group

    def membership(self) -> Membership:
        columns = [self.name("a factor")]
        weights: tuple[str | float, ...] = ()
        while self.take(","):
            if self.token.kind == "name" and self.tokens[self.at + 1].kind == "=":
                self.keyword("mm", "weights")
                weights = self.weights()
                break
            columns.append(self.name("a factor"))
        return Membership(tuple(columns), weights)

    def weights(self) -> tuple[str | float, ...]:
        opening = self.take("(")
        weights = [self.weight()]
        while opening is not None and self.take(","):
            weights.append(self.weight())
        if opening is not None:
            self.close(opening)
        return tuple(weights)

    def weight(self) -> str | float:
        if self.token.kind in ("name", "quoted"):
            return self.name("a weight")
        return self.number("a column or number as weight")
