"""Text cells to codes: lines cut into cells, cells hashed, and a dictionary of all texts that lie in them.

A block is bytes, seen as 64-bit words of them (little-endian, a word to spare at the end), and for each cell, column by
column, where it begins and stops. The dictionary is ``slots`` (half of the hash above, place of the text below, 0 empty) and
``store``, where a text is one word of what is known of it and then its bytes in whole words, padded with 0. That word has
the number of bytes below, and above what the text stands for: 0 nothing yet, else 1 + a number, which from `DECLARED` up is that
of a text declared beforehand. A cell becomes (int32) that number, -1 where it is empty, -2 - k where it is the declared text k,
and -2 - place where its text stands for nothing. Places begin beyond the number of declared texts.

Products of 32-bit halves never overflow, so that the hash is the same without the compiler.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from breedblup.kernels import kernel, parallel_kernel

DECLARED = 2**31 - 2**24
"""So many texts can stand for rows, and 2²⁴ can be declared."""

LAST_PLACE = 2**31 - 3
"""Places up to this one have a code."""

CARRIAGE_RETURN, LINE_FEED = 13, 10

_BATCH = 64
"""Cells whose slots and texts are fetched together: memory answers them at once, not one after the other."""

_LOW = np.uint64(0xFFFFFFFF)
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_PRIME, _OTHER = np.uint64(0x9E3779B1), np.uint64(0x85EBCA77)
_ZERO, _ONE, _THREE, _FOLD, _HALF, _LAST = (np.uint64(k) for k in (0, 1, 3, 29, 32, 63))


@kernel
def count_lines(block, begin, stop):  # type: ignore[no-untyped-def]
    """Line ends among some bytes, and the union of the bits of these: 128 and above where not all is ASCII."""
    lines, bits = 0, np.uint8(0)
    for i in range(begin, stop):
        lines += block[i] == LINE_FEED
        bits |= block[i]
    return lines, bits


@kernel
def cut_cells(block, begin, stop, marks, wanted, starts, stops):  # type: ignore[no-untyped-def]
    """Where the wanted cells of each line begin and stop; whether each line has a cell for each column.

    ``marks`` is 0 for a byte of text, 1 for the delimiter, 2 for a line end, 3 for a carriage return, 4 for a byte that is
    not expected. ``wanted[c]`` is the row of ``starts`` and ``stops`` (k + 1 × lines) for column c, k for one not wanted.
    """
    columns = wanted.size
    line, column = 0, 0
    for i in range(begin, stop):
        mark = marks[block[i]]
        if mark == 0:
            continue
        if mark == 1:
            if column + 1 >= columns:
                return False
            starts[wanted[column], line] = begin
            stops[wanted[column], line] = i
            column += 1
            begin = i + 1
        elif mark == 2:
            if column + 1 != columns:
                return False
            starts[wanted[column], line] = begin
            stops[wanted[column], line] = i - 1 if i > begin and block[i - 1] == CARRIAGE_RETURN else i
            line += 1
            column = 0
            begin = i + 1
        elif mark == 4 or block[i + 1] != LINE_FEED:
            return False
    return column == 0


@kernel
def hash_cells(words, starts, stops, hashes):  # type: ignore[no-untyped-def]
    """Hash of each cell; 0 only where it is empty."""
    columns, rows = starts.shape
    for column in range(columns):
        for row in range(rows):
            start, left = starts[column, row], np.int64(stops[column, row]) - np.int64(starts[column, row])
            if left == 0:
                hashes[column, row] = 0
                continue
            shift = np.uint64(start & 7) << _THREE
            k = np.uint64(start >> 3)
            h = np.uint64(left)
            while left > 0:
                word = words[k] >> shift | (words[k + _ONE] << (_LAST - shift)) << _ONE
                if left < 8:
                    word &= ~(_ONES << (np.uint64(left) << _THREE))
                h ^= word
                low, high = (h & _LOW) * _PRIME, (h >> _HALF) * _OTHER
                h = low ^ (high << _HALF | high >> _HALF)
                k += _ONE
                left -= 8
            h ^= h >> _HALF
            low, high = (h & _LOW) * _OTHER, (h >> _HALF) * _PRIME
            h = low ^ (high << _HALF | high >> _HALF)
            hashes[column, row] = h ^ h >> _FOLD | _ONE << _LAST


@kernel
def code_cells(words, starts, stops, hashes, first_row, slots, store, end, texts, codes):  # type: ignore[no-untyped-def]
    """What the cells become; texts that are new are taken into the dictionary. Gives its first free place and its texts.

    Texts of the first column come to stand for its rows, ``first_row`` and on, those of the others for nothing. Where it
    is -1, each text stands for its number in the order in which they are met.
    """
    columns, rows = starts.shape
    mask = np.uint64(slots.size - 1)
    ahead = np.empty(_BATCH, dtype=np.uint64)
    for column in range(columns):
        for batch in range(0, rows, _BATCH):
            behind = min(batch + _BATCH, rows)
            for row in range(batch, behind):
                ahead[row - batch] = slots[hashes[column, row] & mask]
            for row in range(batch, behind):
                ahead[row - batch] = store[ahead[row - batch] & _LOW]
            for row in range(batch, behind):
                h = hashes[column, row]
                if h == 0:
                    codes[column, row] = -1
                    continue
                start = starts[column, row]
                size = np.int64(stops[column, row]) - np.int64(start)
                shift = np.uint64(start & 7) << _THREE
                first = np.uint64(start >> 3)
                spot = h & mask
                at = np.int64(0)
                while at == 0:
                    slot = slots[spot]
                    if slot == 0:
                        at = end
                        slots[spot] = (h >> _HALF) << _HALF | np.uint64(at)
                        texts += 1
                        store[at] = np.uint64(size) | (np.uint64(texts) << _HALF if first_row < 0 else _ZERO)
                        k, left = first, size
                        while left > 0:
                            word = words[k] >> shift | (words[k + _ONE] << (_LAST - shift)) << _ONE
                            if left < 8:
                                word &= ~(_ONES << (np.uint64(left) << _THREE))
                            end += 1
                            store[end] = word
                            k += _ONE
                            left -= 8
                        end += 1
                    elif (slot ^ h) >> _HALF == 0:
                        known = np.int64(slot & _LOW)
                        same = np.int64(store[known] & _LOW) == size
                        place, k, left = known + 1, first, size
                        while same and left > 0:
                            word = words[k] >> shift | (words[k + _ONE] << (_LAST - shift)) << _ONE
                            if left < 8:
                                word &= ~(_ONES << (np.uint64(left) << _THREE))
                            same = store[place] == word
                            place += 1
                            k += _ONE
                            left -= 8
                        if same:
                            at = known
                    spot = (spot + _ONE) & mask
                number = np.int64(store[at] >> _HALF) - 1
                if number < 0 and column == 0:
                    number = first_row + row
                    store[at] |= np.uint64(number + 1) << _HALF
                if number < 0:
                    number = -2 - at
                elif number >= DECLARED:
                    number = DECLARED - 2 - number
                codes[column, row] = number
    return end, texts


@kernel
def refill_slots(store, first, end, slots):  # type: ignore[no-untyped-def]
    """Slots, which are empty, of all texts of a dictionary."""
    mask = np.uint64(slots.size - 1)
    at = first
    while at < end:
        left = np.int64(store[at] & _LOW)
        h = np.uint64(left)
        place = at + 1
        while left > 0:
            h ^= store[place]
            low, high = (h & _LOW) * _PRIME, (h >> _HALF) * _OTHER
            h = low ^ (high << _HALF | high >> _HALF)
            place += 1
            left -= 8
        h ^= h >> _HALF
        low, high = (h & _LOW) * _OTHER, (h >> _HALF) * _PRIME
        h = low ^ (high << _HALF | high >> _HALF)
        h = h ^ h >> _FOLD | _ONE << _LAST
        spot = h & mask
        while slots[spot] != 0:
            spot = (spot + _ONE) & mask
        slots[spot] = (h >> _HALF) << _HALF | np.uint64(at)
        at = place


@parallel_kernel
def look_up(codes, store, declared):  # type: ignore[no-untyped-def]
    """Codes of texts that have come to stand for a row since; gives the number of those that have not."""
    nothing = 0
    for i in prange(codes.size):
        place = -2 - np.int64(codes[i])
        if place > declared:
            number = np.int64(store[place] >> _HALF) - 1
            if number >= 0:
                codes[i] = number
            else:
                nothing += 1
    return nothing


@kernel
def number_on(codes, store, declared, number, places):  # type: ignore[no-untyped-def]
    """Number texts that stand for nothing from ``number`` on, as they are met; gives the next number. They are ``places``."""
    first = number
    for i in range(codes.size):
        place = -2 - np.int64(codes[i])
        if place > declared:
            known = np.int64(store[place] >> _HALF) - 1
            if known < 0:
                known = number
                if number - first < places.size:
                    places[number - first] = place
                number += 1
                store[place] |= np.uint64(known + 1) << _HALF
            codes[i] = known
    return number


@kernel
def join_cells(block, starts, stops, joined):  # type: ignore[no-untyped-def]
    """Cells one after the other, a line end behind each."""
    at = 0
    for row in range(starts.size):
        for i in range(starts[row], stops[row]):
            joined[at] = block[i]
            at += 1
        joined[at] = LINE_FEED
        at += 1
