"""Functions of variance components: expressions, the delta method, sampling of covariance matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from conftest import EXACT, expected_in, shared_case
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import breedblup as bb
from breedblup.errors import ModelError
from breedblup.inference.expressions import parse_expression
from breedblup.inference.functions import Derived, derive
from breedblup.inference.sampling import draw_components, sample_derived
from breedblup.reml.estimates import Estimates
from breedblup.variances import FixedValue, ParameterSpace, Tie

MATERNAL = "y ~ (1 | animal + dam) + (1 | ide(dam))"


def estimates_of(formula: Any, theta: list[float], covariance: NDArray[np.float64], **space: Any) -> Estimates:
    """Estimates with a given covariance; rows of parameters that are not free are made zero."""
    of = ParameterSpace.of(bb.Model.from_formula(formula), **space)
    values = np.array(theta)
    status = of.status(values)
    free = np.array([one in ("free", "tied") for one in status])
    return Estimates(of, values, covariance * np.outer(free, free), status, "average")


def random_covariance(p: int, size: float = 1.0, seed: int = 4) -> NDArray[np.float64]:
    half = np.random.default_rng(seed).standard_normal((p, 2 * p))
    return size**2 * half @ half.T / (2 * p)


@pytest.fixture
def maternal() -> Estimates:
    return estimates_of(MATERNAL, [25.5, -11.8, 39.2, 11.1, 48.0], random_covariance(5, 6.0))


def test_heritability_of_a_published_fit() -> None:
    case = expected_in(shared_case("blupf90_sim4641"))["expected"]["weighted_inbreeding_ignored"]
    a, e, inverse = case["animal"], case["residual"], np.array(case["AI_inverse"])
    found = derive(estimates_of("y ~ (1 | animal)", [a, e], inverse), "animal / (animal + residual)")
    gradient = np.array([e, -a]) / (a + e) ** 2
    assert found.estimate == pytest.approx(0.3807, abs=5e-5)
    assert found.se == pytest.approx(math.sqrt(gradient @ inverse @ gradient), rel=EXACT)
    assert found.information == "average"
    assert "SE 0.030115, delta method, average information" in repr(found)
    assert found.interval() == pytest.approx(
        (found.estimate - 1.959964 * found.se, found.estimate + 1.959964 * found.se)
    )


NUMBERS = st.floats(0.1, 9.0).map(lambda x: round(x, 3))
NAMES = ("animal", "litter", "residual")


def trees(depth: int) -> st.SearchStrategy[str]:
    """Expressions that Python reads too."""
    leaf = st.one_of(NUMBERS.map(str), st.sampled_from(NAMES))
    if not depth:
        return leaf
    inner = trees(depth - 1)
    two = st.tuples(inner, st.sampled_from(["+", "-", "*", "/", " + ", " * "]), inner).map("".join)
    return st.one_of(
        leaf,
        two,
        two.map("({})".format),
        inner.map("(-{})".format),
        st.tuples(inner, st.sampled_from(["2", "0.5", "-1"])).map(lambda t: f"abs({t[0]})**{t[1]}"),
        st.tuples(st.sampled_from(["sqrt", "log"]), inner).map(lambda t: f"{t[0]}(1 + abs({t[1]}))"),
        inner.map("exp(-abs({}))".format),
    )


@settings(max_examples=300)
@given(trees(3), st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_values_and_derivatives_are_those_of_python(text: str, theta: tuple[float, float, float]) -> None:
    space = ParameterSpace.of(bb.Model.from_formula("y ~ (1 | animal) + (1 | litter)"))
    names = {"sqrt": math.sqrt, "log": math.log, "exp": math.exp, "abs": abs}
    at = np.array(theta)

    def python(values: NDArray[np.float64]) -> float:
        return float(eval(text, {"__builtins__": {}}, names | dict(zip(NAMES, values.tolist(), strict=True))))

    try:
        wanted = python(at)
    except (ZeroDivisionError, OverflowError):
        return
    if not any(name in text for name in NAMES):
        with pytest.raises(ModelError, match="names no component"):
            parse_expression(text, space)
        return
    value, gradient = parse_expression(text, space).linearised(at)
    assert value == pytest.approx(wanted, rel=1e-12)
    assert parse_expression(text, space).values(np.stack([at, at])) == pytest.approx([wanted, wanted], rel=1e-12)
    if not np.isfinite(gradient).all() or np.abs(gradient).max() > 1e3:
        return
    steps = 1e-6 * np.eye(3)
    try:
        numeric = np.array([(python(at + step) - python(at - step)) / 2e-6 for step in steps])
        second = np.array([python(at + step) + python(at - step) - 2 * wanted for step in steps])
    except (ZeroDivisionError, OverflowError):
        return
    if np.abs(second).max() < 1e-9 * max(1.0, abs(wanted)):  # no kink of abs() nearby
        assert gradient == pytest.approx(numeric, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("animal + dam[1,1]", 0),
        ("animal+dam[ 1 , 2 ]", 1),
        ("`animal + dam`[2,1]", 1),
        ("`animal + dam[2,2]`", 2),
        ("ide(dam)", 3),
        ("ide( dam )[1,1]", 3),
        ("residual", 4),
    ],
)
def test_names_of_components(maternal: Estimates, text: str, place: int) -> None:
    assert derive(maternal, text).estimate == maternal.theta[place]
    assert parse_expression(f"2 * {text} - 1", maternal.space).components == (place,)


def test_names_of_residual_classes() -> None:
    model = bb.Model.from_formula("y ~ (1 | animal)", residual_classes="herd")
    space = ParameterSpace.of(model, ("H1", "H 2"))
    for text, place in (("residual H1", 1), ("`residual H1`[1,1]", 1), ("`residual H 2`", 2), ("residual  H 2", 2)):
        assert parse_expression(text, space).components == (place,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an expression is a text such as 'animal / .*', with at least one component; found ''"),
        ("2 + 3", "the expression '2 \\+ 3' names no component; there are 'animal \\+ dam\\[1,1\\]', .*'residual'"),
        (
            "residual ^ 2",
            "column 10: expected an operator, found '\\^'; a power is written \\*\\*\n    residual \\^ 2\n {13}\\^",
        ),
        ("residual ide(dam)", "column 10: expected an operator, found 'i'"),
        ("residual +", "column 11: expected a component, a number or '\\(', found the end"),
        ("(residual", "column 10: expected '\\)' or an operator, found the end"),
        (
            "residul",
            "expression, column 1: there is no component 'residul'; did you mean 'residual'\\?; there are 'animal",
        ),
        ("`dam`[1,1]", "column 1: there is no component 'dam\\[1,1\\]'; did you mean"),
        ("residual[2,1]", "there is no component 'residual\\[2,1\\]'"),
        ("__import__('os')", "there is no component '__import__'"),
        ("residual.real", "there is no component 'residual.real'"),
        ("sqrt residual", "column 6: expected '\\(' after sqrt, found 'r'"),
        ("1e400 * residual", "column 1: the number 1e400 is too large"),
        (
            "log(ide(dam) - 12)",
            "column 1: 'log\\(ide\\(dam\\) - 12\\)' has no finite value at the estimates: log of -0.9",
        ),
        ("1 + residual / 0", "column 5: 'residual / 0' has no finite value at the estimates: / of 48 and 0"),
        ("(" * 61 + "residual" + ")" * 61, "more than 60 levels of parentheses; write it in parts"),
        ("-" * 2000 + "residual", "more than 60 levels of parentheses; write it in parts"),
    ],
)
def test_refused_expressions(maternal: Estimates, text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        derive(maternal, text)


def test_several_functions_have_covariances(maternal: Estimates) -> None:
    found = derive(maternal, {"total": "ide(dam) + residual", "m2": "ide(dam) / (ide(dam) + residual)"})
    assert found.frame.columns == ["name", "expression", "estimate", "se", "note"]
    v, theta = maternal.covariance[3:, 3:], maternal.theta[3:]
    gradients = np.array([[1.0, 1.0], np.array([theta[1], -theta[0]]) / theta.sum() ** 2])
    assert found.covariance == pytest.approx(gradients @ v @ gradients.T, rel=EXACT)
    assert found["m2"].se == pytest.approx(math.sqrt(found.covariance[1, 1]))
    assert len(found) == 2
    assert derive(maternal, ["residual"])["residual"].estimate == 48.0
    with pytest.raises(ModelError, match="there is no function 'h2'; there are 'total', 'm2'"):
        found["h2"]
    with pytest.raises(ModelError, match="the list of expressions is empty; write at least one"):
        derive(maternal, [])


def test_components_that_are_held_add_no_variance() -> None:
    estimates = estimates_of(
        "y ~ (1 | animal) + (1 | litter) + (1 | pen)", [5.0, 0.0, 2.0, 10.0], random_covariance(4),
        structures={"pen": FixedValue(2.0)},
    )  # fmt: skip
    h2 = derive(estimates, "animal / (animal + litter + pen + residual)")
    v, gradient = estimates.covariance, np.array([12.0, -5.0, -5.0, -5.0]) / 17.0**2
    assert h2.se == pytest.approx(math.sqrt(gradient[[0, 3]] @ v[np.ix_([0, 3], [0, 3])] @ gradient[[0, 3]]), rel=EXACT)
    assert (
        h2.note == "litter is on its boundary and adds no variance; pen has a value that was given and adds no variance"
    )
    alone = derive(estimates, "litter / residual * 0 + pen")
    assert alone.se is None
    assert alone.interval() is None
    assert "no standard error: pen has a value that was given and adds no variance" in repr(alone)
    assert (
        derive(estimates, "sqrt(litter)").note == "no standard error: the function has no derivative at the estimates"
    )
    assert derive(estimates, "abs(litter)").se is None


def test_a_ratio_that_ties_hold_has_no_standard_error() -> None:
    v = np.outer([2.0, 1.0], [2.0, 1.0])
    estimates = estimates_of("y ~ (1 | animal)", [6.0, 3.0], v, ties=[Tie("animal", "residual", 2.0)])
    assert derive(estimates, "animal / residual").note.startswith(
        "no standard error: the components are held in one proportion"
    )
    assert derive(estimates, "animal + residual").se == pytest.approx(3.0)


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_levels_of_intervals(maternal: Estimates, level: float) -> None:
    with pytest.raises(ModelError, match="the level of an interval is a number between 0 and 1, such as 0.95; found"):
        derive(maternal, "residual").interval(level)


def matrices_drawn(estimates: Estimates, draws: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [np.stack([estimates.space.matrix(draw, block) for draw in draws]) for block in estimates.space.blocks]


@pytest.mark.parametrize(
    ("formula", "theta"),
    [
        (MATERNAL, [25.5, -11.8, 39.2, 11.1, 48.0]),
        ("y ~ (1 | animal + dam)", [4.0, 6.0, 9.0, 1.0]),  # a correlation of 1
        ("y ~ (1 | animal + dam)", [4.0, 0.0, 0.0, 1.0]),  # a variance of 0
        (["a ~ (x || g)", "b ~ (x || g)"], [4.0, 1.0, 9.0, 2.0, -1.0, 3.0, 5.0, 2.0, 6.0]),
        ("(a, b, c) ~ (1 | g)", [4.0, 2.0, 3.0, 1.0, 1.0, 5.0, 7.0, 0.0, 8.0, 1.0, 2.0, 9.0]),
    ],
)  # fmt: skip
def test_draws_are_covariance_matrices_around_the_estimates(formula: Any, theta: list[float]) -> None:
    space = ParameterSpace.of(bb.Model.from_formula(formula))
    at = np.array(theta)
    basis = space.free_basis(at)
    covariance = 1e-4 * basis @ random_covariance(basis.shape[1]) @ basis.T
    estimates = Estimates(space, at, covariance, space.status(at), "average")
    draws = draw_components(estimates, 40_000, seed=5)
    errors = np.sqrt(covariance.diagonal())
    assert draws.mean(axis=0) == pytest.approx(at, abs=0.05 * errors.max())
    assert np.cov(draws.T) == pytest.approx(covariance, abs=0.05 * covariance.max())
    assert (draws[:, errors == 0] == at[errors == 0]).all()
    for block, matrices in zip(space.blocks, matrices_drawn(estimates, draws[:500]), strict=True):
        values = np.linalg.eigvalsh(matrices)
        assert values.min() > -1e-12 * values.max()
        rank = np.linalg.matrix_rank(space.matrix(at, block), tol=1e-8)
        assert (np.linalg.matrix_rank(matrices, tol=1e-8) == rank).all()


def test_draws_of_one_variance_are_log_normal() -> None:
    estimates = estimates_of("y ~ (1 | animal)", [4.0, 9.0], np.diag([1.0, 4.0]))
    logs = np.log(draw_components(estimates, 200_000, seed=1))
    assert logs.mean(axis=0) == pytest.approx(np.log([4.0, 9.0]), abs=2e-3)
    assert logs.std(axis=0) == pytest.approx([0.25, 2 / 9], rel=0.01)


def test_sampling_agrees_with_the_delta_method_where_that_is_good() -> None:
    estimates = estimates_of("y ~ (1 | animal)", [40.0, 60.0], np.array([[4.0, -2.0], [-2.0, 3.0]]))
    found = sample_derived(estimates, "animal / (animal + residual)", seed=11)
    assert not found.delta_is_poor
    assert found.sd == pytest.approx(found.derived.se, rel=0.03)
    assert found.mean == pytest.approx(0.4, abs=0.002)
    low, high = found.interval(0.9)
    assert (low, high) == (found.quantile(0.05), found.quantile(0.95))
    assert np.mean((found.values > low) & (found.values < high)) == pytest.approx(0.9, abs=1e-3)
    again = sample_derived(estimates, "animal / (animal + residual)", seed=found.seed)
    assert np.array_equal(again.values, found.values)
    drawn = sample_derived(estimates, "animal", draws=200)
    assert np.array_equal(sample_derived(estimates, "animal", draws=200, seed=drawn.seed).values, drawn.values)


def test_sampling_says_where_the_delta_method_is_poor() -> None:
    estimates = estimates_of("y ~ (1 | animal) + (1 | litter)", [10.0, 0.0, 90.0], np.diag([8.0, 1.0, 25.0]) ** 2)
    found = sample_derived(estimates, "1 / animal", seed=2)
    assert found.delta_is_poor
    assert found.reasons[0] == "animal is 1.2 SE from zero"
    assert any("the SD of the draws is" in reason and "times its standard error" in reason for reason in found.reasons)
    assert any("the mean of the draws is" in reason and "SE above the estimate" in reason for reason in found.reasons)
    assert "SE by the delta method: 0.08, poor:" in repr(found)
    at_zero = sample_derived(estimates, "residual + sqrt(litter)", seed=2)
    assert at_zero.reasons == ("litter is on its boundary", "the delta method gives no standard error")


def test_what_is_the_same_at_all_draws_has_no_interval() -> None:
    estimates = estimates_of("y ~ (1 | animal) + (1 | litter)", [10.0, 0.0, 90.0], np.diag([8.0, 1.0, 25.0]) ** 2)
    for expression in ("litter", "litter / (animal + litter + residual)"):
        with pytest.raises(
            ModelError,
            match=r"^'litter.* is 0 at all draws, which is no interval \(no standard error: litter is on its boundary and adds no "
            r"variance\) -> fit\.profile\('litter'\) gives an interval there$",
        ):
            sample_derived(estimates, expression, seed=2)
    with pytest.raises(
        ModelError, match=r"'animal / animal' is 1 at all draws, .* the value is the same .* another func"
    ):
        sample_derived(estimates, "animal / animal", seed=2)


def test_draws_without_a_value_are_counted() -> None:
    estimates = estimates_of("y ~ (1 | animal)", [10.0, 10.5], np.diag([4.0, 4.0]))
    found = sample_derived(estimates, "log(residual - animal + 1)", seed=3, draws=2000)
    assert found.undefined > 100
    assert found.values.size + found.undefined == 2000
    assert f"{found.undefined:,} draws without a value" in repr(found)


def test_refused_draws(maternal: Estimates) -> None:
    for draws in (99, 1e4, True):
        with pytest.raises(ModelError, match="draws is .*; it has to be a whole number from 100"):
            sample_derived(maternal, "residual", draws=draws)  # type: ignore[arg-type]
    estimates = estimates_of("y ~ (1 | animal)", [10.0, 10.0], np.diag([9.0, 9.0]))
    with pytest.raises(
        ModelError, match="has a finite value at .* of 150 draws only; take more draws, or another function"
    ):
        sample_derived(estimates, "log(animal - residual + 0.001)", draws=150, seed=1)


def test_derived_is_frozen(maternal: Estimates) -> None:
    found = derive(maternal, "residual")
    assert isinstance(found, Derived)
    with pytest.raises(ValueError, match="read-only"):
        found.gradient[0] = 1.0
