"""What is read of estimated variances, drawn: profile likelihood, rounds, residuals, curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from scipy.stats import chi2, norm

from breedblup.analysis.history import HISTORY_COLUMNS
from breedblup.analysis.reml_fit import RemlFit
from breedblup.errors import ModelError
from breedblup.frames import as_table
from breedblup.inference.profile import Profile
from breedblup.inference.ratio_table import RatioTable
from breedblup.inference.residuals import Residuals
from breedblup.report.figures import BLUE, GREY, ORANGE, new_figure, prepare_axes, refuse_other_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (BLUE, ORANGE, "#5b8c5a", "#8d5a97", "#c9a227", "#3aa0a0", GREY)

MOST_NAMED = 8
"""Lines that a legend names one by one."""

MOST_DRAWN = 20_000
"""Residuals of a trait that are drawn, in equal steps of their order where there are more: a picture shows no more."""

REACHED = 1e-9
"""Differences of -2 log L below this are drawn as this."""


def plot_profile(profile: Profile) -> Figure:
    """-2 log L above its lowest against the component, with the height at which the confidence interval is cut.

    Returns
    -------
    matplotlib.figure.Figure
        Bound to no window: ``savefig`` writes it, a notebook shows it.

    Raises
    ------
    ModelError
        If matplotlib is not installed, or it is no profile.
    """
    refuse_other_kind(profile, Profile, "plot_profile", "fit.profile(name)")
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    said = f"{profile.name}: {profile.estimate:.4g}, {100 * profile.level:g} % from {profile.lower:.4g} to {profile.upper:.4g}"
    prepare_axes(axes, f"Profile likelihood of {profile.name}", said, "-2 log L above its lowest")
    cut = float(chi2.ppf(profile.level, 1))
    at = profile.frame["value"].to_numpy()
    axes.plot(at, profile.frame["zeta"].to_numpy() ** 2, color=BLUE, lw=2.0, marker="o", ms=4)
    axes.axhline(cut, color=GREY, lw=1.0, ls="--")
    axes.axvline(profile.estimate, color=GREY, lw=1.0)
    for limit in filter(np.isfinite, profile.interval):
        axes.axvline(limit, color=ORANGE, lw=1.2)
    axes.set_ylim(-0.06 * cut, 2.0 * cut)
    return figure


def plot_history(history: Any) -> Figure:
    """Two panels: -2 log L above its lowest, on a logarithmic scale, and each parameter relative to its last value, by round.

    Parameters
    ----------
    history
        A fit, or its ``history_table`` in any data frame.

    Raises
    ------
    ModelError
        If matplotlib is not installed, or it is no history.
    """
    if isinstance(history, RemlFit):
        history = history.history_table
    if isinstance(history, tuple | list):
        raise ModelError(f"plot_history takes a fit or fit.history_table, found a {type(history).__name__}")
    rows = as_table(history, "history").frame
    if not set(HISTORY_COLUMNS) <= set(rows.columns):
        raise ModelError(
            "plot_history takes the rounds of a fit -> plot_history(fit), or plot_history(fit.history_table)"
        )
    names = [name for name in rows.columns if name not in HISTORY_COLUMNS and not name.startswith("seconds ")]
    figure = new_figure(10.0, 4.2)
    left, right = figure.subplots(1, 2)
    prepare_axes(left, "-2 log L above its lowest", "round")
    above = rows["minus2_log_l"].to_numpy() - rows["minus2_log_l"].to_numpy().min()
    rounds = rows["round"].to_numpy()
    left.semilogy(rounds, np.maximum(above, REACHED), color=BLUE, lw=2.0, marker="o", ms=4, label="-2 log L")
    left.semilogy(
        rounds,
        np.maximum(rows["gain"].to_numpy(), REACHED),
        color=ORANGE,
        lw=1.2,
        ls="--",
        label="promised by the model",
    )
    prepare_axes(right, "Parameters relative to the last round", "round")
    _draw_parameters(right, rows, [name for name in names if rows[name][-1] != 0.0])
    left.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.locator_params(axis="x", integer=True)
    return figure


def _draw_parameters(axes: Axes, rows: pl.DataFrame, names: list[str]) -> None:
    """Parameters relative to their last values; many of them have a colour by matrix, and very many matrices no legend."""
    groups = names if len(names) <= MOST_NAMED else list(dict.fromkeys(name.partition("[")[0] for name in names))
    shown: set[str] = set()
    for name in names:
        group = name if name in groups else name.partition("[")[0]
        size = sum(other.partition("[")[0] == group for other in names)
        label = group if groups is names or size == 1 else f"{group}, {size} elements"
        colour, values = COLOURS[groups.index(group) % len(COLOURS)], rows[name].to_numpy()
        width = 1.5 if groups is names else 0.9
        named = label if group not in shown and len(groups) <= MOST_NAMED else None
        axes.plot(
            rows["round"].to_numpy(), values / values[-1], color=colour, lw=width, marker="o", ms=2 * width, label=named
        )
        shown.add(group)
    if names and len(groups) <= MOST_NAMED:
        axes.legend(frameon=False, fontsize=8)


def plot_residuals(residuals: Residuals) -> Figure:
    """Two panels a trait: scaled residuals against normal quantiles, and against fitted values.

    Raises
    ------
    ModelError
        If matplotlib is not installed, or it is no such residuals.
    """
    refuse_other_kind(residuals, Residuals, "plot_residuals", "fit.residuals")
    figure = new_figure(10.0, 4.0 * len(residuals.traits))
    panels = figure.subplots(len(residuals.traits), 2, squeeze=False)
    for (left, right), trait in zip(panels, residuals.traits, strict=True):
        table = as_table(residuals.table, "residuals").frame.filter(pl.col("trait") == trait).sort("scaled")
        quantiles = norm.ppf((np.arange(table.height) + 0.5) / table.height)
        shown = np.unique(np.linspace(0, table.height - 1, min(table.height, MOST_DRAWN)).astype(np.int64))
        scaled = table["scaled"].to_numpy()[shown]
        prepare_axes(left, f"{trait}: residuals and normal quantiles", "normal quantile", "scaled residual")
        left.plot(quantiles[shown], scaled, ".", color=BLUE, ms=3)
        ends = np.array([quantiles[0], quantiles[-1]])
        left.plot(ends, ends, color=GREY, lw=1.0)
        prepare_axes(right, f"{trait}: residuals and fitted values", "fitted", "scaled residual")
        right.plot(table["fitted"].to_numpy()[shown], scaled, ".", color=BLUE, ms=3)
        right.axhline(0.0, color=GREY, lw=1.0)
    return figure


def plot_curve(ratios: RatioTable) -> Figure:
    """Variances or proportions along a curve, with two standard errors to either side; a panel for each trait.

    Raises
    ------
    ModelError
        If matplotlib is not installed, or the table has no points.
    """
    refuse_other_kind(ratios, RatioTable, "plot_curve", "fit.along(points)")
    frame = as_table(ratios.frame, ratios.what).frame
    if "point_1" in frame.columns:
        raise ModelError(
            f"{ratios.what}: the table has pairs of points, and plot_curve draws along single ones -> take "
            "fit.along(points, 'phenotypic_variance'), or another ratio of fit.along"
        )
    if "point" not in frame.columns:
        raise ModelError(f"{ratios.what}: the table has no points -> make it by fit.along(points)")
    traits = frame["trait"].unique(maintain_order=True).to_list()
    figure = new_figure(6.4, 4.2 * len(traits))
    groups = [column for column in ("residual_class", "term", "grouping", "effect") if column in frame.columns]
    if "effect" in groups and set(frame["effect"].drop_nulls()) <= {"direct"}:
        groups.remove("effect")
    for axes, trait in zip(figure.subplots(len(traits), 1, squeeze=False)[:, 0], traits, strict=True):
        prepare_axes(axes, f"{ratios.what} of {trait}", ratios.covariate or "point", ratios.what.lower())
        mine = frame.filter(pl.col("trait") == trait)
        parts = mine.partition_by(groups, maintain_order=True) if groups else [mine]
        for k, part in enumerate(parts):
            table, colour = part.sort("point"), COLOURS[k % len(COLOURS)]
            name = ", ".join(str(table[column][0]) for column in groups if table[column][0] is not None)
            at, value = table["point"].to_numpy(), table["estimate"].to_numpy()
            error = 2.0 * table["se"].fill_null(0.0).to_numpy()
            axes.fill_between(at, value - error, value + error, color=colour, alpha=0.15, lw=0)
            axes.plot(at, value, color=colour, lw=2.0, label=name)
        if len(parts) > 1:
            axes.legend(frameon=False, fontsize=8)
    return figure
