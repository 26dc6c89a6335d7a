"""What can be wrong with coded parents. Each check returns a `Finding`, or None where all is well.

Parents are int32 positions in ``ids``, -1 unknown, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.kernels.pedigree import parents_first, screen_links
from breedblup.pedigree.rules import SHOWN, Finding

Parents = tuple[NDArray[np.int32], NDArray[np.int32]]
Where = Callable[[int], str]

ROLE_NAMES = ("sire", "dam")
SEX_NAMES = ("unknown", "male", "female")


def _links(masks: Sequence[NDArray[np.bool_]]) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """(animal, role) of the marked links, by animal, sire before dam."""
    animals = np.concatenate([np.flatnonzero(mask) for mask in masks]).astype(np.int32)
    roles = np.repeat(np.array([0, 1], dtype=np.int8), [np.count_nonzero(mask) for mask in masks])
    order = np.lexsort((roles, animals))
    return animals[order], roles[order]


@dataclass(frozen=True, slots=True)
class Screened:
    """What is to be looked at: links of each kind that could be wrong, ``late`` those to parents behind their offspring."""

    own: int
    late: int
    sex: int
    born: int
    double: bool


def screen(parents: Parents, sex: NDArray[np.int8] | None, birth: pl.Series | None) -> Screened:
    """One pass over all links, so that only what occurs is looked at again."""
    sire, dam = parents
    as_sire, as_dam = (np.zeros(sire.size, dtype=np.bool_) for _ in range(2))
    day = np.empty(0, dtype=np.int32) if birth is None else _days(birth)
    known_sex = np.empty(0, dtype=np.int8) if sex is None else sex
    strict = birth is not None and birth.dtype == pl.Date
    own, late, against, born = screen_links(sire, dam, known_sex, day, strict, as_sire, as_dam)
    as_sire &= as_dam
    return Screened(own, late + own, against, born, bool(as_sire.any()))


def _days(birth: pl.Series) -> NDArray[np.int32]:
    """Births as numbers, the least where unknown."""
    return birth.cast(pl.Int32).fill_null(np.iinfo(np.int32).min).to_numpy()


def own_parents(ids: pl.Series, parents: Parents, where: Where) -> Finding | None:
    """Animals that are their own sire or dam."""
    own = np.arange(len(ids), dtype=np.int32)
    animals, roles = _links((parents[0] == own, parents[1] == own))
    if not animals.size:
        return None
    shown = tuple(
        f"{where(int(a))} animal {ids[int(a)]!r} is its own {ROLE_NAMES[r]}"
        for a, r in zip(animals[:SHOWN], roles[:SHOWN], strict=True)
    )
    return Finding("own_parent", "own parent", shown, animals.size, animals, roles, "correct the parent")


def double_roles(ids: pl.Series, parents: Parents, where: Where) -> Finding | None:
    """Animals that are sire of some and dam of others; a repair would cut the rarer role."""
    as_sire, as_dam = (np.bincount(p[p >= 0], minlength=len(ids)) for p in parents)
    both = (as_sire > 0) & (as_dam > 0)
    offenders = np.flatnonzero(both)
    if not offenders.size:
        return None
    rarer = np.where(as_sire < as_dam, 0, 1)
    animals, roles = _links(tuple((p >= 0) & both[p] & (rarer[p] == role) for role, p in enumerate(parents)))
    shown = []
    for animal in offenders[:SHOWN].tolist():
        first = [int(np.flatnonzero(p == animal)[0]) for p in parents]
        shown.append(
            f"animal {ids[animal]!r} is sire of {ids[first[0]]!r} ({where(first[0])}) "
            f"and dam of {ids[first[1]]!r} ({where(first[1])})"
        )
    return Finding(
        "sire_and_dam", "both sire and dam", tuple(shown), offenders.size, animals, roles, "correct one of the roles"
    )


def born_after(ids: pl.Series, parents: Parents, where: Where, birth: pl.Series) -> Finding | None:
    """Parents that are not older than their offspring: a later year, or no earlier date."""
    dated = birth.dtype == pl.Date
    day = _days(birth)
    known = day > np.iinfo(np.int32).min
    masks = []
    for of in parents:
        late = day[of] >= day if dated else day[of] > day
        masks.append((of >= 0) & known & known[of] & late)
    animals, roles = _links((masks[0], masks[1]))
    if not animals.size:
        return None
    shown = []
    for animal, role in zip(animals[:SHOWN].tolist(), roles[:SHOWN].tolist(), strict=True):
        parent = int(parents[role][animal])
        shown.append(
            f"{where(animal)} {ROLE_NAMES[role]} {ids[parent]!r} (born {birth[parent]}) "
            f"of {ids[animal]!r} (born {birth[animal]})"
        )
    return Finding(
        "born_after",
        "parent not born before offspring",
        tuple(shown),
        animals.size,
        animals,
        roles,
        "correct the dates",
    )


def sex_against_role(ids: pl.Series, parents: Parents, where: Where, sex: NDArray[np.int8]) -> Finding | None:
    """Sires recorded as female (2) and dams recorded as male (1)."""
    masks = tuple((p >= 0) & (sex[p] == wrong) for p, wrong in zip(parents, (2, 1), strict=True))
    animals, roles = _links(masks)
    if not animals.size:
        return None
    offenders, first = np.unique(
        np.array([parents[r][a] for a, r in zip(animals, roles, strict=True)]), return_index=True
    )
    shown = tuple(
        f"{ids[int(parent)]!r} is {SEX_NAMES[sex[parent]]} and {ROLE_NAMES[roles[k]]} of {ids[int(animals[k])]!r} "
        f"({where(int(animals[k]))})"
        for parent, k in zip(offenders[:SHOWN], first[:SHOWN], strict=True)
    )
    return Finding(
        "sex_role", "sex against role", shown, offenders.size, animals, roles, "correct the sex or the parent"
    )


def loops_and_order(ids: pl.Series, parents: Parents, where: Where) -> tuple[Finding | None, NDArray[np.int32]]:
    """Loops of descent, each printed as it goes round, and the order parents first once the loops are cut."""
    n = len(ids)
    order = np.empty(n, dtype=np.int32)
    members = np.empty(max(n, 1), dtype=np.int32)
    ends = np.zeros(SHOWN, dtype=np.int64)
    cut = np.zeros(n, dtype=np.int8)
    found = int(parents_first(parents[0], parents[1], order, members, ends, cut))
    if not found:
        return None, order
    shown = []
    begin = 0
    for end in ends[: min(found, SHOWN)].tolist():
        loop = members[begin:end].tolist()
        begin = end
        if loop:
            turn = " -> ".join(repr(ids[animal]) for animal in [*loop, loop[0]])
            shown.append(f"{turn} ({', '.join(where(animal) for animal in loop)})")
    animals, roles = _links(((cut & 1) > 0, (cut & 2) > 0))
    finding = Finding(
        "loop", "loop, animal -> parent", tuple(shown), found, animals, roles, "correct one parent of each loop"
    )
    return finding, order
