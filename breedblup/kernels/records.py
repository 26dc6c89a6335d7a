"""Passes over the records: fitted values, W'h, and what records collect of the inverse of the equations.

C⁻¹ is given on the pattern of the left-hand side (pointer, indices, values: both triangles, columns ascending). What a pair of
levels has of it is a block, read from the rows of the level whose rows are shorter. Sums are made in parts of the records, as
many as the arrays to fill have, so that the bits do not depend on the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel


class Links(NamedTuple):
    """Where each link leads: level l to ``width`` equations from ``first`` + l · ``width`` on.

    ``place`` is where the sums of its term begin, -1 for none.
    """

    first: NDArray[np.int64]
    width: NDArray[np.int64]
    place: NDArray[np.int64]


class Cells(NamedTuple):
    """Traits and coordinates that links reach, each once: those of a link are ``pointer[link]`` to ``pointer[link + 1]``.

    ``of_slot`` is the cell of every slot: the slots of a cell add up to what the row of W has at an equation.
    """

    pointer: NDArray[np.int64]
    trait: NDArray[np.int64]
    coordinate: NDArray[np.int64]
    of_slot: NDArray[np.int64]


@parallel_kernel
def fitted(rows, slots, dropped, x, out):  # type: ignore[no-untyped-def]
    """W x of each column of ``x`` (equations × k), 0 where the trait is missing; ``out`` is k × n × traits."""
    codes, covariates, _, patterns, observed = rows
    _, slot_trait, slot_link, slot_first, slot_width, _, slot_column, slot_scale = slots
    vectors, n, traits = out.shape
    for i in prange(n):
        has = patterns[i]
        for k in range(vectors):
            for t in range(traits):
                out[k, i, t] = 0.0
        for q in range(slot_trait.size):
            code, trait, column = codes[i, slot_link[q]], slot_trait[q], slot_column[q]
            e = slot_first[q] + code * slot_width[q]
            if code >= 0 and observed[has, trait] and not dropped[e]:
                value = slot_scale[q] * (1.0 if column < 0 else covariates[i, column])
                for k in range(vectors):
                    out[k, i, trait] += value * x[e, k]


@parallel_kernel
def weighted(rows, residual, e, out):  # type: ignore[no-untyped-def]
    """R⁻¹e with the weights of the records, 0 where the trait is missing; ``e`` and ``out`` are k × n × traits."""
    roots, patterns, observed = rows.roots, rows.pattern, rows.observed
    vectors, n, traits = out.shape
    for i in prange(n):
        has = patterns[i]
        for k in range(vectors):
            for t in range(traits):
                total = 0.0
                for s in range(traits):
                    if observed[has, s]:
                        total += residual[has, t, s] * roots[i, s] * e[k, i, s]
                out[k, i, t] = roots[i, t] * total if observed[has, t] else 0.0


@parallel_kernel
def collect(rows, slots, dropped, h, out):  # type: ignore[no-untyped-def]
    """W'h of each of several h (k × n × traits), zero where an equation is dropped; ``out`` is k × equations."""
    codes, covariates, _, patterns, observed = rows
    _, slot_trait, slot_link, slot_first, slot_width, _, slot_column, slot_scale = slots
    vectors, n = h.shape[0], h.shape[1]
    for k in prange(vectors):
        out[k] = 0.0
        for i in range(n):
            has = patterns[i]
            for q in range(slot_trait.size):
                code, trait, column = codes[i, slot_link[q]], slot_trait[q], slot_column[q]
                e = slot_first[q] + code * slot_width[q]
                if code >= 0 and observed[has, trait] and not dropped[e]:
                    out[k, e] += h[k, i, trait] * slot_scale[q] * (1.0 if column < 0 else covariates[i, column])


