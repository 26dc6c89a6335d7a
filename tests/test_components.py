"""Principal components and genomic inbreeding against their definitions, and how they are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from reference import dropped_calls, runs_by_walk

from breedblup.errors import GenotypeError, ModelError
from breedblup.genotypes import CentredGenotypes, Genotypes, components
from breedblup.genotypes.components import centred_by_frequencies, components_explaining, principal_components
from breedblup.genotypes.homozygosity import RunsOfHomozygosity, genomic_inbreeding
from breedblup.pedigree import Pedigree
from breedblup.report import genotype_plots
from breedblup.report.genotype_plots import plot_components, plot_inbreeding

N, M = 150, 400


@pytest.fixture(scope="module")
def genotypes() -> Genotypes:
    """Three breeds at 400 markers on four chromosomes, some calls missing."""
    rng = np.random.default_rng(8)
    base = rng.uniform(0.2, 0.8, M)
    p = np.clip(base + rng.normal(0.0, 0.15, (3, M)), 0.05, 0.95)
    calls = rng.binomial(2, p[np.arange(N) % 3]).astype(np.int8)
    calls[rng.random(calls.shape) < 0.02] = -1
    markers = pl.DataFrame(
        {
            "marker": [f"s{j}" for j in range(M)],
            "chromosome": np.repeat(["1", "2", "3", "0"], M // 4),
            "position": np.tile(np.cumsum(rng.integers(1, 60, M // 4)), 4),
        }
    )
    return Genotypes.from_calls(calls, [f"a{i}" for i in range(N)], markers)


@pytest.fixture(scope="module")
def z(genotypes: Genotypes) -> CentredGenotypes:
    return centred_by_frequencies(genotypes)


@pytest.fixture(scope="module")
def spectrum(z: CentredGenotypes) -> tuple[Any, Any]:
    values, vectors = np.linalg.eigh(z.dense(0, M) @ z.dense(0, M).T)
    return values[::-1], vectors[:, ::-1]


# --- components -------------------------------------------------------------------------------------------------------


def test_g_is_vanradens(z: CentredGenotypes, genotypes: Genotypes) -> None:
    calls, p = genotypes.calls().astype(float), genotypes.frequencies
    w = np.where(calls < 0, 0.0, calls - 2 * p)
    np.testing.assert_allclose(z.cross_product(), w @ w.T / (2 * p * (1 - p)).sum(), atol=1e-12)


def test_all_components(genotypes: Genotypes, spectrum: Any) -> None:
    found = principal_components(genotypes, 5)
    values, vectors = spectrum
    assert found.exact
    np.testing.assert_allclose(found.eigenvalues, values[:5], rtol=1e-10)
    assert found.total == pytest.approx(values.sum())
    np.testing.assert_allclose(found.shares, values[:5] / values.sum(), rtol=1e-10)
    scores = found.scores.drop("id").to_numpy()
    assert found.scores.columns == ["id", "PC1", "PC2", "PC3", "PC4", "PC5"]
    np.testing.assert_allclose(np.abs(scores), np.abs(vectors[:, :5]) * np.sqrt(values[:5]), atol=1e-8)
    assert (scores[np.abs(scores).argmax(axis=0), np.arange(5)] > 0).all()


def test_components_from_random_vectors(z: CentredGenotypes, spectrum: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "EXACT", 10)
    monkeypatch.setattr(components, "BLOCKS", 3)  # the space is narrowed on the way
    found = principal_components(z, 4)
    values, vectors = spectrum
    assert not found.exact
    assert found.converged
    assert (found.eigenvalues <= values[:4] * (1.0 + 1e-12)).all()
    np.testing.assert_allclose(found.eigenvalues, values[:4], rtol=1e-5)
    scores = found.scores.drop("id").to_numpy()
    unit = scores / np.sqrt(found.eigenvalues)
    g = z.cross_product()
    residuals = np.linalg.norm(g @ unit - unit * found.eigenvalues, axis=0) / found.eigenvalues
    np.testing.assert_allclose(found.residuals, residuals, rtol=1e-6, atol=1e-14)
    np.testing.assert_allclose(np.abs(scores[:, :2]), np.abs(vectors[:, :2]) * np.sqrt(values[:2]), atol=1e-3)
    assert principal_components(z, 4).scores.equals(found.scores)
    once = principal_components(z, 4, rounds=1, seed=2)
    assert not once.converged
    assert once.residuals.max() > 0.01
    assert once.eigenvalues.sum() < found.eigenvalues.sum()


def test_components_of_a_flat_spectrum() -> None:
    """900 unrelated animals at 400 markers: no eigenvalue stands out, all are found to a thousandth."""
    rng = np.random.default_rng(1)
    calls = rng.binomial(2, rng.uniform(0.05, 0.95, 400), (900, 400))
    z = centred_by_frequencies(Genotypes.from_calls(calls, [str(i) for i in range(900)]))
    found = principal_components(z)
    assert (found.exact, found.converged) == (False, True)
    assert found.residuals.max() <= components.RESIDUAL
    values = np.linalg.svd(z.dense(0, 400), compute_uv=False)[:10] ** 2
    assert values[9] > 0.8 * values[0]
    np.testing.assert_allclose(found.eigenvalues, values, rtol=1e-4)


def test_fewer_dimensions_than_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three different animals, many times over: the other eigenvalues are 0."""
    monkeypatch.setattr(components, "EXACT", 10)
    calls = np.repeat(np.random.default_rng(2).integers(0, 3, (3, 60)), 20, axis=0)
    found = principal_components(Genotypes.from_calls(calls, [str(i) for i in range(60)]), 6)
    assert not found.exact
    assert found.converged
    assert found.shares[:2].sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found.shares[2:], 0.0, atol=1e-12)


