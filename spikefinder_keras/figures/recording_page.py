"""A prediction as one self-contained HTML page: what was predicted, how far to believe it."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Numbers, Rates
from ..errors import UsageError
from ..files.atomic import write_text
from ..recordings.calibration import CENTRAL
from ..recordings.quality import FAR, NOISY, shown_number, shown_rate, verdict
from ..recordings.recording import AnyTable, Certainty, NeuronQuality, Prediction, Quality
from ..text import counted, did_you_mean, shown
from .style import BLUE, GREY, ORANGE, extent, figure_of, house_style, new_axes

if TYPE_CHECKING:
    from jinja2 import Template
    from matplotlib.axes import Axes

EXAMPLES = 3  # neurons whose traces are shown: the clearest, a middling and the noisiest one
WINDOW = 60.0  # s of each example, around its busiest stretch
COLUMNS = 250  # time bins of the map of all rates: two pixels wide where the page is narrowest
MOST_NAMED = 5  # of the neurons there are, where one is asked for that is not
AT_A_TIME = 100  # neurons whose rates are averaged into bins together
BINS = 24  # of each histogram

TEMPLATE = "recording_page.html"
"""The page, in Jinja's language; whatever is put into it is escaped."""


def write_report(path: str | Path, prediction: Prediction) -> None:
    """Write the page of a prediction, an HTML file that needs no other file and no network, whole
    or not at all. Raises `OutputError` if it cannot be written."""
    write_text(path, report(prediction))


def jinja(text: str) -> Template:
    """A template of a page; whatever is put into it is escaped."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(text)


def report(prediction: Prediction, *, head: str = "", browser: str = "", hint: str = "") -> str:
    """The page of `write_report` as text, from the template beside this module.

    `browser` is HTML by which every neuron is looked at, and `head` what it needs in the page's
    head; `hint` is text in its place.
    """
    recording, quality = prediction.recording, prediction.quality
    frames, neurons = prediction.table.shape
    pictures = (example_traces(prediction), rate_map(prediction), quality_panels(quality))
    # Escaped whatever it is: names of neurons come from files that anybody may have made.
    names = ("examples", "rates", "histograms")
    template = jinja(files(__package__).joinpath(TEMPLATE).read_text("utf-8"))
    page = template.render(
        look={"head": head, "browser": browser, "hint": hint},
        source=shown(recording.source),
        about=f"{counted(neurons, 'neuron')}, {frames:,} frames at {recording.frame_rate:g} Hz "
        f"({frames / recording.frame_rate / 60:.1f} min), predicted by the weights "
        f"{shown(prediction.description['weights'])}",
        notes=recording.notes,
        warnings=quality.warnings,
        window=f"{WINDOW:g}",
        certainty=quality.certainty,
        limits={"noise": f"{NOISY:g}", "far": f"{FAR:g}"},
        pictures={name: _picture(ax) for name, ax in zip(names, pictures, strict=True)},
        hatched=pictures[1].patch.get_hatch() is not None,
        rated=any(shown_rate(neuron) for neuron in quality.neurons),
        central=f"{CENTRAL:.0%}",
        neurons=[_row(neuron, quality.certainty) for neuron in quality.neurons],
        facts=[
            (shown(name).replace("_", " "), shown(value))
            for name, value in prediction.description.items()
            if str(value) and name != "notes"
        ],
    )
    return page.rstrip() + "\n"


def _row(neuron: NeuronQuality, certainty: Certainty) -> tuple[str, str, list[str], str]:
    """A neuron's cells: its name, mean rate, numbers as text, and what they mean."""
    numbers = (neuron.noise_level, neuron.distance, neuron.certainty)
    cells = [*(shown_number(each, "–") for each in numbers), str(neuron.bridged), str(neuron.lost)]
    return neuron.name, shown_rate(neuron) or "–", cells, verdict(neuron, certainty)