@kernel
def _first_at(indices, low, high, column):  # type: ignore[no-untyped-def]
    """First place from ``low`` to ``high`` whose column is not below one."""
    while low < high:
        middle = (low + high) >> 1
        if indices[middle] < column:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _read_block(pointer, indices, values, row, width, column, wide, block):  # type: ignore[no-untyped-def]
    """Fill a block of the inverse: ``width`` rows from ``row`` on, ``wide`` columns from ``column`` on; 0 where it has none."""
    offset, size = -1, pointer.size - 1
    for c in range(width):
        start, end = pointer[row + c], pointer[row + c + 1]
        p = start + offset  # rows of a level are mostly alike
        if offset < 0 or p >= end or indices[p] != column:
            p = _first_at(indices, max(start, end + column - size), min(end, start + column), column)
            offset = p - start
        for d in range(wide):
            if p < end and indices[p] == column + d:
                block[c, d] = values[p]
                p += 1
            else:
                block[c, d] = 0.0


@parallel_kernel
def inverse_sums(rows, slots, plain, cells, links, dropped, residual, inverse, leverage, loadings, each):  # type: ignore[no-untyped-def]
    """Sums of W̃C⁻¹W̃' by pattern of traits, and of Z̃'R⁻¹W̃C⁻¹ at the own level of a record, by random term.

    W̃ are the rows of W times √weight, Z̃ those without Λ (``plain``), ``inverse`` is C⁻¹ as (pointer, indices, values).

    Parameters
    ----------
    leverage
        Parts × patterns × traits × traits.
    loadings
        Parts × the matrices (order × width) of all terms, one after the other.
    each
        n × traits × traits to fill with W̃C⁻¹W̃' of each record, or empty.
    """
    codes, covariates, roots, patterns, observed = rows
    slot_pointer, slot_trait, _, _, _, _, slot_column, slot_scale = slots
    plain_pointer, plain_trait, _, _, _, plain_coordinate, plain_column, plain_scale = plain
    cell_pointer, cell_trait, cell_coordinate, of_slot = cells
    first, widths, place = links
    pointer, indices, values = inverse
    n, parts, traits, kept = codes.shape[0], leverage.shape[0], leverage.shape[2], each.shape[0] > 0
    widest = max(1, widths.max()) if widths.size > 0 else 1
    for part in prange(parts):
        leverage[part] = 0.0
        loadings[part] = 0.0
        active, base = np.empty(widths.size, dtype=np.int64), np.empty(widths.size, dtype=np.int64)
        row = np.empty(cell_trait.size)
        at_level = np.empty((widths.size, traits, widest))  # C⁻¹W̃' at the level of each link
        block, sums = np.empty((widest, widest)), np.empty((traits, widest))
        product = np.empty((traits, traits))
        for i in range(part * n // parts, (part + 1) * n // parts):
            has, number = patterns[i], 0
            for a in range(widths.size):
                code = codes[i, a]
                if code < 0 or widths[a] == 0:
                    continue
                active[number], base[number] = a, first[a] + code * widths[a]
                for m in range(cell_pointer[a], cell_pointer[a + 1]):
                    row[m] = 0.0
                for q in range(slot_pointer[a], slot_pointer[a + 1]):
                    m, t, column = of_slot[q], slot_trait[q], slot_column[q]
                    if observed[has, t] and not dropped[base[number] + cell_coordinate[m]]:
                        row[m] += roots[i, t] * slot_scale[q] * (1.0 if column < 0 else covariates[i, column])
                for t in range(traits):
                    for b in range(widths[a]):
                        at_level[number, t, b] = 0.0
                number += 1
            for left in range(number):
                for right in range(left + 1):
                    k, j = left, right  # rows of the first, columns of the second
                    if pointer[base[k] + 1] - pointer[base[k]] > pointer[base[j] + 1] - pointer[base[j]]:
                        k, j = right, left
                    mine, other = active[k], active[j]
                    _read_block(pointer, indices, values, base[k], widths[mine], base[j], widths[other], block)
                    for m in range(cell_pointer[other], cell_pointer[other + 1]):
                        t, d, value = cell_trait[m], cell_coordinate[m], row[m]
                        for c in range(widths[mine] if value != 0.0 else 0):
                            at_level[k, t, c] += value * block[c, d]
                    for m in range(cell_pointer[mine], cell_pointer[mine + 1] if k != j else cell_pointer[mine]):
                        t, c, value = cell_trait[m], cell_coordinate[m], row[m]
                        for d in range(widths[other] if value != 0.0 else 0):
                            at_level[j, t, d] += value * block[c, d]
            product[:] = 0.0
            for k in range(number):
                a = active[k]
                for m in range(cell_pointer[a], cell_pointer[a + 1]):
                    for s in range(traits):
                        product[cell_trait[m], s] += row[m] * at_level[k, s, cell_coordinate[m]]
                if place[a] < 0:
                    continue
                for t in range(traits):
                    for b in range(widths[a]):
                        total = 0.0
                        for s in range(traits):
                            total += residual[has, t, s] * at_level[k, s, b]
                        sums[t, b] = total
                for z in range(plain_pointer[a], plain_pointer[a + 1]):
                    t, column, begin = plain_trait[z], plain_column[z], place[a] + plain_coordinate[z] * widths[a]
                    if observed[has, t]:
                        value = roots[i, t] * plain_scale[z] * (1.0 if column < 0 else covariates[i, column])
                        for b in range(widths[a]):
                            loadings[part, begin + b] += value * sums[t, b]
            for t in range(traits):
                for s in range(traits):
                    leverage[part, has, t, s] += product[t, s]
                    if kept:
                        each[i, t, s] = product[t, s]


@parallel_kernel
def moment_sums(rows, plain, links, start, end, residual, dropped, v, inverse, out):  # type: ignore[no-untyped-def]
    """Z̃'R⁻¹Z̃ ⊗ (vv' + C⁻¹) summed over records and pairs of the links ``start`` to ``end``, which are those of one term.

    ``v`` is over all equations; ``out`` is parts × order × width × order × width.
    """
    codes, covariates, roots, patterns, observed = rows
    plain_pointer, plain_trait, _, _, _, plain_coordinate, plain_column, plain_scale = plain
    first, width = links.first, links.width[start]
    pointer, indices, values = inverse
    n, parts = codes.shape[0], out.shape[0]
    begin, stop = plain_pointer[start], plain_pointer[end]
    for part in prange(parts):
        out[part] = 0.0
        row, block = np.empty(stop - begin), np.empty((width, width))
        for i in range(part * n // parts, (part + 1) * n // parts):
            has = patterns[i]
            for z in range(begin, stop):
                t, column = plain_trait[z], plain_column[z]
                row[z - begin] = 0.0
                if observed[has, t]:
                    row[z - begin] = roots[i, t] * plain_scale[z] * (1.0 if column < 0 else covariates[i, column])
            for a in range(start, end):
                for b in range(start, end if codes[i, a] >= 0 else start):
                    if codes[i, b] < 0:
                        continue
                    mine, other = first[a] + codes[i, a] * width, first[b] + codes[i, b] * width
                    _read_block(pointer, indices, values, mine, width, other, width, block)
                    for c in range(width):
                        for d in range(width):
                            free = not (dropped[mine + c] or dropped[other + d])
                            block[c, d] = block[c, d] + v[mine + c] * v[other + d] if free else 0.0
                    for z in range(plain_pointer[a], plain_pointer[a + 1]):
                        for y in range(plain_pointer[b], plain_pointer[b + 1]):
                            value = row[z - begin] * row[y - begin] * residual[has, plain_trait[z], plain_trait[y]]
                            k, j = plain_coordinate[z], plain_coordinate[y]
                            for c in range(width if value != 0.0 else 0):
                                for d in range(width):
                                    out[part, k, c, j, d] += value * block[c, d]
