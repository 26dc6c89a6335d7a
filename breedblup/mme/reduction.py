"""The reduced animal model: animals without progeny are eliminated from the assembled equations, exactly.

In A⁻¹ an animal without progeny is coupled only with its parents. Where no record links two of them their equations are a
block diagonal part C_ee, and the equations of the others become

    S = C_rr - C_re C_ee⁻¹ C_er,    s = b_r - C_re C_ee⁻¹ b_e.

For one trait and one record an animal this is the reduced animal model of Quaas & Pollak (1980); as an elimination it is the
same for any model, any number of traits and any records. What was eliminated comes back without solving anything large:
x_e = C_ee⁻¹(b_e - C_er x_r), and the blocks of C⁻¹ from entries of S⁻¹ that lie within the pattern of S.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray
from scipy.sparse import csr_array

from breedblup.errors import NotPositiveDefinite
from breedblup.kernels import reduction as kernels
from breedblup.relationship.operator import csr_from, equal_shares


def eliminable(lhs: csr_array, candidates: NDArray[np.integer], width: int) -> NDArray[np.int64]:
    """Candidates that can be eliminated together: none is coupled with another.

    Parameters
    ----------
    lhs
        Equations: symmetric, both triangles, columns sorted.
    candidates
        First equation of each candidate, such as the animals that are nobody's parent. Of two that are coupled (by a
        maternal effect, by pen mates) the one that comes first is taken.
    width
        Equations of a candidate, neighbours of each other.

    Returns
    -------
    numpy.ndarray
        First equations of those taken, in the order given.
    """
    starts = _checked_blocks(lhs, candidates, width)
    taken, chosen = np.zeros(lhs.shape[0], np.bool_), np.empty(starts.size, np.bool_)
    kernels.independent_blocks((lhs.indptr, lhs.indices), starts, width, taken, chosen)
    return starts[chosen]


@dataclass(frozen=True)
class Reduction:
    """What the pattern of equations tells of an elimination of blocks (`analyse_reduction`).

    Attributes
    ----------
    starts
        First equation of each eliminated block.
    width
        Equations of a block.
    kept
        Equations that stay, ascending: their numbers among all.
    """

    starts: NDArray[np.int64]
    width: int
    kept: NDArray[np.int64]
    _place: NDArray[np.int32]
    _pointer: NDArray[np.int64]
    _neighbours: NDArray[np.int32]
    _reduced_pointer: NDArray[np.int64]
    _pattern: kernels.Pattern

    @property
    def nonzeros(self) -> int:
        """Entries of S, both triangles."""
        return int(self._reduced_pointer[-1])

    @property
    def bytes(self) -> int:
        """Most bytes that `reduce` and what it returns take beside the equations themselves."""
        blocks = self.starts.size * self.width * (self.width + 1) + self.width * self._neighbours.size
        symbolic = 4 * (self._place.size + self._neighbours.size) + 8 * (2 * self.starts.size + 3 * self.kept.size)
        index = 4 if self.nonzeros < np.iinfo(np.int32).max else 12
        return (8 + index) * self.nonzeros + 8 * blocks + symbolic + 8 * self.kept.size * (1 + get_num_threads())

    def matrix(self) -> csr_array:
        """A matrix with the pattern of S, whose values are not set."""
        return csr_from(np.empty(self.nonzeros), self._columns, self._reduced_pointer, self.kept.size)

    def reduce(self, lhs: csr_array, rhs: NDArray[np.float64]) -> ReducedEquations:
        """Eliminate the blocks at given values on the pattern that was analysed.

        Raises
        ------
        NotPositiveDefinite
            Naming the equation, if a block is not positive definite.
        """
        self._check(lhs, rhs)
        rhs = np.ascontiguousarray(rhs, dtype=np.float64)
        count, size = self.starts.size, self.kept.size
        matrix = (lhs.indptr, lhs.indices, np.asarray(lhs.data, dtype=np.float64))
        neighbours = (self._pointer, self._neighbours)
        roots = np.empty((count, self.width, self.width))
        coupling = np.empty(self.width * self._neighbours.size)
        failed = np.empty(get_num_threads(), np.int64)
        shares = equal_shares(1 + np.diff(self._pointer), failed.size)
        kernels.factor_blocks(matrix, self.starts, self._place, neighbours, shares, roots, coupling, failed)
        if (failed >= 0).any():
            bad = int(failed[failed >= 0][0])
            raise NotPositiveDefinite(f"equation {bad} has a non-positive pivot in the block to be eliminated", bad)
        halves = np.empty((count, self.width))
        kernels.half_solutions(self.starts, roots, rhs, halves)
        values, reduced_rhs = np.empty(self.nonzeros), np.empty(size)
        kernels.reduced_values(
            matrix, rhs, self.kept, self._place, neighbours, self._shares, coupling, halves,
            (self._reduced_pointer, self._columns, values), reduced_rhs,
        )  # fmt: skip
        for array in (roots, coupling, halves, reduced_rhs):
            array.setflags(write=False)
        reduced = csr_from(values, self._columns, self._reduced_pointer, size)
        return ReducedEquations(reduced, reduced_rhs, self, roots, coupling, halves)

    def _check(self, lhs: csr_array, rhs: NDArray[np.float64]) -> None:
        indptr, indices = self._pattern
        same = lhs.indptr is indptr and lhs.indices is indices
        if not same and not (np.array_equal(lhs.indptr, indptr) and np.array_equal(lhs.indices, indices)):
            raise ValueError("the equations have another pattern than the one that was analysed")
        if rhs.shape != (lhs.shape[0],):
            raise ValueError(f"right-hand side of shape {rhs.shape} for {lhs.shape[0]} equations")

    @cached_property
    def _shares(self) -> NDArray[np.int64]:
        """Cuts of the rows of S into shares of about equal work."""
        return _shares_of_rows(self._pattern[0], self.kept, self._pointer, self._neighbours)

    @cached_property
    def _columns(self) -> NDArray[np.int32]:
        """Columns of S, row by row: filled once, for the first reduction."""
        columns = np.empty(self.nonzeros, np.int32)
        kernels.reduced_columns(
            self._pattern, self.kept, self._place, (self._pointer, self._neighbours), self._shares,
            (self._reduced_pointer, columns),
        )  # fmt: skip
        columns.setflags(write=False)
        return columns


@dataclass(frozen=True)
class ReducedEquations:
    """``lhs`` x = ``rhs`` of the equations that were kept, and the way back to all.

    Attributes
    ----------
    lhs
        S: symmetric to the bit, both triangles, columns sorted.
    rhs
        Right-hand side of the kept equations.
    reduction
        Which equations were kept and which eliminated.
    """

    lhs: csr_array
    rhs: NDArray[np.float64]
    reduction: Reduction
    _roots: NDArray[np.float64]
    _coupling: NDArray[np.float64]
    _halves: NDArray[np.float64]

    @property
    def kept(self) -> NDArray[np.int64]:
        """Equations that stay, ascending: their numbers among all."""
        return self.reduction.kept

    def expand(self, reduced: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solutions of all equations from those of the kept ones."""
        reduced = np.ascontiguousarray(reduced, dtype=np.float64)
        if reduced.shape != self.rhs.shape:
            raise ValueError(f"solutions of shape {reduced.shape} for {self.rhs.size} kept equations")
        symbolic = self.reduction
        x = np.empty(symbolic._place.size)
        x[symbolic.kept] = reduced
        neighbours = (symbolic._pointer, symbolic._neighbours)
        kernels.expand_blocks(symbolic.starts, neighbours, self._roots, self._coupling, self._halves, reduced, x)
        return x

    def inverse_blocks(self, inverse: csr_array) -> NDArray[np.float64]:
        """Blocks of the inverse of all equations at those eliminated: prediction error (co)variances.

        Parameters
        ----------
        inverse
            Entries of S⁻¹: symmetric, sorted, on the pattern of S (`CholeskyFactor.inverse_on`) or on a part of it that
            holds all pairs of equations that an eliminated block is coupled with.

        Returns
        -------
        numpy.ndarray
            Blocks × width × width, in the order of ``reduction.starts``.
        """
        if inverse.shape != self.lhs.shape:
            raise ValueError(f"an inverse of shape {inverse.shape} for {self.rhs.size} kept equations")
        symbolic = self.reduction
        blocks = np.empty_like(self._roots)
        failed = np.empty(get_num_threads(), np.int64)
        shares = equal_shares(1 + np.diff(symbolic._pointer) ** 2, failed.size)
        matrix = (inverse.indptr, inverse.indices, np.asarray(inverse.data, dtype=np.float64))
        neighbours = (symbolic._pointer, symbolic._neighbours)
        kernels.inverse_blocks(matrix, neighbours, shares, self._roots, self._coupling, blocks, failed)
        if (failed >= 0).any():
            first = int(symbolic.starts[failed[failed >= 0][0]])
            raise ValueError(f"the inverse lacks entries that the block at equation {first} needs -> take all of S")
        return blocks


