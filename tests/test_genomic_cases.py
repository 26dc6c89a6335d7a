"""Published genomic relationships, GBLUP, APY and dominance, at full precision."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import EXACT, REFS, expected, expected_in, shared_case
from reference import blup_by_v

import breedblup as bb
from breedblup.analysis.estimation import estimate_variances
from breedblup.errors import NotPositiveDefinite
from breedblup.genotypes import Genotypes
from breedblup.genotypes.homozygosity import genomic_inbreeding
from breedblup.relationship.apy import apy_inverse
from breedblup.relationship.genomic import GenomicOptions, g_inverse, genomic_matrix
from breedblup.relationship.genomic_dominance import dominance_g_inverse

METHODS = [
    pytest.param(bb.EvaluateOptions(method="cholesky", pev="exact"), id="cholesky"),
    pytest.param(bb.EvaluateOptions(method="pcg", pev="none", pcg=bb.PcgOptions(tolerance=1e-11)), id="pcg"),
]


def genotypes_of(folder: Path, file: str = "genotypes.csv") -> Genotypes:
    table = pl.read_csv(folder / file, null_values="NA")
    calls = table[:, 1:].cast(pl.Float64).to_numpy()
    return Genotypes.from_calls(calls, table[:, 0].cast(pl.String), table.columns[1:])


def by_animal(evaluation: bb.Evaluation, key: str, column: str = "solution") -> dict[str, float]:
    table = evaluation.random(key)
    return dict(zip(table["level"].to_list(), table[column].to_list(), strict=True))


def agree(found: dict[str, float], wanted: dict[str, float], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    np.testing.assert_allclose([found[k] for k in wanted], list(wanted.values()), rtol=0, atol=tolerance)


# --- VanRaden's matrices ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("method1_observed", {}),
        ("method1_half", {"frequencies": "half"}),
        ("method2_observed", {"method": "vanraden2"}),
        ("method1_given_freq", {"frequencies": "base_freq"}),
        ("method1_missing_mean_imputed", {}),
    ],
)
def test_vanraden_toy(name: str, options: dict[str, Any]) -> None:
    case = expected("vanraden_toy")
    file = "genotypes_missing.csv" if "missing" in name else "genotypes.csv"
    genotypes = genotypes_of(REFS / "vanraden_toy", file)
    if options.get("frequencies") == "base_freq":
        options = {"frequencies": case["inputs"]["base_freq"]}
    matrix = genomic_matrix(genotypes, GenomicOptions(**options))
    wanted = np.array(case["expected"][name])
    np.testing.assert_allclose(matrix.dense(), wanted, rtol=0, atol=EXACT)
    np.testing.assert_allclose(matrix.diagonal(), wanted.diagonal(), rtol=0, atol=EXACT)
    np.testing.assert_allclose(matrix.multiply(np.eye(6)), wanted, rtol=0, atol=EXACT)
    if name == "method1_observed":
        np.testing.assert_allclose(genotypes.frequencies, case["expected"]["p_observed"], atol=EXACT)


# --- Mrode: eight bulls with records, six candidates --------------------------------------------------------------------


def bulls(case: str) -> tuple[Genotypes, pl.DataFrame]:
    records = pl.read_csv(REFS / case / "data.csv", schema_overrides={"animal": pl.String})
    return genotypes_of(REFS / case), records.filter(pl.col("set") == "reference")


def dense_gblup(g: np.ndarray, genotypes: Genotypes, records: pl.DataFrame, residual: np.ndarray) -> tuple[Any, Any]:
    """Mean and û of all animals by V, which takes a singular G too."""
    z = np.zeros((records.height, len(genotypes)))
    z[np.arange(records.height), genotypes.positions_of(records["animal"])] = 1.0
    y, x = records["dyd"].to_numpy(), np.ones((records.height, 1))
    mean, solutions, _ = blup_by_v(y, x, {"animal": (z, 35.241 * g)}, residual)
    return mean[0], solutions["animal"]


def snp_blup(genotypes: Genotypes, records: pl.DataFrame, residual: np.ndarray) -> tuple[Any, Any, Any]:
    """Mean, effects of markers and values of all animals: random regression on the columns of Z."""
    plain = genomic_matrix(genotypes).z
    z = plain.dense(0, plain.centre.size) / plain.scale
    rows = z[genotypes.positions_of(records["animal"])]
    y, x = records["dyd"].to_numpy(), np.ones((records.height, 1))
    variance = 35.241 * plain.scale[0] ** 2
    mean, solutions, _ = blup_by_v(y, x, {"snp": (rows, variance * np.eye(z.shape[1]))}, residual)
    return mean[0], solutions["snp"], z @ solutions["snp"]


@pytest.mark.parametrize("run", ["unweighted", "weighted", "weighted_inverse_edc"])
def test_mrode_snpblup_is_gblup_with_a_singular_g(run: str) -> None:
    case = expected("mrode_snpblup")
    wanted = case["expected"]
    genotypes, records = bulls("mrode_snpblup")
    np.testing.assert_allclose(genotypes.frequencies, wanted["allele_freq"], atol=EXACT)
    edc = records["edc"].to_numpy().astype(float)
    of_record = {"unweighted": 1.0 + 0.0 * edc, "weighted": 1.0 / edc, "weighted_inverse_edc": edc}[run]
    mean, effects, values = snp_blup(genotypes, records, np.diag(245.0 * of_record))
    matrix = genomic_matrix(genotypes)
    same_mean, same_values = dense_gblup(matrix.dense(), genotypes, records, np.diag(245.0 * of_record))
    assert mean == pytest.approx(same_mean, rel=EXACT)
    np.testing.assert_allclose(values, same_values, atol=EXACT)
    tolerance = case["tolerance"]["abs"]
    assert mean == pytest.approx(wanted[run]["mean"], abs=tolerance)
    np.testing.assert_allclose(effects, wanted[run]["snp"], atol=tolerance)
    if "dgv" in wanted[run]:
        agree(dict(zip(genotypes.ids.to_list(), values, strict=True)), wanted[run]["dgv"], tolerance)
    if run in case["published"]:
        published = np.array([mean, *effects])
        np.testing.assert_allclose(published, case["published"][run], atol=case["tolerance"]["published_abs"])


@pytest.mark.parametrize("options", METHODS)
def test_mrode_gblup(options: bb.EvaluateOptions) -> None:
    case = expected("mrode_gblup")
    wanted, tolerance = case["expected"], case["tolerance"]["abs"]
    genotypes, records = bulls("mrode_gblup")
    inverse = g_inverse(genotypes, GenomicOptions(ridge=0.01))
    np.testing.assert_allclose(inverse.multiply(np.eye(14)) - 0.01 * np.eye(14), wanted["G"], atol=EXACT)
    evaluation = bb.evaluate(
        bb.Model.from_formula("dyd ~ 1 + (1 | animal)"),
        records,
        bb.VarianceComponents({"animal": 35.241}, residual=245.0),
        relationships={"animal": inverse},
        options=options,
    )
    assert evaluation.fixed["estimate"][0] == pytest.approx(wanted["gblup"]["mean"], abs=tolerance)
    found = by_animal(evaluation, "animal")
    agree(found, wanted["gblup"]["dgv"], tolerance)
    np.testing.assert_allclose(
        [found[i] for i in genotypes.ids], case["published"]["dgv"], atol=case["tolerance"]["published_abs"]
    )
    if options.pev == "exact":
        agree(by_animal(evaluation, "animal", "pev"), wanted["gblup"]["pev"], tolerance)
    values = np.array([found[i] for i in genotypes.ids])
    z = genomic_matrix(genotypes).z
    effects = z.scale * z.multiply_transposed(inverse.multiply_inverse(values))
    np.testing.assert_allclose(effects, wanted["gblup"]["snp_backsolved"], atol=tolerance)


def test_mrode_gblup_exact_and_by_selection_index() -> None:
    case = expected("mrode_gblup")
    wanted, tolerance = case["expected"], case["tolerance"]["abs"]
    genotypes, records = bulls("mrode_gblup")
    g = genomic_matrix(genotypes).dense()
    mean, values = dense_gblup(g, genotypes, records, 245.0 * np.eye(8))
    assert mean == pytest.approx(wanted["gblup_exact"]["mean"], abs=tolerance)
    agree(dict(zip(genotypes.ids.to_list(), values, strict=True)), wanted["gblup_exact"]["dgv"], tolerance)
    own = genotypes.positions_of(records["animal"])
    weights = np.linalg.solve(g[np.ix_(own, own)] + 245.0 / 35.241 * np.eye(8), g[own])
    reliability = np.einsum("ij,ij->j", g[own], weights)
    agree(dict(zip(genotypes.ids.to_list(), reliability, strict=True)), wanted["index_reliability"], tolerance)
    with pytest.raises(NotPositiveDefinite, match="10 markers are too few for so many animals"):
        g_inverse(genotypes)


CORE = ["15", "20", "22", "26"]


@pytest.mark.parametrize("options", METHODS)
def test_mrode_apy(options: bb.EvaluateOptions) -> None:
    case = expected("mrode_apy")
    wanted, tolerance = case["expected"], case["tolerance"]["abs"]
    assert [str(animal) for animal in case["model"]["core"]] == CORE
    genotypes, records = bulls("mrode_apy")
    inverse = apy_inverse(genotypes, core=CORE)
    np.testing.assert_allclose(inverse.matrix.toarray(), wanted["Ginv_apy"], atol=EXACT)
    own = dict(
        zip(inverse.ids.gather(inverse.operator.parts.others).to_list(), inverse.operator.parts.own, strict=True)
    )
    agree(own, wanted["Mnn"], EXACT)
    evaluation = bb.evaluate(
        bb.Model.from_formula("dyd ~ 1 + (1 | animal)"),
        records,
        bb.VarianceComponents({"animal": 35.241}, residual=245.0),
        relationships={"animal": inverse},
        options=options,
    )
    assert evaluation.fixed["estimate"][0] == pytest.approx(wanted["mean"], abs=tolerance)
    found = by_animal(evaluation, "animal")
    agree(found, wanted["dgv"], tolerance)
    values = [found[i] for i in genotypes.ids]
    np.testing.assert_allclose(values, case["published"]["dgv"], atol=case["tolerance"]["published_abs"])
    full = [expected("mrode_gblup")["expected"]["gblup"]["dgv"][i] for i in genotypes.ids]
    assert np.corrcoef(values, full)[0, 1] == pytest.approx(wanted["correlation_with_full"], abs=tolerance)


@pytest.mark.parametrize("left_out", [[], ["21"]], ids=["full core", "all but one"])
def test_mrode_apy_with_a_full_core_is_the_direct_inverse(left_out: list[str]) -> None:
    genotypes, _ = bulls("mrode_apy")
    options = GenomicOptions(ridge=0.01)
    direct = g_inverse(genotypes, options)
    core = [i for i in genotypes.ids if i not in left_out]
    inverse = apy_inverse(genotypes, options, core=core)
    scale = np.abs(direct.matrix.toarray()).max()
    np.testing.assert_allclose(inverse.matrix.toarray(), direct.matrix.toarray(), atol=EXACT * scale)
    assert inverse.logdet == pytest.approx(direct.logdet, rel=EXACT)


# --- dominance --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["base", "with_inbreeding"])
def test_mrode_genomic_dominance(run: str) -> None:
    case = expected("mrode_genomic_dominance")
    wanted, tolerance = case["expected"], case["tolerance"]["abs"]
    folder = REFS / "mrode_genomic_dominance"
    genotypes = genotypes_of(folder)
    additive = g_inverse(genotypes, GenomicOptions(ridge=0.01))
    dominance = dominance_g_inverse(genotypes, ridge=0.01)
    last = 0.01 * np.eye(15)[-1]
    np.testing.assert_allclose(additive.multiply(np.eye(15))[-1] - last, wanted["G_last_row"], atol=EXACT)
    np.testing.assert_allclose(dominance.multiply(np.eye(15))[-1] - last, wanted["D_last_row"], atol=EXACT)
    records = pl.read_csv(folder / "data.csv", schema_overrides={"pig": pl.String})
    homozygous = genomic_inbreeding(genotypes).select(pl.col("animal").alias("pig"), "homozygosity")
    formula = "weight ~ 0 + factor(pen) + (1 | pig) + (1 | vm(pig, D))"
    evaluation = bb.evaluate(
        bb.Model.from_formula(formula if run == "base" else formula.replace("+ (1", "+ homozygosity + (1", 1)),
        records.join(homozygous, on="pig"),
        bb.VarianceComponents({"pig": 90.0, "vm(pig, D)": 80.0}, residual=120.0),
        relationships={"pig": additive, "D": dominance},
        options=bb.EvaluateOptions(method="cholesky"),
    )
    fixed = [*wanted[run]["pen"], *([wanted[run]["regression"]] if run != "base" else [])]
    np.testing.assert_allclose(evaluation.fixed["estimate"], fixed, atol=tolerance)
    for key, name in (("pig", "additive"), ("vm(pig, D)", "dominance")):
        agree(by_animal(evaluation, key), wanted[run][name], tolerance)
    published, rounded = case["published"], case["tolerance"]["published_abs"]
    if run == "base":
        np.testing.assert_allclose(fixed, published["pen"], atol=rounded)
        for key, name in (("pig", "additive"), ("vm(pig, D)", "dominance")):
            found = by_animal(evaluation, key)
            np.testing.assert_allclose([found[i] for i in genotypes.ids], published[name], atol=rounded)
    else:
        np.testing.assert_allclose(fixed, published["with_inbreeding_fixed"], atol=rounded)


# --- REML of wheat ----------------------------------------------------------------------------------------------------

RIDGE = 0.01


@pytest.fixture(scope="module")
def wheat() -> tuple[dict[str, Any], Path, pl.DataFrame, bb.RelationshipInverse, float]:
    """Case, records, (G + 0.01 I)⁻¹, and what G of the case is times this G.

    Inbred lines have 0 or 2 copies. Scaled by 2p(1 - p), G is 2n/(n - 1) of G scaled by the variance among the lines.
    """
    folder = shared_case("wheat_gblup")
    records = pl.read_csv(folder / "data.csv", schema_overrides={"line": pl.String})
    with gzip.open(folder / "markers.txt.gz", "rt") as lines:
        markers = np.loadtxt(lines, ndmin=2)
    n = records.height
    genotypes = Genotypes.from_calls(2 * markers, records["line"])
    inverse = g_inverse(genotypes, GenomicOptions(method="vanraden2", ridge=RIDGE))
    return expected_in(folder), folder, records, inverse, (n - 1) / (2.0 * n)


def test_wheat_gblup_relationships(wheat: Any) -> None:
    case, _, records, inverse, factor = wheat
    g = factor * (inverse.multiply(np.eye(records.height)) - RIDGE * np.eye(records.height))
    assert np.trace(g) == pytest.approx(case["expected"]["G_trace"], rel=EXACT)
    assert g[0, 1] == pytest.approx(case["expected"]["G_12"], abs=EXACT)


@pytest.mark.parametrize("trait", ["env1", "env2", "env3", "env4"])
def test_wheat_gblup_reml(wheat: Any, trait: str) -> None:
    """With one record a line, a ridge on G moves variance from the residual, and changes neither the fit nor its likelihood."""
    case, folder, records, inverse, factor = wheat
    wanted = case["expected"]["reml"][trait]["genomic"]
    model = bb.Model.from_formula(f"{trait} ~ 1 + (1 | line)")
    fit = estimate_variances(model, records, {"line": inverse})
    tolerance = case["tolerance"]["rel_variance"]
    genomic, residual = float(fit.variances["line"]), float(fit.variances.residual)
    assert genomic / factor == pytest.approx(wanted["animal"], rel=tolerance)
    assert residual + RIDGE * genomic == pytest.approx(wanted["residual"], rel=tolerance)
    assert -0.5 * fit.minus2_log_likelihood == pytest.approx(wanted["loglik_without_constant"], abs=1e-4)
    if trait == "env1":
        wanted_values = pl.read_csv(folder / "gebv_env1.csv", schema_overrides={"line": pl.String})
        # û of G + 0.01 I holds what the ridge explains; what G does is G(G + 0.01 I)⁻¹û
        found = bb.evaluate(model, records, fit.variances, relationships={"line": inverse})
        table = found.random("line")
        values = table["solution"].to_numpy()[[table["level"].to_list().index(i) for i in records["line"]]]
        smooth = values - RIDGE * inverse.multiply_inverse(values)
        np.testing.assert_allclose(smooth, wanted_values["gebv"], atol=case["tolerance"]["abs_gebv"])


# --- files with faults ------------------------------------------------------------------------------------------------


def faulty(file: str) -> Genotypes:
    return genotypes_of(REFS / "pathological", file)


def test_monomorphic_markers_are_left_out() -> None:
    genotypes = faulty("geno_monomorphic.csv")
    for method in ("vanraden1", "vanraden2", "yang"):
        matrix = genomic_matrix(genotypes, GenomicOptions(method=method))  # type: ignore[arg-type]
        assert np.isfinite(matrix.dense()).all()
        assert "2 markers left out: 2 without variation at these frequencies, 0 without a call" in matrix.made
        assert matrix.z.genotypes.markers["marker"].to_list() == ["s1", "s2"]


def test_duplicate_genotypes_are_named_and_have_the_same_breeding_values() -> None:
    genotypes = faulty("geno_duplicate_genotypes.csv")
    with pytest.raises(
        NotPositiveDefinite,
        match=r"'5' and '6' have the same genotypes -> add to its diagonal \(ridge = 0\.01\), or blend it",
    ):
        g_inverse(genotypes)
    records = pl.DataFrame({"animal": ["4", "5", "6", "7"], "y": [1.0, 3.0, 3.0, 2.0]})
    inverse = g_inverse(genotypes, GenomicOptions(blend=0.05, blend_with="identity"))
    evaluation = bb.evaluate(
        bb.Model.from_formula("y ~ 1 + (1 | animal)"),
        records,
        bb.VarianceComponents({"animal": 1.0}, residual=1.0),
        relationships={"animal": inverse},
    )
    found = by_animal(evaluation, "animal")
    assert found["5"] == pytest.approx(found["6"], rel=EXACT)
    assert abs(found["5"]) > 0.1


def test_animals_outside_the_pedigree() -> None:
    """GBLUP needs no pedigree; what blends with A₂₂ does."""
    genotypes = faulty("geno_absent_from_pedigree.csv")
    pedigree = bb.read_pedigree(REFS / "mrode_animal" / "pedigree.csv")
    assert len(g_inverse(genotypes, GenomicOptions(ridge=0.05), pedigree=pedigree)) == 3
    with pytest.raises(bb.PedigreeError, match="77"):
        g_inverse(genotypes, GenomicOptions(blend=0.05), pedigree=pedigree)
