"""The terms of a model, coded: classes as int32 codes (never columns), covariates as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError
from breedblup.frames import MISSING_VALUES, Table, positions
from breedblup.model import ByType, Covariate, Fixed
from breedblup.relationship import RelationshipInverse

WHOLE_NUMBER = r"^(0|-?[1-9][0-9]{0,17})$"
LEADING_ZERO = r"^[+-]?0[0-9]"
MOSTLY_NUMBERS = 0.1
"""Share of values that are no numbers up to which a column is suspected to be one of numbers with slips."""


@dataclass(frozen=True, slots=True)
class DesignTerm:
    """One term of the model for the records in use.

    Attributes
    ----------
    name
        As the model writes it: ``herd:year``, ``animal``, ``(Intercept)``.
    kind
        ``fixed`` or ``random``.
    levels
        Labels of the levels; a single empty one for an intercept or a covariate that is not nested.
    codes
        Level of each record, int32.
    basis
        n × c values of the covariates, or None where each record has a 1.
    coefficients
        c names; a single empty one where there is nothing to tell apart.
    classes
        Whether the term is a set of classes, in which each record has exactly one 1.
    relationship
        K⁻¹ of a random term, None for the identity.
    """

    name: str
    kind: Literal["fixed", "random"]
    levels: pl.Series
    codes: NDArray[np.int32]
    basis: NDArray[np.float64] | None = None
    coefficients: tuple[str, ...] = ("",)
    classes: bool = True
    relationship: RelationshipInverse | None = None

    @property
    def equations(self) -> int:
        """Number of equations: levels times coefficients."""
        return len(self.levels) * len(self.coefficients)

    @property
    def spans_constant(self) -> bool:
        """Whether a combination of its columns is 1 for every record, with a single level."""
        if len(self.levels) > 1:
            return False
        return self.basis is None or self.coefficients[0] == "0"

    def label(self, level: int, coefficient: int) -> str:
        """Label of one of its equations: level, coefficient, or both."""
        parts = [str(self.levels[level]), self.coefficients[coefficient]]
        return ":".join(part for part in parts if part)


def code_classes(values: pl.Series) -> tuple[pl.Series, NDArray[np.int32]]:
    """Sorted levels of a text column without nulls (whole numbers by value) and the code of each row."""
    levels = values.unique()
    whole = bool(levels.str.contains(WHOLE_NUMBER).all())
    levels = levels.gather(levels.cast(pl.Int64).arg_sort()) if whole else levels.sort()
    return levels, positions(values, levels)


def code_interaction(columns: Sequence[pl.Series]) -> tuple[pl.Series, NDArray[np.int32]]:
    """Observed combinations of several text columns, labelled ``a:b``, in the order of their levels."""
    levels, codes = code_classes(columns[0])
    for column in columns[1:]:
        inner, inner_codes = code_classes(column)
        both = codes.astype(np.int64) * len(inner) + inner_codes
        observed, codes64 = np.unique(both, return_inverse=True)
        codes = codes64.astype(np.int32)
        outer = levels.gather(observed // len(inner))
        levels = outer + ":" + inner.gather(observed % len(inner))
    return levels.rename("level"), codes


def intercept(n: int) -> tuple[pl.Series, NDArray[np.int32]]:
    """The single level of every record."""
    return pl.Series("level", [""]), np.zeros(n, dtype=np.int32)


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
    """Decide the meaning of bare names by the types of their columns; a note says what was taken for a covariate."""
    if not isinstance(term, ByType):
        return term
    regressions = [column for column in term.columns if _is_covariate(table, column, notes)]
    classes = tuple(column for column in term.columns if column not in regressions)
    if not regressions:
        return Fixed(classes)
    if len(regressions) > 1:
        raise ModelError(
            f"{term.name} multiplies the covariates {regressions[0]!r} and {regressions[1]!r} "
            "-> put their product into a column, or write factor() around classes"
        )
    return Covariate(regressions[0], within=classes)
