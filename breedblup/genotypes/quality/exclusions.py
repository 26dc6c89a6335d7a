"""The list of animals and markers that were excluded once and stay so."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from breedblup.errors import GenotypeError, name_some
from breedblup.frames import as_table
from breedblup.genotypes.quality.workspace import Workspace

EXCLUSIONS = {"kind": pl.String, "name": pl.String, "why": pl.String}
"""Columns of the list: ``animal`` or ``marker``, its name, the reason."""


def listed_exclusions(given: Any) -> pl.DataFrame:
    """The list as it was given, checked; a column of reasons may be lacking."""
    if given is None:
        return pl.DataFrame(schema=EXCLUSIONS)
    table = as_table(given, "exclusions")
    kinds, names = table.text("kind"), table.text("name")
    wrong = (~kinds.is_in(["animal", "marker"]).fill_null(False) | names.is_null()).to_numpy()
    if wrong.any():
        pairs = dict.fromkeys((kinds[row], names[row]) for row in np.flatnonzero(wrong).tolist())
        found = "; ".join(f"kind {name_some([kind])}, name {name_some([name])}" for kind, name in list(pairs)[:3])
        raise GenotypeError(
            f"{table.places(np.flatnonzero(wrong))}: an exclusion needs a kind, 'animal' or 'marker', and a name, "
            f"found {found} -> correct the rows"
        )
    why = table.text("why") if "why" in table.frame.columns else pl.Series([None] * len(names), dtype=pl.String)
    frame = pl.DataFrame({"kind": kinds, "name": names, "why": why.fill_null("listed")})
    return frame.select(*EXCLUSIONS).unique(["kind", "name"], keep="first", maintain_order=True)


def exclude_listed(work: Workspace, listed: pl.DataFrame) -> None:
    """Leave out what the list names; names that are not here stay on it, and are counted."""
    absent = 0
    for kind, names in (("animals", work.genotypes.ids), ("markers", work.genotypes.markers["marker"])):
        wanted = listed.filter(pl.col("kind") == kind.removesuffix("s"))["name"]
        numbers = names.is_in(wanted.implode()).arg_true().to_numpy()
        absent += int((~wanted.is_in(names.implode())).sum())
        work.apply(kind, numbers, "on the exclusion list", np.full(numbers.size, np.nan), np.nan, "exclude")
    if absent:
        work.notes.append(f"{absent:,} of the exclusion list are not among these genotypes; they stay on the list")
    if listed.height:
        work.end_step("exclusion list")


def merged_exclusions(listed: pl.DataFrame, work: Workspace) -> pl.DataFrame:
    """The list with what this control excluded."""
    parts = [listed]
    for kind in ("animal", "marker"):
        found = work.table(f"{kind}s").filter(pl.col("outcome") == "excluded")
        parts.append(found.select(pl.lit(kind).alias("kind"), pl.col(kind).alias("name"), "why"))
    return pl.concat(parts).unique(["kind", "name"], keep="first", maintain_order=True)
