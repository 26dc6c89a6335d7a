"""`QualityResult`: what is kept, who was left out and why, and what every check found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import counted
from breedblup.genotypes.genotypes import Genotypes
from breedblup.genotypes.quality.thresholds import GenotypeQuality


@dataclass(frozen=True, repr=False, eq=False)
class QualityResult:
    """What a quality control made of genotypes.

    Attributes
    ----------
    genotypes
        The animals and markers that are kept; the store is shared with what was read.
    quality
        The thresholds.
    frequencies
        Of the counted allele, at the markers that are kept: among the animals that are kept, or as read
        (``quality.frequencies``).
    excluded_animals, excluded_markers
        Who, why, the value found and its threshold, in the order of the steps; each once, by the first check that it failed.
    reported_animals, reported_markers
        The same of what was found by checks whose severity is ``report``.
    conflicts
        Of every animal with its genotyped parents: animal, parent, role (sire, dam, both), markers compared and in
        conflict, rate, and whether it passes the threshold.
    duplicates
        Pairs: animal, other, markers compared, share identical, whether the pedigree calls them identical twins.
    sexes
        Of every animal that is kept, where there are markers of X: recorded, found, heterozygosity relative to that expected,
        markers, conflict.
    steps
        Animals and markers that are left after each step.
    animals
        Of every animal read: call rate and heterozygosity at the markers with enough calls (null where it was
        excluded before).
    markers
        Of every marker read: call rate, frequencies, heterozygosity, Hardy-Weinberg, conflicts with parents.
    exclusions
        The list that was given, and all that were excluded now: kind, name, why. It is what the next control takes.
    diagonal
        Animal and diagonal of G, where one was checked (`check_diagonal`).
    notes
        What else has to be said.
    """

    genotypes: Genotypes
    quality: GenotypeQuality
    frequencies: NDArray[np.float64]
    excluded_animals: pl.DataFrame
    excluded_markers: pl.DataFrame
    reported_animals: pl.DataFrame
    reported_markers: pl.DataFrame
    conflicts: pl.DataFrame
    duplicates: pl.DataFrame
    sexes: pl.DataFrame
    steps: pl.DataFrame
    animals: pl.DataFrame
    markers: pl.DataFrame
    exclusions: pl.DataFrame
    notes: tuple[str, ...]
    diagonal: pl.DataFrame | None = None

    def __post_init__(self) -> None:
        self.frequencies.flags.writeable = False

    def __repr__(self) -> str:
        return "\n".join(quality_lines(self))


def quality_lines(result: QualityResult) -> list[str]:
    """What a person reads of it: counts after each step, reasons, conflicts."""
    lines = [f"Quality of {result.genotypes.source}"]
    width = max(len(step) for step in result.steps["step"])
    lines += [f"  {step:<{width}}  {n:>9,} animals  {m:>9,} markers" for step, n, m in result.steps.iter_rows()]
    for outcome in ("excluded", "reported"):
        for kind in ("animals", "markers"):
            table: pl.DataFrame = getattr(result, f"{outcome}_{kind}")
            for why, number in table["why"].value_counts(sort=True).sort("why").iter_rows():
                lines.append(f"  {outcome} {kind}: {number:,}, {why}")
    wrong = result.conflicts.filter(pl.col("conflict"))
    if result.conflicts.height:
        by_role = ", ".join(
            f"{wrong.filter(pl.col('role') == role).height:,} with the {role}" for role in ("sire", "dam")
        )
        lines.append(f"  of {result.conflicts.height:,} comparisons with parents, in conflict: {by_role}, "
                     f"{wrong.filter(pl.col('role') == 'both').height:,} with both together")  # fmt: skip
    apart = result.duplicates.filter(~pl.col("twins"))
    if apart.height:
        lines.append(f"  duplicates: {counted(apart.height, 'pair')}")
    return lines + [f"  {note}" for note in result.notes]
