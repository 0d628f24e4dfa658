"""Figures of predictions over time: calcium, true spikes and rates, each in a lane of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..arrays import Rates, Table, Trace
from ..competition.submission import PredictedSet
from ..constants import SAMPLE_RATE
from ..datasets import DATASETS, trace_lengths
from ..errors import UsageError
from ..network.engine import Engine, KerasModel
from ..network.predict import rates_by_dataset
from .style import BLUE, GREY, ORANGE, extent, house_style, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEURONS = (0, 2, 4)
WINDOW = (1.0, 50.0)
"""Neurons, and seconds, of the 2017 description's figure of predictions."""

SMOOTHING = 10  # samples; the window over which that figure averages the true spikes
Lane: TypeAlias = tuple[str, Trace, str]  # a label, a trace and its colour


@house_style
def predictions(  # noqa: PLR0913 - the arrays of a figure, and what to show of them
    calcium: Table,
    spikes: Table | None,
    rates: Rates,
    *,
    neurons: Sequence[int] = NEURONS,
    window: tuple[float, float] = WINDOW,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Calcium, smoothed true spike rate and predicted rate of some neurons, one above the other.

    Parameters
    ----------
    calcium, rates : (time, neuron)
        At 100 Hz; each trace is scaled to its own range in the window, which stands beside it.
    spikes : (time, neuron)
        True counts per 10 ms, if known; drawn as the mean rate in a window of `SMOOTHING` samples,
        in spikes/s.
    neurons, window
        Columns to draw, from 0; start and end in s.

    Raises
    ------
    UsageError
        If a neuron is not there, or if the window holds no sample.
    """
    check_neurons(neurons, calcium.shape[1])
    start, stop = check_window(window, len(calcium))
    # Rates go on behind a shorter neuron's end, to the end of the table; nothing is there to show.
    behind = np.arange(len(calcium))[:, None] >= trace_lengths(calcium)
    rates = np.where(behind, np.nan, rates)
    groups = []
    for neuron in neurons:
        lanes = [(f"neuron {neuron}: calcium (a.u.)", calcium[start:stop, neuron], GREY)]
        if spikes is not None:
            truth = smooth(spikes[:, neuron])[start:stop]
            lanes.append(("true rate (spikes/s)", truth, "black"))
        lanes.append(("predicted rate (a.u.)", rates[start:stop, neuron], ORANGE))
        groups.append(lanes)
    ax = ax or new_axes(7.0, 0.9 + 0.42 * sum(map(len, groups)))
    draw_lanes(ax, start, groups)
    ax.set_title(title)
    return ax


@house_style
def dataset_ids(  # noqa: PLR0913 - the arrays of a figure, and what to show of them
    calcium: Trace,
    rates: Rates,
    labels: Sequence[str],
    *,
    own: int | None = None,
    window: tuple[float, float] = WINDOW,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """What the network makes of one trace under each dataset ID, drawn as in `predictions`.

    Parameters
    ----------
    calcium, rates : (time,) and (time, ID)
        At 100 Hz.
    labels
        Of the IDs.
    own
        Column of the ID that is the trace's own, drawn in another colour and so called.
    window
        Its start and its end, in s; `UsageError` if it holds no sample.
    """
    start, stop = check_window(window, len(calcium))
    lanes = []
    for column, label in enumerate(labels):
        name, colour = (f"{label} (its own)", ORANGE) if column == own else (label, BLUE)
        lanes.append((name, rates[start:stop, column], colour))
    ax = ax or new_axes(7.0, 0.9 + 0.42 * (len(lanes) + 1))
    draw_lanes(ax, start, [[("calcium (a.u.)", calcium[start:stop], GREY)], lanes])
    ax.set_ylabel("predicted rate (a.u.) under each dataset ID")
    ax.set_title(title)
    return ax


def smooth(spikes: Trace) -> Rates:
    """Mean rate in spikes/s in a centred window of `SMOOTHING` samples, from counts per 10 ms
    `(time,)`; zeros stand before and behind them."""
    window = np.ones(SMOOTHING) / SMOOTHING
    return np.convolve(spikes, window, "full")[SMOOTHING // 2 :][: len(spikes)] * SAMPLE_RATE


def check_neurons(neurons: Sequence[int], count: int) -> None:
    """Raise `UsageError` unless every number of `neurons` is one of a table's `count` columns."""
    for neuron in neurons:
        if neuron not in range(count):
            raise UsageError(f"there is no neuron {neuron}; choose from 0 to {count - 1}")


def check_window(window: tuple[float, float], samples: int | None = None) -> tuple[int, int]:
    """First sample, and the one behind the last, of a window `(start, end)` in s, cut to `samples`
    if given. Raises `UsageError` if no sample is left."""
    start, end = window
    if not 0 <= start < end < float("inf"):
        raise UsageError(f"--window {start:g} {end:g} is empty; give two rising times in s")
    first, stop = round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)
    if samples is not None:
        stop = min(stop, samples)
    if first >= stop:
        there = "" if samples is None else f" of the {samples / SAMPLE_RATE:g} s that there are"
        raise UsageError(f"--window {start:g} {end:g} holds no sample{there}; choose another")
    return first, stop


