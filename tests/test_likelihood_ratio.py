"""Fits compared: information criteria, likelihood-ratio tests with boundary mixtures, profile likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import EXACT, expected_in, shared_case
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import chi2

import breedblup as bb
from breedblup.analysis.estimation import estimate_variances
from breedblup.design.complete import complete_model
from breedblup.errors import ModelError, NotConverged
from breedblup.inference.likelihood_ratio import (
    FittedLikelihood,
    LikelihoodRatioTest,
    compare_likelihoods,
    information_criteria,
)
from breedblup.inference.nesting import Structured, parameter_count
from breedblup.inference.profile import Profile, profile_component, profile_of, profile_ratio
from breedblup.reml.estimates import Estimates
from breedblup.variances import Bound, Diagonal, FixedValue, ParameterSpace, ReducedRank, Tie


def records(n: int = 24) -> pl.DataFrame:
    k = np.arange(n)
    return pl.DataFrame(
        {
            "y": k % 5 + 0.5,
            "z": (k % 4) * 1.5,
            "x": (k % 7) / 2.0,
            "a": [f"a{i}" for i in k % 4],
            "b": [f"b{i}" for i in k // 6],
            "sex": np.where(k % 2, "F", "M"),
            "h": np.where(k < 10, "H1", "H2"),
        }
    )


def likelihood(
    formula: Any, minus2_log_l: float, relationships: Mapping[str, bb.RelationshipInverse] | None = None, **space: Any
) -> FittedLikelihood:
    """A fit that was not made: its likelihood is given."""
    classes = space.pop("residual_classes", ())
    model = complete_model(bb.Model.from_formula(formula, residual_classes=classes), records())
    design = bb.build_design(model, records(), relationships or {})
    levels = () if design.residual_levels is None else tuple(design.residual_levels)
    parameters = ParameterSpace.of(model, levels, **space)
    return FittedLikelihood(
        minus2_log_l=minus2_log_l,
        likelihood="reml",
        values=24,
        rank=1,
        free=parameter_count(parameters),
        structured=Structured.of(parameters, model, design),
        fixed=tuple(term.name for term in design.fixed),
        fixed_part="",
        data="",
    )


def compared(null: Any, alternative: Any, statistic: float = 5.0, **space: Any) -> LikelihoodRatioTest:
    of_null = {key.removeprefix("null_"): value for key, value in space.items() if key.startswith("null_")}
    rest = {key: value for key, value in space.items() if not key.startswith("null_")}
    return compare_likelihoods(likelihood(null, 100.0 + statistic, **of_null), likelihood(alternative, 100.0, **rest))


@pytest.mark.parametrize(
    ("null", "alternative", "df", "mixture"),
    [
        ("y ~ x", "y ~ x + (1 | a)", 1, {0: 0.5, 1: 0.5}),
        ("y ~ (1 | a)", "y ~ (1 | a) + (1 | b)", 1, {0: 0.5, 1: 0.5}),
        ("y ~ (1 | a)", "y ~ (x | a)", 2, {1: 0.5, 2: 0.5}),
        ("y ~ (1 | a)", "y ~ (x || a)", 1, {0: 0.5, 1: 0.5}),
        ("y ~ (x || a)", "y ~ (x | a)", 1, {1: 1.0}),
        ("y ~ (1 | a) + (1 | b)", "y ~ (1 | a + b)", 1, {1: 1.0}),
        ("y ~ (1 | b)", "y ~ (1 | a + b)", 2, {1: 0.5, 2: 0.5}),
        ("y ~ (leg(x, 1) | a)", "y ~ (leg(x, 2) | a)", 3, {2: 0.5, 3: 0.5}),
        ("y ~ (1 | a)", "y ~ (leg(x, 1) | a)", 2, {1: 0.5, 2: 0.5}),
        ("y ~ x", "y ~ x + (1 | a) + (1 | b)", 2, {0: 0.25, 1: 0.5, 2: 0.25}),
        ("y ~ x", "y ~ x + (x || a)", 2, {0: 0.25, 1: 0.5, 2: 0.25}),
        ("y ~ x", "y ~ x + (x | a)", 3, None),
        (["y ~ (1 | a)", "z ~ x"], "(y, z) ~ (1 | a)", 2, {1: 0.5, 2: 0.5}),
        ("(y, z) ~ (1 | a)", "(y, z) ~ (1 | a) + (1 | b)", 3, None),
    ],
)
def test_mixtures(null: Any, alternative: Any, df: int, mixture: dict[int, float] | None) -> None:
    first, second = likelihood(null, 105.0), likelihood(alternative, 100.0)
    found = compare_likelihoods(replace(first, fixed=second.fixed), second)
    assert found.df == df
    assert found.statistic == pytest.approx(5.0)
    assert found.p_plain == pytest.approx(chi2.sf(5.0, df))
    if mixture is None:
        assert found.mixture is None
        assert found.p == found.p_plain
        assert "no closed form of the mixture is known for this: the p-value of χ² is conservative" in repr(found)
    else:
        assert dict(found.mixture or ()) == mixture
        wanted = sum(weight * (chi2.sf(5.0, d) if d else 0.0) for d, weight in mixture.items())
        assert found.p_mixture == found.p == pytest.approx(wanted)


def test_what_a_test_says() -> None:
    found = compared("y ~ (1 | a)", "y ~ (x | a)")
    assert repr(found).splitlines() == [
        "likelihood ratio 5.0000 on 2 df: p = 0.08208 (χ²), p = 0.05372 (0.5 χ²(1) + 0.5 χ²(2))",
        "  under the null hypothesis the variance 'x' of 'a' is zero",
    ]
    two = compared("y ~ x", "y ~ x + (1 | a) + (1 | b)")
    assert two.notes[-1] == "the weights hold where the estimates of these variances are uncorrelated"
    one = compared("y ~ x", "y ~ x + (1 | a)")
    assert one.notes == ("under the null hypothesis the variance of 'a' is zero",)
    traits = compared(["y ~ (1 | a)", "z ~ 1"], "(y, z) ~ (1 | a)")
    assert traits.notes == ("under the null hypothesis the variance 'direct z' of 'a' is zero",)
    assert compared("y ~ (x || a)", "y ~ (x | a)").notes == ()
    nothing = compared("y ~ x", "y ~ x + (1 | a)", statistic=0.0)
    assert (nothing.p_plain, nothing.p_mixture) == (1.0, 1.0)
    assert compared("y ~ x", "y ~ x + (1 | a)", statistic=-5e-5).statistic == 0.0


def test_structures_and_restrictions_count() -> None:
    both = "(y, z) ~ (1 | a)"
    assert compared(both, both, null_structures={"a": Diagonal()}).mixture == ((1, 1.0),)
    assert compared(both, both, null_structures={"residual": Diagonal()}).mixture == ((1, 1.0),)
    assert compared(both, both, null_structures={"a": ReducedRank(1)}).mixture is None
    assert compared(both, both, null_structures={"a": ReducedRank(1)}).df == 1
    assert compared("y ~ (1 | a)", "y ~ (1 | a)", null_structures={"a": FixedValue(0.0)}).mixture == (
        (0, 0.5),
        (1, 0.5),
    )
    assert compared("y ~ (1 | a)", "y ~ (1 | a)", null_structures={"a": FixedValue(2.0)}).mixture == ((1, 1.0),)
    tied = compared("y ~ (1 | a)", "y ~ (1 | a)", null_ties=[Tie("a", "residual", 0.5)])
    assert tied.mixture == ((1, 1.0),)
    classes = compared("y ~ (1 | a)", "y ~ (1 | a)", residual_classes="h")
    assert classes.mixture == ((1, 1.0),)
    held = {"structures": {"a": FixedValue(2.0)}}
    kept = compared("y ~ (1 | a)", "y ~ (1 | a) + (1 | b)", null_structures=held["structures"], **held)
    assert kept.mixture == ((0, 0.5), (1, 0.5))


def dense_k(scale: float) -> dict[str, bb.RelationshipInverse]:
    ids = [f"a{i}" for i in range(4)]
    return {"a": bb.inverse_from(scale * (np.eye(4) + 0.2), ids, kind="relationship")}


def test_models_that_are_not_nested() -> None:
    with pytest.raises(
        ModelError,
        match="not nested: no term of the alternative has the effects of 'b' of the null model; there are 'a', 'residual'",
    ):
        compared("y ~ (1 | b)", "y ~ (x | a)")
    with pytest.raises(
        ModelError, match="not nested: 'a' has covariances in the null model that are zero in the alternative"
    ):
        compared("y ~ (x | a)", "y ~ (x || a) + (1 | b)")
    with pytest.raises(ModelError, match="not nested: 'residual' has covariances in the null model that are zero"):
        compared("(y, z) ~ (1 | a)", "(y, z) ~ (1 | a) + (1 | b)", structures={"residual": Diagonal()})
    with pytest.raises(
        ModelError, match="not nested: 'a' has a FixedValue in the alternative and not the same in the null model"
    ):
        compared("y ~ (1 | a)", "y ~ (1 | a) + (1 | b)", structures={"a": FixedValue(2.0)})
    for kind, one in (("ties", Tie("a", "residual")), ("bounds", Bound("a", upper=9.0))):
        with pytest.raises(ModelError, match=f"the alternative has {kind} that the null model has not \\('a'\\)"):
            compared("y ~ (1 | a)", "y ~ (1 | a) + (1 | b)", **{kind: [one]})
    with pytest.raises(ModelError, match="'a' has other relationships \\(K\\) in the two models; give both the same"):
        compared("y ~ (1 | a)", "y ~ (1 | a) + (1 | b)", null_relationships=dense_k(1.0), relationships=dense_k(2.0))
    with pytest.raises(
        ModelError, match="the alternative has as many parameters as the null model; give the smaller model first"
    ):
        compared("y ~ (1 | a)", "y ~ (1 | a)")
    with pytest.raises(
        ModelError, match="no term of the alternative has the effects of 'residual H1' of the null model"
    ):
        compared("y ~ (1 | a)", "y ~ (1 | a)", null_residual_classes="h")
    with pytest.raises(
        ModelError, match="the alternative has 1 parameter less than the null model; give the smaller model first"
    ):
        compared("(y, z) ~ (1 | a)", "(y, z) ~ (1 | a)", structures={"a": ReducedRank(1)})


def test_likelihoods_that_cannot_be_compared() -> None:
    null, alternative = likelihood("y ~ (1 | a)", 105.0), likelihood("y ~ (1 | a) + (1 | b)", 100.0)
    with pytest.raises(
        ModelError, match="the null model was fitted by REML, the alternative by ML; fit both by the same likelihood"
    ):
        compare_likelihoods(null, replace(alternative, likelihood="ml"))
    with pytest.raises(
        ModelError, match="the fits are of different records \\(24 and 23 values\\), weights, or orders of records"
    ):
        compare_likelihoods(null, replace(alternative, values=23, data="other"))
    other = likelihood("y ~ x + (1 | a) + (1 | b)", 100.0)
    with pytest.raises(
        ModelError,
        match="the fixed parts differ \\('\\(Intercept\\)'; '\\(Intercept\\)', 'x'\\): restricted likelihoods are those of different",
    ):
        compare_likelihoods(null, other)
    with pytest.raises(ModelError, match="the fixed parts differ"):
        compare_likelihoods(null, replace(alternative, fixed_part="other columns"))
    by_ml = replace(null, likelihood="ml"), replace(other, likelihood="ml", rank=2)
    assert compare_likelihoods(*by_ml).mixture == ((1, 0.5), (2, 0.5))
    with pytest.raises(
        ModelError, match="not nested: the alternative lacks the fixed terms 'x'; give the larger model second"
    ):
        compare_likelihoods(
            replace(likelihood("y ~ x + (1 | a)", 105.0), likelihood="ml"), replace(alternative, likelihood="ml")
        )
    with pytest.raises(
        ModelError, match="the null model fits better than the alternative that contains it, by 5 of -2 log L"
    ):
        compare_likelihoods(null, replace(alternative, minus2_log_l=110.0))


def test_criteria_as_lme4_and_asreml_print_them() -> None:
    """sleepstudy: logLik -871.8141 (df = 6), AIC 1755.628, BIC 1774.786 by R's lme4."""
    case = expected_in(shared_case("sleepstudy"))["expected"]
    fitted = replace(likelihood("y ~ x + (x | a)", 0.0), values=180, rank=2, free=4)
    fitted = replace(fitted, minus2_log_l=case["reml_criterion"] - fitted.constant)
    found = information_criteria(fitted)
    assert (found.lme4.parameters, found.lme4.observations) == (6, 180)
    assert found.lme4.aic == pytest.approx(1755.628, abs=5e-4)
    assert found.lme4.bic == pytest.approx(1774.786, abs=5e-4)
    assert (found.asreml.parameters, found.asreml.observations) == (4, 178)
    assert found.asreml.aic == pytest.approx(fitted.minus2_log_l + 8.0, rel=EXACT)
    assert found.asreml.bic == pytest.approx(fitted.minus2_log_l + 4.0 * math.log(178), rel=EXACT)
    assert found.frame["definition"].to_list() == ["lme4", "ASReml"]
    assert replace(fitted, likelihood="ml").constant == pytest.approx(180 * math.log(2 * math.pi))


