"""Ratios and correlations of a summary: of each trait whose records have one variance, and a sentence for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from breedblup.analysis.sections import Section, align_points, number_with_error
from breedblup.design import Design, DesignTerm
from breedblup.inference.effect_correlations import correlations
from breedblup.inference.places import changing_covariate, differing_classes
from breedblup.inference.ratios import (
    heritabilities,
    intraclass_correlations,
    proportions,
    total_maternal_heritabilities,
)
from breedblup.model import Levels, Model
from breedblup.model.coordinates import group_label

if TYPE_CHECKING:
    from breedblup.analysis.reml_fit import RemlFit

MOST_RATIOS = 30
"""Ratios that a summary shows."""

HEADINGS = {"what": "", "residual_class": "residual class"}

RATIO_COLUMNS = {
    "what": pl.String, "trait": pl.String, "residual_class": pl.String, "term": pl.String, "effect": pl.String,
    "estimate": pl.Float64, "se": pl.Float64, "scale": pl.String, "note": pl.String,
}  # fmt: skip

SHARE_COLUMNS = {"term": pl.String, "trait": pl.String, "effect": pl.String, "estimate": pl.Float64}


def traits_without_ratios(fit: RemlFit) -> dict[str, str]:
    """Why there is no single ratio, by trait whose records have several variances."""
    design = fit.problem.design
    found = {}
    for trait in design.traits:
        changing, differing = changing_covariate(design, trait), differing_classes(fit.model, trait)
        if differing:
            found[trait] = f"no ratios: {differing}; fit.derive(expression) has that of a class"
        elif changing:
            found[trait] = f"no single ratios: {changing}; fit.along(points) has them there"
    return found


def share_table(fit: RemlFit) -> pl.DataFrame:
    """Proportions of the phenotypic variance, where they are the same for all records."""
    design, without = fit.problem.design, traits_without_ratios(fit)
    found = [pl.DataFrame(schema=SHARE_COLUMNS)]
    if design.random and design.residual_levels is None:
        traits = [trait for trait in design.traits if trait not in without]
        found += [proportions(fit.estimates, fit.model, design, trait=trait).frame for trait in traits]
    return pl.concat([table.select(list(SHARE_COLUMNS)).cast(pl.Schema(SHARE_COLUMNS)) for table in found])


def ratio_frame(fit: RemlFit) -> pl.DataFrame:
    """Heritabilities, total maternal ones, what records of one level share, and correlations: `RATIO_COLUMNS`."""
    design, without = fit.problem.design, traits_without_ratios(fit)
    of_traits = [_ratios_of(fit, trait) for trait in design.traits if trait not in without]
    found = [table for kind in zip(*of_traits, strict=True) for table in kind if table is not None]
    if any(block.order > 1 for block in fit.estimates.space.blocks):
        found.append(_pairs(correlations(fit.estimates, fit.model, design).frame, len(design.traits)))
    return pl.concat([pl.DataFrame(schema=RATIO_COLUMNS), *(_in_columns(table) for table in found)])


def _ratios_of(fit: RemlFit, trait: str) -> list[pl.DataFrame | None]:
    """Heritabilities, total maternal ones, and intra-class correlations of a trait; None where it has no such."""
    design, arguments = fit.problem.design, (fit.estimates, fit.model, fit.problem.design)
    own = total = shared = None
    if any(term.relationship is not None and groups for term, groups in _groups(design, trait)):
        own = heritabilities(*arguments, trait=trait).frame.with_columns(pl.lit("heritability").alias("what"))
    if any({"direct", "maternal"} <= groups for _, groups in _groups(design, trait)):
        total = total_maternal_heritabilities(*arguments, trait=trait).frame
        total = total.with_columns(pl.lit("total heritability").alias("what"))
    if _has_groupings(fit.model, design, trait):
        shared = intraclass_correlations(*arguments, trait=trait).frame.rename({"grouping": "term"})
        animals = pl.col("term").is_in(_columns_with_relationship(fit))
        named = pl.when(animals).then(pl.lit("repeatability")).otherwise(pl.lit("intra-class correlation"))
        shared = shared.with_columns(named.alias("what"))
        if own is not None:  # that of one term alone is its heritability
            shared = shared.filter(~(animals & pl.col("estimate").is_in(own["estimate"].implode())))
    return [own, total, shared]


def _groups(design: Design, trait: str) -> list[tuple[DesignTerm, set[str]]]:
    """Each random term with its groups of levels that affect a trait."""
    return [
        (term, {f.group for f, c in zip(term.functions, term.coordinates, strict=True) if c.trait == trait})
        for term in design.random
    ]


def _has_groupings(model: Model, design: Design, trait: str) -> bool:
    """Whether a random term gives the records of a trait one level each."""
    pairs = zip(model.random, _groups(design, trait), strict=True)
    return any(
        isinstance(group, Levels) and group_label(term, group) in mine
        for term, (_, mine) in pairs
        for group in term.groups
    )


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


def ratio_sections(ratios: pl.DataFrame) -> list[Section]:
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
