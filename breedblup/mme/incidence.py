"""W = [X Z] of the records, as levels and slots; never as a matrix of indicators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breedblup.design import Design, DesignTerm
from breedblup.kernels.assembly import Rows, Slots
from breedblup.mme.layout import EquationLayout
from breedblup.variances import VarianceComponents

KEYS_LIMIT = 2**61
"""Numbers of patterns are made small again before they pass what an int64 holds."""


@dataclass(frozen=True, slots=True)
class Incidence:
    """The rows of W, and what stands left and right of them.

    Attributes
    ----------
    rows, slots
        As the kernels take them (`breedblup.kernels.assembly`).
    links
        Numbers of the links of each term: columns of ``rows.codes``.
    classes
        Residual class of each pattern; none where there is one residual for all.
    y
        n × traits, NaN where missing.
    """

    rows: Rows
    slots: Slots
    links: tuple[NDArray[np.int64], ...]
    classes: tuple[str, ...]
    y: NDArray[np.float64]

    def residual_inverses(self, variances: VarianceComponents) -> NDArray[np.float64]:
        """R⁻¹ of the observed traits by pattern, patterns × traits × traits, zero where a trait is missing."""
        observed = self.rows.observed
        table = np.zeros((*observed.shape, observed.shape[1]))
        for p, traits in enumerate(observed):
            matrix = variances.residual_matrix(self.classes[p] if self.classes else None)
            own = np.ix_(traits, traits)
            table[p][own] = np.linalg.inv(matrix[own])
        return table


def build_incidence(design: Design, layout: EquationLayout) -> Incidence:
    """The incidence of a design in the order of a layout."""
    n, traits = design.y.shape
    observed = design.observed
    first, pattern = _patterns(observed, design.residual_codes)
    classes = (
        () if design.residual_levels is None or design.residual_codes is None
        else tuple(design.residual_levels.gather(design.residual_codes[first]).to_list())
    )  # fmt: skip
    roots = np.ones((n, traits)) if design.weights is None else np.sqrt(design.weights)
    rows = _rows(design.terms, n, roots, pattern.astype(np.int32), observed[first])
    return Incidence(rows, build_slots(layout), _link_numbers(layout), classes, design.y)


def _patterns(
    observed: NDArray[np.bool_], classes: NDArray[np.int32] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First record of each combination of observed traits and residual class, and the combination of each record."""
    keys = np.zeros(len(observed), dtype=np.int64) if classes is None else classes.astype(np.int64)
    for t in range(observed.shape[1]):
        keys = 2 * keys + observed[:, t]
        if keys.max(initial=0) >= KEYS_LIMIT:
            keys = np.unique(keys, return_inverse=True)[1]
    _, first, pattern = np.unique(keys, return_index=True, return_inverse=True)
    return first, pattern


def _rows(
    terms: Sequence[DesignTerm],
    n: int,
    roots: NDArray[np.float64],
    pattern: NDArray[np.int32],
    observed: NDArray[np.bool_],
) -> Rows:
    """Codes and covariates of all terms side by side."""
    links = [link for term in terms for link in term.links]
    codes = np.empty((n, len(links)), dtype=np.int32)
    for k, link in enumerate(links):
        codes[:, k] = link.codes
    values = [term.values for term in terms if term.values is not None]
    stacked = np.ascontiguousarray(np.concatenate(values, axis=1)) if values else np.empty((n, 0))
    return Rows(codes, stacked, np.ascontiguousarray(roots), pattern, np.ascontiguousarray(observed))


def _link_numbers(layout: EquationLayout) -> tuple[NDArray[np.int64], ...]:
    ends = np.cumsum([len(term.links) for term in layout.terms])
    return tuple(
        np.arange(end - len(term.links), end, dtype=np.int64) for term, end in zip(layout.terms, ends, strict=True)
    )


def build_slots(layout: EquationLayout) -> Slots:
    """Where rows of W have values, link by link; slots of no equations (a covariance matrix of zeros) are left out."""
    found = list(_slots(layout))
    link, trait, first, width, coordinate, column, scale = zip(*found, strict=True) if found else ((),) * 7
    links = sum(len(term.links) for term in layout.terms)
    pointer = np.searchsorted(np.array(link, dtype=np.int64), np.arange(links + 1))
    return Slots(
        pointer.astype(np.int64),
        np.array(trait, dtype=np.int32),
        np.array(link, dtype=np.int32),
        np.array(first, dtype=np.int64),
        np.array(width, dtype=np.int64),
        np.array(coordinate, dtype=np.int32),
        np.array(column, dtype=np.int32),
        np.array(scale, dtype=np.float64),
    )


def _slots(layout: EquationLayout) -> Iterator[tuple[int, int, int, int, int, int, float]]:
    """Link, trait, first equation, width, coordinate, column and scale of every slot."""
    link, before = 0, 0
    for k, term in enumerate(layout.terms):
        start, width, loading = int(layout.starts[k]), layout.width(k), layout.loadings[k]
        for one in term.links:
            for entry in one.entries:
                column = -1 if entry.column < 0 else before + entry.column
                if loading is None:
                    yield link, entry.trait, start + entry.coordinate, width, entry.coordinate, column, entry.scale
                    continue
                used = layout.used[k] if layout.used else None
                for q in range(width):  # zeros of Λ too: other variances of the same rank have the same slots
                    if used is not None and not used[entry.coordinate, q]:
                        continue
                    scale = entry.scale * float(loading[entry.coordinate, q])
                    yield link, entry.trait, start + q, width, q, column, scale
            link += 1
        before += 0 if term.values is None else term.values.shape[1]


def coordinates_reached(slots: Slots, observed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether records of a pattern of traits reach a coordinate by a link; empty where all reach all.

    Returns
    -------
    array
        Patterns × links × coordinates of the widest term.
    """
    links, widest = slots.pointer.size - 1, int(slots.width.max(initial=0))
    reach = np.zeros((len(observed), links, widest), dtype=np.bool_)
    beyond = np.ones((links, widest), dtype=np.bool_)
    for trait, link, coordinate, width in zip(slots.trait, slots.link, slots.coordinate, slots.width, strict=True):
        reach[:, link, coordinate] |= observed[:, trait]
        beyond[link, :width] = False
    return reach[:0] if (reach | beyond).all() else reach
