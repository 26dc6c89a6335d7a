"""What variances cannot be estimated from is refused with its reason; what can be, is not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import REFS
from test_reml_dense import KINDS, prepared

import breedblup as bb
from breedblup.analysis.estimation import estimate_variances, prepare_estimation
from breedblup.reml.checks import never_together
from breedblup.reml.information import inverse_information
from breedblup.variances import Diagonal, FixedValue, Tie

FOLDER = REFS / "pathological"

RNG = np.random.default_rng(11)
N = 24
RECORDS = pl.DataFrame(
    {
        "y": 5 + RNG.standard_normal(N),
        "z": 3 + RNG.standard_normal(N),
        "x": RNG.standard_normal(N),
        "herd": [f"h{i // 6}" for i in range(N)],
        "same": [f"s{i // 6}" for i in range(N)],
        "pen": [f"p{i // 3}" for i in range(N)],
        "each": [f"e{i}" for i in range(N)],
        "one": ["only"] * N,
        "class": ["a"] * (N - 1) + ["b"],
        "zero": [0.0] * N,
    }
)


def refused(error: type[Exception], message: str, formula: str, records: pl.DataFrame = RECORDS, **more: Any) -> None:
    classes = more.pop("classes", ())
    model = bb.Model.from_formula(formula, residual_classes=classes, weights=more.pop("weights", None))
    with pytest.raises(error, match=message):
        prepare_estimation(model, records, more.pop("relationships", None), **more)


def test_a_trait_that_does_not_vary() -> None:
    constant = RECORDS.with_columns(y=pl.lit(3.5))
    refused(bb.RecordError, r"records: all 24 values of 'y' are 3.5; a trait that does not vary has no variances -> correct",
            "y ~ 1 + (1 | pen)", constant)  # fmt: skip
    single = RECORDS.with_columns(y=pl.when(pl.col("each") == "e0").then(1.0))
    refused(
        bb.RecordError, r"records: the only value of 'y' is 1; a trait that does not vary", "y ~ 1 + (1 | pen)", single
    )


def test_a_trait_that_fixed_effects_explain() -> None:
    explained = RECORDS.with_columns(y=1e6 + 2 * pl.col("x"))
    refused(bb.RecordError, r"records: the fixed effects explain 'y' completely, .* -> leave out the covariate or the classes",
            "y ~ x + (1 | pen)", explained)  # fmt: skip
    refused(
        bb.RecordError, r"records: 'y' has 24 values and as many fixed effects, .* -> give more records", "y ~ each"
    )


@pytest.mark.parametrize("unit", [1e-200, 1e-100, 1e100])
def test_units_whose_squares_are_no_numbers(unit: float) -> None:
    refused(bb.RecordError, r"records: 'y' has a standard deviation of 8.26e[-+]\d+, whose fourth power is beyond the range of "
            "numbers -> give it in another unit", "y ~ x + (1 | pen)", RECORDS.with_columns(y=pl.col("y") * unit))  # fmt: skip


@pytest.mark.parametrize("unit", [1e-50, 1e50])
def test_units_do_not_matter_before(unit: float) -> None:
    model, scaled = bb.Model.from_formula("(y, z) ~ x + (1 | pen)"), RECORDS.with_columns(pl.col("y", "z") * unit)
    start, plain = (prepare_estimation(model, records).start for records in (scaled, RECORDS))
    np.testing.assert_allclose(start / unit / unit, plain, rtol=1e-9)


@pytest.mark.parametrize("mean", [1e12, -1e10])
def test_a_mean_that_takes_the_digits(mean: float) -> None:
    refused(bb.RecordError, r"records: 'y' has a mean of -?1e\+1[02] and a standard deviation of .*: its digits do not suffice for "
            "variances -> subtract a constant near the mean from all values", "y ~ x + (1 | pen)",
            RECORDS.with_columns(y=pl.col("y") + mean))  # fmt: skip
    near = RECORDS.with_columns(y=pl.col("y") + mean / 1e5)
    assert prepare_estimation(bb.Model.from_formula("y ~ x + (1 | pen)"), near).start.min() > 0


@pytest.mark.parametrize(
    ("kind", "end"), [("average", "fix one"), ("observed", "fix one, or ask for the average information")]
)
def test_information_that_is_singular(kind: str, end: str) -> None:
    with pytest.raises(
        bb.NumericalError, match=f"the {kind} information matrix of the variances is singular: .* or {end}$"
    ):
        inverse_information(np.ones((2, 2)), kind)


def test_a_small_residual_is_no_rounding() -> None:
    near = RECORDS.with_columns(y=1e3 + 2 * pl.col("x") + 1e-5 * pl.col("y"))
    assert prepare_estimation(bb.Model.from_formula("y ~ x + (1 | pen)"), near).start.min() > 0


def test_values_that_are_not_finite() -> None:
    infinite = RECORDS.with_columns(y=pl.when(pl.col("each") == "e3").then(np.inf).otherwise(pl.col("y")))
    refused(bb.InputError, r"records row 3.*", "y ~ 1 + (1 | pen)", infinite)
    missing = RECORDS.with_columns(y=pl.when(pl.col("each") == "e3").then(np.nan).otherwise(pl.col("y")))
    begin = prepare_estimation(bb.Model.from_formula("y ~ 1 + (1 | pen)"), missing)
    assert begin.problem.values == N - 1


def test_fewer_values_than_parameters() -> None:
    refused(bb.ModelError, r"records: 4 values less 2 fixed effects leave 2 for 3 variance parameters \('pen', 'herd', 'residual'\)"
            " -> give more records", "y ~ x + (1 | pen) + (1 | herd)",
            RECORDS.gather([0, 5, 11, 23]))  # fmt: skip


@pytest.mark.parametrize("formula", ["y ~ 0 + (1 | one)", "y ~ x + (1 | one)"])
def test_a_single_level(formula: str) -> None:
    refused(bb.ModelError, r"records: the records have a single level, 'only', of the random term 'one', .* -> leave it out",
            formula)  # fmt: skip


def test_a_single_animal_of_a_pedigree() -> None:
    pedigree = bb.Pedigree.from_frame(pl.DataFrame({"animal": ["only", "calf"], "sire": ["", "only"], "dam": ["", ""]}))
    refused(bb.ModelError, r"the records have a single level, 'only', of the random term 'one'", "y ~ x + (1 | one)",
            relationships={"one": pedigree})  # fmt: skip


def test_a_residual_class_with_a_single_record() -> None:
    refused(bb.RecordError, r"records: residual class 'b' has 1 value of 'y', .* -> join it with another class",
            "y ~ x + (1 | pen)", classes="class")  # fmt: skip


def test_one_record_for_each_level() -> None:
    refused(bb.ModelError, r"records: the variance 'each' and the variance 'residual' cannot be told apart: each level of "
            r"'each' has one record -> leave 'each' out, or give it a relationship", "y ~ x + (1 | each)")  # fmt: skip
    refused(bb.ModelError, r"the variance 'each\[1,1\]' \(intercept y\) and the variance 'residual' cannot be told apart: each level",
            "y ~ 1 + (1 + x | each)")  # fmt: skip
    refused(bb.ModelError, r"the variance 'each\[1,1\]' \(direct y\) and the variance 'residual\[1,1\]' \(y\) cannot be told apart",
            "(y, z) ~ x + (1 | each)")  # fmt: skip


def test_animals_without_relatives_are_levels_like_others() -> None:
    """A pedigree tells animals and residuals apart by relationships; where the recorded have none, nothing does."""
    ids = RECORDS["each"].to_list()
    strangers = bb.Pedigree.from_frame(pl.DataFrame({"animal": ids, "sire": [""] * N, "dam": [""] * N}))
    refused(bb.ModelError, r"the variance 'each' and the variance 'residual' cannot be told apart: each level of 'each' has one",
            "y ~ x + (1 | each)", relationships={"each": strangers})  # fmt: skip
    sires = bb.Pedigree.from_frame(pl.DataFrame({"animal": ids, "sire": ["", "", *["e0", "e1"] * 11], "dam": [""] * N}))
    assert prepare_estimation(bb.Model.from_formula("y ~ x + (1 | each)"), RECORDS, {"each": sires}).problem.rank == 2


def test_two_terms_that_group_the_records_alike() -> None:
    refused(bb.ModelError, r"the variance 'same' and the variance 'herd' cannot be told apart: they group the records alike "
            r"-> leave one of the terms out", "y ~ 1 + (1 | herd) + (1 | same)")  # fmt: skip


def test_classes_that_hold_the_residual() -> None:
    classes = RECORDS.with_columns(pl.col("herd").replace({"h1": "h0", "h2": "h3"}).alias("half"))
    refused(bb.ModelError, r"cannot be told apart: each level of 'each' has one record", "y ~ 1 + (1 | each)", classes,
            classes="half")  # fmt: skip
    weighted = RECORDS.with_columns(w=pl.Series(RNG.uniform(0.5, 2.0, N)))
    model = bb.Model.from_formula("y ~ 1 + (1 | each)", weights="w")
    assert prepare_estimation(model, weighted).problem.space.size == 2


def test_a_term_that_fixed_effects_hold() -> None:
    refused(bb.ModelError, r"the variance 'herd' cannot be estimated: fixed effects explain all that its levels could -> leave out",
            "y ~ same + (1 | herd)")  # fmt: skip
    refused(bb.ModelError, r"the variance 'herd' cannot be estimated: fixed effects explain", "y ~ pen + (1 | herd)")


def test_an_effect_that_nothing_depends_on() -> None:
    refused(bb.ModelError, r"no record depends on the variance 'pen\[2,2\]' \(zero y\) -> leave the effect out",
            "y ~ x + (1 + zero | pen)")  # fmt: skip


def test_what_is_fixed_or_tied_need_not_be_told_apart() -> None:
    model = bb.Model.from_formula("y ~ x + (1 | each)")
    fixed = prepare_estimation(model, RECORDS, structures={"each": FixedValue(0.3)})
    assert fixed.start[0] == 0.3
    tied = prepare_estimation(model, RECORDS, ties=[Tie("each", "residual", 0.5)])
    assert tied.start[0] == 0.5 * tied.start[1]


def test_traits_of_different_records_without_relatives_in_common() -> None:
    apart = RECORDS.with_columns(
        y=pl.when(pl.col("herd").is_in(["h0", "h1"])).then(pl.col("y")),
        z=pl.when(pl.col("herd").is_in(["h2", "h3"])).then(pl.col("z")),
    )
    refused(bb.ModelError, r"the records tell nothing of the covariance 'pen\[2,1\]' \(direct y with direct z\): .* -> give its "
            r"matrix another structure: structures=\{'pen': Diagonal\(\)\}", "(y, z) ~ 1 + (1 | pen)", apart)  # fmt: skip
    model = bb.Model.from_formula("(y, z) ~ 1 + (1 | pen)")
    begin = prepare_estimation(model, apart, structures={"pen": Diagonal()})
    assert begin.problem.space.names == ("pen[1,1]", "pen[2,2]", "residual[1,1]", "residual[2,2]")
    assert "residual covariance of y and z set to 0: no record has both" in begin.notes


def test_traits_that_are_together_in_one_class_only() -> None:
    classes = RECORDS.with_columns(
        half=pl.when(pl.col("herd").is_in(["h0", "h1"])).then(pl.lit("first")).otherwise(pl.lit("second")),
        y=pl.when(pl.col("herd") != "h3").then(pl.col("y")),
        z=pl.when(pl.col("herd") != "h2").then(pl.col("z")),
    )
    model = bb.Model.from_formula("(y, z) ~ x + (1 | pen)", residual_classes="half")
    begin = prepare_estimation(model, classes)
    assert [name for name in begin.problem.space.names if name.endswith("[2,1]")] == ["pen[2,1]", "residual first[2,1]"]
    assert "residual covariance of y and z set to 0: no record of class 'second' has both" in begin.notes
    found = never_together(begin.problem.design)
    assert isinstance(found, dict)
    assert found.keys() == {"second"}


def test_traits_that_are_combinations_of_others() -> None:
    rng = np.random.default_rng(2)
    three = RECORDS.with_columns(v=pl.Series(rng.standard_normal(N)))
    three = three.with_columns(u=pl.col("y") - 2 * pl.col("z") + pl.col("v"))
    refused(bb.RecordError, r"after fixed effects one of 'y', 'z', 'v', 'u' is a combination of the others .* -> leave one of them",
            "(y, z, v, u) ~ 1 + (1 | pen)", three)  # fmt: skip


@pytest.mark.parametrize("name", [name for name in KINDS if name != "bound"])
def test_sound_models_pass(name: str) -> None:
    assert prepared(KINDS[name], 11).start.size


# --- the group "variance boundary" ------------------------------------------------------------------------------------


def test_reml_zero_variance() -> None:
    fit = estimate_variances(
        bb.Model.from_formula("y ~ 1 + (1 | animal)"),
        pl.read_csv(FOLDER / "reml_zero_variance.csv"),
        {"animal": bb.read_pedigree(FOLDER / "ped_boundary.csv")},
    )
    assert fit.variances["animal"] == 0.0
    assert fit.variances.residual == pytest.approx(3.214286, rel=1e-6)
    assert -0.5 * fit.minus2_log_likelihood == pytest.approx(-8.626339, abs=1e-6)
    assert -0.5 * fit.maximum.score.values[0] == pytest.approx(-0.043210, abs=1e-6)
    assert fit.estimates.status == ("boundary", "free")
    assert np.isnan(fit.estimates.standard_errors[0])
    assert fit.estimates.standard_errors[1] == pytest.approx(3.214286 * np.sqrt(2 / 7), rel=1e-5)
    assert "the variance of 'animal' is zero" in fit.notes
    assert fit.evaluation.ebv["ebv"].to_list() == [0.0] * 8


def test_mt_correlation_plus1() -> None:
    model = bb.Model.from_formula("(t1, t2) ~ 1 + (1 | animal)")
    with pytest.raises(
        bb.RecordError, match=r"'t2' is a multiple of 't1' in every record that has both \(correlation ±1\).* -> leave"
    ):
        estimate_variances(
            model,
            pl.read_csv(FOLDER / "mt_correlation_plus1.csv"),
            {"animal": bb.read_pedigree(REFS / "mrode_animal" / "pedigree.csv")},
        )


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("variance_negative.json", "variance of 'animal' is -20; a variance cannot be negative"),
        (
            "g0_not_positive_definite.json",
            "'animal' is not positive semi-definite: its smallest eigenvalue is -11.2311",
        ),
    ],
)
def test_starts_that_are_no_variances(file: str, message: str) -> None:
    given = json.loads((FOLDER / file).read_text(encoding="utf-8"))
    with pytest.raises(bb.ModelError, match=message):
        bb.VarianceComponents({"animal": given["animal"]}, residual=given["residual"])


def test_parameters_that_a_sum_of_others_repeats() -> None:
    """Residuals by class beside a term whose levels are those classes' records: one of three is too many."""
    classes = RECORDS.with_columns(
        half=pl.when(pl.col("herd").is_in(["h0", "h1"])).then(pl.lit("u")).otherwise(pl.lit("v"))
    )
    refused(bb.ModelError, r"the variance 'each' and the variance 'residual u' and the variance 'residual v' cannot be told apart",
            "y ~ 1 + (1 | each)", classes, classes="half")  # fmt: skip
