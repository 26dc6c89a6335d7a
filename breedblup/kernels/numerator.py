"""Products with A⁻¹ and A from the pedigree alone.

A = T D T', with row i of T⁻¹ holding 1 at i and -½ at its parents, and D the diagonal of Mendelian sampling variances
(Henderson 1976; Quaas 1976). Parents are int32 positions, parents before offspring, -1 unknown. An unknown parent of class
k may stand at n + k instead: vectors then have a row for each class behind those of the n animals (Quaas 1988).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from breedblup.kernels import kernel, parallel_kernel


@parallel_kernel
def oldest_parents(sire, dam, bounds, oldest):  # type: ignore[no-untyped-def]
    """Lowest position of a parent of the animals from ``bounds[t]`` to ``bounds[t + 1]``, at most ``bounds[t]``."""
    for t in prange(bounds.size - 1):
        lowest = bounds[t]
        for i in range(np.uint64(bounds[t]), np.uint64(bounds[t + 1])):
            if sire[i] >= 0:
                lowest = min(lowest, np.int64(sire[i]))
            if dam[i] >= 0:
                lowest = min(lowest, np.int64(dam[i]))
        oldest[t] = lowest


@parallel_kernel
def multiply_a_inverse(sire, dam, variance, parts, vectors, out, beside):  # type: ignore[no-untyped-def]
    """out <- A⁻¹ vectors, n × k: the sum over animals of q (q'v) / D, with q = 1 at the animal, -½ at its parents.

    Rows of ``parts``: thread t takes the animals from ``parts[0, t]`` on, their oldest parent is ``parts[1, t]``, and what
    they owe to parents before them, and then to classes, is added up in ``beside`` from row ``parts[2, t]`` on.
    """
    n = np.int64(sire.size)
    classes = np.int64(out.shape[0]) - n
    width = out.shape[1]
    bounds, oldest, offsets = parts[0], parts[1], parts[2]
    for t in prange(bounds.size - 1):
        begin = np.int64(bounds[t])
        to_before = np.int64(offsets[t] - oldest[t])
        to_class = np.int64(offsets[t + 1]) - classes - n
        beside[offsets[t] : offsets[t + 1]] = 0.0
        if width == 1:
            _one(sire, dam, variance, begin, bounds[t + 1], to_before, to_class, vectors, out, beside)
        else:
            _columns(sire, dam, variance, begin, bounds[t + 1], to_before, to_class, vectors, out, beside)
    lowest = oldest.min()
    rows = bounds[-2] - lowest
    for piece in prange(bounds.size - 1):
        for t in range(bounds.size - 1):
            low = max(oldest[t], lowest + rows * piece // (bounds.size - 1))
            high = min(bounds[t], lowest + rows * (piece + 1) // (bounds.size - 1))
            for p in range(low, high):
                for c in range(width):
                    out[p, c] += beside[offsets[t] - oldest[t] + p, c]
    out[n:] = 0.0
    for t in range(bounds.size - 1):
        out[n:] += beside[offsets[t + 1] - classes : offsets[t + 1]]


@kernel
def _one(sire, dam, variance, begin, end, to_before, to_class, vectors, out, beside):  # type: ignore[no-untyped-def]
    n = np.int64(sire.size)
    v = vectors[:, 0]
    for j in range(np.uint64(begin), np.uint64(end)):
        s = np.int64(sire[j])
        d = np.int64(dam[j])
        total = 0.0
        if s >= 0:
            total = v[np.uint64(s)]
        if d >= 0:
            total += v[np.uint64(d)]
        total = (v[j] - 0.5 * total) / variance[j]
        out[j, 0] = total
        total *= 0.5
        for parent in (s, d):
            if parent >= begin:
                if parent < n:
                    out[np.uint64(parent), 0] -= total
                else:
                    beside[np.uint64(parent + to_class), 0] -= total
            elif parent >= 0:
                beside[np.uint64(parent + to_before), 0] -= total


@kernel
def _columns(sire, dam, variance, begin, end, to_before, to_class, vectors, out, beside):  # type: ignore[no-untyped-def]
    n, width = np.int64(sire.size), out.shape[1]
    for j in range(np.uint64(begin), np.uint64(end)):
        s = np.int64(sire[j])
        d = np.int64(dam[j])
        scale = 1.0 / variance[j]
        if s >= 0 and d >= 0:
            for c in range(width):
                out[j, c] = scale * (vectors[j, c] - 0.5 * (vectors[np.uint64(s), c] + vectors[np.uint64(d), c]))
        elif s >= 0 or d >= 0:
            for c in range(width):
                out[j, c] = scale * (vectors[j, c] - 0.5 * vectors[np.uint64(max(s, d)), c])
        else:
            for c in range(width):
                out[j, c] = scale * vectors[j, c]
        for parent in (s, d):
            if parent >= begin:
                if parent < n:
                    for c in range(width):
                        out[np.uint64(parent), c] -= 0.5 * out[j, c]
                else:
                    for c in range(width):
                        beside[np.uint64(parent + to_class), c] -= 0.5 * out[j, c]
            elif parent >= 0:
                for c in range(width):
                    beside[np.uint64(parent + to_before), c] -= 0.5 * out[j, c]


@kernel
def sum_to_parents(sire, dam, vectors):  # type: ignore[no-untyped-def]
    """vectors <- T' vectors in place, the youngest first: half of each row is added to those of its parents (Colleau 2002)."""
    n, width = sire.size, vectors.shape[1]
    for back in range(np.uint64(1), np.uint64(n + 1)):
        i = np.uint64(n) - back
        for parent in (sire[i], dam[i]):
            if parent >= 0:
                for c in range(width):
                    vectors[np.uint64(parent), c] += 0.5 * vectors[i, c]


@kernel
def pass_to_offspring(sire, dam, variance, vectors):  # type: ignore[no-untyped-def]
    """vectors <- T D vectors in place, the oldest first: D times its own and half of its parents' rows; classes stay as given."""
    width = vectors.shape[1]
    for i in range(np.uint64(0), np.uint64(sire.size)):
        s = np.int64(sire[i])
        d = np.int64(dam[i])
        if s >= 0 and d >= 0:
            for c in range(width):
                half = 0.5 * (vectors[np.uint64(s), c] + vectors[np.uint64(d), c])
                vectors[i, c] = variance[i] * vectors[i, c] + half
        elif s >= 0 or d >= 0:
            for c in range(width):
                vectors[i, c] = variance[i] * vectors[i, c] + 0.5 * vectors[np.uint64(max(s, d)), c]
        else:
            for c in range(width):
                vectors[i, c] *= variance[i]
