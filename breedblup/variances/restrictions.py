"""Bounds, ties and fixed values of parameters as one affine map θ = offset + basis φ with lower ≤ φ ≤ upper."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from breedblup.errors import ModelError, name_some, nearest
from breedblup.variances.blocks import MatrixBlock, Parameter
from breedblup.variances.matrices import covariance, residual_covariance
from breedblup.variances.structures import Bound, FixedValue, ReducedRank, Tie

FloatVector: TypeAlias = NDArray[np.float64]

_ELEMENT = re.compile(r"(?P<key>.+)\[(?P<row>\d+), ?(?P<column>\d+)\]")


@dataclass(frozen=True, slots=True, eq=False)
class Restrictions:
    """Parameters as an affine function of those that are not tied or fixed: θ = offset + basis φ.

    Attributes
    ----------
    offset
        (p,): the values that are fixed, 0 elsewhere.
    basis
        (p, m): a column for each parameter that is its own, with its ties.
    roots
        (m,): which parameters these are; φ = θ[roots].
    lower, upper
        (m,): limits of φ, infinite where there is none.
    fixed, tied
        (p,) bool: parameters with a given value; those that follow another.
    """

    offset: FloatVector
    basis: FloatVector
    roots: NDArray[np.int64]
    lower: FloatVector
    upper: FloatVector
    fixed: NDArray[np.bool_]
    tied: NDArray[np.bool_]


def restrictions_of(blocks: Sequence[MatrixBlock], bounds: Sequence[Bound], ties: Sequence[Tie]) -> Restrictions:
    """The map of fixed blocks, bounds and ties; `ModelError` where they contradict each other."""
    parameters = [parameter for block in blocks for parameter in block.parameters]
    names = [parameter.name for parameter in parameters]
    _check_kinds(bounds, ties)
    rigid = _unchangeable(blocks, names)
    links = _links(ties, names, rigid)
    root, factor = _followed(links, names)
    variances = np.array([parameter.row == parameter.column for parameter in parameters])
    _check_signs(root, factor, variances, names)
    given = _given_values(blocks, len(names))
    lower, upper = _limits(bounds, root, factor, given, parameters, rigid)
    pinned = lower == upper
    values = np.where(pinned, lower, given)
    fixed = np.isfinite(values)[root]
    offset = np.where(fixed, factor * np.nan_to_num(values[root]), 0.0)
    roots = np.flatnonzero((root == np.arange(len(names))) & ~fixed)
    basis = np.where(root[:, None] == roots, factor[:, None], 0.0)
    tied = root != np.arange(len(names))
    result = Restrictions(offset, basis, roots, lower[roots], upper[roots], fixed, tied)
    for array in (offset, basis, roots, result.lower, result.upper, fixed, tied):
        array.flags.writeable = False
    _check_fixed_blocks(blocks, result)
    return result


def position(name: str, names: Sequence[str], what: str) -> int:
    """Position of a parameter, also of ``animal[1,2]`` for ``animal[2,1]``; `ModelError` where there is none of this name."""
    element = _ELEMENT.fullmatch(name)
    if name not in names and element is not None:
        mirrored = f"{element['key']}[{element['column']},{element['row']}]"
        name = mirrored if mirrored in names else name
    if name not in names:
        raise ModelError(f"{what}: there is no parameter {name!r}{nearest(name, names)}; there are {name_some(names)}")
    return names.index(name)


def _check_kinds(bounds: Sequence[Bound], ties: Sequence[Tie]) -> None:
    for bound in bounds:
        if not isinstance(bound, Bound):
            raise ModelError(f"bounds are a list of Bound(parameter, lower, upper), found {bound!r}")
    for tie in ties:
        if not isinstance(tie, Tie):
            raise ModelError(f"ties are a list of Tie(parameter, to, factor), found {tie!r}")


def _unchangeable(blocks: Sequence[MatrixBlock], names: Sequence[str]) -> dict[str, str]:
    """Why elements of some blocks take no bound or tie of their own."""
    reasons = {}
    for block in blocks:
        if isinstance(block.structure, FixedValue):
            reason = f"the matrix of {block.name!r} has a FixedValue"
        elif isinstance(block.structure, ReducedRank):
            reason = f"the matrix of {block.name!r} has reduced rank, which leaves its elements not free of each other"
        else:
            continue
        reasons.update(dict.fromkeys(names[block.slice], reason))
    return reasons


def _links(ties: Sequence[Tie], names: Sequence[str], rigid: dict[str, str]) -> dict[int, tuple[int, float]]:
    """What each tied parameter follows."""
    links: dict[int, tuple[int, float]] = {}
    for tie in ties:
        own, other = (position(name, names, "ties") for name in (tie.parameter, tie.to))
        if names[own] in rigid:
            raise ModelError(f"{tie.parameter!r} cannot be tied: {rigid[names[own]]}; leave the tie out")
        if "rank" in rigid.get(names[other], ""):
            raise ModelError(f"nothing can be tied to {tie.to!r}: {rigid[names[other]]}; leave the tie out")
        if own == other:
            raise ModelError(f"{tie.parameter!r} is tied to itself; name another parameter, or leave the tie out")
        if own in links:
            raise ModelError(
                f"{tie.parameter!r} is tied twice, to {names[links[own][0]]!r} and {tie.to!r}; keep one tie"
            )
        links[own] = other, float(tie.factor)
    return links


def _followed(links: dict[int, tuple[int, float]], names: Sequence[str]) -> tuple[NDArray[np.int64], FloatVector]:
    """The parameter at the end of each chain of ties, and the factor to it."""
    root, factor = np.arange(len(names)), np.ones(len(names))
    for start in links:
        path = [start]
        while path[-1] in links:
            following, times = links[path[-1]]
            factor[start] *= times
            if following in path:
                circle = " to ".join(repr(names[i]) for i in (*path[path.index(following) :], following))
                raise ModelError(f"the ties go round in a circle: {circle}; leave one of them out")
            path.append(following)
        root[start] = path[-1]
    return root, factor


def _check_signs(
    root: NDArray[np.int64], factor: FloatVector, variances: NDArray[np.bool_], names: Sequence[str]
) -> None:
    """Refuse a variance that is a negative multiple of a variance, itself or through others."""
    for end in np.unique(root):
        held = np.flatnonzero((root == end) & variances)
        for other in held[1:]:
            if factor[other] * factor[held[0]] < 0:
                raise ModelError(
                    f"the ties make {names[other]!r} a negative multiple of {names[held[0]]!r}; both are variances, give a "
                    "positive factor"
                )


def _given_values(blocks: Sequence[MatrixBlock], size: int) -> FloatVector:
    """Elements of fixed matrices, NaN elsewhere."""
    values = np.full(size, np.nan)
    for block in blocks:
        if isinstance(block.structure, FixedValue):
            values[block.slice] = block.structure.matrix[block.elements]
    return values


def _limits(
    bounds: Sequence[Bound],
    root: NDArray[np.int64],
    factor: FloatVector,
    given: FloatVector,
    parameters: Sequence[Parameter],
    rigid: dict[str, str],
) -> tuple[FloatVector, FloatVector]:
    """Limits of the parameter at the end of each chain, those of all that follow it together."""
    names = [parameter.name for parameter in parameters]
    lower, upper = np.full(len(names), -np.inf), np.full(len(names), np.inf)
    for bound in bounds:
        at = position(bound.parameter, names, "bounds")
        if names[at] in rigid:
            raise ModelError(f"{bound.parameter!r} cannot have a bound: {rigid[names[at]]}; leave the bound out")
        if parameters[at].row == parameters[at].column and bound.upper is not None and bound.upper <= 0:
            raise ModelError(
                f"the upper limit of the variance {bound.parameter!r} is {bound.upper:g}; it must be positive (a variance "
                "of zero is FixedValue(0), or a model without the effect)"
            )
        ends = [-np.inf if bound.lower is None else bound.lower, np.inf if bound.upper is None else bound.upper]
        low, high = sorted(end / factor[at] for end in ends)
        end = root[at]
        lower[end], upper[end] = max(lower[end], low), min(upper[end], high)
        if lower[end] > upper[end]:
            raise ModelError(
                f"the bounds of {name_some(_followers(end, root, names))} contradict each other: no value is allowed; "
                "widen one of them"
            )
        if not np.isnan(given[end]) and not lower[end] <= given[end] <= upper[end]:
            raise ModelError(
                f"{bound.parameter!r} is tied to {names[end]!r}, whose FixedValue {given[end]:g} its bound excludes; "
                "leave one of the two out"
            )
    return lower, upper


def _followers(end: int, root: NDArray[np.int64], names: Sequence[str]) -> list[str]:
    return [name for name, one in zip(names, root, strict=True) if one == end]


def _check_fixed_blocks(blocks: Sequence[MatrixBlock], restrictions: Restrictions) -> None:
    """Matrices that bounds and ties fix as a whole must be covariance matrices; variances that they fix, positive."""
    for block in blocks:
        fixed = restrictions.fixed[block.slice]
        if isinstance(block.structure, FixedValue) or not fixed.any():
            continue
        rows, columns = block.elements
        values = restrictions.offset[block.slice]
        if (fixed & (rows == columns) & (values <= 0)).any():
            at = int(np.flatnonzero(fixed & (rows == columns) & (values <= 0))[0])
            raise ModelError(
                f"ties fix the variance {block.parameters[at].name!r} at {values[at]:g}; it must be positive (a variance of "
                "zero is FixedValue(0), or a model without the effect)"
            )
        if fixed.all():
            check = residual_covariance if block.is_residual else covariance
            check(block.filled(values), f"{block.name!r}, which bounds and ties fix,")
