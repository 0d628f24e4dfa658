"""Figures: arrays in, axes out.

Every function takes an optional `ax`, by default that of a new figure, and returns it;
`style.save` writes its figure, and in a notebook `ax.figure` shows it.
"""

import numpy as np

from ..constants import SAMPLE_RATE
from ..datasets import trace_lengths
from ..errors import UsageError
from .lanes import draw_lanes, draw_scale_bar, present
from .style import BLUE, GREY, ORANGE, TEN, house_style, new_axes

NEURONS = (0, 2, 4)
WINDOW = (1.0, 50.0)
"""Neurons, and seconds, of the 2017 description's figure of predictions."""

SMOOTHING = 10
"""Samples; the window over which that figure averages the true spikes."""


@house_style
def kernels(kernel, title="Convolution kernels of the first layer", ax=None):
    """Figure 2 of the description: the first layer's kernels over time, one above the other.

    Time 0 is the sample whose rate is predicted. Keras' convolution is a cross-correlation: tap k
    multiplies the calcium at `t + (k - (taps - 1) // 2) * 10 ms`, so positive times look at calcium
    still to come. The 300 taps of the published kernel reach from -1.49 to 1.50 s.

    Parameters
    ----------
    kernel : array `(tap, filter)` or `(tap, 1, filter)`
        Dimensionless, as the standardised calcium that they are multiplied with.
    title : str
    ax : matplotlib Axes, optional
        By default a new figure's.

    Returns
    -------
    matplotlib Axes
        One line per kernel, all on one scale, each shifted to a lane of its own.
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
    ax.set_yticks(offsets, range(1, count + 1))
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


@house_style
def predictions(calcium, spikes, rates, neurons=NEURONS, window=WINDOW, title="", ax=None):
    """Calcium, smoothed true spike rate and predicted rate of some neurons, one above the other.

    Parameters
    ----------
    calcium, rates : arrays `(time, neuron)`
        At 100 Hz.
    spikes : array `(time, neuron)` or None
        True counts per 10 ms; drawn as the mean rate in a window of `SMOOTHING` samples, in
        spikes/s. None where the truth is not known.
    neurons : sequence of int
        Columns to draw, from 0.
    window : pair of float
        Its start and its end, in s.
    title : str
    ax : matplotlib Axes, optional
        By default a new figure's.

    Returns
    -------
    matplotlib Axes
        One line per trace, each scaled to its own range in the window, which stands beside it.

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
def dataset_ids(calcium, rates, labels, own=None, window=WINDOW, title="", ax=None):
    """What the network makes of one trace under each dataset ID.

    Parameters
    ----------
    calcium : array `(time,)`
        At 100 Hz.
    rates : array `(time, ID)`
        Predicted under each.
    labels : sequence of str
        Of the IDs.
    own : int, optional
        Column of the ID that is the trace's own, drawn in another colour and so called.
    window : pair of float
        Its start and its end, in s.
    title : str
    ax : matplotlib Axes, optional
        By default a new figure's.

    Returns
    -------
    matplotlib Axes
        The calcium's line, then one per ID, each scaled to its own range in the window, which
        stands beside it.

    Raises
    ------
    UsageError
        If the window holds no sample.
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


@house_style
def scores(labels, values, published=None, highlight=None, title="", ax=None):
    """Correlation of each neuron by set, beside published means.

    Parameters
    ----------
    labels : sequence of str `(set,)`
    values : sequence of arrays `(neuron,)`
        Correlations at 25 Hz of each set; NaN where a neuron has none.
    published : dict of str to array `(set,)`, optional
        Mean correlation by algorithm; NaN where none was published.
    highlight : str, optional
        The algorithm among them that gets a mark of its own.
    title : str
    ax : matplotlib Axes, optional
        By default a new figure's.

    Returns
    -------
    matplotlib Axes
    """
    ax = ax or new_axes(2.8 + 0.37 * len(labels), 3.2)
    centres = np.arange(len(labels))
    beside = centres + 0.28
    for position, of_set in enumerate(values):
        of_set = np.asarray(of_set, float)
        spread = np.linspace(-0.3, 0.08, len(of_set)) if len(of_set) > 1 else [-0.11]
        ax.plot(
            position + np.asarray(spread), of_set, "o", color=BLUE, markersize=2.5, alpha=0.6,
            markeredgewidth=0, label="_" if position else "a neuron",
        )  # fmt: skip
    means = [np.mean(present(of_set)) if present(of_set).size else np.nan for of_set in values]
    ax.hlines(means, centres - 0.36, centres + 0.14, color="black", linewidth=1.6, label="mean")
    others = [np.asarray(m, float) for name, m in (published or {}).items() if name != highlight]
    for number, mean in enumerate(others):
        label = "_" if number else "other algorithms, 2017"
        ax.plot(beside, mean, "_", color=GREY, markersize=6, label=label)
    if published and highlight in published:
        ax.plot(
            beside, np.asarray(published[highlight], float), "D", color=ORANGE, markersize=4,
            markeredgecolor="black", markeredgewidth=0.5, label=f"{highlight}, 2017",
        )  # fmt: skip
    ax.set_xticks(centres, labels)
    ax.set_xlim(-0.6, len(labels) - 0.4)
    ax.set_xlabel("set")
    ax.set_ylabel("correlation at 25 Hz (no unit)")
    ax.set_title(title)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


@house_style
def scores_by_rate(sampling_rates, values, title="", ax=None):
    """Correlation by the rate at which spikes and prediction are compared.

    Parameters
    ----------
    sampling_rates : sequence of float `(rate,)`
        In Hz.
    values : dict of str to array `(neuron, rate)`
        By name of a group of neurons; NaN where a neuron has no score.
    title : str
    ax : matplotlib Axes, optional
        By default a new figure's.

    Returns
    -------
    matplotlib Axes
        A thin line per neuron, a thick one with markers for the mean of each group.
    """
    ax = ax or new_axes(5.5, 3.2)
    positions = np.arange(len(sampling_rates))
    styles = zip(values.items(), (BLUE, ORANGE, "black"), ("o-", "s--", "^:"), strict=False)
    for (name, table), colour, line in styles:
        table = np.asarray(table, float)
        ax.plot(positions, table.T, color=colour, linewidth=0.5, alpha=0.3, label="_")
        scored = table[~np.isnan(table).any(axis=1)]
        label = f"{name},\nmean of {len(scored)} neurons"
        if len(scored):
            means = scored.mean(axis=0)
            ax.plot(positions, means, line, color=colour, label=label, linewidth=1.5, zorder=3)
    ax.set_xticks(positions, [f"{rate:g}" for rate in sampling_rates])
    ax.set_xlabel("sampling rate of the comparison (Hz)")
    ax.set_ylabel("correlation (no unit)")
    ax.set_title(title)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


@house_style
def learning_curves(epochs, loss, validation=None, title="", ax=None):
    """Training loss and validation correlation over epochs.

    Parameters
    ----------
    epochs, loss : arrays `(epoch,)`
        Epoch numbers from 1, and the mean loss of each: 1 - correlation, weighted.
    validation : array `(epoch,)`, optional
        Mean correlation over the validation traces at 25 Hz; its best epoch is marked.
    title : str
    ax : matplotlib Axes, optional
        By default a new figure's.

    Returns
    -------
    matplotlib Axes
        Of the loss; the validation has its own scale on the right.
    """
    ax = ax or new_axes(5.5, 3.2)
    epochs = np.asarray(epochs)
    # With few epochs a line alone hardly shows.
    marker = "." if len(epochs) < 15 else None
    lines = ax.plot(epochs, loss, color=BLUE, marker=marker, label="training loss")
    if validation is not None and np.isfinite(validation).any():
        right = ax.twinx()
        right.spines["right"].set_visible(True)
        right.set_ylabel("validation: mean correlation at 25 Hz", color=ORANGE)
        lines += right.plot(
            epochs, validation, color=ORANGE, linestyle="--", marker=marker, label="validation"
        )
        best = int(np.nanargmax(validation))
        label = f"best, epoch {epochs[best]}"
        lines += right.plot(epochs[best], validation[best], "o", color=ORANGE, label=label)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("epoch")
    ax.set_ylabel("training: weighted mean of 1 - correlation", color=BLUE)
    ax.set_title(title)
    ax.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=3)
    return ax


@house_style
def differences(names, means, lows, highs, title="", ax=None):
    """Differences from a reference with their intervals, one line each.

    Parameters
    ----------
    names : sequence of str
    means, lows, highs : arrays `(name,)`
        Mean difference of the correlation and ends of its interval; coloured where 0 is outside.
    title : str
    ax : matplotlib Axes, optional
        By default a new figure's.

    Returns
    -------
    matplotlib Axes
    """
    ax = ax or new_axes(5.5, 0.8 + 0.24 * len(names))
    colours = np.select([np.greater(lows, 0), np.less(highs, 0)], [BLUE, ORANGE], "black")
    ax.hlines(range(len(names)), lows, highs, colors=colours, linewidth=1.2)
    ax.scatter(means, range(len(names)), c=colours, s=14, zorder=3)
    ax.axvline(0, color=GREY, linewidth=0.6, linestyle=":")
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel("difference of the correlation at 25 Hz (no unit)")
    ax.set_title(title)
    return ax


def smooth(spikes):
    """Mean rate in a centred window of `SMOOTHING` samples, `(time,)` in spikes/s.

    From counts per 10 ms; zeros stand before and behind them. NaN where one is missing.
    """
    window = np.ones(SMOOTHING) / SMOOTHING
    return np.convolve(spikes, window, "full")[SMOOTHING // 2 :][: len(spikes)] * SAMPLE_RATE


def check_neurons(neurons, count):
    """Raise `UsageError` unless every number of `neurons` is one of a table's `count` columns."""
    for neuron in neurons:
        if neuron not in range(count):
            raise UsageError(f"there is no neuron {neuron}; choose from 0 to {count - 1}")


def check_window(window, samples=None):
    """First sample, and the one behind the last, of a window `(start, end)` in s.

    The end is cut to `samples`, if given. Raises `UsageError` if no sample is left.
    """
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
