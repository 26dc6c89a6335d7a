"""Groups of unknown parents: which group, or mixture of groups, each unknown parent belongs to.

A pedigree with groups says of every unknown parent where it came from: another breed, an earlier decade, the dams' side. What
that means for relationships (fixed or random genetic groups, metafounders) is decided where K⁻¹ is made.

Unknown parents fall into *classes*. A class belongs to one group, or, with fuzzy membership (Fikse 2009), to several by
shares that add up to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import NDArray

from breedblup.errors import PedigreeError, counted, name_some, nearest
from breedblup.frames import Table

if TYPE_CHECKING:
    from breedblup.pedigree.pedigree import Pedigree

SHOWN = 5
"""Offenders of each role that a message names before it counts the rest."""

SUM_OF_SHARES = 1e-6
"""How far the shares of a class may be from 1 in all: those of a file are rounded."""


@dataclass(frozen=True)
class ParentGroups:
    """The groups of a pedigree's unknown parents.

    Attributes
    ----------
    names
        Names of the g groups.
    sire, dam
        int32, one for each animal: class of its unknown sire or dam, -1 where the parent is known; read-only.
    shares
        Classes × g: what each class owes to each group, rows adding up to 1. None where class k is group k.
    made
        How they were made, one statement an entry: what a result has to name.
    """

    names: pl.Series
    sire: NDArray[np.int32]
    dam: NDArray[np.int32]
    shares: scipy.sparse.csr_array | None
    made: tuple[str, ...]

    def __post_init__(self) -> None:
        for array in (self.sire, self.dam):
            array.flags.writeable = False

    @property
    def classes(self) -> int:
        """Number of classes of unknown parents."""
        return len(self.names) if self.shares is None else int(self.shares.shape[0])

    def members(self) -> NDArray[np.float64]:
        """Unknown parents in each group, by their shares."""
        in_class = np.zeros(self.classes)
        for of in (self.sire, self.dam):
            in_class += np.bincount(of[of >= 0], minlength=self.classes)
        return in_class if self.shares is None else np.asarray(self.shares.T @ in_class)

    def of_rows(self, rows: NDArray[np.int64]) -> ParentGroups:
        """Those of some animals; groups that no unknown parent of theirs belongs to are left out."""
        sire, dam = self.sire[rows], self.dam[rows]
        left = replace(self, sire=sire, dam=dam)
        used = left.members() > 0
        if used.all():
            return left
        if self.shares is not None:
            return replace(left, names=self.names.filter(pl.Series(used)), shares=self.shares[:, np.flatnonzero(used)])
        new = np.append(np.where(used, np.cumsum(used) - 1, -1), -1).astype(np.int32)  # the last for -1
        return replace(left, names=self.names.filter(pl.Series(used)), sire=new[sire], dam=new[dam])

    def table(self) -> pl.DataFrame:
        """One row for each group: group, unknown parents that belong to it (by their shares)."""
        return pl.DataFrame({"group": self.names, "unknown_parents": self.members()})


def check_groups(pedigree: Pedigree, groups: ParentGroups) -> None:
    """Refuse groups that leave an unknown parent out, or bear the id of an animal.

    Raises
    ------
    PedigreeError
        Naming the first animals.
    """
    taken = groups.names.filter(pl.Series(pedigree.positions_of(groups.names) >= 0, dtype=pl.Boolean))
    if len(taken):
        raise PedigreeError(
            f"{pedigree.name}: {name_some(taken.to_list())} is an animal and a group of unknown parents -> rename one"
        )
    rowless = np.zeros(len(pedigree), dtype=np.bool_)
    rowless[pedigree.user_order[len(pedigree) - pedigree.report.added_parents :]] = True
    named = np.flatnonzero(rowless & (pedigree.sire < 0) & (groups.sire < 0))
    if named.size:
        parts = [
            f"{pedigree.ids[int(i)]!r}{nearest(pedigree.ids[int(i)], groups.names.to_list())}" for i in named[:SHOWN]
        ]
        more = f" and {named.size - SHOWN} more" if named.size > SHOWN else ""
        raise PedigreeError(
            f"{pedigree.name}: no row and no declared group for {', '.join(parts)}{more}, which the parent columns hold "
            "-> declare it as a group, or give the animal a row with groups as its parents"
        )
    lacking: list[str] = []
    number = 0
    for role, parent, group in (("sire", pedigree.sire, groups.sire), ("dam", pedigree.dam, groups.dam)):
        without = np.flatnonzero((parent < 0) & (group < 0))
        lacking += [f"{role} of {pedigree.ids[int(i)]!r}" for i in without[:SHOWN]]
        number += without.size
    if lacking:
        more = f" and {number - len(lacking)} more" if number > len(lacking) else ""
        raise PedigreeError(
            f"{pedigree.name}: unknown parents without a group: {', '.join(lacking)}{more} "
            "-> give every unknown parent a group, or make groups by a rule (group_unknown_parents, [pedigree.group_rule])"
        )


def extended_parents(pedigree: Pedigree) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Sires and dams with unknown parents of class k at position n + k, after all n animals; -1 without groups."""
    groups = pedigree.groups
    if groups is None:
        return pedigree.sire, pedigree.dam
    n = np.int32(len(pedigree))
    return (
        np.where(pedigree.sire >= 0, pedigree.sire, n + groups.sire),
        np.where(pedigree.dam >= 0, pedigree.dam, n + groups.dam),
    )