def analyse_reduction(lhs: csr_array, starts: NDArray[np.integer], width: int) -> Reduction:
    """Count an elimination of blocks before any number is computed.

    Parameters
    ----------
    lhs
        Equations: symmetric, both triangles, columns sorted; the values are not looked at.
    starts
        First equation of each block to be eliminated; none may be coupled with another (`eliminable`).
    width
        Equations of a block.
    """
    first = _checked_blocks(lhs, starts, width)
    size = lhs.shape[0]
    equations = (first[:, None] + np.arange(width)).ravel()
    place = np.zeros(size, np.int32)
    place[equations] = -1
    kept = np.flatnonzero(place == 0)
    if kept.size + equations.size != size:
        raise ValueError("blocks to be eliminated overlap")
    place[kept] = np.arange(kept.size, dtype=np.int32)
    place[equations] = np.repeat(-1 - np.arange(first.size, dtype=np.int32), width)
    pattern = (lhs.indptr, lhs.indices)
    pointer, listed = _neighbours(pattern, first, width, place, kept.size)
    counts = np.empty(kept.size, np.int64)
    shares = _shares_of_rows(lhs.indptr, kept, pointer, listed)
    kernels.reduced_counts(pattern, kept, place, (pointer, listed), shares, counts)
    reduced_pointer = _pointer_of(counts)
    for array in (first, kept, place, pointer, listed, reduced_pointer):
        array.setflags(write=False)
    return Reduction(first, width, kept, place, pointer, listed, reduced_pointer, pattern)


