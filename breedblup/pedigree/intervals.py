"""Ages of parents at the birth of their offspring, and generation intervals by path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    from breedblup.pedigree.pedigree import Pedigree

DAYS_IN_YEAR = 365.25

PATHS = ("sire to son", "sire to daughter", "dam to son", "dam to daughter")

WITHOUT_SEX = ("sire to offspring", "dam to offspring")

_LINKS = {"parent": pl.String, "sex": pl.Int8, "used": pl.Boolean, "birth_year": pl.Int32, "age": pl.Float64}


def sexes_by_role(pedigree: Pedigree) -> NDArray[np.int8]:
    """Sex as recorded, else by role: 1 male, 2 female, 0 where an animal is no parent, or both sire and dam."""
    role = np.zeros(len(pedigree), dtype=np.int8)
    role[pedigree.sire[pedigree.sire >= 0]] |= 1
    role[pedigree.dam[pedigree.dam >= 0]] |= 2
    role[role == 3] = 0
    if pedigree.sex is None:
        return role
    return np.where(pedigree.sex > 0, pedigree.sex, role)


def parents_of_some(pedigree: Pedigree) -> NDArray[np.bool_]:
    """Which animals have offspring here."""
    parents = np.zeros(len(pedigree), dtype=np.bool_)
    for parent in (pedigree.sire, pedigree.dam):
        parents[parent[parent >= 0]] = True
    return parents


def generation_intervals(pedigree: Pedigree) -> pl.DataFrame:
    """Ages of parents in years at the birth of their offspring, by path.

    Returns
    -------
    polars.DataFrame
        ``path``; ``offspring``: ``parents`` for those that became parents themselves, whose ages are the generation intervals,
        and ``all``; ``number``, ``mean``, ``sd``, ``smallest``, ``largest``. Paths of the sex of the offspring (recorded, else
        by its role), and ``sire to offspring``, ``dam to offspring`` whatever its sex. Births as years give ages in whole
        years. A parent born after its offspring is left out. Empty where no age is known.
    """
    links = _links(pedigree)
    return _summed(links, []).sort(
        pl.col("path").replace_strict({path: k for k, path in enumerate(PATHS)}, default=len(PATHS)),
        pl.col("path") == "dam to offspring",
        pl.col("offspring") == "all",
    )


def generation_intervals_by_year(pedigree: Pedigree) -> pl.DataFrame:
    """`generation_intervals` by birth year of the offspring: ``birth_year`` and the same columns."""
    return _summed(_links(pedigree), ["birth_year"]).sort("birth_year", "path", "offspring")


def generation_interval(pedigree: Pedigree) -> float | None:
    """Mean of the generation intervals of the four paths, in years, or of those that are known; None where no age is.

    Where the sex of no offspring is known, as among plants that are sires and dams, the mean of the paths of sires and dams.
    """
    return mean_of_paths(generation_intervals(pedigree))


def mean_of_paths(intervals: pl.DataFrame) -> float | None:
    """The same from the table of `generation_intervals`."""
    used = (pl.col("offspring") == "parents") & pl.col("path").is_in(paths_known(intervals))
    means = intervals.filter(used)["mean"].to_list()
    return sum(means) / len(means) if means else None


def paths_known(intervals: pl.DataFrame) -> tuple[str, ...]:
    """The four paths, or those without the sex of offspring where it is not known of any that became a parent."""
    four = intervals.filter((pl.col("offspring") == "parents") & pl.col("path").is_in(PATHS))
    return WITHOUT_SEX if four.is_empty() else PATHS


def _links(pedigree: Pedigree) -> pl.DataFrame:
    """One row for each parent and offspring whose births are known."""
    if pedigree.birth is None:
        return pl.DataFrame(schema=_LINKS)
    birth = pedigree.birth
    unit = DAYS_IN_YEAR if birth.dtype == pl.Date else 1.0
    born = birth.to_physical().cast(pl.Float64).fill_null(float("nan")).to_numpy() / unit
    years = pedigree.birth_years()
    assert years is not None
    sex, used = sexes_by_role(pedigree), parents_of_some(pedigree)
    parts = []
    for name, parent in (("sire", pedigree.sire), ("dam", pedigree.dam)):
        age = np.where(parent >= 0, born - born[parent], np.nan)
        rows = np.flatnonzero(age >= 0)
        columns = {"sex": sex[rows], "used": used[rows], "birth_year": years[rows], "age": age[rows]}
        part = pl.DataFrame(columns, schema={key: kind for key, kind in _LINKS.items() if key != "parent"})
        parts.append(part.select(pl.lit(name).alias("parent"), pl.all()))
    return pl.concat(parts)


def _summed(links: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Ages by path, for all offspring and for those that became parents."""
    child = pl.col("sex").replace_strict({1: "son", 2: "daughter"}, default=None, return_dtype=pl.String)
    of_sex = pl.concat_str(pl.col("parent"), pl.lit(" to "), child)
    whatever = pl.concat_str(pl.col("parent"), pl.lit(" to offspring"))
    age = pl.col("age")
    found = []
    for path in (of_sex, whatever):
        for what, chosen in (("parents", pl.col("used")), ("all", pl.lit(True))):
            grouped = links.lazy().filter(chosen).group_by(*by, "parent", *(["sex"] if path is of_sex else []))
            table = grouped.agg(
                pl.len().cast(pl.Int64).alias("number"),
                age.mean().alias("mean"),
                age.std().alias("sd"),
                age.min().alias("smallest"),
                age.max().alias("largest"),
            )
            named = table.with_columns(path=path, offspring=pl.lit(what)).filter(pl.col("path").is_not_null())
            found.append(named.select(*by, "path", "offspring", "number", "mean", "sd", "smallest", "largest"))
    return pl.concat(found).collect()
