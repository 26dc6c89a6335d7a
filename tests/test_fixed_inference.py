"""Fixed effects, degrees of freedom and Wald tests against dense algebra, and against what lme4 and lmerTest print."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import shared_case
from reference import DenseMixedModel
from scipy.special import betainc

import breedblup as bb
from breedblup.analysis.estimation import prepare_estimation
from breedblup.inference import contrasts, fixed
from breedblup.inference.contrasts import Contrasts, estimate_contrasts, joint_test
from breedblup.inference.fixed import fixed_effects, terms_without_tests, wald_tests
from breedblup.inference.named_contrasts import contrast_tests
from breedblup.reml.estimates import Estimates
from breedblup.reml.options import RemlOptions
from breedblup.reml.point import Point, point_at

TWO_TRAITS = bb.VarianceComponents({"g": [[2.0, 0.7], [0.7, 1.5]]}, residual=[[3.0, 0.8], [0.8, 2.0]])
ONE_TRAIT = bb.VarianceComponents({"g": 2.0}, residual=3.0)


def small_records(seed: int = 4) -> pl.DataFrame:
    """48 unbalanced records of two traits, the second missing at times, all cells of a and b filled."""
    rng = np.random.default_rng(seed)
    n = 48
    a, b = rng.integers(0, 3, n), rng.integers(0, 2, n)
    a[:6], b[:6] = np.repeat(np.arange(3), 2), np.tile(np.arange(2), 3)
    t2 = [None if i % 5 == 4 else v for i, v in enumerate(rng.normal(5.0, 2.0, n) + b)]
    return pl.DataFrame({
        "a": [f"a{i}" for i in a], "b": [f"b{i}" for i in b], "g": [f"g{i}" for i in rng.integers(0, 9, n)],
        "x": rng.normal(3.0, 1.0, n), "w": rng.uniform(0.5, 2.0, n), "t1": rng.normal(10.0, 2.0, n) + a, "t2": t2,
    })  # fmt: skip


def point_of(
    model: bb.Model,
    records: pl.DataFrame,
    variances: bb.VarianceComponents,
    *,
    relationships: Any = None,
    **options: Any,
) -> Point:
    """Solutions at given variances."""
    problem = prepare_estimation(model, records, relationships, options=RemlOptions(**options)).problem
    return point_at(problem, problem.space.pack(variances), exact=True)


def with_covariance(point: Point, seed: int = 1) -> Estimates:
    """The variances of a point with some covariance matrix."""
    space = point.problem.space
    root = np.random.default_rng(seed).normal(size=(space.size, space.size))
    return Estimates(space, point.theta.copy(), root @ root.T, ("free",) * space.size, "average")


@pytest.mark.parametrize(
    ("formula", "variances", "weights"),
    [
        ("t1 ~ a + x + (1 | g)", ONE_TRAIT, None),
        ("t1 ~ a * b + a:x + (1 | g)", ONE_TRAIT, "w"),
        ("(t1, t2) ~ 0 + a + b + x + (1 | g)", TWO_TRAITS, "w"),
    ],
)
@pytest.mark.parametrize("likelihood", ["reml", "ml"])
def test_estimates_errors_and_degrees_of_freedom_equal_dense_algebra(
    formula: str, variances: bb.VarianceComponents, weights: str | None, likelihood: str
) -> None:
    records = small_records()
    point = point_of(bb.Model.from_formula(formula, weights=weights), records, variances, likelihood=likelihood)
    estimates = with_covariance(point)
    table = fixed_effects(point, estimates)
    dense = DenseMixedModel.of(point.problem.design.traits, records, "g", weights)
    kept = table.filter(~pl.col("constrained"))
    x = dense.columns(kept.select("term", "level", "trait").rows())
    b, covariance = dense.generalised_least_squares(x, variances)
    np.testing.assert_allclose(kept["estimate"], b, rtol=1e-9)
    np.testing.assert_allclose(kept["se"], np.sqrt(np.diag(covariance)), rtol=1e-9)
    slopes = dense.slopes(x, point.problem.space, point.theta)
    spread = np.einsum("im,ij,jm->m", slopes, estimates.covariance, slopes)
    np.testing.assert_allclose(kept["df"], 2 * np.diag(covariance) ** 2 / spread, rtol=1e-6)
    np.testing.assert_allclose(kept["t"], kept["estimate"] / kept["se"], rtol=1e-12)
    assert table.filter("constrained").select("se", "df", "t", "p").null_count().row(0) == (
        (len(table) - len(kept),) * 4
    )
    assert table.filter("constrained")["estimate"].to_list() == [0.0] * (len(table) - len(kept))


def check_derivatives(point: Point) -> None:
    """All derivatives of the covariance matrix of two effects, one of them nearly always set off by the other."""
    rows = np.zeros((2, point.layout.fixed_size))
    rows[:, np.flatnonzero(~point.problem.dropped[: rows.shape[1]])[[0, -1]]] = [[1.0, 0.0], [0.5, 1.0]]
    found = estimate_contrasts(point, rows).derivatives
    assert found is not None
    for i, step in enumerate(np.eye(point.problem.space.size) * 1e-4):
        ends = [estimate_contrasts(point_at(point.problem, point.theta + s * step), rows).covariance for s in (1, -1)]
        np.testing.assert_allclose(found[i], (ends[0] - ends[1]) / 2e-4, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("formula", "classes", "variances"),
    [
        ("t1 ~ x + (1 | g)", "b", bb.VarianceComponents({"g": 2.0}, residual={"b0": 3.0, "b1": 4.5})),
        ("t1 ~ x + (1 + x | g)", (), bb.VarianceComponents({"g": [[2.0, 0.3], [0.3, 0.7]]}, residual=3.0)),
        ("t1 ~ a + (1 | mm(g, h))", (), bb.VarianceComponents({"mm(g, h)": 2.0}, residual=3.0)),
        (
            ["t1 ~ a + (1 | g) + (1 | h)", "t2 ~ x + (1 | g)"],
            (),
            bb.VarianceComponents({"g": [[2.0, 0.3], [0.3, 0.7]], "h": 0.8}, residual=[[3.0, 0.8], [0.8, 2.0]]),
        ),
    ],
)
def test_derivatives_are_slopes_of_covariances(
    formula: str | list[str], classes: str | tuple[str, ...], variances: bb.VarianceComponents
) -> None:
    records = small_records().with_columns(h=pl.col("g").shuffle(seed=3))
    check_derivatives(point_of(bb.Model.from_formula(formula, residual_classes=classes), records, variances))


@pytest.mark.parametrize("groups", [False, True])
def test_derivatives_with_a_pedigree_and_maternal_effects(groups: bool) -> None:
    rng = np.random.default_rng(3)
    unknown = ["G1", "G2"] if groups else [None, None]
    parents = [(unknown[i % 2], unknown[(i // 2) % 2]) for i in range(8)]
    parents += [(f"i{2 * rng.integers(0, i // 2)}", f"i{2 * rng.integers(0, i // 2) + 1}") for i in range(8, 38)]
    table = pl.DataFrame({
        "id": [f"i{i}" for i in range(38)], "sire": [s for s, _ in parents], "dam": [d for _, d in parents]
    })  # fmt: skip
    pedigree = bb.read_pedigree(table, groups=("G1", "G2") if groups else ())
    records = small_records()[:30].with_columns(animal=table["id"][8:], dam=table["dam"][8:])
    variances = bb.VarianceComponents({"animal + dam": [[2.0, -0.3], [-0.3, 0.9]]}, residual=3.0)
    model = bb.Model.from_formula("t1 ~ a + x + (1 | animal + dam)")
    point = point_of(model, records, variances, relationships={"animal": pedigree})
    check_derivatives(point)


def test_a_function_that_depends_on_what_was_set_to_zero_is_not_estimable() -> None:
    point = point_of(bb.Model.from_formula("t1 ~ a + b + (1 | g)"), small_records(), ONE_TRAIT)
    names = [point.layout.name(e) for e in range(point.layout.fixed_size)]
    assert names == ["(Intercept)", "a 'a0'", "a 'a1'", "a 'a2'", "b 'b0'", "b 'b1'"]
    rows = np.array(
        [
            [0, 0, 0, 1, 0, 0],  # a2 alone
            [0, 0, -1, 1, 0, 0],  # a2 - a1
            [0, -1, 0, 1, 0, 0],  # a2 - a0, the reference
            [1, 1, 0, 0, 1, 0],  # the cell a0, b0
            [1, 0.5, 0.5, 0, 0, 1],
            [1, 0, 0, 0, 1, 0],  # no level of a
        ],
        dtype=np.float64,
    )
    found = estimate_contrasts(point, rows)
    assert found.estimable.tolist() == [False, True, True, True, True, False]
    assert found.combined(np.array([[1.0, 0, 0, 0, 0, 0], [0, 0, 0, 1.0, -1.0, 0]])).estimable.tolist() == [False, True]
    kept = found.combined(np.array([[0.0, 1.0, -1.0, 0, 0, 0]]))
    alone = estimate_contrasts(point, rows[1:2] - rows[2:3])
    np.testing.assert_allclose(kept.estimates, alone.estimates, rtol=1e-10)
    np.testing.assert_allclose(kept.covariance, alone.covariance, rtol=1e-10)
    assert kept.derivatives is not None
    assert alone.derivatives is not None
    np.testing.assert_allclose(kept.derivatives, alone.derivatives, rtol=1e-10)


def test_many_functions_are_worked_on_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    point = point_of(bb.Model.from_formula("t1 ~ a * b + (1 | g)"), small_records(), ONE_TRAIT)
    rows = np.random.default_rng(0).normal(size=(5, point.layout.fixed_size))
    whole, table = estimate_contrasts(point, rows), fixed_effects(point, with_covariance(point))
    monkeypatch.setattr(contrasts, "BLOCK_BYTES", 2 * 8 * (48 + 3 * point.layout.size))
    parts = estimate_contrasts(point, rows)
    assert parts.derivatives is None
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-12)
    np.testing.assert_allclose(parts.missed, whole.missed, atol=1e-12)
    assert np.isnan(contrasts.degrees_of_freedom(parts, with_covariance(point))).all()
    assert np.isnan(joint_test(parts, with_covariance(point)).p)
    in_parts = fixed_effects(point, with_covariance(point))
    np.testing.assert_allclose(in_parts["df"].drop_nulls(), table["df"].drop_nulls(), rtol=1e-10)


def test_terms_of_many_effects_have_errors_but_no_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    point = point_of(bb.Model.from_formula("t1 ~ a * b + x + (1 | g)"), small_records(), ONE_TRAIT)
    estimates = with_covariance(point)
    table = fixed_effects(point, estimates)
    monkeypatch.setattr(fixed, "COEFFICIENTS", 2)
    shorter = fixed_effects(point, estimates)
    np.testing.assert_allclose(shorter["se"].drop_nulls(), table["se"].drop_nulls(), rtol=1e-10)
    of_cells = shorter.filter((pl.col("term") == "a:b") & ~pl.col("constrained"))
    assert of_cells["df"].null_count() == of_cells["p"].null_count() == len(of_cells) > 2
    assert shorter.filter(term="x")["df"].to_list() == table.filter(term="x")["df"].to_list()
    assert terms_without_tests(point) == ("a:b: 5 estimated effects, no degrees of freedom (up to 2)",)
    notes = dict(wald_tests(point, estimates).select("term", "note").rows())
    assert notes["a:b"] == "not tested: 5 estimated effects, more than 2"
    assert notes["a"] == "not tested: 5 estimated effects of the term and of a:b, which contain it, more than 2"
    assert notes["x"] is None


@pytest.mark.parametrize("formula", ["t1 ~ a * b + x + (1 | g)", "t1 ~ 0 + a:b + a + x + b + (1 | g)"])
def test_wald_tests_are_those_of_effects_that_sum_to_zero(formula: str) -> None:
    """Marginal hypotheses of SAS's type III, by the coding in which they are tests of coefficients."""
    records = small_records()
    point = point_of(bb.Model.from_formula(formula), records, ONE_TRAIT)
    dense = DenseMixedModel.of(("t1",), records, "g", None)
    a, b = (np.stack([one == level for level in levels]).astype(float) for one, levels in
            ((records["a"].to_numpy(), ("a0", "a1", "a2")), (records["b"].to_numpy(), ("b0", "b1"))))  # fmt: skip
    a, b = (a[:-1] - a[-1:]).T, (b[:-1] - b[-1:]).T
    x = np.column_stack([np.ones(48), a, b, a * b, records["x"].to_numpy()])
    solution, covariance = dense.generalised_least_squares(x, ONE_TRAIT)
    wanted = {"a": [1, 2], "b": [3], "a:b": [4, 5], "x": [6], "(Intercept)": [0]}
    tests = wald_tests(point, with_covariance(point))
    assert set(tests["term"]) <= set(wanted)
    for term, q, f in tests.select("term", "numerator_df", "f").rows():
        of_term = wanted[term]
        part = solution[of_term] @ np.linalg.solve(covariance[np.ix_(of_term, of_term)], solution[of_term])
        assert q == len(of_term)
        np.testing.assert_allclose(f, part / q, rtol=1e-9)


