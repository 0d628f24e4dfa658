"""Values of a recording that are no data, although they are numbers.

A constant trace, an infinite value, and one exact value for longer than noise ever holds it say
nothing about a neuron: they are missing, as NaN is.
"""

import numpy as np

from ..signals.measures import runs

STILL_SECONDS = 1.0
STILL_FRAMES = 10
"""A run of one exact value that is longer than both is missing."""

HONEST_REPEATS = 0.002
"""Share of the other steps of a trace that may stand still too; above it the trace is rounded, and
repeats its values honestly. At it, eleven equal values in a row come once in 10^27 frames."""

SMOOTH = 0.8
"""Share of the steps of a trace in the direction of the step before above which it has no noise:
1/3 of white noise, 0.6 of a moving average of it. Without noise nothing can be said of a run."""

GROUP = 64
"""Neurons that are looked at together, to bound the memory."""


def no_data(trace, frame_rate):
    """Which values of a trace are no data.

    Parameters
    ----------
    trace : float array `(frame,)`
        NaN where missing.
    frame_rate : float
        In Hz.

    Returns
    -------
    dict of str to bool arrays `(frame,)`
        Those that there are of `infinite`, `constant` (every value of the trace) and `still` (runs
        of one exact value in a trace that otherwise never stands still).
    """
    found = {}
    there = np.isfinite(trace)
    if not there.all():
        infinite = np.isinf(trace)
        if infinite.any():
            found["infinite"] = infinite
    values = trace if there.all() else trace[there]
    if not values.size:
        return found
    if values.min() == values.max():
        return found | {"constant": there}
    still = _still(trace, there, frame_rate)
    if still is not None:
        rest = trace[there & ~still]
        if not rest.size or rest.min() == rest.max():
            return found | {"constant": there}
        found["still"] = still
    return found


def _still(trace, there, frame_rate):
    with np.errstate(invalid="ignore"):
        same = (trace[1:] == trace[:-1]) & there[1:]
    longest = max(STILL_FRAMES, STILL_SECONDS * frame_rate)
    if np.count_nonzero(same) < longest:
        return None
    starts, ends = runs(same).T  # of the steps that stand still
    long = ends - starts + 1 > longest  # a step more in values than in steps
    if not long.any():
        return None
    steps_in_runs = int((ends - starts)[long].sum())
    repeats = np.count_nonzero(same) - steps_in_runs
    steps = np.count_nonzero(there[1:] & there[:-1]) - steps_in_runs
    if repeats > HONEST_REPEATS * steps:
        return None
    still = np.zeros(trace.shape, bool)
    for start, end in zip(starts[long], ends[long], strict=True):
        still[start : end + 1] = True
    moves = np.sign(np.diff(trace))[~(still[1:] | still[:-1])]
    turns = moves[1:] * moves[:-1]
    if turns.size and np.mean(turns[np.isfinite(turns)] > 0) > SMOOTH:
        return None
    return still


class Missing:
    """Counts of what is found missing, and the notes that say so."""

    def __init__(self):
        self.values = dict.fromkeys(("infinite", "constant", "still"), 0)
        self.neurons = dict.fromkeys(self.values, 0)

    def add(self, other):
        """Count what another one has counted too."""
        for kind in self.values:
            self.values[kind] += other.values[kind]
            self.neurons[kind] += other.neurons[kind]

    def mark(self, trace, frame_rate):
        """The mask of what is no data in a trace `(frame,)`, or None; counts it."""
        found = no_data(trace, frame_rate)
        for kind, mask in found.items():
            self.values[kind] += int(mask.sum())
            self.neurons[kind] += 1
        return np.logical_or.reduce(list(found.values())) if found else None

    def notes(self, of, what="neurons"):
        """Lines on what was found among `of` neurons; `what` may call them otherwise."""
        lines = []
        if self.neurons["constant"]:
            lines.append(
                f"{self.neurons['constant']} of {of} {what} never change, so they hold no data: "
                "empty rates, no spikes"
            )
        if self.values["infinite"]:
            lines.append(
                f"{self.values['infinite']} values in {self.neurons['infinite']} of {of} {what} "
                "are infinite: taken as missing"
            )
        if self.values["still"]:
            lines.append(
                f"{self.values['still']} values in {self.neurons['still']} of {of} {what} stand in "
                "runs of one exact value, which no noisy trace has: taken as missing"
            )
        return lines


def mark_missing(traces, frame_rate, own=False, missing=None):
    """Set to NaN what is no data.

    Parameters
    ----------
    traces : float array `(frame, neuron)`
    frame_rate : float
        In Hz.
    own : bool
        `traces` may be changed in place, as far as it can be written to.
    missing : Missing, optional
        That counts on.

    Returns
    -------
    traces : float array `(frame, neuron)`
        The same array where there was nothing to change, else a changed copy.
    missing : Missing
    """
    missing, writable = missing or Missing(), own and traces.flags.writeable
    neurons = traces.shape[1]
    for first in range(0, neurons, GROUP):
        part = np.ascontiguousarray(traces[:, first : first + GROUP].T)
        for neuron, trace in enumerate(part, first):
            mask = missing.mark(trace, frame_rate)
            if mask is not None:
                if not writable:
                    traces, writable = np.array(traces), True
                traces[mask, neuron] = np.nan
    return traces, missing
