"""The animals that a question is about, with as much of the relationship matrix as it needs: they and their ancestors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
import psutil
from numpy.typing import NDArray

from breedblup.errors import ModelError, PedigreeError, ResourceError, gib, name_some
from breedblup.frames import Table, positions
from breedblup.kernels.pedigree import mark_ancestors
from breedblup.pedigree import Pedigree
from breedblup.pedigree.added import continued_inbreeding
from breedblup.relationship.inverse import InverseOperator, RelationshipInverse, refuse_other_pedigrees
from breedblup.relationship.operator import PedigreeOperator

Related: TypeAlias = Pedigree | RelationshipInverse
"""A pedigree, which stands for its A, or any K⁻¹."""

Ids: TypeAlias = pl.Series | Sequence[str]

COLUMNS = 8
"""Columns of A that are found in one product."""

MEMORY_SHARE = 0.8
"""Share of the memory available that may be used, unless a number of bytes is given."""


@dataclass(frozen=True)
class Ancestry:
    """K among some animals and all that it needs of others.

    Attributes
    ----------
    rows
        Their positions in the source, ascending.
    operator, diagonal, logdet
        K among them, as in `RelationshipInverse`.
    """

    rows: NDArray[np.int64]
    operator: InverseOperator
    diagonal: NDArray[np.float64]
    logdet: float

    def places_of(self, source_positions: NDArray[np.int32]) -> NDArray[np.int64]:
        """Where animals of the source, by position, stand here."""
        return np.searchsorted(self.rows, source_positions)

    def columns(self, places: NDArray[np.int64]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Columns of K, some at a time: which of ``places`` they are, and the columns."""
        for first in range(0, places.size, COLUMNS):
            some = slice(first, min(first + COLUMNS, places.size))
            unit = np.zeros((self.rows.size, some.stop - first))
            unit[places[some], np.arange(unit.shape[1])] = 1.0
            yield some, self.operator.multiply(unit)


def ancestry_of(source: Related, named: NDArray[np.int32]) -> Ancestry:
    """The named animals, by position, and their ancestors; the whole matrix where it is not made from parents alone."""
    if isinstance(source, Pedigree):
        rows, sire, dam = with_ancestors(source.sire, source.dam, named)
        inbreeding = inbreeding_among(source, rows, sire, dam)
        variance = mendelian_variances(sire, dam, inbreeding)
        return Ancestry(rows, PedigreeOperator(sire, dam, variance), 1.0 + inbreeding, _log_sum(variance))
    operator = source.operator
    if isinstance(operator, PedigreeOperator) and operator.sire.size == len(source):
        rows, sire, dam = with_ancestors(operator.sire, operator.dam, named)
        variance = operator.variance[rows]
        return Ancestry(rows, PedigreeOperator(sire, dam, variance), source.diagonal[rows], _log_sum(variance))
    return Ancestry(np.arange(len(source)), operator, source.diagonal, source.logdet)


def with_ancestors(
    sire: NDArray[np.int32], dam: NDArray[np.int32], named: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Positions of the named animals and their ancestors, ascending, and their parents among themselves."""
    kept = np.zeros(sire.size, dtype=np.bool_)
    kept[named] = True
    mark_ancestors(sire, dam, kept)
    rows = np.flatnonzero(kept)
    new = np.full(sire.size + 1, -1, dtype=np.int32)  # the last for an unknown parent, -1
    new[rows] = np.arange(rows.size, dtype=np.int32)
    return rows, new[sire[rows]], new[dam[rows]]


def inbreeding_among(
    pedigree: Pedigree, rows: NDArray[np.int64], sire: NDArray[np.int32], dam: NDArray[np.int32]
) -> NDArray[np.float64]:
    """F of the animals at ``rows``, all ancestors among them: looked up where the pedigree knows it."""
    known: NDArray[np.float64] | None = vars(pedigree).get("inbreeding")
    return known[rows] if known is not None else continued_inbreeding(sire, dam, np.empty(0))


def mendelian_variances(
    sire: NDArray[np.int32], dam: NDArray[np.int32], inbreeding: NDArray[np.float64]
) -> NDArray[np.float64]:
    """D = ½ - ¼(F_sire + F_dam) of animals by their parents, F = -1 for an unknown one."""
    known = np.append(inbreeding, -1.0)
    variances: NDArray[np.float64] = 0.5 - 0.25 * (known[sire] + known[dam])
    return variances


def as_text(ids: Ids) -> pl.Series:
    """Ids as they were given, as text."""
    return Table(pl.DataFrame({"id": ids}), "ids").text("id")


def source_positions(source: Related, ids: Ids, function: str) -> NDArray[np.int32]:
    """Position of each id in a pedigree with dams, or among the rows of a K⁻¹.

    Raises
    ------
    PedigreeError
        If none is given, or some are unknown.
    ModelError
        If the source is neither, or a pedigree of sires.
    """
    if not isinstance(source, RelationshipInverse):
        refuse_other_pedigrees(source, function, of_sires=False)
        return source.known_positions_of(ids)
    if source.groups is not None and source.groups.kind != "metafounders":
        raise ModelError(
            f"{function}: {source.made[0]} has {source.groups.kind} groups, whose variance is no relationship "
            "-> give the pedigree, or metafounder_inverse(...)"
        )
    names = as_text(ids)
    if not len(names):
        raise PedigreeError(f"{function}: no ids are given -> name at least one animal")
    found = positions(names, source.ids)
    if source.pedigree is not None and (found < 0).any():  # identical twins
        found = np.where(found < 0, source.pedigree.positions_of(names), found)
    if (found < 0).any():
        unknown = names.filter(pl.Series(found < 0)).unique(maintain_order=True)
        raise PedigreeError(
            f"{function}: {source.made[0]} has no animal {name_some(unknown.to_list())} -> correct the ids, or add the animals"
        )
    return found


def distinct_positions(source: Related, ids: Ids, function: str) -> NDArray[np.int32]:
    """As `source_positions`, of ids that do not repeat."""
    found = source_positions(source, ids, function)
    if np.unique(found).size < found.size:
        names = source.ids.gather(found)
        repeated = names.filter(names.is_duplicated()).unique(maintain_order=True)
        raise PedigreeError(
            f"{function}: {name_some(repeated.to_list())} named more than once -> name each animal once"
        )
    return found


def refuse_beyond(memory: int | None, needed: int, what: str, instead: str) -> None:
    """`ResourceError` where something needs more bytes than given, or than a share of what is available now."""
    limit = int(MEMORY_SHARE * psutil.virtual_memory().available) if memory is None else memory
    if needed > limit:
        raise ResourceError(f"{what} takes {gib(needed)}, {gib(limit)} may be used -> {instead}")


def _log_sum(variance: NDArray[np.float64]) -> float:
    return float(np.log(variance).sum())
