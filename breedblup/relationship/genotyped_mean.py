"""The J factor: a covariate for the difference between the bases of G and of the pedigree."""

from __future__ import annotations

import numpy as np
import polars as pl

from breedblup.pedigree import Pedigree
from breedblup.pedigree.twins import with_twins
from breedblup.relationship.ancestry import Ids, ancestry_of, distinct_positions
from breedblup.relationship.blocks import a22_inverse
from breedblup.relationship.inverse import refuse_other_pedigrees


def j_factor(pedigree: Pedigree, genotyped: Ids) -> pl.DataFrame:
    """J, -1 for genotyped animals and what is expected given these for others (Fernando et al. 2014; Hsu et al. 2017).

    J = A·₂A₂₂⁻¹(-1), so that A¹¹J₁ = -A¹²J₂ for animals without genotypes: where nobody genotyped descends from them, founders
    have 0 and others the mean of their parents. As a fixed covariate it estimates the mean of the genotyped animals in the base
    of the pedigree. It changes when more animals are genotyped.

    Parameters
    ----------
    genotyped
        Ids of the genotyped animals, each once.

    Returns
    -------
    DataFrame
        id, J: all animals of the pedigree in the user's order, then identical twins.

    Raises
    ------
    ModelError
        If it is a pedigree of sires.
    PedigreeError
        If an id is unknown or repeated, or none is given.
    ResourceError
        If the factor that A₂₂⁻¹ needs would not fit.
    """
    refuse_other_pedigrees(pedigree, "j_factor", of_sires=False)
    places = distinct_positions(pedigree, genotyped, "j_factor")
    weights = np.zeros((len(pedigree), 1))
    weights[places, 0] = a22_inverse(pedigree, genotyped).multiply_inverse(-np.ones(places.size))
    everyone = ancestry_of(pedigree, np.arange(len(pedigree), dtype=np.int32))
    j = everyone.operator.multiply(weights)[:, 0]
    j[places] = -1.0
    table = pl.DataFrame({"id": pedigree.ids, "J": j})
    return with_twins(table, pedigree.user_order, pedigree.twins)
