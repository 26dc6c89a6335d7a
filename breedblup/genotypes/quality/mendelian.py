"""Conflicts of calls with those of the recorded parents: of animals with a parent, with both, and of markers."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.genotypes.genotypes import Genotypes
from breedblup.genotypes.planes import of_rows, planes_by_block
from breedblup.genotypes.quality.sex import note_sex_chromosome
from breedblup.genotypes.quality.workspace import Workspace
from breedblup.kernels.mendelian import add_family_conflicts
from breedblup.pedigree import Pedigree

ROLES = ("sire", "dam", "both")

CONFLICTS = {
    "animal": pl.String,
    "parent": pl.String,
    "role": pl.String,
    "compared": pl.Int64,
    "conflicts": pl.Int64,
    "rate": pl.Float64,
    "conflict": pl.Boolean,
}
"""Columns of the table: markers compared and in conflict; whether their rate passes the threshold; ``both`` names no parent."""


@dataclass(frozen=True)
class FamilyCounts:
    """Families (animal, sire, dam by number, -1 without genotype): markers compared and in conflict (families × 3)."""

    families: NDArray[np.int32]
    compared: NDArray[np.int64]
    conflicts: NDArray[np.int64]
    marker_conflicts: NDArray[np.int64]
    marker_compared: NDArray[np.int64]

    @property
    def rates(self) -> NDArray[np.float64]:
        """Share of the markers compared that are in conflict (families × 3); 0 where none is compared."""
        return np.asarray(self.conflicts / np.maximum(self.compared, 1))


def genotyped_families(genotypes: Genotypes, pedigree: Pedigree) -> NDArray[np.int32]:
    """Animal, sire and dam by number among the genotypes, of the animals with a genotyped parent."""
    at = pedigree.positions_of(genotypes.ids)
    row = np.full(len(pedigree) + 1, -1, dtype=np.int32)
    known = np.flatnonzero(at >= 0)
    row[at[known]] = known
    families = np.full((known.size, 3), -1, dtype=np.int32)
    families[:, 0] = known
    families[:, 1] = row[pedigree.sire[at[known]]]
    if not pedigree.of_sires:
        families[:, 2] = row[pedigree.dam[at[known]]]
    return np.ascontiguousarray(families[(families[:, 1:] >= 0).any(axis=1)])


def count_conflicts(genotypes: Genotypes, families: NDArray[np.int32]) -> FamilyCounts:
    """Compare all families at all markers; planes are made of their members only."""
    compared, conflicts = np.zeros((2, len(families), 3), dtype=np.int64)
    of_markers = np.zeros((2, genotypes.shape[1]), dtype=np.int64)
    if len(families):
        members = np.unique(families[families >= 0])
        local = np.where(families >= 0, np.searchsorted(members, families), -1).astype(np.int32)
        for part, (first, second) in planes_by_block(of_rows(genotypes, members)):
            by_marker = np.zeros((numba.get_num_threads(), 2, 64 * first.shape[1]), dtype=np.int32)
            add_family_conflicts(first, second, local, compared, conflicts, by_marker)
            of_markers[:, part] = by_marker.sum(axis=0)[:, : part.stop - part.start]
    return FamilyCounts(families, compared, conflicts, of_markers[0], len(families) - of_markers[1])


def check_parents(work: Workspace, pedigree: Pedigree) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Judge animals against recorded parents, then markers over the families without conflict.

    Returns the table of pairs and trios, and the rates of markers: marker, compared, conflicts, rate.
    """
    quality = work.quality
    kept, numbers = work.kept(work.autosomal), np.flatnonzero(work.animals)
    counts = count_conflicts(kept, genotyped_families(kept, pedigree))
    pair, trio = quality.mendelian_errors_per_pair, quality.mendelian_errors_per_trio
    limits = np.array([pair, pair, trio])
    enough = counts.compared >= min(quality.fewest_compared, kept.shape[1])
    wrong = enough & (counts.rates > limits)
    table = conflict_table(kept, counts, wrong)
    blamed, values, by_both = to_blame(counts, wrong)
    for these, why, limit in (
        (~by_both, "Mendelian conflicts with parents", pair),
        (by_both, "Mendelian conflicts with both parents together", trio),
    ):
        work.apply("animals", numbers[blamed[these]], why, values[these], limit, quality.severities.mendelian)
    # over all families: with X among the autosomes, sons are in conflict with their sires
    disputed = counts.marker_conflicts > quality.mendelian_errors_per_marker * counts.marker_compared
    note_sex_chromosome(work, np.flatnonzero(work.markers & work.autosomal), disputed, "with Mendelian conflicts")
    rates = _marker_rates(kept, counts, np.asarray(wrong.any(axis=1)))
    rate = rates["rate"].fill_null(0.0).to_numpy()
    bad = np.flatnonzero(rate > quality.mendelian_errors_per_marker)
    at = np.flatnonzero(work.markers & work.autosomal)[bad]
    limit = quality.mendelian_errors_per_marker
    work.apply(
        "markers", at, "Mendelian conflicts at the marker", rate[bad], limit, quality.severities.mendelian_marker
    )
    work.end_step("Mendelian conflicts")
    return table, rates


