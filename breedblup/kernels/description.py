"""What describes a pedigree: generations, completeness, contributions, chosen ancestors, distances.

Parents are int32 positions, -1 unknown, parents before offspring. Each kernel is one pass, save `marginal_contributions`.
"""

from __future__ import annotations

import numpy as np

from breedblup.kernels import kernel


@kernel
def count_generations(sire, dam, most, full, equivalent):  # type: ignore[no-untyped-def]
    """Most and full generations traced, and their equivalents: the sum over known ancestors of ½ to their distance."""
    for i in range(sire.size):
        s = sire[i]
        d = dam[i]
        longest = -1
        shortest = -1
        total = 0.0
        if s >= 0:
            longest = most[s]
            total += 0.5 * (1.0 + equivalent[s])
        if d >= 0:
            longest = max(longest, most[d])
            total += 0.5 * (1.0 + equivalent[d])
        if s >= 0 and d >= 0:
            shortest = min(full[s], full[d])
        most[i] = longest + 1
        full[i] = shortest + 1
        equivalent[i] = total


@kernel
def trace_one_deeper(sire, dam, known):  # type: ignore[no-untyped-def]
    """known <- 1 + ½(known of sire + known of dam), in place: after g passes from zeros, the sum of the shares of
    ancestors known 0, 1, …, g - 1 generations back."""
    for i in range(sire.size - 1, -1, -1):
        total = 0.0
        if sire[i] >= 0:
            total += known[sire[i]]
        if dam[i] >= 0:
            total += known[dam[i]]
        known[i] = 1.0 + 0.5 * total


@kernel
def add_to_parents(sire, dam, contribution):  # type: ignore[no-untyped-def]
    """contribution <- T' contribution, in place: every animal hands half of what it has to each known parent."""
    for i in range(sire.size - 1, -1, -1):
        half = 0.5 * contribution[i]
        if sire[i] >= 0:
            contribution[sire[i]] += half
        if dam[i] >= 0:
            contribution[dam[i]] += half


@kernel
def relationship_columns(sire, dam, variance, block):  # type: ignore[no-untyped-def]
    """block <- T D T' block for a block of some columns of the identity matrix."""
    n, width = block.shape
    for i in range(n - 1, -1, -1):
        s = sire[i]
        d = dam[i]
        for c in range(width):
            half = 0.5 * block[i, c]
            if half != 0.0:
                if s >= 0:
                    block[s, c] += half
                if d >= 0:
                    block[d, c] += half
    for i in range(n):
        s = sire[i]
        d = dam[i]
        for c in range(width):
            total = variance[i] * block[i, c]
            if s >= 0:
                total += 0.5 * block[s, c]
            if d >= 0:
                total += 0.5 * block[d, c]
            block[i, c] = total


@kernel
def distance_to_offspring(sire, dam, far, distance):  # type: ignore[no-untyped-def]
    """Fewest generations to an animal that starts with 0; others start with ``far``, and what is farther stays there."""
    for i in range(sire.size - 1, -1, -1):
        next_one = distance[i] + 1
        if next_one >= far:
            continue
        if sire[i] >= 0 and distance[sire[i]] > next_one:
            distance[sire[i]] = next_one
        if dam[i] >= 0 and distance[dam[i]] > next_one:
            distance[dam[i]] = next_one


@kernel
def _sift_down(heap, size, start, key):  # type: ignore[no-untyped-def]
    """Move an entry of the heap to its place: largest key on top, of equal ones the older animal."""
    moved = heap[start]
    hole = start
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        a = heap[child]
        if child + 1 < size:
            b = heap[child + 1]
            if key[b] > key[a] or (key[b] == key[a] and b < a):
                child += 1
                a = b
        if key[moved] > key[a] or (key[moved] == key[a] and moved < a):
            break
        heap[hole] = a
        hole = child
    heap[hole] = moved


