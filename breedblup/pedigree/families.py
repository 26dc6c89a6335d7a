"""Sizes of families, parents in use by year, and shares of animals that became parents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.pedigree.intervals import parents_of_some

if TYPE_CHECKING:
    from breedblup.pedigree.pedigree import Pedigree

FAMILIES = ("sire", "dam", "full sibs")


def family_sizes(pedigree: Pedigree) -> pl.DataFrame:
    """Offspring of sires, of dams, and of each pair of both: one row for each kind of family.

    Returns
    -------
    polars.DataFrame
        ``family`` (``sire``, ``dam``, ``full sibs``), ``families``, ``offspring``, ``mean``, ``sd``, ``largest``, and
        ``parents`` of the largest family (of equal ones the oldest): an id, or ``sire × dam``.
    """
    rows = []
    for family, (sizes, sires, dams) in zip(FAMILIES, _families(pedigree), strict=True):
        at = int(sizes.argmax()) if sizes.size else -1
        names = [pedigree.ids[int(parents[at])] for parents in (sires, dams) if parents is not None and at >= 0]
        total = int(sizes.sum())
        mean = total / sizes.size if sizes.size else None
        sd = float(sizes.std(ddof=1)) if sizes.size > 1 else None
        largest = int(sizes[at]) if names else None
        rows.append((family, sizes.size, total, mean, sd, largest, " × ".join(names) or None))
    kinds = (pl.String, pl.Int64, pl.Int64, pl.Float64, pl.Float64, pl.Int64, pl.String)
    columns = ("family", "families", "offspring", "mean", "sd", "largest", "parents")
    return pl.DataFrame(rows, schema=dict(zip(columns, kinds, strict=True)), orient="row")


def family_size_distribution(pedigree: Pedigree) -> pl.DataFrame:
    """How many families there are of each size: ``family``, ``size``, ``families``; sizes that occur, ascending."""
    parts = []
    for family, (sizes, _, _) in zip(FAMILIES, _families(pedigree), strict=True):
        size, number = np.unique(sizes, return_counts=True)
        parts.append(
            pl.DataFrame(
                {"family": [family] * size.size, "size": size, "families": number},
                schema={"family": pl.String, "size": pl.Int64, "families": pl.Int64},
            )
        )
    return pl.concat(parts)


def _families(
    pedigree: Pedigree,
) -> list[tuple[NDArray[np.int64], NDArray[np.int64] | None, NDArray[np.int64] | None]]:
    """Sizes of the families of each kind, with their sires and dams."""
    sire, dam, n = pedigree.sire, pedigree.dam, len(pedigree)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64] | None, NDArray[np.int64] | None]] = []
    for role, parent in enumerate((sire, dam)):
        count = np.bincount(parent[parent >= 0], minlength=n)
        parents = np.flatnonzero(count)
        found.append((count[parents], None if role else parents, parents if role else None))
    both = np.flatnonzero((sire >= 0) & (dam >= 0))
    pair, number = np.unique(sire[both].astype(np.int64) * n + dam[both], return_counts=True)
    found.append((number, pair // n, pair % n))
    return found


def parents_by_year(pedigree: Pedigree) -> pl.DataFrame:
    """Parents of each birth year's animals, and what became of those born in it.

    Returns
    -------
    polars.DataFrame
        ``birth_year``; ``animals`` born; ``sires`` and ``dams`` that they have, ``offspring_per_sire``,
        ``offspring_per_dam``; ``males`` and ``females`` born (by recorded sex) and the shares of them that
        became parents, ``males_selected``, ``females_selected``, null where there is none. Empty without births.
    """
    years = pedigree.birth_years()
    born = np.flatnonzero(years >= 0) if years is not None else np.empty(0, dtype=np.int64)
    sex = np.zeros(len(pedigree), dtype=np.int8) if pedigree.sex is None else pedigree.sex
    frame = pl.DataFrame(
        {
            "birth_year": np.empty(0, dtype=np.int32) if years is None else years[born],
            "sire": pedigree.sire[born],
            "dam": pedigree.dam[born],
            "sex": sex[born],
            "used": parents_of_some(pedigree)[born],
        }
    )
    counts = {}
    for role in ("sire", "dam"):
        known = pl.col(role).filter(pl.col(role) >= 0)
        counts[f"{role}s"] = known.n_unique().cast(pl.Int64)
        counts[f"offspring_per_{role}"] = known.len() / known.n_unique()
    for code, name in ((1, "males"), (2, "females")):
        counts[name] = (pl.col("sex") == code).sum().cast(pl.Int64)
        counts[f"{name}_selected"] = pl.col("used").filter(pl.col("sex") == code).mean()
    table = frame.lazy().group_by("birth_year").agg(pl.len().cast(pl.Int64).alias("animals"), **counts).collect()
    per_parent = pl.col("offspring_per_sire", "offspring_per_dam").fill_nan(None)
    return table.with_columns(per_parent).sort("birth_year")
