"""Where ratios of variances are looked at: a trait, a point of a covariate, a residual class, in each of three scales."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from breedblup.design import Design
from breedblup.errors import ModelError, name_some, nearest
from breedblup.inference.ratio_table import Ratio
from breedblup.inference.shares import (
    FloatArray,
    Scale,
    Setting,
    Share,
    default_scale,
    element_weights,
    functions_at,
    residual_levels,
)
from breedblup.model import Levels, Members, Model, Random
from breedblup.model.random import affects
from breedblup.reml.estimates import Estimates

RECORDS_OF_SIRES = 2.0
"""Records a level, on average, from which levels of a pedigree may be the sires of what is recorded."""

SCALE_NAMES: dict[Scale, str] = {"base": "base population", "observed": "mean diagonal of K"}


@dataclass(frozen=True)
class Place:
    """A trait, at a point and for a residual class where there are such.

    ``settings`` are those of the default scale, without K and with the K observed, and so are all results of three.
    """

    trait: int
    labels: Mapping[str, Any]
    settings: tuple[Setting, Setting, Setting]

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.settings[0].space.size

    @cached_property
    def totals(self) -> list[FloatArray]:
        """The phenotypic variance, as weights of the parameters."""
        return [setting.total(self.trait) for setting in self.settings]

    def shares(self) -> list[list[Share]]:
        """Parts of the phenotypic variance."""
        return [setting.shares(self.trait) for setting in self.settings]

    def ratios(self, numerators: Sequence[FloatArray]) -> list[Ratio]:
        """Three numerators, each over the phenotypic variance."""
        return [Ratio(own, total) for own, total in zip(numerators, self.totals, strict=True)]

    def affected(self, k: int, group: str) -> bool:
        """Whether a group of levels of the k-th random term affects the trait."""
        return bool(self._functions(k, group).any())

    def effects(
        self, k: int, variances: Mapping[str, float], covariances: Mapping[tuple[str, str], float] | None = None
    ) -> FloatArray:
        """Weights of the parameters in a sum of variances of groups, and covariances between them, of the k-th random term."""
        space = self.settings[0].space
        products = np.zeros((space.blocks[k].order,) * 2)
        pairs = {(group, group): times for group, times in variances.items()} | dict(covariances or {})
        for (one, two), times in pairs.items():
            products += times * np.outer(self._functions(k, one), self._functions(k, two))
        return element_weights(space, space.blocks[k], products)

    def mean_diagonals(self, k: int, group: str) -> list[float]:
        """Mean diagonal of K of the k-th random term, 1 where the scale is the base."""
        return [setting.mean_diagonal(k, group, self.trait) for setting in self.settings]

    def scale_labels(self, k: int, group: str) -> dict[str, Any]:
        """What the estimate of an effect is, and the mean diagonal of K."""
        observed = self.mean_diagonals(k, group)[2]
        key = self.settings[0].design.random[k].name
        return {"scale": SCALE_NAMES[self.settings[0].scales[key]], "mean_diagonal": observed}

    def _functions(self, k: int, group: str) -> FloatArray:
        design, point = self.settings[0].design, self.settings[0].point
        term = design.random[k]
        of_group = np.array([function.group == group for function in term.functions])
        return of_group * functions_at(term, self.trait, design.traits[self.trait], point)


def places_of(
    estimates: Estimates, model: Model, design: Design, trait: str | None, points: Sequence[float] | None
) -> Iterator[Place]:
    """Traits, then points, then residual classes."""
    space = estimates.space
    own: dict[str, Scale] = {term.name: default_scale(term.relationship) for term in design.random}
    base: dict[str, Scale] = dict.fromkeys(own, "base")
    observed: dict[str, Scale] = dict.fromkeys(own, "observed")
    known: dict[tuple[Any, ...], Any] = {}
    for t in trait_numbers(design, trait):
        reason = differing_classes(model, design.traits[t])
        if reason:
            raise ModelError(
                f"{reason}, so there is no single ratio -> write that of a class with fit.derive(expression)"
            )
        for point in check_points(design, model, points):
            for level in residual_levels(space):
                labels: dict[str, Any] = {"trait": design.traits[t]}
                labels |= {} if point is None else {"point": point}
                labels |= {} if level is None else {"residual_class": level}
                default, plain, scaled = (
                    Setting(space, design, one, point, level, known) for one in (own, base, observed)
                )
                yield Place(t, labels, (default, plain, scaled))


def check_points(design: Design, model: Model, points: Sequence[float] | None) -> tuple[float | None, ...]:
    """The points at which variances are wanted; a single None where the model has no curves.

    Raises
    ------
    ModelError
        There are no curves, or along several covariates, or with weights from columns, or no point is given.
    """
    if points is None:
        return (None,)
    columns = {f.column: None for term in design.random for f in term.functions if f.column is not None}
    if not columns:
        raise ModelError(
            "points are given, but no random term is a regression on a covariate, so nothing changes along them -> take "
            "fit.heritability, fit.proportions, fit.repeatability, fit.intraclass_correlation or fit.phenotypic_variance"
        )
    if len(columns) > 1:
        raise ModelError(
            f"random terms depend on the covariates {name_some(columns)}, and a point is a value of one; write the function with "
            "fit.derive(expression)"
        )
    for key, term in zip(model.keys, model.random, strict=True):
        weighted = any(isinstance(e.group, Members) and e.group.weight_columns for e in term.effects if e.column)
        if weighted:
            raise ModelError(
                f"the weights of {key!r} differ between records and its effects depend on a covariate, so there is no curve of "
                "its variance"
            )
    numbers = np.asarray(points, dtype=np.float64).reshape(-1)
    if not numbers.size:
        raise ModelError("the list of points is empty; give at least one")
    return tuple(numbers.tolist())


def differing_classes(model: Model, trait: str) -> str:
    """Through which term the records of a trait have several variances, by class; empty where they have one."""
    for key, term in zip(model.keys, model.random, strict=True):
        factors = {c.factor: None for e in term.effects if affects(e, trait) for c in e.classes}
        if factors:
            return f"the variance of {trait!r} differs between the classes of {name_some(factors)} through {key!r}"
    return ""


def changing_covariate(design: Design, trait: str) -> str:
    """Through which term the variance of a trait changes with a covariate; empty where it does not."""
    for term in design.random:
        for coordinate, function in zip(term.coordinates, term.functions, strict=True):
            if function.column is not None and coordinate.trait == trait:
                return f"the variance of {trait!r} changes with {function.column!r} through {term.name!r}"
    return ""


def trait_numbers(design: Design, trait: str | None) -> tuple[int, ...]:
    """Positions of a trait, or of all; `ModelError` where there is none of this name."""
    if trait is None:
        return tuple(range(len(design.traits)))
    if trait not in design.traits:
        raise ModelError(
            f"there is no trait {trait!r}{nearest(trait, design.traits)}; there are {name_some(design.traits)}"
        )
    return (design.traits.index(trait),)


def may_be_sires(model: Model, design: Design, k: int, trait: int) -> bool:
    """Whether a term of a pedigree has several records a level, no level that is a dam, and its factors to itself."""
    related, columns = design.random[k].relationship, [_columns_of_levels(term) for term in model.random]
    if any(columns[k] & other for i, other in enumerate(columns) if i != k):
        return False
    if related is None or related.pedigree is None or related.pedigree.of_sires or len(related.parents) != 2:
        return False
    mine = design.observed[:, trait]
    seen = np.unique(np.concatenate([link.codes[mine & (link.codes >= 0)] for link in design.random[k].links]))
    several = np.count_nonzero(mine) >= RECORDS_OF_SIRES * seen.size
    return bool(several and not np.isin(seen, related.parents[1][0]).any())


def _columns_of_levels(term: Random) -> set[str]:
    """Columns of the records that hold the levels of a random term."""
    groups = [group.factors if isinstance(group, Levels) else group.columns for group in term.groups]
    return {column for columns in groups for column in columns}
