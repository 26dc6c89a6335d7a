"""Values of mixed model equations on the positions that `breedblup.kernels.assembly` found, for given variances."""

from __future__ import annotations

import numpy as np
from numba import prange

from breedblup.kernels import kernel, parallel_kernel
from breedblup.kernels.assembly import sort_keys


@parallel_kernel
def row_values(rows, slots, values):  # type: ignore[no-untyped-def]
    """What the rows of W, times √weight, have in every slot, zero where the trait is missing; ``values`` is n × slots."""
    x, roots, patterns, observed = rows.values, rows.roots, rows.pattern, rows.observed
    trait, column, scale = slots.trait, slots.column, slots.scale
    for i in prange(values.shape[0]):
        for q in range(values.shape[1]):
            values[i, q] = 0.0
            if observed[patterns[i], trait[q]]:
                values[i, q] = roots[i, trait[q]] * scale[q] * (1.0 if column[q] < 0 else x[i, column[q]])


@parallel_kernel
def level_sums(rows, slots, row, residual, link, sums):  # type: ignore[no-untyped-def]
    """W'R⁻¹W of each level of a term with one link, in parts of the records: ``sums`` is parts × levels × width × width."""
    codes, patterns = rows.codes, rows.pattern
    slot_trait, slot_coordinate = slots.trait, slots.coordinate
    begin, end, n, parts = slots.pointer[link], slots.pointer[link + 1], codes.shape[0], sums.shape[0]
    for t in prange(parts):
        sums[t] = 0.0
        for i in range(t * n // parts, (t + 1) * n // parts):
            level, has = codes[i, link], patterns[i]
            for z in range(begin, end if level >= 0 else begin):
                c, trait, left = slot_coordinate[z], slot_trait[z], row[i, z]
                for q in range(begin, end):
                    sums[t, level, c, slot_coordinate[q]] += left * row[i, q] * residual[has, trait, slot_trait[q]]


@parallel_kernel
def inverse_values(term, segment, covariance, sums, dropped, bounds, starts, lhs):  # type: ignore[no-untyped-def]
    """Values of a term's rows in the term itself but for what records add: G₀⁻¹ ⊗ K⁻¹, and 1 for a dropped equation.

    ``covariance`` is G₀⁻¹, ``sums`` (levels × width × width, or empty) is what `level_sums` gives, ``lhs`` is (pointer, indices,
    values).
    """
    first, width, _, _, _, _, k_pointer, k_indices, k_values, _, _, diagonal = term
    number, last, summed = segment.number, segment.number == starts.shape[0] - 1, sums.size > 0
    pointer, indices, values = lhs
    for t in prange(bounds.size - 1):
        for level in range(bounds[t], bounds[t + 1]):
            k_start, k_end = k_pointer[level], k_pointer[level + 1]
            for c in range(width):
                row = level * width + c
                begin = pointer[first + row] + starts[number, row]
                if diagonal[level] >= 0:
                    q = begin
                    for p in range(k_start, k_end):
                        for d in range(width):
                            values[q] = covariance[c, d] * k_values[p]
                            q += 1
                    for d in range(width if summed else 0):
                        values[q + (diagonal[level] - k_end + k_start) * width + d] += sums[level, c, d]
                    continue
                end = pointer[first + row + 1] if last else pointer[first + row] + starts[number + 1, row]
                p = k_start
                for q in range(begin, end):
                    other = (indices[q] - first) // width
                    while p < k_end and k_indices[p] < other:
                        p += 1
                    d, total = indices[q] - first - other * width, 0.0
                    if p < k_end and k_indices[p] == other:
                        total += covariance[c, d] * k_values[p]
                    if summed and other == level:
                        total += sums[level, c, d]
                    values[q] = 1.0 if dropped[first + row] else total


@parallel_kernel
def record_values(term, segment, rows, slots, row, residual, dropped, bounds, starts, cursors, lhs):  # type: ignore[no-untyped-def]
    """W'R⁻¹W in a term's rows: added in the term itself, written in another term and mirrored.

    ``row`` is what `row_values` gives, ``residual`` (patterns × traits × traits) holds R⁻¹ of the observed traits, ``lhs`` is
    (pointer, indices, values).
    """
    codes, patterns = rows.codes, rows.pattern
    slot_pointer, slot_trait, slot_coordinate = slots.pointer, slots.trait, slots.coordinate
    first, width, link, listed, entries, reached, _, _, _, _, _, diagonal = term
    own, number, other, wide, start, end, levels, room = segment
    pointer, indices, values = lhs
    links, single = listed.shape[0], residual.shape[1] * width * wide == 1 and slot_pointer[-1] == slot_pointer.size - 1
    for t in prange(bounds.size - 1):
        keys, block = np.empty(room, dtype=np.int32), np.zeros(levels, dtype=np.int32)
        sums = np.empty((min(room, levels), width, wide))
        for place in range(bounds[t], bounds[t + 1]):
            level, found, ascending = reached[place], 0, True
            for a in range(links):
                for p in range(listed[a, level], listed[a, level + 1]):
                    i = entries[p]
                    has = patterns[i]
                    for b in range(start, end):
                        code = codes[i, b]
                        if code < 0:
                            continue
                        k = block[code]
                        if k >= found or keys[k] != code:
                            ascending = ascending and (found == 0 or code > keys[found - 1])
                            k, block[code], keys[found] = found, found, code
                            found += 1
                            for c in range(width):
                                for d in range(wide):
                                    sums[k, c, d] = 0.0
                        if single:
                            sums[k, 0, 0] += row[i, link + a] * row[i, b] * residual[has, 0, 0]
                            continue
                        for z in range(slot_pointer[link + a], slot_pointer[link + a + 1]):
                            c, trait, left = slot_coordinate[z], slot_trait[z], row[i, z]
                            for q in range(slot_pointer[b], slot_pointer[b + 1]):
                                sums[k, c, slot_coordinate[q]] += left * row[i, q] * residual[has, trait, slot_trait[q]]
            if not ascending:
                sort_keys(keys, found)
            for c in range(width):
                e = first + level * width + c
                q, row_end = pointer[e] + starts[number, level * width + c], pointer[e + 1]
                if own and links == 1 and diagonal[level] >= 0:
                    q += diagonal[level] * width
                for m in range(0 if dropped[e] else found):
                    k = block[keys[m]]
                    for d in range(wide):
                        x, value = keys[m] * wide + d, sums[k, c, d]
                        if own:
                            while value != 0.0 and q < row_end and indices[q] < other + x:
                                q += 1
                            if value != 0.0 and q < row_end and indices[q] == other + x:
                                values[q] += value
                        elif q < row_end and indices[q] == other + x:
                            values[q] = value
                            values[cursors[t, x]] = value
                            cursors[t, x] += 1
                            q += 1


@kernel
def rhs_sums(rows, slots, row, residual, y, dropped, rhs):  # type: ignore[no-untyped-def]
    """rhs += W'R⁻¹y; ``row`` is what `row_values` gives, y is n × traits."""
    codes, roots, patterns, observed = rows.codes, rows.roots, rows.pattern, rows.observed
    slot_trait, slot_link, slot_first, slot_width = slots.trait, slots.link, slots.first, slots.width
    n, traits = y.shape
    weighted = np.empty(traits)
    for i in range(n):
        has = patterns[i]
        for trait in range(traits):
            weighted[trait] = 0.0
            for s in range(traits):
                if observed[has, s]:
                    weighted[trait] += residual[has, trait, s] * roots[i, s] * y[i, s]
        for q in range(slot_link.size):
            code = codes[i, slot_link[q]]
            e = slot_first[q] + code * slot_width[q]
            if code >= 0 and not dropped[e]:
                rhs[e] += weighted[slot_trait[q]] * row[i, q]
