"""The covariance matrices of a model as blocks of parameters: which elements are estimated, and their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import ModelError, name_some, nearest
from breedblup.model import Model
from breedblup.variances.matrices import residual_covariance
from breedblup.variances.structures import Diagonal, FixedValue, ReducedRank, Structure, Unstructured

BoolMatrix: TypeAlias = NDArray[np.bool_]
NeverTogether: TypeAlias = BoolMatrix | Mapping[str, BoolMatrix]
"""Pairs of traits that no record has together, of all records or of each residual class."""

RESIDUAL = "residual"


class Parameter(NamedTuple):
    """An element of the lower triangle of a covariance matrix; rows and columns count from 0, names from 1."""

    key: str
    level: str | None
    row: int
    column: int
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class MatrixBlock:
    """The covariance matrix of a random term, of the residual or of one of its classes.

    Attributes
    ----------
    key, level
        Key of the random term or ``"residual"``; the residual class, None elsewhere.
    labels
        What the rows are called: coordinates of the term, or traits.
    structure
        What is assumed of the matrix.
    mask
        c x c, True where an element may differ from zero.
    first
        Position of its first parameter.
    """

    key: str
    level: str | None
    labels: tuple[str, ...]
    structure: Structure
    mask: BoolMatrix
    first: int

    @property
    def name(self) -> str:
        """``animal``, ``residual``, ``residual H1``."""
        return self.key if self.level is None else f"{self.key} {self.level}"

    @property
    def is_residual(self) -> bool:
        """Whether it is a covariance matrix of residuals."""
        return self.key == RESIDUAL

    @property
    def order(self) -> int:
        """Rows of the matrix."""
        return len(self.labels)

    @property
    def rank(self) -> int:
        """The highest rank that its structure allows."""
        return self.structure.rank if isinstance(self.structure, ReducedRank) else self.order

    @property
    def elements(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of its parameters: lower triangle, row by row."""
        rows, columns = np.nonzero(np.tril(self.mask))
        return rows, columns

    @property
    def size(self) -> int:
        """Number of its parameters."""
        return int(np.tril(self.mask).sum())

    @property
    def slice(self) -> slice:
        """Where its parameters stand."""
        return slice(self.first, self.first + self.size)

    def filled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The symmetric matrix (c x c) with these values of its parameters."""
        rows, columns = self.elements
        matrix = np.zeros((self.order, self.order))
        matrix[rows, columns] = matrix[columns, rows] = values
        return matrix

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Its parameters by name."""
        scalar = self.order == 1
        return tuple(
            Parameter(self.key, self.level, i, j, self.name if scalar else f"{self.name}[{i + 1},{j + 1}]")
            for i, j in zip(*(index.tolist() for index in self.elements), strict=True)
        )


def blocks_of(
    model: Model,
    residual_classes: Sequence[str],
    structures: Mapping[str, Structure] | None,
    never_together: NeverTogether | None,
) -> tuple[MatrixBlock, ...]:
    """The blocks of a model: its random terms in order, then the residual or its classes."""
    _check_classes(model, residual_classes)
    given = _checked_structures(model, residual_classes, {} if structures is None else structures)
    blocks: list[MatrixBlock] = []
    for key, term in zip(model.keys, model.random, strict=True):
        rows = model.coordinates(key)
        effects = np.array([row.effect for row in rows])
        base = np.ones((len(rows), len(rows)), dtype=bool) if term.correlated else effects[:, None] == effects
        blocks.append(_block(key, None, tuple(map(str, rows)), given.get(key, Unstructured()), base, blocks))
    for level in residual_classes or (None,):
        base = _together(model, level, never_together)
        structure = given.get(f"{RESIDUAL} {level}", given.get(RESIDUAL, Unstructured()))
        blocks.append(_block(RESIDUAL, level, model.traits, structure, base, blocks))
    return tuple(blocks)