@dataclass(frozen=True)
class PhantomParents:
    """Phantom parents that are named in the parent columns, and what each owes to the groups (Fikse 2009).

    Attributes
    ----------
    ids
        Names of the phantom parents.
    names
        Names of the groups.
    shares
        ids × groups, rows adding up to 1.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    shares: scipy.sparse.csr_array

    @classmethod
    def of_table(cls, table: Table) -> PhantomParents:
        """From a table whose first column names the phantom parent and whose others are the groups, cells the shares.

        Shares are taken as given, and divided by their sum where that is 1 but for rounding; an empty cell is 0.

        Raises
        ------
        PedigreeError
            If there is no group, a name is missing or repeated, a share is negative, or shares do not add up to 1.
        """
        columns = table.frame.columns
        if len(columns) < 2 or not len(table):
            raise PedigreeError(
                f"{table.name}: a table of phantom parents has one column with their names, one for each group, and a row "
                f"for each parent; found {counted(len(columns), 'column')}, {counted(len(table), 'row')}"
            )
        ids = table.text(columns[0])
        _refuse(
            table, ids.is_null(), lambda row: "the phantom parent has no name -> give it the code of the parent columns"
        )
        _refuse(table, ids.is_duplicated(), lambda row: f"phantom parent {ids[row]!r} has several rows -> keep one")
        shares = np.column_stack([np.nan_to_num(table.numbers(column)) for column in columns[1:]])
        total = shares.sum(axis=1)
        _refuse(
            table, pl.Series((shares < 0).any(axis=1)), lambda row: f"phantom parent {ids[row]!r} has a negative share"
        )
        _refuse(
            table,
            pl.Series(np.abs(total - 1.0) > SUM_OF_SHARES),
            lambda row: f"shares of phantom parent {ids[row]!r} add up to {total[row]:.6g} -> they have to add up to 1",
        )
        exact = scipy.sparse.csr_array(shares / total[:, None])
        return cls(tuple(ids.to_list()), tuple(columns[1:]), exact)

    def groups(self, sire_class: NDArray[np.int32], dam_class: NDArray[np.int32]) -> ParentGroups:
        """Groups of a pedigree whose parent columns hold these phantom parents."""
        made = (
            f"{counted(len(self.names), 'group')} of unknown parents ({name_some(self.names)}), fuzzy: "
            f"{counted(len(self.ids), 'phantom parent')} with shares of groups",
        )
        return ParentGroups(pl.Series("group", self.names, dtype=pl.String), sire_class, dam_class, self.shares, made)


def _refuse(table: Table, wrong: pl.Series, what: Callable[[int], str]) -> None:
    """`PedigreeError` at the first row that is wrong."""
    rows = wrong.arg_true()
    if len(rows):
        raise PedigreeError(f"{table.where(int(rows[0]))}: {what(int(rows[0]))}")


def groups_as_coded(
    groups: Sequence[str] | PhantomParents,
    sire_class: NDArray[np.int32] | None,
    dam_class: NDArray[np.int32] | None,
) -> ParentGroups | None:
    """The groups of a pedigree that was coded with these codes, or phantom parents; None without any."""
    if sire_class is None or dam_class is None:
        return None
    if isinstance(groups, PhantomParents):
        return groups.groups(sire_class, dam_class)
    made = (f"{counted(len(groups), 'group')} of unknown parents by codes in the pedigree: {name_some(groups)}",)
    return ParentGroups(pl.Series("group", list(groups), dtype=pl.String), sire_class, dam_class, None, made)
