"""Effects of markers, drawn: Manhattan plot, quantiles of p-values, variance along the genome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import beta, chi2

from breedblup.adjustment.markers import MarkerEffects, MarkerInference
from breedblup.adjustment.markers.effects import column_names
from breedblup.adjustment.markers.windows import WINDOW_COLUMNS, genome_order
from breedblup.errors import ModelError, counted
from breedblup.frames import as_table
from breedblup.report.figures import BLUE, GREY, ORANGE, new_figure, prepare_axes, refuse_other_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Array = NDArray[np.float64]

COLOURS = (BLUE, "#8fb0c9")
"""Of chromosomes, in turn."""

GAP = 0.01
"""Between chromosomes, as a share of all."""

MOST_DRAWN = 5_000
"""Quantiles of p-values that are drawn: all of the smallest, the others in equal steps of their logarithm."""

LABEL_ROOM = 0.02
"""Share of the axis that a chromosome needs for its name."""


def plot_manhattan(inference: MarkerInference, *, level: float = 0.05) -> Figure:
    """-log₁₀ p along the genome, a panel for each trait or effect, with the line of Bonferroni at a level, labelled.

    Returns
    -------
    matplotlib.figure.Figure
        Bound to no window: ``savefig`` writes it, a notebook shows it.

    Raises
    ------
    ModelError
        If matplotlib is not installed, it is no such inference, or the level is not between 0 and 1.
    """
    _refuse_untested(inference, "plot_manhattan")
    if not 0.0 < level < 1.0:
        raise ModelError(f"the level of plot_manhattan is {level!r}; it has to be between 0 and 1")
    logs, effects = inference.minus_log10_p, inference.effects
    panels, figure = _panels(effects.coordinates, "p-values of markers", "-log₁₀ p")
    for k, axes in enumerate(panels):
        known = int(np.isfinite(logs[:, k]).sum())
        _draw_along(axes, effects.markers["chromosome"], effects.markers["position"], logs[:, k])
        if known:
            line = -np.log10(level / known)
            axes.axhline(line, color=ORANGE, lw=1.2, ls="--")
            said = f"{level:g} over {counted(known, 'marker')} (Bonferroni)"
            axes.annotate(
                said, (1.0, line), (-2, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
                ha="right", va="bottom", color=ORANGE, fontsize=8,
            )  # fmt: skip
            axes.set_ylim(0.0, 1.1 * max(float(np.nanmax(logs[:, k])), line))
    return figure


def plot_marker_qq(inference: MarkerInference) -> Figure:
    """-log₁₀ p against what is expected without any effects, with 95 % of each rank and the inflation λ, a panel for each.

    λ is the median of z² over that of χ² with one degree of freedom. With many causes it is above 1 for good reason.

    Raises
    ------
    ModelError
        If matplotlib is not installed, or it is no such inference.
    """
    _refuse_untested(inference, "plot_marker_qq")
    coordinates = inference.effects.coordinates
    figure = new_figure(4.8 * len(coordinates), 4.6)
    panels = figure.subplots(1, len(coordinates), squeeze=False)[0]
    for k, (axes, name) in enumerate(zip(panels, column_names(coordinates), strict=True)):
        logs, z = inference.minus_log10_p[:, k], inference.z[:, k]
        observed = np.sort(logs[np.isfinite(logs)])[::-1]
        ranks = _shown(observed.size)
        inflation = float(np.nanmedian(z**2) / chi2.ppf(0.5, 1)) if observed.size else float("nan")
        prepare_axes(axes, f"Quantiles of p-values, {name}", f"expected -log₁₀ p;  λ = {inflation:.3f}", "-log₁₀ p")
        expected = -np.log10((ranks + 0.5) / max(observed.size, 1))
        low, high = (-np.log10(beta.ppf(q, ranks + 1, observed.size - ranks)) for q in (0.975, 0.025))
        axes.fill_between(expected, low, high, color=GREY, alpha=0.2, lw=0)
        axes.plot(expected, expected, color=GREY, lw=1.0)
        axes.plot(expected, observed[ranks], ".", color=BLUE, ms=4, rasterized=True)
    return figure


def plot_marker_effects(effects: MarkerEffects) -> Figure:
    """Share of Σ2p(1 - p)â² of each marker along the genome, in %, a panel for each trait or effect.

    Raises
    ------
    ModelError
        If matplotlib is not installed, or it is no such effects.
    """
    refuse_other_kind(effects, MarkerEffects, "plot_marker_effects", "marker_effects")
    variance = effects.variance
    total = np.where(variance.sum(axis=0) > 0.0, variance.sum(axis=0), np.nan)
    panels, figure = _panels(effects.coordinates, "Variance of markers", "% of the sum")
    for k, axes in enumerate(panels):
        values = 100.0 * variance[:, k] / total[k]
        _draw_along(axes, effects.markers["chromosome"], effects.markers["position"], values)
        axes.set_ylim(0.0, None)
    return figure


def plot_windows(windows: Any) -> Figure:
    """Share of the variance of each window along the genome, in %, a panel for each trait or effect.

    Parameters
    ----------
    windows
        What `window_variances` gives, in any data frame.

    Raises
    ------
    ModelError
        If matplotlib is not installed, or the table is not of windows.
    """
    table = as_table(windows, "windows").frame
    if not set(WINDOW_COLUMNS) <= set(table.columns):
        raise ModelError("plot_windows takes the table that window_variances gives")
    parts = table.partition_by("trait", "effect", maintain_order=True)
    pairs = [(part["trait"][0], part["effect"][0]) for part in parts]
    panels, figure = _panels(pairs, "Variance by windows", "% of all markers")
    for part, axes in zip(parts, panels, strict=True):
        middle = (part["start"] + part["end"]) // 2
        _draw_along(axes, part["chromosome"], middle, 100.0 * part["share"].fill_null(float("nan")).to_numpy())
        axes.set_ylim(0.0, None)
    return figure


def _refuse_untested(given: Any, function: str) -> None:
    """`ModelError` for effects that have no p-values to draw."""
    if isinstance(given, MarkerEffects):
        raise ModelError(
            f"{function} draws p-values, and these effects have none -> test them with marker_inference, or draw the effects "
            "themselves with plot_marker_effects"
        )
    refuse_other_kind(given, MarkerInference, function, "marker_inference")


def _panels(coordinates: Sequence[tuple[str, str]], title: str, y: str) -> tuple[list[Axes], Figure]:
    """A panel for each trait or effect, one above the other."""
    figure = new_figure(9.0, 3.4 * len(coordinates))
    panels = list(figure.subplots(len(coordinates), 1, squeeze=False)[:, 0])
    for axes, name in zip(panels, column_names(coordinates), strict=True):
        prepare_axes(axes, f"{title}, {name}", "chromosome", y)
    return panels, figure


def _draw_along(axes: Axes, chromosomes: pl.Series, positions: pl.Series, values: _Array) -> None:
    """Points by chromosome, in colours that take turns; by order within one where a position is not known."""
    names = genome_order(chromosomes)
    places = [chromosomes.eq_missing(pl.Series([name], dtype=pl.String)).arg_true().to_numpy() for name in names]
    along = [_along(positions.gather(rows)) for rows in places]
    gap = GAP * sum(float(one.max(initial=0.0)) for one in along) or 1.0
    ticks, labels, start = [], [], 0.0
    for k, (name, rows, at) in enumerate(zip(names, places, along, strict=True)):
        axes.plot(start + at, values[rows], ".", color=COLOURS[k % 2], ms=4, rasterized=True)
        length = float(at.max(initial=0.0))
        ticks.append((start + length / 2.0, length))
        labels.append("?" if name is None else name)
        start += length + gap
    shown = [k for k, (_, length) in enumerate(ticks) if length + gap >= LABEL_ROOM * start or k % 2 == 0]
    axes.set_xticks([ticks[k][0] for k in shown], [labels[k] for k in shown])
    axes.tick_params(axis="x", length=0)
    axes.margins(x=0.01)


def _along(positions: pl.Series) -> _Array:
    """Where markers of a chromosome stand, from 0."""
    if positions.is_null().any():
        return np.arange(len(positions), dtype=np.float64)
    found = positions.to_numpy().astype(np.float64)
    return np.asarray(found - found.min(initial=np.inf))


def _shown(size: int) -> NDArray[np.int64]:
    """Ranks that are drawn, from 0."""
    if size <= MOST_DRAWN:
        return np.arange(size)
    return np.unique(np.geomspace(1, size, MOST_DRAWN).astype(np.int64)) - 1
