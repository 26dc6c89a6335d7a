"""The gametes that founders are made of: an ancestral population with recombination and drift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import ModelError
from breedblup.kernels.gene_dropping import drop_gametes
from breedblup.simulation.genome import BASES_PER_MORGAN, Chromosome, GenomeOptions
from breedblup.simulation.meioses import draw_meioses

_MOST_CANDIDATES = 64
"""For each locus wanted, at most; so many are tried before too few of them vary."""


def draw_chromosomes(options: GenomeOptions) -> list[Chromosome]:
    """Loci, their effects (genic variance 1 over all) and the ancestors' haplotypes of every chromosome."""
    shares = np.concatenate(([0.0], np.cumsum(options.lengths))) / options.lengths.sum()
    markers = np.diff(np.round(shares * options.markers).astype(np.int64))
    qtl = np.diff(np.round(shares * (options.qtl or 0)).astype(np.int64))
    seeds = np.random.SeedSequence(options.seed).spawn(options.chromosomes)
    drawn = [
        _draw_chromosome(options, k, int(markers[k]), int(qtl[k]), np.random.default_rng(seeds[k]))
        for k in range(options.chromosomes)
    ]
    variance = sum(float(np.sum(2 * c.frequency * (1 - c.frequency) * c.effect**2)) for c in drawn)
    return [replace(c, effect=c.effect / np.sqrt(variance)) for c in drawn]


def _draw_chromosome(
    options: GenomeOptions, number: int, markers: int, qtl: int, random: np.random.Generator
) -> Chromosome:
    """One of them, effects not yet scaled; as many candidates as it takes to find loci that vary enough."""
    length = float(options.lengths[number])
    beside = 0 if options.qtl_among_markers else qtl
    candidates = 2 * (markers + beside)
    while True:
        position = _draw_positions(random, length, candidates)
        alleles = _ancestral_alleles(options, random, position / BASES_PER_MORGAN, length)
        frequency = alleles.mean(axis=0)
        rarer = np.minimum(frequency, 1 - frequency)
        common = np.flatnonzero((rarer >= options.lowest_frequency) & (rarer > 0))
        if common.size >= markers and np.count_nonzero(rarer) >= markers + beside:
            break
        candidates *= 2
        if candidates > _MOST_CANDIDATES * (markers + beside):
            raise ModelError(
                f"simulated genome: only {common.size} of {position.size} loci of chromosome {number + 1} still vary enough "
                f"after {options.ancestral_generations} generations, {markers} markers and {beside} other loci are wanted; "
                "ask for a larger ancestral_size, fewer ancestral_generations or a smaller lowest_frequency"
            )
    is_marker = np.zeros(position.size, dtype=np.bool_)
    is_marker[random.choice(common, markers, replace=False)] = True
    effect = _draw_effects(options, random, is_marker, np.flatnonzero(~is_marker & (rarer > 0)), qtl)
    kept = is_marker | (effect != 0)
    return Chromosome(
        str(number + 1),
        length,
        position[kept],
        is_marker[kept],
        effect[kept],
        frequency[kept],
        pack_alleles(alleles[:, kept]),
        random,
    )


def _draw_positions(random: np.random.Generator, length: float, loci: int) -> NDArray[np.int64]:
    """Distinct places in base pairs, in order, from 1."""
    bases = max(1, round(length * BASES_PER_MORGAN))
    return np.unique(random.integers(1, bases, loci, endpoint=True))


def _draw_effects(
    options: GenomeOptions,
    random: np.random.Generator,
    is_marker: NDArray[np.bool_],
    others: NDArray[np.int64],
    qtl: int,
) -> NDArray[np.float64]:
    """Normal effects of the chosen loci, 0 elsewhere."""
    chosen = np.flatnonzero(is_marker)
    if options.qtl is not None:
        chosen = random.choice(chosen if options.qtl_among_markers else others, qtl, replace=False)
    effect = np.zeros(is_marker.size)
    effect[chosen] = random.standard_normal(chosen.size)
    return effect


def _ancestral_alleles(
    options: GenomeOptions, random: np.random.Generator, morgan: NDArray[np.float64], length: float
) -> NDArray[np.bool_]:
    """Haplotypes × loci after the ancestral generations."""
    gametes = 2 * options.ancestral_size
    frequency = random.beta(*options.frequency_shape, size=morgan.size)
    founders = pack_alleles(random.random((gametes, morgan.size)) < frequency)
    both = np.concatenate((founders, np.zeros_like(founders)))
    old, new = 0, gametes
    for _ in range(options.ancestral_generations):
        meioses = draw_meioses(random, morgan, length, gametes)
        parents = random.integers(options.ancestral_size, size=gametes, dtype=np.int32)
        start = (old + 2 * parents + meioses.strand).astype(np.int32)
        drop_gametes(start, meioses.pointer, meioses.crossovers, new, both)
        old, new = new, old
    return unpack_alleles(both[old : old + gametes], morgan.size)


def pack_alleles(alleles: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Haplotypes × loci to words of 64 loci, the first lowest; one word at least."""
    bits = np.zeros((alleles.shape[0], 64 * max(1, -(-alleles.shape[1] // 64))), dtype=np.bool_)
    bits[:, : alleles.shape[1]] = alleles
    return np.packbits(bits, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def unpack_alleles(haplotypes: NDArray[np.uint64], loci: int) -> NDArray[np.bool_]:
    """Words to haplotypes × loci."""
    bytes_ = np.ascontiguousarray(haplotypes.astype("<u8")).view(np.uint8)
    return np.unpackbits(bytes_, axis=1, count=loci, bitorder="little").view(np.bool_)
