"""PLINK .bed, .bim and .fam: the calls stay in the file, which is mapped; names and markers are read."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, counted
from breedblup.genotypes.genotypes import Genotypes
from breedblup.genotypes.markers import refuse_duplicates
from breedblup.io.genotypes.fields import check_file, read_fields, unknown_zero, whole_numbers

PlinkIds: TypeAlias = Literal["iid", "fid_iid"]

MAGIC = b"\x6c\x1b\x01"
"""First bytes of a .bed whose rows are markers."""

FAM_COLUMNS = ("family", "id", "sire", "dam", "sex", "phenotype")

_BIM_COLUMNS = ("chromosome", "marker", "morgans", "position", "allele1", "allele2")

_SUFFIXES = (".bed", ".bim", ".fam")

_LOOKED_AT = 64
"""Markers whose unused bits are looked at."""


def read_plink(
    path: str | PathLike[str],
    *,
    bim: str | PathLike[str] | None = None,
    fam: str | PathLike[str] | None = None,
    ids: PlinkIds = "iid",
) -> Genotypes:
    """Open genotypes of PLINK: calls are not read but mapped from the .bed file, which must stay as it is meanwhile.

    Parameters
    ----------
    path
        The .bed file, or what it, the .bim and the .fam file have in common.
    bim, fam
        These files where they are called otherwise.
    ids
        What an animal is called: its individual ID, or ``"fid_iid"``, family and individual ID with ``_`` between.

    Raises
    ------
    GenotypeError
        If a file is not there, no .bed with markers as rows, cut short, or of another size than .bim and .fam say; if two
        animals or two markers have one name.

    Notes
    -----
    The counted allele is A1, the first of the .bim (its fifth column), which PLINK 1 makes the rarer one.
    """
    bed, beside = _place_of(path, ".bed"), {"bim": bim, "fam": fam}
    named = {kind: Path(fspath(given)) if given else bed.with_suffix(f".{kind}") for kind, given in beside.items()}
    check_file(bed)
    animals = read_fam(named["fam"])
    names = animals["id"] if ids == "iid" else (animals["family"] + "_" + animals["id"]).alias("id")
    advice = 'call animals by family and individual with ids="fid_iid", or correct the file' * (ids == "iid")
    refuse_duplicates(names, "animal", named["fam"].name, 1, advice or "give each animal once")
    markers = read_bim(named["bim"])
    packed = _mapped(bed, named, len(names), markers.height)
    return Genotypes.from_store(names, markers, packed, source=bed.name)


def read_fam(path: str | PathLike[str]) -> pl.DataFrame:
    """Animals of a PLINK .fam file: family, id, sire, dam, sex, phenotype; one row a line.

    Sex is ``M``, ``F`` or null; an unknown parent is null; the phenotype stays text.

    Raises
    ------
    GenotypeError
        If there is no such file, or a line has not six columns.
    """
    frame = read_fields(_place_of(path, ".fam"), FAM_COLUMNS, "a .fam file")
    sex = frame["sex"].replace_strict({"1": "M", "2": "F"}, default=None, return_dtype=pl.String)
    return frame.with_columns(unknown_zero(frame["sire"]), unknown_zero(frame["dam"]), sex)


def read_bim(path: str | PathLike[str]) -> pl.DataFrame:
    """Markers of a PLINK .bim file: marker, chromosome, position, allele1 (A1, counted), allele2; null where it says 0.

    Raises
    ------
    GenotypeError
        If there is no such file, a line has not six columns, a position is no number, or a name is repeated.
    """
    place = _place_of(path, ".bim")
    frame = read_fields(place, _BIM_COLUMNS, "a .bim file")
    refuse_duplicates(
        frame["marker"], "marker", place.name, 1, "name them apart, for example: plink2 --set-all-var-ids @:#"
    )
    position = whole_numbers(place, unknown_zero(frame["position"]), "position")
    known = [unknown_zero(frame[name]) for name in ("chromosome", "allele1", "allele2")]
    return frame.with_columns(position, *known).select("marker", "chromosome", "position", "allele1", "allele2")


def _place_of(path: str | PathLike[str], suffix: str) -> Path:
    """The file with this suffix, of a path with any of the three or none; another name stays as it is if it exists."""
    place = Path(fspath(path))
    if place.suffix in _SUFFIXES:
        return place.with_suffix(suffix) if place.suffix != suffix else place
    named = place.with_name(place.name + suffix)
    return place if place.is_file() or (place.is_dir() and not named.exists()) else named


def _mapped(bed: Path, beside: dict[str, Path], n: int, m: int) -> NDArray[np.uint8]:
    """The calls of a .bed file, mapped, once its first bytes and its size are right."""
    with bed.open("rb") as file:
        start = file.read(len(MAGIC))
    if start[:2] != MAGIC[:2]:
        raise GenotypeError(
            f"{bed.name}: it begins with the bytes {start[:2].hex(' ')}, not with 6c 1b, the magic number of a PLINK .bed "
            "-> this is another file, or one of PLINK before 2009; write it with plink --make-bed"
        )
    if start[2:] == b"\x00":
        raise GenotypeError(
            f"{bed.name}: its rows are animals (third byte 00), where markers are needed -> write it anew with plink "
            "--make-bed"
        )
    width, size = -(-n // 4), max(0, bed.stat().st_size - len(MAGIC))
    if start != MAGIC or size != m * width:
        raise GenotypeError(
            f"{bed.name}: {counted(size, 'byte')} of calls, where {counted(n, 'animal')} of {beside['fam'].name} and "
            f"{counted(m, 'marker')} of {beside['bim'].name} need {m * width:,}: {_explained(size, n, m)} -> copy the three "
            "files again, together"
        )
    packed: NDArray[np.uint8] = np.memmap(bed, dtype=np.uint8, mode="r", offset=len(MAGIC), shape=(m, width)).view(
        np.ndarray
    )
    if n % 4 and (packed[:_LOOKED_AT, -1] >> (2 * (n % 4))).any():
        raise GenotypeError(
            f"{bed.name}: there are calls behind those of the {counted(n, 'animal')} of {beside['fam'].name}, so it was made "
            "with more animals -> find the .fam that belongs to it, or write all three anew"
        )
    return packed


def _explained(size: int, n: int, m: int) -> str:
    """What a wrong size may mean."""
    width = -(-n // 4)
    if size and size % m == 0:
        rows = size // m
        return f"it fits {4 * rows - 3:,} to {4 * rows:,} animals, so the .fam may be that of other genotypes"
    if size and size % width == 0:
        return f"it fits {size // width:,} markers, so it is cut short or the .bim is that of other genotypes"
    return "it is cut short, or one of the files is that of other genotypes"
