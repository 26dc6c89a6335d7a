"""Dependent columns of a sparse semi-definite matrix, by LDL' with a stated tolerance and pivot rule.

Pivot rule. Columns are eliminated in an order fixed beforehand from sizes alone: terms of many columns first, ties in the
order given, chosen ones last, columns of a term in their natural order (`elimination_order`). A column whose pivot is at most
``tolerance`` times its diagonal is dependent on those before it and is left out. So of a dependent set it is the one
in the smallest, or latest, term that is dropped, and values never change the order.

A term's own block of X'R⁻¹X is diagonal (a factor) or small (covariates), so that eliminating the large ones first leaves
the fill among the small ones: 10⁶ levels beside some hundred others take about a second, and no dense QR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from breedblup.errors import NumericalError, ResourceError
from breedblup.kernels.factor import column_counts, elimination_tree, ldl_dropping, ldl_solve, postorder


@dataclass(frozen=True)
class RankFactor:
    """Sparse LDL' of the independent rows and columns of a semi-definite matrix.

    Attributes
    ----------
    dependent
        For each column in the original order, whether it was left out.
    relative_pivots
        What was left of each diagonal after the columns before it, relative to it; 0 where the column was left out.
    tolerance
        Largest pivot, relative to its diagonal, that counts as zero.
    """

    dependent: NDArray[np.bool_]
    relative_pivots: NDArray[np.float64]
    tolerance: float
    _order: NDArray[np.int64]
    _pivots: NDArray[np.float64]
    _lower: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]

    @property
    def rank(self) -> int:
        """Number of independent columns."""
        return int(self.dependent.size - np.count_nonzero(self.dependent))

    @property
    def nonzeros(self) -> int:
        """Stored entries of L, its diagonal included."""
        return int((self._lower[1] - self._lower[0]).sum()) + self.rank

    def solve(self, rhs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solve with the independent block; zeros at dependent columns."""
        rhs = np.ascontiguousarray(rhs, dtype=np.float64)
        if rhs.shape != self.dependent.shape:
            raise ValueError(f"right-hand side of shape {rhs.shape} for {self.dependent.size} equations")
        out = np.empty_like(rhs)
        ldl_solve(self._lower, self._pivots, self._order, rhs, out)
        return out

    def logdet(self) -> float:
        """Log-determinant of the independent block."""
        return float(np.log(self._pivots[self._pivots > 0]).sum())


def elimination_order(sizes: Sequence[int], last: Sequence[int] = ()) -> NDArray[np.int64]:
    """Columns of consecutive terms, those of many columns first, ties in the order given.

    Parameters
    ----------
    sizes
        Number of columns of each term.
    last
        Terms that come after all others whatever their size, in this order.
    """
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    blocks = sorted((term for term in range(len(sizes)) if term not in last), key=lambda term: -sizes[term])
    parts = [np.arange(starts[term], starts[term + 1]) for term in [*blocks, *last]]
    return np.concatenate([np.empty(0, np.int64), *parts])


def dependent_columns(
    cross_product: csr_array, order: NDArray[np.int64], *, tolerance: float = 1e-11, limit: int = 200_000_000
) -> RankFactor:
    """Find the columns that depend on those before them.

    Parameters
    ----------
    cross_product
        X'R⁻¹X, symmetric, both triangles, columns sorted.
    order
        Columns in the order of elimination, see `elimination_order`.
    tolerance
        A pivot at most this times its diagonal counts as zero.
    limit
        Most entries that the factor may have (12 bytes each).

    Raises
    ------
    ResourceError
        If the factor would have more entries than ``limit``; known before any number is computed.
    """
    size = int(cross_product.shape[0])
    order = np.array(order, dtype=np.int64)
    if order.shape != (size,) or not np.array_equal(np.sort(order), np.arange(size)):
        raise ValueError(f"order is no permutation of {size} columns")
    if not np.isfinite(cross_product.data).all():
        raise NumericalError("the matrix whose rank is asked for holds values that are not finite")
    place = np.empty(size, np.int64)
    place[order] = np.arange(size)
    indptr, indices = cross_product.indptr, cross_product.indices
    parent, post, counts = (np.empty(size, np.int64) for _ in range(3))
    elimination_tree(indptr, indices, order, place, parent)
    postorder(parent, post)
    column_counts(indptr, indices, order, place, parent, post, counts)
    entries = int(counts.sum())
    if entries > limit:
        raise ResourceError(
            f"the factor that finds dependent columns among {size:,} would have {entries:,} entries "
            f"({12 * entries / 2**30:.2f} GiB), more than {limit:,} -> fit the largest but one of the fixed factors as random, "
            "or give a larger limit"
        )
    start = np.concatenate([[0], np.cumsum(counts - 1)]).astype(np.int64)
    end = start[:-1].copy()
    lower = (start[:-1], end, np.empty(start[-1], np.int32), np.empty(start[-1]))
    pivots = np.zeros(size)
    data = np.asarray(cross_product.data, dtype=np.float64)
    ldl_dropping((indptr, indices, data), order, place, parent, tolerance, lower, pivots)
    dependent = np.empty(size, np.bool_)
    dependent[order] = pivots == 0.0
    relative = np.zeros(size)
    relative[order] = pivots
    diagonal = cross_product.diagonal()
    relative[~dependent] /= diagonal[~dependent]
    for array in (dependent, relative, order, pivots, *lower):
        array.setflags(write=False)
    return RankFactor(dependent, relative, tolerance, order, pivots, lower)
