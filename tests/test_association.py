"""Tests of association, windows and their plots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.stats
from conftest import EXACT
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
    small_effects,
    some_genotypes,
    some_records,
    table_of_markers,
)

import breedblup as bb
from breedblup.adjustment.markers import (
    MarkerInference,
    marker_effects,
    marker_inference,
    predict_genomic,
    window_variances,
)
from breedblup.errors import GenotypeError, ModelError, ResourceError
from breedblup.genotypes import Genotypes
from breedblup.mme import EquationPattern
from breedblup.relationship.single_step import h_inverse
from breedblup.report import marker_plots
from breedblup.report.marker_plots import plot_manhattan, plot_marker_effects, plot_marker_qq, plot_windows
from breedblup.solvers.cholesky import SymbolicFactor

Array = NDArray[np.float64]

GENOTYPES = some_genotypes(24, 36, missing=0.04)
MATRIX = matrix_of(GENOTYPES, constant=0.2, added=0.15)
RECORDS = some_records(GENOTYPES.ids)
GBLUP = {"animal": gblup(MATRIX)}


def wald(x: Array, design: Array, y: Array, v: Array) -> Array:
    """z of each column of x as a fixed effect beside the design, at known V: one generalised least squares each."""
    found = []
    for column in x.T:
        both = np.column_stack([design, column])
        weighted = np.linalg.solve(v, both)
        covariance = np.linalg.inv(both.T @ weighted)
        found.append((covariance @ weighted.T @ y)[-1] / np.sqrt(covariance[-1, -1]))
    return np.array(found)


# --- p-values ---------------------------------------------------------------------------------------------------------


def test_they_are_tests_of_fixed_effects() -> None:
    """In GBLUP z is that of the marker as a fixed effect, V being the same (Chen, Steibel & Tempelman 2017)."""
    found = marker_inference(ALONE, RECORDS, ONE, GBLUP)
    rows = np.array([int(name[1:]) for name in RECORDS["animal"]])
    z = MATRIX.z.dense(0, 36)[rows]
    v = 2.0 * MATRIX.dense()[np.ix_(rows, rows)] + 3.0 * np.eye(rows.size)
    wanted = wald(z, np.ones((rows.size, 1)), RECORDS["y"].to_numpy(), v)
    np.testing.assert_allclose(found.z[:, 0], wanted, rtol=1e-7)
    table = found.table
    np.testing.assert_allclose(table["p_value"], 2.0 * scipy.stats.norm.sf(np.abs(wanted)), rtol=1e-6)
    assert "errors from the exact PEV of 24 genotyped animals" in found.effects.made
    best = int(np.abs(wanted).argmax())
    assert repr(found).splitlines()[-1] == f"  smallest p   y: s{best}, -log10 p {found.minus_log10_p.max():.2f}"


def test_errors_of_two_traits_by_dense_algebra() -> None:
    """var(ĝ) = S Z'W Z S with the PEV of all equations inverted."""
    found = marker_inference(TWO_TRAITS, RECORDS, BOTH, GBLUP)
    prepared = bb.prepare(TWO_TRAITS, RECORDS, BOTH, GBLUP)
    inverse = np.linalg.inv(prepared.pattern.equations(BOTH).lhs.toarray())[-48:, -48:]
    g, z = MATRIX.dense(), MATRIX.z.dense(0, 36)
    for c, variance in enumerate((2.0, 1.0)):
        w = np.linalg.inv(g) @ (variance * g - inverse[c::2, c::2]) @ np.linalg.inv(g)
        wanted = MATRIX.z.scale * np.sqrt(np.einsum("nm,np,pm->m", z, w, z))
        np.testing.assert_allclose(found.se[:, c], wanted, rtol=1e-8)


