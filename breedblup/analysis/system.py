"""What is solved: all equations, or those that are left when animals without progeny have been eliminated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse import csr_array

from breedblup.analysis.genomic import components_of
from breedblup.errors import ModelError, NotPositiveDefinite, counted
from breedblup.mme import (
    EnergyBound,
    EquationLayout,
    EquationPattern,
    FixedSpace,
    MixedModelEquations,
    factor_fixed,
    group_equations,
)
from breedblup.mme.marker_preconditioner import MarginalPreconditioner, MarkerPreconditioner, seen_by_records
from breedblup.mme.marker_system import MarkerSystem, MarkerTerm
from breedblup.mme.reduction import ReducedEquations, Reduction, analyse_reduction, eliminable
from breedblup.mme.remainders import RemainderOfTerm, with_remainders
from breedblup.relationship.blocks import A22Operator
from breedblup.relationship.marker_form import marker_operator
from breedblup.relationship.single_step_operator import SingleStepOperator
from breedblup.solvers.locality import locality_order
from breedblup.solvers.operators import AccurateOperator, LowerOperator
from breedblup.solvers.preconditioners import FixedAndBlocks, Preconditioner
from breedblup.solvers.rank import RankFactor
from breedblup.solvers.records import Solution
from breedblup.variances import VarianceComponents

_Vector = NDArray[np.float64]


def terms_with_parents(layout: EquationLayout) -> list[int]:
    """Numbers of the random terms whose relationship is made of parents."""
    return [k for k, term in enumerate(layout.terms) if term.relationship is not None and term.relationship.parents]


def find_reduction(pattern: EquationPattern, layout: EquationLayout) -> Reduction:
    """Which animals can be eliminated: those without progeny, of the largest term that knows parents.

    Of two that a record links (pen mates, a dam without a place in the pedigree) one stays.

    Raises
    ------
    ModelError
        If no random term knows parents.
    """
    known = terms_with_parents(layout)
    if not known:
        raise ModelError("a reduced animal model is asked for, but no random term has a pedigree -> leave reduce out")
    k = max(known, key=layout.equations)
    relationship, width = layout.terms[k].relationship, layout.width(k)
    assert relationship is not None
    is_parent = np.zeros(relationship.animals, dtype=np.bool_)
    for parent, _ in relationship.parents:
        is_parent[parent[(parent >= 0) & (parent < is_parent.size)]] = True
    lhs = pattern.pattern.matrix(pattern.values)
    candidates = layout.starts[k] + width * np.flatnonzero(~is_parent)
    starts = eliminable(lhs, candidates, width) if width else candidates[:0]
    if starts.size * width == layout.size:  # something has to be left to solve
        starts = starts[:-1]
    return analyse_reduction(lhs, starts, max(width, 1))


def reduction_note(reduction: Reduction, layout: EquationLayout) -> str:
    """What was eliminated."""
    return (
        f"reduced animal model: {counted(reduction.starts.size, 'animal')} without progeny eliminated exactly, "
        f"{reduction.kept.size:,} of {layout.size:,} equations solved"
    )


@dataclass(frozen=True)
class System:
    """``lhs`` x = ``rhs`` as it is solved.

    Attributes
    ----------
    equations
        All equations.
    reduced
        Those that were kept, where animals were eliminated.
    """

    equations: MixedModelEquations
    reduced: ReducedEquations | None

    @classmethod
    def of(cls, equations: MixedModelEquations, reduction: Reduction | None) -> System:
        """Eliminate where that was planned."""
        return cls(equations, None if reduction is None else reduction.reduce(equations.lhs, equations.rhs))

    @property
    def lhs(self) -> scipy.sparse.csr_array:
        """Left-hand side."""
        return self.equations.lhs if self.reduced is None else self.reduced.lhs

    @property
    def rhs(self) -> NDArray[np.float64]:
        """Right-hand side."""
        return self.equations.rhs if self.reduced is None else self.reduced.rhs

    def number(self, equation: int) -> int:
        """Number among all equations of one that is solved."""
        return equation if self.reduced is None else int(self.reduced.kept[equation])

    def expand(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solutions of all equations."""
        return x if self.reduced is None else self.reduced.expand(x)

    def factor_fixed(self) -> RankFactor:
        """Factor of the leading block, that of the fixed effects."""
        return factor_fixed(self.lhs, self.equations.layout)

    def blocks(self) -> NDArray[np.int64]:
        """First equation of each level's block among those solved, and the end."""
        blocks = self.equations.layout.blocks()
        if self.reduced is None:
            return blocks
        first = np.zeros(self.equations.layout.size, np.bool_)
        first[blocks[:-1]] = True
        kept = self.reduced.kept
        return np.append(np.flatnonzero(first[kept]), kept.size)

    def in_locality_order(self) -> OrderedSystem:
        """What PCG iterates on: one triangle, in an order in which coupled equations lie near each other."""
        blocks, cut = self.blocks(), self.equations.layout.fixed_size
        locality = locality_order(self.lhs, blocks[np.searchsorted(blocks, cut) :])
        return OrderedSystem(self, LowerOperator(self.lhs, locality))

    def bound(self, variances: VarianceComponents, fixed: RankFactor) -> EnergyBound | ReducedBound:
        """How far an iterate is from the solution; ``fixed`` is what `factor_fixed` gave."""
        layout = self.equations.layout
        groups = group_equations(layout)
        known = self.reduced is None and not groups.size
        space = FixedSpace(layout, groups, fixed) if known else FixedSpace.of(self.equations)
        stored, markers = self.equations.operator(), self.equations.markers
        operator = stored if markers is None else MarkerSystem(stored, layout.size, markers)
        whole = EnergyBound(operator, layout, variances, space, markers)
        return whole if self.reduced is None else ReducedBound(whole, self.reduced.kept)


