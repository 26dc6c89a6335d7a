"""Genomic relationships against their definitions: methods, frequencies, blending, tuning, Γ, J, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import EXACT
from reference import (
    dropped_calls,
    genomic_by_definition,
    genomic_dominance_by_definition,
    random_pedigree,
    tabular_a,
)

import breedblup as bb
from breedblup.errors import GenotypeError, ModelError, NotPositiveDefinite, PedigreeError, ResourceError
from breedblup.genotypes import Genotypes, cross_products
from breedblup.relationship.allele_frequencies import base_frequencies
from breedblup.relationship.blocks import a22_inverse
from breedblup.relationship.dense import identical_pair
from breedblup.relationship.diagnostics import (
    AgreementLimits,
    check_against_pedigree,
)
from breedblup.relationship.gamma import gamma_from_genotypes
from breedblup.relationship.genomic import GenomicOptions, g_inverse, genomic_matrix
from breedblup.relationship.genomic_dominance import MARKERS, dominance_g_inverse
from breedblup.relationship.genotyped_mean import j_factor
from breedblup.solvers import dense
from breedblup.solvers.dense import invert_in_place

N, GENOTYPED, MARKER_COUNT = 60, 24, 200


class Population:
    """A pedigree of 60, the calls of 24 of them at 200 markers, some missing, some monomorphic, one without a call."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self.sire, self.dam = random_pedigree(rng, N, 25)
        self.ids = [f"a{i}" for i in range(N)]
        parents = {
            role: [self.ids[p] if p >= 0 else None for p in of] for role, of in (("sire", self.sire), ("dam", self.dam))
        }
        self.pedigree = bb.read_pedigree(pl.DataFrame({"animal": self.ids} | parents))
        p = rng.uniform(0.1, 0.9, MARKER_COUNT)
        p[:3] = [0.0, 1.0, 0.0]
        everyone = dropped_calls(rng, self.sire.tolist(), self.dam.tolist(), p)
        self.rows = np.sort(rng.choice(N, GENOTYPED, replace=False))
        self.full = everyone[self.rows]
        self.calls = np.where(rng.random(self.full.shape) < 0.05, np.nan, self.full)
        self.calls[:, 3] = np.nan
        self.names = [self.ids[i] for i in self.rows]
        self.genotypes = Genotypes.from_calls(self.calls, self.names)
        self.a = tabular_a(self.sire.tolist(), self.dam.tolist())
        self.a22 = self.a[np.ix_(self.rows, self.rows)]
        self.inverse = a22_inverse(self.pedigree, self.names)
        called = np.where(np.isnan(self.calls), 0.0, self.calls).sum(axis=0)
        self.p = called / np.maximum(2.0 * (~np.isnan(self.calls)).sum(axis=0), 1.0)
        self.kept = self.p * (1.0 - self.p) > 0.0


@pytest.fixture(scope="module")
def some() -> Population:
    return Population()


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=EXACT, atol=EXACT)


# --- methods and frequencies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", ["vanraden1", "vanraden2", "yang"])
def test_methods(some: Population, method: Any, weighted: bool) -> None:
    weights = np.random.default_rng(1).random(MARKER_COUNT) if weighted else None
    matrix = genomic_matrix(some.genotypes, GenomicOptions(method=method, weights=weights))
    of_kept = None if weights is None else weights[some.kept]
    wanted = genomic_by_definition(some.calls[:, some.kept], some.p[some.kept], method, of_kept)
    close(matrix.dense(), wanted)
    close(matrix.diagonal(), wanted.diagonal())
    vectors = np.random.default_rng(2).standard_normal((GENOTYPED, 3))
    close(matrix.multiply(vectors), wanted @ vectors)
    rows, columns = np.array([3, 0, 9], dtype=np.int32), np.array([9, 4], dtype=np.int32)
    close(matrix.block(rows, columns), wanted[np.ix_(rows, columns)])
    out = MARKER_COUNT - int(some.kept.sum())
    assert f"{out} markers left out: {out - 1} without variation at these frequencies, 1 without a call" in matrix.made
    missing = int(np.isnan(some.calls[:, some.kept]).sum())
    assert any(said.startswith(f"{missing} calls missing (") for said in matrix.made)
    if weights is not None:
        said = f"weighted by marker, weights divided by their mean of {weights[some.kept].mean():.10g}"
        assert said in matrix.made


