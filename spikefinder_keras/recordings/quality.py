"""How far to trust a prediction: what the input is like, and how much the answer depends on
choices; and what the numbers mean in words. All of it from the recording itself, without any true
spikes.
"""

import warnings
from collections.abc import Sequence

import numpy as np

from ..arrays import Table, Trace
from ..console import text_table
from ..constants import POOL, SAMPLE_RATE
from ..signals.measures import fast_length, noise_level
from ..signals.preprocess import BASELINE, TOP
from ..text import counted
from .calibration import CENTRAL
from .recording import Certainty, NeuronQuality, Quality, Recording
from .segments import common_jumps, gaps

SHORTEST = 30.0  # percentiles of less than so many s say little about a neuron's baseline
PERCENT = 20.0
"""Above this noise level dF/F is taken for percent. The datasets of Rupprecht et al. 2021 have
medians of 0.3 to 1.5, and ten times as much is hardly a recording."""

SLOW = 12.0  # below so many Hz the change from frame to frame is signal more than noise
PERCENT_RANGE = 10.0
"""A slow recording must also have its 99th percentile so far above the median to be taken for
percent: 1,000% are no transient of any indicator."""

SMOOTH = 0.45
"""A trace was smoothed if more than this share of successive frame-to-frame changes is of one sign.
The datasets of Rupprecht et al. 2021 have medians of 0.33 to 0.39, averaged over three frames 0.51
to 0.63."""

SMOOTH_SLOW = 0.7
"""The same for slow recordings: those datasets, averaged to 1 to 10 Hz, have medians up to 0.66."""

REPEATED = 0.5
"""If more than this share of a trace's frames repeat the one before, it is no plain fluorescence.
In the datasets 0.016 at most do; of noise on a scale of whole numbers of its own size a quarter, of
dF/F without its negative half another; deconvolved ones do nearly always."""

TOGETHER = 0.5  # above this median correlation between neurons neuropil or motion is suspected
PRESENT = 0.9
"""Neurons with fewer of their frames are left out where neurons are compared: the frames in which
all are there would be too few."""

MOST_PAIRS_OF = 50
"""So many neurons, evenly chosen, are compared with each other: the median of their 1,225 pairs."""
MOST_VALUES = 2_000_000
"""So many values of all of them are compared; of long recordings fewer neurons, to bound the
memory."""

