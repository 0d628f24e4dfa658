"""Figures of scores: correlations by set and by sampling rate, differences with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array, ArrayLike
from ..competition.scoring import SUBMISSION, TEST, Scores, published_score, score
from ..competition.submission import PredictedSet
from ..constants import SAMPLE_RATE
from ..text import counted
from .style import BLUE, GREY, ORANGE, house_style, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POOLS = (4, 8, 16, 32)
"""Samples per window of the comparison: 25, 12.5, 6.25 and 3.125 Hz, as in Theis et al. 2016."""


@house_style
def scores(
    labels: Sequence[str],
    values: Sequence[Array],
    published: Mapping[str, ArrayLike] | None = None,
    *,
    highlight: str | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Correlation of each neuron by set, beside published means.

    Parameters
    ----------
    labels, values
        Of each set, correlations at 25 Hz `(neuron,)`.
    published
        Mean correlations `(set,)` by algorithm, of which `highlight` gets a mark of its own.
    """
    ax = ax or new_axes(2.8 + 0.37 * len(labels), 3.2)
    centres = np.arange(len(labels))
    beside = centres + 0.28
    for position, of_set in enumerate(values):
        of_set = np.asarray(of_set, float)
        # Neurons of a set stand side by side, or equal scores hide each other.
        spread = np.linspace(-0.3, 0.08, len(of_set)) if len(of_set) > 1 else [-0.11]
        ax.plot(
            position + np.asarray(spread), of_set, "o", color=BLUE, markersize=2.5, alpha=0.6,
            markeredgewidth=0, label="_" if position else "a neuron",
        )  # fmt: skip
    means = [Scores(np.asarray(of_set, float), ()).mean for of_set in values]
    ax.hlines(means, centres - 0.36, centres + 0.14, color="black", linewidth=1.6, label="mean")
    others = [np.asarray(m, float) for name, m in (published or {}).items() if name != highlight]
    for number, mean in enumerate(others):
        label = "_" if number else "other algorithms, 2017"
        ax.plot(beside, mean, "_", color=GREY, markersize=6, label=label)
    if published and highlight is not None and highlight in published:
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
def scores_by_rate(
    sampling_rates: Sequence[float],
    values: Mapping[str, Array],
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Correlation by the rate in Hz at which spikes and prediction are compared.

    `values` are correlations `(neuron, rate)` by name of a group of neurons: a thin line for each
    neuron, a thick one with markers for the mean of each group.
    """
    ax = ax or new_axes(5.5, 3.2)
    positions = np.arange(len(sampling_rates))
    # Three groups at most, which grey print tells apart by their markers.
    styles = zip(values.items(), (BLUE, ORANGE, "black"), ("o-", "s--", "^:"), strict=False)
    for (name, table), colour, line in styles:
        table = np.asarray(table, float)
        ax.plot(positions, table.T, color=colour, linewidth=0.5, alpha=0.3, label="_")
        scored = table[~np.isnan(table).any(axis=1)]
        label = f"{name},\nmean of {counted(len(scored), 'neuron')}"
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
def differences(
    names: Sequence[str],
    means: ArrayLike,
    lows: ArrayLike,
    highs: ArrayLike,
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Mean differences of the correlation from a reference, with the ends of their intervals, one
    line for each name; coloured where 0 is outside."""
    ax = ax or new_axes(5.5, 0.8 + 0.24 * len(names))
    colours = np.select([np.greater(lows, 0), np.less(highs, 0)], [BLUE, ORANGE], "black").tolist()
    ax.hlines(range(len(names)), lows, highs, colors=colours, linewidth=1.2)
    ax.scatter(means, range(len(names)), c=colours, s=14, zorder=3)
    ax.axvline(0, color=GREY, linewidth=0.6, linestyle=":")
    ax.set_yticks(range(len(names)), names)
    # The first name on top, as in the table.
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel("difference of the correlation at 25 Hz (no unit)")
    ax.set_title(title)
    return ax


def draw_scores(sets: Sequence[PredictedSet], real: bool = False, ax: Axes | None = None) -> Axes:
    """`figures.scores` of those of the sets whose truth is known, by the published protocol as the
    published means beside them. Only if the data are `real`, the competition's own, are these the
    scores of 2017."""
    known = [(each, each.spikes) for each in sets if each.spikes is not None]
    values = [score(spikes, each.rates, protocol="published").values for each, spikes in known]
    published = {
        name: np.array([published_score(each.split, each.number, name) for each, _ in known], float)
        for name in TEST
    }
    title = "Correlation of each neuron, scored as in 2017"
    if not real:
        title = "Correlation on other data than the competition's; 2017: the real recordings"
    labels = [f"{each.split}\n{each.number}" for each, _ in known]
    return scores(labels, values, published, highlight=SUBMISSION, title=title, ax=ax)


def draw_scores_by_rate(sets: Sequence[PredictedSet], ax: Axes | None = None) -> Axes:
    """`figures.scores_by_rate` of those of the sets whose truth is known, by split."""
    values: dict[str, Array] = {}
    for split, name in (("train", "training sets"), ("test", "test sets")):
        known = [(each.spikes, each.rates) for each in sets if each.split == split]
        tables = [
            [score(spikes, rates, downsample=pool).values for pool in POOLS]
            for spikes, rates in known
            if spikes is not None
        ]
        if tables:
            values[name] = np.concatenate(tables, axis=1).T
    sampling_rates = [SAMPLE_RATE / pool for pool in POOLS]
    return scores_by_rate(sampling_rates, values, "Correlation by sampling rate", ax)
