"""Loops over a pedigree: order, ancestors, lists of offspring.

Parents are int32 positions, -1 unknown. All but `parents_first` want parents before offspring.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from breedblup.kernels import kernel, parallel_kernel


@parallel_kernel
def screen_links(sire, dam, sex, day, strict, as_sire, as_dam):  # type: ignore[no-untyped-def]
    """Count links that could be wrong: own parents, parents after their offspring, sexes against roles, births out of order.

    ``sex`` and ``day`` may be empty; ``day`` is the least int32 where unknown, and equal days are wrong where ``strict``. Marks
    who is a sire and who is a dam.
    """
    unknown = np.iinfo(np.int32).min
    sexes, days = sex.size > 0, day.size > 0
    own = late = against = born = 0
    for i in prange(sire.size):
        s, d = sire[i], dam[i]
        if s >= 0:
            as_sire[s] = True
            own += s == i
            late += s > i
            if sexes:
                against += sex[s] == 2
            if days and day[i] != unknown and day[s] != unknown:
                born += day[s] > day[i] or (strict and day[s] == day[i])
        if d >= 0:
            as_dam[d] = True
            own += d == i
            late += d > i
            if sexes:
                against += sex[d] == 1
            if days and day[i] != unknown and day[d] != unknown:
                born += day[d] > day[i] or (strict and day[d] == day[i])
    return own, late, against, born


@parallel_kernel
def rearrange(sire, dam, order, new, new_sire, new_dam):  # type: ignore[no-untyped-def]
    """Parents of animals in another order: the k-th is ``order[k]``, ``new`` is where each goes."""
    for k in prange(order.size):
        s, d = sire[order[k]], dam[order[k]]
        new_sire[k] = new[s] if s >= 0 else -1
        new_dam[k] = new[d] if d >= 0 else -1


@kernel
def first_out_of_order(parent):  # type: ignore[no-untyped-def]
    """First animal whose parent is no position before it, -1 where there is none."""
    for i in range(parent.size):
        if parent[i] >= i or parent[i] < -1:
            return i
    return -1


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
