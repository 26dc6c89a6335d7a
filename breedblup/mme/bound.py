"""A bound on the error of an iterate, from what is known without solving.

With e = x* - x_k and r = b - C x_k, ‖e‖²_C = r'C⁻¹r. Moving the fixed effects by δ = (X'R⁻¹X)⁻¹ r_x makes the residual of the
fixed equations zero; the move and what is left are orthogonal in C, so

    ‖e‖²_C = r_x'(X'R⁻¹X)⁻¹ r_x + s'(C⁻¹)_uu s,      s = r_u - Z'R⁻¹X δ

and the prediction error variance (C⁻¹)_uu is at most G, whatever is estimated beside u. Hence

    ‖e‖²_C ≤ r_x'δ + Σₖ s_k' (G₀ₖ ⊗ Kₖ) s_k

which takes a solution with X'R⁻¹X, a product with C and one with each K. No eigenvalue is estimated: it is a bound. Rounding:
the residual has to be accurate (`breedblup.solvers.operators.fill_residual`), and because X'R⁻¹X is solved in floating
point the move is made twice, with the norms of both added. And
|e_i| ≤ √(C⁻¹)_ii ‖e‖_C ≤ √(K_ii G₀_cc) ‖e‖_C, and the same for
every combination of the effects of a level: what bounds the norm bounds every random effect in units of its own prior
standard deviation. Fixed groups of unknown parents are fixed effects, X then being [X, ZQ], and u the deviation from them: the
bound is that of the deviation (`breedblup.mme.fixed_space`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breedblup.mme.covariances import covariance_of
from breedblup.mme.fixed_space import FixedSpace
from breedblup.mme.layout import EquationLayout
from breedblup.mme.marker_system import MarkerTerm
from breedblup.relationship import RelationshipInverse
from breedblup.solvers.operators import AccurateOperator
from breedblup.variances import VarianceComponents

FIXED_MOVES = 2
"""The second takes what rounding left of the first."""


@dataclass(frozen=True)
class EnergyBound:
    """An upper bound of ‖x* - x‖_C, in prior standard deviations of the random effects.

    Attributes
    ----------
    operator
        C; with effects of markers after the equations of the layout where there are such.
    fixed
        What has no prior, with its factor.
    markers
        The term that rests on them: its breeding values then stand for their residual polygenic part.
    """

    operator: AccurateOperator
    layout: EquationLayout
    variances: VarianceComponents
    fixed: FixedSpace
    markers: MarkerTerm | None = None

    def __call__(self, x: NDArray[np.float64], residual: NDArray[np.float64]) -> float:
        """Bound from an iterate's true residual b - C x."""
        left = residual.copy()
        moved = sum(self._move_fixed(left) for _ in range(FIXED_MOVES))
        return float(moved + np.sqrt(max(self._prior_norm(left), 0.0)))

    def _move_fixed(self, left: NDArray[np.float64]) -> float:
        """Solve for what has no prior, take what that explains out of ``left``, and return the norm of the move."""
        if not self.fixed.factor.dependent.size:
            return 0.0
        size = self.layout.size
        move = np.zeros_like(left)
        move[:size] = self.fixed.spread(self.fixed.factor.solve(self.fixed.collect(left[:size])))
        product = np.empty_like(left)
        self.operator.multiply(move, product)
        norm = np.sqrt(max(float(move @ product), 0.0))
        left -= product
        return float(norm)

    def _prior_norm(self, left: NDArray[np.float64]) -> float:
        """Sum over random terms of s'(G₀ ⊗ K)s."""
        total = 0.0
        for k, term in enumerate(self.layout.terms):
            width = self.layout.width(k)
            if term.kind == "random" and width:
                part = left[self.layout.starts[k] : self.layout.starts[k + 1]].reshape(-1, width)
                related = part if term.relationship is None else self._related(k, term.relationship, part)
                total += float(np.sum(part * (related @ covariance_of(self.layout, k, self.variances))))
        if self.markers is not None:
            effects = left[self.layout.size :].reshape(self.markers.relationship.matrix.effects, -1)
            total += float(
                np.sum(effects * (effects @ covariance_of(self.layout, self.markers.number, self.variances)))
            )
        return total

    def _related(self, k: int, relationship: RelationshipInverse, part: NDArray[np.float64]) -> NDArray[np.float64]:
        """K s of the k-th term."""
        if self.markers is not None and self.markers.number == k:
            return self.markers.relationship.multiply_residual(part)
        return relationship.multiply(part)
