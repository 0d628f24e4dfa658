"""Which container and layout a file has, and which writer a result.

Files are recognised by what is in them; a result's format is chosen by the suffix of its path.
"""

import re
from dataclasses import replace
from pathlib import Path

from ...constants import SAMPLE_RATE
from ...errors import DataError, OutputError, UsageError
from ...files.atomic import check_apart, check_output, check_replaceable, is_zarr, open_ordinary
from ...files.csv import read_table
from ...files.hdf5 import SIGNATURE
from ...files.npy import NPY
from ..marks import only_good
from ..options import ReadOptions, Segments
from ..recording import Prediction, Recording, chunk_size
from ..segments import column_of
from . import hdf5, mat, named_arrays, npz, nwb, nwb_writer, pickled, suite2p, zarr
from .container import Container, npy_table, open_container, plain
from .facts import UNITS, Facts, make_recording, no_neuropil, only_one_array, refuse_processed
from .writers import WRITERS, check_store, is_prediction, sidecar_path, write_npy

KINDS = "suite2p's folder, CaImAn's HDF5, NWB, .npy, .npz, .mat, HDF5, Zarr or CSV"
"""What can be read, for messages and help texts."""
SUFFIXES = (*WRITERS, ".nwb")
"""Of the files that can be written."""
DESCRIBED = (".csv", ".npy")  # beside such a file a description is written
HDF5_OFFSETS = (0, 512, 1024, 2048)
"""Where HDF5 can begin: MATLAB writes 512 bytes of its own before it."""
ADDRESS = re.compile(r"(https?|ftps?|s3|gs|gcs|az|abfs|dandi|file|sftp|ssh|hdfs):/", re.IGNORECASE)
BY_HEADER = "by the header 0, 1, ... of the competition"
"""Where the frame rate of a table in the competition's form is from, if nobody said that it is."""
OLD_EXCEL = b"\xd0\xcf\x11\xe0"

NOT_DATA = {
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
    b"{": "JSON; save the traces as CSV or .npy",
    b"[": "JSON; save the traces as CSV or .npy",
    b"%pdf": "a PDF; give the traces themselves",
    b"sqlite format": "a database; save the table with the traces as CSV",
    b"igor": "Igor's text; save the waves as CSV",
    b"tdsm": "LabVIEW's TDMS; save the channels as CSV or .mat",
    b"\x80\x05\x95": "a pickle, which may hold programs; save an array as .npy or a table as CSV",
}
"""By their first bytes, in lower case, files that people bring and that hold no traces."""


def read_recording(  # noqa: PLR0913 (a public function: each is an option of its own)
    path: Path | str,
    frame_rate: float | None = None,
    orientation: str | None = None,
    unit: str | None = None,
    variable: str | None = None,
    neuropil: float | None = None,
    all_rois: bool = False,
    memory: int | None = None,
    segments: Segments | None = None,
    only: str | None = None,
) -> Recording:
    """Read a recording, whatever program wrote it.

    Parameters
    ----------
    path
        A file or folder of one of `KINDS`.
    frame_rate, orientation, unit, variable, neuropil, all_rois, memory, segments, only
        See `options.ReadOptions`.

    Returns
    -------
    Recording
        Its arrays may be read-only, mapped into memory from the file; large ones are
        `recording.LazyTable`, of which `Recording.part` reads some neurons.

    Raises
    ------
    DataError
        If there is no such file, or it is of no known kind, damaged, contradictory, or deconvolved
        or denoised already.
    UsageError
        If the frame rate, orientation or variable must be stated or is impossible, or a library for
        this format is not installed.
    """
    options = ReadOptions(
        frame_rate=frame_rate,
        orientation=orientation,
        unit=unit,
        variable=variable,
        neuropil=neuropil,
        all_rois=all_rois,
        memory=memory,
        segments=segments,
        only=only,
    )
    return read(path, options)


def read(path: Path | str, options: ReadOptions) -> Recording:
    """As `read_recording`, with what is stated in one object."""
    recording = _read(path, options)
    return recording if options.only is None else only_good(recording, options.only)


def _read(path: Path | str, options: ReadOptions) -> Recording:
    if ADDRESS.match(str(path)):
        address = re.sub(":/+", "://", str(path), count=1)  # as it was before it was a path
        raise DataError(
            f"{address} is an address; download the file, and name it where it is on this computer"
        )
    path = Path(path)
    try:
        if path.is_dir():
            return _read_folder(path, options)
        if not path.exists():
            raise DataError(f"{path} does not exist")
        if not path.is_file():
            raise DataError(f"{path} is no ordinary file; name a file or folder of a recording")
        with open_ordinary(path) as file:
            start = file.read(HDF5_OFFSETS[-1] + len(SIGNATURE))
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})") from error
    return _read_file(path, start, options)


