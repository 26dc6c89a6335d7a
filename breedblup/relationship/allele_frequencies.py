"""Allele frequencies that genotypes are centred by: observed, one half, given, or estimated for the base population."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, ModelError, counted, name_some
from breedblup.genotypes import CentredGenotypes, Genotypes
from breedblup.genotypes.genotypes import refuse_other_than_genotypes
from breedblup.relationship.blending import refuse_other_animals
from breedblup.relationship.inverse import RelationshipInverse

Frequencies: TypeAlias = Literal["observed", "half", "base"] | Sequence[float] | pl.Series | NDArray[np.float64]
"""Which frequencies of the counted alleles: by name, or one for each marker."""


LEAST_VARIATION = 1e-6
"""Of p(1 - p) by a frequency that is given, where the rare allele is there: products are divided by it."""


class FrequenciesUsed(NamedTuple):
    """Frequency of the counted allele at each marker (NaN without a call), and a statement of where it is from."""

    values: NDArray[np.float64]
    said: str


def frequencies_used(genotypes: Genotypes, choice: Frequencies, a22: RelationshipInverse | None) -> FrequenciesUsed:
    """The frequencies that a choice means for these genotypes.

    Raises
    ------
    ModelError
        If the base population's are asked for without A₂₂.
    GenotypeError
        If given ones do not fit the markers, are not between 0 and 1, or so near these that p(1 - p) is below 1e-6,
        though the rare allele is there.
    """
    if not isinstance(choice, str):
        return _given(genotypes, choice)
    observed = genotypes.frequencies
    if choice == "observed":
        return FrequenciesUsed(observed, f"allele frequencies observed among {counted(len(genotypes), 'animal')}")
    if choice == "half":
        return FrequenciesUsed(np.where(np.isnan(observed), np.nan, 0.5), "allele frequencies of 0.5")
    if a22 is None:
        raise ModelError(
            "frequencies are 'base', which are estimated through the pedigree -> give the pedigree, or choose 'observed', "
            "'half' or numbers"
        )
    return _within_bounds(genotypes, base_frequencies(genotypes, a22))


def base_frequencies(genotypes: Genotypes, a22: RelationshipInverse) -> NDArray[np.float64]:
    """Frequencies among the founders by generalised least squares, p̂ = 1'A₂₂⁻¹M / (2·1'A₂₂⁻¹1) (Gengler et al. 2007).

    One product with A₂₂⁻¹ and one pass over the genotypes. A missing call counts as the mean of its marker.

    Parameters
    ----------
    a22
        Of the genotyped animals, in their order: ``a22_inverse(pedigree, genotypes.ids)``.

    Returns
    -------
    array
        One for each marker; estimates can lie outside of 0 to 1. NaN where no animal has a call.

    Raises
    ------
    GenotypeError
        If it is given something else than genotypes.
    ModelError
        If A₂₂ is of other animals.
    """
    refuse_other_than_genotypes(genotypes, "base_frequencies")
    refuse_other_animals(genotypes, a22)
    weights = a22.multiply_inverse(np.ones(len(genotypes)))
    observed = genotypes.frequencies
    above = around_observed(genotypes).multiply_transposed(weights)
    return np.asarray(observed + above / (2.0 * weights.sum()))


def around_observed(genotypes: Genotypes) -> CentredGenotypes:
    """Calls less twice their observed frequency, in copies of the allele."""
    return CentredGenotypes(genotypes, 2.0 * np.nan_to_num(genotypes.frequencies), np.ones(genotypes.shape[1]))


def _within_bounds(genotypes: Genotypes, estimated: NDArray[np.float64]) -> FrequenciesUsed:
    """Estimates at least one copy away from 0 and 1, where the marker is not monomorphic."""
    observed = genotypes.frequencies
    one_copy = 0.5 / len(genotypes)
    bounded = np.clip(estimated, one_copy, 1.0 - one_copy)
    said = "allele frequencies of the base population, estimated by generalised least squares"
    polymorphic = (observed > 0.0) & (observed < 1.0)
    beyond = int(np.count_nonzero(polymorphic & (bounded != estimated)))
    if beyond:
        said += f"; {counted(beyond, 'estimate')} beyond the range set to one copy among the genotyped animals"
    return FrequenciesUsed(np.where(polymorphic, bounded, observed), said)


def _given(genotypes: Genotypes, choice: Sequence[float] | pl.Series | NDArray[np.float64]) -> FrequenciesUsed:
    """Frequencies of the user's, NaN at markers without a call."""
    values = np.array(choice, dtype=np.float64)
    if values.shape != (genotypes.shape[1],):
        raise GenotypeError(
            f"{genotypes.source}: {values.size:,} allele frequencies are given for {genotypes.shape[1]:,} markers -> give one "
            "for each, of its counted allele, in their order"
        )
    wrong = ~((values >= 0.0) & (values <= 1.0))
    if wrong.any():
        names = genotypes.markers["marker"].filter(pl.Series(wrong)).to_list()
        raise GenotypeError(
            f"{genotypes.source}: allele frequencies given for {name_some(names)} are not between 0 and 1 -> correct them"
        )
    observed, rare = genotypes.frequencies, np.minimum(values, 1.0 - values)
    fixed = rare == 0.0
    seen = np.where(values < 0.5, observed, 1.0 - observed)
    extreme = ~fixed & (rare * (1.0 - rare) < LEAST_VARIATION) & (seen > rare)
    if extreme.any():
        names = genotypes.markers["marker"].filter(pl.Series(extreme)).to_list()
        raise GenotypeError(
            f"{genotypes.source}: allele frequencies given for {name_some(names)} are nearly 0 or 1 "
            f"(p(1-p) below {LEAST_VARIATION:g}), but the rare allele is there -> correct them, or give 0 or 1 to leave "
            "such markers out"
        )
    said = "allele frequencies given"
    lost = genotypes.markers["marker"].filter(pl.Series(fixed & (observed > 0.0) & (observed < 1.0))).to_list()
    if lost:
        said += (
            f"; {counted(len(lost), 'marker')} with both alleles left out because 0 or 1 is given: {name_some(lost)} "
            "(are the frequencies of the other allele?)"
        )
    return FrequenciesUsed(np.where(np.isnan(observed), np.nan, values), said)
