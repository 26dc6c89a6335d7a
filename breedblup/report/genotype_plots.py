"""What a quality control, principal components and genomic inbreeding found, drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import ModelError
from breedblup.frames import as_table
from breedblup.genotypes.components import PrincipalComponents
from breedblup.genotypes.quality import QualityResult
from breedblup.report.figures import BLUE, GREY, ORANGE, new_figure, prepare_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_DRAWN = 20_000
"""Points of a scatter; of more, some are drawn, evenly by place in the table."""

COLOURS = (BLUE, ORANGE, "#4f8a5b", "#8c5c9e", "#b08d2f", "#5b6673", "#c2557a", "#3aa3a3")

DARK = "#1d2126"
"""Of a line across many points."""

FEWEST_RATE = 1e-4
"""Where rates of 0 are drawn on a logarithmic axis."""


def plot_quality(result: QualityResult) -> Figure:
    """Six panels: call rates of markers and animals, allele frequencies, Hardy-Weinberg, conflicts with parents, diagonal of G.

    Raises
    ------
    ModelError
        If matplotlib is not installed, or it is no result of a quality control.
    """
    if not isinstance(result, QualityResult):
        raise ModelError(
            f"plot_quality takes what check_genotypes gives, found a {type(result).__name__} -> check them first"
        )
    figure = new_figure(13.0, 7.4)
    panels: list[tuple[str, Callable[[Axes, QualityResult], bool], str]] = [
        ("Call rate of markers", _marker_calls, ""),
        ("Call rate of animals", _animal_calls, ""),
        ("Minor allele frequency", _minor_alleles, ""),
        ("Heterozygotes, observed and expected", _heterozygotes, "\nno marker was tested"),
        ("Conflicts with recorded parents", _conflicts, "\nno genotyped parents, or no pedigree given"),
        ("Diagonal of G", _diagonal, "\ncheck_diagonal(quality, diagonal) adds it"),
    ]
    for axes, (title, draw, why) in zip(figure.subplots(2, 3).flat, panels, strict=True):
        prepare_axes(axes, title)
        if not draw(axes, result):
            axes.text(0.5, 0.5, f"not known{why}", transform=axes.transAxes, ha="center", va="center", color=GREY)
            axes.set_xticks([])
            axes.set_yticks([])
        elif axes.get_legend_handles_labels()[0]:
            axes.legend(framealpha=0.9, edgecolor="none", fontsize=8)
    _, animals, markers = result.steps.row(0)
    n, m = result.genotypes.shape
    figure.suptitle(
        f"{result.genotypes.source}: {n:,} of {animals:,} animals and {m:,} of {markers:,} markers kept", fontsize=11
    )
    return figure


def plot_components(
    components: PrincipalComponents,
    groups: Sequence[str | None] | pl.Series | None = None,
    *,
    axes: tuple[int, int] = (1, 2),
) -> Figure:
    """Scores of two components against each other, and the shares of all.

    Parameters
    ----------
    groups
        Class of each animal (breed, herd, batch), which colours the points; in the order of the scores.
    axes
        Numbers of the components.

    Raises
    ------
    ModelError
        If matplotlib is not installed, it is no principal components, or groups or axes do not fit them.
    """
    if not isinstance(components, PrincipalComponents):
        raise ModelError(f"plot_components takes what principal_components gives, found a {type(components).__name__}")
    number = components.eigenvalues.size
    if not all(1 <= axis <= number for axis in axes):
        raise ModelError(f"plot_components: axes are {axes}, the components are 1 to {number} -> name two of these")
    labels = pl.Series([None] * components.scores.height if groups is None else list(groups), dtype=pl.String)
    if len(labels) != components.scores.height:
        raise ModelError(
            f"plot_components: {len(labels):,} groups for {components.scores.height:,} animals -> give one for each"
        )
    figure = new_figure(11.0, 5.0)
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    x, y = (components.scores[f"PC{axis}"].to_numpy() for axis in axes)
    names = [f"PC{axis} ({100 * components.shares[axis - 1]:.1f} %)" for axis in axes]
    prepare_axes(left, "Animals", *names)
    _grouped_points(left, x, y, labels)
    prepare_axes(right, "Share of the variance", "component", "%")
    right.bar(np.arange(1, number + 1), 100 * components.shares, color=BLUE, width=0.7)
    right.locator_params(axis="x", integer=True)
    return figure


def _grouped_points(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], labels: pl.Series) -> None:
    """Points, coloured by the most frequent classes; the others are grey."""
    order = labels.drop_nulls().value_counts(sort=True)
    classes = sorted(order[labels.name or ""].head(len(COLOURS)).to_list()) if order.height else []
    drawn = some(x.size)
    of = labels.to_numpy()[drawn]
    rest = ~np.isin(of.astype(str), classes) if classes else np.ones(drawn.size, dtype=np.bool_)
    colour = GREY if classes else BLUE
    label = "others" if classes else ""
    if rest.any():
        axes.scatter(x[drawn][rest], y[drawn][rest], s=9, color=colour, alpha=0.6, lw=0, label=label)
    for name, shade in zip(classes, COLOURS, strict=False):
        own = of == name
        axes.scatter(x[drawn][own], y[drawn][own], s=9, color=shade, alpha=0.7, lw=0, label=name)
    if classes:
        axes.legend(frameon=False, fontsize=8, markerscale=2)


def plot_inbreeding(table: Any) -> Figure:
    """Genomic inbreeding of each animal against that of the pedigree, by four definitions.

    Parameters
    ----------
    table
        What `genomic_inbreeding` gives with a pedigree.

    Raises
    ------
    ModelError
        If matplotlib is not installed, or the table lacks columns or inbreeding of the pedigree.
    """
    frame = as_table(table, "table of inbreeding").frame
    kinds = {
        "f_homozygosity": "by homozygosity",
        "f_g": "by the diagonal of G",
        "f_uniting": "by uniting gametes",
        "f_runs": "by runs of homozygosity",
    }
    lacking = [name for name in (*kinds, "f_pedigree") if name not in frame.columns]
    if lacking or frame["f_pedigree"].is_null().all():
        raise ModelError(
            f"plot_inbreeding: without {', '.join(lacking) or 'inbreeding of the pedigree'} -> draw what "
            "genomic_inbreeding(genotypes, pedigree=pedigree) gives"
        )
    figure = new_figure(11.0, 8.0)
    for axes, (column, what) in zip(figure.subplots(2, 2).flat, kinds.items(), strict=True):
        prepare_axes(axes, f"Inbreeding {what}", "F of the pedigree", f"F {what}")
        both = frame.select("f_pedigree", column).drop_nulls()
        if both.height < 2:
            axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", va="center", color=GREY)
            continue
        x, y = both["f_pedigree"].to_numpy(), both[column].to_numpy()
        drawn = some(x.size)
        axes.scatter(x[drawn], y[drawn], s=9, color=BLUE, alpha=0.5, lw=0)
        ends = np.array([x.min(), x.max()])
        axes.plot(ends, ends, color=GREY, lw=1, ls=":", label="equal")
        if x.std() > 0 and y.std() > 0:
            slope = np.cov(x, y)[0, 1] / x.var(ddof=1)
            line = y.mean() + slope * (ends - x.mean())
            r = np.corrcoef(x, y)[0, 1]
            axes.plot(ends, line, color=ORANGE, lw=1.8, label=f"slope {slope:.2f}, correlation {r:.2f}")
        axes.legend(frameon=False, fontsize=8)
    return figure


def some(number: int) -> NDArray[np.int64]:
    """Places of the points that are drawn."""
    return np.unique(np.linspace(0, number - 1, min(number, MOST_DRAWN)).astype(np.int64))


def _histogram(axes: Axes, values: NDArray[np.float64], low: float, high: float, what: str) -> bool:
    """Counts in 50 classes; None of it where there are no values."""
    known = values[np.isfinite(values)]
    if not known.size:
        return False
    axes.hist(np.clip(known, low, high), bins=np.linspace(low, high, 51).tolist(), color=BLUE)
    axes.set_ylabel(what, fontsize=9)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    return True


def _limit(axes: Axes, value: float, label: str) -> None:
    axes.axvline(value, color=ORANGE, lw=1.5, ls="--", label=label)


def _values(table: pl.DataFrame, column: str) -> NDArray[np.float64]:
    return table[column].fill_null(float("nan")).to_numpy().astype(np.float64)


def _call_rates(axes: Axes, values: NDArray[np.float64], threshold: float, what: str) -> bool:
    """Histogram from the lowest rate, on a logarithmic axis of counts."""
    known = values[np.isfinite(values)]
    low = min(float(known.min()), threshold, 0.99) if known.size else 0.0
    drawn = _histogram(axes, values, np.floor(20 * low) / 20, 1.0, what)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7)
    _limit(axes, threshold, f"least {threshold:g}")
    axes.set_xlabel("share of calls", fontsize=9)
    return drawn


def _marker_calls(axes: Axes, result: QualityResult) -> bool:
    return _call_rates(axes, _values(result.markers, "call_rate"), result.quality.marker_call_rate, "markers")


def _animal_calls(axes: Axes, result: QualityResult) -> bool:
    return _call_rates(axes, _values(result.animals, "call_rate"), result.quality.animal_call_rate, "animals")


def _minor_alleles(axes: Axes, result: QualityResult) -> bool:
    axes.set_xlabel("frequency of the rarer allele", fontsize=9)
    least = result.quality.minor_allele_frequency
    _limit(axes, least, f"least {least:g}")
    return _histogram(axes, _values(result.markers, "minor_allele_frequency"), 0.0, 0.5, "markers")


def _heterozygotes(axes: Axes, result: QualityResult) -> bool:
    """Share of heterozygotes by allele frequency, 2pq, and the markers that fail."""
    table = result.markers.filter(pl.col("hardy_weinberg").is_not_null())
    if table.is_empty():
        return False
    failed = table["marker"].is_in(
        pl.concat([result.excluded_markers, result.reported_markers])
        .filter(pl.col("why") == "Hardy-Weinberg proportions")["marker"]
        .implode()
    )
    for part, colour, size, label in (
        (table.filter(~failed), BLUE, 6, None),
        (table.filter(failed), ORANGE, 24, "fails"),
    ):
        drawn = some(part.height) if part.height else np.empty(0, dtype=np.int64)
        if drawn.size:
            x, y = (part[name].to_numpy()[drawn] for name in ("frequency", "heterozygosity"))
            axes.scatter(x, y, s=size, color=colour, alpha=0.6, lw=0, label=label)
    p = np.linspace(0.0, 1.0, 101)
    axes.plot(p, 2 * p * (1 - p), color=DARK, lw=1.4, zorder=3, label="2pq")
    axes.set_xlabel("frequency of the counted allele", fontsize=9)
    axes.set_ylabel("share of heterozygotes", fontsize=9)
    return True


def _conflicts(axes: Axes, result: QualityResult) -> bool:
    """Rates of animals with each parent, in classes of equal width on a logarithmic axis."""
    table = result.conflicts.filter((pl.col("role") != "both") & (pl.col("compared") > 0))
    if table.is_empty():
        return False
    bins = np.geomspace(FEWEST_RATE, 1.0, 41).tolist()
    roles = ("sire", "dam")
    rates = [np.maximum(_values(table.filter(pl.col("role") == role), "rate"), FEWEST_RATE) for role in roles]
    axes.hist(rates, bins=bins, stacked=True, color=[BLUE, "#9bb8cc"], label=["with the sire", "with the dam"])
    axes.set_xscale("log")
    axes.set_yscale("log")
    limit = result.quality.mendelian_errors_per_pair
    _limit(axes, limit, f"most {limit:g}")
    axes.set_xlabel(f"opposing homozygotes, share of markers ({FEWEST_RATE:g} or less: first class)", fontsize=9)
    axes.set_ylabel("pairs", fontsize=9)
    return True


def _diagonal(axes: Axes, result: QualityResult) -> bool:
    if result.diagonal is None:
        return False
    values = _values(result.diagonal, "diagonal")
    low, high = result.quality.g_diagonal
    drawn = _histogram(
        axes, values, min(low, float(values.min())) - 0.05, max(high, float(values.max())) + 0.05, "animals"
    )
    axes.set_yscale("log")
    for value, label in ((low, f"{low:g} to {high:g}"), (high, "")):
        _limit(axes, value, label)
    axes.set_xlabel("G_ii", fontsize=9)
    return drawn
