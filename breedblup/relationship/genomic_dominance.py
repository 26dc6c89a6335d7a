"""Dominance relationships from genotypes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

from breedblup.errors import ModelError, NotPositiveDefinite, counted
from breedblup.genotypes import Genotypes
from breedblup.genotypes.genotypes import refuse_other_than_genotypes
from breedblup.relationship.allele_frequencies import Frequencies, frequencies_used
from breedblup.relationship.ancestry import refuse_beyond
from breedblup.relationship.dense import BYTES_AN_ENTRY, RIDGE, DenseOperator, singular
from breedblup.relationship.inverse import RelationshipInverse
from breedblup.relationship.unblended import left_out
from breedblup.solvers.dense import invert_in_place, mirror

MARKERS = 512
"""Markers that are expanded at once."""


def dominance_g_inverse(
    genotypes: Genotypes,
    *,
    frequencies: Frequencies = "observed",
    ridge: float = 0.0,
    memory: int | None = None,
) -> RelationshipInverse:
    """Inverse of the dominance relationships D = WW'/Σ(2pq)² among genotyped animals (Vitezica, Varona & Legarra 2013).

    W has -2q², 2pq and -2p² for two, one and no copies of the counted allele, in the parametrisation of breeding values and
    dominance deviations; 0 for a missing call, which is its mean.

    Parameters
    ----------
    frequencies
        As in `GenomicOptions`, but for ``base``.
    ridge
        Added to the diagonal.
    memory
        Bytes that D and D⁻¹ may use; None for 80 % of what is available.

    Returns
    -------
    RelationshipInverse
        Over ``genotypes.ids``; for a term beside the additive one, ``vm(animal, name)``.

    Raises
    ------
    NotPositiveDefinite
        If D is singular; a pair of animals with the same genotypes is named.
    ResourceError
        If 16 n² bytes would not fit.
    GenotypeError
        If no marker is left, frequencies do not fit the markers, or it is given something else than genotypes.
    ModelError
        If the ridge is negative, or frequencies of the base are asked for.
    """
    refuse_other_than_genotypes(genotypes, "dominance_g_inverse")
    n = len(genotypes)
    if not (np.isfinite(ridge) and ridge >= 0.0):
        raise ModelError(f"dominance_g_inverse: ridge is {ridge!r}; it is added to the diagonal and cannot be negative")
    what = f"dominance relationships of {counted(n, 'animal')} and their inverse"
    refuse_beyond(memory, BYTES_AN_ENTRY * n**2, what, "name fewer animals")
    p, said = frequencies_used(genotypes, frequencies, None)
    kept = p * (1.0 - p) > 0.0
    made = (said, *left_out(genotypes, kept))
    direct = _dominance_matrix(genotypes.at_markers(kept), p[kept])
    direct[np.diag_indices(n)] += ridge
    inverse = direct.copy()
    try:
        logdet = invert_in_place(inverse)
    except NotPositiveDefinite as failure:
        row = failure.equation
        raise singular(genotypes, "dominance G", row, f"noticed at {genotypes.ids[row]!r}", RIDGE) from None
    operator = DenseOperator(inverse, direct)
    divided = f"divided by Σ(2pq)² = {np.square(2.0 * p[kept] * (1.0 - p[kept])).sum():.10g}"
    of = f"from {genotypes.source}: {counted(n, 'animal')}, {counted(int(kept.sum()), 'marker')}"
    made = (f"dominance G by Vitezica et al. (2013), {divided}, {of}", *made)
    if ridge > 0.0:
        made = (*made, f"{ridge:g} added to the diagonal")
    return RelationshipInverse(genotypes.ids, operator, operator.diagonal(), logdet, made)


def _dominance_matrix(genotypes: Genotypes, p: NDArray[np.float64]) -> NDArray[np.float64]:
    """WW'/Σ(2pq)², one symmetric product for each block of markers."""
    q = 1.0 - p
    values = np.stack([-2.0 * p**2, 2.0 * p * q, -2.0 * q**2, np.zeros_like(p)])  # a missing call, -1, is the last
    values /= np.sqrt(np.square(2.0 * p * q).sum())
    n = len(genotypes)
    total = np.zeros((n, n))
    for first in range(0, p.size, MARKERS):
        some = np.arange(first, min(first + MARKERS, p.size))
        w = values[genotypes.at_markers(some).calls(), some]
        dsyrk(1.0, w.T, beta=1.0, c=total.T, trans=1, lower=1, overwrite_c=1)
    mirror(total)
    return total
