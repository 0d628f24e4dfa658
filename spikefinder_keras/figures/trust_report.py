"""The trust report as one self-contained HTML page: what was predicted, how far to believe it."""

import base64
import io
import warnings
from html import escape

import numpy as np

from ..files.whole_files import whole_file
from ..recordings.trust import FAR, NOISY, UNSURE, verdict
from .style import BLUE, GREY, ORANGE, house_style, new_axes

EXAMPLES = 3
"""Neurons whose traces are shown: the clearest, a middling and the noisiest one."""

WINDOW = 60.0
"""s of each example, around its busiest stretch."""

COLUMNS = 600
"""Time bins of the map of all rates."""

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.lead { color: #555; margin-top: .3rem; }
.warn { border-left: 5px solid #d55e00; background: #fdf1ea; padding: .6rem 1rem; }
.fine { border-left: 5px solid #0072b2; background: #eaf3f9; padding: .6rem 1rem; }
.warn ul { margin: 0; padding-left: 1.2rem; }
img { width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; } tr { border-bottom: 1px solid #ddd; }
.scroll tr:first-child { border-bottom: 2px solid #222; }
th, td { padding: .25rem .7rem .25rem 0; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.scroll { max-height: 34rem; overflow: auto; }
"""


def write_report(path, prediction):
    """Write the trust report of a prediction, whole or not at all.

    Parameters
    ----------
    path : str or Path
        An HTML file; it needs no other file and no network.
    prediction : recordings.Prediction
        With its `trust`.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    text = report(prediction)
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def report(prediction):
    """The page of `write_report` as text."""
    recording, trust = prediction.recording, prediction.trust
    frames, neurons = prediction.table.shape
    seconds = frames / recording.frame_rate
    about = (
        f"{neurons} neurons, {frames:,} frames at {recording.frame_rate:g} Hz "
        f"({seconds / 60:.1f} min)"
    )
    sections = [
        f"<h1>Spike rates of {escape(recording.source)}</h1>",
        f'<p class="lead">{escape(about)}, predicted by the network convi6</p>',
        _warnings(trust),
        "<h2>Examples</h2>",
        "<p>What was recorded (grey) and what was predicted from it (orange), each in its own "
        f"range, over the busiest {WINDOW:g} s: the neuron with the least noise, a middling one, "
        "and the one with the most.</p>",
        _picture(example_traces(prediction), "traces of example neurons"),
        "<h2>All neurons</h2>",
        "<p>Predicted rate over time, each neuron from its least to its largest; hatched is where "
        "nothing could be predicted.</p>",
        _picture(rate_map(prediction), "map of all rates"),
        "<h2>How far to trust them</h2>",
        _picture(trust_panels(trust), "histograms of noise level, distance and agreement"),
        _reading(),
        _neurons(trust),
        "<h2>What these numbers are</h2>",
        _facts(prediction.description),
    ]
    title = escape(f"Spike rates of {recording.source}")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n"
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n</head>\n'
        "<body>\n" + "\n".join(sections) + "\n</body>\n</html>\n"
    )


def _warnings(trust):
    if not trust.warnings:
        return '<p class="fine">None of the classic mistakes was found in this recording.</p>'
    lines = "".join(f"<li>{escape(line)}</li>" for line in trust.warnings)
    return f'<div class="warn"><ul>{lines}</ul></div>'


def _reading():
    return (
        "<ul>"
        "<li><b>Noise level</b> (Rupprecht et al. 2021): about 1 is very good, 3 to 4 decent, "
        f"above {NOISY:g} poor, in % Hz<sup>-1/2</sup> of dF/F.</li>"
        "<li><b>Distance</b>: how unlike the training data the trace looks to the network; 1 is "
        f"the edge of their middle 98%, above {FAR:g} the prediction is an extrapolation.</li>"
        "<li><b>Agreement</b>: correlation between the rates under the ten dataset IDs; below "
        f"{UNSURE:g} the answer depends on which one is chosen.</li></ul>"
    )


def _neurons(trust):
    head = "".join(
        f'<th class="n">{name}</th>'
        for name in ("noise level", "distance", "agreement", "interpolated", "left empty")
    )
    rows = []
    for neuron in trust.neurons:
        numbers = (neuron.noise_level, neuron.distance, neuron.agreement)
        cells = [*("–" if np.isnan(n) else f"{n:.2f}" for n in numbers)]
        cells += [str(neuron.bridged), str(neuron.lost)]
        cells = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        rows.append(f"<tr><td>{escape(neuron.name)}</td>{cells}<td>{verdict(neuron)}</td></tr>")
    return (
        f'<div class="scroll"><table><tr><th>neuron</th>{head}<th>note</th></tr>'
        + "".join(rows)
        + "</table></div>"
    )


def _facts(description):
    rows = "".join(
        f"<tr><th>{escape(str(name).replace('_', ' '))}</th><td>{escape(str(value))}</td></tr>"
        for name, value in description.items()
        if str(value)
    )
    return f"<table>{rows}</table>"


def _picture(ax, text):
    """The figure of `ax` as an image inside the page."""
    file = io.BytesIO()
    ax.figure.savefig(file, format="svg", metadata={"Date": None})
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{escape(text)}" src="data:image/svg+xml;base64,{data}">'


def _examples(prediction):
    """Numbers of the neurons to show, clearest first."""
    noise = np.array([n.noise_level for n in prediction.trust.neurons])
    if np.isnan(noise).all():
        noise = -np.array([n.agreement for n in prediction.trust.neurons])
    order = np.argsort(noise)[: np.isfinite(noise).sum()]
    if not order.size:
        return []
    picked = np.linspace(0, order.size - 1, min(EXAMPLES, order.size)).round().astype(int)
    return [int(order[k]) for k in picked]


@house_style
def example_traces(prediction, neurons=None, ax=None):
    """Recorded trace and predicted rate of some neurons around their busiest stretch.

    Parameters
    ----------
    prediction : recordings.Prediction
    neurons : sequence of int, optional
        By default the clearest, a middling and the noisiest one.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
        Two lines per neuron, each in its own range; time in s from the start of the window.
    """
    neurons = _examples(prediction) if neurons is None else neurons
    ax = ax or new_axes(7.0, 0.8 + 1.1 * max(len(neurons), 1))
    rate = prediction.recording.frame_rate
    count = min(max(2, round(WINDOW * rate)), len(prediction.times))
    unit = "spikes/s" if prediction.description["unit"].startswith("spikes") else "a.u."
    ticks = []
    for row, neuron in enumerate(neurons):
        rates = np.nan_to_num(prediction.table[:, neuron])
        total = np.concatenate([[0.0], np.cumsum(rates, dtype=np.float64)])
        start = int(np.argmax(total[count:] - total[:-count]))
        part = slice(start, start + count)
        times = prediction.times[part] - prediction.times[start]
        base = -2.2 * row
        for values, offset, colour in (
            (prediction.recording.fluorescence[part, neuron], base, GREY),
            (prediction.table[part, neuron], base - 1.0, ORANGE),
        ):
            values = np.asarray(values, np.float64)
            low, high = _extent(values)
            ax.plot(
                times, offset + 0.9 * (values - low) / ((high - low) or 1), color=colour, lw=0.8
            )
        low, high = _extent(prediction.table[part, neuron])
        between = "no rates" if np.isnan(low) else f"{low:.3g} to {high:.3g} {unit}"
        name = prediction.names[neuron].replace("$", r"\$")  # or it is taken for a formula
        ticks += [(base + 0.4, f"neuron {name}"), (base - 0.6, between)]
    ax.set_yticks([y for y, _ in ticks], [text for _, text in ticks])
    ax.tick_params(axis="y", length=0)
    ax.spines[["left", "top", "right"]].set_visible(False)
    ax.set_xlim(0, count / rate)
    ax.set_xlabel("time (s)")
    return ax


def _extent(values):
    """Least and largest of the finite values; NaN if there are none."""
    known = values[np.isfinite(values)]
    return (known.min(), known.max()) if known.size else (np.nan, np.nan)


@house_style
def rate_map(prediction, ax=None):
    """All rates over time as a map, each neuron from its own least to its own largest.

    Returns
    -------
    matplotlib Axes
        One image, `(neuron, time bin)`.
    """
    frames, neurons = prediction.table.shape
    bins = min(COLUMNS, frames)
    edges = np.linspace(0, frames, bins + 1).astype(int)
    rates = np.nan_to_num(prediction.table)
    there = np.isfinite(prediction.table)
    sums = np.add.reduceat(rates, edges[:-1], axis=0, dtype=np.float64)
    counts = np.add.reduceat(there, edges[:-1], axis=0, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bins and neurons without any rate
        mean = sums / counts
        low, high = (f(np.where(counts > 0, mean, np.nan), axis=0) for f in (np.nanmin, np.nanmax))
        relative = (mean - low) / np.where(high > low, high - low, 1)
    ax = ax or new_axes(7.0, float(np.clip(0.9 + 0.03 * neurons, 1.6, 5.0)))
    start, end = prediction.times[0], prediction.times[-1]
    minutes = end - start > 300
    scale = 60 if minutes else 1
    image = ax.imshow(
        relative.T,
        aspect="auto",
        interpolation="nearest",
        cmap="Blues",
        vmin=0,
        vmax=1,
        extent=(start / scale, max(end, start + 1e-9) / scale, neurons - 0.5, -0.5),
    )
    ax.set_facecolor("white")
    ax.patch.set(hatch="////", edgecolor=GREY)
    ax.set_xlabel("time (min)" if minutes else "time (s)")
    ax.set_ylabel("neuron (in the file's order)")
    ax.locator_params(axis="y", integer=True)
    ax.figure.colorbar(image, ax=ax, label="rate, least to largest", pad=0.01)
    return ax


@house_style
def trust_panels(trust, ax=None):
    """Histograms of noise level, distance and agreement over the neurons, with their limits.

    Returns
    -------
    matplotlib Axes
        The first of three.
    """
    ax = ax or new_axes(7.0, 2.2)
    first, second, third = (ax.inset_axes([left, 0, 0.28, 1]) for left in (0.0, 0.36, 0.72))
    ax.axis("off")
    panels = (
        (first, "noise_level", "noise level (% Hz$^{-1/2}$)", NOISY),
        (second, "distance", "distance from training", FAR),
        (third, "agreement", "agreement of dataset IDs", UNSURE),
    )
    for panel, kind, label, limit in panels:
        values = np.array([getattr(neuron, kind) for neuron in trust.neurons])
        values = values[np.isfinite(values)]
        if values.size:
            panel.hist(values, bins=min(30, max(5, values.size)), color=BLUE)
        else:
            panel.text(0.5, 0.5, "not known", transform=panel.transAxes, ha="center", color=GREY)
        panel.axvline(limit, color=ORANGE, linestyle="--", linewidth=1)
        panel.set_xlabel(label)
        panel.locator_params(axis="y", integer=True)
        panel.spines[["top", "right"]].set_visible(False)
    first.set_ylabel("neurons")
    return ax