def test_parameters_of_structures() -> None:
    model = bb.Model.from_formula("(y, z) ~ (x | a) + (1 | b)")

    def count(**structures: Any) -> int:
        return parameter_count(ParameterSpace.of(model, structures=structures))

    assert count() == 10 + 3 + 3
    assert [count(a=ReducedRank(r)) for r in (1, 2, 3)] == [4 + 6, 7 + 6, 9 + 6]
    assert count(a=Diagonal(), b=FixedValue(np.eye(2))) == 4 + 0 + 3


def test_fits_are_compared() -> None:
    table = one_way()
    fits = [
        estimate_variances(bb.Model.from_formula(text), table)
        for text in ("y ~ x + (1 | b)", "y ~ x + (1 | a) + (1 | b)")
    ]
    null, alternative = (
        FittedLikelihood.of(fit.model, fit.problem, fit.estimates, fit.minus2_log_likelihood) for fit in fits
    )
    assert (null.values, null.rank, null.fixed) == (60, 2, ("(Intercept)", "x"))
    assert null.data == alternative.data
    found = compare_likelihoods(null, alternative)
    assert found.statistic == pytest.approx(fits[0].minus2_log_likelihood - fits[1].minus2_log_likelihood)
    assert found.mixture == ((0, 0.5), (1, 0.5))
    criteria = information_criteria(alternative)
    assert criteria.lme4.minus2_log_l == pytest.approx(fits[1].reml_criterion, rel=EXACT)
    assert criteria.lme4.parameters == 5


