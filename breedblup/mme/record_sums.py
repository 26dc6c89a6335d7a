"""What records give to solutions, likelihoods and their derivatives: passes over W, nothing of which is kept as a matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breedblup.kernels import records
from breedblup.kernels.assembly import Slots
from breedblup.kernels.records import Cells, Links
from breedblup.mme.incidence import Incidence, build_slots
from breedblup.mme.layout import EquationLayout

PARTS = 8
"""Parts of the records with sums of their own, whatever the number of threads: the bits are the same."""

_Vector = NDArray[np.float64]


def fitted_values(incidence: Incidence, slots: Slots, dropped: NDArray[np.bool_], x: _Vector) -> _Vector:
    """W x of the records, without weights.

    Parameters
    ----------
    slots
        Of the layout that ``x`` belongs to (`build_slots`).
    dropped
        Equations whose columns W does not have.
    x
        A vector over the equations, or equations × k.

    Returns
    -------
    array
        n × traits, or k × n × traits; 0 where a trait is missing.
    """
    columns = np.ascontiguousarray(x if x.ndim == 2 else x[:, None])
    out = np.empty((columns.shape[1], *incidence.y.shape))
    records.fitted(incidence.rows, slots, dropped, columns, out)
    return out if x.ndim == 2 else out[0]


def apply_residual_inverse(incidence: Incidence, residual_inverses: _Vector, e: _Vector) -> _Vector:
    """R⁻¹e of the records, weights included.

    Parameters
    ----------
    residual_inverses
        By pattern of traits (`Incidence.residual_inverses`).
    e
        n × traits, or k × n × traits; missing traits may hold anything.

    Returns
    -------
    array
        In the shape of ``e``; 0 where a trait is missing.
    """
    several = np.ascontiguousarray(e if e.ndim == 3 else e[None])
    out = np.empty_like(several)
    records.weighted(incidence.rows, residual_inverses, several, out)
    return out.reshape(e.shape)


def collected(incidence: Incidence, slots: Slots, dropped: NDArray[np.bool_], h: _Vector) -> _Vector:
    """W'h over the equations, without weights.

    Parameters
    ----------
    h
        n × traits, or k × n × traits, which are taken side by side.

    Returns
    -------
    array
        A vector, or equations × k in columns; 0 where an equation is dropped.
    """
    several = np.ascontiguousarray(h if h.ndim == 3 else h[None])
    out = np.empty((len(several), dropped.size))
    records.collect(incidence.rows, slots, dropped, several, out)
    return out.T if h.ndim == 3 else out[0]


@dataclass(frozen=True, slots=True)
class InverseSums:
    """What the records collect of C⁻¹, the inverse of the equations.

    Attributes
    ----------
    leverage
        Σ W̃C⁻¹W̃' over the records of each pattern of traits, patterns × traits × traits; W̃ is W times √weight.
    loadings
        By term: Σ Z̃'R⁻¹W̃C⁻¹ (order × width) at the levels that the records have; Z̃ are the rows of W̃ without Λ. Twice this
        is the derivative of log|C| by the entries of Λ. None for fixed terms.
    """

    leverage: _Vector
    loadings: tuple[_Vector | None, ...]


def inverse_sums(
    incidence: Incidence,
    layout: EquationLayout,
    plain_slots: Slots,
    dropped: NDArray[np.bool_],
    residual_inverses: _Vector,
    pattern: tuple[NDArray[np.int64], NDArray[np.int32]],
    inverse_values: _Vector,
) -> InverseSums:
    """One pass over the records and C⁻¹.

    Parameters
    ----------
    layout
        With the Λ of the equations.
    plain_slots
        Of the same terms without Λ.
    pattern
        Pointer and columns of the left-hand side, both triangles, columns ascending.
    inverse_values
        C⁻¹ there; entries elsewhere count as 0.
    """
    slots, links = build_slots(layout), _links(layout)
    patterns, traits = incidence.rows.observed.shape
    leverage = np.empty((PARTS, patterns, traits, traits))
    sizes = [_order(layout, k) * layout.width(k) * (term.kind == "random") for k, term in enumerate(layout.terms)]
    loadings = np.empty((PARTS, sum(sizes)))
    records.inverse_sums(
        incidence.rows, slots, plain_slots, _cells(slots), links, dropped, residual_inverses,
        (*pattern, inverse_values), leverage, loadings, np.empty((0, traits, traits)),
    )  # fmt: skip
    found = np.split(loadings.sum(axis=0), np.cumsum(sizes)[:-1])
    by_term = tuple(
        part.reshape(_order(layout, k), layout.width(k)) if term.kind == "random" else None
        for k, (term, part) in enumerate(zip(layout.terms, found, strict=True))
    )
    return InverseSums(leverage.sum(axis=0), by_term)


def leverages(
    incidence: Incidence,
    layout: EquationLayout,
    dropped: NDArray[np.bool_],
    pattern: tuple[NDArray[np.int64], NDArray[np.int32]],
    inverse_values: _Vector,
) -> _Vector:
    """W̃C⁻¹W̃' of each record, n × traits × traits, 0 where a trait is missing; the arguments are those of `inverse_sums`."""
    slots, links = build_slots(layout), _links(layout)
    patterns, traits = incidence.rows.observed.shape
    each = np.empty((len(incidence.rows.codes), traits, traits))
    records.inverse_sums(
        incidence.rows, slots, slots, _cells(slots), links._replace(place=np.full_like(links.place, -1)), dropped,
        np.zeros((patterns, traits, traits)), (*pattern, inverse_values),
        np.empty((PARTS, patterns, traits, traits)), np.empty((PARTS, 0)), each,
    )  # fmt: skip
    return each


