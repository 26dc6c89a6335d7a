"""The numerator relationship matrix A: its inverse from the pedigree, never A itself.

A = T D T'. All of A⁻¹, products and diagonal come from the parents and the Mendelian sampling variances D
(`breedblup.kernels.numerator`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import ModelError, NotPositiveDefinite
from breedblup.kernels.inbreeding import (
    NO_CLASSES,
    half_relationship_of_parents,
    mendelian_variance,
    relationship_diagonal,
)
from breedblup.pedigree import ContemporaryInbreeding, Pedigree
from breedblup.relationship.inverse import RelationshipInverse, refuse_other_pedigrees
from breedblup.relationship.operator import PedigreeOperator


def a_inverse(pedigree: Pedigree, *, inbreeding: bool | ContemporaryInbreeding = True) -> RelationshipInverse:
    """A⁻¹ of a pedigree (Henderson 1976; Quaas 1976).

    Parameters
    ----------
    inbreeding
        Whether Mendelian sampling variances take the parents' inbreeding into account, or what F they take
        (`inbreeding_of_contemporaries`). Without it the result is what some programs use by default: the inverse of T D₀ T'
        with D₀ of 1, ¾ and ½. Only with the pedigree's own F the diagonal is 1 + F.

    Returns
    -------
    RelationshipInverse
        Over ``pedigree.ids``, with the diagonal and log-determinant of the matrix whose inverse it is.

    Raises
    ------
    ModelError
        If it is a pedigree of sires, or unknown parents are grouped.
    NotPositiveDefinite
        If A is singular: an animal has no Mendelian sampling variance, its parents being wholly inbred.
    """
    refuse_other_pedigrees(pedigree, "a_inverse", of_sires=False)
    if pedigree.groups is not None:
        raise ModelError(
            f"a_inverse: {pedigree.name} has groups of unknown parents, which A does not know -> use group_inverse or "
            "metafounder_inverse, or read it without groups"
        )
    sire, dam = pedigree.sire, pedigree.dam
    use = inbreeding_used(pedigree, inbreeding)
    variance = np.empty(len(pedigree))
    mendelian_variance(sire, dam, NO_CLASSES, use.in_variances, variance)
    refuse_without_variance(pedigree, variance)
    variance.flags.writeable = False
    return RelationshipInverse(
        pedigree.ids,
        PedigreeOperator(sire, dam, variance),
        relationship_diagonal_of(pedigree, use, variance),
        float(np.log(variance).sum()),
        (f"A from pedigree {pedigree.name}", use.said),
        pedigree,
        ((sire, 0.5), (dam, 0.5)),
        use.reported,
    )


def refuse_without_variance(pedigree: Pedigree, variance: NDArray[np.float64]) -> None:
    """`NotPositiveDefinite` at the first animal that has no Mendelian sampling variance."""
    without = np.flatnonzero(variance <= 0.0)
    if without.size:
        animal = int(without[0])
        raise NotPositiveDefinite(
            f"{pedigree.name}: A is singular, {pedigree.ids[animal]!r} has no Mendelian sampling variance, its parents being "
            "wholly inbred -> leave out generations of selfing, or say that it is a twin of its parent (twin_of)",
            animal,
        )


class InbreedingUsed(NamedTuple):
    """F that Mendelian sampling variances take, F that is reported, and a statement of it."""

    in_variances: NDArray[np.float64]
    reported: NDArray[np.float64]
    said: str


def inbreeding_used(pedigree: Pedigree, inbreeding: bool | ContemporaryInbreeding) -> InbreedingUsed:
    """What a choice of inbreeding means for a pedigree.

    Raises
    ------
    ModelError
        If F is that of another pedigree.
    """
    if isinstance(inbreeding, ContemporaryInbreeding):
        if not inbreeding.ids.equals(pedigree.ids):
            raise ModelError(
                f"inbreeding is given for other animals than those of {pedigree.name} -> take inbreeding_of_contemporaries of "
                "this pedigree"
            )
        return InbreedingUsed(inbreeding.inbreeding, inbreeding.inbreeding, inbreeding.made)
    if not isinstance(inbreeding, bool | np.bool_):
        raise ModelError(
            f"inbreeding is {inbreeding!r}; it can be True, False, or what inbreeding_of_contemporaries(pedigree) gives"
        )
    if inbreeding:
        return InbreedingUsed(pedigree.inbreeding, pedigree.inbreeding, "inbreeding considered")
    return InbreedingUsed(np.zeros(len(pedigree)), pedigree.inbreeding, "inbreeding ignored")


def relationship_diagonal_of(
    pedigree: Pedigree, use: InbreedingUsed, variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Diagonal of T D T': 1 + F where D has the pedigree's own F."""
    if use.in_variances is pedigree.inbreeding:
        return 1.0 + pedigree.inbreeding
    half, diagonal = np.empty(len(pedigree)), np.empty(len(pedigree))
    half_relationship_of_parents(pedigree.sire, pedigree.dam, NO_CLASSES, use.in_variances, half, 0)
    relationship_diagonal(pedigree.sire, pedigree.dam, NO_CLASSES, variance, half, diagonal)
    return diagonal
