"""What is read of estimated variances: model, likelihood, variances, ratios, fixed effects, and what was decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from breedblup.analysis.component_sections import variance_sections
from breedblup.analysis.fixed_sections import fixed_section, linear_section, residual_section, wald_section
from breedblup.analysis.sections import Section, number
from breedblup.analysis.summary_ratios import ratio_frame, ratio_sections, share_table, traits_without_ratios
from breedblup.errors import counted
from breedblup.frames import as_table
from breedblup.inference.fixed import fixed_effects, terms_without_tests, wald_tests
from breedblup.inference.likelihood_ratio import FittedLikelihood, information_criteria
from breedblup.inference.linear_model import LinearModelSummary, linear_model_summary
from breedblup.inference.residuals import residuals_of

if TYPE_CHECKING:
    from breedblup.analysis.reml_fit import RemlFit

METHODS = {"ai": "average information", "em": "EM", "px-em": "EM with parameter expansion"}


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
    return SummaryTables(fixed, wald, quantiles, ratio_frame(fit), share_table(fit), linear)


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
    sections += ratio_sections(tables.ratios)
    if tables.fixed.height:
        sections += [fixed_section(tables.fixed, with_df=True), wald_section(tables.wald)]
    return [*sections, _notes(fit)]


def _is_linear(fit: RemlFit) -> bool:
    """Whether it is a linear model in the sense of R's `lm`, with the variance that least squares has."""
    return not fit.problem.design.random and fit.estimates.status == ("free",) and fit.options.likelihood == "reml"


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


def _notes(fit: RemlFit) -> Section:
    """What was decided."""
    ratios = traits_without_ratios(fit).values()
    said = tuple(dict.fromkeys((*fit.notes, *ratios, *terms_without_tests(fit.point))))
    return Section.of_facts("Notes", [("-", note) for note in said])
