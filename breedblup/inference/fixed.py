"""Fixed effects with standard errors and t, and Wald F tests of whole terms.

A term is tested by marginal hypotheses that do not depend on which columns were set to zero, SAS's type III
(Goodnight 1976; Searle 1987): the functions of its effects, and of those of terms that contain it, that can be
estimated with all other effects at 0, taken orthogonal to those of the containing terms alone. For a term that no
other contains this is the test of the term adjusted for all others: ASReml's conditional Wald test, and what
comparing the models with and without it tests. For a factor within an interaction whose cells all have records it is
the equality of its marginal means, the cells weighted equally, lmerTest's default. A term contains another where the
columns of X of the second are sums of columns of the first: the interaction its factors, a nested factor what it is
nested in, every factor the intercept.

Degrees of freedom of the denominator pool those of orthogonal functions of the effects, so that they are the same
whichever level is the reference. lmerTest pools those of differences to the reference level, which for unbalanced
records gives slightly others (`named_contrasts` gives these too); it takes the observed information.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.design import Design, DesignTerm
from breedblup.errors import counted
from breedblup.inference.contrasts import (
    block_size,
    column_lengths,
    degrees_of_freedom,
    estimable_part,
    estimate_contrasts,
    joint_test,
    traits_of_columns,
    two_sided_p,
)
from breedblup.mme import EquationLayout
from breedblup.reml.estimates import Estimates
from breedblup.reml.point import Point

_Vector = NDArray[np.float64]
_Numbers = NDArray[np.int64]

COEFFICIENTS = 200
"""Terms of more estimated effects get no degrees of freedom and no test: each effect takes a solution and two passes over
the records."""

ROUNDED = 1e-8
"""Coefficients of an estimable function, scaled to about 1, that are rounding."""

FIXED_COLUMNS = {
    "term": pl.String, "level": pl.String, "trait": pl.String, "estimate": pl.Float64, "se": pl.Float64, "df": pl.Float64,
    "t": pl.Float64, "p": pl.Float64, "constrained": pl.Boolean,
}  # fmt: skip

WALD_COLUMNS = {
    "term": pl.String, "trait": pl.String, "numerator_df": pl.Int64, "denominator_df": pl.Float64, "f": pl.Float64,
    "p": pl.Float64, "note": pl.String,
}  # fmt: skip


def fixed_effects(point: Point, estimates: Estimates) -> pl.DataFrame:
    """Every fixed effect with its standard error and test.

    Parameters
    ----------
    point
        Variances and the solutions at them.
    estimates
        The variances with their covariance, which degrees of freedom come from.

    Returns
    -------
    polars.DataFrame
        term, level, trait, estimate, se, df (Satterthwaite), t, p (two-sided), constrained. Effects that are set to
        zero have nulls; effects of terms with more than `COEFFICIENTS` of them have no df and no p. Where nothing
        that a standard error depends on was estimated, df is infinite.
    """
    size = point.layout.fixed_size
    constrained = point.problem.dropped[:size]
    variance, df = np.full(size, np.nan), np.full(size, np.nan)
    large = [k for k, kept in enumerate(_kept(point)) if kept.size > COEFFICIENTS]
    if large:
        variance = np.where(constrained, np.nan, point.factor.inverse_diagonal()[:size])
    for k, kept in enumerate(_kept(point)):
        if k not in large:
            variance[kept], df[kept] = _each(point, estimates, kept)
    estimate = np.where(constrained, 0.0, point.x[:size])
    t = estimate / np.sqrt(variance)
    columns = {
        "term": _joined(pl.repeat(term.name, point.layout.equations(k), eager=True) for k, term in _fixed(point)),
        "level": _joined(effect_labels(term) for _, term in _fixed(point)),
        "trait": _joined(
            pl.Series([one.trait for one in term.coordinates] * len(term.levels), dtype=pl.String) for _, term in _fixed(point)
        ),
        "estimate": estimate, "se": np.sqrt(variance), "df": df, "t": t, "p": two_sided_p(t, df), "constrained": constrained,
    }  # fmt: skip
    return _without_nan(pl.DataFrame(columns, schema_overrides=FIXED_COLUMNS))


def terms_without_tests(point: Point) -> tuple[str, ...]:
    """A sentence for each term that has too many effects for degrees of freedom."""
    return tuple(
        f"{point.layout.terms[k].name}: {counted(kept.size, 'estimated effect')}, no degrees of freedom (up to {COEFFICIENTS})"
        for k, kept in enumerate(_kept(point))
        if kept.size > COEFFICIENTS
    )


def wald_tests(point: Point, estimates: Estimates) -> pl.DataFrame:
    """A marginal Wald F test of each fixed term and trait.

    Parameters
    ----------
    point, estimates
        As for `fixed_effects`.

    Returns
    -------
    polars.DataFrame
        term, trait, numerator_df, denominator_df (Satterthwaite; infinite where variances were not estimated), f, p,
        note. The note says over which terms the effects tested are averaged, or why there is no test.
    """
    rows = []
    for k, term in _fixed(point):
        for t, trait in enumerate(point.problem.design.traits):
            if any(one.trait == trait for one in term.coordinates):
                rows.append({"term": term.name, "trait": trait} | _test_of_term(point, estimates, k, t))
    return _without_nan(pl.DataFrame(rows, schema=WALD_COLUMNS))


def _test_of_term(point: Point, estimates: Estimates, k: int, trait: int) -> dict[str, Any]:
    """Cells of one row of the table of tests."""
    problem = point.problem
    containing = containing_terms(problem.design, k, trait)
    names = ", ".join(problem.design.fixed[other].name for other in containing)
    most = min(COEFFICIENTS, block_size(problem))
    equations = [equations_of(problem.plain, other, trait, problem.design) for other in (k, *containing)]
    estimated = sum(int((~problem.dropped[mine]).sum()) for mine in equations)
    if estimated > most:
        among = f" of the term and of {names}, which contain it" if names else ""
        return {"note": f"not tested: {counted(estimated, 'estimated effect')}{among}, more than {most}"}
    rows = marginal_hypothesis(point, equations[0], np.concatenate([np.empty(0, np.int64), *equations[1:]]), trait)
    if not len(rows):
        return {"numerator_df": 0, "note": "not tested: nothing of it can be estimated beside the other terms"}
    test = joint_test(estimate_contrasts(point, rows), estimates)
    return {
        "numerator_df": test.numerator_df, "denominator_df": test.denominator_df, "f": test.f, "p": test.p,
        "note": f"averaged over {names}" if names else None,
    }  # fmt: skip


def marginal_hypothesis(point: Point, own: _Numbers, containing: _Numbers, trait: int) -> _Vector:
    """Rows of the hypothesis that tests a term, orthonormal for columns of X of about length 1.

    Each effect is measured by the length of its columns of all levels together, so that no test depends on units.

    Parameters
    ----------
    own, containing
        Fixed equations of the term, and of all terms that contain it.
    trait
        Number of the trait that they belong to.

    Returns
    -------
    array
        Functions × fixed equations; none where nothing can be estimated.
    """
    problem = point.problem
    columns = np.concatenate([own, containing])
    kept = columns[~problem.dropped[columns]]
    lengths = column_lengths(problem)
    units = _lengths_of_effects(problem.plain, lengths)
    mine = traits_of_columns(problem) == trait
    of_trait = mine[problem.constraints.equations]
    constrained = problem.constraints.equations[of_trait]
    functions = np.zeros((kept.size, point.layout.fixed_size))
    functions[:, constrained] = estimable_part(point, kept)[:, of_trait] * units[kept, None] / units[constrained]
    functions[np.arange(kept.size), kept] = 1.0
    lengths = lengths / units
    others = np.setdiff1d(constrained, columns)
    allowed = _without(functions, others, kept, lengths)
    of_containing = _without(functions, np.concatenate([others, own]), kept, lengths)
    left = allowed
    if len(of_containing):
        inside = np.linalg.qr(of_containing.T)[0]
        left = allowed - (allowed @ inside) @ inside.T
    number = len(allowed) - len(of_containing)
    if number == 0:
        return left[:0]
    return np.where(mine, np.linalg.svd(left, full_matrices=False)[2][:number] * units, 0.0)


def _lengths_of_effects(layout: EquationLayout, lengths: _Vector) -> _Vector:
    """For each fixed equation the length of the columns of its effect over all levels; 1 where there are no records."""
    squares = np.empty_like(lengths)
    for k, term in enumerate(layout.terms):
        if term.kind == "fixed":
            part = slice(layout.starts[k], layout.starts[k + 1])
            of_effects = np.sum(lengths[part].reshape(-1, layout.width(k)) ** 2, axis=0)
            squares[part] = np.tile(of_effects, len(term.levels))
    return np.sqrt(np.where(squares > 0.0, squares, 1.0))


def _without(functions: _Vector, equations: _Numbers, kept: _Numbers, lengths: _Vector) -> _Vector:
    """Combinations of estimable functions, scaled to about 1, that have 0 at some equations."""
    recorded = equations[lengths[equations] > 0.0]
    scaled = functions[:, recorded] * lengths[kept, None] / lengths[recorded]
    left, sizes, _ = np.linalg.svd(scaled)
    rows = (left[:, int(np.sum(sizes > ROUNDED)) :].T * lengths[kept]) @ functions
    rows[:, recorded] = 0.0
    lengthwise: _Vector = rows / np.sqrt(np.sum(rows**2, axis=1, keepdims=True))
    return lengthwise


def containing_terms(design: Design, k: int, trait: int) -> list[int]:
    """Numbers of the terms whose columns for a trait add up to those of the k-th, and not the other way round."""
    return [
        other
        for other in range(len(design.fixed))
        if other != k and _contains(design, other, k, trait) and not _contains(design, k, other, trait)
    ]


def _contains(design: Design, outer: int, inner: int, trait: int) -> bool:
    """Whether every level of one term lies within a level of another, with the same covariates."""
    mine = design.observed[:, trait]
    left, right = (_of_trait(design.fixed[k], trait, mine) for k in (outer, inner))
    if left is None or right is None or (left[1] is None) != (right[1] is None):
        return False
    if left[1] is not None and right[1] is not None and not np.array_equal(left[1], right[1]):
        return False
    of_level = np.full(int(left[0].max(initial=0)) + 1, -1, dtype=np.int64)
    of_level[left[0]] = right[0]
    return bool(np.array_equal(of_level[left[0]], right[0]))


def _of_trait(term: DesignTerm, trait: int, mine: NDArray[np.bool_]) -> tuple[NDArray[np.int32], _Vector | None] | None:
    """Codes and covariates of a term for the records that have a trait; None where it does not affect it."""
    link = term.links[0]
    columns = [entry.column for entry in link.entries if entry.trait == trait]
    if not columns:
        return None
    return link.codes[mine], None if term.values is None else term.values[mine][:, columns]


def equations_of(layout: EquationLayout, k: int, trait: int, design: Design) -> _Numbers:
    """Equations of a fixed term that belong to a trait."""
    term = layout.terms[k]
    mine = [c for c, one in enumerate(term.coordinates) if one.trait == design.traits[trait]]
    levels = layout.width(k) * np.arange(len(term.levels), dtype=np.int64)
    return (int(layout.starts[k]) + levels[:, None] + np.array(mine, dtype=np.int64)).ravel()


def _each(point: Point, estimates: Estimates, kept: _Numbers) -> tuple[_Vector, _Vector]:
    """Variances and degrees of freedom of single effects."""
    variance, df = np.empty(kept.size), np.empty(kept.size)
    step = block_size(point.problem)
    for first in range(0, kept.size, step):
        mine = kept[first : first + step]
        rows = np.zeros((mine.size, point.layout.fixed_size))
        rows[np.arange(mine.size), mine] = 1.0
        found = estimate_contrasts(point, rows)
        variance[first : first + step] = found.covariance.diagonal()
        df[first : first + step] = degrees_of_freedom(found, estimates)
    return variance, df


def _fixed(point: Point) -> list[tuple[int, DesignTerm]]:
    """Fixed terms with their numbers."""
    return [(k, term) for k, term in enumerate(point.layout.terms) if term.kind == "fixed"]


def _kept(point: Point) -> list[_Numbers]:
    """Estimated equations of each fixed term."""
    starts, dropped = point.layout.starts, point.problem.dropped
    return [int(starts[k]) + np.flatnonzero(~dropped[starts[k] : starts[k + 1]]) for k, _ in _fixed(point)]


def effect_labels(term: DesignTerm) -> pl.Series:
    """Labels of the equations of a term."""
    if len(term.coordinates) == 1 and not term.coordinates[0].effect:
        return term.levels.cast(pl.String).rename("level")
    pairs = ((level, c) for level in range(len(term.levels)) for c in range(len(term.coordinates)))
    return pl.Series("level", [term.label(level, c) for level, c in pairs], dtype=pl.String)


def _joined(parts: Iterable[pl.Series]) -> pl.Series:
    """Series one after the other; an empty one where there are none."""
    return pl.concat([pl.Series([], dtype=pl.String).rename("joined"), *(part.rename("joined") for part in parts)])


def _without_nan(table: pl.DataFrame) -> pl.DataFrame:
    """What was not computed is null."""
    return table.with_columns(pl.col(pl.Float64).fill_nan(None))
