"""The terms of a model, coded: classes as int32 codes (never columns), covariates as values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError
from breedblup.formula import product_name
from breedblup.frames import MISSING_VALUES, Table
from breedblup.model import Basis, ByType, Coordinate, Covariate, Fixed
from breedblup.relationship import RelationshipInverse

LEADING_ZERO = r"^[+-]?0[0-9]"
MOSTLY_NUMBERS = 0.1
"""Share of values that are no numbers up to which a column is suspected to be one of numbers with slips."""


class Function(NamedTuple):
    """What multiplies a random effect in a record: function ``number`` of the basis of a column, or 1 without a column.

    ``group`` tells effects of several groups apart (``direct``, ``maternal``); limits of the basis are known.
    """

    group: str
    column: str | None
    basis: Basis
    number: int


class Entry(NamedTuple):
    """Where the row of W of a trait has a value: at a coordinate of the level that a link names.

    The value is ``scale`` times the ``column`` of the term's values, times 1 where that is -1.
    """

    trait: int
    coordinate: int
    column: int
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Link:
    """How records reach the levels of a term: by the codes (n, int32; -1 none) of one column that holds levels."""

    codes: NDArray[np.int32]
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class DesignTerm:
    """One term of the model for the records in use.

    Attributes
    ----------
    name
        As the model writes it: ``herd:year``, ``animal``, ``(Intercept)``; the key of a random term.
    kind
        ``fixed`` or ``random``.
    levels
        Labels of the levels; a single empty one for an intercept or a covariate that is not nested.
    coordinates
        The effects that each level has, traits inner.
    links
        One for each column that holds levels.
    values
        n × c values of covariates and weights, or None where there are none.
    classes
        Whether the term is a set of classes, in which each record has exactly one 1.
    constant
        Whether a combination of its columns is 1 for every record, with a single level.
    relationship
        K⁻¹ of a random term, None for the identity.
    functions
        Of a random term: what multiplies each coordinate.
    correlated
        Of a random term: whether different effects may have a covariance.
    """

    name: str
    kind: Literal["fixed", "random"]
    levels: pl.Series
    coordinates: tuple[Coordinate, ...]
    links: tuple[Link, ...]
    values: NDArray[np.float64] | None = None
    classes: bool = True
    constant: bool = False
    relationship: RelationshipInverse | None = None
    functions: tuple[Function, ...] = ()
    correlated: bool = True

    def label(self, level: int, coordinate: int) -> str:
        """Label of one of its effects: level, coefficient, or both."""
        parts = [str(self.levels[level]), self.coordinates[coordinate].effect]
        return ":".join(part for part in parts if part)

    def recorded(self, coordinate: int, observed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Number of records that each level has at a coordinate, each once; ``observed`` is n × traits."""
        counts = np.zeros(len(self.levels), dtype=np.int64)
        seen: list[NDArray[np.int32]] = []
        for link in self.links:
            trait = next((entry.trait for entry in link.entries if entry.coordinate == coordinate), None)
            if trait is None:
                continue
            new = observed[:, trait] & (link.codes >= 0)
            for before in seen:
                new &= link.codes != before
            counts += np.bincount(link.codes[new], minlength=counts.size)
            seen.append(link.codes)
        return counts

    def of_trait(self, trait: int, rows: NDArray[np.int64]) -> DesignTerm:
        """What a fixed term is to one trait alone, numbered 0, in the records ``rows``."""
        link = self.links[0]
        mine = [entry for entry in link.entries if entry.trait == trait]
        entries = tuple(entry._replace(trait=0, coordinate=k) for k, entry in enumerate(mine))
        coordinates = tuple(self.coordinates[entry.coordinate] for entry in mine)
        values = None if self.values is None else self.values[rows]
        return replace(self, coordinates=coordinates, links=(Link(link.codes[rows], entries),), values=values)


def _is_covariate(table: Table, column: str, notes: list[str]) -> bool:
    """Whether a bare name of a formula is a covariate: a numeric column, as in lme4; a text file's is judged by its text."""
    series = table.column(column)
    if series.dtype.is_numeric():
        known = series.cast(pl.Float64).drop_nulls().drop_nans()
        if bool((known == known.round()).all()):
            notes.append(
                f"{column}: a column of whole numbers, taken as a covariate; write factor({column}) for one effect a value"
            )
        return True
    return not table.typed and series.dtype == pl.String and _reads_as_covariate(table, column)


def _reads_as_covariate(table: Table, column: str) -> bool:
    """Whether a column of a text file holds numbers; refuses what may be meant either way."""
    text = table.column(column).str.strip_chars()
    given = text.is_not_null() & ~text.is_in(MISSING_VALUES)
    text = text.filter(given)
    if len(text) == 0 or text.str.contains(LEADING_ZERO).any():
        return False
    numbers = text.cast(pl.Float64, strict=False)
    either = f"write factor({column}) or covariate({column}) in the model"
    if not numbers.is_null().any():
        if bool((numbers == numbers.round()).all()):
            raise ModelError(
                f"{table.name}: column {column!r} holds whole numbers, which may be classes or a covariate -> {either}"
            )
        return True
    with_points = text.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    if with_points.is_null().mean() <= MOSTLY_NUMBERS:  # type: ignore[operator]
        wrong = given.arg_true().to_numpy()[numbers.is_null().to_numpy()]
        raise ModelError(
            f"{table.places(wrong)}: column {column!r} holds numbers but for values such as "
            f"{table.column(column)[int(wrong[0])]!r} -> correct them (a decimal point, a missing code), or {either}"
        )
    return False


def resolve(term: Fixed | Covariate | ByType, table: Table, notes: list[str]) -> Fixed | Covariate:
    """Decide the meaning of bare names by the types of their columns; a note says what was taken for a covariate.

    Several covariates are one, their product.
    """
    if not isinstance(term, ByType):
        return term
    bare = [column for column in term.columns if column not in term.factors]
    regressions = [column for column in bare if _is_covariate(table, column, notes)]
    classes = tuple(column for column in term.columns if column not in regressions)
    if not regressions:
        return Fixed(classes, term.traits)
    column = product_name(regressions) if len(regressions) > 1 else regressions[0]
    return Covariate(column, within=classes, traits=term.traits)
