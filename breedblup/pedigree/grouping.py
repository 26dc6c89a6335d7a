"""Groups of unknown parents by a rule: birth year × path × sex × breed, small ones merged.

An unknown parent is grouped by what is known of its offspring: when it was born, whether its sire or its dam is missing, its
sex (together the four paths of selection, Westell, Quaas & Van Vleck 1988) and its breed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError, PedigreeError, counted, name_some
from breedblup.frames import as_table
from breedblup.kernels.births import guess_birth_years
from breedblup.pedigree.groups import ParentGroups
from breedblup.pedigree.pedigree import Pedigree

LINE = ("breed", "path", "sex")
"""What tells lines apart; each has groups of its own by period."""

SEXES = ("unknown sex", "males", "females")
NO_YEAR = -1
NO_BREED = "unknown breed"


@dataclass(frozen=True, slots=True)
class GroupRule:
    """What tells groups of unknown parents apart.

    Attributes
    ----------
    years
        Length of the periods of birth of the offspring, in years; 0: years do not matter. Periods begin at multiples of it.
    path
        Whether unknown sires and unknown dams are groups of their own.
    sex
        Whether those of males and of females are.
    smallest
        Fewest unknown parents in a group. Smaller ones are merged: first lines (breed, path, sex) that are too small as a
        whole join the largest line of the same breed and path, else of the same breed, else of all; then, within a line,
        periods are joined from the earliest on until they have that many, and what is left at the end joins the last.
    """

    years: int = 5
    path: bool = True
    sex: bool = False
    smallest: int = 50

    def __post_init__(self) -> None:
        for name, value in (("path", self.path), ("sex", self.sex)):
            if not isinstance(value, bool):
                raise ModelError(f"{name} of a rule for groups is {value!r}; it can be True or False")
        for name, number, least in (("years", self.years, 0), ("smallest", self.smallest, 1)):
            if isinstance(number, bool) or not isinstance(number, int):
                raise ModelError(f"{name} of a rule for groups is {number!r}; it has to be a whole number")
            if number < least:
                raise ModelError(f"{name} of a rule for groups is {number}; it has to be at least {least}")


def group_unknown_parents(pedigree: Pedigree, rule: GroupRule = GroupRule(), *, breeds: Any = None) -> Pedigree:
    """The same pedigree with groups of unknown parents made by a rule.

    Years of birth that are not known are estimated: that of the earliest offspring less the mean age of parents in this
    pedigree, but not before a parent's, else that of the youngest parent plus that age; the groups say how many.

    Parameters
    ----------
    breeds
        Data frame of animal and breed (its first two columns); animals that it lacks are a breed of their own. None: breed does
        not matter.

    Raises
    ------
    PedigreeError
        If every parent is known, births are needed and there are none, or ``breeds`` has no two columns.
    """
    n = len(pedigree)
    made: list[str] = []
    unknown = [np.flatnonzero(parent < 0) for parent in (pedigree.sire, pedigree.dam)]
    animal = np.concatenate(unknown)
    if not animal.size:
        raise PedigreeError(f"{pedigree.name}: every parent is known -> there is nothing to group")
    path = np.repeat([0, 1], [part.size for part in unknown]) if rule.path else np.full(animal.size, -1)
    sex = np.full(animal.size, -1) if not rule.sex else _sexes(pedigree)[animal]
    breed, breed_names = _breeds(pedigree, animal, breeds, made)
    if not rule.years:
        period = np.zeros(animal.size, dtype=np.int64)
    else:
        years, estimated = estimated_birth_years(pedigree)
        unplaced = int(np.count_nonzero(years[animal] == NO_YEAR))
        period = np.where(years[animal] == NO_YEAR, NO_YEAR, years[animal] // rule.years)
        made.append(
            f"{counted(estimated, 'year')} of birth estimated from relatives, {counted(unplaced, 'unknown parent')} without one"
        )
    own = pl.DataFrame({"breed": breed, "path": path, "sex": sex, "period": period})
    joined = _join_small_lines(own, rule.smallest)
    group, periods = _join_small_periods(joined, rule.smallest)
    names = _names(own, group, periods, rule, breed_names)
    made += _joined_lines(own, joined, rule, breed_names)
    sire, dam = np.full(n, -1, dtype=np.int32), np.full(n, -1, dtype=np.int32)
    sire[unknown[0]], dam[unknown[1]] = np.split(group.astype(np.int32), [unknown[0].size])
    what = [f"birth in periods of {rule.years} years"] * (rule.years > 0) + ["path"] * rule.path
    what += ["sex"] * rule.sex + ["breed"] * (breeds is not None)
    made.insert(
        0,
        f"{counted(len(names), 'group')} of unknown parents by {', '.join(what) or 'no distinction'}, "
        f"merged up to at least {rule.smallest:,}",
    )
    groups = ParentGroups(pl.Series("group", names, dtype=pl.String), sire, dam, None, tuple(made))
    return replace(pedigree, groups=groups)


def estimated_birth_years(pedigree: Pedigree) -> tuple[NDArray[np.int32], int]:
    """Years of birth, those not recorded estimated from relatives and -1 where there are none; and how many were estimated.

    Raises
    ------
    PedigreeError
        If the pedigree has no births.
    """
    recorded = pedigree.birth_years()
    if recorded is None or not (recorded >= 0).any():
        raise PedigreeError(
            f"{pedigree.name} has no births, which years are taken from -> name the column of births (a rule for groups can "
            "do without: years = 0)"
        )
    ages = [
        (recorded - recorded[parent])[(parent >= 0) & (recorded >= 0) & (recorded[parent] >= 0)]
        for parent in (pedigree.sire, pedigree.dam)
    ]
    all_ages = np.concatenate(ages)
    years = recorded.copy()
    guess_birth_years(pedigree.sire, pedigree.dam, round(float(all_ages.mean())) if all_ages.size else 0, years)
    return years, int(np.count_nonzero((recorded < 0) & (years >= 0)))


def _sexes(pedigree: Pedigree) -> NDArray[np.int8]:
    """Recorded sexes, else those of the role as a parent; 0 where neither is known."""
    sex = np.zeros(len(pedigree), dtype=np.int8) if pedigree.sex is None else pedigree.sex.copy()
    for code, parent in ((1, pedigree.sire), (2, pedigree.dam)):
        as_parent = parent[parent >= 0]
        sex[as_parent[sex[as_parent] == 0]] = code
    return sex


def _breeds(
    pedigree: Pedigree, animal: NDArray[np.int64], breeds: Any, made: list[str]
) -> tuple[NDArray[np.int64], list[str]]:
    """Code of the breed of each animal that has an unknown parent, and names of breeds."""
    if breeds is None:
        return np.full(animal.size, -1), []
    table = as_table(breeds, "breeds")
    if len(table.frame.columns) < 2:
        raise PedigreeError(f"{table.name}: a column of animals and one of their breeds are needed")
    ids, values = (table.text(column) for column in table.frame.columns[:2])
    known = pl.DataFrame({"id": ids, "breed": values}).drop_nulls().unique("id", keep="first")
    found = pl.DataFrame({"id": pedigree.ids.gather(animal)}).join(known, on="id", how="left", maintain_order="left")
    lacking = found.filter(pl.col("breed").is_null())["id"].unique(maintain_order=True)
    if len(lacking):
        made.append(
            f"{counted(len(lacking), 'animal')} without a breed, a breed of their own: {name_some(lacking.to_list())}"
        )
    breed = found["breed"].fill_null(NO_BREED)
    names = breed.unique().sort()
    code = {name: k for k, name in enumerate(names)}
    return breed.replace_strict(code, return_dtype=pl.Int64).to_numpy(), names.to_list()


def _join_small_lines(slots: pl.DataFrame, smallest: int) -> pl.DataFrame:
    """Lines (breed, path, sex) with fewer unknown parents than ``smallest`` join the nearest larger line."""
    while True:
        lines = slots.group_by("breed", "path", "sex").len().sort("len", "breed", "path", "sex")
        small = lines.row(0, named=True)
        if small["len"] >= smallest or lines.height == 1:
            return slots
        others = lines.slice(1)
        for same in (("breed", "path"), ("breed",), ()):
            near = others.filter(*[pl.col(column) == small[column] for column in same])
            if near.height:
                break
        target = near.row(-1, named=True)
        mine = (pl.col("breed") == small["breed"]) & (pl.col("path") == small["path"]) & (pl.col("sex") == small["sex"])
        slots = slots.with_columns(
            pl.when(mine).then(pl.lit(target[column])).otherwise(pl.col(column)).alias(column)
            for column in ("breed", "path", "sex")
        )


def _join_small_periods(slots: pl.DataFrame, smallest: int) -> tuple[NDArray[np.int64], list[tuple[int, int]]]:
    """Group of each unknown parent, and the first and last period of each group."""
    counts = slots.group_by(*LINE, "period").len().sort(*LINE, "period")
    periods: list[tuple[int, int]] = []
    group_of: list[int] = []
    for line in counts.partition_by(*LINE, maintain_order=True):
        gathered, first_of_line = 0, len(periods)
        for period, number in line.select("period", "len").iter_rows():
            if gathered == 0:
                periods.append((period, period))
            periods[-1] = (periods[-1][0], period)
            group_of.append(len(periods) - 1)
            gathered += number
            if gathered >= smallest:
                gathered = 0
        if gathered and len(periods) - 1 > first_of_line:  # what is left joins the last one
            _, last = periods.pop()
            periods[-1] = (periods[-1][0], last)
            group_of = [min(group, len(periods) - 1) for group in group_of]
    keys = [*LINE, "period"]
    of_key = counts.select(keys).with_columns(pl.Series("group", group_of, dtype=pl.Int64))
    return slots.join(of_key, on=keys, how="left", maintain_order="left")["group"].to_numpy(), periods


def _names(
    own: pl.DataFrame, group: NDArray[np.int64], periods: list[tuple[int, int]], rule: GroupRule, breeds: list[str]
) -> list[str]:
    """Names of the groups by what their unknown parents have in common; a number tells apart those of one name."""
    kinds = (
        own.with_columns(pl.Series("group", group)).group_by("group").agg(pl.col(*LINE).unique().sort()).sort("group")
    )
    names: list[str] = []
    for row, (first, last) in zip(kinds.iter_rows(named=True), periods, strict=True):
        parts = [_line_name(row["breed"], row["path"], row["sex"], rule, breeds)]
        if rule.years:
            begin = "no year" if first == NO_YEAR else str(first * rule.years)
            end = (last + 1) * rule.years - 1
            parts.append(begin if last == NO_YEAR or begin == str(end) else f"{begin}-{end}")
        name = ", ".join(part for part in parts if part) or "unknown parents"
        same = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({same + 1})" if same else name)
    return names


def _line_name(breed: list[int], path: list[int], sex: list[int], rule: GroupRule, breeds: list[str]) -> str:
    """Name of what some lines have in common: ``Holstein, unknown sires of males``."""
    role = ("unknown sires", "unknown dams")[path[0]] if rule.path and len(path) == 1 else "unknown parents"
    parts = [" + ".join(breeds[b] for b in breed)] if breeds else []
    if rule.path or rule.sex:
        parts.append(f"{role} of {SEXES[sex[0]]}" if rule.sex and len(sex) == 1 else role)
    return ", ".join(parts)


def _joined_lines(own: pl.DataFrame, joined: pl.DataFrame, rule: GroupRule, breeds: list[str]) -> list[str]:
    """Which lines were too small and joined another one."""
    pairs = pl.concat([own.select(LINE), joined.select(pl.col(LINE).name.suffix("_new"))], how="horizontal").unique()
    moved = pairs.filter(pl.any_horizontal(pl.col(name) != pl.col(f"{name}_new") for name in LINE)).sort(pl.all())
    said = [
        f"{_line_name([b], [p], [s], rule, breeds)} with {_line_name([bn], [pn], [sn], rule, breeds)}"
        for b, p, s, bn, pn, sn in moved.iter_rows()
    ]
    return [f"too small and joined: {'; '.join(said)}"] if said else []
