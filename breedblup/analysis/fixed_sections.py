"""Fixed effects, their tests, residuals and the figures of a linear model as sections of a summary."""

from __future__ import annotations

import polars as pl

from breedblup.analysis.sections import Section, align_points, decimals_for, number, p_text, significant, with_errors
from breedblup.errors import counted
from breedblup.inference.linear_model import LinearModelSummary

LEVELS_SHOWN = 20
"""Effects of a term and trait up to which all of them stand in a summary."""

EXACT_DF = 1e6
"""Degrees of freedom above this are those of a normal distribution."""


def fixed_section(fixed: pl.DataFrame, *, with_df: bool) -> Section:
    """Estimates with standard errors, t and p; of terms with many levels only how many they are.

    Parameters
    ----------
    fixed
        As `fixed_effects` makes it.
    with_df
        Whether degrees of freedom differ between effects, and are shown.
    """
    several = fixed["trait"].n_unique() > 1
    rows: list[list[str]] = []
    for (term, trait), table in fixed.group_by("term", "trait", maintain_order=True):
        named = [str(term), *([str(trait)] if several else [])]
        estimated = table.filter(~pl.col("constrained"))
        if estimated.height > LEVELS_SHOWN:
            levels = f"{counted(table.height, 'level')}, {estimated.height:,} estimated"
            rows.append([*named, levels, "", "", "", "", ""])
            continue
        cells = with_errors(list(estimated.select("estimate", "se").iter_rows()))
        for pair, one in zip(cells, estimated.iter_rows(named=True), strict=True):
            rows.append([*named, one["level"], *pair, _df(one["df"]), number(one["t"], 3), p_text(one["p"])])
    align_points(rows, range(len(rows[0]) - 5, len(rows[0]) - 1) if rows else ())
    header = ["term", *(["trait"] if several else []), "level", "estimate", "SE", "df", "t", "p"]
    if not with_df:
        at = header.index("df")
        header.pop(at)
        rows = [row[:at] + row[at + 1 :] for row in rows]
    left = 3 if several else 2
    numeric = tuple(k >= left for k in range(len(header)))
    return Section("Fixed effects", tuple(header), tuple(map(tuple, rows)), numeric)


def wald_section(wald: pl.DataFrame) -> Section:
    """F tests of terms; what they are averaged over, and why there is none, in footnotes."""
    several = wald["trait"].n_unique() > 1
    rows, notes = [], []
    for one in wald.iter_rows(named=True):
        named = [one["term"], *([one["trait"]] if several else [])]
        numerator = "" if one["numerator_df"] is None else str(one["numerator_df"])
        rows.append([*named, numerator, _df(one["denominator_df"]), significant(one["f"], 4), p_text(one["p"])])
        if one["note"]:
            notes.append(f"{', '.join(named)}: {one['note']}")
    first = 2 if several else 1
    align_points(rows, range(first + 1, first + 3))
    header = ("term", *(["trait"] if several else []), "num df", "den df", "F", "p")
    numeric = tuple(k >= first for k in range(len(header)))
    return Section("Wald tests, each term beside all others", header, tuple(map(tuple, rows)), numeric, tuple(notes))


def residual_section(quantiles: pl.DataFrame, title: str) -> Section:
    """Quantiles of residuals, a row for each trait."""
    several = quantiles.height > 1
    names = ("min", "q1", "median", "q3", "max")
    rows = []
    for one in quantiles.iter_rows(named=True):
        decimals = decimals_for(max(abs(one["min"]), abs(one["max"])), 5)
        rows.append([*([one["trait"]] if several else []), *(number(one[name], decimals) for name in names)])
    header = (*(["trait"] if several else []), "min", "1Q", "median", "3Q", "max")
    return Section(title, header, tuple(map(tuple, rows)), tuple(name != "trait" for name in header))


def linear_section(found: LinearModelSummary) -> Section:
    """Residual standard error, R² and F, as R's `summary.lm` has them."""
    lines = [
        f"Residual standard error: {significant(found.residual_se, 4)} on {found.residual_df:,} degrees of freedom"
    ]
    if found.numerator_df:
        lines += [
            f"Multiple R-squared: {found.r_squared:.4f}, adjusted R-squared: {found.adjusted_r_squared:.4f}",
            f"F-statistic: {significant(found.f, 4)} on {found.numerator_df:,} and {found.residual_df:,} df, "
            f"p-value: {p_text(found.p)}",
        ]
    return Section("", (), (), (False, False), tuple(lines))


def _df(value: float | None) -> str:
    """Degrees of freedom: whole where they are, one decimal elsewhere."""
    if value is None:
        return ""
    if value > EXACT_DF:
        return "inf"
    return f"{value:.0f}" if abs(value - round(value)) < 1e-6 else f"{value:.1f}"
