"""Parents in short: what a family of a sire has to look at, and nothing else.

Of a pedigree only the parents of the animals at hand and the ancestors of these can make them inbred. They are numbered 0 to
m - 1 in their order, classes of unknown parents follow from m on. Fewer still can be *common* ancestors: sires, and dams with
two or more offspring that are parents themselves. These are the *nodes*. Any other dam is folded into her offspring: her own
sampling becomes part of theirs, and they descend from her parents directly. What an animal descends from is then its *line*, at
most four nodes a, b, c, d, oldest first, to be read as ½(½(½(a + b) + c) + d): a dam or her class, then sires down the
maternal line; -1 before the first, node 0 for nobody.

Nodes: 0 nobody, then *leaves* (nodes that descend from nobody), classes, and *inner* nodes in the order of the animals.
"""

from __future__ import annotations

import numpy as np

from breedblup.kernels import kernel

WIDTH = 4
FOLDS = WIDTH - 2
FOLDED, LEAF, INNER = 0, 1, 2


@kernel
def mark_parents(sire, dam, first, marked, waiting):  # type: ignore[no-untyped-def]
    """Mark the parents of animals from ``first`` on and all their ancestors; ``waiting`` has room for ``first``."""
    n = sire.size
    top = 0
    for i in range(first, n):
        for j in (sire[i], dam[i]):
            if 0 <= j < n and marked[j] == 0:
                marked[j] = 1
                if j < first:
                    waiting[top] = j
                    top += 1
    while top > 0:
        top -= 1
        i = waiting[top]
        for j in (sire[i], dam[i]):
            if 0 <= j < n and marked[j] == 0:
                marked[j] = 1
                waiting[top] = j
                top += 1


@kernel
def number_parents(marked, number):  # type: ignore[no-untyped-def]
    """Number what is marked; returns how many there are. ``number`` of the others is left as it is."""
    m = 0
    for i in range(marked.size):
        if marked[i] != 0:
            number[i] = m
            m += 1
    return m


@kernel
def parents_of_parents(sire, dam, marked, number, animal, sire_of, dam_of):  # type: ignore[no-untyped-def]
    """``animal`` of each parent, and its own parents by their numbers; class k is m + k, -1 unknown."""
    n = sire.size
    m = animal.size
    p = 0
    for i in range(n):
        if marked[i] != 0:
            a = sire[i]
            b = dam[i]
            animal[p] = i
            sire_of[p] = a if a < 0 else (number[a] if a < n else a - n + m)
            dam_of[p] = b if b < 0 else (number[b] if b < n else b - n + m)
            p += 1


@kernel
def count_families(sire, dam, number, first, classes, pointer):  # type: ignore[no-untyped-def]
    """``pointer[p]`` to ``pointer[p + 1]``: places for the offspring of sire p from ``first`` on that have a dam."""
    n = sire.size
    m = pointer.size - 1 - classes
    pointer[:] = 0
    for i in range(first, n):
        a = sire[i]
        if a >= 0 and dam[i] >= 0:
            pointer[(number[a] if a < n else a - n + m) + 1] += 1
    for p in range(pointer.size - 1):
        pointer[p + 1] += pointer[p]


@kernel
def fill_families(sire, dam, number, first, classes, pointer, member, mate):  # type: ignore[no-untyped-def]
    """The offspring themselves, in their order, and the numbers of their dams."""
    n = sire.size
    m = pointer.size - 1 - classes
    for i in range(first, n):
        a = sire[i]
        b = dam[i]
        if a >= 0 and b >= 0:
            p = number[a] if a < n else a - n + m
            member[pointer[p]] = i
            mate[pointer[p]] = number[b] if b < n else b - n + m
            pointer[p] += 1
    for p in range(pointer.size - 1, 0, -1):
        pointer[p] = pointer[p - 1]
    pointer[0] = 0


@kernel
def stages_of(animal, sire_of, dam_of, first, stage):  # type: ignore[no-untyped-def]
    """Stage of each parent: once the families of sires of the stages before are done, F of all its ancestors is known."""
    m = animal.size
    for p in range(m):
        a = sire_of[p]
        b = dam_of[p]
        stage[p] = 0
        if animal[p] >= first:
            if a >= 0:
                stage[p] = 1 + (stage[a] if a < m else 0)
            if 0 <= b < m:
                stage[p] = max(stage[p], stage[b])