def test_tests_do_not_depend_on_names_of_levels() -> None:
    """Another reference level: the same F and the same degrees of freedom."""
    records = small_records()
    renamed = records.with_columns(pl.col("a").replace({"a0": "z"}))
    tables = []
    for given in (records, renamed):
        point = point_of(bb.Model.from_formula("(t1, t2) ~ a + b + x + (1 | g)"), given, TWO_TRAITS)
        tables.append(wald_tests(point, with_covariance(point)))
    for column in ("numerator_df", "denominator_df", "f", "p"):
        np.testing.assert_allclose(tables[0][column], tables[1][column], rtol=1e-8)
    assert tables[0]["trait"].to_list() == ["t1", "t2"] * 4
    assert tables[0].filter(term="a")["numerator_df"].to_list() == [2, 2]


UNITS = [(1e-6, 1e6, 1.0), (1e6, 1e-6, 1e-6), (1.0, 1e6, 1e6)]


def in_units(units: tuple[float, float, float]) -> tuple[pl.DataFrame, bb.VarianceComponents]:
    """Two traits and a covariate of other units, and the variances that go with them."""
    columns = [pl.col(name) * unit for name, unit in zip(("t1", "t2", "x"), units, strict=True)]
    size = np.outer(units[:2], units[:2])
    scaled = bb.VarianceComponents({"g": TWO_TRAITS["g"] * size}, residual=TWO_TRAITS.residual * size)
    return small_records().with_columns(columns), scaled


