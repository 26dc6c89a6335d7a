"""W = [X Z] of the records, as equation numbers and covariate values; never as a matrix of indicators."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
from numba import get_num_threads
from numpy.typing import NDArray

from breedblup.design import Design
from breedblup.kernels import assembly
from breedblup.mme.layout import EquationLayout
from breedblup.relationship.numerator import csr_from, equal_shares

Inverse = tuple[int, NDArray[np.int64], NDArray[np.int32]]
"""First equation, pointer and indices of all K⁻¹ stacked below the fixed equations."""


@dataclass(frozen=True, slots=True)
class Incidence:
    """Row i of W has a value at each equation ``columns[i, k]`` that is not -1.

    Attributes
    ----------
    columns
        n × K equation numbers, int32.
    slots
        K; the column of ``covariates`` that holds the values, -1 where they are 1.
    covariates
        n × c values.
    weights, y
        Weight and response of each record.
    """

    columns: NDArray[np.int32]
    slots: NDArray[np.int32]
    covariates: NDArray[np.float64]
    weights: NDArray[np.float64]
    y: NDArray[np.float64]

    def leading(self, equations: int) -> Incidence:
        """The part of W that belongs to the first equations, with the columns that reach none of them left out."""
        mine = (self.columns < equations).all(axis=0)
        return replace(self, columns=np.ascontiguousarray(self.columns[:, mine]), slots=self.slots[mine])

    def without(self, equations: NDArray[np.int64], size: int) -> Incidence:
        """W with the columns of some equations set to zero."""
        new = np.arange(size, dtype=np.int32)
        new[equations] = -1
        return replace(self, columns=np.where(self.columns < 0, np.int32(-1), new[self.columns]))


def build_incidence(design: Design, layout: EquationLayout) -> Incidence:
    """The incidence of a design in the order of a layout."""
    n = design.y.size
    width = sum(len(term.coefficients) for term in layout.terms)
    columns = np.empty((n, width), dtype=np.int32)
    slots = np.full(width, -1, dtype=np.int32)
    values: list[NDArray[np.float64]] = []
    k = 0
    for term, start in zip(layout.terms, layout.starts[:-1].tolist(), strict=True):
        coefficients = len(term.coefficients)
        for c in range(coefficients):
            columns[:, k] = start + term.codes * coefficients + c
            if term.basis is not None:
                slots[k] = len(values)
                values.append(term.basis[:, c])
            k += 1
    covariates = np.column_stack(values) if values else np.empty((n, 0))
    weights = np.ones(n) if design.weights is None else design.weights
    return Incidence(columns, slots, np.ascontiguousarray(covariates), weights, design.y)


@dataclass(frozen=True, slots=True)
class Pattern:
    """W'DW + K⁻¹ in CSR: the pattern, the values of W'DW on it, and the place of each entry of K⁻¹ in it."""

    pointer: NDArray[np.int64]
    indices: NDArray[np.int32]
    records_part: NDArray[np.float64]
    place: NDArray[np.int64]

    @property
    def nonzeros(self) -> int:
        """Entries, both triangles."""
        return int(self.pointer[-1])

    def matrix(self, values: NDArray[np.float64]) -> scipy.sparse.csr_array:
        """A matrix with this pattern over given values, which are not copied."""
        return csr_from(values, self.indices, self.pointer, self.pointer.size - 1)


def fill_pattern(incidence: Incidence, size: int, inverse: Inverse) -> Pattern:
    """Count, then fill (`breedblup.kernels.assembly`)."""
    pointer = np.empty(size + 1, dtype=np.int64)
    entries = np.empty(np.count_nonzero(incidence.columns >= 0), dtype=np.int64)
    assembly.records_of_equations(incidence.columns, pointer, entries)
    first, inverse_pointer, inverse_indices = inverse
    work = 1 + np.diff(pointer) * incidence.columns.shape[1]
    work[first:] += np.diff(inverse_pointer)
    bounds = equal_shares(work, get_num_threads())
    counts = np.empty(size, dtype=np.int64)
    assembly.lhs_counts(incidence.columns, pointer, entries, inverse, bounds, counts)
    lhs_pointer = np.zeros(size + 1, dtype=np.int64)
    np.cumsum(counts, out=lhs_pointer[1:])
    indices = np.empty(lhs_pointer[-1], dtype=np.int32)
    values = np.empty(lhs_pointer[-1])
    place = np.empty(inverse_indices.size, dtype=np.int64)
    assembly.lhs_entries(
        incidence.columns, incidence.slots, incidence.covariates, incidence.weights,
        pointer, entries, inverse, bounds, (lhs_pointer, indices, values), place,
    )  # fmt: skip
    return Pattern(lhs_pointer, indices, values, place)
