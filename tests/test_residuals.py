"""Residuals, their quantiles and leverages against dense algebra and lme4's summary."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import shared_case
from reference import DenseMixedModel
from test_fixed_inference import TWO_TRAITS, point_of, small_records

import breedblup as bb
from breedblup.inference.residuals import leverages_of, residuals_of


def dense_hat(records: pl.DataFrame) -> tuple[np.ndarray[Any, Any], ...]:
    """H, V, y, Xb̂ and R of (t1, t2) ~ a + x + (1 | g) with weights, values of records together."""
    dense = DenseMixedModel.of(("t1", "t2"), records, "g", "w")
    effects = [("a", level, t) for level in ("a0", "a1", "a2") for t in ("t1", "t2")] + [
        ("x", "", t) for t in ("t1", "t2")
    ]
    x = dense.columns(effects)
    v = dense.covariance(TWO_TRAITS.matrix("g"), TWO_TRAITS.residual_matrix())
    r = dense.covariance(0.0 * TWO_TRAITS.matrix("g"), TWO_TRAITS.residual_matrix())
    b, covariance = dense.generalised_least_squares(x, TWO_TRAITS)
    p = np.linalg.inv(v) - np.linalg.solve(v, x @ covariance @ np.linalg.solve(v, x).T)
    y = np.array([dense.rows[i][t] for i, t in dense.values])
    return np.eye(len(y)) - r @ p, p, y, x @ b, r


@pytest.mark.parametrize("likelihood", ["reml", "ml"])
def test_residuals_and_leverages_equal_dense_algebra(likelihood: str) -> None:
    records = small_records()
    model = bb.Model.from_formula("(t1, t2) ~ 0 + a + x + (1 | g)", weights="w")
    point = point_of(model, records, TWO_TRAITS, likelihood=likelihood)
    hat, p, y, marginal_fit, r = dense_hat(records)
    found, leverages = residuals_of(point), leverages_of(point)
    table = found.table
    assert table["trait"].to_list()[:2] == ["t1", "t2"]
    np.testing.assert_allclose(table["observed"], y)
    np.testing.assert_allclose(table["conditional"], r @ p @ y, atol=1e-10)
    np.testing.assert_allclose(table["fitted"], hat @ y, rtol=1e-10)
    np.testing.assert_allclose(table["marginal"], y - marginal_fit, atol=1e-10)
    np.testing.assert_allclose(table["scaled"], (r @ p @ y) / np.sqrt(np.diag(r)), atol=1e-10)
    known = point.problem.design.observed
    np.testing.assert_allclose(leverages.values[known], np.diag(hat), rtol=1e-9)
    np.testing.assert_allclose(leverages.studentised[known], (r @ p @ y) / np.sqrt(np.diag(r @ p @ r)), rtol=1e-8)
    assert np.isnan(leverages.values[~known]).all()
    assert np.isnan(found.conditional[~known]).all()
    np.testing.assert_allclose(leverages.effective_df.sum(), np.trace(hat), rtol=1e-10)


def test_residuals_by_class_are_scaled_by_the_variance_of_their_class() -> None:
    records = small_records()
    model = bb.Model.from_formula("t1 ~ x + (1 | g)", residual_classes="b")
    point = point_of(model, records, bb.VarianceComponents({"g": 2.0}, residual={"b0": 4.0, "b1": 9.0}))
    table = residuals_of(point).table
    sd = np.where(records["b"].to_numpy() == "b0", 2.0, 3.0)
    np.testing.assert_allclose(table["scaled"], table["conditional"] / sd, rtol=1e-12)


def test_rows_are_those_of_the_table_that_records_came_from() -> None:
    records = (
        small_records()
        .with_row_index()
        .with_columns(t1=pl.when(pl.col("index").is_in([3, 7])).then(None).otherwise("t1"))
    )
    point = point_of(
        bb.Model.from_formula("t1 ~ x + (1 | g)"), records, bb.VarianceComponents({"g": 2.0}, residual=3.0)
    )
    table = residuals_of(point).table
    assert table["row"].to_list() == [i for i in range(48) if i not in (3, 7)]
    np.testing.assert_array_equal(table["observed"], records["t1"].drop_nulls())


def test_a_record_that_is_alone_in_its_class_has_leverage_1_and_no_studentised_residual() -> None:
    records = (
        small_records()
        .with_row_index()
        .with_columns(a=pl.when(pl.col("index") == 5).then(pl.lit("alone")).otherwise("a"))
    )
    point = point_of(
        bb.Model.from_formula("t1 ~ a + x + (1 | g)"), records, bb.VarianceComponents({"g": 2.0}, residual=3.0)
    )
    found = leverages_of(point)
    np.testing.assert_allclose(found.values[5], 1.0, rtol=1e-12)
    assert np.isnan(found.studentised[5]).all()
    assert np.isfinite(np.delete(found.studentised, 5)).all()


def test_without_random_terms_leverages_add_up_to_the_rank() -> None:
    point = point_of(
        bb.Model.from_formula("t1 ~ a * b + x", weights="w"), small_records(), bb.VarianceComponents({}, residual=3.0)
    )
    np.testing.assert_allclose(leverages_of(point).effective_df, [7.0], rtol=1e-12)
    np.testing.assert_allclose(residuals_of(point).marginal, residuals_of(point).conditional, rtol=1e-12)


def test_sleepstudy_has_the_scaled_residuals_of_lme4s_summary() -> None:
    records = pl.read_csv(shared_case("sleepstudy") / "data.csv")
    fit = bb.estimate_variances(bb.Model.from_formula("reaction ~ covariate(days) + (1 + days | subject)"), records)
    quantiles = residuals_of(fit.point).quantiles
    assert quantiles.columns == ["trait", "min", "q1", "median", "q3", "max"]
    np.testing.assert_allclose(quantiles.row(0)[1:], [-3.9536, -0.4634, 0.0231, 0.4634, 5.1793], atol=1e-4)
