"""Inbreeding, and what follows from it: Mendelian sampling variances and the diagonal of A.

A = T D T', with row i of T⁻¹ holding 1 at i and -½ at its parents, and D the diagonal of Mendelian sampling variances
(Henderson 1976; Quaas 1976). With F = -1 for an unknown parent, D = ½ - ¼(F_sire + F_dam) covers all three cases.
Parents are int32 positions, parents before offspring: -1 unknown and unrelated, n + k an unknown parent of class k. ``base``
holds the relationships within and between classes (Legarra et al. 2015), 0 × 0 without any; F of a class is its diagonal
less 1.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from breedblup.kernels import kernel, lines, parallel_kernel

Positions = NDArray[np.int32]
Vector = NDArray[np.float64]

NO_CLASSES = np.zeros((0, 0))
"""``base`` where unknown parents are unrelated."""

LANES = 8
"""Sires that are traced together: the values of a node fill a line of cache."""
AHEAD = 64
"""Offspring whose mates are fetched before the first of them is looked at."""
SMALL = 2**14
"""A stage of fewer offspring is left to one thread: meeting another costs milliseconds on a busy machine."""
WIDTH = lines.WIDTH


@kernel
def _sampling_variance(a, b, n, base, f_used):  # type: ignore[no-untyped-def]
    f_sire = -1.0 if a < 0 else (f_used[a] if a < n else base[a - n, a - n] - 1.0)
    f_dam = -1.0 if b < 0 else (f_used[b] if b < n else base[b - n, b - n] - 1.0)
    return 0.5 - 0.25 * (f_sire + f_dam)


@kernel
def _folded_variance(p, sire, dam, base, f_used, animal, dam_of, node):  # type: ignore[no-untyped-def]
    """D of a parent and what the dams folded into it add."""
    total = 0.0
    share = 1.0
    while True:
        i = animal[p]
        total += share * _sampling_variance(sire[i], dam[i], sire.size, base, f_used)
        p = dam_of[p]
        if p < 0 or p >= animal.size or node[p] > 0:
            return total
        share *= 0.25


@kernel
def _list_ancestors(root, line, slot_of, listed, count, path, turn):  # type: ignore[no-untyped-def]
    """Give a node and its ancestors the next slots, parents first; returns the number of slots taken."""
    if slot_of[root] != 0:
        return count
    top = 0
    path[0] = root
    turn[0] = 0
    while top >= 0:
        j = path[top]
        t = turn[top]
        below = 0
        while t < WIDTH and below == 0:
            e = line[j, t]
            if e > 0 and slot_of[e] == 0:
                below = e
            t += 1
        turn[top] = t
        if below > 0:
            top += 1
            path[top] = below
            turn[top] = 0
        else:
            top -= 1
            count += 1
            slot_of[j] = count
            listed[count] = j
    return count


@kernel
def _pass_down(traced, line, listed, slot_of, share):  # type: ignore[no-untyped-def]
    """Shares of the sires that come from each ancestor: rows of T, offspring before parents."""
    for k in range(traced, 0, -1):
        j = listed[k]
        scale = 1.0
        for t in range(WIDTH - 1, -1, -1):
            if line[j, t] < 0:
                break
            if t > 0 and line[j, t - 1] >= 0:
                scale *= 0.5
            e = slot_of[line[j, t]]
            if e > 0:
                for b in range(LANES):
                    share[e, b] += scale * share[k, b]


@kernel
def _relate_class(k, c, base, owed, classes_owed, owing, value):  # type: ignore[no-untyped-def]
    """a(class c, s) = Σ_l base[c, l] · what s owes to class l."""
    for b in range(LANES):
        value[k, b] = 0.0
    for r in range(owing):
        for b in range(LANES):
            value[k, b] += base[c, classes_owed[r]] * owed[r, b]


@kernel
def _relate_line(k, j, line, slot_of, value):  # type: ignore[no-untyped-def]
    """What the parents of a node pass on to it; lanes by name, which LLVM turns into vectors."""
    t = 0
    while t < WIDTH and line[j, t] < 0:
        t += 1
    e = slot_of[line[j, t]] if t < WIDTH else 0
    v0, v1, v2, v3 = value[e, 0], value[e, 1], value[e, 2], value[e, 3]
    v4, v5, v6, v7 = value[e, 4], value[e, 5], value[e, 6], value[e, 7]
    for u in range(t + 1, WIDTH):
        e = slot_of[line[j, u]]
        v0, v1 = 0.5 * (v0 + value[e, 0]), 0.5 * (v1 + value[e, 1])
        v2, v3 = 0.5 * (v2 + value[e, 2]), 0.5 * (v3 + value[e, 3])
        v4, v5 = 0.5 * (v4 + value[e, 4]), 0.5 * (v5 + value[e, 5])
        v6, v7 = 0.5 * (v6 + value[e, 6]), 0.5 * (v7 + value[e, 7])
    value[k, 0], value[k, 1], value[k, 2], value[k, 3] = v0, v1, v2, v3
    value[k, 4], value[k, 5], value[k, 6], value[k, 7] = v4, v5, v6, v7


@kernel
def _relate_node(  # type: ignore[no-untyped-def]
    root, lowest, leaves, base, line, slot_of, listed, value, owed, classes_owed, owing, count, path, turn
):
    """a(node, s) for the sires at hand, by way of its ancestors from ``lowest`` on; returns the number of slots taken."""
    top = 0
    path[0] = root
    turn[0] = 0
    while top >= 0:
        j = path[top]
        t = turn[top]
        below = 0
        while t < WIDTH:
            e = line[j, t]
            t += 1
            if e >= lowest and slot_of[e] == 0:
                below = e
                break
        turn[top] = t
        if below > 0:
            top += 1
            path[top] = below
            turn[top] = 0
            continue
        top -= 1
        count += 1
        if j <= leaves + base.shape[0]:
            _relate_class(count, j - leaves - 1, base, owed, classes_owed, owing, value)
        else:
            _relate_line(count, j, line, slot_of, value)
        slot_of[j] = count
        listed[count] = j
    return count


@kernel
def _trace_sires(begin, end, sires, line, leaves, base, own, work):  # type: ignore[no-untyped-def]
    """List the ancestors of some sires and relate them to these; returns their number and that of classes among them."""
    slot_of, listed, share, value, owed, classes_owed, path, turn = work
    traced = 0
    for k in range(begin, end):
        traced = _list_ancestors(sires[k], line, slot_of, listed, traced, path, turn)
    share[: traced + 1] = 0.0
    value[0] = 0.0
    for k in range(begin, end):
        share[slot_of[sires[k]], k - begin] = 1.0
    _pass_down(traced, line, listed, slot_of, share)
    owing = 0
    for k in range(1, traced + 1):
        if leaves < listed[k] <= leaves + base.shape[0]:
            classes_owed[owing] = listed[k] - leaves - 1
            owed[owing] = share[k]
            owing += 1
    for k in range(1, traced + 1):
        j = listed[k]
        if leaves < j <= leaves + base.shape[0]:
            _relate_class(k, j - leaves - 1, base, owed, classes_owed, owing, value)
            continue
        _relate_line(k, j, line, slot_of, value)
        for b in range(LANES):
            value[k, b] += own[j] * share[k, b]
    return traced, owing


@kernel
def _lowest_related(traced, owing, listed, parent, leaves, classes):  # type: ignore[no-untyped-def]
    """The first node that can descend from one that is listed: none is older than its ancestors."""
    if owing > 0:
        return leaves + 1
    oldest = parent[listed[1]]
    for k in range(2, traced + 1):
        oldest = min(oldest, parent[listed[k]])
    low = leaves + classes + 1
    high = parent.size
    while low < high:
        middle = (low + high) // 2
        if parent[middle] < oldest:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _fetch(begin, end, mate, seen_by, slot_of, line):  # type: ignore[no-untyped-def]
    """Read what mates will need, without a branch that waits for it: the misses of the cache then overlap."""
    read = 0
    for f in range(begin, end):
        read ^= seen_by[mate[f], WIDTH - 1]
    for f in range(begin, end):
        sire = max(seen_by[mate[f], WIDTH - 1], 0)
        dam = max(seen_by[mate[f], WIDTH - 2], 0)
        read ^= slot_of[sire] ^ slot_of[dam] ^ line[sire, 0] ^ line[dam, 0]
    return read


@kernel
def _folded_share(q, b, traced, seen_by, parent, dam_of, slot_of, share):  # type: ignore[no-untyped-def]
    """Share of a sire that comes from a dam who is folded into one of its ancestors, as in matings of son and dam."""
    if seen_by[q, 0] >= -1:
        return 0.0
    c = -1 - seen_by[q, 0]
    k = slot_of[c]
    if k == 0 or k > traced:
        return 0.0
    scale = share[k, b]
    p = parent[c]
    while p != q and scale != 0.0:
        p = dam_of[p]
        scale *= 0.5
    return scale


@kernel
def _do_families(begin, end, pedigree, parents, nodes, families, half, work):  # type: ignore[no-untyped-def]
    """Half the relationship of the parents for all offspring of up to ``LANES`` sires."""
    sire, dam, base, f_used = pedigree
    animal, dam_of, node, seen_by = parents
    line, parent, own, leaves = nodes
    pointer, member, mate, sires = families
    slot_of, listed, share, value, owed, classes_owed, path, turn = work
    traced, owing = _trace_sires(begin, end, sires, line, leaves, base, own, work)
    lowest = _lowest_related(traced, owing, listed, parent, leaves, base.shape[0])
    count = traced
    for b in range(end - begin):
        s = parent[sires[begin + b]]
        fetched = pointer[s]
        for f in range(pointer[s], pointer[s + 1]):
            if f == fetched:
                fetched = min(f + AHEAD, pointer[s + 1])
                listed[0] = _fetch(f, fetched, mate, seen_by, slot_of, line)
            q = mate[f]
            total, passed = 0.0, 1.0
            for t in range(WIDTH):
                e = seen_by[q, t]
                if e < 0:
                    continue
                if e >= lowest and slot_of[e] == 0:
                    count = _relate_node(
                        e,
                        lowest,
                        leaves,
                        base,
                        line,
                        slot_of,
                        listed,
                        value,
                        owed,
                        classes_owed,
                        owing,
                        count,
                        path,
                        turn,
                    )
                total = passed * (total + value[slot_of[e], b])
                passed = 0.5
            from_dam = 0.0
            if seen_by[q, 0] < -1:
                from_dam = _folded_share(q, b, traced, seen_by, parent, dam_of, slot_of, share)
            if from_dam != 0.0:
                total += from_dam * _folded_variance(q, sire, dam, base, f_used, animal, dam_of, node)
            half[member[f]] = 0.5 * total
    for k in range(1, count + 1):
        slot_of[listed[k]] = 0


@kernel
def _offspring_in(begin, end, sires, parent, pointer):  # type: ignore[no-untyped-def]
    offspring = 0
    for k in range(begin, end):
        offspring += pointer[parent[sires[k]] + 1] - pointer[parent[sires[k]]]
    return offspring


@kernel
def _set_own(begin, end, order, pedigree, parents, nodes):  # type: ignore[no-untyped-def]
    """D of some nodes, with that of the dams folded into them."""
    sire, dam, base, f_used = pedigree
    animal, dam_of, node, _ = parents
    _, parent, own, _ = nodes
    for k in range(begin, end):
        c = order[k]
        if parent[c] < animal.size:
            own[c] = _folded_variance(parent[c], sire, dam, base, f_used, animal, dam_of, node)


@kernel
def _do_part(part, parts, begin, end, pedigree, parents, nodes, families, half, work):  # type: ignore[no-untyped-def]
    """Every ``parts``-th block of sires."""
    for b in range(begin + part * LANES, end, parts * LANES):
        _do_families(b, min(b + LANES, end), pedigree, parents, nodes, families, half, work)


@parallel_kernel
def _do_stages(ends, order, sire_ends, pedigree, parents, nodes, families, half, works):  # type: ignore[no-untyped-def]
    """Stage by stage: D of the nodes, then the families, block after block in turn to each thread."""
    slot_of, listed, share, value, owed, classes_owed, path, turn = works
    threads = slot_of.shape[0]
    for k in range(ends.size - 1):
        first, last = ends[k], ends[k + 1]
        begin, end = sire_ends[k], sire_ends[k + 1]
        if _offspring_in(begin, end, families[3], nodes[1], families[0]) < SMALL:
            _set_own(first, last, order, pedigree, parents, nodes)
            work = slot_of[0], listed[0], share[0], value[0], owed[0], classes_owed[0], path[0], turn[0]
            _do_part(0, 1, begin, end, pedigree, parents, nodes, families, half, work)
            continue
        size = (last - first + threads - 1) // threads
        for t in numba.prange(threads):
            _set_own(first + t * size, min(first + (t + 1) * size, last), order, pedigree, parents, nodes)
        for t in numba.prange(threads):
            work = slot_of[t], listed[t], share[t], value[t], owed[t], classes_owed[t], path[t], turn[t]
            _do_part(t, threads, begin, end, pedigree, parents, nodes, families, half, work)


def _numbered_parents(sire, dam, first):  # type: ignore[no-untyped-def]
    """Number of each animal that is a parent, and the parents: animal, sire and dam."""
    marked = np.zeros(sire.size, dtype=np.uint8)
    lines.mark_parents(sire, dam, first, marked, np.empty(first, dtype=np.int32))
    number = np.empty(sire.size, dtype=np.int32)
    m = lines.number_parents(marked, number)
    animal, sire_of, dam_of = (np.empty(m, dtype=np.int32) for _ in range(3))
    lines.parents_of_parents(sire, dam, marked, number, animal, sire_of, dam_of)
    return number, animal, sire_of, dam_of


def _families(sire, dam, number, first, parents, classes):  # type: ignore[no-untyped-def]
    """Offspring with two parents by sire, and their dams."""
    pointer = np.empty(parents + classes + 1, dtype=np.int32)
    lines.count_families(sire, dam, number, first, classes, pointer)
    member, mate = (np.empty(pointer[-1], dtype=np.int32) for _ in range(2))
    lines.fill_families(sire, dam, number, first, classes, pointer, member, mate)
    return pointer, member, mate


def _nodes(sire_of, dam_of, pointer, classes):  # type: ignore[no-untyped-def]
    """Nodes: their number for each parent, how mates see these, lines, parents, and how many are leaves."""
    m = sire_of.size
    kind = np.empty(m, dtype=np.uint8)
    lines.kinds_of(sire_of, dam_of, pointer, kind)
    node = np.empty(m + classes, dtype=np.int32)
    leaves, count = lines.number_nodes(kind, node)
    seen_by, line = (np.empty((size, WIDTH), dtype=np.int32) for size in (m + classes, count))
    parent = np.empty(count, dtype=np.int32)
    lines.write_lines(sire_of, dam_of, node, seen_by, line, parent)
    return node, seen_by, line, parent, leaves


def _stages(stage, parent, pointer):  # type: ignore[no-untyped-def]
    """Nodes by stage, and those with families."""
    order, sires = (np.empty(parent.size - 1, dtype=np.int32) for _ in range(2))
    ends, sire_ends = (np.empty(int(stage.max(initial=0)) + 2, dtype=np.int32) for _ in range(2))
    lines.nodes_by_stage(stage, parent, pointer, ends, order, sire_ends, sires)
    return ends, order, sire_ends, sires


def _workspaces(threads, nodes, classes):  # type: ignore[no-untyped-def]
    """For each thread: slots of nodes, and by slot the node and its values; pages that are never used take no memory."""
    slot_of = np.zeros((threads, nodes), dtype=np.int32)
    listed, path, turn = (np.empty((threads, nodes), dtype=np.int32) for _ in range(3))
    share, value = (np.empty((threads, nodes, LANES)) for _ in range(2))
    owed, classes_owed = np.empty((threads, classes, LANES)), np.empty((threads, classes), dtype=np.int32)
    return slot_of, listed, share, value, owed, classes_owed, path, turn


def half_relationship_of_parents(
    sire: Positions, dam: Positions, base: Vector, f_used: Vector, half: Vector, first: int
) -> None:
    """half[i] = ½ a(sire_i, dam_i) for animals from ``first`` on, 0 where a parent is unknown; D is made of ``f_used``.

    With ``f_used`` the same array as ``half`` this is the inbreeding coefficient F, and F of animals before ``first`` has
    to stand there; with zeros it belongs to the matrix that ignores inbreeding. The ancestors of each sire are traced once
    for all of its offspring (Sargolzaei, Iwaisaki & Colleau 2005), here for up to `LANES` sires together, and only through
    animals that can be common ancestors (`breedblup.kernels.lines`). Sires go in stages: F of all their ancestors is known
    from the stages before, so the blocks of a stage are split among threads. The blocks, and so the bits, are the same
    whatever the number of threads.
    """
    classes = base.shape[0]
    number, animal, sire_of, dam_of = _numbered_parents(sire, dam, first)
    stage = np.empty(animal.size, dtype=np.int32)
    lines.stages_of(animal, sire_of, dam_of, first, stage)
    pointer, member, mate = _families(sire, dam, number, first, animal.size, classes)
    del number
    node, seen_by, line, parent, leaves = _nodes(sire_of, dam_of, pointer, classes)
    del sire_of
    ends, order, sire_ends, sires = _stages(stage, parent, pointer)
    del stage
    half[first:] = 0.0
    pedigree, parents = (sire, dam, base, f_used), (animal, dam_of, node, seen_by)
    nodes, families = (line, parent, np.empty(parent.size), leaves), (pointer, member, mate, sires)
    works = _workspaces(numba.get_num_threads(), parent.size, classes)
    _do_stages(ends, order, sire_ends, pedigree, parents, nodes, families, half, works)


@parallel_kernel
def mendelian_variance(sire, dam, base, f_used, variance):  # type: ignore[no-untyped-def]
    """D = ½ - ¼(F_sire + F_dam), with F = -1 for an unknown parent, and base[k, k] - 1 for one of class k."""
    for i in numba.prange(sire.size):
        variance[i] = _sampling_variance(sire[i], dam[i], sire.size, base, f_used)


@kernel
def relationship_diagonal(sire, dam, base, variance, half, diagonal):  # type: ignore[no-untyped-def]
    """Diagonal of T D T': D_i + ¼(k_ss + k_dd) + ½ k_sd; 1 + F where D takes inbreeding into account."""
    n = sire.size
    for i in range(n):
        total = variance[i] + half[i]
        for j in (sire[i], dam[i]):
            if j >= 0:
                total += 0.25 * (diagonal[j] if j < n else base[j - n, j - n])
        diagonal[i] = total
