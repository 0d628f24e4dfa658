"""Figures of a network: its architecture as boxes (Figure 1), its first kernels (Figure 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..constants import SAMPLE_RATE
from ..network.spec import Layer, channels, parameter_count
from .style import GREY, TEN, house_style, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW, BOX_HEIGHT, GAP = 0.44, 0.28, 0.55
"""Inches: from row to row, height of a box, and from the trunk to what stands beside it."""

LETTER = 0.064  # inches; about the width of a letter, rather more, so that every text fits its box

FILLS = {"input": "#d6ecf8", "output": "#fbe0cc", "join": "white", "recurrent": "#e3e3e3"}
"""Tints of the palette's blue and vermilion, and grey; convolutions stay very light."""


@dataclass
class Box:
    """A box of the figure: the layers it stands for, its text and kind, what feeds it, its row from
    the top, and whether it stands to the right of the trunk."""

    name: str
    text: str
    kind: str
    sources: list[str]
    layers: list[str] = field(default_factory=list)
    row: int = 0

    @property
    def beside(self) -> bool:
        return self.kind == "recurrent" or (self.kind == "input" and self.name == "dataset")


@house_style
def network_diagram(spec: Sequence[Layer], title: str, ax: Axes | None = None) -> Axes:
    """Figure 1 of the description: the network's layers as boxes, each a patch and a text whose
    `gid` is the name of its first layer, or `output`.

    The number of parameters is added to the title. New axes have the size that fits; as texts keep
    theirs, smaller ones are too small.
    """
    drawn = boxes(spec)
    width = {
        side: LETTER * max((len(b.text) for b in drawn if b.beside == side), default=0) + 0.15
        for side in (False, True)
    }
    rows = max(box.row for box in drawn) + 1
    total = 0.25 + width[False] + GAP + width[True]
    ax = ax or new_axes(total + 0.1, ROW * rows + 0.3)
    centre = {False: 0.25 + width[False] / 2, True: total - width[True] / 2}
    by_name = {box.name: box for box in drawn}
    convolutions = 0
    for box in drawn:
        x, y = centre[box.beside], -box.row * ROW
        _draw_box(ax, box, x=x, y=y, width=width[box.beside])
        if box.kind == "convolution":
            convolutions += 1
            ax.text(0.12, y, str(convolutions), ha="center", va="center", color=GREY)
        for source in box.sources:
            _draw_arrow(ax, by_name[source], box, centre=centre, width=width)
    ax.set_xlim(0, total + 0.02)
    ax.set_ylim(-(rows - 1) * ROW - BOX_HEIGHT / 2 - 0.04, BOX_HEIGHT / 2 + 0.04)
    ax.set_axis_off()
    parameters = f"{parameter_count(spec):,} parameters; convolutions: filters x taps"
    ax.set_title(f"{title}: {parameters}")
    return ax


def boxes(spec: Sequence[Layer]) -> list[Box]:
    """The boxes of a network's figure, from its inputs to its output."""
    drawn: list[Box] = []
    box_of: dict[str, str] = {}
    width = channels(spec)
    for layer in spec:
        sources = [box_of[name] for name in layer.sources]
        kind, text = _read(layer, [width[name] for name in layer.sources])
        # Dropout and normalisation are drawn in the box of what they follow, as in the Figure 1
        # of 2017.
        if kind == "inside":  # it shares the box of the convolution before it
            (box,) = (box for box in drawn if box.name == sources[0])
            box.text += f", {text}"
            box.layers.append(layer.name)
        else:
            box = Box(layer.name, text, kind, sources, [layer.name])
            drawn.append(box)
        box_of[layer.name] = box.name
    drawn.append(Box("output", "output: spike rate", "output", [box_of[spec[-1].name]]))
    _number_rows(drawn)
    return drawn


def _read(layer: Layer, given: Sequence[int]) -> tuple[str, str]:
    """A layer's kind and its text in the figure; `given` are the channels of what feeds it."""
    options = layer.options
    if layer.kind == "input":
        names = {"calcium": "calcium", "dataset": "dataset ID, one-hot, {channels} channels"}
        return "input", f"input: {names[layer.name].format(**options)}"
    if layer.kind == "convolution":
        text = "Convolution {filters} x {taps}".format(**options)
        return "convolution", f"{text}, {options['activation']}" if options["activation"] else text
    if layer.kind == "lstm":
        merged = {"sum": "directions summed", "concat": "directions concatenated"}
        return "recurrent", (
            f"Bidirectional LSTM x {options['units']}, {merged[options['merge_mode']]}"
        )
    if layer.kind in ("add", "concatenate"):
        return "join", f"{layer.kind}: {' + '.join(map(str, given))} channels"
    texts = {
        "dropout": "dropout {rate:g}",
        "normalization": "batch normalization",
        "activation": "{activation}",
    }
    return "inside", texts[layer.kind].format(**options)


