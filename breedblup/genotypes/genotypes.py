"""`Genotypes`: calls of named animals at named markers, two bits each, in memory or on disk, never expanded whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike, fspath
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, counted, name_some
from breedblup.frames import positions
from breedblup.genotypes.calls import packed_calls
from breedblup.genotypes.markers import complete_markers, marker_table, refuse_duplicates
from breedblup.kernels.genotype_packing import repack
from breedblup.kernels.genotypes import code_counts, unpack_calls

_SHOWN = 1 << 26
"""Bytes of a store that are looked at to say how many calls are missing."""


@dataclass(frozen=True, repr=False, eq=False)
class Genotypes:
    """Calls 0, 1, 2 (copies of ``allele1``) or missing of n animals at m markers.

    Made by `Genotypes.from_calls` and the readers of files, which check what they take.

    Attributes
    ----------
    ids
        Text ids of the n animals, all different.
    markers
        m rows: marker (all different), chromosome, position (base pairs), allele1, allele2; null where not known.
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
    notes
        What was left out or changed when it was read.
    """

    ids: pl.Series
    markers: pl.DataFrame
    packed: NDArray[np.uint8]
    rows: NDArray[np.int64]
    places: NDArray[np.int32]
    samples: int
    source: str = "genotypes"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for array in (self.rows, self.places):
            array.flags.writeable = False

    @classmethod
    def from_store(
        cls,
        ids: Sequence[str] | pl.Series,
        markers: pl.DataFrame,
        packed: NDArray[np.uint8],
        *,
        source: str = "genotypes",
        notes: tuple[str, ...] = (),
    ) -> Genotypes:
        """All animals and markers of a store, which is not copied.

        Parameters
        ----------
        ids, markers
            Of its animals and rows.
        packed
            A row of ⌈n/4⌉ bytes for each marker, coded as in a PLINK .bed file.

        Raises
        ------
        GenotypeError
            If ids or markers are repeated or without a name, or the store has another shape than they say.
        """
        text = _as_text(ids)
        table = complete_markers(markers, source)
        refuse_duplicates(text, "animal", source, None, "give each animal once, under a name of its own")
        refuse_duplicates(table["marker"], "marker", f"{source}, markers,", None, "give each marker a name of its own")
        n, m = len(text), table.height
        if packed.shape != (m, -(-n // 4)):
            raise GenotypeError(
                f"{source}: a store of {packed.shape} bytes for {counted(n, 'animal')} and {counted(m, 'marker')} -> it "
                "needs a row of ⌈animals / 4⌉ bytes for each marker"
            )
        packed.flags.writeable = False
        return cls(text, table, packed, np.arange(m), np.arange(n, dtype=np.int32), n, source, notes)

    @classmethod
    def from_calls(
        cls,
        calls: Any,
        ids: Sequence[str] | pl.Series,
        markers: pl.DataFrame | Sequence[str] | None = None,
        *,
        missing: Sequence[float] = (),
        source: str = "genotypes",
    ) -> Genotypes:
        """Pack an array of calls.

        Parameters
        ----------
        calls
            Animals × markers of numbers: 0, 1 and 2 copies of the counted allele; missing is NaN, -1 or masked.
        ids
            Of its rows.
        markers
            Table of markers (`marker`, and where known `chromosome`, `position`, `allele1`, `allele2`), or their names; M1,
            M2, … when left out.
        missing
            Other values that stand for a missing call, such as 5 or 9.

        Raises
        ------
        GenotypeError
            If the array has no two dimensions or others than ids and markers say, holds a value that is no call, such as a
            dosage, or if ids or markers are repeated.
        """
        masked = isinstance(calls, np.ma.MaskedArray)
        array = calls.astype(np.float64).filled(np.nan) if masked else np.asarray(calls)
        if array.ndim != 2 or array.dtype.kind not in "iuf":
            raise GenotypeError(
                f"{source}: calls are an array of {array.ndim} dimensions and type {array.dtype} -> give numbers, animals × "
                "markers"
            )
        names = [f"M{j + 1}" for j in range(array.shape[1])] if markers is None else markers
        table = complete_markers(names, source) if isinstance(names, pl.DataFrame) else marker_table(names)
        if array.shape != (len(ids), table.height):
            raise GenotypeError(
                f"{source}: calls are {array.shape[0]} × {array.shape[1]}, with {counted(len(ids), 'id')} and "
                f"{counted(table.height, 'marker')} -> give a row for each animal and a column for each marker"
            )
        packed = packed_calls(array, ids, table["marker"], missing, source)
        return cls.from_store(ids, table, packed, source=source)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        n, m = self.shape
        chromosomes = self.markers["chromosome"].drop_nulls().n_unique()
        known = self.markers["allele1"].is_not_null() & self.markers["allele2"].is_not_null()
        lines = [
            f"Genotypes {self.source}: {counted(n, 'animal')} × {counted(m, 'marker')}",
            f"  {_some(chromosomes, 'chromosome')}, both alleles known of {_some(int(known.sum()), 'marker')}",
            f"  calls missing: {self._share_missing()}",
            f"  {self.packed.nbytes / 2**20:,.2f} MiB {self.location}",
        ]
        if (n, m) != (self.samples, self.packed.shape[0]):
            lines.append(f"  part of {self.samples:,} animals × {self.packed.shape[0]:,} markers")
        return "\n".join(lines + [f"  {note}" for note in self.notes])

    def _share_missing(self) -> str:
        """Share of the calls that are missing, of some of the markers where the store is large."""
        n, m = self.shape
        step = 1 if "counts" in self.__dict__ else max(1, -(-m * self.packed.shape[1] // _SHOWN))
        part = self if step == 1 else self.at_markers(np.arange(0, m, step))
        share = int(part.counts[:, 3].sum()) / max(1, n * part.markers.height)
        return f"{share:.2%}" + (f" (of {part.markers.height:,} markers)" if step > 1 else "")

    @property
    def shape(self) -> tuple[int, int]:
        """Animals, markers."""
        return len(self.ids), self.markers.height

    @property
    def location(self) -> str:
        """Where the store lies: in memory, or in a file that is mapped."""
        base: Any = self.packed
        while base is not None and not isinstance(base, np.memmap):
            base = getattr(base, "base", None)
        return "in memory" if base is None else f"mapped from {base.filename}"

    def positions_of(self, ids: pl.Series) -> NDArray[np.int32]:
        """Row of each animal among those in use; -1 where it has no genotype."""
        return positions(ids, self.ids)

    def of_animals(self, ids: Sequence[str] | pl.Series) -> Genotypes:
        """The animals of a list, in its order; the store is shared.

        Raises
        ------
        GenotypeError
            If one of them has no genotype, or is named twice.
        """
        wanted = _as_text(ids)
        refuse_duplicates(wanted, "animal", f"{self.source}, list of animals,", None, "name each animal once")
        found = self.positions_of(wanted)
        if (found < 0).any():
            lacking = wanted.filter(pl.Series(found < 0)).to_list()
            raise GenotypeError(f"{self.source}: no genotype of {name_some(lacking)} -> leave them out of the list")
        return replace(self, ids=wanted, places=self.places[found])

    def at_markers(self, chosen: NDArray[np.bool_] | NDArray[np.integer] | Sequence[Any] | pl.Series) -> Genotypes:
        """The markers of a mask, by number or by name, in this order; the store is shared, and counts where they are known.

        Raises
        ------
        GenotypeError
            If one of them is not there, or is named twice; if a mask has not one value for each marker.
        """
        numbers = self._numbers_of(chosen if isinstance(chosen, pl.Series) else np.asarray(chosen))
        chosen_ones = replace(self, markers=self.markers[numbers], rows=self.rows[numbers])
        if "counts" in self.__dict__:
            chosen_ones.__dict__["counts"] = self.counts[numbers]
        return chosen_ones

    def _numbers_of(self, chosen: NDArray[Any] | pl.Series) -> NDArray[np.int64]:
        """Numbers of the markers of a mask, by number or by name."""
        m = self.markers.height
        if isinstance(chosen, pl.Series) or chosen.dtype.kind not in "biu":
            names = pl.Series("marker", list(chosen), dtype=pl.String)
            numbers = positions(names, self.markers["marker"]).astype(np.int64)
            lacking = names.filter(pl.Series(numbers < 0)).to_list()
            if lacking:
                raise GenotypeError(f"{self.source}: no marker {name_some(lacking)} -> leave them out of the list")
        elif chosen.dtype == np.bool_:
            if chosen.shape != (m,):
                raise GenotypeError(
                    f"{self.source}: a mask of {chosen.shape} values for {counted(m, 'marker')} -> give one for each"
                )
            return np.flatnonzero(chosen)
        else:
            numbers = chosen.astype(np.int64)
            if numbers.size and (numbers.min() < 0 or numbers.max() >= m):
                raise GenotypeError(
                    f"{self.source}: markers {numbers.min()} to {numbers.max()} by number -> they count from 0 to {m - 1}"
                )
        if np.bincount(numbers, minlength=1).max() > 1:
            raise GenotypeError(f"{self.source}: a marker is chosen twice -> choose each once")
        return numbers

    def compact(self) -> Genotypes:
        """A copy in memory whose store has the animals and markers in use and no others, in their order."""
        n, m = self.shape
        packed = np.empty((m, -(-n // 4)), dtype=np.uint8)
        repack(self.packed, self.rows, self.places, packed)
        packed.flags.writeable = False
        return replace(
            self, packed=packed, rows=np.arange(m), places=np.arange(n, dtype=np.int32), samples=n
        )  # fmt: skip

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


def refuse_other_than_genotypes(value: object, function: str) -> None:
    """`GenotypeError` unless a value that a function was given is `Genotypes`; a path is told how to be read."""
    if isinstance(value, Genotypes):
        return
    path = fspath(value) if isinstance(value, str | PathLike) else None
    found = f"a {type(value).__name__}" if path is None else f"the path {path!r}"
    call = "read_genotypes(...), or Genotypes.from_calls" if path is None else f"read_genotypes({path!r})"
    raise GenotypeError(f"{function} takes genotypes, found {found} -> make them first, with {call}")


def _some(number: int, noun: str) -> str:
    return counted(number, noun) if number else f"no {noun}"


def _as_text(ids: Sequence[str] | pl.Series) -> pl.Series:
    """Ids of any type as a series of text."""
    text = isinstance(ids, pl.Series) and ids.dtype == pl.String
    return pl.Series("id", ids if text else [None if name is None else str(name) for name in ids], dtype=pl.String)
