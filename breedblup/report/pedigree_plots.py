"""What describes a pedigree, drawn: inbreeding by year, completeness, families, generation intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from breedblup.errors import ModelError
from breedblup.pedigree import PedigreeDescription
from breedblup.pedigree.intervals import paths_known
from breedblup.report.figures import BLUE, GREY, ORANGE, new_figure, prepare_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEWEST = 3
"""Offspring that became parents, of a path and year, from which their mean age is drawn."""


def plot_pedigree(description: PedigreeDescription) -> Figure:
    """Four panels: inbreeding by birth year, known ancestors by generation, family sizes, generation intervals.

    Returns
    -------
    matplotlib.figure.Figure
        Bound to no window: ``savefig`` writes it, a notebook shows it.

    Raises
    ------
    ModelError
        If matplotlib is not installed, or it is no description.
    """
    if not isinstance(description, PedigreeDescription):
        raise ModelError(
            f"plot_pedigree takes what describe(pedigree) gives, found a {type(description).__name__} -> describe it first"
        )
    figure = new_figure(11.0, 7.6)
    panels: list[tuple[str, Callable[[Axes, PedigreeDescription], bool]]] = [
        ("Inbreeding by birth year", _inbreeding),
        ("Known ancestors of the reference", _completeness),
        ("Offspring of sires and dams", _families),
        ("Generation interval by birth year of the offspring", _intervals),
    ]
    for axes, (title, draw) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        prepare_axes(axes, title)
        if not draw(axes, description):
            axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", va="center", color=GREY)
            axes.set_xticks([])
            axes.set_yticks([])
        elif axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=9)
    figure.suptitle(
        f"{description.name}: {description.animals:,} animals; reference {description.reference}", fontsize=11
    )
    return figure


def _inbreeding(axes: Axes, description: PedigreeDescription) -> bool:
    """Mean F by year, above the number born."""
    table = description.tables["birth_years"]
    if table.is_empty():
        return False
    years = table["birth_year"].to_numpy()
    born = axes.twinx()
    born.bar(years, table["animals"].to_numpy(), color="#e7e9ec", width=0.9)
    born.set_ylim(0, 3 * float(table["animals"].to_numpy().max()))  # bars fill the lower third
    born.set_ylabel("animals born", fontsize=9, color=GREY)
    born.tick_params(labelsize=8, colors=GREY)
    for side in ("top", "left", "right", "bottom"):
        born.spines[side].set_visible(False)
    axes.set_zorder(born.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.plot(years, 100 * table["inbreeding"].to_numpy(), color=BLUE, lw=2.2, marker="o", ms=3.5)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("mean F, %", fontsize=9)
    axes.locator_params(axis="x", integer=True)
    return True


def _completeness(axes: Axes, description: PedigreeDescription) -> bool:
    """Share known of each generation, and the index over the generations up to it."""
    table = description.tables["completeness"].filter(pl.col("known") >= 0.0005)
    if table.is_empty():
        return False
    generation = table["generation"].to_numpy()
    axes.bar(generation, 100 * table["known"].to_numpy(), color=BLUE, width=0.7, label="known in this generation")
    axes.plot(
        generation, 100 * table["index"].to_numpy(), color=ORANGE, lw=1.8, marker="o", ms=4,
        label="index of completeness up to it",
    )  # fmt: skip
    axes.set_ylim(0, 119)
    axes.set_yticks(range(0, 101, 20))
    axes.set_xlabel("generations back", fontsize=9)
    axes.set_ylabel("%", fontsize=9)
    axes.locator_params(axis="x", integer=True)
    return True


def _families(axes: Axes, description: PedigreeDescription) -> bool:
    """Numbers of parents by the size of their families, in classes 1, 2–3, 4–7, 8–15, …"""
    table = description.tables["family_size_distribution"].filter(pl.col("family") != "full sibs")
    if table.is_empty():
        return False
    classes = int(np.log2(table["size"].max())) + 1  # type: ignore[arg-type]  # sizes are whole numbers
    for family, colour, shift in (("sire", BLUE, -0.2), ("dam", ORANGE, 0.2)):
        part = table.filter(pl.col("family") == family)
        of = np.log2(part["size"].to_numpy()).astype(np.int64)
        parents = np.bincount(of, weights=part["families"].to_numpy(), minlength=classes)
        axes.bar(np.arange(classes) + shift, parents, width=0.4, color=colour, label=f"{family}s")
    labels = ["1"] + [f"{2**k:,}–{2 ** (k + 1) - 1:,}" for k in range(1, classes)]
    axes.set_xticks(
        np.arange(classes), labels, rotation=0 if classes < 7 else 35, ha="center" if classes < 7 else "right"
    )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(bottom=0.7)
    axes.set_xlabel("offspring", fontsize=9)
    axes.set_ylabel("parents", fontsize=9)
    return True


def _intervals(axes: Axes, description: PedigreeDescription) -> bool:
    """Mean age of parents at the birth of offspring that became parents, by path."""
    table = description.tables["generation_intervals_by_year"]
    used = table.filter((pl.col("offspring") == "parents") & (pl.col("number") >= FEWEST))
    drawn = False
    for path in paths_known(table):
        colour = BLUE if path.startswith("sire") else ORANGE
        style = "--" if path.endswith("daughter") else "-"
        part = used.filter(pl.col("path") == path)
        if part.is_empty():
            continue
        axes.plot(part["birth_year"].to_numpy(), part["mean"].to_numpy(), color=colour, ls=style, lw=1.6, label=path)
        drawn = True
    if drawn and description.generation_interval is not None:
        label = f"mean of the paths, {description.generation_interval:.2f}"
        axes.axhline(description.generation_interval, color=GREY, lw=1, ls=":", label=label)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("years", fontsize=9)
        axes.locator_params(axis="x", integer=True)
    return drawn
