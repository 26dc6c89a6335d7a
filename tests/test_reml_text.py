"""Summaries of estimated variances: what stands in them, and how it is laid out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pytest
from conftest import REFS, shared_case
from hypothesis import given
from hypothesis import strategies as st

from breedblup.analysis.component_sections import STATUS, variance_sections
from breedblup.analysis.estimation import estimate_variances
from breedblup.analysis.fixed_sections import LEVELS_SHOWN, fixed_section, residual_section, wald_section
from breedblup.analysis.history import HISTORY_COLUMNS, history_table
from breedblup.analysis.reml_fit import RemlFit
from breedblup.analysis.sections import (
    WIDTH,
    Section,
    align_points,
    aligned,
    as_html,
    as_text,
    decimals_for,
    number,
    p_text,
    significant,
    with_errors,
)
from breedblup.analysis.summary import summary_sections, summary_tables
from breedblup.analysis.summary_ratios import RATIO_COLUMNS
from breedblup.inference.fixed import FIXED_COLUMNS, WALD_COLUMNS
from breedblup.io.tables import read_pedigree, read_records
from breedblup.model import Model
from breedblup.reml.estimates import Estimates
from breedblup.variances import FixedValue, ParameterSpace, VarianceComponents

# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (25627.363, 5, "25627"), (2906.004, 5, "2906.0"), (0.0123456, 5, "0.012346"), (-66.515, 5, "-66.515"),
        (0.0, 5, "0.0000"), (None, 5, ""), (float("nan"), 5, ""), (float("inf"), 5, "inf"), (3.2e12, 5, "3.2000e+12"),
        (1e-12, 5, "1.0000e-12"), (-1e-300, 5, "-1.0000e-300"), (0.000012346, 5, "1.2346e-05"),
    ],
)  # fmt: skip
def test_significant(value: float | None, digits: int, shown: str) -> None:
    assert significant(value, digits) == shown


def test_zero_has_no_sign() -> None:
    assert number(-0.0, 2) == "0.00"


@given(st.floats(1e-300, 1e300), st.integers(2, 6))
def test_as_many_digits_as_asked_for(value: float, digits: int) -> None:
    decimals = decimals_for(value, digits)
    assert float(number(value, decimals)) == pytest.approx(value, rel=10.0 ** (1 - digits), abs=0.0)


@pytest.mark.parametrize(
    ("p", "shown"), [(0.5594, "0.5594"), (7.64e-7, "7.64e-07"), (0.0, "<2.2e-16"), (None, ""), (1.0, "1.0000")]
)
def test_p(p: float | None, shown: str) -> None:
    assert p_text(p) == shown


def test_errors_have_five_digits_and_estimates_as_many_decimals() -> None:
    pairs = [(581.855, 84.459113), (-66.515, 113.196), (1.0, None)]
    assert with_errors(pairs) == [("581.86", "84.46"), ("-66.52", "113.20"), ("1.00", "")]
    assert with_errors([(1234.5678, None), (2.0, float("nan")), (0.0, 0.0)]) == [
        ("1234.57", ""), ("2.00000", ""), ("0.00000", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pairs", "shown"),
    [
        ([(100.0, 20.0), (0.000428, 0.000091)], [("100.000", "20.000"), ("0.0004280", "0.0000910")]),
        ([(4.12e-9, 1e-9), (0.0, None)], [("4.12e-09", "1.00e-09"), ("0.00000000", "")]),
        ([(5.5123456e9, 4.123456e7)], [("5.512346e+09", "41234560")]),
        ([(5.5e12, 4.123456e11), (1e-7, None)], [("5.50000e+12", "4.1235e+11"), ("1.00e-07", "")]),
        ([(0.0123, 0.000021)], [("0.01230000", "0.00002100")]),
    ],
)  # fmt: skip
def test_small_errors_keep_three_digits(pairs: list[tuple[float, float | None]], shown: list[tuple[str, str]]) -> None:
    assert with_errors(pairs) == shown


@given(st.lists(st.tuples(st.floats(1e-12, 1e12), st.floats(1e-12, 1e12)), min_size=1, max_size=4))
def test_estimates_are_known_to_a_hundredth_of_their_errors(pairs: list[tuple[float, float]]) -> None:
    for (estimate, error), (one, other) in zip(pairs, with_errors(pairs), strict=True):
        assert float(other) == pytest.approx(error, rel=0.0051)
        assert float(one) == pytest.approx(estimate, rel=1e-8, abs=0.0051 * error)


@given(st.lists(st.sampled_from(["", "1", "-12.5", "3.25", "1e-09", "<2.2e-16", "200"]), min_size=1))
def test_decimal_points_stand_below_each_other(cells: list[str]) -> None:
    rows = [[cell] for cell in cells]
    align_points(rows, (0,))
    lines = [line.rjust(30) for line in (row[0] for row in rows)]
    points = {line.index(".") for line, cell in zip(lines, cells, strict=True) if "." in cell and "e" not in cell}
    assert len(points) <= 1
    assert [row[0].strip() for row in rows] == cells


# --- sections ---------------------------------------------------------------------------------------------------------


def test_sections_as_text() -> None:
    table = Section("Title", ("name", "n"), (("a", "1"), ("bcd", "10")), (False, True), ("said",))
    facts = Section.of_facts("", [("model", "y ~ x"), ("", "z ~ x")])
    assert (
        as_text([table, facts]) == "Title\n  name   n\n  a      1\n  bcd   10\n  said\n\n  model  y ~ x\n         z ~ x"
    )


def test_wide_letters_stand_in_line() -> None:
    assert aligned([("品種", "1"), ("a", "22")], (False, True)) == ["品種   1", "a     22"]


@given(st.text(alphabet="ab ", min_size=1, max_size=400))
def test_facts_are_wrapped(text: str) -> None:
    lines = as_text([Section.of_facts("", [("note", text)])]).splitlines()
    assert all(len(line) <= WIDTH or " " not in line.strip() for line in lines[1:])
    assert "".join(lines).split("note", 1)[1].replace(" ", "") == text.replace(" ", "")


def test_html_is_escaped() -> None:
    shown = as_html([Section("<T>", ("a&b", "n"), (("<script>", " 1"),), (False, True), ("x < y",))])
    assert shown == (
        '<p><b>&lt;T&gt;</b></p><table><tr><th style="text-align: left">a&amp;b</th><th style="text-align: right">n</th></tr>'
        '<tr><td style="text-align: left">&lt;script&gt;</td><td style="text-align: right">1</td></tr></table>'
        "<p>x &lt; y</p>"
    )


# --- variances --------------------------------------------------------------------------------------------------------


def estimates_of(formula: str, variances: VarianceComponents, status: Mapping[str, str] | None = None) -> Estimates:
    """Made-up estimates: standard errors are a tenth of what they belong to."""
    model = Model.from_formula(formula)
    space = ParameterSpace.of(model)
    theta = space.pack(variances)
    words = tuple((status or {}).get(name, "free") for name in space.names)
    free = np.array([word in ("free", "tied") for word in words])
    return Estimates(space, theta, np.diag(free * (0.1 * theta) ** 2), words, "average")


def variance_text(
    estimates: Estimates, labels: Mapping[str, Sequence[str]], shares: Mapping[tuple[str, int], float]
) -> str:
    return as_text(variance_sections(estimates, labels, shares))


def test_a_variance_at_the_boundary_is_marked_and_explained() -> None:
    estimates = estimates_of(
        "y ~ 1 + (1 | a) + (1 | b)",
        VarianceComponents({"a": 0.0, "b": 20.0}, 30.0),
        {"a": "boundary", "residual": "fixed"},
    )
    labels = {"a": [""], "b": [""], "residual": [""]}
    shown = variance_text(estimates, labels, {("a", 0): 0.0, ("b", 0): 0.4, ("residual", 0): 0.6})
    assert shown.splitlines()[:5] == [
        "Variances",
        "  term      variance      SD      SE   share",
        "  a          0.00000  0.0000          0.0000  boundary",
        "  b         20.0000   4.4721  2.0000  0.4000",
        "  residual  30.0000   5.4772          0.6000  fixed",
    ]
    notes = " ".join(line.strip() for line in shown.splitlines()[5:])
    assert notes == f"{STATUS['boundary']} {STATUS['fixed']}"


def test_correlations_stand_in_the_corner() -> None:
    matrix = np.array([[612.09, 9.604], [9.604, 35.07]])
    estimates = estimates_of(
        "y ~ days + (1 + days | subject)",
        VarianceComponents({"subject": matrix}, 654.94),
        {"subject[2,1]": "bound", "subject[2,2]": "tied"},
    )
    shown = variance_text(estimates, {"subject": ["(Intercept)", "days"], "residual": [""]}, {})
    assert shown.splitlines()[1:5] == [
        "  term      effect       variance       SD      SE               correlations",
        "  subject   (Intercept)   612.090  24.740   61.209",
        "            days           35.070   5.9220   3.507  bound, tied   0.066",
        "  residual                654.940  25.592   65.494",
    ]
    assert STATUS["bound"].split(":")[0] in shown.splitlines()[5]


def test_structural_zeros_and_variances_of_zero_have_no_correlation() -> None:
    matrix = np.diag([4.0, 0.0, 1.0])
    matrix[2, 0] = matrix[0, 2] = 1.0
    estimates = estimates_of("(y, z, w) ~ 1 + (1 | g)", VarianceComponents({"g": matrix}, np.eye(3)))
    shown = variance_text(estimates, {"g": ["y", "z", "w"], "residual": ["y", "z", "w"]}, {}).splitlines()
    assert [re.findall(r"-?\d\.\d{3}$", line) for line in shown[2:5]] == [[], [], ["0.500"]]


def test_wide_matrices_have_their_correlations_below() -> None:
    traits = [f"trait_{k:02}" for k in range(14)]
    g = 0.5 * np.eye(14) + 0.5
    estimates = estimates_of(f"({', '.join(traits)}) ~ 1 + (1 | g)", VarianceComponents({"g": g}, np.eye(14)))
    shown = variance_text(estimates, {"g": traits, "residual": traits}, {})
    assert all(len(line) <= WIDTH for line in shown.splitlines())
    part = shown.split("Correlations of g\n")[1].split("\n\n")[0].splitlines()
    heads = [line.split() for line in part if line.split()[0] == "[1]" and line.split()[1] == "[2]"]
    assert len(heads) == 1
    assert sum(line.count("0.500") for line in part) == 14 * 13 // 2
    assert sum(line.rstrip().endswith(" 1") or " 1 " in line for line in part) >= 14


# --- fixed effects ----------------------------------------------------------------------------------------------------


def fixed_frame(rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=FIXED_COLUMNS, orient="row")


def test_fixed_effects_of_terms_with_many_levels_are_counted() -> None:
    rows: list[tuple[object, ...]] = [("(Intercept)", "", "y", 10.0, 1.0, 12.34, 10.0, 1e-9, False)]
    rows += [("herd", f"h{k}", "y", float(k), 2.0, None, 1.0, None, k == 0) for k in range(LEVELS_SHOWN + 2)]
    shown = as_text([fixed_section(fixed_frame(rows), with_df=True)])
    assert f"herd         {LEVELS_SHOWN + 2} levels, {LEVELS_SHOWN + 1} estimated" in shown
    assert "h1" not in shown
    assert re.search(r"\(Intercept\) +10\.0000  1\.0000  12\.3  10\.000  1\.00e-09", shown)
    assert "df" not in as_text([fixed_section(fixed_frame(rows), with_df=False)])


def test_traits_are_named_where_there_are_several() -> None:
    rows = [("x", "", trait, 1.0, 0.5, float("inf"), 2.0, 0.05, False) for trait in ("milk", "fat")]
    shown = as_text([fixed_section(fixed_frame(rows), with_df=True)]).splitlines()
    assert shown[1].split() == ["term", "trait", "level", "estimate", "SE", "df", "t", "p"]
    assert shown[2].split() == ["x", "milk", "1.00000", "0.50000", "inf", "2.000", "0.0500"]


def test_what_is_not_tested_is_said() -> None:
    rows = [("x", "y", 1, 50.0, 5.291, 0.02, None), ("z", "y", None, None, None, None, "not tested: too many")]
    shown = as_text([wald_section(pl.DataFrame(rows, schema=WALD_COLUMNS, orient="row"))]).splitlines()
    assert shown[2].split() == ["x", "1", "50", "5.291", "0.0200"]
    assert shown[3].strip() == "z"
    assert shown[4].strip() == "z: not tested: too many"


def test_quantiles_share_their_decimals() -> None:
    frame = pl.DataFrame(
        {"trait": ["y"], "min": [-349.66], "q1": [-81.58], "median": [-1.084], "q3": [78.5], "max": [318.6]}
    )
    assert as_text([residual_section(frame, "Residuals")]).splitlines()[2].split() == [
        "-349.66", "-81.58", "-1.08", "78.50", "318.60",
    ]  # fmt: skip


# --- whole summaries --------------------------------------------------------------------------------------------------


def summary_of(fit: RemlFit) -> str:
    return as_text(summary_sections(fit, summary_tables(fit)))


def unmeasured(text: str) -> str:
    """Without what the way to the maximum decides: rounds, and how far the last was from it."""
    text = re.sub(r"last round gains .*? by\s+more than \S+", "last round gains …", text, count=1, flags=re.DOTALL)
    return re.sub(r"\d+ rounds?", "… rounds", text)


def sorghum(formula: str) -> RemlFit:
    return estimate_variances(Model.from_formula(formula), read_records(shared_case("seed_sorghum_E3") / "data.csv"))


SORGHUM = """\
Linear mixed model, REML
  model    yield ~ gen + (1 | rep)
  records  72 used
  levels   rep 4
  method   average information, … rounds; the last round gains …
  errors   standard errors from the average information