def _picture(ax: Axes) -> str:
    """The figure of `ax` as an image inside the page."""
    file = io.BytesIO()
    figure_of(ax).savefig(file, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()


def _examples(prediction: Prediction) -> list[int]:
    """Numbers of the neurons to show, clearest first."""
    # The noise level is the one number that every neuron has whatever its rates.
    noise = np.array([n.noise_level for n in prediction.quality.neurons])
    # Traces in the competition's form have none, as their unit is their own.
    if np.isnan(noise).all():
        noise = -np.array([n.certainty for n in prediction.quality.neurons])
    order = np.argsort(noise)[: np.isfinite(noise).sum()]
    if not order.size:
        return []
    picked = np.linspace(0, order.size - 1, min(EXAMPLES, order.size)).round().astype(int)
    return [int(order[k]) for k in picked]


@house_style
def example_traces(
    prediction: Prediction,
    neurons: int | str | Sequence[int | str] | None = None,
    ax: Axes | None = None,
    *,
    window: tuple[float, float] | None = None,
) -> Axes:
    """Recorded trace and predicted rate of some neurons, each in its own range.

    Parameters
    ----------
    neurons : numbers from 0, or from -1 backwards, or names
        By default the clearest, a middling and the noisiest neuron.
    window : (start, end) in s
        By default the busiest minute of each.

    Raises
    ------
    UsageError
        If there is no such neuron, or no frame in the window.
    """
    numbers = _examples(prediction) if neurons is None else _numbers(prediction, neurons)
    ax = ax or new_axes(7.0, 0.8 + 1.1 * max(len(numbers), 1))
    unit, ticks = unit_of(prediction), []
    part, length = _part(prediction, window)
    for row, neuron in enumerate(numbers):
        if window is None:
            part = _busiest(prediction, neuron)
        # Busy stretches are of other times each.
        start = prediction.times[part.start] if window is None else 0.0
        times = prediction.times[part] - start
        # Trace and rate are a unit each, and a fifth parts a neuron from the next.
        base = -2.2 * row
        for values, offset, colour in (
            (prediction.recording.fluorescence[part, neuron], base, GREY),
            (prediction.table[part, neuron], base - 1.0, ORANGE),
        ):
            values = np.asarray(values, np.float64)
            low, high = extent(values)
            heights = 0.9 * (values - low) / ((high - low) or 1)
            ax.plot(times, offset + heights, color=colour, lw=0.8)
        # The last of the two is the rate.
        between = "no rates" if np.isnan(low) else f"{low:.3g} to {high:.3g} {unit}"
        name = prediction.names[neuron].replace("$", r"\$")  # or it is taken for a formula
        ticks += [(base + 0.4, f"neuron {name}"), (base - 0.6, between)]
    ax.set_yticks([y for y, _ in ticks], [text for _, text in ticks])
    ax.tick_params(axis="y", length=0)
    ax.spines[["left", "top", "right"]].set_visible(False)
    ax.set_xlim(*(window or (0, length)))
    ax.set_xlabel("time (s)")
    return ax


def _numbers(prediction: Prediction, neurons: int | str | Sequence[int | str]) -> list[int]:
    """Numbers of neurons, by number or name."""
    names = prediction.names
    found = []
    for each in [neurons] if isinstance(neurons, int | str | np.integer) else neurons:
        if isinstance(each, str):
            if each not in names:
                listed = ", ".join(names[:MOST_NAMED]) + (
                    ", ..." if len(names) > MOST_NAMED else ""
                )
                raise UsageError(
                    f"there is no neuron {each!r}{did_you_mean(each, names)} (there are {listed})"
                )
            found.append(names.index(each))
        elif -len(names) <= each < len(names):
            found.append(range(len(names))[each])
        else:
            raise UsageError(f"there is no neuron {each}; they are numbered 0 to {len(names) - 1}")
    return found


def _part(prediction: Prediction, window: tuple[float, float] | None) -> tuple[slice, float]:
    """Frames of a window in s, by default so many as `WINDOW` has; and how long they last in s."""
    times, rate = prediction.times, prediction.recording.frame_rate
    if window is None:
        count = min(max(2, round(WINDOW * rate)), len(times))
        return slice(0, count), count / rate
    start, end = window
    part = slice(*np.searchsorted(times, [start, np.nextafter(end, np.inf)]))
    if part.start >= part.stop:
        raise UsageError(
            f"there is no frame from {start:g} to {end:g} s; the recording lasts from "
            f"{times[0]:g} to {times[-1]:g} s"
        )
    return part, end - start


def _busiest(prediction: Prediction, neuron: int) -> slice:
    """The stretch of `WINDOW` with the most spikes: elsewhere there is little to look at."""
    count = _part(prediction, None)[0].stop
    rates = np.nan_to_num(prediction.table[:, neuron])
    total = np.concatenate([[0.0], np.cumsum(rates, dtype=np.float64)])
    start = int(np.argmax(total[count:] - total[:-count]))
    return slice(start, start + count)


def unit_of(prediction: Prediction) -> str:
    """The unit of the rates, as short as an axis has it."""
    unit = str(prediction.description.get("unit", ""))
    return "spikes/s" if unit.startswith("spikes") else "a.u."


def mean_rates(table: AnyTable, edges: Numbers) -> Rates:
    """Means `(bin, neuron)` of rates `(frame, neuron)` in bins that begin and end with these
    frames; NaN in bins without any."""
    neurons = table.shape[1]
    sums, counts = np.zeros((2, len(edges) - 1, neurons))
    full = np.diff(edges) > 0
    for first in range(0, neurons, AT_A_TIME):  # as all of it may be larger than the memory
        part = slice(first, first + AT_A_TIME)
        rates = table[:, part]
        there = np.isfinite(rates)
        rates = np.where(there, rates, 0)
        starts = edges[:-1][full]
        sums[full, part] = np.add.reduceat(rates, starts, axis=0, dtype=np.float64)
        counts[full, part] = np.add.reduceat(there, starts, axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # bins without any rate
        return sums / counts


@house_style
def rate_map(prediction: Prediction, ax: Axes | None = None) -> Axes:
    """All rates over time as an image `(neuron, time bin)`, each neuron from its own least to its
    own largest rate."""
    frames, neurons = prediction.table.shape
    bins = min(COLUMNS, frames)
    edges = np.linspace(0, frames, bins + 1).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bins and neurons without any rate
        mean = mean_rates(prediction.table, edges)
        low, high = np.nanmin(mean, axis=0), np.nanmax(mean, axis=0)
        relative = (mean - low) / np.where(high > low, high - low, 1)
    # So much for each neuron, until the page is full.
    ax = ax or new_axes(7.0, float(np.clip(0.9 + 0.03 * neurons, 1.6, 5.0)))
    start, end = prediction.times[0], prediction.times[-1]
    # From five minutes on nobody counts in seconds.
    minutes = end - start > 300
    scale = 60 if minutes else 1
    sides = (start / scale, max(end, start + 1e-9) / scale, neurons - 0.5, -0.5)
    image = ax.imshow(
        relative.T, "Blues", aspect="auto", interpolation="nearest", vmin=0, vmax=1, extent=sides
    )
    ax.set_facecolor("white")
    # White is also the least rate, so what is missing is hatched.
    if np.isnan(relative).any():
        ax.patch.set(hatch="////", edgecolor=GREY)
    ax.set_xlabel("time (min)" if minutes else "time (s)")
    ax.set_ylabel("neuron")
    ax.locator_params(axis="y", integer=True)
    ax.figure.colorbar(image, ax=ax, label="rate, least to largest", pad=0.01)
    return ax


@house_style
def quality_panels(quality: Quality, ax: Axes | None = None) -> Axes:
    """Histograms of noise level, distance and certainty over the neurons, with their limits."""
    ax = ax or new_axes(7.0, 2.2)
    first, second, third = (ax.inset_axes((left, 0, 0.28, 1)) for left in (0.0, 0.36, 0.72))
    ax.axis("off")
    panels = (
        (first, "noise_level", "noise level (% Hz$^{-1/2}$)", NOISY),
        (second, "distance", "distance from training", FAR),
        (third, "certainty", quality.certainty.name, quality.certainty.limit),
    )
    for panel, kind, label, limit in panels:
        values = np.array([getattr(neuron, kind) for neuron in quality.neurons])
        values = values[np.isfinite(values)]
        if values.size:
            # Over the limit's place too, so that a bin is never too narrow to see.
            ends = extent([*values, limit])
            panel.hist(values, bins=np.linspace(*ends, BINS + 1).tolist(), color=BLUE)
        else:
            panel.text(0.5, 0.5, "not known", transform=panel.transAxes, ha="center", color=GREY)
        panel.axvline(limit, color=ORANGE, linestyle="--", linewidth=1)
        panel.set_xlabel(label)
        panel.locator_params(axis="y", integer=True)
        panel.spines[["top", "right"]].set_visible(False)
    first.set_ylabel("neurons")
    return ax
