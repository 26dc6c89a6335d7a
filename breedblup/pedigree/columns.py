"""Which columns of a table hold a pedigree, and what cells of sex and birth mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import PedigreeError, name_some, nearest
from breedblup.frames import MISSING_VALUES, Table

RECOGNISED = {
    "id": ("id", "animal", "animal_id", "ident"),
    "sire": ("sire", "sire_id", "father"),
    "dam": ("dam", "dam_id", "mother"),
    "sex": ("sex", "gender"),
    "birth": ("birth", "born", "birth_date", "birthdate", "date_of_birth", "dob", "birth_year", "year_of_birth", "yob"),
    "twin_of": ("twin_of", "clone_of", "identical_twin_of"),
}

SEX_CODES = {"m": 1, "male": 1, "1": 1, "f": 2, "female": 2, "2": 2, "0": 0, "u": 0, "unknown": 0}


@dataclass(frozen=True, slots=True)
class PedigreeColumns:
    """Names of the columns; None is recognised from the header (case does not matter).

    ``maternal_grandsire`` stands in the place of ``dam``: it makes a pedigree of sires, whose dams are unknown. ``twin_of`` names
    the animal whose genotype this one shares, its identical twin or what it is a clone of.
    """

    id: str | None = None
    sire: str | None = None
    dam: str | None = None
    sex: str | None = None
    birth: str | None = None
    maternal_grandsire: str | None = None
    twin_of: str | None = None

    @property
    def of_sires(self) -> bool:
        """Whether dams are unknown and maternal grandsires known."""
        return self.maternal_grandsire is not None


def find_columns(table: Table, columns: PedigreeColumns) -> dict[str, str]:
    """Role -> column name; id, sire and dam (the maternal grandsire in a pedigree of sires) are needed.

    Raises
    ------
    PedigreeError
        If a named column is not there, one that is needed is not found, or several could be meant.
    """
    return columns_among(table.frame.columns, table.name, columns)


def columns_among(header: Sequence[str], table: str, columns: PedigreeColumns) -> dict[str, str]:
    """As `find_columns`, of a table's name and the names of its columns."""
    found: dict[str, str] = {}
    if columns.of_sires:
        if columns.dam is not None:
            raise PedigreeError(
                f"{table}: dam {columns.dam!r} and maternal grandsire {columns.maternal_grandsire!r} are both named "
                "-> name one of them"
            )
        columns = replace(columns, dam=columns.maternal_grandsire, maternal_grandsire=None)
    for role in fields(columns):
        if role.name not in RECOGNISED:
            continue
        named = getattr(columns, role.name)
        if named is not None:
            if named not in header:
                raise PedigreeError(
                    f"{table} has no column {named!r} for the {role.name}{nearest(named, header)} "
                    f"(its columns: {name_some(header)})"
                )
            found[role.name] = named
            continue
        fitting = [name for name in header if name.lower() in RECOGNISED[role.name]]
        if len(fitting) > 1:
            raise PedigreeError(
                f"{table}: columns {name_some(fitting)} could all be the {role.name} -> name the column"
            )
        if fitting:
            found[role.name] = fitting[0]
    lacking = [role for role in ("id", "sire", "dam") if role not in found]
    if lacking:
        wanted = ", ".join(f"{role} ({' or '.join(RECOGNISED[role][:2])})" for role in lacking)
        raise PedigreeError(
            f"{table}: no column found for {wanted}; the first line reads {name_some(header)} "
            "-> add a header line, or name the columns"
        )
    return found


def sexes(places: Table, rows: NDArray[np.int32], written: pl.Series) -> NDArray[np.int8]:
    """0 unknown, 1 male, 2 female, of rows that hold the number of a text as ``written``, -1 none."""
    text = _stripped(written, MISSING_VALUES, lower=True)
    codes = text.replace_strict(SEX_CODES, default=None, return_dtype=pl.Int8)
    wrong = _rows_of(rows, codes.is_null() & text.is_not_null())
    if wrong.size:
        raise PedigreeError(
            f"{places.places(wrong)}: sex {written[int(rows[wrong[0]])]!r} is not understood; "
            "write M or F (or male, female, 1, 2; 0 or U where it is unknown)"
        )
    meaning = np.append(codes.fill_null(0).to_numpy(), np.int8(0))  # the last for -1
    return meaning[rows]


def births(places: Table, rows: NDArray[np.int32], written: pl.Series) -> pl.Series:
    """Dates, or years where all are years, of rows that hold the number of a text as ``written``, -1 none."""
    text = _stripped(written, (*MISSING_VALUES, "0"), lower=False)
    if text.str.contains(r"^\d{4}$").fill_null(True).all():
        meaning = text.cast(pl.Int32)
    else:
        meaning = text.str.to_date("%Y-%m-%d", strict=False)
        wrong = _rows_of(rows, meaning.is_null() & text.is_not_null())
        if wrong.size:
            raise PedigreeError(
                f"{places.places(wrong)}: birth {text[int(rows[wrong[0]])]!r} is not a date like 2019-03-28; "
                "write all births as such dates, or all as years of four digits"
            )
    unknown = np.int32(len(meaning))
    return meaning.extend_constant(None, 1).gather(np.where(rows >= 0, rows, unknown))


def _stripped(written: pl.Series, missing: Sequence[str], *, lower: bool) -> pl.Series:
    """Texts without spaces around them, null where they are codes of a missing value."""
    text = written.str.strip_chars()
    codes = list(missing)
    if lower:
        text, codes = text.str.to_lowercase(), [code.lower() for code in missing]
    return text.set(text.is_in(codes), None)


def _rows_of(rows: NDArray[np.int32], wrong: pl.Series) -> NDArray[np.int64]:
    """Rows that hold one of the texts that are wrong."""
    if not wrong.any():
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(np.append(wrong.to_numpy(), False)[rows])
