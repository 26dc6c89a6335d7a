"""Plots of a pedigree and of estimated variances: what is drawn is what the tables hold."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import HERE
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import breedblup as bb
from breedblup.analysis.history import history_table
from breedblup.errors import ModelError
from breedblup.inference.profile import Profile, profile_of
from breedblup.inference.ratio_table import RatioTable
from breedblup.inference.residuals import Residuals
from breedblup.io.tables import read_pedigree
from breedblup.pedigree import Pedigree, PedigreeDescription, describe
from breedblup.reml.fit import RemlRound
from breedblup.report import reml_plots
from breedblup.report.pedigree_plots import plot_pedigree
from breedblup.report.reml_plots import plot_curve, plot_history, plot_profile, plot_residuals


@pytest.fixture(scope="module")
def dairy() -> PedigreeDescription:
    return describe(read_pedigree(HERE.parent / "data" / "dairy" / "pedigree.csv"))


@pytest.fixture(scope="module")
def figure(dairy: PedigreeDescription) -> Figure:
    return plot_pedigree(dairy)


def panel(figure: Figure, title: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)


def test_inbreeding(figure: Figure, dairy: PedigreeDescription) -> None:
    (line,) = panel(figure, "Inbreeding by birth year").lines
    table = dairy.tables["birth_years"]
    np.testing.assert_array_equal(line.get_xdata(), table["birth_year"])
    np.testing.assert_allclose(line.get_ydata(), 100 * table["inbreeding"].to_numpy())


def test_completeness(figure: Figure, dairy: PedigreeDescription) -> None:
    axes = panel(figure, "Known ancestors of the reference")
    table = dairy.tables["completeness"].filter(pl.col("known") >= 0.0005)
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], 100 * table["known"].to_numpy())
    np.testing.assert_allclose(axes.lines[0].get_ydata(), 100 * table["index"].to_numpy())


def test_families(figure: Figure, dairy: PedigreeDescription) -> None:
    axes = panel(figure, "Offspring of sires and dams")
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["1", "2–3", "4–7", "8–15", "16–31", "32–63", "64–127"]
    for family, bars in zip(("sire", "dam"), axes.containers, strict=True):
        part = dairy.tables["family_size_distribution"].filter(pl.col("family") == family)
        expected = [part.filter(pl.col("size").is_between(2**k, 2 ** (k + 1) - 1))["families"].sum() for k in range(7)]
        assert [bar.get_height() for bar in bars] == expected


def test_intervals(figure: Figure, dairy: PedigreeDescription) -> None:
    axes = panel(figure, "Generation interval by birth year of the offspring")
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines) == [
        "sire to son",
        "sire to daughter",
        "dam to son",
        "dam to daughter",
        "mean of the paths, 4.36",
    ]
    table = dairy.tables["generation_intervals_by_year"].filter(
        (pl.col("path") == "dam to daughter") & (pl.col("offspring") == "parents") & (pl.col("number") >= 3)
    )
    np.testing.assert_allclose(lines["dam to daughter"].get_ydata(), table["mean"])


def test_written(figure: Figure, tmp_path: Path) -> None:
    figure.savefig(tmp_path / "pedigree.png", dpi=60)
    assert (tmp_path / "pedigree.png").stat().st_size > 10_000


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    founders = Pedigree.from_frame(pl.DataFrame({"id": ["a", "b"], "sire": ["", ""], "dam": ["", ""]}))
    drawn = plot_pedigree(describe(founders))
    assert [[text.get_text() for text in axes.texts] for axes in drawn.axes] == [["not known"]] * 4
    drawn.savefig(tmp_path / "founders.png", dpi=40)


def test_without_matplotlib(dairy: PedigreeDescription, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return load(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(
        ModelError, match=r"plots need matplotlib, which is not installed -> pip install 'breedblup\[plot\]'"
    ):
        plot_pedigree(dairy)


def test_what_is_no_description() -> None:
    with pytest.raises(
        ModelError, match=r"plot_pedigree takes what describe\(pedigree\) gives, found a str -> describe"
    ):
        plot_pedigree("pedigree.csv")  # type: ignore[arg-type]


# --- estimated variances ----------------------------------------------------------------------------------------------


def a_history() -> pl.DataFrame:
    rounds = [
        RemlRound(
            k,
            100.0 + 10.0 ** (1 - 3 * k),
            np.array([5.0 - k, 0.0]),
            1.0,
            10.0 ** (1 - 3 * k),
            0.1,
            "AI",
            {"solves": 0.5},
        )
        for k in range(3)
    ]
    return history_table(rounds, ["animal", "residual"])


def test_history_is_drawn() -> None:
    for table in (a_history(), a_history().to_pandas()):
        left, right = plot_history(table).axes
        np.testing.assert_allclose(left.lines[0].get_ydata(), [10.0 - 1e-5, 0.01 - 1e-5, 1e-9])
        np.testing.assert_allclose(left.lines[1].get_ydata(), [10.0, 0.01, 1e-5])
        assert [line.get_label() for line in right.lines] == ["animal"]  # the other ended at 0
        np.testing.assert_allclose(right.lines[0].get_ydata(), [5 / 3, 4 / 3, 1.0])


def test_a_fit_has_its_history_drawn() -> None:
    rng = np.random.default_rng(1)
    records = pl.DataFrame({"g": rng.choice(list("abcdef"), 60), "y": rng.normal(size=60)})
    fit = bb.estimate_variances(bb.Model.from_formula("y ~ 1 + (1 | g)"), records)
    one, other = (plot_history(given).axes[0].lines[0].get_ydata() for given in (fit, fit.history_table))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(ModelError, match=r"^plot_history takes a fit or fit\.history_table, found a tuple$"):
        plot_history(fit.history)


def test_many_parameters_are_named_by_matrix() -> None:
    names = [*(f"animal[{i},{j}]" for i in range(1, 5) for j in range(1, i + 1)), "residual"]
    rounds = [RemlRound(k, 5.0 - k, np.arange(1.0, 12.0) + k, 1.0, 1.0, 0.1, "AI", {}) for k in range(2)]
    right = plot_history(history_table(rounds, names)).axes[1]
    assert len(right.lines) == 11
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["animal, 10 elements", "residual"]
    assert len({line.get_color() for line in right.lines}) == 2
    terms = [f"term{k}" for k in range(11)]
    assert plot_history(history_table(rounds, terms)).axes[1].get_legend() is None


def test_profile_is_drawn(tmp_path: Path) -> None:
    profile = profile_of(lambda value: 100.0 + (value - 3.0) ** 2, 3.0, 100.0, 0.5, name="animal")
    (axes,) = plot_profile(profile).axes
    curve, cut, at, lower, upper = axes.lines
    np.testing.assert_allclose(curve.get_ydata(), (np.asarray(curve.get_xdata()) - 3.0) ** 2, atol=1e-12)
    np.testing.assert_allclose(cut.get_ydata(), 3.841459, rtol=1e-6)
    assert at.get_xdata()[0] == 3.0
    np.testing.assert_allclose([lower.get_xdata()[0], upper.get_xdata()[0]], profile.interval)
    assert axes.get_xlabel().startswith("animal: 3, 95 % from 1.0")


def test_limits_that_are_not_there_are_not_drawn() -> None:
    frame = pl.DataFrame({"value": [1.0, 2.0], "minus2_log_l": [0.0, 1.0], "zeta": [0.0, 1.0]})
    profile = Profile("x", 1.0, 0.0, 0.95, 0.0, float("inf"), frame, 2, ())
    assert len(plot_profile(profile).axes[0].lines) == 4


def some_residuals() -> Residuals:
    rng = np.random.default_rng(1)
    observed = rng.normal(10.0, 1.0, (200, 2))
    observed[:50, 1] = np.nan
    residuals = np.where(np.isnan(observed), np.nan, rng.normal(size=(200, 2)))
    return Residuals(observed, residuals, residuals, 2.0 * residuals, np.arange(200), ("milk", "fat"))


def test_residuals_are_drawn() -> None:
    residuals = some_residuals()
    axes = plot_residuals(residuals).axes
    assert [one.get_title(loc="left") for one in axes] == [
        "milk: residuals and normal quantiles", "milk: residuals and fitted values", "fat: residuals and normal quantiles",
        "fat: residuals and fitted values",
    ]  # fmt: skip
    np.testing.assert_array_equal(axes[0].lines[0].get_ydata(), np.sort(residuals.scaled[:, 0]))
    np.testing.assert_allclose(axes[0].lines[0].get_xdata()[:1], -2.807034, rtol=1e-6)  # R: qnorm(0.5 / 200)
    assert len(axes[2].lines[0].get_ydata()) == 150
    by_fitted = dict(zip(axes[1].lines[0].get_xdata(), axes[1].lines[0].get_ydata(), strict=True))
    fitted = residuals.observed[:, 0] - residuals.conditional[:, 0]
    assert by_fitted == dict(zip(fitted, residuals.scaled[:, 0], strict=True))


def test_of_many_residuals_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reml_plots, "MOST_DRAWN", 20)
    residuals = some_residuals()
    drawn = plot_residuals(residuals).axes[0].lines[0].get_ydata()
    assert len(drawn) == 20
    assert (drawn[0], drawn[-1]) == (residuals.scaled[:, 0].min(), residuals.scaled[:, 0].max())


def a_curve() -> RatioTable:
    rows = [
        ("y", point, term, "direct", value, se)
        for term, se in (("a", 0.1), ("b", None))
        for point, value in ((2.0, 0.5), (1.0, 0.2))
    ]
    frame = pl.DataFrame(rows, schema=["trait", "point", "term", "effect", "estimate", "se"], orient="row")
    return RatioTable("Heritability", frame, np.eye(4), covariate="day")


def test_curves_are_drawn() -> None:
    (axes,) = plot_curve(a_curve()).axes
    assert [line.get_label() for line in axes.lines] == ["a", "b"]
    assert axes.get_xlabel() == "day"
    assert axes.lines[0].get_xdata().tolist() == [1.0, 2.0]
    assert axes.lines[0].get_ydata().tolist() == [0.2, 0.5]
    around = axes.collections[0].get_paths()[0].vertices
    assert (around[:, 1].min(), around[:, 1].max()) == pytest.approx((0.0, 0.7))


def test_what_is_not_to_be_drawn_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^plot_profile takes what fit\.profile\(name\) gives, found a str$"):
        plot_profile("animal")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"^plot_residuals takes what fit\.residuals gives, found a DataFrame$"):
        plot_residuals(a_history())  # type: ignore[arg-type]
    with pytest.raises(
        ModelError,
        match=r"^plot_history takes the rounds of a fit -> plot_history\(fit\), or plot_history\(fit\.history_table\)$",
    ):
        plot_history(a_history().drop("gain"))
    with pytest.raises(ModelError, match=r"^plot_curve takes what fit\.along\(points\) gives, found a NoneType$"):
        plot_curve(None)  # type: ignore[arg-type]
    table = a_curve()
    pairs = RatioTable("Along curves", table.frame.rename({"point": "point_1"}), np.eye(4))
    with pytest.raises(
        ModelError, match=r"^Along curves: the table has pairs of points, .* -> take fit\.along\(points, 'phen"
    ):
        plot_curve(pairs)
    without = RatioTable(table.what, table.frame.drop("point"), np.eye(4))
    with pytest.raises(ModelError, match=r"^Heritability: the table has no points -> make it by fit\.along\(points\)$"):
        plot_curve(without)


@pytest.mark.parametrize(
    "draw", [lambda: plot_history(a_history()), lambda: plot_residuals(some_residuals()), lambda: plot_curve(a_curve())]
)
def test_plots_of_variances_are_written(draw: Callable[[], Figure], tmp_path: Path) -> None:
    draw().savefig(tmp_path / "plot.png", dpi=60)
    assert (tmp_path / "plot.png").stat().st_size > 5_000
