"""Genotypes and true breeding values: haplotypes of founders handed down a pedigree on a map, chromosome by chromosome."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from breedblup.errors import ModelError
from breedblup.genotypes import Genotypes
from breedblup.kernels.gene_dropping import add_values, drop_gametes, pack_haplotypes
from breedblup.pedigree import Pedigree
from breedblup.relationship.ancestry import refuse_beyond
from breedblup.simulation.founders import draw_chromosomes
from breedblup.simulation.genome import Chromosome, GenomeOptions
from breedblup.simulation.meioses import draw_meioses
from breedblup.simulation.pedigrees import SimulatedPedigree, text_ids

ALLELES = (("A", "C"), ("A", "G"), ("C", "A"), ("G", "A"), ("C", "T"), ("T", "C"), ("G", "T"), ("T", "G"))
"""Pairs that another strand does not turn into themselves, as on most chips."""

_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[None, :], axis=0, bitorder="little").astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedGenome:
    """What became of the founders' genomes in a pedigree.

    Attributes
    ----------
    ids
        Text ids of the n animals of the pedigree.
    genotypes
        Calls of the genotyped animals at the markers, none missing.
    breeding_value
        True ones of all n animals, deviations from the mean of the base, in units of the standard deviation that
        unrelated animals of the base have (genic: Σ 2pq α² = 1).
    loci
        Markers and loci with effects: name, chromosome, position (base pairs), morgan, allele1, allele2, frequency of
        allele1 in the base, is_marker, effect of a copy of allele1 (null for loci without).
    options
        What was asked for.
    """

    ids: pl.Series
    genotypes: Genotypes
    breeding_value: NDArray[np.float64]
    loci: pl.DataFrame
    options: GenomeOptions

    def __post_init__(self) -> None:
        """Make the array read-only."""
        self.breeding_value.flags.writeable = False

    @property
    def qtl(self) -> pl.DataFrame:
        """Rows of ``loci`` that have an effect."""
        return self.loci.filter(pl.col("effect").is_not_null())

    @property
    def base_frequencies(self) -> NDArray[np.float64]:
        """Frequency of the counted allele of each marker in the base, in the order of ``genotypes``."""
        return self.loci.filter("is_marker")["frequency"].to_numpy()


def simulate_genotypes(
    pedigree: SimulatedPedigree | Pedigree, options: GenomeOptions, genotyped: ArrayLike | None = None
) -> SimulatedGenome:
    """Drop the genes of founders through a pedigree.

    Every unknown parent is an animal of the last ancestral generation, drawn at random, whatever its group. Crossovers have no
    interference (Haldane 1919). Memory is that of the haplotypes of one chromosome, two bits an animal and locus, and of the
    packed genotypes.

    Parameters
    ----------
    pedigree
        Simulated, or checked.
    options
        Chromosomes, markers, loci with effects, founders.
    genotyped
        Rows of the pedigree whose genotypes are wanted, in the order wanted, or a mask; all when left out.

    Returns
    -------
    SimulatedGenome
        Genotypes, true breeding values, loci; the same bits for the same seed, however many threads.

    Raises
    ------
    ModelError
        If a row is not in the pedigree or named twice, or the pedigree has maternal grandsires in the place of dams; if too few
        loci still vary after the ancestral generations.
    ResourceError
        If memory would not suffice.
    """
    animals = pedigree.sire.size
    if isinstance(pedigree, Pedigree) and pedigree.of_sires:
        raise ModelError(f"{pedigree.name}: genes cannot be dropped through maternal grandsires; give sires and dams")
    ids = pedigree.ids if isinstance(pedigree, Pedigree) else text_ids(np.arange(animals, dtype=np.int32), animals)
    chosen = _rows(genotyped, animals)
    _refuse_beyond_memory(options, animals, chosen.size)
    chromosomes = draw_chromosomes(options)
    packed = np.empty((options.markers, -(-chosen.size // 4)), dtype=np.uint8)
    values = np.zeros(animals)
    ancestors = 2 * options.ancestral_size
    store = np.empty((ancestors + 2 * animals) * max(c.pool.shape[1] for c in chromosomes), dtype=np.uint64)
    done = 0
    for chromosome in chromosomes:
        words = chromosome.pool.shape[1]
        haplotypes = store[: (ancestors + 2 * animals) * words].reshape(-1, words)
        haplotypes[:ancestors] = chromosome.pool
        _drop(chromosome, pedigree.sire, pedigree.dam, haplotypes)
        add_values(haplotypes, ancestors, *_sums_by_byte(chromosome.effect), values)
        values -= 2 * float(chromosome.effect @ chromosome.frequency)
        markers = np.flatnonzero(chromosome.is_marker).astype(np.int32)
        pack_haplotypes(haplotypes, ancestors, chosen, markers, packed[done : done + markers.size])
        done += markers.size
    loci = _table(chromosomes, options.seed)
    markers_table = loci.filter("is_marker").rename({"name": "marker"})
    markers_table = markers_table.select("marker", "chromosome", "position", "allele1", "allele2")
    genotypes = Genotypes.from_store(ids.gather(chosen), markers_table, packed, source="simulated genotypes")
    return SimulatedGenome(ids, genotypes, values, loci, options)


def _rows(genotyped: ArrayLike | None, animals: int) -> NDArray[np.int32]:
    """The rows that are meant, checked."""
    if genotyped is None:
        return np.arange(animals, dtype=np.int32)
    rows = np.asarray(genotyped)
    if rows.dtype == np.bool_:
        if rows.size != animals:
            raise ModelError(
                f"simulated genotypes: a mask of {rows.size} rows for a pedigree of {animals}; give one value for each animal"
            )
        return np.flatnonzero(rows).astype(np.int32)
    if rows.size and (rows.min() < 0 or rows.max() >= animals):
        raise ModelError(
            f"simulated genotypes: rows {rows.min()} to {rows.max()} of a pedigree of {animals}; give rows from 0"
        )
    if np.unique(rows).size < rows.size:
        raise ModelError("simulated genotypes: a row is named twice; name each animal once")
    return rows.astype(np.int32)


def _refuse_beyond_memory(options: GenomeOptions, animals: int, genotyped: int) -> None:
    """Packed genotypes, the haplotypes of one chromosome, and what its meioses take."""
    longest = options.lengths.max() / options.lengths.sum() * (options.markers + (options.qtl or 0))
    haplotypes = 2 * (animals + options.ancestral_size) * (longest / 8 + 8)
    meioses = 2 * animals * (28 + 12 * options.lengths.max())
    refuse_beyond(
        None,
        int(options.markers * -(-genotyped // 4) + haplotypes + meioses),
        f"simulated genotypes: dropping the genes of {animals:,} animals and keeping those of {genotyped:,}",
        "keep fewer genotyped animals, or ask for fewer markers or more chromosomes",
    )


def _drop(
    chromosome: Chromosome,
    sire: NDArray[np.int32],
    dam: NDArray[np.int32],
    haplotypes: NDArray[np.uint64],
) -> None:
    """Haplotypes of all animals below those of the ancestors, the paternal one first."""
    ancestors = chromosome.pool.shape[0]
    meioses = draw_meioses(chromosome.random, chromosome.morgan, chromosome.length_morgan, 2 * sire.size)
    parent = np.stack((sire, dam), axis=1).ravel()
    drawn = chromosome.random.integers(ancestors // 2, size=parent.size, dtype=np.int32)
    start = np.where(parent < 0, 2 * drawn, ancestors + 2 * parent) + meioses.strand
    drop_gametes(start.astype(np.int32), meioses.pointer, meioses.crossovers, ancestors, haplotypes)


def _sums_by_byte(effect: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Bytes of a haplotype in which a locus has an effect, and the sum of effects for each value of such a byte."""
    eights = np.zeros((-(-effect.size // 8), 8))
    eights.ravel()[: effect.size] = effect
    places = np.flatnonzero(eights.any(axis=1)).astype(np.int32)
    return places, eights[places] @ _BITS


def _table(chromosomes: list[Chromosome], seed: int) -> pl.DataFrame:
    """All loci, with names and alleles."""
    frame = pl.concat(
        pl.DataFrame(
            {
                "chromosome": pl.repeat(c.name, c.position.size, eager=True),
                "position": c.position,
                "morgan": c.morgan,
                "frequency": c.frequency,
                "is_marker": c.is_marker,
                "effect": pl.Series(c.effect).set(pl.Series(c.effect == 0), None),
            }
        )
        for c in chromosomes
    )
    pairs = np.array(ALLELES)[np.random.default_rng(seed).integers(len(ALLELES), size=frame.height)]
    kind = pl.when("is_marker").then(pl.lit("M")).otherwise(pl.lit("Q"))
    return frame.select(
        (kind + pl.col("chromosome") + "_" + pl.col("position").cast(pl.String)).alias("name"),
        "chromosome",
        "position",
        "morgan",
        pl.Series("allele1", pairs[:, 0]),
        pl.Series("allele2", pairs[:, 1]),
        "frequency",
        "is_marker",
        "effect",
    )