@pytest.mark.parametrize("tiny", [1e-300, 1e-7, 1.0 - 1e-7])
def test_given_frequencies_nearly_fixed(some: Population, tiny: float) -> None:
    p = np.where(some.kept, some.p, 0.5)
    p[10] = tiny
    message = r"given for 'M11' are nearly 0 or 1 \(p\(1-p\) below 1e-06\), but the rare allele is there -> correct"
    with pytest.raises(GenotypeError, match=message):
        genomic_matrix(some.genotypes, GenomicOptions(method="vanraden2", frequencies=p))


def test_given_frequencies_of_a_marker_with_one_allele(some: Population) -> None:
    """No copy of the counted allele is there at the first marker: it may be rare, but not the only one."""
    p = np.where(some.kept, some.p, 0.5)
    p[0] = 1e-300
    matrix = genomic_matrix(some.genotypes, GenomicOptions(method="vanraden2", frequencies=p))
    assert np.abs(matrix.dense()).max() < 10.0
    p[0] = 1.0 - 1e-7
    with pytest.raises(GenotypeError, match="allele frequencies given for 'M1' are nearly 0 or 1"):
        genomic_matrix(some.genotypes, GenomicOptions(frequencies=p))


def test_given_frequencies_that_leave_markers_out(some: Population) -> None:
    p = np.where(some.kept, some.p, 0.0)
    assert "allele frequencies given" in genomic_matrix(some.genotypes, GenomicOptions(frequencies=p)).made
    p[[10, 20]] = 0.0, 1.0
    matrix = genomic_matrix(some.genotypes, GenomicOptions(frequencies=p))
    said = "allele frequencies given; 2 markers with both alleles left out because 0 or 1 is given: 'M11', 'M21' (are"
    assert any(statement.startswith(said) for statement in matrix.made)
    assert matrix.z.scale.size == some.kept.sum() - 2


def test_missing_calls_make_no_animal_less_inbred(some: Population) -> None:
    """The diagonal of Yang is 1 plus inbreeding by uniting gametes, calls missing or not; without any call there is none."""
    calls = some.calls.copy()
    calls[6, ::2], calls[8] = np.nan, np.nan
    genotypes = Genotypes.from_calls(calls, some.names)
    matrix = genomic_matrix(genotypes, GenomicOptions(method="yang"))
    inbreeding = bb.genomic_inbreeding(genotypes)["f_uniting"].to_numpy()
    called = np.arange(GENOTYPED) != 8
    close(matrix.diagonal()[called], 1.0 + inbreeding[called])
    assert matrix.diagonal()[8] == pytest.approx(0.0, abs=1e-12)
    assert "diagonal of each animal by the markers with a call of it" in matrix.made
    complete = genomic_matrix(Genotypes.from_calls(some.full, some.names), GenomicOptions(method="yang"))
    assert not any("diagonal of each animal" in said for said in complete.made)


def test_half_keeps_monomorphic_markers(some: Population) -> None:
    matrix = genomic_matrix(some.genotypes, GenomicOptions(frequencies="half"))
    called = np.arange(MARKER_COUNT) != 3
    wanted = genomic_by_definition(some.calls[:, called], np.full(MARKER_COUNT - 1, 0.5), "vanraden1")
    close(matrix.dense(), wanted)
    assert "1 marker left out: 0 without variation at these frequencies, 1 without a call" in matrix.made


def test_base_frequencies(some: Population) -> None:
    filled = np.where(np.isnan(some.calls), 2.0 * some.p, some.calls)
    one = np.linalg.solve(some.a22, np.ones(GENOTYPED))
    wanted = one @ filled / (2.0 * one.sum())
    wanted[3] = np.nan
    found = base_frequencies(some.genotypes, some.inverse)
    np.testing.assert_allclose(found, wanted, rtol=EXACT, atol=1e-12)
    matrix = genomic_matrix(some.genotypes, GenomicOptions(frequencies="base", blend=0.0, tuning="none"), some.inverse)
    bounded = np.clip(wanted, 0.5 / GENOTYPED, 1.0 - 0.5 / GENOTYPED)[some.kept]
    close(matrix.dense(), genomic_by_definition(some.calls[:, some.kept], bounded, "vanraden1"))
    beyond = int(np.count_nonzero(bounded != wanted[some.kept]))
    assert beyond
    assert any(f"{beyond} estimate" in said and "set to one copy" in said for said in matrix.made)


