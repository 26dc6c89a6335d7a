"""Δ = τG⁻¹ - ωA₂₂⁻¹, what H⁻¹ has beyond A⁻¹: stored, or known by products.

With T = A₁₂A₂₂⁻¹ the genotyped animals have u₂ ~ N(0, G_eff), G_eff = (Δ + A₂₂⁻¹)⁻¹ = (τG⁻¹ + (1 - ω)A₂₂⁻¹)⁻¹, and the others
u₁ = T u₂ + e. So Δ and G_eff are all that distinguishes one form of a single-step evaluation from another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from breedblup.errors import NumericalError
from breedblup.relationship.genomic_matrix import GenomicMatrix
from breedblup.relationship.inverse import RelationshipInverse

Array: TypeAlias = NDArray[np.float64]

PROBES = 32
"""Vectors of random signs that estimate a diagonal: an entry's standard error is a fifth of the norm of its row's others."""

SYMMETRIC_BELOW = 8
"""Columns below which products with a dense symmetric matrix are made one by one from a triangle: it is read once, not twice."""

ENOUGH = 1e-13
"""Residual, relative to the right-hand side, at which products with G_eff end."""

MOST_ROUNDS = 500


class GenomicInverse(Protocol):
    """G⁻¹ by products, animals in the order of G."""

    @property
    def logdet(self) -> float:
        """log|G|."""
        ...

    def multiply_inverse(self, vectors: Array) -> Array:
        """G⁻¹ V."""
        ...

    def multiply(self, vectors: Array) -> Array:
        """G V."""
        ...

    def inverse_diagonal(self) -> Array:
        """Diagonal of G⁻¹, or near it."""
        ...


class Difference(Protocol):
    """Δ among the genotyped animals, in the order of G."""

    @property
    def matrix(self) -> GenomicMatrix:
        """G."""
        ...

    @property
    def tau(self) -> float:
        """τ."""
        ...

    @property
    def omega(self) -> float:
        """ω."""
        ...

    @property
    def diagonal(self) -> Array:
        """Of Δ, or near it."""
        ...

    @property
    def logdet(self) -> float:
        """log|G_eff|; NaN where it is not known."""
        ...

    def multiply(self, vectors: Array) -> Array:
        """Δ V."""
        ...

    def multiply_effective(self, vectors: Array) -> Array:
        """G_eff V."""
        ...

    def multiply_genomic_inverse(self, vectors: Array) -> Array:
        """G⁻¹ V."""
        ...

    def dense(self) -> Array:
        """Δ, exactly symmetric."""
        ...


@dataclass(frozen=True)
class DenseDifference:
    """Δ entry by entry.

    Attributes
    ----------
    values
        Δ, symmetric.
    effective
        Cholesky factor L' of G_eff⁻¹ in its upper triangle; None where ω is 1 and G_eff = G/τ.
    logdet
        log|G_eff|.
    """

    values: Array
    matrix: GenomicMatrix
    a22: RelationshipInverse
    tau: float
    omega: float
    effective: Array | None
    logdet: float

    @property
    def diagonal(self) -> Array:
        """Of Δ."""
        return self.values.diagonal()

    def multiply(self, vectors: Array) -> Array:
        """Δ V."""
        if vectors.shape[1] >= SYMMETRIC_BELOW:
            return np.asarray(self.values @ vectors)
        symv, upper = scipy.linalg.blas.dsymv, self.values.T
        return np.column_stack([symv(1.0, upper, np.ascontiguousarray(column)) for column in vectors.T])

    def multiply_effective(self, vectors: Array) -> Array:
        """G_eff V."""
        if self.effective is None:
            return self.matrix.multiply(vectors) / self.tau
        return np.asarray(scipy.linalg.cho_solve((self.effective.T, True), vectors))

    def multiply_genomic_inverse(self, vectors: Array) -> Array:
        """G⁻¹ V."""
        return (self.multiply(vectors) + self.omega * self.a22.multiply_inverse(vectors)) / self.tau

    def dense(self) -> Array:
        """Δ."""
        return self.values


@dataclass(frozen=True)
class ProductDifference:
    """Δ from products with G⁻¹ and A₂₂⁻¹.

    Attributes
    ----------
    inverse
        G⁻¹.
    source, rows
        A⁻¹ and the rows of the genotyped animals in it.
    """

    inverse: GenomicInverse
    matrix: GenomicMatrix
    a22: RelationshipInverse
    tau: float
    omega: float
    source: RelationshipInverse
    rows: NDArray[np.int32]

    @property
    def logdet(self) -> float:
        """log|G_eff|, known where ω is 1."""
        return self.inverse.logdet - self.rows.size * float(np.log(self.tau)) if self.omega == 1.0 else np.nan

    @cached_property
    def diagonal(self) -> Array:
        """Near that of Δ: A₂₂⁻¹ from probes, within what is known of it, 1/(A₂₂)ᵢᵢ and (A⁻¹)ᵢᵢ; H⁻¹ᵢᵢ never below τ/gᵢᵢ."""
        of_a = self.source.matrix.diagonal()[self.rows]
        of_a22 = np.clip(
            probed_diagonal(self.a22.multiply_inverse, self.rows.size), 1.0 / self.a22.diagonal, of_a
        )  # fmt: skip
        found = self.tau * self.inverse.inverse_diagonal() - self.omega * of_a22
        return np.asarray(np.maximum(found, self.tau / self.matrix.diagonal() - of_a))

    def multiply(self, vectors: Array) -> Array:
        """Δ V."""
        product = self.tau * self.inverse.multiply_inverse(vectors)
        if self.omega != 0.0:
            product -= self.omega * self.a22.multiply_inverse(vectors)
        return product

    def multiply_effective(self, vectors: Array) -> Array:
        """G_eff V; iterated where ω is not 1, with G/τ as preconditioner."""
        if self.omega == 1.0:
            return self.inverse.multiply(vectors) / self.tau
        return solved(self._effective_inverse, lambda block: self.inverse.multiply(block) / self.tau, vectors)

    def multiply_genomic_inverse(self, vectors: Array) -> Array:
        """G⁻¹ V."""
        return self.inverse.multiply_inverse(vectors)

    def dense(self) -> Array:
        """Δ by products with unit vectors."""
        whole = self.multiply(np.eye(self.rows.size))
        return 0.5 * (whole + whole.T)

    def _effective_inverse(self, vectors: Array) -> Array:
        product = self.tau * self.inverse.multiply_inverse(vectors)
        return product + (1.0 - self.omega) * self.a22.multiply_inverse(vectors)


@dataclass(frozen=True)
class GenotypedRemainder:
    """Δ at the rows of the genotyped animals, ascending.

    Attributes
    ----------
    order
        Which animal of G has each of the rows.
    """

    rows: NDArray[np.int32]
    order: NDArray[np.int64]
    difference: Difference

    @classmethod
    def of(cls, rows: NDArray[np.int32], difference: Difference) -> GenotypedRemainder:
        """From rows in the order of G."""
        order = np.argsort(rows)
        return cls(rows[order], order, difference)

    @property
    def diagonal(self) -> Array:
        """Of Δ, or near it."""
        return self.difference.diagonal[self.order]

    def multiply(self, vectors: Array) -> Array:
        """Δ V."""
        in_order = np.empty_like(vectors)
        in_order[self.order] = vectors
        return self.difference.multiply(in_order)[self.order]

    def dense(self) -> Array:
        """Δ."""
        return self.difference.dense()[np.ix_(self.order, self.order)]


def probed_diagonal(product: Callable[[Array], Array], size: int) -> Array:
    """Diagonal of a symmetric matrix, estimated from products with random signs (Bekas, Kokiopoulou & Saad 2007).

    The signs are the same every time.
    """
    signs = np.where(np.random.default_rng(size).random((size, PROBES)) < 0.5, -1.0, 1.0)
    return np.asarray((signs * product(signs)).mean(axis=1))


def solved(product: Callable[[Array], Array], preconditioned: Callable[[Array], Array], rhs: Array) -> Array:
    """M⁻¹ B by conjugate gradients, a column beside the other.

    Raises
    ------
    NumericalError
        If `MOST_ROUNDS` are not enough.
    """
    solution, residual = np.zeros_like(rhs), rhs.copy()
    goal = ENOUGH * np.linalg.norm(rhs, axis=0)
    direction = preconditioned(residual)
    steepness = (residual * direction).sum(axis=0)
    for _ in range(MOST_ROUNDS):
        if (np.linalg.norm(residual, axis=0) <= goal).all():
            return solution
        image = product(direction)
        step = _ratio(steepness, (direction * image).sum(axis=0))
        solution += step * direction
        residual -= step * image
        changed = preconditioned(residual)
        before, steepness = steepness, (residual * changed).sum(axis=0)
        direction = changed + _ratio(steepness, before) * direction
    raise NumericalError(
        f"a product with (τG⁻¹ + (1 - ω)A22⁻¹)⁻¹ did not settle in {MOST_ROUNDS} rounds -> take ω nearer to 1"
    )


def _ratio(above: Array, below: Array) -> Array:
    """Quotients, 0 where nothing is left of a column."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0.0)
