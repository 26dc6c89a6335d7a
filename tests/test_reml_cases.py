"""Published REML analyses: estimates, likelihoods and standard errors, from automatic starting values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import REFS, expected, expected_in, shared_case

import breedblup as bb
from breedblup.analysis.estimation import estimate_variances
from breedblup.analysis.reml_fit import RemlFit
from breedblup.reml.options import RemlOptions
from breedblup.reml.point import point_at
from breedblup.reml.score import average_information, score_at

LIKELIHOOD = 1e-4
"""Of log L, absolute."""

ERRORS = 0.01
"""Of standard errors, relative."""


def fit_of(
    folder: Path, formula: str, pedigree_of: str | None = None, text: Sequence[str] = (), **more: Any
) -> RemlFit:
    """REML of a case; ``text`` are columns of classes that are written as numbers."""
    records = pl.read_csv(folder / "data.csv", null_values=["NA", ""], infer_schema_length=None)
    records = records.with_columns(pl.col(column).cast(pl.String) for column in text)
    if (
        "l1 + l2" in formula
    ):  # columns of X that the published likelihood is of: Legendre polynomials without the constant
        x = 2.0 * (pl.col("days") - 10) / 290 - 1.0
        records = records.with_columns(l1=np.sqrt(1.5) * x, l2=np.sqrt(2.5) * (1.5 * x**2 - 0.5))
    relationships = None if pedigree_of is None else {pedigree_of: bb.read_pedigree(folder / "pedigree.csv")}
    return estimate_variances(bb.Model.from_formula(formula), records, relationships, **more)


def check(
    fit: RemlFit,
    wanted: Mapping[str, float],
    errors: Mapping[str, float],
    log_likelihood: float,
    tolerance: float,
) -> None:
    """Estimates by name of parameter to a relative tolerance, standard errors to 1 %, log L without its constant to 1e-4."""
    found = dict(zip(fit.estimates.space.names, fit.estimates.theta.tolist(), strict=True))
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=tolerance), name
    precision = dict(zip(fit.estimates.space.names, fit.estimates.standard_errors.tolist(), strict=True))
    for name, value in errors.items():
        assert precision[name] == pytest.approx(value, rel=ERRORS), name
    assert -0.5 * fit.minus2_log_likelihood == pytest.approx(log_likelihood, abs=LIKELIHOOD)


# --- Mrode ------------------------------------------------------------------------------------------------------------


def calves(**more: Any) -> RemlFit:
    return fit_of(REFS / "mrode_reml", "y ~ sex + (1 | animal)", "animal", **more)


def test_mrode_reml() -> None:
    case = expected("mrode_reml")
    wanted, published = case["expected"], case["published"]
    fit = calves()
    for name, value in wanted["reml"].items():
        assert (
            fit.variances[name]
            if name == "animal"
            else fit.variances.residual == pytest.approx(value, abs=case["tolerance"]["abs_variance"])
        )
    names = ("animal", "residual")
    check(
        fit,
        {name: wanted["reml"][name] for name in names},
        {name: wanted["se"][name] for name in names},
        wanted["loglik_without_constant"],
        1e-5,
    )
    assert fit.variances["animal"] == pytest.approx(published["animal"], abs=case["tolerance"]["published_abs"])
    inverse = np.array(wanted["AI_inverse_order_residual_animal"])[::-1, ::-1]
    np.testing.assert_allclose(fit.estimates.covariance, inverse, rtol=1e-4)
    assert -0.5 * fit.reml_criterion == pytest.approx(wanted["loglik_with_constant"], abs=1e-6)


def test_mrode_reml_round_by_round() -> None:
    """The step of average information from each iterate of the book leads to the next."""
    wanted = expected("mrode_reml")["expected"]
    fit = calves(start=bb.VarianceComponents({"animal": 0.2}, residual=0.4))
    assert -0.5 * fit.history[0].minus2_log_l == pytest.approx(wanted["loglik_at_start"], abs=1e-8)
    iterates = np.column_stack([wanted["AI_iterates"]["animal"], wanted["AI_iterates"]["residual"]])
    for before, after in pairwise(iterates):
        point = point_at(fit.problem, before)
        step = np.linalg.solve(average_information(point), -0.5 * score_at(point).values)
        np.testing.assert_allclose(before + step, after, atol=1e-9)


def test_mrode_reml_first_round_of_em() -> None:
    """The animal variance of the book; its residual is found by another formula than the EM step has."""
    wanted = expected("mrode_reml")["expected"]
    fit = calves(
        start=bb.VarianceComponents({"animal": 0.2}, residual=0.4), options=RemlOptions(method="em", max_rounds=20_000)
    )
    assert fit.history[1].theta[0] == pytest.approx(wanted["EM_first"]["animal"], abs=1e-9)
    assert fit.variances["animal"] == pytest.approx(wanted["reml"]["animal"], rel=0.02)


# --- sires, genotypes, subjects without pedigree ----------------------------------------------------------------------


def test_harville_lamb() -> None:
    folder = shared_case("harville_lamb")
    case = expected_in(folder)
    wanted = case["expected"]
    fit = fit_of(folder, "weight ~ 0 + line + damage + (1 | sire)", text=("line", "damage", "sire"))
    criterion = wanted["reml_criterion"] - (62 - 7) * np.log(2 * np.pi)
    check(fit, wanted["variance"], wanted["se"], -0.5 * criterion, case["tolerance"]["rel_variance"])
    assert fit.reml_criterion == pytest.approx(wanted["reml_criterion"], abs=2 * LIKELIHOOD)


@pytest.mark.parametrize("run", ["lmer_gen_fixed", "lmer_gen_random"])
def test_seed_sorghum(run: str) -> None:
    folder = shared_case("seed_sorghum_E3")
    case = expected_in(folder)
    wanted = case["expected"][run]
    formula = "yield ~ gen + (1 | rep)" if run == "lmer_gen_fixed" else "yield ~ 1 + (1 | gen) + (1 | rep)"
    fit = fit_of(folder, formula)
    found = dict(zip(fit.estimates.space.names, fit.estimates.theta, strict=True))
    assert found == pytest.approx(wanted["variance"], rel=case["tolerance"]["rel_variance"])
    assert fit.reml_criterion == pytest.approx(wanted["reml_criterion"], abs=2 * LIKELIHOOD)
    if run == "lmer_gen_fixed":
        published = case["published"]
        assert fit.reml_criterion == pytest.approx(published["reml_criterion"], abs=0.05)
        assert found["rep"] == pytest.approx(published["rep"], abs=0.5)
        assert found["residual"] == pytest.approx(published["residual"], abs=0.5)


def test_seed_sorghum_without_random_terms() -> None:
    """The residual standard error of R's lm."""
    folder = shared_case("seed_sorghum_E3")
    wanted = expected_in(folder)["expected"]["lm_gen"]
    fit = fit_of(folder, "yield ~ gen")
    assert np.sqrt(fit.variances.residual) == pytest.approx(wanted["sigma"], rel=1e-8)
    blocks = fit_of(folder, "yield ~ gen + rep")
    assert np.sqrt(blocks.variances.residual) == pytest.approx(160.1, abs=0.05)


