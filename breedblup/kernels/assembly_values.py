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


@kernel
def _products(slot_pointer, slot_coordinate, slot_trait, traits, link, links, start, end):  # type: ignore[no-untyped-def]
    """Pairs of slots, by a link from ``link`` on and one from ``start`` on: slots, coordinates and place in R⁻¹, unsigned."""
    width = end - start
    bounds = np.zeros(links * width + 1, dtype=np.int64)
    for pair in range(links * width):
        a, b = link + pair // width, start + pair % width
        mine, other = slot_pointer[a + 1] - slot_pointer[a], slot_pointer[b + 1] - slot_pointer[b]
        bounds[pair + 1] = bounds[pair] + mine * other
    left, right = np.empty(bounds[-1], dtype=np.uint32), np.empty(bounds[-1], dtype=np.uint32)
    c, d = np.empty(bounds[-1], dtype=np.uint32), np.empty(bounds[-1], dtype=np.uint32)
    weight = np.empty(bounds[-1], dtype=np.uint32)
    for pair in range(links * width):
        m, a, b = bounds[pair], link + pair // width, start + pair % width
        for z in range(slot_pointer[a], slot_pointer[a + 1]):
            for q in range(slot_pointer[b], slot_pointer[b + 1]):
                left[m], right[m], c[m], d[m] = z, q, slot_coordinate[z], slot_coordinate[q]
                weight[m] = slot_trait[z] * traits + slot_trait[q]
                m += 1
    return bounds, left, right, c, d, weight


@parallel_kernel
def own_values(term, segment, rows, slots, row, residual, covariance, sums, dropped, bounds, starts, lhs):  # type: ignore[no-untyped-def]
    """Values of a term's rows in the term itself: W'R⁻¹W + G₀⁻¹ ⊗ K⁻¹, and 1 for a dropped equation.

    ``row`` is what `row_values` gives, ``residual`` (patterns × traits × traits) holds R⁻¹ of the observed traits, ``covariance``
    is G₀⁻¹, ``sums`` (levels × width × width, or empty) is what `level_sums` gives, ``lhs`` is (pointer, indices, values).
    """
    codes, patterns = rows.codes, rows.pattern
    first, width, link, listed, entries, _, k_pointer, k_indices, k_values, _, _, diagonal = term
    number, _, _, start, end, levels, _ = segment
    pointer, indices, values = lhs
    last, summed, links, traits = number == starts.shape[0] - 1, sums.size > 0, listed.shape[0], residual.shape[1]
    weights = residual.reshape(residual.shape[0], traits * traits)
    pairs, left, right, of_left, of_right, weight = _products(
        slots.pointer, slots.coordinate, slots.trait, traits, link, links, start, end
    )
    for t in prange(bounds.size - 1):
        # where a column stands in its row: of all levels that links reach, which is one where there is one link
        place = np.empty(width if links == 1 else levels * width, dtype=np.int32)
        begins = np.empty(width, dtype=np.int64)
        for level in range(bounds[t], bounds[t + 1]):
            k_start, k_end = k_pointer[level], k_pointer[level + 1]
            place_of_own, base, has_records = diagonal[level], level * width if links == 1 else 0, False
            dense = place_of_own >= 0
            for a in range(0 if summed else links):
                has_records = has_records or listed[a, level + 1] > listed[a, level]
            for c in range(width):
                begins[c] = pointer[first + level * width + c] + starts[number, level * width + c]
            plain = dense and width * links == 1
            for p in range(k_start, k_end if plain else k_start):
                values[begins[0] + p - k_start] = covariance[0, 0] * k_values[p]
            for p in range(k_start, k_end if dense and not plain else k_start):
                value, q = k_values[p], (p - k_start) * width
                for c in range(width):
                    for d in range(width):
                        values[begins[c] + q + d] = covariance[c, d] * value
                if links > 1:
                    place[k_indices[p] * width] = q
            if dense and links == 1:
                place[0] = place_of_own * width
            for c in range(width if summed and dense else 0):
                for d in range(width):
                    values[begins[c] + place_of_own * width + d] += sums[level, c, d]
            # all rows of a level at once where they are alike, else one after the other
            for c in range(1 if dense else width):
                e = first + level * width + c
                if not dense:
                    row_end = pointer[e + 1] if last else pointer[e] + starts[number + 1, level * width + c]
                    p = k_start
                    for q in range(begins[c], row_end):
                        column = indices[q] - first
                        other = column // width
                        while p < k_end and k_indices[p] < other:
                            p += 1
                        d, total = column - other * width, 0.0
                        if p < k_end and k_indices[p] == other:
                            total += covariance[c, d] * k_values[p]
                        if summed and other == level:
                            total += sums[level, c, d]
                        values[q] = 1.0 if dropped[e] else total
                        if links > 1 or other == level:
                            place[column - base] = q - begins[c]
                if not has_records or (dropped[e] and not dense):
                    continue
                for a in range(links):
                    for p in range(listed[a, level], listed[a, level + 1]):
                        i = entries[p]
                        has = patterns[i]
                        for b in range(start, end):
                            column, pair = codes[i, b] * width, a * (end - start) + b - start
                            for m in range(pairs[pair], pairs[pair + 1] if column >= 0 else pairs[pair]):
                                if not dense and of_left[m] != c:
                                    continue
                                value = row[i, left[m]] * row[i, right[m]] * weights[has, weight[m]]
                                if dense:
                                    values[begins[of_left[m]] + place[column - base] + of_right[m]] += value
                                elif value != 0.0 and not dropped[first + column + of_right[m]]:
                                    values[begins[c] + place[column - base + of_right[m]]] += value


