"""Animals with the same genotype, found without comparing all pairs.

Animals are sorted by their calls at 16 markers, 64 times over, with markers drawn among the most informative; those
that agree at all 16 are candidates, candidates that agree at the drawn markers together are compared at all markers.
Of two animals that agree at a share q of the markers drawn, a missing call counting as disagreement, a pair is
missed with probability (1 - q¹⁶)⁶⁴: 1e-16 at 0.95, 2e-6 at 0.9, 0.16 at 0.8. Animals whose calls are the same at all
the drawn markers, missing ones included, are always compared, each with the first of its kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from breedblup.genotypes.genotypes import Genotypes
from breedblup.genotypes.planes import Planes, of_rows, planes_at, planes_by_block
from breedblup.genotypes.quality.animals import animal_counts
from breedblup.genotypes.quality.workspace import Workspace
from breedblup.kernels.mendelian import add_identical
from breedblup.pedigree import Pedigree

BANDS = 64
BAND = 16
"""Markers of a band: a 16-bit part of a plane."""

INFORMATIVE = 4096
"""Markers with the most heterozygotes expected and calls, that those of the bands are drawn from."""

NEIGHBOURS = 50
"""Animals with equal calls in a band that each is compared with at most: few markers tell many animals apart badly."""

TOGETHER = 1 << 21
"""Candidate pairs, about, that are held before those that are not alike are dropped."""

MARGIN = 0.1
"""By which agreement at the drawn markers may lie below the threshold; by chance at 1,000 markers less often than 1e-8."""

DUPLICATES = {
    "animal": pl.String,
    "other": pl.String,
    "compared": pl.Int64,
    "identical": pl.Float64,
    "twins": pl.Boolean,
}
"""Columns of the pairs: markers compared, share identical, whether the pedigree calls them identical twins."""


def check_duplicates(work: Workspace, pedigree: Pedigree | None) -> pl.DataFrame:
    """Find pairs that are too alike; where asked for, exclude all of those that pairs link but the one with the most calls."""
    kept = work.kept(work.autosomal)
    numbers = np.flatnonzero(work.animals)
    pairs, compared, share = duplicate_pairs(kept, work.quality.duplicate_share, work.quality.seed)
    enough = compared >= min(work.quality.fewest_compared, kept.shape[1])
    pairs, compared, share = pairs[enough], compared[enough], share[enough]
    twins = np.zeros(len(pairs), dtype=np.bool_)
    if pedigree is not None and len(pairs):
        at = pedigree.positions_of(kept.ids)
        twins = (at[pairs[:, 0]] >= 0) & (at[pairs[:, 0]] == at[pairs[:, 1]])
    worse = _worse(kept, pairs[~twins])
    highest = np.zeros(len(kept))
    np.maximum.at(highest, pairs[~twins], share[~twins, None])
    severities = work.quality.severities
    work.apply(
        "animals", numbers[worse], "duplicate", highest[worse], work.quality.duplicate_share, severities.duplicates
    )
    work.end_step("duplicates")
    return pl.DataFrame(
        {
            "animal": kept.ids.gather(pairs[:, 0]),
            "other": kept.ids.gather(pairs[:, 1]),
            "compared": compared,
            "identical": share,
            "twins": twins,
        },
        schema=DUPLICATES,
    )


def duplicate_pairs(
    genotypes: Genotypes, share: float, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of animals by number, markers compared, and the share of them that is identical, at least ``share``."""
    if min(genotypes.shape) == 0:
        return np.empty((0, 2), dtype=np.int32), np.empty(0, dtype=np.int64), np.empty(0)
    sketch = planes_at(genotypes, _drawn_markers(genotypes, seed))
    pairs = _alike(sketch, share - MARGIN)
    chosen, places = np.unique(pairs, return_inverse=True)
    among = of_rows(genotypes, chosen.astype(np.int64))
    local = places.reshape(pairs.shape).astype(np.int32)
    blocks = (planes for _, planes in planes_by_block(among)) if len(pairs) else ()
    compared, identical = _agreement(blocks, local)
    found = identical >= share
    return pairs[found], compared[found], identical[found]