def test_fewer_components_than_asked_for() -> None:
    calls = np.array([[0, 1], [1, 1], [2, 0], [1, 2]], dtype=np.int8)
    found = principal_components(Genotypes.from_calls(calls, list("abcd")), 10)
    assert found.scores.columns == ["id", "PC1", "PC2"]
    assert found.shares.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.9, 0.98])
def test_number_that_explains_a_share(z: CentredGenotypes, spectrum: Any, share: float) -> None:
    number = components_explaining(z, share)
    sums = np.cumsum(spectrum[0]) / spectrum[0].sum()
    assert sums[number - 1] >= share > sums[number - 2]


def test_number_that_explains_a_share_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    n, m = 250, 400
    sire, dam = np.full((2, n), -1)
    sire[50:], dam[50:] = rng.integers(0, 5, n - 50), rng.integers(5, 50, n - 50)
    calls = dropped_calls(rng, sire.tolist(), dam.tolist(), rng.uniform(0.1, 0.9, m)).astype(np.int8)
    z = centred_by_frequencies(Genotypes.from_calls(calls, [str(i) for i in range(n)]))
    shares = (0.05, 0.9)
    exact = [components_explaining(z, share) for share in shares]
    monkeypatch.setattr(components, "EXACT_SHARE", 10)
    monkeypatch.setattr(components, "STEPS", 30)
    monkeypatch.setattr(components, "PROBES", 8)
    estimated = [components_explaining(z, share) for share in shares]
    monkeypatch.setattr(components, "BASIS_BYTES", 8 * n * 31 * 3)  # three random vectors at a time
    assert components_explaining(z, shares[1]) == estimated[1]
    assert exact[0] == estimated[0] < components.LEADING  # among those found one by one
    np.testing.assert_allclose(estimated, exact, rtol=0.03)


def test_what_a_notebook_shows_is_short(genotypes: Genotypes) -> None:
    found = principal_components(genotypes, 7)
    first, second = repr(found).splitlines()
    assert first == "Principal components of 150 animals: 7, all eigenvalues computed"
    assert second.split(", ")[1] == f"PC2 {100 * found.shares[1]:.3g} %"
    assert second.endswith(f"… {100 * found.shares.sum():.3g} % together")


def test_other_things_than_genotypes(genotypes: Genotypes) -> None:
    with pytest.raises(GenotypeError, match=r"principal_components takes genotypes, found the path 'g.bed' -> make"):
        principal_components("g.bed")  # type: ignore[arg-type]
    with pytest.raises(GenotypeError, match=r"genomic_inbreeding takes genotypes, found a DataFrame -> make them"):
        genomic_inbreeding(pl.DataFrame())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="genomic_inbreeding: pedigree is a str -> read it with read_pedigree"):
        genomic_inbreeding(genotypes, pedigree="p.csv")  # type: ignore[arg-type]


