"""What is set in Keras for the whole process, or in `keras.json`, changes no number."""

import json
import os
import subprocess
import sys

import keras
import pytest

from spikefinder_keras.keras_backend import own_settings
from spikefinder_keras.network.keras_model import build_network

CODE = """
import sys
import keras
{before}
import numpy as np
from spikefinder_keras import load_network, predict_calcium
from spikefinder_keras.competition.tables import write_csv
from spikefinder_keras.network.weights import read_weights
from spikefinder_keras.recordings.pipeline import predict
from spikefinder_keras.recordings.inputs import as_recording
from spikefinder_keras.training.convi6 import Settings, train

rng = np.random.default_rng(0)
found = {{}}
networks = {{name: load_network(name) for name in ("described", "released")}}
{after}
for name, network in networks.items():
    found[name] = predict_calcium(rng.normal(size=(500, 2)), 4, network)
prediction = predict(as_recording(rng.normal(size=(2, 900)), 30), engine="keras")
assert prediction.description["engine"] == "Keras, float32"
found["universal"] = prediction.table
spikes = rng.poisson(0.05, (300, 4)).astype(float)
write_csv("data/1.train.spikes.csv", spikes)
write_csv("data/1.train.calcium.csv", spikes + rng.normal(size=spikes.shape))
train("data", "run", Settings(epochs=1, batch=3))
found |= read_weights("run/last.weights.h5")
np.savez("found.npz", **found)
"""

QUICK = {
    "channels": (
        "",
        "",
        {
            "floatx": "float16",
            "image_data_format": "channels_first",
            "epsilon": 1e-2,
            "dtype_policy": "mixed_bfloat16",
        },
    ),
}
MORE = {
    "mixed": ("keras.config.set_dtype_policy('mixed_float16')", "", {}),
    "floatx16": ("keras.config.set_floatx('float16')", "", {}),
    "floatx64": ("keras.config.set_floatx('float64')", "", {}),
    "bfloat16": ("keras.config.set_dtype_policy('mixed_bfloat16')", "", {}),
    "first": ("keras.config.set_image_data_format('channels_first')", "", {}),
    "later": (
        "",
        "keras.config.set_floatx('float16'); keras.config.set_dtype_policy('mixed_float16'); "
        "keras.config.set_image_data_format('channels_first')",
        {},
    ),
}


def numbers(folder, before="", after="", configuration=None):
    """Predictions and trained weights of a process of its own, as bytes by name."""
    import numpy as np

    (folder / "data").mkdir(parents=True)
    environment = {**os.environ, "KERAS_HOME": str(folder)}
    backend = {"backend": keras.backend.backend(), **(configuration or {})}
    (folder / "keras.json").write_text(json.dumps(backend))
    run = subprocess.run(
        [sys.executable, "-c", CODE.format(before=before, after=after)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    with np.load(folder / "found.npz") as found:
        return {name: (found[name].dtype, found[name].tobytes()) for name in found.files}


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return numbers(tmp_path_factory.mktemp("usual") / "run")


@pytest.mark.parametrize(
    "state",
    [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)],
)
def test_predictions_and_training_stay_the_same_to_the_bit(usual, tmp_path, state):
    found = numbers(tmp_path / "run", *(QUICK | MORE)[state])
    assert found.keys() == usual.keys()
    assert [name for name in usual if found[name] != usual[name]] == []


def test_the_settings_are_put_back(monkeypatch):
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        with own_settings():
            assert keras.config.floatx() == "float32"
        network = build_network()
        assert keras.config.floatx() == "float64"
    finally:
        keras.config.set_floatx(before)
    assert {variable.dtype for variable in network.weights} <= {"float32", "int64", "uint32"}
