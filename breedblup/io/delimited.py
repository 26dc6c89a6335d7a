"""What a delimited text file has to be before its cells are believed.

A CSV reader that fills short lines, renames columns or lets a forgotten quote swallow the lines behind it changes the
data without a word. So every byte is looked at once, in blocks, before the file is parsed: fields are counted against
the header, quotes must open and close where a field does, and within one line. Only when something is amiss are lines
read one by one, to name the first that is.

One line of the file is one row of the table, so the line of a row is known without keeping it: blank lines are ignored
at the end of the file and refused elsewhere, and a quoted cell does not go on past its line.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import InputError, name_some

_BLOCK = 1 << 22
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DELIMITERS = {"\t": "tab", ";": "semicolon", ",": "comma"}
_QUOTE = ord('"')


@dataclass(frozen=True, slots=True)
class Layout:
    """How a delimited file is to be read: its delimiter, the names of its columns and the number of its rows."""

    delimiter: str
    columns: tuple[str, ...]
    rows: int
    quoted: bool

    def expected(self) -> str:
        """The header in words, for messages."""
        return f"the header has {len(self.columns)} {_DELIMITERS[self.delimiter]}-separated columns"


def open_bytes(path: Path) -> BinaryIO:
    """Open a file that may be compressed by gzip, which is recognised by its first bytes."""
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    return cast("BinaryIO", gzip.open(path, "rb")) if compressed else path.open("rb")


def inspect_layout(path: Path) -> Layout:
    """Recognise the layout of a delimited text file; refuse what would be read wrongly, naming its first bad line."""
    try:
        with open_bytes(path) as file:
            header, delimiter = read_header(path.name, file.readline())
            quoted, clean, lines = _scan(file, delimiter, len(header))
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise InputError(f"{path.name}: the compressed file is damaged or cut short; copy it again") from None
    layout = Layout(delimiter, header, lines, quoted)
    if not clean:
        refuse_first_fault(path, layout)
    return layout


def read_header(name: str, line: bytes) -> tuple[tuple[str, ...], str]:
    """Column names and delimiter of the header line; `InputError` where it cannot be one."""
    if line.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in line:
        raise InputError(_not_plain_text(name, 1))
    line = line.removeprefix(_BYTE_ORDER_MARK)
    if not line:
        raise InputError(f"{name}: the file is empty")
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError as wrong:
        raise InputError(_not_utf8(name, 1, wrong)) from None
    if not text.strip():
        raise InputError(f"{name}:1: the line is empty where the names of the columns belong")
    if "\r" in text:
        raise InputError(f"{name}:1: lines end in CR alone (old Macintosh); save the file with LF or CRLF line ends")
    outside = Counter(re.sub(r'"[^"]*"', "", text))
    delimiter = max(_DELIMITERS, key=lambda mark: outside[mark]) if outside.keys() & _DELIMITERS.keys() else ","
    if text.count('"') % 2:
        raise InputError(f"{name}:1: a quote is opened in the header and not closed")
    columns = tuple(column.strip() for column in next(csv.reader([text], delimiter=delimiter)))
    unnamed = [position for position, column in enumerate(columns[:-1], 1) if not column]
    if unnamed:
        found = f"no name for column {name_some(unnamed)} of {len(columns)}; name every column"
        raise InputError(f"{name}:1: {found}{_headless(columns)}")
    repeated = [column for column, count in Counter(columns).items() if count > 1]
    if repeated:
        found = f"more than one column is called {name_some(repeated)}; rename or remove one"
        raise InputError(f"{name}:1: {found}{_headless(columns)}")
    return columns, delimiter


def _headless(columns: tuple[str, ...]) -> str:
    """A hint where the first line seems to be data."""
    if not any(re.fullmatch(r"[-+.\d]+|NA", column) for column in columns):
        return ""
    return (
        f". The first line reads {name_some(columns)}: if this is data, the header line with the names of the columns, "
        "such as animal, sire, dam, is not found; add it"
    )


def _scan(file: BinaryIO, delimiter: str, columns: int) -> tuple[bool, bool, int]:
    """Whether there are quotes, whether lines seem well formed, how many there are but for blank ones at the end."""
    quoted, clean = False, True
    lines = delimiters = 0
    tail = b"\n"  # the line ends behind the last line that holds something
    for block in _whole_lines(file):
        content = block.rstrip(b"\r\n")
        tail = block[len(content) :] if content else tail + block
        codes = np.frombuffer(block, dtype=np.uint8)
        separators = codes == ord(delimiter)
        if b'"' in block:
            quoted = True
            inside, well_placed = _quotes(codes, separators)
            clean &= well_placed
            separators &= ~inside
        lines += int(np.count_nonzero(codes == ord("\n")))
        delimiters += int(np.count_nonzero(separators))
        clean &= b"\0" not in block
    lines += not tail.endswith(b"\n")
    lines -= max(tail.count(b"\n") - 1, 0)
    return quoted, clean and delimiters == lines * (columns - 1), lines


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Blocks of the rest of a file that end where a line ends."""
    while block := file.read(_BLOCK):
        yield block if block.endswith(b"\n") else block + file.readline()


