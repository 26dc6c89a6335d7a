"""Assembly of mixed model equations in CSR: one pass counts, one fills positions, a third fills values (`assembly_values`).

The row of the incidence W = [X Z] that belongs to trait t of record i has a value in every *slot* of that trait: at a
coordinate of the level ``codes[i, link]`` of a term, where a link says how records reach the levels of a term. A row of the
left-hand side is a *segment* for each term, in the order of the terms. A pair of terms is gathered from the rows of the one that
has more levels, each of which has few records: a thread takes a level and sums a small block for each level of the other term
that its records reach. The rows of the other term are mirrored while these are written; levels come in ascending order, so
that mirrored entries do too. A segment of a term with itself is merged with K⁻¹.

``block`` and ``keys`` are a set: code c is known where ``keys[block[c]]`` is c and ``block[c]`` below the number of keys.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel

SHORT = 32
"""Lists up to this length are sorted by insertion."""


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
    """Where rows of W have values: the slots of a link are ``pointer[link]`` to ``pointer[link + 1]``.

    That of trait ``trait`` is at ``coordinate`` of each level, equation ``first`` of level 0 and ``width`` on from level to
    level; its value is ``scale`` times the covariate ``column`` (-1 for 1).
    """

    pointer: NDArray[np.int64]
    trait: NDArray[np.int32]
    link: NDArray[np.int32]
    first: NDArray[np.int64]
    width: NDArray[np.int64]
    coordinate: NDArray[np.int32]
    column: NDArray[np.int32]
    scale: NDArray[np.float64]


class TermRows(NamedTuple):
    """The rows of one term: ``width`` equations for each level, from ``first`` on, reached by links from ``link`` on.

    ``pointer`` (links × levels + 1) and ``entries`` list records by link and level, ``reached`` the levels that have some.
    ``inverse_*`` is K⁻¹ in CSR (without entries for fixed terms), ``mask`` (width × width) tells where G₀⁻¹ may have values,
    ``free`` is the first level that has a dropped equation. ``diagonal`` is the place of the level in its row of K⁻¹ where the
    row has its columns and no others, -1 where it has not; counting finds it.
    """

    first: int
    width: int
    link: int
    pointer: NDArray[np.int64]
    entries: NDArray[np.int32]
    reached: NDArray[np.int32]
    inverse_pointer: NDArray[np.int32] | NDArray[np.int64]
    inverse_indices: NDArray[np.int32]
    inverse_values: NDArray[np.float64]
    mask: NDArray[np.bool_]
    free: int
    diagonal: NDArray[np.int32]


class Segment(NamedTuple):
    """What the rows of a term have in the columns of a term, itself or another, that links ``start`` to ``end`` reach.

    ``number`` is the place of that term among all; ``room`` is how many codes the records of a level have at most.
    """

    number: int
    first: int
    width: int
    start: int
    end: int
    levels: int
    room: int


@kernel
def records_of_levels(codes, link, pointer, entries, start):  # type: ignore[no-untyped-def]
    """Lists of records by level of a link, ascending, in ``entries`` from ``start`` on."""
    n, levels = codes.shape[0], pointer.size - 1
    pointer[:] = 0
    for i in range(n):
        if codes[i, link] >= 0:
            pointer[codes[i, link]] += 1
    end = start
    for level in range(levels):
        end += pointer[level]
        pointer[level] = end
    pointer[levels] = end
    for i in range(n - 1, -1, -1):
        level = codes[i, link]
        if level >= 0:
            pointer[level] -= 1
            entries[pointer[level]] = i


@kernel
def levels_with_records(listed, reached):  # type: ignore[no-untyped-def]
    """Write the levels that have records of any link: their number, and the most records of one."""
    found, most = 0, 0
    for level in range(listed.shape[1] - 1):
        reached[found] = level
        number = 0
        for a in range(listed.shape[0]):
            number += listed[a, level + 1] - listed[a, level]
        found += number > 0
        most = max(most, number)
    return found, most


@kernel
def rows_from_segments(starts, counted, pointer):  # type: ignore[no-untyped-def]
    """Turn entries by segment and row of a term into starts within rows, and write the ends of rows after ``counted`` entries."""
    end = counted
    for row in range(starts.shape[1]):
        total = 0
        for j in range(starts.shape[0]):
            number = starts[j, row]
            starts[j, row] = total
            total += number
        end += total
        pointer[row] = end
    return end


@kernel
def sort_keys(keys, found):  # type: ignore[no-untyped-def]
    """Sort the first keys, ascending."""
    if found > SHORT:
        keys[:found].sort()
        return
    for k in range(1, found):
        key, m = keys[k], k - 1
        while m >= 0 and keys[m] > key:
            keys[m + 1] = keys[m]
            m -= 1
        keys[m + 1] = key


@kernel
def _place_of_diagonal(level, k_indices, k_start, k_end, keys, found):  # type: ignore[no-untyped-def]
    """Place of a level in its row of K⁻¹; -1 where that lacks one of the keys."""
    place, p = -1, k_start
    for k in range(found):
        while p < k_end and k_indices[p] < keys[k]:
            p += 1
        if p == k_end or k_indices[p] != keys[k]:
            return -1
        if keys[k] == level:
            place = p - k_start
    return place


@kernel
def _own_row(first, row, k_indices, p, end, keys, found, block, mask, present, dropped, indices, q):  # type: ignore[no-untyped-def]
    """Write the columns of a row in its own term from ``q`` on, those of K⁻¹ merged with keys: where they end."""
    width, k = mask.shape[0], 0
    level, c = row // width, row % width
    if dropped[first + row]:
        found, end = 0, p
        if indices.size > 0:
            indices[q] = first + row
        q += 1
    while p < end or k < found:
        other = keys[k] if p == end or (k < found and keys[k] < k_indices[p]) else k_indices[p]
        in_inverse, in_keys = p < end and k_indices[p] == other, k < found and keys[k] == other
        at = block[min(other, block.size - 1)] if in_keys else 0
        for d in range(width):
            column = first + other * width + d
            held = (in_keys and present[at, c, d]) or (in_inverse and (other == level or mask[c, d]))
            if (held and not dropped[column]) or column == first + row:
                if indices.size > 0:
                    indices[q] = column
                q += 1
        p += in_inverse
        k += in_keys
    return q


@parallel_kernel
def own_columns(term, segment, rows, reach, dropped, bounds, starts, pointer, indices):  # type: ignore[no-untyped-def]
    """Columns of a term's rows in the term itself, ascending, or with empty ``indices`` only how many there are, in ``starts``.

    Every row has its diagonal, a ``dropped`` one nothing else. The block of a level that K⁻¹ has is dense, so that its
    whole inverse can be had.
    """
    codes, patterns = rows.codes, rows.pattern
    first, width, link, listed, entries, _, k_pointer, k_indices, _, mask, free, diagonal = term
    number, _, _, start, end, levels, room = segment
    store, whole, links, correlated = indices.size > 0, reach.size == 0, listed.shape[0], mask.all()
    for t in prange(bounds.size - 1):
        keys, block = np.empty(room, dtype=np.int32), np.zeros(levels if links > 1 else 1, dtype=np.int32)
        present = np.zeros((min(room, levels), width, width), dtype=np.bool_)
        for level in range(bounds[t], bounds[t + 1]):
            k_start, k_end = k_pointer[level], k_pointer[level + 1]
            if store and diagonal[level] >= 0:
                for row in range(level * width, (level + 1) * width):
                    q = pointer[first + row] + starts[number, row]
                    for p in range(k_start, k_end):
                        for d in range(width):
                            indices[q] = first + k_indices[p] * width + d
                            q += 1
                continue
            keys[0], block[level if links > 1 else 0], found, place = level, 0, 1, -1
            plain = correlated and k_end > k_start and k_indices[k_end - 1] < free
            if plain and links == 1:
                place = _place_of_diagonal(level, k_indices, k_start, k_end, keys, found)
            present[0] = whole and links == 1 and listed[0, level + 1] > listed[0, level]
            for a in range(links if place < 0 and (links > 1 or not whole) else 0):
                for p in range(listed[a, level], listed[a, level + 1]):
                    i = entries[p]
                    for b in range(start, end):
                        code, k = codes[i, b], 0
                        if code < 0:
                            continue
                        if links > 1:
                            k = block[code]
                            if k >= found or keys[k] != code:
                                k, block[code], keys[found] = found, found, code
                                found += 1
                                present[k] = False
                        for c in range(width):
                            if whole or reach[patterns[i], link + a, c]:
                                for d in range(width):
                                    present[k, c, d] = present[k, c, d] or whole or reach[patterns[i], b, d]
            if links > 1:
                sort_keys(keys, found)
                if plain:
                    place = _place_of_diagonal(level, k_indices, k_start, k_end, keys, found)
            if not store:
                diagonal[level] = place
                for row in range(level * width, (level + 1) * width if place >= 0 else 0):
                    starts[number, row] = (k_end - k_start) * width
            if place >= 0:
                continue
            for row in range(level * width, (level + 1) * width):
                q = pointer[first + row] + starts[number, row] if store else 0
                end_of_row = _own_row(
                    first, row, k_indices, k_start, k_end, keys, found, block, mask, present, dropped, indices, q
                )
                if not store:
                    starts[number, row] = end_of_row


@parallel_kernel
def gathered_columns(term, segment, rows, reach, dropped, bounds, starts, cursors, pointer, indices):  # type: ignore[no-untyped-def]
    """Columns of a term's rows in another term, and mirrored, or with empty ``indices`` only how many there are.

    ``reach`` (patterns × links × coordinates) tells which coordinates the records of a pattern reach; it is empty where all
    reach all. ``cursors`` (threads × rows of the other term) is where the next mirrored entry goes.
    """
    codes, patterns = rows.codes, rows.pattern
    first, width, link, listed, entries, reached, _, _, _, _, _, _ = term
    number, other, wide, start, end, levels, room = segment
    store, whole = indices.size > 0, reach.size == 0
    for t in prange(bounds.size - 1):
        keys, block = np.empty(room, dtype=np.int32), np.zeros(levels, dtype=np.int32)
        present = np.zeros((0 if whole else min(room, levels), width, wide), dtype=np.bool_)
        for place in range(bounds[t], bounds[t + 1]):
            level, found, ascending = reached[place], 0, True
            for a in range(listed.shape[0]):
                for p in range(listed[a, level], listed[a, level + 1]):
                    i = entries[p]
                    for b in range(start, end):
                        code = codes[i, b]
                        if code < 0:
                            continue
                        k = block[code]
                        if k >= found or keys[k] != code:
                            ascending = ascending and (found == 0 or code > keys[found - 1])
                            k, block[code], keys[found] = found, found, code
                            found += 1
                            for c in range(0 if whole else width):
                                for d in range(wide):
                                    present[k, c, d] = False
                        for c in range(0 if whole else width):
                            if reach[patterns[i], link + a, c]:
                                for d in range(wide):
                                    present[k, c, d] = present[k, c, d] or reach[patterns[i], b, d]
            if not ascending:
                sort_keys(keys, found)
            for c in range(width):
                row = level * width + c
                begin = pointer[first + row] + starts[number, row] if store else 0
                q = begin
                for m in range(0 if dropped[first + row] else found):
                    k = block[keys[m]]
                    for d in range(wide):
                        x = keys[m] * wide + d
                        if (whole or present[k, c, d]) and not dropped[other + x]:
                            if store:
                                indices[q] = other + x
                                indices[cursors[t, x]] = first + row
                            cursors[t, x] += 1
                            q += 1
                if not store:
                    starts[number, row] = q - begin