def test_covariances_of_lower_rank() -> None:
    """Correlation 1: the equations are those of one factor, the errors those of each trait."""
    variances = bb.VarianceComponents({"animal": [[2.0, 1.0], [1.0, 0.5]]}, residual=[[3.0, 0.0], [0.0, 3.0]])
    found = marker_inference(TWO_TRAITS, RECORDS, variances, GBLUP)
    np.testing.assert_allclose(found.se[:, 0], 2.0 * found.se[:, 1], rtol=1e-9)
    np.testing.assert_allclose(found.z[:, 0], found.z[:, 1], rtol=1e-8)
    near = bb.VarianceComponents({"animal": [[2.0, 0.999999], [0.999999, 0.5]]}, residual=[[3.0, 0.0], [0.0, 3.0]])
    np.testing.assert_allclose(marker_inference(TWO_TRAITS, RECORDS, near, GBLUP).se, found.se, rtol=1e-3)


def test_single_step_is_a_test_of_imputed_genotypes() -> None:
    """Animals without genotypes have what their genotyped relatives tell: Ẑ = A₁₂A₂₂⁻¹Z."""
    pedigree, genotyped = family()
    genotypes = replace(some_genotypes(6, 30, seed=7), ids=pl.Series("id", genotyped))
    matrix = matrix_of(genotypes, constant=0.1, share=0.3, blended=blended_pedigree(pedigree, genotyped))
    inverse = single_step(pedigree, matrix)
    records = some_records(pedigree.ids)
    found = marker_inference(ALONE, records, ONE, {"animal": inverse})
    a = bb.relationship_block(pedigree, pedigree.ids, pedigree.ids)
    at = [int(name[1:]) for name in genotyped]
    imputed = a[:, at] @ np.linalg.inv(a[np.ix_(at, at)]) @ matrix.z.dense(0, 30)
    rows = np.array([int(name[1:]) for name in records["animal"]])
    v = 2.0 * inverse.operator.direct[np.ix_(rows, rows)] + 3.0 * np.eye(rows.size)  # type: ignore[attr-defined]
    wanted = wald(imputed[rows], np.ones((rows.size, 1)), records["y"].to_numpy(), v)
    np.testing.assert_allclose(found.z[:, 0], wanted, rtol=1e-7)


def test_uniform_where_there_is_no_effect() -> None:
    """Records from the model, no marker with an effect beyond the variance of all: p-values are uniform."""
    genotypes = some_genotypes(250, 250, seed=13)
    matrix = matrix_of(genotypes, added=0.1)
    rng = np.random.default_rng(11)
    u = np.linalg.cholesky(2.0 * matrix.dense()) @ rng.normal(size=250)
    records = pl.DataFrame({"animal": genotypes.ids, "y": 5.0 + u + np.sqrt(3.0) * rng.normal(size=250)})
    found = marker_inference(ALONE, records, ONE, {"animal": gblup(matrix)}, factor_bytes=0)
    assert scipy.stats.kstest(found.table["p_value"], "uniform").pvalue > 0.05
    assert (found.z**2).mean() == pytest.approx(1.0, abs=3.0 * np.sqrt(2.0 / 250))


def test_tiny_p_values_keep_their_digits() -> None:
    effects = marker_effects(bb.evaluate(ALONE, RECORDS, ONE, GBLUP))
    z = np.linspace(-60.0, 60.0, 36)[:, None]
    found = MarkerInference(replace(effects, estimates=z), np.ones((36, 1)), None)  # type: ignore[arg-type]
    tail = (
        1800.0 + np.log(60.0 * np.sqrt(2.0 * np.pi)) - np.log1p(-1 / 60**2 + 3 / 60**4)
    )  # Mills' ratio, asymptotically
    assert found.minus_log10_p[0, 0] == pytest.approx((tail - np.log(2.0)) / np.log(10.0), rel=1e-12)
    assert found.table["p_value"][0] == 0.0
    assert found.table["minus_log10_p"].is_finite().all()


