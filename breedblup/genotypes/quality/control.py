"""The checks in a row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError
from breedblup.genotypes.genotypes import Genotypes, refuse_other_than_genotypes
from breedblup.genotypes.quality.animals import check_animal_calls
from breedblup.genotypes.quality.duplicates import check_duplicates
from breedblup.genotypes.quality.exclusions import exclude_listed, listed_exclusions, merged_exclusions
from breedblup.genotypes.quality.markers import (
    check_frequencies,
    check_marker_calls,
    exclude_not_autosomal,
    table_of_markers,
)
from breedblup.genotypes.quality.mendelian import CONFLICTS, check_parents
from breedblup.genotypes.quality.report import QualityResult
from breedblup.genotypes.quality.sex import check_sex, known_sexes, refuse_other_than_pedigree
from breedblup.genotypes.quality.thresholds import STANDARD, GenotypeQuality
from breedblup.genotypes.quality.workspace import STEPS, Workspace
from breedblup.pedigree import Pedigree


def check_genotypes(
    genotypes: Genotypes,
    quality: GenotypeQuality = STANDARD,
    *,
    pedigree: Pedigree | None = None,
    sex: Any = None,
    exclusions: Any = None,
) -> QualityResult:
    """Check calls, animals and markers, and leave out what fails.

    In this order: the exclusion list; call rate of markers; call rate of animals, at the markers left; one allele only, rare
    alleles and Hardy-Weinberg proportions, among the animals left; sex; duplicates; conflicts with recorded parents,
    of animals, then of markers over the families without conflict; at last markers that are not on autosomes. Each
    step sees what the steps before it kept.

    Parameters
    ----------
    pedigree
        Gives recorded parents, sexes and identical twins. Animals that are not in it are not compared with parents.
    sex
        Recorded sexes in the order of the animals: 0 unknown, 1 male, 2 female. By default those of the pedigree,
        and by the role as a parent where it has none.
    exclusions
        Data frame of what was excluded once: ``kind`` (animal or marker), ``name``, and ``why`` if known.

    Raises
    ------
    GenotypeError
        If nothing is left after a check, a check whose severity is ``stop`` finds something, or sexes or exclusions
        cannot be read; if it is given something else than genotypes.
    ModelError
        If the pedigree is none.
    """
    refuse_other_than_genotypes(genotypes, "check_genotypes")
    refuse_other_than_pedigree(pedigree, "check_genotypes")
    work = Workspace.of(genotypes, quality)
    recorded = known_sexes(genotypes, sex, pedigree)
    listed = listed_exclusions(exclusions)
    exclude_listed(work, listed)
    check_marker_calls(work)
    rates, heterozygosity = check_animal_calls(work)
    check_frequencies(work)
    sexes = check_sex(work, recorded)
    duplicates = check_duplicates(work, pedigree)
    conflicts, of_markers = pl.DataFrame(schema=CONFLICTS), None
    if pedigree is None:
        work.notes.append("no pedigree was given: calls are not compared with those of parents")
    else:
        _note_unknown(work, pedigree)
        conflicts, of_markers = check_parents(work, pedigree)
    exclude_not_autosomal(work)
    found = {kind: work.table(kind) for kind in ("animals", "markers")}
    kept = work.kept()
    animals = pl.DataFrame({"animal": genotypes.ids, "call_rate": rates, "heterozygosity": heterozygosity})
    return QualityResult(
        kept,
        quality,
        _frequencies(work, kept),
        _of(found["animals"], "excluded"),
        _of(found["markers"], "excluded"),
        _of(found["animals"], "reported"),
        _of(found["markers"], "reported"),
        conflicts,
        duplicates,
        sexes,
        pl.DataFrame(work.steps, schema=STEPS, orient="row"),
        animals.fill_nan(None),
        _with_conflicts(table_of_markers(work), of_markers),
        merged_exclusions(listed, work),
        tuple(work.notes),
    )


def check_diagonal(result: QualityResult, diagonal: NDArray[np.float64]) -> QualityResult:
    """Check the diagonal of G, which is made of what a control kept; where asked for, leave the outliers out.

    Parameters
    ----------
    diagonal
        Of G, in the order of ``result.genotypes``.

    Raises
    ------
    GenotypeError
        If the number of values differs, nothing is left, or the severity of ``g_diagonal`` is ``stop`` and there are
        outliers.
    """
    values = np.asarray(diagonal, dtype=np.float64)
    if values.shape != (len(result.genotypes),):
        raise GenotypeError(
            f"{result.genotypes.source}: the diagonal of G has {values.size:,} values, {len(result.genotypes):,} animals are "
            "kept -> give one for each of result.genotypes.ids"
        )
    work = Workspace.of(result.genotypes, result.quality)
    low, high = result.quality.g_diagonal
    severity = result.quality.severities.g_diagonal
    for outside, threshold, why in (
        (values < low, low, "diagonal of G too small"),
        (values > high, high, "diagonal of G too large"),
    ):
        numbers = np.flatnonzero(outside & work.animals)
        work.apply("animals", numbers, why, values[numbers], threshold, severity)
    work.end_step("diagonal of G")
    found, kept = work.table("animals"), work.kept()
    return replace(
        result,
        genotypes=kept,
        frequencies=result.frequencies if result.quality.frequencies == "all" else _frequencies(work, kept),
        excluded_animals=pl.concat([result.excluded_animals, _of(found, "excluded")]),
        reported_animals=pl.concat([result.reported_animals, _of(found, "reported")]),
        steps=pl.concat([result.steps, pl.DataFrame(work.steps[1:], schema=STEPS, orient="row")]),
        exclusions=merged_exclusions(result.exclusions, work),
        diagonal=pl.DataFrame({"animal": result.genotypes.ids, "diagonal": values}),
    )


def _frequencies(work: Workspace, kept: Genotypes) -> NDArray[np.float64]:
    """Frequencies at the markers that are kept, of all animals or of those that are kept."""
    if work.quality.frequencies == "all":
        return work.genotypes.frequencies[work.markers]
    return kept.frequencies.copy()


def _of(found: pl.DataFrame, outcome: str) -> pl.DataFrame:
    return found.filter(pl.col("outcome") == outcome).drop("outcome")


def _note_unknown(work: Workspace, pedigree: Pedigree) -> None:
    """Count genotyped animals that the pedigree does not know."""
    unknown = int((pedigree.positions_of(work.kept().ids) < 0).sum())
    if unknown:
        work.notes.append(f"{unknown:,} genotyped animals are not in {pedigree.name}: not compared with parents")


def _with_conflicts(markers: pl.DataFrame, rates: pl.DataFrame | None) -> pl.DataFrame:
    """The table of markers with their Mendelian conflicts, null where none were counted."""
    if rates is None:
        rates = pl.DataFrame(
            schema={"marker": pl.String, "compared": pl.Int64, "conflicts": pl.Int64, "rate": pl.Float64}
        )
    named = rates.rename(
        {"compared": "families_compared", "conflicts": "families_in_conflict", "rate": "conflict_rate"}
    )
    return markers.join(named, on="marker", how="left", maintain_order="left")