def covariance_in_units(point: Point, units: tuple[float, float, float]) -> Estimates:
    size = np.tile([units[0] ** 2, units[0] * units[1], units[1] ** 2], 2)
    found = with_covariance(point)
    return replace(found, covariance=found.covariance * np.outer(size, size))


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize(
    "right", ["a * b + a:x + (1 | g)", "a + I(x^2) + x + (1 | g)", "0 + a:b + poly(x, 2) + a + (1 | g)"]
)
def test_units_of_traits_and_covariates_change_no_test(right: str, units: tuple[float, float, float]) -> None:
    tables = []
    for own in ((1.0, 1.0, 1.0), units):
        records, variances = in_units(own)
        point = point_of(bb.Model.from_formula(f"(t1, t2) ~ {right}"), records, variances)
        estimates = covariance_in_units(point, own)
        tables.append((wald_tests(point, estimates), fixed_effects(point, estimates)))
    for one, other, columns in zip(
        *tables, (("numerator_df", "denominator_df", "f", "p"), ("df", "t", "p")), strict=True
    ):
        for column in columns:
            given = [table[column].cast(pl.Float64).fill_null(np.nan) for table in (one, other)]
            np.testing.assert_allclose(given[1], given[0], rtol=1e-8, atol=1e-12)
    assert (tables[0][0]["numerator_df"] > 0).all()


