"""Products with a symmetric sparse matrix, whole in CSR: y = A x.

Rows are handed out in fixed chunks of about equal non-zeros. Each row is summed by one thread from left to right, so the
bits do not depend on the number of threads.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel

_Ints = NDArray[np.int32] | NDArray[np.int64]


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
    """Fill A X for several vectors, the columns of X, in one pass over A."""
    for c in numba.prange(chunks.size - 1):
        for i in range(chunks[c], chunks[c + 1]):
            out[i, :] = 0.0
            for p in range(indptr[i], indptr[i + 1]):
                value = data[p]
                row = indices[p]
                for k in range(x.shape[1]):
                    out[i, k] += value * x[row, k]


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
