"""Loops of the simulator: values handed down a pedigree, parents before offspring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from breedblup.kernels import kernel


@kernel
def drop_values(
    sire: NDArray[np.int32], dam: NDArray[np.int32], mendelian: NDArray[np.float64], values: NDArray[np.float64]
) -> None:
    """Turn the deviates z in ``values`` (animals × columns) into u, in place: u_i = ½ u_s + ½ u_d + √mendelian_i z_i.

    An unknown parent (−1) adds nothing.
    """
    for animal in range(sire.size):
        scale = np.sqrt(mendelian[animal])
        for column in range(values.shape[1]):
            value = scale * values[animal, column]
            if sire[animal] >= 0:
                value += 0.5 * values[sire[animal], column]
            if dam[animal] >= 0:
                value += 0.5 * values[dam[animal], column]
            values[animal, column] = value
