"""The layout of suite2p's folders: `F.npy`, `Fneu.npy`, `iscell.npy`, and what its settings say.

A folder of several planes is one recording. `Fall.mat`, which suite2p writes for MATLAB, is one of
named arrays.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ...arrays import Array, Mask, Rates
from ...errors import DataError
from ...files.npy import NpyFile
from ...text import counted
from ..options import USUAL_NEUROPIL, ReadOptions
from ..recording import AnyTable, Recording, chunk_size, elementwise
from .container import npy_table
from .facts import Facts, make_recording, one_rate, only_one_array, only_orientation
from .pickled import read_numbers
from .rois import LARGEST_SHARE, Kept, Neuropil, accepted, corrected

SETTINGS = ("settings.npy", "ops.npy", "db.npy", "reg_outputs.npy")
"""Where frame rate, share of neuropil, bad frames and folders stand: 1.x writes all of them,
earlier ones `ops.npy`."""
KEYS = {
    "rate": ["fs"],
    "share": ["extraction.neuropil_coefficient", "neucoeff"],
    "bad": ["badframes"],
    "folders": ["frames_per_folder", "nframes_per_folder"],
    "planes": ["nplanes"],
}
"""What the settings call these, in 1.x and before."""
DEFAULT_RATE = 10.0
"""Hz; what suite2p's settings say where nobody has changed them."""
MOST_PLANES = 1_000  # of a volume; more are a damaged number
SECOND = "F_chan2"
CHANNELS = {"F": "Fneu", SECOND: "Fneu_chan2"}
"""Fluorescence of the two channels, and its neuropil."""
OWN_FILES = (
    "F_chan2.npy",
    "Fneu_chan2.npy",
    "F.npy",
    "Fneu.npy",
    "iscell.npy",
    "stat.npy",
    "redcell.npy",
    *SETTINGS,
)
"""Files of suite2p that no prediction may replace."""


def planes_of(source: Path | str) -> list[Path]:
    """The plane folders of a recording's source, by their numbers; none if it is not suite2p's."""
    folder = Path(source)
    if (folder / "F.npy").is_file():
        return [folder]
    if not folder.is_dir():
        return []
    found = {*folder.glob("plane*"), *folder.glob("suite2p/plane*")}
    # suite2p writes all planes together as well; some keep nothing else.
    if not any((f / "F.npy").is_file() for f in found):
        found = {folder / "combined", folder / "suite2p" / "combined"}
    folders = [f for f in found if (f / "F.npy").is_file()]
    # plane10 comes behind plane2.
    return sorted(folders, key=lambda f: [int(n) for n in re.findall(r"\d+", f.name)] or [0])


def files_of(folder: Path) -> list[Path]:
    planes = planes_of(folder)
    parents = {parent for plane in planes for parent in (plane, plane.parent)}
    paths = [parent / name for parent in parents for name in OWN_FILES]
    return [path for path in paths if path.is_file()]


def read_recording(folder: Path, options: ReadOptions) -> Recording:
    """Recording of a plane folder, or of all planes in `suite2p/`."""
    if options.variable != SECOND:
        only_one_array(folder, options.variable)
    only_orientation(folder, options.orientation, "neuron-time")
    every = planes_of(folder)
    if len(every) == 1:  # its notes need no name of a plane
        traces, facts = read_plane(every[0], options)
        return make_recording(every[0], traces, options, facts)
    # The ends of a volume may have no cells; where none has any, `read_plane` says so.
    kept = [plane for plane in every if options.all_rois or _has_cells(plane)] or every
    traces, facts = combine(folder, {plane: read_plane(plane, options) for plane in kept})
    left = [f"{p.name} left out: none of its ROIs is a cell" for p in every if p not in kept]
    facts = replace(facts, notes=[*facts.notes, *left])
    return make_recording(folder, traces, options, facts)


def _has_cells(plane: Path) -> bool:
    """Whether `iscell.npy` calls a ROI of a plane a cell, or is not there."""
    cells = _file(plane / "iscell.npy")
    if cells is None or not cells.shape or not all(cells.shape):  # `accepted` says what is wrong
        return True
    values = np.asarray(npy_table(cells, cells.nbytes))
    return accepted(plane, values, count=len(values)).size > 0


