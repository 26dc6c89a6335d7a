"""Products with a symmetric sparse matrix, y = A x: whole in CSR, or only its lower triangle.

Of a whole matrix rows are handed out in fixed chunks of about equal non-zeros. Each row is summed by one thread from left to
right, so the bits do not depend on the number of threads.

Of a lower triangle with the diagonal last in each row, y = (L + D + L')x, rows are handed out in fixed parts. An entry adds
to its row and, mirrored, to the row of its column. What goes to rows of other parts is kept apart in a vector of the part's
own and added up in order afterwards, so the bits depend on the parts, not on the threads. In that vector only the first
``common`` rows and those from ``low`` on are touched.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel

_Ints = NDArray[np.int32] | NDArray[np.int64]

_STRIPES = 64


@parallel_kernel
def csr_product(
    indptr: _Ints,
    indices: _Ints,
    data: NDArray[np.float64],
    chunks: NDArray[np.int64],
    x: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Fill A x for one vector.

    Unsigned positions: numba tests signed ones for counting from the end, which nearly doubled the time (10⁶ rows, 7·10⁶
    entries: 11 ms against 6).
    """
    for c in numba.prange(chunks.size - 1):
        start = np.uint64(indptr[chunks[c]])
        for i in range(np.uint64(chunks[c]), np.uint64(chunks[c + 1])):
            end = np.uint64(indptr[i + np.uint64(1)])
            total = 0.0
            for p in range(start, end):
                total += data[p] * x[np.uint64(indices[p])]
            start = end
            out[i] = total


