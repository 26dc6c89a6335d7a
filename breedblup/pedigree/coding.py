"""Columns of text ids to numbers of rows, in one pass over blocks of cells.

Each text is looked up once a cell in one dictionary of all ids (`breedblup.kernels.coding`); a parent that stands before its
offspring is a row at once. While one block is looked up, the next is read and hashed in another thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ResourceError
from breedblup.kernels import coding
from breedblup.pedigree.cells import CellBlock, Cells, text_block

_FILLED = 0.75
"""Largest share of the slots that is filled before there are more of them."""


@dataclass(slots=True)
class Dictionary:
    """Texts and what they stand for; a private workspace that grows."""

    declared: int = 0
    texts: int = 0
    slots: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(64, dtype=np.uint64))
    store: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(64, dtype=np.uint64))
    end: int = 1

    @classmethod
    def declaring(cls, texts: Sequence[str]) -> Dictionary:
        """A dictionary in which some different texts, none of them empty, are declared."""
        made = cls(declared=len(texts), end=len(texts) + 1)
        if texts:
            block = text_block([pl.Series(texts, dtype=pl.String)], len(texts))
            made.code(block.words, block.starts, block.stops, hashes_of(block), -1, len(texts))
            at = len(texts) + 1
            for k in range(len(texts)):
                size = int(made.store[at]) & 0xFFFFFFFF
                made.store[at] = size | (coding.DECLARED + k + 1) << 32
                at += 1 + (size + 7) // 8
        return made

    def code(
        self,
        words: NDArray[np.uint64],
        starts: NDArray[np.int32],
        stops: NDArray[np.int32],
        hashes: NDArray[np.uint64],
        first_row: int,
        expected: int,
    ) -> NDArray[np.int32]:
        """What the cells of some columns become; see `code_cells`."""
        self._make_room(starts.size, int(words.size), expected, max(first_row, 0))
        codes = np.empty(starts.shape, dtype=np.int32)
        self.end, self.texts = coding.code_cells(
            words, starts, stops, hashes, first_row, self.slots, self.store, self.end, self.texts, codes
        )
        return codes

    def _make_room(self, cells: int, words: int, expected: int, rows: int) -> None:
        """Room for as many new texts as there are cells, and for what is expected in all as far as that is known."""
        need = self.end + 2 * cells + words
        if need > self.store.size:
            if self.end > coding.LAST_PLACE - 2 * cells - words:
                raise ResourceError(
                    "a pedigree with more than 16 GB of different ids cannot be coded -> shorten the ids"
                )
            foreseen = int(1.1 * self.end * expected / rows) if rows else 0
            store = np.empty(max(need, min(foreseen + cells, coding.LAST_PLACE)), dtype=np.uint64)
            store[: self.end] = self.store[: self.end]
            self.store = store
        if self.texts + cells > _FILLED * self.slots.size:
            wanted = max(self.texts + cells, expected) / _FILLED
            self.slots = np.zeros(1 << int(np.ceil(np.log2(wanted))), dtype=np.uint64)
            coding.refill_slots(self.store, self.declared + 1, self.end, self.slots)

    def text(self, place: int) -> str:
        """The text at a place."""
        size = int(self.store[place]) & 0xFFFFFFFF
        return self.store[place + 1 : place + 1 + (size + 7) // 8].tobytes()[:size].decode()

    def all_texts(self) -> pl.Series:
        """All texts, in the order in which they were met."""
        found, at = [], self.declared + 1
        while at < self.end:
            found.append(self.text(at))
            at += 1 + ((int(self.store[at]) & 0xFFFFFFFF) + 7) // 8
        return pl.Series(found, dtype=pl.String)


@dataclass(slots=True)
class CodedColumns:
    """Rows as they were read, in a workspace.

    Attributes
    ----------
    ids
        As written; null where there is none.
    links
        For each column of ids beyond the first, as `breedblup.kernels.coding` has it: rows, -1, or what is no row.
    irregular
        Rows whose id is missing, declared or that of an earlier row, and the code of each of these ids.
    values
        For each column of values, the number of each row's text, -1 where it is empty; and these texts.
    """

    ids: pl.Series
    links: list[NDArray[np.int32]]
    irregular: tuple[NDArray[np.int32], NDArray[np.int32]]
    values: list[tuple[NDArray[np.int32], pl.Series]]
    names: Dictionary


def hashes_of(block: CellBlock) -> NDArray[np.uint64]:
    """Hash of every cell."""
    hashes = np.empty(block.starts.shape, dtype=np.uint64)
    coding.hash_cells(block.words, block.starts, block.stops, hashes)
    return hashes


def code_columns(cells: Cells, ids: Sequence[str], values: Sequence[str], declared: Sequence[str]) -> CodedColumns:
    """Code a column of ids, others that name such ids, and columns of values.

    Parameters
    ----------
    declared
        Different texts, none empty, that stand for no row.
    """
    names = Dictionary.declaring(declared)
    meanings = [Dictionary() for _ in values]
    chunks: list[pl.Series] = []
    linked: list[NDArray[np.int32]] = []
    valued: list[list[NDArray[np.int32]]] = []
    irregular: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []
    row, width = 0, len(ids)
    for block, hashes in _ahead(cells, [*ids, *values]):
        codes = names.code(block.words, block.starts[:width], block.stops[:width], hashes[:width], row, block.expected)
        odd = np.flatnonzero(codes[0] != np.arange(row, row + block.rows, dtype=np.int32)).astype(np.int32)
        if odd.size:
            irregular.append((odd + np.int32(row), codes[0, odd]))
        chunks.append(block.ids)
        linked.append(codes[1:].copy())
        of_values = []
        for k, meaning in enumerate(meanings, width):
            one = slice(k, k + 1)
            of_values.append(meaning.code(block.words, block.starts[one], block.stops[one], hashes[one], -1, 0)[0])
        valued.append(of_values)
        row += block.rows
    names.slots = np.empty(0, dtype=np.uint64)
    return CodedColumns(
        pl.concat(chunks, rechunk=True) if chunks else pl.Series("id", [], dtype=pl.String),
        [_joined([one[k] for one in linked]) for k in range(width - 1)],
        (_joined([rows for rows, _ in irregular]), _joined([codes for _, codes in irregular])),
        [(_joined([one[k] for one in valued]), of.all_texts()) for k, of in enumerate(meanings)],
        names,
    )


def _joined(parts: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)


def _ahead(cells: Cells, columns: Sequence[str]) -> Iterator[tuple[CellBlock, NDArray[np.uint64]]]:
    """Blocks with their hashes, each made while the one before is worked on."""
    blocks = ((block, hashes_of(block)) for block in cells.blocks(columns))
    with ThreadPoolExecutor(1) as thread:
        pending = thread.submit(next, blocks, None)
        while (ready := pending.result()) is not None:
            pending = thread.submit(next, blocks, None)
            yield ready