def combine(folder: Path, planes: Mapping[Path, tuple[AnyTable, Facts]]) -> tuple[AnyTable, Facts]:
    """Several planes together. The microscope may have stopped in the middle of a volume, so one
    plane may have a frame more than another: it is missing in that one."""
    known = [(plane.name, own.frame_rate) for plane, (_, own) in planes.items()]
    rates = [(name, rate) for name, rate in known if rate is not None]
    if len({rate for _, rate in rates}) > 1:
        several = ", ".join(f"{name} {rate:g} Hz" for name, rate in rates)
        raise DataError(f"{folder} has planes of different frame rates ({several}); name one")
    longest, facts = max(planes.values(), key=lambda plane: plane[0].shape[1])
    frames = longest.shape[1]
    # In memory, as planes are small parts of a recording.
    together = np.full((sum(len(t) for t, _ in planes.values()), frames), np.nan, np.float32)
    names: list[str] = []
    notes = [f"{counted(len(planes), 'plane')}, neurons named by plane and ROI"]
    offsets: list[float] = []
    first, last = (end(own.start for _, own in planes.values()) for end in (min, max))
    if last > first:
        notes.append(
            f"the planes were scanned one after another, the last {last - first:.3g} s after the "
            "first; the rates of all are at the time stamps of the first"
        )
    alike = [note for note in facts.notes if all(note in own.notes for _, own in planes.values())]
    notes += [f"each plane: {note}" for note in alike]
    for plane, (traces, own) in planes.items():
        row, count = len(names), traces.shape[1]
        together[row : row + len(traces), :count] = traces
        names += [f"{plane.name}-{roi}" for roi in own.names or ()]
        offsets += [own.start - first] * len(traces)
        notes += [f"{plane.name}: {note}" for note in own.notes if note not in alike]
        if count < frames:
            notes.append(f"{plane.name}: {counted(frames - count, 'frame')} fewer than the others")
    classified = all(own.orientation for _, own in planes.values())
    return together, replace(
        facts,
        frame_rate=rates[0][1] if rates else None,
        orientation="neuron-time" if classified else None,
        names=names,
        notes=notes,
        start=first,
        offsets=offsets if last > first else (),
    )


def read_plane(folder: Path, options: ReadOptions) -> tuple[AnyTable, Facts]:
    """The traces `(cell, frame)` of a plane folder, corrected for neuropil, NaN where missing, and
    what is known of them; `DataError` if its files are damaged or contradict each other."""
    name = options.variable or "F"
    beside = CHANNELS[name]
    files = [_file(folder / f"{each}.npy") for each in (name, beside, "iscell")]
    fluorescence, around, cells = (
        None if file is None else npy_table(file, chunk_size(options.memory)) for file in files
    )
    if fluorescence is None:
        raise DataError(f"{folder} has no {name}.npy; leave out the variable (--variable)")
    if fluorescence.ndim != 2 or not fluorescence.size:
        raise DataError(f"{folder}: {name} has shape {fluorescence.shape}; give ROIs x frames")
    count, frames = fluorescence.shape
    settings = read_settings(folder, options)
    kept = None
    if cells is not None and not options.all_rois:
        kept = Kept(accepted(folder, np.asarray(cells), count=count))
    neuropil = Neuropil(around, beside, settings.share)
    traces, rois, notes = corrected(
        folder, fluorescence, neuropil, kept, options, frame_rate=settings.rate
    )
    notes = [f"F from {name}.npy, {rois.size} of {count} ROIs", *notes, *settings.notes]
    if name == "F" and (folder / "F_chan2.npy").is_file():
        notes.append("there is a second channel, too (--variable F_chan2)")
    starts = folder_starts(settings.folders, frames, notes)
    # After the neuropil, so that runs of one value are looked for in what was measured.
    traces = without_bad_frames(traces, settings.bad, notes)
    return traces, Facts(
        frame_rate=settings.rate,
        orientation=None if cells is None else "neuron-time",
        unit="F",
        names=[str(roi) for roi in rois],
        notes=notes,
        segment_starts=starts,
        rate_from=settings.rate_from,
        start=settings.start,
    )


@dataclass(frozen=True)
class Settings:
    """What the pickled settings of a plane say: `rate` in Hz, `rate_from` which file, and `share`
    of neuropil, None where they say none; `bad`, a truth value for each frame, and `folders`, the
    number of frames in each, unchecked. At `start` in s the plane is scanned in a volume."""

    rate: float | None
    share: float | None
    bad: Array | None
    folders: Array | None
    notes: tuple[str, ...]
    rate_from: str = ""
    start: float = 0.0


def read_settings(folder: Path, options: ReadOptions) -> Settings:
    """What the settings in a plane folder, or in the one above it, say. It raises `DataError` if a
    file cannot be read that may say the frame rate, and nobody states it."""
    paths = [parent / name for name in SETTINGS for parent in (folder, folder.parent)]
    paths = [path for path in paths if path.is_file()]
    found, sources, failed = read_numbers(paths, KEYS)
    unread = [f"{path} cannot be read: {why}" for path, why in failed.items()]
    # A file that comes before the one with the frame rate may have had another.
    read = paths.index(sources["rate"]) if "rate" in sources else len(paths)
    first = min((paths.index(path) for path in failed), default=len(paths))
    if first < read and options.frame_rate is None:
        raise DataError(f"{unread[0]}; state the frame rate (--frame-rate) to do without it")
    notes = [f"not used: {each}" for each in unread]
    rate = one_rate(sources["rate"], "fs", found["rate"]) if "rate" in found else None
    where = f"fs in {sources['rate'].name}" if "rate" in sources else ""
    if rate == DEFAULT_RATE and options.frame_rate is None:
        notes.append(
            f"the settings say {rate:g} Hz, which is suite2p's default: state the frame rate "
            "(--frame-rate) if it is another"
        )
    stated = neuropil_share(found.get("share"), options, notes)
    start = _start(folder, found.get("planes"), options.frame_rate or rate, notes)
    return Settings(
        rate, stated, found.get("bad"), found.get("folders"), tuple(notes), where, start
    )


