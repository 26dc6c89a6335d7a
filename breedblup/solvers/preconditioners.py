"""Preconditioners: cheap approximate inverses of a symmetric positive definite matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from breedblup.errors import NotPositiveDefinite
from breedblup.kernels.iteration import chunked_dot, invert_blocks, multiply_blocks, multiply_diagonal
from breedblup.solvers.rank import RankFactor

_CHUNKS = 256


class Preconditioner(Protocol):
    """M⁻¹, symmetric positive definite."""

    def apply(self, r: NDArray[np.float64], out: NDArray[np.float64]) -> float:
        """Fill M⁻¹ r and give r'M⁻¹ r."""
        ...


@dataclass(frozen=True)
class BlockDiagonal:
    """The exact inverse of blocks along the diagonal; see `block_diagonal`."""

    starts: NDArray[np.int64]
    _places: NDArray[np.int64]
    _inverses: NDArray[np.float64]
    _chunks: NDArray[np.int64]

    def apply(self, r: NDArray[np.float64], out: NDArray[np.float64]) -> float:
        """Fill the product with each block's inverse and give r'M⁻¹ r; ``r`` and ``out`` begin at the first block."""
        sums = np.empty(self._chunks.size - 1)
        if self._inverses.size == self.starts.size - 1:
            multiply_diagonal(self._inverses, self._chunks, r, out, sums)
        else:
            multiply_blocks(self.starts, self._places, self._inverses, self._chunks, r, out, sums)
        return float(sums.sum())


@dataclass(frozen=True)
class FixedAndBlocks:
    """An exact sparse factor for the leading equations (fixed effects), blocks along the diagonal for the rest."""

    leading: RankFactor
    rest: BlockDiagonal

    @classmethod
    def of(cls, matrix: csr_array, starts: NDArray[np.int64], leading: RankFactor) -> FixedAndBlocks:
        """Build it for a matrix.

        Parameters
        ----------
        matrix
            Both triangles, or only the lower.
        starts
            Boundaries of the blocks, of all equations or from the leading ones on; those of the leading equations are not used.
        leading
            Factor of the leading equations.
        """
        cut = leading.dependent.size
        if cut not in starts:
            raise ValueError(f"a block spans equation {cut}, where the leading equations end")
        return cls(leading, block_diagonal(matrix, starts[starts >= cut]))

    def apply(self, r: NDArray[np.float64], out: NDArray[np.float64]) -> float:
        """Fill M⁻¹ r, zeros at dependent leading equations, and give r'M⁻¹ r."""
        cut = self.leading.dependent.size
        solved = self.leading.solve(r[:cut])
        out[:cut] = solved
        part = np.empty(1)
        chunked_dot(r[:cut], solved, cut, part)
        return float(part[0]) + self.rest.apply(r[cut:], out[cut:])


def diagonal(matrix: csr_array) -> BlockDiagonal:
    """Preconditioner by the diagonal."""
    return block_diagonal(matrix, np.arange(matrix.shape[0] + 1, dtype=np.int64))


def block_diagonal(matrix: csr_array, starts: NDArray[np.int64]) -> BlockDiagonal:
    """Preconditioner by dense blocks along the diagonal.

    Parameters
    ----------
    matrix
        Both triangles, or only the lower: what is right of the diagonal is not used.
    starts
        First equation of each block, and the end of the last. Where the first is not 0, the preconditioner is for the
        equations from there on.

    Raises
    ------
    NotPositiveDefinite
        Naming the equation, if a block is not positive definite.
    """
    starts = np.array(starts, dtype=np.int64)
    widths = np.diff(starts)
    if starts.size == 0 or starts[0] < 0 or starts[-1] != matrix.shape[0] or (widths <= 0).any():
        raise ValueError(f"block boundaries have to ascend and end at {matrix.shape[0]}")
    places = np.concatenate([[0], np.cumsum(widths**2)]).astype(np.int64)
    inverses = np.empty(places[-1])
    data = np.asarray(matrix.data, dtype=np.float64)
    bad = invert_blocks(matrix.indptr, matrix.indices, data, starts, places, inverses)
    if bad >= 0:
        raise NotPositiveDefinite(f"equation {bad} has a non-positive pivot in its diagonal block", bad)
    chunks = np.linspace(0, widths.size, _CHUNKS + 1).astype(np.int64)
    for array in (starts, places, inverses, chunks):
        array.setflags(write=False)
    return BlockDiagonal(starts, places, inverses, chunks)
