"""Genotypes of any format, told by the name of the file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, counted, name_some
from breedblup.frames import Table, as_table, positions
from breedblup.genotypes.calls import packed_calls
from breedblup.genotypes.genotypes import Genotypes
from breedblup.genotypes.markers import complete_markers, marker_table, refuse_duplicates
from breedblup.io.genotypes.fields import check_file, read_fields, unknown_zero
from breedblup.io.genotypes.plink import PlinkIds, read_bim, read_plink
from breedblup.io.genotypes.text import (
    are_calls,
    delimiter_of,
    first_line,
    numbered_markers,
    read_call_table,
    read_fixed_calls,
)
from breedblup.io.genotypes.vcf import Multiallelic, read_vcf
from breedblup.io.tables import read_table

GenotypeFormat: TypeAlias = Literal["plink", "vcf", "table", "rows", "blupf90"]

_CALLS = 1 << 20
"""Calls of a frame that are expanded at a time."""

_MAP_NAMES = {
    "marker": ("marker", "snp", "snp_id", "name", "id", "rs"),
    "chromosome": ("chromosome", "chr", "chrom"),
    "position": ("position", "pos", "bp"),
    "allele1": ("allele1", "a1"),
    "allele2": ("allele2", "a2"),
}


def read_genotypes(
    source: Any,
    *,
    format: GenotypeFormat | None = None,
    missing: Sequence[str] = (),
    markers: str | PathLike[str] | None = None,
    ids: PlinkIds = "iid",
    multiallelic: Multiallelic = "refuse",
) -> Genotypes:
    """Read genotypes of any format that is known.

    Parameters
    ----------
    source
        Path of a file, or a data frame (or Parquet file) with the ids in its first column, not in an index, and a column for
        each marker.
    format
        ``"plink"`` (.bed, .bim, .fam), ``"vcf"``, ``"table"`` (a header with the names of the markers, one animal a line),
        ``"rows"`` (the same without a header), ``"blupf90"`` (an id and a string of 0, 1, 2 and 5). Told by the name of the
        file, or by its first line, unless given.
    missing
        Of text: codes of a missing call beside an empty cell, NA, . and NaN (blupf90: 5).
    markers
        Of text: a file with the columns marker, chromosome, position, and perhaps allele1 (the counted one) and allele2; or
        a .bim.
    ids
        Of PLINK: what an animal is called, see `read_plink`.
    multiallelic
        Of VCF: what to do with sites of several ALT alleles.

    Raises
    ------
    GenotypeError
        Naming file and line, if the file is not what it should be or holds what is no call.
    """
    if isinstance(missing, str):
        raise GenotypeError(f"missing is the text {missing!r} -> give a list of codes, such as [{missing!r}]")
    missing = [str(code) for code in missing]
    if {"0", "1", "2"} & set(missing):
        raise GenotypeError(
            f"missing={list(missing)}: 0, 1 and 2 are calls and cannot be missing as well -> recode them"
        )
    if not isinstance(source, str | PathLike):
        table = as_table(source, "genotypes")
        return _of_frame(table, missing, indexed=table.backend == "pandas" and _names_rows(source.index))
    place = Path(fspath(source))
    if place.suffix == ".parquet":
        return _of_frame(read_table(place), missing)
    kind = format or _format_of(place, missing)
    text = kind in ("table", "rows", "blupf90")
    _refuse_options(place, kind, {"missing": bool(missing) and not text, "markers": markers is not None and not text,
                                  "ids": ids != "iid" and kind != "plink",
                                  "multiallelic": multiallelic != "refuse" and kind != "vcf"})  # fmt: skip
    if kind == "plink":
        return read_plink(place, ids=ids)
    if kind == "vcf":
        return read_vcf(place, multiallelic)
    listed = numbered_markers if markers is None else _listed_in(Path(fspath(markers)), place.name)
    if kind == "blupf90":
        return read_fixed_calls(place, missing, listed)
    return read_call_table(place, missing, kind == "table", listed)


def read_marker_map(path: str | PathLike[str]) -> pl.DataFrame:
    """Markers of a file: a .bim, or columns with a header between commas, tabs, semicolons or blanks.

    Raises
    ------
    GenotypeError
        If it has no column for the names of the markers, or one of them twice.
    """
    place = Path(fspath(path))
    if place.suffix == ".bim":
        return read_bim(place)
    line = first_line(place)
    frame = read_table(place).frame if delimiter_of(line) else read_fields(place, line.split(), "this file")[1:]
    known = dict(_columns_of(frame.columns))
    if "marker" not in known:
        raise GenotypeError(
            f"{place.name}:1: no column for the names of the markers among {name_some(frame.columns)} -> call it marker"
        )
    cells = [unknown_zero(frame[column]).alias(name) for name, column in known.items()]
    table = complete_markers(pl.DataFrame(cells), place.name)
    refuse_duplicates(table["marker"], "marker", place.name, 2, "give each a name of its own")
    return table


def _columns_of(columns: Sequence[str]) -> list[tuple[str, str]]:
    """What columns of a map are, by their names."""
    return [
        (name, column)
        for name, names in _MAP_NAMES.items()
        for column in [c for c in columns if c.strip().lower() in names][:1]
    ]


def _listed_in(map_file: Path, name: str) -> Callable[[int | list[str]], pl.DataFrame]:
    """The table of the markers of a file of calls, from a map."""
    table = read_marker_map(map_file)

    def listed(names: int | list[str]) -> pl.DataFrame:
        if isinstance(names, int):
            if names != table.height:
                raise GenotypeError(
                    f"{map_file.name}: {counted(table.height, 'marker')}, where a line of {name} has {counted(names, 'call')} "
                    "-> find the list that belongs to these calls"
                )
            return table
        wanted = pl.Series("marker", names, dtype=pl.String)
        found = positions(wanted, table["marker"])
        lacking = wanted.filter(pl.Series(found < 0)).to_list()
        if lacking:
            raise GenotypeError(f"{map_file.name}: no row for {name_some(lacking)} of {name} -> add the rows")
        return table[found]

    return listed


def _format_of(place: Path, missing: Sequence[str]) -> GenotypeFormat:
    """The format that a file seems to have."""
    name = place.name.removesuffix(".gz").lower()
    suffix = Path(name).suffix
    if suffix in (".bed", ".bim", ".fam") or (not place.is_file() and place.with_name(place.name + ".bed").exists()):
        return "plink"
    if suffix in (".vcf", ".bcf"):
        return "vcf"
    if suffix in (".csv", ".tsv"):
        return "table"
    line = first_line(check_file(place))
    delimiter = delimiter_of(line)
    cells = line.split(delimiter or None)
    if not delimiter and len(cells) == 2:
        return "blupf90"
    return "rows" if are_calls(cells[1:], missing) else "table"


def _refuse_options(place: Path, kind: str, given: dict[str, bool]) -> None:
    for option, out_of_place in given.items():
        if out_of_place:
            called = "a map of markers (markers=, map, --map)" if option == "markers" else option
            raise GenotypeError(
                f"{place.name}: {called} has no meaning for genotypes of the format {kind} -> leave it out"
            )


def _names_rows(index: Any) -> bool:
    """Whether the index of a pandas frame holds more than the numbers of its rows."""
    return index.name is not None or index.inferred_type == "string"


def _of_frame(table: Table, missing: Sequence[str], *, indexed: bool = False) -> Genotypes:
    """Genotypes of a data frame: ids in the first column, a column for each marker; some of the columns at a time."""
    if table.frame.width < 2:
        raise GenotypeError(
            f"{table.name}: the frame has no column beside {table.frame.columns} -> add those of the markers"
        )
    name, *columns = table.frame.columns
    ids = table.text(name)
    if (indexed or ids.is_duplicated().any()) and are_calls(ids.fill_null("").unique().to_list(), ["-1", *missing]):
        raise GenotypeError(
            f"{table.name}: the first column, {name!r}, holds calls where the ids belong -> put the ids there; those of a "
            "pandas index with frame.reset_index()"
        )
    refuse_duplicates(ids, "animal", table.name, None, "give each animal one row")
    markers, codes = marker_table(columns), _numbers_of(missing)
    packed = np.empty((len(columns), -(-len(ids) // 4)), dtype=np.uint8)
    step = max(1, _CALLS // max(1, len(ids)))
    for first in range(0, len(columns), step):
        some = slice(first, first + step)
        calls = np.column_stack([_calls_of(table, column, missing) for column in columns[some]])
        packed[some] = packed_calls(calls, ids, markers["marker"][some], codes, table.name)
    return Genotypes.from_store(ids, markers, packed, source=table.name)


def _calls_of(table: Table, column: str, missing: Sequence[str]) -> NDArray[np.float64]:
    """Numbers of a column, NaN where it holds a code of a missing call as text."""
    series = table.frame[column]
    if series.dtype == pl.String:
        series = series.set(series.is_in(list(missing)).fill_null(False), None)
    return Table(series.to_frame(), table.name, table.first_line).numbers(column)


def _numbers_of(codes: Sequence[str]) -> list[float]:
    """Those of some codes that are numbers."""
    found = []
    for code in codes:
        with suppress(ValueError):
            found.append(float(code))
    return [number for number in found if math.isfinite(number)]
