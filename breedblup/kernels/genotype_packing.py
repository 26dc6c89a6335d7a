"""Loops that make packed genotypes: cells of text to calls, calls of some animals into a store, parts of a store.

Codes and layout are those of `breedblup.kernels.genotypes`. Calls are 0, 1, 2, `MISSING` and `STRANGE`, which is what no call
can be.
"""

from __future__ import annotations

from numba import prange

from breedblup.kernels import parallel_kernel

MISSING, STRANGE = -1, -2

_TILE = 64
"""Markers whose bytes of one animal are written together, so that they stay in the cache from one animal to the next."""


@parallel_kernel
def add_animals(calls, first, packed):  # type: ignore[no-untyped-def]
    """Put animals × markers of calls into a store that is 0 there, as its animals ``first`` and on."""
    n, m = calls.shape
    for tile in prange((m + _TILE - 1) // _TILE):
        for i in range(n):
            byte = (first + i) >> 2
            shift = 2 * ((first + i) & 3)
            for j in range(tile * _TILE, min(m, (tile + 1) * _TILE)):
                call = calls[i, j]
                code = 1 if call < 0 else (3 - call if call < 2 else 0)
                packed[j, byte] |= code << shift


@parallel_kernel
def repack(packed, rows, places, out):  # type: ignore[no-untyped-def]
    """The part of a store for some markers and animals, as a store of its own; bits of no animal are 0."""
    for j in prange(rows.size):
        row = packed[rows[j]]
        for byte in range(out.shape[1]):
            value = 0
            for k in range(min(4, places.size - 4 * byte)):
                place = places[4 * byte + k]
                value |= ((row[place >> 2] >> (2 * (place & 3))) & 3) << (2 * k)
            out[j, byte] = value


@parallel_kernel
def cut_digits(text, starts, call_of, calls):  # type: ignore[no-untyped-def]
    """Calls of one byte each: those of animal i begin at ``starts[i]``; ``call_of`` has the call of each byte."""
    for i in prange(starts.size):
        for j in range(calls.shape[1]):
            calls[i, j] = call_of[text[starts[i] + j]]


@parallel_kernel
def cut_cells(text, starts, stops, separator, missing, ends, calls, cells):  # type: ignore[no-untyped-def]
    """Calls between separators: those of animal i from ``starts[i]`` to ``stops[i]``; ``cells`` are so many as there are.

    A separator of 0 stands for any number of blanks and tabs. The codes of missing calls are the bytes of ``missing``, one
    after the other, which end at ``ends``. A call may be written as a decimal, 1.0. Cells beyond the width of ``calls`` are
    counted only.
    """
    for i in prange(starts.size):
        at, stop, j = starts[i], stops[i], 0
        while at <= stop:
            if separator == 0:
                while at < stop and (text[at] == 32 or text[at] == 9):
                    at += 1
                if at == stop:
                    break
            end = at
            while end < stop and not (
                text[end] == separator or (separator == 0 and (text[end] == 32 or text[end] == 9))
            ):
                end += 1
            if j < calls.shape[1]:
                call = STRANGE
                if end > at and 48 <= text[at] <= 50:
                    call = text[at] - 48
                    for k in range(at + 1, end):
                        if text[k] != (46 if k == at + 1 else 48):
                            call = STRANGE
                if call == STRANGE:
                    begin = 0
                    for code in range(ends.size):
                        same = ends[code] - begin == end - at
                        for k in range(end - at):
                            same = same and text[at + k] == missing[begin + k]
                        if same:
                            call = MISSING
                        begin = ends[code]
                calls[i, j] = call
            j += 1
            at = end + 1
        cells[i] = j
