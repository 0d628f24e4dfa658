"""Figures: arrays in, axes out. No window opens and no global style changes.

Every function takes an optional `ax`, by default that of a new figure, and returns it; `save`
writes its figure, and in a notebook `ax.figure` shows it. Colours are Okabe and Ito's, which every
eye tells apart; what must be told apart in grey print too also differs in line, marker or label.
"""

from functools import wraps

import numpy as np

from ..constants import SAMPLE_RATE
from ..datasets import trace_lengths
from ..errors import UsageError

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#707070"
"""Okabe and Ito's blue and vermilion, told apart by every eye and in grey print."""

COLOURS = ("#000000", BLUE, ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Okabe and Ito's palette without its yellow, which is too pale for a line on white."""

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

NEURONS = (0, 2, 4)
WINDOW = (100, 5000)
"""Neurons and samples of the 2017 description's figure of predictions."""

SMOOTHING = 10
"""Samples; the window over which that figure averages the true spikes."""


def house_style(draw):
    """Decorate a figure function: it draws in our style, whatever the user's is, and leaves that
    as it was."""

    @wraps(draw)
    def styled(*args, **kwargs):
        import matplotlib.style

        with matplotlib.style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return styled


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
        colour = COLOURS[number % len(COLOURS)]
        ax.plot(time, values + offset, color=colour, linewidth=0.9, label=f"kernel {number + 1}")
    ax.set_yticks(offsets, range(1, count + 1))
    for number, label in enumerate(ax.get_yticklabels()):
        label.set_color(COLOURS[number % len(COLOURS)])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.margins(x=0.01, y=0.02)
    _scale_bar(ax, np.ptp(kernel) / 3)
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
    window : pair of int
        First sample, and the one behind the last.
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
    _draw_lanes(ax, start, groups)
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
    window : pair of int
        First sample, and the one behind the last.
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
    _draw_lanes(ax, start, [[("calcium (a.u.)", calcium[start:stop], GREY)], lanes])
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
    means = [np.mean(_present(of_set)) if _present(of_set).size else np.nan for of_set in values]
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
def learning_curves(epochs, loss, validation=None, ax=None):
    """Training loss and validation correlation over epochs.

    Parameters
    ----------
    epochs, loss : arrays `(epoch,)`
        Epoch numbers from 1, and the mean loss 1 - r of each.
    validation : array `(epoch,)`, optional
        Mean correlation over the validation traces at 25 Hz; its best epoch is marked.
    ax : matplotlib Axes, optional
        By default a new figure's.

    Returns
    -------
    matplotlib Axes
    """
    ax = ax or new_axes(5.5, 3.2)
    epochs = np.asarray(epochs)
    # With few epochs a line alone hardly shows.
    marker = "." if len(epochs) < 15 else None
    ax.plot(epochs, 1 - np.asarray(loss), color=BLUE, marker=marker, label="training, 1 - loss")
    if validation is not None and np.isfinite(validation).any():
        ax.plot(epochs, validation, color=ORANGE, linestyle="--", marker=marker, label="validation")
        best = int(np.nanargmax(validation))
        ax.plot(
            epochs[best], validation[best], "o", color=ORANGE, label=f"best, epoch {epochs[best]}"
        )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("epoch")
    ax.set_ylabel("mean correlation at 25 Hz (no unit)")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def save(ax, path):
    """Write the figure of `ax` to `path`, whole or not at all, in the format its name ends in."""
    import matplotlib

    from ..files.whole_files import whole_file

    # TrueType fonts can be edited in a PDF; without its date the same figure is the same file.
    metadata = {"CreationDate": None} if str(path).endswith(".pdf") else None
    with whole_file(path) as temporary, matplotlib.rc_context({"pdf.fonttype": 42}):
        ax.figure.savefig(temporary, dpi=200, bbox_inches="tight", metadata=metadata)


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
    """The window `(start, stop)`, cut to `samples`; `UsageError` if it is empty."""
    start, stop = window
    if not 0 <= start < stop:
        raise UsageError(f"the window {start} to {stop} is empty; give two rising numbers")
    if samples is None:
        return start, stop
    if start >= samples:
        raise UsageError(
            f"the window {start} to {stop} holds none of the {samples} samples; choose another"
        )
    return start, min(stop, samples)


def new_axes(width, height):
    """Axes of a figure that belongs to no window; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def _present(values):
    values = np.asarray(values, float)
    return values[~np.isnan(values)]


def _range(values):
    """Least and largest value, both NaN if there is none."""
    there = _present(values)
    return (float(there.min()), float(there.max())) if there.size else (np.nan, np.nan)


def _draw_lanes(ax, start, groups):
    """Traces one above the other over time, each scaled to its own range, which stands beside it.

    `groups` is a list of lists of `(label, trace, colour)`, drawn from the top with a little more
    room between two groups; all traces have one length and begin at sample `start`.
    """
    bottom, ticks, names = 0.0, [], []
    for lanes in groups:
        for name, trace, colour in lanes:
            low, high = _range(trace)
            time = (start + np.arange(len(trace))) / SAMPLE_RATE
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
    ax.set_ylim(bottom + 1.3, 0.9)
    ax.set_xlabel("time (s)")


def _range_text(low, high):
    """A range with as many decimals as tell its ends apart, and one more."""
    if np.isnan(low):
        return "no samples"
    decimals = max(0, 1 - int(np.floor(np.log10(high - low)))) if high > low else 2
    return f"{low:.{decimals}f} to {high:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _scale_bar(ax, height):
    """A vertical bar to the right of the axes, about `height` in data units, with its length."""
    height = float(f"{height:.0e}")
    bottom = ax.get_ylim()[0]
    where = {"transform": ax.get_yaxis_transform(), "clip_on": False}
    ends = [bottom, bottom + height]
    ax.plot([1.02, 1.02], ends, color="black", linewidth=1.5, label="_scale", **where)
    ax.text(1.03, np.mean(ends), f"{height:g}", va="center", **where)