@kernel
def _explain(animal, sire, dam, taken, turn, stamp, share, stack):  # type: ignore[no-untyped-def]
    """Share of an animal's genes that comes from animals taken so far, remembered until the next one is taken.

    Returns the number of animals whose share was found.
    """
    stack[0] = animal
    top = 0
    found = 0
    while top >= 0:
        j = stack[top]
        if stamp[j] == turn:
            top -= 1
            continue
        s = sire[j]
        d = dam[j]
        if taken[j]:
            share[j] = 1.0
        else:
            if s >= 0 and stamp[s] != turn:
                top += 1
                stack[top] = s
                continue
            if d >= 0 and stamp[d] != turn:
                top += 1
                stack[top] = d
                continue
            total = 0.0
            if s >= 0:
                total += share[s]
            if d >= 0:
                total += share[d]
            share[j] = 0.5 * total
        stamp[j] = turn
        found += 1
        top -= 1
    return found


@kernel
def _list_lineage(animal, sire, dam, taken, mark, stack, listed):  # type: ignore[no-untyped-def]
    """List an animal and its ancestors, parents first, up to those taken; returns their number."""
    stack[0] = animal
    mark[animal] = animal
    top = 0
    count = 0
    while top >= 0:
        j = stack[top]
        parent = -1
        if not taken[j]:
            parent = sire[j]
            if parent < 0 or mark[parent] == animal:
                parent = dam[j]
            if parent >= 0 and mark[parent] == animal:
                parent = -1
        if parent >= 0:
            mark[parent] = animal
            top += 1
            stack[top] = parent
        else:
            listed[count] = j
            count += 1
            top -= 1
    return count


@kernel
def _withdraw(animal, sire, dam, taken, listed, count, passed, contribution):  # type: ignore[no-untyped-def]
    """Take what goes through an animal off the contributions of its ancestors; nothing goes through those taken."""
    for k in range(count):
        passed[listed[k]] = 0.0
    passed[animal] = contribution[animal]
    for k in range(count - 1, -1, -1):
        j = listed[k]
        if taken[j]:
            continue
        half = 0.5 * passed[j]
        if j != animal:
            contribution[j] -= passed[j]
        if sire[j] >= 0:
            passed[sire[j]] += half
        if dam[j] >= 0:
            passed[dam[j]] += half


@kernel
def marginal_contributions(sire, dam, contribution, smallest, steps, chosen, marginal):  # type: ignore[no-untyped-def]
    """Choose ancestors one after the other by the largest contribution not explained by those chosen before.

    Boichard, Maignel & Verrier (1997): marginal = contribution · (1 - share from chosen ancestors); a chosen animal loses
    its parents. Contributions (changed in place) only fall and shares only grow, so a marginal contribution found earlier
    is an upper bound: the animal on top of a heap of such bounds is evaluated anew, by its own ancestors alone, and chosen if it
    stays on top. Ends when ``chosen`` is full, nothing above ``smallest`` is left or ``steps`` ancestors were gone through;
    returns the number chosen.
    """
    n = sire.size
    heap = np.arange(n).astype(np.int32)
    key = contribution.copy()
    for start in range(n // 2 - 1, -1, -1):
        _sift_down(heap, n, start, key)
    taken = np.zeros(n, dtype=np.bool_)
    stamp = np.full(n, -1, dtype=np.int32)
    mark = np.full(n, -1, dtype=np.int32)
    stack = np.empty(n, dtype=np.int32)
    listed = np.empty(n, dtype=np.int32)
    work = np.empty(n)
    share = np.empty(n)
    size = n
    count = 0
    done = 0
    while count < chosen.size and size > 0 and done < steps:
        animal = heap[0]
        if key[animal] <= smallest:
            break
        done += _explain(animal, sire, dam, taken, count, stamp, share, stack)
        value = contribution[animal] * (1.0 - share[animal])
        if value < key[animal]:
            key[animal] = value
            _sift_down(heap, size, 0, key)
            continue
        size -= 1
        heap[0] = heap[size]
        _sift_down(heap, size, 0, key)
        length = _list_lineage(animal, sire, dam, taken, mark, stack, listed)
        _withdraw(animal, sire, dam, taken, listed, length, work, contribution)
        done += length
        taken[animal] = True
        chosen[count] = animal
        marginal[count] = value
        count += 1
    return count
