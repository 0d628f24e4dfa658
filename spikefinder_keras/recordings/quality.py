"""How far to believe a prediction: what the input is like, and how much the answer depends on
choices. All of it from the recording itself, without any true spikes.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from ..constants import POOL, SAMPLE_RATE
from ..signals.measures import noise_level
from ..signals.preprocess import BASELINE, TOP
from .segments import gaps
from .together import common_jumps, median_correlation

SHORTEST = 30.0
"""s; percentiles of less than this say little about a neuron's baseline."""

PERCENT = 20.0
"""Noise level above which dF/F is taken for percent. The datasets of Rupprecht et al. 2021 have
medians of 0.3 to 1.5, and ten times as much is hardly a recording."""

SLOW = 12.0
"""Hz; below it the change from frame to frame is signal more than noise."""

PERCENT_RANGE = 10.0
"""99th percentile above the median that a slow recording must have too to be taken for percent."""

SMOOTH = 0.45
"""Share of successive frame-to-frame changes of one sign above which a trace was smoothed. The
datasets of Rupprecht et al. 2021 have medians of 0.33 to 0.39, averaged over three frames 0.51 to
0.63."""

SMOOTH_SLOW = 0.7
"""The same for slow recordings: those datasets, averaged to 1 to 10 Hz, have medians up to 0.66."""

TOGETHER = 0.5
"""Median correlation between neurons above which neuropil or motion is suspected."""

MOST_PAIRS_OF = 200
"""Neurons that are compared with each other, evenly chosen."""

MOST_VALUES = 8_000_000
"""Of all of them; of long recordings fewer neurons are compared, to bound the memory."""

NOISY = 5.0
"""Noise level that Cascade's authors call poor."""

FAR = 1.05
"""Distance above which a neuron's trace is called unlike the training data: farther than any trace
in training, but for what another preparation of the same makes of it."""

FEATURES = {
    "height": (1.43, 7.36, 41.0),
    "skewness": (-0.11, 3.54, 13.0),
    "memory": (0.10, 0.90, 7.2),
    "roughness": (0.0021, 0.0755, 0.88),
}
"""Least, median and largest of each of `features` over 119 training traces:
competition sets 4 to 6, and as sets 7 to 10 those of the ground truth of Rupprecht et al. 2021
(`benchmarks/ground_truth_sets.py` puts them together)."""


@dataclass(frozen=True)
class Certainty:
    """What says how sure a network is of a neuron: a number from 0 to 1.

    `name` heads its column, `words` explain it; below `limit` the neuron is called `verdict`.
    """

    name: str
    words: str
    limit: float
    verdict: str


AGREEMENT = Certainty("agreement", "agreement of the dataset IDs", 0.8, "depends on the dataset ID")
"""Of convi6: mean correlation at 25 Hz of the rates under each of the ten dataset IDs with their
mean; 1 if the ID makes no difference."""

EXPECTED = Certainty(
    "expected r", "correlation with the true spikes to be expected at 25 Hz", 0.3, "uncertain"
)
"""Of `universal`: see `spikes.expected_score`."""


@dataclass(frozen=True)
class NeuronTrust:
    """What is known about one neuron's prediction.

    Attributes
    ----------
    name : str
    noise_level : float
        Cascade's (Rupprecht et al. 2021): 100 median|difference of successive dF/F| / sqrt(frame
        rate), in % Hz^-1/2; about 1 is very good, 3 to 4 decent, above 5 poor. NaN where dF/F is
        not known.
    distance : float
        Of the network's input from what it was trained on: 0 like the median training trace, 1 like
        the most extreme one, in the feature farthest off, which `feature` names.
    feature : str
    certainty : float
        See `Certainty`; which of the two it is, `Trust` says.
    bridged, lost : int
        Missing frames that were interpolated, and such whose rates were left empty.
    """

    name: str
    noise_level: float
    distance: float
    feature: str
    certainty: float
    bridged: int
    lost: int


@dataclass(frozen=True)
class Trust:
    """`neurons`, a tuple of `NeuronTrust`; `warnings`, a tuple of lines on the recording; and what
    the neurons' `certainty` is."""

    neurons: tuple
    warnings: tuple
    certainty: Certainty = EXPECTED


