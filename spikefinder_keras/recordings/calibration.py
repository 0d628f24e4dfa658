"""The calibration of `universal`: when calcium answers in a recording, and the map to spikes/s.

Both are measured on recordings with known spikes (`training.calibrate`), with the very weights they
are stored beside (`NAME.calibration.json`), and say so.

The delay. The network is trained with every set's delay taken out, so its output says when
something happened but for a delay of the recording: indicators answer late, fish are colder than
mice, and frames are stamped at their start, middle or end. The neurons of a recording share it,
within 10 ms, so it is a property of the recording, and its trace is read so much later:

    delay = typical + a slowness + b persistence + c log(frame rate / 30 Hz)

`typical` and the slopes a to c belong to the family of the stated indicator and species, or to all
recordings together where nothing is known. The slowness is how slowly the recording's own average
transient rises, and counts as much as there are events to see it on; the persistence is how long
its neurons stay active, since of tonic firing one sees the change of the rate and not the spike;
and the longer a frame, the more of a delay is in where it is stamped. The first two are found once,
on a sample of the neurons. What is left uncertain is spread over the neighbouring steps
(`blurred`).

The rates. The network is trained on correlation, so it says when a neuron fires and how much more
often than at another time. How often in all, a map says for each neuron, from the form of the
output alone:

    log(rate + 0.01) = a + b log(busy + 0.001) + c log(kurtosis) + d log(events + 0.01)
                         + e r(0.04 s) + f r(0.2 s) + g r(1 s) + h r(5 s)

The rate is in spikes/s, `busy` is the share of the time in which the output is high, a quarter of
its peaks or more, the kurtosis is the output's (3 for a Gaussian, more for rare events), `events`
are the isolated peaks per second, and r is the autocorrelation. The output's mean, whose factor
differs between recordings, is not in it. Nothing of it depends on the gain, the offset or the unit
of the trace.

Noise alone makes the network answer too, a little. So the rates of a recording are multiplied by
the share of its smoothed variance that is not noise (`signal_share`): 0 for noise, whatever its
level.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..arrays import Array, Rates, Trace
from ..constants import SAMPLE_RATE
from ..errors import UsageError, WeightsError
from ..files.atomic import read_json, write_text
from ..network.universal import STEP, STEPS_PER_SECOND
from ..text import clean_name, letters

# The delay

BEFORE, AFTER = 60, 120  # samples of the average transient before and after an event (0.6 s, 1.2 s)
AT_REST = 35  # its first samples are before the rise, whatever the indicator
FIRST_PEAK, LAST_PEAK = 40, 140
"""The peak of the average transient lies between these samples: from 0.2 s before the event, where
another delay may put it, to 0.8 s behind."""

ALONE = 15  # steps; an event is the largest within these on both sides: transients do not overlap
PROMINENT = 4.0  # an event's rate is so many mean rates
MOST_EVENTS = 50  # a neuron counts as much as so many events, however many it has
USUAL_RISE = 0.04  # s; from a quarter to three quarters of the peak, the middle of 23 sets
FASTEST_RISE, SLOWEST_RISE = 0.015, 0.2
"""s; faster is less than a step of 40 ms shows, and slower are neurons whose transients overlap."""

SPEED_POWER = 1.5
"""Of the speed of the rise. Delays of 23 sets change with speed, above all between fast ones: with
the logarithm of the rise all of six networks scored less, by 0.005, with a power of 1 by 0.001."""

HALF_SURE = 30  # of so many events the slowness counts half, as the average of few shows noise
PERSISTENT, PERSISTENT_AFTER = 0.2, 125
"""The output of a neuron that stays active correlates so much or more with itself so many steps (5
s) later: of 23 sets that of four is above 0.1, interneurons and spinal cord among them. Bouts of
separate spikes do not reach it, as the variance is in the spikes."""

USUAL_FRAMES, SLOWEST_FRAMES, FASTEST_FRAMES = 30.0, 7.5, 500.0
"""Hz; the delays were measured between the last two."""

SIGNS = 3  # of a recording's delay, see `Timing.signs`

LONGEST_DELAY = 0.15  # s; no set has more, and what is stated may not be more either
SMALLEST_BLUR, BLUR_FRAME = 0.15, 0.01
"""Of the output this share goes to each of the neighbouring steps where frames are much longer than
`BLUR_FRAME` s: there the delay is known less well, as one frame may be stamped at its start or at
its end. It is less where they are shorter."""

UNKNOWN = "unknown"  # the family of a recording of which nothing is stated
_FAMILIES = (
    ("fast GCaMP", ("gcamp8", "gcamp6fu")),
    ("dye", ("ogb", "oregon", "cal520", "cal590", "fluo", "rhod2", "fura", "calbryte")),
    ("red", ("rcamp", "rgeco", "xcampr")),
    ("GCaMP", ("gcamp", "xcamp", "geco")),
)

SPECIES = {
    "mouse": ("mouse", "mice", "musmusculus"),
    "rat": ("rat", "rats", "rattusnorvegicus"),
    "zebrafish": ("zebrafish", "fish", "zf", "daniorerio"),
}
"""What a user may state, with its other names as `letters` makes them."""

# The rates

SMALLEST = 0.01  # so many spikes/s, and events per second, are added before the logarithm
PEAK, HIGH, LEAST_BUSY = 99.9, 0.25, 1e-3
"""This percentile of the output counts as its peaks, this share of it is high, and so much is added
to the time that it is before the logarithm."""

LAGS = (1, 5, 25, 125)  # steps: 40 ms to 5 s
TERMS = 4 + len(LAGS)
CENTRAL = 0.8  # the interval of a mean rate holds the true one in this share of the neurons
CHANCE = 2.2
"""The clarity of noise alone reaches above 1 by this times 1 / sqrt(seconds), in 1 of 100."""

# The correlation to be expected

TYPICAL_RATE = 0.6  # spikes/s; about the median over neurons with known spikes
CLEAR_BAND = 10.0  # Hz; about that of a transient
LEAST_CLEARNESS = 0.05  # of a neuron without events, or with ones that noise makes
SCORES = (0.01, 0.98)  # what is beyond has an inverse of tanh that means nothing

LARGEST = 100.0  # no term is larger; the exponential of more is no number of spikes


def check_species(species: str) -> None:
    """Raise `UsageError` if nothing is known of a species."""
    if not any(letters(species) in names for names in SPECIES.values()):
        raise UsageError(
            f"nothing is known of the species {species}; choose from {', '.join(SPECIES)}, or "
            "leave it out (--species)"
        )


def indicator_family(indicator: str, species: str | None = None) -> str | None:
    """The family of an indicator by its name, capitals, hyphens and spaces aside: "dye", "red",
    "GCaMP", "GCaMP, mouse", "GCaMP, zebrafish" or "fast GCaMP"; None for an unknown one."""
    plain = letters(indicator)
    for family, names in _FAMILIES:
        if any(name in plain for name in names):
            if family != "GCaMP" or not species:
                return family
            # Fish are colder than mice, and all that the indicator does is slower in them.
            fish = any(word in str(species).lower() for word in ("fish", "danio", "zf"))
            return "GCaMP, zebrafish" if fish else "GCaMP, mouse"
    return None


@dataclass(frozen=True)
class Delay:
    """The delay of one kind of recording in s: the `typical` one, and the `slopes` by which it
    changes with each of the `Timing.signs`; `source` says what they were measured on."""

    typical: float
    slopes: tuple[float, ...]
    source: str = ""

    def of(self, signs: Array) -> float:
        """The delay in s of a recording with such `signs` `(3,)`."""
        found = self.typical + float(np.dot(self.slopes, signs))
        return float(np.clip(found, -LONGEST_DELAY, LONGEST_DELAY))


def blurred(rates: Rates, frame_rate: float) -> Rates:
    """Rates `(step,)` spread over as much time as the delay is uncertain at a frame rate in Hz; the
    ends are held."""
    share = SMALLEST_BLUR / (1 + BLUR_FRAME * frame_rate)
    padded = np.pad(np.asarray(rates, np.float64), 1, mode="edge")
    return (1 - 2 * share) * padded[1:-1] + share * (padded[:-2] + padded[2:])


class Timing:
    """What a recording shows of its delay: its average transient, put together of those of its
    neurons, each in units of its own peak, whose `shape` `(180,)` is from 0.6 s before to 1.2 s
    after an event; how many `events` that is seen on; and the `persistences` of its neurons."""

    def __init__(self) -> None:
        self.shape, self.events = np.zeros(BEFORE + AFTER), 0
        self.persistences: list[float] = []

    def add(self, traces: Sequence[Trace], rates: Sequence[Rates]) -> None:
        """Add a neuron: `traces` `(sample,)` at 100 Hz in one unit and `rates` `(step,)`, the
        network's output, are one for each segment."""
        output = np.concatenate([np.empty(0), *rates])
        if output.size and output.any():
            self.persistences.append(autocorrelation(output, PERSISTENT_AFTER))
        transient, events = average_transient(traces, rates)
        if transient is None:
            return
        peak = transient[FIRST_PEAK:LAST_PEAK].max()
        if peak > 0:
            self.shape += min(events, MOST_EVENTS) * transient / peak
            self.events += events

    def rise(self) -> float:
        """Seconds in which it rises from a quarter to three quarters of its peak; NaN without any
        event."""
        peak = int(self.shape[FIRST_PEAK:LAST_PEAK].argmax()) + FIRST_PEAK
        if not self.shape[peak] > 0:
            return float("nan")
        rise = _crossing(self.shape, peak, 0.75) - _crossing(self.shape, peak, 0.25)
        return rise / SAMPLE_RATE

    def slowness(self, frame_rate: float) -> float:
        """How slowly it rises, 0 for what is usual and less than 1: 1 - (40 ms / rise) ** 1.5.

        It is nearer to 0 the fewer events there are, and the more of a slow rise is the frames': a
        jump within a frame rises from a quarter to three quarters in half of one. A fast rise is
        fast, whatever the frames. `frame_rate` is in Hz.
        """
        rise = self.rise()
        if np.isnan(rise):
            return 0.0
        own = 1 - (USUAL_RISE / np.clip(rise, FASTEST_RISE, SLOWEST_RISE)) ** SPEED_POWER
        seen = 1.0 if own < 0 else max(1 - (0.5 / (frame_rate * rise)) ** 2, 0.0)
        return float(own * seen * self.events / (self.events + HALF_SURE))

    def persistence(self) -> float:
        """How long the neurons stay active, 0 to 1: the median of their output's correlation with
        itself 5 s later, in units of `PERSISTENT`; 0 without any."""
        if not self.persistences:
            return 0.0
        return float(np.clip(np.median(self.persistences) / PERSISTENT, 0.0, 1.0))

    def signs(self, frame_rate: float) -> Array:
        """What the delay depends on, `(3,)`: slowness, persistence and the logarithm of the frame
        rate (Hz) in units of 30 Hz."""
        frames = np.clip(frame_rate, SLOWEST_FRAMES, FASTEST_FRAMES) / USUAL_FRAMES
        return np.array([self.slowness(frame_rate), self.persistence(), np.log(frames)])


