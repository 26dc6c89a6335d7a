"""Vector updates of conjugate gradients, fused, and the blocks of its preconditioner.

Sums run over chunks of a fixed length, one number each, added up in order: the bits do not depend on the number of threads.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel

_Ints = NDArray[np.int32] | NDArray[np.int64]


@parallel_kernel
def chunked_dot(a: NDArray[np.float64], b: NDArray[np.float64], length: int, sums: NDArray[np.float64]) -> None:
    """Fill the part of a'b of each chunk."""
    for c in numba.prange(sums.size):
        total = 0.0
        for i in range(c * length, min((c + 1) * length, a.size)):
            total += a[i] * b[i]
        sums[c] = total


@parallel_kernel
def chunked_dots(
    a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64], length: int, sums: NDArray[np.float64]
) -> None:
    """Fill the parts of a'b and a'c of each chunk, in one pass over a."""
    for k in numba.prange(sums.shape[0]):
        first, second = 0.0, 0.0
        for i in range(k * length, min((k + 1) * length, a.size)):
            first += a[i] * b[i]
            second += a[i] * c[i]
        sums[k, 0] = first
        sums[k, 1] = second


@parallel_kernel
def take_step(
    alpha: float,
    p: NDArray[np.float64],
    q: NDArray[np.float64],
    x: NDArray[np.float64],
    r: NDArray[np.float64],
    length: int,
    sums: NDArray[np.float64],
) -> None:
    """x += alpha p, r -= alpha q; fill each chunk's parts of |alpha p|², |x|² and |r|²."""
    for c in numba.prange(sums.shape[0]):
        change, size, left = 0.0, 0.0, 0.0
        for i in range(c * length, min((c + 1) * length, x.size)):
            moved = alpha * p[i]
            x[i] += moved
            r[i] -= alpha * q[i]
            change += moved * moved
            size += x[i] * x[i]
            left += r[i] * r[i]
        sums[c, 0] = change
        sums[c, 1] = size
        sums[c, 2] = left


@parallel_kernel
def turn(beta: float, z: NDArray[np.float64], p: NDArray[np.float64], length: int, chunks: int) -> None:
    """P = z + beta p."""
    for c in numba.prange(chunks):
        for i in range(c * length, min((c + 1) * length, p.size)):
            p[i] = z[i] + beta * p[i]


@kernel
def smallest_eigenvalue(diagonal: NDArray[np.float64], beside_squared: NDArray[np.float64]) -> float:
    """Smallest eigenvalue of a positive tridiagonal matrix by bisection on the signs of its pivots (Sturm)."""
    low, high = 0.0, diagonal.min()
    while high - low > 1e-12 * high:
        middle = 0.5 * (low + high)
        pivot = diagonal[0] - middle
        i = 1
        while pivot > 0.0 and i < diagonal.size:
            pivot = diagonal[i] - middle - beside_squared[i - 1] / pivot
            i += 1
        if pivot > 0.0:
            low = middle
        else:
            high = middle
    return float(high)


@kernel
def _invert(block: NDArray[np.float64], inverse: NDArray[np.float64]) -> int:
    """Fill the inverse of a small matrix by its Cholesky factor, which replaces it; return a bad pivot's row, or -1."""
    width = block.shape[0]
    for i in range(width):
        for j in range(i + 1):
            total = block[i, j]
            for k in range(j):
                total -= block[i, k] * block[j, k]
            if i > j:
                block[i, j] = total / block[j, j]
            elif total > 0.0:
                block[i, i] = np.sqrt(total)
            else:
                return i
    for c in range(width):
        for i in range(width):
            total = 1.0 if i == c else 0.0
            for k in range(i):
                total -= block[i, k] * inverse[k, c]
            inverse[i, c] = total / block[i, i]
        for i in range(width - 1, -1, -1):
            total = inverse[i, c]
            for k in range(i + 1, width):
                total -= block[k, i] * inverse[k, c]
            inverse[i, c] = total / block[i, i]
    return -1


@kernel
def invert_blocks(
    indptr: _Ints,
    indices: _Ints,
    data: NDArray[np.float64],
    starts: NDArray[np.int64],
    places: NDArray[np.int64],
    inverses: NDArray[np.float64],
) -> int:
    """Fill the inverse of each diagonal block, row by row; return the row of a pivot that is not positive, or -1."""
    for b in range(starts.size - 1):
        first, width = starts[b], starts[b + 1] - starts[b]
        if width == 1:  # without a matrix of one number for each of 10⁶ equations
            pivot = 0.0
            for p in range(indptr[first], indptr[first + 1]):
                if indices[p] == first:
                    pivot = data[p]
            if not pivot > 0.0:
                return int(first)
            inverses[places[b]] = 1.0 / pivot
            continue
        block = np.zeros((width, width))
        for i in range(width):
            for p in range(indptr[first + i], indptr[first + i + 1]):
                j = indices[p] - first
                if 0 <= j < width:
                    block[i, j] = data[p]
        bad = _invert(block, inverses[places[b] : places[b + 1]].reshape(width, width))
        if bad >= 0:
            return int(first + bad)
    return -1


@parallel_kernel
def multiply_blocks(
    starts: NDArray[np.int64],
    places: NDArray[np.int64],
    inverses: NDArray[np.float64],
    chunks: NDArray[np.int64],
    r: NDArray[np.float64],
    out: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Fill the product with each block's inverse and each chunk's part of r'out; vectors begin at the first block."""
    for c in numba.prange(sums.size):
        product = 0.0
        for b in range(chunks[c], chunks[c + 1]):
            first, width = starts[b] - starts[0], starts[b + 1] - starts[b]
            at = places[b]
            for i in range(width):
                total = 0.0
                for k in range(width):
                    total += inverses[at + i * width + k] * r[first + k]
                out[first + i] = total
                product += total * r[first + i]
        sums[c] = product


@parallel_kernel
def multiply_diagonal(
    inverses: NDArray[np.float64],
    chunks: NDArray[np.int64],
    r: NDArray[np.float64],
    out: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """The same where every block is one equation: four times faster."""
    for c in numba.prange(sums.size):
        product = 0.0
        for i in range(np.uint64(chunks[c]), np.uint64(chunks[c + 1])):
            total = inverses[i] * r[i]
            out[i] = total
            product += total * r[i]
        sums[c] = product
