"""How every figure looks, is made, signed and written. No window opens, no global style changes.

Colours are Okabe and Ito's, which every eye tells apart; what must be told apart in grey print too
also differs in line, marker or label.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np

from ..arrays import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#707070"
"""Okabe and Ito's blue and vermilion, told apart by every eye and in grey print."""

TEN = (
    "#000000", "#cc6677", "#332288", "#117733", "#88ccee",
    "#882255", "#44aa99", "#999933", "#aa4499", "#e69f00",
)  # fmt: skip
"""Ten lines that can be told apart: black, Paul Tol's "muted", and Okabe and Ito's orange instead
of its sand, which is too pale on white."""

STYLE = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.5,
    "legend.frameon": False,
}


def house_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorate a figure function: it draws in our style, whatever the user's is, and leaves that
    as it was."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib.style

        with matplotlib.style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return styled


def new_axes(width: float, height: float) -> Axes:
    """Axes of a figure that belongs to no window; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Not pyplot's, which keeps every figure and may open a window.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def figure_of(ax: Axes) -> Figure:
    """The whole figure that axes stand in."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes have no figure any more")
    return figure


def sign(ax: Axes, text: str) -> None:
    """Write below a figure, small and grey, what drew it: its weights and its data."""
    ax.figure.supxlabel(text, x=0.01, ha="left", fontsize=6, color=GREY)


def save(ax: Axes, path: str | Path) -> None:
    """Write the figure of `ax` to `path`, whole or not at all, in the format its name ends in."""
    import matplotlib

    from ..files.atomic import MARK, whole_file

    # TrueType fonts can be edited in a PDF; without its date the same figure is the same file.
    metadata: dict[str, str | None] = {"Software": MARK}
    if str(path).endswith(".pdf"):
        metadata = {"Creator": MARK, "CreationDate": None}
    with whole_file(path) as temporary, matplotlib.rc_context({"pdf.fonttype": 42}):
        figure_of(ax).savefig(temporary, dpi=200, bbox_inches="tight", metadata=metadata)


def extent(values: ArrayLike) -> tuple[float, float]:
    """Least and largest of the finite values, both NaN if there is none."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return (float(known.min()), float(known.max())) if known.size else (np.nan, np.nan)