def moments(
    incidence: Incidence,
    layout: EquationLayout,
    plain_slots: Slots,
    dropped: NDArray[np.bool_],
    residual_inverses: _Vector,
    pattern: tuple[NDArray[np.int64], NDArray[np.int32]],
    inverse_values: _Vector,
    x: _Vector,
    k: int,
) -> _Vector:
    """Σ Z̃'R⁻¹Z̃ ⊗ (vv' + C⁻¹) of a random term at the levels that the records have (Foulley & van Dyk 2000).

    Parameters
    ----------
    x
        Solutions over the equations, v among them.
    k
        Number of the term in the layout; the other arguments are those of `inverse_sums`.

    Returns
    -------
    array
        Order × width × order × width: the second moments of the regressions of the records on v, were Λ to be estimated by
        generalised least squares.
    """
    ends = np.cumsum([len(term.links) for term in layout.terms])
    size, width = _order(layout, k), layout.width(k)
    out = np.empty((PARTS, size, width, size, width))
    start, end = int(ends[k]) - len(layout.terms[k].links), int(ends[k])
    records.moment_sums(
        incidence.rows, plain_slots, _links(layout), start, end, residual_inverses, dropped, x,
        (*pattern, inverse_values), out,
    )  # fmt: skip
    total: _Vector = out.sum(axis=0)
    return total


def _order(layout: EquationLayout, k: int) -> int:
    """Coordinates of a term without Λ."""
    return len(layout.terms[k].coordinates)


def _links(layout: EquationLayout) -> Links:
    """Where the links of all terms lead; sums of random terms stand one after the other."""
    found, place = [], 0
    for k, term in enumerate(layout.terms):
        width, random = layout.width(k), term.kind == "random"
        found += [(int(layout.starts[k]), width, place if random else -1)] * len(term.links)
        place += width * _order(layout, k) * random
    table = np.array(found, dtype=np.int64).reshape(-1, 3)
    return Links(*(np.ascontiguousarray(column) for column in table.T))


def _cells(slots: Slots) -> Cells:
    """Traits and coordinates of the slots of each link, once each."""
    keys = np.column_stack([slots.link, slots.trait, slots.coordinate]).astype(np.int64)
    cells, of_slot = np.unique(keys, axis=0, return_inverse=True)
    pointer = np.searchsorted(cells[:, 0], np.arange(slots.pointer.size)).astype(np.int64)
    trait, coordinate = (np.ascontiguousarray(column) for column in cells.T[1:])
    return Cells(pointer, trait, coordinate, np.ascontiguousarray(of_slot.reshape(-1), dtype=np.int64))
