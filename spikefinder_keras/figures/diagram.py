"""Figure 1: the architecture, drawn from the layers of a network and what connects them.

The convolutions stand in one column, the trunk; the dataset ID and the recurrent layer beside it.
"""

from dataclasses import dataclass, field

from ..network.spec import channels, parameter_count
from .style import GREY, house_style, new_axes

ROW, BOX_HEIGHT, GAP = 0.44, 0.28, 0.55
"""Inches: from row to row, height of a box, and from the trunk to what stands beside it."""

LETTER = 0.064
"""Inches; about the width of a letter, rather more, so that every text fits its box."""

FILLS = {"input": "#d6ecf8", "output": "#fbe0cc", "join": "white", "recurrent": "#e3e3e3"}
"""Tints of the palette's blue and vermilion, and grey; convolutions stay very light."""


@dataclass
class Box:
    """A box of the figure: the layers it stands for, its text and kind, and what feeds it.

    `row` counts from the top; `beside` is true to the right of the trunk.
    """

    name: str
    text: str
    kind: str
    sources: list
    layers: list = field(default_factory=list)
    row: int = 0

    @property
    def beside(self):
        return self.kind == "recurrent" or (self.kind == "input" and self.name == "dataset")


@house_style
def network_diagram(layers, title, ax=None):
    """Figure 1 of the description: the network's layers as boxes.

    Parameters
    ----------
    layers : list of network.layers.Layer
    title : str
        The number of parameters is added to it.
    ax : matplotlib Axes, optional
        By default a new figure's, of the size that fits. Texts keep their size in points, so
        smaller axes than that are too small.

    Returns
    -------
    matplotlib Axes
        Every box is a patch and a text whose `gid` is the name of its first layer, or `output`.
    """
    drawn = boxes(layers)
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
        _draw_box(ax, box, x, y, width[box.beside])
        if box.kind == "convolution":
            convolutions += 1
            ax.text(0.12, y, str(convolutions), ha="center", va="center", color=GREY)
        for source in box.sources:
            _draw_arrow(ax, by_name[source], box, centre, width)
    ax.set_xlim(0, total + 0.02)
    ax.set_ylim(-(rows - 1) * ROW - BOX_HEIGHT / 2 - 0.04, BOX_HEIGHT / 2 + 0.04)
    ax.set_axis_off()
    parameters = f"{parameter_count(layers):,} parameters; convolutions: filters x taps"
    ax.set_title(f"{title}: {parameters}")
    return ax


def boxes(layers):
    """The boxes of a network's figure, from its inputs to its output; a list of `Box`."""
    drawn, box_of, width = [], {}, channels(layers)
    for layer in layers:
        sources = [box_of[name] for name in layer.sources]
        kind, text = _read(layer, [width[name] for name in layer.sources])
        if kind == "inside":  # it shares the box of the convolution before it
            (box,) = (box for box in drawn if box.name == sources[0])
            box.text += f", {text}"
            box.layers.append(layer.name)
        else:
            box = Box(layer.name, text, kind, sources, [layer.name])
            drawn.append(box)
        box_of[layer.name] = box.name
    drawn.append(Box("output", "output: spike rate", "output", [box_of[layers[-1].name]]))
    _place(drawn)
    return drawn


def _read(layer, given):
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


def _place(drawn):
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


def _draw_box(ax, box, x, y, width):
    from matplotlib.patches import FancyBboxPatch

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


def _draw_arrow(ax, source, target, centre, width):
    """Straight within a column or row; else from the source's side, with one right angle."""
    half = BOX_HEIGHT / 2
    start = [centre[source.beside], -source.row * ROW]
    end = [centre[target.beside], -target.row * ROW]
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
        "", end, start,
        arrowprops={
            "arrowstyle": "-|>", "connectionstyle": style, "color": "black", "linewidth": 0.8,
            "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7,
        },
    )  # fmt: skip
