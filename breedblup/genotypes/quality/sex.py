"""Sex by heterozygosity at markers of the X chromosome, against that recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, ModelError, counted
from breedblup.genotypes.genotypes import Genotypes
from breedblup.genotypes.quality.workspace import Workspace
from breedblup.kernels.homozygosity import add_weights_of_calls
from breedblup.pedigree import Pedigree

UNKNOWN, MALE, FEMALE = 0, 1, 2

FEWEST_FLAGGED, LEAST_SHARE, TIMES_MORE = 10, 0.2, 5
"""Markers in question on a chromosome, their share of it, and how often that of the others, for a word on it."""

WORDS = np.array(["unknown", "male", "female"])

SEXES = {
    "animal": pl.String,
    "recorded": pl.String,
    "found": pl.String,
    "heterozygosity": pl.Float64,
    "markers": pl.Int64,
    "conflict": pl.Boolean,
}
"""Columns of the table of sexes: heterozygosity relative to that expected, X markers with a call."""


def refuse_other_than_pedigree(value: object, function: str) -> None:
    """`ModelError` unless a value is a `Pedigree`, or None."""
    if value is not None and not isinstance(value, Pedigree):
        raise ModelError(
            f"{function}: pedigree is a {type(value).__name__} -> read it with read_pedigree, or leave it out"
        )


def known_sexes(genotypes: Genotypes, sex: Any, pedigree: Pedigree | None) -> NDArray[np.int8]:
    """0 unknown, 1 male, 2 female: as given, else from the pedigree, else by the role as a parent."""
    n = len(genotypes)
    if sex is not None:
        given = np.asarray(sex)
        if given.shape != (n,) or not np.isin(given, (UNKNOWN, MALE, FEMALE)).all():
            raise GenotypeError(
                f"{genotypes.source}: sex needs {n:,} codes, 0 unknown, 1 male or 2 female, in the order of the animals "
                f"-> found {given.size:,} of them: {np.unique(given).tolist()[:5]}"
            )
        return given.astype(np.int8)
    known = np.zeros(n, dtype=np.int8)
    if pedigree is None:
        return known
    of_all = np.zeros(len(pedigree), dtype=np.int8) if pedigree.sex is None else pedigree.sex.copy()
    roles = [(pedigree.sire, MALE)] if pedigree.of_sires else [(pedigree.sire, MALE), (pedigree.dam, FEMALE)]
    for parents, code in roles:
        used = np.unique(parents[parents >= 0])
        of_all[used[of_all[used] == UNKNOWN]] = code
    at = pedigree.positions_of(genotypes.ids)
    known[at >= 0] = of_all[at[at >= 0]]
    return known


def check_sex(work: Workspace, recorded: NDArray[np.int8]) -> pl.DataFrame:
    """Tell sexes where there are markers of X; list animals recorded as the other."""
    quality = work.quality
    on_x = work.genotypes.markers["chromosome"].is_in(list(quality.x_chromosome)).fill_null(False).to_numpy()
    if not (on_x & work.markers).any():
        return pl.DataFrame(schema=SEXES)
    kept, numbers = work.kept(on_x), np.flatnonzero(work.animals)
    ratio, called = relative_heterozygosity(kept)
    low, high = quality.x_heterozygosity
    enough = called >= quality.fewest_x_markers
    found = np.where(enough & (ratio <= low), MALE, np.where(enough & (ratio >= high), FEMALE, UNKNOWN))
    said = recorded[numbers]
    conflict = (found != UNKNOWN) & (said != UNKNOWN) & (found != said)
    for code, threshold in ((MALE, low), (FEMALE, high)):
        wrong = conflict & (found == code)
        why = f"recorded {WORDS[3 - code]}, {WORDS[code]} by heterozygosity of X"
        work.apply("animals", numbers[wrong], why, ratio[wrong], threshold, quality.severities.sex)
    work.end_step("sex")
    frame = {
        "animal": kept.ids,
        "recorded": WORDS[said],
        "found": WORDS[found],
        "heterozygosity": ratio,
        "markers": called,
        "conflict": conflict,
    }
    return pl.DataFrame(frame, schema=SEXES).with_columns(pl.col("heterozygosity").fill_nan(None))


def note_sex_chromosome(work: Workspace, numbers: NDArray[np.int64], flagged: NDArray[np.bool_], what: str) -> None:
    """Name the chromosome that more than half of the markers in question (``flagged``) lie on: X as an autosome looks so."""
    names = work.genotypes.markers["chromosome"].gather(numbers)
    table = (
        pl.DataFrame({"chromosome": names, "flagged": flagged}).group_by("chromosome").agg(pl.len(), pl.sum("flagged"))
    )
    if table.height < 2:
        return
    name, markers, found = table.sort("flagged", descending=True).row(0)
    whole = int(flagged.sum())
    most = found >= FEWEST_FLAGGED and 2 * found > whole
    elsewhere = (whole - found) / (flagged.size - markers)
    if name in (None, "0") or not most or found / markers < max(LEAST_SHARE, TIMES_MORE * elsewhere):
        return
    if not any(note.startswith(f"chromosome {name!r}: ") for note in work.notes):
        work.notes.append(
            f"chromosome {name!r}: {found:,} of {counted(whole, 'marker')} {what} lie on it, which has {markers:,}: it looks "
            f"like a sex chromosome -> add {name!r} to x_chromosome"
        )


def relative_heterozygosity(genotypes: Genotypes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Heterozygotes of each animal over those expected at its calls (NaN where none is), and its calls."""
    p = np.nan_to_num(genotypes.frequencies)
    weights = np.zeros((p.size, 4, 3))
    weights[:, 2, 0] = 1.0
    weights[:, (0, 2, 3), 1] = (2.0 * p * (1.0 - p))[:, None]
    weights[:, (0, 2, 3), 2] = 1.0
    sums = np.zeros((len(genotypes), 3))
    add_weights_of_calls(genotypes.packed, genotypes.rows, genotypes.places, weights, sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(sums[:, 1] > 0.0, sums[:, 0] / sums[:, 1], np.nan)
    return ratio, sums[:, 2].astype(np.int64)
