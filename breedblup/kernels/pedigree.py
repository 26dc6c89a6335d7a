"""Loops over a pedigree: order, inbreeding, the entries of A⁻¹, products with A and A⁻¹.

Parents are int32 positions, -1 unknown. All but `parents_first` want parents before offspring.

A = T D T', with row i of T⁻¹ holding 1 at i and -½ at its parents, and D the diagonal of Mendelian sampling variances
(Henderson 1976; Quaas 1976). With F = -1 for an unknown parent, D = ½ - ¼(F_sire + F_dam) covers all three cases.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from breedblup.kernels import kernel, parallel_kernel


@kernel
def parents_first(sire, dam, order, loops, loop_ends, cut):  # type: ignore[no-untyped-def]
    """Order animals parents first, keeping their own order where it is free; cut and count loops.

    Depth first through the parents of each animal in turn. ``state`` is 1 on the path from the start to the animal at
    hand: meeting such a parent closes a loop. The link that closes it is cut (``cut``: 1 sire, 2 dam) and the loop's
    members are written to ``loops`` up to ``loop_ends[k]`` as long as both have room. Returns the number of loops.
    """
    n = sire.size
    state = np.zeros(n, dtype=np.int8)
    path = np.empty(n, dtype=np.int32)
    done = 0
    found = 0
    written = 0
    for start in range(n):
        if state[start] != 0:
            continue
        depth = 0
        path[0] = start
        state[start] = 1
        while depth >= 0:
            animal = path[depth]
            descend = -1
            for role in range(2):
                parent = sire[animal] if role == 0 else dam[animal]
                if parent < 0 or (cut[animal] & (role + 1)) != 0 or state[parent] == 2:
                    continue
                if state[parent] == 0:
                    descend = parent
                    break
                cut[animal] |= role + 1
                first = depth
                while path[first] != parent:
                    first -= 1
                if found < loop_ends.size and written + depth - first + 1 <= loops.size:
                    for k in range(first, depth + 1):
                        loops[written] = path[k]
                        written += 1
                    loop_ends[found] = written
                found += 1
            if descend >= 0:
                depth += 1
                path[depth] = descend
                state[descend] = 1
            else:
                state[animal] = 2
                order[done] = animal
                done += 1
                depth -= 1
    return found


@kernel
def mark_ancestors(sire, dam, marked):  # type: ignore[no-untyped-def]
    """Mark the ancestors of all that are marked: one pass, offspring before parents."""
    for i in range(sire.size - 1, -1, -1):
        if marked[i]:
            if sire[i] >= 0:
                marked[sire[i]] = True
            if dam[i] >= 0:
                marked[dam[i]] = True


@kernel
def offspring_of(parent, pointer, offspring):  # type: ignore[no-untyped-def]
    """Lists of offspring by one parent: those of j stand in ``offspring[pointer[j]:pointer[j + 1]]``, in their order."""
    n = parent.size
    pointer[:] = 0
    for i in range(n):
        if parent[i] >= 0:
            pointer[parent[i] + 1] += 1
    for j in range(n):
        pointer[j + 1] += pointer[j]
    filled = pointer[:n].copy()
    for i in range(n):
        if parent[i] >= 0:
            offspring[filled[parent[i]]] = i
            filled[parent[i]] += 1


@kernel
def _push_unseen(parent, mark, s, listed, count):  # type: ignore[no-untyped-def]
    if parent >= 0 and mark[parent] != s:
        mark[parent] = s
        listed[count] = parent
        return count + 1
    return count


@kernel
def _trace_sire(s, sire, dam, f_used, mark, listed, weight):  # type: ignore[no-untyped-def]
    """weight[j] = (row s of T)_j · D_j for s and all its ancestors, which are listed; returns their number."""
    mark[s] = s
    listed[0] = s
    count = 1
    k = 0
    while k < count:
        j = listed[k]
        count = _push_unseen(sire[j], mark, s, listed, count)
        count = _push_unseen(dam[j], mark, s, listed, count)
        k += 1
    listed[:count].sort()
    for k in range(count):
        weight[listed[k]] = 0.0
    weight[s] = 1.0
    for k in range(count - 1, -1, -1):
        j = listed[k]
        f_sire = f_dam = -1.0
        half = 0.5 * weight[j]
        if sire[j] >= 0:
            weight[sire[j]] += half
            f_sire = f_used[sire[j]]
        if dam[j] >= 0:
            weight[dam[j]] += half
            f_dam = f_used[dam[j]]
        weight[j] *= 0.5 - 0.25 * (f_sire + f_dam)
    return count


@kernel
def _relationship_with(d, s, oldest, sire, dam, mark, weight, known, value, stack):  # type: ignore[no-untyped-def]
    """a(s, d) by a(s, j) = weight_j + ½(a(s, sire_j) + a(s, dam_j)), remembered for the other mates of s."""
    stack[0] = d
    top = 0
    while top >= 0:
        j = stack[top]
        if known[j] == s:
            top -= 1
            continue
        a = sire[j]
        b = dam[j]
        if a >= oldest and known[a] != s:
            top += 1
            stack[top] = a
            continue
        if b >= oldest and known[b] != s:
            top += 1
            stack[top] = b
            continue
        total = 0.0
        if a >= oldest:
            total += value[a]
        if b >= oldest:
            total += value[b]
        total *= 0.5
        if mark[j] == s:
            total += weight[j]
        value[j] = total
        known[j] = s
        top -= 1
    return value[d]


@kernel
def half_relationship_of_parents(sire, dam, f_used, half):  # type: ignore[no-untyped-def]
    """half[i] = ½ a(sire_i, dam_i), 0 where a parent is unknown; D is made of ``f_used``.

    With ``f_used`` the same array as ``half`` this is the inbreeding coefficient F; with zeros it belongs to the matrix
    that ignores inbreeding. The ancestors of each sire are traced once for all of its offspring (Sargolzaei, Iwaisaki &
    Colleau 2005). Sires are taken parents first, so every F that a sire's ancestry needs is there: the ancestors' sires
    came before.
    """
    n = sire.size
    pointer = np.empty(n + 1, dtype=np.int32)
    offspring = np.empty(n, dtype=np.int32)
    offspring_of(sire, pointer, offspring)
    mark = np.full(n, -1, dtype=np.int32)
    known = np.full(n, -1, dtype=np.int32)
    listed = np.empty(n, dtype=np.int32)
    weight = np.empty(n)
    value = np.empty(n)
    half[:] = 0.0
    for s in range(n):
        traced = False
        oldest = 0
        for k in range(pointer[s], pointer[s + 1]):
            i = offspring[k]
            d = dam[i]
            if d < 0:
                continue
            if not traced:
                _trace_sire(s, sire, dam, f_used, mark, listed, weight)
                oldest = listed[0]
                traced = True
            if d >= oldest:
                a = _relationship_with(d, s, oldest, sire, dam, mark, weight, known, value, listed)
                half[i] = 0.5 * a


@kernel
def mendelian_variance(sire, dam, f_used, variance):  # type: ignore[no-untyped-def]
    """D = ½ - ¼(F_sire + F_dam), with F = -1 for an unknown parent."""
    for i in range(sire.size):
        f_sire = f_used[sire[i]] if sire[i] >= 0 else -1.0
        f_dam = f_used[dam[i]] if dam[i] >= 0 else -1.0
        variance[i] = 0.5 - 0.25 * (f_sire + f_dam)


@kernel
def relationship_diagonal(sire, dam, variance, half, diagonal):  # type: ignore[no-untyped-def]
    """Diagonal of T D T': D_i + ¼(k_ss + k_dd) + ½ k_sd; 1 + F where D takes inbreeding into account."""
    for i in range(sire.size):
        total = variance[i] + half[i]
        if sire[i] >= 0:
            total += 0.25 * diagonal[sire[i]]
        if dam[i] >= 0:
            total += 0.25 * diagonal[dam[i]]
        diagonal[i] = total


