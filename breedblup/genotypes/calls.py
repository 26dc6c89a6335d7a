"""An array of calls, checked and packed some animals at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError
from breedblup.kernels.genotype_packing import MISSING, STRANGE, add_animals

_CALLS = 1 << 22
"""Calls that are looked at together."""


def packed_calls(
    array: NDArray[Any], ids: Sequence[str] | pl.Series, markers: pl.Series, missing: Sequence[float], source: str
) -> NDArray[np.uint8]:
    """A store of animals × markers of numbers; `GenotypeError` where one is no call."""
    codes = [float(code) for code in missing]
    if {0.0, 1.0, 2.0} & set(codes):
        raise GenotypeError(f"{source}: 0, 1 and 2 are calls and cannot be missing as well -> recode the calls first")
    n, m = array.shape
    packed = np.zeros((m, -(-n // 4)), dtype=np.uint8)
    step = max(1, _CALLS // max(1, m))
    for first in range(0, n, step):
        block = array[first : first + step]
        calls = _as_calls(block, codes)
        if calls.size and calls.min() == STRANGE:
            row, column = np.argwhere(calls == STRANGE)[0]
            value = block[row, column]
            _refuse(f"{source}: animal {str(ids[first + int(row)])!r}, marker {markers[int(column)]!r}", float(value))
        add_animals(calls, first, packed)
    return packed


def _as_calls(block: NDArray[Any], missing: Sequence[float]) -> NDArray[np.int8]:
    """Numbers as 0, 1, 2, `MISSING` or `STRANGE`."""
    if block.dtype == np.int8 and block.size and block.min() >= MISSING and block.max() <= 2:
        return np.ascontiguousarray(block)
    calls = np.full(block.shape, STRANGE, dtype=np.int8)
    for call in (0, 1, 2):
        calls[block == call] = call
    for code in (float(MISSING), *missing):
        calls[block == code] = MISSING
    if block.dtype.kind == "f":
        calls[np.isnan(block)] = MISSING
    return calls


def _refuse(place: str, value: float) -> None:
    if 0 < value < 2:
        raise GenotypeError(
            f"{place}: {value:g} is a dosage, where a call is 0, 1 or 2 -> take the most probable call yourself, or NaN where "
            "none is certain; nothing is rounded here"
        )
    raise GenotypeError(
        f"{place}: {value:g} is no call -> calls are 0, 1, 2, missing ones NaN or -1, or a value named in missing="
    )