def test_a_base_of_unrelated_animals_has_the_observed_frequencies() -> None:
    calls = np.random.default_rng(3).integers(0, 3, (8, 30))
    ids = [f"f{i}" for i in range(8)]
    founders = bb.read_pedigree(pl.DataFrame({"animal": ids, "sire": [""] * 8, "dam": [""] * 8}))
    genotypes = Genotypes.from_calls(calls, ids)
    close(base_frequencies(genotypes, a22_inverse(founders, ids)), genotypes.frequencies)


# --- blending and tuning ----------------------------------------------------------------------------------------------


def tuned_by_definition(g: np.ndarray, a: np.ndarray, recipe: str) -> np.ndarray:
    """a 11' + b G from means of matrices that are formed."""

    def means(matrix: np.ndarray) -> tuple[float, float, float]:
        off = matrix[~np.eye(len(matrix), dtype=bool)].mean()
        return matrix.diagonal().mean(), off, matrix.mean()

    (gd, go, gm), (ad, ao, am) = means(g), means(a)
    if recipe == "unit":
        ad, ao = 1.0, 0.0
    if recipe in ("unit", "chen"):
        b = (ad - ao) / (gd - go)
        return ad - b * gd + b * g
    constant = am - gm
    return constant + (1.0 - constant / 2.0 if recipe == "vitezica" else 1.0) * g


@pytest.mark.parametrize("order", ["blend_tune", "tune_blend"])
@pytest.mark.parametrize("blend_with", ["a22", "identity"])
@pytest.mark.parametrize("recipe", ["none", "unit", "chen", "mean", "vitezica"])
def test_blending_and_tuning(some: Population, recipe: Any, blend_with: Any, order: Any) -> None:
    options = GenomicOptions(
        method="yang", blend=0.1, blend_with=blend_with, tuning=recipe, order=order, ridge=0.02, frequencies="half"
    )
    matrix = genomic_matrix(some.genotypes, options, some.inverse)
    g = genomic_matrix(some.genotypes, GenomicOptions(method="yang", frequencies="half")).dense()
    b = some.a22 if blend_with == "a22" else np.eye(GENOTYPED)

    def tune(matrix: np.ndarray) -> np.ndarray:
        return matrix if recipe == "none" else tuned_by_definition(matrix, some.a22, recipe)

    wanted = tune(0.9 * g + 0.1 * b) if order == "blend_tune" else 0.9 * tune(g) + 0.1 * b
    wanted = wanted + 0.02 * np.eye(GENOTYPED)
    close(matrix.dense(), wanted)
    close(matrix.diagonal(), wanted.diagonal())
    close(matrix.multiply(np.eye(GENOTYPED)), wanted)
    rows = np.arange(3, 7, dtype=np.int32)
    close(matrix.block(rows, rows[1:]), wanted[np.ix_(rows, rows[1:])])
    named = "A22" if blend_with == "a22" else "I"
    assert f"blended: 0.9 G + 0.1 {named}" in matrix.made
    assert "0.02 added to the diagonal" in matrix.made
    if recipe != "none":
        tuning = next(k for k, said in enumerate(matrix.made) if said.startswith(f"tuned ({recipe!r}): a = "))
        assert (tuning > matrix.made.index(f"blended: 0.9 G + 0.1 {named}")) == (order == "blend_tune")


def test_tuning_of_chen_is_that_of_christensen(some: Population) -> None:
    """Matching diagonal and off-diagonal means is matching means of the diagonal and of all entries."""
    tuned = genomic_matrix(some.genotypes, GenomicOptions(blend=0.0), some.inverse).dense()
    assert tuned.mean() == pytest.approx(some.a22.mean(), rel=EXACT)
    assert tuned.diagonal().mean() == pytest.approx(some.a22.diagonal().mean(), rel=EXACT)


