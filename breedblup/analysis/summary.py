"""What is read of estimated variances: model, likelihood, variances, ratios, fixed effects, and what was decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from breedblup.analysis.component_sections import variance_sections
from breedblup.analysis.fixed_sections import fixed_section, linear_section, residual_section, wald_section
from breedblup.analysis.sections import Section, align_points, number, number_with_error
from breedblup.errors import counted
from breedblup.frames import as_table
from breedblup.inference.effect_correlations import correlations
from breedblup.inference.fixed import fixed_effects, terms_without_tests, wald_tests
from breedblup.inference.likelihood_ratio import FittedLikelihood, information_criteria
from breedblup.inference.linear_model import LinearModelSummary, linear_model_summary
from breedblup.inference.ratios import (
    heritabilities,
    intraclass_correlations,
    proportions,
    total_maternal_heritabilities,
)
from breedblup.inference.residuals import residuals_of
from breedblup.model import Levels

if TYPE_CHECKING:
    from breedblup.analysis.reml_fit import RemlFit

METHODS = {"ai": "average information", "em": "EM", "px-em": "EM with parameter expansion"}

MOST_RATIOS = 30
"""Ratios that a summary shows."""

HEADINGS = {"what": "", "residual_class": "residual class"}

RATIO_COLUMNS = {
    "what": pl.String, "trait": pl.String, "residual_class": pl.String, "term": pl.String, "effect": pl.String,
    "estimate": pl.Float64, "se": pl.Float64, "scale": pl.String, "note": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class SummaryTables:
    """What a summary shows of effects, residuals and ratios.

    Attributes
    ----------
    fixed, wald
        As `fixed_effects` and `wald_tests` make them.
    quantiles
        Of the scaled residuals of each trait; of the residuals themselves for a linear model.
    ratios
        what (``heritability``, ``repeatability``, ``correlation``, …), trait, residual_class, term, effect, estimate, se,
        scale, note.
    shares
        term, trait, effect, estimate: proportions of the phenotypic variance; empty where these are curves or by residual class.
    linear
        Of a model of one trait without random terms.
    """

    fixed: pl.DataFrame
    wald: pl.DataFrame
    quantiles: pl.DataFrame
    ratios: pl.DataFrame
    shares: pl.DataFrame
    linear: LinearModelSummary | None


def summary_tables(fit: RemlFit) -> SummaryTables:
    """The tables that a summary is made of."""
    point, estimates = fit.point, fit.estimates
    residuals = residuals_of(point)
    linear = linear_model_summary(point) if _is_linear(fit) else None
    quantiles = as_table(residuals.quantiles, "quantiles").frame
    if linear is not None:
        quantiles = quantiles.with_columns(pl.col(pl.Float64) * float(point.variances.residual_matrix()[0, 0]) ** 0.5)
    fixed, wald = fixed_effects(point, estimates), wald_tests(point, estimates)
    return SummaryTables(fixed, wald, quantiles, _ratios(fit), _shares(fit), linear)


def summary_sections(fit: RemlFit, tables: SummaryTables) -> list[Section]:
    """The summary, section by section."""
    sections = [_overview(fit)]
    quantiles = tables.quantiles
    if tables.linear is not None:
        sections += [residual_section(quantiles, "Residuals"), fixed_section(tables.fixed, with_df=False)]
        sections += [linear_section(tables.linear), _notes(fit)]
        return sections
    sections += [_likelihood(fit), residual_section(quantiles, "Scaled residuals")]
    sections += variance_sections(fit.estimates, _labels(fit), _share_by_row(fit, tables.shares))
    sections += _ratio_sections(tables.ratios)
    if tables.fixed.height:
        sections += [fixed_section(tables.fixed, with_df=True), wald_section(tables.wald)]
    return [*sections, _notes(fit)]


def _is_linear(fit: RemlFit) -> bool:
    """Whether it is a linear model in the sense of R's `lm`, with the variance that least squares has."""
    return not fit.problem.design.random and fit.estimates.status == ("free",) and fit.options.likelihood == "reml"


def _has_curves(fit: RemlFit) -> bool:
    """Whether a random effect depends on a covariate."""
    return any(function.column is not None for term in fit.problem.design.random for function in term.functions)