@pytest.mark.parametrize("units", UNITS)
def test_units_change_neither_what_is_estimable_nor_joint_tests(units: tuple[float, float, float]) -> None:
    records, variances = in_units(units)
    point = point_of(bb.Model.from_formula("(t1, t2) ~ a + b + x + (1 | g)"), records, variances)
    estimates = covariance_in_units(point, units)
    within = {f"{t} {s}": {("a", "a1", t): 1, ("a", s, t): -1} for t in ("t1", "t2") for s in ("a0", "a2")}
    found = contrast_tests(point, estimates, within)
    plain_point = point_of(bb.Model.from_formula("(t1, t2) ~ a + b + x + (1 | g)"), *in_units((1.0, 1.0, 1.0)))
    plain = contrast_tests(plain_point, covariance_in_units(plain_point, (1.0, 1.0, 1.0)), within)
    assert found.joint is not None
    assert plain.joint is not None
    assert found.joint.numerator_df == plain.joint.numerator_df == 4
    assert found.joint.f == pytest.approx(plain.joint.f, rel=1e-6)
    alone = contrast_tests(point, estimates, {t: {("a", "a1", t): 1} for t in ("t1", "t2")})
    assert alone.table["se"].to_list() == [None, None]


def test_a_factor_is_tested_over_what_is_nested_in_it() -> None:
    rng = np.random.default_rng(8)
    herd = np.concatenate([np.arange(6), rng.integers(0, 6, 34)])
    records = pl.DataFrame({
        "herd": [f"h{i}" for i in herd], "region": [f"r{i // 3}" for i in herd], "g": [f"g{i % 7}" for i in range(40)],
        "t1": rng.normal(size=40) + herd,
    })  # fmt: skip
    point = point_of(bb.Model.from_formula("t1 ~ region + herd + (1 | g)"), records, ONE_TRAIT)
    tests = wald_tests(point, with_covariance(point))
    region = tests.filter(term="region").row(0, named=True)
    assert (region["numerator_df"], region["note"]) == (1, "averaged over herd")
    assert tests.filter(term="herd")["numerator_df"].item() == 4
    dense = DenseMixedModel.of(("t1",), records, "g", None)
    b, covariance = dense.generalised_least_squares((herd[:, None] == np.arange(6)).astype(float), ONE_TRAIT)
    mean = np.repeat([1.0, -1.0], 3) / 3
    np.testing.assert_allclose(region["f"], (mean @ b) ** 2 / (mean @ covariance @ mean), rtol=1e-9)


