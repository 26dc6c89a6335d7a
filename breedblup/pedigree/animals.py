"""Rows that are animals, and the parents that have no row: numbered, with their groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import counted, name_some
from breedblup.frames import Table, positions
from breedblup.kernels.coding import number_on
from breedblup.pedigree.coding import Dictionary
from breedblup.pedigree.merging import Rows, merge_duplicates, merge_twins
from breedblup.pedigree.rules import SHOWN, Findings
from breedblup.pedigree.twins import NO_TWINS

MANY, MANY_SHARE = 50, 0.01
"""Offspring, and their share of all animals, from which on a parent without a row looks like a code of a group."""

LOOKS_MISSING = (
    "nan", "none", "null", "na", "n/a", "nil", "unknown", "unk", "missing", "?", "-", "--", "-1", "-9", "-99", "-999", "00",
    "0.0",
)  # fmt: skip
"""Ids of parents that are more likely codes than animals."""


@dataclass(slots=True)
class Animals:
    """Rows that are animals, and behind them parents without a row; a workspace.

    ``rows`` are their rows, None where all are; groups are as in `CodedPedigree`.
    """

    places: Table
    ids: pl.Series
    sire: NDArray[np.int32]
    dam: NDArray[np.int32]
    sire_group: NDArray[np.int32] | None
    dam_group: NDArray[np.int32] | None
    sex: NDArray[np.int8] | None
    birth: pl.Series | None
    own_rows: int
    rows: NDArray[np.int64] | None
    twins: pl.DataFrame

    @classmethod
    def of(cls, rows: Rows, findings: Findings) -> Animals:
        """Merge rows, and number the parents that have none in the order in which they are met, sires before dams."""
        repeats = merge_duplicates(rows, findings)
        twins, originals = merge_twins(rows, findings)
        coded, parents = rows.coded, rows.coded.links[:2]
        ids, sex, birth, kept, place = coded.ids, rows.sex, rows.birth, None, None
        if repeats.size or twins.size:
            place, kept = _places(len(ids), repeats, twins, originals)
            ids, parents = ids.gather(kept), [_moved(link, place, kept) for link in parents]
            sex, birth = None if sex is None else sex[kept], None if birth is None else birth.gather(kept)
        own_rows, declared = len(ids), len(rows.declared)
        added = _number_parents(parents, coded.names, declared, own_rows)
        sire_group, dam_group = (_groups_of(link, rows, len(added)) for link in parents)
        sire, dam = (_with_founders(link, len(added)) for link in parents)
        coded.links.clear()
        coded.names.store = np.empty(0, dtype=np.uint64)  # memory is needed for what follows
        named = {"id": coded.ids.gather(twins), "of": coded.ids.gather(originals)}
        if len(added):
            ids = pl.concat([ids, added])
            sex = None if sex is None else np.concatenate([sex, np.zeros(len(added), dtype=np.int8)])
            birth = None if birth is None else birth.clone().extend_constant(None, len(added))
        listed = (
            NO_TWINS if place is None else pl.DataFrame({**named, "position": place[originals]}, schema=NO_TWINS.schema)
        )
        return cls(rows.places, ids.rename("id"), sire, dam, sire_group, dam_group, sex, birth, own_rows, kept, listed)

    def where(self, animal: int) -> str:
        """Where the row of an animal stands."""
        if animal >= self.own_rows:
            return "(no row of its own)"
        return self.places.where(animal if self.rows is None else int(self.rows[animal]))


def _places(
    read: int, repeats: NDArray[np.int32], twins: NDArray[np.int32], originals: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Place of each row among those that stay, that of its original for a twin; and the rows that stay."""
    stays = np.ones(read, dtype=np.bool_)
    stays[repeats] = False
    stays[twins] = False
    place = np.cumsum(stays, dtype=np.int32) - np.int32(1)
    place[twins] = place[originals]
    return place, np.flatnonzero(stays)


def _moved(link: NDArray[np.int32], place: NDArray[np.int32], kept: NDArray[np.int64]) -> NDArray[np.int32]:
    moved = link[kept]
    known = moved >= 0
    moved[known] = place[moved[known]]
    return moved


def _number_parents(parents: list[NDArray[np.int32]], names: Dictionary, declared: int, number: int) -> pl.Series:
    """Number parents that have no row from ``number`` on, and give their ids."""
    lacking = sum(int(np.count_nonzero(link < -1 - declared)) for link in parents)
    places = np.empty(lacking, dtype=np.int64)
    behind = number
    if lacking:
        for link in parents:
            met = number_on(link, names.store, declared, behind, places[behind - number :])
            behind = int(met)
    return pl.Series("id", [names.text(place) for place in places[: behind - number].tolist()], dtype=pl.String)


def _groups_of(link: NDArray[np.int32], rows: Rows, added: int) -> NDArray[np.int32] | None:
    """Groups of the unknown parents of all rows and of added founders, -1 where none; None where no groups are declared."""
    if len(rows.declared) == rows.missing:
        return None
    group = np.full(link.size + added, -1, dtype=np.int32)
    group[: link.size] = np.where(link <= -2 - rows.missing, -2 - rows.missing - link, -1)
    return group


def _with_founders(link: NDArray[np.int32], added: int) -> NDArray[np.int32]:
    """Parents with -1 for all that are unknown, and those of added founders."""
    if link.size and link.min() < -1:
        np.maximum(link, np.int32(-1), out=link)
    return np.concatenate([link, np.full(added, -1, dtype=np.int32)]) if added else link


def warn_of_added(animals: Animals, findings: Findings) -> None:
    """Parents without a row of their own whose id is that of an animal but for spaces, or looks like a code."""
    own, added = animals.ids.slice(0, animals.own_rows), animals.ids.slice(animals.own_rows)
    if not len(added):
        return
    spaced = added.filter(added.str.strip_chars() != added)
    padded = spaced.filter(pl.Series(positions(spaced.str.strip_chars(), own) >= 0, dtype=pl.Boolean))
    if len(padded):
        findings.warnings.append(
            f"{counted(len(padded), 'parent id')} spelled like that of an animal but for spaces, taken as another animal: "
            f"{name_some(padded.to_list())}"
        )
    codes = added.filter(added.str.strip_chars().str.to_lowercase().is_in(LOOKS_MISSING))
    if len(codes):
        findings.warnings.append(
            f"{name_some(codes.to_list())} in the parent columns is taken as an animal; if it means an unknown parent, "
            "declare it among the missing parents"
        )
    offspring = np.zeros(len(added), dtype=np.int64)
    for link in (animals.sire, animals.dam):
        offspring += np.bincount(link[link >= animals.own_rows] - animals.own_rows, minlength=len(added))
    many = np.flatnonzero(offspring >= max(MANY, MANY_SHARE * animals.own_rows))
    if many.size:
        shown = [f"{added[int(k)]!r} ({offspring[k]:,} offspring)" for k in many[:SHOWN]]
        more = f" and {many.size - SHOWN} more" if many.size > SHOWN else ""
        findings.warnings.append(
            f"{', '.join(shown)}{more} in the parent columns without a row, taken as an animal each; if these are codes of "
            "unknown parents, declare them as missing parents or as groups"
        )
