"""Assembly of mixed model equations in CSR: one pass counts, one fills positions, a third fills values for given variances.

The row of the incidence W = [X Z] that belongs to trait t of record i has a value in every *slot* of that trait: at equation
``first + codes[i, link] · width``, where a link says how records reach the levels of a term. A row of the left-hand side is
gathered whole by one thread: from the records that reach its level, and from the row of K⁻¹ of its level. Terms are done one
after the other; the rows of one term are shared out among threads by ``bounds`` of its levels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel


class Rows(NamedTuple):
    """Records: ``codes`` n × links (-1 none), ``values`` n × columns of covariates, ``roots`` n × traits of √weight.

    ``pattern`` (n) is the row of ``observed`` (patterns × traits), and of the table of R⁻¹, that a record has.
    """

    codes: NDArray[np.int32]
    values: NDArray[np.float64]
    roots: NDArray[np.float64]
    pattern: NDArray[np.int32]
    observed: NDArray[np.bool_]


class Slots(NamedTuple):
    """Where a trait's row of W has values: those of trait t are ``pointer[t]`` to ``pointer[t + 1]``.

    ``first`` is the equation of level 0, ``column`` that of the covariate (-1 for 1), which ``scale`` multiplies.
    """

    pointer: NDArray[np.int64]
    trait: NDArray[np.int32]
    link: NDArray[np.int32]
    first: NDArray[np.int64]
    width: NDArray[np.int64]
    column: NDArray[np.int32]
    scale: NDArray[np.float64]


class TermRows(NamedTuple):
    """The rows of one term: ``width`` equations for each level, from ``first`` on.

    ``pointer`` and ``entries`` list record · links + link by level. Slots of a link at coordinate c are ``at`` from
    ``at_pointer[link · width + c]`` on. ``inverse_*`` is K⁻¹ in CSR (without entries for fixed terms), ``mask`` (width ×
    width) tells where G₀⁻¹ may have values.
    """

    first: int
    width: int
    pointer: NDArray[np.int64]
    entries: NDArray[np.int64]
    at_pointer: NDArray[np.int64]
    at: NDArray[np.int32]
    inverse_pointer: NDArray[np.int64]
    inverse_indices: NDArray[np.int32]
    inverse_values: NDArray[np.float64]
    mask: NDArray[np.bool_]


@kernel
def records_of_levels(codes, links, pointer, entries):  # type: ignore[no-untyped-def]
    """Lists of records by level: ``entries`` holds record · links in all + link, ascending within a level."""
    n, width = codes.shape
    pointer[:] = 0
    for i in range(n):
        for link in links:
            if codes[i, link] >= 0:
                pointer[codes[i, link] + 1] += 1
    for e in range(pointer.size - 1):
        pointer[e + 1] += pointer[e]
    filled = pointer[:-1].copy()
    for i in range(n):
        for link in links:
            e = codes[i, link]
            if e >= 0:
                entries[filled[e]] = i * width + link
                filled[e] += 1


@kernel
def _sort_indices(indices, start, end):  # type: ignore[no-untyped-def]
    if end - start > 32:
        indices[start:end].sort()
        return
    for k in range(start + 1, end):
        column = indices[k]
        m = k - 1
        while m >= start and indices[m] > column:
            indices[m + 1] = indices[m]
            m -= 1
        indices[m + 1] = column


@parallel_kernel
def lhs_columns(term, rows, slots, dropped, bounds, counts, lhs_pointer, indices):  # type: ignore[no-untyped-def]
    """Columns of the rows of a term, ascending, or with empty ``indices`` only how many there are.

    Every row has its diagonal, a ``dropped`` one nothing else. The block of a level is dense, so that its whole inverse can
    be had. Fields are taken out of their tuples before the loops: inside, each access costs more than the work.
    """
    codes, patterns, observed = rows.codes, rows.pattern, rows.observed
    slot_pointer, slot_trait, slot_link = slots.pointer, slots.trait, slots.link
    slot_first, slot_width = slots.first, slots.width
    first, width, pointer, entries, at_pointer, at, k_pointer, k_indices, _, mask = term
    links, traits = codes.shape[1], observed.shape[1]
    store = indices.size > 0
    for t in prange(bounds.size - 1):
        stamp = np.full(dropped.size, -1, dtype=np.int32)
        for level in range(bounds[t], bounds[t + 1]):
            for c in range(width):
                e = first + level * width + c
                start = lhs_pointer[e] if store else 0
                stamp[e] = e
                if store:
                    indices[start] = e
                filled = start + 1
                if dropped[e]:
                    counts[e] = 1
                    continue
                for p in range(pointer[level], pointer[level + 1]):
                    i = entries[p] // links
                    has, reached = patterns[i], False
                    place = (entries[p] - i * links) * width + c
                    for z in range(at_pointer[place], at_pointer[place + 1]):
                        reached = reached or observed[has, slot_trait[at[z]]]
                    for s in range(traits if reached else 0):
                        for q in range(slot_pointer[s], slot_pointer[s + 1] if observed[has, s] else slot_pointer[s]):
                            code = codes[i, slot_link[q]]
                            other = slot_first[q] + code * slot_width[q]
                            if code >= 0 and stamp[other] != e and not dropped[other]:
                                stamp[other] = e
                                if store:
                                    indices[filled] = other
                                filled += 1
                for p in range(k_pointer[level], k_pointer[level + 1]):
                    for d in range(width):
                        other = first + k_indices[p] * width + d
                        if stamp[other] != e and (mask[c, d] or k_indices[p] == level):
                            stamp[other] = e
                            if store:
                                indices[filled] = other
                            filled += 1
                counts[e] = filled - start
                if store:
                    _sort_indices(indices, start, filled)


@parallel_kernel
def lhs_values(term, rows, slots, residual, covariance, dropped, bounds, lhs):  # type: ignore[no-untyped-def]
    """Values of the rows of a term: W'R⁻¹W + G₀⁻¹ ⊗ K⁻¹.

    ``residual`` (patterns × traits × traits) holds R⁻¹ of the observed traits, ``covariance`` G₀⁻¹; ``lhs`` is (pointer,
    indices, values). A dropped equation gets 1 on its diagonal.
    """
    codes, x, roots, patterns, observed = rows
    slot_pointer, slot_trait, slot_link, slot_first, slot_width, slot_column, slot_scale = slots
    first, width, pointer, entries, at_pointer, at, k_pointer, k_indices, k_values, mask = term
    lhs_pointer, indices, values = lhs
    links, traits = codes.shape[1], observed.shape[1]
    for t in prange(bounds.size - 1):
        position = np.empty(dropped.size, dtype=np.int64)
        for level in range(bounds[t], bounds[t + 1]):
            for c in range(width):
                e = first + level * width + c
                for q in range(lhs_pointer[e], lhs_pointer[e + 1]):
                    position[indices[q]] = q
                    values[q] = 0.0
                if dropped[e]:
                    values[position[e]] = 1.0
                    continue
                for p in range(pointer[level], pointer[level + 1]):
                    i = entries[p] // links
                    place = (entries[p] - i * links) * width + c
                    for z in range(at_pointer[place], at_pointer[place + 1]):
                        trait, column = slot_trait[at[z]], slot_column[at[z]]
                        if not observed[patterns[i], trait]:
                            continue
                        own = roots[i, trait] * slot_scale[at[z]] * (1.0 if column < 0 else x[i, column])
                        for s in range(traits):
                            if not observed[patterns[i], s]:
                                continue
                            weight = own * residual[patterns[i], trait, s] * roots[i, s]
                            for q in range(slot_pointer[s], slot_pointer[s + 1]):
                                code, column = codes[i, slot_link[q]], slot_column[q]
                                other = slot_first[q] + code * slot_width[q]
                                if code >= 0 and not dropped[other]:
                                    value = slot_scale[q] * (1.0 if column < 0 else x[i, column])
                                    values[position[other]] += weight * value
                for p in range(k_pointer[level], k_pointer[level + 1]):
                    for d in range(width):
                        if mask[c, d]:
                            values[position[first + k_indices[p] * width + d]] += covariance[c, d] * k_values[p]


@kernel
def rhs_sums(rows, slots, residual, y, dropped, rhs):  # type: ignore[no-untyped-def]
    """rhs += W'R⁻¹y; y is n × traits."""
    codes, x, roots, patterns, observed = rows
    slot_pointer, _, slot_link, slot_first, slot_width, slot_column, slot_scale = slots
    n, traits = y.shape
    for i in range(n):
        for trait in range(traits):
            if not observed[patterns[i], trait]:
                continue
            weighted = 0.0
            for s in range(traits):
                if observed[patterns[i], s]:
                    weighted += residual[patterns[i], trait, s] * roots[i, s] * y[i, s]
            weighted *= roots[i, trait]
            for q in range(slot_pointer[trait], slot_pointer[trait + 1]):
                code, column = codes[i, slot_link[q]], slot_column[q]
                e = slot_first[q] + code * slot_width[q]
                if code >= 0 and not dropped[e]:
                    rhs[e] += weighted * slot_scale[q] * (1.0 if column < 0 else x[i, column])