def files_of(path: Path) -> list[Path]:
    """The files that a recording is read from; a result may stand beside them."""
    if not path.is_dir():
        return [path]
    if is_zarr(path):
        return [file for file in path.rglob("*") if file.is_file()]
    return suite2p.files_of(path)


def _read_folder(path: Path, options: ReadOptions) -> Recording:
    if is_zarr(path):
        store = zarr.open_folder(path, chunk_size(options.memory))
        if "nwb_version" in store.groups[""].attributes:
            raise DataError(
                f"{path} is NWB in Zarr; export it to HDF5 first: hdmf_zarr.NWBZarrIO(...) to "
                "pynwb.NWBHDF5IO(..., 'w').export"
            )
        return named_arrays.read_recording(store, options)
    if suite2p.planes_of(path):
        return suite2p.read_recording(path, options)
    raise DataError(
        f"the folder {path} is neither suite2p's (with F.npy) nor a Zarr store; name the file"
        f"{_files_in(path)}"
    )


def _files_in(folder: Path) -> str:
    """What a folder holds that may be meant, for messages."""
    known = {".npy", ".npz", ".mat", ".csv", ".h5", ".hdf5", ".nwb", ".txt", ".nc"}
    found = sorted(f.name for f in folder.iterdir() if f.suffix.lower() in known)
    return f", such as {', '.join(found[:4])}" if found else ""


def _refuse_others(path: Path, start: bytes) -> None:
    """Raise `DataError` for a file that holds no traces, by its first bytes."""
    if not start:
        raise DataError(f"{path} is empty; save it again")
    if start[4:8] == b"ftyp":  # behind the length of the first part
        raise DataError(f"{path} is {NOT_DATA[b'riff']}")
    for sign, what in NOT_DATA.items():
        if start.lstrip().lower().startswith(sign):
            raise DataError(f"{path} is {what}")
    # Nothing in a table of rates tells it from one of dF/F but the file beside it.
    if is_prediction(path):
        raise DataError(f"{path} holds predicted spike rates already; give the fluorescence")


def _read_file(path: Path, start: bytes, options: ReadOptions) -> Recording:
    _refuse_others(path, start)
    if start.startswith(NPY):
        return _read_npy(path, options)
    if start.startswith(npz.ZIP):
        file = open_container(Container, path, npz.JOBS, chunk_size(options.memory))
        return named_arrays.read_recording(file, options)
    if any(start[at:].startswith(SIGNATURE) for at in HDF5_OFFSETS):
        return _read_hdf5(path, options)
    if start[124:128] in mat.VERSION_5:
        wanted = options.variable, sorted(UNITS)
        file = open_container(
            Container, path, mat.JOBS, chunk_size(options.memory), *wanted, always_tables=True
        )
        return named_arrays.read_recording(file, options)
    for signs, jobs in ((mat.NETCDF, mat.NETCDF_JOBS), ((mat.OCTAVE,), mat.OCTAVE_JOBS)):
        if start.startswith(signs):
            file = open_container(Container, path, jobs, chunk_size(options.memory))
            return named_arrays.read_recording(file, options)
    if start.startswith(b"MATLAB"):
        raise DataError(f"{path} is a damaged .mat file; save it again in MATLAB with -v7")
    # No text has such bytes, but for UTF-16, which begins with a mark.
    if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        what = "an old Excel workbook; save the sheet with the traces as CSV"
        if not start.startswith(OLD_EXCEL):
            what = f"of an unknown kind; give one of {KINDS}"
        raise DataError(f"{path} is {what}")
    return _read_csv(path, options)


def _read_hdf5(path: Path, options: ReadOptions) -> Recording:
    file = hdf5.open_file(path, chunk_size(options.memory))
    if nwb.recognises(file):  # links movies in other files
        return nwb.read_recording(file, options)
    for where in file.outside:
        raise file.leads_out(where)
    return named_arrays.read_recording(file, options)


def _read_npy(path: Path, options: ReadOptions) -> Recording:
    """Recording of an array `(neuron, frame)`; or of Cascade's pickled dict."""
    refuse_processed(path, path.stem)
    file = npz.open_npy(path)
    if file.dtype.hasobject:
        container = open_container(Container, path, pickled.JOBS, chunk_size(options.memory))
        return named_arrays.read_pickled(container, options)
    only_one_array(path, options.variable)
    notes = []
    # F.npy is suite2p's fluorescence, f.npy may be anything.
    unit = UNITS.get(plain(path.stem)) if path.stem != "f" else None
    if path.stem in suite2p.CHANNELS:
        what = "" if path.stem == "F" else f", and --variable {path.stem},"
        unit = "F"
        notes.append(
            f"{path.name} alone: neuropil not subtracted, all ROIs kept; name its folder{what} "
            "instead"
        )
    else:
        notes += no_neuropil(options)
    traces = npy_table(file, chunk_size(options.memory))
    return make_recording(path, traces, options, Facts(unit=unit, notes=notes))


