"""What a fit hands out: tables in the library of the records, results that print as text, ratios along curves."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import polars.selectors as cs
import pytest
from test_bootstrap import fitted
from test_reml_dense import draw

import breedblup as bb
from breedblup.analysis.estimation import estimate_variances
from breedblup.analysis.reml_fit import RemlFit
from breedblup.inference.printed import table_lines


def fitted_pair() -> tuple[RemlFit, RemlFit]:
    """Fits of two traits to the same records in polars and in pandas."""
    data = draw(7)
    model = bb.Model.from_formula("(y1, y2) ~ herd + (1 | animal)")
    known = {"animal": data.known["animal"]}
    return tuple(estimate_variances(model, frame, known) for frame in (data.records, data.records.to_pandas()))  # type: ignore[return-value]


def tables_of(fit: RemlFit) -> dict[str, Any]:
    """Every table of a fit of two traits."""
    means = fit.means("herd")
    pair = {"B - C": {("herd", "B", "y1"): 1.0, ("herd", "C", "y1"): -1.0}}
    ratios = (
        "heritability",
        "proportions",
        "phenotypic_variance",
        "correlations",
        "intraclass_correlation",
        "repeatability",
    )
    return {name: getattr(fit, name).frame for name in ratios} | {
        "components": fit.components, "history": fit.history_table, "fixed": fit.fixed, "wald": fit.wald,
        "matrix": fit.correlations.matrix("animal"), "criteria": fit.criteria.frame,
        "derive": fit.derive(["animal[1,1]", "residual[2,2]"]).frame, "means": means.means, "differences": means.differences,
        "averages": means.averages, "contrasts": fit.contrasts(pair).table, "residuals": fit.residuals.table,
        "quantiles": fit.residuals.quantiles, "leverages": fit.leverages.table,
        "profile": fit.profile("animal[1,1]", points=0).frame, "predicted": fit.predict(fit.problem.design.table.frame.head(3)
        if isinstance(fit.components, pl.DataFrame) else fit.problem.design.table.frame.head(3).to_pandas()).table,
        "repeatability_of": fit.repeatability_of("animal").frame,
    }  # fmt: skip


def test_tables_come_in_the_library_of_the_records() -> None:
    in_polars, in_pandas = (tables_of(fit) for fit in fitted_pair())
    for name, table in in_polars.items():
        assert isinstance(table, pl.DataFrame), name
        assert isinstance(in_pandas[name], pd.DataFrame), name
        kept = table.select(~cs.starts_with("seconds"))
        pd.testing.assert_frame_equal(kept.to_pandas(), in_pandas[name][kept.columns], check_dtype=False)


def test_results_print_the_same_whatever_the_library() -> None:
    in_polars, in_pandas = fitted_pair()
    for name in ("heritability", "correlations", "residuals", "leverages", "criteria"):
        assert repr(getattr(in_polars, name)) == repr(getattr(in_pandas, name))
    assert repr(in_polars.means("herd")) == repr(in_pandas.means("herd"))
    assert in_polars.summary() == in_pandas.summary()
    with pytest.raises(bb.ModelError, match=r"Heritability: there are 2 rows, so there is no single estimate"):
        _ = in_pandas.heritability.estimate


def test_results_are_text() -> None:
    fit = fitted("repeatability")
    means = fit.means("herd")
    lines = str(means).splitlines()
    assert lines[0] == "Predicted means"
    assert re.fullmatch(r"  trait +herd +mean +se +df +lower +upper", lines[1])
    row = means.means.row(0, named=True)
    assert lines[2].split()[:4] == ["y1", "A", f"{row['mean']:.5g}", f"{row['se']:.5g}"]
    assert "Differences" in lines
    contrasts = fit.contrasts({"B - C": {("herd", "B"): 1.0, ("herd", "C"): -1.0}})
    first, header, _, last = str(contrasts).splitlines()
    assert first == "Contrasts of fixed effects"
    assert re.fullmatch(r"  contrast +estimate +se +df +t +p", header)
    assert contrasts.joint is not None
    assert (
        last
        == f"  all zero: F {contrasts.joint.f:.5g} on 1 and {contrasts.joint.denominator_df:.5g} df, p {contrasts.joint.p:.4g}"
    )
    n = int(fit.problem.design.observed.sum())
    first, header, row_text = str(fit.residuals).splitlines()
    assert first == f"Residuals (y1 {n} values), quantiles of scaled ones; all in .table"
    assert header.split() == ["trait", "min", "q1", "median", "q3", "max"]
    assert float(row_text.split()[3]) == pytest.approx(fit.residuals.quantiles["median"][0], rel=1e-4)
    first, header, row_text = str(fit.leverages).splitlines()
    assert first == "Leverages, by trait; all in .table"
    assert row_text.split()[:3] == ["y1", str(n), f"{fit.leverages.effective_df[0]:.5g}"]
    criteria = str(fit.criteria).splitlines()
    assert criteria[0] == "Information criteria"
    assert criteria[2].split()[0] == "lme4"
    assert "np." not in repr(fit.criteria.asreml) + repr(fit.criteria)
    predicted = str(fit.predict(fit.problem.design.table.frame.head(2))).splitlines()
    assert predicted[0] == "Fitted values"
    assert predicted[1].split() == ["record", "trait", "fitted", "se"]
    assert len(predicted) == 4
    assert str(fit.simulate(2, seed=4)) == f"2 sets of simulated responses of {n} records, seed 4"
    assert str(fit.simulate(1, conditional=True)).endswith("seed 0, random effects those of the fit")
    linear = fitted("no random terms").linear_model
    assert repr(linear) == str(linear)
    assert str(fitted("maternal").correlations).splitlines()[0] == "Correlations"


def test_leverages_as_a_table() -> None:
    fit = fitted("two traits")
    table, residuals = fit.leverages.table, fit.residuals.table
    assert table.columns == ["row", "trait", "leverage", "studentised"]
    assert table.select("row", "trait").equals(residuals.select("row", "trait"))
    sums = table.group_by("trait", maintain_order=True).agg(pl.col("leverage").sum()).sort("trait")["leverage"]
    np.testing.assert_allclose(sums, fit.leverages.effective_df, rtol=1e-12)


def test_long_tables_are_cut_and_many_differences_are_averaged() -> None:
    frame = pl.DataFrame({"level": [f"g{k}" for k in range(40)], "value": np.arange(40.0), "note": [None] * 40})
    lines = table_lines(frame)
    assert lines[0] == "  level  value"
    assert lines[-1] == "  … and 10 rows more"
    assert len(lines) == 32
    rng = np.random.default_rng(2)
    records = pl.DataFrame({"g": [f"g{k:02d}" for k in np.repeat(np.arange(10), 4)], "y": rng.normal(size=40)})
    shown = str(estimate_variances(bb.Model.from_formula("y ~ g"), records).means("g"))
    assert "Differences: averages of all" in shown
    assert "average_sed" in shown


def test_ratios_along_a_curve_and_of_a_factor() -> None:
    fit = fitted("random regression")
    points = [1.0, 9.0]
    h2, t = fit.along(points).frame, fit.along(points, "repeatability").frame
    assert h2["point"].to_list() == points
    np.testing.assert_allclose(t["estimate"], fit.along(points, "intraclass_correlation").frame["estimate"], rtol=1e-12)
    total = fit.along(points, "phenotypic_variance").frame["estimate"]
    residual = fit.along(points, "proportions").frame.filter(term="residual")["estimate"]
    np.testing.assert_allclose(residual * total, fit.variances.residual, rtol=1e-12)
    np.testing.assert_allclose(t["estimate"], 1.0 - residual, rtol=1e-12)
    assert fit.repeatability_of("animal", points=points).frame.equals(t)
    assert fit.along(points, trait="y1").frame.equals(h2)
    assert (fit.along(points).covariate, fit.covariances_along(points).covariate) == ("day", "day")
    assert fitted("animal").heritability.covariate == ""
    with pytest.raises(
        bb.ModelError, match=r"along: there is no ratio 'proportion'; did you mean 'proportions'\?; there are"
    ):
        fit.along(points, "proportion")  # type: ignore[arg-type]
    with pytest.raises(bb.ModelError, match=r"take it at points of 'day': fit\.along\(points, ratio\)"):
        _ = fit.proportions
    crossed = estimate_variances(bb.Model.from_formula("y1 ~ x + (1 | herd) + (1 | litter)"), draw(7).records)
    with pytest.raises(
        bb.ModelError, match=r"'herd', 'litter' could be .*; name the column: fit\.repeatability_of\(column\)"
    ):
        _ = crossed.repeatability
    assert crossed.repeatability_of("litter").frame["grouping"].to_list() == ["litter"]