# Profile likelihood ---------------------------------------------------------------------------------------------------------


def one_way() -> pl.DataFrame:
    random = np.random.default_rng(3)
    a, b = np.repeat(np.arange(10), 6), np.tile(np.arange(6), 10)
    y = 2.0 * random.standard_normal(10)[a] + 1.5 * random.standard_normal(60)
    return pl.DataFrame({"y": y, "x": b / 2.0, "a": [f"a{i}" for i in a], "b": [f"b{i}" for i in b % 3]})


class Dense:
    """-2 log L of y ~ (1 | a) by its eigenvalues, as the data are balanced, and its profiles by brute force."""

    def __init__(self, y: NDArray[np.float64]) -> None:
        self.y = y
        means = y.reshape(10, 6).mean(axis=1)
        self.within = float(np.sum(np.square(y.reshape(10, 6) - means[:, None])))
        self.between = float(6 * np.sum(np.square(means - means.mean())))

    def minus2_log_l(self, a: float, e: float) -> float:
        both = e + 6 * a
        return 50 * math.log(e) + 9 * math.log(both) + math.log(60) + self.within / e + self.between / both

    def lowest(self, function: Callable[[float], float]) -> float:
        """The lowest of a function of the logarithm of a variance."""
        found = minimize_scalar(function, bounds=(-4.0, 4.0), method="bounded", options={"xatol": 1e-10})
        return float(found.fun)

    def refit(self, fixed: Mapping[str, float], ties: Sequence[Tie]) -> float:
        if ties:
            (tie,) = ties
            assert (tie.parameter, tie.to) == ("a", "residual")
            return self.lowest(lambda t: self.minus2_log_l(tie.factor * math.exp(t), math.exp(t)))
        if "a" in fixed:
            return self.lowest(lambda t: self.minus2_log_l(fixed["a"], math.exp(t)))
        return self.lowest(lambda t: self.minus2_log_l(math.exp(t), fixed["residual"]))

    def estimates(self) -> Estimates:
        """From the analysis of variance, which is REML in balanced data."""
        within, between = self.within / 50, self.between / 9
        v_within, v_between = 2 * within**2 / 50, 2 * between**2 / 9
        covariance = np.array([[(v_between + v_within) / 36, -v_within / 6], [-v_within / 6, v_within]])
        space = ParameterSpace.of(bb.Model.from_formula("y ~ (1 | a)"))
        theta = np.array([(between - within) / 6, within])
        return Estimates(space, theta, covariance, ("free", "free"), "observed")


