"""The step of a round: where the quadratic model of -2 log L is lowest within the parameter space.

The model is m(d) = g'd + d'Id, the space convex: matrices that are positive semi-definite, bounds, ties, fixed values. Where the
plain Newton step ends inside it is taken; otherwise the convex problem is solved to rounding (`breedblup.reml.cone`), and
eigenvalues that vanish are made zeros. Matrices of reduced rank move along their roots (`breedblup.reml.reduced_rank`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from breedblup.reml.cone import ConePoint, ConeProgram, MatrixCone, minimise_over_cones
from breedblup.reml.feasible import Frame, box_rows, frame_at, strictly_feasible
from breedblup.reml.reduced_rank import RootCoordinates, convexified, root_coordinates
from breedblup.variances import MatrixBlock, ParameterSpace

FloatArray: TypeAlias = NDArray[np.float64]

DAMPING = 1e-10
"""Share of each diagonal element of the information that is added to it: where records tell parameters from each other no better
than that, the step stays short."""

LEAST_INFORMATION = 1e-4
"""An element with a smaller share of the largest information, on the scale of correlations, is damped as if it had this share."""

VANISHED = 1e-6
"""An eigenvalue below this and below its multiplier is zero; both are those of matrices near correlations."""

NO_SHARE = 1e-6
"""A row whose share of the vectors that do not vanish is below this has no variance."""


@dataclass(frozen=True, slots=True, eq=False)
class RootMove:
    """A matrix of reduced rank on its way: Λ (c x r) before and after."""

    block: MatrixBlock
    before: FloatArray
    after: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A step within the parameter space, and the way to it.

    Attributes
    ----------
    theta0, theta1
        Its ends. A matrix that had more than its reduced rank is cut to it.
    predicted
        By how much the model m is lower at the end: -m(d).
    moves
        Matrices of reduced rank.
    """

    theta0: FloatArray
    theta1: FloatArray
    predicted: float
    moves: tuple[RootMove, ...]

    def at(self, share: float) -> FloatArray:
        """θ after a share of the step, 0 to 1: straight, for matrices of reduced rank straight in Λ."""
        theta = self.theta0 + share * (self.theta1 - self.theta0) if share < 1 else self.theta1.copy()
        for move in self.moves:
            root = (1 - share) * move.before + share * move.after
            theta[move.block.slice] = (root @ root.T)[move.block.elements]
        return theta


@dataclass(frozen=True, slots=True, eq=False)
class _Variables:
    """What is solved for: y of the convex part, then the directions of roots.

    Attributes
    ----------
    convex
        Positions in φ of the convex part.
    columns
        (m, n): change of φ by each variable.
    roots
        Coordinates of each block of reduced rank.
    """

    frame: Frame
    convex: NDArray[np.int64]
    columns: FloatArray
    roots: tuple[RootCoordinates, ...]


def constrained_step(
    space: ParameterSpace, theta: FloatArray, gradient: FloatArray, information: FloatArray, interior: FloatArray
) -> Step:
    """The step to the minimiser of g'd + d'Id over the parameter space.

    Parameters
    ----------
    theta
        (p,): the present point; feasible.
    gradient
        (p,): derivatives of -2 log L.
    information
        (p, p): average information; positive semi-definite. The share `DAMPING` of its diagonal is added to it.
    interior
        (p,): a point inside the space, as the start; the floor of residuals and the size of variances come from it too.

    Returns
    -------
    Step
        Zero variances, singular matrices and bounds are met exactly, to rounding.

    Raises
    ------
    ModelError
        Bounds, ties and fixed values leave no positive definite matrices.
    """
    variables = _variables(frame_at(space, theta, interior), gradient)
    frame, columns = variables.frame, space.restrictions.basis @ variables.columns
    linear, plain = columns.T @ gradient, columns.T @ information @ columns
    quadratic = _damped(plain)
    if variables.roots:
        curved = _curvature(variables)
        quadratic, plain = convexified(quadratic, curved), plain + curved
    change = np.asarray(np.linalg.solve(2 * quadratic, -linear), dtype=np.float64)
    ended = None
    if not frame.is_inside(_convex_part(variables, change)):
        ended = _minimum(variables, linear, quadratic, interior)
        change = ended.x
    predicted = -float(linear @ change + change @ plain @ change)
    return _assembled(variables, change, ended, predicted)


def _variables(frame: Frame, gradient: FloatArray) -> _Variables:
    """y of every φ outside matrices of reduced rank, and the directions of those."""
    of_phi = frame.space.restrictions.roots
    blocks = [frame.space.blocks[k] for k in frame.reduced]
    inside = [np.flatnonzero((of_phi >= block.slice.start) & (of_phi < block.slice.stop)) for block in blocks]
    convex = np.setdiff1d(np.arange(len(of_phi)), np.concatenate([np.empty(0, dtype=np.int64), *inside]))
    roots, columns = [], [np.diag(frame.units)[:, convex]]
    for k, block, own in zip(frame.reduced, blocks, inside, strict=True):
        outer = np.outer(frame.scales[k], frame.scales[k])
        slope = block.filled(gradient[block.slice]) * (1 + np.eye(block.order)) / 2
        matrix = block.filled(frame.theta[block.slice])
        roots.append(root_coordinates(matrix / outer, slope * outer, block.rank))
        columns.append(np.zeros((len(of_phi), roots[-1].jacobian.shape[1])))
        columns[-1][own] = frame.units[own, None] * roots[-1].jacobian
    return _Variables(frame, convex, np.hstack(columns), tuple(roots))


