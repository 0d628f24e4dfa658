"""What stands beside a recording, weights or a run: a pipe, a device, what belongs to another."""

import json
import os
import shutil
import signal
import sys

import h5py
import numpy as np
import pytest

from spikefinder_keras.cli import main
from spikefinder_keras.competition.tables import write_csv
from spikefinder_keras.errors import DataError, SpikefinderError, UsageError
from spikefinder_keras.files import atomic as ordinary
from spikefinder_keras.network.weights import embedded_folder
from spikefinder_keras.recordings.formats import read_recording
from spikefinder_keras.recordings.pipeline import predict
from spikefinder_keras.training.neurons import read_ground_truth
from spikefinder_keras.training.settings import Settings

pytestmark = pytest.mark.fresh_sandbox

WEIGHTS = embedded_folder()
TRACES = np.random.default_rng(0).normal(1, 0.1, (3, 400)).astype(np.float32)
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs pipes and /dev/zero")


@pytest.fixture(autouse=True)
def in_time():
    """Whoever waits for a pipe is woken."""

    def late(*_):
        raise TimeoutError

    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, late)
        signal.alarm(60)
    yield
    if hasattr(signal, "SIGALRM"):
        signal.alarm(0)


@pytest.fixture
def recording(tmp_path):
    np.save(tmp_path / "a.npy", TRACES)
    return tmp_path / "a.npy"


@pytest.fixture
def said(capsys):
    """Run a command that must end in one line and status 2, or succeed; the line."""

    def run(*arguments, status=2):
        assert main([str(part) for part in arguments]) == status
        said = capsys.readouterr().err
        assert "fault of the program" not in said, said
        if status:
            assert said.count("\n") == 1, said
        return said

    return run


UNUSUAL = {
    "pipe": os.mkfifo if hasattr(os, "mkfifo") else None,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "deep": lambda path: path.write_text("[" * 200_000),
    "digits": lambda path: path.write_text('{"a": ' + "9" * 5_000 + "}"),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "list": lambda path: path.write_text("[]"),
    "number": lambda path: path.write_text("5"),
    "large": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 3 << 30),
}


@linux
@pytest.mark.parametrize("what", UNUSUAL)
class TestUnusual:
    def test_read_json(self, tmp_path, what):
        UNUSUAL[what](tmp_path / "a.json")
        if what in ("list", "number"):
            assert ordinary.read_json(tmp_path / "a.json") in ([], 5)
        else:
            with pytest.raises((OSError, ValueError)):
                ordinary.read_json(tmp_path / "a.json")

    def test_beside_a_recording(self, recording, what):
        """Only a large one may be the description of a long prediction."""
        UNUSUAL[what](recording.with_name("a.npy.json"))
        try:
            found = read_recording(recording, frame_rate=30)
        except DataError as error:
            assert what in ("large", "device")
            assert "predicted spike rates already" in str(error)
        else:
            assert found.fluorescence.shape == (400, 3)

    def test_calibration(self, recording, said, what):
        weights = shutil.copy(WEIGHTS / "universal.weights.h5", recording.with_name("u.weights.h5"))
        UNUSUAL[what](recording.with_name("u.calibration.json"))
        out = recording.with_name("r.csv")
        options = ("--frame-rate", "30", "--out", out, "--weights", weights)
        assert "calibration" in said("predict", recording, *options)
        assert not out.exists()

    def test_run(self, tmp_path, said, what):
        UNUSUAL[what](tmp_path / "config.json")
        UNUSUAL[what](tmp_path / "log.csv")
        assert "config.json is damaged" in said("train", "--resume", tmp_path, "--quiet")
        said("figures", "--run", tmp_path, "--out", tmp_path / "f", "--quiet")

    def test_table(self, tmp_path, said, what):
        UNUSUAL[what](tmp_path / "a.csv")
        if what != "large":
            said("score", tmp_path / "a.csv", tmp_path / "a.csv")


def changed_calibration(change):
    stored = json.loads((WEIGHTS / "universal.calibration.json").read_text())
    change(stored)
    return json.dumps(stored)


@pytest.mark.parametrize(
    "change",
    [
        lambda k: k["timing"]["unknown"].update(logits=[1e308] * 6, slopes=[1e308] * 6),
        lambda k: k["rates"].update(terms=[700, 0, 0, 0]),
        lambda k: k["rates"].update(terms=[10**400] * 4),
        lambda k: k["rates"].update(terms="1234"),
        lambda k: k.update(timing=[]),
        lambda k: k["timing"].pop("unknown"),
    ],
)
def test_a_calibration_that_would_make_infinite_rates(recording, said, change):
    weights = shutil.copy(WEIGHTS / "universal.weights.h5", recording.with_name("u.weights.h5"))
    recording.with_name("u.calibration.json").write_text(changed_calibration(change))
    try:
        rates = predict(read_recording(recording, frame_rate=30), weights=weights).table
    except SpikefinderError as error:
        assert "does not hold what belongs to the weights" in str(error)
    else:
        assert np.isfinite(rates).all()


