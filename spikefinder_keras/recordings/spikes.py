"""Discrete spikes from rates in spikes/s: bouts of activity, each with a whole number of spikes.

A rate that is spread thinly over minutes is doubt, not spikes: its integral passes 1 now and then,
at times that mean nothing. So spikes are only placed in bouts: stretches in which the rate stays
above a floor. A bout whose expected number of spikes reaches `LEAST` gets it, rounded, at the times
where its running integral passes the middle of each spike. What is left over is not made up for.
"""

import numpy as np

from ..signals.measures import runs
from .universal_preparation import STEPS_PER_SECOND

FLOOR = 0.25
"""Spikes/s; between bouts the rate is below it, or below `SHARE` of the bout's largest."""

SHARE = 0.1

LEAST = 0.4
"""Expected spikes of the least bout that is a spike."""

TYPICAL_RATE = 0.6
"""Spikes/s; about the median over neurons with known spikes."""


def spike_bouts(rates, floor=FLOOR, share=SHARE):
    """Stretches of activity.

    Parameters
    ----------
    rates : array `(sample,)`
        Expected spikes/s.
    floor : float
    share : float

    Returns
    -------
    list of slice
        From the first sample above the floor to the last; a bout ends too where the rate falls
        below `share` of its largest value so far, or of its largest one to come.
    """
    rates = np.nan_to_num(np.asarray(rates, np.float64))
    bouts = []
    for first, last in runs(rates > floor):
        part = rates[first:last]
        before = np.maximum.accumulate(part)
        after = np.maximum.accumulate(part[::-1])[::-1]
        low = part < share * np.minimum(before, after)
        bouts += [slice(int(first + a), int(first + b)) for a, b in runs(~low)]
    return bouts


def discrete_spikes(rates, start, rate, least=LEAST, floor=FLOOR, share=SHARE):
    """Spike times that a person would call spikes.

    Parameters
    ----------
    rates : array `(sample,)`
        Expected spikes/s; NaN counts as 0.
    start : float
        Time of the first sample's beginning in s.
    rate : float
        Samples per second, in Hz.
    least : float
        Expected spikes from which a bout has one; from n - 1 + `least` on it has n.

    Returns
    -------
    float64 array `(spike,)`
        In s, increasing.
    """
    rates = np.nan_to_num(np.asarray(rates, np.float64))
    times = []
    for bout in spike_bouts(rates, floor, share):
        mass = np.concatenate([[0.0], np.cumsum(rates[bout])]) / rate
        count = int(np.floor(mass[-1] + 1 - least))
        if count:
            # The middles of `count` equal parts of the bout.
            wanted = (np.arange(count) + 0.5) * mass[-1] / count
            times.append((bout.start + np.interp(wanted, mass, np.arange(mass.size))) / rate)
    return start + np.concatenate(times) if times else np.empty(0)


def expected_score(output):
    """The correlation with true spikes at 25 Hz that is to be expected: trust.

    Spikes with Poisson statistics and rates x per step of 40 ms correlate with x by
    sqrt(var x / (var x + mean x)): the more, the more of the rate is in few certain events. Here x
    is the output brought to a mean of `TYPICAL_RATE`, the same for all neurons. With the neuron's
    own mean rate, which is a guess, it orders neurons worse.

    Parameters
    ----------
    output : array `(step,)`
        Right but for a factor; of steps of 40 ms.

    Returns
    -------
    float
        0 (a constant output) to 1; NaN without any.
    """
    x = np.asarray(output, np.float64)
    x = x[np.isfinite(x)]
    if not x.size or not x.mean() > 0:
        return float("nan")
    x = x * (TYPICAL_RATE * (1 / STEPS_PER_SECOND) / x.mean())
    return float(np.sqrt(x.var() / (x.var() + x.mean())))