def test_what_is_left_open_depends_on_the_evaluation(some: Population) -> None:
    single_step = genomic_matrix(some.genotypes, GenomicOptions(), some.inverse)
    assert single_step.share == pytest.approx(0.05 * next(_factors(single_step.made)))
    plain = genomic_matrix(some.genotypes)
    assert plain.share == 0.0
    assert plain.constant == 0.0
    assert plain.blended is None


def _factors(made: tuple[str, ...]) -> Any:
    return (float(said.rpartition("b = ")[2]) for said in made if said.startswith("tuned ('chen')"))


# --- inverses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"ridge": 0.01}, {"blend": 0.05}, {"blend": 0.05, "tuning": "chen"}])
def test_inverse(some: Population, options: dict[str, Any]) -> None:
    inverse = g_inverse(some.genotypes, GenomicOptions(**options), pedigree=some.pedigree)
    assert inverse.genomic is not None
    g = inverse.genomic.matrix.dense()
    unit = np.eye(GENOTYPED)
    np.testing.assert_allclose(inverse.multiply_inverse(g), unit, atol=1e-9)
    np.testing.assert_allclose(inverse.matrix.toarray() @ g, unit, atol=1e-9)
    close(inverse.multiply(unit), g)
    close(inverse.diagonal, g.diagonal())
    assert inverse.logdet == pytest.approx(np.linalg.slogdet(g)[1], rel=EXACT)
    assert (inverse.matrix != inverse.matrix.T).nnz == 0
    assert inverse.ids.to_list() == some.names
    assert inverse.genomic.form == "explicit"


def test_a22_of_any_source(some: Population) -> None:
    """The pedigree, its A⁻¹, and a matrix of the user's give the same G."""
    options = GenomicOptions(blend=0.05, tuning="chen", frequencies="base")
    sources = (some.pedigree, bb.a_inverse(some.pedigree), bb.inverse_from(some.a, some.ids, kind="relationship"))
    found = [g_inverse(some.genotypes, options, pedigree=source).multiply(np.eye(GENOTYPED)) for source in sources]
    close(found[1], found[0])
    np.testing.assert_allclose(found[2], found[0], atol=1e-9)


def test_blending_with_metafounders() -> None:
    of = Metafounders()
    gamma = np.array([[0.8, 0.4, 0.3], [0.4, 0.7, 0.2], [0.3, 0.2, 0.9]])
    source = bb.metafounder_inverse(of.pedigree, gamma, names=of.names)
    options = GenomicOptions(frequencies="half", blend=0.2)
    found = g_inverse(of.genotypes, options, pedigree=source)
    rows = source.positions_of(of.genotypes.ids)
    a = np.linalg.inv(source.matrix.toarray())[np.ix_(rows, rows)]
    g = genomic_by_definition(of.calls[of.rows], np.full(of.calls.shape[1], 0.5), "vanraden1")
    np.testing.assert_allclose(found.multiply(np.eye(len(rows))), 0.8 * g + 0.2 * a, atol=1e-9)


def test_inverse_in_place_beyond_a_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "TILE", 16)
    n = 40
    x = np.random.default_rng(5).standard_normal((n, 2 * n))
    matrix = x @ x.T
    matrix = 0.5 * (matrix + matrix.T)
    inverse = matrix.copy()
    assert invert_in_place(inverse) == pytest.approx(np.linalg.slogdet(matrix)[1], rel=EXACT)
    assert (inverse == inverse.T).all()
    np.testing.assert_allclose(inverse @ matrix, np.eye(n), atol=1e-9)


