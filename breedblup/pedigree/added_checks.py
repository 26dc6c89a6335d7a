"""What rows of added animals say against what is known of the old ones, and links from new animals to old parents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import PedigreeError, counted, name_some
from breedblup.frames import Table, positions
from breedblup.pedigree import checks
from breedblup.pedigree.reading import RECOGNISED, CodedPedigree, PedigreeColumns
from breedblup.pedigree.rules import SHOWN, Finding, Findings

if TYPE_CHECKING:
    from breedblup.pedigree.pedigree import Pedigree

ANEW = "-> read the whole pedigree anew"


@dataclass(frozen=True)
class Added:
    """Rows as they were coded, and where their animals stand in the extended pedigree.

    ``place``: position of each coded animal; ``sire``, ``dam``: its parents in these positions, -1 unknown.
    """

    pedigree: Pedigree
    table: Table
    coded: CodedPedigree
    id_column: str
    place: NDArray[np.int32]
    sire: NDArray[np.int32]
    dam: NDArray[np.int32]

    @classmethod
    def of(cls, pedigree: Pedigree, table: Table, columns: PedigreeColumns, coded: CodedPedigree) -> Added:
        old = pedigree.positions_of(coded.ids)
        place = np.where(old < 0, len(pedigree) - 1 + np.cumsum(old < 0), old).astype(np.int32)
        beyond = np.append(place, np.int32(-1))  # the last for an unknown parent, -1
        id_column = columns.id or next(name for name in table.frame.columns if name.lower() in RECOGNISED["id"])
        return cls(pedigree, table, coded, id_column, place, beyond[coded.sire], beyond[coded.dam])

    @property
    def new(self) -> NDArray[np.bool_]:
        """Which coded animals are new."""
        return self.place >= len(self.pedigree)

    @property
    def with_row(self) -> NDArray[np.bool_]:
        """Which coded animals have a row of their own; those without stand last in the user's order."""
        own = np.ones(self.place.size, dtype=np.bool_)
        own[self.coded.user_order[self.place.size - self.coded.report.added_parents :]] = False
        return own

    @property
    def twin(self) -> NDArray[np.bool_]:
        """Which coded animals are known as identical twins: their place is that of the original."""
        return positions(self.coded.ids, self.pedigree.twins["id"]) >= 0

    @property
    def ids(self) -> pl.Series:
        """Ids of all animals."""
        old = self.pedigree.ids
        return pl.concat([old, self.coded.ids.filter(pl.Series(self.new)).rename(old.name)])

    def where(self, id: str) -> str:
        """Where the first row of an animal stands."""
        rows = (self.table.text(self.id_column) == id).arg_true()
        return self.table.where(int(rows[0])) if len(rows) else "(no row of its own)"


def refuse_changed_parents(added: Added) -> None:
    """`PedigreeError` where a row gives an old animal other parents, or groups of unknown ones, than it has."""
    pedigree, coded = added.pedigree, added.coded
    repeated = np.flatnonzero(added.with_row & ~added.new)
    repaired = {row[:3] for row in pedigree.report.repairs.iter_rows()}
    ids, twin = added.ids, added.twin
    changes: list[tuple[str, str]] = []  # of which animal, what is said
    for role, said, had in (("sire", added.sire, pedigree.sire), ("dam", added.dam, pedigree.dam)):
        for k in repeated[said[repeated] != had[added.place[repeated]]].tolist():
            now, before = (None if p < 0 else ids[int(p)] for p in (said[k], had[added.place[k]]))
            if (before is None and (coded.ids[k], role, now) in repaired) or (now is None and twin[k]):
                continue
            text = f"gives {coded.ids[k]!r} the {role} {_named(now)}; in {pedigree.name} it is {_named(before)}"
            changes.append((coded.ids[k], text))
        if pedigree.groups is not None:
            changes += _changed_groups(added, repeated, role)
    if changes:
        lines = [f"{added.where(id)} {text}" for id, text in changes[:SHOWN]]
        more = f"\nand {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
        raise PedigreeError("\n".join(lines) + f"{more}\nparents of animals that are known cannot change {ANEW}")


def _named(parent: str | None) -> str:
    return "unknown" if parent is None else repr(parent)


def _changed_groups(added: Added, repeated: NDArray[np.int64], role: str) -> list[tuple[str, str]]:
    groups = added.pedigree.groups
    said = added.coded.sire_group if role == "sire" else added.coded.dam_group
    assert groups is not None
    assert said is not None
    had = groups.sire if role == "sire" else groups.dam
    changed = repeated[said[repeated] != had[added.place[repeated]]]
    changed = changed[(said[changed] >= 0) & (had[added.place[changed]] >= 0)]
    changes = []
    for k in changed.tolist():
        id, before = added.coded.ids[k], groups.names[int(had[added.place[k]])]
        text = f"gives the unknown {role} of {id!r} the group {groups.names[int(said[k])]!r}; in {added.pedigree.name} it is "
        changes.append((id, f"{text}{before!r}"))
    return changes


def refuse_differing(added: Added, differing: NDArray[np.int64], said: Callable[[int], str]) -> None:
    """`PedigreeError` where rows contradict what is known of old animals."""
    if differing.size:
        lines = [
            f"{added.where(added.coded.ids[k])} says that {added.coded.ids[k]!r} is {said(k)} as in {added.pedigree.name}"
            for k in differing[:SHOWN].tolist()
        ]
        more = f"\nand {differing.size - SHOWN} more" if differing.size > SHOWN else ""
        raise PedigreeError("\n".join(lines) + f"{more}\n-> correct the rows, or read the whole pedigree anew")


