"""What a file says of its traces, what the name of an array does, and the recording that they
become: the end of every layout."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...arrays import Array, ArrayLike, Times
from ...errors import DataError, UsageError
from ...labels import DECONVOLVED, DENOISED, NEUROPIL, RAW, RELATIVE, RESIDUALS, TRACES
from ...signals.preprocess import check_rate
from ..inputs import as_recording, counted_times, other_rate
from ..options import ReadOptions
from ..recording import AnyTable, Recording
from .container import plain

UNITS: dict[str, str | None] = {
    **dict.fromkeys(RELATIVE, "dF/F"),
    **dict.fromkeys(RAW, "F"),
    **dict.fromkeys(TRACES),
}
"""The unit that a name of traces tells."""
SECOND = {"fchan2": "fneuchan2"}
"""Fluorescence and neuropil of suite2p's second channel, which has to be asked for."""


@dataclass(frozen=True)
class Facts:
    """What a file says of its traces.

    `times` `(frame,)` in s tell the frame rate, and which axis of the traces is time. `frame_rate`
    is in Hz; where another one is stated, that one is used, with a note. `frames` `(frame,)` are
    what the frames count to, from 0, where there are no `times`. `orientation` is known for
    certain, `usual_orientation` is what such a file has as a rule. `rate_from` says where the frame
    rate stands, and `start` is the time of the first frame in s, where there are no `times`. All
    else is a `Recording`'s.
    """

    times: Times | None = None
    frame_rate: float | None = None
    frames: Array | None = None
    orientation: str | None = None
    usual_orientation: str = "neuron-time"
    unit: str | None = None
    names: Sequence[str] | None = None
    notes: Sequence[str] = ()
    segment_starts: Sequence[int] = (0,)
    rate_from: str = ""
    start: float = 0.0
    offsets: Sequence[float] = ()


def make_recording(
    path: Path | str, traces: AnyTable, options: ReadOptions, facts: Facts
) -> Recording:
    """The recording of traces from a file; raises as `as_recording` does."""
    frame_rate, times, notes = options.frame_rate, facts.times, list(facts.notes)
    if times is not None:
        times = np.ravel(times)
        known = frame_rate or facts.frame_rate
        # Stamps of another clock, such as of the behaviour, stand beside traces in many files.
        if known and times.size not in np.shape(traces):
            notes.append(f"{times.size} time stamps do not fit the frames: not used")
            times = None
    if times is None and facts.frame_rate is not None:
        frame_rate = facts.frame_rate if frame_rate is None else frame_rate
        notes += other_rate(check_rate(frame_rate), facts.frame_rate, "the file", " as stated")
    made = as_recording(
        traces,
        frame_rate,
        counted_times(facts.frames, frame_rate) if times is None else times,
        orientation=options.orientation or facts.orientation,
        names=facts.names,
        unit=options.unit or facts.unit,
        source=str(path),
        notes=notes,
        segment_starts=facts.segment_starts,
        segments=options.segments,
        usual_orientation=facts.usual_orientation,
        in_place=True,
    )
    if times is not None:
        other = other_rate(made.frame_rate, facts.frame_rate, facts.rate_from or "the file")
        made = replace(made, notes=(*made.notes, *other))
    else:
        made.times[:] += facts.start
        made = replace(made, offsets=tuple(facts.offsets))
        told = facts.rate_from or "of the file"
        made = replace(made, rate_from=told if options.frame_rate is None else "as stated")
    return made


def refuse_processed(path: Path, name: str, *, there: str = "", what: str | None = None) -> None:
    """Raise `DataError` if `name` says that its array is deconvolved or denoised already. `there`
    says what else the file has; `what` names another reason."""
    kinds = {
        "deconvolved already": DECONVOLVED,
        "denoised already": DENOISED,
        "only what denoising took away": RESIDUALS,
        "the neuropil around the ROIs": NEUROPIL | {*SECOND.values()},
    }
    if what is None and plain(name) in DENOISED:
        there = f" (C + YrA of CaImAn, YrA of Minian){there}"
    what = what or next((kind for kind, names in kinds.items() if plain(name) in names), None)
    if what is not None:
        raise DataError(
            f"{path}: {name} is {what}; give the fluorescence or dF/F it was made from{there}"
        )


def one_rate(path: Path | str, name: str, value: ArrayLike) -> float:
    """The frame rate in Hz that an array of one number holds, or of the same for each trial."""
    value = np.asarray(value)
    if value.dtype.kind not in "fiu" or len(np.unique(value)) != 1:
        raise DataError(f"{path}: {name} is not one number; give the frame rate in Hz there")
    try:
        return check_rate(value.reshape(-1)[0].item())
    except UsageError as error:
        raise DataError(f"{path}, {name}: {error}") from None


def only_one_array(path: Path, variable: str | None) -> None:
    """Raise `UsageError` if a `variable` is named where there is nothing to choose from."""
    if variable is not None:
        raise UsageError(
            f"{path} holds one recording only; leave out the variable {variable} (--variable)"
        )


def no_neuropil(options: ReadOptions) -> list[str]:
    """A note where a share of neuropil is stated, and there is none."""
    return ["there is no neuropil to subtract (--neuropil)"] if options.neuropil else []


def only_orientation(path: Path, orientation: str | None, usual: str) -> None:
    """Raise `UsageError` if another orientation is stated than a file is known to have."""
    if orientation not in (None, usual):
        raise UsageError(
            f"{path} is {usual} for certain; leave the orientation out (--orientation)"
        )
