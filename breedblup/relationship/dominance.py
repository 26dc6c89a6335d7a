"""Dominance relationships from a pedigree: D is built pair of parents by pair of parents, its inverse part by part.

Animals of the same two parents share a row of D but for the diagonal, so what is computed are the relationships between pairs
of parents, from columns of A. D falls into parts that are not related to each other; the inverse of each is full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from breedblup.errors import ModelError, NotPositiveDefinite, ResourceError, name_some
from breedblup.pedigree import Pedigree
from breedblup.relationship.inverse import DENSE_LIMIT, MatrixOperator, RelationshipInverse, refuse_other_pedigrees
from breedblup.relationship.numerator import a_inverse
from breedblup.relationship.operator import csr_from
from breedblup.solvers.dense import invert_dense

PAIRS_LIMIT = 50_000
"""Most pairs of parents; work grows with their number times that of their ancestors."""

ENTRIES_LIMIT = DENSE_LIMIT**2
"""Most entries of D⁻¹: one part of `DENSE_LIMIT` animals (3.2 GB as a dense matrix), or smaller ones."""

BLOCK_BYTES = 2**28
"""Bytes of the columns of A, and of the products made of them, that are held at once."""


@dataclass(frozen=True)
class _Pairs:
    """Pairs of known parents, each once, and the pair of each animal, -1 without one."""

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    of_animal: NDArray[np.int64]

    @classmethod
    def of(cls, pedigree: Pedigree, rows: NDArray[np.int32]) -> _Pairs:
        parents = np.sort(np.stack([pedigree.sire[rows], pedigree.dam[rows]], axis=1), axis=1)
        known = parents[:, 0] >= 0
        pairs, codes = np.unique(parents[known], axis=0, return_inverse=True)
        of_animal = np.full(rows.size, -1, dtype=np.int64)
        of_animal[known] = codes.ravel()
        return cls(pairs[:, 0], pairs[:, 1], of_animal)

    def __len__(self) -> int:
        return self.first.size

    def incidence(self) -> scipy.sparse.csr_array:
        """Animals × pairs."""
        rows = np.flatnonzero(self.of_animal >= 0)
        shape = (self.of_animal.size, len(self))
        return scipy.sparse.csr_array((np.ones(rows.size), (rows, self.of_animal[rows])), shape=shape)


def dominance_inverse(pedigree: Pedigree, ids: pl.Series | Sequence[str] | None = None) -> RelationshipInverse:
    """D⁻¹, the inverse of the dominance relationships (Cockerham 1954; Henderson 1985).

    d_ij = ¼ (a(s_i, s_j) a(d_i, d_j) + a(s_i, d_j) a(d_i, s_j)) with the parents s and d, 1 on the diagonal, and 0 where a parent
    is unknown. This is exact without inbreeding. With it the same formula is used as it stands, with no correction: the
    a's take the parents' inbreeding into account, the diagonal stays 1.

    Parameters
    ----------
    ids
        Animals of the matrix, in this order; all of the pedigree, in the user's order, where none are given. Animals without
        records can be left out: it changes nothing for the others, and D⁻¹ gets smaller.

    Returns
    -------
    RelationshipInverse
        Without a pedigree and without parents: what an animal expects of its parents' dominance values is no fixed share.

    Raises
    ------
    PedigreeError
        If an id is unknown, or none is given.
    ModelError
        If an id repeats.
    ResourceError
        Beyond 50 000 pairs of parents, or 4·10⁸ entries of D⁻¹: 20 000 animals that are all related, more where they fall into
        unrelated parts.
    NotPositiveDefinite
        If D is not: full sibs of inbred parents can be related by 1 or more in this formula.
    """
    refuse_other_pedigrees(pedigree, "dominance_inverse", of_sires=False)
    order = pedigree.user_order if ids is None else pedigree.known_positions_of(ids)
    names = pedigree.ids.gather(order).rename("id")
    repeated = names.filter(names.is_duplicated()).unique(maintain_order=True)
    if len(repeated):
        raise ModelError(f"ids of a relationship matrix have to differ; repeated: {name_some(repeated.to_list())}")
    pairs = _Pairs.of(pedigree, order)
    if len(pairs) > PAIRS_LIMIT:
        raise ResourceError(
            f"dominance relationships among {len(pairs):,} pairs of parents of {pedigree.name} are too many (limit "
            f"{PAIRS_LIMIT:,}) -> name the animals with records as ids"
        )
    direct = _with_ones_on_diagonal(pairs.incidence(), _between_pairs(pedigree, pairs))
    inverse, logdet = _invert_parts(direct, names, pedigree.name)
    made = (
        f"dominance relationships from pedigree {pedigree.name}",
        "inbreeding of the parents considered, no correction for that of the animals (1 on the diagonal)",
    )
    return RelationshipInverse(names, MatrixOperator(inverse, direct, None), np.ones(len(names)), logdet, made)


def _between_pairs(pedigree: Pedigree, pairs: _Pairs) -> scipy.sparse.csr_array:
    """¼ (a(s_p, s_q) a(d_p, d_q) + a(s_p, d_q) a(d_p, s_q)) of all pairs p and q, themselves included; zeros left out."""
    if not len(pairs):
        return scipy.sparse.csr_array((0, 0))
    parents = pedigree.ids.gather(np.unique(np.concatenate([pairs.first, pairs.second])))
    base = pedigree.ancestors_of(parents)
    relationship = a_inverse(replace(base, groups=None))
    first, second = (base.positions_of(pedigree.ids.gather(parent)) for parent in (pairs.first, pairs.second))
    sizes = np.bincount(pairs.of_animal[pairs.of_animal >= 0])
    width = max(1, BLOCK_BYTES // (16 * (len(base) + 2 * len(pairs))))
    blocks, entries = [], 0
    for start in range(0, len(pairs), width):
        chosen = slice(start, start + width)
        count = first[chosen].size
        units = np.zeros((len(base), 2 * count))
        units[first[chosen], np.arange(count)] = 1.0
        units[second[chosen], count + np.arange(count)] = 1.0
        with_first, with_second = np.split(relationship.multiply(units), 2, axis=1)
        products = with_first[first] * with_second[second] + with_first[second] * with_second[first]
        block = scipy.sparse.csr_array(0.25 * products.T)
        entries += int(np.dot(np.repeat(sizes[chosen], np.diff(block.indptr)), sizes[block.indices]))
        _refuse_entries(entries, pedigree.name)
        blocks.append(block)
    return scipy.sparse.csr_array(scipy.sparse.vstack(blocks, format="csr"))


def _with_ones_on_diagonal(
    incidence: scipy.sparse.csr_array, between: scipy.sparse.csr_array
) -> scipy.sparse.csr_array:
    """D: Z B Z' with its diagonal replaced."""
    shared = incidence @ between @ incidence.T
    return scipy.sparse.csr_array(shared + scipy.sparse.diags_array(1.0 - shared.diagonal()))


