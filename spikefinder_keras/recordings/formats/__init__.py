"""Recordings from the files of other programs, and predictions back into them.

Files are recognised by what is in them; a result's format is chosen by the suffix of its path.
"""

from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError, OutputError
from ...files.child import Unreadable, parse
from ...files.hdf5_arrays import SIGNATURE
from ...files.whole_files import check_output, check_output_folder
from . import caiman, csv_table, matlab, numpy_files, nwb, suite2p, zarr_store
from .arrays import Options
from .description import is_prediction, sidecar_path
from .hdf5 import check_structure
from .pynapple_frame import to_pynapple

__all__ = [
    "FORMATS",
    "check_prediction_path",
    "formats_table",
    "read_recording",
    "to_pynapple",
    "write_prediction",
]


@dataclass(frozen=True)
class Format:
    """What a format is, for help texts: how it is recognised, what is read, what is written."""

    name: str
    recognised: str
    read: str
    suffix: str | None = None
    written: str = ""
    extra: str | None = None


FORMATS = (
    Format(
        "suite2p",
        "folder with F.npy, or with one plane* that has it",
        "F - 0.7 Fneu of the cells in iscell.npy, fs of settings.npy or ops.npy",
        ".npy",
        "float32 neuron x frame, as spks.npy; .npy.json describes it",
    ),
    Format(
        "CaImAn",
        "HDF5 with estimates and params",
        "F_dff, else C + YrA, of idx_components",
    ),
    Format(
        "NWB",
        "HDF5 with nwb_version",
        "the RoiResponseSeries of DfOverF, else of Fluorescence",
        ".nwb",
        "the source with a RoiResponseSeries Deconvolved, in place or as a new file",
        "nwb",
    ),
    Format("npy", "starts with \\x93NUMPY", "one array, neuron x frame"),
    Format(
        "npz",
        "zip of .npy",
        "dff, F, traces, ... neuron x frame; times or frame_rate",
        ".npz",
        "spike_rates neuron x frame, times, frame_rate, names, description",
    ),
    Format(
        "MATLAB",
        "header of .mat, version 5 or 7.3",
        "dF_traces (Cascade), suite2p's Fall.mat, or as npz",
        ".mat",
        "spike_rates neuron x frame, times, frame_rate, names, description",
    ),
    Format(
        "CSV",
        "text",
        "frame x neuron under a header; first column time, else the competition's form",
        ".csv",
        "time (s), then a column per neuron; .csv.json describes it",
    ),
    Format(
        "Zarr",
        "folder with zarr.json, .zgroup or .zarray",
        "as npz; frame_rate may be an attribute",
        ".zarr",
        "spike_rates neuron x frame, times, attributes",
        "zarr",
    ),
)
"""The formats, in the order in which they are explained."""

_WRITERS = {
    ".csv": csv_table.write,
    ".npy": numpy_files.write_npy,
    ".npz": numpy_files.write_npz,
    ".mat": matlab.write,
    ".zarr": zarr_store.write,
}
SUFFIXES = (*_WRITERS, ".nwb")
"""Of the files that can be written."""

_HDF5_KINDS = {"nwb": nwb, "caiman": caiman, "matlab": matlab}
_HDF5_OFFSETS = (0, 512, 1024, 2048)
_NOT_DATA = {
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself with `git lfs pull`",
    b"<!doctype html": "a web page; download the file itself",
    b"<html": "a web page; download the file itself",
}


def read_recording(
    path,
    frame_rate=None,
    orientation=None,
    unit=None,
    variable=None,
    neuropil=0.7,
    all_rois=False,
):
    """Read a recording, whatever program wrote it.

    Parameters
    ----------
    path : str or Path
        A file or folder of one of `FORMATS`.
    frame_rate : float, optional
        In Hz; needed where the file does not tell it. Where it tells another nominal one, the
        stated one is used, with a note.
    orientation : "time-neuron" or "neuron-time", optional
        What rows and columns are, where the file leaves it open: by default neurons are rows of
        `.npy`, `.npz`, `.mat` and Zarr, and columns of CSV and NWB.
    unit : "dF/F", "F" or "competition", optional
        By default what the file tells, or None.
    variable : str, optional
        Name of the array, or NWB series, where there are several.
    neuropil : float
        Share of the neuropil that is subtracted from suite2p's fluorescence.
    all_rois : bool
        Keep the ROIs too that suite2p or CaImAn calls no cells.

    Returns
    -------
    Recording
        Its arrays may be read-only, mapped into memory from the file.

    Raises
    ------
    DataError
        If there is no such file, or it is of no known kind, damaged, contradictory, or deconvolved
        or denoised already.
    UsageError
        If the frame rate, orientation or variable must be stated or is impossible, or if a library
        for this format is not installed; the message says how to install it.
    """
    path = Path(path)
    options = Options(frame_rate, orientation, unit, variable, neuropil, all_rois)
    try:
        if path.is_dir():
            return _read_folder(path, options)
        if not path.exists():
            raise DataError(f"{path} does not exist")
        if not path.is_file():
            raise DataError(f"{path} is no ordinary file; name a file or folder of a recording")
        with path.open("rb") as file:
            start = file.read(_HDF5_OFFSETS[-1] + len(SIGNATURE))
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})") from error
    return _read_file(path, start, options)