def _overview(fit: RemlFit) -> Section:
    """Model, records and levels, how it was estimated."""
    design, options = fit.problem.design, fit.options
    counts = design.counts
    name = "ML" if options.likelihood == "ml" else "REML"
    left = counts.read - counts.used
    facts = [("" if k else "model", text) for k, text in enumerate(fit.model.formulas)]
    facts.append(("records", f"{counts.used:,} used" + (f" of {counts.read:,} read" if left else "")))
    if len(design.traits) > 1:
        numbers = design.observed.sum(axis=0).tolist()
        facts.append(("values", ", ".join(f"{trait} {n:,}" for trait, n in zip(design.traits, numbers, strict=True))))
    levels = [f"{term.name} {len(term.levels):,}" + _related(term.relationship) for term in design.random]
    facts += [("levels", ", ".join(levels))] if levels else []
    if _is_linear(fit):
        return Section.of_facts("Linear model, least squares", facts)
    rounds = counted(len(fit.history), "round")
    facts.append(("method", f"{METHODS[options.method]}, {rounds}; {fit.maximum.reason}"))
    facts.append(("errors", f"standard errors from the {fit.estimates.information} information"))
    kind = "Linear mixed model" if design.random else "Linear model"
    return Section.of_facts(f"{kind}, {name}", facts)


def _related(relationship: Any) -> str:
    return "" if relationship is None else f" ({relationship.made[0]})"


def _likelihood(fit: RemlFit) -> Section:
    """-2 log L with and without its constant, and the criteria made of it."""
    problem = fit.problem
    found = information_criteria(FittedLikelihood.of(fit.model, problem, fit.estimates, fit.point.minus2_log_l))
    restricted = problem.likelihood == "reml"
    constant = "(N - p) log 2π" if restricted else "N log 2π"
    rows = [
        (name, *(number(value, 4) for value in (one.minus2_log_l, one.aic, one.bic)), f"{one.parameters:,}")
        for name, one in (("as ASReml", found.asreml), ("as lme4", found.lme4))
    ]
    p = f", p = {counted(problem.rank, 'estimated fixed effect')}" if restricted else ""
    notes = (
        f"the first without {constant}, the second with it; N = {counted(problem.values, 'value')}{p}",
        "the first counts (co)variances that are free, the second all of them and the fixed effects; compare within a row",
    )
    header = ("", "-2 log L", "AIC", "BIC", "parameters")
    return Section(
        "Restricted likelihood" if restricted else "Likelihood",
        header,
        tuple(rows),
        (False, True, True, True, True),
        notes,
    )


def _labels(fit: RemlFit) -> dict[str, list[str]]:
    """Rows of the covariance matrices: effects, with traits where there are several."""
    design = fit.problem.design
    one = len(design.traits) == 1
    labels = {}
    for term in design.random:
        alone = {coordinate.effect for coordinate in term.coordinates} == {"direct"}
        parts = [("" if alone else c.effect, "" if one else c.trait) for c in term.coordinates]
        labels[term.name] = [" ".join(filter(None, both)) for both in parts]
    return labels | {"residual": [""] if one else list(design.traits)}


def _share_by_row(fit: RemlFit, shares: pl.DataFrame) -> dict[tuple[str, int], float]:
    """Proportions by name and row of a covariance matrix."""
    design = fit.problem.design
    found = {(term, trait, effect): value for term, trait, effect, value in shares.iter_rows()}
    rows: dict[tuple[str, int], float] = {}
    for term in design.random:
        for row, coordinate in enumerate(term.coordinates):
            key = (term.name, coordinate.trait, coordinate.effect)
            if key in found:
                rows[term.name, row] = found[key]
    for row, trait in enumerate(design.traits):
        if ("residual", trait, None) in found:
            rows["residual", row] = found["residual", trait, None]
    return rows


def _shares(fit: RemlFit) -> pl.DataFrame:
    """Proportions of the phenotypic variance, where they are the same for all records."""
    columns = ["term", "trait", "effect", "estimate"]
    design = fit.problem.design
    if not design.random or _has_curves(fit) or design.residual_levels is not None:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String) | {"estimate": pl.Float64})
    table: pl.DataFrame = proportions(fit.estimates, fit.model, design).frame
    return table.select(columns)


