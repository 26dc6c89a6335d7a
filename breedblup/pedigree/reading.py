"""From a table with text ids to coded parents, with every offender named on the way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import PedigreeError, name_some, nearest
from breedblup.frames import Table
from breedblup.kernels.coding import look_up
from breedblup.kernels.pedigree import rearrange
from breedblup.pedigree import checks
from breedblup.pedigree.animals import Animals, warn_of_added
from breedblup.pedigree.cells import Cells, TableCells
from breedblup.pedigree.coding import CodedColumns, code_columns
from breedblup.pedigree.columns import (
    RECOGNISED,
    SEX_CODES,
    PedigreeColumns,
    births,
    columns_among,
    find_columns,
    sexes,
)
from breedblup.pedigree.merging import Rows
from breedblup.pedigree.rules import Findings, PedigreeReport, PedigreeRules
from breedblup.pedigree.twins import NO_TWINS

__all__ = [
    "MISSING_PARENTS", "RECOGNISED", "SEX_CODES", "CodedPedigree", "PedigreeColumns", "code_pedigree",
    "find_columns", "refuse_unused_groups",
]  # fmt: skip

MISSING_PARENTS = ("", "0", "NA", ".")
"""Codes of an unknown parent unless others are declared. No animal may bear one."""


@dataclass(frozen=True, slots=True)
class CodedPedigree:
    """Animals parents first, with what `Pedigree` holds of them.

    Attributes
    ----------
    sire_group, dam_group
        Number of the declared group that an unknown parent belongs to, -1 where none; None where no groups are declared.
    twins
        One row for each identical twin or clone: id, of (the animal whose genotype it shares), position of that.
    """

    ids: pl.Series
    sire: NDArray[np.int32]
    dam: NDArray[np.int32]
    user_order: NDArray[np.int32]
    sex: NDArray[np.int8] | None
    birth: pl.Series | None
    report: PedigreeReport
    sire_group: NDArray[np.int32] | None = None
    dam_group: NDArray[np.int32] | None = None
    twins: pl.DataFrame = field(default_factory=NO_TWINS.clone)


def code_pedigree(
    table: Table | Cells,
    columns: PedigreeColumns,
    missing: tuple[str, ...],
    rules: PedigreeRules,
    groups: tuple[str, ...] = (),
) -> CodedPedigree:
    """Read, check, code and order a pedigree; raises one `PedigreeError` that lists all that is wrong.

    Parameters
    ----------
    groups
        Codes in the columns of sire and dam that stand for an unknown parent of a group.
    """
    cells = TableCells(table) if isinstance(table, Table) else table
    findings = Findings(rules)
    rows = _read(cells, columns, missing, groups)
    read = len(rows.coded.ids)
    if not read:
        raise PedigreeError(f"{rows.places.name}: no animals below the header -> give at least one row")
    animals = Animals.of(rows, findings)
    warn_of_added(animals, findings)
    order = _checked(animals, columns, findings)
    if findings.errors:
        raise PedigreeError(f"{rows.places.name}: " + "\n".join(findings.errors))
    report = PedigreeReport(
        rows=read,
        animals=len(animals.ids),
        founders=int(np.count_nonzero((animals.sire < 0) & (animals.dam < 0))),
        merged_rows=rows.coded.irregular[0].size,
        added_parents=len(animals.ids) - animals.own_rows,
        warnings=tuple(findings.warnings),
        repairs=findings.repair_table(),
        twins=animals.twins.height,
    )
    return _in_order(animals, order, report)


def _read(cells: Cells, columns: PedigreeColumns, missing: tuple[str, ...], groups: tuple[str, ...]) -> Rows:
    """All rows, coded; refuses rows without a proper id, and cells of sex and birth that mean nothing."""
    places = cells.places
    found = columns_among(cells.columns, places.name, columns)
    codes = tuple(dict.fromkeys(code for code in missing if code))
    _refuse_groups_as_missing(places.name, codes, groups)
    declared = (*codes, *groups)
    links = [found[role] for role in ("id", "sire", "dam", "twin_of") if role in found]
    dates = cells.dates(found["birth"]) if "birth" in found else None
    values = [role for role in ("sex", "birth") if role in found and not (role == "birth" and dates is not None)]
    coded = code_columns(cells, links, [found[role] for role in values], declared)
    _refuse_improper_ids(places, coded, declared, len(codes))
    meant = dict(zip(values, coded.values, strict=True))
    sex = sexes(places, *meant["sex"]) if "sex" in meant else None
    birth = births(places, *meant["birth"]) if "birth" in meant else dates
    coded.values.clear()
    for link in coded.links:
        if link.size and link.min() < -1 - len(declared):
            look_up(link, coded.names.store, len(declared))
    return Rows(places, coded, declared, len(codes), sex, birth)


def _refuse_groups_as_missing(name: str, missing: tuple[str, ...], groups: tuple[str, ...]) -> None:
    twice = [code for code in groups if code in missing or groups.count(code) > 1 or not code]
    if twice:
        raise PedigreeError(
            f"{name}: {name_some(dict.fromkeys(twice))} is declared twice as a group of unknown parents, or as a code of a "
            "missing parent too -> declare each code once"
        )


def _refuse_improper_ids(places: Table, coded: CodedColumns, declared: tuple[str, ...], missing: int) -> None:
    """Rows without an id, or with that of a code."""
    rows, codes = coded.irregular
    nameless = rows[codes == -1]
    if nameless.size:
        raise PedigreeError(f"{places.places(nameless)}: the animal has no id -> give it one, or remove the row")
    for first, behind, what, other in (
        (0, missing, "a code of a missing parent", "missing codes"),
        (missing, len(declared), "a group of unknown parents", "groups"),
    ):
        bearing = np.flatnonzero((codes <= -2 - first) & (codes > -2 - behind))
        if bearing.size:
            raise PedigreeError(
                f"{places.places(rows[bearing])}: an animal is called {declared[-2 - int(codes[bearing[0]])]!r}, which is "
                f"declared as {what} -> rename the animal, or declare other {other} (now "
                f"{', '.join(map(repr, declared[first:behind]))})"
            )


def _checked(animals: Animals, columns: PedigreeColumns, findings: Findings) -> NDArray[np.int32] | None:
    """Check all rules, cut what they repair; the order parents first, None where it is the order of the rows."""
    ids, where, sex, birth = animals.ids, animals.where, animals.sex, animals.birth
    parents = (animals.sire, animals.dam)
    faults = checks.screen(parents, sex, birth)
    if faults.own:
        findings.settle(checks.own_parents(ids, parents, where), ids, parents, where)
    if faults.double and not columns.of_sires:
        findings.settle(checks.double_roles(ids, parents, where), ids, parents, where)
    if faults.sex and sex is not None:
        roles = (parents[0], np.full_like(parents[1], -1)) if columns.of_sires else parents
        findings.settle(checks.sex_against_role(ids, roles, where, sex), ids, parents, where)
    if faults.born and birth is not None:
        findings.settle(checks.born_after(ids, parents, where, birth), ids, parents, where)
    if not faults.late:
        return None
    links = parents
    if faults.own and findings.rules.own_parent == "error":  # refused under its own name, not as a loop of one
        own = np.arange(len(ids), dtype=np.int32)
        links = (np.where(links[0] == own, -1, links[0]), np.where(links[1] == own, -1, links[1]))
    loops, order = checks.loops_and_order(ids, links, where)
    findings.settle(loops, ids, parents, where)
    return order


def _in_order(animals: Animals, order: NDArray[np.int32] | None, report: PedigreeReport) -> CodedPedigree:
    """Animals in the order parents first, and where the user's rows went."""
    coded = CodedPedigree(
        animals.ids, animals.sire, animals.dam, np.arange(len(animals.ids), dtype=np.int32), animals.sex, animals.birth,
        report, animals.sire_group, animals.dam_group, animals.twins,
    )  # fmt: skip
    if order is None:
        return coded
    new = coded.user_order
    new[order] = np.arange(order.size, dtype=np.int32)
    sire, dam = np.empty_like(coded.sire), np.empty_like(coded.dam)
    rearrange(coded.sire, coded.dam, order, new, sire, dam)
    ids = coded.ids.gather(order)
    return replace(
        coded,
        ids=ids,
        sire=sire,
        dam=dam,
        sex=None if coded.sex is None else coded.sex[order],
        birth=None if coded.birth is None else coded.birth.gather(order),
        sire_group=None if coded.sire_group is None else coded.sire_group[order],
        dam_group=None if coded.dam_group is None else coded.dam_group[order],
        twins=coded.twins.with_columns(position=pl.Series(new[coded.twins["position"].to_numpy()], dtype=pl.Int32)),
    )


def refuse_unused_groups(name: str, coded: CodedPedigree, groups: tuple[str, ...]) -> None:
    """`PedigreeError` where no unknown parent belongs to a declared group: its code is misspelt."""
    if coded.sire_group is None or coded.dam_group is None:
        return
    members = np.concatenate([coded.sire_group, coded.dam_group])
    used = np.bincount(members[members >= 0], minlength=len(groups))
    unused = [code for code, count in zip(groups, used, strict=True) if not count]
    if unused:
        added = coded.ids.gather(coded.user_order[coded.report.animals - coded.report.added_parents :])
        raise PedigreeError(
            f"{name}: no parent bears {name_some(unused)}, declared as a group of unknown parents"
            f"{nearest(unused[0], added.to_list())} -> correct the code, or declare only groups that occur"
        )
