"""Genotypes to files: PLINK, text and VCF; written aside, then renamed, a block of markers or animals at a time."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, PublishError, ResourceError, name_some
from breedblup.genotypes.genotypes import Genotypes, refuse_other_than_genotypes
from breedblup.io.genotypes.plink import FAM_COLUMNS, MAGIC

WriteFormat: TypeAlias = Literal["plink", "table", "blupf90", "vcf"]

_BLOCK = 1 << 24
"""Calls that are expanded, or bytes that are packed, at a time."""

_TEXT_OF = np.frombuffer(b"0125", dtype=np.uint8)
_GT_OF = np.frombuffer(b"0/00/11/1./.", dtype=np.uint8).reshape(4, 3)
"""What calls 0, 1, 2 and -1, the last, are written as."""


def write_genotypes(
    genotypes: Genotypes, path: str | PathLike[str], *, format: WriteFormat | None = None, replace: bool = False
) -> None:
    """Write genotypes in a format that `read_genotypes` reads.

    Parameters
    ----------
    path
        Of the file; its name tells the format unless that is given: .bed, .csv, .vcf, and .txt for ``"blupf90"``.
    format
        ``"plink"`` (three files), ``"table"`` (CSV with a header, a missing call is empty), ``"blupf90"`` (id and a string of
        0, 1, 2 and 5) or ``"vcf"`` (ALT is the counted allele).
    replace
        Whether files that are there may be replaced.

    Raises
    ------
    GenotypeError
        If it is no genotypes, ids or alleles cannot be written in this format, or the name tells no format.
    PublishError
        If a file is in the way, or cannot be written.
    ResourceError
        If the disk is full.
    """
    refuse_other_than_genotypes(genotypes, "write_genotypes")
    place = Path(fspath(path))
    known: dict[str, WriteFormat] = {".bed": "plink", ".csv": "table", ".vcf": "vcf", ".txt": "blupf90"}
    kind = format or known.get(place.suffix)
    if kind is None:
        raise GenotypeError(f"{place.name}: the name tells no format -> end it in {name_some(known)}, or give format=")
    if kind == "plink":
        write_plink(genotypes, place, replace=replace)
        return
    write = {"table": _table, "blupf90": _fixed, "vcf": _vcf}[kind]
    _publish({place: write(genotypes)}, replace)


def write_plink(
    genotypes: Genotypes, path: str | PathLike[str], *, animals: pl.DataFrame | None = None, replace: bool = False
) -> None:
    """Write .bed, .bim and .fam; the first allele of the .bim, A1, is the counted one.

    Parameters
    ----------
    path
        What the three files have in common, or the .bed file.
    animals
        What the .fam says of each animal, as `read_fam` gives it (family, id, sire, dam, sex, phenotype), in any order;
        without it the family is the id and nothing else is known.
    replace
        Whether files that are there may be replaced.

    Raises
    ------
    GenotypeError
        If it is no genotypes, a name holds a blank, or ``animals`` lacks one of the animals.
    PublishError
        If a file is in the way, or cannot be written.
    ResourceError
        If the disk is full.
    """
    refuse_other_than_genotypes(genotypes, "write_plink")
    place = Path(fspath(path))
    prefix = place.with_suffix("") if place.suffix == ".bed" else place
    beside = {suffix: prefix.with_name(prefix.name + suffix) for suffix in (".bed", ".bim", ".fam")}
    tables = {".bim": _bim(genotypes.markers), ".fam": _fam(genotypes, animals)}
    for table in (tables[".fam"].select("id", pl.exclude("id")), tables[".bim"]):
        for cells in table.iter_columns():
            _refuse_blanks(genotypes.source, cells.name, cells, "PLINK")
    parts = {beside[".bed"]: _bed(genotypes)}
    parts |= {beside[suffix]: iter([_tabbed(table)]) for suffix, table in tables.items()}
    _publish(parts, replace)


def _bed(genotypes: Genotypes) -> Iterator[bytes]:
    yield MAGIC
    for first, last in _steps(genotypes.shape[1], max(1, len(genotypes) // 4)):
        yield genotypes.at_markers(np.arange(first, last)).compact().packed.tobytes()


def _bim(markers: pl.DataFrame) -> pl.DataFrame:
    zero = pl.lit("0")
    columns = [
        pl.col("chromosome").fill_null(zero),
        pl.col("marker"),
        zero.alias("morgans"),
        pl.col("position").cast(pl.String).fill_null(zero),
        pl.col("allele1").fill_null(zero),
        pl.col("allele2").fill_null(zero),
    ]
    return markers.select(columns)


def _fam(genotypes: Genotypes, animals: pl.DataFrame | None) -> pl.DataFrame:
    ids = genotypes.ids.alias("id")
    known = ids.to_frame()
    if animals is not None:
        lacking = ids.filter(~ids.is_in(animals["id"].implode())).to_list()
        if lacking:
            raise GenotypeError(
                f"{genotypes.source}: nothing is said of {name_some(lacking)} in animals= -> add the rows"
            )
        known = known.join(animals.unique("id", keep="first"), on="id", how="left", maintain_order="left")
    for column, unknown in (("sire", "0"), ("dam", "0"), ("sex", "0"), ("phenotype", "-9")):
        filled = pl.col(column).cast(pl.String).fill_null(unknown) if column in known.columns else pl.lit(unknown)
        known = known.with_columns(filled.alias(column))
    sex = known["sex"].replace({"M": "1", "F": "2"})
    if "family" not in known.columns:
        known = known.with_columns(pl.col("id").alias("family"))
    return known.with_columns(sex).select(FAM_COLUMNS)


def _tabbed(frame: pl.DataFrame) -> bytes:
    return frame.write_csv(None, include_header=False, separator="\t", quote_style="never").encode()


def _table(genotypes: Genotypes) -> Iterator[bytes]:
    header = pl.DataFrame([["id", *genotypes.markers["marker"]]], schema=["cell"], orient="col")
    yield ",".join(_quoted(header["cell"])).encode() + b"\n"
    texts = np.array([b"0", b"1", b"2", b""], dtype=object)
    for ids, calls in _animals(genotypes):
        for name, row in zip(_quoted(ids), calls, strict=True):
            yield name.encode() + b"," + b",".join(texts[row]) + b"\n"


def _fixed(genotypes: Genotypes) -> Iterator[bytes]:
    _refuse_blanks(genotypes.source, "id", genotypes.ids, "BLUPF90")
    width = int(genotypes.ids.str.len_bytes().max() or 0) + 1  # type: ignore[arg-type]
    for ids, calls in _animals(genotypes):
        for name, row in zip(ids, _TEXT_OF[calls], strict=True):
            yield name.encode().ljust(width) + row.tobytes() + b"\n"


def _vcf(genotypes: Genotypes) -> Iterator[bytes]:
    markers, source = genotypes.markers, genotypes.source
    needed = markers.select("chromosome", "position", "allele2").null_count().row(0)
    if any(needed):
        raise GenotypeError(
            f"{source}: a VCF needs chromosome, position and allele2 of every marker; {max(needed)} lack one -> add them, or "
            "leave these markers out"
        )
    for what, names in (("id", genotypes.ids), ("marker", markers["marker"])):
        _refuse_blanks(source, what, names, "VCF")
    contigs = markers["chromosome"].unique(maintain_order=True)
    lines = ["##fileformat=VCFv4.3", *(f"##contig=<ID={name}>" for name in contigs)]
    lines.append('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">')
    lines.append("\t".join("#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT".split() + genotypes.ids.to_list()))
    yield "\n".join(lines).encode() + b"\n"
    separators = np.full((len(genotypes), 1), ord("\t"), dtype=np.uint8)
    for first, last in _steps(markers.height, len(genotypes)):
        calls = genotypes.at_markers(np.arange(first, last)).calls()
        for j, (name, chromosome, position, alt, ref) in enumerate(markers[first:last].iter_rows()):
            site = f"{chromosome}\t{position}\t{name}\t{ref}\t{alt or '.'}\t.\t.\t.\tGT"
            yield site.encode() + np.hstack([separators, _GT_OF[calls[:, j]]]).tobytes() + b"\n"


def _quoted(names: pl.Series) -> list[str]:
    """Names as cells of a CSV file."""
    return [f'"{name.replace(chr(34), 2 * chr(34))}"' if any(c in name for c in ',;\t"') else name for name in names]


def _animals(genotypes: Genotypes) -> Iterator[tuple[pl.Series, NDArray[np.int8]]]:
    """Ids and calls of some animals at a time."""
    for first, last in _steps(len(genotypes), genotypes.shape[1]):
        part = genotypes.of_animals(genotypes.ids[first:last])
        yield part.ids, part.calls()


def _steps(number: int, size: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows of so many calls or bytes each that fit a block."""
    step = max(1, _BLOCK // max(1, size))
    return ((first, min(first + step, number)) for first in range(0, number, step))


def _refuse_blanks(source: str, what: str, names: pl.Series, kind: str) -> None:
    blank = names.filter(names.str.contains(r"\s")).to_list()
    if blank:
        raise GenotypeError(
            f"{source}: {what} {name_some(blank)} holds a blank, which {kind} files cannot -> rename it"
        )


def _publish(parts: dict[Path, Iterator[bytes]], replace: bool) -> None:
    """Write files aside and rename them when all are whole, the first of several last: it never stands beside old ones."""
    places = list(parts)
    in_the_way = [str(place) for place in places if place.exists()]
    if in_the_way and not replace:
        raise PublishError(
            f"{name_some(in_the_way)} is there already -> name another file, or replace it (replace=True)"
        )
    aside = [place.with_name(f".{place.name}.partial-{os.getpid()}") for place in places]
    try:
        for part, chunks in zip(aside, parts.values(), strict=True):
            with part.open("wb") as file:
                file.writelines(chunks)
                file.flush()
                os.fsync(file.fileno())
        if len(places) > 1:
            places[0].unlink(missing_ok=True)
        for part, place in reversed(list(zip(aside, places, strict=True))):
            part.replace(place)
    except OSError as wrong:
        message = f"{places[0]}: the genotypes cannot be written: {wrong.strerror or wrong} -> nothing is written"
        if wrong.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(message) from wrong
        raise PublishError(message) from wrong
    finally:
        for part in aside:
            part.unlink(missing_ok=True)