@pytest.fixture(scope="module")
def dense() -> Dense:
    return Dense(one_way()["y"].to_numpy())


def limits_by_brute_force(
    rise: Callable[[float], float], estimate: float, far: float, level: float
) -> tuple[float, float]:
    target = chi2.ppf(level, 1)
    return brentq(lambda v: rise(v) - target, 1e-3, estimate), brentq(lambda v: rise(v) - target, estimate, far)


@pytest.mark.parametrize("level", [0.95, 0.8])
@pytest.mark.parametrize("name", ["a", "residual"])
def test_profile_of_a_component(dense: Dense, name: str, level: float) -> None:
    estimates = dense.estimates()
    lowest = dense.minus2_log_l(*estimates.theta)
    found = profile_component(estimates, lowest, name, dense.refit, level=level)
    at = float(estimates.theta[estimates.space.index_of(name)])
    wanted = limits_by_brute_force(lambda v: dense.refit({name: v}, ()) - lowest, at, 60.0, level)
    assert found.interval == pytest.approx(wanted, rel=2e-3)
    assert found.notes == ()
    assert found.refits - 10 <= 12
    frame = found.frame
    assert frame["value"].is_sorted()
    assert frame.filter(pl.col("zeta") == 0.0)["value"].to_list() == [at]
    assert frame["zeta"].is_sorted()
    assert frame["minus2_log_l"].to_numpy() - lowest == pytest.approx(frame["zeta"].to_numpy() ** 2, abs=1e-8)
    assert f"{name} = {at:.6g}, {100 * level:g} % by profile likelihood" in repr(found)


