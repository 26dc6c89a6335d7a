"""Products with packed genotypes, a vector at a time, and values in tiles for products with several.

A byte holds four animals. In *planes* (4 × bytes of a row) the animals with the same place in their bytes stand side by side, so
that loops over bytes are loops over vectors. A code has r = 0, 1, 2 bits set for two, one and no copies: x = 2 - r. A missing
call has one, as if it had one copy; where a stretch of calls has any, a second pass finds what they were given.
Sums are made in an order that does not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from breedblup.kernels import kernel, parallel_kernel

LANES = 64
"""Sums that grow side by side, as vectors of the processor."""

STRIP = 1024
"""Bytes of a row that are in use while markers pass: what stands beside them stays in cache."""

TOGETHER = 256
"""Markers that a thread takes at a time."""

Planes = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
Rows = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]


@kernel
def bits_set(byte: int) -> Any:
    """How many bits each of the four codes of a byte has, as four two-bit numbers."""
    whole = np.int32(byte)
    return np.int32(whole - ((whole >> 1) & 0x55))


@kernel
def number_at(numbers: int, place: int) -> Any:
    """One of four two-bit numbers."""
    return np.float64(np.int32((numbers >> (2 * place)) & 3))


@kernel
def missing_calls(byte: int) -> Any:
    """The lower bits of the codes that are missing."""
    whole = np.int32(byte)
    return np.int32(whole & ~(whole >> 1) & 0x55)


@kernel
def any_missing(row: NDArray[np.uint8]) -> bool:
    """Whether a stretch of calls has a missing one."""
    found = np.uint8(0)
    for i in range(row.size):
        found = np.uint8(found | np.uint8(row[i] & ~(row[i] >> 1)))
    return bool(found & 0x55)


@kernel
def add_four_markers(rows: Rows, factors: tuple[float, float, float, float], planes: Planes) -> None:
    """Add to the animals of a strip their bits times the factors of four markers."""
    p, q, r, t = rows
    a, b, c, d = factors
    y0, y1, y2, y3 = planes
    for i in range(p.size):
        e, f, g, h = bits_set(p[i]), bits_set(q[i]), bits_set(r[i]), bits_set(t[i])
        y0[i] += (a * number_at(e, 0) + b * number_at(f, 0)) + (c * number_at(g, 0) + d * number_at(h, 0))
        y1[i] += (a * number_at(e, 1) + b * number_at(f, 1)) + (c * number_at(g, 1) + d * number_at(h, 1))
        y2[i] += (a * number_at(e, 2) + b * number_at(f, 2)) + (c * number_at(g, 2) + d * number_at(h, 2))
        y3[i] += (a * number_at(e, 3) + b * number_at(f, 3)) + (c * number_at(g, 3) + d * number_at(h, 3))


@kernel
def add_at_missing(row: NDArray[np.uint8], value: float, planes: Planes) -> None:
    """Add a value to the animals of a strip whose call is missing."""
    y0, y1, y2, y3 = planes
    for i in range(row.size):
        lost = missing_calls(row[i])
        y0[i] += value if lost & 1 else 0.0
        y1[i] += value if lost & 4 else 0.0
        y2[i] += value if lost & 16 else 0.0
        y3[i] += value if lost & 64 else 0.0


@parallel_kernel
def multiply_packed(
    packed: NDArray[np.uint8],
    rows: NDArray[np.int64],
    factors: NDArray[np.float64],
    at_missing: NDArray[np.float64],
    strip: int,
    out: NDArray[np.float64],
) -> None:
    """Add to each animal its bits times the factors of markers, and what belongs to those where its call is missing.

    ``out`` in planes, its bytes ``strip`` at a time. Rows come in fours, some of them with a factor of 0 if need be.
    """
    width = packed.shape[1]
    for s in prange((width + strip - 1) // strip):
        a, b = s * strip, min(width, (s + 1) * strip)
        planes = (out[0, a:b], out[1, a:b], out[2, a:b], out[3, a:b])
        for j in range(0, rows.size, 4):
            four = (packed[rows[j], a:b], packed[rows[j + 1], a:b], packed[rows[j + 2], a:b], packed[rows[j + 3], a:b])
            add_four_markers(four, (factors[j], factors[j + 1], factors[j + 2], factors[j + 3]), planes)
            for k in range(4):
                if any_missing(four[k]):
                    add_at_missing(four[k], at_missing[j + k], planes)


@kernel
def weigh_bits(row: NDArray[np.uint8], weights: Planes, lanes: NDArray[np.float64]) -> float:
    """Sum of the bits of a strip times the weights of its animals."""
    w0, w1, w2, w3 = weights
    whole = row.size // LANES * LANES
    lanes[:] = 0.0
    for start in range(0, whole, LANES):
        for lane in range(LANES):
            i = start + lane
            r = bits_set(row[i])
            lanes[lane] += (w0[i] * number_at(r, 0) + w1[i] * number_at(r, 1)) + (
                w2[i] * number_at(r, 2) + w3[i] * number_at(r, 3)
            )
    total = 0.0
    for i in range(whole, row.size):
        r = bits_set(row[i])
        total += (w0[i] * number_at(r, 0) + w1[i] * number_at(r, 1)) + (
            w2[i] * number_at(r, 2) + w3[i] * number_at(r, 3)
        )
    for lane in range(LANES):
        total += lanes[lane]
    return total


@kernel
def weigh_missing(row: NDArray[np.uint8], weights: Planes, lanes: NDArray[np.float64]) -> float:
    """Sum of the weights of the animals of a strip whose call is missing."""
    w0, w1, w2, w3 = weights
    whole = row.size // LANES * LANES
    lanes[:] = 0.0
    for start in range(0, whole, LANES):
        for lane in range(LANES):
            i = start + lane
            lost = missing_calls(row[i])
            lanes[lane] += ((w0[i] if lost & 1 else 0.0) + (w1[i] if lost & 4 else 0.0)) + (
                (w2[i] if lost & 16 else 0.0) + (w3[i] if lost & 64 else 0.0)
            )
    total = 0.0
    for i in range(whole, row.size):
        lost = missing_calls(row[i])
        total += ((w0[i] if lost & 1 else 0.0) + (w1[i] if lost & 4 else 0.0)) + (
            (w2[i] if lost & 16 else 0.0) + (w3[i] if lost & 64 else 0.0)
        )
    for lane in range(LANES):
        total += lanes[lane]
    return total


@parallel_kernel
def multiply_packed_transposed(
    packed: NDArray[np.uint8], rows: NDArray[np.int64], weights: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Sums over animals of weight times bits, and of the weights of missing calls: ``out`` (markers × 2), added to.

    Weights in planes, 0 where there is no animal.
    """
    width, markers = packed.shape[1], rows.size
    for s in prange((markers + TOGETHER - 1) // TOGETHER):
        lanes = np.empty(LANES)
        for a in range(0, width, STRIP):
            b = min(width, a + STRIP)
            w = (weights[0, a:b], weights[1, a:b], weights[2, a:b], weights[3, a:b])
            for j in range(s * TOGETHER, min(markers, (s + 1) * TOGETHER)):
                row = packed[rows[j], a:b]
                out[j, 0] += weigh_bits(row, w, lanes)
                if any_missing(row):
                    out[j, 1] += weigh_missing(row, w, lanes)


@kernel
def unpack_planes(
    packed: NDArray[np.uint8],
    rows: NDArray[np.int64],
    first: int,
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
    out: NDArray[Any],
) -> None:
    """Centred, scaled calls of the animals in some bytes at some markers: ``out`` (markers × 4 × bytes), in planes."""
    for j in range(rows.size):
        row, line, c, s = packed[rows[j], first : first + out.shape[2]], out[j], centre[j], scale[j]
        for place in range(4):
            plane = line[place]
            for i in range(row.size):
                code = np.int32(row[i]) >> (2 * place)
                low, high = code & 1, (code >> 1) & 1
                plane[i] = (np.float64(np.int32(2 - low - high)) - c) * s if low <= high else 0.0


@kernel
def unpack_values(
    packed: NDArray[np.uint8],
    rows: NDArray[np.int64],
    places: NDArray[np.int32],
    values: NDArray[np.float64],
    out: NDArray[Any],
) -> None:
    """What stands for the codes of some animals at some markers (``values``, markers × 4): ``out`` (markers × animals)."""
    for j in range(rows.size):
        row, line, table = packed[rows[j]], out[j], values[j]
        for i in range(places.size):
            line[i] = table[(row[places[i] >> 2] >> (2 * (places[i] & 3))) & 3]