def _drawn_markers(genotypes: Genotypes, seed: int) -> NDArray[np.int64]:
    """Markers of all bands, the most informative in an order drawn anew whenever all have been taken."""
    rng = np.random.default_rng(seed)
    counts = genotypes.counts
    p = np.nan_to_num(genotypes.frequencies)
    information = p * (1.0 - p) * (1.0 - counts[:, 3] / counts.sum(axis=1)) ** 2
    best = np.argsort(-information, kind="stable")[:INFORMATIVE]
    wanted = BANDS * BAND
    rounds = -(-wanted // best.size)
    return np.concatenate([rng.permutation(best) for _ in range(rounds)])[:wanted]


def _alike(sketch: Planes, least: float) -> NDArray[np.int32]:
    """Candidates that agree at a share of the drawn markers, in order; the others are dropped as they come."""
    kept = np.empty(0, dtype=np.int64)
    pending: list[NDArray[np.int64]] = []
    for coded in _candidates(sketch):
        pending.append(coded)
        if sum(part.size for part in pending) >= max(TOGETHER, kept.size):
            kept, pending = _with_alike(sketch, kept, pending, least), []
    return _decoded(_with_alike(sketch, kept, pending, least))


def _with_alike(
    sketch: Planes, kept: NDArray[np.int64], pending: list[NDArray[np.int64]], least: float
) -> NDArray[np.int64]:
    """Codes of the pairs that are kept, and of those among others that are alike, in order."""
    if not pending:
        return kept
    new = np.setdiff1d(np.unique(np.concatenate(pending)), kept, assume_unique=True)
    return np.asarray(np.union1d(kept, new[_agreement([sketch], _decoded(new))[1] >= least]))


def _coded(one: NDArray[np.integer], other: NDArray[np.integer]) -> NDArray[np.int64]:
    """Each pair as one number, the smaller in its upper half."""
    return np.asarray(np.minimum(one, other).astype(np.int64) << 32 | np.maximum(one, other).astype(np.int64))


def _decoded(coded: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.stack([coded >> 32, coded & 0xFFFFFFFF], axis=1).astype(np.int32)


def _candidates(sketch: Planes) -> Iterator[NDArray[np.int64]]:
    """Codes of pairs that agree in a band, and of each animal with the first of those that agree in all."""
    first, second = sketch
    keys = (first.view(np.uint16).astype(np.uint32) << np.uint32(BAND)) | second.view(np.uint16)
    for band in range(keys.shape[1]):
        key = np.ascontiguousarray(keys[:, band])
        order = np.argsort(key, kind="stable").astype(np.int32)
        ordered = key[order]
        for apart in range(1, min(NEIGHBOURS, order.size - 1) + 1):
            equal = ordered[apart:] == ordered[:-apart]
            if not equal.any():
                break
            yield _coded(order[:-apart][equal], order[apart:][equal])
    whole = np.ascontiguousarray(np.hstack([first, second])).view(np.dtype((np.void, 16 * first.shape[1]))).ravel()
    _, leaders, members = np.unique(whole, return_index=True, return_inverse=True)
    leading = leaders[members]
    later = np.flatnonzero(leading != np.arange(leading.size))
    yield _coded(leading[later], later)


def _agreement(blocks: Iterable[Planes], pairs: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Markers compared in each pair, and the share that is identical (0 where none is)."""
    compared, identical = np.zeros((2, len(pairs)), dtype=np.int64)
    one, other = np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])
    for first, second in blocks:
        add_identical(first, second, one, other, compared, identical)
    return compared, identical / np.maximum(compared, 1)


def _worse(genotypes: Genotypes, pairs: NDArray[np.int32]) -> NDArray[np.int64]:
    """Of animals that pairs link, all but the one with the most calls, the first where several have as many."""
    animals, ends = np.unique(pairs, return_inverse=True)
    if not animals.size:
        return animals.astype(np.int64)
    ends = ends.reshape(pairs.shape)
    links = coo_array((np.ones(len(pairs)), (ends[:, 0], ends[:, 1])), shape=(animals.size, animals.size))
    _, sets = connected_components(links, directed=False)
    called = animal_counts(of_rows(genotypes, animals.astype(np.int64)))[:, 0]
    order = np.lexsort((animals, -called, sets))
    best = np.append(True, np.diff(sets[order]) != 0)
    return np.sort(animals[order[~best]]).astype(np.int64)