def test_a_term_that_repeats_another_is_not_tested() -> None:
    records = small_records().with_columns(c=pl.col("a").str.replace("a", "c"))
    point = point_of(bb.Model.from_formula("t1 ~ a + c + (1 | g)"), records, ONE_TRAIT)
    tests = wald_tests(point, with_covariance(point)).filter(pl.col("term").is_in(["a", "c"]))
    assert tests["numerator_df"].to_list() == [0, 0]
    assert tests["f"].to_list() == [None, None]
    assert set(tests["note"]) == {"not tested: nothing of it can be estimated beside the other terms"}


def test_no_fixed_effects_give_an_empty_table() -> None:
    point = point_of(bb.Model.from_formula("t1 ~ 0 + (1 | g)"), small_records(), ONE_TRAIT)
    estimates = with_covariance(point)
    assert fixed_effects(point, estimates).shape == (0, 9)
    assert wald_tests(point, estimates).shape == (0, 7)


def hand_made(variances: list[float], slopes: list[list[float]]) -> Contrasts:
    """Uncorrelated functions, each of value 2, whose variances have these derivatives (by parameter)."""
    m = len(variances)
    derivatives = np.stack([np.diag(np.array(one)) for one in slopes])
    return Contrasts(np.full(m, 2.0), np.diag(variances), derivatives, np.zeros((m, 0)), np.zeros((m, 0)))


