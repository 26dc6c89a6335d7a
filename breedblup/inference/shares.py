"""What the variance of a record is made of.

A record takes z'u from the effects u of a random term, z being 1, the weights of ``mm()`` or functions of a covariate: the term
adds z'(G₀ ∘ R)z to its variance, R holding the relationships of the levels that the record reaches: their own, K_ii, on the
diagonal; those between them beside it. The residual is that of a record with weight 1. Two scales:

- ``base``: non-inbred levels (K_ii = 1), parent and offspring related by ½ (sire and maternal grandsire by their shares). For
  direct and maternal effects this is σ²_A + σ_AM + σ²_M, as in Willham (1972, J. Anim. Sci. 35:1288).
- ``observed``: the K of the model, averaged over the records of the trait, so that each counts once.

Levels that are no parent of each other are taken as unrelated, unless K was given as a matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from breedblup.design import Design, DesignTerm
from breedblup.design.basis import basis_values
from breedblup.errors import ModelError
from breedblup.relationship import RelationshipInverse
from breedblup.relationship.inverse import MatrixOperator
from breedblup.variances import MatrixBlock, ParameterSpace

FloatArray: TypeAlias = NDArray[np.float64]

Scale = Literal["base", "observed"]

RESIDUAL = "residual"


class Share(NamedTuple):
    """A part of a (co)variance of records, linear in the parameters: ``weights`` (p,) times θ.

    ``effect`` and ``other`` are groups of levels (``direct``, ``maternal``), the same for a variance; both are empty for the
    residual.
    """

    term: str
    effect: str
    other: str
    weights: FloatArray


@dataclass(frozen=True, slots=True)
class Setting:
    """Where the variance of a record is looked at.

    Attributes
    ----------
    scales
        By key of each random term.
    point
        Value of the covariate of random regressions; None for models without them.
    residual_class
        None where there are no classes.
    known
        Averages over the records, which settings of the same data may have in common.
    """

    space: ParameterSpace
    design: Design
    scales: Mapping[str, Scale]
    point: float | None = None
    residual_class: str | None = None
    known: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False, compare=False)

    def total(self, trait: int, other: int | None = None) -> FloatArray:
        """The phenotypic variance of a trait, or the covariance of two, as weights of the parameters."""
        weights: FloatArray = np.sum([share.weights for share in self.shares(trait, other)], axis=0)
        return weights

    def shares(self, trait: int, other: int | None = None) -> list[Share]:
        """Parts of the phenotypic variance of a trait, or of the covariance of two traits, which add up to it."""
        other = trait if other is None else other
        found = []
        for block, term in zip(self.space.blocks, self.design.random, strict=False):
            related = self._once(relatedness, term, trait, other, self.scales[term.name])
            left, right = (functions_at(term, t, self.design.traits[t], self.point) for t in (trait, other))
            found += list(_shares_of_term(self.space, block, term, related, np.outer(left, right)))
        return [*found, Share(RESIDUAL, "", "", self.residual_weights(trait, other))]

    def mean_diagonal(self, k: int, group: str, trait: int) -> float:
        """Mean of K_ii of the k-th random term over the levels that records of a trait reach in a group; 1 in the base scale."""
        term = self.design.random[k]
        mean: float = self._once(mean_diagonal, term, group, trait, self.scales[term.name])
        return mean

    def _once(self, function: Callable[..., Any], term: DesignTerm, *arguments: Any) -> Any:
        """A function of a term and the records, computed once."""
        key = (function.__name__, term.name, *arguments)
        if key not in self.known:
            self.known[key] = function(term, self.design.observed, *arguments)
        return self.known[key]

    def residual_weights(self, trait: int, other: int) -> FloatArray:
        """The residual (co)variance of two traits."""
        block = next(b for b in self.space.blocks if b.is_residual and b.level == self.residual_class)
        ones = np.zeros((block.order, block.order))
        ones[trait, other] = 1.0
        return element_weights(self.space, block, ones)


def default_scale(relationship: RelationshipInverse | None) -> Scale:
    """``base`` for a pedigree, whose variance is that of its founders, and for K = I; ``observed`` for a K of another kind."""
    if relationship is None:
        return "base"
    founders = relationship.groups is None or relationship.groups.kind == "fixed"
    return "base" if relationship.pedigree is not None and founders else "observed"


def residual_levels(space: ParameterSpace) -> tuple[str | None, ...]:
    """Classes of the residual; a single None where there are none."""
    return tuple(block.level for block in space.blocks if block.is_residual)


def group_name(group: str) -> str:
    """What tables call a group of levels."""
    return group or "direct"


def element_weights(space: ParameterSpace, block: MatrixBlock, products: FloatArray) -> FloatArray:
    """Weights (p,) of the parameters in Σ products_ij G_ij."""
    weights = np.zeros(space.size)
    rows, columns = block.elements
    both = products + products.T
    weights[block.slice] = np.where(rows == columns, 0.5, 1.0) * both[rows, columns]
    return weights


def functions_at(term: DesignTerm, trait: int, name: str, point: float | None) -> FloatArray:
    """What multiplies each coordinate of a term (c,) in a record of a trait: 1, or functions of the covariate at a point.

    Raises
    ------
    ModelError
        The term is a random regression of the trait and no point is given, or one that its functions do not reach.
    """
    values = np.zeros(len(term.coordinates))
    for c, (coordinate, function) in enumerate(zip(term.coordinates, term.functions, strict=True)):
        if coordinate.trait != name:
            continue
        if function.column is None:
            values[c] = 1.0
        elif point is None:
            raise ModelError(
                f"the variance of {name!r} changes with {function.column!r} through {term.name!r}; take it at points of "
                f"{function.column!r}: fit.along(points, ratio)"
            )
        else:
            values[c] = basis_values(function.basis, [point])[0, function.number]
    return values


def relatedness(
    term: DesignTerm, observed: NDArray[np.bool_], trait: int, other: int, scale: Scale
) -> dict[tuple[str, str], float]:
    """By pair of groups: Σ wᵢ wⱼ K_ij over the levels i, j that a record reaches, averaged over the records of both traits."""
    both = observed[:, trait] & observed[:, other]
    records = int(np.count_nonzero(both))
    left, right = (list(_reached(term, t)) for t in (trait, other))
    found: dict[tuple[str, str], float] = {}
    for group, codes, weights in left:
        for other_group, other_codes, other_weights in right:
            use = both & (codes >= 0) & (other_codes >= 0)
            related = _related(term.relationship, codes[use], other_codes[use], scale)
            total = float(np.sum(weights[use] * other_weights[use] * related))
            pair = group, other_group
            found[pair] = found.get(pair, 0.0) + (total / records if records else np.nan)
    return found


def mean_diagonal(term: DesignTerm, observed: NDArray[np.bool_], group: str, trait: int, scale: Scale) -> float:
    """Mean of K_ii over the levels that records of a trait reach in a group; a level counts once a record."""
    if scale == "base" or term.relationship is None:
        return 1.0
    reached = [codes[observed[:, trait] & (codes >= 0)] for own, codes, _ in _reached(term, trait) if own == group]
    return float(term.relationship.diagonal[np.concatenate(reached)].mean())


def _shares_of_term(
    space: ParameterSpace,
    block: MatrixBlock,
    term: DesignTerm,
    related: Mapping[tuple[str, str], float],
    products: FloatArray,
) -> Iterator[Share]:
    """Variances of the groups of a term, then covariances between them."""
    groups = np.array([function.group for function in term.functions])
    names = list(dict.fromkeys(groups.tolist()))
    pairs = [(one, one) for one in names] + [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    for one, two in pairs:
        chosen = np.zeros_like(products)
        for a, b in {(one, two), (two, one)}:
            chosen += np.outer(groups == a, groups == b) * products * related.get((a, b), 0.0)
        if all((groups == group) @ np.abs(products) @ (groups == group) > 0 for group in (one, two)):
            yield Share(block.key, group_name(one), group_name(two), element_weights(space, block, chosen))


def _reached(term: DesignTerm, trait: int) -> Iterator[tuple[str, NDArray[np.int32], FloatArray]]:
    """Of each column of levels: its group, the codes of the records, and their weights."""
    for link in term.links:
        entry = next((entry for entry in link.entries if entry.trait == trait), None)
        if entry is None:
            continue
        function = term.functions[entry.coordinate]
        weights = np.full(len(link.codes), entry.scale)
        if function.column is None and entry.column >= 0 and term.values is not None:
            weights = weights * term.values[:, entry.column]
        yield function.group, link.codes, weights


def _related(
    relationship: RelationshipInverse | None, i: NDArray[np.int32], j: NDArray[np.int32], scale: Scale
) -> FloatArray:
    """Relationships of pairs of levels."""
    same = i == j
    related: FloatArray = same.astype(np.float64)
    if relationship is None:
        return related
    diagonal = relationship.diagonal if scale == "observed" else np.ones(len(relationship.diagonal))
    related *= diagonal[i]
    operator = relationship.operator
    if isinstance(operator, MatrixOperator) and operator.direct is not None:
        related[~same] = _entries(operator.direct, i[~same], j[~same])
        return related
    for child, parent in ((i, j), (j, i)):
        related += np.where(same, 0.0, _of_parents(relationship, child, parent, diagonal))
    return related


def _entries(matrix: Any, i: NDArray[np.int32], j: NDArray[np.int32]) -> FloatArray:
    """Entries of a dense or sparse matrix."""
    found: Any = matrix[i, j]
    return np.asarray(found.todense() if hasattr(found, "todense") else found, dtype=np.float64).reshape(-1)


def _of_parents(
    relationship: RelationshipInverse, child: NDArray[np.int32], parent: NDArray[np.int32], diagonal: FloatArray
) -> FloatArray:
    """Relationships of children with parents: share · K_pp + the other parent's share · K_sd; 0 for other pairs.

    K_ii = 1 + (product of the shares) · 2 K_sd, from which K_sd follows.
    """
    related = np.zeros(child.size)
    shares = [share for _, share in relationship.parents]
    for k, (positions, share) in enumerate(relationship.parents):
        between = (diagonal[child] - 1.0) / (2.0 * float(np.prod(shares)))
        found = positions[child] == parent
        related[found] = (share * diagonal[parent] + sum(shares[:k] + shares[k + 1 :]) * between)[found]
    return related
