"""Fitted values of new records: those of the fit for its own records, and what the fit does not know."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from reference import dense_likelihood
from test_bootstrap import fitted

import breedblup as bb
from breedblup.analysis.estimation import estimate_variances
from breedblup.analysis.prediction import predict
from breedblup.analysis.reml_fit import RemlFit

PREDICTED = (
    "animal", "without intercept", "several terms", "nested", "repeatability", "maternal", "two traits", "two traits, own effects",
    "random regression", "splines", "slopes", "members", "pen mates", "dominance", "fixed groups", "metafounders",
    "no random terms, two traits",
)  # fmt: skip


def used(fit: RemlFit) -> pl.DataFrame:
    """The records of a fit without their responses."""
    design = fit.problem.design
    return design.table.frame[design.rows].drop(design.traits)


@pytest.mark.parametrize("name", PREDICTED)
def test_own_records(name: str) -> None:
    fit = fitted(name)
    observed = fit.problem.design.observed
    found = predict(fit, used(fit))
    values = found.table["fitted"].to_numpy().reshape(observed.shape)
    np.testing.assert_allclose(values[observed], (fit.problem.y - fit.point.residuals)[observed], rtol=1e-7, atol=1e-7)
    assert found.table["record"].to_list() == np.repeat(np.arange(len(observed)), observed.shape[1]).tolist()
    assert found.table["trait"].to_list() == list(fit.model.traits) * len(observed)
    assert not found.notes


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
