"""Z, centred and scaled genotypes, as an operator on packed calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breedblup.genotypes.genotypes import Genotypes


@dataclass(frozen=True)
class CentredGenotypes:
    """Z (animals × markers): z_ij = (x_ij - centre_j) · scale_j, and 0 where the call is missing.

    Attributes
    ----------
    centre, scale
        One number for each marker (m).
    """

    genotypes: Genotypes
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    def __post_init__(self) -> None:
        for array in (self.centre, self.scale):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.genotypes)

    def dense(self, first: int, last: int) -> NDArray[np.float64]:
        """Columns of Z, expanded: animals × (last - first)."""
        calls = self.genotypes.at_markers(np.arange(first, last)).calls()
        part = slice(first, last)
        return np.where(calls < 0, 0.0, (calls - self.centre[part]) * self.scale[part])

    def multiply(self, effects: NDArray[np.float64]) -> NDArray[np.float64]:
        """Z v for an m vector or an m × k block."""
        return self.dense(0, self.centre.size) @ effects

    def multiply_transposed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Z'w for an n vector or an n × k block."""
        return self.dense(0, self.centre.size).T @ values

    def cross_product(self) -> NDArray[np.float64]:
        """ZZ', n × n, both triangles."""
        z = self.dense(0, self.centre.size)
        return z @ z.T

    def cross_block(self, rows: NDArray[np.int32], columns: NDArray[np.int32]) -> NDArray[np.float64]:
        """Z_r Z_c' for animals by number."""
        z = self.dense(0, self.centre.size)
        return z[rows] @ z[columns].T

    def squared_lengths(self) -> NDArray[np.float64]:
        """Diagonal of ZZ' (n)."""
        z = self.dense(0, self.centre.size)
        return np.asarray((z**2).sum(axis=1))
