"""suite2p's folders: `F.npy`, `Fneu.npy`, `iscell.npy`, and what its settings say of them.

A folder of several planes is one recording. `Fall.mat`, which suite2p writes for MATLAB, is read by
`matlab`.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...files.npy import NpyFile
from ...files.sandbox import parse
from ..lazy import elementwise
from ..options import USUAL_NEUROPIL
from . import pickled
from .arrays import make_recording, one_number, only_one_array, only_orientation
from .pieces import table_of
from .rois import accepted, checked_cells, corrected

SETTINGS = ("settings.npy", "ops.npy", "db.npy", "reg_outputs.npy")
"""Where frame rate, share of neuropil, bad frames and folders stand: 1.x writes all of them,
earlier ones `ops.npy`."""
OWN_FILES = ("F.npy", "Fneu.npy", "iscell.npy", "stat.npy", "redcell.npy", *SETTINGS)
"""Files of suite2p that no prediction may replace."""


def recognises(folder):
    """Whether a folder is a plane of suite2p, or holds one."""
    return (folder / "F.npy").is_file() or bool(_planes(folder))


def _planes(folder):
    """Plane folders below a folder, by their numbers."""
    folders = {*folder.glob("plane*"), *folder.glob("suite2p/plane*")}
    folders = [f for f in folders if (f / "F.npy").is_file()]
    return sorted(folders, key=lambda f: [int(n) for n in re.findall(r"\d+", f.name)] or [0])


def planes_of(source):
    """The plane folders of a recording's source; none if it is not suite2p's."""
    folder = Path(source)
    if (folder / "F.npy").is_file():
        return [folder]
    return _planes(folder) if folder.is_dir() else []


def files_of(folder):
    """The files that `read` heeds."""
    planes = planes_of(folder)
    names = {
        place / name for plane in planes for place in (plane, plane.parent) for name in OWN_FILES
    }
    return [path for path in names if path.is_file()]


def read(folder, options):
    """Recording of a plane folder, or of all planes in `suite2p/`."""
    only_one_array(folder, options.variable)
    only_orientation(folder, options.orientation, "neuron-time")
    planes = planes_of(folder)
    found = [_Plane(plane, options) for plane in planes]
    if len(found) == 1:
        (only,) = found
        traces, names, notes = only.traces, [str(roi) for roi in only.rois], only.notes
        folder = only.folder
    else:
        traces, names, notes = _together(found)
    rate = next((plane.rate for plane in found if plane.rate is not None), None)
    rates = {plane.rate for plane in found} - {None}
    if len(rates) > 1:
        several = ", ".join(f"{plane.folder.name} {plane.rate:g} Hz" for plane in found)
        raise DataError(f"{folder} has planes of different frame rates ({several}); name one")
    return make_recording(
        folder,
        traces,
        options,
        file_rate=rate,
        orientation="neuron-time" if all(p.classified for p in found) else None,
        names=names,
        unit="F",
        notes=notes,
        segment_starts=found[0].segment_starts,
    )


def _together(planes):
    """Traces, names and notes of several planes; a frame that one has not is missing in it."""
    longest = max(planes, key=lambda plane: plane.traces.shape[1])
    frames = longest.traces.shape[1]
    traces = np.full((sum(p.rois.size for p in planes), frames), np.nan, np.float32)
    names, notes, row = [], [], 0
    for plane in planes:
        count = plane.traces.shape[1]
        traces[row : row + plane.rois.size, :count] = plane.traces
        row += plane.rois.size
        names += [f"{plane.folder.name}-{roi}" for roi in plane.rois]
        notes += [f"{plane.folder.name}: {note}" for note in plane.notes]
        if count < frames:
            notes.append(f"{plane.folder.name}: {frames - count} frames fewer than the others")
    planes[0].segment_starts = longest.segment_starts
    return traces, names, [f"{len(planes)} planes, neurons named by plane and ROI", *notes]


class _Plane:
    """What is read of a plane folder."""

    def __init__(self, folder, options):
        self.folder = folder
        files = {name: _file(folder / f"{name}.npy") for name in ("F", "Fneu", "iscell")}
        arrays = {name: file and table_of(file, options.chunk) for name, file in files.items()}
        fluorescence = arrays["F"]
        if fluorescence.ndim != 2 or not fluorescence.size:
            raise DataError(f"{folder}: F has shape {fluorescence.shape}; give ROIs x frames")
        count, frames = fluorescence.shape
        settings = _Settings(folder, options)
        self.rate = settings.rate
        self.classified = arrays["iscell"] is not None
        kept = None
        if self.classified and not options.all_rois:
            kept = accepted(folder, arrays["iscell"], count)
        self.rois, left_out = checked_cells(folder, kept, count, "iscell", "ROIs", options.all_rois)
        share = options.neuropil_share(settings.share)
        self.traces, notes = corrected(
            folder,
            fluorescence,
            arrays["Fneu"],
            share,
            self.rois,
            options.frame_rate or settings.rate,
        )
        self.segment_starts, more = settings.blocks(frames)
        bad, bad_notes = settings.bad_frames(frames)
        if bad is not None:
            self.traces = elementwise(partial(_blank, bad), self.traces, dtype=np.float32)
        self.notes = [
            f"F from F.npy, {self.rois.size} of {count} ROIs",
            *left_out,
            *notes,
            *settings.notes,
            *more,
            *bad_notes,
        ]


def _blank(bad, rows):
    rows = np.array(rows, np.result_type(rows.dtype, np.float32))
    rows[:, bad] = np.nan
    return rows


class _Settings:
    """What the pickled settings of a plane say."""

    def __init__(self, folder, options):
        names = [
            str(parent / name)
            for name in SETTINGS
            for parent in (folder, folder.parent)
            if (parent / name).is_file()
        ]
        self.notes, self.rate, self.share = [], None, None
        self._found = parse(pickled.parse_settings, folder, names) if names else {}
        rate, share = self._found.get("fs"), self._found.get("share")
        read = names.index(self._found["fs of"]) if rate is not None else len(names)
        unread = self._found.get("failed", [])
        failed = [f"{name} cannot be read: {why}" for name, why in unread]
        first = min((names.index(name) for name, _ in unread), default=len(names))
        if first < read and options.frame_rate is None:
            raise DataError(f"{failed[0]}; state the frame rate (--frame-rate) to do without it")
        self.notes += [f"not used: {each}" for each in failed]
        if rate is not None:
            self.rate = one_number(self._found["fs of"], "fs", rate)
        if share is not None and share.size == 1 and 0 <= share.item() <= 2:
            self.share = float(share.item())
            if options.neuropil is None and self.share != USUAL_NEUROPIL:
                self.notes.append(f"the settings' own share of neuropil is used: {self.share:g}")

    def bad_frames(self, frames):
        """Mask `(frame,)` of frames that suite2p calls bad, or None, and notes."""
        bad = self._found.get("badframes")
        if bad is None or not bad.size:
            return None, []
        bad = np.ravel(bad).astype(bool)
        if bad.size != frames:
            return None, [f"badframes has {bad.size} values for {frames} frames: not used"]
        if not bad.any():
            return None, []
        return bad, [f"{int(bad.sum())} of {frames} frames are in badframes: taken as missing"]

    def blocks(self, frames):
        """Frames with which the folders of movies begin, and notes."""
        counts = self._found.get("folders")
        counts = np.array([]) if counts is None else np.ravel(counts)
        counts = counts[counts != 0]
        if counts.size < 2:
            return (0,), []
        whole = (counts > 0).all() and (counts == counts.round()).all()
        if not whole or counts.sum() != frames:
            return (0,), [f"frames_per_folder has {counts.sum():g} frames, F {frames}: not used"]
        starts = (0, *np.cumsum(counts)[:-1].astype(int).tolist())
        return starts, [f"{counts.size} folders of movies (frames_per_folder): so many blocks"]


def _file(path):
    """The array in a file, as yet unread; None if there is no such file."""
    try:
        if not path.stat().st_size:
            raise ValueError("it is empty")
        file = NpyFile(path)
    except FileNotFoundError:
        return None
    except Exception as error:  # numpy parses the header as Python text, so this can be many
        reason = " ".join(str(error).split())[:100]
        raise DataError(f"{path} is no array of numbers ({reason}); run suite2p again") from None
    if file.dtype.kind not in "fiub":
        raise DataError(f"{path} is no array of numbers; run suite2p again")
    return file


def as_spks(rates, names, source):
    """Rates `(neuron, frame)` with a row for each ROI of `F.npy`, as `spks.npy` has.

    Zeros where a ROI is no cell, and where there are no rates, as suite2p's window knows no NaN.
    Several planes come one after another, as in suite2p's `combined` folder. Where `source` is not
    suite2p's, or has other ROIs, the rates as they are.
    """
    planes = planes_of(source) if source is not None and Path(source).is_dir() else []
    counts = [_file(plane / "F.npy").shape[0] for plane in planes]
    first = 0
    rows = {}
    for plane, count in zip(planes, counts, strict=True):
        prefix = "" if len(planes) == 1 else f"{plane.name}-"
        rows |= {f"{prefix}{roi}": first + roi for roi in range(count)}
        first += count
    if not planes or not set(names) <= rows.keys():
        return rates
    every = np.zeros((sum(counts), rates.shape[1]), np.float32)
    every[[rows[name] for name in names]] = np.nan_to_num(rates)
    return every
