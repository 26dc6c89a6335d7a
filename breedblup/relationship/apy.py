"""G⁻¹ of the algorithm for proven and young: genomic values of a core, and of each other animal given the core.

With c the core and n the others, P = G_nc G_cc⁻¹ and M_nn = diag(g_ii - p_i'g_ci) (Misztal et al. 2014; Misztal 2016):

    G_APY⁻¹ = [G_cc⁻¹ 0; 0 0] + [-P'; I] M_nn⁻¹ [-P I],    G_APY = [I 0; P I] [G_cc 0; 0 M_nn] [I P'; 0 I]

G_APY has the entries of G but for those between two different animals outside the core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from breedblup.errors import GenotypeError, ModelError, NotPositiveDefinite, counted, name_some
from breedblup.genotypes import Genotypes
from breedblup.genotypes.genotypes import refuse_other_than_genotypes
from breedblup.relationship.ancestry import Related, refuse_beyond
from breedblup.relationship.dense import BLEND, refuse_singular, singular
from breedblup.relationship.genomic import PLAIN, GenomicOptions, matrix_alone
from breedblup.relationship.genomic_matrix import GenomicMatrix, GenomicPart
from breedblup.relationship.inverse import RelationshipInverse
from breedblup.solvers.dense import factorise_in_place

ROWS = 2048
"""Animals outside the core whose relationships with it are found at once."""

NEGLIGIBLE = 1e-6
"""Share of its diagonal of G below which what an animal has beyond the core is the rounding of products in single precision."""


class ApyParts(NamedTuple):
    """The numbers of a G_APY⁻¹.

    ``others`` are the positions outside the core, ``factor`` is L, LL' = G_cc, ``inherited`` is P (others × core), ``own`` the
    diagonal of M_nn, ``diagonal`` that of G.
    """

    others: NDArray[np.int32]
    factor: NDArray[np.float64]
    inherited: NDArray[np.float64]
    own: NDArray[np.float64]
    diagonal: NDArray[np.float64]


@dataclass(frozen=True)
class ApyInverse:
    """G_APY and its inverse, rows in the order of ``matrix``.

    Attributes
    ----------
    matrix
        G, blended and tuned.
    core
        Positions of the core animals (c).
    memory
        Bytes that P and the factor may use; None for 80 % of what is available.
    parts
        What products are made of.

    Raises
    ------
    ModelError
        If the core is empty, repeats a position or has one that is no row.
    NotPositiveDefinite
        If G of the core is singular, or an animal has no variance beyond what the core explains.
    ResourceError
        If 8 c n bytes would not fit.
    """

    matrix: GenomicMatrix
    core: NDArray[np.int32]
    memory: InitVar[int | None] = None
    parts: ApyParts = field(init=False, repr=False)

    def __post_init__(self, memory: int | None) -> None:
        object.__setattr__(self, "parts", apy_parts(self.matrix, self.core, memory))

    @property
    def core_ids(self) -> pl.Series:
        """Ids of the core, to keep it the same from run to run."""
        return self.matrix.ids.gather(self.core)

    @property
    def logdet(self) -> float:
        """log|G_APY|."""
        return 2.0 * float(np.log(self.parts.factor.diagonal()).sum()) + float(np.log(self.parts.own).sum())

    def multiply_inverse(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """G_APY⁻¹ V for an n × k block."""
        of = self.parts
        of_core = vectors[self.core]
        scaled = (vectors[of.others] - of.inherited @ of_core) / of.own[:, None]
        product = np.empty_like(vectors)
        product[of.others] = scaled
        product[self.core] = self._solve_core(of_core) - of.inherited.T @ scaled
        return product

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """G_APY V for an n × k block."""
        of = self.parts
        of_core = of.factor @ (of.factor.T @ (vectors[self.core] + of.inherited.T @ vectors[of.others]))
        product = np.empty_like(vectors)
        product[self.core] = of_core
        product[of.others] = of.inherited @ of_core + of.own[:, None] * vectors[of.others]
        return product

    def diagonal(self) -> NDArray[np.float64]:
        """Diagonal of G_APY, which is that of G."""
        return self.parts.diagonal.copy()

    def inverse_diagonal(self) -> NDArray[np.float64]:
        """Diagonal of G_APY⁻¹."""
        of = self.parts
        found = np.empty(len(self.matrix))
        found[of.others] = 1.0 / of.own
        found[self.core] = self._core_inverse().diagonal() + np.einsum(
            "ic,ic,i->c", of.inherited, of.inherited, 1 / of.own
        )
        return found

    def entries(self) -> scipy.sparse.csr_array:
        """G_APY⁻¹ in CSR, both triangles: a full block of the core, the others' rows with it, and their diagonal.

        Raises
        ------
        ResourceError
            If 12 bytes for each entry, and 20 more while they are put in order, would not fit.
        """
        of, core = self.parts, self.core
        c, n = core.size, of.others.size
        refuse_beyond(
            None, 32 * (c * c + 2 * c * n + n), "G_APY⁻¹ entry by entry", "use its products, or a smaller core"
        )
        across = -of.inherited / of.own[:, None]
        among = self._core_inverse() - of.inherited.T @ across
        values = [0.5 * (among + among.T).ravel(), across.ravel(), across.ravel(), 1.0 / of.own]
        beside = np.repeat(of.others, c), np.tile(core, n)
        rows = [np.repeat(core, c), *beside, of.others]
        columns = [np.tile(core, c), *beside[::-1], of.others]
        coordinates = np.concatenate(rows), np.concatenate(columns)
        matrix = scipy.sparse.csr_array((np.concatenate(values), coordinates), shape=(c + n, c + n))
        matrix.sort_indices()
        return matrix

    def _core_inverse(self) -> NDArray[np.float64]:
        return self._solve_core(np.eye(self.core.size))

    def _solve_core(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """G_cc⁻¹ V."""
        half = solve_triangular(self.parts.factor, vectors, lower=True, check_finite=False)
        return np.asarray(solve_triangular(self.parts.factor, half, lower=True, trans=1, check_finite=False))


def apy_parts(matrix: GenomicMatrix, core: NDArray[np.int32], memory: int | None = None) -> ApyParts:
    """Factor of G_cc, P and M_nn; errors as of `ApyInverse`."""
    n = len(matrix)
    if not core.size or np.unique(core).size < core.size or core.min() < 0 or core.max() >= n:
        raise ModelError(f"a core has to name some of the {n:,} genotyped animals, each once -> correct its positions")
    needed = 8 * core.size * (n + 2 * ROWS)
    refuse_beyond(memory, needed, f"APY of {n:,} animals with a core of {core.size:,}", "choose a smaller core")
    refuse_singular(matrix, core, "G of the core")
    factor = matrix.block(core, core)
    try:
        factorise_in_place(factor)
    except NotPositiveDefinite as failure:
        row = int(core[failure.equation])
        among = matrix.z.genotypes.of_animals(matrix.ids.gather(core))
        raise singular(among, "G of the core", row, f"noticed at {matrix.ids[row]!r}") from None
    for row in range(core.size):
        factor[row, :row] = 0.0
    outside = np.ones(n, dtype=np.bool_)
    outside[core] = False
    others = np.flatnonzero(outside).astype(np.int32)
    diagonal = matrix.diagonal()
    inherited, own = _given_core(matrix, core, others, factor.T, diagonal[others])
    for array in (core, others, factor, inherited, own, diagonal):
        array.flags.writeable = False
    return ApyParts(others, factor.T, inherited, own, diagonal)


def _given_core(
    matrix: GenomicMatrix,
    core: NDArray[np.int32],
    others: NDArray[np.int32],
    factor: NDArray[np.float64],
    diagonal: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P and the diagonal of M_nn, some animals at a time."""
    inherited, own = np.empty((others.size, core.size)), np.empty(others.size)
    for first in range(0, others.size, ROWS):
        some = slice(first, first + ROWS)
        half = solve_triangular(factor, matrix.block(others[some], core).T, lower=True, check_finite=False)
        own[some] = diagonal[some] - np.einsum("ci,ci->i", half, half)
        inherited[some] = solve_triangular(factor, half, lower=True, trans=1, check_finite=False).T
    without = np.flatnonzero(own <= NEGLIGIBLE * diagonal)
    if without.size:
        row = int(others[without[0]])
        raise NotPositiveDefinite(
            f"{matrix.z.genotypes.source}: the core of {core.size:,} explains all of {counted(without.size, 'animal')} outside "
            f"it, first {matrix.ids[row]!r}: G_APY is singular -> {BLEND}",
            row,
        )
    return inherited, own