def find_events(rates: Rates) -> Array:
    """Where a segment's output `(step,)` has isolated peaks, in steps, between them: `(event,)`."""
    rate = np.asarray(rates, np.float64)
    # Without a neighbour on both sides nothing is a peak.
    if rate.size < 3:
        return np.empty(0)
    middle = rate[1:-1]
    peaks = (middle > rate[:-2]) & (middle >= rate[2:]) & (middle > PROMINENT * rate.mean())
    k = np.flatnonzero(peaks) + 1
    around = sliding_window_view(np.pad(rate, ALONE, mode="edge"), 2 * ALONE + 1)
    k = k[rate[k] >= around[k].max(axis=1)]
    # The peak of the parabola through three steps, which bends down at every peak.
    before, at, after = rate[k - 1], rate[k], rate[k + 1]
    return k + 0.5 * (before - after) / (before - 2 * at + after)


def average_transient(traces: Sequence[Trace], rates: Sequence[Rates]) -> tuple[Trace | None, int]:
    """The mean of the trace around the events that the network finds, weighted by their rates, and
    how many they are.

    `traces` `(sample,)` at 100 Hz in one unit and `rates` `(step,)`, the network's output, are one
    for each segment. The mean `(180,)` is from 0.6 s before to 1.2 s after an event, or None.
    """
    total, weight, events = np.zeros(BEFORE + AFTER), 0.0, 0
    for trace, rate in zip(traces, rates, strict=True):
        event = find_events(rate)
        at = np.rint((event + 0.5) * STEP).astype(int)
        inside = (at >= BEFORE) & (at <= len(trace) - AFTER)
        if not inside.any():
            continue
        heights = np.asarray(rate, np.float64)[(event[inside] + 0.5).astype(int)]
        pieces = sliding_window_view(trace, BEFORE + AFTER)[at[inside] - BEFORE]
        # From the level before the event, or slow drift would count as a rise.
        rests = pieces[:, :AT_REST].mean(axis=1)
        total += np.einsum("e,es->s", heights, pieces) - (heights * rests).sum()
        weight += float(heights.sum())
        events += len(heights)
    return (total / weight if weight > 0 else None), events


