"""When the calcium answers: from what is known about a recording to where its spikes are put.

`universal` is trained with every set's own delay taken out, so its output says when something
happened but for a delay of the recording: indicators answer late, fish are colder than mice, and
frames are stamped at their start, middle or end. The delay is a belief, not a number: weights over
shifts of the output by whole steps of 40 ms, of which the answer is the weighted mean. A stated
indicator makes the belief narrow. Where nothing is known it is as wide as the recordings with known
spikes are, and leans to late answers where the recording's own average transient rises slowly.
"""

from dataclasses import dataclass

import numpy as np

from ..constants import SAMPLE_RATE
from .universal_preparation import STEP

OFFSETS = np.arange(-2, 4)
"""Steps by which the output may be read later."""

PRIOR = np.array([-3.0, -1.0, 1.0, 0.0, -2.0, -3.0])
"""Logits of the offsets before any recording is seen: little delay is likeliest."""

BEFORE, AFTER = 60, 120
"""Samples of the average transient before and after an event."""

ALONE = 15
"""Steps; an event is the largest rate within so many on both sides."""

PROMINENT = 4.0
"""An event's rate, in mean rates."""

FEWEST_EVENTS = 5

EVENT_WIDTH = 0.05
"""s; how far events found at 25 Hz scatter in time, which adds to an apparent rise."""

FRAME_WIDTH = 0.8
"""The same of frames, in frame intervals."""

SLOW = 0.2
"""s; a rise (10 to 90%) of this much or more has slowness 1."""

UNKNOWN_SLOWNESS = 0.35
"""Of a recording with too few events; about the mean over recordings."""

COST = 0.001
"""Of large logits in `fit_timing`."""

_FAMILIES = (
    ("fast GCaMP", ("gcamp8", "gcamp6fu")),
    ("dye", ("ogb", "oregon", "cal520", "cal590", "fluo", "rhod2", "fura", "calbryte")),
    ("red", ("rcamp", "rgeco", "xcampr")),
    ("GCaMP", ("gcamp", "xcamp", "geco")),
)


def indicator_family(indicator, species=None):
    """The family of an indicator by its name, or None for an unknown one.

    Parameters
    ----------
    indicator : str
        Such as "jGCaMP7f" or "OGB-1"; capitals, hyphens and spaces aside.
    species : str, optional
        Such as "mouse"; of the GCaMPs, those in zebrafish answer later.

    Returns
    -------
    "dye", "red", "GCaMP", "GCaMP, mouse", "GCaMP, zebrafish", "fast GCaMP" or None
    """
    plain = "".join(c for c in str(indicator).lower() if c.isalnum())
    for family, names in _FAMILIES:
        if any(name in plain for name in names):
            if family != "GCaMP" or not species:
                return family
            fish = any(word in str(species).lower() for word in ("fish", "danio", "zf"))
            return "GCaMP, zebrafish" if fish else "GCaMP, mouse"
    return None


@dataclass(frozen=True)
class Timing:
    """The belief for one kind of recording.

    `logits` and `slopes` are arrays `(offset,)`: the logits of `OFFSETS` for a recording with
    slowness 0, and what they change by up to slowness 1. `source` says what it was measured on.
    """

    logits: np.ndarray
    slopes: np.ndarray
    source: str = ""

    def weights(self, slowness=UNKNOWN_SLOWNESS):
        """Array `(offset,)` that sums to 1."""
        logits = PRIOR + self.logits + self.slopes * slowness
        weights = np.exp(logits - logits.max())
        return weights / weights.sum()


def shifted(rates):
    """Rates `(step,)` read later by each of `OFFSETS`, `(offset, step)`; ends are held."""
    reach = max(abs(OFFSETS.min()), OFFSETS.max())
    padded = np.pad(np.asarray(rates, np.float64), reach, mode="edge")
    return np.stack([padded[reach + k : reach + k + len(rates)] for k in OFFSETS])


