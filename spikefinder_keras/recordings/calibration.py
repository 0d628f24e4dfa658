"""The calibration of `universal`: when calcium answers in a recording, and the map to spikes/s.

Both are measured on recordings with known spikes (`training.calibrate`), with the very weights they
are stored beside (`NAME.calibration.json`), and say so.

The delay. The network is trained with every set's delay taken out, so its output says when
something happened but for a delay of the recording: indicators answer late, fish are colder than
mice, and frames are stamped at their start, middle or end. A delay is here weights over shifts of
the output by whole steps of 40 ms, of which the answer is the weighted mean. A stated indicator
makes them narrow. Where nothing is known they are as wide as the recordings with known spikes are,
and lean to late answers where the recording's own average transient rises slowly.

The rates. The network is trained on correlation, so it says when a neuron fires and how much more
often than at another time. How often in all, a small map says for each neuron, from the output
alone:

    log(rate + 0.01) = a + b log(mean + 0.01) + c log(busy + 0.001) + d log(kurtosis)

Rate and mean are in spikes/s, `busy` is the share of the time in which the output is high, a
quarter of its peaks or more, and the kurtosis is the output's (3 for a Gaussian, more for rare
events). How much of the time a neuron is active, and how evenly, says as much about its rate as
the mean, whose factor differs between recordings. Nothing of it depends on the gain, the offset or
the unit of the trace.

Noise alone makes the network answer too, a little. So the rates of a recording are multiplied by
the share of its smoothed variance that is not noise (`signal_share`): 0 for noise, whatever its
level.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import Array, ArrayLike, Rates, Trace
from ..constants import SAMPLE_RATE
from ..errors import UsageError, WeightsError
from ..files.atomic import read_json, write_text
from ..network.universal import STEP, STEPS_PER_SECOND
from ..text import clean_name, letters

# The delay

OFFSETS = np.arange(-2, 4)  # the output may be read later by so many steps
PRIOR = np.array([-3.0, -1.0, 1.0, 0.0, -2.0, -3.0])
"""The logits of the offsets before any recording is seen: little delay is likeliest."""

BEFORE, AFTER = 60, 120  # samples of the average transient before and after an event (0.6 s, 1.2 s)
AT_REST = 35  # its first samples are before the rise, whatever the indicator
FIRST_PEAK, LAST_PEAK = 40, 140
"""The peak of the average transient lies between these samples: from 0.2 s before the event, where
another delay may put it, to 0.8 s behind."""

ALONE = 15  # steps; an event is the largest within these on both sides: transients do not overlap
PROMINENT = 4.0  # an event's rate is so many mean rates
FEWEST_EVENTS = 5  # the average of fewer transients says nothing about their rise
EVENT_WIDTH = 0.05  # events found at 25 Hz scatter by so many s, which adds to an apparent rise
FRAME_WIDTH = 0.8  # frames do the same by so many frame intervals
SLOW = 0.2  # a rise (10 to 90%) of so many s or more has slowness 1
UNKNOWN_SLOWNESS = 0.35  # of a recording with too few events; about the mean over recordings
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

SMALLEST = 0.01  # so many spikes/s are added before the logarithm
PEAK, HIGH, LEAST_BUSY = 99.9, 0.25, 1e-3
"""This percentile of the output counts as its peaks, this share of it is high, and so much is added
to the time that it is before the logarithm."""

TERMS = 4  # the map has so many terms: a, b, c and d
CHANCE = 2.2
"""The clarity of noise alone reaches above 1 by this times 1 / sqrt(seconds), in 1 of 100."""

LARGEST = 100.0  # no term is larger; the exponential of more is no number of spikes


def check_species(species: str) -> None:
    """Raise `UsageError` if nothing is known of a species."""
    if not any(letters(species) in names for names in SPECIES.values()):
        raise UsageError(
            f"nothing is known of the species {species}; choose from {', '.join(SPECIES)}, or leave "
            "it out (--species)"
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
    """The delay of one kind of recording: the logits of `OFFSETS` with slowness 0, `(offset,)`, and
    the slopes by which they change up to slowness 1; `source` says what it was measured on."""

    logits: Array
    slopes: Array
    source: str = ""

    def weights(self, slowness: float = UNKNOWN_SLOWNESS) -> Array:
        """Weights of the offsets, `(offset,)`, that sum to 1."""
        logits = PRIOR + self.logits + self.slopes * slowness
        weights = np.exp(logits - logits.max())
        return weights / weights.sum()


FAST = Delay(
    np.where(OFFSETS == 0, 2.0, 0.0),
    np.zeros(OFFSETS.size),
    "not measured: half-rise of 2 to 10 ms (Zhang et al. 2023, Nature 615:884-891), so no delay "
    "beyond that of the simulated indicators",
)
"""The delay of jGCaMP8 and its like, of which there is no recording to measure on."""


def shifted(rates: Rates) -> Array:
    """Rates `(step,)` read later by each of `OFFSETS`, `(offset, step)`; ends are held."""
    reach = max(abs(OFFSETS.min()), OFFSETS.max())
    padded = np.pad(np.asarray(rates, np.float64), reach, mode="edge")
    return np.stack([padded[reach + k : reach + k + len(rates)] for k in OFFSETS])


def apply_delay(rates: Rates, weights: Array) -> Rates:
    """The answer: the mean of rates `(step,)` over the weighted shifts, `(step,)`."""
    return np.asarray(weights) @ shifted(rates)


def average_transient(traces: Sequence[Trace], rates: Sequence[Rates]) -> tuple[Trace | None, int]:
    """The mean of the trace around the events that the network finds, weighted by their rates, and
    how many they are.

    `traces` `(sample,)` at 100 Hz in one unit and `rates` `(step,)`, the network's output, are one
    for each segment. The mean `(180,)` is from 0.6 s before to 1.2 s after an event, or None.
    """
    from scipy.ndimage import maximum_filter1d

    total, weight, events = np.zeros(BEFORE + AFTER), 0.0, 0
    for trace, segment_rates in zip(traces, rates, strict=True):
        rate = np.asarray(segment_rates, np.float64)
        # Without a neighbour on both sides nothing is a peak.
        if rate.size < 3:
            continue
        middle = rate[1:-1]
        peaks = (middle > rate[:-2]) & (middle >= rate[2:]) & (middle > PROMINENT * rate.mean())
        peaks &= middle >= maximum_filter1d(rate, 2 * ALONE + 1, mode="nearest")[1:-1]
        for k in np.flatnonzero(peaks) + 1:
            # The peak of the parabola through three steps.
            bend = rate[k - 1] - 2 * rate[k] + rate[k + 1]
            off = 0.5 * (rate[k - 1] - rate[k + 1]) / bend if bend else 0.0
            at = round((k + 0.5 + off) * STEP)
            if BEFORE <= at <= len(trace) - AFTER:
                # From the level before the event, or slow drift would count as a rise.
                piece = np.asarray(trace[at - BEFORE : at + AFTER], np.float64)
                total += rate[k] * (piece - piece[:AT_REST].mean())
                weight, events = weight + rate[k], events + 1
    return (total / weight if weight > 0 else None), events


def slowness(traces: Sequence[Trace], rates: Sequence[Rates], frame_rate: float) -> float:
    """How slowly a recording's own transients rise, 0 (at once) to 1 (0.2 s or more), but for what
    frames smear. `traces` and `rates` are as for `average_transient`, `frame_rate` is in Hz."""
    transient, events = average_transient(traces, rates)
    # The average of a few events shows noise, so nothing is said of their rise.
    if transient is None or events < FEWEST_EVENTS:
        return UNKNOWN_SLOWNESS
    peak = int(transient[FIRST_PEAK:LAST_PEAK].argmax()) + FIRST_PEAK
    if not transient[peak] > 0:
        return UNKNOWN_SLOWNESS
    rise = (_crossing(transient, peak, 0.9) - _crossing(transient, peak, 0.1)) / SAMPLE_RATE
    # Widths of independent causes add up as squares.
    own = rise**2 - EVENT_WIDTH**2 - (FRAME_WIDTH / frame_rate) ** 2
    return float(min(np.sqrt(max(own, 0.0)) / SLOW, 1.0))


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


def output_features(output: ArrayLike) -> Array:
    """The three logarithms of the map, `(3,)`, of an output `(step,)` in spikes/s."""
    output = np.asarray(output, np.float64)
    mean = output.mean()
    squares = (output - mean) ** 2
    variance = squares.mean()
    busy = np.mean(output > HIGH * np.percentile(output, PEAK))
    kurtosis = squares @ squares / squares.size / variance**2 if variance > 0 else 1.0
    return np.array([np.log(mean + SMALLEST), np.log(busy + LEAST_BUSY), np.log(kurtosis)])


@dataclass(frozen=True)
class RateMap:
    """`terms` are a, b, c and d; `source` says what they were fitted on."""

    terms: tuple[float, ...]
    source: str = ""

    def mean_rate(self, output: Rates) -> float:
        """Mean spikes/s of a neuron with an output `(step,)` in spikes/s."""
        a, *slopes = self.terms
        value = a + np.dot(slopes, output_features(output))
        return float(max(np.exp(value) - SMALLEST, 0.0))

    def factor(self, output: Rates) -> float:
        """By what the output is multiplied; 0 for an output of 0."""
        mean = np.mean(output)
        return self.mean_rate(output) / float(mean) if mean > 0 else 0.0


# Both together, and their file


@dataclass(frozen=True)
class Calibration:
    """`delays` by families of indicators and `UNKNOWN`; `rates`, the map to spikes/s."""

    delays: dict[str, Delay]
    rates: RateMap

    def delay_of(
        self, indicator: str | None = None, species: str | None = None
    ) -> tuple[Delay, str]:
        """The delay for a recording, and the family it rests on: that of the stated indicator, or
        `UNKNOWN` if none is stated, or it is of no known family, or that was not measured."""
        if indicator:
            for family in (indicator_family(indicator, species), indicator_family(indicator)):
                if family in self.delays:
                    return self.delays[family], family
                if family == "fast GCaMP":
                    return FAST, family
        return self.delays[UNKNOWN], UNKNOWN


def calibration_path(weights_path: str | Path) -> Path:
    """`universal.calibration.json` stands beside `universal.weights.h5`."""
    path = Path(weights_path)
    name = path.name.removesuffix(".h5").removesuffix(".weights")
    return path.with_name(f"{name}.calibration.json")


def save_calibration(calibration: Calibration, path: str | Path) -> None:
    """Write it as JSON, whole or not at all."""

    # Five digits are more than was measured, and a difference of two files can be read.
    def plain(values: Sequence[float] | Array) -> list[float]:
        return [float(f"{value:.5g}") for value in values]

    stored = {
        "offsets_s": plain(OFFSETS / STEPS_PER_SECOND),
        "timing": {
            name: {
                "logits": plain(delay.logits),
                "slopes": plain(delay.slopes),
                "source": delay.source,
            }
            for name, delay in calibration.delays.items()
        },
        "rates": {"terms": plain(calibration.rates.terms), "source": calibration.rates.source},
    }
    write_text(path, json.dumps(stored, indent=1) + "\n")


def load_calibration(path: str | Path) -> Calibration:
    """Read what `save_calibration` wrote; `WeightsError` if it is missing or damaged."""
    try:
        stored = read_json(path)
        delays = {}
        for name, each in stored["timing"].items():
            logits, slopes = (np.array(each[key], float) for key in ("logits", "slopes"))
            delays[name] = Delay(logits, slopes, clean_name(each["source"]))
        for delay in delays.values():
            if delay.logits.shape != OFFSETS.shape or delay.slopes.shape != OFFSETS.shape:
                raise ValueError("a delay has another number of offsets")
            if not (np.abs([delay.logits, delay.slopes]) < LARGEST).all():
                raise ValueError("a delay is no credible number")
        rates = stored["rates"]
        terms = tuple(float(term) for term in rates["terms"])
        if len(terms) != TERMS:
            raise ValueError("the map to spikes/s has another number of terms")
        if not (np.abs(terms) < LARGEST).all():
            raise ValueError("the map to spikes/s is no credible number")
        if UNKNOWN not in delays:
            raise LookupError(repr(UNKNOWN))
        return Calibration(delays, RateMap(terms, clean_name(rates["source"])))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise WeightsError(
            f"{path} does not hold what belongs to the weights ({error}); fetch or train them again"
        ) from error
