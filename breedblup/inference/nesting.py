"""Whether the covariance matrices of one model are those of another with restrictions, and which of these lie on a boundary.

A variance that is zero in the smaller model lies on the boundary of what it can be; a covariance that is zero, a tie or a given
value does not, unless the variance beside it is zero.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from breedblup.design import Design
from breedblup.errors import ModelError, name_some
from breedblup.model import Effect, Model, Random
from breedblup.model.coordinates import effect_classes
from breedblup.model.random import affects
from breedblup.variances import FixedValue, MatrixBlock, ParameterSpace, ReducedRank


@dataclass(frozen=True, slots=True)
class Structured:
    """The covariance matrices of a model, with what tells their rows apart in other models.

    Attributes
    ----------
    rows
        For each random term, for each row of its matrix: group of levels, function of a covariate, classes, trait.
    related
        For each random term: levels and log-determinant of its K; None for independent levels.
    """

    space: ParameterSpace
    rows: tuple[tuple[Hashable, ...], ...]
    related: tuple[tuple[int, float] | None, ...]

    @classmethod
    def of(cls, space: ParameterSpace, model: Model, design: Design) -> Structured:
        """Those of a model and its data."""
        rows = tuple(tuple(_row_identities(term, model.traits)) for term in model.random)
        known = [term.relationship for term in design.random]
        return cls(space, rows, tuple(None if one is None else (len(one), one.logdet) for one in known))

    def rows_of(self, block: MatrixBlock) -> tuple[Hashable, ...]:
        """What tells the rows of a matrix apart: traits, for a residual."""
        return block.labels if block.is_residual else self.rows[self.space.blocks.index(block)]

    def related_of(self, block: MatrixBlock) -> tuple[int, float] | None:
        """What tells its K apart."""
        return None if block.is_residual else self.related[self.space.blocks.index(block)]


@dataclass(frozen=True, slots=True)
class Nesting:
    """What a larger model has more than a smaller one.

    Attributes
    ----------
    parameters
        Number of (co)variances.
    boundaries
        Number of separate conditions on the boundary: a variance alone, or with its covariances. None where they are not separate
        (two variances with a covariance, a rank): the mixture of their distribution has no closed form.
    said
        A sentence for each.
    """

    parameters: int
    boundaries: int | None
    said: tuple[str, ...]


def nesting_of(null: Structured, alternative: Structured) -> Nesting:
    """Compare the parameters of two models.

    Raises
    ------
    ModelError
        The first is not the second with restrictions; the message names the term.
    """
    _check_restrictions(null.space, alternative.space)
    owners = list(_owners(null, alternative))
    boundaries: int | None = 0
    said: list[str] = []
    for block in alternative.space.blocks:
        parts = [(part, _rows_in(null, part, alternative, block)) for part, owner in owners if owner is block]
        found = _conditions(block, _labels_of(alternative.space, block), parts)
        said += [found.said] if found.said else []
        boundaries = None if boundaries is None or found.boundaries is None else boundaries + found.boundaries
    parameters = parameter_count(alternative.space) - parameter_count(null.space)
    return Nesting(parameters, boundaries, tuple(said))


def parameter_count(space: ParameterSpace) -> int:
    """(Co)variances that are estimated: all but fixed and tied ones; c r - r(r - 1)/2 for a matrix of order c and rank r."""
    count = int(space.restrictions.roots.size)
    for block in space.blocks:
        if isinstance(block.structure, ReducedRank):
            c, r = block.order, block.structure.rank
            count -= (c - r) * (c - r + 1) // 2
    return count


@dataclass(frozen=True, slots=True)
class _Conditions:
    boundaries: int | None
    said: str = ""


def _check_restrictions(null: ParameterSpace, alternative: ParameterSpace) -> None:
    """Ties and bounds of the larger model hold in the smaller one too."""
    for kind in ("ties", "bounds"):
        lacking = [one for one in getattr(alternative, kind) if one not in getattr(null, kind)]
        if lacking:
            raise ModelError(
                f"the models are not nested: the alternative has {kind} that the null model has not "
                f"({name_some(one.parameter for one in lacking)}); give the null model the same {kind}"
            )


def _owners(null: Structured, alternative: Structured) -> Iterator[tuple[MatrixBlock, MatrixBlock]]:
    """Each matrix of the smaller model with that of the larger model, or those, that it is a part of."""
    for block in null.space.blocks:
        owners = [other for other in alternative.space.blocks if _may_own(null, block, alternative, other)]
        if not owners:
            raise ModelError(
                f"the models are not nested: no term of the alternative has the effects of {block.name!r} of the null model; "
                f"there are {name_some(other.name for other in alternative.space.blocks)}; give the larger model second"
            )
        for owner in owners if block.is_residual else owners[:1]:
            if null.related_of(block) != alternative.related_of(owner):
                raise ModelError(
                    f"the models are not nested: {block.name!r} has other relationships (K) in the two models; give both the same"
                )
            yield block, owner


def _may_own(null: Structured, block: MatrixBlock, alternative: Structured, other: MatrixBlock) -> bool:
    """Whether the rows of a matrix are among those of another, for residuals in its class."""
    if block.is_residual or other.is_residual:
        return block.is_residual and other.is_residual and block.level in (None, other.level)
    return set(null.rows_of(block)) <= set(alternative.rows_of(other))


def _rows_in(null: Structured, part: MatrixBlock, alternative: Structured, block: MatrixBlock) -> list[int]:
    """Positions of the rows of a matrix among those of one that it is a part of."""
    rows = alternative.rows_of(block)
    return [rows.index(row) for row in null.rows_of(part)]


def _labels_of(space: ParameterSpace, block: MatrixBlock) -> tuple[str, ...]:
    """What the rows of a matrix are called: without the trait where there is one."""
    traits = space.blocks[-1].labels
    return tuple(label.removesuffix(f" {traits[0]}") for label in block.labels) if len(traits) == 1 else block.labels


def _conditions(
    block: MatrixBlock, labels: Sequence[str], parts: Sequence[tuple[MatrixBlock, list[int]]]
) -> _Conditions:
    """What restricts a matrix of the larger model to those that it consists of in the smaller one."""
    _check_given(block, [part for part, _ in parts])
    ranks = [one.structure for one in (block, *(part for part, _ in parts)) if isinstance(one.structure, ReducedRank)]
    if ranks:
        same = len(parts) == 1 and parts[0][0].structure == block.structure and parts[0][0].order == block.order
        return _Conditions(0) if same else _Conditions(None, f"the rank of {block.name!r} is restricted")
    inside = np.zeros((block.order, block.order), dtype=bool)
    for part, rows in parts:
        inside[np.ix_(rows, rows)] |= part.mask & (not _is_zero(part))
    if (inside & ~block.mask).any():
        raise ModelError(
            f"the models are not nested: {block.name!r} has covariances in the null model that are zero in the alternative; "
            "give the larger model second"
        )
    new = np.flatnonzero(~inside.diagonal())
    if block.is_residual or isinstance(block.structure, FixedValue) or not new.size:
        return _Conditions(0)
    names = name_some(labels[i] for i in new.tolist())
    if new.size == 1:
        return _Conditions(1, f"the variance {f'{names} ' if block.order > 1 else ''}of {block.name!r} is zero")
    alone = not (block.mask & ~np.eye(block.order, dtype=bool))[new].any()
    return _Conditions(int(new.size) if alone else None, f"the variances {names} of {block.name!r} are zero")


def _check_given(block: MatrixBlock, parts: Sequence[MatrixBlock]) -> None:
    """A matrix that is given in the larger model is the same in the smaller one."""
    if not isinstance(block.structure, FixedValue):
        return
    same = [part.structure.matrix for part in parts if isinstance(part.structure, FixedValue)]
    if not same or not np.array_equal(same[0], block.structure.matrix):
        raise ModelError(
            f"the models are not nested: {block.name!r} has a FixedValue in the alternative and not the same in the null model; "
            "give it to both"
        )


def _is_zero(block: MatrixBlock) -> bool:
    return isinstance(block.structure, FixedValue) and not block.structure.matrix.any()


def _row_identities(term: Random, traits: Sequence[str]) -> Iterator[Hashable]:
    """What tells the rows of the covariance matrix of a term apart, in their order (`coordinates_of`)."""
    for effect in term.effects:
        for levels in effect_classes(term, effect):
            for k in range(effect.basis.size):
                for trait in traits:
                    if affects(effect, trait):
                        factors = tuple(classes.factor for classes in effect.classes)
                        yield str(effect.group), _function_identity(effect, k), factors, levels, trait


def _function_identity(effect: Effect, k: int) -> Hashable:
    """A function of a covariate, whatever the degree of its basis; the first Legendre polynomial is a constant."""
    basis = effect.basis
    if effect.column is None or (basis.kind == "legendre" and k == 0):
        return None
    limits = basis.lower, basis.upper
    return (effect.column, basis.kind, limits, k) if basis.kind == "legendre" else (effect.column, basis, k)
