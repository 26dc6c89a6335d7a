"""The equations in CSR, on a pattern that is analysed once and refreshed in place for other variances.

    [ X'R⁻¹X   X'R⁻¹Z           ] [b]   [ X'R⁻¹y ]
    [ Z'R⁻¹X   Z'R⁻¹Z + G⁻¹     ] [u] = [ Z'R⁻¹y ]        (Henderson 1973)

with R⁻¹ = D/σ²e and G⁻¹ the blocks K⁻¹/σ²ₖ: a linear combination of W'DW and the K⁻¹ with one weight each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from breedblup.errors import ModelError
from breedblup.kernels import assembly
from breedblup.mme.constraints import Constraints
from breedblup.mme.incidence import Incidence, Inverse, Pattern, fill_pattern
from breedblup.mme.layout import EquationLayout
from breedblup.variances import VarianceComponents


@dataclass(frozen=True, slots=True)
class MixedModelEquations:
    """``lhs`` x = ``rhs``, symmetric, with the meaning of each equation.

    Equations that are constrained to zero have 1 on the diagonal and nothing else.
    """

    lhs: scipy.sparse.csr_array
    rhs: NDArray[np.float64]
    layout: EquationLayout


@dataclass(frozen=True, slots=True)
class EquationPattern:
    """All of the equations that does not depend on variances.

    Attributes
    ----------
    incidence
        W with constrained columns left out.
    pattern
        Positions, the records' part of the values, and the places of the entries of K⁻¹.
    inverse_values
        Values of all K⁻¹, one term after the other, cut by ``inverse_bounds``.
    rhs
        W'Dy.
    values
        The buffer that `equations` refreshes: the values of the last ``lhs`` handed out.
    """

    layout: EquationLayout
    incidence: Incidence
    constrained: NDArray[np.int64]
    pattern: Pattern
    inverse_values: NDArray[np.float64]
    inverse_bounds: NDArray[np.int64]
    rhs: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def nonzeros(self) -> int:
        """Entries of the left-hand side, both triangles."""
        return self.pattern.nonzeros

    def equations(self, variances: VarianceComponents) -> MixedModelEquations:
        """The equations at given variances, written over the values of those handed out before.

        Raises
        ------
        ModelError
            If a variance is zero: its term has no inverse and has to leave the model.
        """
        residual = 1.0 / float(variances.residual_matrix()[0, 0])
        weights = np.array(
            [inverse_variance(term.name, variances) for term in self.layout.terms if term.kind == "random"]
        )
        assembly.combine(
            self.pattern.records_part, residual, self.inverse_values, self.pattern.place, weights,
            self.inverse_bounds, self.values,
        )  # fmt: skip
        self.values[self.pattern.pointer[self.constrained]] = 1.0  # their only entry
        return MixedModelEquations(self.pattern.matrix(self.values), residual * self.rhs, self.layout)


def inverse_variance(name: str, variances: VarianceComponents) -> float:
    """1/σ² of a random term; `ModelError` where the variance is zero."""
    variance = float(variances.matrix(name)[0, 0])
    if variance == 0.0:
        raise ModelError(f"the variance of {name!r} is 0: its effects are all zero -> leave the term out of the model")
    return 1.0 / variance


def assemble_equations(incidence: Incidence, layout: EquationLayout, constraints: Constraints) -> EquationPattern:
    """Pattern and parts of the equations: one pass over records and K⁻¹ counts, one fills.

    Parameters
    ----------
    incidence
        Of all terms (`build_incidence`).
    constraints
        Fixed equations to set to zero (`constrain_fixed`).
    """
    constrained = constraints.equations
    free = incidence.without(constrained, layout.size)
    inverse, values, bounds = _stack_inverses(layout)
    pattern = fill_pattern(free, layout.size, inverse)
    rhs = np.zeros(layout.size)
    assembly.rhs_sums(free.columns, free.slots, free.covariates, free.weights * free.y, rhs)
    buffer = np.empty(pattern.nonzeros)
    return EquationPattern(layout, free, constrained, pattern, values, bounds, rhs, buffer)


def _stack_inverses(layout: EquationLayout) -> tuple[Inverse, NDArray[np.float64], NDArray[np.int64]]:
    """K⁻¹ of all random terms below each other, with columns numbered as equations."""
    pointers = [np.zeros(1, dtype=np.int64)]
    indices: list[NDArray[np.int32]] = []
    values: list[NDArray[np.float64]] = []
    bounds = [0]
    for term, start in zip(layout.terms, layout.starts, strict=False):
        if term.kind == "fixed":
            continue
        levels = len(term.levels)
        matrix = (
            scipy.sparse.csr_array(scipy.sparse.eye_array(levels, format="csr"))
            if term.relationship is None
            else term.relationship.matrix
        )
        pointers.append(matrix.indptr[1:].astype(np.int64) + bounds[-1])
        indices.append(matrix.indices.astype(np.int32, copy=False) + np.int32(start))
        values.append(matrix.data)
        bounds.append(bounds[-1] + matrix.nnz)
    if len(values) == 1:  # the common case, without a copy of the largest array
        return (layout.fixed_size, np.concatenate(pointers), indices[0]), values[0], np.array(bounds, dtype=np.int64)
    stacked = (
        layout.fixed_size,
        np.concatenate(pointers),
        np.concatenate([np.empty(0, dtype=np.int32), *indices]),
    )
    return stacked, np.concatenate([np.empty(0), *values]), np.array(bounds, dtype=np.int64)