def test_profile_of_a_ratio(dense: Dense) -> None:
    estimates = dense.estimates()
    a, e = estimates.theta
    found = profile_ratio(estimates, dense.minus2_log_l(a, e), "a / (a + residual)", dense.refit, points=3)

    def rise(h: float) -> float:
        return (
            dense.refit({}, (Tie("a", "residual", h / (1 - h)),) if h else ()) - dense.minus2_log_l(a, e) if h else 99.0
        )

    assert found.interval == pytest.approx(limits_by_brute_force(rise, a / (a + e), 0.999, 0.95), rel=2e-3)
    with pytest.raises(
        ModelError,
        match="'residual / a' is no ratio n / \\(n \\+ d\\) of two variances, which alone can be held by a tie; profile its "
        "components, or use fit.sample",
    ):
        profile_ratio(estimates, 0.0, "residual / a", dense.refit)


def test_a_boundary_that_is_not_rejected_is_the_limit() -> None:
    y = np.random.default_rng(12).standard_normal(60)
    small = Dense(y)
    estimates = small.estimates()
    assert estimates.theta[0] > 0
    lowest = small.minus2_log_l(*estimates.theta)
    found = profile_component(estimates, lowest, "a", small.refit, points=0)
    assert small.refit({"a": 0.0}, ()) - lowest < chi2.ppf(0.95, 1)
    assert found.lower == 0.0
    assert found.notes == ("0, the lower limit of what is possible, is not rejected",)
    ratio = profile_ratio(estimates, lowest, "a / (a + residual)", small.refit, points=0)
    assert ratio.lower == 0.0


def test_an_estimate_on_its_boundary() -> None:
    small = Dense(np.tile(np.arange(6.0), 10) + np.repeat(0.01 * np.arange(10.0), 6))
    space = ParameterSpace.of(bb.Model.from_formula("y ~ (1 | a)"))
    e = math.exp(minimize_scalar(lambda t: small.minus2_log_l(0.0, math.exp(t)), bounds=(-4, 4), method="bounded").x)
    estimates = Estimates(space, np.array([0.0, e]), np.diag([0.0, 0.1]), ("boundary", "free"), "average")
    lowest = small.refit({"a": 0.0}, ())
    found = profile_component(estimates, lowest, "a", small.refit, points=0)
    assert found.lower == 0.0
    assert found.upper == pytest.approx(
        brentq(lambda v: small.refit({"a": v}, ()) - lowest - chi2.ppf(0.95, 1), 0, 9), rel=2e-3
    )
    assert found.notes == ("the estimate is at its lower limit",)