def test_pooled_degrees_of_freedom() -> None:
    point = point_of(bb.Model.from_formula("t1 ~ 1 + (1 | g)"), small_records(), ONE_TRAIT)
    estimates = replace(with_covariance(point), covariance=np.eye(2))
    single = hand_made([4.0], [[1.0], [0.0]])
    assert joint_test(single, estimates) == pytest.approx((1, 32.0, 1.0, betainc(16.0, 0.5, 32 / 33)))
    e = 32 / 30 + 18 / 16  # ν of 32 and 18
    both = joint_test(hand_made([4.0, 3.0], [[1.0, 0.0], [0.0, 1.0]]), estimates)
    assert both[:3] == pytest.approx((2, 2 * e / (e - 2), (4 / 4 + 4 / 3) / 2))
    assert joint_test(hand_made([4.0, 1.0], [[1.0, 0.0], [0.0, 1.0]]), estimates).denominator_df == 2.0
    known = replace(estimates, covariance=np.zeros((2, 2)))
    test = joint_test(hand_made([4.0, 3.0], [[1.0, 0.0], [0.0, 1.0]]), known)
    assert np.isinf(test.denominator_df)
    assert test.p == pytest.approx(np.exp(-7 / 6), rel=1e-6)  # chi-squared on 2
    mixed = joint_test(hand_made([4.0, 3.0], [[1.0, 0.0], [0.0, 0.0]]), estimates)
    assert mixed.denominator_df == pytest.approx(2 * (32 / 30 + 1) / (32 / 30 + 1 - 2))
    equal = joint_test(hand_made([4.0, 4.0], [[1.0, 1.0], [0.0, 0.0]]), estimates)
    assert equal.denominator_df == pytest.approx(32.0)


def test_sleepstudy_as_lmertest_prints_it() -> None:
    records = pl.read_csv(shared_case("sleepstudy") / "data.csv")
    model = bb.Model.from_formula("reaction ~ covariate(days) + (1 + days | subject)")
    fit = bb.estimate_variances(model, records)
    table = fixed_effects(fit.point, fit.estimates)
    np.testing.assert_allclose(table["estimate"], [251.405, 10.467], atol=1e-3)
    np.testing.assert_allclose(table["se"], [6.825, 1.546], atol=1e-3)
    np.testing.assert_allclose(table["df"], [17.0, 17.0], atol=1e-3)
    np.testing.assert_allclose(table["t"], [36.838, 6.771], atol=1e-3)
    tests = wald_tests(fit.point, fit.estimates)
    assert tests.filter(term="days")["f"].item() == pytest.approx(45.853, abs=1e-3)


def test_a_balanced_trial_has_the_degrees_of_freedom_of_its_analysis_of_variance() -> None:
    records = pl.read_csv(shared_case("seed_sorghum_E3") / "data.csv")
    fit = bb.estimate_variances(bb.Model.from_formula("yield ~ gen + (1 | rep)"), records)
    table = fixed_effects(fit.point, fit.estimates)
    row = table.filter(level="G02").row(0, named=True)
    assert (row["estimate"], row["se"]) == pytest.approx((-66.515, 113.1975), abs=1e-3)
    assert row["df"] == pytest.approx(51.0, abs=1e-3)
    test = wald_tests(fit.point, fit.estimates).filter(term="gen").row(0, named=True)
    assert test["numerator_df"] == 17
    assert test["denominator_df"] == pytest.approx(51.0, abs=1e-3)
    assert test["f"] == pytest.approx(5.688, abs=1e-3)  # mean squares 145768.7 / 25627.4


