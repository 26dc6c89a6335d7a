"""Published and constructed single-step cases at full precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import REFS, expected, expected_in, shared_case

import breedblup as bb
from breedblup.genotypes import CentredGenotypes, Genotypes
from breedblup.relationship.blending import PedigreeBlend
from breedblup.relationship.explicit_form import dense_difference
from breedblup.relationship.genomic import GenomicOptions
from breedblup.relationship.genomic_matrix import GenomicMatrix
from breedblup.relationship.remainders import GenotypedRemainder
from breedblup.relationship.single_step import as_stored, h_inverse
from breedblup.relationship.single_step_operator import SingleStepOperator

TOLERANCE = 1e-8
DIRECT = bb.EvaluateOptions(method="cholesky")
UNTUNED = GenomicOptions(tuning="none")


def genotypes_in(folder: Path) -> Genotypes:
    table = pl.read_csv(folder / "genotypes.csv", schema_overrides={"animal": pl.String})
    return Genotypes.from_calls(table.drop("animal").to_numpy(), table["animal"])


def agree(table: pl.DataFrame, column: str, wanted: dict[str, float]) -> None:
    found = dict(table.select("id", column).iter_rows())
    np.testing.assert_allclose([found[animal] for animal in wanted], list(wanted.values()), rtol=0, atol=TOLERANCE)


def fitted_mrode(relationship: bb.RelationshipInverse, weights: str | None = None) -> bb.Evaluation:
    records = pl.read_csv(REFS / "mrode_ssgblup" / "data.csv", schema_overrides={"animal": pl.String})
    return bb.evaluate(
        bb.Model.from_formula("dyd ~ 1 + (1 | animal)", weights=weights),
        records.filter(pl.col("set") == "reference"),
        bb.VarianceComponents({"animal": 35.241}, residual=245.0),
        {"animal": relationship},
        options=DIRECT,
    )


@pytest.mark.parametrize("form", ["explicit", "components", "apy"])
def test_mrode_ssgblup(form: Any) -> None:
    wanted = expected("mrode_ssgblup")["expected"]
    pedigree = bb.read_pedigree(REFS / "mrode_ssgblup" / "pedigree.csv")
    genotypes = genotypes_in(REFS / "mrode_ssgblup")
    core = genotypes.ids.to_list() if form == "apy" else None
    tuned = as_stored(h_inverse(pedigree, genotypes, form=form, core=core))
    assert tuned.genomic is not None
    assert tuned.genomic.matrix.constant == pytest.approx(wanted["tuning"]["a"], abs=TOLERANCE)
    assert f"b = {wanted['tuning']['b']:.10g}" in "; ".join(tuned.made)
    found = dict(zip(tuned.ids, tuned.matrix.diagonal(), strict=True))
    np.testing.assert_allclose([found[animal] for animal in wanted["Hinv_diag"]], list(wanted["Hinv_diag"].values()))
    evaluation = fitted_mrode(tuned)
    assert evaluation.fixed["estimate"].item() == pytest.approx(wanted["tuned"]["mean"], abs=TOLERANCE)
    agree(evaluation.ebv, "ebv", wanted["tuned"]["gebv"])
    agree(evaluation.ebv, "pev", wanted["tuned"]["pev"])
    blended = fitted_mrode(as_stored(h_inverse(pedigree, genotypes, UNTUNED, form=form, core=core)))
    agree(blended.ebv, "ebv", wanted["blended_only"]["gebv"])


def test_mrode_ssgblup_weighted() -> None:
    wanted = expected("mrode_ssgblup")["expected"]["tuned_weighted"]
    pedigree = bb.read_pedigree(REFS / "mrode_ssgblup" / "pedigree.csv")
    relationship = h_inverse(pedigree, genotypes_in(REFS / "mrode_ssgblup"))
    evaluation = fitted_mrode(as_stored(relationship), weights="edc")
    assert evaluation.fixed["estimate"].item() == pytest.approx(wanted["mean"], abs=TOLERANCE)
    agree(evaluation.ebv, "ebv", wanted["gebv"])


@pytest.mark.parametrize("run", ["blended", "tuned"])
def test_blupf90_ss_tour(run: str) -> None:
    folder = shared_case("blupf90_ss_tour")
    wanted = expected_in(folder)["expected"][run]
    relationship = h_inverse(
        bb.read_pedigree(folder / "pedigree.csv"), genotypes_in(folder), UNTUNED if run == "blended" else None
    )
    assert relationship.genomic is not None
    assert relationship.genomic.matrix.constant == pytest.approx(wanted.get("a", 0.0), abs=TOLERANCE)
    evaluation = bb.evaluate(
        bb.Model.from_formula("y1 ~ 0 + a + s + x + (1 | animal)"),
        pl.read_csv(folder / "data.csv"),
        bb.VarianceComponents({"animal": 0.5}, residual=2.0),
        {"animal": as_stored(relationship)},
        options=DIRECT,
    )
    effect = {
        (term, level): value for term, level, value in evaluation.fixed.select("term", "level", "estimate").rows()
    }
    contrasts = {
        "S1-S2": effect["s", "S1"] - effect["s", "S2"],
        "A2-A1": effect["a", "A2"] - effect["a", "A1"],
        "A3-A1": effect["a", "A3"] - effect["a", "A1"],
        "slope x": effect["x", ""],
        "A1+S1": effect["a", "A1"] + effect["s", "S1"],
    }
    assert contrasts == pytest.approx(wanted["contrasts"], abs=TOLERANCE)
    agree(evaluation.ebv, "ebv", wanted["gebv"])
    if "pev" in wanted:
        agree(evaluation.ebv, "pev", wanted["pev"])


def test_twin_metafounder_through_h_inverse() -> None:
    """Where G is A^Γ of the genotyped animals, H is A^Γ of all: the inverse by another way, of every animal and metafounder."""
    case = expected("twin_metafounder")
    wanted = case["expected"]
    pedigree = bb.read_pedigree(REFS / "twin_metafounder" / "pedigree.csv", groups=("M1", "M2", "M3"))
    source = bb.metafounder_inverse(pedigree, case["inputs"]["Gamma"])
    chosen = pl.Series(["g", "d", "c", "h"])
    a22 = bb.a22_inverse(source, chosen)
    genotypes = Genotypes.from_calls(np.ones((4, 2)), chosen)
    z = CentredGenotypes(genotypes, np.ones(2), np.ones(2))
    matrix = GenomicMatrix(z, 0.0, 1.0, PedigreeBlend(a22), None, ("G = A22",))
    difference = dense_difference(matrix, a22, 1.0, 1.0)
    rows = source.positions_of(chosen)
    operator = SingleStepOperator(source, rows, a22, difference, GenotypedRemainder.of(rows, difference))
    order = [source.ids.to_list().index(name) for name in ("M1", "M2", "M3", "b", "a", "c", "d", "e", "f", "g", "h")]
    tolerance = case["tolerance"]["abs"]
    inverse = operator.entries().toarray()[np.ix_(order, order)]
    np.testing.assert_allclose(inverse, wanted["inverse"], rtol=0, atol=tolerance)
    direct = operator.multiply(np.eye(len(source)))[np.ix_(order, order)]
    np.testing.assert_allclose(direct, wanted["A_gamma"], rtol=0, atol=tolerance)
    assert source.logdet - a22.logdet + difference.logdet == pytest.approx(source.logdet)
    np.testing.assert_allclose(operator.diagonal()[order], np.diag(wanted["A_gamma"]), rtol=0, atol=tolerance)