def test_markers_that_the_data_say_nothing_of() -> None:
    """A marker at which every animal of the records is alike has no error, and no test."""
    calls = GENOTYPES.calls()
    calls[:, 3] = 1
    genotypes = Genotypes.from_calls(calls, GENOTYPES.ids, GENOTYPES.markers)
    matrix = matrix_of(genotypes, added=0.2)
    centre = matrix.z.centre.copy()
    centre[3] = 1.0
    matrix = replace(matrix, z=replace(matrix.z, centre=centre))
    found = marker_inference(ALONE, RECORDS, ONE, {"animal": gblup(matrix)})
    table = found.table
    assert table.filter(marker="s3").select("se", "z", "p_value", "minus_log10_p").row(0) == (None,) * 4
    assert table["se"].null_count() == 1


def test_one_factor_and_one_filling_in_of_the_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    for kind, name in ((SymbolicFactor, "factorise"), (EquationPattern, "equations")):
        monkeypatch.setattr(kind, name, counting(getattr(kind, name), calls))
    marker_inference(ALONE, RECORDS, ONE, GBLUP)
    assert sorted(calls) == ["equations", "factorise"]


def counting(function: Any, calls: list[str]) -> Any:
    """A function that tells of its calls."""

    def told(*given: Any, **named: Any) -> Any:
        calls.append(function.__name__)
        return function(*given, **named)

    return told


# --- the factor for reliabilities -------------------------------------------------------------------------------------


def test_a_shorter_factor_gives_lower_bounds() -> None:
    young = some_genotypes(30, 36, seed=1)
    whole = marker_inference(ALONE, RECORDS, ONE, GBLUP).effects
    assert whole.factor is not None
    assert whole.factor.shares == (1.0,)
    exact = predict_genomic(whole, young)["reliability"].to_numpy()
    some = marker_inference(ALONE, RECORDS, ONE, GBLUP, factor_bytes=8 * 37 * 10).effects
    assert some.factor is not None
    assert some.factor.vectors[0].shape == (36, 10)
    assert 0.7 < some.factor.shares[0] < 1.0
    bounds = predict_genomic(some, young)["reliability"].to_numpy()
    assert (bounds < exact).all()
    assert bounds.mean() > 0.6 * exact.mean()
    predicted = [
        (MATRIX.z.dense(0, 36) / MATRIX.z.scale @ one.factor.vectors[0] + one.factor.intercepts[0]) ** 2
        for one in (some, whole)
        if one.factor is not None
    ]
    assert predicted[0].sum() / predicted[1].sum() == pytest.approx(some.factor.shares[0], rel=1e-9)
    assert marker_inference(ALONE, RECORDS, ONE, GBLUP, factor_bytes=8).effects.factor is None


# --- what has no exact errors -----------------------------------------------------------------------------------------


def test_forms_without_a_factor_are_refused() -> None:
    part = GBLUP["animal"].genomic
    assert part is not None
    markers = replace(GBLUP["animal"], genomic=replace(part, form="markers"))
    with pytest.raises(
        ResourceError, match=r"need a factor of all equations, and relationships\['animal'\] is the single-step"
    ):
        marker_inference(ALONE, RECORDS, ONE, {"animal": markers})
    other = gblup(MATRIX, tau=1.3)
    with pytest.raises(
        ModelError, match=r"^p-values of markers rest on var\(û\) = Gσ² - PEV, and the relationships of 'animal'"
    ):
        marker_inference(ALONE, RECORDS, ONE, {"animal": other})


