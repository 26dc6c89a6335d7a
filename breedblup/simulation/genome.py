"""What genome to simulate: chromosomes, markers, loci with effects, and how the founders came by their linkage disequilibrium."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import ModelError

BASES_PER_MORGAN = 100_000_000
"""One centimorgan is a million base pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenomeOptions:
    """What genome to simulate.

    Founder gametes come from a population that mated at random for ``ancestral_generations``, with recombination and
    without mutation or selection, from gametes in linkage equilibrium: drift leaves linkage disequilibrium between near loci.

    Parameters
    ----------
    chromosomes
        Their number.
    length_morgan
        Length of each in Morgan, or one number for all.
    markers
        Markers in all, shared out by length, at random places.
    qtl
        Loci with effects in all. None gives every marker an effect and no other locus: the model of SNP-BLUP and GBLUP is
        then exactly true.
    qtl_among_markers
        Whether loci with effects are drawn from the markers instead of standing beside them.
    frequency_shape
        Both shapes of the beta distribution of allele frequencies before the ancestral generations; (0.5, 0.5) is U-shaped.
    lowest_frequency
        Least frequency of the rarer allele of a marker among the founders' ancestors; loci with effects only have to vary.
    ancestral_size
        Animals in each ancestral generation.
    ancestral_generations
        Generations of random mating before the founders.
    seed
        The same seed gives the same genome, whatever the pedigree.

    Raises
    ------
    ModelError
        For a number that no genome can have.
    """

    chromosomes: int = 30
    length_morgan: float | Sequence[float] = 1.0
    markers: int = 50_000
    qtl: int | None = 1_000
    qtl_among_markers: bool = False
    frequency_shape: tuple[float, float] = (0.5, 0.5)
    lowest_frequency: float = 0.05
    ancestral_size: int = 100
    ancestral_generations: int = 100
    seed: int = 3

    def __post_init__(self) -> None:
        """Refuse what no genome can have."""
        for name, least in (("chromosomes", 1), ("ancestral_size", 2), ("ancestral_generations", 0)):
            if getattr(self, name) < least:
                raise ModelError(f"simulated genome: {name} is {getattr(self, name)}; give at least {least}")
        if np.ndim(self.length_morgan) and np.size(self.length_morgan) != self.chromosomes:
            raise ModelError(
                f"simulated genome: {np.size(self.length_morgan)} lengths for {self.chromosomes} chromosomes; give one for each"
            )
        if self.lengths.min() <= 0:
            raise ModelError(f"simulated genome: length_morgan is {self.length_morgan}; give lengths above 0")
        if self.markers < self.chromosomes:
            raise ModelError(
                f"simulated genome: {self.markers} markers on {self.chromosomes} chromosomes; give one for each at least"
            )
        most = self.markers if self.qtl_among_markers else None
        if self.qtl is not None and (self.qtl < 1 or (most is not None and self.qtl > most)):
            raise ModelError(
                f"simulated genome: qtl is {self.qtl}; give at least 1, and not more than markers where they are among them"
            )
        if min(self.frequency_shape) <= 0:
            raise ModelError(f"simulated genome: frequency_shape is {self.frequency_shape}; give two numbers above 0")
        if not 0 <= self.lowest_frequency < 0.5:
            raise ModelError(
                f"simulated genome: lowest_frequency is {self.lowest_frequency}; give 0 or more, below 0.5"
            )

    @property
    def lengths(self) -> NDArray[np.float64]:
        """Length of each chromosome in Morgan."""
        return np.broadcast_to(np.array(self.length_morgan, dtype=np.float64), (self.chromosomes,))


@dataclass(frozen=True, slots=True, eq=False)
class Chromosome:
    """Loci of a chromosome in order, and the gametes that founders are made of.

    Attributes
    ----------
    name
        ``1``, ``2``, …
    position
        Base pairs.
    is_marker
        Whether a locus is a marker.
    effect
        Of a copy of the counted allele; 0 for loci without.
    frequency
        Of the counted allele among the ancestors.
    pool
        Their haplotypes, two an animal, 64 loci a word.
    random
        Where the meioses on this chromosome are drawn from.
    """

    name: str
    length_morgan: float
    position: NDArray[np.int64]
    is_marker: NDArray[np.bool_]
    effect: NDArray[np.float64]
    frequency: NDArray[np.float64]
    pool: NDArray[np.uint64]
    random: np.random.Generator

    @property
    def morgan(self) -> NDArray[np.float64]:
        """Place of each locus on the map."""
        return self.position / BASES_PER_MORGAN
