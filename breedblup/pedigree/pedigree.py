"""The checked pedigree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import PedigreeError, counted, name_some
from breedblup.frames import Table, as_table, positions
from breedblup.kernels.inbreeding import half_relationship_of_parents
from breedblup.kernels.pedigree import mark_ancestors
from breedblup.pedigree.reading import MISSING_PARENTS, PedigreeColumns, code_pedigree
from breedblup.pedigree.rules import PedigreeReport, PedigreeRules


@dataclass(frozen=True)
class Pedigree:
    """Animals and their parents: every id known, parents before offspring, no loop, no duplicate.

    Attributes
    ----------
    ids
        Text ids as written, parents first; the user's order is kept where it is free.
    sire, dam
        int32 positions in ``ids``, -1 where unknown; read-only.
    user_order
        Position in ``ids`` of each animal in the user's order; parents without a row of their own stand last.
    sex
        0 unknown, 1 male, 2 female; None where no column said so.
    birth
        Dates, or years as integers; None where no column said so.
    report
        What was read, warned of and repaired.
    missing_parents
        Codes of an unknown parent, which no animal may bear.
    of_sires
        Whether ``dam`` holds maternal grandsires, dams being unknown: a pedigree for `sire_mgs_inverse`, with no A.
    """

    ids: pl.Series
    sire: NDArray[np.int32]
    dam: NDArray[np.int32]
    user_order: NDArray[np.int32]
    sex: NDArray[np.int8] | None
    birth: pl.Series | None
    report: PedigreeReport
    name: str = "pedigree"
    missing_parents: tuple[str, ...] = MISSING_PARENTS
    of_sires: bool = False

    def __post_init__(self) -> None:
        own = np.arange(len(self.ids))
        for role, parent in (("sire", self.sire), ("dam", self.dam)):
            late = np.flatnonzero((parent >= own) | (parent < -1))
            if late.size:
                raise PedigreeError(
                    f"{self.name}: {role} of {self.ids[int(late[0])]!r} does not stand before it "
                    "-> make a Pedigree with Pedigree.from_frame, which orders the animals"
                )
        for array in (self.sire, self.dam, self.user_order, self.sex):
            if array is not None:
                array.flags.writeable = False

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        columns: PedigreeColumns = PedigreeColumns(),
        missing_parents: Sequence[str] = MISSING_PARENTS,
        rules: PedigreeRules = PedigreeRules(),
    ) -> Pedigree:
        """Check and order a pedigree held in any data frame, or in a `Table` that was read from a file.

        Parameters
        ----------
        columns
            Names of the columns for id, sire and dam, and sex and birth where there are any.
        missing_parents
            Codes of an unknown parent. An animal that bears one is refused.
        rules
            Severity of each fault.

        Raises
        ------
        PedigreeError
            With every fault that ``rules`` calls an error, and where it stands.
        """
        table: Table = as_table(frame, "pedigree")
        missing = tuple(missing_parents)
        coded = code_pedigree(table, columns, missing, rules)
        return cls(
            coded.ids,
            coded.sire,
            coded.dam,
            coded.user_order,
            coded.sex,
            coded.birth,
            coded.report,
            table.name,
            missing,
            columns.of_sires,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def inbreeding(self) -> NDArray[np.float64]:
        """F of every animal; see `inbreeding_coefficients`."""
        return inbreeding_coefficients(self)

    def birth_years(self) -> NDArray[np.int32] | None:
        """Year of birth, -1 where unknown; None where the pedigree has no births."""
        if self.birth is None:
            return None
        years = self.birth.dt.year() if self.birth.dtype == pl.Date else self.birth
        return years.cast(pl.Int32).fill_null(-1).to_numpy()

    def positions_of(self, ids: pl.Series) -> NDArray[np.int32]:
        """Position of each id, -1 where it is null or unknown here."""
        return positions(ids, self.ids)

    def known_positions_of(self, ids: pl.Series | Sequence[str]) -> NDArray[np.int32]:
        """Position of each id.

        Raises
        ------
        PedigreeError
            If none is given, or some are unknown here.
        """
        names = Table(pl.DataFrame({"id": ids}), "ids").text("id")
        if not len(names):
            raise PedigreeError(f"{self.name}: no ids are given -> name at least one animal")
        found = self.positions_of(names)
        if (found < 0).any():
            unknown = names.filter(pl.Series(found < 0)).unique(maintain_order=True)
            raise PedigreeError(
                f"{self.name} has no animal {name_some(unknown.to_list())} -> correct the ids, or add the animals to it"
            )
        return found

    def ancestors_of(self, ids: pl.Series | Sequence[str]) -> Pedigree:
        """These animals and all their ancestors, in the same order: A among them stays exactly what it is here.

        What the report says of reading stays as it is; animals and founders are counted again.

        Raises
        ------
        PedigreeError
            If an id is unknown here, or none is given.
        """
        kept = np.zeros(len(self), dtype=np.bool_)
        kept[self.known_positions_of(ids)] = True
        named = counted(int(np.count_nonzero(kept)), "animal")
        mark_ancestors(self.sire, self.dam, kept)
        rows = np.flatnonzero(kept)
        new = np.full(len(self) + 1, -1, dtype=np.int32)  # the last for an unknown parent, -1
        new[rows] = np.arange(rows.size, dtype=np.int32)
        sire, dam, order = new[self.sire[rows]], new[self.dam[rows]], new[self.user_order]
        founders = int(np.count_nonzero((sire < 0) & (dam < 0)))
        return replace(
            self,
            ids=self.ids.gather(rows),
            sire=sire,
            dam=dam,
            user_order=order[order >= 0],
            sex=None if self.sex is None else self.sex[rows],
            birth=None if self.birth is None else self.birth.gather(rows),
            report=replace(self.report, animals=rows.size, founders=founders),
            name=f"{self.name} ({named} and their ancestors)",
        )

    def male_ancestors_of(self, sires: pl.Series | Sequence[str]) -> Pedigree:
        """These sires and their male ancestors, for `sire_mgs_inverse`: ``dam`` holds the maternal grandsire.

        The maternal grandsire is the sire of the dam; it is unknown where either is. Nothing else is known of dams, so
        that relationships through them alone are lost; `ancestors_of` keeps them all.

        Raises
        ------
        PedigreeError
            If an id is unknown here, or none is given.
        """
        if self.of_sires:
            return self.ancestors_of(sires)
        grandsire = np.where(self.dam >= 0, self.sire[self.dam], np.int32(-1))
        lines = replace(self, dam=grandsire, name=f"{self.name} by sires and maternal grandsires", of_sires=True)
        return lines.ancestors_of(sires)

    def with_founders(self, ids: pl.Series) -> Pedigree:
        """The same pedigree with further unrelated animals, which must be new, at its end."""
        n, more = len(self), len(ids)
        unknown = np.full(more, -1, dtype=np.int32)
        report = replace(self.report, animals=n + more, founders=self.report.founders + more)
        return replace(
            self,
            ids=pl.concat([self.ids, ids.rename(self.ids.name)]),
            sire=np.concatenate([self.sire, unknown]),
            dam=np.concatenate([self.dam, unknown]),
            user_order=np.concatenate([self.user_order, np.arange(n, n + more, dtype=np.int32)]),
            sex=None if self.sex is None else np.concatenate([self.sex, np.zeros(more, dtype=np.int8)]),
            birth=None if self.birth is None else self.birth.clone().extend_constant(None, more),
            report=report,
        )

    def to_frame(self) -> pl.DataFrame:
        """One row for each animal in the user's order: animal, sire, dam, inbreeding.

        Of a pedigree of sires: animal, sire, maternal_grandsire.
        """
        order = self.user_order
        columns = {"animal": self.ids.gather(order)}
        for role, parent in (("sire", self.sire), (self._second, self.dam)):
            index = pl.Series(parent[order])
            columns[role] = self.ids.gather(index.set(index < 0, None))
        if not self.of_sires:
            columns["inbreeding"] = pl.Series(self.inbreeding[order])
        return pl.DataFrame(columns)

    @property
    def _second(self) -> str:
        """What ``dam`` holds."""
        return "maternal_grandsire" if self.of_sires else "dam"

    def __str__(self) -> str:
        report = self.report
        lines = [
            f"Pedigree {self.name}: {report.animals:,} animals, {report.founders:,} founders",
            f"  rows read {report.rows:,}, merged {report.merged_rows:,}, parents added as founders {report.added_parents:,}",
            f"  sires {np.unique(self.sire[self.sire >= 0]).size:,}, {self._second.replace('_', ' ')}s "
            f"{np.unique(self.dam[self.dam >= 0]).size:,}",
        ]
        if not self.of_sires:
            lines.append(f"  inbreeding mean {self.inbreeding.mean():.4f}, largest {self.inbreeding.max():.4f}")
        lines += [f"  warning: {warning}" for warning in report.warnings]
        return "\n".join(lines)

    __repr__ = __str__


def inbreeding_coefficients(pedigree: Pedigree) -> NDArray[np.float64]:
    """F of every animal in the order of ``pedigree.ids``, exact; read-only.

    F is half the relationship of the parents. The ancestors of each sire are traced once for all of its offspring
    (Sargolzaei, Iwaisaki & Colleau 2005).

    Raises
    ------
    PedigreeError
        If it is a pedigree of sires, whose dams are unknown.
    """
    if pedigree.of_sires:
        raise PedigreeError(
            f"{pedigree.name} has maternal grandsires in the place of dams, and so no A -> the F of sires is that of "
            "sire_mgs_inverse(pedigree).inbreeding"
        )
    inbreeding = np.zeros(len(pedigree))
    half_relationship_of_parents(pedigree.sire, pedigree.dam, inbreeding, inbreeding)
    inbreeding.flags.writeable = False
    return inbreeding
