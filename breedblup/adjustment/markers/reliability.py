"""What the reliability of a prediction from markers is computed from.

A prediction is x'ĝ, x = (z, 1) the centred copies of a new animal and the intercept. With w = G⁻¹û₂ it is x'M'w, M = [Z, a1], so

    var(x'ĝ) = x'M'W M x,   W = var(w) = G⁻¹(Gσ² - C²²)G⁻¹,

C²² the prediction error variances among the genotyped animals. M'WM = FF', and the reliability is |F'x|² over the animal's
variance (VanRaden 2008; Liu et al. 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from breedblup.errors import counted
from breedblup.genotypes import CentredGenotypes
from breedblup.relationship.genomic_matrix import GenomicMatrix

_Array = NDArray[np.float64]

ROUNDED_PIVOT = 1e-13
"""Pivots below this share of the largest diagonal element are the rounding of a zero."""

COLUMNS_AT_ONCE = 64
"""Columns of F that genotypes are multiplied by together."""

BELOW_ONE = float(np.nextafter(1.0, 0.0))
"""Largest share of a factor that has lost something."""


@dataclass(frozen=True, eq=False)
class ReliabilityFactor:
    """F of each trait or effect: var(x'ĝ) = |F'x|².

    Attributes
    ----------
    vectors
        m × r for each column of the effects, per copy of the counted allele; r may differ.
    intercepts
        r for each column: the row of F of the intercept.
    shares
        Part of the variance of predictions, over the genotyped animals, that F has kept; below 1 reliabilities are lower bounds.
    """

    vectors: tuple[_Array, ...]
    intercepts: tuple[_Array, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        for array in (*self.vectors, *self.intercepts):
            array.flags.writeable = False

    def __repr__(self) -> str:
        kept = (
            "exact" if min(self.shares) == 1.0 else f"lower bounds, {100 * min(self.shares):.4g} % of the variance kept"
        )
        return f"{kept}, from {counted(max(rows.size for rows in self.intercepts), 'vector')}"

    def predicted_variance(self, z: CentredGenotypes, k: int, chosen: NDArray[np.intp]) -> _Array:
        """|F'x|² of new animals (n) for a column of the effects, from the markers chosen of those of F.

        Parameters
        ----------
        z
            New genotypes at the chosen markers, centred, per copy of the counted allele.
        """
        vectors, total = self.vectors[k], np.zeros(len(z))
        for first in range(0, vectors.shape[1], COLUMNS_AT_ONCE):
            part = slice(first, first + COLUMNS_AT_ONCE)
            product = z.multiply(np.ascontiguousarray(vectors[chosen, part])) + self.intercepts[k][part]
            total += np.einsum("nr,nr->n", product, product)
        return total


def reliability_factor(matrix: GenomicMatrix, of_duals: list[_Array], limit: int) -> ReliabilityFactor | None:
    """F from W = var(G⁻¹û₂) of each trait or effect (n × n each), in so many bytes at most; None where not a vector fits."""
    width = 8 * (matrix.z.centre.size + 1) * len(of_duals)
    most = limit // width
    if most < 1:
        return None
    found = [_vectors(matrix, one, most) for one in of_duals]
    vectors, intercepts, shares = zip(*found, strict=True)
    return ReliabilityFactor(vectors, intercepts, shares)


def root_of(symmetric: _Array) -> _Array:
    """L with LL' a positive semi-definite matrix, with as many columns as its rank: Cholesky, the largest pivot first."""
    smallest = ROUNDED_PIVOT * max(float(symmetric.diagonal().max()), np.finfo(np.float64).tiny)
    factor, pivots, rank, _ = scipy.linalg.lapack.dpstrf(symmetric, lower=1, tol=smallest)
    root = np.zeros((len(symmetric), int(rank)))
    root[pivots - 1] = np.tril(factor)[:, : int(rank)]
    return root


def _vectors(matrix: GenomicMatrix, of_dual: _Array, most: int) -> tuple[_Array, _Array, float]:
    """The leading vectors of F, intercepts, and the share that they keep of the genotyped animals' predictions."""
    z, root, share = matrix.z, root_of(of_dual), 1.0
    if root.shape[1] > most:
        parts = np.array_split(np.arange(root.shape[1]), -(-root.shape[1] // COLUMNS_AT_ONCE))
        products = [z.multiply(z.multiply_transposed(np.ascontiguousarray(root[:, part]))) for part in parts]
        predicted = np.hstack(products) + matrix.constant * root.sum(axis=0)
        spread, size = predicted.T @ predicted, root.shape[1]
        values, vectors = scipy.linalg.eigh(spread, subset_by_index=[size - most, size - 1])
        root = root @ vectors
        share = min(float(values.sum() / spread.trace()), BELOW_ONE)
    return (
        z.scale[:, None] * z.multiply_transposed(np.ascontiguousarray(root)),
        matrix.constant * root.sum(axis=0),
        share,
    )