def _block(
    key: str,
    level: str | None,
    labels: tuple[str, ...],
    structure: Structure,
    base: BoolMatrix,
    before: Sequence[MatrixBlock],
) -> MatrixBlock:
    """A block after those before it, with the structural zeros of the model and of its structure."""
    first = before[-1].slice.stop if before else 0
    mask = np.eye(len(labels), dtype=bool) if isinstance(structure, Diagonal) else base.copy()
    mask.flags.writeable = False
    block = MatrixBlock(key, level, labels, structure, mask, first)
    if isinstance(structure, ReducedRank):
        _check_rank(block, structure.rank)
    if isinstance(structure, FixedValue):
        _check_fixed(block, structure)
    return block


def _check_rank(block: MatrixBlock, rank: int) -> None:
    """Refuse a reduced rank where there is none."""
    if block.is_residual:
        raise ModelError(
            f"{block.name!r} cannot have reduced rank: every trait needs residual variance of its own; give the rank to a "
            "random term"
        )
    if not block.mask.all():
        raise ModelError(
            f"the effects of {block.name!r} are uncorrelated (||), which leaves its matrix no common factors; write | in "
            "the model, or leave ReducedRank out"
        )
    if rank >= block.order:
        raise ModelError(
            f"the rank of {block.name!r} must be below {block.order}, the order of its matrix, found {rank}; "
            "Unstructured() has the full rank"
        )


def _check_fixed(block: MatrixBlock, structure: FixedValue) -> None:
    """Refuse a fixed matrix that the block cannot be."""
    matrix = structure.matrix
    if len(matrix) != block.order:
        raise ModelError(
            f"the FixedValue of {block.name!r} is {len(matrix)} x {len(matrix)}; the model needs {block.order} x "
            f"{block.order}: {', '.join(block.labels)}"
        )
    if block.is_residual:
        residual_covariance(matrix, f"the FixedValue of {block.name!r}")
    check_zeros(block, matrix, f"the FixedValue of {block.name!r}")


def check_zeros(block: MatrixBlock, matrix: NDArray[np.float64], what: str) -> None:
    """Refuse a matrix with a covariance where the block has none."""
    wrong = np.argwhere(np.tril(matrix != 0) & ~block.mask)
    if len(wrong):
        i, j = wrong[0]
        raise ModelError(
            f"{what} has a covariance of {block.labels[j]!r} and {block.labels[i]!r} (row {i + 1}, column {j + 1}: "
            f"{matrix[i, j]:g}), which is zero in the structure of {block.name!r}; make it 0, or give another structure"
        )


def _check_classes(model: Model, residual_classes: Sequence[str]) -> None:
    """Levels are given where the model has residual classes and only there."""
    if bool(model.residual.classes) == bool(residual_classes):
        return
    if residual_classes:
        raise ModelError(
            f"the residual classes {name_some(residual_classes)} are given, but the model has one residual variance; name "
            "the factor with residual_classes= in the model"
        )
    raise ModelError(
        f"the model has a residual variance for each class of {':'.join(model.residual.classes)!r}; no class is given"
    )


def _checked_structures(
    model: Model, residual_classes: Sequence[str], structures: Mapping[str, Structure]
) -> Mapping[str, Structure]:
    """Structures of terms that there are."""
    if not isinstance(structures, Mapping):
        raise ModelError(f"structures are a table, as {{'animal': Diagonal()}}, found {structures!r}")
    known = (*model.keys, RESIDUAL, *(f"{RESIDUAL} {level}" for level in residual_classes))
    for key, structure in structures.items():
        if key not in known:
            raise ModelError(
                f"structures: there is no {key!r}{nearest(str(key), known)}; the model has {name_some(known)}"
            )
        if not isinstance(structure, Structure):
            raise ModelError(
                f"the structure of {key!r} must be Unstructured(), Diagonal(), ReducedRank(rank) or FixedValue(matrix), "
                f"found {structure!r}"
            )
    return structures


def _together(model: Model, level: str | None, never_together: NeverTogether | None) -> BoolMatrix:
    """Residual covariances that some record informs."""
    order = len(model.traits)
    apart = never_together.get(level or "") if isinstance(never_together, Mapping) else never_together
    if apart is None:
        return np.ones((order, order), dtype=bool)
    return ~(apart | apart.T) | np.eye(order, dtype=bool)
