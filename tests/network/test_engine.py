"""The engines against Keras, one thread against several, and the file for other languages."""

import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from threading import get_ident

import numpy as np
import onnx
import pytest

from spikefinder_keras.cli import main
from spikefinder_keras.errors import UsageError, WeightsError
from spikefinder_keras.files.atomic import hash_of
from spikefinder_keras.network import engine as engine_module
from spikefinder_keras.network.convi6 import Architecture, convi6
from spikefinder_keras.network.engine import KerasEngine, OnnxEngine, load_engine, one_core, session
from spikefinder_keras.network.keras_model import build_network, load_network, set_weights
from spikefinder_keras.network.onnx_model import build_graph, export
from spikefinder_keras.network.predict import predict_calcium
from spikefinder_keras.network.weights import find_weights, read_network, weight_shapes

SAME = 1e-6  # Rates below 1 in float32: two ways of adding up, through some 20,000 products


@pytest.fixture(params=["described", "released", "published"])
def name(request):
    if request.param == "published" and not os.environ.get("SPIKEFINDER_DATA"):
        pytest.skip("SPIKEFINDER_DATA names no folder of real data")
    return request.param


def noise(traces, samples, seed=0):
    """`(trace, time, channel)`, as engines take it."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((traces, samples)) * rng.choice([0.3, 2], (traces, 1))
    return values.astype("f4")[..., None]


def one_hot(numbers, datasets=10):
    return np.eye(datasets, dtype=np.float32)[np.array(numbers)]


@pytest.mark.parametrize(("traces", "samples"), [(1, 1), (1, 8), (3, 301), (2, 4_000), (1, 20_000)])
def test_engine_and_graph_give_keras_rates(name, traces, samples):
    calcium, ids = noise(traces, samples), one_hot([[k, 9] for k in range(traces)])
    engine = load_engine(name)
    expected = KerasEngine(load_network(name)).run(calcium, ids)
    np.testing.assert_allclose(engine.run(calcium, ids), expected, rtol=0, atol=SAME)
    graph = session(build_graph(*read_network(find_weights(name))).SerializeToString())
    (found,) = graph.run(["rate"], {"calcium": calcium[..., 0], "dataset": ids})
    np.testing.assert_allclose(found, expected, rtol=0, atol=SAME)


SMALL = {"filters": (3, 4, 5, 2, 1), "taps": (70, 4, 5, 3, 2), "lstm_units": 5, "datasets": 4}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"variant": "released"},
        {"id_joins": "after"},
        {"lstm_joins": "absent"},
        {"lstm_reads": "input"},
        {"lstm_reads": "input", "variant": "released", "id_joins": "nowhere"},
        {"id_joins": "nowhere", "variant": "released"},
        {"batch_normalization": True},
        {"gates": "sigmoid"},
        {"taps": (7, 4, 1, 3, 2)},
        {"taps": (7, 4, 2, 3, 2), "filters": (23, 4, 5, 11, 1)},
        {"lstm_units": 37, "filters": (3, 4, 37, 2, 1)},
    ],
    ids=str,
)
def test_every_architecture(options):
    """In Keras, in the engine, and as an ONNX file."""
    options = SMALL | options
    rng = np.random.default_rng(1)
    arrays = {
        name: (0.5 + rng.random(shape) if "variance" in name else rng.normal(0, 0.3, shape)).astype(
            np.float32
        )
        for name, shape in weight_shapes(**options).items()
    }
    network, spec = build_network(**options), convi6(Architecture(**options))
    set_weights(network, arrays)
    calcium, ids = noise(2, 1_500), one_hot([[0, 3, 1], [2, 2, 0]], 4)
    ids = None if options.get("id_joins") == "nowhere" else ids
    expected = KerasEngine(network).run(calcium, ids)
    found = OnnxEngine.of(spec, arrays, 1).run(calcium, ids)
    np.testing.assert_allclose(found, expected, rtol=0, atol=SAME)
    shared = OnnxEngine.of(spec, arrays, 3).run(calcium[:1], None if ids is None else ids[:1])
    np.testing.assert_array_equal(shared, found[:1])
    given = {"calcium": calcium[..., 0]} | ({} if ids is None else {"dataset": ids})
    found = session(build_graph(spec, arrays).SerializeToString()).run(None, given)
    np.testing.assert_allclose(found[0].reshape(expected.shape), expected, rtol=0, atol=SAME)


@pytest.mark.parametrize("samples", [8, 255, 256, 257, 20_000])
def test_threads_make_no_difference(name, samples, monkeypatch):
    """Alone or in company, on one core or several, few or many together: the same bits."""
    monkeypatch.setattr(engine_module, "SAMPLES_TOGETHER", 4 * samples)
    network = read_network(find_weights(name))
    calcium, ids = noise(5, samples, seed=2), one_hot([[k % 10, 9] for k in range(5)])
    expected = OnnxEngine.of(*network, 1).run(calcium, ids)
    for threads in (2, 5, 12):
        several = OnnxEngine.of(*network, threads)
        np.testing.assert_array_equal(several.run(calcium, ids), expected)
        np.testing.assert_array_equal(several.run(calcium[2:3], ids[2:3]), expected[2:3])


@pytest.mark.parametrize("steps", [96, 3_088, 7_488, 9_600])
def test_threads_and_company_make_no_difference_to_universal(steps):
    engine = load_engine("universal")
    given = np.random.default_rng(0).standard_normal((5, steps, 4)).astype("f4")
    expected = engine.run(given)
    for threads in (1, 2, 7):
        engine.threads = threads
        np.testing.assert_array_equal(engine.run(given), expected)
        np.testing.assert_array_equal(engine.run(given[3:4]), expected[3:4])


@pytest.mark.parametrize("keep", [True, False])
def test_within_one_core_a_network_stays_on_the_thread_that_asks(keep, monkeypatch):
    engine, asked = load_engine("universal"), set()
    engine.threads = 3
    predict = engine._predict
    monkeypatch.setattr(engine, "_predict", lambda feed: asked.add(get_ident()) or predict(feed))
    given = np.random.default_rng(0).standard_normal((5, 9_600, 4)).astype("f4")
    expected = engine.run(given)
    assert get_ident() not in asked
    asked.clear()
    with one_core() if keep else nullcontext():
        np.testing.assert_array_equal(engine.run(given), expected)
    assert (asked == {get_ident()}) is keep


def test_weights_that_are_no_numbers_are_refused():
    spec, known = read_network(find_weights("described"))
    for weight in known:
        arrays = {**known, weight: np.full_like(known[weight], np.nan)}
        with pytest.raises(WeightsError, match="NaN or infinite"):
            OnnxEngine.of(spec, arrays)


def test_a_prediction_loads_neither_keras_nor_tensorflow(tmp_path):
    np.save(tmp_path / "dff.npy", noise(2, 900)[..., 0])
    code = (
        "import sys; from spikefinder_keras.cli import main; "
        "status = main(['predict', sys.argv[1], '--frame-rate', '30', '--quiet', '--out', "
        "sys.argv[2]]); print(status, *{'keras', 'tensorflow', 'jax'} & {*sys.modules})"
    )
    out = tmp_path / "rates.csv"
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "dff.npy", out],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.stdout.splitlines()[-1] == "0", run.stderr
    assert out.exists()


def test_engines_by_name(tmp_path):
    np.save(tmp_path / "dff.npy", noise(2, 900)[..., 0])
    from spikefinder_keras import predict

    rates = [
        predict(tmp_path / "dff.npy", 30, dataset=5, engine=each) for each in ("fast", "keras")
    ]
    np.testing.assert_allclose(rates[0].rates, rates[1].rates, rtol=0, atol=SAME)
    assert rates[0].description["engine"] == "ONNX Runtime, float32"
    assert rates[1].description["engine"] == "Keras, float32"
    with pytest.raises(UsageError, match=r"engine abacus\? choose from fast, keras"):
        predict(tmp_path / "dff.npy", 30, engine="abacus")


# The file for other languages

BARE = """
import json, sys

