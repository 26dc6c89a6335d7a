"""Predictions for animals that were genotyped since: their markers times the effects, or all that a full run would give them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.adjustment.markers.effects import (
    MarkerEffects,
    genomic_term,
    marker_effects,
    refuse_other_than_effects,
    refuse_other_than_g,
)
from breedblup.errors import GenotypeError, ModelError, PedigreeError, counted, name_some
from breedblup.evaluation import Evaluation
from breedblup.frames import positions
from breedblup.genotypes import CentredGenotypes, Genotypes
from breedblup.genotypes.genotypes import refuse_other_than_genotypes
from breedblup.genotypes.matching import (
    Flips,
    MarkerMatch,
    Palindromes,
    UnknownAlleles,
    match_markers,
    refuse_other_choices,
)
from breedblup.genotypes.quality.animals import animal_counts
from breedblup.pedigree import Pedigree
from breedblup.relationship import RelationshipInverse, a_inverse
from breedblup.relationship.blending import IdentityBlend
from breedblup.relationship.genomic_matrix import GenomicMatrix

_Array = NDArray[np.float64]

MissingMarkers: TypeAlias = Literal["error", "mean"]

SAME_PEDIGREE = 1e-8
"""Difference of products with A₂₂, relative to the largest, that is rounding."""


@dataclass(frozen=True)
class _Matched:
    """New genotypes at the markers of the effects that they have; signs are -1 where they count the other allele."""

    genotypes: Genotypes
    chosen: NDArray[np.intp]
    centre: _Array
    sign: _Array

    def centred(self, scale: _Array) -> CentredGenotypes:
        """Z of the new animals: deviations from the centre of the effects, times a scale of each marker."""
        return CentredGenotypes(self.genotypes, self.centre, self.sign * scale)

    @property
    def per_copy(self) -> CentredGenotypes:
        """The same per copy of the allele that the effects count."""
        return self.centred(np.ones(self.chosen.size))


def predict_genomic(
    effects: MarkerEffects,
    genotypes: Genotypes,
    *,
    flips: Flips = "repair",
    palindromes: Palindromes = "refuse",
    unknown_alleles: UnknownAlleles = "refuse",
    missing_markers: MissingMarkers = "error",
) -> pl.DataFrame:
    """Direct genomic values: what the markers of new animals say, by effects that were stored.

    Parameters
    ----------
    effects
        From `marker_effects`, `marker_inference` or a file.
    genotypes
        Of the new animals; markers are found by name, in any order, and more of them do no harm.
    flips, palindromes, unknown_alleles
        Markers that count the other allele, are read from the other strand, or of which alleles are not known: as
        `match_markers` takes them, which also tells which they are.
    missing_markers
        Markers of the effects that the genotypes lack: ``error``, or ``mean``: every animal has the mean of the evaluation.

    Returns
    -------
    DataFrame
        A row for each animal and each trait or effect: id, trait, effect, gebv, reliability, markers_used, calls_missing. Missing
        calls are taken at the mean, and counted. ``reliability`` is null where effects have no factor; otherwise it is that of
        a prediction of the whole breeding value for an animal, not inbred, of which nothing is known but these markers.

    Raises
    ------
    GenotypeError
        If markers are missing, alleles do not agree or are not known, or no animal has a genotype.
    ModelError
        If an option is not one of its values, or effects are none.
    """
    refuse_other_than_effects(effects, "predict_genomic")
    refuse_other_than_genotypes(genotypes, "predict_genomic")
    match = match_markers(
        genotypes, effects.markers, flips=flips, palindromes=palindromes, unknown_alleles=unknown_alleles
    )
    return predict_matched(effects, genotypes, match, missing_markers)


def predict_matched(
    effects: MarkerEffects, genotypes: Genotypes, match: MarkerMatch, missing_markers: MissingMarkers = "error"
) -> pl.DataFrame:
    """What `predict_genomic` gives, from genotypes whose markers were found among those of the effects.

    Raises
    ------
    GenotypeError, ModelError
        As `predict_genomic` does.
    """
    matched = _oriented(effects, genotypes, match, missing_markers)
    direct = matched.per_copy.multiply(np.ascontiguousarray(effects.estimates[matched.chosen]))
    values = direct + effects.intercept - effects.base
    return _table(effects, matched, values, _reliabilities(effects, matched))


def predict_from_evaluation(
    evaluation: Evaluation,
    genotypes: Genotypes,
    pedigree: Pedigree | RelationshipInverse | None = None,
    *,
    term: str | None = None,
    flips: Flips = "repair",
    palindromes: Palindromes = "refuse",
    unknown_alleles: UnknownAlleles = "refuse",
    missing_markers: MissingMarkers = "error",
) -> pl.DataFrame:
    """Breeding values that a full run with new genotyped animals added would give them, without running it.

    Nothing is solved: û_new = G_new,2 G⁻¹û₂, markers and residual polygenic part together, is the expectation of new animals
    without records given the others. It is that of a full run that keeps frequencies and tuning, for GBLUP, and for single-step
    (τ = ω = 1) where the known parents of new animals are genotyped: a genotype tells something of parents that have none.

    Parameters
    ----------
    evaluation
        With a term that rests on genotypes.
    genotypes
        Of the new animals. Those of the evaluation get back what it gave them.
    pedigree
        Of the new animals and all that were genotyped, or a relationship inverse made of it; needed where G was blended with A₂₂.
    term, flips, palindromes, unknown_alleles, missing_markers
        As `marker_effects` and `predict_genomic` take them.

    Returns
    -------
    DataFrame
        As that of `predict_genomic`, with ``polygenic``, the part of ``gebv`` that is not of the markers.

    Raises
    ------
    ModelError
        If a pedigree is needed and not given, or K among the genotyped animals is not G (APY, τ or ω other than 1, groups of
        unknown parents).
    PedigreeError
        If it lacks some of the animals.
    GenotypeError
        As `predict_genomic` does.
    """
    refuse_other_than_genotypes(genotypes, "predict_from_evaluation")
    effects = marker_effects(evaluation, term)
    found_term, part = genomic_term((one.term for one in evaluation.effects.values()), term)
    why = "predictions of new animals are those of a full run where these animals are related by G"
    refuse_other_than_g(found_term, part, why, "explicit, components or markers, τ = ω = 1, or take predict_genomic")
    found = predict_genomic(
        effects, genotypes, flips=flips, palindromes=palindromes, unknown_alleles=unknown_alleles,
        missing_markers=missing_markers,
    )  # fmt: skip
    polygenic = _polygenic(part.matrix, evaluation.duals[effects.term], genotypes.ids, pedigree)
    column = pl.Series("polygenic", polygenic.T.ravel())
    return found.with_columns(pl.col("gebv") + column, column, reliability=pl.lit(None, dtype=pl.Float64))


def _oriented(
    effects: MarkerEffects, genotypes: Genotypes, match: MarkerMatch, missing_markers: MissingMarkers
) -> _Matched:
    """The markers of the effects that new genotypes have, oriented as the effects are."""
    refuse_other_choices(missing_markers=(missing_markers, ("error", "mean")))
    if not len(genotypes):
        raise GenotypeError(f"{genotypes.source}: there are no animals to predict -> give their genotypes")
    if match.lacking and missing_markers == "error":
        raise GenotypeError(
            f"{genotypes.source}: {counted(len(match.lacking), 'marker')} of the {len(effects):,} that have effects are lacking: "
            f'{name_some(match.lacking)} -> impute them, or take missing_markers="mean", which lowers the accuracy'
        )
    chosen = np.flatnonzero(match.position >= 0)
    swapped, centre = match.swapped[chosen], effects.centre[chosen]
    return _Matched(
        genotypes.at_markers(match.position[chosen]),
        chosen,
        np.where(swapped, 2.0 - centre, centre),
        np.where(swapped, -1.0, 1.0),
    )


def _reliabilities(effects: MarkerEffects, matched: _Matched) -> _Array | None:
    """Share of an animal's variance that the prediction has (n × c); markers that are lacking have their expected variance."""
    if effects.factor is None:
        return None
    lacking = np.delete(np.arange(len(effects)), matched.chosen)
    p, centre = effects.frequency[lacking], effects.centre[lacking]
    expected = float((effects.scale[lacking] ** 2) @ (2.0 * p * (1.0 - p) + (2.0 * p - centre) ** 2))
    lengths = matched.centred(effects.scale[matched.chosen]).squared_lengths()
    of_animal = lengths + expected + effects.constant + effects.unexplained
    z, found = matched.per_copy, np.empty((lengths.size, len(effects.coordinates)))
    for k, variance in enumerate(effects.variances):
        predicted = effects.factor.predicted_variance(z, k, matched.chosen)
        with np.errstate(invalid="ignore", divide="ignore"):
            found[:, k] = np.where(variance > 0.0, predicted / (of_animal * variance), np.nan)
    return found


