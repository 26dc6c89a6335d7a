"""Plots of a pedigree: what is drawn is what the tables hold."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import HERE
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from breedblup.errors import ModelError
from breedblup.io.tables import read_pedigree
from breedblup.pedigree import Pedigree, PedigreeDescription, describe
from breedblup.report.pedigree_plots import plot_pedigree


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
