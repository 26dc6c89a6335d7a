"""Published models of several traits, effects with covariances and curves at full precision, by CHOLMOD and by PCG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import REFS, expected, expected_in, shared_case

import breedblup as bb

DIRECT = bb.EvaluateOptions(method="cholesky", pev="exact")
ITERATED = bb.EvaluateOptions(method="pcg", pev="exact", pcg=bb.PcgOptions(tolerance=1e-11))

METHODS = [pytest.param(DIRECT, id="cholesky"), pytest.param(ITERATED, id="pcg")]


def records_of(folder: Path) -> pl.DataFrame:
    return pl.read_csv(folder / "data.csv")


def agree(found: Mapping[str, float], wanted: Mapping[str, float], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    np.testing.assert_allclose([found[k] for k in wanted], list(wanted.values()), rtol=0, atol=tolerance)


def column(
    evaluation: bb.Evaluation, key: str, value: str, effect: str = "direct", trait: str = ""
) -> dict[str, float]:
    """A column of a random term by level, for one of its effects."""
    table = evaluation.random(key).filter(pl.col("effect") == effect)
    if trait:
        table = table.filter(pl.col("trait") == trait)
    return dict(zip(table["level"].to_list(), table[value].to_list(), strict=True))


def estimates(evaluation: bb.Evaluation, trait: str = "") -> dict[str, float]:
    """Estimates of fixed effects by ``term level``."""
    table = evaluation.fixed if not trait else evaluation.fixed.filter(pl.col("trait") == trait)
    return {f"{term} {level}": value for term, level, value in table.select("term", "level", "estimate").iter_rows()}


def wanted_random(case: dict[str, Any], term: str, value: str = "value", trait: str = "") -> dict[str, float]:
    return {
        e["level"]: e[value]
        for e in case["expected"]["random"]
        if e["term"] == term and (not trait or e["trait"] == trait)
    }


def wanted_fixed(case: dict[str, Any], trait: str = "") -> dict[str, float]:
    return {
        f"{e['effect']} {e['level']}": e["value"] for e in case["expected"]["fixed"] if not trait or e["trait"] == trait
    }


def of_file(table: pl.DataFrame, value: str) -> dict[str, float]:
    return dict(zip(table["animal"].to_list(), table[value].to_list(), strict=True))


@pytest.mark.parametrize("options", METHODS)
def test_mrode_mt_equal(options: bb.EvaluateOptions) -> None:
    folder, case = REFS / "mrode_mt_equal", expected("mrode_mt_equal")
    evaluation = bb.evaluate(
        bb.Model.from_formula("(wwg, pwg) ~ 0 + sex + (1 | animal)"),
        records_of(folder),
        bb.VarianceComponents({"animal": case["variances"]["animal"]}, residual=case["variances"]["residual"]),
        relationships={"animal": bb.read_pedigree(folder / "pedigree.csv")},
        options=options,
    )
    tolerance, published = case["tolerance"]["abs"], case["published"]
    for t, trait in enumerate(("wwg", "pwg")):
        agree(
            column(evaluation, "animal", "solution", trait=trait), wanted_random(case, "animal", trait=trait), tolerance
        )
        agree(column(evaluation, "animal", "pev", trait=trait), wanted_random(case, "animal", "pev", trait), tolerance)
        agree(estimates(evaluation, trait), wanted_fixed(case, trait), tolerance)
        ebv = evaluation.ebv.filter(pl.col("trait") == trait)
        rounded = case["tolerance"]["published_abs"]
        np.testing.assert_allclose(
            ebv["reliability"], list(wanted_random(case, "animal", "reliability", trait).values()), atol=tolerance
        )
        np.testing.assert_allclose(ebv["ebv"], [pair[t] for pair in published["ebv"]], atol=rounded)
        np.testing.assert_allclose(ebv["reliability"], [pair[t] for pair in published["reliability"]], atol=rounded)
        sex = estimates(evaluation, trait)
        np.testing.assert_allclose([sex["sex male"], sex["sex female"]], published[f"sex_{trait}"], atol=rounded)
    effects = evaluation.effects["animal"]
    between = dict(zip(effects.term.levels.to_list(), effects.pev[:, 0, 1].tolist(), strict=True))
    agree(between, case["expected"]["pev_cov"], tolerance)


@pytest.mark.parametrize("options", METHODS)
def test_mrode_mt_unequal(options: bb.EvaluateOptions) -> None:
    folder, case = REFS / "mrode_mt_unequal", expected("mrode_mt_unequal")
    evaluation = bb.evaluate(
        bb.Model.from_formula(["fat1 ~ 0 + factor(hys1) + (1 | cow)", "fat2 ~ 0 + factor(hys2) + (1 | cow)"]),
        records_of(folder),
        bb.VarianceComponents({"cow": case["variances"]["animal"]}, residual=case["variances"]["residual"]),
        relationships={"cow": bb.read_pedigree(folder / "pedigree.csv")},
        options=options,
    )
    tolerance, published = case["tolerance"]["abs"], case["published"]
    for t, trait in enumerate(("fat1", "fat2")):
        agree(column(evaluation, "cow", "solution", trait=trait), wanted_random(case, "animal", trait=trait), tolerance)
        agree(column(evaluation, "cow", "pev", trait=trait), wanted_random(case, "animal", "pev", trait), tolerance)
        agree(estimates(evaluation, trait), wanted_fixed(case, trait), tolerance)
        ebv = evaluation.ebv.filter(pl.col("trait") == trait)["ebv"]
        np.testing.assert_allclose(ebv, [pair[t] for pair in published["ebv"]], atol=case["tolerance"]["published_abs"])


def with_mates(records: pl.DataFrame) -> pl.DataFrame:
    """The two pen mates of each pig of a pen of three."""
    pens = records.group_by("pen").agg(pl.col("pig").alias("all"))
    others = [
        [other for other in together if other != pig]
        for pig, together in records.join(pens, on="pen", maintain_order="left").select("pig", "all").iter_rows()
    ]
    return records.with_columns(mate1=pl.Series([a for a, _ in others]), mate2=pl.Series([b for _, b in others]))


@pytest.mark.parametrize("options", METHODS)
def test_mrode_social(options: bb.EvaluateOptions) -> None:
    folder, case = REFS / "mrode_social", expected("mrode_social")
    variances = case["variances"]
    key = "pig + mm(mate1, mate2)"
    evaluation = bb.evaluate(
        bb.Model.from_formula(f"growth ~ 0 + sex + (1 | {key}) + (1 | pen) + (1 | litter)"),
        with_mates(records_of(folder)),
        bb.VarianceComponents(
            {key: variances["direct_associative"], "pen": variances["pen"], "litter": variances["litter"]},
            residual=variances["residual"],
        ),
        relationships={"pig": bb.read_pedigree(folder / "pedigree.csv")},
        options=options,
    )
    tolerance, rounded = case["tolerance"]["abs"], case["tolerance"]["published_abs"]
    for effect in ("direct", "associative"):
        found = column(evaluation, key, "solution", effect)
        agree(found, wanted_random(case, effect), tolerance)
        agree(column(evaluation, key, "pev", effect), wanted_random(case, effect, "pev"), tolerance)
        np.testing.assert_allclose(list(found.values()), case["published"][effect], atol=rounded)
    for term in ("pen", "litter"):
        found = column(evaluation, term, "solution")
        agree(found, wanted_random(case, term), tolerance)
        np.testing.assert_allclose(list(found.values()), case["published"][term], atol=rounded)
    agree(estimates(evaluation), wanted_fixed(case), tolerance)
    direct, associative = (column(evaluation, key, "solution", effect) for effect in ("direct", "associative"))
    total = {pig: direct[pig] + 2 * associative[pig] for pig in direct}
    agree(total, case["expected"]["total_breeding_value"], tolerance)


@pytest.mark.parametrize("options", METHODS)
def test_mrode_social_without_associative_effects(options: bb.EvaluateOptions) -> None:
    folder, case = REFS / "mrode_social", expected("mrode_social")
    variances, wanted = case["variances"], case["expected"]["no_associative"]
    evaluation = bb.evaluate(
        bb.Model.from_formula("growth ~ 0 + factor(pen) + sex + (1 | pig) + (1 | litter)"),
        records_of(folder),
        bb.VarianceComponents(
            {"pig": variances["direct_associative"][0][0], "litter": variances["litter"]},
            residual=variances["residual"] + variances["pen"],
        ),
        relationships={"pig": bb.read_pedigree(folder / "pedigree.csv")},
        options=options,
    )
    tolerance = case["tolerance"]["abs"]
    np.testing.assert_allclose(evaluation.ebv["ebv"], wanted["ebv"], atol=tolerance)
    np.testing.assert_allclose(evaluation.random("litter")["solution"], wanted["litter"], atol=tolerance)
    fixed = estimates(evaluation)
    pens = [fixed[f"pen {pen}"] + fixed["sex male"] for pen in (1, 2, 3)]
    np.testing.assert_allclose(pens, wanted["pen"], atol=tolerance)
    assert fixed["sex female"] - fixed["sex male"] == pytest.approx(wanted["female_minus_male"], abs=tolerance)


@pytest.mark.parametrize("options", METHODS)
@pytest.mark.parametrize("built", [True, False])
def test_mrode_dominance(options: bb.EvaluateOptions, built: bool) -> None:
    folder, case = REFS / "mrode_dominance", expected("mrode_dominance")
    pedigree = bb.read_pedigree(folder / "pedigree.csv")
    d = np.array(case["expected"]["D"])
    ids = [str(i) for i in range(1, 13)]
    dominance = bb.dominance_inverse(pedigree) if built else bb.inverse_from(d, ids, kind="relationship")
    np.testing.assert_allclose(dominance.matrix.toarray() @ d, np.eye(12), atol=1e-12)
    evaluation = bb.evaluate(
        bb.Model.from_formula("weight ~ 0 + factor(pen) + (1 | pig) + (1 | vm(pig, D))"),
        records_of(folder),
        bb.VarianceComponents({"pig": 90.0, "vm(pig, D)": 80.0}, residual=120.0),
        relationships={"pig": pedigree, "D": dominance},
        options=options,
    )
    tolerance, rounded = case["tolerance"]["abs"], case["tolerance"]["published_abs"]
    solutions = {}
    for key, term, short in (("pig", "animal", "a"), ("vm(pig, D)", "dominance", "d")):
        solutions[term] = column(evaluation, key, "solution")
        agree(solutions[term], wanted_random(case, term), tolerance)
        agree(column(evaluation, key, "pev"), wanted_random(case, term, "pev"), tolerance)
        np.testing.assert_allclose(list(solutions[term].values()), case["published"][short], atol=rounded)
    total = np.array([solutions["animal"][i] + solutions["dominance"][i] for i in ids])
    np.testing.assert_allclose(total, case["published"]["total"], atol=rounded)
    agree(estimates(evaluation), wanted_fixed(case), tolerance)


@pytest.mark.parametrize("options", METHODS)
def test_mrode_dominance_as_one_effect(options: bb.EvaluateOptions) -> None:
    """A and D with a variance each, and one effect of var 90 A + 80 D: the same total merit."""
    folder, case = REFS / "mrode_dominance", expected("mrode_dominance")
    a = bb.a_inverse(bb.read_pedigree(folder / "pedigree.csv"))
    ids = [str(i) for i in range(1, 13)]
    assert a.ids.to_list() == ids
    merit = 90.0 * a.multiply(np.eye(12)) + 80.0 * np.array(case["expected"]["D"])
    evaluation = bb.evaluate(
        bb.Model.from_formula("weight ~ 0 + factor(pen) + (1 | pig)"),
        records_of(folder),
        bb.VarianceComponents({"pig": 1.0}, residual=120.0),
        relationships={"pig": bb.inverse_from(merit, ids, kind="relationship")},
        options=options,
    )
    additive, dominance = wanted_random(case, "animal"), wanted_random(case, "dominance")
    agree(column(evaluation, "pig", "solution"), {i: additive[i] + dominance[i] for i in ids}, case["tolerance"]["abs"])


@pytest.mark.parametrize("options", METHODS)
@pytest.mark.parametrize("reduce", [False, True])
def test_mrode_ram(options: bb.EvaluateOptions, reduce: bool) -> None:
    folder, case = REFS / "mrode_ram", expected("mrode_ram")
    evaluation = bb.evaluate(
        bb.Model.from_formula("wwg ~ 0 + sex + (1 | animal)"),
        records_of(folder),
        bb.VarianceComponents({"animal": 20.0}, residual=40.0),
        relationships={"animal": bb.read_pedigree(folder / "pedigree.csv")},
        options=replace(options, reduce=True) if reduce else options,
    )
    agree(column(evaluation, "animal", "solution"), wanted_random(case, "animal"), case["tolerance"]["abs"])
    agree(estimates(evaluation), wanted_fixed(case), case["tolerance"]["abs"])
    np.testing.assert_allclose(evaluation.ebv["ebv"], case["published"]["ebv"], atol=case["tolerance"]["published_abs"])
    note = "2 animals without progeny eliminated exactly, 8 of 10 equations solved"
    assert any(note in said for said in evaluation.notes) == reduce
    full = expected("mrode_animal")  # the same data: PEV of all animals, those that were eliminated among them
    agree(column(evaluation, "animal", "pev"), wanted_random(full, "animal", "pev"), full["tolerance"]["abs"])


@pytest.mark.parametrize("options", METHODS)
def test_mrode_threshold_linear_as_two_linear_traits(options: bb.EvaluateOptions) -> None:
    folder, case = REFS / "mrode_threshold_linear", expected("mrode_threshold_linear")
    variances, wanted = case["variances"]["linear"], case["expected"]["linear"]
    columns = bb.PedigreeColumns(id="sire", sire="sire_of_sire", maternal_grandsire="mgs")
    sires = bb.sire_mgs_inverse(bb.read_pedigree(folder / "pedigree.csv", columns=columns))
    np.testing.assert_allclose(sires.multiply(np.eye(6)), case["expected"]["A_smgs"], atol=1e-12)
    evaluation = bb.evaluate(
        bb.Model.from_formula("(birth_weight, difficulty) ~ 0 + factor(origin) + factor(season) + sex + (1 | sire)"),
        records_of(folder),
        bb.VarianceComponents({"sire": variances["sire"]}, residual=variances["residual"]),
        relationships={"sire": sires},
        options=options,
    )
    tolerance, rounded = case["tolerance"]["abs"], case["tolerance"]["published_abs"]
    for trait, name in (("birth_weight", "bw"), ("difficulty", "cd")):
        found = list(column(evaluation, "sire", "solution", trait=trait).values())
        np.testing.assert_allclose(found, wanted[f"{name}_sire"], atol=tolerance)
        fixed = estimates(evaluation, trait)
        base = fixed["season 2"] + fixed["sex female"]  # the book sets both to 0
        contrasts = {
            "origin1": fixed["origin 1"] + base,
            "origin2": fixed["origin 2"] + base,
            "season1": fixed["season 1"] - fixed["season 2"],
            "male": fixed["sex male"] - fixed["sex female"],
        }
        agree(contrasts, wanted[f"{name}_fixed"], tolerance)
        printed = case["published"][f"linear_{name}"]
        np.testing.assert_allclose([*contrasts.values(), *found], printed, atol=rounded)


@pytest.mark.parametrize("options", METHODS)
def test_twin_maternal(options: bb.EvaluateOptions) -> None:
    folder, case = REFS / "twin_maternal", expected("twin_maternal")
    variances, wanted = case["variances"], case["expected"]["blup"]
    evaluation = bb.evaluate(
        bb.Model.from_formula("y ~ 0 + hys + (1 | animal + dam) + (1 | ide(dam))"),
        records_of(folder),
        bb.VarianceComponents(
            {"animal + dam": variances["direct_maternal"], "ide(dam)": variances["mpe"]}, residual=variances["residual"]
        ),
        relationships={"animal": bb.read_pedigree(folder / "pedigree.csv")},
        options=options,
    )
    tolerance, ebv = case["tolerance"]["abs"], pl.read_csv(folder / "ebv.csv")
    for effect in ("direct", "maternal"):
        agree(column(evaluation, "animal + dam", "solution", effect), of_file(ebv, effect), tolerance)
        agree(column(evaluation, "animal + dam", "pev", effect), of_file(ebv, f"{effect}_pev"), tolerance)
    agree(column(evaluation, "ide(dam)", "solution"), wanted["mpe"], tolerance)
    agree(estimates(evaluation), {f"hys {level}": value for level, value in wanted["hys"].items()}, tolerance)


@pytest.mark.parametrize("options", METHODS)
def test_twin_mt_missing(options: bb.EvaluateOptions) -> None:
    folder, case = REFS / "twin_mt_missing", expected("twin_mt_missing")
    evaluation = bb.evaluate(
        bb.Model.from_formula("(t1, t2) ~ 0 + cg + (1 | animal)"),
        records_of(folder),
        bb.VarianceComponents({"animal": case["variances"]["animal"]}, residual=case["variances"]["residual"]),
        relationships={"animal": bb.read_pedigree(folder / "pedigree.csv")},
        options=options,
    )
    tolerance, ebv = case["tolerance"]["abs"], pl.read_csv(folder / "ebv.csv")
    for trait in ("t1", "t2"):
        agree(column(evaluation, "animal", "solution", trait=trait), of_file(ebv, trait), tolerance)
        agree(column(evaluation, "animal", "pev", trait=trait), of_file(ebv, f"{trait}_pev"), tolerance)
        groups = {f"cg g{i}": value for i, value in enumerate(case["expected"]["blup"][f"cg_{trait}"], start=1)}
        agree(estimates(evaluation, trait), groups, tolerance)


@pytest.mark.parametrize("options", METHODS)
def test_twin_rr(options: bb.EvaluateOptions) -> None:
    """Intercept and slope of the case are the normalised Legendre polynomials of degree 0 and 1."""
    folder, case = REFS / "twin_rr", expected("twin_rr")
    variances, wanted = case["variances"], case["expected"]["blup"]
    curve = "leg(days, 1, range=(10, 300))"
    evaluation = bb.evaluate(
        bb.Model.from_formula(
            f"y ~ htd + leg(days, 2, range=(10, 300)) + ({curve} | animal) + ({curve} | ide(animal))"
        ),
        records_of(folder),
        bb.VarianceComponents(
            {"animal": variances["animal"], "ide(animal)": variances["pe"]}, residual=variances["residual"]
        ),
        relationships={"animal": bb.read_pedigree(folder / "pedigree.csv")},
        options=options,
    )
    tolerance, coefficients = case["tolerance"]["abs"], pl.read_csv(folder / "coefficients.csv")
    for k in ("0", "1"):
        agree(column(evaluation, "animal", "solution", k), of_file(coefficients, f"b{k}"), tolerance)
        agree(column(evaluation, "animal", "pev", k), of_file(coefficients, f"pev{k}"), tolerance)
    fixed = estimates(evaluation)
    days = [fixed[f"htd t{i}"] + fixed["leg(days, 2) 0"] * np.sqrt(0.5) for i in range(1, 9)]
    np.testing.assert_allclose(days, wanted["htd"], atol=tolerance)
    np.testing.assert_allclose([fixed["leg(days, 2) 1"], fixed["leg(days, 2) 2"]], wanted["legendre"], atol=tolerance)


def tour_contrasts(fixed: Mapping[str, float]) -> dict[str, float]:
    return {
        "S1-S2": fixed["s S1"] - fixed["s S2"],
        "A2-A1": fixed["a A2"] - fixed["a A1"],
        "A3-A1": fixed["a A3"] - fixed["a A1"],
        "slope x": fixed["x "],
        "A1+S1": fixed["a A1"] + fixed["s S1"],
    }


@pytest.mark.parametrize("options", METHODS)
@pytest.mark.parametrize("inbreeding", [True, False])
def test_blupf90_tour_bivariate(options: bb.EvaluateOptions, inbreeding: bool) -> None:
    folder = shared_case("blupf90_tour")
    case = expected_in(folder)
    wanted = case["expected"]["bivariate"]["inbreeding_considered" if inbreeding else "inbreeding_ignored"]
    evaluation = bb.evaluate(
        bb.Model.from_formula("(y1, y2) ~ 0 + a + s + x + (1 | animal)"),
        records_of(folder),
        bb.VarianceComponents({"animal": [[0.5, -0.25], [-0.25, 1.0]]}, residual=[[2.0, 1.0], [1.0, 1.5]]),
        relationships={"animal": bb.a_inverse(bb.read_pedigree(folder / "pedigree.csv"), inbreeding=inbreeding)},
        options=options,
    )
    tolerance = case["tolerance"]["abs"]
    for t, trait in enumerate(("y1", "y2")):
        found = column(evaluation, "animal", "solution", trait=trait)
        agree(found, {animal: pair[t] for animal, pair in wanted["ebv"].items()}, tolerance)
        pev = column(evaluation, "animal", "pev", trait=trait)
        agree(pev, {animal: pair[t] for animal, pair in wanted["pev"].items()}, tolerance)
        agree(tour_contrasts(estimates(evaluation, trait)), wanted[f"contrasts_{trait}"], tolerance)
        if not inbreeding:
            printed = [pair[t] for pair in case["published"]["bivariate_ebv_inbreeding_ignored"]]
            np.testing.assert_allclose(list(found.values()), printed, atol=case["tolerance"]["published_abs"])