def _table(effects: MarkerEffects, matched: _Matched, values: _Array, reliabilities: _Array | None) -> pl.DataFrame:
    """Animals within traits or effects."""
    missing, tables = matched.genotypes.shape[1] - animal_counts(matched.genotypes)[:, 0], []
    for k, (trait, effect) in enumerate(effects.coordinates):
        known = None if reliabilities is None else np.ascontiguousarray(reliabilities[:, k])
        columns = {
            "id": matched.genotypes.ids, "trait": trait, "effect": effect, "gebv": np.ascontiguousarray(values[:, k]),
            "reliability": known, "markers_used": matched.chosen.size, "calls_missing": missing,
        }  # fmt: skip
        table = pl.DataFrame(columns, schema_overrides={"reliability": pl.Float64, "markers_used": pl.Int64})
        tables.append(table.with_columns(pl.col("reliability").fill_nan(None)))
    return pl.concat(tables)


def _polygenic(
    matrix: GenomicMatrix, dual: _Array, ids: pl.Series, pedigree: Pedigree | RelationshipInverse | None
) -> _Array:
    """What G has beside markers and constant, times the duals: βA_new,2 w, and d∘w and βw where the animals are those of G."""
    own = positions(ids, matrix.ids)
    known = np.flatnonzero(own >= 0)
    total = np.zeros((len(ids), dual.shape[1]))
    if matrix.added is not None:
        total[known] += matrix.added[own[known], None] * dual[own[known]]
    if matrix.blended is None or matrix.share == 0.0:
        return total
    if isinstance(matrix.blended, IdentityBlend):
        total[known] += matrix.share * dual[own[known]]
        return total
    if pedigree is None:
        raise ModelError(
            f"G was blended with {matrix.share:g} of A₂₂, and the residual polygenic part of new animals comes from their "
            "parents -> give the pedigree, or take predict_genomic"
        )
    relationship = a_inverse(pedigree) if isinstance(pedigree, Pedigree) else pedigree
    among, rows = relationship.positions_of(matrix.ids), relationship.positions_of(ids)
    lacking = [*matrix.ids.filter(pl.Series(among < 0)), *ids.filter(pl.Series(rows < 0))]
    if lacking:
        raise PedigreeError(
            f"the pedigree lacks {name_some(lacking)}, genotyped -> give one with all genotyped animals, old and new"
        )
    spread = np.zeros((len(relationship), dual.shape[1]))
    np.add.at(spread, among, dual)
    related = relationship.multiply(spread)
    wanted = matrix.blended.multiply(np.ascontiguousarray(dual))
    if not np.allclose(related[among], wanted, rtol=0.0, atol=SAME_PEDIGREE * max(float(np.abs(wanted).max()), 1e-300)):
        raise ModelError(
            "relationships among the genotyped animals are not those that G was blended with -> give the pedigree of the "
            "evaluation with the new animals added: the same inbreeding, groups and Γ, and A⁻¹, not H⁻¹"
        )
    return total + matrix.share * related[rows]
