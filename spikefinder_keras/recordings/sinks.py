"""Where a prediction collects, chunk by chunk: in memory, in an `.npy` file, in a Zarr store, or in
memory to be written at once in any other format.

A Zarr store grows from several processes, over several runs:

    .partial-rates.zarr/claim-1/  which process is at it, and its token (`files.claims`)
                        TOKEN/run.json  what identifies the run
                              store/    the store to be
                              done/     for each whole chunk a file of its quality and spikes

It gets its final name when it is whole. A run that was interrupted leaves the folder, and the next
one into the same store goes on with it, if it is of the same identity; while one is at it no other
may.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..arrays import Numbers, Rates, Times
from ..errors import OutputError, UsageError
from ..files.atomic import (
    flush_folder,
    partial_folder,
    read_json,
    remove_files,
    replace_folder,
    whole_file,
    write_text,
    writing,
)
from ..files.claims import Claim, claim
from ..files.npy import NpyFile
from ..files.sandbox import Unreadable
from .formats import suite2p, write_prediction
from .formats.container import npy_rows
from .formats.writers import RATES, begin_store, fill_store, sidecar
from .formats.zarr import check_files
from .recording import AnyTable, LazyTable, NeuronQuality, Prediction, Recording, Rows, budget, pick
from .segments import MissingCounts

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
        whole = self.folder.parent
        self.path = whole.with_name(whole.name.removeprefix(".partial-"))
        self.notes: tuple[str, ...] = ()
        self._claim: Claim | None = None
        self._run = self.folder / "run.json"
        self._store = self.folder / "store"

    def begin(self, held: Claim, recording: Recording, identity: dict[str, Any]) -> None:
        """Go on with what an earlier run has left, or begin anew."""
        self._claim = held
        with writing(self.path):
            frames, neurons = recording.fluorescence.shape
            for left in held.left():
                if not self.folder.exists() and _is_of(left, identity):
                    held.take(left)
                    continue
                if (left / "run.json").exists():
                    self.notes = (
                        "an unfinished result of another recording, or of other settings or "
                        "weights, was there: begun anew",
                    )
                held.remove(left)
            if not self.folder.exists():
                (self.folder / "done").mkdir(parents=True)
                begin_store(self._store, neurons, frames)
                write_text(self._run, json.dumps(identity))
            self.rates = _lazy_store(self._store)
            done = sum(map(len, self._done()))
            if done:
                self.notes = (
                    f"going on where an earlier run stopped: {done} of {neurons} neurons are "
                    "predicted",
                )

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
        self._check_claim()
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
        try:
            done = self._done() if self._run.is_file() else []
        except OSError:  # what cannot be read now, the next run may read
            return True
        return bool(done) and (len(done) > 1 or len(done[0]) < self.rates.shape[0])

    def finish(self, prediction: Prediction) -> Prediction:
        """Write what the chunks have not, and give the store its name; `OutputError` if a neuron is
        missing."""
        self._check_claim()
        count, at = self.rates.shape[0], 0
        for done in self._done():
            at = done.stop if done.start == at else at
        if at != count:
            raise OutputError(
                f"{self.path} is not whole: of {count} neurons those after {at} are missing, "
                "although they were written; run it again to go on"
            )
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
            return replace(prediction, table=_lazy_store(self.path).T)

    def _check_claim(self) -> None:
        """A worker has no claim; where its run has lost its own, the worker's folder is gone."""
        if self._claim is not None:
            self._claim.check()


def _is_of(folder: Path, identity: dict[str, Any]) -> bool:
    """Whether what an earlier run has left is of this identity."""
    try:
        same = read_json(folder / "run.json") == json.loads(json.dumps(identity))
        check_files(folder / "store")  # before anything in it is opened
    except (OSError, ValueError, Unreadable):
        return False
    return bool(same)


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
    held = claim(path.with_name(f".partial-{path.name}"), path)
    sink = ZarrSink(held.place)
    try:
        sink.begin(held, recording, identity)
        yield sink
    except BaseException:
        if sink.worth_keeping():
            held.release()
        else:
            held.end(failed=True)
        raise
    held.end()


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
    (`pipeline.Task.identity`) is continued; `source` and `writing_options` are as for
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
