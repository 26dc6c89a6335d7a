"""Predictions for animals that were genotyped since the evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from conftest import EXACT, REFS, expected
from numpy.typing import NDArray
from test_marker_effects import (
    ALONE,
    BOTH,
    ONE,
    TWO_TRAITS,
    blended_pedigree,
    family,
    gblup,
    matrix_of,
    single_step,
    some_genotypes,
    some_records,
    table_of_markers,
)

import breedblup as bb
from breedblup.adjustment.markers import (
    MarkerEffects,
    marker_effects,
    marker_inference,
    predict_from_evaluation,
    predict_genomic,
    window_variances,
)
from breedblup.errors import GenotypeError, ModelError, PedigreeError
from breedblup.genotypes import CentredGenotypes, Genotypes
from breedblup.relationship.blending import IdentityBlend

N, NEW, M = 16, 5, 30
ALL = some_genotypes(N + NEW, M, missing=0.06)
OLD, YOUNG = ALL.of_animals(ALL.ids[:N]), ALL.of_animals(ALL.ids[N:])


def by_trait(table: pl.DataFrame, column: str = "gebv") -> NDArray[np.float64]:
    """Animals × traits."""
    return np.column_stack([part[column].to_numpy() for part in table.partition_by("trait", maintain_order=True)])


@pytest.fixture(scope="module")
def effects() -> MarkerEffects:
    return marker_effects(bb.evaluate(ALONE, some_records(OLD.ids), ONE, {"animal": gblup(matrix_of(OLD, added=0.2))}))


# --- what a full run would give ---------------------------------------------------------------------------------------


def test_predictions_are_those_of_a_full_run() -> None:
    """GBLUP with the young in it, frequencies held: breeding values and reliabilities."""
    old = matrix_of(OLD, constant=0.3, added=0.2)
    whole = matrix_of(ALL, old.z, constant=0.3, added=0.2)
    records = some_records(OLD.ids)
    full = bb.evaluate(TWO_TRAITS, records, BOTH, {"animal": gblup(whole)}, options=bb.EvaluateOptions(pev="exact"))
    wanted = full.ebv.filter(pl.col("id").is_in(YOUNG.ids.implode()))
    found = marker_inference(TWO_TRAITS, records, BOTH, {"animal": gblup(old)})
    predicted = predict_genomic(found.effects, YOUNG)
    assert predicted["id"].to_list() == wanted["id"].to_list()
    assert predicted["trait"].to_list() == wanted["trait"].to_list()
    np.testing.assert_allclose(predicted["gebv"], wanted["ebv"], rtol=1e-9)
    np.testing.assert_allclose(predicted["reliability"], wanted["reliability"], rtol=1e-8)
    assert predicted["markers_used"].to_list() == [M] * 2 * NEW
    missing = (YOUNG.calls() < 0).sum(axis=1)
    assert missing.sum() > 0
    assert predicted["calls_missing"].to_list() == [*missing, *missing]
    exact = predict_from_evaluation(found.evaluation, YOUNG)
    np.testing.assert_allclose(exact["gebv"], wanted["ebv"], rtol=1e-9)
    assert exact["polygenic"].to_list() == [0.0] * 2 * NEW
    assert exact["reliability"].is_null().all()


def test_published_candidates() -> None:
    """Mrode (2014), example 11.3: candidates are predicted from the reference bulls alone, with the PEV of the full run."""
    folder, wanted = REFS / "mrode_gblup", expected("mrode_gblup")["expected"]["gblup"]
    frame = pl.read_csv(folder / "genotypes.csv", schema_overrides={"animal": pl.String})
    bulls = Genotypes.from_calls(frame.drop("animal").to_numpy(), frame["animal"])
    p = bulls.frequencies
    scale = np.full(p.size, 1.0 / np.sqrt(2.0 * (p * (1.0 - p)).sum()))
    reference, candidates = bulls.of_animals(bulls.ids[:8]), bulls.of_animals(bulls.ids[8:])
    matrix = matrix_of(reference, CentredGenotypes(reference, 2.0 * p, scale), added=0.01)
    records = pl.read_csv(folder / "data.csv", schema_overrides={"animal": pl.String}).filter(set="reference")
    variances = bb.VarianceComponents({"animal": 35.241}, residual=245.0)
    model = bb.Model.from_formula("dyd ~ 1 + (1 | animal)")
    found = predict_genomic(marker_inference(model, records, variances, {"animal": gblup(matrix)}).effects, candidates,
                            unknown_alleles="as_written")  # fmt: skip
    names = found["id"].to_list()
    np.testing.assert_allclose(found["gebv"], [wanted["dgv"][name] for name in names], rtol=0, atol=1e-8)
    diagonal = matrix_of(candidates, matrix.z, added=0.01).diagonal()
    pev = [wanted["pev"][name] for name in names]
    np.testing.assert_allclose((1.0 - found["reliability"].to_numpy()) * 35.241 * diagonal, pev, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("case", "weights"), [("unweighted", None), ("weighted", "edc")])
def test_published_snp_blup(case: str, weights: str | None) -> None:
    """Mrode (2014), example 11.2: SNP-BLUP of the reference bulls, whose Z is regular, from their GBLUP; then the candidates."""
    wanted = expected("mrode_snpblup")["expected"]
    frame = pl.read_csv(REFS / "mrode_snpblup" / "genotypes.csv", schema_overrides={"animal": pl.String})
    bulls = Genotypes.from_calls(frame.drop("animal").to_numpy(), frame["animal"])
    reference, p = bulls.of_animals(bulls.ids[:8]), np.array(wanted["allele_freq"])
    z = CentredGenotypes(reference, 2.0 * p, np.full(p.size, 1.0 / np.sqrt(wanted["two_sum_pq"])))
    records = pl.read_csv(REFS / "mrode_snpblup" / "data.csv", schema_overrides={"animal": pl.String})
    variances = bb.VarianceComponents({"animal": 35.241}, residual=245.0)
    model = bb.Model.from_formula("dyd ~ 1 + (1 | animal)", weights=weights)
    inverse = gblup(matrix_of(reference, z))
    effects = marker_effects(bb.evaluate(model, records.filter(set="reference"), variances, {"animal": inverse}))
    np.testing.assert_allclose(effects.estimates[:, 0], wanted[case]["snp"], rtol=0, atol=1e-8)
    found = predict_genomic(effects, bulls, unknown_alleles="as_written")
    np.testing.assert_allclose(found["gebv"], [wanted[case]["dgv"][name] for name in found["id"]], rtol=0, atol=1e-8)


def test_those_of_the_evaluation_get_their_own() -> None:
    matrix = matrix_of(OLD, constant=0.2, share=0.1, blended=IdentityBlend(N), added=0.2)
    evaluation = bb.evaluate(TWO_TRAITS, some_records(OLD.ids), BOTH, {"animal": gblup(matrix)})
    rebased = bb.rebase(evaluation, bb.BaseIds.of(["a0", "a3"]))
    found = predict_from_evaluation(rebased, ALL.of_animals(ALL.ids.reverse()))
    both = found.join(rebased.ebv, on=["id", "trait"])
    assert both.height == 2 * N
    np.testing.assert_allclose(both["gebv"], both["ebv"], rtol=1e-9, atol=1e-12)
    new = found.filter(pl.col("id").is_in(YOUNG.ids.implode()))
    assert new["polygenic"].to_list() == [0.0] * 2 * NEW


def test_residual_polygenic_part_by_pedigree() -> None:
    """Single-step with A₂₂ in G: a full run with two more genotyped animals, whose parents are genotyped or unknown."""
    pedigree, _ = family()
    old = ["p0", "p1", "p2", "p3", "p5", "p6"]
    more = pl.DataFrame({"animal": ["n1", "n2"], "sire": ["p2", "p6"], "dam": ["p5", ""]})
    frame = pl.DataFrame({"animal": pedigree.ids, "sire": names(pedigree, "sire"), "dam": names(pedigree, "dam")})
    later = bb.read_pedigree(pl.concat([frame, more]))
    genotypes = replace(some_genotypes(8, M, seed=4), ids=pl.Series("id", [*old, "n1", "n2"]))
    first = genotypes.of_animals(old)
    before = matrix_of(first, constant=0.1, share=0.3, blended=blended_pedigree(pedigree, old))
    after = matrix_of(
        genotypes, before.z, constant=0.1, share=0.3, blended=blended_pedigree(later, genotypes.ids.to_list())
    )
    records = some_records(pedigree.ids)
    full = bb.evaluate(ALONE, records, ONE, {"animal": single_step(later, after)})
    wanted = full.ebv.filter(pl.col("id").is_in(["n1", "n2"]))["ebv"]
    evaluation = bb.evaluate(ALONE, records, ONE, {"animal": single_step(pedigree, before)})
    young = genotypes.of_animals(["n1", "n2"])
    found = predict_from_evaluation(evaluation, young, later)
    np.testing.assert_allclose(found["gebv"], wanted, rtol=1e-9)
    assert (found["polygenic"].abs() > 1e-3).all()
    again = predict_from_evaluation(evaluation, young, bb.a_inverse(later))
    np.testing.assert_allclose(again["gebv"], wanted, rtol=1e-9)
    with pytest.raises(
        ModelError, match=r"^G was blended with 0\.3 of A₂₂, and the residual polygenic part of new animals"
    ):
        predict_from_evaluation(evaluation, young)
    with pytest.raises(
        PedigreeError, match=r"^the pedigree lacks 'n1', 'n2', genotyped -> give one with all genotyped animals, old"
    ):
        predict_from_evaluation(evaluation, young, pedigree)


def test_metafounders_by_the_whole_chain() -> None:
    """Frequencies of ½ and no tuning do not change with the young, so that h_inverse itself gives the full run."""
    old = {
        "animal": list("abcdef"),
        "sire": ["g1", "g1", "g2", "a", "c", "a"],
        "dam": ["g2", "g1", "g2", "b", "b", "d"],
    }
    more = {"animal": ["y", "z"], "sire": ["e", "c"], "dam": ["f", "g2"]}
    before, after = (
        bb.metafounder_inverse(bb.read_pedigree(frame, groups=["g1", "g2"]), [[0.4, 0.1], [0.1, 0.6]])
        for frame in (pl.DataFrame(old), pl.concat([pl.DataFrame(old), pl.DataFrame(more)]))
    )
    genotypes = replace(some_genotypes(7, 40, seed=6), ids=pl.Series("id", ["a", "b", "c", "e", "f", "y", "z"]))
    options = bb.GenomicOptions(frequencies="half", blend=0.2, tuning="none")
    records = some_records(list("abcdef"))
    full = bb.evaluate(ALONE, records, ONE, {"animal": bb.h_inverse(after, genotypes, options, form="explicit")})
    first = bb.h_inverse(before, genotypes.of_animals(list("abcef")), options, form="explicit")
    found = predict_from_evaluation(
        bb.evaluate(ALONE, records, ONE, {"animal": first}), genotypes.of_animals(["y", "z"]), after
    )
    wanted = full.ebv.filter(pl.col("id").is_in(["y", "z"]))["ebv"]
    np.testing.assert_allclose(found["gebv"], wanted, rtol=1e-8)


def names(pedigree: bb.Pedigree, parent: str) -> list[str]:
    ids = pedigree.ids.to_list()
    return [ids[k] if k >= 0 else "" for k in getattr(pedigree, parent)]


def test_tau_is_refused_where_it_would_be_inexact() -> None:
    matrix = matrix_of(OLD, added=0.2)
    evaluation = bb.evaluate(ALONE, some_records(OLD.ids), ONE, {"animal": gblup(matrix, tau=1.2)})
    why = r"^predictions of new animals are those of a full run where these animals are related by G, and the relationships"
    with pytest.raises(ModelError, match=why):
        predict_from_evaluation(evaluation, YOUNG)


# --- markers that differ ----------------------------------------------------------------------------------------------


def swapped(genotypes: Genotypes, columns: list[int]) -> Genotypes:
    """The same calls, some counted by the other allele."""
    calls, markers = genotypes.calls(), genotypes.markers
    calls[:, columns] = np.where(calls[:, columns] < 0, -1, 2 - calls[:, columns])
    turn = pl.Series(np.isin(np.arange(calls.shape[1]), columns))
    other = markers.with_columns(
        allele1=pl.when(turn).then("allele2").otherwise("allele1"),
        allele2=pl.when(turn).then("allele1").otherwise("allele2"),
    )
    return Genotypes.from_calls(calls, genotypes.ids, other)


def test_order_and_counted_allele_do_not_matter(effects: MarkerEffects) -> None:
    wanted = predict_genomic(effects, YOUNG)
    turned = swapped(YOUNG, [0, 7, 8, 29])
    extra = np.hstack([turned.calls()[:, ::-1], np.ones((NEW, 1), dtype=np.int8)])
    markers = pl.concat([turned.markers.reverse(), table_of_markers(1).with_columns(marker=pl.lit("more"))])
    found = predict_genomic(effects, Genotypes.from_calls(extra, YOUNG.ids, markers))
    np.testing.assert_allclose(found["gebv"], wanted["gebv"], rtol=1e-12)
    assert found["calls_missing"].to_list() == wanted["calls_missing"].to_list()
    with pytest.raises(GenotypeError, match="alleles exchanged or read from the other strand at 4 markers"):
        predict_genomic(effects, turned, flips="refuse")


def test_reliabilities_of_turned_markers() -> None:
    found = marker_inference(ALONE, some_records(OLD.ids), ONE, {"animal": gblup(matrix_of(OLD, added=0.2))}).effects
    np.testing.assert_allclose(
        predict_genomic(found, swapped(YOUNG, [1, 2, 20]))["reliability"], predict_genomic(found, YOUNG)["reliability"]
    )
    some, z = (
        YOUNG.at_markers(np.arange(20)),
        np.where(YOUNG.calls() < 0, 0.0, YOUNG.calls() - found.centre) * found.scale,
    )
    assert found.factor is not None
    predicted = ((z / found.scale)[:, :20] @ found.factor.vectors[0][:20]) ** 2
    p, rest = found.frequency, slice(20, None)
    expected = (found.scale**2 * (2 * p * (1 - p) + (2 * p - found.centre) ** 2))[rest].sum()
    wanted = predicted.sum(axis=1) / (2.0 * ((z[:, :20] ** 2).sum(axis=1) + expected + 0.2))
    np.testing.assert_allclose(predict_genomic(found, some, missing_markers="mean")["reliability"], wanted, rtol=EXACT)


def test_markers_that_are_lacking(effects: MarkerEffects) -> None:
    some = YOUNG.at_markers(np.arange(3, M))
    with pytest.raises(
        GenotypeError, match=r"^genotypes: 3 markers of the 30 that have effects are lacking: 's0', 's1', 's2' -> "
    ):
        predict_genomic(effects, some)
    found = predict_genomic(effects, some, missing_markers="mean")
    z = np.where(YOUNG.calls() < 0, 0.0, YOUNG.calls() - effects.centre)[:, 3:]
    np.testing.assert_allclose(found["gebv"], z @ effects.estimates[3:, 0], rtol=EXACT)
    assert found["markers_used"].to_list() == [M - 3] * NEW
    strange = YOUNG.at_markers(np.arange(2))
    strange = replace(strange, markers=strange.markers.with_columns(pl.col("marker") + "x"))
    with pytest.raises(GenotypeError, match="none of the 30 markers of the list"):
        predict_genomic(effects, strange, missing_markers="mean")


def test_palindromes_are_refused_unless_told(effects: MarkerEffects) -> None:
    letters = {"allele1": pl.lit("A"), "allele2": pl.lit("T")}
    old = replace(effects, markers=effects.markers.with_columns(**letters))
    turned = swapped(replace(YOUNG, markers=YOUNG.markers.with_columns(**letters)), [4])
    with pytest.raises(GenotypeError, match="1 marker with alleles A/T or C/G may count the other allele"):
        predict_genomic(old, turned)
    found = predict_genomic(old, turned, palindromes="as_written")
    np.testing.assert_allclose(found["gebv"], predict_genomic(effects, YOUNG)["gebv"])


def test_what_cannot_be_predicted(effects: MarkerEffects) -> None:
    with pytest.raises(GenotypeError, match=r"^genotypes: there are no animals to predict -> give their genotypes$"):
        predict_genomic(effects, YOUNG.of_animals([]))
    for name, wrong in (("flips", "'repair' or 'refuse'"), ("palindromes", "'refuse' or 'as_written'"), ("missing_markers", "'error' or 'mean'")):  # fmt: skip
        with pytest.raises(ModelError, match=rf"^{name} is 'no'; it can be {wrong}$"):
            predict_genomic(effects, YOUNG, **{name: "no"})  # type: ignore[arg-type]


def test_paths_in_the_place_of_objects(effects: MarkerEffects) -> None:
    for function in (predict_genomic, window_variances):
        with pytest.raises(
            GenotypeError, match=rf"^{function.__name__} takes genotypes, found the path 'new\.bed' -> make"
        ):
            function(effects, "new.bed")
        with pytest.raises(
            ModelError,
            match=rf"^{function.__name__} takes effects of markers, found the path .* read_marker_effects\('e\.p",
        ):
            function("e.parquet", YOUNG)
    with pytest.raises(
        ModelError, match="takes effects of markers, found a dict -> make them first, with marker_effec"
    ):
        predict_genomic({}, YOUNG)  # type: ignore[arg-type]
    with pytest.raises(GenotypeError, match=r"^predict_from_evaluation takes genotypes, found the path 'new\.bed'"):
        predict_from_evaluation(None, "new.bed")  # type: ignore[arg-type]
    with pytest.raises(
        ModelError, match=r"^marker_effects takes an evaluation, found a str -> evaluate first; stored effe"
    ):
        predict_from_evaluation("results", YOUNG)  # type: ignore[arg-type]


def test_effects_of_markers_whose_alleles_nobody_knows(effects: MarkerEffects) -> None:
    bare = Genotypes.from_calls(YOUNG.calls(), YOUNG.ids, YOUNG.markers["marker"].to_list())
    with pytest.raises(GenotypeError, match=r"^genotypes: alleles of 30 markers are not known, so that exchanged ones"):
        predict_genomic(effects, bare)
    taken = predict_genomic(effects, bare, unknown_alleles="as_written")
    assert taken.equals(predict_genomic(effects, YOUNG))


def test_effects_without_variance_have_no_reliability() -> None:
    variances = bb.VarianceComponents({"animal": [[2.0, 0.0], [0.0, 0.0]]}, residual=[[3.0, 0.5], [0.5, 2.0]])
    found = marker_inference(TWO_TRAITS, some_records(OLD.ids), variances, {"animal": gblup(matrix_of(OLD, added=0.2))})
    table = predict_genomic(found.effects, YOUNG)
    assert by_trait(table)[:, 1].tolist() == [0.0] * NEW
    assert table.filter(trait="x")["reliability"].is_null().all()
    assert not table.filter(trait="y")["reliability"].is_null().any()
    assert np.isnan(found.se[:, 1]).all()
    assert found.table.filter(trait="x")["p_value"].is_null().all()