def carried_twins(added: Added) -> pl.DataFrame:
    """Twins known before and new ones; `PedigreeError` where one was an animal of its own, or has another genotype."""
    old, coded = added.pedigree.twins, added.coded.twins
    if not coded.height:
        return old
    at = added.place[coded["position"].to_numpy()]
    was = added.pedigree.positions_of(coded["id"])
    wrong = np.flatnonzero((was >= 0) & ((was != at) | (positions(coded["id"], added.pedigree.ids) >= 0)))
    if wrong.size:
        k = int(wrong[0])
        id, place = coded["id"][k], int(was[k])
        before = added.pedigree.ids[place]
        said = "an animal of its own" if before == id else f"a twin of {before!r}"
        raise PedigreeError(
            f"{added.where(id)} makes {id!r} a twin of {coded['of'][k]!r}; in {added.pedigree.name} it is {said} {ANEW}"
        )
    new = coded.with_columns(position=pl.Series(at, dtype=pl.Int32)).filter(pl.Series(was < 0))
    return pl.concat([old, new])


def check_new_links(
    added: Added,
    parents: checks.Parents,
    sex: NDArray[np.int8] | None,
    birth: pl.Series | None,
    findings: Findings,
) -> None:
    """The checks of reading where new animals meet old parents that the new rows say nothing of; repairs cut ``parents``."""
    ids, coded, n = added.ids, added.coded, len(added.pedigree)

    def where(animal: int) -> str:
        return added.where(ids[animal])

    def to_old(told: NDArray[np.bool_] | None) -> checks.Parents:
        """Links from new animals to old parents, except those that were checked among the new rows."""
        asked = np.ones(len(ids) + 1, dtype=np.bool_)
        asked[n:] = False  # the last for an unknown parent, -1
        if told is not None:
            asked[added.place[told]] = False
        links = [np.where(asked[of], of, np.int32(-1)) for of in parents]
        for of in links:
            of[:n] = -1
        return links[0], links[1]

    findings.settle(_changed_roles(added, parents, where), ids, parents, where)
    if sex is not None:
        sires, dams = to_old(None if coded.sex is None else coded.sex > 0)
        roles = (sires, np.full_like(dams, -1)) if added.pedigree.of_sires else (sires, dams)
        findings.settle(checks.sex_against_role(ids, roles, where, sex), ids, parents, where)
    if birth is not None:
        told = None if coded.birth is None else coded.birth.is_not_null().to_numpy()
        findings.settle(checks.born_after(ids, to_old(told), where, birth), ids, parents, where)
    _warn_of_spaces(added, findings)


def _changed_roles(added: Added, parents: checks.Parents, where: Callable[[int], str]) -> Finding | None:
    """Old animals that were only sires and are dams now, or the other way; a repair cuts the new role."""
    n = len(added.pedigree)
    if added.pedigree.of_sires:
        return None
    roles = np.zeros((2, 2, n), dtype=np.bool_)  # before and now, sire and dam
    for role, of in enumerate(parents):
        for time, links in enumerate((of[:n], of[n:])):
            roles[time, role, links[(links >= 0) & (links < n)]] = True
    before, now = roles
    changed = (before[0] ^ before[1]) & (now[0] ^ now[1]) & (before[0] ^ now[0])
    offenders = np.flatnonzero(changed)
    if not offenders.size:
        return None
    of_new = [(of >= 0) & np.append(changed, np.zeros(parents[0].size - n + 1, dtype=np.bool_))[of] for of in parents]
    for mask in of_new:
        mask[:n] = False
    by_role = [np.flatnonzero(mask).astype(np.int32) for mask in of_new]
    animals = np.concatenate(by_role)
    cut = np.repeat(np.array([0, 1], dtype=np.int8), [animals_of.size for animals_of in by_role])
    shown = []
    for animal in offenders[:SHOWN].tolist():
        was, is_now = ("sire", "dam") if before[0, animal] else ("dam", "sire")
        child = int(np.flatnonzero(parents[1 if is_now == "dam" else 0][n:] == animal)[0]) + n
        shown.append(f"animal {added.ids[animal]!r} was {was} and is {is_now} of {added.ids[child]!r} ({where(child)})")
    return Finding(
        "sire_and_dam", "both sire and dam", tuple(shown), offenders.size, animals, cut, "correct one of the roles"
    )


def _warn_of_spaces(added: Added, findings: Findings) -> None:
    """Parents that became founders although an old animal has their id but for spaces around it."""
    founders = added.coded.ids.filter(pl.Series(added.new & ~added.with_row))
    padded = founders.filter(founders.str.strip_chars() != founders)
    if not len(padded):
        return
    padded = padded.filter(pl.Series(added.pedigree.positions_of(padded.str.strip_chars()) >= 0, dtype=pl.Boolean))
    if len(padded):
        findings.warnings.append(
            f"{counted(len(padded), 'parent id')} spelled like that of an animal of {added.pedigree.name} but for spaces, taken "
            f"as another animal: {name_some(padded.to_list())}"
        )