def apy_inverse(
    genotypes: Genotypes,
    options: GenomicOptions = PLAIN,
    *,
    core: Sequence[str] | pl.Series,
    pedigree: Related | None = None,
    memory: int | None = None,
) -> RelationshipInverse:
    """G_APY⁻¹ of genotyped animals, for evaluations of these alone (Misztal et al. 2014).

    Parameters
    ----------
    options
        As in `g_inverse`; blending and tuning come before APY.
    core
        Ids of the core: a list of the user's, `core_at_random` or `core_by_eigenvalues`. A core is best kept from run to run:
        with another one values of young animals move.
    pedigree
        For options that need A₂₂ of the genotyped animals.
    memory
        Bytes that P and the factor of G_cc may use; None for 80 % of what is available.

    Returns
    -------
    RelationshipInverse
        Over ``genotypes.ids``; ``operator.core_ids`` names the core.

    Raises
    ------
    GenotypeError
        If an animal of the core has no genotype, or is named twice; if it is given something else than genotypes.
    NotPositiveDefinite
        If G of the core is singular, or an animal has no variance beyond what the core explains.
    ResourceError
        If 8 bytes for each animal and core animal would not fit.
    """
    refuse_other_than_genotypes(genotypes, "apy_inverse")
    places = core_positions(genotypes, core)
    matrix = matrix_alone(genotypes, options, pedigree)
    operator = ApyInverse(matrix, places, memory)
    part = GenomicPart(matrix, np.arange(len(matrix), dtype=np.int32), 1.0, "apy")
    made = (*matrix.made, f"APY with a core of {counted(places.size, 'animal')}")
    return RelationshipInverse(genotypes.ids, operator, operator.diagonal(), operator.logdet, made, genomic=part)


def core_positions(genotypes: Genotypes, core: Sequence[str] | pl.Series) -> NDArray[np.int32]:
    """Positions of the animals of a core, in the order of the genotypes.

    Raises
    ------
    GenotypeError
        If none is named, one has no genotype, or is named twice.
    """
    names = pl.Series("id", [str(name) for name in core], dtype=pl.String)
    if not len(names):
        raise GenotypeError(f"{genotypes.source}: the core of APY is empty -> name some genotyped animals")
    found = genotypes.positions_of(names)
    if (found < 0).any():
        lacking = names.filter(pl.Series(found < 0)).to_list()
        raise GenotypeError(
            f"{genotypes.source}: the core of APY has {name_some(lacking)} without a genotype -> take them out of it"
        )
    repeated = names.filter(names.is_duplicated()).unique(maintain_order=True)
    if len(repeated):
        raise GenotypeError(
            f"{genotypes.source}: the core of APY names {name_some(repeated.to_list())} more than once -> name each once"
        )
    return np.sort(found)
