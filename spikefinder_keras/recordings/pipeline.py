"""Anybody's own recording in, spike rates on its own time stamps out: the journey of the data.

    open ─┬─ for each chunk, for groups of its neurons ─┬─ put together
          │ read a part ─ predict ─ give it to the sink │

What a run is (`task`) is decided before. A chunk is what is read and written at a time; groups keep
the cores busy, each with its own.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..arrays import ArrayLike, Table, numpy_settings
from ..console import cores, count_bar
from ..errors import DataError, UsageError, check_keywords
from ..files.atomic import fingerprint, hash_of, open_ordinary
from ..labels import FEW_VALUES, is_state
from ..network.weights import find_weights
from .calibration import LONGEST_DELAY, calibration_path, check_species
from .convi6 import Convi6, choose_datasets
from .dask_workers import LOCAL, Update, Workers, workers
from .formats import read_recording
from .formats.detect import BY_HEADER, files_of, read
from .inputs import as_recording
from .options import PredictOptions, ReadOptions
from .quality import recording_warnings
from .recording import (
    Predicted,
    Prediction,
    Predictor,
    Quality,
    Recording,
    budget,
    chunk_size,
    on_each_core,
)
from .segments import MOST_LOOKED_AT, NONE_MISSING, brightness_steps
from .sinks import Chunk, MemorySink, Sink, ZarrSink, open_sink
from .universal import WEIGHTS as UNIVERSAL
from .universal import Universal

MOST_STEPS_SAID = 5  # a note names no more of them
READ_KEYWORDS = tuple(field.name for field in fields(ReadOptions))
PREDICT_KEYWORDS = ("frame_rate", "times", *(field.name for field in fields(PredictOptions)))
ARRAY_KEYWORDS = tuple(
    name
    for name, each in inspect.signature(as_recording).parameters.items()
    if each.kind is each.KEYWORD_ONLY
)
"""What may be stated of a file, of a prediction, and of an array."""
FEWEST_CHUNKS = 16
"""A recording that workers share has at least so many chunks, so that none waits long for the
last."""

Read = TypeVar("Read")


def check_options(options: PredictOptions) -> bool:
    """Whether a network of 2017 is meant, whatever the recording; `UsageError` if options don't go
    together, or if there is no such dataset."""
    weights = options.weights
    if options.species is not None:
        check_species(options.species)
    universal = weights is not None and _is_universal(weights)
    chosen = options.dataset is not None or options.area is not None
    of_2017 = chosen or (weights is not None and not universal)
    if options.delay is not None:
        if of_2017:
            raise UsageError(
                "a --delay is for universal alone; leave it out, or --dataset, --area and --weights"
            )
        if not abs(options.delay) <= 1_000 * LONGEST_DELAY:
            raise UsageError(
                f"a --delay of {options.delay:g} ms is impossible; give one from "
                f"-{1_000 * LONGEST_DELAY:g} to {1_000 * LONGEST_DELAY:g}"
            )
    if chosen and universal:
        raise UsageError(
            "--dataset and --area are for the networks of 2017; leave them out, or name their "
            "--weights, such as described"
        )
    if of_2017:
        choose_datasets(options.dataset, options.indicator, options.area)
        if options.spikes:
            raise UsageError(
                "the rates of the networks of 2017 have no unit, so there are no spike times "
                "(--spikes) of them; take --weights universal, without --dataset and --area"
            )
    return of_2017


def split_at_steps(recording: Recording) -> Recording:
    """The recording, with a segment and a note for each step of brightness, found on a sample of
    its neurons. Raises `DataError` if they are spikes or states and no fluorescence."""
    if recording.unit == "competition":
        return recording
    traces = recording.sample(MOST_LOOKED_AT).traces
    if _only_states(traces):
        raise DataError(
            f"{recording.source}: no neuron has more than {FEW_VALUES} different values, as spikes "
            "and states have; give fluorescence or dF/F"
        )
    steps = brightness_steps(traces, recording.frame_rate)
    new = sorted(set(steps) - set(recording.segment_starts))
    if not new:
        return recording
    at = ", ".join(f"{recording.times[frame]:.1f}" for frame in new[:MOST_STEPS_SAID])
    note = f"the brightness of most neurons steps at {at} s, as between days: segments begin there"
    starts = tuple(sorted({*recording.segment_starts, *new}))
    return replace(recording, segment_starts=starts, notes=(*recording.notes, note))


def _only_states(traces: Table) -> bool:
    """Whether all traces `(frame, neuron)` that change do so among a handful of values only."""
    found = False
    for trace in traces.T:
        if is_state(trace):
            found = True
        elif np.unique(trace[np.isfinite(trace)]).size > 1:
            return False
    return found


def choose_predictor(
    recording: Recording, options: PredictOptions, *, progress: bool = False
) -> Predictor:
    """The predictor for a recording; one in the competition's form is for the networks of 2017.
    Raises `UsageError` if the choice is impossible, `WeightsError` or `DownloadError` if the
    weights cannot be used."""
    of_2017 = check_options(options)
    if recording.unit != "competition":
        if of_2017:
            return Convi6(options, progress=progress)
        return Universal(options, recording, progress=progress)
    if not of_2017:
        if options.weights is not None:
            raise UsageError(
                f"{recording.source} is in the competition's form, for which --weights universal "
                "is not made; state the --frame-rate of raw traces, or leave --weights out"
            )
        # Its weights are of 2017 then, whatever was not stated: what they cannot do is refused.
        check_options(replace(options, weights="described"))
    return Convi6(options, as_in_2017=True, progress=progress)


def _check_form(recording: Recording, options: PredictOptions) -> None:
    """Raise `UsageError` where a header alone says that a recording is in the competition's form:
    other people number their neurons, too."""
    if recording.rate_from == BY_HEADER and options.weights is None:
        if check_options(options):  # a network of 2017 is asked for
            return
        check_options(replace(options, weights="described"))  # what it could not do anyway
        raise UsageError(
            f"{recording.source}: its header 0, 1, ... without time stamps is the competition's, "
            "of 2017: state --unit competition if it is preprocessed as there, at 100 Hz, or the "
            "--frame-rate of raw traces"
        )


def _is_universal(weights: Any) -> bool:
    """Whether weights, by name or file, are of `universal`: its calibration stands beside them."""
    if not isinstance(weights, (str, Path)):
        return False
    return str(weights) == UNIVERSAL or calibration_path(find_weights(weights)).is_file()


@dataclass(frozen=True)
class Task:
    """A file or folder to be predicted, and all that is stated of it."""

    source: Path
    reading: ReadOptions
    prediction: PredictOptions

    def open(
        self, say: Callable[[str], None] = lambda line: None, *, progress: bool = False
    ) -> tuple[Recording, Predictor]:
        """Read the recording, as far as it has to be, load its predictor, and say each note on the
        recording: not before, so that a mistake is one line."""
        recording = read(self.source, self.reading)
        _check_form(recording, self.prediction)
        recording = split_at_steps(recording)
        lines = [*recording.notes]
        # First, as all that follows hangs on it.
        if recording.unit != "competition":
            lines.insert(0, f"{recording.frame_rate:g} Hz, {recording.rate_from or 'as stated'}")
        predictor = choose_predictor(recording, self.prediction, progress=progress)
        for line in lines:
            say(f"{self.source.name}: {line}")
        return recording, predictor

    def as_text(self) -> str:
        """The same as JSON, with absolute paths, for a process in another folder."""
        # A name such as `universal` stays one: each process finds its own file of it.
        prediction, weights = _as_json(self.prediction), self.prediction.weights
        if weights is not None and Path(weights).is_file():
            prediction["weights"] = str(Path(weights).absolute())
        reading = _as_json(self.reading)
        if reading["only"] is not None:
            reading["only"] = str(Path(reading["only"]).absolute())
        return json.dumps([str(self.source.absolute()), reading, prediction])

    @classmethod
    def from_text(cls, text: str) -> "Task":
        """The task that `as_text` gave."""
        source, reading, prediction = json.loads(text)
        return cls(Path(source), ReadOptions(**reading), PredictOptions(**prediction))

    def identity(self, recording: Recording, predictor: Predictor) -> dict[str, Any]:
        """What makes a run another run, as what JSON can hold: the source with the states of its
        files, all settings, and the hash of the weights and of what belongs to them; not the
        budget of memory."""
        # Weights of one name may change under it, so their bytes count.
        digest = hashlib.sha256()
        paths = [] if predictor.path is None else [predictor.path, calibration_path(predictor.path)]
        for path in filter(Path.is_file, paths):
            with open_ordinary(path) as file:
                digest.update(file.read())
        # Another budget of memory cuts other chunks of the same rates.
        reading = _as_json(replace(self.reading, memory=None))
        if self.reading.only is not None:  # other marks in the same file are another run
            reading["only"] = hash_of(self.reading.only)
        return {
            "source": str(self.source.absolute()),
            "state": fingerprint(files_of(self.source), self.source),
            "shape": list(recording.fluorescence.shape),
            "settings": [reading, _as_json(self.prediction), predictor.describe(recording)],
            "weights": digest.hexdigest(),
        }


def _as_json(options: ReadOptions | PredictOptions) -> dict[str, Any]:
    """The fields of options by name, as JSON can hold them; a path becomes text."""
    return {name: str(v) if isinstance(v, Path) else v for name, v in vars(options).items()}


def predict(  # noqa: PLR0913 - a keyword for each thing that a user may state
    source: str | Path | ArrayLike | Recording,
    frame_rate: float | None = None,
    times: ArrayLike | None = None,
    *,
    weights: Any = None,
    indicator: str | None = None,
    species: str | None = None,
    delay: float | None = None,
    dataset: int | None = None,
    area: str | None = None,
    spikes: bool = False,
    engine: str = "fast",
    progress: bool = False,
    **reading: Any,
) -> Prediction:
    """Predict the spike rates of a recording of any frame rate.

    Parameters
    ----------
    source : path, array (neuron, frame) or (frame,), table (frame, neuron), or Recording
        A file or folder that `formats.read_recording` knows, or raw dF/F or fluorescence, NaN where
        missing; pandas', pynapple's and xarray's tables bring names and time stamps.
    frame_rate
        In Hz; for a file that tells it, not needed.
    times : (frame,)
        Time stamps of an array in s, instead of `frame_rate`.
    weights, indicator, species, delay, dataset, area, spikes, engine
        See `options.PredictOptions`. The default weights, `universal`, give spikes per second.
    progress
        Show a bar on the standard error.
    **reading
        Of a file the further fields of `options.ReadOptions`: `orientation`, `unit`, `variable`,
        `neuropil`, `all_rois`, `segments`, `only`, `memory`; of an array the keywords of
        `inputs.as_recording`, and `memory`.

    Returns
    -------
    Prediction
        Its `rates` are at the recording's own time stamps and in its orientation, its `table` the
        same as `(frame, neuron)`; its `quality` says how far to trust them.

    Raises
    ------
    SpikefinderError
        If the source, the weights or an argument cannot be used; one line says why.
    """
    options = PredictOptions(
        weights=weights,
        indicator=indicator,
        species=species,
        delay=delay,
        dataset=dataset,
        area=area,
        spikes=spikes,
        engine=engine,
    )
    check_keywords("predict", reading, (*PREDICT_KEYWORDS, *READ_KEYWORDS, *ARRAY_KEYWORDS))
    memory = ReadOptions(memory=reading.get("memory")).memory
    if np.ndim(frame_rate):  # type: ignore[arg-type]
        raise UsageError("the frame rate is an array; give time stamps as times")
    if isinstance(source, Recording):
        stated = {"frame_rate": frame_rate, "times": times, **reading}
        left = [name for name, each in stated.items() if name != "memory" and each is not None]
        if left:
            raise UsageError(
                f"a recording that is read already knows its {', '.join(left)}; leave them out, or "
                "state them where it is read"
            )
        recording = source
    elif isinstance(source, (str, Path)):
        if times is not None:
            raise UsageError(f"{source} is a file; time stamps go with an array, or into the file")
        check_keywords("predict of a file", reading, READ_KEYWORDS)
        recording = read_recording(source, frame_rate, **reading)
    else:
        check_keywords("predict of an array", reading, ("memory", *ARRAY_KEYWORDS))
        about = {name: value for name, value in reading.items() if name != "memory"}
        recording = as_recording(source, frame_rate, times, **about)
    _check_form(recording, options)
    recording = split_at_steps(recording)
    predictor = choose_predictor(recording, options, progress=progress)
    sink = MemorySink(recording)
    return predict_into(sink, predictor, recording=recording, memory=memory, progress=progress)


def predict_file(
    task: Task,
    out: Path,
    *,
    scheduler: str | None = None,
    say: Callable[[str], None] = lambda line: None,
    progress: bool = False,
    **writing_options: Any,
) -> Prediction:
    """Predict a file, and write the rates whole or not at all; of `.npy` and Zarr they stay in the
    file.

    `out` was checked by `formats.check_prediction_path`, `scheduler` (see `dask_workers.workers`)
    by `check_scheduler`; `say` is called with each line that a user should know, and
    `writing_options` are `series` and `overwrite` of `formats.write_prediction`.
    """
    memory, count = task.reading.memory, cores()
    if scheduler == LOCAL:  # its workers share what there is
        memory = budget(memory) // count
    recording, predictor = task.open(say, progress=progress)
    sink_of = open_sink(
        out,
        recording,
        identity=task.identity(recording, predictor),
        memory=memory,
        source=task.source,
        **writing_options,
    )
    with sink_of as sink:
        for line in sink.notes:
            say(f"{out.name}: {line}")
        connection: Any = nullcontext()
        if isinstance(sink, ZarrSink) and scheduler is not None:
            run = {"task": task.as_text(), "folder": str(sink.folder.absolute())}
            connection = workers(scheduler, _predict_on_worker, count=count, **run)
        with connection as on_workers:
            made = predict_into(
                sink,
                predictor,
                recording=recording,
                memory=memory,
                progress=progress,
                on_workers=on_workers,
            )
        made = sink.finish(made)
    # The notes before were said when the recording was read.
    for line in (*made.recording.notes[len(recording.notes) :], *made.quality.warnings):
        say(f"{task.source.name}: {line}")
    return made


def predict_into(
    sink: Sink,
    predictor: Predictor,
    *,
    recording: Recording,
    memory: int | None = None,
    progress: bool = False,
    on_workers: Workers | None = None,
) -> Prediction:
    """Predict a recording chunk by chunk; `memory` in bytes."""
    with numpy_settings():
        recording.segments  # noqa: B018 - found once, before anything is predicted
        size = neurons_at_a_time(recording, memory)
        if on_workers is not None:
            size = min(size, -(-len(recording.names) // FEWEST_CHUNKS))
        todo = sink.todo(size)
        with count_bar(sum(map(len, todo)), "predicting", "neuron", progress) as shown:
            if on_workers is not None:
                on_workers(todo, shown.update)
            else:
                for neurons, part in read_ahead(recording.part, todo):
                    sink.write(predict_chunk(predictor, part, neurons, update=shown.update))
        return _put_together(sink, predictor, recording)


def neurons_at_a_time(recording: Recording, memory: int | None = None) -> int:
    """How many neurons make a chunk."""
    # The rates are float32, however few bytes a value of the recording has.
    frames, dtype = len(recording.times), recording.fluorescence.dtype
    return max(1, chunk_size(memory) // (frames * max(dtype.itemsize, 4)))


def read_ahead(
    read: Callable[[range], Read], todo: Sequence[range]
) -> Iterator[tuple[range, Read]]:
    """Neurons and what is read of them; the next are read while the last are worked on."""
    # One chunk ahead, not more: each is in memory as a whole.
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(read, neurons) for neurons in todo[:1]]
        for k, neurons in enumerate(todo):
            part = coming.pop().result()
            coming = [reader.submit(read, each) for each in todo[k + 1 : k + 2]]
            yield neurons, part


def predict_chunk(
    predictor: Predictor, part: Recording, neurons: range, *, update: Update = lambda count: None
) -> Chunk:
    """Predict a part of a recording in memory, groups of its neurons on each core; `neurons` are
    which they are of the whole."""
    count, threads = len(neurons), predictor.engine.threads
    rates = np.empty((count, len(part.times)), np.float32)

    def work(group: range) -> Predicted:
        with numpy_settings():
            found = predictor.predict(part.part(group))
            rates[group.start : group.stop] = found.rates.T
        update(len(group))
        return found

    samples = sum(segment.samples for segment in part.segments)
    found = on_each_core(work, count, samples=samples, threads=threads)
    spikes = None
    if found[0].spike_times is not None:
        spikes = [times for each in found for times in each.spike_times or ()]
    quality = [neuron for each in found for neuron in each.quality]
    return Chunk(neurons, rates, spikes, quality=quality, missing=part.missing)


def _put_together(sink: Sink, predictor: Predictor, recording: Recording) -> Prediction:
    chunks = sink.chunks()
    missing = sum((chunk.missing for chunk in chunks), NONE_MISSING)
    notes = (*recording.notes, *missing.notes(len(recording.names)))
    recording = replace(recording, notes=notes)
    neurons = tuple(neuron for chunk in chunks for neuron in chunk.quality)
    spikes = None
    if any(chunk.spike_times is not None for chunk in chunks):
        spikes = tuple(times for chunk in chunks for times in chunk.spike_times or ())
    warnings = recording_warnings(recording, neurons)
    return Prediction(
        sink.rates.T,
        recording,
        predictor.describe(recording),
        spike_times=spikes,
        quality=Quality(neurons, warnings, predictor.certainty),
    )


def _predict_on_worker(neurons: range, task: str, folder: str) -> int:
    """Predict some neurons and write them into the Zarr store in `folder`; returns how many."""
    recording, predictor = _open(task)
    with numpy_settings():
        chunk = predict_chunk(predictor, recording.part(neurons), neurons)
    ZarrSink(folder).write(chunk)
    return len(neurons)


@lru_cache(1)
def _open(task: str) -> tuple[Recording, Predictor]:
    """Once for each worker and recording."""
    recording, predictor = Task.from_text(task).open()
    predictor.engine.threads = 1  # Dask keeps the cores busy
    return recording, predictor