def _checked_blocks(lhs: csr_array, starts: NDArray[np.integer], width: int) -> NDArray[np.int64]:
    """First equations as a new int64 array, all blocks within the equations."""
    first: NDArray[np.int64] = np.array(starts, dtype=np.int64)
    if width < 1 or (first.size and (first.min() < 0 or first.max() + width > lhs.shape[0])):
        raise ValueError(f"blocks of {width} equations do not lie within {lhs.shape[0]} equations")
    return first


def _neighbours(
    pattern: kernels.Pattern,
    starts: NDArray[np.int64],
    width: int,
    place: NDArray[np.int32],
    kept: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Kept equations that each block is coupled with: pointer and list."""
    indptr = pattern[0]
    counts = np.empty(starts.size, np.int64)
    shares = equal_shares(indptr[starts + width] - indptr[starts], get_num_threads())
    kernels.neighbour_counts(pattern, starts, width, place, kept, shares, counts)
    if (counts < 0).any():
        first = int(starts[np.argmax(counts < 0)])
        raise ValueError(f"the block at equation {first} is coupled with another to be eliminated -> ask `eliminable`")
    pointer = _pointer_of(counts)
    listed = np.empty(pointer[-1], np.int32)
    kernels.neighbour_lists(pattern, starts, width, place, kept, shares, (pointer, listed))
    return pointer, listed


def _shares_of_rows(
    indptr: kernels.Ints, kept: NDArray[np.int64], pointer: NDArray[np.int64], listed: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Cuts of the rows of S into shares of about equal work: a row meets all neighbours of its blocks."""
    lengths = np.diff(pointer)
    met = np.bincount(listed, weights=np.repeat(lengths, lengths), minlength=kept.size)
    return equal_shares(np.diff(indptr)[kept] + met.astype(np.int64), get_num_threads())


def _pointer_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each row's entries begin, and the end of the last."""
    pointer = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts, out=pointer[1:])
    return pointer
