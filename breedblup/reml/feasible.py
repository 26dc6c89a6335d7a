"""The parameter space around a point, as a box and cones of matrices near correlations; and a start inside it.

φ, the parameters that are neither tied nor fixed, is φ₀ + units · y. A matrix falls into the pieces that its structural zeros
leave; a piece of one row is a limit of the box. Residual pieces have a floor (`RESIDUAL_FLOOR`): a residual is never singular.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from breedblup.errors import ModelError, name_some
from breedblup.reml.cone import ConeProgram, MatrixCone, minimise_over_cones
from breedblup.reml.reduced_rank import cut_to_rank
from breedblup.reml.symmetric import to_matrix, to_vector
from breedblup.variances import MatrixBlock, ParameterSpace, ReducedRank

FloatArray: TypeAlias = NDArray[np.float64]

RESIDUAL_FLOOR = 1e-6
"""Least residual variance of any combination of traits, as a share of the residual variances at the interior point."""

ROOM = 1e-8
"""Matrices near correlations whose least eigenvalue is above this are inside."""

_AMPLE = 0.05  # a start with this room needs no help
_WANTED = 0.1
_NO_ROOM = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows of a block that structural zeros keep apart from the others: a cone of matrices G = (Σ - floor) / (d d').

    Attributes
    ----------
    elements
        (t,): positions in θ of its lower triangle, -1 where it has a structural zero.
    scale, floor
        d and the diagonal of the floor, (c,).
    cone
        The matrices as a function of y.
    """

    block: MatrixBlock
    elements: NDArray[np.int64]
    scale: FloatArray
    floor: FloatArray
    cone: MatrixCone

    def covariances(self, matrix: FloatArray) -> FloatArray:
        """The lower triangle of Σ of a matrix G, (t,)."""
        full = matrix * np.outer(self.scale, self.scale) + np.diag(self.floor)
        return full[np.tril_indices(len(matrix))]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A point of the space, and what y = (φ - φ₀) / units may be.

    Attributes
    ----------
    theta, phi, units
        The point, φ there, and the size of each φ.
    scales
        Standard deviations of the rows of each block.
    lower, upper
        Limits of φ, those of variances among them.
    pieces
        Cones; matrices that are fixed or of reduced rank have none.
    reduced
        Blocks of reduced rank.
    """

    space: ParameterSpace
    theta: FloatArray
    phi: FloatArray
    units: FloatArray
    scales: tuple[FloatArray, ...]
    lower: FloatArray
    upper: FloatArray
    pieces: tuple[Piece, ...]
    reduced: tuple[int, ...]

    @property
    def box(self) -> tuple[FloatArray, FloatArray]:
        """Limits of y."""
        return (self.lower - self.phi) / self.units, (self.upper - self.phi) / self.units

    def matrices(self, y: FloatArray) -> list[FloatArray]:
        """The matrices of the pieces at y."""
        return [to_matrix(piece.cone.constant + piece.cone.linear @ y, piece.cone.order) for piece in self.pieces]

    def room(self, y: FloatArray) -> float:
        """Least eigenvalue of the matrices."""
        return min((float(np.linalg.eigvalsh(matrix)[0]) for matrix in self.matrices(y)), default=np.inf)

    def is_inside(self, y: FloatArray) -> bool:
        """Whether y is feasible, and strictly so for matrices."""
        lower, upper = self.box
        return bool((y >= lower).all() and (y <= upper).all()) and self.room(y) > ROOM

    def theta_of(self, phi: FloatArray) -> FloatArray:
        """All parameters."""
        restrictions = self.space.restrictions
        return restrictions.offset + restrictions.basis @ phi


def frame_at(space: ParameterSpace, theta: FloatArray, interior: FloatArray) -> Frame:
    """The frame of a point; rows are scaled by the larger of their variances there and at the interior point."""
    restrictions = space.restrictions
    phi = theta[restrictions.roots]
    theta = restrictions.offset + restrictions.basis @ phi
    scales = tuple(_scale(block, theta, interior) for block in space.blocks)
    sizes = np.empty(space.size)
    for block, scale in zip(space.blocks, scales, strict=True):
        rows, columns = block.elements
        sizes[block.slice] = scale[rows] * scale[columns]
    units = sizes[restrictions.roots]
    lower, upper = restrictions.lower.copy(), restrictions.upper.copy()
    pieces: list[Piece] = []
    for block, scale in zip(space.blocks, scales, strict=True):
        if isinstance(block.structure, ReducedRank) or restrictions.fixed[block.slice].all():
            continue
        least = np.diag(space.matrix(interior, block)) * RESIDUAL_FLOOR * block.is_residual
        number, of_row = connected_components(block.mask, directed=False)
        for rows in (np.flatnonzero(of_row == k) for k in range(number)):
            if len(rows) > 1:
                pieces.append(_piece(space, block, rows, scale[rows], least[rows], phi, units))
            else:
                _limit(space, _position(block, rows[0], rows[0]), float(least[rows[0]]), lower, upper)
    reduced = tuple(k for k, block in enumerate(space.blocks) if isinstance(block.structure, ReducedRank))
    return Frame(space, theta, phi, units, scales, lower, upper, tuple(pieces), reduced)


def strictly_feasible(space: ParameterSpace, theta: FloatArray) -> FloatArray:
    """A point inside the parameter space near θ: matrices of full rank, or of their reduced rank; bounds not met.

    Parameters
    ----------
    theta
        (p,): any values of the elements; variances positive. What is tied or fixed is set to what it has to be.

    Raises
    ------
    ModelError
        Bounds, ties and fixed values leave no positive definite matrices.
    """
    frame = frame_at(space, theta, theta)
    y = np.zeros(len(frame.phi))
    if not (frame.room(y) >= _AMPLE and _box_room(frame) >= _AMPLE):
        y = _inner_point(frame)
    theta = frame.theta_of(frame.phi + frame.units * y)
    for k in frame.reduced:
        block = space.blocks[k]
        outer = np.outer(frame.scales[k], frame.scales[k])
        root = cut_to_rank(space.matrix(theta, block) / outer, block.rank, _AMPLE)
        theta[block.slice] = (outer * (root @ root.T))[block.elements]
    return theta


def at_residual_floor(space: ParameterSpace, theta: FloatArray, interior: FloatArray) -> tuple[str, ...]:
    """Residual matrices that reached the floor of `constrained_step`: records hold no residual of some combination of traits."""
    found = []
    for block in space.blocks:
        if block.is_residual:
            scale = np.sqrt(np.diag(space.matrix(interior, block)))
            least = np.linalg.eigvalsh(space.matrix(theta, block) / np.outer(scale, scale))[0]
            if least <= RESIDUAL_FLOOR * (1 + 1e-3):
                found.append(block.name)
    return tuple(found)


def _scale(block: MatrixBlock, theta: FloatArray, interior: FloatArray) -> FloatArray:
    """Standard deviations of the rows; where there is no variance, that of the others."""
    variances = np.maximum(np.diag(block.filled(theta[block.slice])), np.diag(block.filled(interior[block.slice])))
    positive = variances[variances > 0]
    return np.sqrt(np.where(variances > 0, variances, positive.mean() if positive.size else 1.0))


def _position(block: MatrixBlock, row: int, column: int) -> int:
    """Position in θ of an element, -1 where it is a structural zero."""
    if not block.mask[row, column]:
        return -1
    return block.first + int(np.tril(block.mask)[:row].sum()) + int(block.mask[row, :column].sum())


def _piece(
    space: ParameterSpace,
    block: MatrixBlock,
    rows: NDArray[np.int64],
    scale: FloatArray,
    floor: FloatArray,
    phi: FloatArray,
    units: FloatArray,
) -> Piece:
    """The cone of some rows of a block."""
    first, second = np.tril_indices(len(rows))
    elements = np.array([_position(block, rows[i], rows[j]) for i, j in zip(first, second, strict=True)])
    there = elements >= 0
    restrictions = space.restrictions
    weight = np.where(first == second, 1.0, np.sqrt(2.0)) / (scale[first] * scale[second])
    basis = np.where(there[:, None], restrictions.basis[elements], 0.0)
    offset = np.where(there, restrictions.offset[elements], 0.0)
    least = np.where(first == second, floor[first], 0.0)
    cone = MatrixCone(len(rows), weight * (offset + basis @ phi - least), weight[:, None] * basis * units)
    return Piece(block, elements, scale, floor, cone)


def _limit(space: ParameterSpace, at: int, least: float, lower: FloatArray, upper: FloatArray) -> None:
    """A variance that stands alone as a limit of the φ that it is a multiple of."""
    held = np.flatnonzero(space.restrictions.basis[at])
    if held.size:
        factor = space.restrictions.basis[at, held[0]]
        if factor > 0:
            lower[held[0]] = max(lower[held[0]], least / factor)
        else:
            upper[held[0]] = min(upper[held[0]], least / factor)


def _margins(frame: Frame) -> FloatArray:
    """The distance to its limits that is wanted of each y, at most half of what there is."""
    lower, upper = frame.box
    return np.minimum(1.0, (upper - lower) / (2 * _WANTED))


def _box_room(frame: Frame) -> float:
    """Least distance of the point to a limit, of the distance that there can be."""
    lower, upper = frame.box
    margins = np.maximum(_margins(frame), np.finfo(float).tiny)
    return float(np.min(np.minimum(-lower, upper) / margins, initial=np.inf))


def _inner_point(frame: Frame) -> FloatArray:
    """y near 0 with a share t, up to 1, of the room that is wanted: t as large as it goes."""
    size = len(frame.phi)
    rows, offsets = box_rows(*frame.box, size + 1)
    margins = _WANTED * _margins(frame)
    narrow = float(margins.min(initial=_WANTED))
    rows[:, -1] = -np.abs(rows[:, :-1]) @ margins
    cones = []
    for piece in frame.pieces:
        wanted = _WANTED * to_vector(np.eye(piece.cone.order))
        linear = np.column_stack([piece.cone.linear, -wanted])
        cones.append(MatrixCone(piece.cone.order, piece.cone.constant, linear))
    least = min(float(offsets.min(initial=0.0)), min(frame.room(np.zeros(size)), 0.0)) / narrow - 1.0
    top = np.append(np.zeros(size), -1.0)
    program = ConeProgram(
        np.append(np.zeros(size), -2.0),
        np.diag(np.append(np.full(size, 1e-2), 1.0)),
        np.vstack([rows, top]),
        np.append(offsets, 1.0),
        tuple(cones),
    )
    found = minimise_over_cones(program, np.append(np.zeros(size), least)).x
    if found[-1] <= _NO_ROOM:
        raise ModelError(_no_room(frame))
    return found[:-1]


def box_rows(lower: FloatArray, upper: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """The finite limits of the first of ``size`` variables as rows · x + offsets ≥ 0, the lower ones first."""
    below, above = np.flatnonzero(np.isfinite(lower)), np.flatnonzero(np.isfinite(upper))
    unit = np.eye(len(lower), size)
    return np.vstack([unit[below], -unit[above]]), np.concatenate([-lower[below], upper[above]])


def _no_room(frame: Frame) -> str:
    names = [frame.space.names[j] for j in np.flatnonzero(_restricted(frame.space))]
    return (
        f"the bounds, ties and fixed values of {name_some(names)} leave no positive definite covariance matrices; widen or "
        "leave out some of them"
    )


def _restricted(space: ParameterSpace) -> NDArray[np.bool_]:
    """Elements with a bound, a tie or a value that is given."""
    restrictions = space.restrictions
    words = restrictions.fixed | restrictions.tied
    words[restrictions.roots[np.isfinite(restrictions.lower) | np.isfinite(restrictions.upper)]] = True
    return words
