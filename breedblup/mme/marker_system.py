"""Equations of single-step SNP-BLUP: those that are stored, and effects of markers beside them, as an operator.

Stored are the equations C_A of the model with A⁻¹ (of the term's rows). In the coordinates x̃ = (b, ã, g), u = ã + Wg
(`breedblup.relationship.marker_form`), ã and g are independent a priori. Since A⁻¹W = [0; A₂₂⁻¹Z], a product takes one with C_A,
T of Zg and of ã₂ together, one T', Z and Z':

    r   = C_A (b, ã + Wg)
    ã:    r_u + [0; (C⁻¹ - A₂₂⁻¹)ã₂ - A₂₂⁻¹Zg] P
    g:    Z'{r₂ + T'r₁ - A₂₂⁻¹(Zg + ã₂) P} + g P,        P = G₀⁻¹.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import ModelError
from breedblup.mme.layout import EquationLayout
from breedblup.mme.remainders import equations_of_rows
from breedblup.relationship.marker_form import MarkerOperator
from breedblup.solvers.operators import AccurateOperator

_Vector = NDArray[np.float64]


@dataclass(frozen=True)
class MarkerTerm:
    """A random term that rests on effects of markers.

    Attributes
    ----------
    number
        Of the term.
    relationship
        Its K.
    genotyped, others
        Equations of its levels, levels × c.
    precision
        P, c × c.
    """

    number: int
    relationship: MarkerOperator
    genotyped: NDArray[np.int64]
    others: NDArray[np.int64]
    precision: NDArray[np.float64]

    @classmethod
    def of(
        cls, layout: EquationLayout, k: int, relationship: MarkerOperator, precision: NDArray[np.float64]
    ) -> MarkerTerm:
        """The k-th term of a layout."""
        genotyped, others = (
            equations_of_rows(layout, k, rows) for rows in (relationship.genotyped, relationship.others)
        )
        return cls(k, relationship, genotyped, others, precision)

    def at(self, place: NDArray[np.integer]) -> MarkerTerm:
        """The same in another order of the equations, of which ``place`` says where each stands."""
        genotyped, others = (place[rows].astype(np.int64) for rows in (self.genotyped, self.others))
        return replace(self, genotyped=genotyped, others=others)


def marker_term(layout: EquationLayout, precisions: Sequence[NDArray[np.float64]]) -> MarkerTerm | None:
    """The term that rests on effects of markers, None where there is none; ``precisions`` are G₀⁻¹ by term.

    Raises
    ------
    ModelError
        If there are several.
    """
    found = [
        (k, term.relationship.operator)
        for k, term in enumerate(layout.terms)
        if term.relationship is not None and layout.width(k)
        if isinstance(term.relationship.operator, MarkerOperator)
    ]
    if len(found) > 1:
        raise ModelError(
            f"{len(found)} random terms take the single-step form 'markers', and one can -> make the others with form='explicit' "
            "or 'apy'"
        )
    if not found:
        return None
    k, operator = found[0]
    return MarkerTerm.of(layout, k, operator, precisions[k])


@dataclass(frozen=True)
class MarkerSystem:
    """The operator, and the way between its coordinates and those of the breeding values.

    Attributes
    ----------
    stored
        C_A, with the remainders of other terms.
    size
        Its equations.
    """

    stored: AccurateOperator
    size: int
    term: MarkerTerm

    def multiply(self, x: _Vector, out: _Vector) -> None:
        """Fill the product with x̃."""
        values, of_markers, whole = self._parts(x)
        self.stored.multiply(whole, out[: self.size])
        self._finish(values, of_markers, self.effects(x), out, -1.0)

    def residual(self, rhs: _Vector, x: _Vector, out: _Vector) -> None:
        """Fill b̃ - C̃ x̃ for b̃ = V'b, of which the leading part is b."""
        values, of_markers, whole = self._parts(x)
        self.stored.residual(rhs[: self.size], whole, out[: self.size])
        self._finish(values, of_markers, self.effects(x), out, 1.0)

    def right_side(self, rhs: _Vector) -> _Vector:
        """V'b."""
        of_effects = self._to_effects(rhs[self.term.genotyped] + self.term.relationship.collect(rhs[self.term.others]))
        return np.concatenate([rhs, of_effects])

    def expand(self, x: _Vector) -> _Vector:
        """Solutions of the stored equations: b and u = ã + Wg."""
        return self._parts(x)[2]

    def effects(self, x: _Vector) -> NDArray[np.float64]:
        """g, effects × c."""
        return x[self.size :].reshape(self.term.relationship.matrix.effects, -1)

    def duals(self, x: _Vector) -> NDArray[np.float64]:
        """G⁻¹u₂ = C⁻¹ã₂, genotyped × c."""
        residual = x[self.term.genotyped]
        return self.term.relationship.component.solved_beside(
            residual, self.term.relationship.blocks.multiply_inverse(residual)
        )

    def _parts(self, x: _Vector) -> tuple[tuple[_Vector, _Vector], tuple[_Vector, _Vector], _Vector]:
        """ã₂ and its imputation, Zg and its imputation, and (b, u)."""
        c = self.term.precision.shape[0]
        residual, of_markers = x[self.term.genotyped], self.term.relationship.matrix.multiply_effects(self.effects(x))
        imputed = self.term.relationship.impute(np.hstack([residual, of_markers]))
        whole = x[: self.size].copy()
        whole[self.term.genotyped] += of_markers
        whole[self.term.others] += imputed[:, c:]
        return (residual, imputed[:, :c]), (of_markers, imputed[:, c:]), whole

    def _finish(
        self, of_residual: tuple[_Vector, _Vector], of_markers: tuple[_Vector, _Vector], effects: _Vector, out: _Vector,
        sign: float,
    ) -> None:  # fmt: skip
        """Add to the product with C_A, or subtract from the residual (sign 1), what x̃ has beside."""
        kernel = self.term.relationship
        residual_by_a, markers_by_a = kernel.a22_inverse(*of_residual), kernel.a22_inverse(*of_markers)
        own = out[self.term.genotyped] + kernel.collect(out[self.term.others])
        own += sign * (residual_by_a + markers_by_a) @ self.term.precision
        out[self.size :] = self._to_effects(own) - sign * (effects @ self.term.precision).ravel()
        change = kernel.component.solved_beside(of_residual[0], residual_by_a) - residual_by_a - markers_by_a
        out[self.term.genotyped] -= sign * change @ self.term.precision

    def _to_effects(self, values: _Vector) -> _Vector:
        return self.term.relationship.matrix.multiply_effects_transposed(values).ravel()