def _marker_rates(genotypes: Genotypes, counts: FamilyCounts, wrong: NDArray[np.bool_]) -> pl.DataFrame:
    """Conflicts of each marker over the families that are right."""
    without = count_conflicts(genotypes, np.ascontiguousarray(counts.families[wrong]))
    compared = counts.marker_compared - without.marker_compared
    conflicts = counts.marker_conflicts - without.marker_conflicts
    rate = np.where(compared > 0, conflicts / np.maximum(compared, 1), np.nan)
    names = genotypes.markers["marker"]
    frame = pl.DataFrame({"marker": names, "compared": compared, "conflicts": conflicts, "rate": rate})
    return frame.with_columns(pl.col("rate").fill_nan(None))


def conflict_table(genotypes: Genotypes, counts: FamilyCounts, wrong: NDArray[np.bool_]) -> pl.DataFrame:
    """One row for each animal and genotyped parent, and one for each animal with both."""
    parts = []
    for k, role in enumerate(ROLES):
        there = counts.families[:, k + 1] >= 0 if k < 2 else (counts.families[:, 1:] >= 0).all(axis=1)
        chosen = counts.families[there]
        parents = genotypes.ids.gather(chosen[:, k + 1]) if k < 2 else pl.Series([None] * len(chosen), dtype=pl.String)
        parts.append(
            pl.DataFrame(
                {
                    "animal": genotypes.ids.gather(chosen[:, 0]),
                    "parent": parents,
                    "role": pl.Series([role] * len(chosen), dtype=pl.String),
                    "compared": counts.compared[there, k],
                    "conflicts": counts.conflicts[there, k],
                    "rate": counts.rates[there, k],
                    "conflict": wrong[there, k],
                },
                schema=CONFLICTS,
            )
        )
    return pl.concat(parts)


def to_blame(
    counts: FamilyCounts, wrong: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Animals without which no pair or trio is in conflict, the worst rate of each, and whether it is that of a trio.

    The animal in the most conflicts goes first, as long as it is in two or more that no other explains; of what is left, the
    offspring goes.
    """
    family, role = np.nonzero(wrong[:, :2])
    ends = np.stack([counts.families[family, 0], counts.families[family, role + 1]], axis=1).tolist()
    rates = counts.rates[family, role].tolist()
    worst: dict[int, float] = {}
    for animal, links in _cover(ends):
        worst[animal] = max(rates[link] for link in links)
    by_pairs = set(worst)
    for k in np.flatnonzero(wrong[:, 2] & ~wrong[:, :2].any(axis=1)).tolist():
        if not worst.keys() & set(counts.families[k].tolist()):
            worst[int(counts.families[k, 0])] = float(counts.rates[k, 2])
    animals = sorted(worst)
    by_both = np.array([animal not in by_pairs for animal in animals], dtype=np.bool_)
    return np.array(animals, dtype=np.int64), np.array([worst[animal] for animal in animals]), by_both


def _cover(ends: list[list[int]]) -> Iterator[tuple[int, list[int]]]:
    """Animals that are on every link (pairs of animals), those on the most first, each with the links that it explains."""
    links: dict[int, set[int]] = {}
    for link, pair in enumerate(ends):
        for animal in pair:
            links.setdefault(animal, set()).add(link)
    queue = [(-len(own), animal) for animal, own in links.items()]
    heapq.heapify(queue)
    while queue:
        number, animal = heapq.heappop(queue)
        own = links[animal]
        if len(own) < -number:  # some were explained by others since
            heapq.heappush(queue, (-len(own), animal))
        elif len(own) > 1 or (own and ends[min(own)][0] == animal):
            yield animal, sorted(own)
            for link in sorted(own):
                for end in ends[link]:
                    links[end].discard(link)