def test_sleepstudy() -> None:
    folder = shared_case("sleepstudy")
    case = expected_in(folder)
    wanted = case["expected"]
    fit = fit_of(folder, "reaction ~ days + (days | subject)", text=("subject",))
    names = ("intercept", "covariance", "slope", "residual")
    np.testing.assert_allclose(
        fit.estimates.theta, [wanted["variance"][name] for name in names], rtol=case["tolerance"]["rel_variance"]
    )
    assert fit.reml_criterion == pytest.approx(wanted["reml_criterion"], abs=2 * LIKELIHOOD)
    variance, published = case["published"]["variance"], fit.estimates.theta[[0, 2, 1, 3]]
    np.testing.assert_allclose(published, variance, atol=0.02)


# --- animal models of real size ---------------------------------------------------------------------------------------

GRYPHON = {
    "intercept": ("birth_weight ~ 1 + (1 | id)", {"animal": "id"}),
    "sex": ("birth_weight ~ sex + (1 | id)", {"animal": "id"}),
    "sex_byear": ("birth_weight ~ sex + (1 | id) + (1 | cohort)", {"animal": "id", "byear": "cohort"}),
    "sex_byear_mother": (
        "birth_weight ~ sex + (1 | id) + (1 | cohort) + (1 | mother)",
        {"animal": "id", "byear": "cohort", "mother": "mother"},
    ),
}