def test_dominance(some: Population) -> None:
    wide = np.tile(some.calls, (1, MARKERS // MARKER_COUNT + 1))
    inverse = dominance_g_inverse(Genotypes.from_calls(wide, some.names), ridge=0.1)
    kept = np.tile(some.kept, MARKERS // MARKER_COUNT + 1)
    p = np.tile(some.p, MARKERS // MARKER_COUNT + 1)[kept]
    wanted = genomic_dominance_by_definition(wide[:, kept], p) + 0.1 * np.eye(GENOTYPED)
    close(inverse.multiply(np.eye(GENOTYPED)), wanted)
    np.testing.assert_allclose(inverse.matrix.toarray() @ wanted, np.eye(GENOTYPED), atol=1e-9)
    with pytest.raises(ModelError, match="dominance_g_inverse: ridge is -1"):
        dominance_g_inverse(some.genotypes, ridge=-1.0)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "vanraden"}, "method is 'vanraden'; it can be 'vanraden1', 'vanraden2', 'yang'; did you mean"),
        ({"frequencies": "current"}, "frequencies is 'current'; it can be 'observed', 'half', 'base'"),
        ({"blend_with": "A"}, "blend_with is 'A'; it can be"),
        ({"tuning": "2"}, "tuning is '2'; it can be 'none', 'unit', 'chen', 'mean', 'vitezica'"),
        ({"order": "blend"}, "order is 'blend'; it can be"),
        ({"blend": 1.0}, "blend is 1.0; it is a share, from 0 to below 1"),
        ({"ridge": -0.1}, "ridge is -0.1; what is added to the diagonal cannot be negative"),
    ],
)
def test_options_that_do_not_exist(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        GenomicOptions(**wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frequencies": [0.5]}, "1 allele frequencies are given for 200 markers -> give one for each"),
        ({"frequencies": [1.5] * 200}, "allele frequencies given for 'M1', .* and 190 more are not between 0 and 1"),
        ({"weights": [1.0]}, "1 weights are given for 200 markers -> give one for each"),
        ({"weights": [-1.0] * 200}, "weights of markers have to be numbers from 0, some of them above"),
        (
            {"frequencies": [1.0] * 200},
            r"none of 200 markers has variation at these allele frequencies \(1 without a call\)",
        ),
    ],
)
def test_numbers_that_do_not_fit(some: Population, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GenotypeError, match=message):
        genomic_matrix(some.genotypes, GenomicOptions(**options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"frequencies": "base"},
            "frequencies are 'base', which are estimated through the pedigree -> give the pedigree",
        ),
        ({"blend": 0.05}, "blend is 0.05 of A22, which is not there -> give the pedigree"),
        ({"tuning": "chen"}, "tuning 'chen' makes G comparable with A22 -> give the pedigree"),
    ],
)
def test_without_a_pedigree(some: Population, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        g_inverse(some.genotypes, GenomicOptions(**options))


def test_animals_that_do_not_fit(some: Population) -> None:
    backwards = a22_inverse(some.pedigree, some.names[::-1])
    with pytest.raises(ModelError, match="A22 is of 24 animals that are not the 24 genotyped ones in their order"):
        genomic_matrix(some.genotypes, GenomicOptions(), backwards)
    strangers = Genotypes.from_calls(some.calls, [*some.names[:-1], "stranger"])
    with pytest.raises(PedigreeError, match="no animal 'stranger'"):
        g_inverse(strangers, GenomicOptions(blend=0.05), pedigree=some.pedigree)


def test_memory(some: Population) -> None:
    with pytest.raises(ResourceError, match="G and G⁻¹ of 24 animals entry by entry takes .* -> use apy_inverse"):
        g_inverse(some.genotypes, GenomicOptions(ridge=0.01), memory=1000)
    with pytest.raises(ResourceError, match="dominance relationships of 24 animals and their inverse takes"):
        dominance_g_inverse(some.genotypes, memory=1000)


def test_singular(some: Population) -> None:
    def refused(calls: np.ndarray, message: str, **options: Any) -> None:
        genotypes = Genotypes.from_calls(calls, some.names)
        with pytest.raises(NotPositiveDefinite, match=message):
            g_inverse(genotypes, GenomicOptions(**options))

    few = "G of 24 animals is not positive definite, 20 markers are too few for so many animals -> add to its diagonal"
    refused(some.full[:, 10:30], few, frequencies="half")
    refused(some.full, "genotypes centred by their own mean frequencies add up to 0 over the animals")
    twice = some.full.copy()
    twice[17] = twice[5]
    pair = f"'{some.names[5]}' and '{some.names[17]}' have the same genotypes"
    refused(twice, pair)
    refused(twice, pair, frequencies="half")
    doubled = Genotypes.from_calls(twice, some.names)
    with pytest.raises(NotPositiveDefinite, match=f"dominance G of 24 animals is not positive definite, {pair}"):
        dominance_g_inverse(doubled)
    repaired = g_inverse(doubled, GenomicOptions(ridge=0.01))
    np.testing.assert_allclose(repaired.multiply(repaired.matrix.toarray()), np.eye(GENOTYPED), atol=1e-9)
    assert identical_pair(some.genotypes) is None


@pytest.mark.parametrize("options", [{}, {"method": "vanraden2"}])
def test_singular_in_single_precision(
    some: Population, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounding makes a singular ZZ' regular: what is known to make it singular is looked for, not found by Cholesky."""
    monkeypatch.setattr(cross_products, "SMALL", 0.0)
    observed = GenomicOptions(**options)
    with pytest.raises(NotPositiveDefinite, match="genotypes centred by their own mean frequencies add up to 0"):
        g_inverse(some.genotypes, observed)
    twice = some.calls.copy()
    twice[17] = twice[5]
    half = GenomicOptions(frequencies="half", **options)
    with pytest.raises(NotPositiveDefinite, match="have the same genotypes"):
        g_inverse(Genotypes.from_calls(twice, some.names), half)
    rounded = g_inverse(some.genotypes, half)
    assert "in float32 by blocks of markers" in rounded.made[-1]
    monkeypatch.undo()
    exact = g_inverse(some.genotypes, half)
    assert exact.made[-1] != rounded.made[-1]
    np.testing.assert_allclose(rounded.multiply(np.eye(GENOTYPED)), exact.multiply(np.eye(GENOTYPED)), atol=1e-5)


def test_tuning_that_cannot_be(some: Population) -> None:
    one = Genotypes.from_calls([[0, 1, 2, 1]], ["a0"])
    with pytest.raises(ModelError, match="tuning 'unit' needs a mean diagonal of G above its mean off the diagonal"):
        genomic_matrix(one, GenomicOptions(tuning="unit", frequencies="half"))
    with pytest.raises(NotPositiveDefinite, match=r"G\* = a \+ bG is not positive definite -> check frequencies"):
        genomic_matrix(some.genotypes, GenomicOptions(tuning="vitezica", blend=0.0), _closely_related(some))


def _closely_related(some: Population) -> bb.RelationshipInverse:
    """A₂₂ whose entries are above 2, as of no population."""
    return bb.inverse_from(3.0 + np.eye(GENOTYPED), some.names, kind="relationship")


# --- G and the pedigree -----------------------------------------------------------------------------------------------


def test_agreement_with_the_pedigree(some: Population) -> None:
    matrix = genomic_matrix(some.genotypes, GenomicOptions(blend=0.0, tuning="none"), some.inverse)
    found = check_against_pedigree(matrix, some.inverse)
    g, below = matrix.dense(), np.tril_indices(GENOTYPED, -1)
    correlation = np.corrcoef(g[below], some.a22[below])[0, 1]
    assert found.off_diagonal == pytest.approx(correlation, rel=EXACT)
    assert found.diagonal == pytest.approx(np.corrcoef(g.diagonal(), some.a22.diagonal())[0, 1], rel=EXACT)
    assert [found.slope, found.intercept] == pytest.approx(np.polyfit(some.a22[below], g[below], 1).tolist(), rel=1e-8)
    assert correlation > 0.5
    assert (found.animals, found.sampled, found.warnings) == (GENOTYPED, False, ())
    sampled = check_against_pedigree(matrix, some.inverse, AgreementLimits(sample=15, seed=3))
    assert (sampled.animals, sampled.sampled) == (15, True)
    tuned = check_against_pedigree(genomic_matrix(some.genotypes, a22=some.inverse), some.inverse)
    assert tuned.off_diagonal == pytest.approx(correlation, rel=1e-8)
    warned = check_against_pedigree(matrix, some.inverse, AgreementLimits(warn=0.99))
    assert warned.warnings == (
        f"the correlation of G with A22 between different animals is {correlation:.3f}, below 0.99: check ids of samples, and the pedigree",
    )


def test_disagreement_with_the_pedigree(some: Population) -> None:
    shuffled = Genotypes.from_calls(np.random.default_rng(2).permutation(some.calls), some.names)
    matrix = genomic_matrix(shuffled)
    with pytest.raises(
        GenotypeError, match=r"correlation of G with A22 .* below 0.3 -> check that samples bear the ids"
    ):
        check_against_pedigree(matrix, some.inverse)
    founders = bb.inverse_from(np.eye(GENOTYPED), some.names, kind="relationship")
    found = check_against_pedigree(matrix, founders)
    assert np.isnan(found.off_diagonal)
    assert found.warnings == ("relationships between animals do not vary in G or in A22: they cannot be compared",)
    with pytest.raises(ModelError, match=r"AgreementLimits: stop 0.6, warn 0.5 and sample 1000 do not fit"):
        AgreementLimits(stop=0.6)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("genomic_matrix", lambda path, _: genomic_matrix(path)),
        ("g_inverse", lambda path, _: g_inverse(path)),
        ("apy_inverse", lambda path, _: bb.apy_inverse(path, core=["a1"])),
        ("core_at_random", lambda path, _: bb.core_at_random(path, 2, seed=1)),
        ("dominance_g_inverse", lambda path, _: dominance_g_inverse(path)),
        ("base_frequencies", lambda path, some: base_frequencies(path, some.inverse)),
        ("gamma_from_genotypes", lambda path, some: gamma_from_genotypes(path, some.pedigree)),
        ("h_inverse", lambda path, some: bb.h_inverse(some.pedigree, path)),
    ],
)
def test_paths_are_no_genotypes(some: Population, name: str, call: Any) -> None:
    with pytest.raises(
        GenotypeError, match=rf"^{name} takes genotypes, found the path 'g.bed' -> make them first, with"
    ):
        call("g.bed", some)


