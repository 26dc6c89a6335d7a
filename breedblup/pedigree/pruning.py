"""Which ancestors a pruned pedigree keeps, and what pruning does to inbreeding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import PedigreeError, counted
from breedblup.kernels.description import distance_to_offspring
from breedblup.kernels.pedigree import mark_ancestors
from breedblup.pedigree.contributions import mean_coancestry
from breedblup.pedigree.groups import ParentGroups

if TYPE_CHECKING:
    from breedblup.pedigree.pedigree import Pedigree

GENERATIONS = (1, 2, 3, 4, 5, 6, 8, 10)
"""Depths that `compare_pruning` compares unless told."""


def pruned_pedigree(pedigree: Pedigree, named: NDArray[np.int32], generations: int | None) -> Pedigree:
    """What `Pedigree.ancestors_of` gives, for positions of the animals named, each once."""
    kept = within_generations(pedigree, named, generations)
    text = f"{counted(named.size, 'animal')} and their ancestors"
    if generations is not None:
        text += f" of {counted(generations, 'generation')}"
    rows = np.flatnonzero(kept)
    new = np.full(len(pedigree) + 1, -1, dtype=np.int32)  # the last for an unknown parent, -1
    new[rows] = np.arange(rows.size, dtype=np.int32)
    sire, dam, order = new[pedigree.sire[rows]], new[pedigree.dam[rows]], new[pedigree.user_order]
    founders = int(np.count_nonzero((sire < 0) & (dam < 0)))
    return replace(
        pedigree,
        ids=pedigree.ids.gather(rows),
        sire=sire,
        dam=dam,
        user_order=order[order >= 0],
        sex=None if pedigree.sex is None else pedigree.sex[rows],
        birth=None if pedigree.birth is None else pedigree.birth.gather(rows),
        report=replace(pedigree.report, animals=rows.size, founders=founders),
        groups=None if pedigree.groups is None else _groups_of(pedigree, pedigree.groups, rows, sire, dam),
        twins=_twins_at(pedigree, new),
        name=f"{pedigree.name} ({text})",
    )


def _twins_at(pedigree: Pedigree, new: NDArray[np.int32]) -> pl.DataFrame:
    """Twins of the animals that have a new place."""
    position = pl.Series(new[pedigree.twins["position"].to_numpy()], dtype=pl.Int32)
    return pedigree.twins.with_columns(position=position).filter(pl.col("position") >= 0)


def _groups_of(
    pedigree: Pedigree,
    groups: ParentGroups,
    rows: NDArray[np.int64],
    sire: NDArray[np.int32],
    dam: NDArray[np.int32],
) -> ParentGroups:
    """Groups of the unknown parents of some rows, unless known parents of theirs were cut off."""
    cut = np.flatnonzero(((sire < 0) & (pedigree.sire[rows] >= 0)) | ((dam < 0) & (pedigree.dam[rows] >= 0)))
    if cut.size:
        raise PedigreeError(
            f"{pedigree.name} has groups of unknown parents, and nothing says to which a parent cut off from "
            f"{pedigree.ids[int(rows[cut[0]])]!r} belongs -> keep all generations, or prune first and group then"
        )
    return groups.of_rows(rows)


def within_generations(pedigree: Pedigree, positions: NDArray[np.int32], generations: int | None) -> NDArray[np.bool_]:
    """Mark animals and their ancestors up to so many generations back on the shortest way, or all of them.

    Raises
    ------
    PedigreeError
        If ``generations`` is negative.
    """
    if generations is None:
        kept = np.zeros(len(pedigree), dtype=np.bool_)
        kept[positions] = True
        mark_ancestors(pedigree.sire, pedigree.dam, kept)
        return kept
    if isinstance(generations, bool) or not isinstance(generations, int | np.integer) or generations < 0:
        raise PedigreeError(
            f"{pedigree.name}: ancestors of {generations} generations are asked for -> give a whole number from 0 on, "
            "or None for all"
        )
    far = min(generations, len(pedigree)) + 1
    distance = np.full(len(pedigree), far, dtype=np.int32)
    distance[positions] = 0
    distance_to_offspring(pedigree.sire, pedigree.dam, far, distance)
    return distance < far


def compare_pruning(
    pedigree: Pedigree, ids: pl.Series | Sequence[str], generations: Sequence[int] = GENERATIONS
) -> pl.DataFrame:
    """What pruning to so many generations of ancestors does to the inbreeding of the named animals.

    Parameters
    ----------
    ids
        The animals whose ancestors are kept.
    generations
        Depths of ``pedigree.ancestors_of(ids, generations=…)`` to compare.

    Returns
    -------
    polars.DataFrame
        One row for each depth and, last, one with null for all ancestors: ``generations``, ``animals`` and ``founders``
        kept, ``inbreeding`` and ``largest`` (mean and largest F of the named animals), ``change`` (mean difference to F by
        all ancestors), ``largest_change`` (in size), ``changed`` (animals whose F differs by more than 1e-12),
        ``coancestry`` (mean over all pairs of the named, themselves included).

    Raises
    ------
    PedigreeError
        If an id is unknown, none is given, a depth is negative, or it is a pedigree of sires.
    """
    names = pedigree.ids.gather(np.unique(pedigree.known_positions_of(ids)))
    whole = pedigree.inbreeding[pedigree.known_positions_of(names)]
    rows = []
    for depth in (*generations, None):
        pruned = pedigree.ancestors_of(names, generations=depth)
        found = pruned.inbreeding[pruned.known_positions_of(names)]
        change = found - whole
        counts = (depth, pruned.report.animals, pruned.report.founders)
        inbreeding = (float(found.mean()), float(found.max()), float(change.mean()), float(abs(change).max()))
        changed = int(np.count_nonzero(abs(change) > 1e-12))
        rows.append((*counts, *inbreeding, changed, mean_coancestry(pruned, names)))
    columns = ("generations", "animals", "founders", "inbreeding", "largest", "change", "largest_change")
    kinds = (pl.Int64, pl.Int64, pl.Int64, *[pl.Float64] * 4, pl.Int64, pl.Float64)
    schema = dict(zip((*columns, "changed", "coancestry"), kinds, strict=True))
    return pl.DataFrame(rows, schema=schema, orient="row")
