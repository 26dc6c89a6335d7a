"""Animals that are added to a pedigree: the old ones keep their place, their parents and their inbreeding."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import PedigreeError
from breedblup.frames import Table
from breedblup.kernels.inbreeding import NO_CLASSES, half_relationship_of_parents
from breedblup.pedigree import checks
from breedblup.pedigree.added_checks import (
    ANEW,
    Added,
    carried_twins,
    check_new_links,
    refuse_changed_parents,
    refuse_differing,
)
from breedblup.pedigree.groups import ParentGroups
from breedblup.pedigree.reading import CodedPedigree, PedigreeColumns, code_pedigree
from breedblup.pedigree.rules import Findings, PedigreeReport, PedigreeRules

if TYPE_CHECKING:
    from breedblup.pedigree.pedigree import Pedigree


def continued_inbreeding(
    sire: NDArray[np.int32], dam: NDArray[np.int32], known: NDArray[np.float64]
) -> NDArray[np.float64]:
    """F of all animals, where that of the first ``known.size`` is known already and is taken as it is."""
    inbreeding = np.zeros(sire.size)
    inbreeding[: known.size] = known
    half_relationship_of_parents(sire, dam, NO_CLASSES, inbreeding, inbreeding, known.size)
    return inbreeding


def extended_pedigree(pedigree: Pedigree, table: Table, columns: PedigreeColumns, rules: PedigreeRules) -> Pedigree:
    """See `Pedigree.extended`."""
    if columns.of_sires != pedigree.of_sires:
        has, given = ("maternal grandsires", "dams") if pedigree.of_sires else ("dams", "maternal grandsires")
        raise PedigreeError(f"{table.name} names {given} where {pedigree.name} has {has} -> name the columns of these")
    coded = _coded(pedigree, table, columns, rules)
    added = Added.of(pedigree, table, columns, coded)
    findings = Findings(rules)
    refuse_changed_parents(added)
    sex, birth = _carried_sex(added), _carried_birth(added)
    parents = (
        np.concatenate([pedigree.sire, added.sire[added.new]]),
        np.concatenate([pedigree.dam, added.dam[added.new]]),
    )
    check_new_links(added, parents, sex, birth, findings)
    if findings.errors:
        raise PedigreeError(f"{table.name}: " + "\n".join(findings.errors))
    extended = replace(
        pedigree,
        ids=added.ids,
        sire=parents[0],
        dam=parents[1],
        user_order=np.concatenate([pedigree.user_order, added.place[coded.user_order[added.new[coded.user_order]]]]),
        sex=sex,
        birth=birth,
        report=_report(added, parents, findings),
        groups=_carried_groups(added),
        twins=carried_twins(added),
    )
    known = vars(pedigree).get("inbreeding")
    if known is not None:  # else nothing is there to be kept, and F is found when it is asked for
        inbreeding = continued_inbreeding(extended.sire, extended.dam, known)
        inbreeding.flags.writeable = False
        vars(extended)["inbreeding"] = inbreeding
    return extended


def _coded(pedigree: Pedigree, table: Table, columns: PedigreeColumns, rules: PedigreeRules) -> CodedPedigree:
    groups = pedigree.groups
    if groups is not None and groups.shares is not None:
        raise PedigreeError(
            f"{pedigree.name} has phantom parents with shares of groups, which new rows cannot name {ANEW}"
        )
    codes = () if groups is None else tuple(groups.names)
    return code_pedigree(table, columns, pedigree.missing_parents, rules, codes)


def _carried_groups(added: Added) -> ParentGroups | None:
    groups, coded = added.pedigree.groups, added.coded
    if groups is None:
        return None
    assert coded.sire_group is not None
    assert coded.dam_group is not None
    of_sire = np.concatenate([groups.sire, coded.sire_group[added.new]])
    of_dam = np.concatenate([groups.dam, coded.dam_group[added.new]])
    return replace(groups, sire=of_sire, dam=of_dam)


def _carried_sex(added: Added) -> NDArray[np.int8] | None:
    """Sexes of all; an old animal's is taken from the new rows where it was unknown."""
    old, said = added.pedigree.sex, added.coded.sex
    if old is None and said is None:
        return None
    sex = np.zeros(len(added.pedigree) + int(np.count_nonzero(added.new)), dtype=np.int8)
    if old is not None:
        sex[: old.size] = old
    if said is None:
        return sex
    differing = np.flatnonzero((sex[added.place] > 0) & (said > 0) & (sex[added.place] != said))
    refuse_differing(
        added, differing, lambda k: f"{checks.SEX_NAMES[said[k]]}, not {checks.SEX_NAMES[sex[added.place[k]]]}"
    )
    told = said > 0
    sex[added.place[told]] = said[told]
    return sex


def _carried_birth(added: Added) -> pl.Series | None:
    """Births of all; an old animal's is taken from the new rows where it was unknown."""
    old, said = added.pedigree.birth, added.coded.birth
    if old is None and said is None:
        return None
    if old is not None and said is not None and old.dtype != said.dtype:
        years, dates = (
            (added.pedigree.name, added.table.name)
            if said.dtype == pl.Date
            else (added.table.name, added.pedigree.name)
        )
        raise PedigreeError(f"{years} has years of birth, {dates} dates -> give both alike")
    known = (old if old is not None else said).clear()  # type: ignore[union-attr]
    before = old if old is not None else known.extend_constant(None, len(added.pedigree))
    birth = pl.concat([before, known.clear().extend_constant(None, int(np.count_nonzero(added.new)))])
    if said is None:
        return birth
    there = birth.gather(added.place)
    told = said.is_not_null() & ~pl.Series(added.twin)  # a clone has a birth of its own, which is not kept
    differing = ((there != said) & there.is_not_null() & told).arg_true().to_numpy()
    refuse_differing(added, differing, lambda k: f"born {said[k]}, not {there[k]}")
    return birth.scatter(added.place[told.to_numpy()], said.filter(told))


def _report(added: Added, parents: checks.Parents, findings: Findings) -> PedigreeReport:
    """What was read and found, before and now."""
    old, now = added.pedigree.report, added.coded.report
    repeated = int(np.count_nonzero(added.with_row & ~added.new))
    return PedigreeReport(
        rows=old.rows + now.rows,
        animals=parents[0].size,
        founders=int(np.count_nonzero((parents[0] < 0) & (parents[1] < 0))),
        merged_rows=old.merged_rows + now.merged_rows + repeated,
        added_parents=old.added_parents + int(np.count_nonzero(added.new & ~added.with_row)),
        warnings=(*old.warnings, *now.warnings, *findings.warnings),
        repairs=pl.concat([old.repairs, now.repairs, findings.repair_table()]),
        twins=old.twins + now.twins,
    )
