"""Values of a recording that are no data, although they are numbers.

A constant trace, an infinite value, and one exact value for longer than noise ever holds it say
nothing about a neuron: they are missing, as NaN is. So are, for all neurons, frames of a flash.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from ..arrays import Mask, Table, Trace
from ..signals.measures import runs

STILL_SECONDS = 1.0
STILL_FRAMES = 10  # a run of one exact value that is longer than both is missing

# CaImAn's OnACID fills a component with zeros until it is found, suite2p a ROI that left the field.
# Eight-bit recordings repeat values too, but all along the trace.
HONEST_REPEATS = 0.002
"""This share of the other steps of a trace may stand still too; above it the trace is rounded, and
repeats its values honestly. At it, eleven equal values in a row come once in 10^27 frames."""

SMOOTH = 0.8
"""A trace has no noise if more than this share of its steps goes on in the direction of the step
before: 1/3 do in white noise, 0.6 in a moving average of it. Without noise nothing can be said of
a run."""

NEURONS_AT_A_TIME = 64  # so many neurons are looked at together, to bound the memory
JUMP = 5.0  # in a frame of a flash the median neuron is off by more than so many robust spreads
NEARLY_ALL = 0.8  # this share of the neurons is "nearly all"
KINDS = ("infinite", "constant", "still")


@dataclass(frozen=True)
class MissingCounts:
    """How many values were found to be no data, and in how many neurons, for each of `KINDS`."""

    values: tuple[int, ...] = (0, 0, 0)
    neurons: tuple[int, ...] = (0, 0, 0)

    def __add__(self, other: "MissingCounts") -> "MissingCounts":
        return MissingCounts(
            tuple(a + b for a, b in zip(self.values, other.values, strict=True)),
            tuple(a + b for a, b in zip(self.neurons, other.neurons, strict=True)),
        )

    def notes(self, count: int, what: str = "neurons") -> list[str]:
        """Lines on what was found among `count` neurons; `what` may call them otherwise."""
        lines = []
        infinite, constant, still = zip(self.values, self.neurons, strict=True)
        if constant[1]:
            lines.append(
                f"{constant[1]} of {count} {what} never change, so they hold no data: "
                "empty rates, no spikes"
            )
        if infinite[0]:
            lines.append(
                f"{infinite[0]} values in {infinite[1]} of {count} {what} "
                "are infinite: taken as missing"
            )
        if still[0]:
            lines.append(
                f"{still[0]} values in {still[1]} of {count} {what} stand in "
                "runs of one exact value, which no noisy trace has: taken as missing"
            )
        return lines


NONE_MISSING = MissingCounts()


def no_data(trace: Trace, frame_rate: float) -> dict[str, Mask]:
    """Which values of a trace `(frame,)`, NaN where missing, are no data: masks by those that there
    are of `infinite`, `constant` (every value of it) and `still` (runs of one value in a trace that
    otherwise never stands still)."""
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


def _still(trace: Trace, there: Mask, frame_rate: float) -> Mask | None:
    with np.errstate(invalid="ignore"):
        same = (trace[1:] == trace[:-1]) & there[1:]
    longest = max(STILL_FRAMES, STILL_SECONDS * frame_rate)
    if np.count_nonzero(same) < longest:
        return None
    starts, ends = runs(same).T  # of the steps that stand still
    long = ends - starts + 1 > longest  # a step more in values than in steps
    if not long.any():
        return None
    # What is left beside the runs says whether this trace repeats its values anyway.
    steps_in_runs = int((ends - starts)[long].sum())
    repeats = np.count_nonzero(same) - steps_in_runs
    steps = np.count_nonzero(there[1:] & there[:-1]) - steps_in_runs
    # Integers of few bits repeat themselves: a run among such is no proof.
    if repeats > HONEST_REPEATS * steps:
        return None
    still = np.zeros(trace.shape, bool)
    for start, end in zip(starts[long], ends[long], strict=True):
        still[start : end + 1] = True
    moves = np.sign(np.diff(trace))[~(still[1:] | still[:-1])]
    turns = moves[1:] * moves[:-1]
    # A denoised trace stands still at its baseline, and that is data.
    if turns.size and np.mean(turns[np.isfinite(turns)] > 0) > SMOOTH:
        return None
    return still


def find_missing(trace: Trace, frame_rate: float) -> tuple[Mask | None, MissingCounts]:
    """The mask `(frame,)` of what is no data in a trace, None if all is, and its counts."""
    found = no_data(trace, frame_rate)
    if not found:
        return None, NONE_MISSING
    counts = MissingCounts(
        tuple(int(found[kind].sum()) if kind in found else 0 for kind in KINDS),
        tuple(int(kind in found) for kind in KINDS),
    )
    return np.logical_or.reduce(list(found.values())), counts


def mark_missing(
    traces: Table, frame_rate: float, *, in_place: bool = False
) -> tuple[Table, MissingCounts]:
    """Set to NaN what is no data in traces `(frame, neuron)`, and count it: in the same array where
    nothing changes or it may be changed (`in_place`) and written to, else in a copy."""
    counts, writable = NONE_MISSING, in_place and traces.flags.writeable
    for first in range(0, traces.shape[1], NEURONS_AT_A_TIME):
        part = np.ascontiguousarray(traces[:, first : first + NEURONS_AT_A_TIME].T)
        for neuron, trace in enumerate(part, first):
            mask, found = find_missing(trace, frame_rate)
            if mask is not None:
                counts += found
                if not writable:
                    traces, writable = np.array(traces), True
                traces[mask, neuron] = np.nan
    return traces, counts


def common_jumps(traces: Table) -> Mask:
    """Frames in which nearly all neurons are far off at once, `(frame,)`, of traces `(frame,
    neuron)`, NaN where missing. Fewer than three neurons tell nothing."""
    if traces.shape[1] < 3:
        return np.zeros(len(traces), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # frames or neurons without any value
        off = np.asarray(traces, np.float64) - np.nanmedian(traces, axis=0)
        # The steps show the noise, whatever the signal does: 0.95 of a spread is their median.
        noise = np.nanmedian(np.abs(np.diff(traces, axis=0)), axis=0) / 0.95
        spread = np.maximum(1.48 * np.nanmedian(np.abs(off), axis=0), noise)
        off = off / np.where(spread > 0, spread, np.nan)
        most = NEARLY_ALL * np.isfinite(off).sum(axis=1)
        far = [(way * off > JUMP).sum(axis=1) for way in (1, -1)]
        return (most > 0) & (np.maximum(*far) >= most)
