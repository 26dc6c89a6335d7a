"""Checks of markers: call rate, one allele only, a rare allele, Hardy-Weinberg proportions, chromosomes that are no autosomes."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.genotypes.genotypes import Genotypes
from breedblup.genotypes.quality.sex import note_sex_chromosome
from breedblup.genotypes.quality.workspace import Workspace
from breedblup.kernels.homozygosity import exact_probabilities


def check_marker_calls(work: Workspace) -> None:
    """Exclude markers with too few calls among the animals that are kept."""
    numbers = np.flatnonzero(work.markers)
    counts = work.kept().counts
    rate = counts[:, :3].sum(axis=1) / counts.sum(axis=1)
    threshold = work.quality.marker_call_rate
    low = (rate < threshold) | (rate == 0.0)
    work.apply(
        "markers",
        numbers[low],
        "call rate of the marker",
        rate[low],
        threshold,
        work.quality.severities.marker_call_rate,
    )
    work.end_step("call rate of markers")


def check_frequencies(work: Workspace) -> None:
    """Check alleles of the markers that are kept, among the animals that are kept."""
    quality, severities = work.quality, work.quality.severities
    numbers = np.flatnonzero(work.markers)
    kept = work.kept()
    minor = minor_frequencies(kept)
    single = ~(minor > 0.0)
    work.apply("markers", numbers[single], "monomorphic", minor[single], 0.0, severities.monomorphic)
    rare = (minor > 0.0) & (minor < quality.minor_allele_frequency)
    work.apply(
        "markers", numbers[rare], "minor allele frequency", minor[rare], quality.minor_allele_frequency,
        severities.minor_allele_frequency,
    )  # fmt: skip
    work.end_step("allele frequencies")
    tested = np.flatnonzero(~single & ~rare & work.autosomal[numbers])
    if work.animals.all():
        work.exact_tests = hardy_weinberg(work.genotypes.counts)
        probability, deviation = (of[numbers[tested]] for of in work.exact_tests)
    else:
        probability, deviation = hardy_weinberg(kept.counts[tested])
    fails = (probability < quality.hardy_weinberg) & (np.abs(deviation) > quality.heterozygosity_deviation)
    work.apply(
        "markers", numbers[tested[fails]], "Hardy-Weinberg proportions", probability[fails], quality.hardy_weinberg,
        severities.hardy_weinberg,
    )  # fmt: skip
    note_sex_chromosome(work, numbers[tested], fails, "out of Hardy-Weinberg proportions")
    work.end_step("Hardy-Weinberg proportions")


def exclude_not_autosomal(work: Workspace) -> None:
    """Leave out, at the end, markers of which animals do not have two copies each."""
    numbers = np.flatnonzero(work.markers & ~work.autosomal)
    if numbers.size:
        work.apply(
            "markers", numbers, "not on an autosome", np.full(numbers.size, np.nan), np.nan,
            work.quality.severities.not_autosomal,
        )  # fmt: skip
        work.end_step("chromosomes that are not autosomes")


def minor_frequencies(genotypes: Genotypes) -> NDArray[np.float64]:
    """Frequency of the rarer allele; NaN where there is no call."""
    return np.asarray(np.minimum(genotypes.frequencies, 1.0 - genotypes.frequencies))


def hardy_weinberg(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probability by the exact test, and observed share of heterozygotes less 2pq, from counts of 0, 1 and 2 copies."""
    whole = np.ascontiguousarray(counts[:, :3], dtype=np.int64)
    probability = np.empty(len(whole))
    exact_probabilities(whole, probability)
    called = np.maximum(whole.sum(axis=1), 1)
    p = (whole[:, 1] + 2 * whole[:, 2]) / (2 * called)
    return probability, whole[:, 1] / called - 2 * p * (1 - p)


def table_of_markers(work: Workspace) -> pl.DataFrame:
    """Call rate, frequencies and Hardy-Weinberg of every marker, as read."""
    genotypes = work.genotypes
    counts = genotypes.counts
    called = counts[:, :3].sum(axis=1)
    probability, deviation = hardy_weinberg(counts) if work.exact_tests is None else work.exact_tests
    untested = ~work.autosomal | (called == 0)
    with np.errstate(invalid="ignore"):
        share = counts[:, 1] / np.where(called > 0, called, np.nan)
    frame = pl.DataFrame(
        {
            "marker": genotypes.markers["marker"],
            "chromosome": genotypes.markers["chromosome"],
            "call_rate": called / counts.sum(axis=1),
            "frequency": genotypes.frequencies,
            "minor_allele_frequency": minor_frequencies(genotypes),
            "heterozygosity": share,
            "heterozygosity_deviation": np.where(untested, np.nan, deviation),
            "hardy_weinberg": np.where(untested, np.nan, probability),
        }
    )
    return frame.fill_nan(None)
