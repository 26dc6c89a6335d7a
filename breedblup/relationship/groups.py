"""A⁻¹ with groups of unknown parents: fixed or random genetic groups, metafounders.

Rows are the animals, then the groups. Every animal i adds q q'/D_i with q = 1 at i and -½ at its parents, an unknown parent
standing for its group, or for its shares of several (Quaas 1988; Fikse 2009). What distinguishes the three is what is known
of the groups themselves:

- fixed (Quaas & Pollak 1981): nothing. A*⁻¹ is singular, û = Qĝ + â, and only differences between breeding values are estimable.
- random: var(g) = I/k in units of the additive variance, which adds k to the diagonal of each group.
- metafounders (Legarra et al. 2015): var(g) = Γ, which adds Γ⁻¹, and gives D and inbreeding too: F of a metafounder is
  γ - 1 and a(i, i) = 1 + ½a(sire, dam).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError, NotPositiveDefinite, name_some
from breedblup.kernels.inbreeding import NO_CLASSES, half_relationship_of_parents, mendelian_variance
from breedblup.pedigree import ContemporaryInbreeding, Pedigree, extended_parents
from breedblup.relationship.group_operator import GroupOperator
from breedblup.relationship.inverse import GroupKind, GroupRows, RelationshipInverse, refuse_other_pedigrees
from breedblup.relationship.numerator import inbreeding_used, refuse_without_variance, relationship_diagonal_of
from breedblup.relationship.operator import PedigreeOperator
from breedblup.solvers.dense import invert_dense

GROUPS_AT_ONCE = 8
"""Columns of Q that are held for all animals at a time."""


def group_inverse(
    pedigree: Pedigree, *, ratio: float | None = None, inbreeding: bool | ContemporaryInbreeding = True
) -> RelationshipInverse:
    """A⁻¹ with genetic groups of unknown parents, fixed or random (Quaas & Pollak 1981; Quaas 1988; Fikse 2009).

    Solutions of the animals are total breeding values û = Qĝ + â.

    Parameters
    ----------
    pedigree
        With groups: read with ``groups``, or by `group_unknown_parents`.
    ratio
        None: fixed groups, and a singular matrix. Else random ones: additive variance over the variance of a group, added to
        the diagonal of each group.
    inbreeding
        As in `a_inverse`.

    Raises
    ------
    ModelError
        If the pedigree has no groups, or the ratio is no positive number.
    """
    _refuse_without_groups(pedigree, "group_inverse")
    if ratio is not None and not (isinstance(ratio, int | float) and np.isfinite(ratio) and ratio > 0):
        raise ModelError(
            f"group_inverse: the ratio of variances is {ratio!r}; it has to be a positive number, or None (fixed)"
        )
    assert pedigree.groups is not None
    g = len(pedigree.groups.names)
    use = inbreeding_used(pedigree, inbreeding)
    variance = np.empty(len(pedigree))
    mendelian_variance(pedigree.sire, pedigree.dam, NO_CLASSES, use.in_variances, variance)
    refuse_without_variance(pedigree, variance)
    covariance = np.zeros((g, g)) if ratio is None else np.eye(g) / ratio
    precision = np.zeros((g, g)) if ratio is None else ratio * np.eye(g)
    kind = "fixed groups" if ratio is None else f"random groups, additive variance {ratio:g} times that of a group"
    operator = _operator(pedigree, variance, covariance, precision)
    return _related(
        pedigree,
        operator,
        "fixed" if ratio is None else "random",
        (relationship_diagonal_of(pedigree, use, variance), use.reported),
        (kind, use.said),
        0.0 if ratio is None else -g * float(np.log(ratio)),
    )


def metafounder_inverse(pedigree: Pedigree, gamma: Any, *, names: Sequence[str] | None = None) -> RelationshipInverse:
    """(A^Γ)⁻¹ over the animals and the metafounders that their unknown parents descend from (Legarra et al. 2015).

    A breeding value has the additive variance of a population whose base is unrelated and not inbred; that of the
    evaluation has to be divided by `variance_scaling` when it was estimated with such a base.

    Parameters
    ----------
    pedigree
        With groups, which are the metafounders.
    gamma
        Γ, g × g: relationships within and between metafounders; symmetric, positive definite, diagonal below 2.
    names
        Metafounders in the order of ``gamma``; needed unless that is the order of ``pedigree.groups.names``.

    Raises
    ------
    ModelError
        If the pedigree has no groups, or Γ is not such a matrix for them.
    NotPositiveDefinite
        If Γ is not positive definite; ``equation`` is its row.
    """
    _refuse_without_groups(pedigree, "metafounder_inverse")
    assert pedigree.groups is not None
    groups = pedigree.groups
    ordered = _ordered_gamma(_as_square(gamma), groups.names, names)
    try:
        precision, logdet = invert_dense(ordered)
    except NotPositiveDefinite as failure:
        raise NotPositiveDefinite(
            f"Γ is not positive definite, noticed at metafounder {groups.names[failure.equation]!r} -> correct it",
            failure.equation,
        ) from None
    base = ordered if groups.shares is None else np.ascontiguousarray(groups.shares @ ordered @ groups.shares.T)
    sire, dam = extended_parents(pedigree)
    inbreeding = np.zeros(len(pedigree))
    half_relationship_of_parents(sire, dam, base, inbreeding, inbreeding, 0)
    variance = np.empty(len(pedigree))
    mendelian_variance(sire, dam, base, inbreeding, variance)
    refuse_without_variance(pedigree, variance)
    operator = _operator(pedigree, variance, ordered, precision)
    said = (f"metafounders, variance scaling {variance_scaling(ordered):.6g}",)
    return _related(pedigree, operator, "metafounders", (1.0 + inbreeding, inbreeding), said, logdet)


def variance_scaling(gamma: Any) -> float:
    """1 + mean(diag Γ)/2 - mean(Γ): additive variance of an unrelated base over that of metafounders (Legarra et al. 2015).

    σ²_MF = σ²_u / scaling gives the variance to be used with A^Γ when σ²_u was estimated with A.

    Raises
    ------
    ModelError
        If Γ is no square table of numbers.
    """
    table = _as_square(gamma)
    return 1.0 + float(np.mean(np.diag(table))) / 2.0 - float(np.mean(table))


def group_shares(source: Pedigree, ids: Sequence[str] | pl.Series) -> pl.DataFrame:
    """What each of some animals owes to each group: rows of Q, columns ``id`` and one for each group (Quaas 1988).

    An animal owes half of what its parents owe, an unknown parent is of its group, or has shares of several; rows add up to 1.

    Raises
    ------
    ModelError
        If the pedigree has no groups.
    PedigreeError
        If an id is unknown.
    """
    _refuse_without_groups(source, "group_shares")
    line = source.ancestors_of(ids)
    assert source.groups is not None
    assert line.groups is not None
    empty = np.zeros((len(line.groups.names),) * 2)
    q = _operator(line, np.zeros(len(line)), empty, empty).owed_to_groups(np.eye(len(line.groups.names)))
    rows = q[line.known_positions_of(ids)]
    columns = {name: np.ascontiguousarray(rows[:, k]) for k, name in enumerate(line.groups.names)}
    nothing = np.zeros(rows.shape[0])
    found = pl.Series("id", list(ids), dtype=pl.String)
    return pl.DataFrame({"id": found, **{name: columns.get(name, nothing) for name in source.groups.names}})


def _refuse_without_groups(pedigree: Pedigree, function: str) -> None:
    refuse_other_pedigrees(pedigree, function, of_sires=False)
    if pedigree.groups is None:
        raise ModelError(
            f"{function}: {pedigree.name} has no groups of unknown parents -> read it with groups=..., or make them with "
            "group_unknown_parents"
        )


def _operator(
    pedigree: Pedigree,
    variance: NDArray[np.float64],
    covariance: NDArray[np.float64],
    precision: NDArray[np.float64],
) -> GroupOperator:
    assert pedigree.groups is not None
    for array in (variance, covariance, precision):
        array.flags.writeable = False
    animals = PedigreeOperator(*extended_parents(pedigree), variance, pedigree.groups.classes)
    return GroupOperator(animals, pedigree.groups.shares, covariance, precision)


def _as_square(gamma: Any) -> NDArray[np.float64]:
    """Γ as an array."""
    try:
        values = np.array(gamma, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ModelError("Γ has to be a square table of numbers, one row and column for each metafounder")
    return values


def _ordered_gamma(gamma: NDArray[np.float64], groups: pl.Series, names: Sequence[str] | None) -> NDArray[np.float64]:
    """Γ in the order of the groups."""
    given = groups.to_list() if names is None else [str(name) for name in names]
    if gamma.shape != (len(given),) * 2:
        raise ModelError(
            f"Γ is {' x '.join(map(str, gamma.shape))}, for {len(given)} metafounders ({name_some(given)}) -> give one row and "
            "column for each"
        )
    if sorted(given) != sorted(groups):
        raise ModelError(f"Γ is of metafounders {name_some(given)}, the groups of the pedigree are {name_some(groups)}")
    if not np.isfinite(gamma).all() or not np.allclose(gamma, gamma.T, rtol=1e-8, atol=1e-12):
        raise ModelError("Γ has to be symmetric, without missing values")
    if (np.diag(gamma) >= 2.0).any():
        raise ModelError(
            f"Γ has {np.diag(gamma).max():.6g} on its diagonal; a relationship of a metafounder is below 2"
        )
    place = [given.index(name) for name in groups]
    return np.ascontiguousarray(0.5 * (gamma + gamma.T)[np.ix_(place, place)])


def _related(
    pedigree: Pedigree,
    operator: GroupOperator,
    kind: GroupKind,
    diagonal_and_inbreeding: tuple[NDArray[np.float64], NDArray[np.float64]],
    said: tuple[str, ...],
    logdet_of_groups: float,
) -> RelationshipInverse:
    """What `group_inverse` and `metafounder_inverse` give, once D, var(g) and the diagonal at given groups are known."""
    groups, of = pedigree.groups, operator.among_classes
    assert groups is not None
    diagonal, inbreeding = diagonal_and_inbreeding
    if kind == "random":
        diagonal = diagonal + _variance_by_groups(operator)
    return RelationshipInverse(
        ids=pl.concat([pedigree.ids, groups.names.rename(pedigree.ids.name)]),
        operator=operator,
        known_diagonal=np.concatenate([diagonal, np.diag(operator.covariance)]),
        logdet=float(np.log(of.variance).sum()) + logdet_of_groups,
        made=(f"A from pedigree {pedigree.name}", *groups.made, *said),
        pedigree=pedigree,
        parents=((of.sire, 0.5), (of.dam, 0.5)),
        inbreeding=inbreeding,
        groups=GroupRows(groups.names, kind, operator),
    )


def _variance_by_groups(operator: GroupOperator) -> NDArray[np.float64]:
    """Diagonal of Q var(g) Q' where groups are independent, some groups at a time."""
    variances = np.diag(operator.covariance)
    total = np.zeros(operator.among_classes.sire.size)
    for first in range(0, variances.size, GROUPS_AT_ONCE):
        some = slice(first, first + GROUPS_AT_ONCE)
        q = operator.owed_to_groups(np.eye(variances.size)[:, some])
        total += np.square(q) @ variances[some]
    return total