def apply_timing(rates, weights):
    """The answer: the mean of rates `(step,)` over the believed shifts, `(step,)`."""
    return np.asarray(weights) @ shifted(rates)


def average_transient(traces, rates):
    """Mean of the trace around the events that the network finds.

    Parameters
    ----------
    traces : list of arrays `(sample,)`
        At 100 Hz, in one unit.
    rates : list of arrays `(step,)`
        The network's output for each.

    Returns
    -------
    float64 array `(180,)` or None, int
        From 0.6 s before to 1.2 s after an event, weighted by its rate; the number of events.
    """
    from scipy.ndimage import maximum_filter1d

    total, weight, events = np.zeros(BEFORE + AFTER), 0.0, 0
    for trace, rate in zip(traces, rates, strict=True):
        rate = np.asarray(rate, np.float64)
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
                piece = np.asarray(trace[at - BEFORE : at + AFTER], np.float64)
                total += rate[k] * (piece - piece[:35].mean())
                weight, events = weight + rate[k], events + 1
    return (total / weight if weight > 0 else None), events


def slowness(traces, rates, frame_rate):
    """How slowly a recording's own transients rise, 0 (at once) to 1 (0.2 s or more).

    Parameters
    ----------
    traces, rates
        See `average_transient`.
    frame_rate : float
        In Hz; what a frame smears is taken out.
    """
    transient, events = average_transient(traces, rates)
    if events < FEWEST_EVENTS:
        return UNKNOWN_SLOWNESS
    peak = int(transient[40:140].argmax()) + 40
    if not transient[peak] > 0:
        return UNKNOWN_SLOWNESS

    def crossing(share):
        level, k = share * transient[peak], peak
        while k > 0 and transient[k] > level:
            k -= 1
        if k == peak:
            return float(k)
        return k + (level - transient[k]) / (transient[k + 1] - transient[k])

    rise = (crossing(0.9) - crossing(0.1)) / SAMPLE_RATE
    own = rise**2 - EVENT_WIDTH**2 - (FRAME_WIDTH / frame_rate) ** 2
    return float(min(np.sqrt(max(own, 0.0)) / SLOW, 1.0))


def fit_timing(cases, by_slowness=False, source=""):
    """The belief with which recordings with known spikes score best.

    Parameters
    ----------
    cases : list of (str, array `(step,)`, array `(step,)`, float)
        For each neuron its set, the network's output, true spikes per step, and slowness.
    by_slowness : bool
        Let the belief depend on it.
    source : str

    Returns
    -------
    Timing
        That maximises the correlation, as mean over the neurons of a set, then over sets, less a
        small cost on the logits.
    """
    from scipy.optimize import minimize

    groups = [group for group, *_ in cases]
    weight = np.array([1 / groups.count(group) for group in groups]) / len(set(groups))
    products, grams = [], []
    for _, rates, truth, _ in cases:
        moved = shifted(rates)
        moved -= moved.mean(axis=1, keepdims=True)
        truth = truth - truth.mean()
        products.append(moved @ truth / max(np.sqrt(truth @ truth), 1e-12))
        grams.append(moved @ moved.T)
    products, grams = np.array(products), np.array(grams)
    features = np.array([[1.0, slow] if by_slowness else [1.0] for *_, slow in cases])

    def cost(parameters):
        table = parameters.reshape(features.shape[1], OFFSETS.size)
        logits = features @ table + PRIOR
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        norm = np.einsum("ij,ijk,ik->i", shares, grams, shares)
        r = (shares * products).sum(axis=1) / np.sqrt(np.maximum(norm, 1e-12))
        return -(weight * r).sum() + COST * (parameters**2).sum() / OFFSETS.size

    start = np.zeros(features.shape[1] * OFFSETS.size)
    found = minimize(cost, start, method="L-BFGS-B").x.reshape(-1, OFFSETS.size)
    slopes = found[1] if by_slowness else np.zeros(OFFSETS.size)
    return Timing(found[0], slopes, source)
