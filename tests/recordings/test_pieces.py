"""A recording in pieces is the same wherever it stays, and an interrupted run goes on."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from spikefinder_keras import predict, read_recording
from spikefinder_keras.cli import main
from spikefinder_keras.errors import DataError, OutputError, UsageError
from spikefinder_keras.files import claims
from spikefinder_keras.files.atomic import fingerprint, process_mark
from spikefinder_keras.files.claims import claim
from spikefinder_keras.network.weights import embedded_folder
from spikefinder_keras.recordings import recording as memory
from spikefinder_keras.recordings.formats.writers import begin_store
from spikefinder_keras.recordings.options import PredictOptions, ReadOptions
from spikefinder_keras.recordings.pipeline import Task, predict_chunk, predict_file
from spikefinder_keras.recordings.recording import LazyTable, parse_memory, pick
from spikefinder_keras.recordings.sinks import ZarrSink
from spikefinder_keras.recordings.universal import Universal

zarr = pytest.importorskip("zarr")

NEURONS, FRAMES = 12, 400
SMALL = 8 * 8_000
"""Bytes; pieces of five neurons."""


def traces(seed=0):
    """F `(neuron, frame)` with a neuron that is constant, infinite values and a gap."""
    values = np.random.default_rng(seed).normal(5, 0.5, (NEURONS, FRAMES)).astype(np.float32)
    values[2] = 1.0
    values[4, 7], values[7, 100:180] = np.inf, np.nan
    values[9, 50:120] = 4.0
    return values


NEUROPIL = np.random.default_rng(1).normal(2, 0.2, (NEURONS, FRAMES)).astype(np.float32)
CELLS = (np.arange(NEURONS) % 4 != 1).astype(float)


def save_h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def npy(folder):
    np.save(folder / "dff.npy", traces())
    return folder / "dff.npy"


def npy_turned(folder):
    np.save(folder / "dff.npy", traces().T.astype(">f8"))
    return folder / "dff.npy", {"orientation": "time-neuron"}


def npy_of_counts(folder):
    np.save(folder / "dff.npy", np.nan_to_num(100 * traces(), posinf=7).astype(np.uint16))
    return folder / "dff.npy"


def hdf5(folder):
    return save_h5(folder / "a.h5", F=traces(), Fneu=NEUROPIL, iscell=CELLS)


def caiman(folder):
    return save_h5(folder / "a.h5", **{"estimates/C": traces(), "estimates/YrA": NEUROPIL})


def matlab(folder):
    path = folder / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["dff"] = traces().T
        file["dff"].attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


def zarr_array(folder):
    zarr.create_array(folder / "a.zarr", data=traces(), chunks=(3, 100), attributes={"fps": 30.0})
    return folder / "a.zarr"


def zarr_group(folder):
    group = zarr.open_group(folder / "a.zarr", mode="w")
    group.create_array("movie/F", data=traces())
    group.create_array("movie/Fneu", data=NEUROPIL)
    return folder / "a.zarr"


def nwb(folder):
    with h5py.File(folder / "a.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        table = file.create_group("processing/ophys/ImageSegmentation/Plane")
        table.attrs["neurodata_type"] = "PlaneSegmentation"
        table["id"], table["iscell"] = np.arange(NEURONS) + 10, CELLS
        for container, data in (("Fluorescence", traces()), ("Neuropil", NEUROPIL)):
            made = file.create_group(f"processing/ophys/{container}/{container}Series")
            made.attrs["neurodata_type"] = "RoiResponseSeries"
            made["data"] = data.T
            made["data"].attrs.update({"conversion": 2.0, "offset": 1.0, "unit": "a.u."})
            made["rois"] = np.arange(NEURONS)
            made["rois"].attrs["table"] = table.ref
            made["starting_time"] = 0.0
            made["starting_time"].attrs["rate"] = 30.0
    return folder / "a.nwb"


def suite2p(folder):
    for name, array in (("F", traces()), ("Fneu", NEUROPIL), ("iscell", CELLS)):
        np.save(folder / f"{name}.npy", array)
    return folder


SOURCES = [
    *(npy, npy_turned, npy_of_counts, suite2p, hdf5, zarr_group, nwb),
    *(pytest.param(each, marks=pytest.mark.slow) for each in (caiman, matlab, zarr_array)),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_what_stays_in_its_file_is_the_same(source, tmp_path):
    made = source(tmp_path)
    path, stated = made if isinstance(made, tuple) else (made, {})
    whole = read_recording(path, 30.0, **stated)
    apart = read_recording(path, 30.0, **stated, memory=SMALL)
    assert isinstance(apart.fluorescence, LazyTable)
    assert not isinstance(whole.fluorescence, LazyTable)
    assert (apart.names, apart.unit, apart.fluorescence.shape) == (
        *(whole.names, whole.unit),
        whole.fluorescence.shape,
    )
    neurons = range(1, len(apart.names))
    part = apart.part(neurons)
    np.testing.assert_array_equal(part.fluorescence, whole.part(neurons).fluorescence)
    assert part.names == whole.names[1:]
    marked = any("never change" in note for note in whole.notes)
    assert marked == any("never change" in note for note in part.missing.notes(NEURONS))


@pytest.mark.parametrize("numbers", [[3], [0, 1, 2], [1, 3], [0, 11], [0, 1, 400]])
@pytest.mark.parametrize("axis", [0, 1])
def test_rows_are_picked_from_whatever_is_indexed(numbers, axis, tmp_path):
    values = np.arange(401 * 402).reshape(401, 402)
    made = zarr.create_array(tmp_path / "a.zarr", data=values, chunks=(50, 60))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for each in (values, made, file.create_dataset("a", data=values, chunks=(50, 60))):
            found = pick(each, axis, np.array(numbers))
            np.testing.assert_array_equal(found, values.take(numbers, axis).swapaxes(0, axis))


@pytest.mark.parametrize("source", [npy, suite2p, hdf5, nwb], ids=lambda source: source.__name__)
def test_a_file_that_changes_meanwhile_is_refused(source, tmp_path, monkeypatch):
    """If only its values do: half of the neurons would be those of another recording."""
    apart = read_recording(source(tmp_path), 30.0, memory=SMALL)
    apart.part(range(3))
    time.sleep(0.05)  # the clock of a file system is no faster
    values = traces()
    monkeypatch.setitem(globals(), "traces", lambda: values + 1)
    source(tmp_path)
    with pytest.raises(DataError, match="has changed while it was read"):
        apart.part(range(3))


@pytest.mark.parametrize("suffix", [".npy", ".zarr", ".npz"])
def test_a_prediction_in_pieces_is_the_same(suffix, tmp_path, monkeypatch):
    whole = predict(npy(tmp_path), 30.0, spikes=True)
    monkeypatch.setattr(memory, "CHUNK", SMALL // 8)
    out = tmp_path / f"rates{suffix}"
    found = predict_file(task(tmp_path, spikes=True), out)
    np.testing.assert_array_equal(found.table, whole.table)
    assert repr(found.quality) == repr(whole.quality)
    assert found.recording.notes == whole.recording.notes
    for own, other in zip(found.spike_times, whole.spike_times, strict=True):
        np.testing.assert_array_equal(own, other)
    if suffix == ".npy":
        np.testing.assert_array_equal(np.load(out), whole.table.T)
    if suffix == ".zarr":
        np.testing.assert_array_equal(zarr.open_group(out)["spike_rates"], whole.table.T)
    assert not [path.name for path in tmp_path.iterdir() if ".partial-" in path.name]


def task(folder, **choice):
    reading = ReadOptions(frame_rate=30.0, memory=SMALL)
    return Task(folder / "dff.npy", reading, PredictOptions(**choice))


def left(out):
    """What an interrupted run has left of its store."""
    (place,) = out.with_name(f".partial-{out.name}").glob("*/run.json")
    return place.parent


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """The neurons of the pieces that each run writes; the first is interrupted after a piece."""
    npy(tmp_path)
    return interrupted_after_one(task(tmp_path), tmp_path / "rates.zarr", monkeypatch)


def interrupted_after_one(what, out, monkeypatch):
    monkeypatch.setattr(memory, "CHUNK", SMALL // 8)
    monkeypatch.setattr("spikefinder_keras.recordings.formats.writers.STORE_CHUNK", FRAMES)
    written, write = [], ZarrSink.write

    def interrupt(self, piece):
        if written:
            raise KeyboardInterrupt
        written.append(piece.neurons)
        write(self, piece)

    monkeypatch.setattr(ZarrSink, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        predict_file(what, out)
    assert not out.exists()
    assert (left(out) / "done").is_dir()

    def note(self, piece):
        written.append(piece.neurons)
        write(self, piece)

    monkeypatch.setattr(ZarrSink, "write", note)
    return written


def test_an_interrupted_run_goes_on(interrupted, tmp_path):
    said = []
    found = predict_file(task(tmp_path), tmp_path / "rates.zarr", say=said.append)
    assert sorted(k for neurons in interrupted for k in neurons) == list(range(NEURONS))
    assert len(interrupted) > 2
    np.testing.assert_array_equal(found.table, predict(tmp_path / "dff.npy", 30.0).table)
    assert any("going on where an earlier run stopped: 5 of 12 neurons" in line for line in said)
    assert not (tmp_path / ".partial-rates.zarr").exists()


def test_an_interrupted_run_goes_on_in_the_folder_of_the_recording(tmp_path, monkeypatch):
    """What grows there is not of the recording; what suite2p writes is."""
    settings = ReadOptions(memory=SMALL, frame_rate=30.0, all_rois=True)
    what, out = Task(suite2p(tmp_path), settings, PredictOptions()), tmp_path / "rates.zarr"
    written = interrupted_after_one(what, out, monkeypatch)
    predict_file(what, out)
    assert sorted(k for neurons in written for k in neurons) == list(range(NEURONS))
    written.clear()
    out.rename(tmp_path / "other.zarr")
    interrupted_after_one(what, out, monkeypatch)
    np.save(tmp_path / "iscell.npy", 1 - CELLS)
    said = []
    predict_file(what, out, say=said.append)
    assert any("begun anew" in line for line in said)


def test_nothing_of_a_killed_process_is_in_the_store(interrupted, tmp_path):
    """Zarr writes each file under a name like these first, and leaves it there when killed."""
    store = left(tmp_path / "rates.zarr") / "store"
    for name in (".zattrs", "spike_rates/0.0", "times/.zarray"):
        (store / name).parent.mkdir(exist_ok=True)
        (store / name).with_suffix(f".{uuid.uuid4().hex}.partial").write_bytes(b"half")
    predict_file(task(tmp_path), tmp_path / "rates.zarr")
    predict_file(task(tmp_path), tmp_path / "whole.zarr")
    rates, whole = (
        {str(path.relative_to(folder)) for path in folder.rglob("*")}
        for folder in (tmp_path / "rates.zarr", tmp_path / "whole.zarr")
    )
    assert rates == whole


@pytest.mark.parametrize("before", [True, False], ids=["replaced", "new"])
def test_killed_when_all_was_done(before, tmp_path, monkeypatch):
    """The store then has its name, and what stood there must not be taken for a part of the run."""
    out, other = tmp_path / "rates.zarr", tmp_path / "other.npy"
    npy(tmp_path)
    np.save(other, traces(seed=3))
    if before:
        predict_file(Task(other, ReadOptions(frame_rate=30.0), PredictOptions()), out)
    with monkeypatch.context() as killed:
        killed.setattr("spikefinder_keras.files.claims.Claim.end", lambda self: self._stop())
        predict_file(task(tmp_path), out)
    assert list((tmp_path / ".partial-rates.zarr").glob("*/done"))
    expected = predict(tmp_path / "dff.npy", 30.0).table
    for _ in range(2):
        np.testing.assert_array_equal(zarr.open(out, mode="r")["spike_rates"][:].T, expected)
        predict_file(task(tmp_path), out)
    assert not (tmp_path / ".partial-rates.zarr").exists()


def test_what_is_done_survives_a_name_that_cannot_be_had(tmp_path, monkeypatch):
    npy(tmp_path)
    said, module = [], "spikefinder_keras.recordings.sinks"
    with monkeypatch.context() as failing:

        def refuse(new, path):
            raise OSError(errno.EBUSY, "busy")

        failing.setattr(f"{module}.replace_folder", refuse)
        failing.setattr("spikefinder_keras.recordings.formats.writers.STORE_CHUNK", FRAMES)
        failing.setattr(memory, "CHUNK", SMALL // 8)
        with pytest.raises(OutputError, match="busy"):
            predict_file(task(tmp_path), tmp_path / "rates.zarr")
    predict_file(task(tmp_path), tmp_path / "rates.zarr", say=said.append)
    assert any("12 of 12 neurons are predicted" in line for line in said)


def test_two_runs_at_once_into_one_store(tmp_path, monkeypatch):
    """The second says in one line that the first is at it; the first is none the worse for it."""
    npy(tmp_path)
    out, write, second = tmp_path / "rates.zarr", ZarrSink.write, []

    def meanwhile(self, piece):
        if not second:
            command = [sys.executable, "-m", "spikefinder_keras", "predict", tmp_path / "dff.npy"]
            command += ["--frame-rate", "30", "--out", out, "--quiet"]
            second.append(subprocess.run(command, capture_output=True, text=True, check=False))
        write(self, piece)

    monkeypatch.setattr(ZarrSink, "write", meanwhile)
    found = predict_file(task(tmp_path), out)
    assert second[0].returncode == 2
    assert second[0].stderr.count("\n") == 1
    assert f"process {os.getpid()} is writing {out}; wait for it" in second[0].stderr
    np.testing.assert_array_equal(found.table, predict(tmp_path / "dff.npy", 30.0).table)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dff.npy", "rates.zarr"]


def claim_of(out, mark):
    """Let the last claim on a store be of the process with a mark."""
    claims = out.with_name(f".partial-{out.name}").glob("claim-*")
    owner = max(claims, key=lambda path: int(path.name.partition("-")[2])) / "owner"
    owner.write_text(f"token {mark}")
    return owner


def test_a_process_that_ended_holds_nothing(interrupted, tmp_path):
    out = tmp_path / "rates.zarr"
    (owner,) = tmp_path.glob(".partial-rates.zarr/claim-1/owner")
    assert owner.read_text() == ""  # this process lives on, but left it
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    system = process_mark().partition("-")[0]
    for mark in (f"{system}-{ended.pid}", process_mark(), ""):
        claim_of(out, mark)
        claim(out.with_name(".partial-rates.zarr"), out).release()
    claim_of(out, f"{system}-{os.getppid()}")
    with pytest.raises(OutputError, match=f"process {os.getppid()} is writing"):
        predict_file(task(tmp_path), out)
    claim_of(out, "").unlink()
    predict_file(task(tmp_path), out)


def test_a_computer_that_is_silent_for_long_holds_nothing(interrupted, tmp_path):
    """Its numbers of processes mean nothing here. Whatever grows in the folder is a sign."""
    out, old = tmp_path / "rates.zarr", time.time() - claims.SILENT - 5
    folder = out.with_name(".partial-rates.zarr")
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (old, old))
    for mark in (f"ffffffff-{os.getppid()}", "nonsense-x"):
        os.utime(claim_of(out, mark))
        with pytest.raises(OutputError, match=r"another computer is writing .*rates\.zarr; wait"):
            predict_file(task(tmp_path), out)
    os.utime(claim_of(out, mark), (old, old))
    growing = left(out) / "store" / "spike_rates" / "0.0"
    os.utime(growing)
    with pytest.raises(OutputError, match="another computer"):
        predict_file(task(tmp_path), out)
    os.utime(growing, (old, old))
    os.utime(folder, (old, old))
    predict_file(task(tmp_path), out)
    assert sorted(k for neurons in interrupted for k in neurons) == list(range(NEURONS))


@pytest.mark.parametrize("same", [True, False], ids=["same run", "another recording"])
def test_a_run_that_was_taken_over_writes_nothing_more(same, tmp_path, monkeypatch):
    """It was thought dead: as a computer that slept for an hour, and wakes up."""
    monkeypatch.setattr(memory, "CHUNK", SMALL // 8)
    monkeypatch.setattr("spikefinder_keras.recordings.formats.writers.STORE_CHUNK", FRAMES)
    out, write, lives = tmp_path / "rates.zarr", ZarrSink.write, []
    npy(tmp_path)
    np.save(tmp_path / "other.npy", traces(seed=3))
    other = task(tmp_path) if same else replace(task(tmp_path), source=tmp_path / "other.npy")

    def sleep(self, piece):
        lives.append(self)
        if len(lives) == 2:
            claim_of(out, "")
            predict_file(other, out)
        write(self, piece)

    monkeypatch.setattr(ZarrSink, "write", sleep)
    with pytest.raises(OutputError, match="another run has taken over"):
        predict_file(task(tmp_path), out)
    found = zarr.open_group(out)["spike_rates"][:].T
    np.testing.assert_array_equal(found, predict(other.source, 30.0).table)
    assert not list(tmp_path.glob(".partial-*"))


@pytest.mark.parametrize("begun", [True, False], ids=["goes on", "begins anew"])
def test_a_late_worker_writes_into_no_other_run(begun, interrupted, tmp_path, monkeypatch):
    """Dask's workers outlive the program that gave them work."""
    out = tmp_path / "rates.zarr"
    late = ZarrSink(left(out))
    whole = read_recording(tmp_path / "dff.npy", 30.0)
    piece = predict_chunk(Universal(PredictOptions(), whole), whole, range(NEURONS))
    wrong = replace(piece, rates=np.full_like(piece.rates, 77.0))
    write = ZarrSink.write

    def meanwhile(self, chunk):
        if self is not late:
            with pytest.raises(OutputError, match="cannot write"):
                write(late, wrong)
        write(self, chunk)

    monkeypatch.setattr(ZarrSink, "write", meanwhile)
    what = task(tmp_path) if begun else task(tmp_path, indicator="GCaMP8f")
    found = predict_file(what, out)
    assert np.isfinite(found.table[:, 0]).all()
    assert not (np.asarray(found.table) == 77.0).any()


