"""The page of a prediction: how far to trust it, and every neuron to look at, in one file that
needs no other and no network.

The part to look at is Bokeh's; where that is not installed the page is written without, and says
how to get it. Traces and rates are in the page, in 16 bits from each neuron's least to its largest
value, which no screen tells from the numbers themselves.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, Trace
from ..figures.recording_page import jinja, report
from ..files.atomic import write_text
from ..recordings.formats.writers import even
from ..recordings.recording import Prediction
from . import LIBRARIES, require_libraries
from .drawing import MOST_CHOSEN, draw, read
from .source import PredictionSource

if TYPE_CHECKING:
    from bokeh.document import Document

MOST_BYTES = 30_000_000
"""Traces and rates take so many bytes of a page, as text: 200 neurons of a quarter of an hour at
30 Hz. Of larger recordings they are reduced; a browser takes seconds for more."""

AT_ONCE = 32  # neurons that are read together, to bound the memory
FEWEST_POINTS = 64  # of which a reduced trace is drawn, however many neurons there are
MOST_SPIKES = 500_000  # of all neurons; 5 MB
MOST_BINS, MOST_VALUES = 600, 2_500_000  # of the overview: as wide as it is, and 3 MB
BASE64 = 4 / 3  # bytes of text for one of data
MISSING, STEPS = -32_768, 65_534  # see page.js

HEIGHT = 800  # pixels, in a notebook
ALONE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Every neuron</title>
<style>:root { color-scheme: light dark } body { font: 14px system-ui, sans-serif }</style>
{{ head | safe }}</head><body>{{ browser | safe }}</body></html>
"""
COMPONENTS = ("bokeh", "bokeh-widgets", "bokeh-tables")  # parts of Bokeh that are put into a page
INSTALL = "pip install 'spikefinder-keras[view]'"
WITHOUT = f"to look at every neuron on this page, install Bokeh: {INSTALL}"


def is_there() -> bool:
    """Whether the libraries are installed by which neurons are looked at."""
    return all(find_spec(name) is not None for name in LIBRARIES)


def write_page(
    path: str | Path, prediction: Prediction, say: Callable[[str], None] = lambda line: None
) -> None:
    """Write the page of a prediction, whole or not at all; `say` is called with a line on what it
    lacks. Raises `OutputError` if it cannot be written."""
    write_text(path, page(prediction))
    if not is_there():
        say(f"{Path(path).name}: {WITHOUT}")


def page(prediction: Prediction) -> str:
    """The page of `write_page` as text."""
    if not is_there():
        return report(prediction, hint=WITHOUT)
    head, browser = fragment(prediction)
    return report(prediction, head=head, browser=browser)


@dataclass(frozen=True)
class View:
    """A page that a notebook shows in a frame of its own, from which it reaches nothing else."""

    html: str

    def _repr_html_(self) -> str:
        style = f"width: 100%; height: {HEIGHT}px; border: 0"
        inside = escape(self.html)
        return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{inside}"></iframe>'


def view_prediction(prediction: Prediction) -> View:
    """Look at every neuron of a prediction in a notebook, as on the page of `predict --report`: it
    is the last value of a cell. All numbers are in the notebook then. `UsageError` if Bokeh is not
    installed."""
    require_libraries("looking at neurons")
    head, browser = fragment(prediction)
    return View(jinja(ALONE).render(head=head, browser=browser))


def fragment(prediction: Prediction) -> tuple[str, str]:
    """Every neuron of a prediction to look at, as HTML: what a page has in its head, with all of
    Bokeh that is needed, and the part itself."""
    from bokeh.embed import components
    from bokeh.resources import Resources

    document, data = document_of(prediction)
    script, places = components({root.name: root for root in document.roots})
    resources = Resources(mode="inline", minified=True, components=list(COMPONENTS))
    style = f"<style>\n{read('neurons.css')}</style>"
    html = jinja(read("neurons.html")).render(
        places=places, unit=PredictionSource(prediction).unit, note=data.note, lines=data.lines
    )
    return f"{resources.render_js()}\n{style}", f"{html}\n{script}"


