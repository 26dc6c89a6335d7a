"""What a formula says, as frozen terms; ``str()`` writes each back as a formula has it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from breedblup.formula.expressions import written_column
from breedblup.formula.tokens import number_text, quote_name

FUNCTIONS = ("leg", "bspline", "poly", "factor", "C", "covariate")
"""What gives a column its role, in fixed terms and left of a bar."""

GROUP_FUNCTIONS = ("ide", "vm", "mm")
"""What stands right of a bar."""


@dataclass(frozen=True, slots=True)
class Column:
    """A bare name; whether it holds classes or numbers is seen in the data."""

    name: str

    def __str__(self) -> str:
        return quote_name(self.name)


@dataclass(frozen=True, slots=True)
class Call:
    """A column with its role; ``function`` is ``factor`` (also for ``C``), ``covariate``, ``poly``, ``leg``, ``bspline``.

    ``levels`` are those of a factor left of a bar, where they are named. A covariate may be a function of columns, ``log(x)``,
    which is written without ``covariate()``.
    """

    function: str
    column: str
    degree: int | None = None
    range: tuple[float, float] | None = None
    knots: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()

    def __str__(self) -> str:
        column = quote_name(self.column)
        if self.function != "factor":
            computed = written_column(self.column)
            if self.function == "covariate" and computed != column:
                return computed
            column = computed
        arguments = [column]
        if self.degree is not None:
            arguments.append(str(self.degree))
        if self.knots:
            shown = [number_text(knot) for knot in self.knots]
            arguments.append(f"knots={shown[0]}" if len(shown) == 1 else f"knots=({', '.join(shown)})")
        if self.levels:
            arguments.append(f"levels=({', '.join(quote_name(level) for level in self.levels)})")
        if self.range is not None:
            arguments.append(f"range=({number_text(self.range[0])}, {number_text(self.range[1])})")
        return f"{self.function}({', '.join(arguments)})"


@dataclass(frozen=True, slots=True)
class Interaction:
    """A fixed term: one part, or the product of several."""

    parts: tuple[Column | Call, ...]

    def __str__(self) -> str:
        return ":".join(str(part) for part in self.parts)

    @property
    def key(self) -> Hashable:
        """The same for ``a:b`` and ``b:a``."""
        return frozenset(self.parts)


@dataclass(frozen=True, slots=True)
class Group:
    """A random factor or interaction of factors.

    ``identity`` where ``ide()`` asks for uncorrelated levels, ``relationship`` where ``vm()`` names another one.
    """

    factors: tuple[str, ...]
    identity: bool = False
    relationship: str | None = None

    def __str__(self) -> str:
        joined = ":".join(quote_name(name) for name in self.factors)
        if self.relationship is not None:
            return f"vm({joined}, {quote_name(self.relationship)})"
        return f"ide({joined})" if self.identity else joined


@dataclass(frozen=True, slots=True)
class Membership:
    """``mm(a, b, weights=(...))``: several levels a record, weighted by columns or numbers."""

    columns: tuple[str, ...]
    weights: tuple[str | float, ...] = ()

    def __str__(self) -> str:
        arguments = [quote_name(name) for name in self.columns]
        if self.weights:
            shown = [quote_name(w) if isinstance(w, str) else number_text(w) for w in self.weights]
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

    @property
    def key(self) -> Hashable:
        """The same for all orders of factors and effects; one effect is the same with either bar."""
        groups = tuple(
            (frozenset(group.factors), group.identity, group.relationship) if isinstance(group, Group) else group
            for group in self.groups
        )
        effects = frozenset(effect.key for effect in self.effects)
        return groups, effects, self.intercept, self.correlated or not self.effects


@dataclass(frozen=True, slots=True)
class ParsedFormula:
    """What a formula says; ``intercept`` is True unless it was removed by ``0 +`` or ``- 1``."""

    responses: tuple[str, ...]
    fixed: tuple[Interaction, ...] = ()
    random: tuple[RandomTerm, ...] = ()
    intercept: bool = True

    def __str__(self) -> str:
        names = [written_column(name) for name in self.responses]
        right = [str(term) for term in self.fixed]
        if not self.intercept:
            right.insert(0, "0")
        elif not self.fixed:
            right.insert(0, "1")
        right += [str(term) for term in self.random]
        return f"{names[0] if len(names) == 1 else '(' + ', '.join(names) + ')'} ~ {' + '.join(right)}"


_Term = TypeVar("_Term", Interaction, RandomTerm)


def has_constant(term: Interaction) -> bool:
    """Whether a term carries its own constant (Legendre polynomials, B-splines) and so replaces the intercept."""
    return any(isinstance(part, Call) and part.function in ("leg", "bspline") for part in term.parts)


def merged(terms: Iterable[_Term]) -> tuple[_Term, ...]:
    """The terms without those whose key came before."""
    first: dict[Hashable, _Term] = {}
    for term in terms:
        first.setdefault(term.key, term)
    return tuple(first.values())


def crossed(left: Iterable[Interaction], right: Iterable[Interaction]) -> list[Interaction]:
    """Each of the left with each of the right; ``a:a`` is ``a``."""
    return [Interaction(tuple(dict.fromkeys(a.parts + b.parts))) for a, b in product(left, right)]
