"""What is estimated without a prior: fixed effects, and fixed groups of unknown parents.

A group moves all animals that descend from it: its direction in the equations of Quaas & Pollak (1981) is the column [Q; I],
which the relationship part takes to zero. M has a unit column for every fixed equation and one such column for every effect
of every fixed group that is estimated, so M'CM = [X, ZQ]'R⁻¹[X, ZQ].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from breedblup.mme.assemble import MixedModelEquations
from breedblup.mme.constraints import ROUNDED_ZERO, elimination
from breedblup.mme.group_rank import terms_with_fixed_groups
from breedblup.mme.layout import EquationLayout
from breedblup.relationship.groups import GROUPS_AT_ONCE
from breedblup.solvers.operators import AccurateOperator
from breedblup.solvers.rank import RankFactor, dependent_columns


@dataclass(frozen=True)
class FixedSpace:
    """The columns of M, and a factor of M'CM.

    Attributes
    ----------
    groups
        Equations of the fixed groups that are estimated, in the order of their columns.
    """

    layout: EquationLayout
    groups: NDArray[np.int64]
    factor: RankFactor

    @classmethod
    def of(cls, equations: MixedModelEquations) -> FixedSpace:
        """That of some equations."""
        lhs, layout = equations.lhs, equations.layout
        groups = np.setdiff1d(group_equations(layout), equations.groups)
        if not groups.size:
            return cls(layout, groups, factor_fixed(lhs, layout))
        cut = layout.fixed_size
        beside, own = _of_groups(equations.operator(), layout, groups)
        upper = scipy.sparse.hstack([lhs[:cut][:, :cut], scipy.sparse.csr_array(beside)])
        lower = scipy.sparse.hstack([scipy.sparse.csr_array(beside.T), scipy.sparse.csr_array(own)])
        leading = scipy.sparse.csr_array(scipy.sparse.vstack([upper, lower], format="csr"))
        leading.sort_indices()
        order = np.concatenate([elimination(layout), np.arange(cut, cut + groups.size)])
        return cls(layout, groups, dependent_columns(leading, order, tolerance=ROUNDED_ZERO))

    def collect(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """M'v."""
        cut = self.layout.fixed_size
        return np.concatenate([vector[:cut], _collect(self.layout, vector[:, None])[self.groups, 0]])

    def spread(self, move: NDArray[np.float64]) -> NDArray[np.float64]:
        """M δ."""
        cut = self.layout.fixed_size
        whole = np.zeros((self.layout.size, 1))
        whole[:cut, 0] = move[:cut]
        whole[self.groups, 0] = move[cut:]
        return _spread(self.layout, whole)[:, 0]


def factor_fixed(lhs: scipy.sparse.csr_array, layout: EquationLayout) -> RankFactor:
    """Factor of the leading block of equations, those of the fixed effects: X'R⁻¹X, or what elimination left of it."""
    leading = lhs[: layout.fixed_size][:, : layout.fixed_size].tocsr()
    leading.sort_indices()
    return dependent_columns(leading, elimination(layout), tolerance=ROUNDED_ZERO)


def group_equations(layout: EquationLayout) -> NDArray[np.int64]:
    """Equations of all fixed groups."""
    parts = [np.empty(0, dtype=np.int64)]
    for k in terms_with_fixed_groups(layout):
        relationship = layout.terms[k].relationship
        assert relationship is not None
        parts.append(
            np.arange(layout.starts[k] + relationship.animals * layout.width(k), layout.starts[k + 1], dtype=np.int64)
        )
    return np.concatenate(parts)


def _collect(layout: EquationLayout, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """At the equations of groups their own value and what their descendants owe them; the other rows as they are."""
    collected = vectors.copy() if terms_with_fixed_groups(layout) else vectors
    for k in terms_with_fixed_groups(layout):
        relationship, width = layout.terms[k].relationship, layout.width(k)
        assert relationship is not None
        assert relationship.groups is not None
        part = vectors[layout.starts[k] : layout.starts[k + 1]].reshape(len(relationship), -1)
        owed = relationship.groups.operator.collected_by_groups(np.ascontiguousarray(part[: relationship.animals]))
        first = layout.starts[k] + relationship.animals * width
        collected[first : layout.starts[k + 1]] += owed.reshape(-1, vectors.shape[1])
    return collected


def _spread(layout: EquationLayout, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values of groups handed down to the animals, in place."""
    for k in terms_with_fixed_groups(layout):
        relationship = layout.terms[k].relationship
        assert relationship is not None
        assert relationship.groups is not None
        part = vectors[layout.starts[k] : layout.starts[k + 1]].reshape(len(relationship), -1)
        of_groups = np.ascontiguousarray(part[relationship.animals :])
        part[: relationship.animals] += relationship.groups.operator.owed_to_groups(of_groups)
    return vectors


def _of_groups(
    operator: AccurateOperator, layout: EquationLayout, groups: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """X'R⁻¹ZQ and Q'Z'R⁻¹ZQ, some columns at a time."""
    cut = layout.fixed_size
    beside, own = np.zeros((cut, groups.size)), np.zeros((groups.size,) * 2)
    for first in range(0, groups.size, GROUPS_AT_ONCE):
        some = groups[first : first + GROUPS_AT_ONCE]
        columns = np.zeros((layout.size, some.size))
        columns[some, np.arange(some.size)] = 1.0
        columns = _spread(layout, columns)
        product = np.empty_like(columns)
        operator.multiply(columns, product)
        beside[:, first : first + some.size] = product[:cut]
        own[:, first : first + some.size] = _collect(layout, product)[groups]
    return beside, 0.5 * (own + own.T)
