"""Correlations of effects and traits, and covariances along curves, with standard errors by the delta method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import polars.selectors as cs

from breedblup.design import Design, DesignTerm
from breedblup.errors import ModelError, name_some, nearest
from breedblup.frames import as_table, give_back
from breedblup.inference.expression_trees import Linearised
from breedblup.inference.functions import delta_error, joint_covariance
from breedblup.inference.places import check_points
from breedblup.inference.ratio_table import RatioTable, covariate_of
from breedblup.inference.shares import (
    FloatArray,
    Setting,
    default_scale,
    element_weights,
    functions_at,
    group_name,
    residual_levels,
)
from breedblup.model import Model
from breedblup.reml.estimates import Estimates
from breedblup.variances import MatrixBlock

PHENOTYPIC = "phenotypic"

AT_ONE = 1e-8
"""A correlation so near to 1 or -1 is that of a singular matrix."""


@dataclass(frozen=True, repr=False)
class CorrelationTable(RatioTable):
    """Correlations, one pair a row; `matrix` gives those of a term as a matrix.

    Attributes
    ----------
    labels
        By term: what the rows of its matrix are called, effect and trait.
    """

    labels: dict[str, tuple[str, ...]] | None = None

    def matrix(self, term: str) -> Any:
        """Correlations of a term, a row and a column for each effect and trait, 1 on the diagonal.

        Raises
        ------
        ModelError
            The term has no correlations.
        """
        known = self.labels or {}
        if term not in known:
            raise ModelError(
                f"there are no correlations of {term!r}{nearest(term, list(known))}; there are {name_some(known)}"
            )
        names = known[term]
        matrix = np.eye(len(names))
        values = self._rows.filter(pl.col("term") == term)["estimate"].fill_null(np.nan)
        for (j, i), value in zip(combinations(range(len(names)), 2), values, strict=True):
            matrix[i, j] = matrix[j, i] = value
        columns = {name: matrix[:, i] for i, name in enumerate(names)}
        table = pl.DataFrame({"": names, **columns}).with_columns(pl.col(*names).fill_nan(None))
        return give_back(table, as_table(self.frame, self.what).backend)


class _Pair(NamedTuple):
    """Labels of a row, and a covariance with its two variances, as weights of the parameters.

    ``known`` is a correlation that needs no estimate, NaN for one that there cannot be; the ``note`` says why.
    """

    labels: dict[str, Any]
    covariance: FloatArray
    variances: tuple[FloatArray, FloatArray]
    known: float | None = None
    note: str = ""


def correlations(estimates: Estimates, model: Model, design: Design, *, phenotypic: bool = True) -> CorrelationTable:
    """Correlations between the effects and traits of each random term, of residuals, and of phenotypes.

    Parameters
    ----------
    estimates, model, design
        Of a fit.
    phenotypic
        Whether those between traits of a record are wanted too; they are left out where random regressions, classes left of a
        bar, or residual classes make them several.

    Returns
    -------
    CorrelationTable
        term (``residual`` and ``phenotypic`` too), effect_1, trait_1, effect_2, trait_2, covariance, covariance_se, estimate,
        se, note. A row without an estimate says why in the note.

    Raises
    ------
    ModelError
        No term has two effects, and there is one trait.
    """
    space, pairs, labels = estimates.space, [], {}
    terms: list[DesignTerm | None] = [*design.random, *[None] * len(residual_levels(space))]
    for block, term in zip(space.blocks, terms, strict=True):
        own = (
            [("", trait) for trait in design.traits]
            if term is None
            else [(c.effect, c.trait) for c in term.coordinates]
        )
        if block.order > 1:
            labels[block.name] = tuple(" ".join(filter(None, one)) for one in own)
            pairs += list(_pairs_of_block(estimates, block, own))
    if phenotypic and len(design.traits) > 1 and _has_one_phenotype(model, design):
        labels[PHENOTYPIC] = design.traits
        pairs += list(_pairs_of_phenotypes(estimates, design))
    if not pairs:
        raise ModelError("there is one trait, and no random term has several effects, so there are no correlations")
    return CorrelationTable("Correlations", *_tabulated(estimates, pairs), labels=labels)


def curve_covariances(
    estimates: Estimates, model: Model, design: Design, points: Sequence[float], *, term: str | None = None
) -> RatioTable:
    """Covariances and correlations between points of the curves of random regressions, φ(s)'G₀φ(t).

    Parameters
    ----------
    estimates, model, design
        Of a fit.
    points
        In the unit of the covariate.
    term
        Key of a random term; None for all that are random regressions.

    Returns
    -------
    RatioTable
        term, effect (null for levels without a relationship), trait, point_1, point_2 (each pair once, a point with itself too),
        covariance, covariance_se, estimate (the correlation), se, note.

    Raises
    ------
    ModelError
        The term is unknown or no random regression, or as `heritabilities` has it of points.
    """
    found = check_points(design, model, points)
    keys = model.keys
    if term is not None and term not in keys:
        raise ModelError(f"the model has no random term {term!r}{nearest(term, keys)}; it has {name_some(keys)}")
    pairs: list[_Pair] = []
    for k, made in enumerate(design.random):
        if term in (None, made.name):
            pairs += list(_pairs_of_curves(estimates, design, k, [p for p in found if p is not None]))
    if not pairs:
        raise ModelError(f"{term!r} is no regression on a covariate, so it has no curve")
    return RatioTable("Along curves", *_tabulated(estimates, pairs), covariate=covariate_of(design))


def _pairs_of_block(estimates: Estimates, block: MatrixBlock, own: Sequence[tuple[str, str]]) -> Iterator[_Pair]:
    """Pairs of rows of a covariance matrix."""

    def element(i: int, j: int) -> FloatArray:
        products = np.zeros((block.order, block.order))
        products[i, j] = 1.0
        return element_weights(estimates.space, block, products)

    for j, i in combinations(range(block.order), 2):
        labels = {"term": block.name, "effect_1": own[j][0] or None, "trait_1": own[j][1]}
        labels |= {"effect_2": own[i][0] or None, "trait_2": own[i][1]}
        known = (None, "") if block.mask[i, j] else (0.0, "zero by the structure of the matrix")
        yield _Pair(labels, element(i, j), (element(j, j), element(i, i)), *known)


def _has_one_phenotype(model: Model, design: Design) -> bool:
    """Whether records of a trait have one variance."""
    curves = any(function.column is not None for term in design.random for function in term.functions)
    return (
        not curves
        and not any(e.classes for term in model.random for e in term.effects)
        and design.residual_levels is None
    )


def _pairs_of_phenotypes(estimates: Estimates, design: Design) -> Iterator[_Pair]:
    """Pairs of traits that records have together."""
    setting = Setting(estimates.space, design, {term.name: default_scale(term.relationship) for term in design.random})
    for t, s in combinations(range(len(design.traits)), 2):
        together = bool((design.observed[:, t] & design.observed[:, s]).any())
        labels = {"term": PHENOTYPIC, "effect_1": None, "trait_1": design.traits[t]}
        labels |= {"effect_2": None, "trait_2": design.traits[s]}
        weights = setting.total(t, s) if together else np.zeros(estimates.space.size)
        known: tuple[float | None, str] = (None, "") if together else (np.nan, "no record has both traits")
        if together and not weights.any():
            known = 0.0, "zero by the structure of the matrices"
        yield _Pair(labels, weights, (setting.total(t), setting.total(s)), *known)


def _pairs_of_curves(estimates: Estimates, design: Design, k: int, points: Sequence[float]) -> Iterator[_Pair]:
    """Pairs of points of each group and trait of a random regression."""
    term, block = design.random[k], estimates.space.blocks[k]
    groups = np.array([function.group for function in term.functions])
    for group in dict.fromkeys(groups.tolist()):
        effect = None if term.relationship is None and not group else group_name(group)
        for t, trait in enumerate(design.traits):
            mine = [
                f
                for f, c in zip(term.functions, term.coordinates, strict=True)
                if f.group == group and c.trait == trait
            ]
            if all(function.column is None for function in mine):
                continue
            phi = [functions_at(term, t, trait, point) * (groups == group) for point in points]
            variances = [element_weights(estimates.space, block, np.outer(one, one)) for one in phi]
            for a in range(len(points)):
                for b in range(a, len(points)):
                    labels: dict[str, Any] = {"term": term.name, "effect": effect, "trait": trait}
                    labels |= {"point_1": points[a], "point_2": points[b]}
                    weights = element_weights(estimates.space, block, np.outer(phi[a], phi[b]))
                    yield _Pair(labels, weights, (variances[a], variances[b]), 1.0 if a == b else None)


def _tabulated(estimates: Estimates, pairs: Sequence[_Pair]) -> tuple[pl.DataFrame, FloatArray]:
    """The rows, and the covariances of the sampling errors of the correlations."""
    lines: list[dict[str, Any]] = []
    gradients = []
    for pair in pairs:
        correlation, se, note = _correlation(estimates, pair)
        covariance_se = delta_error(estimates, pair.covariance)[0]
        own = {"covariance": float(pair.covariance @ estimates.theta), "covariance_se": covariance_se}
        estimate = correlation.value if np.isfinite(correlation.value) else None
        lines.append({**pair.labels, **own, "estimate": estimate, "se": se, "note": note})
        gradients.append(correlation.gradient)
    floats = ("covariance", "covariance_se", "estimate", "se")
    frame = pl.DataFrame(lines, infer_schema_length=None).with_columns(pl.col(floats).cast(pl.Float64))
    frame = frame.with_columns(cs.by_dtype(pl.Null).cast(pl.String))
    return frame, joint_covariance(estimates, gradients)


def _correlation(estimates: Estimates, pair: _Pair) -> tuple[Linearised, float | None, str]:
    """A correlation with its standard error, and what has to be said of it."""
    if pair.known is not None:
        return Linearised(pair.known, np.full(estimates.theta.size, 0.0 * pair.known)), None, pair.note
    found = correlation_of(estimates.theta, pair.covariance, pair.variances)
    if not np.isfinite(found.value):
        return found, None, "no correlation: a variance is zero"
    if abs(found.value) > 1.0 - AT_ONE:
        return found, None, "no standard error: a correlation of 1 or -1 is on its boundary"
    return found, *delta_error(estimates, found.gradient)


def correlation_of(theta: FloatArray, covariance: FloatArray, variances: tuple[FloatArray, FloatArray]) -> Linearised:
    """r = c/√(ab) and its derivatives, c' /√(ab) - ½ r (a'/a + b'/b); c, a, b are linear in the parameters.

    NaN where a or b is not positive.
    """
    c = float(covariance @ theta)
    a, b = (float(weights @ theta) for weights in variances)
    if a <= 0.0 or b <= 0.0:
        return Linearised(np.nan, np.full(theta.size, np.nan))
    scale = float(np.sqrt(a * b))
    return Linearised(c / scale, (covariance - 0.5 * c * (variances[0] / a + variances[1] / b)) / scale)