def test_forms_of_single_step() -> None:
    """By the forms that h_inverse makes: the same effects, the same errors where there is a factor, else refused."""
    pedigree, genotyped = family(60, range(20, 50, 2))
    genotypes = replace(some_genotypes(15, 40, seed=9), ids=pl.Series("id", genotyped))
    records = some_records(pedigree.ids)
    explicit, components, markers, apy = (
        h_inverse(pedigree, genotypes, form=form, core=genotyped[:8] if form == "apy" else None)  # type: ignore[arg-type]
        for form in ("explicit", "components", "markers", "apy")
    )
    wanted = marker_inference(ALONE, records, ONE, {"animal": explicit})
    found = marker_inference(ALONE, records, ONE, {"animal": components})
    np.testing.assert_allclose(found.effects.estimates, wanted.effects.estimates, rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(found.se, wanted.se, rtol=1e-6)
    tight = bb.EvaluateOptions(pcg=bb.PcgOptions(tolerance=1e-11))
    solved = marker_effects(bb.evaluate(ALONE, records, ONE, {"animal": markers}, options=tight))
    np.testing.assert_allclose(solved.estimates, wanted.effects.estimates, rtol=1e-5, atol=1e-8)
    with pytest.raises(
        ResourceError, match=r"is the single-step form 'markers', of which none is made -> make it with form"
    ):
        marker_inference(ALONE, records, ONE, {"animal": markers})
    with pytest.raises(
        ModelError, match=r"among the genotyped animals are not G \(form 'apy', τ = 1\) -> make K⁻¹ in the form exp"
    ):
        marker_inference(ALONE, records, ONE, {"animal": apy})


def test_groups_of_unknown_parents_are_refused() -> None:
    frame = pl.DataFrame(
        {"animal": [f"p{i}" for i in range(12)], "sire": ["g1", "g2"] * 6, "dam": ["g2", "g2", "g1"] * 4}
    )
    pedigree = bb.read_pedigree(frame, groups=["g1", "g2"])
    genotypes = replace(some_genotypes(8, 30), ids=pl.Series("id", [f"p{i}" for i in range(8)]))
    inverse = h_inverse(pedigree, genotypes, form="explicit")
    with pytest.raises(
        ModelError, match=r"and 'animal' has groups of unknown parents beside G -> take metafounders, or no gro"
    ):
        marker_inference(ALONE, some_records(pedigree.ids), ONE, {"animal": inverse})


def test_what_is_given_is_checked_first() -> None:
    with pytest.raises(
        ModelError, match=r"^no random term rests on genotypes \(those that do: none\) -> evaluate with g_inverse"
    ):
        marker_inference(ALONE, RECORDS, ONE, {})
    with pytest.raises(ModelError, match=r"^the options are a str; make them with EvaluateOptions"):
        marker_inference(ALONE, RECORDS, ONE, GBLUP, options="exact")  # type: ignore[arg-type]


def test_memory_is_counted_first() -> None:
    with pytest.raises(
        ResourceError, match=r"^exact p-values of markers need a factor of all equations: .* would take"
    ):
        marker_inference(ALONE, RECORDS, ONE, GBLUP, options=bb.EvaluateOptions(memory_bytes=20_000))
    dense = 8 * 8 * 24**2
    many = some_genotypes(160, 36)
    wide = {"animal": gblup(matrix_of(many, added=0.2))}
    records = some_records(many.ids, repeated=1)
    assert dense < 8 * 8 * 160**2
    with pytest.raises(
        ResourceError, match=r"^exact p-values of markers need dense matrices of 160 genotyped animals, 1\.56 MiB"
    ):
        marker_inference(ALONE, records, ONE, wide, options=bb.EvaluateOptions(memory_bytes=1_600_000))


# --- windows ----------------------------------------------------------------------------------------------------------


def test_windows_of_markers() -> None:
    effects = marker_effects(bb.evaluate(TWO_TRAITS, RECORDS, BOTH, GBLUP))
    found = window_variances(effects, GENOTYPES, size=5)
    assert found.filter(trait="y")["markers"].to_list() == [5, 5, 2] * 3
    calls = GENOTYPES.calls()
    z = np.where(calls < 0, 0.0, calls - effects.centre)
    second = found.filter(trait="x").row(1, named=True)
    assert (second["first"], second["last"], second["start"], second["end"], second["chromosome"]) == (
        "s5", "s9", 6000, 10000, "1",
    )  # fmt: skip
    variance = (z[:, 5:10] @ effects.estimates[5:10, 1]).var()
    assert second["variance"] == pytest.approx(variance, rel=1e-10)
    assert second["share"] == pytest.approx(variance / (z @ effects.estimates[:, 1]).var(), rel=1e-10)
    assert second["of_markers"] == pytest.approx(effects.variance[5:10, 1].sum(), rel=1e-12)
    one = window_variances(effects, GENOTYPES, size=1)
    assert one.height == 72
    whole = window_variances(effects, GENOTYPES.at_markers(np.arange(36)[::-1]), size=100)
    assert whole["markers"].to_list() == [12] * 6


def test_windows_of_base_pairs() -> None:
    effects = marker_effects(bb.evaluate(ALONE, RECORDS, ONE, GBLUP))
    shuffled = np.random.default_rng(1).permutation(36)
    effects = replace(
        effects, markers=effects.markers[shuffled], centre=effects.centre[shuffled], scale=effects.scale[shuffled],
        frequency=effects.frequency[shuffled], estimates=effects.estimates[shuffled],
    )  # fmt: skip
    found = window_variances(effects, GENOTYPES, size=4000, unit="bp")
    assert found["chromosome"].to_list() == ["1"] * 4 + ["2"] * 4 + ["X"] * 4
    assert found["markers"].to_list() == [3, 4, 4, 1] * 3
    assert found["start"].to_list()[:4] == [1000, 4000, 8000, 12000]
    nowhere = replace(effects, markers=effects.markers.with_columns(position=pl.lit(None, dtype=pl.Int64)))
    with pytest.raises(
        ModelError, match=r"^windows of base pairs need the position of every marker -> take windows of mark"
    ):
        window_variances(nowhere, GENOTYPES, size=10, unit="bp")


def test_windows_that_cannot_be_made() -> None:
    effects = marker_effects(bb.evaluate(ALONE, RECORDS, ONE, GBLUP))
    with pytest.raises(ModelError, match=r"^the unit of windows is 'cM'; it can be 'markers' or 'bp'$"):
        window_variances(effects, GENOTYPES, unit="cM")  # type: ignore[arg-type]
    for size in (0, 1.5, True):
        with pytest.raises(
            ModelError, match=rf"^the size of windows is {size}; it has to be a whole number of markers from 1"
        ):
            window_variances(effects, GENOTYPES, size=size)  # type: ignore[arg-type]
    turned = GENOTYPES.markers.with_columns(allele1=pl.lit("G"), allele2=pl.lit("A"))
    with pytest.raises(
        GenotypeError, match=r"^genotypes: 36 markers of the effects not there with the same alleles: 's0', .* -> "
    ):
        window_variances(effects, replace(GENOTYPES, markers=turned))
    silent = replace(effects, estimates=np.zeros((36, 1)))
    assert window_variances(silent, GENOTYPES)["share"].is_null().all()


# --- plots ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found() -> MarkerInference:
    return marker_inference(TWO_TRAITS, RECORDS, BOTH, GBLUP)


def test_manhattan(found: MarkerInference, tmp_path: Path) -> None:
    figure = plot_manhattan(found, level=0.01)
    top, bottom = figure.axes
    assert top.get_title(loc="left") == "p-values of markers, y"
    assert bottom.get_title(loc="left") == "p-values of markers, x"
    assert [label.get_text() for label in top.get_xticklabels()] == ["1", "2", "X"]
    drawn = np.concatenate([line.get_ydata() for line in bottom.lines[:3]])
    np.testing.assert_array_equal(drawn, found.minus_log10_p[:, 1])
    assert top.lines[3].get_ydata()[0] == pytest.approx(-np.log10(0.01 / 36))
    (label,) = top.texts
    assert label.get_text() == "0.01 over 36 markers (Bonferroni)"
    assert (
        label.xy[1] == top.lines[3].get_ydata()[0] < label.get_window_extent().transformed(top.transData.inverted()).y0
    )
    starts = [line.get_xdata() for line in top.lines[:3]]
    assert starts[0][-1] < starts[1][0] < starts[1][-1] < starts[2][0]
    assert top.lines[0].get_color() == top.lines[2].get_color() != top.lines[1].get_color()
    figure.savefig(tmp_path / "manhattan.png", dpi=50)
    with pytest.raises(ModelError, match=r"^the level of plot_manhattan is 1\.5; it has to be between 0 and 1$"):
        plot_manhattan(found, level=1.5)


def test_manhattan_of_markers_without_a_map(found: MarkerInference) -> None:
    bare = table_of_markers(36).with_columns(
        chromosome=pl.lit(None, dtype=pl.String), position=pl.lit(None, dtype=pl.Int64)
    )
    unknown = replace(found, effects=replace(found.effects, markers=bare), se=np.full((36, 2), np.nan))
    top, _ = plot_manhattan(unknown).axes
    assert [label.get_text() for label in top.get_xticklabels()] == ["?"]
    assert top.lines[0].get_xdata().tolist() == list(range(36))
    assert len(top.lines) + len(top.texts) == 1  # no line of Bonferroni where nothing was tested


def test_quantiles(found: MarkerInference, monkeypatch: pytest.MonkeyPatch) -> None:
    left, _ = plot_marker_qq(found).axes
    diagonal, points = left.lines
    np.testing.assert_allclose(points.get_ydata(), np.sort(found.minus_log10_p[:, 0])[::-1])
    np.testing.assert_allclose(points.get_xdata(), -np.log10((np.arange(36) + 0.5) / 36))
    inflation = (
        np.median(found.z[:, 0] ** 2) / scipy.stats.norm.ppf(0.75) ** 2
    )  # the median of χ² is that of |z|, squared
    assert f"λ = {inflation:.3f}" in left.get_xlabel()
    band = left.collections[0].get_paths()[0].vertices
    smallest = band[np.isclose(band[:, 0], diagonal.get_xdata()[0])][:, 1]
    np.testing.assert_allclose(
        [smallest.min(), smallest.max()], -np.log10(1 - np.array([0.025, 0.975]) ** (1 / 36)), rtol=1e-6
    )
    monkeypatch.setattr(marker_plots, "MOST_DRAWN", 10)
    shown = plot_marker_qq(found).axes[0].lines[1].get_ydata()
    assert len(shown) <= 10
    assert shown[0] == found.minus_log10_p[:, 0].max()
    nothing = replace(found, se=np.full((36, 2), np.nan))
    assert "λ = nan" in plot_marker_qq(nothing).axes[0].get_xlabel()


def test_effects_and_windows_are_drawn(found: MarkerInference) -> None:
    top, _ = plot_marker_effects(found.effects).axes
    drawn = np.concatenate([line.get_ydata() for line in top.lines])
    assert drawn.sum() == pytest.approx(100.0, rel=EXACT)
    windows = window_variances(found.effects, GENOTYPES, size=4)
    for table in (windows, windows.to_pandas()):
        _, bottom = plot_windows(table).axes
        drawn = np.concatenate([line.get_ydata() for line in bottom.lines])
        np.testing.assert_allclose(drawn, 100.0 * windows.filter(trait="x")["share"].to_numpy())


def test_chromosomes_stand_in_order() -> None:
    effects = replace(
        small_effects(), markers=table_of_markers(9).with_columns(chromosome=pl.Series(["10", "2", "MT"] * 3))
    )
    axes = plot_marker_effects(effects).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "10", "MT"]


@pytest.mark.parametrize(
    ("plot", "source"),
    [
        (plot_manhattan, "marker_inference"),
        (plot_marker_qq, "marker_inference"),
        (plot_marker_effects, "marker_effects"),
    ],
)
def test_what_is_not_to_be_drawn(plot: Any, source: str) -> None:
    with pytest.raises(ModelError, match=rf"^plot_\w+ takes what {source} gives, found a str$"):
        plot("effects")
    if source == "marker_inference":
        with pytest.raises(
            ModelError, match=rf"^{plot.__name__} draws p-values, and these effects have none -> .* plot_marker_ef"
        ):
            plot(small_effects())
    with pytest.raises(ModelError, match=r"^plot_windows takes the table that window_variances gives$"):
        plot_windows(pl.DataFrame({"marker": ["a"]}))