def test_a_mistyped_form(some: Population) -> None:
    with pytest.raises(ModelError, match=r"h_inverse: form is 'app'; it can be .*; did you mean 'apy'\?"):
        bb.h_inverse(some.pedigree, some.genotypes, form="app")  # type: ignore[arg-type]


def test_options_are_compared_by_value() -> None:
    p = np.array([0.1, 0.4])
    options = GenomicOptions(frequencies=p, weights=[1.0, 2.0], ridge=0.01)
    same = GenomicOptions(frequencies=p.copy(), weights=np.array([1, 2]), ridge=0.01)
    assert options == same
    assert hash(options) == hash(same)
    for other in (
        GenomicOptions(frequencies=p, weights=[1.0, 3.0], ridge=0.01),
        GenomicOptions(frequencies=p, ridge=0.01),
        GenomicOptions(frequencies="half", weights=[1.0, 2.0], ridge=0.01),
        GenomicOptions(frequencies=p[:1], weights=[1.0, 2.0], ridge=0.01),
        GenomicOptions(frequencies=p, weights=[1.0, 2.0]),
        "options",
    ):
        assert options != other
    assert GenomicOptions() == GenomicOptions(blend=None)


def test_what_a_notebook_shows_of_g(some: Population) -> None:
    first, *made = repr(genomic_matrix(some.genotypes)).splitlines()
    assert first == f"G of {GENOTYPED} animals, not formed"
    assert [line.strip() for line in made] == list(genomic_matrix(some.genotypes).made)


