"""From a table and what its file says of it to a recording: the end of every layout.

A CSV file is such a table as it stands, with a column for each neuron.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...arrays import ArrayLike, Times
from ...constants import SAMPLE_RATE
from ...errors import DataError, UsageError
from ...files.csv import read_table
from ...signals.preprocess import check_rate
from ..inputs import RATE_MISMATCH, as_recording
from ..options import ReadOptions
from ..recording import AnyTable, Recording


@dataclass(frozen=True)
class Facts:
    """What a file says of its traces.

    `times` `(frame,)` in s tell the frame rate, and which axis of the traces is time. `frame_rate`
    is in Hz; where another one is stated, that one is used, with a note. `orientation` is known for
    certain, `usual_orientation` is what such a file has as a rule. All else is a `Recording`'s.
    """

    times: Times | None = None
    frame_rate: float | None = None
    orientation: str | None = None
    usual_orientation: str = "neuron-time"
    unit: str | None = None
    names: Sequence[str] | None = None
    notes: Sequence[str] = ()
    segment_starts: Sequence[int] = (0,)


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
        stated = check_rate(frame_rate)
        if abs(stated - facts.frame_rate) > RATE_MISMATCH * stated:
            notes.append(
                f"the frame rate is {stated:g} Hz as stated, but {facts.frame_rate:g} Hz in the "
                "file"
            )
    return as_recording(
        traces,
        frame_rate,
        times,
        orientation=options.orientation or facts.orientation,
        names=facts.names,
        unit=options.unit or facts.unit,
        source=str(path),
        notes=notes,
        segment_starts=facts.segment_starts,
        usual_orientation=facts.usual_orientation,
        in_place=True,
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


def only_orientation(path: Path, orientation: str | None, usual: str) -> None:
    """Raise `UsageError` if another orientation is stated than a file is known to have."""
    if orientation not in (None, usual):
        raise UsageError(
            f"{path} is {usual} for certain; leave the orientation out (--orientation)"
        )


def read_csv(path: Path, options: ReadOptions) -> Recording:
    """Recording of a table `(frame, neuron)`. Under the header 0 to n - 1, without time stamps and
    without a stated frame rate it is a table of the competition, which are all of 100 Hz."""
    only_one_array(path, options.variable)
    table = read_table(path, strict=False, all_cells=options.all_rois)
    if table.turned and options.orientation == "neuron-time":
        options = replace(options, orientation=None)  # it has been turned already
    turned = options.orientation == "neuron-time"
    competition = options.unit == "competition" or (
        options.unit is None and table.competition and options.frame_rate is None and not turned
    )
    # A single row contradicts no orientation, so the competition's has to be said.
    certain = table.turned or (competition and len(table.values) == 1)
    facts = Facts(
        times=None if competition else table.times,
        frame_rate=SAMPLE_RATE if competition else None,
        orientation="time-neuron" if certain else None,
        usual_orientation="time-neuron",
        unit="competition" if competition else options.unit,
        names=None if turned else table.names,  # a header that numbers frames names no neurons
        notes=table.notes,
    )
    return make_recording(path, table.values, options, facts)
