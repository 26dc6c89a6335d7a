"""Rows that are no animals of their own: repetitions of a row, and identical twins of another animal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import counted, name_some
from breedblup.frames import Table
from breedblup.pedigree.coding import CodedColumns
from breedblup.pedigree.rules import REPAIR_COLUMNS, SHOWN, Finding, Findings

ROLES = ("sire", "dam")


@dataclass(slots=True)
class Rows:
    """Rows as they were read, in a workspace; the links of ``coded`` are sire, dam, perhaps the original of a twin."""

    places: Table
    coded: CodedColumns
    declared: tuple[str, ...]
    missing: int
    sex: NDArray[np.int8] | None
    birth: pl.Series | None

    def text(self, link: int, row: int) -> str | None:
        """What a cell of a link says, None where it is missing; the first texts that are declared mean just that."""
        code = int(self.coded.links[link][row])
        if code >= 0:
            return str(self.coded.ids[code])
        if -2 - code > len(self.declared):
            return self.coded.names.text(-2 - code)
        k = -2 - code
        return None if k < self.missing else self.declared[k]

    def table(self, rows: NDArray[np.int64]) -> pl.DataFrame:
        """Some rows as a table: row, id, then all that is said of each."""
        columns: dict[str, pl.Series | list[str | None]] = {
            "row": pl.Series(rows, dtype=pl.Int64),
            "id": self.coded.ids.gather(rows),
        }
        for link, name in enumerate((*ROLES, "twin_of")[: len(self.coded.links)]):
            columns[name] = pl.Series([self.text(link, row) for row in rows.tolist()], dtype=pl.String)
        if self.sex is not None:
            columns["sex"] = pl.Series(self.sex[rows])
        if self.birth is not None:
            columns["birth"] = self.birth.gather(rows)
        return pl.DataFrame(columns)


def merge_duplicates(rows: Rows, findings: Findings) -> NDArray[np.int32]:
    """Rows that repeat the id of an earlier one: identical ones are counted, conflicting ones refused or emptied.

    What differs is set missing in the first row of the animal. Returns the rows that go.
    """
    repeats, first = rows.coded.irregular
    if not repeats.size:
        return repeats
    repeated = rows.table(np.union1d(repeats, first).astype(np.int64))
    details = repeated.columns[2:]
    groups = repeated.group_by("id", maintain_order=True).agg(
        pl.col("row"), *[(pl.col(name).n_unique() > 1).alias(name) for name in details]
    )
    conflicting = groups.filter(pl.any_horizontal(details))
    same = groups.filter(~pl.any_horizontal(details))
    if same.height:
        identical = sum(len(lines) - 1 for lines in same["row"])
        line = (
            f"identical duplicates: {counted(identical, 'row')} beyond the first of {counted(same.height, 'animal')} "
            f"left out ({name_some(same['id'].to_list())})"
        )
        if findings.rules.identical_duplicate == "error":
            findings.errors.append(f"{line} -> remove the repeated rows, or set rule identical_duplicate to 'warn'")
        else:
            findings.warnings.append(line)
    if conflicting.height:
        said = {row["row"]: row for row in repeated.iter_rows(named=True)}
        _settle_conflicts(rows, said, conflicting, details, findings)
    return repeats


def _settle_conflicts(
    rows: Rows,
    said: dict[int, dict[str, object]],
    conflicting: pl.DataFrame,
    details: Sequence[str],
    findings: Findings,
) -> None:
    """Refuse rows of one animal that differ, showing them; or empty what differs and list it."""
    shown = []
    for group in conflicting.head(SHOWN).iter_rows(named=True):
        lines = []
        for row in group["row"][:SHOWN]:
            differing = ", ".join(f"{name} {said[row][name]!r}" for name in details if group[name])
            lines.append(f"{rows.places.where(row)} says {differing}")
        shown.append(f"animal {group['id']!r}: {' but '.join(lines)}")
    finding = Finding(
        "conflicting_duplicate", "conflicting duplicates", tuple(shown), conflicting.height,
        np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int8), "keep one row of each",
    )  # fmt: skip
    if findings.rules.conflicting_duplicate == "error":
        findings.refuse(finding)
        return
    emptied = []
    for group in conflicting.iter_rows(named=True):
        for role in ROLES:
            if group[role]:
                for row in group["row"]:
                    emptied.append((group["id"], role, said[row][role], finding.rule, rows.places.where(row)))
    findings.repairs.append(pl.DataFrame(emptied, schema=REPAIR_COLUMNS, orient="row"))
    findings.warnings.append(f"{finding.line()} [what differs set missing]")
    for name in details:
        _empty(rows, name, [group["row"][0] for group in conflicting.filter(pl.col(name)).iter_rows(named=True)])


def _empty(rows: Rows, name: str, at: list[int]) -> None:
    """Set what some rows say missing."""
    if not at:
        return
    if name == "sex":
        assert rows.sex is not None
        rows.sex[at] = 0
    elif name == "birth":
        assert rows.birth is not None
        rows.birth = rows.birth.scatter(at, None)
    else:
        rows.coded.links[(*ROLES, "twin_of").index(name)][at] = -1


def merge_twins(rows: Rows, findings: Findings) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Rows of identical twins and clones, and the row of the animal whose genotype each shares, the first of a chain.

    Refused are originals that are unknown, loops, parents that differ where a twin's are known, and sexes that differ. An
    original of unknown sex takes that of its twin. Rows that repeat an earlier one are passed over.
    """
    if len(rows.coded.links) < 3:
        return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32)
    of = rows.coded.links[2]
    of[(of <= -2) & (of >= -1 - rows.missing)] = -1
    of[rows.coded.irregular[0]] = -1
    faults: list[str] = []
    twins = np.flatnonzero(of != -1).astype(np.int32)
    unknown = twins[of[twins] < 0]
    faults += [
        f"{_row(rows, row)} shares the genotype of {rows.text(2, row)!r}, which has no row here" for row in unknown
    ]
    of[unknown] = -1
    originals, looping = _firsts(of, twins)
    faults += [f"{_row(rows, row)} is by {name_some(_chain(rows, of, row))} a twin of itself" for row in looping]
    merged = originals >= 0
    twins, originals = twins[merged], originals[merged]
    known_as = dict(zip(twins.tolist(), originals.tolist(), strict=True))
    for row, original in known_as.items():
        faults += _differences(rows, row, original, known_as)
    if faults:
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        findings.errors.append(
            f"identical twins: {'; '.join(faults[:SHOWN])}{more} -> correct the twin or the animal whose genotype it shares"
        )
    return twins, originals