# --- Γ and J ----------------------------------------------------------------------------------------------------------


class Metafounders:
    """Descendants of three bases with frequencies of their own."""

    def __init__(self, groups: int = 3) -> None:
        rng = np.random.default_rng(12)
        n, m = 90, 400
        self.sire, self.dam = random_pedigree(rng, n, 60)
        self.dam[:] = np.where(self.sire < 0, -1, self.dam)
        self.sire[:] = np.where(self.dam < 0, -1, self.sire)  # both parents are known, or none is
        group = rng.integers(0, groups, n)
        self.p = rng.beta(1.0, 3.0, (groups, m))
        self.calls = dropped_calls(rng, self.sire.tolist(), self.dam.tolist(), self.p[group])
        self.ids = [f"a{i}" for i in range(n)]
        self.names = [f"g{k}" for k in range(groups)]
        columns = {
            role: [self.ids[p] if p >= 0 else self.names[k] for p, k in zip(of, group, strict=True)]
            for role, of in (("sire", self.sire), ("dam", self.dam))
        }
        self.pedigree = bb.read_pedigree(pl.DataFrame({"animal": self.ids} | columns), groups=self.names)
        self.genotyped = [f"a{i}" for i in range(n) if i % 3]
        self.rows = np.array([int(i[1:]) for i in self.genotyped])
        self.genotypes = Genotypes.from_calls(self.calls[self.rows], self.genotyped)


