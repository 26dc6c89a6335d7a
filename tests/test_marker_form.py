"""Single-step SNP-BLUP: the same breeding values as with H⁻¹ entry by entry, its operator, preconditioner and bound."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
import pytest
from conftest import ITERATIVE
from numpy.typing import NDArray

import breedblup as bb
from breedblup.genotypes import Genotypes
from breedblup.mme.marker_preconditioner import MarginalPreconditioner, MarkerPreconditioner
from breedblup.relationship import RelationshipInverse, group_inverse, metafounder_inverse
from breedblup.relationship.genomic import GenomicOptions, genomic_matrix
from breedblup.relationship.marker_form import MarkerOperator, marker_inverse
from breedblup.relationship.single_step import as_stored, h_inverse

TIGHT = bb.EvaluateOptions(method="pcg", pev="none", pcg=bb.PcgOptions(tolerance=1e-11))
DIRECT = bb.EvaluateOptions(method="cholesky", pev="none")


@dataclass(frozen=True)
class Herd:
    """A pedigree, genotypes of some of its animals, and records."""

    frame: pl.DataFrame
    genotypes: Genotypes
    records: pl.DataFrame

    def pedigree(self, *groups: str) -> bb.Pedigree:
        return bb.read_pedigree(self.frame, groups=groups)


def herd(animals: int = 90, genotyped: int = 35, markers: int = 24, seed: int = 5) -> Herd:
    """Random mating with genes dropped; founders have unknown parents of two groups."""
    rng = np.random.default_rng(seed)
    names = [f"a{k:03d}" for k in range(animals)]
    parents = [(rng.integers(k), rng.integers(k)) if k >= 15 else (-1, -1) for k in range(animals)]
    calls = np.zeros((animals, markers), dtype=np.int8)
    p = rng.uniform(0.2, 0.8, markers)
    for k, pair in enumerate(parents):
        for parent in pair:
            heads = rng.random(markers)
            calls[k] += (heads < p) if parent < 0 else (heads < calls[parent] / 2)
    chosen = np.sort(rng.choice(animals, genotyped, replace=False))[::-1]  # youngest first: rows of H in another order
    unknown = [("M" if k % 2 else "F") for k in range(animals)]
    frame = pl.DataFrame(
        {
            "animal": names,
            "sire": [names[s] if s >= 0 else unknown[k] for k, (s, _) in enumerate(parents)],
            "dam": [names[d] if d >= 0 else unknown[k] for k, (_, d) in enumerate(parents)],
        }
    )
    value = calls @ rng.normal(size=markers)
    value = (value - value.mean()) / value.std()
    named = rng.choice(animals, 150)
    records = pl.DataFrame(
        {
            "animal": [names[k] for k in named],
            "dam": [names[max(parents[k][1], 0)] for k in named],
            "herd": [f"h{k}" for k in rng.integers(6, size=150)],
            "x": rng.uniform(-1, 1, 150),
            "y": value[named] + rng.normal(size=150),
            "z": np.where(rng.random(150) < 0.3, np.nan, 0.5 * value[named] + rng.normal(size=150)),
        }
    )
    genotypes = Genotypes.from_calls(calls[chosen], [names[k] for k in chosen])
    return Herd(frame, genotypes, records)


HERD = herd()
G2 = [[1.0, 0.4], [0.4, 0.6]]
R2 = [[1.2, 0.3], [0.3, 1.0]]

MODELS = {
    "one trait": ("y ~ herd + (1 | animal)", {"animal": 0.8}, 1.2),
    "two traits": ("(y, z) ~ herd + (1 | animal)", {"animal": G2}, R2),
    "maternal": ("y ~ herd + (1 | animal + dam) + (1 | ide(dam))", {"animal + dam": G2, "ide(dam)": 0.3}, 1.2),
    "regression": ("y ~ herd + (1 + x | animal)", {"animal": G2}, 1.2),
    "singular": ("(y, z) ~ herd + (1 | animal)", {"animal": [[1.0, 0.5], [0.5, 0.25]]}, R2),
}


def without_groups() -> bb.Pedigree:
    return bb.read_pedigree(HERD.frame, missing_parents=("M", "F"))


def solved(
    relationship: RelationshipInverse, model: str, options: bb.EvaluateOptions, records: pl.DataFrame = HERD.records
) -> bb.Evaluation:
    formula, random, residual = MODELS[model]
    variances = bb.VarianceComponents(random, residual=residual)
    return bb.evaluate(
        bb.Model.from_formula(formula), records, variances, relationships={"animal": relationship}, options=options
    )


def agree(markers: RelationshipInverse, explicit: RelationshipInverse, model: str) -> None:
    """Breeding values, other effects and duals of both forms."""
    found, wanted = solved(markers, model, TIGHT), solved(as_stored(explicit), model, DIRECT)
    for key, effects in wanted.effects.items():
        np.testing.assert_allclose(found.effects[key].solutions, effects.solutions, rtol=0, atol=10 * ITERATIVE)
        if key in wanted.duals:
            np.testing.assert_allclose(found.duals[key], wanted.duals[key], rtol=0, atol=1e-6)
    assert found.solution.rounds[-1].error_bound is not None
    assert found.counts["genotyped"] == len(HERD.genotypes)


@pytest.mark.parametrize("model", MODELS)
def test_the_same_as_with_the_inverse(model: str) -> None:
    pedigree = without_groups()
    agree(
        h_inverse(pedigree, HERD.genotypes, form="markers"), h_inverse(pedigree, HERD.genotypes, form="explicit"), model
    )


@pytest.mark.parametrize(
    "options",
    [
        GenomicOptions(blend=0.1, blend_with="identity", tuning="none"),
        GenomicOptions(blend=0.0, ridge=0.02, tuning="none"),
        GenomicOptions(method="vanraden2", tuning="none"),
        GenomicOptions(blend=0.1, blend_with="identity", ridge=0.02, tuning="none"),
    ],
    ids=["identity", "ridge", "vanraden2", "identity and ridge"],
)
def test_other_residual_parts(options: GenomicOptions) -> None:
    pedigree = without_groups()
    made = (h_inverse(pedigree, HERD.genotypes, options, form=form) for form in ("markers", "explicit"))
    agree(*made, "one trait")


def test_metafounders() -> None:
    pedigree = HERD.pedigree("M", "F")
    founders = metafounder_inverse(pedigree, [[0.6, 0.1], [0.1, 0.4]], names=["M", "F"])
    agree(*(h_inverse(founders, HERD.genotypes, form=form) for form in ("markers", "explicit")), "two traits")


def test_everybody_is_genotyped() -> None:
    everyone = herd(animals=40, genotyped=40)
    pedigree = bb.read_pedigree(everyone.frame, missing_parents=("M", "F"))
    options = GenomicOptions(tuning="none")
    found = solved(
        h_inverse(pedigree, everyone.genotypes, options, form="markers"), "one trait", TIGHT, everyone.records
    )
    dense = h_inverse(pedigree, everyone.genotypes, options, form="explicit")
    wanted = solved(as_stored(dense), "one trait", DIRECT, everyone.records)
    np.testing.assert_allclose(
        found.effects["animal"].solutions, wanted.effects["animal"].solutions, rtol=0, atol=10 * ITERATIVE
    )


def prepared(model: str) -> tuple[bb.System, bb.Prepared]:
    formula, random, residual = MODELS[model]
    variances = bb.VarianceComponents(random, residual=residual)
    relationships = {"animal": h_inverse(without_groups(), HERD.genotypes, form="markers")}
    ready = bb.prepare(
        bb.Model.from_formula(formula), HERD.records, variances, relationships=relationships, options=TIGHT
    )
    return bb.System.of(ready.pattern.equations(variances), None), ready


def columns(apply: object, size: int) -> NDArray[np.float64]:
    """A matrix from what it does to unit vectors."""
    out = np.empty((size, size))
    for k in range(size):
        apply(np.eye(size)[k], out[k])  # type: ignore[operator]
    return out.T


def test_operator_preconditioner_and_residual() -> None:
    system, ready = prepared("two traits")
    ordered = system.in_locality_order()
    size = ordered.rhs.size
    whole = columns(ordered.operator.multiply, size)
    np.testing.assert_allclose(whole, whole.T, rtol=0, atol=1e-9)
    fixed = system.factor_fixed()
    preconditioner = ordered.preconditioner(fixed)
    assert isinstance(preconditioner, MarkerPreconditioner)
    inverse = columns(preconditioner.apply, size)
    np.testing.assert_allclose(inverse, inverse.T, rtol=0, atol=1e-9)
    assert np.linalg.eigvalsh(inverse)[ready.layout.fixed_size :].min() > 0
    x, residual = np.random.default_rng(1).normal(size=size), np.empty(size)
    ordered.operator.residual(ordered.rhs, x, residual)
    np.testing.assert_allclose(residual, ordered.rhs - whole @ x, rtol=0, atol=1e-9)
    assert preconditioner.apply(x, residual) == pytest.approx(x @ inverse @ x, rel=1e-10)


def test_the_bound_holds() -> None:
    system, ready = prepared("maternal")
    ordered, fixed = system.in_locality_order(), system.factor_fixed()
    bound = ordered.bound(ready.variances, fixed)
    wanted = bb.solve_system(system, ready, None)
    assert wanted.state is not None
    matrix = columns(ordered.operator.multiply, ordered.rhs.size)
    exact = np.linalg.lstsq(matrix, ordered.rhs, rcond=1e-13)[0]
    rng = np.random.default_rng(2)
    for scale in (1e-1, 1e-4):
        x = exact + scale * rng.normal(size=exact.size)
        residual = np.empty_like(x)
        ordered.operator.residual(ordered.rhs, x, residual)
        error = np.sqrt((x - exact) @ matrix @ (x - exact))
        assert error <= bound(x, residual) * (1 + 1e-9)


def test_products_of_k() -> None:
    pedigree = without_groups()
    markers = h_inverse(pedigree, HERD.genotypes, form="markers")
    explicit = h_inverse(pedigree, HERD.genotypes, form="explicit")
    vectors = np.random.default_rng(3).normal(size=(len(markers), 3))
    np.testing.assert_allclose(markers.multiply(vectors), explicit.multiply(vectors), rtol=0, atol=1e-9)
    assert np.isnan(markers.diagonal).all()
    assert np.isnan(markers.logdet)
    assert isinstance(markers.operator, MarkerOperator)
    for refused in (lambda: markers.multiply_inverse(vectors), lambda: markers.matrix):
        with pytest.raises(bb.ModelError, match="the single-step form 'markers' is never formed"):
            refused()


def test_duals_reproduce_the_breeding_values() -> None:
    inverse = h_inverse(without_groups(), HERD.genotypes, form="markers")
    evaluation = solved(inverse, "two traits", TIGHT)
    assert inverse.genomic is not None
    rows = inverse.genomic.rows
    again = inverse.genomic.matrix.multiply(np.ascontiguousarray(evaluation.duals["animal"]))
    np.testing.assert_allclose(again, evaluation.effects["animal"].solutions[rows], rtol=0, atol=1e-7)


def test_refusals() -> None:
    pedigree = without_groups()
    markers = h_inverse(pedigree, HERD.genotypes, form="markers")
    for options in (DIRECT, bb.EvaluateOptions(pev="exact")):
        with pytest.raises(bb.ModelError, match="of which no factor is made, and method = 'cholesky' or pev = 'exact'"):
            solved(markers, "one trait", options)
    with pytest.raises(bb.ModelError, match="couples genotyped animals by products, which elimination does not know"):
        solved(markers, "one trait", bb.EvaluateOptions(reduce=True))
    variances = bb.VarianceComponents({"animal": 1.0, "dam": 0.5}, residual=1.0)
    model = bb.Model.from_formula("y ~ herd + (1 | animal) + (1 | dam)")
    with pytest.raises(bb.ModelError, match="2 random terms take the single-step form 'markers', and one can"):
        bb.evaluate(model, HERD.records, variances, relationships={"animal": markers, "dam": markers}, options=TIGHT)


def test_forms_of_g_that_are_refused() -> None:
    source = bb.a_inverse(without_groups())
    a22 = bb.a22_inverse(source, HERD.genotypes.ids)
    rows = source.positions_of(HERD.genotypes.ids)
    plain = genomic_matrix(HERD.genotypes, GenomicOptions(blend=0.0, tuning="none"), a22)
    with pytest.raises(bb.ModelError, match="'markers' need a G that is more than markers explain, for each animal"):
        marker_inverse(source, plain, rows)
    negative = replace(genomic_matrix(HERD.genotypes, GenomicOptions(blend=0.1, tuning="none"), a22), constant=-0.1)
    with pytest.raises(
        bb.ModelError, match="'markers' need a constant of G that is not negative, tuning gives a = -0.1"
    ):
        marker_inverse(source, negative, rows)
    grouped = group_inverse(HERD.pedigree("M", "F"))
    with pytest.raises(bb.ModelError, match="'markers' takes no groups of unknown parents but metafounders"):
        marker_inverse(grouped, plain, rows)


def test_a_note_says_why_there_is_no_factor() -> None:
    markers = h_inverse(without_groups(), HERD.genotypes, form="markers")
    evaluation = solved(markers, "one trait", bb.EvaluateOptions())
    assert evaluation.plan.method == "pcg"
    assert any(
        "the relationship of 'animal' is known by products, no factor is made" in note for note in evaluation.notes
    )
    assert evaluation.plan.bytes["genotypes"] > 0


def test_explicit_forms_are_stored_where_that_pays() -> None:
    explicit = h_inverse(without_groups(), HERD.genotypes, form="explicit")
    assert explicit.by_products
    evaluation = solved(explicit, "one trait", bb.EvaluateOptions())
    assert evaluation.plan.method == "cholesky"
    assert evaluation.effects["animal"].pev is not None
    by_products = solved(explicit, "one trait", TIGHT)
    np.testing.assert_allclose(
        by_products.effects["animal"].solutions, evaluation.effects["animal"].solutions, rtol=0, atol=10 * ITERATIVE
    )
    little = solved(explicit, "one trait", bb.EvaluateOptions(memory_bytes=140_000))
    assert little.plan.method == "pcg"
    assert any(
        "no factor and no PEV, 35 genotyped animals in the equations would take" in note for note in little.notes
    )


def test_components_have_the_preconditioner_of_markers() -> None:
    pedigree = without_groups()
    options = GenomicOptions(tuning="none")
    found = {form: h_inverse(pedigree, HERD.genotypes, options, form=form) for form in ("components", "explicit")}
    for model in ("one trait", "two traits"):
        agree(found["components"], found["explicit"], model)
    by_blocks = solved(found["explicit"], "one trait", TIGHT).solution
    by_markers = solved(found["components"], "one trait", TIGHT).solution
    assert len(by_markers.rounds) < 0.7 * len(by_blocks.rounds)
    formula, random, residual = MODELS["one trait"]
    variances = bb.VarianceComponents(random, residual=residual)
    model = bb.Model.from_formula(formula)
    ready = bb.prepare(model, HERD.records, variances, relationships={"animal": found["components"]}, options=TIGHT)
    system = bb.System.of(ready.pattern.equations(variances), None)
    preconditioner = system.in_locality_order().preconditioner(system.factor_fixed())
    assert isinstance(preconditioner, MarginalPreconditioner)
    inverse = columns(preconditioner.apply, ready.layout.size)
    np.testing.assert_allclose(inverse, inverse.T, rtol=0, atol=1e-9)


def test_fewer_rounds_than_the_pedigree() -> None:
    pedigree = without_groups()
    by_pedigree = solved(bb.a_inverse(pedigree), "one trait", replace(TIGHT, reduce=False)).solution
    by_markers = solved(h_inverse(pedigree, HERD.genotypes, form="markers"), "one trait", TIGHT).solution
    assert len(by_markers.rounds) <= len(by_pedigree.rounds)


@pytest.mark.parametrize("ratio", [None, 1.0], ids=["fixed", "random"])
@pytest.mark.parametrize("equations", ["altered", "full"])
def test_components_beside_groups(ratio: float | None, equations: Literal["altered", "full"]) -> None:
    source = group_inverse(HERD.pedigree("M", "F"), ratio=ratio)
    options = GenomicOptions(tuning="none")
    inverse = h_inverse(source, HERD.genotypes, options, form="components", group_equations=equations)
    found, wanted = solved(inverse, "one trait", TIGHT), solved(as_stored(inverse), "one trait", DIRECT)
    by_pcg, by_factor = (one.effects["animal"].solutions[: inverse.animals] for one in (found, wanted))
    if ratio is None:  # only differences are estimable
        by_pcg, by_factor = by_pcg - by_pcg[0], by_factor - by_factor[0]
    np.testing.assert_allclose(by_pcg, by_factor, rtol=0, atol=10 * ITERATIVE)