def features(calcium):
    """Numbers that tell how a trace in the competition's form looks.

    Parameters
    ----------
    calcium : array `(sample,)`
        At 100 Hz, without missing samples.

    Returns
    -------
    dict of str to float
        `height`: 99.9th percentile (the 80th is 1); `skewness`; `memory`: s until the
        autocorrelation falls to 1/2; `roughness`: share of the variance that changes from 100 ms to
        the next.
    """
    x = np.asarray(calcium, np.float64)
    # 100 ms: below it, what a slow microscope saw is interpolation.
    x = x[: x.size // 10 * 10].reshape(-1, 10).mean(axis=1)
    if x.size < 3 or not np.ptp(x) > 0:
        return dict.fromkeys(FEATURES, float("nan"))
    centred = x - x.mean()
    variance = np.mean(centred**2)
    spectrum = np.fft.rfft(centred, 2 * x.size)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: x.size] / (x.size * variance)
    below = np.flatnonzero(correlation < 0.5)
    return {
        "height": float(np.percentile(calcium, 99.9)),
        "skewness": float(np.mean(centred * centred**2) / variance**1.5),
        "memory": 0.1 * float(below[0] if below.size else x.size),
        "roughness": float(np.mean(np.diff(x) ** 2) / (2 * variance)),
    }


def distance(calcium):
    """How far a trace `(sample,)` lies from the training traces, and in which feature.

    Returns
    -------
    (float, str)
        See `NeuronTrust`; NaN for a trace too short or constant.
    """
    found = []
    for name, value in features(calcium).items():
        low, median, high = FEATURES[name]
        edge = high - median if value > median else median - low
        found.append((abs(value - median) / edge, name))
    return max(found) if not np.isnan(found[0][0]) else (float("nan"), "")


