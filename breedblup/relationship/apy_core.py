"""Cores of APY: at random, as many as asked for or as eigenvalues of G explain a share of its variation."""

from __future__ import annotations

import numpy as np

from breedblup.errors import GenotypeError
from breedblup.genotypes import Genotypes
from breedblup.genotypes.components import components_explaining
from breedblup.genotypes.genotypes import refuse_other_than_genotypes
from breedblup.relationship.genomic_matrix import GenomicMatrix


def core_at_random(genotypes: Genotypes, size: int, *, seed: int) -> list[str]:
    """Ids of a core drawn at random without replacement, in the order of the genotypes.

    Raises
    ------
    GenotypeError
        If there are fewer animals than that, none is asked for, or it is given something else than genotypes.
    """
    refuse_other_than_genotypes(genotypes, "core_at_random")
    if not 1 <= size <= len(genotypes):
        raise GenotypeError(
            f"{genotypes.source}: a core of {size:,} of {len(genotypes):,} genotyped animals cannot be drawn -> ask for 1 or "
            "more, and not more than there are"
        )
    drawn = np.sort(np.random.default_rng(seed).choice(len(genotypes), size, replace=False))
    return genotypes.ids.gather(drawn).to_list()


def core_by_eigenvalues(matrix: GenomicMatrix, share: float = 0.98, *, seed: int) -> list[str]:
    """Ids of a random core of as many animals as the largest eigenvalues that explain a share of the variation of ZZ'.

    Pocrnic et al. (2016) found 98 % to give the reliability of G itself. Eigenvalues are those of a randomised decomposition.

    Parameters
    ----------
    matrix
        From `genomic_matrix`; blending counts for nothing here.
    share
        Between 0 and 1.
    """
    count = components_explaining(matrix.z, share, seed=seed)
    return core_at_random(matrix.z.genotypes, min(count, len(matrix)), seed=seed)
