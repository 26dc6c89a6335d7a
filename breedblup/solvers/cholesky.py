"""Sparse Cholesky factor: analyse once, factorise, solve, log-determinant, inverse on a pattern.

The one place that knows CHOLMOD (Chen, Davis, Hager & Rajamanickam 2008, through scikit-sparse). The order is AMD. Non-zeros,
operations and bytes come from our own column counts on that order, before any number is computed. Supernodal where an entry
of L takes `SUPERNODAL_FROM` operations or more: there the supernodes are wide and BLAS pays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sksparse import cholmod

from breedblup.errors import NotPositiveDefinite, NumericalError, ResourceError
from breedblup.kernels.factor import column_counts, elimination_tree, postorder
from breedblup.kernels.supernodes import Supernodes, entries_at, lies_within
from breedblup.solvers.arrangement import Arrangement, for_cholmod
from breedblup.solvers.selected_inverse import SupernodeCounts, panels_of, sweep, threads_for

SUPERNODAL_FROM = 300.0
"""Operations per entry of L. Refactored, equations of animals: simplicial 6 times faster at 32, twice at 170 and 180; supernodal
twice as fast at 430, 490 and 700."""

ROUNDING = 16 * np.finfo(np.float64).eps
"""A pivot at most this times its diagonal is the rounding error of a zero."""

OTHER_ORDER_FROM = 1e8
"""Operations of a factorisation from which another order is tried."""

CLEARLY_FEWER = 0.7
"""Share of the operations in the order of minimum degree below which the other order is taken."""

MOVED_ENTRY = 28
"""Bytes of an entry in another order: its value, its column, where it is taken from, and that once more while it is found."""

_INT32 = np.iinfo(np.int32).max


@dataclass(frozen=True)
class SymbolicFactor:
    """What the pattern of a symmetric matrix tells of its Cholesky factor.

    Attributes
    ----------
    order
        Row of the matrix that is eliminated k-th.
    counts
        Non-zeros of each column of L, in this order.
    mode
        ``supernodal`` or ``simplicial``.
    """

    order: NDArray[np.int64]
    counts: NDArray[np.int64]
    parent: NDArray[np.int64]
    mode: str
    _indptr: NDArray[Any]
    _indices: NDArray[Any]
    _analysis: _Uncollected
    _wide: bool
    _supernode_counts: SupernodeCounts
    _arrangement: Arrangement | None

    @property
    def nonzeros(self) -> int:
        """Entries of L."""
        return int(self.counts.sum())

    @property
    def flops(self) -> float:
        """Floating-point operations of the factorisation."""
        return float((self.counts.astype(np.float64) ** 2).sum())

    @property
    def bytes(self) -> int:
        """Most bytes while factorising."""
        index = 8 if self._wide else 4
        return (
            self._factor_bytes()
            + self._supernode_counts.update_bytes * (self.mode == "supernodal")
            + self._indices.size * (8 + index + (0 if self._arrangement is None else MOVED_ENTRY))
        )

    @property
    def bytes_with_inverse(self) -> int:
        """Most bytes while factorising, or taking the inverse on a pattern from the factor, where that needs more."""
        index = 8 if self._wide else 4
        counts = self._supernode_counts
        stored = counts.stored if self.mode == "supernodal" else self.nonzeros
        exported = stored * (8 + index) + index * self.order.size
        export = 2 * self._factor_bytes() + exported * (self.mode == "supernodal")
        held = self._factor_bytes() + counts.panel_bytes + counts.rows_bytes + 8 * self._indices.size
        return max(self.bytes, export, held + exported, held + counts.working_bytes())

    def _factor_bytes(self) -> int:
        index = 8 if self._wide else 4
        if self.mode == "supernodal":
            return (
                8 * self._supernode_counts.stored
                + index * int(self._supernode_counts.below.sum())
                + 40 * self.order.size
            )
        return (8 + index) * self.nonzeros + 40 * self.order.size

    def factorise(self, matrix: csr_array) -> CholeskyFactor:
        """Factorise a matrix of this pattern.

        Raises
        ------
        NotPositiveDefinite
            Naming the equation of the first pivot that is not positive.
        """
        self._check(matrix)
        try:
            arranged = matrix if self._arrangement is None else self._arrangement.matrix(matrix)
            factor = _Uncollected(self._analysis.cholesky(for_cholmod(arranged, self._wide)))
        except cholmod.CholmodNotPositiveDefiniteError as error:
            error.factor = None  # see `_Uncollected`
            raise self._not_positive(int(error.column)) from None
        except cholmod.CholmodOutOfMemoryError:
            raise ResourceError(f"no memory for a factor of {self.nonzeros:,} entries -> solve by pcg") from None
        pivots = factor.D()
        bad = np.flatnonzero(~(pivots > ROUNDING * matrix.diagonal()[self.order]))
        if bad.size:
            raise self._not_positive(int(bad[0]))
        return CholeskyFactor(self, factor, pivots)

    def _not_positive(self, column: int) -> NotPositiveDefinite:
        equation = int(self.order[column])
        return NotPositiveDefinite(f"equation {equation} has a non-positive pivot", equation)

    def _check(self, matrix: csr_array) -> None:
        same = matrix.indices is self._indices and matrix.indptr is self._indptr
        if not same and not (
            np.array_equal(matrix.indptr, self._indptr) and np.array_equal(matrix.indices, self._indices)
        ):
            raise ValueError("the matrix has another pattern than the one that was analysed")
        if not np.isfinite(matrix.data).all():
            raise NumericalError("the matrix to be factorised holds values that are not finite")

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """When each row is eliminated."""
        place = np.empty_like(self.order)
        place[self.order] = np.arange(self.order.size)
        return place

    @cached_property
    def supernodes(self) -> Supernodes:
        """Rows of all supernodes: found once, for the first inverse."""
        return self._supernode_counts.with_rows((self._indptr, self._indices), self.order, self.place)


@dataclass(frozen=True)
class CholeskyFactor:
    """LL' = PAP' of a symmetric positive definite matrix A."""

    symbolic: SymbolicFactor
    _factor: _Uncollected
    _pivots: NDArray[np.float64]

    def refactorise(self, matrix: csr_array) -> CholeskyFactor:
        """Factor of other values on the same pattern; this one stays as it is."""
        return self.symbolic.factorise(matrix)

    def solve(self, rhs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solve A x = b for one right-hand side (n,) or several (n, k)."""
        rhs = np.asarray(rhs, dtype=np.float64)
        if rhs.ndim not in (1, 2) or rhs.shape[0] != self._pivots.size:
            raise ValueError(f"right-hand side of shape {rhs.shape} for {self._pivots.size} equations")
        if rhs.size == 0:
            return np.zeros_like(rhs)
        arrangement = self.symbolic._arrangement
        if arrangement is None:
            return np.ascontiguousarray(self._factor.solve_A(rhs))
        solution = np.empty_like(rhs)
        solution[arrangement.order] = self._factor.solve_A(rhs[arrangement.order])
        return solution

    def logdet(self) -> float:
        """Log-determinant of A."""
        return float(np.log(self._pivots).sum())

    def inverse_diagonal(self) -> NDArray[np.float64]:
        """Diagonal of A⁻¹."""
        size = self._pivots.size
        with threads_for(self.symbolic.flops):
            return self._inverse_at(np.arange(size + 1), np.arange(size, dtype=np.int32))

    def inverse_on(self, pattern: csr_array) -> csr_array:
        """Entries of A⁻¹ at the positions of a pattern, which has to lie within that of A."""
        symbolic = self.symbolic
        shape = (self._pivots.size,) * 2
        asked = pattern.indptr, pattern.indices
        with threads_for(symbolic.flops):
            if pattern.shape != shape or not lies_within(asked, (symbolic._indptr, symbolic._indices)):
                raise ValueError("the pattern asked for does not lie within that of the factorised matrix")
            values = self._inverse_at(*asked)
        return csr_array((values, pattern.indices.copy(), pattern.indptr.copy()), shape=shape)

    def _inverse_at(self, indptr: NDArray[Any], indices: NDArray[Any]) -> NDArray[np.float64]:
        """Entries of A⁻¹ on a pattern within that of A."""
        symbolic, nodes = self.symbolic, self.symbolic.supernodes
        panels = panels_of(self._factor.L(), nodes)
        sweep(symbolic._supernode_counts, nodes, panels)
        values = np.empty(indices.size)
        entries_at((indptr, indices), symbolic.place, nodes, panels, values)
        return values