def _number_rows(drawn: Sequence[Box]) -> None:
    """Give every box its row: the trunk's in order, with one left free beside the recurrent layer;
    an input beside the trunk stands in the row of what it feeds."""
    row = 0
    for box in drawn:
        if box.kind == "recurrent" or not box.beside:
            box.row = row
            row += 1
    for box in drawn:
        if box.beside and box.kind == "input":
            box.row = next(each.row for each in drawn if box.name in each.sources)


def _draw_box(ax: Axes, box: Box, *, x: float, y: float, width: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    # Rounded like a pill: what goes in and out, not a layer.
    rounding = BOX_HEIGHT / 2 if box.kind in ("input", "output") else 0.03
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - BOX_HEIGHT / 2), width, BOX_HEIGHT, gid=box.name,
            boxstyle=f"round,pad=0,rounding_size={rounding}", linewidth=0.8,
            facecolor=FILLS.get(box.kind, "#f7f7f7"), edgecolor="black",
            linestyle="--" if box.kind == "join" else "-",
        )
    )  # fmt: skip
    ax.text(x, y, box.text, ha="center", va="center", gid=box.name)


def _draw_arrow(
    ax: Axes, source: Box, target: Box, *, centre: Mapping[bool, float], width: Mapping[bool, float]
) -> None:
    """Straight within a column or row; else from the source's side, with one right angle."""
    half = BOX_HEIGHT / 2
    start = np.array([centre[source.beside], -source.row * ROW])
    end = np.array([centre[target.beside], -target.row * ROW])
    style = "arc3"
    if source.beside == target.beside:
        start[1] -= half
        end[1] += half
    elif source.row == target.row:
        start[0] -= width[True] / 2
        end[0] += width[False] / 2
    elif target.beside:  # out to the right, then down
        start[0] += width[False] / 2
        end[1] += half
        style = "angle,angleA=0,angleB=90,rad=0"
    else:  # down, then back to the left
        start[1] -= half
        end[0] += width[False] / 2
        style = "angle,angleA=90,angleB=0,rad=0"
    ax.annotate(
        "", tuple(end), tuple(start),
        arrowprops={
            "arrowstyle": "-|>", "connectionstyle": style, "color": "black", "linewidth": 0.8,
            "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7,
        },
    )  # fmt: skip


@house_style
def kernels(
    kernel: Array, title: str = "Convolution kernels of the first layer", ax: Axes | None = None
) -> Axes:
    """Figure 2 of the description: the first layer's kernels over time, one above the other.

    Time 0 is the sample whose rate is predicted. Keras' convolution is a cross-correlation: tap k
    multiplies the calcium at `t + (k - (taps - 1) // 2) * 10 ms`, so positive times look at calcium
    still to come. The 300 taps of the published kernel reach from -1.49 to 1.50 s.

    `kernel` is `(tap, filter)` or `(tap, 1, filter)`, without a unit as the standardised calcium.
    All lines have one scale, and each a lane of its own.
    """
    kernel = np.asarray(kernel)
    kernel = kernel.reshape(len(kernel), -1)
    taps, count = kernel.shape
    ax = ax or new_axes(4.5, 0.5 + 0.5 * count)
    time = (np.arange(taps) - (taps - 1) // 2) / SAMPLE_RATE
    # A little more than two neighbours need, and never much less than the others have.
    gaps = 1.2 * (kernel[:, 1:] - kernel[:, :-1]).max(axis=0, initial=0.0)
    offsets = -np.cumsum([0.0, *np.maximum(gaps, np.median(gaps))]) if count > 1 else np.zeros(1)
    ax.axvline(0, color=GREY, linewidth=0.6, linestyle=":")
    for number, (values, offset) in enumerate(zip(kernel.T, offsets, strict=True)):
        colour = TEN[number % len(TEN)]
        ax.plot(time, values + offset, color=colour, linewidth=0.9, label=f"kernel {number + 1}")
    ax.set_yticks(offsets, [str(number) for number in range(1, count + 1)])
    for number, label in enumerate(ax.get_yticklabels()):
        label.set_color(TEN[number % len(TEN)])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.margins(x=0.01, y=0.02)
    draw_scale_bar(ax, np.ptp(kernel) / 3)
    ax.set_xlabel("time relative to the predicted sample (s)")
    ax.set_ylabel("kernel (amplitudes offset; scale bar without unit)")
    ax.set_title(title)
    return ax


def draw_scale_bar(ax: Axes, height: float) -> None:
    """A vertical bar to the right of the axes, about `height` in data units, with its length."""
    height = float(f"{height:.0e}")
    bottom = ax.get_ylim()[0]
    where: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "clip_on": False}
    ends = [bottom, bottom + height]
    ax.plot([1.02, 1.02], ends, color="black", linewidth=1.5, label="_scale", **where)
    ax.text(1.03, float(np.mean(ends)), f"{height:g}", va="center", **where)
