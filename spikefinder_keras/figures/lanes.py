"""Traces one above the other, each in a lane of its own."""

import numpy as np

from ..constants import SAMPLE_RATE


def draw_lanes(ax, start, groups):
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


def _range(values):
    """Least and largest value, both NaN if there is none."""
    there = present(values)
    return (float(there.min()), float(there.max())) if there.size else (np.nan, np.nan)


def _range_text(low, high):
    """A range with as many decimals as tell its ends apart, and one more."""
    if np.isnan(low):
        return "no samples"
    decimals = max(0, 1 - int(np.floor(np.log10(high - low)))) if high > low else 2
    return f"{low:.{decimals}f} to {high:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def present(values):
    """Those of `values` that are no NaN."""
    values = np.asarray(values, float)
    return values[~np.isnan(values)]


def draw_scale_bar(ax, height):
    """A vertical bar to the right of the axes, about `height` in data units, with its length."""
    height = float(f"{height:.0e}")
    bottom = ax.get_ylim()[0]
    where = {"transform": ax.get_yaxis_transform(), "clip_on": False}
    ends = [bottom, bottom + height]
    ax.plot([1.02, 1.02], ends, color="black", linewidth=1.5, label="_scale", **where)
    ax.text(1.03, np.mean(ends), f"{height:g}", va="center", **where)
