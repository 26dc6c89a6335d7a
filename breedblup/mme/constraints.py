"""Dependent columns of X: found, set to zero and named.

Two rules, in this order (`docs/developing.md` says why):

1. Where the model has an overall constant (an intercept, or a Legendre covariate that is not nested), the first level of
   every set of classes is its reference and set to zero, as R's treatment contrasts do.
2. What remains dependent is found by a sparse LDL' of X'R⁻¹X with the terms of many equations first: of a set of dependent
   columns the one that comes last in that order is set to zero.

Estimable functions do not depend on either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breedblup.mme.incidence import Incidence, fill_pattern
from breedblup.mme.layout import EquationLayout
from breedblup.solvers.rank import RankFactor, dependent_columns, elimination_order


@dataclass(frozen=True, slots=True)
class Constraints:
    """Fixed equations that are set to zero.

    Attributes
    ----------
    reference
        Equations of reference levels (rule 1).
    dependent
        Equations found dependent on others (rule 2).
    rank
        Rank of X.
    factor
        Factor of the X'DX that is left (D the record weights), over all fixed equations.
    """

    reference: NDArray[np.int64]
    dependent: NDArray[np.int64]
    rank: int
    factor: RankFactor

    @property
    def equations(self) -> NDArray[np.int64]:
        """All constrained equations, ascending."""
        return np.sort(np.concatenate([self.reference, self.dependent]))

    def notes(self, layout: EquationLayout) -> tuple[str, ...]:
        """What was set to zero, named."""
        said = []
        for what, equations in (("reference levels", self.reference), ("dependent on others", self.dependent)):
            if equations.size:
                names = [layout.describe(int(e)).split("(", 1)[1][:-1] for e in equations[:10]]
                more = f" and {equations.size - 10} more" if equations.size > 10 else ""
                said.append(f"fixed effects set to zero, {what}: {', '.join(names)}{more}")
        said.append(f"rank of the fixed part {self.rank} of {layout.fixed_size}")
        return tuple(said)


def constrain_fixed(incidence: Incidence, layout: EquationLayout) -> Constraints:
    """Find the fixed equations that have to be set to zero.

    Parameters
    ----------
    incidence
        Of all terms; only its fixed part is looked at.
    """
    size = layout.fixed_size
    fixed = [
        (term, int(start)) for term, start in zip(layout.terms, layout.starts, strict=False) if term.kind == "fixed"
    ]
    constant = any(term.spans_constant for term, _ in fixed)
    reference = np.array(
        [start for term, start in fixed if constant and term.classes and not term.spans_constant], dtype=np.int64
    )
    part = incidence.leading(size).without(reference, size)
    nothing = (size, np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int32))
    pattern = fill_pattern(part, size, nothing)
    order = elimination_order([term.equations for term, _ in fixed])
    factor = dependent_columns(pattern.matrix(pattern.records_part), order)
    dependent = np.setdiff1d(np.flatnonzero(factor.dependent), reference)
    return Constraints(reference, dependent, factor.rank, factor)
