"""What page and window look like: all neurons at a glance, their table, and the chosen ones over
time, as Bokeh's models. Plain columns in, models out; whence the numbers come is no matter here.

Everything is drawn in light colours on nothing; in the dark `neurons.css` turns them round.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Numbers, Rates
from ..figures.style import GREY, ORANGE
from ..recordings.quality import shown_number

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.models import ColumnDataSource, DataTable, LinearAxis, Model, Plot, Range1d

MOST_CHOSEN = 8  # neurons that are drawn below each other; more nobody compares
LEVELS = 255  # of brightness in the overview, of which the last means no rates
MOST_ORDERED, MOST_CLUSTERED = 500, 2_000
"""Of so many neurons at most the order by likeness is the best one of their clusters (it takes
their number's third power), and so many are put into clusters (their number's square)."""

SORTS = [
    ("file", "order of the file"),
    ("mean_rate", "mean rate"),
    ("expected", "expected r"),
    ("likeness", "likeness"),
]
"""What the overview and the table are sorted by, and what it is called."""


WINDOWS = (
    *("neuron", "time", "trace", "rate_time", "rate", "spikes"),
    *("trace_low", "trace_high", "rate_high"),
)
"""The columns of `Drawing.windows`, with a row for each neuron that is drawn: its number, what
`PredictionSource.window` gives, and from where to where its trace and up to where its rate is
drawn; NaN for what there is in view."""


@dataclass(frozen=True)
class Drawing:
    """The models of page or window: `roots` by the place that each has in it, `rows` whose selected
    indices are the chosen neurons, `x_range`, the time in view, in s, and `windows`: whatever
    follows the choice and the time puts there what is to be drawn, `neurons.js` draws it."""

    roots: dict[str, Model]
    rows: ColumnDataSource
    table: DataTable
    x_range: Range1d
    windows: ColumnDataSource
    detail: Plot
    controls: dict[str, Any]

    def attach(self, document: Document) -> None:
        """Put all into a document and make it answer to mouse and keys."""
        from bokeh.events import DocumentReady
        from bokeh.models import CustomJS

        named = {"rows": self.rows, "windows": self.windows, "x_range": self.x_range}
        for name, model in (self.roots | named).items():
            model.name = name
        for root in self.roots.values():
            document.add_root(root)
        document.js_on_event(DocumentReady, CustomJS(args=self.controls, code=read("neurons.js")))


def read(name: str) -> str:
    """The text of a file that stands beside this module."""
    return files(__package__).joinpath(name).read_text("utf-8")


def likeness(rates: Rates) -> Numbers:
    """Places `(neuron,)` in an order in which neighbours fire alike, of `rates` `(neuron, bin)`:
    clusters by correlation. Of many a sample is ordered, and each other one stands beside its
    nearest."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    count = len(rates)
    known = np.isfinite(rates)
    sums = np.where(known, rates, 0).sum(axis=1, keepdims=True)
    values = np.where(known, rates - sums / np.maximum(known.sum(axis=1, keepdims=True), 1), 0)
    norms = np.sqrt((values**2).sum(axis=1, keepdims=True))
    values = np.divide(values, norms, where=norms > 0, out=np.zeros_like(values))
    sample = np.unique(np.linspace(0, count - 1, min(count, MOST_CLUSTERED)).astype(int))
    if len(sample) < 3:
        return np.arange(count)
    # On the unit sphere the distance says what the correlation says.
    tree = linkage(values[sample], "average", optimal_ordering=len(sample) <= MOST_ORDERED)
    leaves = leaves_list(tree)
    places = np.empty(len(sample), int)
    places[leaves] = np.arange(len(sample))
    nearest = places.copy()
    if len(sample) < count:
        parts = np.array_split(values, -(-count // MOST_CLUSTERED))
        nearest = np.concatenate(
            [places[(part @ values[sample].T).argmax(axis=1)] for part in parts]
        )
    found = np.empty(count, int)
    found[np.argsort(nearest, kind="stable")] = np.arange(count)
    return found


def brightness(rates: Rates) -> Rates:
    """Rates `(neuron, bin)` as uint8, each neuron from its own least to its own largest; `LEVELS`
    where there are none."""
    known = np.isfinite(rates)
    low = np.where(known, rates, np.inf).min(axis=1, keepdims=True)
    high = np.where(known, rates, -np.inf).max(axis=1, keepdims=True)
    span = np.where(high > low, high - low, 1)
    relative = np.divide(rates - low, span, where=known, out=np.zeros(rates.shape))
    return np.where(known, np.round(relative * (LEVELS - 1)), LEVELS).astype(np.uint8)


def draw(
    columns: dict[str, list[Any]],
    overview: Rates,
    *,
    times: tuple[float, float],
    segments: tuple[tuple[float, float], ...],
    unit: str,
    certainty: str = "expected r",
) -> Drawing:
    """Draw neurons of these `columns` (`source.COLUMNS`) and mean rates `(neuron, bin)`, over
    `times` from the first to the last frame in s; `certainty` heads the column `expected`."""
    from bokeh.models import ColumnDataSource, Range1d

    rows = ColumnDataSource(_columns(columns, overview))
    start, end = times[0], max(times[1], times[0] + 1e-3)
    x_range = Range1d(start, end, bounds=(start, end), min_interval=(end - start) / 1e6)
    table = _table(rows, unit, certainty)
    at_a_glance, controls = _overview(brightness(overview), x_range, certainty)
    windows = ColumnDataSource({name: [] for name in WINDOWS})
    detail, lanes = _detail(x_range, segments)
    detail.tags = [windows]  # so that it belongs to the document
    controls |= lanes | {"table": table, "rows": rows, "x_range": x_range, "windows": windows}
    controls |= {"bounds": [start, end], "unit": unit, "most": MOST_CHOSEN}
    roots = at_a_glance | {"neurons_table": table, "neurons_detail": detail}
    return Drawing(roots, rows, table, x_range, windows, detail, controls)


def _columns(columns: dict[str, list[Any]], overview: Rates) -> dict[str, Any]:
    """The columns of the table, numbers also as they are shown; they sort by what they are."""
    found: dict[str, Any] = dict(columns)
    for name in ("mean_rate", "expected", "noise"):
        found[name] = np.array(columns[name], np.float64)
        found[f"{name}_shown"] = [shown_number(number, "–") for number in columns[name]]
    for number, interval in enumerate(columns["interval"]):
        found["mean_rate_shown"][number] += f" ({interval})" if interval else ""
    if "likeness" not in found:
        found["likeness"] = likeness(overview)
    return found


def _table(rows: ColumnDataSource, unit: str, certainty: str) -> DataTable:
    from bokeh.models import CDSView, DataTable, IndexFilter, StringFormatter, TableColumn

    right = StringFormatter(text_align="right", null_format="–")
    columns = [
        TableColumn(field="name", title="neuron", width=110),
        TableColumn(field="mean_rate_shown", title=unit, width=135, formatter=right),
        TableColumn(field="spikes", title="spikes", width=60, formatter=right),
        TableColumn(field="expected_shown", title=certainty, width=85, formatter=right),
        TableColumn(field="noise_shown", title="noise", width=60, formatter=right),
        TableColumn(field="remarks", title="remarks", width=330),
    ]
    if rows.data["spikes"][:1] == [None]:
        del columns[2]
    return DataTable(
        source=rows,
        columns=columns,
        view=CDSView(filter=IndexFilter(list(range(len(rows.data["name"]))))),
        index_position=None,
        autosize_mode="none",
        reorderable=False,
        stylesheets=[".slick-row .slick-cell.selected { background-color: #fbd9c4; }"],
        height=340,
        sizing_mode="stretch_width",
    )


def _overview(
    levels: Rates, x_range: Range1d, certainty: str
) -> tuple[dict[str, Model], dict[str, Any]]:
    """The picture of all rates with what sorts and filters it, and what `neurons.js` needs."""
    from bokeh.models import (
        BasicTicker,
        ColumnDataSource,
        Image,
        LinearAxis,
        LinearColorMapper,
        Range1d,
        RangeTool,
        Select,
        TextInput,
    )
    from bokeh.models.glyphs import HStrip
    from bokeh.palettes import Blues256

    count = len(levels)
    start, end = x_range.start, x_range.end
    plot = _plot(Range1d(start, end), height=300)
    plot.y_range = Range1d(count, 0)
    picture = ColumnDataSource({"image": [], "dh": []})  # `neurons.js` draws it
    mapper = LinearColorMapper(
        palette=Blues256[::-1], low=0, high=LEVELS - 1, high_color=GREY, nan_color=GREY
    )
    plot.add_glyph(
        picture, Image(image="image", x=start, y=0, dw=end - start, dh="dh", color_mapper=mapper)
    )
    chosen = ColumnDataSource({"top": [], "bottom": []})
    plot.add_glyph(
        chosen, HStrip(y0="top", y1="bottom", line_color=ORANGE, line_width=2, fill_color=None)
    )
    ticker = BasicTicker(desired_num_ticks=4, min_interval=1)
    _axes(plot, LinearAxis(axis_label="neurons", ticker=ticker))
    tool = RangeTool(x_range=x_range)
    tool.overlay.update(fill_color=None, line_color=ORANGE, line_dash="solid", line_alpha=1)
    plot.add_tools(tool)
    options = [(name, certainty if name == "expected" else text) for name, text in SORTS]
    sort = Select(title="sorted by", value="file", options=options, width=145)
    find = TextInput(title="only", placeholder="name, or rate>1", width=145)
    roots = {"neurons_sort": sort, "neurons_find": find, "neurons_overview": plot}
    return roots, {
        "raster": plot,
        "picture": picture,
        "levels": levels,
        "chosen": chosen,
        "sort": sort,
        "find": find,
    }


def _detail(
    x_range: Range1d, segments: tuple[tuple[float, float], ...]
) -> tuple[Plot, dict[str, Any]]:
    """The plot of the chosen neurons, each in lanes of its own, and what `neurons.js` fills."""
    from bokeh.models import (
        BoxZoomTool,
        ColumnDataSource,
        FixedTicker,
        LinearAxis,
        MultiLine,
        Range1d,
        Text,
        WheelZoomTool,
    )
    from bokeh.models.glyphs import Quad, Segment, VSpan

    plot = _plot(x_range, height=260)
    plot.y_range = Range1d(-1, 0)
    # Of names: from the left edge, wherever in time that is.
    plot.extra_x_ranges = {"edge": Range1d(0, 1)}
    sources = {
        "lines": ColumnDataSource({"xs": [], "ys": [], "colour": []}),
        "ticks": ColumnDataSource({"x": [], "top": [], "bottom": [], "colour": []}),
        "gaps": ColumnDataSource({"start": [], "end": [], "top": [], "bottom": []}),
        "heads": ColumnDataSource({"y": [], "text": []}),
    }
    plot.add_glyph(sources["lines"], MultiLine(xs="xs", ys="ys", line_color="colour", line_width=1))
    plot.add_glyph(
        sources["ticks"], Segment(x0="x", x1="x", y0="bottom", y1="top", line_color="colour")
    )
    nothing: dict[str, Any] = {"fill_color": "#eeeeee", "line_color": None}
    nothing |= {"hatch_pattern": "/", "hatch_color": "#bbbbbb", "hatch_scale": 8}
    plot.add_glyph(
        sources["gaps"], Quad(left="start", right="end", top="top", bottom="bottom", **nothing)
    )
    begins = ColumnDataSource({"time": [first for first, _ in segments[1:]]})
    plot.add_glyph(begins, VSpan(x="time", line_color="#909090", line_dash="dashed"))
    names = Text(x=0, y="y", text="text", text_font_size="13px", text_baseline="top")
    names.update(text_color="#222222", text_font_style="bold", x_offset=4)
    plot.add_glyph(sources["heads"], names, x_range_name="edge")
    axis = LinearAxis(ticker=FixedTicker(ticks=[]))
    _axes(plot, axis)
    # The wheel zooms in time, and so does a box that is drawn.
    wheel = WheelZoomTool(dimensions="width", maintain_focus=False)  # or it stops at one end
    box = BoxZoomTool(dimensions="width")
    plot.add_tools(wheel, box)
    plot.toolbar.update(active_scroll=wheel, active_drag=box)
    pauses = [[end, start] for (_, end), (start, _) in pairwise(segments) if start > end]
    edge = plot.extra_x_ranges["edge"]
    return plot, sources | {"detail": plot, "axis": axis, "edge": edge, "pauses": pauses}


def _plot(x_range: Range1d, *, height: int) -> Plot:
    from bokeh.models import Plot

    return Plot(
        x_range=x_range,
        height=height,
        sizing_mode="stretch_width",
        toolbar_location=None,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        # The same for all, so that their times stand below each other.
        min_border_left=64,
        min_border_right=12,
        min_border_top=4,
        min_border_bottom=4,
    )


def _axes(plot: Plot, left: LinearAxis) -> None:
    """An axis on the left, and one of time with few numbers, as a phone has no room for many."""
    from bokeh.models import BasicTicker, Grid, LinearAxis

    times = LinearAxis(axis_label="time (s)", ticker=BasicTicker(desired_num_ticks=5))
    for axis, place in ((left, "left"), (times, "below")):
        axis.update(
            axis_line_color=GREY,
            major_tick_line_color=GREY,
            minor_tick_line_color=None,
            major_label_text_color="#222222",
            axis_label_text_color="#222222",
            axis_label_text_font_style="normal",
            major_label_text_font_size="12px",
            axis_label_text_font_size="12px",
        )
        plot.add_layout(axis, place)
    plot.add_layout(Grid(dimension=0, ticker=times.ticker, grid_line_color="#e5e5e5"))