def _crossing(transient: Trace, peak: int, share: float) -> float:
    """The sample at which a transient has risen to a share of its peak, between samples."""
    level, k = share * transient[peak], peak
    while k > 0 and transient[k] > level:
        k -= 1
    if k == peak:
        return float(k)
    return float(k + (level - transient[k]) / (transient[k + 1] - transient[k]))


# The rates


def signal_share(clarity: float, seconds: float) -> float:
    """The share of a trace's smoothed variance that is surely not noise, 0 to 1, of its clarity
    (`universal.Scales.clarity`), as what noise can do by chance depends on its length in s."""
    if not clarity > 0:
        return 0.0
    by_chance = 1 + CHANCE / np.sqrt(seconds)
    return float(max(1 - (by_chance / clarity) ** 2, 0.0))


def autocorrelation(output: Rates, lag: int) -> float:
    """The correlation of an output `(step,)` with itself so many steps later; 0 of a constant one,
    and of one that is not longer."""
    deviation = output - output.mean()
    # Plain sums, no products of vectors: those of many threads differ in the last digits between
    # machines, and wait for each other on a busy one.
    variance = float((deviation**2).sum()) / output.size
    if not variance > 0 or output.size <= lag:
        return 0.0
    return float((deviation[lag:] * deviation[:-lag]).sum()) / (output.size - lag) / variance


