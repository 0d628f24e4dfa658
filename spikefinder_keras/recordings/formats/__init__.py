"""Recordings from the files of other programs, and predictions back into them.

Files are recognised by what is in them; a result's format is chosen by the suffix of its path.
"""

from pathlib import Path

from ...errors import DataError, OutputError, UsageError
from ...files.atomic import check_output
from ...files.hdf5 import SIGNATURE
from ...files.npz import NPY
from ...files.regular import open_ordinary
from ...files.sandbox import parse
from ..lazy import CHUNK
from ..options import ReadOptions
from . import caiman, csv_table, hdf5, numpy_files, nwb, nwb_writer, suite2p
from . import mat as matlab
from . import zarr as zarr_store
from .description import is_prediction, sidecar_path
from .pieces import bring, is_large, place
from .pynapple_frame import to_pynapple

__all__ = [
    "check_prediction_path",
    "read_recording",
    "to_pynapple",
    "write_prediction",
]


KINDS = "suite2p's folder, CaImAn's HDF5, NWB, .npy, .npz, .mat, HDF5, Zarr or CSV"
"""What can be read, for messages and help texts."""

_OLD_EXCEL = b"\xd0\xcf\x11\xe0"

_WRITERS = {
    ".csv": csv_table.write,
    ".npy": numpy_files.write_npy,
    ".npz": numpy_files.write_npz,
    ".mat": matlab.write,
    ".zarr": zarr_store.write,
}
SUFFIXES = (*_WRITERS, ".nwb")
"""Of the files that can be written."""

_HDF5_KINDS = {"nwb": nwb, "caiman": caiman, "matlab": matlab, "plain": hdf5}
_HDF5_OFFSETS = (0, 512, 1024, 2048)
_NOT_DATA = {
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself with `git lfs pull`",
    b"<!doctype html": "a web page; download the file itself",
    b"<html": "a web page; download the file itself",
    b"par1": "a Parquet file; save it as CSV",
    b"arrow1": "a Feather file; save it as CSV",
    b"\x1f\x8b": "compressed; unpack it first",
    b"ii*\0": "a TIFF image; give the traces that were extracted from the movie",
    b"mm\0*": "a TIFF image; give the traces that were extracted from the movie",
    b"riff": "a movie; give the traces that were extracted from it",
    b"\x80\x04\x95": "a pickle, which may hold programs; save an array as .npy or a table as CSV",
    b"\x80\x05\x95": "a pickle, which may hold programs; save an array as .npy or a table as CSV",
}