def _read_csv(path: Path, options: ReadOptions) -> Recording:
    """Recording of a table `(frame, neuron)`. Under the header 0 to n - 1, without time stamps and
    without a stated frame rate it is a table of the competition, which are all of 100 Hz."""
    column, turned = column_of(options.segments), options.orientation == "neuron-time"
    table = read_table(
        path,
        strict=False,
        all_cells=options.all_rois,
        turned=turned,
        rows=options.variable,
        segments=column,
    )
    options = options if column is None else replace(options, segments=None)
    if table.turned and turned:
        options, turned = replace(options, orientation=None), False  # it has been turned already
    competition = options.unit == "competition" or (
        options.unit is None and table.competition and options.frame_rate is None and not turned
    )
    if table.asks and options.orientation is None and options.unit != "competition":
        raise UsageError(
            f"{path}: its header only counts, and the values go on along the rows: are the neurons "
            "rows? state the orientation (--orientation), neuron-time or time-neuron"
        )
    # A single row contradicts no orientation, so the competition's has to be said.
    certain = table.turned or (competition and len(table.values) == 1)
    facts = Facts(
        times=None if competition else table.times,
        frame_rate=SAMPLE_RATE if competition else table.frame_rate,
        frames=None if competition else table.frames,
        orientation="time-neuron" if certain else None,
        usual_orientation="time-neuron",
        unit="competition" if competition else options.unit,
        names=None if turned else table.names,  # a header that numbers frames names no neurons
        notes=[*table.notes, *no_neuropil(options)],
        segment_starts=(0,) if turned or competition else table.starts,
        rate_from=BY_HEADER if competition and options.unit is None else "",
    )
    return make_recording(path, table.values, options, facts)


def check_prediction_path(
    path: Path | str,
    source: Path | str | None = None,
    series: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Find out before a long computation whether a prediction can be written to `path`.

    `source` is what the recording is read from, needed for `.nwb`, and `series` the name of what is
    written there; with `overwrite`, suite2p's own `spks.npy` may be replaced.

    Raises
    ------
    OutputError
        If the suffix is unknown, the path cannot be written to, `path` is the recording itself or
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
        if source is not None and not (path.exists() and path.samefile(source)):
            check_replaceable(path, overwrite=overwrite)
        return path
    if suffix == ".zarr":
        check_store(path)
    else:
        for each in written(path):
            check_output(each)
    _check_spared(path, source, overwrite)
    return path


def _check_spared(path: Path, source: Path | str | None, overwrite: bool) -> None:
    """Refuse to write over the recording itself, or over what somebody else has made."""
    beside = (path.parent / "F.npy").is_file() and path.is_file()
    if beside and path.name in suite2p.OWN_FILES:
        raise OutputError(f"{path} is suite2p's own; choose another name (--out)")
    made = written(path)
    if source is not None:
        check_apart({"the recording": read_from(Path(source))}, [("--out", each) for each in made])
    if is_prediction(path):
        return
    if beside and path.name == "spks.npy" and not overwrite:
        raise OutputError(
            f"{path} is suite2p's own deconvolution; replace it with --overwrite, or choose "
            "another name (--out)"
        )
    for each in made:
        check_replaceable(each, overwrite=overwrite)


def written(path: Path) -> list[Path]:
    """The files that a prediction is written to: the one of that name, and its description."""
    return [path, sidecar_path(path)] if path.suffix.lower() in DESCRIBED else [path]


def read_from(source: Path) -> list[Path]:
    """What must not be written over while a recording is read: a store is so as a whole."""
    return [source] if is_zarr(source) else [source, *files_of(source)]


def write_prediction(
    path: Path | str,
    prediction: Prediction,
    source: Path | str | None = None,
    series: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a prediction in the format of the suffix of `path`, whole or not at all.

    Parameters
    ----------
    path
        Ends in one of `SUFFIXES`. Its folder is made if there is none.
    prediction
        Every file tells its description, time stamps or frame rate, and names of neurons.
    source
        What the recording was read from; by default what it says itself. `.nwb` needs an NWB file,
        which is copied, or added to if it is `path`; `.npy` has a row for each ROI of suite2p.
    series, overwrite
        As for `check_prediction_path`.

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
        write_npy(path, prediction, source)
    else:
        WRITERS[suffix](path, prediction)
    return path
