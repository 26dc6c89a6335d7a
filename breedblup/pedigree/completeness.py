"""How much of the ancestry is known: generations, completeness by depth, indices of completeness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import PedigreeError
from breedblup.kernels.description import count_generations, trace_one_deeper
from breedblup.pedigree.reference import ReferenceChoice, reference_population, refuse_sires_only

if TYPE_CHECKING:
    from breedblup.pedigree.pedigree import Pedigree


@dataclass(frozen=True, eq=False)
class Generations:
    """Generations of known ancestors behind each animal, in the order of ``pedigree.ids``; read-only.

    Attributes
    ----------
    most
        Generations to the most distant known ancestor, int32; 0 for a founder.
    full
        Generations back all of whose ancestors are known, int32.
    equivalent
        Complete equivalent generations: the sum over known ancestors of ½ to the power of their distance (Maignel, Boichard
        & Verrier 1996), float64.
    """

    most: NDArray[np.int32]
    full: NDArray[np.int32]
    equivalent: NDArray[np.float64]

    def __post_init__(self) -> None:
        for array in (self.most, self.full, self.equivalent):
            array.flags.writeable = False


def generations_of(pedigree: Pedigree) -> Generations:
    """Most, full and complete equivalent generations of every animal, by one pass over the pedigree.

    Raises
    ------
    PedigreeError
        If it is a pedigree of sires.
    """
    refuse_sires_only(pedigree)
    n = len(pedigree)
    most, full, equivalent = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32), np.empty(n)
    count_generations(pedigree.sire, pedigree.dam, most, full, equivalent)
    return Generations(most, full, equivalent)


def equivalent_generations(pedigree: Pedigree) -> NDArray[np.float64]:
    """Complete equivalent generations of every animal; see `Generations`."""
    return generations_of(pedigree).equivalent


def completeness_by_depth(
    pedigree: Pedigree, reference: ReferenceChoice = None, *, depth: int | None = None
) -> pl.DataFrame:
    """Known ancestors of a reference population, generation by generation.

    Parameters
    ----------
    depth
        Generations to trace; by default as many as there are. Each is one pass over the pedigree of the reference.

    Returns
    -------
    polars.DataFrame
        ``generation`` 1, 2, …; ``known``: the mean share of the 2^g ancestors of this generation that are known; ``index``:
        the mean index of MacCluer et al. (1983) over generations 1 to g, 2 C_s C_d / (C_s + C_d), with C_s the mean share
        known of the sire's side in these generations and C_d that of the dam's: 0 where one side is unknown.

    Raises
    ------
    PedigreeError
        If ``depth`` is below 1, or the reference cannot be used (`reference_population`).
    """
    _refuse_depth(pedigree, depth)
    chosen = reference_population(pedigree, reference)
    known = np.zeros(chosen.lineage.size)
    trace_one_deeper(chosen.sire, chosen.dam, known)
    shares: list[float] = []
    indices: list[float] = []
    before = 1.0
    while depth is None or len(shares) < depth:
        index = _index(known, chosen.sire[chosen.members], chosen.dam[chosen.members], len(shares) + 1)
        trace_one_deeper(chosen.sire, chosen.dam, known)
        mean = float(known[chosen.members].mean())
        if depth is None and mean - before <= 0.0:
            break
        shares.append(mean - before)
        indices.append(float(index.mean()))
        before = mean
    schema = {"generation": pl.Int64, "known": pl.Float64, "index": pl.Float64}
    return pl.DataFrame((np.arange(1, len(shares) + 1), shares, indices), schema=schema)


def completeness_index(pedigree: Pedigree, *, depth: int = 5) -> NDArray[np.float64]:
    """Index of pedigree completeness of every animal over ``depth`` generations (MacCluer et al. 1983), 0 to 1.

    The harmonic mean 2 C_s C_d / (C_s + C_d) of the shares of ancestors known on the side of the sire and of the dam,
    each the mean over the generations: no inbreeding can be found where it is 0.

    Raises
    ------
    PedigreeError
        If ``depth`` is below 1, or it is a pedigree of sires.
    """
    refuse_sires_only(pedigree)
    _refuse_depth(pedigree, depth)
    known = np.zeros(len(pedigree))
    for _ in range(depth):
        trace_one_deeper(pedigree.sire, pedigree.dam, known)
    return _index(known, pedigree.sire, pedigree.dam, depth)


def _refuse_depth(pedigree: Pedigree, depth: int | None) -> None:
    if depth is not None and depth < 1:
        raise PedigreeError(f"{pedigree.name}: completeness over {depth} generations is asked for -> give 1 or more")


def _index(
    known: NDArray[np.float64], sire: NDArray[np.int32], dam: NDArray[np.int32], depth: int
) -> NDArray[np.float64]:
    """2 C_s C_d / (C_s + C_d) with C the sum of shares of a parent's side over the depth."""
    of_sire = np.where(sire >= 0, known[sire], 0.0) / depth
    of_dam = np.where(dam >= 0, known[dam], 0.0) / depth
    total = of_sire + of_dam
    index: NDArray[np.float64] = 2.0 * of_sire * of_dam / np.where(total > 0, total, 1.0)
    return index