def read_recording(
    path,
    frame_rate=None,
    orientation=None,
    unit=None,
    variable=None,
    neuropil=None,
    all_rois=False,
    memory=None,
):
    """Read a recording, whatever program wrote it.

    Parameters
    ----------
    path : str or Path
        A file or folder of one of `KINDS`.
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
    neuropil : float, optional
        Share of the neuropil that is subtracted from fluorescence that has one; by default what
        suite2p's settings say, else 0.7.
    all_rois : bool
        Keep the ROIs too that suite2p or CaImAn calls no cells.
    memory : int, optional
        Bytes that a prediction may take, by default a quarter of the machine's. Traces that are
        large for it stay in the file.

    Returns
    -------
    Recording
        Its arrays may be read-only, mapped into memory from the file; large ones are
        `stored.Stored`, of which `Recording.part` reads some neurons.

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
    options = ReadOptions(
        frame_rate=frame_rate,
        orientation=orientation,
        unit=unit,
        variable=variable,
        neuropil=neuropil,
        all_rois=all_rois,
        memory=memory,
    )
    try:
        if path.is_dir():
            return _read_folder(path, options)
        if not path.exists():
            raise DataError(f"{path} does not exist")
        if not path.is_file():
            raise DataError(f"{path} is no ordinary file; name a file or folder of a recording")
        with open_ordinary(path) as file:
            start = file.read(_HDF5_OFFSETS[-1] + len(SIGNATURE))
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})") from error
    return _read_file(path, start, options)


def files_of(path):
    """The files that a recording is read from; a result may stand beside them."""
    if not path.is_dir():
        return [path]
    if zarr_store.recognises(path):
        return [file for file in path.rglob("*") if file.is_file()]
    return suite2p.files_of(path)


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
    if start.startswith(NPY):
        return numpy_files.read_npy(path, options)
    if start.startswith(numpy_files.ZIP):
        return numpy_files.read_npz(path, options)
    if any(start[at:].startswith(SIGNATURE) for at in _HDF5_OFFSETS):
        values = parse(_parse_hdf5, path, options.variable, options.chunk, libraries=["h5py"])
        values = bring(path, values, hdf5.parse_rows, "h5py")
        return _HDF5_KINDS[values["kind"]].recording(path, values, options)
    if matlab.is_version_5(start):
        values = parse(matlab.parse_version_5, path, options.variable, libraries=["scipy.io"])
        return matlab.recording(path, values, options)
    matlab.check_kind(path, start)
    if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        what = "an old Excel workbook; save the sheet with the traces as CSV"
        if not start.startswith(_OLD_EXCEL):
            what = f"of an unknown kind; give one of {KINDS}"
        raise DataError(f"{path} is {what}")
    return csv_table.read(path, options)


def _parse_hdf5(path, variable, piece=CHUNK):
    """Child: say what kind of HDF5 file it is, and read it as that."""
    import h5py

    with h5py.File(path, "r") as file:
        # NWB links movies in other files; whatever is read of it goes through `resolve`.
        hdf5.check_structure(file, links=nwb.recognises(file))
        kind = next(kind for kind, module in _HDF5_KINDS.items() if module.recognises(file))
        yield "kind", kind
        for name, value in _HDF5_KINDS[kind].parse_hdf5(file, variable):
            left = isinstance(value, h5py.Dataset)
            left = left and is_large(value.shape, value.dtype.itemsize, piece)
            yield name, place(value.name, value) if left else value


def check_prediction_path(path, source=None, series=None, overwrite=False):
    """Find out before a long computation whether a prediction can be written to `path`.

    Parameters
    ----------
    path : str or Path
    source : str or Path, optional
        What the recording is read from; needed for `.nwb`.
    series : str, optional
        Name of the series that is written to `.nwb`.
    overwrite : bool
        suite2p's own `spks.npy` may be replaced.

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If the suffix is unknown, the place cannot be written to, `path` is the recording itself or
        a file of suite2p, or `source` does not fit `.nwb`.
    DataError
        If the `source` for `.nwb` is damaged.
    UsageError
        If a library for this format is not installed, or the name of the series is taken.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        if path.is_dir():
            check_output(path)  # says that it is a folder
        raise OutputError(f"{path} has no known suffix; end it in one of {', '.join(SUFFIXES)}")
    if series is not None and suffix != ".nwb":
        raise UsageError(f"only .nwb has series; {path} has none to call {series} (--series)")
    if suffix == ".nwb":
        nwb_writer.check(path, source, series)
        return path
    _spare_the_source(path, source, overwrite)
    if suffix == ".zarr":
        zarr_store.check(path)
    else:
        check_output(path)
        if suffix in (".csv", ".npy"):
            check_output(sidecar_path(path))
    return path


def _spare_the_source(path, source, overwrite):
    """Refuse to write over the recording itself, or over what suite2p has made."""
    if source is not None and path.exists() and Path(source).exists() and path.samefile(source):
        raise OutputError(f"{path} is the recording itself; choose another name (--out)")
    beside = (path.parent / "F.npy").is_file() and path.is_file()
    if beside and path.name in suite2p.OWN_FILES:
        raise OutputError(f"{path} is suite2p's own; choose another name (--out)")
    if beside and path.name == "spks.npy" and not overwrite and not is_prediction(path):
        raise OutputError(
            f"{path} is suite2p's own deconvolution; replace it with --overwrite, or choose "
            "another name (--out)"
        )


def write_prediction(path, prediction, source=None, series=None, overwrite=False):
    """Write a prediction in the format of the suffix of `path`, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in one of `SUFFIXES`. Its folder is made if there is none.
    prediction : Prediction
        Every file tells its description, time stamps or frame rate, and names of neurons.
    source : str or Path, optional
        What the recording was read from; by default what the recording itself says. `.nwb` needs an
        NWB file, which is copied, or added to if it is `path`; `.npy` has a row for each ROI of a
        folder of suite2p.
    series, overwrite
        As for `check_prediction_path`.

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
    check_prediction_path(path, source, series, overwrite)
    suffix = path.suffix.lower()
    if suffix == ".nwb":
        nwb_writer.write(path, prediction, source, series)
    elif suffix == ".npy":
        numpy_files.write_npy(path, prediction, source)
    else:
        _WRITERS[suffix](path, prediction)
    return path