def analyse(matrix: csr_array, first: NDArray[np.int64] | None = None) -> SymbolicFactor:
    """Order a symmetric pattern and count its factor.

    Parameters
    ----------
    matrix
        Both triangles, columns sorted; its values are not looked at.
    first
        Rows that it may pay to eliminate before all others: done where that takes clearly fewer operations. Minimum degree
        goes astray where two factors with thousands of levels are crossed.
    """
    size = int(matrix.shape[0])
    if matrix.shape != (size, size) or size == 0:
        raise ValueError(f"a matrix of shape {matrix.shape} has no Cholesky factor")
    pattern = csr_array((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)
    wide = matrix.nnz > _INT32
    analysis = _analysis_of(pattern, "simplicial", wide, "amd")
    order = analysis.P().astype(np.int64)
    parent, _, counts = _counted(pattern, order)
    arrangement, method, flops = None, "amd", float((counts.astype(np.float64) ** 2).sum())
    if first is not None and first.size and flops > OTHER_ORDER_FROM:
        other = _postordered(pattern, np.concatenate([first, order[~np.isin(order, first)]]))
        _, _, found = _counted(pattern, other)
        if float((found.astype(np.float64) ** 2).sum()) < CLEARLY_FEWER * flops:
            arrangement, method = Arrangement.of(pattern, other), "natural"
            pattern = arrangement.matrix(pattern)
            analysis = _analysis_of(pattern, "simplicial", wide, method)
            order = other[analysis.P()]
            parent, _, counts = _counted(matrix, order)
            flops = float((counts.astype(np.float64) ** 2).sum())
    supernodes = SupernodeCounts.of(parent, counts)
    nonzeros = float(counts.sum())
    mode = "supernodal" if flops >= SUPERNODAL_FROM * nonzeros else "simplicial"
    needs_wide = wide or max(supernodes.stored, nonzeros) > _INT32
    if mode == "supernodal" or needs_wide != wide:
        analysis = _analysis_of(pattern, mode, needs_wide, method)
        again = analysis.P() if arrangement is None else arrangement.order[analysis.P()]
        if not np.array_equal(again, order):
            raise NumericalError("the second ordering of a pattern differs from the first")
    for array in (order, counts, parent):
        array.setflags(write=False)
    return SymbolicFactor(
        order, counts, parent, mode, matrix.indptr, matrix.indices, analysis, needs_wide, supernodes, arrangement
    )


def _counted(
    matrix: csr_array, order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Elimination tree, its postorder, and non-zeros of each column of L in an order."""
    size = order.size
    place = np.empty_like(order)
    place[order] = np.arange(size)
    parent, post, counts = (np.empty(size, np.int64) for _ in range(3))
    elimination_tree(matrix.indptr, matrix.indices, order, place, parent)
    postorder(parent, post)
    column_counts(matrix.indptr, matrix.indices, order, place, parent, post, counts)
    return parent, post, counts


def _postordered(matrix: csr_array, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """An order with the same fill whose elimination tree is postordered."""
    _, post, _ = _counted(matrix, order)
    return order[post]


class _Uncollected:
    """Stands for an object of the library that only this object's end sets free, never the garbage collector.

    scikit-sparse 0.4.16, collected in a cycle (a caught exception whose traceback leads here is enough), first forgets the
    workspace that its destructor then uses: memory is corrupted. The registry of `finalize` keeps it out of every cycle.
    """

    def __init__(self, held: Any) -> None:
        self._finalizer = finalize(self, id, held)

    def __getattr__(self, name: str) -> Any:
        alive = self._finalizer.peek()
        assert alive is not None
        return getattr(alive[2][0], name)


def _analysis_of(pattern: csr_array, mode: str, wide: bool, method: str) -> _Uncollected:
    """The library's analysis of a pattern."""
    return _Uncollected(cholmod.analyze(for_cholmod(pattern, wide), mode=mode, ordering_method=method, use_long=wide))