def document_of(prediction: Prediction) -> tuple[Document, Packed]:
    """A Bokeh document with every neuron, and the numbers that it draws."""
    from bokeh.document import Document
    from bokeh.events import DocumentReady
    from bokeh.models import CustomJS

    source = PredictionSource(prediction)
    certainty = prediction.quality.certainty.name
    bins = int(np.clip(MOST_VALUES // len(source.names), 1, min(MOST_BINS, source.frames)))
    drawing = draw(
        source.table(),
        source.overview(bins),
        times=(float(source.times[0]), float(source.times[-1])),
        segments=source.segments,
        unit=source.unit,
        certainty=certainty,
    )
    data = packed(source)
    document = Document()
    drawing.attach(document)
    arguments = data.arguments | {
        "times": None if even(source.times, source.frame_rate) else source.times,
        "first_time": source.start,
        "frame_rate": source.frame_rate,
        "rows": drawing.rows,
        "x_range": drawing.x_range,
        "windows": drawing.windows,
        "detail": drawing.detail,
        "most": MOST_CHOSEN,
    }
    document.js_on_event(DocumentReady, CustomJS(args=arguments, code=read("page.js")))
    return document, data


@dataclass(frozen=True)
class Packed:
    """The numbers of all neurons as `page.js` reads them: a line of each, what the lines are, and
    text on what was left out."""

    lines: list[str]
    arguments: dict[str, Any]
    note: str


def packed(source: PredictionSource) -> Packed:
    """Pack traces, rates and spikes of all neurons."""
    count, frames = len(source.names), source.frames
    points, notes = frames, []
    if 2 * 2 * count * frames * BASE64 > MOST_BYTES:
        # With the numbers of the frames six bytes instead of two.
        points = int(MOST_BYTES / BASE64 / (2 * 6 * count)) // 2 * 2
        points = min(max(points, FEWEST_POINTS), frames)
        notes.append(
            f"Of each trace and rate the least and the largest values of {points // 2:,} stretches "
            f"are drawn, not all {frames:,} frames, as the page would be too large; "
            "spikefinder-keras view shows all."
        )
    number = sum(len(times) for times in source.prediction.spike_times or ())
    if number > MOST_SPIKES:
        notes.append(f"The {number:,} spikes are not drawn, as the page would be too large.")
    limits = {name: np.full((2, count), np.nan) for name in ("trace", "rate")}
    start, end = source.times[[0, -1]]
    lines = []
    for neuron in range(count):
        if neuron % AT_ONCE == 0:
            part = source.part(range(neuron, min(neuron + AT_ONCE, count)))
        window = part.window(neuron % AT_ONCE, float(start), float(end), points)
        parts, numbers = [], []
        for name, time in (("trace", "time"), ("rate", "rate_time")):
            codes, limits[name][:, neuron] = in_16_bits(window[name])
            # Where there are fewer, the last one stands again.
            room = (0, points - len(codes))
            parts.append(np.pad(codes, room, mode="edge").tobytes())
            if points < frames:
                at = np.searchsorted(source.times, window[time]).astype(np.uint32)
                numbers.append(np.pad(at, room, mode="edge").tobytes())
        spikes = window["spikes"] if number <= MOST_SPIKES else np.empty(0)
        pair = (b"".join(numbers + parts), np.asarray(spikes, np.float64).tobytes())
        lines.append(" ".join(base64.b64encode(each).decode() for each in pair))
    arguments = {"limits": {k: list(v) for k, v in limits.items()}, "points": points}
    return Packed(lines, arguments | {"reduced": points < frames}, " ".join(notes))


def in_16_bits(values: Trace) -> tuple[Array, tuple[float, float]]:
    """Values as int16 from the least to the largest of them, `MISSING` where there are none, and
    these two, NaN without any value."""
    known = np.isfinite(values)
    codes = np.full(len(values), MISSING, np.int16)
    if not known.any():
        return codes, (np.nan, np.nan)
    low, high = float(values[known].min()), float(values[known].max())
    steps = (values[known].astype(np.float64) - low) * (STEPS / ((high - low) or 1))
    codes[known] = np.round(steps) + (MISSING + 1)
    return codes, (low, high)
