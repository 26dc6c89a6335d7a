"""Simulated responses have the distribution of the model, and the parametric bootstrap that of the estimates."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from reference import dense_likelihood
from test_reml_dense import KINDS, draw

import breedblup as bb
from breedblup.analysis.bootstrap import parametric_bootstrap
from breedblup.analysis.estimation import estimate_variances
from breedblup.analysis.reml_fit import RemlFit
from breedblup.analysis.responses import simulate

Array = NDArray[np.float64]


def fitted(name: str, seed: int = 7) -> RemlFit:
    kind = KINDS[name]
    data = draw(seed, apart=kind.apart)
    weights = kind.weights if isinstance(kind.weights, str) else dict(kind.weights)
    formula = kind.formula if isinstance(kind.formula, str) else list(kind.formula)
    model = bb.Model.from_formula(formula, weights=weights or None, residual_classes=kind.classes or ())
    known = {key: data.known[which] for key, which in kind.known}
    return estimate_variances(model, data.records, known, structures=dict(kind.structures))


@pytest.mark.parametrize(
    "name",
    ["animal", "maternal", "two traits", "weights of each trait", "random regression", "dominance", "fixed groups", "metafounders",
     "no random terms, two traits"],
)  # fmt: skip
def test_simulated_responses_have_the_variance_of_the_model(name: str) -> None:
    """The empirical covariance matrix of 4,000 sets is V, their mean Xb."""
    fit = fitted(name)
    problem = fit.problem
    dropped = np.concatenate([problem.constraints.equations, problem.constraints.groups])
    dense = dense_likelihood(problem.design, problem.plain, dropped, problem.space.parameters)
    v = dense.variance(fit.estimates.theta)
    sets = simulate(fit, 4_000, seed=5)
    drawn = sets.values[:, problem.design.observed]
    inverse = np.linalg.inv(v)
    b = np.linalg.solve(dense.x.T @ inverse @ dense.x, dense.x.T @ inverse @ dense.y)
    size = np.sqrt(v.diagonal())
    np.testing.assert_allclose((drawn.mean(axis=0) - dense.x @ b) / size, 0.0, atol=5 / np.sqrt(4_000))
    scaled = (np.cov(drawn.T) - v) / np.outer(size, size)
    np.testing.assert_allclose(scaled, 0.0, atol=6.5 / np.sqrt(4_000))
    assert np.isnan(sets.values[:, ~problem.design.observed]).all()


def test_the_seed_is_the_responses_and_conditional_ones_keep_the_random_effects() -> None:
    fit = fitted("repeatability")
    first, again, other = (simulate(fit, 2, seed=seed).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other)[~np.isnan(first)].max() > 0.1
    held = simulate(fit, 3_000, seed=1, conditional=True)
    observed = fit.problem.design.observed
    expected = (fit.problem.y - fit.point.residuals)[observed]
    spread = np.sqrt(fit.variances.residual)
    np.testing.assert_allclose(held.values[:, observed].mean(axis=0), expected, atol=5 * spread / np.sqrt(3_000))
    np.testing.assert_allclose(held.values[:, observed].std(axis=0), spread, rtol=0.08)
    assert len(held) == 3_000
    with pytest.raises(bb.ModelError, match="simulate: sets is 0; give a whole number from 1"):
        simulate(fit, 0)


def test_records_with_simulated_responses_can_be_analysed() -> None:
    fit = fitted("two traits")
    sets = simulate(fit, 2, seed=3)
    frame = sets.records(1)
    design = fit.problem.design
    assert frame.columns == design.table.frame.columns
    assert frame["y1"].null_count() == design.table.frame["y1"].null_count()
    model = bb.Model.from_formula("(y1, y2) ~ herd + (1 | animal)")
    again = estimate_variances(model, frame, dict(fit.relationships))
    np.testing.assert_allclose(again.problem.design.y, sets.values[1], equal_nan=True)


@pytest.mark.parametrize("response", ["log(y)", "log2(y)", "log10(y)", "log1p(y)"])
def test_records_of_a_response_that_is_computed(response: str) -> None:
    rng = np.random.default_rng(3)
    records = pl.DataFrame({"g": rng.choice(list("abcdef"), 60), "y": rng.lognormal(size=60), "x": rng.normal(size=60)})
    records = records.with_columns(y=pl.when(pl.col("x") < 1.5).then("y"))
    fit = estimate_variances(bb.Model.from_formula(f"{response} ~ I(x / 10) + (1 | g)"), records)
    sets = simulate(fit, 2, seed=3)
    frame = sets.records(1)
    assert frame.columns[:3] == records.columns
    assert frame["y"].null_count() == records["y"].null_count()
    again = estimate_variances(fit.model, frame)
    np.testing.assert_allclose(again.problem.design.y, sets.values[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("formula", ["I(y / 10) ~ 1", "sqrt(y) ~ 1", "log(y * x) ~ 1", "(y, log(y)) ~ 1"])
def test_records_of_a_response_that_cannot_be_taken_back(formula: str) -> None:
    rng = np.random.default_rng(3)
    records = pl.DataFrame({"y": rng.lognormal(size=60), "x": rng.lognormal(size=60)})
    sets = simulate(estimate_variances(bb.Model.from_formula(formula), records))
    with pytest.raises(
        bb.ModelError, match=r"simulate: the column that '.*y.*' is computed from cannot .* such as log_y"
    ):
        sets.records(0)


def test_bootstrap_of_a_balanced_design() -> None:
    """Mean square within: its replicates are σ² χ²/df, so that sd, mean and limits are known."""
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(20), 4)
    y = rng.standard_normal(20)[group] * 2 + rng.standard_normal(80)
    records = pl.DataFrame({"group": [f"g{k}" for k in group], "y": y})
    fit = estimate_variances(bb.Model.from_formula("y ~ 1 + (1 | group)"), records)
    result = parametric_bootstrap(fit, 400, seed=9, expressions=["group / (group + residual)"])
    table = result.table(0.9)
    assert table["name"].to_list() == ["group", "residual", "group / (group + residual)"]
    residual = table.row(1, named=True)
    assert residual["mean"] == pytest.approx(residual["estimate"], rel=0.03)
    assert residual["sd"] == pytest.approx(residual["estimate"] * np.sqrt(2 / 60), rel=0.12)
    assert residual["lower"] == pytest.approx(
        residual["estimate"] * 43.188 / 60, rel=0.05
    )  # quantiles of χ² with 60 df
    assert residual["upper"] == pytest.approx(residual["estimate"] * 79.082 / 60, rel=0.05)
    share = table.row(2, named=True)
    group_variance, within = fit.estimates.theta
    assert share["estimate"] == pytest.approx(group_variance / (group_variance + within))
    np.testing.assert_allclose(
        result.values[:, 2], result.values[:, 0] / (result.values[:, 0] + result.values[:, 1]), rtol=1e-12
    )
    assert result.failures == 0
    assert result.replicates.height == 400
    title, header, *rows, last = repr(result).splitlines()
    assert title == "Bootstrap of 400 replicates, seed 9"
    assert header.split() == ["name", "estimate", "mean", "sd", "bias", "lower", "upper"]
    assert rows[0].split() == ["group", *(f"{value:.5g}" for value in result.table().row(0)[1:])]
    assert rows[2].strip().startswith("group / (group + residual)  ")
    assert last.strip() == "limits: 95 %, quantiles; others by .table(level)"
    again = parametric_bootstrap(fit, 3, seed=9, expressions=["group / (group + residual)"])
    np.testing.assert_array_equal(again.values, result.values[:3])


def test_bootstrap_at_the_boundary_and_what_is_refused() -> None:
    records = pl.DataFrame({"group": list("aabbccdd"), "y": [1.0, 5.0, 2.0, 4.0, 0.5, 5.5, 1.5, 4.5]})
    fit = estimate_variances(bb.Model.from_formula("y ~ 1 + (1 | group)"), records)
    assert fit.estimates.status[0] == "boundary"
    result = parametric_bootstrap(fit, 20, seed=2)
    assert result.failures + len(result.values) == 20
    assert (result.values[:, 0] == 0.0).any()
    assert (result.values[:, 0] > 0.0).any()
    with pytest.raises(bb.ModelError, match="bootstrap: replicates is 1; give a whole number from 2"):
        parametric_bootstrap(fit, 1)


def test_a_matrix_too_large_and_replicates_without_a_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = fitted("dominance")
    with monkeypatch.context() as small:
        small.setattr("breedblup.analysis.responses.DENSE_LIMIT", 3)
        with pytest.raises(
            bb.ResourceError, match=r"simulate: a relationship matrix of 24 rows cannot be factorised here .* -> "
        ):
            simulate(fit, 1)

    def fails(*_: object) -> None:
        raise bb.NumericalError("no maximum")

    monkeypatch.setattr("breedblup.analysis.bootstrap.maximise", fails)
    with pytest.raises(bb.NumericalError, match="bootstrap: 0 of 5 replicates have a maximum -> fit a simpler model"):
        parametric_bootstrap(fit, 5)
