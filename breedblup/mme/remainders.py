"""Equations of which K⁻¹ is stored in part: what relationships have beyond that is added to each product.

For a random term with inverse covariance P = G₀⁻¹ of the effects of a level, the rows of Δ add (Δ ⊗ P).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from breedblup.mme.layout import EquationLayout
from breedblup.relationship.inverse import Remainder
from breedblup.solvers.operators import AccurateOperator

_Vector = NDArray[np.float64]


@dataclass(frozen=True)
class RemainderOfTerm:
    """Δ ⊗ P of one random term.

    Attributes
    ----------
    number
        Of the term.
    places
        Equation of each row of Δ and each effect of a level (rows × c).
    precision
        P, c × c.
    dropped
        Which of them are set to zero (groups of unknown parents that records cannot tell apart).
    """

    number: int
    remainder: Remainder
    places: NDArray[np.int64]
    precision: NDArray[np.float64]
    dropped: NDArray[np.bool_]

    def at(self, place: NDArray[np.integer]) -> RemainderOfTerm:
        """The same in another order of the equations, of which ``place`` says where each stands."""
        return replace(self, places=place[self.places].astype(np.int64))

    def product(self, x: _Vector) -> _Vector:
        """(Δ ⊗ P) times the values at its equations of one vector, rows × c, or several, rows × c × k."""
        values = np.where(self._dropped_of(x), 0.0, x[self.places])
        related = self.remainder.multiply(values.reshape(len(values), -1)).reshape(values.shape)
        product = np.einsum("rc...,cd->rd...", related, self.precision)
        return np.where(self._dropped_of(x), 0.0, product)

    def _dropped_of(self, x: _Vector) -> NDArray[np.bool_]:
        return self.dropped if x.ndim == 1 else self.dropped[:, :, None]

    def blocks(self, size: int) -> scipy.sparse.csr_array:
        """The blocks of single levels, for a preconditioner."""
        c = self.precision.shape[0]
        values = self.remainder.diagonal[:, None, None] * self.precision
        values[self.dropped[:, :, None] | self.dropped[:, None, :]] = 0.0
        row = np.broadcast_to(self.places[:, :, None], (*self.places.shape, c))
        column = np.broadcast_to(self.places[:, None, :], (self.places.shape[0], c, c))
        return scipy.sparse.coo_array((values.ravel(), (row.ravel(), column.ravel())), shape=(size, size)).tocsr()


@dataclass(frozen=True)
class WithRemainders:
    """A stored matrix and the remainders of its terms."""

    stored: AccurateOperator
    parts: tuple[RemainderOfTerm, ...]

    def multiply(self, x: _Vector, out: _Vector) -> None:
        """Fill A x."""
        self.stored.multiply(x, out)
        for part in self.parts:
            out[part.places] += part.product(x)

    def residual(self, rhs: _Vector, x: _Vector, out: _Vector) -> None:
        """Fill b - A x; products with the remainders are rounded once each."""
        self.stored.residual(rhs, x, out)
        for part in self.parts:
            out[part.places] -= part.product(x)


def remainders_of(
    layout: EquationLayout, precisions: Sequence[NDArray[np.float64]], groups: NDArray[np.int64]
) -> tuple[RemainderOfTerm, ...]:
    """Remainders of the random terms of a layout; ``precisions`` are G₀⁻¹ by term, ``groups`` equations set to zero."""
    found = []
    for k, term in enumerate(layout.terms):
        remainder = None if term.relationship is None else term.relationship.remainder
        if remainder is not None and layout.width(k):
            places = equations_of_rows(layout, k, remainder.rows)
            found.append(RemainderOfTerm(k, remainder, places, precisions[k], np.isin(places, groups)))
    return tuple(found)


def equations_of_rows(layout: EquationLayout, k: int, rows: NDArray[np.integer]) -> NDArray[np.int64]:
    """Equations of some levels of the k-th term, levels × width."""
    width = layout.width(k)
    equations: NDArray[np.int64] = layout.starts[k] + rows.astype(np.int64)[:, None] * width + np.arange(width)
    return equations


def with_remainders(stored: AccurateOperator, parts: Sequence[RemainderOfTerm]) -> AccurateOperator:
    """The stored matrix, with what there is to add."""
    return WithRemainders(stored, tuple(parts)) if parts else stored
