"""Inbreeding coefficients of a pedigree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import PedigreeError
from breedblup.kernels.inbreeding import NO_CLASSES, half_relationship_of_parents

if TYPE_CHECKING:
    from breedblup.pedigree.pedigree import Pedigree


def inbreeding_coefficients(pedigree: Pedigree) -> NDArray[np.float64]:
    """F of every animal in the order of ``pedigree.ids``, exact; read-only.

    F is half the relationship of the parents. The ancestors of each sire are traced once for all of its offspring
    (Sargolzaei, Iwaisaki & Colleau 2005).

    Raises
    ------
    PedigreeError
        If it is a pedigree of sires, whose dams are unknown.
    """
    if pedigree.of_sires:
        raise PedigreeError(
            f"{pedigree.name} has maternal grandsires in the place of dams, and so no A -> the F of sires is that of "
            "sire_mgs_inverse(pedigree).inbreeding"
        )
    inbreeding = np.zeros(len(pedigree))
    half_relationship_of_parents(pedigree.sire, pedigree.dam, NO_CLASSES, inbreeding, inbreeding, 0)
    inbreeding.flags.writeable = False
    return inbreeding
