"""Published animal models at full precision, by CHOLMOD and by PCG."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse
from conftest import REFS, expected, expected_in, shared_case

import breedblup as bb
from breedblup.solvers.pcg import solve_pcg
from breedblup.solvers.preconditioners import diagonal

METHODS = [
    pytest.param(bb.EvaluateOptions(method="cholesky", pev="exact"), id="cholesky"),
    pytest.param(bb.EvaluateOptions(method="pcg", pev="exact", pcg=bb.PcgOptions(tolerance=1e-11)), id="pcg"),
]


def by_level(table: pl.DataFrame, key: str, value: str) -> dict[str, float]:
    return dict(zip(table[key].to_list(), table[value].to_list(), strict=True))


def random_expected(case: dict[str, Any], term: str) -> dict[str, dict[str, float]]:
    return {entry["level"]: entry for entry in case["expected"]["random"] if entry["term"] == term}


def agree(found: dict[str, float], wanted: dict[str, float], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    np.testing.assert_allclose([found[k] for k in wanted], list(wanted.values()), rtol=0, atol=tolerance)


def check_random(
    evaluation: bb.Evaluation, case: dict[str, Any], term: str, published_name: str, tolerance: float
) -> None:
    wanted = random_expected(case, published_name)
    table = evaluation.random(term)
    agree(by_level(table, "level", "solution"), {k: v["value"] for k, v in wanted.items()}, tolerance)
    agree(by_level(table, "level", "pev"), {k: v["pev"] for k, v in wanted.items()}, tolerance)


@pytest.mark.parametrize("options", METHODS)
def test_mrode_animal(options: bb.EvaluateOptions) -> None:
    case = expected("mrode_animal")
    evaluation = bb.evaluate(
        bb.Model.from_formula("wwg ~ 0 + sex + (1 | animal)"),
        pl.read_csv(REFS / "mrode_animal" / "data.csv"),
        bb.VarianceComponents({"animal": 20.0}, residual=40.0),
        relationships={"animal": bb.read_pedigree(REFS / "mrode_animal" / "pedigree.csv")},
        options=options,
    )
    tolerance = case["tolerance"]["abs"]
    check_random(evaluation, case, "animal", "animal", tolerance)
    fixed = {entry["level"]: entry for entry in case["expected"]["fixed"]}
    agree(by_level(evaluation.fixed, "level", "estimate"), {k: v["value"] for k, v in fixed.items()}, tolerance)
    agree(by_level(evaluation.fixed, "level", "se"), {k: v["se"] for k, v in fixed.items()}, tolerance)
    ebv = evaluation.ebv
    assert ebv["id"].to_list() == [str(i) for i in range(1, 9)]
    np.testing.assert_allclose(ebv["reliability"], 1 - ebv["pev"] / 20.0, atol=1e-12)
    np.testing.assert_allclose(ebv["ebv"], ebv["parent_average"] + ebv["mendelian_sampling"], atol=1e-12)
    assert ebv["records"].to_list() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert ebv["progeny_records"].to_list() == [2, 2, 2, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("options", METHODS)
def test_mrode_repeatability(options: bb.EvaluateOptions) -> None:
    case = expected("mrode_repeatability")
    evaluation = bb.evaluate(
        bb.Model.from_formula("fat ~ 0 + factor(hys) + factor(parity) + (1 | cow) + (1 | ide(cow))"),
        pl.read_csv(REFS / "mrode_repeatability" / "data.csv"),
        bb.VarianceComponents({"cow": 20.0, "ide(cow)": 12.0}, residual=28.0),
        relationships={"cow": bb.read_pedigree(REFS / "mrode_repeatability" / "pedigree.csv")},
        options=options,
    )
    tolerance = case["tolerance"]["abs"]
    check_random(evaluation, case, "cow", "animal", tolerance)
    check_random(evaluation, case, "ide(cow)", "pe", tolerance)
    effect = {(t, lv): e for t, lv, e in evaluation.fixed.select("term", "level", "estimate").iter_rows()}
    contrasts = {
        "hys2_minus_hys1": effect["hys", "2"] - effect["hys", "1"],
        "hys4_minus_hys3": effect["hys", "4"] - effect["hys", "3"],
        "parity1_plus_hys1": effect["parity", "1"] + effect["hys", "1"],
        "parity2_plus_hys3": effect["parity", "2"] + effect["hys", "3"],
    }
    agree(contrasts, case["expected"]["contrasts"], tolerance)
    assert evaluation.fixed["constrained"].sum() == 6 - case["expected"]["fixed_rank"]
    assert any("rank of the fixed part 4 of 6" in note for note in evaluation.notes)
    inbreeding = by_level(evaluation.ebv, "id", "inbreeding")
    agree(inbreeding, case["expected"]["inbreeding"], 1e-12)
    reliability = by_level(evaluation.ebv, "id", "reliability")["8"]
    assert reliability == pytest.approx(1 - random_expected(case, "animal")["8"]["pev"] / (1.125 * 20.0), abs=1e-9)


@pytest.mark.parametrize("options", METHODS)
def test_mrode_testday_fixed(options: bb.EvaluateOptions) -> None:
    case = expected("mrode_testday_fixed")
    evaluation = bb.evaluate(
        bb.Model.from_formula("fat ~ factor(htd) + leg(dim, 4, range=(4, 310)) + (1 | cow) + (1 | ide(cow))"),
        pl.read_csv(REFS / "mrode_testday_fixed" / "data.csv"),
        bb.VarianceComponents({"cow": 5.521, "ide(cow)": 8.470}, residual=3.710),
        relationships={"cow": bb.read_pedigree(REFS / "mrode_testday_fixed" / "pedigree.csv")},
        options=options,
    )
    tolerance = case["tolerance"]["abs"]
    check_random(evaluation, case, "cow", "animal", tolerance)
    check_random(evaluation, case, "ide(cow)", "pe", tolerance)
    wanted = {(e["effect"][:3], e["level"]): e["value"] for e in case["expected"]["fixed"]}
    found = {(t[:3], lv): e for t, lv, e in evaluation.fixed.select("term", "level", "estimate").iter_rows()}
    assert found.keys() == wanted.keys()
    for (term, level), value in wanted.items():
        if term == "leg" and level != "0":
            assert found[term, level] == pytest.approx(value, abs=tolerance)
        elif term == "htd":
            assert found[term, level] - found["htd", "10"] == pytest.approx(value, abs=tolerance)
    constant = found["leg", "0"] * np.sqrt(0.5) + found["htd", "10"]
    assert constant == pytest.approx(wanted["leg", "0"] * np.sqrt(0.5), abs=tolerance)
    assert any("rank of the fixed part 14 of 15" in note for note in evaluation.notes)


SUBJECTS = [0, 1, 2, 3]


@pytest.mark.parametrize("options", METHODS)
@pytest.mark.parametrize("index", SUBJECTS)
def test_seed_in_closed_form(index: int, options: bb.EvaluateOptions) -> None:
    case = expected("seed_mme_toy")["expected"]["sets"][index]
    g, s2, y = case["subject_variance"], case["residual_variance"], case["y"]
    records = pl.DataFrame({"subject": ["s1", "s1", "s2"], "y": y})
    model = bb.Model.from_formula("y ~ 1 + (1 | subject)")
    variances = bb.VarianceComponents({"subject": g}, residual=s2)
    prepared = bb.prepare(model, records, variances)
    equations = prepared.pattern.equations(variances)
    np.testing.assert_allclose(equations.lhs.toarray(), case["lhs"], rtol=1e-11)
    np.testing.assert_allclose(equations.rhs, case["rhs"], rtol=1e-11)
    evaluation = bb.evaluate(model, records, variances, options=options)
    mean, (u1, u2) = evaluation.fixed["estimate"][0], evaluation.random("subject")["solution"]
    np.testing.assert_allclose([mean, u1, u2], case["solution"], atol=1e-8, rtol=1e-8)
    np.testing.assert_allclose(evaluation.random("subject")["pev"], case["pev"], rtol=1e-8)
    assert evaluation.fixed["se"][0] == pytest.approx(case["mu_se"], rel=1e-8)
    w1, w2 = 1 / (g + s2 / 2), 1 / (g + s2)  # shrinkage of a group's mean, in closed form
    closed = (w1 * (y[0] + y[1]) / 2 + w2 * y[2]) / (w1 + w2)
    assert mean == pytest.approx(closed, rel=1e-8)
    assert u1 == pytest.approx(g * w1 * ((y[0] + y[1]) / 2 - closed), rel=1e-8, abs=1e-9)
    assert u2 == pytest.approx(g * w2 * (y[2] - closed), rel=1e-8, abs=1e-9)


def tour_contrasts(fixed: pl.DataFrame) -> dict[str, float]:
    effect = {(t, lv): e for t, lv, e in fixed.select("term", "level", "estimate").iter_rows()}
    return {
        "S1-S2": effect["s", "S1"] - effect["s", "S2"],
        "A2-A1": effect["a", "A2"] - effect["a", "A1"],
        "A3-A1": effect["a", "A3"] - effect["a", "A1"],
        "slope x": effect["x", ""],
        "A1+S1": effect["a", "A1"] + effect["s", "S1"] + effect.get(("(Intercept)", ""), 0.0),
    }


@pytest.mark.parametrize("intercept", ["0", "1"])
@pytest.mark.parametrize("options", METHODS)
@pytest.mark.parametrize("inbreeding", [True, False])
def test_blupf90_tour_animal(options: bb.EvaluateOptions, inbreeding: bool, intercept: str) -> None:
    folder = shared_case("blupf90_tour")
    case = expected_in(folder)
    wanted = case["expected"]["animal"]["inbreeding_considered" if inbreeding else "inbreeding_ignored"]
    evaluation = bb.evaluate(
        bb.Model.from_formula(f"y1 ~ {intercept} + a + s + x + (1 | animal)"),
        pl.read_csv(folder / "data.csv"),
        bb.VarianceComponents({"animal": 0.5}, residual=2.0),
        relationships={"animal": bb.a_inverse(bb.read_pedigree(folder / "pedigree.csv"), inbreeding=inbreeding)},
        options=options,
    )
    tolerance = case["tolerance"]["abs"]
    agree(by_level(evaluation.ebv, "id", "ebv"), wanted["ebv"], tolerance)
    agree(by_level(evaluation.ebv, "id", "pev"), wanted["pev"], tolerance)
    agree(tour_contrasts(evaluation.fixed), wanted["contrasts"], tolerance)


@pytest.mark.parametrize("options", METHODS)
def test_blupf90_tour_fixed_mixed_and_two_random(options: bb.EvaluateOptions) -> None:
    folder = shared_case("blupf90_tour")
    case = expected_in(folder)["expected"]
    tolerance = expected_in(folder)["tolerance"]["abs"]
    records = pl.read_csv(folder / "data.csv")
    fixed_only = bb.evaluate(
        bb.Model.from_formula("y1 ~ 0 + a + s + x"), records, bb.VarianceComponents({}, residual=2.0), options=options
    )
    agree(tour_contrasts(fixed_only.fixed), case["fixed_only"]["contrasts"], tolerance)
    mixed = bb.evaluate(
        bb.Model.from_formula("y1 ~ 0 + a + x + (1 | s)"),
        records,
        bb.VarianceComponents({"s": 1.0}, residual=2.0),
        options=options,
    )
    np.testing.assert_allclose(mixed.fixed["estimate"], [*case["mixed"]["A"], case["mixed"]["x"]], atol=tolerance)
    np.testing.assert_allclose(mixed.random("s")["solution"], case["mixed"]["S"], atol=tolerance)
    for inbreeding, name in ((True, "inbreeding_considered"), (False, "inbreeding_ignored")):
        wanted = case["two_random"][name]
        two = bb.evaluate(
            bb.Model.from_formula("y1 ~ 0 + a + x + (1 | s) + (1 | animal)"),
            records,
            bb.VarianceComponents({"s": 1.0, "animal": 0.5}, residual=2.0),
            relationships={"animal": bb.a_inverse(bb.read_pedigree(folder / "pedigree.csv"), inbreeding=inbreeding)},
            options=options,
        )
        agree(by_level(two.ebv, "id", "ebv"), wanted["ebv"], tolerance)
        np.testing.assert_allclose(two.random("s")["solution"], wanted["s"], atol=tolerance)
        np.testing.assert_allclose(two.fixed["estimate"], list(wanted["fixed"].values()), atol=tolerance)


def test_mrode_iterative_round_by_round() -> None:
    case = expected("mrode_iterative")
    lhs = scipy.sparse.csr_array(np.array(case["inputs"]["lhs"]))
    preconditioner = diagonal(lhs)
    iterates = []
    state = None
    for number in range(1, len(case["expected"]["pcg"]) + 1):
        options = bb.PcgOptions(tolerance=1e-300, criterion="relative_residual", maximum_rounds=number)
        state = solve_pcg(lhs, np.array(case["inputs"]["rhs"]), preconditioner, options=options, start=state).state
        assert state is not None
        assert state.round == number
        iterates.append(state.x)
    np.testing.assert_allclose(iterates, case["expected"]["pcg"], rtol=0, atol=case["tolerance"]["abs"])
    np.testing.assert_allclose(lhs.diagonal(), case["expected"]["preconditioner"], rtol=1e-10)


@pytest.mark.parametrize("options", METHODS)
def test_gryphon_at_its_estimates(options: bb.EvaluateOptions) -> None:
    """The published estimates give the published EBVs, PEVs, sex effect and standard errors; REML itself comes later."""
    folder = shared_case("gryphon_univariate")
    case = expected_in(folder)
    wanted = case["expected"]["sex"]
    evaluation = bb.evaluate(
        bb.Model.from_formula("birth_weight ~ factor(sex) + (1 | id)"),
        bb.read_records(folder / "data.csv"),
        bb.VarianceComponents({"id": wanted["variance"]["animal"]}, residual=wanted["variance"]["residual"]),
        relationships={"id": bb.read_pedigree(folder / "pedigree.csv")},
        options=options,
    )
    published = pl.read_csv(folder / "ebv.csv", schema_overrides={"id": pl.String})
    found = published.join(evaluation.ebv, on="id", suffix="_found", maintain_order="left")
    assert found.height == published.height == evaluation.ebv.height
    for column in ("ebv", "pev", "inbreeding"):
        np.testing.assert_allclose(found[f"{column}_found"], found[column], atol=case["tolerance"]["abs_ebv"])
    fixed = evaluation.fixed
    np.testing.assert_allclose(
        [fixed["estimate"][0], fixed["estimate"][2], fixed["se"][0], fixed["se"][2]],
        [wanted["fixed"][name] for name in ("intercept", "sex2", "intercept_se", "sex2_se")],
        atol=1e-5,
    )