@dataclass(frozen=True)
class OrderedSystem:
    """A system in an order of its own, fixed effects first: what belongs to its equations stands in that order.

    Effects of markers, where a term rests on such, follow, and the term's breeding values stand for their residual polygenic
    part (`breedblup.mme.marker_system`).

    Attributes
    ----------
    system
        The equations as they are laid out.
    stored
        Their left-hand side as far as it is stored, with the order.
    """

    system: System
    stored: LowerOperator

    @cached_property
    def operator(self) -> AccurateOperator:
        """The whole left-hand side."""
        stored = with_remainders(self.stored, self._remainders)
        return stored if self.markers is None else self.markers

    @property
    def by_products(self) -> bool:
        """Whether the left-hand side is stored in part only."""
        return self.markers is not None or bool(self._remainders)

    @cached_property
    def markers(self) -> MarkerSystem | None:
        """Equations with effects of markers, where a term rests on them."""
        term = self.system.equations.markers
        if term is None:
            return None
        return MarkerSystem(
            with_remainders(self.stored, self._remainders), self.stored.locality.order.size, term.at(self._place)
        )

    @cached_property
    def rhs(self) -> NDArray[np.float64]:
        """Right-hand side."""
        stored = self.stored.locality.to_order(self.system.rhs)
        return stored if self.markers is None else self.markers.right_side(stored)

    @cached_property
    def _place(self) -> NDArray[np.int64]:
        """Where each equation stands, as they are laid out."""
        order = self.stored.locality.order
        place = np.empty(order.size, dtype=np.int64)
        place[order] = np.arange(order.size)
        return place

    @cached_property
    def _remainders(self) -> tuple[RemainderOfTerm, ...]:
        return tuple(part.at(self._place) for part in self.system.equations.remainders)

    def preconditioner(self, fixed: RankFactor) -> Preconditioner:
        """Exact for the fixed effects, blocks of one level each for the rest; for a term of markers see `MarkerPreconditioner`.

        Raises
        ------
        NotPositiveDefinite
            Naming the equation, if a block is not positive definite.
        """
        locality, lower = self.stored.locality, self.stored.lower
        for part in self._remainders:
            if self._components(part) is None:
                lower = csr_array(lower + part.blocks(locality.order.size))
        try:
            stored = FixedAndBlocks.of(lower, locality.starts, fixed)
        except NotPositiveDefinite as failure:
            equation = self.system.number(int(locality.order[failure.equation]))
            raise NotPositiveDefinite(
                f"{self.system.equations.layout.describe(equation)} has a non-positive pivot in the block of its level: the "
                "equations are not positive definite -> look at its variances",
                equation,
            ) from None
        if self.markers is not None:
            return self._with_markers(self.markers, stored, self.system.equations.markers)
        whole: Preconditioner = stored
        for part in self.system.equations.remainders:
            whole = self._with_components(part, whole)
        return whole

    def _with_markers(
        self, system: MarkerSystem, stored: Preconditioner, laid_out: MarkerTerm | None
    ) -> MarkerPreconditioner:
        assert laid_out is not None
        return MarkerPreconditioner.of(system, stored, seen_by_records(self.system.lhs, laid_out))

    def _components(self, part: RemainderOfTerm) -> SingleStepOperator | None:
        return components_of(self.system.equations.layout.terms[part.number].relationship)

    def _with_components(self, part: RemainderOfTerm, whole: Preconditioner) -> Preconditioner:
        """That of marker effects where they make G⁻¹, as it was elsewhere."""
        by = self._components(part)
        if by is None:
            return whole
        operator = marker_operator(
            by.source, by.difference.matrix, by.rows, memory=cast(A22Operator, by.a22.operator).memory
        )
        laid_out = MarkerTerm.of(self.system.equations.layout, part.number, operator, part.precision)
        system = MarkerSystem(self.operator, self.stored.locality.order.size, laid_out.at(self._place))
        return MarginalPreconditioner(self._with_markers(system, whole, laid_out))

    def bound(self, variances: VarianceComponents, fixed: RankFactor) -> Callable[[_Vector, _Vector], float]:
        """How far an iterate in this order is from the solution; ``fixed`` is what `System.factor_fixed` gave."""
        bound = self.system.bound(variances, fixed)
        return lambda x, residual: bound(self._back(x), self._back(residual))

    def _back(self, x: _Vector) -> _Vector:
        """The order as laid out; effects of markers stay last."""
        size = self.stored.locality.order.size
        return np.concatenate([self.stored.locality.from_order(x[:size]), x[size:]])

    def as_laid_out(self, solution: Solution) -> Solution:
        """A solution, of breeding values, and the state it goes on from, in the order of the system."""
        state, x = solution.state, solution.x
        if state is not None:
            state = replace(state, x=self._back(state.x), r=self._back(state.r), p=self._back(state.p))
        duals = None if self.markers is None else self.markers.duals(x)
        x = x if self.markers is None else self.markers.expand(x)
        return replace(solution, x=self.stored.locality.from_order(x), state=state, duals=duals)


@dataclass(frozen=True)
class ReducedBound:
    """The bound of all equations, for an iterate of those kept: eliminated ones are solved exactly, without residual.

    With x_e = C_ee⁻¹(b_e - C_er x_r) the residual of all equations is that of the kept ones beside zeros, and r'S⁻¹r = r'C⁻¹r.
    """

    whole: EnergyBound
    kept: NDArray[np.int64]

    def __call__(self, x: NDArray[np.float64], residual: NDArray[np.float64]) -> float:
        """Bound from an iterate's true residual."""
        everywhere = np.zeros(self.whole.layout.size)
        everywhere[self.kept] = residual
        return self.whole(x, everywhere)
