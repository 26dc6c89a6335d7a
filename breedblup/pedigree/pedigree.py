"""The checked pedigree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import PedigreeError, name_some
from breedblup.frames import Table, as_table
from breedblup.kernels.pedigree import first_out_of_order
from breedblup.pedigree.added import extended_pedigree
from breedblup.pedigree.cells import Cells, TableCells
from breedblup.pedigree.groups import ParentGroups, PhantomParents, check_groups, groups_as_coded
from breedblup.pedigree.inbreeding import inbreeding_coefficients
from breedblup.pedigree.pruning import pruned_pedigree
from breedblup.pedigree.reading import (
    MISSING_PARENTS,
    PedigreeColumns,
    code_pedigree,
    refuse_unused_groups,
)
from breedblup.pedigree.rules import PedigreeReport, PedigreeRules
from breedblup.pedigree.summary import pedigree_lines
from breedblup.pedigree.twins import NO_TWINS, positions_with_twins, with_twins


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
    groups
        Groups of the unknown parents; None where they are not grouped.
    twins
        One row for each identical twin or clone, which is no animal of its own: id, of (the animal whose genotype it shares),
        position of that animal.
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
    groups: ParentGroups | None = None
    twins: pl.DataFrame = field(default_factory=NO_TWINS.clone)

    def __post_init__(self) -> None:
        for role, parent in (("sire", self.sire), ("dam", self.dam)):
            late = first_out_of_order(parent)
            if late >= 0:
                raise PedigreeError(
                    f"{self.name}: {role} of {self.ids[int(late)]!r} does not stand before it "
                    "-> make a Pedigree with Pedigree.from_frame, which orders the animals"
                )
        for array in (self.sire, self.dam, self.user_order, self.sex):
            if array is not None:
                array.flags.writeable = False
        if self.groups is not None:
            check_groups(self, self.groups)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        columns: PedigreeColumns = PedigreeColumns(),
        missing_parents: Sequence[str] = MISSING_PARENTS,
        rules: PedigreeRules = PedigreeRules(),
        groups: Sequence[str] | PhantomParents = (),
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
        groups
            Codes in the columns of sire and dam that name groups of unknown parents, or `PhantomParents` that stand there.
            Every unknown parent then needs one.

        Raises
        ------
        PedigreeError
            With every fault that ``rules`` calls an error, and where it stands; an unknown parent without a group.
        """
        cells = TableCells(as_table(frame, "pedigree"))
        return cls.from_cells(cells, columns=columns, missing_parents=missing_parents, rules=rules, groups=groups)

    @classmethod
    def from_cells(
        cls,
        cells: Cells,
        *,
        columns: PedigreeColumns = PedigreeColumns(),
        missing_parents: Sequence[str] = MISSING_PARENTS,
        rules: PedigreeRules = PedigreeRules(),
        groups: Sequence[str] | PhantomParents = (),
    ) -> Pedigree:
        """As `from_frame`, `PedigreeError` included, of cells that are read block by block, such as those of a file."""
        name, missing = cells.places.name, tuple(missing_parents)
        if isinstance(groups, str):
            raise PedigreeError(f"{name}: groups is the text {groups!r} -> give a list of codes, such as [{groups!r}]")
        codes = groups.ids if isinstance(groups, PhantomParents) else tuple(groups)
        coded = code_pedigree(cells, columns, missing, rules, codes)
        refuse_unused_groups(name, coded, codes)
        return cls(
            coded.ids,
            coded.sire,
            coded.dam,
            coded.user_order,
            coded.sex,
            coded.birth,
            coded.report,
            name,
            missing,
            columns.of_sires,
            groups_as_coded(groups, coded.sire_group, coded.dam_group),
            coded.twins,
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
        """Position of each id, that of the original for an identical twin; -1 where it is null or unknown here."""
        return positions_with_twins(ids, self.ids, self.twins)

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

    def ancestors_of(self, ids: pl.Series | Sequence[str], generations: int | None = None) -> Pedigree:
        """These animals and their ancestors, in the same order: with all of them A among them stays exactly what it is here.

        What the report says of reading stays as it is; animals and founders are counted again.

        Parameters
        ----------
        generations
            Generations back from the named animals, on the shortest way; parents that lie beyond become unknown, which
            loses inbreeding (`compare_pruning` says how much). By default all.

        Raises
        ------
        PedigreeError
            If an id is unknown here, or none is given; if ``generations`` is negative, or cuts parents off although
            unknown parents are grouped.
        """
        return pruned_pedigree(self, np.unique(self.known_positions_of(ids)), generations)

    def extended(
        self, frame: Any, *, columns: PedigreeColumns = PedigreeColumns(), rules: PedigreeRules = PedigreeRules()
    ) -> Pedigree:
        """The same pedigree with further animals, read and checked as by `from_frame`, after those that it has.

        Positions of the old animals stay, and where their inbreeding is known only that of the new is computed. Rows of old
        animals may be repeated where they say what is known; a sex or birth that was unknown is taken up. Codes of unknown
        parents and of groups are those of this pedigree. A twin of an old animal needs the row of that animal beside it. Links
        of old animals are never repaired: where a new animal makes a sire a dam, a repair cuts the new link.

        Parameters
        ----------
        frame
            Any data frame, or a `Table`, with rows of the new animals. New parents without a row become founders.
        columns
            Names of its columns.
        rules
            Severity of each fault.

        Raises
        ------
        PedigreeError
            With every fault that ``rules`` calls an error; if a parent of an old animal changed, also from or to unknown, or
            its sex, birth or twin did; if groups of unknown parents are fuzzy.
        """
        return extended_pedigree(self, as_table(frame, "added animals"), columns, rules)

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
        if self.groups is not None:
            raise PedigreeError(
                f"{self.name} has groups of unknown parents, which relationships among sires do not take "
                "-> read it without groups"
            )
        grandsire = np.where(self.dam >= 0, self.sire[self.dam], np.int32(-1))
        lines = replace(self, dam=grandsire, name=f"{self.name} by sires and maternal grandsires", of_sires=True)
        return lines.ancestors_of(sires)

    def with_founders(self, ids: pl.Series) -> Pedigree:
        """The same pedigree with further unrelated animals, which must be new, at its end.

        Raises
        ------
        PedigreeError
            If unknown parents are grouped: nothing says which group theirs belong to.
        """
        if self.groups is not None:
            raise PedigreeError(
                f"{self.name} has groups of unknown parents, and nothing says to which {name_some(ids.to_list())} belong "
                "-> add these animals to the pedigree with group codes as parents"
            )
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
        """One row for each animal in the user's order: animal, sire, dam, inbreeding; then identical twins by their own ids.

        Of a pedigree of sires: animal, sire, maternal_grandsire.
        """
        columns = {"animal": self.ids}
        for role, parent in (("sire", self.sire), (self._second, self.dam)):
            index = pl.Series(parent)
            columns[role] = self.ids.gather(index.set(index < 0, None))
        if not self.of_sires:
            columns["inbreeding"] = pl.Series(self.inbreeding)
        return with_twins(pl.DataFrame(columns), self.user_order, self.twins)

    @property
    def _second(self) -> str:
        """What ``dam`` holds."""
        return "maternal_grandsire" if self.of_sires else "dam"

    def __str__(self) -> str:
        return "\n".join(pedigree_lines(self))

    __repr__ = __str__