@kernel
def kinds_of(sire_of, dam_of, pointer, kind):  # type: ignore[no-untyped-def]
    """Whether a parent is folded, a leaf or an inner node."""
    m = kind.size
    used = np.zeros(m, dtype=np.uint8)  # links to parents, two of them or more are 2; a sire has 3
    for p in range(m):
        a = sire_of[p]
        b = dam_of[p]
        if pointer[p + 1] > pointer[p]:
            used[p] = 3
        if 0 <= a < m:
            used[a] = 3
        if 0 <= b < m and used[b] < 2:
            used[b] += 1
    bare = np.empty(m, dtype=np.uint8)
    folds = np.zeros(m, dtype=np.uint8)
    for p in range(m):
        b = dam_of[p]
        bare[p] = sire_of[p] < 0 and b < 0
        if 0 <= b < m and kind[b] == FOLDED:
            bare[p] = sire_of[p] < 0 and bare[b] != 0
            folds[p] = folds[b] + 1
        kind[p] = FOLDED
        if used[p] >= 2 or (used[p] == 1 and folds[p] >= FOLDS):
            kind[p] = LEAF if bare[p] != 0 else INNER


@kernel
def number_nodes(kind, node):  # type: ignore[no-untyped-def]
    """Node of each parent and class, 0 if folded; returns the numbers of leaves and of nodes, nobody counted."""
    m = kind.size
    count = 0
    for p in range(m):
        node[p] = 0
        if kind[p] == LEAF:
            count += 1
            node[p] = count
    leaves = count
    for p in range(m, node.size):
        count += 1
        node[p] = count
    for p in range(m):
        if kind[p] == INNER:
            count += 1
            node[p] = count
    return leaves, count + 1


@kernel
def _write_line(p, sire_of, dam_of, node, seen_by, c, line):  # type: ignore[no-untyped-def]
    """Row c of ``line``; that of a folded dam goes on with her mate."""
    a = sire_of[p]
    b = dam_of[p]
    first, second, third = -1, -1, -1
    if b >= 0 and node[b] == 0:
        first, second, third = seen_by[b, 1], seen_by[b, 2], seen_by[b, 3]
    elif b >= 0:
        third = node[b]
    fourth = -1
    if a >= 0 or third >= 0:
        third = max(third, 0)
        fourth = node[a] if a >= 0 else 0
    line[c, 0], line[c, 1], line[c, 2], line[c, 3] = first, second, third, fourth


@kernel
def write_lines(sire_of, dam_of, node, seen_by, line, parent):  # type: ignore[no-untyped-def]
    """``line`` of each node, ``parent`` of each node, and how a mate sees each parent: as a node, or as its line.

    A dam that is folded into a node c has -1 - c before her line, -1 if she is folded into none.
    """
    m = sire_of.size
    parent[0] = -1
    for p in range(node.size):
        if node[p] > 0:
            parent[node[p]] = p
            seen_by[p, 0], seen_by[p, 1], seen_by[p, 2], seen_by[p, 3] = -1, -1, -1, node[p]
        else:
            _write_line(p, sire_of, dam_of, node, seen_by, p, seen_by)
    line[:] = -1
    for c in range(1, parent.size):
        if parent[c] < m:
            b = dam_of[parent[c]]
            while 0 <= b < m and node[b] == 0:
                seen_by[b, 0] = -1 - c
                b = dam_of[b]
            _write_line(parent[c], sire_of, dam_of, node, seen_by, c, line)


@kernel
def nodes_by_stage(stage, parent, pointer, ends, order, sire_ends, sires):  # type: ignore[no-untyped-def]
    """Nodes stage by stage, and those of them that have a family; those of stage k end before ``ends[k + 1]``."""
    m = stage.size
    ends[:] = 0
    sire_ends[:] = 0
    for c in range(1, parent.size):
        p = parent[c]
        k = stage[p] if p < m else 0
        ends[k + 1] += 1
        sire_ends[k + 1] += pointer[p + 1] > pointer[p]
    for k in range(ends.size - 1):
        ends[k + 1] += ends[k]
        sire_ends[k + 1] += sire_ends[k]
    at = ends.copy()
    sire_at = sire_ends.copy()
    for c in range(1, parent.size):
        p = parent[c]
        k = stage[p] if p < m else 0
        order[at[k]] = c
        at[k] += 1
        if pointer[p + 1] > pointer[p]:
            sires[sire_at[k]] = c
            sire_at[k] += 1