NOISY = 5.0  # above this noise level Cascade's authors call a recording poor
FAR = 1.05
"""Above this distance a neuron's trace is called unlike the training data: farther than any trace
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

RAW_BASELINE = 0.5  # with a higher 10th percentile a trace of no stated unit is F: dF/F is near 0
AGREEMENT = Certainty("agreement", "agreement of the dataset IDs", 0.8, "depends on the dataset ID")
"""Of convi6: mean correlation at 25 Hz of the rates under each of the ten dataset IDs with their
mean; 1 if the ID makes no difference."""

EXPECTED = Certainty(
    "expected r", "correlation with the true spikes to be expected at 25 Hz", 0.3, "uncertain"
)
"""Of `universal`: see `calibration.ScoreMap`."""

SHOWN = 20  # the table on the terminal has so many neurons
SHOWN_DIGITS = 2
"""Numbers have so many digits behind the point, in the table and on the page; verdicts are of the
numbers as they are shown."""


def features(calcium: Trace) -> dict[str, float]:
    """Numbers that show how a trace in the competition's form looks, `(sample,)` at 100 Hz without
    missing samples.

    `height` is the 99.9th percentile (the 80th is 1), `memory` the s until the autocorrelation
    falls to 1/2, `roughness` the share of the variance that changes from 100 ms to the next.
    """
    x = np.asarray(calcium, np.float64)
    # 100 ms: below it, what a slow microscope saw is interpolation.
    x = x[: x.size // 10 * 10].reshape(-1, 10).mean(axis=1)
    if x.size < 3 or not np.ptp(x) > 0:
        return dict.fromkeys(FEATURES, float("nan"))
    centred = x - x.mean()
    variance = np.mean(centred**2)
    # Twice as long, so that the end of the trace does not meet its start.
    length = fast_length(2 * x.size)
    spectrum = np.fft.rfft(centred, length)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, length)[: x.size] / (x.size * variance)
    below = np.flatnonzero(correlation < 0.5)
    return {
        "height": float(np.percentile(calcium, 99.9)),
        "skewness": float(np.mean(centred * centred**2) / variance**1.5),
        "memory": 0.1 * float(below[0] if below.size else x.size),
        "roughness": float(np.mean(np.diff(x) ** 2) / (2 * variance)),
    }


def distance(calcium: Trace) -> tuple[float, str]:
    """How far a trace `(sample,)` lies from the training traces, and in which feature, see
    `NeuronQuality`; NaN for a trace too short or constant."""
    found = []
    for name, value in features(calcium).items():
        low, median, high = FEATURES[name]
        edge = high - median if value > median else median - low
        found.append((abs(value - median) / edge, name))
    return max(found) if not np.isnan(found[0][0]) else (float("nan"), "")


def agreement(rates: Sequence[Trace]) -> float:
    """How little the rates of a neuron depend on the dataset ID: the mean over the IDs of the
    correlation at 25 Hz of rates `(sample,)` at 100 Hz, one for each ID, with their mean; NaN if
    one is constant."""
    table = np.asarray(rates, np.float64)
    pooled = table[:, : table.shape[1] // POOL * POOL].reshape(len(table), -1, POOL).mean(axis=2)
    if not pooled.size or not np.ptp(pooled, axis=1).min() > 0:
        return float("nan")
    deviation = pooled - pooled.mean(axis=1, keepdims=True)
    mean = deviation.mean(axis=0)
    norms = np.sqrt((deviation**2).sum(axis=1) * (mean**2).sum())
    return float(np.mean(deviation @ mean / norms))


def is_raw(trace: Trace, unit: str | None) -> bool:
    """Whether a trace `(frame,)` is raw fluorescence: as stated, else where its 10th percentile is
    high."""
    return unit == "F" or (unit is None and _low(trace) > RAW_BASELINE)


def _low(trace: Trace) -> float:
    """The 10th percentile of a trace; NaN without any value."""
    return float(np.nanpercentile(trace, 10)) if np.isfinite(trace).any() else float("nan")


def as_dff(trace: Trace, unit: str | None) -> Trace | None:
    """A trace `(frame,)` as dF/F, for the noise level alone; None in the competition's form.

    F becomes (F - F0) / F0 with F0 its 10th percentile.
    """
    if unit == "competition":
        return None
    trace = np.asarray(trace, np.float64)
    baseline = _low(trace)
    if unit == "dF/F" or (unit is None and not baseline > RAW_BASELINE):
        return trace
    return (trace - baseline) / baseline if baseline > 0 else None


def neuron_quality(
    recording: Recording, neuron: int, *, calcium: Trace, certainty: float
) -> NeuronQuality:
    """The quality of a neuron, with its trace `(sample,)` in the competition's form."""
    trace = recording.traces[:, neuron]
    dff = as_dff(trace, recording.unit)
    level = float("nan") if dff is None else noise_level(dff, recording.frame_rate)
    far, feature = distance(calcium[np.isfinite(calcium)])
    bridged, lost = gaps(recording.segments, ~np.isfinite(trace))
    return NeuronQuality(
        recording.names[neuron], level, far, feature, certainty, bridged=bridged, lost=lost
    )


# The recording as a whole


def smoothness(trace: Trace) -> float:
    """Share of the frame-to-frame changes of a trace `(frame,)` that have the next one's sign: 1/3
    for white noise, 1/2 for a moving average of it, almost 1 without noise. NaN if nothing
    changes."""
    signs = np.sign(np.diff(np.asarray(trace, np.float64)))
    both = signs[:-1] * signs[1:]
    both = both[np.isfinite(both) & (both != 0)]
    return float(np.mean(both > 0)) if both.size else float("nan")


def median_correlation(traces: Table) -> float:
    """Median correlation between the neurons of `(frame, neuron)`; NaN for fewer than three."""
    traces = np.asarray(traces, np.float64)
    traces = traces[:, np.isfinite(traces).mean(axis=0) > PRESENT]
    traces = traces[np.isfinite(traces).all(axis=1)]
    if len(traces):
        traces = traces[:, np.ptp(traces, axis=0) > 0]
    if min(traces.shape) < 3:
        return float("nan")
    correlations = np.corrcoef(traces.T)
    return float(np.median(correlations[np.triu_indices(len(correlations), 1)]))


