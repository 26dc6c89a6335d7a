"""The figures of R's summary of a linear model."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from conftest import shared_case
from test_fixed_inference import ONE_TRAIT, TWO_TRAITS, point_of, small_records

import breedblup as bb
from breedblup.inference.fixed import fixed_effects
from breedblup.inference.linear_model import linear_model_summary

RESIDUAL = bb.VarianceComponents({}, residual=3.0)


def test_sorghum_as_r_prints_it() -> None:
    records = pl.read_csv(shared_case("seed_sorghum_E3") / "data.csv")
    found = linear_model_summary(bb.estimate_variances(bb.Model.from_formula("yield ~ gen + rep"), records).point)
    assert found.residual_se == pytest.approx(160.1, abs=0.05)
    assert found.residual_df == 51
    assert found.r_squared == pytest.approx(0.6748, abs=5e-5)
    assert found.adjusted_r_squared == pytest.approx(0.5473, abs=5e-5)
    assert found.numerator_df == 20
    assert found.f == pytest.approx(5.291, abs=5e-4)
    assert found.p == pytest.approx(7.64e-7, rel=1e-3)
    assert str(found) == (
        "Residual standard error: 160.1 on 51 degrees of freedom\n"
        "Multiple R-squared: 0.6748, adjusted R-squared: 0.5473\n"
        "F-statistic: 5.291 on 20 and 51 df, p-value: 7.64e-07"
    )


def test_sorghum_genotypes_have_the_coefficients_of_lm() -> None:
    folder = shared_case("seed_sorghum_E3")
    fit = bb.estimate_variances(bb.Model.from_formula("yield ~ gen"), pl.read_csv(folder / "data.csv"))
    table = fixed_effects(fit.point, fit.estimates).filter(~pl.col("constrained"))
    np.testing.assert_allclose(table["df"], 54.0, rtol=1e-6)
    np.testing.assert_allclose(table["se"], [84.459113777] + [119.443224169] * 17, rtol=1e-6)
    assert table["estimate"][:2].to_list() == pytest.approx([581.855, -66.515], rel=1e-8)
    assert linear_model_summary(fit.point).residual_se == pytest.approx(168.918227554, rel=1e-9)


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("weights", [None, "w"])
def test_figures_equal_their_definitions(constant: bool, weights: str | None) -> None:
    records = small_records()
    model = bb.Model.from_formula(f"t1 ~ {'1' if constant else '0'} + x + a", weights=weights)
    found = linear_model_summary(point_of(model, records, RESIDUAL))
    w = np.ones(48) if weights is None else records["w"].to_numpy()
    y = records["t1"].to_numpy()
    x = np.column_stack([records["x"].to_numpy(), *(records["a"].to_numpy() == f"a{i}" for i in range(3))]).astype(
        float
    )
    root = np.sqrt(w)
    b = np.linalg.lstsq(root[:, None] * x, root * y, rcond=None)[0]
    left = w @ (y - x @ b) ** 2
    total = w @ (y - np.average(y, weights=w) * constant) ** 2
    assert found.residual_se == pytest.approx(np.sqrt(left / 44))
    assert found.r_squared == pytest.approx(1 - left / total)
    assert found.adjusted_r_squared == pytest.approx(1 - (left / 44) / (total / (48 - constant)))
    assert (found.numerator_df, found.residual_df, found.has_constant) == (4 - constant, 44, constant)
    assert found.f == pytest.approx((total - left) / (4 - constant) / (left / 44))


def test_a_mean_alone_has_no_r_squared() -> None:
    found = linear_model_summary(point_of(bb.Model.from_formula("t1 ~ 1"), small_records(), RESIDUAL))
    assert found.residual_se == pytest.approx(small_records()["t1"].std())
    assert np.isnan([found.r_squared, found.adjusted_r_squared, found.f, found.p]).all()
    assert str(found).startswith("Residual standard error: ")
    assert "R-squared" not in str(found)


@pytest.mark.parametrize(
    ("formula", "variances", "classes", "what"),
    [
        ("t1 ~ x + (1 | g)", ONE_TRAIT, (), "random terms"),
        ("(t1, t2) ~ x", bb.VarianceComponents({}, residual=TWO_TRAITS.residual_matrix()), (), "several traits"),
        ("t1 ~ x", bb.VarianceComponents({}, residual={"b0": 1.0, "b1": 2.0}), ("b",), "residual variances by class"),
    ],
)
def test_other_models_are_refused(
    formula: str, variances: bb.VarianceComponents, classes: tuple[str, ...], what: str
) -> None:
    point = point_of(bb.Model.from_formula(formula, residual_classes=classes), small_records(), variances)
    with pytest.raises(
        bb.ModelError, match=f"those of a linear model .* has {what} -> look at fit.components and fit.wald"
    ):
        linear_model_summary(point)
