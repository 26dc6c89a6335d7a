"""Fixed groups of unknown parents that records cannot tell apart: found and set to zero.

With fixed groups the model is y = Xb + ZQg + Za + e. What records say of b and g is what the columns of [X, ZQ] span, and where
these are dependent (Q's rows add up to 1, as a constant does) a group is set to zero: breeding values are then relative to
it. Differences that can be estimated do not depend on the choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from breedblup.design import Design, DesignTerm
from breedblup.errors import ModelError
from breedblup.kernels.assembly import Rows, Slots
from breedblup.mme.constraints import CLEARLY_INDEPENDENT, Constraints, FixedPart, constrain_fixed, elimination
from breedblup.mme.layout import EquationLayout
from breedblup.relationship.groups import GROUPS_AT_ONCE
from breedblup.solvers.rank import dependent_columns

RECORDS_AT_ONCE = 10_000
"""Rows of ZQ that are multiplied as a dense block."""


def terms_with_fixed_groups(layout: EquationLayout) -> list[int]:
    """Numbers of the random terms whose groups of unknown parents are fixed.

    Raises
    ------
    ModelError
        If the covariance matrix of such a term is singular, or nearly so.
    """
    found = []
    for k, term in enumerate(layout.terms):
        groups = None if term.relationship is None else term.relationship.groups
        if groups is None or groups.kind != "fixed" or not layout.width(k):
            continue
        if layout.loadings[k] is not None:
            raise ModelError(
                f"{term.name}: fixed groups of unknown parents need a covariance matrix of full rank, found rank "
                f"{layout.width(k)} of {len(term.coordinates)}, or nearly so -> give other variances, or random groups "
                "(group_inverse(pedigree, ratio=...))"
            )
        found.append(k)
    return found


def constrain(design: Design, layout: EquationLayout) -> Constraints:
    """Find the equations of fixed effects, and of fixed groups of unknown parents, that have to be set to zero.

    Raises
    ------
    ModelError
        As `constrain_fixed` and `terms_with_fixed_groups` do.
    """
    constraints = constrain_fixed(design, layout)
    return replace(constraints, groups=_dependent_groups(design, layout, constraints))


def _dependent_groups(design: Design, layout: EquationLayout, constraints: Constraints) -> NDArray[np.int64]:
    """Equations of fixed groups that have to be set to zero, ascending."""
    terms = terms_with_fixed_groups(layout)
    if not terms:
        return np.empty(0, dtype=np.int64)
    parts = [_of_trait(design, layout, terms, constraints, t) for t in range(len(design.traits))]
    return np.sort(np.concatenate(parts))


def _of_trait(
    design: Design, layout: EquationLayout, terms: list[int], constraints: Constraints, trait: int
) -> NDArray[np.int64]:
    """Those of the effects on one trait."""
    columns = list(_group_columns(design, layout, terms, trait))
    if not columns:
        return np.empty(0, dtype=np.int64)
    equations = np.concatenate([part for part, _ in columns])
    zq = scipy.sparse.hstack([part for _, part in columns], format="csr")
    part = FixedPart.of(design, layout, trait)
    kept = np.flatnonzero(~np.isin(part.equations, constraints.equations)) if part.terms else np.empty(0, np.int64)
    order = elimination(part.layout) if part.terms else kept
    x = _incidence_matrix(part.incidence.rows, part.incidence.slots, part.layout.size)[:, order[np.isin(order, kept)]]
    crossed = _cross_product(x.tocsr(), zq)
    size = crossed.shape[0]
    factor = dependent_columns(crossed, np.arange(size, dtype=np.int64), tolerance=CLEARLY_INDEPENDENT)
    return equations[factor.dependent[size - equations.size :]]


def _group_columns(
    design: Design, layout: EquationLayout, terms: list[int], trait: int
) -> Iterator[tuple[NDArray[np.int64], scipy.sparse.csr_array]]:
    """Equations of some groups, and their columns of ZQ for the records that have the trait."""
    rows = np.flatnonzero(design.observed[:, trait])
    for k in terms:
        term, width = layout.terms[k], layout.width(k)
        relationship = term.relationship
        assert relationship is not None
        assert relationship.groups is not None
        animals, g = relationship.animals, len(relationship.groups.names)
        coordinates = sorted({e.coordinate for link in term.links for e in link.entries if e.trait == trait})
        for first in range(0, g, GROUPS_AT_ONCE):
            some = np.arange(first, min(first + GROUPS_AT_ONCE, g))
            q = relationship.groups.operator.owed_to_groups(np.eye(g)[:, some])
            for c in coordinates:
                equations = layout.starts[k] + (animals + some) * width + c
                yield equations, scipy.sparse.csr_array(_reached(term, q, trait, c, rows))


def _reached(
    term: DesignTerm, q: NDArray[np.float64], trait: int, coordinate: int, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Rows of ZQ for one effect of a term."""
    total = np.zeros((rows.size, q.shape[1]))
    for link in term.links:
        codes = link.codes[rows]
        has = codes >= 0
        for entry in link.entries:
            if entry.trait == trait and entry.coordinate == coordinate:
                value = entry.scale * (
                    1.0 if entry.column < 0 or term.values is None else term.values[rows, entry.column]
                )
                total += np.where(has, value, 0.0)[:, None] * q[codes]
    return total


def _incidence_matrix(rows: Rows, slots: Slots, size: int) -> scipy.sparse.csr_array:
    """X of one trait."""
    n = rows.codes.shape[0]
    parts = []
    for q in range(slots.link.size):
        codes = rows.codes[:, slots.link[q]]
        has = np.flatnonzero(codes >= 0)
        value = slots.scale[q] * (np.ones(n) if slots.column[q] < 0 else rows.values[:, slots.column[q]])
        columns = slots.first[q] + codes[has].astype(np.int64) * slots.width[q]
        parts.append(scipy.sparse.coo_array((value[has], (has, columns)), shape=(n, size)).tocsr())
    return sum(parts, start=scipy.sparse.csr_array((n, size)))


def _cross_product(x: scipy.sparse.csr_array, zq: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """[X, ZQ]'[X, ZQ]; rows of ZQ are nearly dense, and multiplied so."""
    both, own = np.zeros((x.shape[1], zq.shape[1])), np.zeros((zq.shape[1],) * 2)
    for first in range(0, x.shape[0], RECORDS_AT_ONCE):
        block = zq[first : first + RECORDS_AT_ONCE].toarray()
        both += x[first : first + RECORDS_AT_ONCE].T @ block
        own += block.T @ block
    upper = scipy.sparse.hstack([x.T @ x, scipy.sparse.csr_array(both)])
    lower = scipy.sparse.hstack([scipy.sparse.csr_array(both.T), scipy.sparse.csr_array(own)])
    crossed = scipy.sparse.csr_array(scipy.sparse.vstack([upper, lower], format="csr"))
    crossed.sort_indices()
    return crossed