def _damped(information: FloatArray) -> FloatArray:
    """Positive definite: a share of each diagonal element more, and some of the largest where there is hardly any."""
    diagonal = information.diagonal()
    most = max(float(diagonal.max(initial=0.0)), np.finfo(float).tiny)
    damped: FloatArray = information + np.diag(DAMPING * np.maximum(diagonal, LEAST_INFORMATION * most))
    return damped


def _curvature(variables: _Variables) -> FloatArray:
    """What matrices of reduced rank add to the information: their part of the model is not linear in Λ."""
    size, at = variables.columns.shape[1], len(variables.convex)
    curved = np.zeros((size, size))
    for root in variables.roots:
        own = slice(at, at + len(root.curvature))
        curved[own, own] = root.curvature
        at = own.stop
    return curved


def _convex_part(variables: _Variables, change: FloatArray) -> FloatArray:
    """y of all φ, 0 for those of reduced rank."""
    y = np.zeros(len(variables.frame.phi))
    y[variables.convex] = change[: len(variables.convex)]
    return y


def _minimum(variables: _Variables, linear: FloatArray, quadratic: FloatArray, interior: FloatArray) -> ConePoint:
    """The minimiser over box and cones, from halfway to the interior point."""
    frame, convex = variables.frame, variables.convex
    others = len(linear) - len(convex)
    lower, upper = frame.box
    rows, offsets = box_rows(lower[convex], upper[convex], len(linear))
    cones = []
    for piece in frame.pieces:
        linear_part = np.hstack([piece.cone.linear[:, convex], np.zeros((len(piece.cone.constant), others))])
        cones.append(MatrixCone(piece.cone.order, piece.cone.constant, linear_part))
    size = max(float(np.abs(linear).max()), float(np.abs(quadratic).max()))
    program = ConeProgram(linear / size, quadratic / size, rows, offsets, tuple(cones))
    return minimise_over_cones(program, np.append(_start(frame, interior)[convex], np.zeros(others)))


def _start(frame: Frame, interior: FloatArray) -> FloatArray:
    """y halfway to a point inside."""
    roots = frame.space.restrictions.roots
    y = 0.5 * (interior[roots] - frame.phi) / frame.units
    lower, upper = frame.box
    if frame.is_inside(y) and (y > lower).all() and (y < upper).all():
        return y
    return (strictly_feasible(frame.space, interior)[roots] - frame.phi) / frame.units


def _assembled(variables: _Variables, change: FloatArray, ended: ConePoint | None, predicted: float) -> Step:
    """The step, with zeros and bounds made exact."""
    frame = variables.frame
    phi = frame.phi + frame.units * _convex_part(variables, change)
    if ended is not None:
        phi = _with_faces(variables, phi, ended)
    theta0, theta1 = frame.theta.copy(), frame.theta_of(phi)
    moves, at = [], len(variables.convex)
    for k, root in zip(frame.reduced, variables.roots, strict=True):
        block, scale = frame.space.blocks[k], frame.scales[k][:, None]
        own = slice(at, at + len(root.directions))
        moves.append(RootMove(block, scale * root.root, scale * root.moved(change[own])))
        for theta, side in ((theta0, moves[-1].before), (theta1, moves[-1].after)):
            theta[block.slice] = (side @ side.T)[block.elements]
        at = own.stop
    return Step(theta0, theta1, predicted, tuple(moves))


def _with_faces(variables: _Variables, phi: FloatArray, ended: ConePoint) -> FloatArray:
    """φ where limits and zero eigenvalues that hold the step are exact."""
    frame, convex, phi = variables.frame, variables.convex, phi.copy()
    restrictions = frame.space.restrictions
    for piece, matrix, multiplier in zip(frame.pieces, ended.matrices, ended.multipliers, strict=True):
        exact = _with_zeros(matrix, multiplier)
        if exact is None:
            continue
        values, elements = piece.covariances(exact), piece.elements
        own = np.isin(elements, restrictions.roots)
        phi[np.searchsorted(restrictions.roots, elements[own])] = values[own]
        if not piece.floor.any():
            zero = elements[(values == 0) & (elements >= 0)]
            phi[restrictions.basis[zero].any(axis=0)] = 0.0
    phi = np.clip(phi, frame.lower, frame.upper)
    at = 0
    for limit in (frame.lower, frame.upper):
        limited = convex[np.isfinite(limit[convex])]
        distance = np.abs(phi - limit)[limited] / frame.units[limited]
        held = limited[(distance < VANISHED) & (distance < ended.of_rows[at : at + len(limited)])]
        phi[held] = limit[held]
        at += len(limited)
    return phi


def _with_zeros(matrix: FloatArray, multiplier: FloatArray) -> FloatArray | None:
    """The matrix with its vanishing eigenvalues made zeros, and rows without variance; None where there are none."""
    values, vectors = np.linalg.eigh(matrix)
    held = ((multiplier @ vectors) * vectors).sum(axis=0)
    kept = ~((values < VANISHED) & (values < held))
    if kept.all():
        return None
    left = vectors[:, kept]
    left[(left**2).sum(axis=1) < NO_SHARE**2] = 0.0
    return np.asarray((left * values[kept]) @ left.T, dtype=np.float64)