def draw_lanes(ax: Axes, start: int, groups: Sequence[Sequence[Lane]]) -> None:
    """Draw traces of one length from sample `start` on, one above the other from the top, with a
    little more room between two groups; each is scaled to its own range, which stands beside it."""
    bottom, ticks, names = 0.0, [], []
    for lanes in groups:
        for name, trace, colour in lanes:
            low, high = extent(trace)
            time = (start + np.arange(len(trace))) / SAMPLE_RATE
            # The rates of convi6 have no unit, so nothing is lost by a scale of its own.
            heights = 0.8 * (trace - low) / (high - low or 1)
            ax.plot(time, bottom + heights, color=colour, linewidth=0.8, label=name)
            ticks.append(bottom + 0.3)
            names.append(name)
            ax.text(
                1.01, ticks[-1], _range_text(low, high), color=colour, va="center",
                transform=ax.get_yaxis_transform(),
            )  # fmt: skip
            bottom -= 1
        bottom -= 0.5
    ax.set_yticks(ticks, names)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_xlim(start / SAMPLE_RATE, (start + len(trace)) / SAMPLE_RATE)
    # The last step down was to a lane that is not there.
    ax.set_ylim(bottom + 1.3, 0.9)
    ax.set_xlabel("time (s)")


def _range_text(low: float, high: float) -> str:
    """A range with as many decimals as tell its ends apart, and one more."""
    if np.isnan(low):
        return "no samples"
    decimals = max(0, 1 - int(np.floor(np.log10(high - low)))) if high > low else 2
    return f"{low:.{decimals}f} to {high:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def draw_predictions(
    predicted: PredictedSet,
    neurons: Sequence[int] | None = None,
    window: tuple[float, float] = WINDOW,
    ax: Axes | None = None,
) -> Axes:
    """`figures.predictions` of a set, by default of those of `NEURONS` it has."""
    neurons = neurons or default_neurons(predicted)
    tables = (predicted.calcium, predicted.spikes, predicted.rates)
    return predictions(*tables, neurons=neurons, window=window, title=predicted.title, ax=ax)


def draw_dataset_ids(
    network: Engine | KerasModel,
    predicted: PredictedSet,
    neuron: int = 0,
    *,
    window: tuple[float, float] = WINDOW,
    ax: Axes | None = None,
) -> Axes:
    """`figures.dataset_ids` of one neuron of a set; `UsageError` if it is not there."""
    check_neurons([neuron], predicted.calcium.shape[1])
    trace = predicted.calcium[:, [neuron]]
    by_dataset = rates_by_dataset(network, [trace], as_in_2017=True)
    rates = np.concatenate([table for (table,) in by_dataset.values()], axis=1)
    labels = [f"{each.number}: {each.indicator}, {each.area}" for each in DATASETS]
    title = f"{predicted.title}, neuron {neuron}, under every dataset ID"
    return dataset_ids(
        trace[:, 0], rates, labels, own=predicted.number - 1, window=window, title=title, ax=ax
    )


def default_neurons(predicted: PredictedSet) -> list[int]:
    """Those of `NEURONS` that a set has."""
    return [neuron for neuron in NEURONS if neuron < predicted.calcium.shape[1]]