def renamed(values: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    """Expected values by our names of parameters."""
    return {names.get(name, name): value for name, value in values.items()}


@pytest.mark.parametrize("model", GRYPHON)
def test_gryphon_univariate(model: str) -> None:
    folder = shared_case("gryphon_univariate")
    case = expected_in(folder)
    wanted, (formula, names) = case["expected"][model], GRYPHON[model]
    fit = fit_of(folder, formula, "id", text=("id", "sex", "cohort", "mother"))
    check(
        fit, renamed(wanted["variance"], names), renamed(wanted["se"], names), wanted["loglik_without_constant"],
        case["tolerance"]["rel_variance"],
    )  # fmt: skip


LAY_DATE = {
    "v_mean_id": ("lay_date ~ 1 + (1 | id)", None, {}),
    "w_age_id": ("lay_date ~ age + (1 | id)", None, {}),
    "x_age_animal": ("lay_date ~ age + (1 | id)", "id", {"animal": "id"}),
    "y_age_animal_pe": ("lay_date ~ age + (1 | id) + (1 | ide(id))", "id", {"animal": "id", "pe": "ide(id)"}),
    "z_age_animal_pe_year_cohort": (
        "lay_date ~ age + (1 | id) + (1 | ide(id)) + (1 | year) + (1 | cohort)",
        "id",
        {"animal": "id", "pe": "ide(id)"},
    ),
}


@pytest.mark.parametrize("model", LAY_DATE)
def test_gryphon_repeated(model: str) -> None:
    folder = shared_case("gryphon_repeated")
    case = expected_in(folder)
    wanted, (formula, pedigree, names) = case["expected"][model], LAY_DATE[model]
    fit = fit_of(folder, formula, pedigree, text=("id", "age", "year", "cohort"))
    check(
        fit, renamed(wanted["variance"], names), renamed(wanted["se"], names), wanted["loglik_without_constant"],
        case["tolerance"]["rel_variance"],
    )  # fmt: skip
    if model.startswith("z"):
        place = fit.estimates.space.index_of("cohort")
        assert fit.variances["cohort"] == 0.0
        assert fit.estimates.status[place] == "boundary"
        assert np.isnan(fit.estimates.standard_errors[place])
        assert -0.5 * fit.maximum.score.values[place] == pytest.approx(wanted["score_cohort_at_zero"], rel=1e-3)
        assert "the variance of 'cohort' is zero" in fit.notes


@pytest.mark.parametrize("model", ["tarsus", "back"])
def test_bluetit_of_one_trait(model: str) -> None:
    folder = shared_case("bluetit_bivariate")
    case = expected_in(folder)
    wanted = case["expected"][model]
    fit = fit_of(folder, f"{model} ~ 0 + sex + hatchdate + (1 | animal) + (1 | fosternest)", "animal")
    check(fit, wanted["variance"], wanted["se"], wanted["loglik_without_constant"], case["tolerance"]["rel_variance"])


def test_bluetit_bivariate() -> None:
    folder = shared_case("bluetit_bivariate")
    case = expected_in(folder)
    wanted = case["expected"]["bivariate"]
    fit = fit_of(folder, "(tarsus, back) ~ 0 + sex + hatchdate + (1 | animal) + (1 | fosternest)", "animal")
    places = {"tarsus": "[1,1]", "cov": "[2,1]", "back": "[2,2]"}
    names = {
        f"{term}_{short}": f"{term}{place}"
        for term in ("animal", "fosternest", "residual")
        for short, place in places.items()
    }
    check(
        fit, renamed(wanted["variance"], names), renamed(wanted["se"], names), wanted["loglik_without_constant"],
        case["tolerance"]["rel_variance"],
    )  # fmt: skip


SIMULATED = {
    "weighted_inbreeding_considered": ("w", True),
    "weighted_inbreeding_ignored": ("w", False),
    "unweighted_inbreeding_considered": (None, True),
}


@pytest.mark.parametrize("variant", SIMULATED)
def test_blupf90_sim4641(variant: str) -> None:
    folder = shared_case("blupf90_sim4641")
    case = expected_in(folder)
    wanted, (weights, inbreeding) = case["expected"][variant], SIMULATED[variant]
    model = bb.Model.from_formula("y1 ~ factor(farm) + factor(sex) + factor(year) + (1 | animal)", weights=weights)
    records = bb.read_records(folder / "data.csv")
    fit = estimate_variances(
        model, records, {"animal": bb.read_pedigree(folder / "pedigree.csv")},
        start=bb.VarianceComponents({"animal": 100.0}, residual=100.0), options=RemlOptions(inbreeding=inbreeding),
    )  # fmt: skip
    tolerance = case["tolerance"]["rel_variance"]
    np.testing.assert_allclose(fit.estimates.theta, [wanted["animal"], wanted["residual"]], rtol=tolerance)
    drop = fit.history[0].minus2_log_l - fit.minus2_log_likelihood
    assert drop == pytest.approx(wanted["m2logL_drop_from_100_100"], abs=2 * LIKELIHOOD)
    assert fit.problem.rank == case["expected"]["rank_X"]
    if variant == "weighted_inbreeding_ignored":
        np.testing.assert_allclose(fit.estimates.covariance, wanted["AI_inverse"], rtol=ERRORS)


# --- constructed ------------------------------------------------------------------------------------------------------

TWINS = {
    "twin_maternal": (
        "y ~ hys + (1 | animal + dam) + (1 | ide(dam))",
        {"direct": "animal + dam[1,1]", "direct_maternal": "animal + dam[2,1]", "maternal": "animal + dam[2,2]",
         "mpe": "ide(dam)"},
    ),
    "twin_mt_missing": (
        "(t1, t2) ~ cg + (1 | animal)",
        {f"{short}{i}{j}": f"{key}[{j},{i}]" for short, key in (("a", "animal"), ("e", "residual"))
         for i, j in ((1, 1), (1, 2), (2, 2))},
    ),
    "twin_rr": (
        "y ~ 0 + htd + l1 + l2 + (leg(days, 1, range=(10, 300)) | animal) + "
        "(leg(days, 1, range=(10, 300)) | ide(animal))",
        {f"{short}{i}{j}": f"{key}[{j},{i}]" for short, key in (("a", "animal"), ("p", "ide(animal)"))
         for i, j in ((1, 1), (1, 2), (2, 2))},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_twins(name: str) -> None:
    case, (formula, names) = expected(name), TWINS[name]
    wanted = case["expected"]["reml"]
    fit = fit_of(REFS / name, formula, "animal")
    check(
        fit, renamed(wanted["variance"], names), renamed(wanted["se"], names), wanted["loglik_without_constant"],
        case["tolerance"]["rel_variance"],
    )  # fmt: skip