class OnlyThese:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("spikefinder_keras", "keras", "tensorflow", "onnx", "scipy"):
            raise ImportError(name)

sys.meta_path.insert(0, OnlyThese())
import numpy as np, onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
calcium = np.load(sys.argv[2])
padded = np.pad(calcium, [(0, 0), (0, 3000)])
dataset = np.tile(np.eye(10, dtype=np.float32)[[5 - 1]], (len(calcium), 1, 1))
(rate,) = session.run(["rate"], {"calcium": padded, "dataset": dataset})
np.save(sys.argv[3], rate[:, 0, : calcium.shape[1]])
print(json.dumps(session.get_modelmeta().custom_metadata_map))
"""


def test_the_exported_file_runs_with_onnxruntime_and_numpy_alone(name, tmp_path, capsys):
    import json

    model, given, out = (tmp_path / each for each in ("model.onnx", "calcium.npy", "rate.npy"))
    assert main(["export", str(model), "--weights", name]) == 0
    assert str(model) in capsys.readouterr().out
    np.save(given, noise(3, 5_000)[..., 0])
    run = subprocess.run(
        [sys.executable, "-c", BARE, model, given, out], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    expected = predict_calcium(np.load(given).T, 5, name).T
    np.testing.assert_allclose(np.load(out), expected, rtol=0, atol=SAME)
    about = json.loads(run.stdout)
    assert about["weights_sha256"] == hash_of(find_weights(name))
    assert about["unit"] == "arbitrary, between 0 and 1"
    assert about["rate"] == "100 Hz"


def test_export_writes_a_checked_model_with_free_axes(tmp_path):
    export(tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "calcium": ["batch", "time"],
        "dataset": ["batch", "id", 10],
        "rate": ["batch", "id", "time"],
    }


def test_the_exported_universal_says_what_it_is(tmp_path):
    """And gives what `predict` goes on with."""
    import onnxruntime

    model = export(tmp_path / "model.onnx", "universal")
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["rate"] == "25 Hz"
    assert about["unit"] == "proportional to expected spikes"
    inputs = np.random.default_rng(0).standard_normal((2, 128, 4)).astype(np.float32)
    file = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = file.run(["rate"], {"calcium": inputs})
    np.testing.assert_allclose(found, load_engine("universal").run(inputs)[:, 0], rtol=0, atol=SAME)


def test_numpys_global_state_does_not_matter():
    from spikefinder_keras import predict, score

    calcium = noise(900, 2)[..., 0]
    expected = predict(calcium.T, 30, dataset=3).rates
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(predict(calcium.T, 30, dataset=3).rates, expected)
        predict_calcium(np.zeros((500, 1)), 3)
        score(np.zeros((400, 1)), np.zeros((400, 1)))


def test_the_runtime_reports_to_nobody(tmp_path):
    """ONNX Runtime 1.32 sends statistics to its maker, and keeps a file of the session."""
    code = (
        "import os, socket\n"
        "from spikefinder_keras.network.engine import load_engine; load_engine('universal')\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    )
    folder = tmp_path / "temporary"
    folder.mkdir()
    environment = {**os.environ, "TMPDIR": str(folder)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(folder.iterdir()) == []


def graphs(cache):
    return sorted((cache / "graphs").glob("*.onnx"))


def test_a_graph_is_built_once_for_its_weights_and_source(tmp_path, own_cache, monkeypatch):
    given = np.random.default_rng(0).standard_normal((2, 960, 4)).astype("f4")
    expected = load_engine("universal").run(given)
    load_engine("described")
    first = graphs(own_cache)
    assert len(first) == 2
    # What is kept needs neither the library that writes graphs nor the sandbox.
    with monkeypatch.context() as patched:
        patched.setattr(engine_module, "build_graph", None)
        patched.setattr(engine_module, "read_network", None)
        known = load_engine("universal")
        assert (known.is_universal, known.datasets) == (True, 0)
        np.testing.assert_array_equal(known.run(given), expected)
        known = load_engine("described")
        assert (known.is_universal, known.datasets) == (False, 10)
    # Other source is another graph, and the oldest go.
    monkeypatch.setattr(engine_module, "MOST_KEPT", 2)
    changed = tmp_path / "engine.py"
    changed.write_text("")
    monkeypatch.setattr(engine_module, "__file__", str(changed))
    load_engine("universal")
    assert len(graphs(own_cache)) == 2
    assert len({*graphs(own_cache), *first}) == 3


def another(path):
    """What is whole, but of other weights, as when somebody renames it."""
    load_engine("described")
    (other,) = set(path.parent.glob("*.onnx")) - {path}
    other.replace(path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"),
        lambda path: path.write_bytes(b"x" * 40),
        lambda path: os.truncate(path, 1 << 40),
        another,
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.unlink(), path.symlink_to(path)),
        lambda path: path.chmod(0),
        lambda path: path.parent.chmod(0),
        lambda path: (shutil.rmtree(path.parent), path.parent.write_text("")),
    ],
)
def test_what_is_kept_never_changes_rates_nor_stops_anything(spoil, own_cache):
    given = np.random.default_rng(0).standard_normal((2, 960, 4)).astype("f4")
    expected = load_engine("universal").run(given)
    (path,) = graphs(own_cache)
    spoil(path)
    np.testing.assert_array_equal(load_engine("universal").run(given), expected)
    np.testing.assert_array_equal(load_engine("universal").run(given), expected)
    path.parent.chmod(0o700)


def test_a_graph_of_somebody_else_is_not_used(tmp_path, monkeypatch):
    load_engine("universal")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    monkeypatch.setattr(engine_module, "session", None)
    monkeypatch.setattr(engine_module, "read_network", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        load_engine("universal")


def test_a_graph_of_weights_replaced_meanwhile_is_not_kept(tmp_path, own_cache, monkeypatch):
    path = tmp_path / "w.weights.h5"
    shutil.copyfile(find_weights("described"), path)

    def read(weights):
        found = read_network(weights)
        shutil.copyfile(find_weights("released"), path)
        return found

    monkeypatch.setattr(engine_module, "read_network", read)
    load_engine(path)
    assert not graphs(own_cache)