@parallel_kernel
def csr_product_columns(
    indptr: _Ints,
    indices: _Ints,
    data: NDArray[np.float64],
    chunks: NDArray[np.int64],
    x: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Fill A X for several vectors, the columns of X, in one pass over A; by fours, whose sums stay in registers."""
    fours = x.shape[1] // 4 * 4
    for c in numba.prange(chunks.size - 1):
        for i in range(np.uint64(chunks[c]), np.uint64(chunks[c + 1])):
            start, end = np.uint64(indptr[i]), np.uint64(indptr[i + np.uint64(1)])
            for k in range(np.uint64(0), np.uint64(fours), np.uint64(4)):
                k1, k2, k3 = k + np.uint64(1), k + np.uint64(2), k + np.uint64(3)
                t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
                for p in range(start, end):
                    value, j = data[p], np.uint64(indices[p])
                    t0, t1 = t0 + value * x[j, k], t1 + value * x[j, k1]
                    t2, t3 = t2 + value * x[j, k2], t3 + value * x[j, k3]
                out[i, k], out[i, k1], out[i, k2], out[i, k3] = t0, t1, t2, t3
            for k in range(np.uint64(fours), np.uint64(x.shape[1])):
                t0 = 0.0
                for p in range(start, end):
                    t0 += data[p] * x[np.uint64(indices[p]), k]
                out[i, k] = t0


@parallel_kernel
def lowest_columns(
    lower: tuple[_Ints, NDArray[np.int32], NDArray[np.float64]],
    cuts: NDArray[np.int64],
    common: int,
    low: NDArray[np.int64],
) -> None:
    """Fill the lowest column from ``common`` on of each part's rows, at most its first row."""
    indptr, indices, _ = lower
    for c in numba.prange(cuts.size - 1):
        found = cuts[c]
        for at in range(np.uint64(indptr[cuts[c]]), np.uint64(indptr[cuts[c + 1]])):
            if common <= indices[at] < found:
                found = np.int64(indices[at])
        low[c] = found


@parallel_kernel
def lower_product(
    lower: tuple[_Ints, NDArray[np.int32], NDArray[np.float64]],
    cuts: NDArray[np.int64],
    low: NDArray[np.int64],
    common: int,
    x: NDArray[np.float64],
    apart: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """A x for one vector, up to `merge_parts`; ``apart`` has a row for every part but the first.

    A row's own sum is set, not added, because mirrored entries of its part come from rows after it: nothing is cleared for it.
    """
    indptr, indices, data = lower
    for c in numba.prange(cuts.size - 1):
        sums = out if c == 0 else apart[c - 1]
        sums[: min(common, cuts[c])] = 0.0
        sums[low[c] : cuts[c]] = 0.0
        start = np.uint64(indptr[cuts[c]])
        for i in range(np.uint64(cuts[c]), np.uint64(cuts[c + 1])):
            end = np.uint64(indptr[i + np.uint64(1)])
            own = x[i]
            total = data[end - np.uint64(1)] * own
            for p in range(start, end - np.uint64(1)):
                value, j = data[p], np.uint64(indices[p])
                total += value * x[j]
                sums[j] += value * own
            start = end
            sums[i] = total


@parallel_kernel
def lower_product_columns(
    lower: tuple[_Ints, NDArray[np.int32], NDArray[np.float64]],
    cuts: NDArray[np.int64],
    low: NDArray[np.int64],
    common: int,
    x: NDArray[np.float64],
    apart: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """The same for several vectors, the columns of X, in one pass over the triangle; by fours, whose sums stay in registers."""
    indptr, indices, data = lower
    fours = x.shape[1] // 4 * 4
    for c in numba.prange(cuts.size - 1):
        sums = out if c == 0 else apart[c - 1]
        sums[: min(common, cuts[c])] = 0.0
        sums[low[c] : cuts[c]] = 0.0
        for i in range(np.uint64(cuts[c]), np.uint64(cuts[c + 1])):
            start, last = np.uint64(indptr[i]), np.uint64(indptr[i + np.uint64(1)]) - np.uint64(1)
            for k in range(np.uint64(0), np.uint64(fours), np.uint64(4)):
                k1, k2, k3 = k + np.uint64(1), k + np.uint64(2), k + np.uint64(3)
                x0, x1, x2, x3 = x[i, k], x[i, k1], x[i, k2], x[i, k3]
                value = data[last]
                t0, t1, t2, t3 = value * x0, value * x1, value * x2, value * x3
                for p in range(start, last):
                    value, j = data[p], np.uint64(indices[p])
                    a0, a1, a2, a3 = x[j, k], x[j, k1], x[j, k2], x[j, k3]
                    s0, s1, s2, s3 = sums[j, k], sums[j, k1], sums[j, k2], sums[j, k3]
                    t0, t1, t2, t3 = t0 + value * a0, t1 + value * a1, t2 + value * a2, t3 + value * a3
                    sums[j, k], sums[j, k1] = s0 + value * x0, s1 + value * x1
                    sums[j, k2], sums[j, k3] = s2 + value * x2, s3 + value * x3
                sums[i, k], sums[i, k1], sums[i, k2], sums[i, k3] = t0, t1, t2, t3
            for k in range(np.uint64(fours), np.uint64(x.shape[1])):
                x0 = x[i, k]
                t0 = data[last] * x0
                for p in range(start, last):
                    value, j = data[p], np.uint64(indices[p])
                    t0 += value * x[j, k]
                    sums[j, k] += value * x0
                sums[i, k] = t0


@parallel_kernel
def merge_parts(
    cuts: NDArray[np.int64],
    low: NDArray[np.int64],
    common: int,
    apart: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Add what the parts of `lower_product` or `lower_product_columns` have put apart."""
    for c in numba.prange(_STRIPES):
        first, stop = c * out.shape[0] // _STRIPES, (c + 1) * out.shape[0] // _STRIPES
        for k in range(1, cuts.size - 1):
            sums = apart[k - 1]
            for row in range(first, min(stop, common, cuts[k])):
                out[row] += sums[row]
            for row in range(max(first, low[k]), min(stop, cuts[k])):
                out[row] += sums[row]
            for row in range(max(first, cuts[k]), min(stop, cuts[k + 1])):
                out[row] = sums[row]


@kernel
def _product_and_error(a: float, b: float) -> tuple[float, float]:
    """A product and its rounding error, exactly (Veltkamp 1968; Dekker 1971)."""
    product = a * b
    wide = 134217729.0 * a
    a_high = wide - (wide - a)
    a_low = a - a_high
    wide = 134217729.0 * b
    b_high = wide - (wide - b)
    b_low = b - b_high
    return product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


@parallel_kernel
def csr_residual(
    indptr: _Ints,
    indices: _Ints,
    data: NDArray[np.float64],
    chunks: NDArray[np.int64],
    x: NDArray[np.float64],
    b: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Fill b - A x as if computed in twice the precision and rounded once (Ogita, Rump & Oishi 2005, dot2)."""
    for c in numba.prange(chunks.size - 1):
        for i in range(np.uint64(chunks[c]), np.uint64(chunks[c + 1])):
            total, lost = b[i], 0.0
            for p in range(np.uint64(indptr[i]), np.uint64(indptr[i + np.uint64(1)])):
                product, error = _product_and_error(-data[p], x[np.uint64(indices[p])])
                new = total + product
                part = new - total
                lost += (total - (new - part)) + (product - part) + error
                total = new
            out[i] = total + lost
