"""`estimate_variances` and `RemlFit`: the loop, conventions of the likelihood, fits with parameters held, orders of elimination."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from conftest import REFS

import breedblup as bb
from breedblup.analysis import refitting
from breedblup.errors import ModelError, NotConverged
from breedblup.mme.layout import independent_equations
from breedblup.reml import fit as loop
from breedblup.reml.curved import curved_end
from breedblup.reml.fit import levels_of_blocks
from breedblup.reml.point import point_at
from breedblup.reml.score import average_information, score_at
from breedblup.reml.secants import Secant, with_secants
from breedblup.reml.steps import constrained_step
from breedblup.solvers import cholesky


def grouped(groups: int = 40, size: int = 10, spread: float = 1.0, seed: int = 1) -> pl.DataFrame:
    """A balanced one-way layout, with a class that alternates."""
    rng = np.random.default_rng(seed)
    y = spread * np.repeat(rng.normal(size=groups), size) + rng.normal(size=groups * size)
    codes = np.repeat(np.arange(groups), size)
    return pl.DataFrame({"g": [f"g{code}" for code in codes], "c": ["a", "b"] * (groups * size // 2), "y": y})


def analysis_of_variance(frame: pl.DataFrame) -> tuple[float, float]:
    """REML estimates of a balanced layout: mean squares (Searle, Casella & McCulloch 1992, section 4.8)."""
    size = frame.height // frame["g"].n_unique()
    means = frame.group_by("g").agg(pl.col("y").mean(), pl.col("y").var(ddof=1).alias("within"))
    within = float(means["within"].mean())  # type: ignore[arg-type]
    between = float(means["y"].var(ddof=1)) - within / size  # type: ignore[arg-type]
    return between, within


ONE_WAY = bb.Model.from_formula("y ~ 1 + (1 | g)")


def test_balanced_layout_has_the_estimates_of_mean_squares() -> None:
    frame = grouped()
    fit = bb.estimate_variances(ONE_WAY, frame)
    np.testing.assert_allclose(fit.estimates.theta, analysis_of_variance(frame), rtol=1e-6)


@pytest.mark.parametrize("method", ["ai", "em", "px-em"])
def test_all_methods_end_at_the_same_maximum(method: str) -> None:
    frame = grouped(spread=0.7)
    fit = bb.estimate_variances(ONE_WAY, frame, options=bb.RemlOptions(method=method))  # type: ignore[arg-type]
    np.testing.assert_allclose(fit.estimates.theta, analysis_of_variance(frame), rtol=1e-5)
    falls = np.diff([one.minus2_log_l for one in fit.history])
    assert (falls <= 1e-9).all()


def test_the_solution_belongs_to_the_variances_reported() -> None:
    fit = bb.estimate_variances(ONE_WAY, grouped())
    variances = fit.variances
    again = bb.evaluate(ONE_WAY, grouped(), variances)
    np.testing.assert_allclose(
        fit.evaluation.random("g")["solution"], again.random("g")["solution"], rtol=1e-12, atol=1e-14
    )
    v = fit.point.of_term(fit.point.x, 1) @ fit.point.root(1).T
    np.testing.assert_allclose(v.ravel(), again.random("g")["solution"], rtol=1e-8, atol=1e-12)
    assert fit.minus2_log_likelihood == pytest.approx(fit.history[-1].minus2_log_l, abs=1e-7)


def test_too_few_rounds_are_refused_with_where_they_ended() -> None:
    with pytest.raises(
        NotConverged, match=r"^REML stopped after 1 round at .*: no convergence in 1 round -> allow"
    ) as caught:
        bb.estimate_variances(ONE_WAY, grouped(), options=bb.RemlOptions(method="em", max_rounds=1))
    assert isinstance(caught.value.solution, bb.Maximum)


def test_residual_classes_have_variances_of_their_own() -> None:
    frame = grouped().with_columns(y=pl.col("y") * pl.when(pl.col("c") == "a").then(1.0).otherwise(3.0))
    model = bb.Model.from_formula("y ~ c + (0 + c | g)", residual_classes="c")
    fit = bb.estimate_variances(model, frame)
    named = dict(zip(fit.estimates.space.names, fit.estimates.theta, strict=True))
    assert named["residual b"] > 5 * named["residual a"]
    assert fit.variances.residual_classes == ("a", "b")


def test_ml_without_random_terms_divides_by_all_records() -> None:
    frame = grouped()
    model = bb.Model.from_formula("y ~ 1")
    y = frame["y"].to_numpy()
    ml = bb.estimate_variances(model, frame, options=bb.RemlOptions(likelihood="ml"))
    np.testing.assert_allclose(ml.estimates.theta, [y.var()], rtol=1e-8)
    gauss = y.size * (np.log(2 * np.pi * y.var()) + 1)
    assert ml.reml_criterion == pytest.approx(gauss, abs=1e-8)
    reml = bb.estimate_variances(model, frame)
    np.testing.assert_allclose(reml.estimates.theta, [y.var(ddof=1)], rtol=1e-8)


def test_fixed_groups_in_ml_are_refused() -> None:
    rows = pl.DataFrame({"animal": ["a", "b", "c"], "sire": ["G", "G", "a"], "dam": ["G", "H", "b"]})
    pedigree = bb.read_pedigree(rows, groups=("G", "H"))
    records = pl.DataFrame({"animal": ["a", "b", "c"] * 4, "y": np.random.default_rng(1).normal(size=12)})
    model, options = bb.Model.from_formula("y ~ 1 + (1 | animal)"), bb.RemlOptions(likelihood="ml")
    with pytest.raises(ModelError, match="ML with fixed groups of unknown parents is not there"):
        bb.estimate_variances(model, records, {"animal": pedigree}, options=options)


# --- conventions ------------------------------------------------------------------------------------------------------


def test_the_invariant_likelihood_does_not_depend_on_coding() -> None:
    x = np.random.default_rng(5).normal(size=400)
    frame = grouped().with_columns(x=x, tens=10 * x + 3)
    fits = [bb.estimate_variances(bb.Model.from_formula(f"y ~ {f} + (1 | g)"), frame) for f in ("x", "tens")]
    first, second = (fit.log_likelihood("invariant") for fit in fits)
    assert first == pytest.approx(second, abs=1e-8)
    assert fits[0].log_likelihood("lme4") != pytest.approx(fits[1].log_likelihood("lme4"), abs=1e-3)


def test_conventions_differ_by_their_constants() -> None:
    fit = bb.estimate_variances(ONE_WAY, grouped())
    plain = fit.log_likelihood("asreml")
    assert plain == fit.log_likelihood("blupf90") == -0.5 * fit.minus2_log_likelihood
    assert fit.log_likelihood("lme4") == pytest.approx(plain - 0.5 * 399 * np.log(2 * np.pi), abs=1e-9)
    assert fit.log_likelihood("invariant") == pytest.approx(fit.log_likelihood("lme4") + 0.5 * np.log(400), abs=1e-9)
    with pytest.raises(ModelError, match="the convention is 'sas'; it can be 'asreml'"):
        fit.log_likelihood("sas")  # type: ignore[arg-type]


# --- parameters held --------------------------------------------------------------------------------------------------


def test_profile_meets_a_fit_with_the_value_fixed() -> None:
    fit = bb.estimate_variances(ONE_WAY, grouped())
    held = bb.estimate_variances(ONE_WAY, grouped(), structures={"g": bb.FixedValue(0.5)})
    assert refitting.lowest_with(fit, {"g": 0.5}, ()) == pytest.approx(held.minus2_log_likelihood, abs=1e-7)


def test_a_bound_gives_way_to_a_value_held() -> None:
    fit = bb.estimate_variances(ONE_WAY, grouped(), bounds=[bb.Bound("g", upper=0.4)])
    assert fit.estimates.status[0] == "bound"
    free = bb.estimate_variances(ONE_WAY, grouped())
    held = refitting.lowest_with(fit, {"g": 0.5}, ())
    assert free.minus2_log_likelihood < held < fit.minus2_log_likelihood


def test_held_values_without_a_maximum_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = bb.estimate_variances(ONE_WAY, grouped())
    monkeypatch.setattr(refitting, "maximise", lambda *_: replace(fit.maximum, converged=False))
    with pytest.raises(NotConverged, match=r"no maximum was found with g = 0\.5"):
        refitting.lowest_with(fit, {"g": 0.5}, ())


def test_a_likelihood_ratio_test_of_one_variance_halves_its_p() -> None:
    frame = grouped(spread=0.2)
    null = bb.estimate_variances(bb.Model.from_formula("y ~ 1"), frame)
    found = bb.likelihood_ratio_test(null, bb.estimate_variances(ONE_WAY, frame))
    assert found.p_mixture == pytest.approx(0.5 * found.p_plain)


# --- the way there ----------------------------------------------------------------------------------------------------


def test_a_curved_step_is_exact_for_a_balanced_layout() -> None:
    """One round from far off: in 1/τ the likelihood of a balanced layout is quadratic."""
    frame = grouped(spread=2.0)
    fit = bb.estimate_variances(ONE_WAY, frame)
    between, within = analysis_of_variance(frame)
    start = bb.VarianceComponents({"g": between / 5.0}, residual=within)
    problem = bb.prepare_estimation(ONE_WAY, frame, start=start).problem
    theta = problem.space.pack(start)
    point = point_at(problem, theta)
    score, information = score_at(point), average_information(point)
    step = constrained_step(problem.space, theta, score.values, information, theta)
    bent = curved_end(problem.space, step, score.values, information, levels_of_blocks(problem))
    assert bent is not None
    straight = abs(step.at(1.0)[0] - fit.estimates.theta[0])
    assert abs(bent[0] - fit.estimates.theta[0]) < 0.2 * straight


def test_secants_give_the_curvature_along_the_last_step() -> None:
    rng = np.random.default_rng(3)
    half = rng.normal(size=(4, 4))
    true = half @ half.T + np.eye(4)
    step = rng.normal(size=4)
    found = with_secants(np.diag(true.diagonal()), [Secant(step, true @ step)])
    np.testing.assert_allclose(found @ step, true @ step, rtol=1e-10)
    assert np.linalg.eigvalsh(found)[0] > 0
    unlike = Secant(step, -(true @ step))
    np.testing.assert_array_equal(with_secants(true, [unlike]), 0.5 * (true + true.T))


# --- which equations are eliminated first -----------------------------------------------------------------------------


def crossed(seed: int = 2) -> pl.DataFrame:
    """Ratings: many students, fewer teachers, each student of some."""
    rng = np.random.default_rng(seed)
    students, teachers = np.repeat(np.arange(300), 12), rng.integers(0, 90, 3600)
    y = rng.normal(size=300)[students] + 0.5 * rng.normal(size=90)[teachers] + rng.normal(size=3600)
    return pl.DataFrame({"s": [f"s{k}" for k in students], "t": [f"t{k}" for k in teachers], "y": y})


def test_another_order_of_elimination_changes_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    model = bb.Model.from_formula("y ~ 1 + (1 | s) + (1 | t)")
    plain = bb.estimate_variances(model, crossed())
    assert plain.problem.symbolic._arrangement is None
    monkeypatch.setattr(cholesky, "OTHER_ORDER_FROM", 0.0)
    monkeypatch.setattr(cholesky, "CLEARLY_FEWER", np.inf)
    other = bb.estimate_variances(model, crossed())
    symbolic = other.problem.symbolic
    assert symbolic._arrangement is not None
    np.testing.assert_allclose(other.estimates.theta, plain.estimates.theta, rtol=1e-8)
    assert other.minus2_log_likelihood == pytest.approx(plain.minus2_log_likelihood, abs=1e-8)
    lhs = other.problem.pattern.pattern.matrix(other.problem.pattern.values)
    dense = np.linalg.inv(lhs.toarray())
    factor = symbolic.factorise(lhs)
    np.testing.assert_allclose(factor.inverse_on(lhs).data, dense[lhs.nonzero()], rtol=1e-8, atol=1e-12)
    sides = np.random.default_rng(1).normal(size=(lhs.shape[0], 2))
    np.testing.assert_allclose(factor.solve(sides), dense @ sides, rtol=1e-8, atol=1e-10)
    assert factor.logdet() == pytest.approx(np.linalg.slogdet(lhs.toarray())[1], rel=1e-12)


def test_the_largest_independent_term_may_go_first() -> None:
    problem = bb.prepare_estimation(bb.Model.from_formula("y ~ 1 + (1 | s) + (1 | t)"), crossed()).problem
    first = independent_equations(problem.layout)
    assert first.size == 300
    assert problem.layout.locate(int(first[0]))[0].name == "s"
    assert not independent_equations(bb.EquationLayout.of(problem.design.fixed)).size


# --- boundaries, second starts, ranks -----------------------------------------------------------------------------------


def test_a_residual_at_its_least_is_named_and_has_no_error() -> None:
    """Records that repeat their level exactly leave nothing to the residual."""
    frame = grouped(groups=20, size=4, spread=2.0)
    frame = frame.with_columns(
        y=pl.col("y").first().over("g") + pl.Series(1e-9 * np.random.default_rng(2).normal(size=80))
    )
    fit = bb.estimate_variances(ONE_WAY, frame)
    assert fit.estimates.status == ("free", "boundary")
    assert np.isnan(fit.estimates.standard_errors[1])
    assert any("residual: on its boundary, the least residual that is allowed" in note for note in fit.notes)


def two_humped() -> tuple[pl.DataFrame, bb.VarianceComponents]:
    """A layout of few, unlike groups whose REML likelihood has two maxima, and a start that ends at the lower one."""
    rng = np.random.default_rng(11)
    sizes = [1, 1, 1, 1, 12, 12]
    means = [6.0, -6.0, 5.0, -5.0, 0.05, -0.05]
    codes = np.repeat(np.arange(6), sizes)
    y = np.array(means)[codes] + 0.9 * rng.normal(size=codes.size)
    return pl.DataFrame({"g": [f"g{code}" for code in codes], "y": y}), bb.VarianceComponents({"g": 1e-6}, residual=9.0)


def test_what_is_reported_is_no_lower_than_any_start_leads_to() -> None:
    frame, low = two_humped()
    fits = [bb.estimate_variances(ONE_WAY, frame, start=start) for start in (None, low)]
    grid = []
    problem = bb.prepare_estimation(ONE_WAY, frame).problem
    for variance in (0.0, 1e-3, 0.1, 1.0, 5.0, 20.0):
        for residual in (0.3, 0.8, 2.0, 8.0):
            grid.append(point_at(problem, np.array([variance, residual])).minus2_log_l)
    for fit in fits:
        assert fit.minus2_log_likelihood <= min(grid) + 1e-9


def test_a_rank_that_is_not_felt_is_said() -> None:
    rng = np.random.default_rng(4)
    codes = np.repeat(np.arange(60), 8)
    one = rng.normal(size=60)
    x = rng.normal(size=480)
    y = one[codes] * (1.0 + 0.5 * x) + rng.normal(size=480)
    frame = pl.DataFrame({"g": [f"g{code}" for code in codes], "x": x, "y": y})
    model = bb.Model.from_formula("y ~ x + (1 + x | g)")
    free = bb.estimate_variances(model, frame)
    limited = bb.estimate_variances(model, frame, structures={"g": bb.ReducedRank(1)})
    assert limited.minus2_log_likelihood >= free.minus2_log_likelihood - 1e-7
    matrix = np.asarray(limited.variances["g"])
    assert abs(np.linalg.det(matrix)) < 1e-8 * matrix[0, 0] * matrix[1, 1]
    said = any("the limit is not felt" in note for note in limited.notes)
    assert said == bool(free.problem.space.singular(free.estimates.theta))


def test_derivatives_that_are_not_finite_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "average_information", lambda *_: np.full((2, 2), np.nan))
    with pytest.raises(
        bb.NumericalError, match="the derivatives of the likelihood are not finite at the parameters of round 0"
    ):
        bb.estimate_variances(ONE_WAY, grouped())


@pytest.mark.parametrize("seed", range(4))
def test_fixed_groups_stay_where_their_term_has_no_variance(seed: int) -> None:
    """With a variance of zero what is left is least squares on [X, ZQ]; groups differ, animals within them do not."""
    rng = np.random.default_rng(seed)
    ids = [f"a{k:02d}" for k in range(30)]
    parents = {
        name: [ids[rng.integers(0, k)] if k > 8 and rng.random() < 0.6 else f"G{rng.integers(1, 3)}" for k in range(30)]
        for name in ("sire", "dam")
    }
    pedigree = bb.read_pedigree(pl.DataFrame({"animal": ids} | parents), groups=("G1", "G2"))
    inverse = bb.group_inverse(pedigree)
    assert inverse.groups is not None
    q = inverse.groups.operator.owed_to_groups(np.eye(2))
    rows = rng.integers(0, 30, 90)
    order = {name: k for k, name in enumerate(inverse.ids)}
    design = q[[order[ids[row]] for row in rows]]
    noise = rng.normal(size=90)
    means = np.bincount(rows, noise, 30) / np.maximum(np.bincount(rows, minlength=30), 1)
    y = design @ np.array([1.0, -1.0]) + noise - 0.9 * means[rows]  # animals are more alike than chance would have them
    frame = pl.DataFrame({"animal": [ids[row] for row in rows], "y": y})
    fit = bb.estimate_variances(bb.Model.from_formula("y ~ 1 + (1 | animal)"), frame, {"animal": inverse})
    x = np.column_stack([np.ones(90), design])
    left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    assert fit.estimates.status == ("boundary", "free")
    assert fit.estimates.theta[1] == pytest.approx(left @ left / (90 - np.linalg.matrix_rank(x)), rel=1e-4)


def test_a_pivot_of_the_random_equations_is_named_by_its_place_among_all() -> None:
    problem = bb.prepare_estimation(ONE_WAY, grouped(), options=bb.RemlOptions(likelihood="ml")).problem
    theta = problem.space.pack(bb.VarianceComponents({"g": 1.0}, residual=1.0))

    class Failing:
        def factorise(self, _: object) -> None:
            raise bb.NotPositiveDefinite("equation 3 has a non-positive pivot", 3)

    with pytest.raises(
        bb.NotPositiveDefinite, match=r"equation 4 \(g 'g11', factor 1\) has a non-positive pivot"
    ) as caught:
        point_at(replace(problem, random_symbolic=Failing()), theta)  # type: ignore[arg-type]
    assert caught.value.equation == 4


def test_total_maternal_heritability_of_a_fit_is_that_of_its_components() -> None:
    folder = REFS / "twin_maternal"
    model = bb.Model.from_formula("y ~ hys + (1 | animal + dam) + (1 | ide(dam))")
    records, pedigree = bb.read_records(folder / "data.csv"), bb.read_pedigree(folder / "pedigree.csv")
    fit = bb.estimate_variances(model, records, {"animal": pedigree})
    direct, covariance, maternal, environment, residual = fit.estimates.theta
    total = direct + covariance + maternal + environment + residual
    willham = (direct + 1.5 * covariance + 0.5 * maternal) / total
    assert fit.maternal_heritability.estimate == pytest.approx(willham, rel=1e-10)