def test_contrasts_by_name() -> None:
    point = point_of(bb.Model.from_formula("t1 ~ a + x + (1 | g)"), small_records(), ONE_TRAIT)
    estimates = with_covariance(point)
    effects = fixed_effects(point, estimates)
    found = contrast_tests(
        point,
        estimates,
        {
            "a1 - a0": {("a", "a1"): 1, ("a", "a0"): -1},
            "slope": {"x": 2.0},
            "level": {"(Intercept)": 1.0, ("a", "a2"): 1.0},
        },
    )
    row = effects.filter(level="a1").row(0, named=True)
    first = found.table.row(0, named=True)
    for column in ("estimate", "se", "df", "t", "p"):
        assert first[column] == pytest.approx(row[column], rel=1e-9)
    assert found.table["estimate"][1] == pytest.approx(2 * effects.filter(term="x")["estimate"].item())
    assert found.table["note"].to_list() == [None, None, None]
    assert found.joint is not None
    assert found.joint.numerator_df == 3
    of_a = {name: {("a", name): 1, ("a", "a0"): -1} for name in ("a1", "a2")}
    both = contrast_tests(point, estimates, of_a).joint
    assert both is not None
    assert both.f == pytest.approx(wald_tests(point, estimates).filter(term="a")["f"].item(), rel=1e-9)


def test_a_contrast_that_cannot_be_estimated_is_null_and_says_why() -> None:
    point = point_of(bb.Model.from_formula("t1 ~ a + b + (1 | g)"), small_records(), ONE_TRAIT)
    found = contrast_tests(point, with_covariance(point), {"a1": {("a", "a1"): 1}})
    assert found.joint is None
    assert found.table.row(0) == ("a1", None, None, None, None, None, "not estimable: depends on a 'a0', set to zero")


def test_contrasts_that_name_no_effect_are_refused() -> None:
    point = point_of(bb.Model.from_formula("(t1, t2) ~ a + x + (1 | g)"), small_records(), TWO_TRAITS)
    estimates = with_covariance(point)
    for effect, said in (
        ("aa", r"contrast 'c': no fixed term 'aa'; did you mean 'a'\? \(there are '\(Intercept\)', 'a', 'x'\)"),
        (("a", "a1"), r"\('a', 'a1'\) names no single effect -> write \(term, level, trait\), without the level"),
        (("a", "a7", "t1"), r"'a' has no level 'a7' \(it has 'a0', 'a1', 'a2'\)"),
        (("a", "aa1", "t1"), r"'a' has no level 'aa1'; did you mean 'a1'\?"),
        (("x", "t3"), r"'x' has no effect on 't3'"),
    ):
        with pytest.raises(bb.ModelError, match=said):
            contrast_tests(point, estimates, {"c": {effect: 1.0}})
    with pytest.raises(bb.ModelError, match="contrast 'c': the coefficient of 'x' is nan, no finite number"):
        contrast_tests(point, estimates, {"c": {"x": float("nan")}})
    for effect, said in (
        ("a1", r"no fixed term 'a1'; write \('a', 'a1', 't1'\) \(there are"),
        ("a a1", r"no fixed term 'a a1'; write \('a', 'a1', 't1'\)"),
    ):
        with pytest.raises(bb.ModelError, match=said):
            contrast_tests(point, estimates, {"a": {effect: 1, "x": -1}})
    one = point_of(bb.Model.from_formula("t1 ~ a + x + (1 | g)"), small_records(), ONE_TRAIT)
    with pytest.raises(bb.ModelError, match=r"no fixed term 'a1'; write \('a', 'a1'\) "):
        contrast_tests(one, with_covariance(one), {"a": {"a1": 1, "a2": -1}})
    with pytest.raises(
        bb.ModelError,
        match=r"contrast 'a a1': found 1 where a table of coefficients belongs -> write a name of your own, then effects with "
        r"their coefficients: \{'M - F': \{\('sex', 'M'\): 1, \('sex', 'F'\): -1\}\}$",
    ):
        contrast_tests(point, estimates, {"a a1": 1})  # type: ignore[dict-item]
    for nothing in ({}, {("x", "t2"): 0.0}):
        with pytest.raises(
            bb.ModelError, match="contrast 'c': no effect has a coefficient other than 0 -> write such as"
        ):
            contrast_tests(point, estimates, {"c": nothing})
    with pytest.raises(bb.ModelError, match="no contrasts are given"):
        contrast_tests(point, estimates, {})
    assert contrast_tests(point, estimates, {"c": {("x", "t2"): 1.0}}).table["note"].item() is None


