"""How time and memory of a fit grow with the data: table and plot of `reml.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from measure import Measured
from reml_data import RemlCase, animal_case, few_sires, random_mating, slope_case
from reml_tables import a_round, markdown, number, ratio_to_factor, whole

LARGEST = 3
"""Sizes, the largest, from which an exponent is taken: below them constants rule."""

PAGE = 4096.0

COLOURS = "#0072b2", "#d55e00", "#009e73"


@dataclass(frozen=True)
class Series:
    """One model at growing sizes.

    Attributes
    ----------
    unit
        What a size counts.
    """

    title: str
    unit: str
    sizes: tuple[int, ...]
    case: Callable[[int], RemlCase]


SERIES = {
    "few": Series(
        "animals, 2 % of the males are sires", "animals", (3_000, 10_000, 30_000, 100_000, 300_000),
        lambda size: animal_case(few_sires, size),
    ),
    "random": Series(
        "animals, random mating", "animals", (3_000, 6_000, 12_000, 24_000), lambda size: animal_case(random_mating, size)
    ),
    "slopes": Series("random slopes, no pedigree", "records", (10_000, 30_000, 100_000, 300_000, 1_000_000), slope_case),
}  # fmt: skip


def used_memory(run: Measured) -> float:
    """Bytes that the fit took beyond what was there before it, a page at least."""
    return max(float(run["peak"] - run["resident"]), PAGE)


FIGURES: Mapping[str, Callable[[Measured], float]] = {
    "total, s": lambda run: float(run["total"]),
    "a round, s": a_round,
    "memory, MB": lambda run: used_memory(run) / 1e6,
}
"""What exponents are told of."""


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Slope of the logarithms by least squares, over the largest sizes."""
    if len(sizes) < 2:
        return float("nan")
    x, y = np.log(np.array(sizes, dtype=float)), np.log(np.array(values, dtype=float))
    return float(np.polyfit(x[-LARGEST:], y[-LARGEST:], 1)[0])


def growth_section(done: Mapping[str, Mapping[int, Measured]], picture: str) -> str:
    """Table of every size, the exponents, the plot."""
    head = ["", "n", "records", "entries of L", "rounds", *FIGURES, "a round ÷ one factorisation"]
    rows, exponents = [], []
    for name, runs in done.items():
        series = SERIES[name]
        for size, run in runs.items():
            cells = [number(figure(run)) for figure in FIGURES.values()]
            counts = [whole(run[key]) for key in ("records", "factor_nonzeros", "rounds")]
            rows.append([series.title, f"{size:,} {series.unit}", *counts, *cells, number(ratio_to_factor(run))])
        found = [exponent(list(runs), [figure(run) for run in runs.values()]) for figure in FIGURES.values()]
        of_factor = [
            exponent(list(runs), [run[key] for run in runs.values()]) for key in ("factor_nonzeros", "factor_flops")
        ]
        exponents.append([series.title, *(f"{value:.2f}" for value in (*found, *of_factor))])
    return "\n\n".join(
        (
            "## How cost grows",
            f"Exponents b of n^b over the {LARGEST} largest sizes; memory is what the fit took beyond Python and data.",
            markdown(["", *FIGURES, "entries of L", "operations"], exponents),
            f"![Seconds and memory against n, on logarithmic scales]({picture})",
            markdown(head, rows, texts=2),
        )
    )


def plot_growth(done: Mapping[str, Mapping[int, Measured]], target: Path) -> None:
    """Seconds and memory against n, on logarithmic scales, written as SVG."""
    panels: tuple[tuple[str, Callable[[Measured], float]], ...] = (
        ("seconds to fit", FIGURES["total, s"]),
        ("memory of the fit, MB", FIGURES["memory, MB"]),
    )
    with mpl.rc_context({"svg.hashsalt": "reml", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(8.0, 4.0), layout="constrained")
        for axes, (label, value) in zip(figure.subplots(1, len(panels)), panels, strict=True):
            _draw(axes, done, value)
            axes.set(xlabel="n (animals or records)", ylabel=label)
        figure.savefig(target, metadata={"Date": None})


def _draw(axes: Axes, done: Mapping[str, Mapping[int, Measured]], value: Callable[[Measured], float]) -> None:
    for (name, runs), colour in zip(done.items(), COLOURS, strict=False):
        sizes, values = list(runs), [value(run) for run in runs.values()]
        label = f"{SERIES[name].title}: n^{exponent(sizes, values):.2f}"
        axes.loglog(sizes, values, "o-", color=colour, markersize=4, linewidth=1.2, label=label)
    axes.grid(visible=True, which="major", linewidth=0.4, alpha=0.6)
    axes.legend(frameon=False, fontsize=7, loc="lower left", bbox_to_anchor=(0.0, 1.0))
