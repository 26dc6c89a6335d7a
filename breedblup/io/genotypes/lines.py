"""Lines of a text file in blocks: where each begins and stops, never the whole file."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import GenotypeError
from breedblup.io.delimited import open_bytes

_BLOCK = 1 << 22
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Some whole lines: their bytes, where each begins and stops (line ends left out), and the number of the first."""

    text: bytes
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    first: int


def count_lines(path: Path) -> int:
    """Lines of a file, but for blank ones at its end."""
    lines = filled = 0
    for block in line_blocks(path):
        some = np.flatnonzero(block.stops > block.starts)
        filled = lines + int(some[-1]) + 1 if some.size else filled
        lines += block.starts.size
    return filled


def line_blocks(path: Path) -> Iterator[LineBlock]:
    """The lines of a file that may be compressed by gzip.

    Raises
    ------
    GenotypeError
        If the compressed file is damaged.
    """
    number = 1
    try:
        with open_bytes(path) as file:
            for text in _whole_lines(file):
                codes = np.frombuffer(text, dtype=np.uint8)
                ends = np.flatnonzero(codes == ord("\n"))
                if not text.endswith(b"\n"):
                    ends = np.append(ends, len(text))
                starts = np.concatenate([[0], ends[:-1] + 1])
                starts[0] = len(_BYTE_ORDER_MARK) if number == 1 and text.startswith(_BYTE_ORDER_MARK) else 0
                returned = (ends > starts) & (codes[np.maximum(ends, 1) - 1] == ord("\r"))
                yield LineBlock(text, starts, ends - returned, number)
                number += starts.size
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise GenotypeError(f"{path.name}: the compressed file is damaged or cut short -> copy it again") from None


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block if block.endswith(b"\n") else block + file.readline()
