"""The inverse K⁻¹ of a relationship matrix among named animals, whatever it was made from.

`RelationshipInverse` is what the rest of the package sees: ids, diagonal, log-determinant, products, entries. How these are
found is the business of its `InverseOperator`: from a pedigree (`numerator`), or from a matrix of the user's (here).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, cast

import numpy as np
import polars as pl
import scipy.sparse
from numpy.typing import NDArray

from breedblup.errors import ModelError, NotPositiveDefinite, ResourceError, name_some
from breedblup.pedigree import Pedigree
from breedblup.pedigree.twins import NO_TWINS, positions_with_twins
from breedblup.relationship.genomic_matrix import GenomicPart
from breedblup.solvers.cholesky import CholeskyFactor, analyse
from breedblup.solvers.dense import invert_dense

DENSE_LIMIT = 20_000
"""Largest K that is inverted as a dense matrix (3.2 GB); beyond it the inverse itself has to be given."""

SYMMETRY = 1e-8
"""Largest difference between K and K', relative to the largest entry, that is taken for rounding."""


class InverseOperator(Protocol):
    """How K and K⁻¹ act."""

    def multiply_inverse(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """K⁻¹ V for an n × k block."""
        ...

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """K V for an n × k block."""
        ...

    def entries(self) -> scipy.sparse.csr_array:
        """K⁻¹ in CSR, both triangles, columns ascending."""
        ...


GroupKind = Literal["fixed", "random", "metafounders"]


class GroupedOperator(InverseOperator, Protocol):
    """An operator over n animals and then g groups of unknown parents, which fall into classes."""

    def to_classes(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of animals and groups → of animals and classes."""
        ...

    def owed_to_groups(self, of_groups: NDArray[np.float64]) -> NDArray[np.float64]:
        """Q V for a g × k block: what the animals have of the groups' values."""
        ...

    def collected_by_groups(self, of_animals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Q'V for an n × k block."""
        ...


@dataclass(frozen=True)
class GroupRows:
    """The last rows of a K⁻¹: groups of unknown parents, or metafounders.

    Fixed groups have no variance: K⁻¹ is singular, [Q; I] being what it takes to zero.
    """

    names: pl.Series
    kind: GroupKind
    operator: GroupedOperator


class Remainder(Protocol):
    """What K⁻¹ has beyond its assembled entries, known by products: Δ, at some of the rows.

    Attributes
    ----------
    rows
        Rows of K⁻¹ that Δ has entries in, ascending.
    diagonal
        Of Δ, or near it: what a preconditioner takes.
    """

    @property
    def rows(self) -> NDArray[np.int32]: ...

    @property
    def diagonal(self) -> NDArray[np.float64]: ...

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Δ V for a block with as many rows as Δ."""
        ...


class PartlyAssembled(Protocol):
    """An operator of which equations store a part."""

    def assembled(self) -> scipy.sparse.csr_array:
        """K⁻¹ without its remainder, in CSR, both triangles, columns ascending."""
        ...


class LazyDiagonal(Protocol):
    """An operator that can find the diagonal of K where somebody asks for it."""

    def diagonal(self) -> NDArray[np.float64]:
        """Diagonal of K; NaN where it cannot be had."""
        ...


@dataclass(frozen=True)
class RelationshipInverse:
    """K⁻¹ among the animals, and groups of unknown parents after them where there are any.

    Attributes
    ----------
    ids
        Text ids, of animals and then of groups; rows of every matrix and vector are in this order.
    known_diagonal
        Diagonal of K, where it was found when K⁻¹ was made; None leaves it to the operator, see `diagonal`.
    logdet
        log|K|; NaN where it is not known.
    made
        How it was made, one statement an entry: what a result has to name.
    pedigree
        The pedigree that it was made from, where its animals, in its order, are the rows (before those of groups).
    parents
        Position of each known parent, -1 unknown, with the share that the animal expects of it: ½ of sire and dam for A, ½ of the
        sire and ¼ of the maternal grandsire where only these are known. Empty where nothing of the kind holds. An unknown
        parent of class k stands after all animals (`GroupedOperator.to_classes`).
    inbreeding
        F of every animal by this pedigree, whether or not the matrix takes it into account; None where it is not known.
    groups
        What is known of the rows that are groups; None where there are none.
    remainder
        What K⁻¹ has beyond `assembled`; None where that is all of it.
    genomic
        The genotypes that K⁻¹ rests on, and how; None where there are none.
    """

    ids: pl.Series
    operator: InverseOperator
    known_diagonal: NDArray[np.float64] | None
    logdet: float
    made: tuple[str, ...]
    pedigree: Pedigree | None = None
    parents: tuple[tuple[NDArray[np.int32], float], ...] = ()
    inbreeding: NDArray[np.float64] | None = None
    groups: GroupRows | None = None
    remainder: Remainder | None = None
    genomic: GenomicPart | None = None

    def __post_init__(self) -> None:
        for array in (self.known_diagonal, self.inbreeding, *(positions for positions, _ in self.parents)):
            if array is not None:
                array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def animals(self) -> int:
        """Rows that are animals: all but those of groups."""
        return len(self.ids) - (0 if self.groups is None else len(self.groups.names))

    @property
    def plain_groups(self) -> bool:
        """Whether unknown parents have fixed or random groups, that is, others than metafounders."""
        return self.groups is not None and self.groups.kind != "metafounders"

    @property
    def twins(self) -> pl.DataFrame:
        """Identical twins and clones of the animals, which have no row of their own; see `Pedigree.twins`."""
        return NO_TWINS if self.pedigree is None else self.pedigree.twins

    def positions_of(self, ids: pl.Series) -> NDArray[np.int32]:
        """Row of each animal, that of the original for an identical twin; -1 where it is null, a group or unknown here."""
        return positions_with_twins(ids, self.ids[: self.animals], self.twins)

    def with_classes(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of the rows → of animals and classes of unknown parents, which positions in ``parents`` refer to."""
        return values if self.groups is None else self.groups.operator.to_classes(values)

    def multiply_inverse(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """K⁻¹ V for an n vector or an n × k block."""
        return self._in_block(self.operator.multiply_inverse, vectors)

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """K V for an n vector or an n × k block."""
        return self._in_block(self.operator.multiply, vectors)

    def _in_block(self, product: Any, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        block = np.ascontiguousarray(vectors, dtype=np.float64).reshape(len(self), -1)
        result: NDArray[np.float64] = product(block)
        return result.reshape(vectors.shape)

    @cached_property
    def diagonal(self) -> NDArray[np.float64]:
        """Diagonal of K (1 + F for A; 0 for fixed groups), read-only; NaN where it cannot be had."""
        if self.known_diagonal is not None:
            return self.known_diagonal
        found = cast(LazyDiagonal, self.operator).diagonal()
        found.flags.writeable = False
        return found

    @cached_property
    def matrix(self) -> scipy.sparse.csr_array:
        """K⁻¹ in CSR, both triangles, all of it; built when first asked for."""
        return self.operator.entries()

    @cached_property
    def assembled(self) -> scipy.sparse.csr_array:
        """What equations store of K⁻¹: `matrix`, or what it has beside genotypes that are known by products only."""
        return cast(PartlyAssembled, self.operator).assembled() if self.by_products else self.matrix

    @property
    def by_products(self) -> bool:
        """Whether equations store K⁻¹ in part only, so that they are solved by iteration."""
        return self.remainder is not None or (self.genomic is not None and self.genomic.form == "markers")

    def __repr__(self) -> str:
        rows = f"{self.animals:,} animals"
        if self.groups is not None:
            rows += (
                f" and {len(self.groups.names):,} {'metafounders' if self.groups.kind == 'metafounders' else 'groups'}"
            )
        return f"RelationshipInverse of {rows}: {'; '.join(self.made)}; log|K| {self.logdet:.6g}"


@dataclass(frozen=True)
class MatrixOperator:
    """K⁻¹ given entry by entry, with K where it was given and a factor of K⁻¹ where it was not."""

    inverse: scipy.sparse.csr_array
    direct: NDArray[np.float64] | scipy.sparse.csr_array | None
    factor: CholeskyFactor | None

    def multiply_inverse(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """K⁻¹ V for an n × k block."""
        product: NDArray[np.float64] = self.inverse @ vectors
        return product

    def multiply(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """K V for an n × k block."""
        if self.direct is not None:
            product: NDArray[np.float64] = self.direct @ vectors
            return product
        assert self.factor is not None
        return self.factor.solve(vectors)

    def entries(self) -> scipy.sparse.csr_array:
        """K⁻¹ in CSR."""
        return self.inverse


def inverse_from(
    matrix: Any, ids: Sequence[str] | pl.Series, *, kind: Literal["relationship", "inverse"]
) -> RelationshipInverse:
    """A relationship matrix of the user's, K or K⁻¹, dense or sparse, for use in a model.

    Parameters
    ----------
    matrix
        n × n, symmetric, positive definite; a NumPy array or a SciPy sparse matrix.
    ids
        Ids of its rows.
    kind
        ``relationship`` for K, which is inverted (densely, up to 20 000 rows), ``inverse`` for K⁻¹.

    Raises
    ------
    ModelError
        If sizes do not agree, ids repeat, entries are not finite or the matrix is not symmetric.
    NotPositiveDefinite
        If it is not positive definite; ``equation`` is the row.
    ResourceError
        If K has too many rows to be inverted here.
    """
    names = pl.Series("id", [str(name) for name in ids], dtype=pl.String)
    sparse = scipy.sparse.csr_array(matrix, dtype=np.float64)
    _check_matrix(sparse, names)
    if kind == "inverse":
        sparse.sort_indices()
        try:
            factor = analyse(sparse).factorise(sparse)
        except NotPositiveDefinite as failure:
            raise _indefinite("the inverse relationship matrix", names, failure.equation) from None
        operator = MatrixOperator(sparse, None, factor)
        made = (f"inverse relationship matrix given, {sparse.nnz:,} entries",)
        return RelationshipInverse(names, operator, factor.inverse_diagonal(), -factor.logdet(), made)
    if kind != "relationship":
        raise ModelError(f"kind is {kind!r}; it can be 'relationship' (K is given) or 'inverse' (K⁻¹ is given)")
    if len(names) > DENSE_LIMIT:
        raise ResourceError(
            f"a relationship matrix of {len(names):,} rows cannot be inverted here (limit {DENSE_LIMIT:,}); give its inverse"
        )
    direct = sparse.toarray()
    try:
        dense_inverse, logdet = invert_dense(direct)
    except NotPositiveDefinite as failure:
        raise _indefinite("the relationship matrix", names, failure.equation) from None
    inverse = scipy.sparse.csr_array(dense_inverse)
    made = (f"relationship matrix of {len(names):,} rows given and inverted",)
    return RelationshipInverse(names, MatrixOperator(inverse, direct, None), direct.diagonal().copy(), logdet, made)


def refuse_other_pedigrees(value: object, function: str, *, of_sires: bool) -> None:
    """`ModelError` for what is no pedigree, and for one with dams where maternal grandsires are needed, or the other way."""
    if not isinstance(value, Pedigree):
        raise ModelError(f"{function} takes a Pedigree, found a {type(value).__name__} -> read it with read_pedigree")
    if of_sires and not value.of_sires:
        raise ModelError(
            f"{function}: {value.name} has dams, not maternal grandsires -> derive them with pedigree.male_ancestors_of(sires), "
            "or read the column with PedigreeColumns(maternal_grandsire=...)"
        )
    if value.of_sires and not of_sires:
        raise ModelError(
            f"{function}: {value.name} has maternal grandsires in the place of dams -> use sire_mgs_inverse, or read dams"
        )


def _check_matrix(matrix: scipy.sparse.csr_array, names: pl.Series) -> None:
    """Size, ids, finite, symmetric."""
    rows, columns = matrix.shape
    if rows != columns or rows != len(names):
        raise ModelError(f"a relationship matrix of {rows} x {columns} and {len(names)} ids do not fit together")
    repeated = names.filter(names.is_duplicated()).unique(maintain_order=True)
    if len(repeated):
        raise ModelError(f"ids of a relationship matrix have to differ; repeated: {name_some(repeated.to_list())}")
    if not np.isfinite(matrix.data).all():
        raise ModelError("a relationship matrix has entries that are not finite")
    largest = float(np.abs(matrix.data).max(initial=0.0))
    asymmetric = abs(matrix - matrix.T).tocoo()
    wrong = np.flatnonzero(asymmetric.data > SYMMETRY * largest)
    if wrong.size:
        i, j = int(asymmetric.coords[0][wrong[0]]), int(asymmetric.coords[1][wrong[0]])
        raise ModelError(
            f"a relationship matrix has to be symmetric, but {names[i]!r}, {names[j]!r} is {matrix[i, j]:.6g} one way "
            f"and {matrix[j, i]:.6g} the other"
        )


def _indefinite(what: str, names: pl.Series, row: int) -> NotPositiveDefinite:
    return NotPositiveDefinite(
        f"{what} is not positive definite, noticed at {names[row]!r} -> blend it with another matrix, or correct it",
        row,
    )
