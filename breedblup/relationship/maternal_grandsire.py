"""Relationships among sires from their sires and maternal grandsires alone.

K = T D T', where an animal gets ½ of its sire and ¼ of its maternal grandsire; its dam is otherwise unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from breedblup.errors import PedigreeError, name_some
from breedblup.kernels import maternal_grandsire as kernels
from breedblup.pedigree import Pedigree
from breedblup.pedigree.reading import SEX_CODES
from breedblup.relationship.inverse import RelationshipInverse, refuse_other_pedigrees


@dataclass(frozen=True)
class MaternalGrandsireOperator:
    """K and K⁻¹ as sires and maternal grandsires give them: both before the animal, ``variance`` the diagonal of D."""

    sire: NDArray[np.int32]
    grandsire: NDArray[np.int32]
    variance: NDArray[np.float64]

    def multiply_inverse(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """K⁻¹ V for an n × k block."""
        product: NDArray[np.float64] = self._root.T @ ((self._root @ vectors) / self.variance[:, None])
        return product

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """K V for an n × k block."""
        product = vectors.copy()
        kernels.multiply(self.sire, self.grandsire, self.variance, product)
        return product

    def entries(self) -> scipy.sparse.csr_array:
        """K⁻¹ in CSR."""
        inverse = scipy.sparse.csr_array(self._root.T @ scipy.sparse.diags_array(1.0 / self.variance) @ self._root)
        inverse.sort_indices()
        return inverse

    @cached_property
    def _root(self) -> scipy.sparse.csr_array:
        """T⁻¹ in CSR."""
        n = self.sire.size
        root = scipy.sparse.csr_array(scipy.sparse.eye_array(n))
        for ancestor, share in self.shares:
            known = np.flatnonzero(ancestor >= 0)
            expected = scipy.sparse.csr_array((np.full(known.size, share), (known, ancestor[known])), shape=(n, n))
            root = scipy.sparse.csr_array(root - expected)
        return root

    @property
    def shares(self) -> tuple[tuple[NDArray[np.int32], float], ...]:
        """What an animal expects of its sire and its maternal grandsire."""
        return ((self.sire, kernels.SIRE_SHARE), (self.grandsire, kernels.GRANDSIRE_SHARE))


def sire_mgs_inverse(pedigree: Pedigree, *, inbreeding: bool = True) -> RelationshipInverse:
    """K⁻¹ among sires whose sires and maternal grandsires are known (Henderson 1975; Mrode 2014, section 2.5).

    The inverse is the sum over animals i of q q'/d with q = 1 at i, -½ at its sire s and -¼ at its maternal grandsire m.
    Maternal granddams are taken as unrelated to everybody, so F = ¼ k(s, m), and
    d = 1 - ¼(1 + F_s) - 1/16 (1 + F_m), less those terms whose animal is unknown.

    Parameters
    ----------
    pedigree
        A pedigree of sires: read so (``PedigreeColumns(id="sire", sire="sire_of_sire", maternal_grandsire="mgs")``), or
        derived from a full pedigree by `Pedigree.male_ancestors_of`.
    inbreeding
        Whether F of sires and maternal grandsires is taken into account. Without it d is 11/16 where both are known, ¾ where
        only the sire is, 15/16 where only the maternal grandsire is, and 1; the diagonal is that of T D T' with this D.

    Returns
    -------
    RelationshipInverse
        Over ``pedigree.ids``, with the diagonal and log-determinant of the matrix whose inverse it is.

    Raises
    ------
    PedigreeError
        If an animal in the place of a maternal grandsire is recorded as female.
    """
    refuse_other_pedigrees(pedigree, "sire_mgs_inverse", of_sires=True)
    _refuse_females(pedigree)
    sire, grandsire = pedigree.sire, pedigree.dam
    n = len(pedigree)
    variance, coefficients = np.empty(n), np.zeros(n)
    kernels.quarter_relationship(sire, grandsire, coefficients, variance, coefficients)
    diagonal = 1.0 + coefficients
    if not inbreeding:
        quarter = np.empty(n)
        kernels.quarter_relationship(sire, grandsire, np.zeros(n), variance, quarter)
        kernels.relationship_diagonal(sire, grandsire, variance, quarter, diagonal)
    variance.flags.writeable = False
    operator = MaternalGrandsireOperator(sire, grandsire, variance)
    made = (
        f"relationships of sires and maternal grandsires from pedigree {pedigree.name}",
        "maternal granddams unrelated",
        "inbreeding considered" if inbreeding else "inbreeding ignored",
    )
    return RelationshipInverse(
        pedigree.ids,
        operator,
        diagonal,
        float(np.log(variance).sum()),
        made,
        pedigree,
        operator.shares,
        coefficients,
    )


def _refuse_females(pedigree: Pedigree) -> None:
    """Maternal grandsires that a column of sexes says are none."""
    if pedigree.sex is None:
        return
    grandsires = np.unique(pedigree.dam[pedigree.dam >= 0])
    females = grandsires[pedigree.sex[grandsires] == SEX_CODES["female"]]
    if females.size:
        raise PedigreeError(
            f"{pedigree.name}: {name_some(pedigree.ids.gather(females).to_list())} recorded as female in the place of a "
            "maternal grandsire -> correct the sex, or the column"
        )