def test_components_that_cannot_be(z: CentredGenotypes, genotypes: Genotypes) -> None:
    with pytest.raises(ModelError, match="principal components: k is 0, rounds 100 -> at least 1 component"):
        principal_components(genotypes, 0)
    with pytest.raises(ModelError, match="share of the variance explained is 98 -> a number between 0 and 1"):
        components_explaining(z, 98)
    alike = Genotypes.from_calls(np.ones((3, 2), dtype=np.int8), list("abc"))
    with pytest.raises(GenotypeError, match="genotypes: all genotypes are alike, Z is zero -> there are no components"):
        principal_components(alike)
    missing = Genotypes.from_calls(np.full((3, 2), -1, dtype=np.int8), list("abc"))
    with pytest.raises(GenotypeError, match="genotypes: no marker varies among 3 animals -> give other animals"):
        principal_components(missing)
    with pytest.raises(GenotypeError, match="Z is zero"):
        components_explaining(CentredGenotypes(alike, np.ones(2), np.ones(2)), 0.9)


# --- inbreeding -------------------------------------------------------------------------------------------------------


def test_inbreeding_by_definition(genotypes: Genotypes) -> None:
    table = genomic_inbreeding(genotypes)
    calls, p = genotypes.calls(), genotypes.frequencies
    expected = 2 * p * (1 - p)
    for i in (0, 1, 77):
        known = calls[i] >= 0
        x, q = calls[i][known].astype(float), p[known]
        observed, by_chance = (x != 1).sum(), (1 - expected[known]).sum()
        row = table.row(i, named=True)
        assert row["homozygosity"] == pytest.approx(observed / known.sum())
        assert row["f_homozygosity"] == pytest.approx((observed - by_chance) / (known.sum() - by_chance))
        assert row["f_uniting"] == pytest.approx(((x**2 - (1 + 2 * q) * x + 2 * q**2) / expected[known]).mean())
        assert row["f_g"] == pytest.approx(((x - 2 * q) ** 2).sum() / expected.sum() - 1)
    assert table["f_pedigree"].is_null().all()


def test_inbreeding_with_given_frequencies(genotypes: Genotypes) -> None:
    half = genomic_inbreeding(genotypes, frequencies=np.full(M, 0.5))
    calls = genotypes.calls()
    share = np.array([(row != 1)[row >= 0].mean() for row in calls])
    np.testing.assert_allclose(half["f_homozygosity"], 2 * share - 1)
    for wrong in (np.full(M, 1.5), np.full(M - 1, 0.5)):
        with pytest.raises(
            GenotypeError, match=r"frequencies for inbreeding are \d+ numbers -> one from 0 to 1 for each of 400"
        ):
            genomic_inbreeding(genotypes, frequencies=wrong)
    with pytest.raises(
        GenotypeError, match="genotypes: inbreeding needs markers that vary; by the frequencies none does"
    ):
        genomic_inbreeding(genotypes, frequencies=np.ones(M))


def test_an_animal_without_calls() -> None:
    calls = np.array([[0, 1, 2], [1, 1, 0], [-1, -1, -1]], dtype=np.int8)
    row = genomic_inbreeding(Genotypes.from_calls(calls, list("abc"))).row(2, named=True)
    assert row == dict.fromkeys(row) | {"animal": "c"}  # no map either


@pytest.mark.parametrize(
    "runs",
    [
        RunsOfHomozygosity(0, 1, 0, 0, 1000),
        RunsOfHomozygosity(100, 5, 0, 1, 40),
        RunsOfHomozygosity(150, 6, 1, 0, 1000),
        RunsOfHomozygosity(200, 8, 2, 1, 55),
    ],
)
def test_runs_of_homozygosity(genotypes: Genotypes, runs: RunsOfHomozygosity) -> None:
    shuffled = np.random.default_rng(1).permutation(M)  # the order of the markers does not matter
    table = genomic_inbreeding(genotypes.at_markers(shuffled), runs=runs)
    on_map = genotypes.markers.filter(pl.col("chromosome") != "0")
    chromosome, position = on_map["chromosome"].to_list(), on_map["position"].to_list()
    length = sum(part["position"].max() - part["position"].min() for _, part in on_map.group_by("chromosome"))
    limits = (runs.shortest, runs.fewest_markers, runs.most_heterozygous, runs.most_missing, runs.widest_gap)
    found = [
        runs_by_walk(calls, chromosome, position, limits) for calls in genotypes.calls()[:, : on_map.height].tolist()
    ]
    assert sum(map(len, found)) > 100
    assert table["runs"].to_list() == [len(of) for of in found]
    np.testing.assert_allclose(table["f_runs"], [sum(b - a for a, b in of) / length for of in found])