def _invert_parts(
    direct: scipy.sparse.csr_array, names: pl.Series, pedigree_name: str
) -> tuple[scipy.sparse.csr_array, float]:
    """D⁻¹ with every part full, and log|D|."""
    n = direct.shape[0]
    labels = connected_components(direct, directed=False)[1]
    sizes = np.bincount(labels)
    pointer = np.concatenate([[0], np.cumsum(sizes[labels].astype(np.int64))])
    _refuse_entries(int(pointer[-1]), pedigree_name)
    indices, values = np.arange(pointer[-1], dtype=np.int32), np.ones(pointer[-1])
    logdet = 0.0
    members_of = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    for members in members_of:
        if members.size == 1:
            indices[pointer[members[0]]] = members[0]
            continue
        try:
            inverse, part = invert_dense(direct[members][:, members].toarray())
        except NotPositiveDefinite as failure:
            row = int(members[failure.equation])
            raise NotPositiveDefinite(
                f"the dominance relationships from pedigree {pedigree_name} are not positive definite, noticed at "
                f"{names[row]!r}: full sibs of inbred parents are related by 1 or more without a correction for inbreeding "
                "-> leave such families out of ids, or give a matrix of your own with inverse_from",
                row,
            ) from None
        logdet += part
        for k, row in enumerate(members.tolist()):
            indices[pointer[row] : pointer[row + 1]] = members
            values[pointer[row] : pointer[row + 1]] = inverse[k]
    return csr_from(values, indices, pointer, n), logdet


def _refuse_entries(entries: int, pedigree_name: str) -> None:
    """More of D, or of its inverse, than may be stored."""
    if entries > ENTRIES_LIMIT:
        raise ResourceError(
            f"dominance relationships from pedigree {pedigree_name} would fill more than {ENTRIES_LIMIT:,} entries "
            "-> name the animals with records as ids, or model families with a random term of their own"
        )
