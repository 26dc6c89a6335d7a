"""Inbreeding of offspring that are not born yet."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.frames import as_table, give_back
from breedblup.pedigree import Pedigree
from breedblup.pedigree.added import continued_inbreeding
from breedblup.relationship.ancestry import Related, ancestry_of, inbreeding_among, source_positions, with_ancestors


def mating_inbreeding(source: Related, matings: Any, *, sire: str = "sire", dam: str = "dam") -> Any:
    """F of the offspring of planned matings: half the relationship of the parents.

    From a pedigree the matings are taken as animals that follow it, so that the ancestors of each sire are traced once
    for all of its mates (Sargolzaei, Iwaisaki & Colleau 2005). Which of the two is the sire makes no difference.

    Parameters
    ----------
    source
        Pedigree, or inverse of a relationship matrix, whose columns for the sires or the dams, the fewer of the two, are
        then found.
    matings
        Data frame with a row for each mating; ids may repeat.
    sire, dam
        Names of its columns.

    Returns
    -------
    DataFrame
        sire, dam, inbreeding: a row for each mating, in their order, in the library of ``matings``.

    Raises
    ------
    PedigreeError
        If an id is unknown, or there is no mating.
    """
    table = as_table(matings, "matings")
    sires, dams = (source_positions(source, table.text(column), "mating_inbreeding") for column in (sire, dam))
    inbreeding = _of_offspring(source, sires, dams)
    columns = {"sire": table.text(sire), "dam": table.text(dam), "inbreeding": inbreeding}
    return give_back(pl.DataFrame(columns), table.backend)


def _of_offspring(source: Related, sires: NDArray[np.int32], dams: NDArray[np.int32]) -> NDArray[np.float64]:
    if isinstance(source, Pedigree):
        return _by_continuation(source, sires, dams)
    return _by_columns(source, sires, dams)


def _by_continuation(pedigree: Pedigree, sires: NDArray[np.int32], dams: NDArray[np.int32]) -> NDArray[np.float64]:
    """Offspring appended to the ancestors of all parents."""
    rows, sire, dam = with_ancestors(pedigree.sire, pedigree.dam, np.concatenate([sires, dams]))
    known = inbreeding_among(pedigree, rows, sire, dam)
    of_sires, of_dams = (np.searchsorted(rows, parents).astype(np.int32) for parents in (sires, dams))
    both = continued_inbreeding(np.concatenate([sire, of_sires]), np.concatenate([dam, of_dams]), known)
    return both[rows.size :]


def _by_columns(source: Related, sires: NDArray[np.int32], dams: NDArray[np.int32]) -> NDArray[np.float64]:
    """From the columns of the rarer parents."""
    ancestry = ancestry_of(source, np.concatenate([sires, dams]))
    rarer, mates = sorted((ancestry.places_of(parents) for parents in (sires, dams)), key=lambda of: np.unique(of).size)
    distinct, column = np.unique(rarer, return_inverse=True)
    order = np.argsort(column, kind="stable")
    bounds = np.searchsorted(column[order], np.arange(distinct.size + 1))
    inbreeding = np.empty(sires.size)
    for some, values in ancestry.columns(distinct):
        of = order[bounds[some.start] : bounds[some.stop]]
        inbreeding[of] = 0.5 * values[mates[of], column[of] - some.start]
    return inbreeding