def test_runs_that_make_no_sense() -> None:
    with pytest.raises(ModelError, match="runs of homozygosity: widest_gap is -1 -> 0 or more"):
        RunsOfHomozygosity(widest_gap=-1)


def inbred_family() -> tuple[Genotypes, Pedigree]:
    """Full-sib mating for some generations, with other animals beside."""
    rng = np.random.default_rng(2)
    n = 90
    sire, dam = np.full((2, n), -1)
    for i in range(10, n):
        first = 10 * (i // 10 - 1)
        sire[i], dam[i] = first + (i % 2) * 2, first + 1 + (i % 3) * 2
    calls = dropped_calls(rng, sire.tolist(), dam.tolist(), rng.uniform(0.2, 0.8, 600)).astype(np.int8)
    ids = [f"a{i}" for i in range(n)]

    def names(parents: Any) -> list[str | None]:
        return [None if parent < 0 else f"a{parent}" for parent in parents]

    pedigree = Pedigree.from_frame(pl.DataFrame({"id": ids[:-1], "sire": names(sire[:-1]), "dam": names(dam[:-1])}))
    return Genotypes.from_calls(calls, ids), pedigree


def test_inbreeding_of_the_pedigree_beside() -> None:
    genotypes, pedigree = inbred_family()
    table = genomic_inbreeding(
        genotypes, pedigree=pedigree, frequencies=genotypes.of_animals(genotypes.ids[:10]).frequencies
    )
    assert table["f_pedigree"][-1] is None  # it is not in the pedigree
    known = table.drop_nulls("f_pedigree")
    expected = dict(zip(pedigree.ids, pedigree.inbreeding, strict=True))
    assert known["f_pedigree"].to_list() == [expected[name] for name in known["animal"]]
    assert np.corrcoef(known["f_pedigree"], known["f_homozygosity"])[0, 1] > 0.6


# --- plots ------------------------------------------------------------------------------------------------------------


def test_plot_of_components(genotypes: Genotypes, monkeypatch: pytest.MonkeyPatch) -> None:
    found = principal_components(genotypes, 4)
    left, right = plot_components(found, ["abc"[i % 3] for i in range(N)], axes=(1, 3)).axes
    assert [part.get_label() for part in left.collections] == list("abc")
    np.testing.assert_allclose(left.collections[1].get_offsets(), found.scores.select("PC1", "PC3").to_numpy()[1::3])
    np.testing.assert_allclose([bar.get_height() for bar in right.patches], 100 * found.shares)
    monkeypatch.setattr(genotype_plots, "MOST_DRAWN", 20)
    (points,) = plot_components(found).axes[0].collections
    assert len(points.get_offsets()) == 20
    many = plot_components(found, [None if i < 5 else str(i % 12) for i in range(N)]).axes[0]
    assert many.collections[0].get_label() == "others"


def test_components_that_are_not_to_be_drawn(genotypes: Genotypes) -> None:
    found = principal_components(genotypes, 2)
    with pytest.raises(ModelError, match="plot_components takes what principal_components gives, found a DataFrame"):
        plot_components(found.scores)  # type: ignore[arg-type]
    with pytest.raises(
        ModelError, match=r"plot_components: axes are \(1, 3\), the components are 1 to 2 -> name two of these"
    ):
        plot_components(found, axes=(1, 3))
    with pytest.raises(ModelError, match="plot_components: 1 groups for 150 animals -> give one for each"):
        plot_components(found, ["a"])


def test_plot_of_inbreeding() -> None:
    genotypes, pedigree = inbred_family()
    table = genomic_inbreeding(genotypes, pedigree=pedigree)
    axes = plot_inbreeding(table.to_pandas()).axes
    assert len(axes) == 4
    points = axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(points, table.drop_nulls("f_pedigree").select("f_pedigree", "f_homozygosity").to_numpy())
    x, y = points.T
    slope = np.polyfit(x, y, 1)[0]
    assert axes[0].lines[1].get_label().startswith(f"slope {slope:.2f}, correlation ")
    assert [text.get_text() for text in axes[3].texts] == ["not known"]  # no map, no runs
    with pytest.raises(ModelError, match="plot_inbreeding: without inbreeding of the pedigree -> draw what"):
        plot_inbreeding(genomic_inbreeding(genotypes))
    with pytest.raises(ModelError, match="plot_inbreeding: without f_uniting -> draw what"):
        plot_inbreeding(table.drop("f_uniting"))
