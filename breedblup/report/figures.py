"""What all figures share: how they are made without a window, their colours, their axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from breedblup.errors import ModelError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2f6690", "#d1603d", "#8a8f98"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, bound to no window; sizes in inches.

    Raises
    ------
    ModelError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ModelError("plots need matplotlib, which is not installed -> pip install 'breedblup[plot]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def refuse_other_kind(given: object, kind: type, function: str, source: str) -> None:
    """`ModelError` unless a plot is given what it draws, which ``source`` gives."""
    if not isinstance(given, kind):
        raise ModelError(f"{function} takes what {source} gives, found a {type(given).__name__}")


def prepare_axes(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    """Title, labels, and no box around."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=9)