def _quotes(codes: NDArray[np.uint8], separators: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], bool]:
    """Which bytes of whole lines are inside quotes, and whether quotes stand where fields and lines begin and end."""
    quotes = codes == _QUOTE
    inside = np.bitwise_xor.accumulate(quotes)
    newlines = codes == ord("\n")
    edges = np.concatenate(([True], separators | newlines | quotes, [True]))
    before_opening = edges[:-2][quotes & inside]
    after_closing = (edges[2:] | np.append(codes[1:] == ord("\r"), True))[quotes & ~inside]
    closed = not (newlines & inside).any() and not inside[-1]
    well_placed = bool(before_opening.all() and after_closing.all() and closed)
    return inside, well_placed


def refuse_first_fault(path: Path, layout: Layout, otherwise: str = "it is not well formed") -> NoReturn:
    """Go through a file line by line and raise for the first that is wrong; ``otherwise`` is said when none is."""
    mark = re.escape(layout.delimiter)
    well_formed = re.compile(rf'(?:"(?:[^"]|"")*"|[^"{mark}]*)(?:{mark}(?:"(?:[^"]|"")*"|[^"{mark}]*))*')
    quoted_cell = re.compile(r'"(?:[^"]|"")*"')
    with open_bytes(path) as file:
        for number, line in enumerate(file, 1):
            if number == 1 or number > layout.rows + 1:
                continue
            if b"\0" in line:
                raise InputError(_not_plain_text(path.name, number))
            try:
                text = line.decode().rstrip("\r\n")
            except UnicodeDecodeError as wrong:
                raise InputError(_not_utf8(path.name, number, wrong)) from None
            if not text.strip() and len(layout.columns) > 1:
                raise InputError(f"{path.name}:{number}: the line is empty; remove it")
            if not well_formed.fullmatch(text):
                raise InputError(
                    f"{path.name}:{number}: a quote stands inside a cell, or is not closed on its line; "
                    'write the cell as "…", a quote inside it as "", and no line break'
                )
            fields = quoted_cell.sub("", text).count(layout.delimiter) + 1
            if fields != len(layout.columns):
                raise InputError(
                    f"{path.name}:{number}: {layout.expected()}, this line {fields}; add or remove the difference"
                )
    raise InputError(f"{path.name}: the file cannot be read as delimited text: {otherwise}")


def _not_plain_text(name: str, line: int) -> str:
    return (
        f"{name}:{line}: the file holds NUL bytes: it is no text in UTF-8 but UTF-16, a spreadsheet or another binary "
        "file; save it as CSV in UTF-8"
    )


def _not_utf8(name: str, line: int, wrong: UnicodeDecodeError) -> str:
    return (
        f"{name}:{line}: byte 0x{wrong.object[wrong.start]:02X} is not UTF-8; convert the file, "
        f"for example: iconv -f WINDOWS-1252 -t UTF-8 {name} > utf8.csv"
    )
