"""Where a prediction collects, chunk by chunk: in memory, in an `.npy` file, in a Zarr store, or in
memory to be written at once in any other format.

A Zarr store grows from several processes, over several runs:

    .partial-rates.zarr/run.json  what identifies the run
                        writer    which process is at it
                        store/    the store to be
                        done/     for each chunk that is whole a file of its quality and spikes

It gets its final name when it is whole. A run that was interrupted leaves the folder, and the next
one into the same store goes on with it, if it is of the same identity; while one is at it no other
may.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..arrays import Numbers, Rates, Times
from ..errors import OutputError, UsageError
from ..files.atomic import (
    flush_folder,
    other_process,
    partial_folder,
    process_mark,
    remove_files,
    remove_folder,
    replace_folder,
    whole_file,
    write_text,
    writing,
)
from ..files.npy import NpyFile
from ..files.regular import read_json, read_small
from ..files.sandbox import Unreadable
from .formats import suite2p, write_prediction
from .formats.container import npy_rows
from .formats.writers import RATES, begin_store, fill_store, sidecar
from .formats.zarr import check_files
from .lazy import AnyTable, LazyTable, Rows, budget, pick
from .missing import MissingCounts
from .recording import NeuronQuality, Prediction, Recording

_DONE = re.compile(r"(\d+)-(\d+)\.json")


@dataclass
class Chunk:
    """What was predicted of some neurons of the whole recording: rates float32 `(neuron, frame)`,
    empty where they have been put away, each one's spike times in s or None, its quality, and what
    was missing."""

    neurons: range
    rates: Rates
    spike_times: list[Times] | None
    quality: list[NeuronQuality]
    missing: MissingCounts

    def as_json(self) -> dict[str, Any]:
        """All but the rates, as what JSON can hold; numbers come back as they are."""
        spikes = self.spike_times
        return {
            "neurons": [self.neurons.start, self.neurons.stop],
            "spikes": None if spikes is None else [times.tolist() for times in spikes],
            "quality": [asdict(neuron) for neuron in self.quality],
            "missing": asdict(self.missing),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Chunk":
        """The chunk that `as_json` gave."""
        spikes, missing = stored["spikes"], stored["missing"]
        return cls(
            range(*stored["neurons"]),
            np.empty(0, np.float32),
            None if spikes is None else [np.array(times, np.float64) for times in spikes],
            quality=[NeuronQuality(**neuron) for neuron in stored["quality"]],
            missing=MissingCounts(tuple(missing["values"]), tuple(missing["neurons"])),
        )


class Sink(Protocol):
    """Where a prediction collects: its rates float32 `(neuron, frame)`, and what a user should know
    before."""

    rates: AnyTable
    notes: tuple[str, ...]

    def todo(self, size: int) -> list[range]:
        """The neurons still to be predicted, as ranges of about `size`."""

    def write(self, chunk: Chunk) -> None:
        """Take in a chunk."""

    def chunks(self) -> list[Chunk]:
        """All that was taken in, without the rates and in the order of the neurons."""

    def finish(self, prediction: Prediction) -> Prediction:
        """Write what is left, and give the prediction back, with the rates where they now are."""


class MemorySink:
    """Rates in memory; `write_all` is called with the prediction when it is whole."""

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        recording: Recording,
        write_all: Callable[[Prediction], object] = lambda prediction: None,
    ) -> None:
        frames, neurons = recording.fluorescence.shape
        self._table = np.empty((neurons, frames), np.float32)
        self.rates: AnyTable = self._table
        self._chunks: list[Chunk] = []
        self._write_all = write_all

    def todo(self, size: int) -> list[range]:
        count = len(self.rates)
        return [range(k, min(k + size, count)) for k in range(0, count, size)]

    def write(self, chunk: Chunk) -> None:
        self._keep(chunk.neurons, chunk.rates)
        chunk.rates = np.empty(0, np.float32)  # they may be all that fills the memory
        self._chunks.append(chunk)

    def _keep(self, neurons: range, rates: Rates) -> None:
        self._table[neurons.start : neurons.stop] = rates

    def chunks(self) -> list[Chunk]:
        return sorted(self._chunks, key=lambda chunk: chunk.neurons.start)

    def finish(self, prediction: Prediction) -> Prediction:
        self._write_all(prediction)
        return prediction


class NpySink(MemorySink):
    """Rates in a temporary `file` beside the `.npy` file to be, with a description beside it at the
    end."""

    def __init__(self, path: Path, file: Path, recording: Recording) -> None:
        frames, neurons = recording.fluorescence.shape
        self._path, self._chunks = path, []
        with writing(path):
            self._file = NpyFile.make(file, (neurons, frames))
        self.rates = npy_rows(self._file)

    def _keep(self, neurons: range, rates: Rates) -> None:
        with writing(self._path):
            self._file.write(neurons.start, rates)

    def finish(self, prediction: Prediction) -> Prediction:
        with sidecar(self._path, prediction, times=True), whole_file(self._path) as temporary:
            self._file.path.replace(temporary)
        self._file.path = self._path
        return replace(prediction, table=npy_rows(self._file).T)


class ZarrSink:
    """Rates in a Zarr store that grows in a folder; a process that only writes chunks needs no
    more."""

    rates: AnyTable

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder.with_name(self.folder.name.removeprefix(".partial-"))
        self.notes: tuple[str, ...] = ()
        self._run = self.folder / "run.json"
        self._store = self.folder / "store"
        self.writer = self.folder / "writer"

    def check_alone(self) -> None:
        """Raise `OutputError` if another process writes the same store."""
        try:
            process = other_process(read_small(self.writer))
        except (OSError, ValueError):
            return
        if process:
            raise OutputError(
                f"process {process} is writing {self.path}; wait for it, or choose another place "
                f"(if that process is another program, remove {self.folder})"
            )

    def begin(self, recording: Recording, identity: dict[str, Any]) -> None:
        """Go on with what is there, or begin anew."""
        with writing(self.path):
            frames, neurons = recording.fluorescence.shape
            if not self._is_of(identity):
                if self._run.exists():
                    self.notes = (
                        "an unfinished result of another recording, or of other settings or "
                        "weights, was there: begun anew",
                    )
                remove_folder(self.folder)
                (self.folder / "done").mkdir(parents=True)
                begin_store(self._store, neurons, frames)
                write_text(self._run, json.dumps(identity))
            write_text(self.writer, process_mark())
            self.rates = _lazy_store(self._store)
            done = sum(map(len, self._done()))
            if done:
                self.notes = (
                    f"going on where an earlier run stopped: {done} of {neurons} neurons are "
                    "predicted",
                )

    def _is_of(self, identity: dict[str, Any]) -> bool:
        """Whether what is there is of a run of this identity."""
        try:
            same = read_json(self._run) == json.loads(json.dumps(identity))
            check_files(self._store)  # before anything in it is opened
        except (OSError, ValueError, Unreadable):
            return False
        return bool(same)

    def _done(self) -> list[range]:
        """The neurons of the chunks that are whole, in order."""
        names = (_DONE.fullmatch(path.name) for path in (self.folder / "done").iterdir())
        return sorted((range(int(m[1]), int(m[2])) for m in names if m), key=lambda r: r.start)

    def todo(self, size: int) -> list[range]:
        """No two chunks share one of the store's, so that none waits for another."""
        array = _open(self._store, "r")
        count, together = array.shape[0], array.chunks[0]
        # Whole chunks of the store: two writers of one would undo each other.
        size, todo, first = max(together, size // together * together), [], 0
        for done in (*self._done(), range(count, count)):
            todo += [range(k, min(k + size, done.start)) for k in range(first, done.start, size)]
            first = done.stop
        return todo

    def write(self, chunk: Chunk) -> None:
        first, last = chunk.neurons.start, chunk.neurons.stop
        with writing(self.path):
            _open(self._store, "r+")[first:last] = chunk.rates
            if hasattr(os, "sync"):  # what is called done must be there after a power cut
                os.sync()
            done = self.folder / "done" / f"{first}-{last}.json"
            write_text(done, json.dumps(chunk.as_json()))

    def chunks(self) -> list[Chunk]:
        names = (f"{each.start}-{each.stop}.json" for each in self._done())
        return [Chunk.from_json(read_json(self.folder / "done" / name)) for name in names]

    def worth_keeping(self) -> bool:
        """Whether an interrupted run has done a part of what there is to do."""
        done = self._done() if self._run.is_file() else []
        return bool(done) and (len(done) > 1 or len(done[0]) < self.rates.shape[0])

    def finish(self, prediction: Prediction) -> Prediction:
        """Write what the chunks have not, and give the store its name."""
        with writing(self.path):
            remove_files(self._store, "*.partial")  # zarr's, of processes that were killed
            fill_store(self._store, prediction)
            flush_folder(self._store)
            # From here on no run may go on: what stands here next is what stood at the final name.
            over = self.folder / "over.json"
            self._run.replace(over)
            try:
                replace_folder(self._store, self.path)
            except OSError:
                over.replace(self._run)
                raise
            remove_folder(self.folder)
            return replace(prediction, table=_lazy_store(self.path).T)


def _open(store: Path, mode: str) -> Any:
    """The array of the rates in a store that this program has made."""
    import zarr

    return zarr.open_array(store / RATES, mode=mode)


def _lazy_store(store: Path) -> LazyTable:
    """The rates of such a store, `(neuron, frame)`."""
    array = _open(store, "r")
    return LazyTable(array.shape, array.dtype, load=partial(_load_store, store))


def _load_store(store: Path, axis: int, numbers: Numbers) -> Rows:
    return Rows(pick(_open(store, "r"), axis, numbers))


@contextmanager
def _zarr_sink(path: Path, recording: Recording, identity: dict[str, Any]) -> Iterator[ZarrSink]:
    sink = ZarrSink(path.with_name(f".partial-{path.name}"))
    sink.check_alone()
    try:
        sink.begin(recording, identity)
        yield sink
    except BaseException:
        if sink.worth_keeping():
            with suppress(OutputError):  # a full disk is not what is wrong first
                write_text(sink.writer, "")  # other processes may go on
        else:
            remove_folder(sink.folder, failed=True)
        raise


@contextmanager
def open_sink(
    path: Path,
    recording: Recording,
    *,
    identity: dict[str, Any],
    memory: int | None = None,
    source: str | Path,
    **writing_options: Any,
) -> Iterator[Sink]:
    """Where a prediction collects that is to be written to `path`, whole or not at all.

    `path` was checked by `formats.check_prediction_path`; a Zarr store of the same `identity`
    (`task.Task.identity`) is continued; `source` and `writing_options` are as for
    `formats.write_prediction`. `UsageError` if the rates are too many for a format that is written
    at once, `OutputError` if writing fails.
    """
    suffix = path.suffix.lower()
    if suffix == ".zarr":
        with _zarr_sink(path, recording, identity) as sink:
            yield sink
    elif suffix == ".npy" and not (Path(source).is_dir() and suite2p.planes_of(source)):
        with partial_folder(path) as folder:
            yield NpySink(path, Path(folder, "rates.npy"), recording)
    else:
        # The other half of the budget is for what the writer makes of them.
        size = 4 * recording.fluorescence.size
        if size > budget(memory) // 2:
            raise UsageError(
                f"the rates take {size / 2**30:.1f} GiB, too much for {path.suffix}, which is "
                "written at once; name the result .zarr or .npy (--out), or allow more (--memory)"
            )
        yield MemorySink(
            recording, lambda made: write_prediction(path, made, source, **writing_options)
        )
