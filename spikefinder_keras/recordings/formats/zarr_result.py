"""A result that grows in a Zarr store: by pieces, from several processes, over several runs.

    .partial-rates.zarr/run.json  what identifies the run
                        writer    which process is at it
                        store/    the store to be
                        done/     for each piece that is whole a file of its trust and spikes

The store gets its final name when it is whole. A run that was interrupted leaves the folder, and
the next one into the same place goes on with it, if it is of the same identity; while one is at it
no other may.
"""

import json
import os
import re
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path

from ...errors import OutputError
from ...files.atomic import (
    flush_folder,
    other_process,
    process_mark,
    remove_files,
    remove_folder,
    replace_folder,
    write_text,
    writing,
)
from ...files.regular import read_json, read_small
from ...files.sandbox import Unreadable
from ..lazy import LazyTable, Rows, pick
from ..sinks import Piece
from .writers import RATES
from .writers import begin_store as begin
from .writers import fill_store as fill
from .zarr import check_files

_DONE = re.compile(r"(\d+)-(\d+)\.json")


@contextmanager
def zarr_result(path, recording, identity):
    """Yield the `ZarrResult` that becomes `path`; see `results.result_for`."""
    result = ZarrResult(path.with_name(f".partial-{path.name}"))
    result.check_alone()
    try:
        result.begin(recording, identity)
        yield result
    except BaseException:
        if result.worth_keeping():
            result.leave()
        else:
            remove_folder(result.folder, failed=True)
        raise


def _writes(method):
    """What fails in a method that writes becomes an `OutputError`."""

    @wraps(method)
    def checked(self, *arguments):
        with writing(self.path):
            return method(self, *arguments)

    return checked


class ZarrResult:
    """See the module, and `results.Table` for what its methods are.

    Parameters
    ----------
    folder : Path
        That of the unfinished result. A process that only writes pieces needs no more.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.path = self.folder.with_name(self.folder.name.removeprefix(".partial-"))
        self.notes = ()

    def check_alone(self):
        """Raise `OutputError` if another process writes the same result."""
        try:
            process = other_process(read_small(self._writer))
        except (OSError, ValueError):
            return
        if process:
            raise OutputError(
                f"process {process} is writing {self.path}; wait for it, or choose another place "
                f"(if that process is another program, remove {self.folder})"
            )

    def leave(self):
        """Let other processes go on."""
        with suppress(OutputError):  # a full disk is not what is wrong first
            write_text(self._writer, "")

    @_writes
    def begin(self, recording, identity):
        """Go on with what is there, or begin anew."""
        frames, neurons = recording.fluorescence.shape
        text = json.dumps(identity)
        try:
            same = read_json(self._run) == json.loads(text)
            check_files(self._store)  # before anything in it is opened
        except (OSError, ValueError, Unreadable):
            same = False
        if not same:
            if self._run.exists():
                self.notes = (
                    "an unfinished result of another recording, or of other settings or weights, "
                    "was there: begun anew",
                )
            remove_folder(self.folder)
            (self.folder / "done").mkdir(parents=True)
            begin(self._store, neurons, frames)
            write_text(self._run, text)
        write_text(self._writer, process_mark())
        self.rates = _stored(self._store)
        done = sum(map(len, self._done()))
        if done:
            self.notes = (
                f"going on where an earlier run stopped: {done} of {neurons} neurons are predicted",
            )

    @property
    def _run(self):
        return self.folder / "run.json"

    @property
    def _store(self):
        return self.folder / "store"

    @property
    def _writer(self):
        return self.folder / "writer"

    def _done(self):
        """The neurons of the pieces that are whole, as ranges in order."""
        names = (_DONE.fullmatch(path.name) for path in (self.folder / "done").iterdir())
        return sorted((range(int(m[1]), int(m[2])) for m in names if m), key=lambda r: r.start)

    def todo(self, size):
        """As `results.Table.todo`; no two pieces share a chunk, so that none waits for another."""
        import zarr

        array = zarr.open_array(self._store / RATES, mode="r")
        count, chunk = array.shape[0], array.chunks[0]
        size, pieces, first = max(chunk, size // chunk * chunk), [], 0
        for done in (*self._done(), range(count, count)):
            pieces += [range(k, min(k + size, done.start)) for k in range(first, done.start, size)]
            first = done.stop
        return pieces

    @_writes
    def write(self, piece):
        import zarr

        first, last = piece.neurons.start, piece.neurons.stop
        zarr.open_array(self._store / RATES, mode="r+")[first:last] = piece.rates
        if hasattr(os, "sync"):  # what is called done must be there after a power cut
            os.sync()
        write_text(self.folder / "done" / f"{first}-{last}.json", json.dumps(piece.told()))

    def pieces(self):
        names = (f"{each.start}-{each.stop}.json" for each in self._done())
        return [Piece.of(read_json(self.folder / "done" / n)) for n in names]

    def worth_keeping(self):
        """Whether an interrupted run has done a part of what there is to do."""
        done = self._done() if self._run.is_file() else []
        return bool(done) and (len(done) > 1 or len(done[0]) < self.rates.shape[0])

    @_writes
    def finish(self, prediction):
        """Write what the pieces have not, and give the store its name."""
        remove_files(self._store, "*.partial")  # zarr's, of processes that were killed
        fill(self._store, prediction)
        flush_folder(self._store)
        # From here on no run may go on: what stands here next is what stood at the final name.
        run, over = self._run, self.folder / "over.json"
        run.replace(over)
        try:
            replace_folder(self._store, self.path)
        except OSError:
            over.replace(run)
            raise
        remove_folder(self.folder)
        return replace(prediction, table=_stored(self.path).T)


def _stored(store):
    """The rates of a store of our own, `(neuron, frame)`."""
    import zarr

    array = zarr.open_array(store / RATES, mode="r")
    return LazyTable(array.shape, array.dtype, load=partial(_load, store))


def _load(store, axis, numbers):
    import zarr

    return Rows(pick(zarr.open_array(store / RATES, mode="r"), axis, numbers))
