"""The positions of the left-hand side in CSR: counted, then filled, once for all variances of the same ranks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse
from numba import get_num_threads
from numpy.typing import NDArray

from breedblup.design import DesignTerm
from breedblup.kernels import assembly, assembly_values
from breedblup.kernels.assembly import Rows, Segment, Slots, TermRows
from breedblup.mme.incidence import Incidence, coordinates_reached
from breedblup.mme.layout import EquationLayout
from breedblup.relationship.operator import csr_from

MOST_PARTS = 8
"""Threads that assemble: memory is not faster with more, and each counts the entries of every mirrored row."""

SUMMED = 8
"""Parts of the records with sums of their own, whatever the number of threads: the bits are the same."""

Bounds = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Runs of levels, one for each thread: of all, and of those that have records."""


class Pair(NamedTuple):
    """A pair of terms that is gathered from the rows of one, ``mine``, and mirrored in the rows of the other, ``other``.

    For a term with itself nothing is mirrored. ``cursors`` (threads × rows of the other) is where each thread begins to write.
    """

    mine: int
    other: int
    segment: Segment
    cursors: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pattern:
    """Pointer and columns of the left-hand side, and the rows of each term as the kernels take them.

    ``starts`` holds, by term, where each of its rows begins the segment of each term, from the beginning of the row;
    ``bounds`` share out the levels of each term among threads; equations that are ``dropped`` (constrained to zero) have
    nothing but their diagonal.
    """

    pointer: NDArray[np.int64]
    indices: NDArray[np.int32]
    terms: tuple[TermRows, ...]
    pairs: tuple[Pair, ...]
    starts: tuple[NDArray[np.int32], ...]
    bounds: tuple[Bounds, ...]
    dropped: NDArray[np.bool_]

    @property
    def nonzeros(self) -> int:
        """Entries, both triangles."""
        return int(self.pointer[-1])

    def matrix(self, values: NDArray[np.float64]) -> scipy.sparse.csr_array:
        """A matrix with this pattern over given values, which are not copied."""
        return csr_from(values, self.indices, self.pointer, self.pointer.size - 1)

    def fill(
        self,
        rows: Rows,
        slots: Slots,
        residual: NDArray[np.float64],
        covariances: list[NDArray[np.float64]],
        values: NDArray[np.float64],
    ) -> None:
        """Values for R⁻¹ by pattern of traits and G₀⁻¹ by term (of fixed terms anything of their width)."""
        row = _row_values(rows, slots)
        lhs = (self.pointer, self.indices, values)
        for k, (term, starts, (all_levels, reached)) in enumerate(
            zip(self.terms, self.starts, self.bounds, strict=True)
        ):
            own = next(pair.segment for pair in self.pairs if pair.mine == pair.other == k)
            given = (rows, slots, row, residual)
            sums = _level_sums(term, *given)
            assembly_values.own_values(term, own, *given, covariances[k], sums, self.dropped, all_levels, starts, lhs)
            others = [pair for pair in self.pairs if pair.mine == k != pair.other]
            if others:
                segments = np.array([pair.segment for pair in others], dtype=np.int64)
                cursors = np.concatenate([pair.cursors for pair in others], axis=1)
                assembly_values.gathered_values(term, segments, *given, self.dropped, reached, starts, cursors, lhs)

    def right_side(
        self, rows: Rows, slots: Slots, residual: NDArray[np.float64], y: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """W'R⁻¹y, zero where an equation is dropped; y is n × traits."""
        rhs = np.zeros(self.dropped.size)
        assembly_values.rhs_sums(rows, slots, residual, y, self.dropped, rhs)
        return rhs


def _row_values(rows: Rows, slots: Slots) -> NDArray[np.float64]:
    """Rows of W, times √weight, by slot."""
    values = np.empty((len(rows.codes), slots.trait.size))
    assembly_values.row_values(rows, slots, values)
    return values


def _level_sums(
    term: TermRows, rows: Rows, slots: Slots, row: NDArray[np.float64], residual: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Blocks of a term's levels from its records, where levels are few enough for parts with sums of their own; else empty."""
    links, levels = term.pointer.shape[0], term.pointer.shape[1] - 1
    if links > 1 or SUMMED * levels * term.width**2 > len(rows.codes):
        return np.empty((0, term.width, term.width))
    sums = np.empty((SUMMED, levels, term.width, term.width))
    assembly_values.level_sums(rows, slots, row, residual, term.link, sums)
    total: NDArray[np.float64] = sums.sum(axis=0)
    return total


@dataclass(frozen=True, slots=True)
class PatternCounts:
    """What the pattern will take, before it is filled: entries by row, and all that `positions` needs."""

    pointer: NDArray[np.int64]
    incidence: Incidence
    terms: tuple[TermRows, ...]
    pairs: tuple[Pair, ...]
    starts: tuple[NDArray[np.int32], ...]
    bounds: tuple[Bounds, ...]
    reach: NDArray[np.bool_]
    dropped: NDArray[np.bool_]

    @property
    def bytes(self) -> int:
        """Memory of positions and values of the left-hand side."""
        return int(self.pointer[-1]) * (4 + 8)

    def positions(self) -> Pattern:
        """Fill the columns."""
        indices = np.empty(self.pointer[-1], dtype=np.int32)
        for k, j, segment, cursors in self.pairs:
            given = (self.terms[k], segment, self.incidence.rows, self.reach, self.dropped)
            all_levels, reached = self.bounds[k]
            if k == j:
                assembly.own_columns(*given, all_levels, self.starts[k], self.pointer, indices)
            else:
                assembly.gathered_columns(*given, reached, self.starts[k], cursors.copy(), self.pointer, indices)
        return Pattern(self.pointer, indices, self.terms, self.pairs, self.starts, self.bounds, self.dropped)


def count_pattern(incidence: Incidence, layout: EquationLayout, dropped: NDArray[np.int64]) -> PatternCounts:
    """Count the entries of each row; equations ``dropped`` get a diagonal and nothing else."""
    is_dropped = np.zeros(layout.size, dtype=np.bool_)
    is_dropped[dropped] = True
    reach = coordinates_reached(incidence.slots, incidence.rows.observed)
    parts = min(get_num_threads(), MOST_PARTS)
    every = range(len(layout.terms))
    made = [_term_rows(incidence, layout, k, dropped) for k in every]
    terms = tuple(rows for rows, _ in made)
    bounds = tuple(_bounds(term, parts) for term in terms)
    starts = tuple(np.zeros((len(terms), layout.equations(k)), dtype=np.int32) for k in every)
    nowhere, nothing = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
    pairs = []
    for k, j in _gathering(layout):
        mirrored = np.zeros((parts if j != k else 0, layout.equations(j)), dtype=np.int64)
        segment = _segment(incidence, layout, made[k][1], j, own=j == k)
        given = (terms[k], segment, incidence.rows, reach, is_dropped)
        all_levels, reached = bounds[k]
        if j == k:
            assembly.own_columns(*given, all_levels, starts[k], nowhere, nothing)
        else:
            assembly.gathered_columns(*given, reached, starts[k], mirrored, nowhere, nothing)
            starts[j][k] = mirrored.sum(axis=0)
        pairs.append(Pair(k, j, segment, mirrored))
    pointer = np.zeros(layout.size + 1, dtype=np.int64)
    for k in every:
        begin, end = layout.starts[k : k + 2]
        assembly.rows_from_segments(starts[k], pointer[begin], pointer[begin + 1 : end + 1])
    for k, j, _, mirrored in pairs:
        _begin(mirrored, pointer[layout.starts[j] : layout.starts[j + 1]] + starts[j][k])
    return PatternCounts(pointer, incidence, terms, tuple(pairs), starts, bounds, reach, is_dropped)


def _begin(counts: NDArray[np.int64], first: NDArray[np.int64]) -> None:
    """Turn how much each thread writes into a row into where it begins, the first of them at ``first``."""
    before = np.cumsum(counts, axis=0) - counts
    counts[:] = first + before


def _gathering(layout: EquationLayout) -> list[tuple[int, int]]:
    """Pairs of terms, first that of more levels, whose records are gathered; of as many, the later one; and each with itself."""
    order = sorted(range(len(layout.terms)), key=lambda k: (len(layout.terms[k].levels), k))
    return [(k, j) for place, k in enumerate(order) for j in order[: place + 1]]


def _segment(incidence: Incidence, layout: EquationLayout, records: int, j: int, *, own: bool) -> Segment:
    """A segment of rows whose levels have so many records at most."""
    links, levels = incidence.links[j], len(layout.terms[j].levels)
    most = 1 if own and len(links) == 1 else records * len(links)
    return Segment(
        j,
        int(layout.starts[j]),
        layout.width(j),
        int(links[0]),
        int(links[-1]) + 1,
        levels,
        max(min(most + 1, levels), 1),
    )


def _term_rows(
    incidence: Incidence, layout: EquationLayout, k: int, dropped: NDArray[np.int64]
) -> tuple[TermRows, int]:
    """The rows of one term, its records by level and its K⁻¹; and the most records of a level."""
    term, start, width = layout.terms[k], int(layout.starts[k]), layout.width(k)
    links, codes, levels = incidence.links[k], incidence.rows.codes, len(term.levels)
    pointer = np.empty((len(links), levels + 1), dtype=np.int64)
    entries = np.empty(len(links) * len(codes), dtype=np.int32)
    begin = 0
    for place, link in enumerate(links):
        assembly.records_of_levels(codes, link, pointer[place], entries, begin)
        begin = int(pointer[place, -1])
    reached = np.empty(levels, dtype=np.int32)
    found, most = assembly.levels_with_records(pointer, reached)
    mine = dropped[(dropped >= start) & (dropped < start + levels * width)]
    rows = TermRows(
        start, width, int(links[0]), pointer, entries, reached[:found], *_inverse_of(term),
        _mask(term, width, of_rank=layout.loadings[k] is not None),
        (int(mine.min()) - start) // width if mine.size else levels, np.empty(levels, dtype=np.int32),
    )  # fmt: skip
    return rows, int(most)


def _inverse_of(term: DesignTerm) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """K⁻¹ of a random term as pointer, columns and values; nothing for a fixed one."""
    levels = len(term.levels)
    if term.kind == "fixed":
        return np.zeros(levels + 1, np.int32), np.empty(0, np.int32), np.empty(0)
    if term.relationship is not None:
        matrix = term.relationship.assembled
        matrix = matrix if matrix.has_sorted_indices else matrix.sorted_indices()
        return matrix.indptr, matrix.indices.astype(np.int32, copy=False), matrix.data
    return np.arange(levels + 1, dtype=np.int32), np.arange(levels, dtype=np.int32), np.ones(levels)


def _mask(term: DesignTerm, width: int, *, of_rank: bool) -> NDArray[np.bool_]:
    """Where G₀⁻¹ may have values: everywhere, within effects, or on the diagonal."""
    if of_rank:
        return np.eye(width, dtype=np.bool_)
    if term.correlated:
        return np.ones((width, width), dtype=np.bool_)
    effects = np.array([coordinate.effect for coordinate in term.coordinates])
    same: NDArray[np.bool_] = effects[:, None] == effects[None, :]
    return same


def _bounds(term: TermRows, parts: int) -> Bounds:
    """Runs of levels of about equal work: of all, and of those with records."""
    levels = term.pointer.shape[1] - 1

    def work(level: int) -> int:
        listed = int((term.pointer[:, level] - term.pointer[:, 0]).sum())
        return level + 2 * listed + term.width * int(term.inverse_pointer[level])

    def recorded(place: int) -> int:
        if place == term.reached.size:
            return int((term.pointer[:, -1] - term.pointer[:, 0]).sum())
        return int((term.pointer[:, term.reached[place]] - term.pointer[:, 0]).sum())

    return _shares(work, levels, parts), _shares(recorded, term.reached.size, parts)


def _shares(done: Callable[[int], int], size: int, parts: int) -> NDArray[np.int64]:
    """Bounds of runs of about equal work, which ``done`` gives up to a row."""
    targets = (done(size) * part / parts for part in range(1, parts))
    return np.array([0, *(bisect_left(range(size), target, key=done) for target in targets), size], dtype=np.int64)
