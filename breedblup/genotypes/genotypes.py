"""`Genotypes`: calls of named animals at named markers, two bits each, in memory or on disk, never expanded whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, name_some
from breedblup.frames import positions
from breedblup.kernels.genotypes import code_counts, pack_calls, unpack_calls

MARKER_COLUMNS = {
    "marker": pl.String,
    "chromosome": pl.String,
    "position": pl.Int64,
    "allele1": pl.String,
    "allele2": pl.String,
}
"""Columns of the table of markers; ``allele1`` is the counted one, null where it is not known."""


@dataclass(frozen=True)
class Genotypes:
    """Calls 0, 1, 2 (copies of ``allele1``) or missing of n animals at m markers.

    Attributes
    ----------
    ids
        Text ids of the n animals.
    markers
        m rows: marker, chromosome, position (base pairs), allele1, allele2; null where not known.
    packed
        The store: a row of bytes for each of its markers, coded as in a PLINK .bed file; read-only, possibly on disk.
    rows
        Row of the store of each marker in use (m).
    places
        Place in a row of the store of each animal in use (n).
    samples
        Animals in the store.
    source
        What messages call it.
    """

    ids: pl.Series
    markers: pl.DataFrame
    packed: NDArray[np.uint8]
    rows: NDArray[np.int64]
    places: NDArray[np.int32]
    samples: int
    source: str = "genotypes"

    def __post_init__(self) -> None:
        for array in (self.rows, self.places):
            array.flags.writeable = False

    @classmethod
    def from_calls(
        cls,
        calls: Any,
        ids: Sequence[str] | pl.Series,
        markers: pl.DataFrame | Sequence[str] | None = None,
        *,
        source: str = "genotypes",
    ) -> Genotypes:
        """Pack an array of calls.

        Parameters
        ----------
        calls
            Animals × markers: 0, 1 and 2; missing is NaN, -1, or (in an integer array) any value but these.
        ids
            Of its rows.
        markers
            Table of markers, or their names; M1, M2, … when left out.
        """
        array = np.asarray(calls)
        if array.dtype.kind == "f":
            array = np.where(np.isnan(array), -1, array)
        array = np.ascontiguousarray(array, dtype=np.int8)
        n, m = array.shape
        packed = np.empty((m, -(-n // 4)), dtype=np.uint8)
        pack_calls(array, packed)
        packed.flags.writeable = False
        names = [f"M{j + 1}" for j in range(m)] if markers is None else markers
        table = names if isinstance(names, pl.DataFrame) else marker_table(names)
        text = pl.Series("id", [str(name) for name in ids], dtype=pl.String)
        return cls(text, table, packed, np.arange(m), np.arange(n, dtype=np.int32), n, source)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def shape(self) -> tuple[int, int]:
        """Animals, markers."""
        return len(self.ids), self.markers.height

    def positions_of(self, ids: pl.Series) -> NDArray[np.int32]:
        """Row of each animal among those in use; -1 where it has no genotype."""
        return positions(ids, self.ids)

    def of_animals(self, ids: Sequence[str] | pl.Series) -> Genotypes:
        """The animals of a list, in its order; the store is shared.

        Raises
        ------
        GenotypeError
            If one of them has no genotype.
        """
        wanted = pl.Series("id", list(ids), dtype=pl.String)
        found = self.positions_of(wanted)
        if (found < 0).any():
            lacking = wanted.filter(pl.Series(found < 0)).to_list()
            raise GenotypeError(f"{self.source}: no genotype of {name_some(lacking)} -> leave them out of the list")
        return replace(self, ids=wanted, places=self.places[found])

    def at_markers(self, chosen: NDArray[np.bool_] | NDArray[np.integer]) -> Genotypes:
        """The markers of a mask, or by number, in order; the store is shared."""
        numbers = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        return replace(self, markers=self.markers[numbers], rows=self.rows[numbers])

    def calls(self) -> NDArray[np.int8]:
        """All calls expanded, animals × markers, -1 for missing: for small sets and chosen parts."""
        out = np.empty(self.shape, dtype=np.int8)
        unpack_calls(self.packed, self.rows, self.places, out)
        return out

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Animals with 0, 1, 2 copies and without a call at each marker: m × 4."""
        codes = np.empty((self.markers.height, 4), dtype=np.int64)
        code_counts(self.packed, self.rows, self.places, codes)
        return codes[:, [3, 2, 0, 1]]

    @cached_property
    def frequencies(self) -> NDArray[np.float64]:
        """Observed frequency of the counted allele at each marker; NaN where no animal has a call."""
        none, one, two, _ = self.counts.T
        called = none + one + two
        with np.errstate(invalid="ignore"):
            return np.asarray((one + 2 * two) / np.where(called > 0, 2 * called, np.nan))


def marker_table(names: Sequence[str] | pl.Series) -> pl.DataFrame:
    """A table of markers of which only the names are known."""
    frame = pl.DataFrame({"marker": pl.Series(list(names), dtype=pl.String)})
    return frame.with_columns(
        pl.lit(None, dtype=kind).alias(name) for name, kind in MARKER_COLUMNS.items() if name != "marker"
    )