def test_profile_of_anything() -> None:
    flat = profile_of(lambda v: 7.0 + math.tanh(v * v), 0.0, 7.0, 1.0, name="flat")
    assert flat.interval == (-math.inf, math.inf)
    assert flat.notes[0] == "no lower limit was found in 30 refits: -2 log L is nearly flat"
    square = profile_of(lambda v: (v - 3.0) ** 2 / 4.0, 3.0, 0.0, 0.01, name="square", level=0.9)
    width = 2.0 * math.sqrt(chi2.ppf(0.9, 1))
    assert square.interval == pytest.approx((3.0 - width, 3.0 + width), rel=1e-6)
    assert isinstance(square, Profile)
    assert square.frame.height == square.refits + 1
    bound = profile_of(lambda v: (v - 3.0) ** 2, 3.0, 0.0, 1.0, name="bound", limits=(2.5, 9.0), points=0)
    assert bound.lower == 2.5


def test_a_limit_that_cannot_be_refitted_is_approached() -> None:
    """A variance of one effect among others, or of a residual, cannot be held at zero."""
    tried = []

    def refit(fixed: Mapping[str, float], ties: Sequence[Tie]) -> float:
        (value,) = fixed.values()
        tried.append(value)
        return 0.1 * (value - 1.0) ** 2

    space = ParameterSpace.of(bb.Model.from_formula("y ~ (x | a)"))
    covariance = np.diag([5.0, 5.0, 5.0, 1.0])
    estimates = Estimates(space, np.array([1.0, 0.1, 1.0, 1.0]), covariance, ("free",) * 4, "average")
    for name in ("a[1,1]", "residual"):
        found = profile_component(estimates, 0.0, name, refit, points=0)
        assert found.lower == 0.0
        assert "0, the lower limit of what is possible, is not rejected as far as 0.000" in found.notes[0]
    assert min(tried) > 0.0
    covariances = profile_component(estimates, 0.081, "a[2,1]", refit, points=0)
    assert covariances.lower < 0.0
    limited = ParameterSpace.of(bb.Model.from_formula("y ~ (x | a)"), bounds=[Bound("a[1,1]", lower=0.5)])
    bounded = profile_component(replace(estimates, space=limited), 0.0, "a[1,1]", refit, points=0)
    assert bounded.lower == 0.5
    without = replace(estimates, theta=np.array([1.0, 0.0, 0.0, 1.0]), covariance=np.diag([5.0, 0.0, 0.0, 1.0]))
    at_zero = profile_component(without, 0.1, "a[2,2]", lambda fixed, ties: 0.1 * (1 + fixed["a[2,2]"]) ** 2, points=0)
    assert at_zero.notes == ("the estimate is at its lower limit",)
    assert at_zero.upper == pytest.approx(math.sqrt(10 * (0.1 + chi2.ppf(0.95, 1))) - 1.0, rel=2e-3)


def test_refused_profiles(dense: Dense) -> None:
    with pytest.raises(
        NotConverged,
        match="the profile of 'v' found a -2 log L that is 0.27 lower than that of the fit, at 3.47998: the fit was not at its maximum",
    ):
        profile_of(lambda v: (v - 3.0) ** 2, 2.5, 0.5, 0.5, name="v")
    space = ParameterSpace.of(bb.Model.from_formula("y ~ (1 | a)"), structures={"a": FixedValue(1.0)})
    estimates = Estimates(space, np.array([1.0, 2.0]), np.diag([0.0, 1.0]), ("fixed", "free"), "average")
    with pytest.raises(ModelError, match="'a' is fixed, so it has no profile; name a parameter that is estimated"):
        profile_component(estimates, 0.0, "a", dense.refit)
    with pytest.raises(ModelError, match="the level of an interval is a number between 0 and 1"):
        profile_component(dense.estimates(), 0.0, "a", dense.refit, level=2.0)


def test_profile_by_refitting() -> None:
    """A refit of the package at a value, and one at a ratio, is what dense algebra gives."""
    table, model = one_way(), bb.Model.from_formula("y ~ (1 | a)")
    small = Dense(table["y"].to_numpy())

    def refit(fixed: Mapping[str, float], ties: Sequence[Tie]) -> float:
        held: dict[str, Any] = {"structures": {key: FixedValue(value) for key, value in fixed.items()}, "ties": ties}
        return estimate_variances(model, table, **held).minus2_log_likelihood

    lowest = refit({}, ())
    assert lowest == pytest.approx(small.minus2_log_l(*small.estimates().theta), abs=1e-6)
    for fixed, ties in (({"a": 3.0}, ()), ({"a": 0.0}, ()), ({}, (Tie("a", "residual", 0.25),))):
        assert refit(fixed, ties) == pytest.approx(small.refit(fixed, ties), abs=1e-6)