def neuropil_share(share: Array | None, options: ReadOptions, notes: list[str]) -> float | None:
    """The share of neuropil in settings; None where they say none."""
    # Anything else is no share, and the usual one is taken.
    if share is None or share.size != 1 or not 0 <= share.item() <= LARGEST_SHARE:
        return None
    stated = float(share.item())
    if options.neuropil is None and stated != USUAL_NEUROPIL:
        notes.append(f"the settings' own share of neuropil is used: {stated:g}")
    return stated


def _start(folder: Path, planes: Array | None, rate: float | None, notes: list[str]) -> float:
    """s after the beginning of a volume at which the plane of a folder is scanned."""
    count = 1 if planes is None or planes.size != 1 else planes.item()
    if not rate or not 1 < count < MOST_PLANES:
        return 0.0
    if folder.name == "combined":
        notes.append(
            f"its {count:g} planes were scanned one after another, and which ROI is of which is "
            "not read: time stamps are the first one's; folders plane0, plane1, ... have their own"
        )
    number = re.fullmatch(r"plane(\d+)", folder.name)
    place = 0 if number is None else int(number[1])
    return place / (rate * count) if place < count else 0.0


def without_bad_frames(traces: AnyTable, bad: Array | None, notes: list[str]) -> AnyTable:
    """Traces `(cell, frame)`, NaN in the frames that suite2p calls bad, if any."""
    if bad is None or not bad.size:
        return traces
    mask, frames = np.ravel(bad).astype(np.bool_), traces.shape[1]
    # Settings of another run than F.npy stay behind in the folder.
    if mask.size != frames:
        notes.append(f"badframes has {mask.size} values for {frames} frames: not used")
        return traces
    if not mask.any():
        return traces
    notes.append(f"{int(mask.sum())} of {frames} frames are in badframes: taken as missing")
    return elementwise(partial(_without, mask), traces, dtype=np.float32)


def _without(bad: Mask, rows: Array) -> Array:
    rows = np.array(rows, np.result_type(rows.dtype, np.float32))
    rows[:, bad] = np.nan
    return rows


def folder_starts(folders: Array | None, frames: int, notes: list[str]) -> tuple[int, ...]:
    """Frames with which the folders of movies begin."""
    counts = np.array([]) if folders is None else folders[folders != 0]  # 0: without a movie
    if counts.size < 2:
        return (0,)
    whole = (counts > 0).all() and (counts == counts.round()).all()
    if not whole or counts.sum() != frames:
        notes.append(f"frames_per_folder has {counts.sum():g} frames, F {frames}: not used")
        return (0,)
    notes.append(f"{counts.size} folders of movies (frames_per_folder): so many segments")
    return (0, *np.cumsum(counts)[:-1].astype(int).tolist())


def _file(path: Path) -> NpyFile | None:
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


def as_spks(
    rates: Rates, names: Sequence[str], source: Path | str
) -> tuple[Rates, list[int] | None]:
    """Rates `(neuron, frame)` with a row for each ROI of `F.npy`, as `spks.npy` has; and the row of
    each neuron.

    Zeros where a ROI is no cell, and where there are no rates, as suite2p's window knows no NaN.
    Several planes come one after another, as in suite2p's `combined` folder. Where the folder
    `source` is not suite2p's, or has other ROIs, the rates as they are, and None.
    """
    every = roi_rows(source)
    if not every or not set(names) <= every.keys():
        return rates, None
    rows = [every[name] for name in names]
    table = np.zeros((len(every), rates.shape[1]), np.float32)
    table[rows] = np.nan_to_num(rates)
    return table, rows


def named_planes(source: Path | str) -> list[tuple[Path, str]]:
    """The plane folders of a recording's source, and what the names of their neurons begin with
    before the ROI's number: nothing of a single plane."""
    planes = planes_of(source)
    return [(plane, "" if len(planes) == 1 else f"{plane.name}-") for plane in planes]


def roi_rows(source: Path | str) -> dict[str, int]:
    """The row of each ROI in `spks.npy`, by the name that a recording gives it; none of a folder
    that is not suite2p's. Several planes come one after another."""
    rows: dict[str, int] = {}
    for plane, prefix in named_planes(source):
        file = _file(plane / "F.npy")
        rois = range(0 if file is None else file.shape[0])
        rows |= {f"{prefix}{roi}": row for row, roi in enumerate(rois, len(rows))}
    return rows