@kernel
def _parts(slot_pointer, slot_coordinate, link, links, width):  # type: ignore[no-untyped-def]
    """Runs of links from ``link`` on that share no coordinate, ascending: ends of their links, and of their coordinates."""
    ends, rows, found = np.zeros(links + 1, dtype=np.int64), np.zeros(links + 1, dtype=np.int64), 0
    for a in range(1, links + 1):
        highest, lowest = -1, width
        for z in range(slot_pointer[link], slot_pointer[link + a]):
            highest = max(highest, slot_coordinate[z])
        for z in range(slot_pointer[link + a], slot_pointer[link + links]):
            lowest = min(lowest, slot_coordinate[z])
        if highest < lowest:
            found += 1
            ends[found], rows[found] = a, lowest
    return ends[: found + 1], rows[: found + 1]


@parallel_kernel
def gathered_values(term, segments, rows, slots, row, residual, dropped, bounds, starts, cursors, lhs):  # type: ignore[no-untyped-def]
    """W'R⁻¹W of a term's rows in other terms, and mirrored; the arguments are those of `own_values`, but for ``segments``.

    A row of these is a `Segment` of numbers. ``cursors`` stand side by side in the order of the segments. A level is taken for
    all segments before the next, while its records are at hand.
    """
    codes, patterns = rows.codes, rows.pattern
    first, width, link, listed, entries, reached, _, _, _, _, _, _ = term
    pointer, indices, values = lhs
    links, traits, every = listed.shape[0], residual.shape[1], codes.shape[1]
    weights = residual.reshape(residual.shape[0], traits * traits)
    pairs, left, right, of_left, of_right, weight = _products(
        slots.pointer, slots.coordinate, slots.trait, traits, link, links, 0, every
    )
    part_links, part_rows = _parts(slots.pointer, slots.coordinate, link, links, width)
    parts = part_links.size - 1
    room, blocks = segments[:, 6].max(), segments[:, 5].sum()
    for t in prange(bounds.size - 1):
        keys, block = np.empty(room, dtype=np.int32), np.zeros(blocks, dtype=np.int32)
        sums = np.empty((room, width * segments[:, 2].max()))
        for place in range(bounds[t], bounds[t + 1]):
            level, cursor, begin = reached[place], 0, 0
            for s in range(segments.shape[0]):
                number, other, wide, start = segments[s, 0], segments[s, 1], segments[s, 2], segments[s, 3]
                end, levels = segments[s, 4], segments[s, 5]
                for part in range(parts):
                    top, bottom, found, ascending = part_rows[part], part_rows[part + 1], 0, True
                    for a in range(part_links[part], part_links[part + 1]):
                        for p in range(listed[a, level], listed[a, level + 1]):
                            i = entries[p]
                            has = patterns[i]
                            for b in range(start, end):
                                code = codes[i, b]
                                if code < 0:
                                    continue
                                k, pair = block[begin + code], a * every + b
                                if k >= found or keys[k] != code:
                                    ascending = ascending and (found == 0 or code > keys[found - 1])
                                    k, block[begin + code], keys[found] = found, found, code
                                    found += 1
                                    for m in range(top * wide, bottom * wide):
                                        sums[k, m] = 0.0
                                for m in range(pairs[pair], pairs[pair + 1]):
                                    at = of_left[m] * wide + of_right[m]
                                    sums[k, at] += row[i, left[m]] * row[i, right[m]] * weights[has, weight[m]]
                    if not ascending:
                        sort_keys(keys, found)
                    for c in range(top, bottom):
                        e = first + level * width + c
                        q, row_end = pointer[e] + starts[number, level * width + c], pointer[e + 1]
                        for m in range(0 if dropped[e] else found):
                            k, x = block[begin + keys[m]], keys[m] * wide
                            for d in range(wide):
                                if q < row_end and indices[q] == other + x + d:
                                    value = sums[k, c * wide + d]
                                    values[q] = value
                                    values[cursors[t, cursor + x + d]] = value
                                    cursors[t, cursor + x + d] += 1
                                    q += 1
                cursor, begin = cursor + levels * wide, begin + levels


@kernel
def rhs_sums(rows, slots, residual, y, dropped, rhs):  # type: ignore[no-untyped-def]
    """rhs += W'R⁻¹y; y is n × traits."""
    codes, x, roots, patterns, observed = rows
    _, slot_trait, slot_link, slot_first, slot_width, _, slot_column, slot_scale = slots
    n, traits = y.shape
    weighted = np.empty(traits)
    for i in range(n):
        has = patterns[i]
        for trait in range(traits):
            weighted[trait] = 0.0
            for s in range(traits):
                if observed[has, s]:
                    weighted[trait] += residual[has, trait, s] * roots[i, s] * y[i, s]
            weighted[trait] *= roots[i, trait]
        for q in range(slot_link.size):
            code, column = codes[i, slot_link[q]], slot_column[q]
            e = slot_first[q] + code * slot_width[q]
            if code >= 0 and observed[has, slot_trait[q]] and not dropped[e]:
                rhs[e] += weighted[slot_trait[q]] * slot_scale[q] * (1.0 if column < 0 else x[i, column])