def test_a_store_with_a_hole_is_never_finished(interrupted, tmp_path, monkeypatch):
    chunks = ZarrSink.todo
    monkeypatch.setattr(ZarrSink, "todo", lambda self, size: chunks(self, size)[1:])
    with pytest.raises(OutputError, match="is not whole: of 12 neurons those after 5 are missing"):
        predict_file(task(tmp_path), tmp_path / "rates.zarr")
    assert not (tmp_path / "rates.zarr").exists()
    monkeypatch.undo()
    predict_file(task(tmp_path), tmp_path / "rates.zarr")


def test_what_is_in_the_way_of_a_store(tmp_path):
    npy(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".partial-rates.zarr").symlink_to("elsewhere")
    with pytest.raises(OutputError, match=r"\.partial-rates\.zarr is in the way, .*; remove it"):
        predict_file(task(tmp_path), tmp_path / "rates.zarr")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_run_goes_on_within_another_budget(interrupted, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CHUNK", SMALL // 16)
    predict_file(task(tmp_path), tmp_path / "rates.zarr")
    assert sorted(k for neurons in interrupted for k in neurons) == list(range(NEURONS))


def store_of(folder, seed=0):
    made = zarr.open_group(folder, mode="w").create_array(
        "dff", data=traces(seed), chunks=(6, FRAMES), compressors=None
    )
    return made, folder / "dff" / "c" / "1" / "0"


@pytest.mark.parametrize("what", [".npy", ".zarr"])
def test_a_source_of_equal_size_and_time_is_another(what, tmp_path, monkeypatch):
    """As by `cp -p`, `rsync -t` or tar; of a store a part that is older than the latest one."""
    source = tmp_path / f"dff{what}"
    changed = npy(tmp_path) if what == ".npy" else store_of(source)[1]
    # A delay that is found tells one source from another, too.
    again = replace(task(tmp_path, delay=0.0), source=source)
    before, size = changed.stat().st_mtime - 100, changed.stat().st_size
    os.utime(changed, (before, before))
    written = interrupted_after_one(again, tmp_path / "rates.zarr", monkeypatch)
    np.save(tmp_path / "other.npy", traces(seed=3))
    new = tmp_path / "other.npy" if what == ".npy" else store_of(tmp_path / "b.zarr", seed=3)[1]
    changed.write_bytes(new.read_bytes())
    os.utime(changed, (before, before))
    assert changed.stat().st_size == size
    found = predict_file(again, tmp_path / "rates.zarr")
    assert sum(map(len, written[1:])) == NEURONS
    np.testing.assert_array_equal(found.table, predict(source, 30.0, delay=0.0).table)


@pytest.mark.parametrize("changed", ["name", "size", "time", "status", "more files"])
def test_each_part_of_a_fingerprint_counts(changed, tmp_path):
    files = [tmp_path / name for name in "ab"]
    for file in files:
        file.write_text(file.name)
    before, state = fingerprint(files, tmp_path), files[0].stat()
    assert fingerprint(files[::-1], tmp_path) == before
    if changed == "name":
        files[0] = files[0].rename(tmp_path / "c")
    elif changed == "size":
        files[0].write_text("longer")
        os.utime(files[0], ns=(state.st_atime_ns, state.st_mtime_ns))
    elif changed == "time":
        os.utime(files[0], ns=(0, 0))
    elif changed == "status":
        time.sleep(0.05)
        files[0].write_text("B")
        os.utime(files[0], ns=(state.st_atime_ns, state.st_mtime_ns))
        assert files[0].stat().st_mtime_ns == state.st_mtime_ns
    else:
        files.append(files[0])
    assert fingerprint(files, tmp_path) != before


@pytest.mark.parametrize(
    "change", ["source", "setting", "weights", "weights file", "calibration", "identity lost"]
)
def test_what_is_of_another_run_is_not_continued(change, interrupted, tmp_path, monkeypatch):
    again, run = task(tmp_path), left(tmp_path / "rates.zarr") / "run.json"
    if change == "source":
        np.save(tmp_path / "dff.npy", traces(seed=3))
    elif change == "setting":
        again = task(tmp_path, indicator="GCaMP8f")
    elif change in ("weights file", "calibration"):
        # Under the same name.
        digest = json.loads(run.read_text())["weights"]
        folder = tmp_path / "network"
        folder.mkdir()
        for name in ("universal.weights.h5", "universal.calibration.json"):
            (folder / name).write_bytes((embedded_folder() / name).read_bytes())
        again = task(tmp_path, weights=str(folder / "universal.weights.h5"))
        sought = again.identity(*again.open())
        assert sought["weights"] == digest
        file = folder / "universal.calibration.json"
        if change == "weights file":
            file = folder / "universal.weights.h5"
        with file.open("ab") as appended:
            appended.write(b"\n")
        assert again.identity(*again.open())["weights"] != digest
    elif change == "weights":
        run.write_text(json.dumps(json.loads(run.read_text()) | {"weights": "0"}))
    else:
        run.write_text("{")
    said = []
    found = predict_file(again, tmp_path / "rates.zarr", say=said.append)
    assert sum(map(len, interrupted[1:])) == NEURONS
    assert any("begun anew" in line for line in said)
    np.testing.assert_array_equal(
        found.table, predict(tmp_path / "dff.npy", 30.0, indicator=again.prediction.indicator).table
    )


def test_rates_that_a_format_cannot_hold_in_pieces(tmp_path):
    what = Task(npy(tmp_path), ReadOptions(frame_rate=30.0, memory=20_000), PredictOptions())
    with pytest.raises(UsageError, match=r"too much for \.csv.*--out.*--memory"):
        predict_file(what, tmp_path / "rates.csv")


def test_sizes_of_memory():
    assert parse_memory(None) is None
    assert parse_memory("2GiB") == parse_memory("2 g") == 2 << 30
    assert parse_memory("500MB") == 500_000_000
    assert parse_memory(str(1 << 30)) == 1 << 30
    for text, message in (("much", "give a size"), ("1.2.3G", "give a size"), ("1MiB", "at least")):
        with pytest.raises(UsageError, match=rf"--memory {text}.*{message}"):
            parse_memory(text)
    assert parse_memory("9" * 400 + "TiB") == memory.MOST
    assert memory.chunk_size(800) == 100
    assert memory.machine_memory() > memory.LEAST


def test_workers_write_zarr_alone(tmp_path, capsys):
    pytest.importorskip("distributed")
    command = ["predict", str(npy(tmp_path)), "--frame-rate", "30", "--scheduler", "local"]
    assert main([*command, "--out", str(tmp_path / "a.npy")]) == 2
    assert "--scheduler" in capsys.readouterr().err


@pytest.mark.slow
def test_two_workers_one_killed_give_the_serial_output(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    from spikefinder_keras.recordings import pipeline

    whole = predict(npy(tmp_path), 30.0, spikes=True)
    monkeypatch.setattr(memory, "CHUNK", SMALL // 8)
    monkeypatch.setattr("spikefinder_keras.recordings.formats.writers.STORE_CHUNK", FRAMES)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    killed, bar = [], pipeline.count_bar

    def kill_one(*arguments):
        made = bar(*arguments)
        update = made.update

        def updated(count):
            if not killed:
                process = next(iter(distributed.default_client().run(os.getpid).values()))
                os.kill(process, signal.SIGKILL)
                killed.append(process)
            update(count)

        made.update = updated
        return made

    monkeypatch.setattr(pipeline, "count_bar", kill_one)
    found = predict_file(task(tmp_path, spikes=True), tmp_path / "r.zarr", scheduler="local")
    assert killed
    np.testing.assert_array_equal(found.table, whole.table)
    assert repr(found.quality) == repr(whole.quality)
    for own, other in zip(found.spike_times, whole.spike_times, strict=True):
        np.testing.assert_array_equal(own, other)


STRANGER = """
import asyncio, sys, urllib.request
from distributed.core import connect

async def speak(port):
    comm = await asyncio.wait_for(connect(f"tcp://127.0.0.1:{port}", timeout=2), 3)
    await asyncio.wait_for(comm.write({"op": "identity", "reply": True}), 3)
    return await asyncio.wait_for(comm.read(), 3)

found = []
for port in sys.argv[1:]:
    try:
        found.append((port, asyncio.run(speak(port))))
    except Exception:
        pass
    for page in ("status", "info/main/workers.html", "json/counts.json", "metrics", "sysmon"):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=2)
            found.append((port, page))
        except Exception:
            pass
print(found)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ports are read from /proc")
def test_workers_of_this_machine_serve_nobody_else(tmp_path, monkeypatch):
    """Whoever reaches a worker of Dask may run programs in it: so no other user of the machine
    may."""
    pytest.importorskip("distributed")
    from spikefinder_keras.recordings import pipeline

    npy(tmp_path)
    asked, bar = [], pipeline.count_bar

    def listening():
        ports = set()
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state == "0A":
                ports.add(str(int(address.partition(":")[2], 16)))
        return ports

    def ask(*arguments):
        command = [sys.executable, "-c", STRANGER, *sorted(listening() - before)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        asked.append((command, run))
        return bar(*arguments)

    before = listening()
    monkeypatch.setattr(pipeline, "count_bar", ask)
    predict_file(task(tmp_path), tmp_path / "r.zarr", scheduler="local")
    ((command, answer),) = asked
    assert len(command) > 6  # the scheduler's, the workers' and their guards' ports
    assert answer.stdout == "[]\n", answer


def test_a_scheduler_that_is_not_there(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("spikefinder_keras.recordings.dask_workers.PATIENCE", 0.2)
    npy(tmp_path)
    with pytest.raises(UsageError, match=r"--scheduler tcp://127\.0\.0\.1:9 does not answer"):
        predict_file(task(tmp_path), tmp_path / "r.zarr", scheduler="tcp://127.0.0.1:9")
    assert not (tmp_path / ".partial-r.zarr").exists()


READ = """
import resource, sys
from spikefinder_keras import read_recording
recording = read_recording(sys.argv[1], 30.0, sys.argv[2], memory=256 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
part = recording.part(range(100, 110))
assert part.fluorescence.shape == (8_192, 10)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.parametrize("orientation", ["neuron-time", "time-neuron"])
def test_what_was_read_does_not_stay_in_memory(orientation, tmp_path):
    """Of a GiB, in whichever order it lies in the file."""
    shape = (32_768, 8_192) if orientation == "neuron-time" else (8_192, 32_768)
    np.lib.format.open_memmap(tmp_path / "dff.npy", "w+", np.float32, shape)
    command = [sys.executable, "-c", READ, tmp_path / "dff.npy", orientation]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 200


def test_no_two_chunks_share_one_of_the_store(tmp_path, monkeypatch):
    """Five neurons stand together in the store, and no two writers meet in one of its files."""
    monkeypatch.setattr("spikefinder_keras.recordings.formats.writers.STORE_CHUNK", 5 * FRAMES)
    begin_store(tmp_path / "store", NEURONS, FRAMES)
    (tmp_path / "done").mkdir()
    sink = ZarrSink(tmp_path)
    for size, starts in ((1, [0, 5, 10]), (7, [0, 5, 10]), (11, [0, 10]), (100, [0])):
        todo = sink.todo(size)
        assert [each.start for each in todo] == starts
        assert [each.stop for each in todo] == [*starts[1:], NEURONS]
    (tmp_path / "done" / "5-10.json").write_text("{}")
    assert sink.todo(100) == [range(5), range(10, NEURONS)]


def test_a_stated_budget_makes_no_other_run(tmp_path):
    npy(tmp_path)
    first = task(tmp_path)
    second = replace(first, reading=replace(first.reading, memory=2 * SMALL))
    other = replace(first, reading=replace(first.reading, unit="F"))
    sought = first.identity(*first.open())
    assert second.identity(*second.open()) == sought
    assert other.identity(*other.open()) != sought


@pytest.mark.parametrize(("ago", "alive"), [(570, True), (605, False)])
def test_another_computer_is_waited_for_ten_minutes(ago, alive, tmp_path):
    folder, then = tmp_path / ".partial-rates.zarr", time.time() - ago
    owner = folder / "claim-1" / "owner"
    owner.parent.mkdir(parents=True)
    owner.write_text("token ffffffff-1")
    for path in (owner, owner.parent):
        os.utime(path, (then, then))
    if alive:
        with pytest.raises(OutputError, match="counts as over after 10 minutes"):
            claim(folder, tmp_path / "rates.zarr")
    else:
        claim(folder, tmp_path / "rates.zarr").end()
        assert not folder.exists()
