"""Genotypes of VCF and BCF files, through cyvcf2 (extra ``vcf``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, counted
from breedblup.genotypes.genotypes import Genotypes
from breedblup.genotypes.markers import MARKER_COLUMNS, refuse_duplicates
from breedblup.io.genotypes.fields import check_file
from breedblup.kernels.genotype_packing import add_animals

Multiallelic: TypeAlias = Literal["refuse", "skip"]

_TOGETHER = 1024
"""Sites that are packed together."""

_UNKNOWN = 3
"""What cyvcf2 says of a call that is not known, in whole or in part."""

_BGZF, _BGZF_END = b"BC", bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def read_vcf(path: Path, multiallelic: Multiallelic = "refuse") -> Genotypes:
    """Read hard calls (GT): the counted allele is ALT; a call of which a part is unknown is missing, a haploid one counts twice.

    A site without an ID is called ``chromosome:position``.

    Raises
    ------
    GenotypeError
        If cyvcf2 is not installed; if the file is no VCF or cut short; if a site has several ALT alleles and these are not
        to be skipped, or none of the sites has calls.
    """
    check_file(path)
    _refuse_cut_short(path)
    reader = _opened(path)
    samples = pl.Series("id", reader.samples, dtype=pl.String)
    if not len(samples):
        raise GenotypeError(f"{path.name}: the header names no samples -> ask for the file with genotypes")
    sites: list[tuple[str, str, int, str | None, str]] = []
    skipped: list[str] = []
    store, waiting = bytearray(), []
    for site in _with_one_alt(path, _sites(path, reader), multiallelic, skipped):
        waiting.append(_calls(path, site))
        sites.append((site.ID or _place(site), site.CHROM, site.POS, site.ALT[0] if site.ALT else None, site.REF))
        if len(waiting) == _TOGETHER:
            store += _packed(waiting)
            waiting = []
    store += _packed(waiting)
    if not sites:
        raise GenotypeError(f"{path.name}: no site with one ALT allele -> there is nothing to read")
    markers = pl.DataFrame(sites, schema=MARKER_COLUMNS, orient="row")
    refuse_duplicates(markers["marker"], "marker", f"{path.name}, sites,", None, "give each an ID of its own")
    notes = (f"{counted(len(skipped), 'site')} with several ALT alleles left out",) if skipped else ()
    packed = np.frombuffer(store, dtype=np.uint8).reshape(len(sites), -1)
    return Genotypes.from_store(samples, markers, packed, source=path.name, notes=notes)


def _opened(path: Path) -> Any:
    try:
        from cyvcf2 import VCF
    except ImportError:
        raise GenotypeError(
            f"{path.name}: VCF files are read by cyvcf2, which is not installed -> pip install 'breedblup[vcf]'"
        ) from None
    try:
        return VCF(str(path), gts012=True, strict_gt=True)
    except Exception as wrong:
        raise GenotypeError(
            f"{path.name}: no VCF file, or its header is damaged ({wrong}) -> look at its header"
        ) from None


def _sites(path: Path, reader: Any) -> Iterator[Any]:
    last = "none"
    while True:
        try:
            site = next(reader)
        except StopIteration:
            return
        except Exception as wrong:
            raise GenotypeError(
                f"{path.name}: the site behind {last} cannot be read ({wrong}) -> mend the file"
            ) from None
        last = _place(site)
        yield site


def _with_one_alt(path: Path, sites: Iterator[Any], multiallelic: Multiallelic, skipped: list[str]) -> Iterator[Any]:
    """Sites with one ALT allele or none; the others are refused, or their places put on a list."""
    for site in sites:
        if len(site.ALT) <= 1:
            yield site
        elif multiallelic == "skip":
            skipped.append(_place(site))
        else:
            raise GenotypeError(
                f"{path.name}: site {_place(site)} has the ALT alleles {', '.join(site.ALT)} -> split or remove such sites, "
                'or leave them out with multiallelic="skip"'
            )


def _place(site: Any) -> str:
    return f"{site.CHROM}:{site.POS}"


def _calls(path: Path, site: Any) -> NDArray[np.int8]:
    try:
        types = site.gt_types
    except Exception:
        raise GenotypeError(
            f"{path.name}: site {_place(site)} has no calls (GT) -> dosages are not taken; write hard calls"
        ) from None
    return np.where(types == _UNKNOWN, -1, types).astype(np.int8)


def _packed(waiting: list[NDArray[np.int8]]) -> bytes:
    if not waiting:
        return b""
    calls = np.ascontiguousarray(np.array(waiting).T)
    packed = np.zeros((calls.shape[1], -(-calls.shape[0] // 4)), dtype=np.uint8)
    add_animals(calls, 0, packed)
    return packed.tobytes()


def _refuse_cut_short(path: Path) -> None:
    """Refuse a BGZF file without the block that ends it, of which htslib would read what is there."""
    with path.open("rb") as file:
        compressed = file.read(14)[12:] == _BGZF
        if compressed:
            file.seek(-min(len(_BGZF_END), path.stat().st_size), 2)
            if file.read() != _BGZF_END:
                raise GenotypeError(f"{path.name}: the compressed file is cut short -> copy it again")
