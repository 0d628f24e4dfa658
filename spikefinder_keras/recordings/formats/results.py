"""Results that grow in their file: `.npy` and Zarr piece by piece, all others at the end."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ...errors import UsageError
from ...files.atomic import partial_folder, whole_file, writing
from ...files.npy import NpyFile
from ..lazy import budget
from ..sinks import Table
from . import suite2p
from .container import npy_rows as in_pieces
from .detect import write_prediction
from .writers import sidecar
from .zarr_result import zarr_result


@contextmanager
def result_for(path, recording, identity, memory=None, source=None, series=None, overwrite=False):
    """Where a prediction collects that is to be written to `path`, whole or not at all.

    Parameters
    ----------
    path : Path
        Checked by `check_prediction_path`.
    recording : Recording
    identity : dict
        See `task.Task.identity`; a Zarr store of the same run is continued.
    memory : int, optional
        Bytes that a prediction may take.
    source, series, overwrite
        As for `write_prediction`.

    Yields
    ------
    results.Table, or what has its methods
        And `finish(prediction)`, which writes what is left and gives the prediction back, with the
        rates where they now are.

    Raises
    ------
    UsageError
        If the rates are too many for a format that is written at once.
    OutputError
        If writing fails.
    """
    suffix = path.suffix.lower()
    if suffix == ".zarr":
        with zarr_result(path, recording, identity) as result:
            yield result
    elif suffix == ".npy" and not suite2p.planes_of(source):
        with partial_folder(path) as folder:
            yield _Rows(path, Path(folder, "rates.npy"), recording)
    else:
        size = 4 * recording.fluorescence.size
        if size > budget(memory) // 2:
            raise UsageError(
                f"the rates take {size / 2**30:.1f} GiB, too much for {path.suffix}, which is "
                "written at once; name the result .zarr or .npy (--out), or allow more (--memory)"
            )
        yield _AtOnce(
            recording, lambda made: write_prediction(path, made, source, series, overwrite)
        )


class _AtOnce(Table):
    """Rates in memory, written at the end."""

    def __init__(self, recording, write):
        super().__init__(recording)
        self._write = write

    def finish(self, prediction):
        self._write(prediction)
        return prediction


class _Rows(Table):
    """Rates in an `.npy` file."""

    def __init__(self, path, rows, recording):
        frames, neurons = recording.fluorescence.shape
        self._path, self._pieces = path, []
        with writing(path):
            self._file = NpyFile.make(rows, (neurons, frames))
        self.rates = in_pieces(self._file)

    def write(self, piece):
        with writing(self._path):
            self._file.write(piece.neurons.start, piece.rates)
        piece.rates = None
        self._pieces.append(piece)

    def finish(self, prediction):
        with sidecar(self._path, prediction, times=True), whole_file(self._path) as temporary:
            self._file.path.replace(temporary)
        self._file.path = self._path
        return replace(prediction, table=in_pieces(self._file).T)
