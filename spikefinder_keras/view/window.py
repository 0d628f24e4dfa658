"""The window: what `drawing` draws, with the numbers that are in view, and marks, from the server.

A window is a Bokeh document. The browser says which neurons are chosen, which time is in view and
what was marked; it gets what is to be drawn of that, and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.events import DocumentReady
from bokeh.models import ColumnDataSource, CustomJS, StringFormatter, TableColumn

from ..arrays import Rates
from ..errors import SpikefinderError
from ..figures.recording_page import jinja
from ..recordings.marks import BAD, GOOD
from ..recordings.quality import shown_number
from ..text import counted, shown
from .drawing import MOST_CHOSEN, Drawing, draw, likeness, read
from .marks import Marks
from .pyramid import MEANS
from .source import PredictionSource
from .truth import TruthSource

SOON = 15
"""ms in which what the browser says of one movement is gathered; a person sees 50 as at once."""
LOOK = 2_000  # ms after which it is looked whether another program has changed the marks
LEAST_WIDTH, MOST_WIDTH = 300, 4_000  # pixels of a plot, whatever the browser says


@dataclass(frozen=True)
class Shown:
    """What all windows of a server show, found once."""

    source: PredictionSource | TruthSource
    marks: Marks
    title: str
    traces: bool = True
    """Whether the recording is there, too."""

    @cached_property
    def overview(self) -> Rates:
        return self.source.overview(min(MEANS, self.source.frames))

    @cached_property
    def columns(self) -> dict[str, list[Any]]:
        found = self.source.table()
        if "likeness" not in found:
            found["likeness"] = likeness(self.overview).tolist()
        if "score" in found:
            found["score_shown"] = [shown_number(value, "–") for value in found["score"]]
        return found

    def prepare(self) -> None:
        """Find all that before anybody waits in front of a browser."""
        self.columns  # noqa: B018 - found when it is first asked for

    @property
    def about(self) -> str:
        """The recording in a line."""
        source = self.source
        start, end = source.times[[0, -1]]
        weights = shown(source.prediction.description.get("weights", "not stated"))
        return (
            f"{counted(len(source.names), 'neuron')}, {source.frames:,} frames at "
            f"{source.frame_rate:g} Hz ({(end - start) / 60:.1f} min), predicted by the weights "
            f"{weights}"
        )

    def open(self, document: Document) -> None:
        """Draw a window into a document."""
        Window(self, document)


@dataclass
class Window:
    """One window, for as long as its document is there."""

    of: Shown
    document: Document
    waits: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        source, marks = self.of.source, self.of.marks
        start, end = (float(time) for time in source.times[[0, -1]])
        self.drawing: Drawing = draw(
            {**self.of.columns, **self._marks()},
            self.of.overview,
            times=(start, end),
            segments=source.segments,
            unit=source.unit,
            certainty=source.prediction.quality.certainty.name,
        )
        self.asked = ColumnDataSource({"neuron": [], "mark": [], "word": [], "number": []})
        self.said = ColumnDataSource({"text": []})
        # What the browser draws by itself stays there: the map alone may have 5 MB.
        for model in self.drawing.controls.values():
            if isinstance(model, ColumnDataSource) and model is not self.drawing.rows:
                model.syncable = False
        self._add_columns()
        self._add_page()
        self._answer(self.drawing, self.asked)
        marks.listeners.append(self._marks_changed)
        self.document.on_session_destroyed(
            lambda context: marks.listeners.remove(self._marks_changed)
        )
        self.document.add_periodic_callback(lambda: self._try(marks.refresh), LOOK)

    def _add_columns(self) -> None:
        columns = self.drawing.table.columns
        columns.insert(1, TableColumn(field="marked", title="mark", width=90))
        if "score" in self.of.columns:
            right = StringFormatter(text_align="right")
            column = TableColumn(field="score_shown", title="true r", width=60, formatter=right)
            columns.insert(2, column)

    def _add_page(self) -> None:
        document = self.document
        document.title = shown(self.of.title)
        document.template = jinja(read("window.html"))
        document.template_variables.update(
            title=shown(self.of.title),
            about=self.of.about,
            marks=shown(self.of.marks.path),
            neurons=jinja(read("neurons.html")),
            unit=self.of.source.unit,
            note="",
            lines=[],
            style=read("neurons.css") + read("window.css"),
            truth=isinstance(self.of.source, TruthSource),
        )
        self.drawing.attach(document)
        # What a document's own scripts alone name is no part of it on the server.
        self.drawing.detail.tags = [self.drawing.windows, self.asked, self.said]
        models = {"asked": self.asked, "said": self.said}
        models |= {"rows": self.drawing.rows, "table": self.drawing.table}
        document.js_on_event(DocumentReady, CustomJS(args=models, code=read("window.js")))

    def _answer(self, drawing: Drawing, asked: ColumnDataSource) -> None:
        """What happens when something is chosen, moved or marked in the browser."""

        def changed(attribute: str, old: object, new: object) -> None:
            if not self.waits:  # all that one movement changes is one drawing
                self.waits = True
                self.document.add_timeout_callback(self.show, SOON)

        drawing.rows.selected.on_change("indices", changed)
        drawing.x_range.on_change("start", changed)
        drawing.x_range.on_change("end", changed)
        drawing.detail.on_change("inner_width", changed)
        asked.on_change("data", lambda attribute, old, new: self._try(self._mark))

    def show(self) -> None:
        """Draw the chosen neurons in the time that is in view."""
        self.waits = False
        self._try(self._show)

    def _show(self) -> None:
        source, x_range = self.of.source, self.drawing.x_range
        count = len(source.names)
        chosen = [k for k in self.drawing.rows.selected.indices if 0 <= k < count][:MOST_CHOSEN]
        width = np.clip(self.drawing.detail.inner_width or 0, LEAST_WIDTH, MOST_WIDTH)
        windows = [source.window(k, x_range.start, x_range.end, 2 * int(width)) for k in chosen]
        limits = [source.limits(k) for k in chosen]
        names = ("time", "trace", "rate_time", "rate", "spikes")
        data: dict[str, Any] = {name: [each[name] for each in windows] for name in names}
        if not self.of.traces:
            data |= {name: [[] for _ in chosen] for name in ("time", "trace")}
        for k, name in enumerate(("trace_low", "trace_high", "rate_high")):
            data[name] = [each[k] for each in limits]
        if isinstance(source, TruthSource):
            data["truth"] = [each["truth"] for each in windows]
        self.drawing.windows.data = {"neuron": chosen, **data}

    # Marks

    def _marks(self) -> dict[str, list[str]]:
        found = [self.of.marks[name] for name in self.of.source.names]
        return {
            "mark": [each.mark for each in found],
            "word": [each.word for each in found],
            "marked": [", ".join(filter(None, (each.mark, each.word))) for each in found],
        }

    def _mark(self) -> None:
        """What the browser asks for: of all these neurons a mark and a word, None where they
        stay."""
        asked, names = self.asked.data, self.of.source.names
        chosen = [names[k] for k in asked["neuron"] if 0 <= k < len(names)]
        mark, word = asked["mark"][0], asked["word"][0]
        if mark in (GOOD, BAD, "", None):
            self.of.marks.set(chosen, mark, None if word is None else str(word))

    def _marks_changed(self) -> None:
        # Another window's document may be changed in a callback of its own alone.
        self.document.add_next_tick_callback(self._show_marks)

    def _show_marks(self) -> None:
        rows = self.drawing.rows
        patches: dict[str, list[tuple[int, str]]] = {}
        for name, values in self._marks().items():
            before = rows.data[name]
            changes = [(k, v) for k, v in enumerate(values) if v != before[k]]
            if changes:
                patches[name] = changes
        if patches:
            rows.patch(patches)

    def _try(self, action: Callable[[], None]) -> None:
        """Do something, and say in the window what is wrong with it."""
        text = ""
        try:
            action()
        except SpikefinderError as error:
            text = str(error)
        if self.said.data["text"] != [text] and (text or self.said.data["text"]):
            self.said.data = {"text": [text]}