def _firsts(of: NDArray[np.int32], twins: NDArray[np.int32]) -> tuple[NDArray[np.int32], list[int]]:
    """The end of the chain from each twin, -1 where there is none; the first twin of each loop."""
    originals = of[twins].copy()
    for _ in range(int(np.ceil(np.log2(twins.size + 1))) + 1):  # each turn doubles the steps taken
        of_original = np.append(originals, np.int32(-1))
        place = np.full(of.size + 1, twins.size, dtype=np.int32)
        place[twins] = np.arange(twins.size, dtype=np.int32)
        further = of_original[place[originals]]
        originals = np.where(further >= 0, further, originals)
    endless = (originals >= 0) & (of[originals] >= 0)
    looping, seen = [], set()
    for row in twins[endless].tolist():
        ring = []
        while row not in seen:
            seen.add(row)
            ring.append(row)
            row = int(of[row])
        if row in ring:
            looping.append(row)
    originals[endless] = -1
    return originals, looping


def _chain(rows: Rows, of: NDArray[np.int32], row: int) -> list[str]:
    chain, at = [], int(of[row])
    while at != row:
        chain.append(str(rows.coded.ids[at]))
        at = int(of[at])
    return [*chain, str(rows.coded.ids[row])]


def _row(rows: Rows, row: int) -> str:
    return f"{rows.places.where(int(row))} {rows.coded.ids[int(row)]!r}"


def _differences(rows: Rows, row: int, original: int, known_as: dict[int, int]) -> list[str]:
    """In what a twin is not like its original; an unknown parent or sex says nothing, and parents may be twins too."""
    found = []
    for link, role in enumerate(ROLES):
        mine, its = (int(rows.coded.links[link][of]) for of in (row, original))
        known = mine >= 0 or -2 - mine > len(rows.declared)
        if known and known_as.get(mine, mine) != known_as.get(its, its):
            said = rows.text(link, original)
            found.append((role, repr(rows.text(link, row)), "unknown" if said is None else repr(said)))
    if rows.sex is not None and rows.sex[row]:
        if not rows.sex[original]:
            rows.sex[original] = rows.sex[row]
        elif rows.sex[row] != rows.sex[original]:
            found.append(("sex", "MF"[rows.sex[row] - 1], "MF"[rows.sex[original] - 1]))
    return [
        f"{_row(rows, row)} has the {what} {mine}, but {_row(rows, original)}, whose genotype it shares, {its}"
        for what, mine, its in found
    ]
