"""The equations in CSR, on a pattern that is analysed once and refreshed in place for other variances.

    [ X'R⁻¹X   X'R⁻¹Z           ] [b]   [ X'R⁻¹y ]
    [ Z'R⁻¹X   Z'R⁻¹Z + G⁻¹     ] [u] = [ Z'R⁻¹y ]        (Henderson 1973)

R⁻¹ has a block for each record: the inverse of the residual covariance of the traits that it has, which is not a block of the
inverse for all traits (Henderson & Quaas 1976). G⁻¹ has a block G₀⁻¹ ⊗ K⁻¹ for each random term.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from breedblup.kernels.unit_rows import set_to_unit
from breedblup.mme.constraints import Constraints
from breedblup.mme.covariances import inverse_covariance
from breedblup.mme.incidence import Incidence, build_slots
from breedblup.mme.layout import EquationLayout
from breedblup.mme.marker_system import MarkerTerm, marker_term
from breedblup.mme.pattern import Pattern, PatternCounts, count_pattern
from breedblup.mme.remainders import RemainderOfTerm, remainders_of, with_remainders
from breedblup.solvers.operators import AccurateOperator, CsrOperator
from breedblup.variances import VarianceComponents


@dataclass(frozen=True, slots=True)
class MixedModelEquations:
    """``lhs`` x = ``rhs``, symmetric, with the meaning of each equation.

    Equations that are constrained to zero have 1 on the diagonal and nothing else; ``groups`` are those of fixed groups of
    unknown parents among them.

    Attributes
    ----------
    remainders
        What relationships have beyond their stored entries, to be added to ``lhs``.
    markers
        The term that rests on effects of markers, where there is one: ``lhs`` holds A⁻¹ for it.
    """

    lhs: scipy.sparse.csr_array
    rhs: NDArray[np.float64]
    layout: EquationLayout
    groups: NDArray[np.int64]
    remainders: tuple[RemainderOfTerm, ...] = ()
    markers: MarkerTerm | None = None

    def operator(self) -> AccurateOperator:
        """The left-hand side with its remainders, as what it does to a vector."""
        return with_remainders(CsrOperator(self.lhs), self.remainders)


@dataclass(frozen=True, slots=True)
class EquationPattern:
    """All of the equations that does not depend on variances, as long as the ranks of covariance matrices stay the same.

    Attributes
    ----------
    values
        The buffer that `equations` refreshes: the values of the last ``lhs`` handed out.
    groups
        Equations of groups of unknown parents that are set to zero: their rows and columns keep their places.
    """

    layout: EquationLayout
    incidence: Incidence
    pattern: Pattern
    values: NDArray[np.float64]
    groups: NDArray[np.int64]

    @classmethod
    def of(cls, counts: PatternCounts, layout: EquationLayout, constraints: Constraints) -> EquationPattern:
        """Fill what was counted."""
        pattern = counts.positions()
        return cls(layout, counts.incidence, pattern, np.empty(pattern.nonzeros), constraints.groups)

    @property
    def nonzeros(self) -> int:
        """Entries of the left-hand side, both triangles."""
        return self.pattern.nonzeros

    def equations(self, variances: VarianceComponents) -> MixedModelEquations:
        """The equations at given variances, written over the values of those handed out before.

        Raises
        ------
        ModelError
            If the rank of a covariance matrix is not that of the layout.
        """
        layout = self.layout.refreshed(variances)
        covariances = [inverse_covariance(layout, k, variances) for k in range(len(layout.terms))]
        return self.filled(layout, self.incidence.residual_inverses(variances), covariances)

    def filled(
        self, layout: EquationLayout, residual: NDArray[np.float64], covariances: list[NDArray[np.float64]]
    ) -> MixedModelEquations:
        """The equations of a layout with this pattern.

        Parameters
        ----------
        residual
            R⁻¹ by pattern of traits (`Incidence.residual_inverses`).
        covariances
            G₀⁻¹ by term, in the coordinates of its equations; zeros for a fixed term.
        """
        rows, slots = self.incidence.rows, build_slots(layout)
        self.pattern.fill(rows, slots, residual, covariances, self.values)
        rhs = self.pattern.right_side(rows, slots, residual, self.incidence.y)
        set_to_unit(self.pattern.pointer, self.pattern.indices, self.values, self.groups)
        rhs[self.groups] = 0.0
        lhs = self.pattern.matrix(self.values)
        remainders = remainders_of(layout, covariances, self.groups)
        return MixedModelEquations(lhs, rhs, layout, self.groups, remainders, marker_term(layout, covariances))


def assemble_equations(incidence: Incidence, layout: EquationLayout, constraints: Constraints) -> EquationPattern:
    """The pattern of the equations, with room for their values.

    Parameters
    ----------
    incidence
        Of all terms (`build_incidence`).
    constraints
        Equations to set to zero (`constrain`).
    """
    return EquationPattern.of(count_pattern(incidence, layout, constraints.equations), layout, constraints)