def _ratios(fit: RemlFit) -> pl.DataFrame:
    """Heritabilities, total maternal ones, what records of one level share, and correlations."""
    design = fit.problem.design
    arguments = fit.estimates, fit.model, design
    found: list[pl.DataFrame] = []
    if design.random and not _has_curves(fit):
        shared = intraclass_correlations(*arguments).frame.rename({"grouping": "term"})
        animals = pl.col("term").is_in(_columns_with_relationship(fit))
        named = pl.when(animals).then(pl.lit("repeatability")).otherwise(pl.lit("intra-class correlation"))
        shared = shared.with_columns(named.alias("what"))
        if any(term.relationship is not None for term in design.random):
            own = heritabilities(*arguments).frame.with_columns(pl.lit("heritability").alias("what"))
            found.append(own)
            shared = shared.filter(
                ~(animals & pl.col("estimate").is_in(own["estimate"].implode()))
            )  # of one term alone
        if any({"direct", "maternal"} <= {f.group for f in term.functions} for term in design.random):
            total = total_maternal_heritabilities(*arguments).frame
            found.append(total.with_columns(pl.lit("total heritability").alias("what")))
        found.append(shared)
    if any(block.order > 1 for block in fit.estimates.space.blocks):
        found.append(_pairs(correlations(*arguments).frame, len(design.traits)))
    return pl.concat([pl.DataFrame(schema=RATIO_COLUMNS), *(_in_columns(table) for table in found)])


def _columns_with_relationship(fit: RemlFit) -> list[str]:
    """Columns of the records whose levels have a relationship."""
    of = zip(fit.model.random, fit.problem.design.random, strict=True)
    groups = [term.groups[0] for term, coded in of if coded.relationship is not None]
    return [":".join(group.factors) for group in groups if isinstance(group, Levels)]


def _pairs(table: pl.DataFrame, traits: int) -> pl.DataFrame:
    """Correlations with one column that names the two effects, or traits, or both."""
    alone = ((pl.col("effect_1") == "direct") & (pl.col("effect_2") == "direct")).fill_null(True)
    names = []
    for k in (1, 2):
        effect = pl.when(alone).then(None).otherwise(pl.col(f"effect_{k}"))
        trait = pl.col(f"trait_{k}") if traits > 1 else pl.lit(None, pl.String)
        names.append(pl.concat_str(effect, trait, separator=" ", ignore_nulls=True).str.strip_chars())
    what, pair = pl.lit("correlation").alias("what"), pl.concat_str(names, separator=", ").alias("effect")
    return table.with_columns(what, pair)


def _in_columns(table: pl.DataFrame) -> pl.DataFrame:
    """The columns of `RATIO_COLUMNS`, null where a table has no such."""
    lacking = [pl.lit(None).alias(column) for column in RATIO_COLUMNS if column not in table.columns]
    return table.with_columns(*lacking).select(list(RATIO_COLUMNS)).cast(pl.Schema(RATIO_COLUMNS))


def _ratio_sections(ratios: pl.DataFrame) -> list[Section]:
    """Ratios, then correlations, with their standard errors; what is said of them in footnotes."""
    correlated = pl.col("what") == "correlation"
    return [
        _ratio_section(title, table)
        for title, table in (("Ratios", ratios.filter(~correlated)), ("Correlations", ratios.filter(correlated)))
        if table.height
    ]


def _ratio_section(title: str, ratios: pl.DataFrame) -> Section:
    alone = set(ratios["effect"].drop_nulls()) <= {"direct"}
    shown = [column for column in ("what", "trait", "residual_class", "effect") if ratios[column].n_unique() > 1]
    if title == "Ratios":
        shown = ["what", *(column for column in shown if column != "what" and not (column == "effect" and alone))]
    else:
        shown = [*(column for column in shown if column != "effect"), "effect"]
    rows, notes = [], []
    for one in ratios.head(MOST_RATIOS).iter_rows(named=True):
        rows.append(
            [one["term"], *(one[column] or "" for column in shown), *number_with_error(one["estimate"], one["se"], 4)]
        )
        if one["note"]:
            notes.append(f"{one['what']} of {one['term']}: {one['note']}")
    scales = ratios["scale"].drop_nulls().unique(maintain_order=True).to_list()
    notes += [f"scale: {', '.join(scales)}"] if scales else []
    notes += [f"and {ratios.height - MOST_RATIOS} more"] if ratios.height > MOST_RATIOS else []
    header = ("term", *(HEADINGS.get(column, column) for column in shown), "estimate", "SE")
    align_points(rows, (len(header) - 2, len(header) - 1))
    numeric = tuple(name in ("estimate", "SE") for name in header)
    return Section(title, header, tuple(map(tuple, rows)), numeric, tuple(dict.fromkeys(notes)))


def _notes(fit: RemlFit) -> Section:
    """What was decided."""
    said = tuple(dict.fromkeys((*fit.notes, *terms_without_tests(fit.point))))
    return Section.of_facts("Notes", [("-", note) for note in said])