def recording_warnings(recording: Recording, neurons: Sequence[NeuronQuality]) -> tuple[str, ...]:
    """Lines on what may be wrong with a recording as a whole: percent for fraction, smoothed or
    denoised traces, a transposed array, a wrong frame rate, neuropil, too short a recording."""
    frames, count = recording.fluorescence.shape
    compared = int(np.clip(MOST_VALUES // frames, 3, MOST_PAIRS_OF))
    sample = recording.sample(compared).traces
    in_competition = recording.unit == "competition"
    lines = [_percent(recording, neurons, sample)]
    # The competition's own traces are upsampled, so smooth.
    if not in_competition:
        lines += [_smoothed(recording, sample), _repeated(sample)]
    if count > frames:
        lines.append(
            f"{count} neurons of {frames} frames each: is the array transposed? state the other "
            "orientation if so"
        )
    seconds = sum(segment.samples for segment in recording.segments) / SAMPLE_RATE
    if seconds < SHORTEST:
        lines.append(
            f"only {seconds:.1f} s in all: too little to find each neuron's baseline and range"
        )
    lines.append(_wrong_rate(recording, neurons))
    lines += _moving_together(sample, may_jump=not in_competition)
    if in_competition:
        lines.append(_unlike_the_competition(recording))
    else:
        lines += _without_values(neurons, frames)
    return tuple(filter(None, lines))


def _percent(recording: Recording, neurons: Sequence[NeuronQuality], sample: Table) -> str:
    # Percent makes the noise level 100 times as large; nothing else does so to most neurons.
    levels = np.array([neuron.noise_level for neuron in neurons])
    if recording.unit == "F" or not np.isfinite(levels).any():
        return ""
    slow = recording.frame_rate < SLOW
    if np.nanmedian(levels) > PERCENT and (not slow or _range(sample) > PERCENT_RANGE):
        return (
            f"the median noise level is {np.nanmedian(levels):.0f} % Hz^-1/2: dF/F seems to be in "
            "percent; it does not change the rates, but give fractions for a true noise level"
        )
    return ""


def _range(traces: Table) -> float:
    """Median over the neurons of their 99th percentile above the 50th; 0 without any value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # neurons without any value
        middle, top = np.nanpercentile(traces, [50, 99], axis=0)
        return float(np.nan_to_num(np.nanmedian(top - middle)))


def _smoothed(recording: Recording, sample: Table) -> str:
    smooth = [smoothness(trace) for trace in sample.T]
    limit = SMOOTH_SLOW if recording.frame_rate < SLOW else SMOOTH
    if np.isfinite(smooth).any() and np.nanmedian(smooth) > limit:
        return (
            "the traces seem to be smoothed, denoised or upsampled already; the network was "
            "trained on raw ones, give it those"
        )
    return ""


def _repeated(sample: Table) -> str:
    steps = np.diff(sample, axis=0)
    known = np.isfinite(steps)
    count = known.sum(axis=0)
    shares = (steps == 0).sum(axis=0)[count > 0] / count[count > 0]
    shares = shares[shares < 1]  # one that never changes is told apart
    if shares.size and np.median(shares) > REPEATED:
        return (
            "in most frames the traces are as they were in the one before, as spikes, deconvolved "
            "traces or repeated frames are; give fluorescence, each frame once"
        )
    return ""


def _wrong_rate(recording: Recording, neurons: Sequence[NeuronQuality]) -> str:
    tempo = ("memory", "roughness")
    odd = [neuron for neuron in neurons if neuron.feature in tempo and neuron.distance > FAR]
    # A few neurons are odd in every recording; a wrong rate makes most of them so.
    if len(odd) <= len(neurons) / 2:
        return ""
    return (
        "most traces change much faster or slower than any in training: is the frame rate "
        f"{recording.frame_rate:g} Hz?"
    )


def _moving_together(sample: Table, *, may_jump: bool) -> list[str]:
    lines = []
    jumps = common_jumps(sample) if may_jump else np.zeros(len(sample), bool)
    if jumps.any():
        where = f"in {counted(int(jumps.sum()), 'frame')} nearly all neurons jump at once"
        lines.append(f"{where}, as by flashes of light or dark frames: mark these as missing (NaN)")
    together = median_correlation(sample[~jumps])
    if together > TOGETHER:
        lines.append(
            f"the neurons move together (median correlation {together:.2f}): has neuropil been "
            "subtracted, and motion been corrected?"
        )
    return lines


def _unlike_the_competition(recording: Recording) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # neurons without any sample
        levels = np.nanpercentile(recording.traces, [BASELINE, TOP], axis=0)
        low, high = np.nanmedian(levels, axis=1)
    # Preprocessing puts these two percentiles to 0 and 1.
    if np.isnan(low) or abs(low) < 0.5 < high < 2:
        return ""
    return (
        "this does not look like the competition's preprocessed form; if it is a raw "
        "recording, state its frame rate"
    )


def _without_values(neurons: Sequence[NeuronQuality], frames: int) -> list[str]:
    lines = []
    empty = sum(np.isnan(neuron.distance) for neuron in neurons)
    if empty:
        lines.append(
            f"{empty} of {counted(len(neurons), 'neuron')} {'has' if empty == 1 else 'have'} no "
            "signal at all: empty, constant or short"
        )
    # Of a neuron that is missing as a whole, that line says enough.
    alive = [neuron for neuron in neurons if neuron.lost < frames]
    bridged, lost = sum(n.bridged for n in alive), sum(n.lost for n in alive)
    if bridged or lost:
        lines.append(
            f"missing values: {bridged} were interpolated, {lost} inside longer gaps are left empty"
        )
    return lines


# In words


def shown_number(number: float, none: str = "-") -> str:
    """A number as it is shown, or `none` where it is NaN."""
    return none if np.isnan(number) else f"{number:.{SHOWN_DIGITS}f}"


def shown_rate(neuron: NeuronQuality) -> str:
    """A neuron's mean rate and its interval, such as `0.82 (0.35 to 1.90)`, or nothing."""
    if np.isnan(neuron.rate):
        return ""
    rate, low, high = map(shown_number, (neuron.rate, neuron.rate_low, neuron.rate_high))
    return f"{rate} ({low} to {high})"


def verdict(neuron: NeuronQuality, certainty: Certainty) -> str:
    """What a neuron's numbers mean, as they are shown, in a few words; empty for a good neuron."""
    if np.isnan(neuron.distance):
        return "no signal"
    words = []
    if round(neuron.noise_level, SHOWN_DIGITS) > NOISY:
        words.append("noisy")
    if round(neuron.distance, SHOWN_DIGITS) > FAR:
        words.append(f"unlike training ({neuron.feature})")
    if round(neuron.certainty, SHOWN_DIGITS) < certainty.limit:
        words.append(certainty.verdict)
    return ", ".join(words)


def _rank(neuron: NeuronQuality, certainty: Certainty) -> tuple[float, int, float]:
    """How bad a neuron is: by how far it is beyond the first limit that it breaks, if it does."""
    bad = np.inf
    if not np.isnan(neuron.distance):
        uncertain = 2 - neuron.certainty / certainty.limit
        shares = (neuron.noise_level / NOISY, neuron.distance / FAR, uncertain)
        bad = float(np.nanmax([0.0, *shares])) - 1
    return max(bad, 0.0), neuron.lost, bad


def quality_table(quality: Quality) -> str:
    """The neurons of a `Quality` as text, the `SHOWN` worst of them, and what the columns mean."""
    certainty, neurons = quality.certainty, quality.neurons
    # Rates of the networks of 2017 have no unit.
    rated = any(shown_rate(neuron) for neuron in neurons)
    head = ("neuron", *(("spikes/s",) if rated else ()), "noise level", "distance")
    rows: list[tuple[str, ...]] = [(*head, certainty.name, "missing", "")]
    shown: Sequence[NeuronQuality] = neurons
    if len(neurons) > SHOWN:
        shown = sorted(neurons, key=lambda n: _rank(n, certainty), reverse=True)[:SHOWN]
    for neuron in shown:
        numbers = (neuron.noise_level, neuron.distance, neuron.certainty)
        missing = str(neuron.bridged + neuron.lost)
        name = (neuron.name, *((shown_rate(neuron) or "-",) if rated else ()))
        rows.append((*name, *map(shown_number, numbers), missing, verdict(neuron, certainty)))
    text = text_table(rows, right=range(1, len(rows[0]) - 1))
    if len(neurons) > SHOWN:
        text += f"\nthe worst {SHOWN} of {len(neurons)}; {len(neurons) - SHOWN} more are better"
        text += ", and --report shows them all"
    meaning = f"mean rate with its {CENTRAL:.0%} interval; " if rated else ""
    return (
        f"{text}\n{meaning}noise level in % dF/F per sqrt(Hz), above {NOISY:g} poor; distance from "
        f"training, above {FAR:g} unlike it; {certainty.words}, below {certainty.limit:g} unsure; "
        "missing frames"
    )