@kernel
def _a_inverse_row(j, sire, dam, variance, lists, stamp, place, indices, values, start):  # type: ignore[no-untyped-def]
    """Write the entries of row j from ``start`` on, or only count them where ``indices`` is empty; returns their number.

    Each animal i adds q q'/D_i with q = 1 at i, -½ at its parents (Henderson 1976): row j gets its own and those of its
    offspring. ``lists`` holds offspring by sire and by dam.
    """
    writing = indices.size > 0
    count = 0
    sire_pointer, sire_offspring, dam_pointer, dam_offspring = lists
    for part in range(3):
        if part == 0:
            begin, end = 0, 1
        elif part == 1:
            begin, end = sire_pointer[j], sire_pointer[j + 1]
        else:
            begin, end = dam_pointer[j], dam_pointer[j + 1]
        for k in range(begin, end):
            if part == 0:
                i = j
                own = 1.0
            elif part == 1:
                i = sire_offspring[k]
                own = -0.5
            else:
                i = dam_offspring[k]
                own = -0.5
            scale = own / variance[i]
            for member in range(3):
                if member == 0:
                    column, q = i, 1.0
                elif member == 1:
                    column, q = sire[i], -0.5
                else:
                    column, q = dam[i], -0.5
                if column < 0:
                    continue
                if stamp[column] != j:
                    stamp[column] = j
                    place[column] = count
                    if writing:
                        indices[start + count] = column
                        values[start + count] = 0.0
                    count += 1
                if writing:
                    values[start + place[column]] += scale * q
    return count


