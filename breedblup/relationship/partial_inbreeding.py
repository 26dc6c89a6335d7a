"""Inbreeding by the ancestor from which the identical alleles descend."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.kernels import relatives
from breedblup.pedigree import Pedigree
from breedblup.relationship.ancestry import Ids, as_text, distinct_positions, with_ancestors
from breedblup.relationship.inverse import refuse_other_pedigrees

ENTRIES_AT_ONCE = 2**23
"""Coefficients, of origins by animals, that are held at a time, zeros among them."""

ORIGINS = ("itself", "its unknown sire", "its unknown dam")
"""Whose alleles: those of the ancestor, or of a parent of it that is not known."""


def partial_inbreeding_coefficients(pedigree: Pedigree, ids: Ids, *, ancestors: Ids | None = None) -> pl.DataFrame:
    """F by ancestors: the probability that both alleles of an animal descend from one and the same allele of the ancestor.

    Over the founders they add up to F (Lacy, Alaks & Walsh 1996). An unknown parent of an animal whose other parent is known is a
    founder too, and stands as such beside that animal.

    Of an ancestor that is not a founder it is that part of F which comes together in it or in its descendants: identity of its
    own two alleles, which is older, does not count, as if it were a founder. Its part is then also a part of its
    ancestors', and the parts of several ancestors do not add up to F.

    Parameters
    ----------
    pedigree
        Only the ancestors of ``ids`` are visited, each founder's descendants once.
    ids
        Animals, each once.
    ancestors
        Ancestors to be looked at, each once; None for all founders and unknown parents.

    Returns
    -------
    DataFrame
        animal, ancestor, origin (``itself``, or ``its unknown sire``, ``its unknown dam``), inbreeding; the parts that are
        not zero, for each animal the largest first.

    Raises
    ------
    PedigreeError
        If an id is unknown or repeated, or none is given.
    ModelError
        If it is no pedigree with dams.
    """
    refuse_other_pedigrees(pedigree, "partial_inbreeding_coefficients", of_sires=False)
    targets = distinct_positions(pedigree, ids, "partial_inbreeding_coefficients")
    rows, sire, dam = with_ancestors(pedigree.sire, pedigree.dam, targets)
    if ancestors is None:
        origins, kinds = _founders(sire, dam)
    else:
        named = distinct_positions(pedigree, ancestors, "partial_inbreeding_coefficients")
        origins = np.flatnonzero(np.isin(rows, named)).astype(np.int32)
        kinds = np.zeros(origins.size, dtype=np.int8)
    amounts = np.where(kinds == 0, 1.0, 0.5)
    places = np.searchsorted(rows, targets).astype(np.int32)
    width = max(1, ENTRIES_AT_ONCE // places.size)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    for first in range(0, origins.size, width):
        some = slice(first, first + width)
        partial = np.empty((origins[some].size, places.size))
        relatives.partial_inbreeding(sire, dam, origins[some], amounts[some], places, partial)
        k, target = np.nonzero(partial)
        found.append((first + k, target, partial[k, target]))
    nothing = np.empty(0, dtype=np.int64)
    origin, target = (np.concatenate([nothing, *(part[m] for part in found)]) for m in (0, 1))
    inbreeding = np.concatenate([np.empty(0), *(part[2] for part in found)])
    order = np.lexsort((origin, -inbreeding, target))
    origin, target = origin[order], target[order]
    return pl.DataFrame(
        {
            "animal": as_text(ids).gather(target),
            "ancestor": pedigree.ids.gather(rows[origins[origin]]),
            "origin": pl.Series(ORIGINS).gather(kinds[origin]),
            "inbreeding": inbreeding[order],
        }
    )


def _founders(sire: NDArray[np.int32], dam: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Founders (0), and animals whose sire (1) or dam (2) alone is unknown; by position."""
    kind = np.select([(sire < 0) & (dam < 0), sire < 0, dam < 0], [0, 1, 2], default=-1).astype(np.int8)
    origins = np.flatnonzero(kind >= 0)
    return origins.astype(np.int32), kind[origins]
