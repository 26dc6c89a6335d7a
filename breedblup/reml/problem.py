"""What a maximisation of the likelihood works on: all that does not depend on the variances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from breedblup.design import Design
from breedblup.kernels.assembly import Slots
from breedblup.mme import Constraints, EquationLayout, EquationPattern
from breedblup.mme.incidence import Incidence, build_slots
from breedblup.solvers.cholesky import SymbolicFactor
from breedblup.variances.parameters import ParameterSpace

Likelihood = Literal["reml", "ml"]

OPERATIONS_OF_A_VALUE = 3e4
"""Passes over the records are counted so: up to some 30,000 values one thread is enough."""


@dataclass(frozen=True)
class RemlProblem:
    """Records, equations and parameters.

    Attributes
    ----------
    layout
        Every random term fitted as u = (Λ ⊗ I)v; its Λ are those of the first point.
    pattern
        Positions of the equations of v, and the buffer of their values.
    symbolic
        Their analysed pattern.
    random_symbolic
        That of the equations of v without the fixed effects, which ML needs; None for REML, and where there are none.
    scales
        By key of each random term, and ``residual``: variances of the size to be expected, one for each row of the matrix.
    likelihood
        Which one is maximised.
    """

    design: Design
    space: ParameterSpace
    layout: EquationLayout
    constraints: Constraints
    pattern: EquationPattern
    symbolic: SymbolicFactor
    random_symbolic: SymbolicFactor | None
    scales: Mapping[str, NDArray[np.float64]]
    likelihood: Likelihood

    @cached_property
    def residual_levels(self) -> tuple[str, ...]:
        """Names of the residual classes; empty where there is one residual for all."""
        return () if self.design.residual_levels is None else tuple(self.design.residual_levels.to_list())

    @property
    def incidence(self) -> Incidence:
        """Rows of W, and the responses."""
        return self.pattern.incidence

    @cached_property
    def plain(self) -> EquationLayout:
        """The same equations for u instead of v."""
        return EquationLayout.of(self.layout.terms)

    @cached_property
    def plain_slots(self) -> Slots:
        """Where rows of [X Z] have values, in the coordinates of u."""
        return build_slots(self.plain)

    @cached_property
    def dropped(self) -> NDArray[np.bool_]:
        """Equations that are constrained to zero."""
        dropped = self.pattern.pattern.dropped.copy()
        dropped[self.constraints.groups] = True
        return dropped

    @cached_property
    def y(self) -> NDArray[np.float64]:
        """Responses, n × traits, 0 where missing."""
        return np.nan_to_num(self.incidence.y, nan=0.0)

    @property
    def values(self) -> int:
        """Observed values of all traits, N."""
        return int(np.count_nonzero(self.design.observed))

    @property
    def rank(self) -> int:
        """Estimated fixed effects: the rank of X, and of fixed groups of unknown parents beside it."""
        return self.constraints.rank + sum(int(counts.sum()) for counts in self.groups_of_terms.values())

    @cached_property
    def groups_of_terms(self) -> dict[int, NDArray[np.int64]]:
        """By number of a term with fixed groups of unknown parents: how many are estimated, for each coordinate."""
        found = {}
        for k, term in enumerate(self.layout.terms):
            groups = None if term.relationship is None else term.relationship.groups
            if groups is None or groups.kind != "fixed":
                continue
            width, end = self.layout.width(k), int(self.layout.starts[k + 1])
            of_groups = self.dropped[end - len(groups.names) * width : end].reshape(-1, width)
            found[k] = np.count_nonzero(~of_groups, axis=0)
        return found

    @property
    def work(self) -> float:
        """About as many operations as a round takes beside the factor's, on the scale of those of a factorisation."""
        return self.symbolic.flops + OPERATIONS_OF_A_VALUE * self.values

    def with_y(self, y: NDArray[np.float64]) -> RemlProblem:
        """The same problem for other responses (n × traits, missing where these are)."""
        y = np.where(self.design.observed, y, np.nan)
        pattern = replace(
            self.pattern, incidence=replace(self.incidence, y=y), values=np.empty_like(self.pattern.values)
        )
        return replace(self, design=replace(self.design, y=y), pattern=pattern)