Restricted likelihood
             -2 log L       AIC       BIC  parameters
  as ASReml  630.4664  634.4664  638.4444           2
  as lme4    729.7118  769.7118  815.2451          20
  the first without (N - p) log 2π, the second with it; N = 72 values, p = 18 estimated fixed
  effects
  the first counts (co)variances that are free, the second all of them and the fixed effects;
  compare within a row

Scaled residuals
      min       1Q   median      3Q     max
  -1.9990  -0.5804  -0.0185  0.5211  1.9202

Variances
  term      variance       SD      SE   share
  rep         2906.0   53.907  3546.4  0.1018
  residual   25627.4  160.09   5075.0  0.8982
"""


def test_the_sorghum_trial() -> None:
    """Estimates and likelihood by lme4 (tests of the case): 729.7118, 2906.0, 25627.4, 581.855 ± 84.459."""
    shown = unmeasured(summary_of(sorghum("yield ~ gen + (1 | rep)")))
    assert shown.startswith(SORGHUM)
    assert re.search(r"\(Intercept\) +581\.855   84\.459  45\.9   6\.889  1\.35e-08", shown)
    assert re.search(r"gen +G02 +-66\.52   113\.20   51    -0\.588    0\.5594", shown)
    assert "\n  rep   intra-class correlation    0.1018  0.1145\n" in shown
    assert shown.endswith("  -  rank of the fixed part 18 of 19")


def test_the_sorghum_trial_as_a_linear_model() -> None:
    """R's lm(yield ~ gen + rep): 160.1 on 51 degrees of freedom, R² 0.6748, adjusted 0.5473, F 5.291 on 20 and 51."""
    shown = summary_of(sorghum("yield ~ gen + rep"))
    assert "\n\n  Residual standard error: 160.1 on 51 degrees of freedom\n" in shown
    assert (
        "  Multiple R-squared: 0.6748, adjusted R-squared: 0.5473\n  F-statistic: 5.291 on 20 and 51 df, p-value: 7.64e-07\n"
        in shown
    )
    assert shown.startswith(
        "Linear model, least squares\n  model    yield ~ gen + rep\n  records  72 used\n\nResiduals\n"
    )
    assert re.search(r"rep +R4 +-124\.208   53\.362  -2\.328    0\.0239", shown)
    assert "likelihood" not in shown