# Weights of another network, or too large


@pytest.mark.parametrize("engine", ["fast", "keras"])
def test_weights_of_the_other_network(recording, said, engine):
    out = recording.with_name("r.csv")
    options = ("--frame-rate", "30", "--quiet", "--engine", engine, "--out", out, "--weights")
    alone = shutil.copy(WEIGHTS / "universal.weights.h5", recording.with_name("u.weights.h5"))
    assert "calibration.json beside" in said("predict", recording, *options, alone)
    old = shutil.copy(WEIGHTS / "convi6-described.weights.h5", recording.with_name("d.weights.h5"))
    shutil.copy(WEIGHTS / "universal.calibration.json", recording.with_name("d.calibration.json"))
    assert "for the network universal alone" in said("predict", recording, *options, old)


@pytest.mark.parametrize("command", ["submission", "figures"])
def test_universal_for_the_competition(tmp_path, said, command):
    write_csv(tmp_path / "4.train.calcium.csv", TRACES.T)
    options = ("--data", tmp_path, "--out", tmp_path / "out", "--quiet", "--weights", "universal")
    assert "of the network universal" in said(command, *options)


@pytest.mark.parametrize("name", ["universal", "convi6-described"])
@pytest.mark.parametrize("factor", [1e20, 1e37])
def test_weights_too_large(recording, said, name, factor):
    weights = shutil.copy(WEIGHTS / f"{name}.weights.h5", recording.with_name("u.weights.h5"))
    if name == "universal":
        shutil.copy(
            WEIGHTS / "universal.calibration.json", recording.with_name("u.calibration.json")
        )
    with h5py.File(weights, "r+") as file:
        file.visititems(
            lambda _, item: (
                item.write_direct(item[()] * np.float32(factor))
                if hasattr(item, "dtype") and item.dtype.kind == "f" and item.shape
                else None
            )
        )
    options = ("--frame-rate", "30", "--quiet", "--out", recording.with_name("r.csv"))
    found = said("predict", recording, *options, "--weights", weights)
    assert "no number" in found or "NaN or infinite" in found


def test_a_first_kernel_without_axes(tmp_path, said):
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        file["layers/rms_normalization/vars/0"] = np.zeros(32, "f4")
        file["layers/conv1d/vars/0"] = np.float32(1)
    assert "does not fit the network" in said("describe", "--weights", tmp_path / "a.weights.h5")


# Runs, ground truth, settings of suite2p


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("epochs", 1.5), ("epochs", True), ("batch", 2.5), ("seed", 0.5), ("variant", [])),
        *(("batch_normalization", "x"), ("dropout", ["a"]), ("dropout", 5), ("weighting", [])),
        *(("learning_rate", True), ("learning_rate", "x"), ("id_joins", 5)),
    ],
)
def test_settings_of_another_kind(name, value):
    with pytest.raises(UsageError, match=f"{name} cannot be"):
        Settings(**{name: value})


def test_ground_truth_that_links_elsewhere(tmp_path):
    path = tmp_path / "DS09-GCaMP6f-m-V1.h5"
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["dff"] = np.ones(100)
    with h5py.File(path, "w") as file:
        group = file.create_group("neuron_000/recording_000")
        group["time"], group["spike_times"] = np.arange(100) / 30, np.ones(2)
        group["dff"] = h5py.ExternalLink("secret.h5", "dff")
    with pytest.raises(DataError, match="is a link to another file"):
        read_ground_truth(path)
    with h5py.File(path, "r+") as file:
        del file["neuron_000/recording_000/dff"]
        file["neuron_000/recording_000"].create_dataset("dff", (10**12,), "f4", chunks=(100,))
    with pytest.raises(DataError, match="claims"):
        read_ground_truth(path)


@pytest.mark.parametrize("folders", [[np.inf, 1], [np.nan, 400], [1e300] * 2, [0.5] * 800])
def test_folders_of_no_number_of_frames(tmp_path, folders):
    for name, array in (("F", TRACES), ("iscell", np.ones((3, 2)))):
        np.save(tmp_path / f"{name}.npy", array)
    np.save(tmp_path / "ops.npy", {"fs": 30.0, "frames_per_folder": folders})
    found = read_recording(tmp_path)
    assert found.segment_starts == (0,)
    assert any("frames_per_folder" in note for note in found.notes)


def test_a_header_of_numpy_with_truth_values_for_sizes(tmp_path):
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (True, 4)}\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64)
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match="no usable numpy file"):
        read_recording(tmp_path / "a.npy", frame_rate=30)


def test_thousands_of_arrays_take_linear_time(tmp_path):
    """3,000 took 43 s."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number in range(3_000):
            file[f"d{number}"] = TRACES[:, :4]
    with pytest.raises(UsageError, match="holds several arrays"):
        read_recording(tmp_path / "a.h5", frame_rate=30)