def test_gamma() -> None:
    of = Metafounders()
    found = gamma_from_genotypes(of.genotypes, of.pedigree)
    a22 = tabular_a(of.sire.tolist(), of.dam.tolist())[np.ix_(of.rows, of.rows)]
    q = bb.group_shares(of.pedigree, of.genotyped).drop("id").to_numpy()
    weighted = np.linalg.solve(a22, q)
    p = 0.5 * np.linalg.solve(q.T @ weighted, weighted.T @ of.calls[of.rows])
    p = np.clip(p, 0.0, 1.0)
    close(found.gamma, 8.0 * (p - 0.5) @ (p - 0.5).T / p.shape[1])
    assert found.names.to_list() == of.pedigree.groups.names.to_list()
    close(found.frequencies.drop("marker").to_numpy().T, p)
    truth = 8.0 * (of.p - 0.5) @ (of.p - 0.5).T / of.p.shape[1]
    np.testing.assert_allclose(found.gamma, truth, atol=0.2)
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(found.gamma[off], truth[off], atol=0.05)
    inverse = bb.metafounder_inverse(of.pedigree, found.gamma, names=found.names.to_list())
    assert len(inverse) == 93
    # which of the alleles is counted does not matter
    turned = gamma_from_genotypes(Genotypes.from_calls(2 - of.calls[of.rows], of.genotyped), of.pedigree)
    np.testing.assert_allclose(turned.gamma, found.gamma, atol=1e-12)


def test_gamma_that_cannot_be(some: Population) -> None:
    of = Metafounders()
    q = bb.group_shares(of.pedigree, of.genotyped)
    without_third = q.filter(pl.col("g2") == 0.0)["id"].to_list()
    with pytest.raises(ModelError, match="gamma_from_genotypes: 'g2' of .* have no genotyped descendants"):
        gamma_from_genotypes(of.genotypes.of_animals(without_third), of.pedigree)
    one = q.filter(pl.all_horizontal(pl.col("g0", "g1", "g2") > 0.0))["id"].to_list()[:1]
    with pytest.raises(NotPositiveDefinite, match=r"do not tell 'g\d' from the metafounders before it"):
        gamma_from_genotypes(of.genotypes.of_animals(one), of.pedigree)
    fixed = Genotypes.from_calls(np.zeros((len(of.genotyped), 5)), of.genotyped)
    with pytest.raises(
        ModelError, match="every marker is fixed in 'g0', 'g1', 'g2', which relationships to itself of 2"
    ):
        gamma_from_genotypes(fixed, of.pedigree)
    with pytest.raises(NotPositiveDefinite, match="gamma_from_genotypes: Γ is not positive definite, noticed at 'g"):
        gamma_from_genotypes(of.genotypes.at_markers(np.array([7, 9])), of.pedigree)
    with pytest.raises(ModelError, match="has no groups of unknown parents"):
        gamma_from_genotypes(some.genotypes, some.pedigree)


def test_j_factor(some: Population) -> None:
    table = j_factor(some.pedigree, some.names)
    assert table["id"].to_list() == some.ids
    j = table["J"].to_numpy()
    wanted = some.a[:, some.rows] @ np.linalg.solve(some.a22, -np.ones(GENOTYPED))
    close(j, wanted)
    others = np.setdiff1d(np.arange(N), some.rows)
    precision = np.linalg.inv(some.a)
    residual = precision[np.ix_(others, others)] @ j[others] + precision[np.ix_(others, some.rows)] @ j[some.rows]
    np.testing.assert_allclose(residual, 0.0, atol=1e-9)
    assert (j[some.rows] == -1.0).all()
    with pytest.raises(PedigreeError, match="j_factor: 'a1' named more than once"):
        j_factor(some.pedigree, ["a1", "a1"])