def test_a_linear_model_with_a_given_variance_is_not_that_of_least_squares() -> None:
    table = read_records(REFS.parent.parent / "data" / "dairy" / "records.csv")
    model = Model.from_formula("milk ~ age")
    fit = estimate_variances(model, table, structures={"residual": FixedValue(520000.0)})
    shown = summary_of(fit)
    assert shown.startswith("Linear model, REML\n")
    assert re.search(r"residual +520000  721\.11 +fixed\n", shown)


def test_two_traits_of_a_pedigree() -> None:
    folder = REFS / "twin_mt_missing" if (REFS / "twin_mt_missing").is_dir() else shared_case("twin_mt_missing")
    fit = estimate_variances(
        Model.from_formula("(t1, t2) ~ cg + (1 | animal)"), read_records(folder / "data.csv"),
        {"animal": read_pedigree(folder / "pedigree.csv")},
    )  # fmt: skip
    shown = summary_of(fit)
    assert "  records  275 used of 294 read\n  values   t1 235, t2 186\n" in shown
    assert re.search(
        r"animal +t1 +12\.0801 +3\.4756 +4\.1576 +0\.4702\n +t2 +7\.182\d +2\.6799 +3\.3664 +0\.4521 +0\.617", shown
    )
    assert re.search(r"animal  heritability  t1 +0\.4702  0\.1260\n", shown)
    assert "scale: base population" in shown
    assert re.search(r"Correlations\n.*\n  animal      t1, t2 +0\.617", shown)
    tables = summary_tables(fit)
    assert tables.ratios.columns == list(RATIO_COLUMNS)
    assert set(tables.ratios["what"]) == {"heritability", "correlation"}
    history = history_table(fit.history, fit.estimates.space.names)
    assert history.columns[: len(HISTORY_COLUMNS)] == list(HISTORY_COLUMNS)
    assert history.height == len(fit.history)
    assert history.row(-1, named=True)["animal[1,1]"] == pytest.approx(fit.estimates.theta[0], rel=1e-4)
    falls = -np.diff(history["minus2_log_l"].to_numpy())
    np.testing.assert_allclose(history["lower_by"].to_numpy()[1:], falls)
    assert history["lower_by"][0] is None
    assert all(history[column].dtype == pl.Float64 for column in history.columns if column.startswith("seconds "))
    html = fit._repr_html_()
    assert html.count("<table>") == html.count("</table>") >= 7
    assert "animal + dam" not in html