def output_features(outputs: Sequence[Rates]) -> Array:
    """What the map knows of a neuron's output, arrays `(step,)` for each segment: `(7,)`, see the
    head of this module."""
    output = np.concatenate(outputs).astype(np.float64)
    squares = (output - output.mean()) ** 2
    variance = float(squares.sum()) / output.size
    busy = np.mean(output > HIGH * np.percentile(output, PEAK))
    kurtosis = float((squares**2).sum()) / output.size / variance**2 if variance > 0 else 1.0
    seconds = output.size / STEPS_PER_SECOND
    events = sum(find_events(each).size for each in outputs) / seconds
    logs = np.log(np.array([float(busy) + LEAST_BUSY, kurtosis, events + SMALLEST]))
    return np.concatenate([logs, [autocorrelation(output, lag) for lag in LAGS]])


@dataclass(frozen=True)
class RateMap:
    """`terms` are a to h. By the factors `interval` the true mean rate is below and above the one
    that is found at most, in `CENTRAL` of the neurons of sets left out. `source` says what it was
    fitted on."""

    terms: tuple[float, ...]
    interval: tuple[float, float] = (1.0, 1.0)
    source: str = ""

    def mean_rate(self, outputs: Sequence[Rates]) -> float:
        """Mean spikes/s of a neuron with an output `(step,)` for each segment; 0 of one of 0."""
        if not any(output.any() for output in outputs):
            return 0.0
        a, *slopes = self.terms
        value = a + np.dot(slopes, output_features(outputs))
        return float(max(np.exp(value) - SMALLEST, 0.0))


# The correlation to be expected


def expected_score(output: Rates) -> float:
    """The correlation with true spikes at 25 Hz that is to be expected, 0 (a constant output) to 1,
    of an output `(step,)` that is right but for a factor; NaN without any.

    Spikes with Poisson statistics and rates x per step of 40 ms correlate with x by sqrt(var x /
    (var x + mean x)): the more, the more of the rate is in few certain events. Here x is the output
    brought to a mean of `TYPICAL_RATE`, the same for all neurons. With the neuron's own mean rate,
    which is a guess, it orders neurons worse.
    """
    x = np.asarray(output, np.float64)
    x = x[np.isfinite(x)]
    if not x.size or not x.mean() > 0:
        return float("nan")
    x = x * (TYPICAL_RATE * (1 / STEPS_PER_SECOND) / x.mean())
    return float(np.sqrt(x.var() / (x.var() + x.mean())))


def clearness(transient: Trace | None, noise: float) -> float:
    """How far the peak of a neuron's average transient stands out of the noise: its logarithm in
    units of the noise in a band of 10 Hz. `transient` `(180,)`, None for a neuron without events,
    and `noise` per square root of Hz are in one unit."""
    height = 0.0 if transient is None else float(transient[FIRST_PEAK:LAST_PEAK].max())
    return float(np.log(max(height / (noise * np.sqrt(CLEAR_BAND)), LEAST_CLEARNESS)))


