"""Fitted values of new records: those of the fit for its own records, and what the fit does not know."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from reference import dense_likelihood
from test_bootstrap import fitted
from test_reml_dense import KINDS, RANGE, draw

import breedblup as bb
from breedblup.analysis.estimation import estimate_variances
from breedblup.analysis.prediction import predict
from breedblup.analysis.reml_fit import RemlFit

LEFT_OF_A_BAR = (
    ("y1 ~ herd + (0 + class | animal)", True), ("y1 ~ herd + (class | animal)", True), ("y1 ~ herd + (class || animal)", True),
    ("y1 ~ herd + (class | litter)", False), ("y1 ~ herd + (0 + class:x | litter)", False), ("y1 ~ x + (herd + x || litter)", False),
    ("(y1, y2) ~ herd + (0 + class | animal)", True), ("(y1, y2) ~ class + (class + x || litter)", False),
    (f"y1 ~ herd + (0 + class:leg(day, 1, {RANGE}) | litter)", False), ("y1 ~ x + (class | animal) + (0 + herd | litter)", True),
    ("y1 ~ herd + (class + I(x / 10) || litter) + log1p(day)", False), ("log(w) ~ I(day / 10) + x + (I(day / 10) | litter)", False),
    ("log(w) ~ x:day + (x:day | litter)", False),
)  # fmt: skip


def used(fit: RemlFit) -> pl.DataFrame:
    """The records of a fit without their responses."""
    design = fit.problem.design
    return design.table.frame[design.rows].drop(design.traits)


def check_own_records(fit: RemlFit, own: pl.DataFrame) -> None:
    """Fitted values of the records of a fit, without their responses, are those that its residuals are the rest of."""
    found = predict(fit, own)
    assert found.table["record"].to_list() == np.repeat(np.arange(own.height), len(fit.model.traits)).tolist()
    assert found.table["trait"].to_list() == list(fit.model.traits) * own.height
    assert not found.notes
    expected = fit.residuals.table
    record = {row: k for k, row in enumerate(fit.problem.design.rows.tolist())}
    expected = expected.select(
        "trait", pl.col("row").replace_strict(record).alias("record"), pl.col("fitted").alias("wanted")
    )
    both = expected.join(found.table, on=["record", "trait"], how="left", maintain_order="left")
    np.testing.assert_allclose(both["fitted"], both["wanted"], rtol=1e-7, atol=1e-7)
    assert (both["se"] > 0).all()


@pytest.mark.parametrize("name", KINDS)
def test_own_records(name: str) -> None:
    fit = fitted(name)
    check_own_records(fit, used(fit))


@pytest.mark.parametrize(("formula", "related"), LEFT_OF_A_BAR)
def test_own_records_of_classes_left_of_a_bar_and_functions_of_columns(formula: str, related: bool) -> None:
    data = draw(7)
    known = {"animal": data.known["animal"]} if related else {}
    fit = estimate_variances(bb.Model.from_formula(formula), data.records, known)
    own = data.records[fit.problem.design.rows].drop(set(fit.model.traits) & set(data.records.columns))
    check_own_records(fit, own)


def test_classes_left_of_a_bar_that_are_refused() -> None:
    data = draw(7)
    fit = estimate_variances(bb.Model.from_formula("y1 ~ herd + (0 + class | litter)"), data.records)
    own = used(fit)[:3]
    with pytest.raises(
        bb.RecordError, match=r"new records row 1: class is 'K', and left of a bar the model has the classes"
    ):
        predict(fit, own.with_columns(pl.Series("class", ["H", "K", "L"])))
    with pytest.raises(bb.RecordError, match=r"new records row 2: 'class' is missing -> fill it in"):
        predict(fit, own.with_columns(pl.Series("class", ["H", "L", None])))
    unknown = own.with_columns(pl.Series("class", ["H", "K", None]), litter=pl.lit("nobody"))
    fixed = predict(fit, unknown, random=False).table["fitted"]
    assert predict(fit, unknown).table["fitted"].to_list() == fixed.to_list()


def test_weights_of_members_and_functions_of_columns_that_are_refused() -> None:
    fit = fitted("members")
    with pytest.raises(bb.RecordError, match=r"new records row 1: 'q2' is missing -> fill it in"):
        predict(fit, used(fit)[:2].with_columns(q2=pl.Series([1.0, None])))
    data = draw(7)
    logs = estimate_variances(bb.Model.from_formula("y1 ~ log(w) + (1 | litter)"), data.records)
    with pytest.raises(bb.RecordError, match=r"new records row 0: log\(w\) has no finite value \(the first: w = 0\)"):
        predict(logs, used(logs)[:1].with_columns(w=pl.lit(0.0)))
    with pytest.raises(bb.RecordError, match=r"new records row 0: 'log\(w\)' is missing"):
        predict(logs, pl.DataFrame({"w": [None, 1.0], "litter": ["q", "r"]}))


@pytest.mark.parametrize("name", ["several terms", "maternal", "two traits", "slopes", "no random terms, two traits"])
def test_standard_errors(name: str) -> None:
    """Of Xb + Zu - (Xb̂ + Zû) by definition: the variance of the errors that V, X and the variances of Zu have."""
    fit = fitted(name)
    problem = fit.problem
    dense = dense_likelihood(problem.design, problem.plain, problem.constraints.equations, problem.space.parameters)
    theta = fit.estimates.theta
    _, p = dense.projection(theta)
    v = dense.variance(theta)
    residual = [one.key == "residual" for one in problem.space.parameters]
    r = dense.variance(np.where(residual, theta, 0.0))
    assert np.trace(v - r) >= 0
    errors = r - r @ p @ r  # of the fitted values: y less them is R P y
    found = predict(fit, used(fit)).table["se"].to_numpy().reshape(problem.design.y.shape)
    np.testing.assert_allclose(found[problem.design.observed], np.sqrt(errors.diagonal()), rtol=1e-6)


def test_fixed_part_alone() -> None:
    fit = fitted("slopes")
    frame = pl.DataFrame({"x": [0.0, 2.0], "litter": ["q", "unheard of"]})
    found = predict(fit, frame, random=False)
    b = fit.point.x[:2]
    np.testing.assert_allclose(found.table["fitted"], [b[0], b[0] + 2 * b[1]], rtol=1e-12)
    assert not found.notes


def test_levels_that_the_fit_does_not_know() -> None:
    fit = fitted("several terms")
    first = used(fit)[:1]
    strange = first.with_columns(animal=pl.lit("nobody"), litter=pl.lit(None, dtype=pl.String))
    found = predict(fit, pl.concat([first, strange]))
    assert found.notes == (
        "animal: 1 record with a level that the fit does not know, or none: its effect taken as 0, the expectation",
        "litter: 1 record with a level that the fit does not know, or none: its effect taken as 0, the expectation",
    )
    fixed = predict(fit, strange, random=False).table["fitted"][0]
    year = predict(fit, strange).table["fitted"][0] - fixed
    effects = dict(fit.evaluation.random("herd:year").select("level", "solution").iter_rows())
    assert year == pytest.approx(effects[f"{first['herd'][0]}:{first['year'][0]}"], rel=1e-6)


def test_what_is_refused() -> None:
    fit = fitted("repeatability")
    frame = used(fit)[:3]
    with pytest.raises(
        bb.RecordError, match=r"new records row 1: herd 'D' not in the records of the fit.* -> correct the class"
    ):
        predict(fit, frame.with_columns(herd=pl.Series(["A", "D", "B"])))
    with pytest.raises(bb.RecordError, match=r"new records row 2: 'herd' is missing -> fill it in"):
        predict(fit, frame.with_columns(herd=pl.Series(["A", "B", None])))
    with pytest.raises(bb.InputError, match="new records has no column 'herd'"):
        predict(fit, frame.drop("herd"))
    slopes = fitted("slopes")
    with pytest.raises(bb.RecordError, match=r"new records row 0: 'x' is missing -> fill it in"):
        predict(slopes, pl.DataFrame({"x": [None, 1.0], "litter": ["q", "r"]}))
    curve = fitted("random regression")
    late = used(curve)[:1].with_columns(day=pl.lit(11.0))
    with pytest.raises(bb.ModelError, match=r"11 lies outside the limits \(0, 10\)"):
        predict(curve, late)


def test_a_covariate_that_a_random_effect_lacks() -> None:
    rng = np.random.default_rng(4)
    records = pl.DataFrame({"g": rng.choice(list("abcdef"), 60), "x": rng.normal(size=60), "y": rng.normal(size=60)})
    fit = estimate_variances(bb.Model.from_formula("y ~ 1 + (0 + x | g)"), records)
    with pytest.raises(bb.RecordError, match=r"new records row 1: 'x' is missing -> fill it in"):
        predict(fit, pl.DataFrame({"g": ["a", "b"], "x": [1.0, None]}))


def test_orthogonal_polynomials_are_those_of_the_records_of_the_fit() -> None:
    rng = np.random.default_rng(4)
    records = pl.DataFrame({"x": rng.normal(size=40), "y": rng.normal(size=40)})
    fit = estimate_variances(bb.Model.from_formula("y ~ poly(x, 2)"), records)
    with pytest.raises(bb.ModelError, match="orthogonal polynomials are known for the records in use only"):
        predict(fit, records)


def test_no_standard_errors_of_very_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = fitted("animal")
    monkeypatch.setattr("breedblup.analysis.prediction.MOST_ERRORS", 1)
    assert predict(fit, used(fit)).table["se"].is_null().all()
