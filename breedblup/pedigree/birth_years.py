"""Inbreeding and known ancestry by birth year."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from breedblup.pedigree.completeness import generations_of

if TYPE_CHECKING:
    from breedblup.pedigree.pedigree import Pedigree


def inbreeding_by_year(pedigree: Pedigree) -> pl.DataFrame:
    """Inbreeding and generations known of the animals born in each year.

    Returns
    -------
    polars.DataFrame
        ``birth_year``, ``animals``, ``inbreeding`` (mean F), ``largest``, ``inbred`` (share with F > 0),
        ``inbreeding_of_inbred`` (their mean, null where there is none), ``equivalent_generations``,
        ``full_generations`` (means) and ``most_generations``. Animals of unknown birth are left out; empty without births.

    Raises
    ------
    PedigreeError
        If it is a pedigree of sires.
    """
    generations = generations_of(pedigree)
    years = pedigree.birth_years()
    born = np.flatnonzero(years >= 0) if years is not None else np.empty(0, dtype=np.int64)
    frame = pl.DataFrame(
        {
            "birth_year": np.empty(0, dtype=np.int32) if years is None else years[born],
            "f": pedigree.inbreeding[born],
            "equivalent": generations.equivalent[born],
            "full": generations.full[born],
            "most": generations.most[born],
        }
    )
    f = pl.col("f")
    grouped = frame.lazy().group_by("birth_year").agg(
        pl.len().cast(pl.Int64).alias("animals"),
        f.mean().alias("inbreeding"),
        f.max().alias("largest"),
        (f > 0).mean().alias("inbred"),
        f.filter(f > 0).mean().alias("inbreeding_of_inbred"),
        pl.col("equivalent").mean().alias("equivalent_generations"),
        pl.col("full").mean().alias("full_generations"),
        pl.col("most").max().alias("most_generations"),
    )  # fmt: skip
    return grouped.collect().sort("birth_year")
