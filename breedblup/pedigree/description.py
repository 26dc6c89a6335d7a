"""All that describes a pedigree, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from breedblup.pedigree.birth_years import inbreeding_by_year
from breedblup.pedigree.completeness import completeness_by_depth, generations_of
from breedblup.pedigree.contributions import ancestor_contributions, founder_contributions
from breedblup.pedigree.families import family_size_distribution, family_sizes, parents_by_year
from breedblup.pedigree.intervals import generation_intervals, generation_intervals_by_year, mean_of_paths, paths_known
from breedblup.pedigree.population_size import effective_population_sizes
from breedblup.pedigree.reference import Reference, ReferenceChoice, reference_population
from breedblup.pedigree.summary import coefficient, percent

if TYPE_CHECKING:
    from breedblup.pedigree.pedigree import Pedigree

SHOWN_YEARS = 5
SHOWN_GENERATIONS = 6


@dataclass(frozen=True, eq=False)
class PedigreeDescription:
    """Numbers and tables that describe a pedigree; what is said of ancestry is that of the reference population.

    Attributes
    ----------
    name
        Of the pedigree.
    reference
        The animals described, and how they were chosen.
    animals, founders, half_founders
        In the whole pedigree: all, those without known parents, those with one.
    most_generations, full_generations, equivalent_generations
        Of the reference: the largest number of generations traced; the mean number back all of whose ancestors are known;
        the mean of complete equivalent generations.
    inbreeding, largest_inbreeding, inbred
        Of the reference: mean F, largest F, share with F > 0.
    coancestry
        Mean over all pairs of the reference, of each animal with itself included.
    effective_founders, effective_ancestors, founder_genomes
        Effective numbers; see `FounderContributions` and `AncestorContributions`.
    ancestor_bounds
        Bounds of the effective number of ancestors: twice the same unless the choice of ancestors ended early.
    generation_interval
        Mean of the four paths in years (`generation_interval`); None where no age is known.
    tables
        By name: ``birth_years``, ``completeness``, ``effective_size``, ``founders``, ``ancestors``, ``generation_intervals``,
        ``generation_intervals_by_year``, ``family_sizes``, ``family_size_distribution``, ``parents_by_year``.
    """

    name: str
    reference: Reference
    animals: int
    founders: int
    half_founders: int
    most_generations: int
    full_generations: float
    equivalent_generations: float
    inbreeding: float
    largest_inbreeding: float
    inbred: float
    coancestry: float
    effective_founders: float
    effective_ancestors: float
    ancestor_bounds: tuple[float, float]
    founder_genomes: float
    generation_interval: float | None
    tables: Mapping[str, pl.DataFrame] = field(repr=False)

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    __repr__ = __str__


def describe(
    pedigree: Pedigree,
    *,
    reference: ReferenceChoice = None,
    years: tuple[int, int] | None = None,
    sampled: int | None = 100,
    seed: int = 1,
) -> PedigreeDescription:
    """Describe a pedigree: completeness, inbreeding, effective numbers and sizes, generation intervals, families.

    Numbers are exact, save that the rate of coancestry of individual pairs comes from ``sampled`` animals of the reference
    where it has more, and that ancestors are bounded where choosing all would take minutes (`ancestor_contributions`).

    Parameters
    ----------
    reference
        Ids, or the first and last birth year; by default the last generation interval (`reference_population`).
    years, sampled, seed
        Of the effective population sizes (`effective_population_sizes`).

    Raises
    ------
    PedigreeError
        If it is a pedigree of sires, or the reference is unknown or empty.
    """
    chosen = reference_population(pedigree, reference)
    generations = generations_of(pedigree)
    founders = founder_contributions(pedigree, chosen)
    ancestors = ancestor_contributions(pedigree, chosen)
    intervals = generation_intervals(pedigree)
    f = pedigree.inbreeding[chosen.rows]
    known = (pedigree.sire >= 0).astype(np.int8) + (pedigree.dam >= 0)
    tables = {
        "birth_years": inbreeding_by_year(pedigree),
        "completeness": completeness_by_depth(pedigree, chosen),
        "effective_size": effective_population_sizes(pedigree, chosen, years=years, sampled=sampled, seed=seed),
        "founders": founders.table,
        "ancestors": ancestors.table,
        "generation_intervals": intervals,
        "generation_intervals_by_year": generation_intervals_by_year(pedigree),
        "family_sizes": family_sizes(pedigree),
        "family_size_distribution": family_size_distribution(pedigree),
        "parents_by_year": parents_by_year(pedigree),
    }
    return PedigreeDescription(
        name=pedigree.name,
        reference=chosen,
        animals=len(pedigree),
        founders=int(np.count_nonzero(known == 0)),
        half_founders=int(np.count_nonzero(known == 1)),
        most_generations=int(generations.most[chosen.rows].max()),
        full_generations=float(generations.full[chosen.rows].mean()),
        equivalent_generations=float(generations.equivalent[chosen.rows].mean()),
        inbreeding=float(f.mean()),
        largest_inbreeding=float(f.max()),
        inbred=float(np.mean(f > 0)),
        coancestry=1.0 / (2.0 * founders.genomes),
        effective_founders=founders.effective,
        effective_ancestors=ancestors.effective,
        ancestor_bounds=ancestors.bounds,
        founder_genomes=founders.genomes,
        generation_interval=mean_of_paths(intervals),
        tables=MappingProxyType(tables),
    )


def _lines(found: PedigreeDescription) -> list[str]:
    tables = found.tables
    return [
        f"Description of {found.name}: {found.animals:,} animals, {found.founders:,} founders, "
        f"{found.half_founders:,} with one parent known",
        f"  reference: {found.reference}",
        f"  generations: complete equivalents {found.equivalent_generations:.2f}, full {found.full_generations:.2f}, "
        f"most {found.most_generations}",
        *_completeness_lines(tables["completeness"]),
        f"  inbreeding mean {coefficient(found.inbreeding)}, largest {coefficient(found.largest_inbreeding)}, "
        f"inbred {percent(found.inbred)}; mean coancestry {coefficient(found.coancestry)}",
        *_year_lines(tables["birth_years"]),
        *_origin_lines(found),
        "  effective population size",
        *_size_lines(tables["effective_size"]),
        *_interval_lines(tables["generation_intervals"], found.generation_interval),
        *_family_lines(tables["family_sizes"]),
    ]


def _completeness_lines(table: pl.DataFrame) -> list[str]:
    if table.is_empty():
        return ["  ancestors known: none"]
    head = table.head(SHOWN_GENERATIONS)
    shares = ", ".join(f"{g}: {percent(share)}" for g, share, _ in head.iter_rows())
    depth, _, index = head.row(min(5, head.height) - 1)
    return [
        f"  ancestors known by generation {shares}",
        f"  index of completeness {index:.3f} over {depth} generations",
    ]


def _year_lines(table: pl.DataFrame) -> list[str]:
    if table.is_empty():
        return []
    rows = table.tail(SHOWN_YEARS).select("birth_year", "inbreeding").iter_rows()
    return [f"  inbreeding by birth year {', '.join(f'{year}: {coefficient(f)}' for year, f in rows)}"]


def _origin_lines(found: PedigreeDescription) -> list[str]:
    founders, ancestors = found.tables["founders"], found.tables["ancestors"]
    low, high = found.ancestor_bounds
    explained = float(ancestors["cumulated"][-1])
    chosen = f"ancestors that explain all genes {ancestors.height:,}, effective {low:.1f}"
    if low < high:
        chosen = f"{ancestors.height:,} ancestors explain {percent(explained)} of the genes, effective {low:.1f} to {high:.1f}"
    half = 1 + ancestors.filter(pl.col("cumulated") < 0.5).height
    return [
        f"  founders (with unknown parents beside a known one) {founders.height:,}, effective {found.effective_founders:.1f}; "
        f"genome equivalents {found.founder_genomes:.1f}",
        f"  {chosen}" + (f"; {half:,} explain half" if explained >= 0.5 else ""),
    ]


def _size_lines(table: pl.DataFrame) -> list[str]:
    lines = []
    for method, based_on, rate, size, se in table.iter_rows():
        if size is None:
            result = "not known" if rate is None else f"none, the rate is {rate:.2g}"
        else:
            result = f"{size:.1f}" + ("" if se is None else f" ± {se:.1f}")
        lines.append(f"    {method:<24} {result}  ({based_on})")
    return lines


def _interval_lines(table: pl.DataFrame, interval: float | None) -> list[str]:
    if interval is None:
        return ["  generation intervals are not known"]
    rows = table.filter(pl.col("offspring") == "parents").select("path", "mean").iter_rows()
    shown = paths_known(table)
    paths = [f"{path} {mean:.2f}" for path, mean in rows if path in shown]
    return [f"  generation interval {interval:.2f} years: {', '.join(paths)}"]


def _family_lines(table: pl.DataFrame) -> list[str]:
    rows = table.filter(pl.col("families") > 0).iter_rows(named=True)
    parts = [f"{row['family']} {row['families']:,}, mean {row['mean']:.1f}, largest {row['largest']:,}" for row in rows]
    return [f"  families: {'; '.join(parts)}"] if parts else ["  families: none"]
