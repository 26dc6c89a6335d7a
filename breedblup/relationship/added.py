"""A⁻¹ when animals are added to its pedigree: what belongs to the old ones is taken as it is."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numba import get_num_threads
from numpy.typing import NDArray

from breedblup.errors import ModelError
from breedblup.kernels.relatives import extended_rows
from breedblup.pedigree import Pedigree
from breedblup.relationship.ancestry import mendelian_variances
from breedblup.relationship.inverse import RelationshipInverse, refuse_other_pedigrees
from breedblup.relationship.operator import PedigreeOperator, csr_from, equal_shares


def extend_inverse(relationship: RelationshipInverse, pedigree: Pedigree) -> RelationshipInverse:
    """A⁻¹ of a pedigree that begins with the one that an A⁻¹ was made from, as `Pedigree.extended` gives it.

    D, the diagonal of A and log|A| are continued; A⁻¹ in CSR too where it is there already: the new animals are added to
    rows of their parents, all other rows are copied. All is equal to a full run.

    Parameters
    ----------
    relationship
        Made by `a_inverse`, inbreeding considered.
    pedigree
        The old animals at the same positions with the same parents, then the new ones.

    Raises
    ------
    ModelError
        If the inverse is not such an A⁻¹, or the pedigree does not begin with its pedigree.
    """
    refuse_other_pedigrees(pedigree, "extend_inverse", of_sires=False)
    old, operator = _extendable(relationship)
    _refuse_other_beginning(old, pedigree)
    n = len(old)
    new = mendelian_variances(pedigree.sire[n:], pedigree.dam[n:], pedigree.inbreeding)
    variance = np.concatenate([operator.variance, new])
    variance.flags.writeable = False
    extended = RelationshipInverse(
        pedigree.ids,
        PedigreeOperator(pedigree.sire, pedigree.dam, variance),
        np.concatenate([relationship.diagonal, 1.0 + pedigree.inbreeding[n:]]),
        relationship.logdet + float(np.log(new).sum()),
        relationship.made,
        pedigree,
        ((pedigree.sire, 0.5), (pedigree.dam, 0.5)),
        pedigree.inbreeding,
    )
    before: scipy.sparse.csr_array | None = vars(relationship).get("matrix")
    if before is not None:
        vars(extended)["matrix"] = _extended_matrix(before, pedigree, variance)
    return extended


def _extendable(relationship: RelationshipInverse) -> tuple[Pedigree, PedigreeOperator]:
    """The pedigree and the operator of an A⁻¹ that can be continued."""
    operator = relationship.operator
    if relationship.pedigree is None or relationship.groups is not None or not isinstance(operator, PedigreeOperator):
        raise ModelError(
            f"extend_inverse: {'; '.join(relationship.made)} is not the A⁻¹ of a pedigree alone -> make it anew from the "
            "extended pedigree"
        )
    if "inbreeding considered" not in relationship.made:
        raise ModelError(
            f"extend_inverse: {'; '.join(relationship.made)}: D is not of the pedigree's own F -> make it anew with a_inverse"
        )
    return relationship.pedigree, operator


def _refuse_other_beginning(old: Pedigree, pedigree: Pedigree) -> None:
    """`ModelError` naming the first animal that differs."""
    n = len(old)
    if len(pedigree) < n:
        raise ModelError(
            f"extend_inverse: {pedigree.name} has {len(pedigree):,} animals, fewer than the {n:,} that A⁻¹ was made of -> extend "
            "that pedigree with pedigree.extended(frame)"
        )
    other = (old.ids != pedigree.ids.head(n)).to_numpy()
    for before, now in ((old.sire, pedigree.sire), (old.dam, pedigree.dam)):
        other |= before != now[:n]
    if other.any():
        first = int(np.flatnonzero(other)[0])
        raise ModelError(
            f"extend_inverse: {pedigree.name} does not begin with the pedigree that A⁻¹ was made of: position {first} was "
            f"{_described(old, first)} and is {_described(pedigree, first)} -> extend that pedigree with "
            "pedigree.extended(frame), or make A⁻¹ anew"
        )


def _described(pedigree: Pedigree, animal: int) -> str:
    parents = (
        "unknown" if of[animal] < 0 else repr(pedigree.ids[int(of[animal])]) for of in (pedigree.sire, pedigree.dam)
    )
    return f"{pedigree.ids[animal]!r} of {' and '.join(parents)}"


def _extended_matrix(
    old: scipy.sparse.csr_array, pedigree: Pedigree, variance: NDArray[np.float64]
) -> scipy.sparse.csr_array:
    """A⁻¹ in CSR: one pass counts the rows, one fills them."""
    n, first = len(pedigree), int(old.shape[0])
    lists = _new_offspring(pedigree.sire, first), _new_offspring(pedigree.dam, first)
    held = np.zeros(n, dtype=np.int64)
    held[:first] = np.diff(old.indptr)
    bounds = equal_shares(3 + held + 6 * np.diff(lists[0][0]) + 6 * np.diff(lists[1][0]), get_num_threads())
    arrays = (pedigree.sire, pedigree.dam, variance, (old.indptr, old.indices, old.data), *lists, bounds)
    counts = np.empty(n, dtype=np.int64)
    pointer = np.zeros(n + 1, dtype=np.int64)
    extended_rows(*arrays, pointer, np.empty(0, dtype=old.indices.dtype), np.empty(0), counts)
    np.cumsum(counts, out=pointer[1:])
    indices = np.empty(pointer[-1], dtype=old.indices.dtype)
    values = np.empty(pointer[-1])
    extended_rows(*arrays, pointer, indices, values, counts)
    return csr_from(values, indices, pointer, n)


def _new_offspring(parent: NDArray[np.int32], first: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pointer and list of the offspring, from position ``first`` on, of each animal."""
    new = parent[first:]
    order = np.argsort(new, kind="stable")
    unknown = int(np.count_nonzero(new < 0))
    pointer = np.concatenate([[0], np.cumsum(np.bincount(new[new >= 0], minlength=parent.size))])
    return pointer, first + order[unknown:]