def _read_folder(path, options):
    if zarr_store.recognises(path):
        return zarr_store.read(path, options)
    if suite2p.recognises(path):
        return suite2p.read(path, options)
    raise DataError(
        f"the folder {path} is neither suite2p's (with F.npy) nor a Zarr store; name the file"
    )


def _read_file(path, start, options):
    if not start:
        raise DataError(f"{path} is empty; save it again")
    for sign, what in _NOT_DATA.items():
        if start.lstrip().lower().startswith(sign):
            raise DataError(f"{path} is {what}")
    if is_prediction(path):
        raise DataError(f"{path} holds predicted spike rates already; give the fluorescence")
    if start.startswith(numpy_files.NPY):
        return numpy_files.read_npy(path, options)
    if start.startswith(numpy_files.ZIP):
        return numpy_files.read_npz(path, options)
    if any(start[at:].startswith(SIGNATURE) for at in _HDF5_OFFSETS):
        values = parse(_parse_hdf5, path, options.variable, libraries=_hdf5_libraries())
        return _HDF5_KINDS[values["kind"]].recording(path, values, options)
    if matlab.is_version_5(start):
        values = parse(matlab.parse_version_5, path, options.variable, libraries=["scipy.io"])
        return matlab.recording(path, values, options)
    matlab.check_kind(path, start)
    if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        names = ", ".join(each.name for each in FORMATS)
        raise DataError(f"{path} is of an unknown kind; give one of {names}")
    return csv_table.read(path, options)


def _hdf5_libraries():
    """What reading an HDF5 file of any kind may need, as far as it is installed."""
    return ["h5py", *nwb.libraries()]


def _parse_hdf5(path, variable):
    """Child: say what kind of HDF5 file it is, and read it as that."""
    import h5py

    with h5py.File(path, "r") as file:
        check_structure(file)
        for kind, module in _HDF5_KINDS.items():
            if module.recognises(file):
                yield "kind", kind
                yield from module.parse_hdf5(file, variable)
                return
        names = ", ".join(list(file)[:8]) or "nothing"
    raise Unreadable(
        f"it is HDF5 of neither NWB, CaImAn nor MATLAB ({names}); save the traces as .npy"
    )


def check_prediction_path(path, source=None):
    """Find out before a long computation whether a prediction can be written to `path`.

    Parameters
    ----------
    path : str or Path
    source : str or Path, optional
        What the recording is read from; needed for `.nwb`.

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If the suffix is unknown, the place cannot be written to, or `source` does not fit `.nwb`.
    DataError
        If the `source` for `.nwb` is damaged.
    UsageError
        If a library for this format is not installed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        if path.is_dir():
            check_output(path)  # says that it is a folder
        raise OutputError(f"{path} has no known suffix; end it in one of {', '.join(SUFFIXES)}")
    if suffix == ".zarr":
        check_output_folder(path.parent)
        zarr_store.check(path)
    elif suffix == ".nwb":
        nwb.check(path, source)
    else:
        check_output(path)
        if suffix in (".csv", ".npy"):
            check_output(sidecar_path(path))
    return path


def write_prediction(path, prediction, source=None):
    """Write a prediction in the format of the suffix of `path`, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in one of `SUFFIXES`. Its folder is made if there is none.
    prediction : Prediction
        Every file tells its description, time stamps or frame rate, and names of neurons.
    source : str or Path, optional
        What the recording was read from; by default what the recording itself says. `.nwb` needs an
        NWB file, which is copied, or added to if it is `path`.

    Returns
    -------
    Path

    Raises
    ------
    OutputError, DataError, UsageError
        As `check_prediction_path`, and if writing fails. A previous file is then still there.
    """
    path = Path(path)
    source = prediction.recording.source if source is None else source
    check_prediction_path(path, source)
    if path.suffix.lower() == ".nwb":
        nwb.write(path, prediction, source)
    else:
        _WRITERS[path.suffix.lower()](path, prediction)
    return path


def formats_table():
    """Rows of cells for a help text: format, what is read of it, what is written."""
    return [("format", "read", "written")] + [
        (each.name, each.read, f"{each.suffix}: {each.written}" if each.suffix else "-")
        for each in FORMATS
    ]
