"""Γ of metafounders from genotypes of their descendants: base allele frequencies by generalised least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError, NotPositiveDefinite, counted, name_some
from breedblup.genotypes import Genotypes
from breedblup.genotypes.genotypes import refuse_other_than_genotypes
from breedblup.pedigree import Pedigree
from breedblup.relationship.allele_frequencies import around_observed
from breedblup.relationship.blocks import a22_inverse
from breedblup.relationship.groups import group_shares
from breedblup.solvers.dense import invert_dense


@dataclass(frozen=True)
class GammaEstimate:
    """Γ and the allele frequencies that it was made of.

    Attributes
    ----------
    names
        The g metafounders, in the order of the groups of the pedigree.
    gamma
        Γ, g × g: ``metafounder_inverse(pedigree, gamma)``.
    frequencies
        A column for each metafounder beside ``marker``: frequency of the counted allele in it.
    made
        How it was made, one statement an entry.
    """

    names: pl.Series
    gamma: NDArray[np.float64]
    frequencies: pl.DataFrame
    made: tuple[str, ...]

    def __post_init__(self) -> None:
        self.gamma.flags.writeable = False


def gamma_from_genotypes(genotypes: Genotypes, pedigree: Pedigree) -> GammaEstimate:
    """Γ from genotypes of animals that descend from the metafounders (Legarra et al. 2015; Garcia-Baccino et al. 2017).

    Base frequencies of each marker are p̂ = ½(Q'A₂₂⁻¹Q)⁻¹Q'A₂₂⁻¹m with Q what each genotyped animal owes to each metafounder,
    set to 0 or 1 beyond these; γ_ij = 8 times the mean over markers of (p_i - ½)(p_j - ½). It belongs to G of frequencies ½,
    and holds whichever of the two alleles are counted. A missing call counts as the mean of its marker.

    Parameters
    ----------
    pedigree
        With groups of unknown parents, which are the metafounders.

    Raises
    ------
    GenotypeError
        If it is given something else than genotypes.
    ModelError
        If the pedigree has no groups, some have no genotyped descendants, or an element of the diagonal is not below 2.
    PedigreeError
        If a genotyped animal is not in the pedigree.
    NotPositiveDefinite
        If metafounders cannot be told apart by their genotyped descendants, or Γ is not positive definite.
    """
    refuse_other_than_genotypes(genotypes, "gamma_from_genotypes")
    shares = group_shares(pedigree, genotypes.ids).drop("id")
    q = shares.to_numpy()
    without = [name for name, total in zip(shares.columns, q.sum(axis=0), strict=True) if not total > 0.0]
    if without:
        raise ModelError(
            f"gamma_from_genotypes: {name_some(without)} of {pedigree.name} have no genotyped descendants in "
            f"{genotypes.source} -> merge them with other groups, or give Γ"
        )
    called = genotypes.at_markers(~np.isnan(genotypes.frequencies))
    weighted = a22_inverse(pedigree, genotypes.ids).multiply_inverse(q)
    try:
        spread = invert_dense(q.T @ weighted)[0]
    except NotPositiveDefinite as failure:
        raise NotPositiveDefinite(
            f"gamma_from_genotypes: genotyped animals of {genotypes.source} do not tell {shares.columns[failure.equation]!r} "
            "from the metafounders before it -> merge groups, or genotype more descendants",
            failure.equation,
        ) from None
    above = around_observed(called).multiply_transposed(weighted) @ spread
    p = called.frequencies[:, None] + 0.5 * above
    bounded = np.clip(p, 0.0, 1.0)
    beyond = int(np.count_nonzero(bounded != p))
    gamma = 8.0 / bounded.shape[0] * (bounded - 0.5).T @ (bounded - 0.5)
    gamma = 0.5 * (gamma + gamma.T)
    _refuse_unfit(gamma, shares.columns)
    made = (
        f"Γ from {genotypes.source}: {counted(len(genotypes), 'animal')}, {counted(bounded.shape[0], 'marker')}",
        f"base frequencies by generalised least squares, {counted(beyond, 'estimate')} beyond 0 and 1 set to these",
    )
    columns = {name: np.ascontiguousarray(bounded[:, k]) for k, name in enumerate(shares.columns)}
    frequencies = called.markers.select("marker").with_columns(**{k: pl.Series(v) for k, v in columns.items()})
    return GammaEstimate(pl.Series("metafounder", shares.columns), gamma, frequencies, made)


def _refuse_unfit(gamma: NDArray[np.float64], names: list[str]) -> None:
    """Errors unless Γ is what `metafounder_inverse` takes."""
    wide = [name for name, own in zip(names, np.diag(gamma), strict=True) if own >= 2.0]
    if wide:
        raise ModelError(
            f"gamma_from_genotypes: every marker is fixed in {name_some(wide)}, which relationships to itself of 2 mean -> check "
            "the markers"
        )
    try:
        invert_dense(gamma)
    except NotPositiveDefinite as failure:
        raise NotPositiveDefinite(
            f"gamma_from_genotypes: Γ is not positive definite, noticed at {names[failure.equation]!r}: its frequencies are "
            "those of others, or one half -> merge groups, or use more markers",
            failure.equation,
        ) from None