def agreement(rates):
    """How little the rates depend on the dataset ID.

    Parameters
    ----------
    rates : array `(dataset, sample)`
        Of one neuron at 100 Hz, under each ID.

    Returns
    -------
    float
        Mean over the IDs of the correlation with their mean, at 25 Hz; NaN if one is constant.
    """
    rates = np.asarray(rates, np.float64)
    pooled = rates[:, : rates.shape[1] // POOL * POOL].reshape(len(rates), -1, POOL).mean(axis=2)
    if not pooled.size or not np.ptp(pooled, axis=1).min() > 0:
        return float("nan")
    deviation = pooled - pooled.mean(axis=1, keepdims=True)
    mean = deviation.mean(axis=0)
    norms = np.sqrt((deviation**2).sum(axis=1) * (mean**2).sum())
    return float(np.mean(deviation @ mean / norms))


def as_dff(trace, unit):
    """A trace `(frame,)` as dF/F, for the noise level alone; None in the competition's form.

    F becomes (F - F0) / F0 with F0 its 10th percentile. Where nobody stated the unit, a trace whose
    10th percentile exceeds 0.5 is taken for F.
    """
    if unit == "competition":
        return None
    trace = np.asarray(trace, np.float64)
    baseline = np.nanpercentile(trace, 10) if np.isfinite(trace).any() else np.nan
    if unit == "F" or (unit is None and baseline > 0.5):
        return (trace - baseline) / baseline if baseline > 0 else None
    return trace


def judge_neuron(recording, blocks, neuron, trace, certainty):
    """The `NeuronTrust` of a neuron, with its trace `(sample,)` in the competition's form."""
    dff = as_dff(recording.fluorescence[:, neuron], recording.unit)
    level = float("nan") if dff is None else noise_level(dff, recording.frame_rate)
    far, feature = distance(trace[np.isfinite(trace)])
    missing = gaps(recording, blocks, neuron)
    return NeuronTrust(recording.names[neuron], level, far, feature, certainty, *missing)


def smoothness(trace):
    """Share of the frame-to-frame changes of a trace `(frame,)` that have the next one's sign.

    1/3 for white noise, 1/2 for a moving average of it, almost 1 for a trace without noise. NaN if
    nothing changes.
    """
    signs = np.sign(np.diff(np.asarray(trace, np.float64)))
    both = signs[:-1] * signs[1:]
    both = both[np.isfinite(both) & (both != 0)]
    return float(np.mean(both > 0)) if both.size else float("nan")


def recording_warnings(recording, blocks, neurons):
    """Lines on what may be wrong with a recording as a whole.

    Parameters
    ----------
    recording : Recording
    blocks : sequence of Block
    neurons : sequence of NeuronTrust

    Returns
    -------
    tuple of str
        The classic mistakes, as far as the data show them: percent for fraction, smoothed or
        denoised traces, a transposed array, a wrong frame rate, neuropil, too short a recording.
    """
    lines = []
    frames, count = recording.fluorescence.shape
    seconds = sum(block.samples for block in blocks) / SAMPLE_RATE
    levels = np.array([neuron.noise_level for neuron in neurons])
    slow = recording.frame_rate < SLOW
    compared = int(np.clip(MOST_VALUES // frames, 3, MOST_PAIRS_OF))
    some = np.unique(np.linspace(0, count - 1, compared).astype(int))
    sample = recording.part(some)[0].fluorescence
    if (
        recording.unit != "F"
        and np.isfinite(levels).any()
        and np.nanmedian(levels) > PERCENT
        and (not slow or _range(sample) > PERCENT_RANGE)
    ):
        lines.append(
            f"the median noise level is {np.nanmedian(levels):.0f} % Hz^-1/2: dF/F seems to be in "
            "percent; it does not change the rates, but give fractions for a true noise level"
        )
    if recording.unit != "competition":
        smooth = [smoothness(trace) for trace in sample.T]
        if np.isfinite(smooth).any() and np.nanmedian(smooth) > (SMOOTH_SLOW if slow else SMOOTH):
            lines.append(
                "the traces seem to be smoothed, denoised or upsampled already; the network was "
                "trained on raw ones, give it those"
            )
    if count > frames:
        lines.append(
            f"{count} neurons of {frames} frames each: is the array transposed? state the other "
            "orientation if so"
        )
    if seconds < SHORTEST:
        lines.append(
            f"only {seconds:.1f} s in all: too little to find each neuron's baseline and range"
        )
    tempo = ("memory", "roughness")
    odd = [neuron for neuron in neurons if neuron.feature in tempo and neuron.distance > FAR]
    if len(odd) > len(neurons) / 2:
        lines.append(
            "most traces change much faster or slower than any in training: is the frame rate "
            f"{recording.frame_rate:g} Hz?"
        )
    jumps = np.zeros(frames, bool) if recording.unit == "competition" else common_jumps(sample)
    if jumps.any():
        lines.append(
            f"in {int(jumps.sum())} frames nearly all neurons jump at once, as by flashes of light "
            "or dark frames: mark these frames as missing (NaN)"
        )
    together = median_correlation(sample[~jumps])
    if together > TOGETHER:
        lines.append(
            f"the neurons move together (median correlation {together:.2f}): has neuropil been "
            "subtracted, and motion been corrected?"
        )
    if recording.unit == "competition":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # neurons without any sample
            levels = np.nanpercentile(recording.fluorescence, [BASELINE, TOP], axis=0)
            low, high = np.nanmedian(levels, axis=1)
        if not (np.isnan(low) or abs(low) < 0.5 < high < 2):
            lines.append(
                "this does not look like the competition's preprocessed form; if it is a raw "
                "recording, state its frame rate"
            )
        return tuple(lines)
    empty = sum(np.isnan(neuron.distance) for neuron in neurons)
    if empty:
        lines.append(f"{empty} of {count} neurons have no signal at all: empty, constant or short")
    alive = [neuron for neuron in neurons if neuron.lost < frames]
    bridged, lost = (sum(getattr(n, kind) for n in alive) for kind in ("bridged", "lost"))
    if bridged or lost:
        lines.append(
            f"missing values: {bridged} were interpolated, {lost} inside longer gaps are left empty"
        )
    return tuple(lines)


def _range(traces):
    """Median over the neurons of their 99th percentile above the 50th; 0 without any value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # neurons without any value
        middle, top = np.nanpercentile(traces, [50, 99], axis=0)
        return np.nan_to_num(np.nanmedian(top - middle))
