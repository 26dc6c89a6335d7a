"""Predicted means and their differences against dense algebra on the cells of the design."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import shared_case
from reference import DenseMixedModel
from test_fixed_inference import ONE_TRAIT, TWO_TRAITS, lmer_records, point_of, small_records, with_covariance

import breedblup as bb
from breedblup.inference import grid, means
from breedblup.inference.means import PredictedMeans, predicted_means
from breedblup.reml.options import RemlOptions
from breedblup.reml.point import point_at

Array = np.ndarray[Any, Any]


def asked(formula: str, records: pl.DataFrame, *by: str, **options: Any) -> PredictedMeans:
    """Means of a model at given variances."""
    model = bb.Model.from_formula(formula)
    point = point_of(model, records, ONE_TRAIT if len(model.traits) == 1 else TWO_TRAITS)
    return predicted_means(model, point, with_covariance(point), by, **options)


def mean_of(records: pl.DataFrame) -> float:
    return float(records["x"].to_numpy().mean())


def by_cells(records: pl.DataFrame, at: float | None = None) -> tuple[Array, Array]:
    """Means of the cells of a and b (b inner) at a value of x, and their covariance matrix: t1 ~ a * b + x + (1 | g)."""
    dense = DenseMixedModel.of(("t1",), records, "g", None)
    cells = [f"a{i}:b{j}" for i in range(3) for j in range(2)]
    x = dense.columns([*(("a:b", cell, "t1") for cell in cells), ("x", "", "t1")])
    b, covariance = dense.generalised_least_squares(x, ONE_TRAIT)
    rows = np.column_stack([np.eye(6), np.full(6, mean_of(records) if at is None else at)])
    return rows @ b, rows @ covariance @ rows.T


def check_means(table: pl.DataFrame, rows: Array, cells: tuple[Array, Array]) -> None:
    np.testing.assert_allclose(table["mean"], rows @ cells[0], rtol=1e-9)
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(rows @ cells[1] @ rows.T)), rtol=1e-9)


def test_means_average_equally_over_the_cells_of_an_interaction() -> None:
    records = small_records()
    found = asked("t1 ~ a * b + x + (1 | g)", records, "a")
    assert found.means.columns == ["trait", "a", "mean", "se", "df", "lower", "upper", "note"]
    assert found.means["a"].to_list() == ["a0", "a1", "a2"]
    check_means(found.means, np.kron(np.eye(3), [[0.5, 0.5]]), by_cells(records))
    assert found.notes == (
        "t1: random effects at 0",
        "t1: averaged over b, every combination that may exist counting the same",
        f"t1: at x = {mean_of(records):g}",
    )
    check_means(asked("t1 ~ a * b + x + (1 | g)", records).means, np.full((1, 6), 1 / 6), by_cells(records))


def test_means_of_combinations_stand_in_the_order_asked_for() -> None:
    records = small_records()
    found = asked("t1 ~ a * b + x + (1 | g)", records, "b", "a", at={"x": 1.5})
    assert found.means.select("b", "a").rows() == [(f"b{j}", f"a{i}") for j in range(2) for i in range(3)]
    check_means(found.means, np.eye(6)[[0, 2, 4, 1, 3, 5]], by_cells(records, 1.5))
    assert found.notes[-1] == "t1: at x = 1.5"


def test_differences_have_their_own_errors_and_degrees_of_freedom() -> None:
    records = small_records()
    model = bb.Model.from_formula("t1 ~ a * b + x + (1 | g)")
    point = point_of(model, records, ONE_TRAIT)
    estimates = with_covariance(point)
    found = predicted_means(model, point, estimates, "a")
    cells, covariance = by_cells(records)
    rows = np.kron(np.array([[1, -1, 0], [1, 0, -1], [0, 1, -1]]), [[0.5, 0.5]])
    table = found.differences
    assert table.select("level", "other").rows() == [("a0", "a1"), ("a0", "a2"), ("a1", "a2")]
    np.testing.assert_allclose(table["difference"], rows @ cells, rtol=1e-9)
    np.testing.assert_allclose(table["sed"], np.sqrt(np.diag(rows @ covariance @ rows.T)), rtol=1e-9)
    np.testing.assert_allclose(table["t"], table["difference"] / table["sed"], rtol=1e-12)
    dense = DenseMixedModel.of(("t1",), records, "g", None)
    of_cells = [("a:b", f"a{i}:b{j}", "t1") for i in range(3) for j in range(2)]
    x = dense.columns([*of_cells, ("x", "", "t1")])
    turned = np.linalg.inv(np.vstack([np.column_stack([rows[:2], np.zeros(2)]), np.eye(7)[[0, 1, 3, 5, 6]]]))
    slopes = dense.slopes(x @ turned, point.problem.space, point.theta)[:, :2]
    spread = np.einsum("im,ij,jm->m", slopes, estimates.covariance, slopes)
    np.testing.assert_allclose(table["df"][:2], 2 * table["sed"][:2].to_numpy() ** 4 / spread, rtol=1e-6)
    averages = found.averages.row(0, named=True)
    assert averages["average_sed"] == pytest.approx(table["sed"].mean())
    assert (averages["minimum_sed"], averages["maximum_sed"]) == (table["sed"].min(), table["sed"].max())


def test_sorghum_means_are_those_of_a_balanced_trial() -> None:
    records = pl.read_csv(shared_case("seed_sorghum_E3") / "data.csv")
    model = bb.Model.from_formula("yield ~ gen + (1 | rep)")
    fit = bb.estimate_variances(model, records)
    found = predicted_means(model, fit.point, fit.estimates, "gen")
    wanted = records.group_by("gen", maintain_order=True).agg(pl.col("yield").mean()).sort("gen")
    np.testing.assert_allclose(found.means["mean"], wanted["yield"], rtol=1e-10)
    np.testing.assert_allclose(found.means["se"], 84.459113777, rtol=1e-6)
    averages = found.averages.row(0, named=True)
    assert averages["average_sed"] == pytest.approx(113.1975, abs=1e-3)
    assert averages["lsd"] == pytest.approx(113.1975 * 2.00758, rel=1e-5)  # t of 5 % on 51
    assert (found.means["upper"] - found.means["mean"]).to_list() == pytest.approx(
        (found.means["mean"] - found.means["lower"]).to_list()
    )


def test_each_trait_has_the_mean_of_its_own_records_for_covariates() -> None:
    records = small_records()
    found = asked("(t1, t2) ~ a + x + (1 | g)", records, "a")
    assert found.means["trait"].to_list() == ["t1"] * 3 + ["t2"] * 3
    mine = records.filter(pl.col("t2").is_not_null())
    assert f"t2: at x = {mean_of(mine):g}" in found.notes
    dense = DenseMixedModel.of(("t1", "t2"), records, "g", None)
    effects = [("a", f"a{i}", t) for t in ("t1", "t2") for i in range(3)] + [("x", "", t) for t in ("t1", "t2")]
    b, covariance = dense.generalised_least_squares(dense.columns(effects), TWO_TRAITS)
    rows = np.zeros((3, 8))
    rows[:, 3:6], rows[:, 7] = np.eye(3), mean_of(mine)
    of_second = found.means.filter(trait="t2")
    check_means(of_second, rows, (b, covariance))
    only = asked("(t1, t2) ~ a + x + (1 | g)", records, "a", traits=["t2"])
    assert only.means["mean"].to_list() == of_second["mean"].to_list()
    assert len(only.averages) == 1


def of_exact_records(formula: str, y: pl.Expr, at: dict[str, float]) -> list[float]:
    """Means of a where the fixed part explains the records completely, whatever the variances."""
    records = small_records()
    model = bb.Model.from_formula(formula)
    problem = point_of(model, records, ONE_TRAIT).problem.with_y(records.select(y=y).to_numpy())
    point = point_at(problem, problem.space.pack(ONE_TRAIT), exact=True)
    return predicted_means(model, point, with_covariance(point), "a", at=at).means["mean"].to_list()


@pytest.mark.parametrize("basis", ["leg(x, 2)", "poly(x, 2)", "bspline(x, 3)"])
def test_curves_are_followed_to_where_a_covariate_is_put(basis: str) -> None:
    x, formula = pl.col("x"), f"t1 ~ {basis} + a + (1 | g)"
    of_a = pl.col("a").replace_strict({"a0": 0.0, "a1": 1.0, "a2": -4.0})
    curve = 2.0 + 3.0 * x - 0.5 * x**2 + of_a
    np.testing.assert_allclose(
        of_exact_records(formula, curve, {"x": 2.5}), 2.0 + 7.5 - 3.125 + np.array([0.0, 1.0, -4.0]), rtol=1e-9
    )
    mean = mean_of(small_records())
    np.testing.assert_allclose(
        of_exact_records(formula, curve, {}), 2 + 3 * mean - 0.5 * mean**2 + np.array([0.0, 1.0, -4.0]), rtol=1e-9
    )


def test_slopes_within_classes_are_taken_with_their_class() -> None:
    slope = pl.col("a").replace_strict({"a0": 1.0, "a1": 2.0, "a2": -1.0})
    found = of_exact_records("t1 ~ a + a:x + (1 | g)", 3.0 + slope * pl.col("x"), {"x": 10.0})
    np.testing.assert_allclose(found, [13.0, 23.0, -7.0], rtol=1e-9)


def test_what_is_nested_is_averaged_within() -> None:
    rng = np.random.default_rng(8)
    herd = np.concatenate([np.arange(5), rng.integers(0, 5, 35)])
    records = pl.DataFrame({
        "herd": [f"h{i}" for i in herd], "region": [f"r{i // 3}" for i in herd], "g": [f"g{i % 7}" for i in range(40)],
        "sex": [f"s{i}" for i in rng.integers(0, 2, 40)], "t1": rng.normal(size=40) + herd,
    })  # fmt: skip
    found = asked("t1 ~ region + herd + sex + (1 | g)", records, "region")
    dense = DenseMixedModel.of(("t1",), records, "g", None)
    x = dense.columns([*(("herd", f"h{i}", "t1") for i in range(5)), ("sex", "s1", "t1")])
    rows = np.array([[1 / 3, 1 / 3, 1 / 3, 0, 0, 0.5], [0, 0, 0, 0.5, 0.5, 0.5]])
    check_means(found.means, rows, dense.generalised_least_squares(x, ONE_TRAIT))
    assert found.notes[1:] == (
        "t1: averaged over herd, every combination that may exist counting the same",
        "t1: averaged over sex, every combination with records counting the same",
    )


def test_a_combination_without_records_is_null_and_says_so() -> None:
    records = small_records().filter(~((pl.col("a") == "a1") & (pl.col("b") == "b1")))
    found = asked("t1 ~ a * b + x + (1 | g)", records, "a")
    table = found.means
    assert table["mean"].is_null().to_list() == [False, True, False]
    assert table["note"].to_list() == [None, "takes a combination of levels without records", None]
    assert table["se"].is_null().to_list() == table["lower"].is_null().to_list() == [False, True, False]
    assert found.differences["difference"].is_null().to_list() == [True, False, True]
    assert found.averages["average_sed"].item() == found.differences["sed"].drop_nulls().item()
    others = asked("t1 ~ x + a:b + (1 | g)", records).means
    assert others["mean"].null_count() == 0  # over the combinations that have records


def test_means_that_records_do_not_determine_are_null_where_differences_are_not() -> None:
    """Two blocks of a that no level of b joins: means within a block differ, blocks do not."""
    records = small_records().filter((pl.col("a") != "a2") == (pl.col("b") == "b0"))
    records = pl.concat(
        [records, records.filter(pl.col("a") == "a2").with_columns(a=pl.lit("a3"), t1=pl.col("t1") + 1)]
    )
    found = asked("t1 ~ a + b + x + (1 | g)", records.with_columns(b=pl.col("b") + pl.col("b")), "b")
    assert found.means["mean"].null_count() == 0  # b holds a: nested
    model = bb.Model.from_formula("t1 ~ z + a + x + (1 | g)")
    records = records.with_columns(z=pl.col("a").replace_strict({"a0": 0.25, "a1": 0.25, "a2": 1.5, "a3": 2.0}))
    point = point_of(model, records, ONE_TRAIT)
    found = predicted_means(model, point, with_covariance(point), "a")
    assert found.means["mean"].null_count() == 4
    assert set(found.means["note"]) == {"not estimable: depends on effects set to zero"}
    estimable = dict(zip(found.differences.select("level", "other").rows(), found.differences["sed"], strict=True))
    assert estimable["a0", "a1"] is not None
    assert estimable["a0", "a2"] is None


def test_no_mean_can_be_estimated() -> None:
    records = small_records().with_columns(z=pl.col("a").replace_strict({"a0": 0.25, "a1": 0.5, "a2": 1.5}))
    found = asked("t1 ~ z + a + (1 | g)", records, "a")
    assert found.differences["sed"].null_count() == 3
    assert found.averages.row(0) == ("t1", None, None, None, None)


def test_more_means_than_memory_have_errors_without_degrees_of_freedom(monkeypatch: pytest.MonkeyPatch) -> None:
    records = small_records()
    whole = asked("t1 ~ a * b + x + (1 | g)", records, "a")
    monkeypatch.setattr("breedblup.inference.contrasts.BLOCK_BYTES", 1)
    found = asked("t1 ~ a * b + x + (1 | g)", records, "a")
    assert found.means["df"].null_count() == found.differences["df"].null_count() == 3
    np.testing.assert_allclose(found.differences["sed"], whole.differences["sed"], rtol=1e-10)
    assert found.averages["lsd"].item() is None


def test_what_cannot_be_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    records = small_records()
    formula = "t1 ~ a * b + x + (1 | g)"
    with pytest.raises(bb.ModelError, match=r"t1 has no fixed factor 'aa'; did you mean 'a'\? \(it has a, b\)"):
        asked(formula, records, "aa")
    with pytest.raises(bb.ModelError, match=r"no fixed factor 'a:b'; for all combinations write \['a', 'b'\] \(it has"):
        asked(formula, records, "a:b")
    with pytest.raises(bb.ModelError, match=r"t1 has no fixed covariate 'w' \(it has x\)"):
        asked(formula, records, "a", at={"w": 1.0})
    with pytest.raises(bb.ModelError, match=r"the model has no trait 't3'.*\(it has t1\)"):
        asked(formula, records, "a", traits=["t3"])
    monkeypatch.setattr(means, "MEANS", 2)
    with pytest.raises(
        bb.ResourceError, match="t1: 3 means asked for by a, more than 2 at once -> ask for a factor of"
    ):
        asked(formula, records, "a")
    monkeypatch.setattr(grid, "CELLS", 5)
    with pytest.raises(bb.ResourceError, match="means over 'a', 'b' take 6 combinations of levels, more than 5 -> ask"):
        asked(formula, records, "a")


def test_means_are_those_of_emmeans() -> None:
    """What emmeans 1.8.4 gives for lmer(t1 ~ a * b + x + (1 | g), weights = w), degrees of freedom by Satterthwaite."""
    model = bb.Model.from_formula("t1 ~ a * b + x + (1 | g)", weights="w")
    fit = bb.estimate_variances(model, lmer_records(), options=RemlOptions(information="observed"))
    found = predicted_means(model, fit.point, fit.estimates, "a")
    np.testing.assert_allclose(found.means["mean"], [12.821727, 14.971812, 15.772871], atol=1e-5)
    np.testing.assert_allclose(found.means["se"], [0.8366178, 0.8250639, 0.8065722], atol=1e-6)
    np.testing.assert_allclose(found.means["df"], [14.12, 12.76, 12.56], atol=0.01)
    np.testing.assert_allclose(found.means["lower"], [11.028737, 13.185981, 14.024143], atol=1e-5)
    np.testing.assert_allclose(found.differences["difference"], [-2.1500843, -2.9511439, -0.8010596], atol=1e-5)
    np.testing.assert_allclose(found.differences["sed"], [0.7517533, 0.7824739, 0.7618586], atol=1e-6)
    np.testing.assert_allclose(found.differences["df"], [35.71, 35.88, 37.16], atol=0.01)
