"""The reference population: the animals whose descent is described, with what is needed of their ancestors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import PedigreeError, counted
from breedblup.kernels.pedigree import mark_ancestors
from breedblup.pedigree.intervals import generation_interval

if TYPE_CHECKING:
    from breedblup.pedigree.pedigree import Pedigree


@dataclass(frozen=True, eq=False)
class Reference:
    """Animals of a pedigree, and the pedigree of their ancestors by itself.

    Attributes
    ----------
    ids
        Those of the pedigree that it belongs to.
    text
        Which animals, and how they were chosen.
    rows
        Their positions in ``pedigree.ids``, ascending, int32.
    lineage
        Positions in ``pedigree.ids`` of these animals and all their ancestors, ascending.
    members
        Positions of the animals in ``lineage``.
    sire, dam
        Parents as positions in ``lineage``, -1 unknown.
    variance
        Mendelian sampling variances of ``lineage``, inbreeding of parents considered.
    """

    ids: pl.Series
    text: str
    rows: NDArray[np.int32]
    lineage: NDArray[np.int32]
    members: NDArray[np.int32]
    sire: NDArray[np.int32]
    dam: NDArray[np.int32]
    variance: NDArray[np.float64]

    def __post_init__(self) -> None:
        for array in (self.rows, self.lineage, self.members, self.sire, self.dam, self.variance):
            array.flags.writeable = False

    def __len__(self) -> int:
        return self.rows.size

    def __str__(self) -> str:
        return self.text


ReferenceChoice = Reference | tuple[int, int] | Sequence[str] | pl.Series | None
"""A reference population made before, its first and last birth year, its ids, or None for the default."""


def reference_population(pedigree: Pedigree, choice: ReferenceChoice = None) -> Reference:
    """The animals that a description is about.

    Parameters
    ----------
    choice
        Ids, or the first and last birth year as two whole numbers. By default the animals born in the last generation
        interval (its mean over the four paths, in whole years up to the latest birth); without births, or where no age of
        a parent is known, those born in the latest year or, without births, those that are nobody's parent.

    Raises
    ------
    PedigreeError
        If it is a pedigree of sires, an id is unknown, no animal is named, none was born in these years, or the choice is the
        reference of another pedigree.
    """
    refuse_sires_only(pedigree)
    if isinstance(choice, Reference):
        if choice.ids is not pedigree.ids:
            raise PedigreeError(
                f"{pedigree.name}: the reference ({choice}) is that of another pedigree -> make it from this one"
            )
        return choice
    if choice is None:
        text, chosen = _default_choice(pedigree)
    elif isinstance(choice, tuple) and all(isinstance(year, int | np.integer) for year in choice):
        text, chosen = _born_within(pedigree, choice)
    else:
        chosen = np.zeros(len(pedigree), dtype=np.bool_)
        chosen[pedigree.known_positions_of(cast("Sequence[str] | pl.Series", choice))] = True
        text = "given by id"
    return _with_lineage(pedigree, f"{counted(int(np.count_nonzero(chosen)), 'animal')} {text}", chosen)


def refuse_sires_only(pedigree: Pedigree) -> None:
    """Contributions, generations and coancestries need dams."""
    if pedigree.of_sires:
        raise PedigreeError(
            f"{pedigree.name} has maternal grandsires in the place of dams, which leaves generations and contributions "
            "unknown -> describe the full pedigree"
        )


def _default_choice(pedigree: Pedigree) -> tuple[str, NDArray[np.bool_]]:
    """The last generation interval, the latest birth year, or all that are nobody's parent."""
    years = pedigree.birth_years()
    if years is None or years.max(initial=-1) < 0:
        idle = np.ones(len(pedigree), dtype=np.bool_)
        for parent in (pedigree.sire, pedigree.dam):
            idle[parent[parent >= 0]] = False
        _refuse_none(pedigree, idle, "animals")
        return "that are nobody's parent (births are not known)", idle
    last = int(years.max())
    interval = generation_interval(pedigree)
    if interval is None:
        return f"born {last} (the latest year; no age of a parent is known)", years == last
    first = last + 1 - max(1, round(interval))
    return f"born {first} to {last} (the last generation interval, {interval:.2f} years)", (years >= first)


def _born_within(pedigree: Pedigree, choice: tuple[Any, ...]) -> tuple[str, NDArray[np.bool_]]:
    """Animals born from the first to the last year."""
    years = pedigree.birth_years()
    if len(choice) != 2 or choice[0] > choice[1]:
        raise PedigreeError(
            f"{pedigree.name}: the reference {choice} is no first and last birth year -> give these two, in this order, or ids"
        )
    if years is None:
        raise PedigreeError(f"{pedigree.name} has no births, which a reference by birth year needs -> name ids")
    first, last = int(choice[0]), int(choice[1])
    born: NDArray[np.bool_] = (years >= max(first, 0)) & (years <= last)
    text = f"born {first} to {last}"
    _refuse_none(pedigree, born, f"animals {text}")
    return text, born


def _refuse_none(pedigree: Pedigree, chosen: NDArray[np.bool_], what: str) -> None:
    if not chosen.any():
        raise PedigreeError(f"{pedigree.name} has no {what} -> name other years, or ids, as the reference population")


def _with_lineage(pedigree: Pedigree, text: str, chosen: NDArray[np.bool_]) -> Reference:
    rows = np.flatnonzero(chosen).astype(np.int32)
    kept = chosen.copy()
    mark_ancestors(pedigree.sire, pedigree.dam, kept)
    lineage = np.flatnonzero(kept).astype(np.int32)
    new = np.full(len(pedigree) + 1, -1, dtype=np.int32)  # the last for an unknown parent, -1
    new[lineage] = np.arange(lineage.size, dtype=np.int32)
    sire, dam = new[pedigree.sire[lineage]], new[pedigree.dam[lineage]]
    f = np.append(pedigree.inbreeding[lineage], -1.0)  # the last for an unknown parent, -1
    variance = 0.5 - 0.25 * (f[sire] + f[dam])
    return Reference(pedigree.ids, text, rows, lineage, new[rows], sire, dam, variance)