@kernel
def _sort_row(indices, values, start, end):  # type: ignore[no-untyped-def]
    if end - start > 32:
        order = np.argsort(indices[start:end])
        indices[start:end] = indices[start:end][order]
        values[start:end] = values[start:end][order]
        return
    for k in range(start + 1, end):
        column = indices[k]
        value = values[k]
        m = k - 1
        while m >= start and indices[m] > column:
            indices[m + 1] = indices[m]
            values[m + 1] = values[m]
            m -= 1
        indices[m + 1] = column
        values[m + 1] = value


@parallel_kernel
def a_inverse_counts(sire, dam, variance, lists, bounds, counts):  # type: ignore[no-untyped-def]
    """Number of entries in each row of A⁻¹; rows ``bounds[t]`` to ``bounds[t + 1]`` belong to thread t."""
    nothing = np.empty(0, dtype=np.int32)
    no_values = np.empty(0)
    for t in prange(bounds.size - 1):
        stamp = np.full(sire.size, -1, dtype=np.int32)
        place = np.empty(sire.size, dtype=np.int32)
        for j in range(bounds[t], bounds[t + 1]):
            counts[j] = _a_inverse_row(j, sire, dam, variance, lists, stamp, place, nothing, no_values, 0)


@parallel_kernel
def a_inverse_entries(sire, dam, variance, lists, bounds, pointer, indices, values):  # type: ignore[no-untyped-def]
    """Fill the rows of A⁻¹, columns ascending, both triangles; ``pointer`` comes from `a_inverse_counts`."""
    for t in prange(bounds.size - 1):
        stamp = np.full(sire.size, -1, dtype=np.int32)
        place = np.empty(sire.size, dtype=np.int32)
        for j in range(bounds[t], bounds[t + 1]):
            _a_inverse_row(j, sire, dam, variance, lists, stamp, place, indices, values, pointer[j])
            _sort_row(indices, values, pointer[j], pointer[j + 1])


@kernel
def multiply_a(sire, dam, variance, vectors):  # type: ignore[no-untyped-def]
    """vectors <- T D T' vectors, in place, for an n × k block (Colleau 2002): up to the parents, scale, down again."""
    n, width = vectors.shape
    for i in range(n - 1, -1, -1):
        for c in range(width):
            half = 0.5 * vectors[i, c]
            if sire[i] >= 0:
                vectors[sire[i], c] += half
            if dam[i] >= 0:
                vectors[dam[i], c] += half
    for i in range(n):
        for c in range(width):
            total = variance[i] * vectors[i, c]
            if sire[i] >= 0:
                total += 0.5 * vectors[sire[i], c]
            if dam[i] >= 0:
                total += 0.5 * vectors[dam[i], c]
            vectors[i, c] = total


@kernel
def multiply_a_inverse(sire, dam, variance, vectors, out):  # type: ignore[no-untyped-def]
    """out <- A⁻¹ vectors for an n × k block, from the pedigree alone: the sum over animals of q (q'v) / D."""
    n, width = vectors.shape
    out[:] = 0.0
    for i in range(n):
        for c in range(width):
            total = vectors[i, c]
            if sire[i] >= 0:
                total -= 0.5 * vectors[sire[i], c]
            if dam[i] >= 0:
                total -= 0.5 * vectors[dam[i], c]
            total /= variance[i]
            out[i, c] += total
            if sire[i] >= 0:
                out[sire[i], c] -= 0.5 * total
            if dam[i] >= 0:
                out[dam[i], c] -= 0.5 * total
