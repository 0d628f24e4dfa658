"""What every written file says of itself."""

import errno
import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...files.atomic import whole_file
from ...files.regular import read_json
from ...text import shown

EVEN = 1e-3
"""Frames; time stamps this close to those of the frame rate are not written one by one."""


def described(prediction):
    """The description of a prediction, with where it is from: a dict of text and numbers."""
    recording = prediction.recording
    description = {str(key): _plain(value) for key, value in prediction.description.items()}
    description.setdefault("source", recording.source)
    if recording.notes:
        description.setdefault("notes", "; ".join(recording.notes))
    return {shown(k): shown(v) if isinstance(v, str) else v for k, v in description.items()}


def _plain(value):
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return "none"
    return value if isinstance(value, str | int | float) else text_of(value)


def spikes_in_a_row(prediction):
    """Discrete spikes of all neurons: times in s and numbers of the neurons, `(spike,)` each."""
    counts = [len(times) for times in prediction.spike_times]
    times = np.concatenate([np.empty(0), *prediction.spike_times])
    return times, np.repeat(np.arange(len(counts)), counts)


def text_of(value):
    """`value` as JSON text."""
    return json.dumps(value, ensure_ascii=False, indent=1, default=_unknown)


def _on_one_line(value):
    if isinstance(value, dict):
        return text_of(value).replace("\n", "\n ")
    return json.dumps(value, ensure_ascii=False, default=_unknown)


def _unknown(value):
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


@contextmanager
def sidecar(path, prediction, times=False):
    """Write a description beside `path`, `<path>.json`, if the body succeeds.

    It holds the description, frame rate in Hz, names of the neurons and, where there are any,
    discrete spikes of each neuron in s; with `times`, also the time of the first frame in s and,
    unless they are even, the time stamps of all.
    """
    contents = {
        "description": described(prediction),
        "frame_rate": float(prediction.recording.frame_rate),
        "names": list(prediction.names),
    }
    if times:
        stamps = np.asarray(prediction.times, np.float64)
        contents["start"] = float(stamps[0])
        even = stamps[0] + np.arange(stamps.size) / contents["frame_rate"]
        if np.abs(stamps - even).max() > EVEN / contents["frame_rate"]:
            contents["times"] = stamps.tolist()
    if prediction.spike_times is not None:
        contents["spike_times"] = [np.asarray(t).tolist() for t in prediction.spike_times]
    # A line per entry: readable, and short where there are thousands of numbers.
    lines = (f" {json.dumps(key)}: {_on_one_line(value)}" for key, value in contents.items())
    with whole_file(sidecar_path(path)) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        yield


def sidecar_path(path):
    """`rates.csv` is described in `rates.csv.json`."""
    return Path(f"{path}.json")


def is_prediction(path):
    """Whether a file that `sidecar` has written stands beside `path`."""
    try:
        contents = read_json(sidecar_path(path))
    except OSError as error:  # such as one with a time stamp for each of a million frames
        return error.errno == errno.EFBIG
    except ValueError:
        return False
    return isinstance(contents, dict) and {"description", "frame_rate", "names"} <= contents.keys()
