"""A⁻¹ entry by entry, both triangles in CSR, columns ascending (Henderson 1976; Quaas 1976).

Each animal i adds q q'/D_i with q = 1 at i and -½ at its parents. Row j therefore has its parents, itself, its offspring, and
its mates: those that it has offspring with. Offspring come in order from a counting sort; mates are sorted and added up row by
row, which also gives the number of entries; then rows are filled by merging what is in order already. Parents are int32
positions, parents before offspring, -1 unknown, or n + k for an unknown one of class k, which gets a row after the animals.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from breedblup.kernels import kernel, parallel_kernel

FEW = 24
"""Longest list of mates that is sorted by insertion."""

ONE = np.uint64(1)
INDEX = 0xFFFFFFFF
LARGEST_DIGIT = 11
SMALLEST_DIGIT = 6


@parallel_kernel
def offspring_counts(sire, dam, windows, pointer):  # type: ignore[no-untyped-def]
    """Count offspring: ``pointer[j + 1]`` becomes where the list of j is going to begin; returns the longest list.

    Thread t counts for the parents from ``windows[t]`` to ``windows[t + 1]``; ``pointer`` has a place more than there are ends.
    """
    n = np.int64(sire.size)
    totals = np.zeros(windows.size, dtype=np.int64)
    longest = np.zeros(windows.size, dtype=np.int64)
    for t in prange(windows.size - 1):
        low, high = np.int64(windows[t]), np.int64(windows[t + 1])
        pointer[windows[t] + 2 : windows[t + 1] + 2] = 0
        counted = 0
        for i in range(np.uint64(0 if high > n else low), np.uint64(n)):
            s = np.int64(sire[i])
            d = np.int64(dam[i])
            if low <= s < high:
                pointer[np.uint64(s + 2)] += 1
                counted += 1
            if low <= d < high and d != s:
                pointer[np.uint64(d + 2)] += 1
                counted += 1
        totals[t + 1] = counted
    for t in range(windows.size - 1):
        totals[t + 1] += totals[t]
    pointer[:2] = 0
    for t in prange(windows.size - 1):
        total = totals[t]
        for j in range(np.uint64(windows[t] + 2), np.uint64(windows[t + 1] + 2)):
            longest[t] = max(longest[t], np.int64(pointer[j]))
            total += pointer[j]
            pointer[j] = total
    return longest.max()


@parallel_kernel
def offspring_records(sire, dam, variance, windows, pointer, records):  # type: ignore[no-untyped-def]
    """Fill lists of offspring, ascending: two words each, the other parent (high half) with the offspring, and 1/D.

    Side by side because each is written at a place of its own. ``pointer`` is made by `offspring_counts`; after this the list
    of j runs from ``pointer[j]`` to ``pointer[j + 1]``. An offspring of selfing is listed once.
    """
    n = np.int64(sire.size)
    weights = records.view(np.float64)
    for t in prange(windows.size - 1):
        low, high = np.int64(windows[t]), np.int64(windows[t + 1])
        for i in range(np.uint64(0 if high > n else low), np.uint64(n)):
            s = np.int64(sire[i])
            d = np.int64(dam[i])
            if low <= s < high:
                at = np.uint64(pointer[np.uint64(s + 1)])
                pointer[np.uint64(s + 1)] = at + ONE
                records[at + at] = (d << 32) | np.int64(i)
                weights[at + at + ONE] = 1.0 / variance[i]
            if low <= d < high and d != s:
                at = np.uint64(pointer[np.uint64(d + 1)])
                pointer[np.uint64(d + 1)] = at + ONE
                records[at + at] = (s << 32) | np.int64(i)
                weights[at + at + ONE] = 1.0 / variance[i]


@kernel
def _few_by_mate(j, records, weights, start, end, keys, carried):  # type: ignore[no-untyped-def]
    """Records of row j that have a mate, sorted by it; returns their number."""
    size = np.uint64(0)
    for p in range(start, end):
        key = records[p + p]
        if key < 0 or (key >> 32) == j:
            continue
        k = size
        while k > 0 and keys[k - ONE] > key:
            keys[k] = keys[k - ONE]
            carried[k] = carried[k - ONE]
            k -= ONE
        keys[k] = key
        carried[k] = weights[p + p + ONE]
        size += ONE
    return size


@kernel
def _many_by_mate(j, records, weights, start, end, keys, carried, ends):  # type: ignore[no-untyped-def]
    """The same for long lists, by radix, in two halves of ``keys`` and ``carried``; returns where the sorted one begins too."""
    size = np.uint64(0)
    low = np.int64(INDEX)
    high = np.int64(0)
    for p in range(start, end):
        key = records[p + p]
        if key >= 0 and (key >> 32) != j:
            keys[size] = key
            carried[size] = weights[p + p + ONE]
            size += ONE
            low = min(low, key >> 32)
            high = max(high, key >> 32)
    bits = SMALLEST_DIGIT
    while bits < LARGEST_DIGIT and (1 << bits) < size:
        bits += 1
    mask = (1 << bits) - 1
    shift = 0
    of = np.uint64(0)
    to = np.uint64(keys.size // 2)
    while (high - low) >> shift > 0:
        ends[: mask + 2] = 0
        for a in range(size):
            ends[np.uint64((((keys[of + a] >> 32) - low) >> shift) & mask) + ONE] += 1
        for b in range(1, mask + 1):
            ends[b] += ends[b - 1]
        for a in range(size):
            digit = np.uint64((((keys[of + a] >> 32) - low) >> shift) & mask)
            at = np.uint64(ends[digit])
            ends[digit] = at + ONE
            keys[to + at] = keys[of + a]
            carried[to + at] = carried[of + a]
        of, to = to, of
        shift += bits
    return of, size


@kernel
def _add_up_mates(s, d, records, start, end, keys, carried, of, size, mates, shares):  # type: ignore[no-untyped-def]
    """Write each mate once with the sum of ¼/D; returns how many, and how many are neither parents nor offspring as well."""
    found = start
    child = start
    entries = 0
    last = np.int64(-1)
    total = 0.0
    for a in range(size):
        mate = keys[of + a] >> 32
        if mate != last:
            last = mate
            total = 0.0
            mates[found] = mate
            found += ONE
            while child < end and (records[child + child] & INDEX) < mate:
                child += ONE
            linked = mate == s or (child < end and (records[child + child] & INDEX) == mate)
            entries += not (linked or mate == d)
        total += 0.25 * carried[of + a]
        shares[found - ONE] = total
    return found - start, entries


@parallel_kernel
def merge_mates(sire, dam, pointer, records, longest, bounds, mates, shares, mated, counts):  # type: ignore[no-untyped-def]
    """Mates of each row, ascending, from ``pointer[j]`` on, their number ``mated[j]``, and the number of entries of each row.

    Rows ``bounds[t]`` to ``bounds[t + 1]`` belong to thread t.
    """
    n = np.int64(sire.size)
    weights = records.view(np.float64)
    for t in prange(bounds.size - 1):
        keys = np.empty(2 * longest, dtype=np.int64)
        carried = np.empty(2 * longest)
        ends = np.empty((1 << LARGEST_DIGIT) + 2, dtype=np.int64)
        for row in range(np.uint64(bounds[t]), np.uint64(bounds[t + 1])):
            j = np.int64(row)
            start = np.uint64(pointer[row])
            end = np.uint64(pointer[row + ONE])
            s = np.int64(sire[row]) if j < n else np.int64(-1)
            d = np.int64(dam[row]) if j < n else np.int64(-1)
            entries = 1 + (s >= 0) + (d >= 0 and d != s)
            if end > start:
                of = np.uint64(0)
                if end - start <= FEW:
                    size = _few_by_mate(j, records, weights, start, end, keys, carried)
                else:
                    of, size = _many_by_mate(j, records, weights, start, end, keys, carried, ends)
                found, others = _add_up_mates(s, d, records, start, end, keys, carried, of, size, mates, shares)
                mated[row] = found
                entries += np.int64(end - start) + others
            counts[row] = entries


@kernel
def _copy_mates(mates, shares, m, last, below, indices, values, at):  # type: ignore[no-untyped-def]
    """Write mates below a position; returns the next mate and the next place."""
    while m < last and mates[m] < below:
        indices[at] = mates[m]
        values[at] = shares[m]
        m += ONE
        at += ONE
    return m, at


@kernel
def _write_parents(low, high, link, mates, shares, m, last, indices, values, at):  # type: ignore[no-untyped-def]
    """Write two parents, -1 for none, and the mates below them; returns the next mate and the next place."""
    for parent in (low, high):
        if parent >= 0:
            m, at = _copy_mates(mates, shares, m, last, parent, indices, values, at)
            value = link
            if m < last and mates[m] == parent:
                value += shares[m]
                m += ONE
            indices[at] = parent
            values[at] = value
            at += ONE
    return m, at


@kernel
def _write_offspring(j, records, weights, start, end, mates, shares, m, last, indices, values, at):  # type: ignore[no-untyped-def]
    """Write offspring, and the mates below them; returns their part of the diagonal, the next mate and the next place."""
    part = 0.0
    for p in range(start, end):
        key = records[p + p]
        child = key & INDEX
        weight = weights[p + p + ONE]
        selfed = (key >> 32) == j
        part += weight if selfed else 0.25 * weight
        value = -weight if selfed else -0.5 * weight
        m, at = _copy_mates(mates, shares, m, last, child, indices, values, at)
        if m < last and mates[m] == child:
            value += shares[m]
            m += ONE
        indices[at] = child
        values[at] = value
        at += ONE
    return part, m, at


@parallel_kernel
def fill_rows(  # type: ignore[no-untyped-def]
    sire, dam, variance, pointer, records, mates, shares, mated, bounds, row_start, indices, values
):
    """Fill the rows of A⁻¹, rows ``bounds[t]`` to ``bounds[t + 1]`` by thread t, from what `merge_mates` left.

    Both triangles are sums of the same numbers in the same order: the matrix is symmetric to the last bit.
    """
    n = np.int64(sire.size)
    weights = records.view(np.float64)
    for t in prange(bounds.size - 1):
        for row in range(np.uint64(bounds[t]), np.uint64(bounds[t + 1])):
            j = np.int64(row)
            start = np.uint64(pointer[row])
            end = np.uint64(pointer[row + ONE])
            at = np.uint64(row_start[row])
            s = np.int64(sire[row]) if j < n else np.int64(-1)
            d = np.int64(dam[row]) if j < n else np.int64(-1)
            own = 1.0 / variance[row] if j < n else 0.0
            link = -0.5 * own if s != d else -own
            low, high = min(s, d) if s != d else np.int64(-1), max(s, d)
            m = start
            last = start + np.uint64(mated[row]) if end > start else start
            m, at = _write_parents(
                low if low < n else -1, high if high < n else -1, link, mates, shares, m, last, indices, values, at
            )
            if j >= n:
                part, m, at = _write_offspring(
                    j, records, weights, start, end, mates, shares, m, last, indices, values, at
                )
                own += part
            m, at = _copy_mates(mates, shares, m, last, j, indices, values, at)
            diagonal = at
            indices[at] = j
            at += ONE
            if j < n:
                part, m, at = _write_offspring(
                    j, records, weights, start, end, mates, shares, m, last, indices, values, at
                )
                own += part
            values[diagonal] = own
            m, at = _write_parents(
                low if low >= n else -1, high if high >= n else -1, link, mates, shares, m, last, indices, values, at
            )
            _copy_mates(mates, shares, m, last, np.int64(INDEX), indices, values, at)