def lmer_records() -> pl.DataFrame:
    """The small records with a variance between groups."""
    return small_records().with_columns(t1=pl.col("t1") + 0.7 * pl.col("g").str.slice(1).cast(pl.Float64))


def test_degrees_of_freedom_by_the_observed_information_are_lmertests() -> None:
    """What lmerTest 3.1-3 gives for the same records: lmer(t1 ~ a * b + x + (1 | g), weights = w)."""
    model = bb.Model.from_formula("t1 ~ a * b + x + (1 | g)", weights="w")
    fit = bb.estimate_variances(model, lmer_records(), options=RemlOptions(information="observed"))
    table = fixed_effects(fit.point, fit.estimates)
    intercept, x = (table.filter(term=term) for term in ("(Intercept)", "x"))
    for row, wanted in (
        (intercept, (14.14556851, 1.46921933, 38.967608, 9.62794884)),
        (table.filter(level="a0:b1"), (-0.33909076, 1.16291468, 36.260061, -0.29158697)),
        (table.filter(level="a1:b0"), (2.04509188, 1.10280986, 35.146379, 1.85443742)),
        (x, (-0.36233129, 0.32800394, 35.335411, -1.10465529)),
    ):
        assert row.select("estimate", "se", "df", "t").row(0) == pytest.approx(wanted, rel=1e-5)
    tests = wald_tests(fit.point, fit.estimates)
    of_terms = dict(zip(tests["term"], tests.select("numerator_df", "f", "denominator_df").rows(), strict=True))
    assert of_terms["b"] == pytest.approx((1, 0.01412, 33.873151), rel=1e-3)
    assert of_terms["x"] == pytest.approx((1, 1.22026, 35.335411), rel=1e-5)
    assert of_terms["a"][:2] == pytest.approx((2, 7.71531), rel=1e-5)
    assert of_terms["a:b"][:2] == pytest.approx((2, 0.06842), rel=1e-3)
    interaction = {
        a: {("a:b", f"{a}:b1"): 1, ("a:b", f"{a}:b0"): -1, ("a:b", "a0:b1"): -1, ("a:b", "a0:b0"): 1}
        for a in ("a1", "a2")
    }
    joint = contrast_tests(fit.point, fit.estimates, interaction).joint
    assert joint is not None
    assert joint.denominator_df == pytest.approx(37.133744, rel=1e-5)


def test_lambs_have_the_degrees_of_freedom_of_lmertest() -> None:
    """Harville & Fenech (1985), unbalanced: lmerTest's contrasts to the first line pool to other degrees of freedom than ours."""
    records = pl.read_csv(shared_case("harville_lamb") / "data.csv")
    model = bb.Model.from_formula("weight ~ factor(line) + factor(damage) + (1 | sire)")
    fit = bb.estimate_variances(model, records, options=RemlOptions(information="observed"))
    kept = fixed_effects(fit.point, fit.estimates).filter(~pl.col("constrained"))
    lmertest = [10.8091145, 11.6979319, 7.9547412, 8.2012330, 9.6835538, 54.9989094, 53.5945290]
    np.testing.assert_allclose(kept["df"], lmertest, rtol=1e-5)
    for term, levels, f, df in (("line", range(2, 6), 1.12637, 8.995644), ("damage", range(2, 4), 0.04500, 50.474259)):
        to_first = {f"{k} - 1": {(term, str(k)): 1, (term, "1"): -1} for k in levels}
        joint = contrast_tests(fit.point, fit.estimates, to_first).joint
        assert joint is not None
        assert (joint.f, joint.denominator_df) == pytest.approx((f, df), rel=2e-4)
        assert wald_tests(fit.point, fit.estimates).filter(term=term)["f"].item() == pytest.approx(f, rel=2e-4)
