"""The positions of the left-hand side in CSR: counted, then filled, once for all variances of the same ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numba import get_num_threads
from numpy.typing import NDArray

from breedblup.design import DesignTerm
from breedblup.kernels import assembly
from breedblup.kernels.assembly import Rows, Slots, TermRows
from breedblup.mme.incidence import Incidence, slots_at
from breedblup.mme.layout import EquationLayout
from breedblup.relationship.numerator import csr_from, equal_shares


@dataclass(frozen=True, slots=True)
class Pattern:
    """Pointer and columns of the left-hand side, and the rows of each term as the kernels take them.

    ``bounds`` share out the levels of each term among threads; equations that are ``dropped`` (constrained to zero) have
    nothing but their diagonal.
    """

    pointer: NDArray[np.int64]
    indices: NDArray[np.int32]
    terms: tuple[TermRows, ...]
    bounds: tuple[NDArray[np.int64], ...]
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
        lhs = (self.pointer, self.indices, values)
        for term, bounds, covariance in zip(self.terms, self.bounds, covariances, strict=True):
            assembly.lhs_values(term, rows, slots, residual, covariance, self.dropped, bounds, lhs)


@dataclass(frozen=True, slots=True)
class PatternCounts:
    """What the pattern will take, before it is filled: entries by row, and all that `positions` needs."""

    pointer: NDArray[np.int64]
    incidence: Incidence
    terms: tuple[TermRows, ...]
    bounds: tuple[NDArray[np.int64], ...]
    dropped: NDArray[np.bool_]

    @property
    def bytes(self) -> int:
        """Memory of positions and values of the left-hand side."""
        return int(self.pointer[-1]) * (4 + 8)

    def positions(self) -> Pattern:
        """Fill the columns."""
        indices = np.empty(self.pointer[-1], dtype=np.int32)
        rows, slots, counts = self.incidence.rows, self.incidence.slots, np.empty(self.dropped.size, dtype=np.int64)
        for term, cut in zip(self.terms, self.bounds, strict=True):
            assembly.lhs_columns(term, rows, slots, self.dropped, cut, counts, self.pointer, indices)
        return Pattern(self.pointer, indices, self.terms, self.bounds, self.dropped)


def count_pattern(incidence: Incidence, layout: EquationLayout, dropped: NDArray[np.int64]) -> PatternCounts:
    """Count the entries of each row; equations ``dropped`` get a diagonal and nothing else."""
    rows, slots = incidence.rows, incidence.slots
    is_dropped = np.zeros(layout.size, dtype=np.bool_)
    is_dropped[dropped] = True
    terms = tuple(_term_rows(incidence, layout, k) for k in range(len(layout.terms)))
    bounds = tuple(_bounds(term, len(slots.link)) for term in terms)
    counts, nothing = np.zeros(layout.size, dtype=np.int64), np.empty(0, dtype=np.int32)
    pointer = np.zeros(layout.size + 1, dtype=np.int64)
    for term, cut in zip(terms, bounds, strict=True):
        assembly.lhs_columns(term, rows, slots, is_dropped, cut, counts, pointer, nothing)
    np.cumsum(counts, out=pointer[1:])
    return PatternCounts(pointer, incidence, terms, bounds, is_dropped)


def _term_rows(incidence: Incidence, layout: EquationLayout, k: int) -> TermRows:
    """The rows of one term, its records by level and its K⁻¹."""
    term, start, width = layout.terms[k], int(layout.starts[k]), layout.width(k)
    links, codes = incidence.links[k], incidence.rows.codes
    pointer = np.empty(len(term.levels) + 1, dtype=np.int64)
    entries = np.empty(np.count_nonzero(codes[:, links] >= 0), dtype=np.int64)
    assembly.records_of_levels(codes, links, pointer, entries)
    at_pointer, at = slots_at(incidence.slots, codes.shape[1], start, width)
    inverse = _inverse_of(term)
    return TermRows(
        start, width, pointer, entries, at_pointer, at,
        inverse.indptr.astype(np.int64), inverse.indices.astype(np.int32, copy=False), inverse.data,
        _mask(term, width, of_rank=layout.loadings[k] is not None),
    )  # fmt: skip


def _inverse_of(term: DesignTerm) -> scipy.sparse.csr_array:
    """K⁻¹ of a random term; nothing for a fixed one."""
    levels = len(term.levels)
    if term.kind == "fixed":
        return scipy.sparse.csr_array((levels, levels))
    if term.relationship is not None:
        return term.relationship.matrix
    return scipy.sparse.csr_array(scipy.sparse.eye_array(levels, format="csr"))


def _mask(term: DesignTerm, width: int, *, of_rank: bool) -> NDArray[np.bool_]:
    """Where G₀⁻¹ may have values: everywhere, within effects, or on the diagonal."""
    if of_rank:
        return np.eye(width, dtype=np.bool_)
    if term.correlated:
        return np.ones((width, width), dtype=np.bool_)
    effects = np.array([coordinate.effect for coordinate in term.coordinates])
    same: NDArray[np.bool_] = effects[:, None] == effects[None, :]
    return same


def _bounds(term: TermRows, slots: int) -> NDArray[np.int64]:
    """Runs of levels of about equal work."""
    work = 1 + np.diff(term.pointer) * slots + np.diff(term.inverse_pointer) * term.width
    return equal_shares(work, get_num_threads())
