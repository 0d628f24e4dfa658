"""suite2p's plane folder: `F.npy`, `Fneu.npy`, `iscell.npy` and the frame rate in its settings.

`Fall.mat`, which suite2p writes for MATLAB, is read by `matlab`.
"""

import numpy as np

from ...errors import DataError
from ...files.child import parse
from . import pickled
from .arrays import corrected, make_recording, one_number, only_one_array, only_orientation

SETTINGS = ("settings.npy", "ops.npy")
"""Where the frame rate stands: suite2p 1.x writes both, earlier ones `ops.npy`."""


def recognises(folder):
    """Whether a folder is a plane of suite2p, or holds one."""
    return (folder / "F.npy").is_file() or bool(_planes(folder))


def _planes(folder):
    folders = sorted(f for f in (*folder.glob("plane*"), *folder.glob("suite2p/plane*")))
    return [f for f in folders if (f / "F.npy").is_file()]


def read(folder, options):
    """Recording of a plane folder, or of the only plane in `suite2p/`."""
    only_one_array(folder, options.variable)
    only_orientation(folder, options.orientation, "neuron-time")
    if not (folder / "F.npy").is_file():
        planes = _planes(folder)
        if len(planes) > 1:
            names = ", ".join(str(plane.relative_to(folder)) for plane in planes)
            raise DataError(f"{folder} holds several planes; name one of {names}")
        (folder,) = planes
    arrays = {name: _array(folder / f"{name}.npy") for name in ("F", "Fneu", "iscell")}
    traces, rois, notes = corrected(
        folder,
        arrays["F"],
        arrays["Fneu"],
        options.neuropil,
        None if options.all_rois else arrays["iscell"],
    )
    rate, rate_notes = _frame_rate(folder, options.frame_rate)
    return make_recording(
        folder,
        traces,
        options,
        file_rate=rate,
        orientation="neuron-time" if arrays["iscell"] is not None else None,
        names=rois,
        unit="F",
        notes=[*notes, *rate_notes],
    )


def _array(path):
    """The array of a file, mapped into memory; None if there is no such file."""
    try:
        if not path.stat().st_size:
            raise ValueError("it is empty")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except Exception as error:  # numpy parses the header as Python text, so this can be many
        reason = " ".join(str(error).split())[:100]
        raise DataError(f"{path} is no array of numbers ({reason}); run suite2p again") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise DataError(f"{path} is no array of numbers; run suite2p again")
    return array


def _frame_rate(folder, stated):
    """Frame rate in Hz or None, and notes on settings that could not be read."""
    notes = []
    for file in [parent / name for name in SETTINGS for parent in (folder, folder.parent)]:
        if not file.is_file():
            continue
        try:
            found = parse(pickled.parse_frame_rate, file).get("rate")
            if found is not None:
                return one_number(file, "fs", found), notes
        except DataError as error:
            if stated is None:
                raise DataError(f"{error}; state the frame rate to do without it") from None
            notes.append(f"not used: {error}")
    return None, notes