@dataclass(frozen=True)
class ScoreMap:
    """The correlation with true spikes at 25 Hz to be expected of a neuron, tanh(a + b atanh(x) + c
    clearness), x its `expected_score`: how certain the output looks, and how large its transients
    are. `terms` are a, b and c; `source` says what they were fitted on."""

    terms: tuple[float, float, float]
    source: str = ""

    def expected(self, outputs: Sequence[Rates], clearness: float) -> float:
        """Of a neuron with an output `(step,)` for each segment; between 0 and 1."""
        value = self.terms @ np.array([1.0, *score_features(outputs, clearness)])
        return float(np.clip(np.tanh(value), 0.0, 1.0))


def score_features(outputs: Sequence[Rates], clearness: float) -> tuple[float, float]:
    """What the map knows of a neuron."""
    score = np.clip(expected_score(np.concatenate(outputs)), *SCORES)
    return float(np.arctanh(score)), clearness


# Both together, and their file


@dataclass(frozen=True)
class Calibration:
    """`delays` by families of indicators and `UNKNOWN`; `rates`, the map to spikes/s; `score`, that
    to the correlation to be expected."""

    delays: dict[str, Delay]
    rates: RateMap
    score: ScoreMap

    def delay_of(
        self, indicator: str | None = None, species: str | None = None
    ) -> tuple[Delay, str]:
        """The delay for a recording, and the family it rests on: that of the stated indicator, or
        `UNKNOWN` if none is stated, or it is of no known family, or that was not measured."""
        if indicator:
            for family in (indicator_family(indicator, species), indicator_family(indicator)):
                if family in self.delays:
                    return self.delays[family], family
        return self.delays[UNKNOWN], UNKNOWN


def calibration_path(weights_path: str | Path) -> Path:
    """`universal.calibration.json` stands beside `universal.weights.h5`."""
    path = Path(weights_path)
    name = path.name.removesuffix(".h5").removesuffix(".weights")
    return path.with_name(f"{name}.calibration.json")


def save_calibration(calibration: Calibration, path: str | Path) -> None:
    """Write it as JSON, whole or not at all; `ValueError` if it holds what `load_calibration` would
    refuse."""

    # Five digits are more than was measured, and a difference of two files can be read.
    def plain(values: Sequence[float] | Array) -> list[float]:
        return [float(f"{value:.5g}") for value in values]

    stored = {
        "timing": {
            name: {
                "typical_s": float(f"{delay.typical:.4g}"),
                "slopes_s": [float(f"{slope:.4g}") for slope in delay.slopes],
                "source": delay.source,
            }
            for name, delay in calibration.delays.items()
        },
        "rates": {
            "terms": plain(calibration.rates.terms),
            "interval": plain(calibration.rates.interval),
            "source": calibration.rates.source,
        },
        "score": {"terms": plain(calibration.score.terms), "source": calibration.score.source},
    }
    _calibration_of(stored)
    write_text(path, json.dumps(stored, indent=1) + "\n")


def load_calibration(path: str | Path) -> Calibration:
    """Read what `save_calibration` wrote; `WeightsError` if it is missing or damaged."""
    try:
        return _calibration_of(read_json(path))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise WeightsError(
            f"{path} does not hold what belongs to the weights ({error}); fetch or train them again"
        ) from error


def _calibration_of(stored: Any) -> Calibration:
    """What was stored; one of several errors if it is nothing of the kind, or `ValueError` if it is
    no credible number."""
    delays = {}
    for name, each in stored["timing"].items():
        typical, *slopes = (float(x) for x in (each["typical_s"], *each["slopes_s"]))
        if len(slopes) != SIGNS or not (np.abs([typical, *slopes]) < LONGEST_DELAY).all():
            raise ValueError("a delay is no credible number")
        delays[name] = Delay(typical, tuple(slopes), clean_name(each["source"]))
    rates = stored["rates"]
    terms = tuple(float(term) for term in rates["terms"])
    if len(terms) != TERMS:
        raise ValueError("the map to spikes/s has another number of terms")
    low, high = (float(factor) for factor in rates["interval"])
    if not (np.abs(terms) < LARGEST).all() or not 0 < low <= 1 <= high < LARGEST:
        raise ValueError("the map to spikes/s is no credible number")
    if UNKNOWN not in delays:
        raise LookupError(repr(UNKNOWN))
    rate_map = RateMap(terms, (low, high), clean_name(rates["source"]))
    a, b, c = (float(term) for term in stored["score"]["terms"])
    if not (np.abs([a, b, c]) < LARGEST).all():
        raise ValueError("the map to the expected correlation is no credible number")
    return Calibration(delays, rate_map, ScoreMap((a, b, c), clean_name(stored["score"]["source"])))
