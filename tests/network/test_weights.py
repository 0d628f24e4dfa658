"""Weights files: read, mapped and loaded if they fit; refused, the network untouched, if not."""

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikefinder_keras.errors import OutputError, UsageError, WeightsError
from spikefinder_keras.files import hdf5 as hdf5_arrays
from spikefinder_keras.network import weights
from spikefinder_keras.network.convi6 import Architecture
from spikefinder_keras.network.keras_model import (
    build_network,
    hard_sigmoid,
    load_network,
    load_weights,
    save_weights,
    set_weights,
)
from spikefinder_keras.network.weights import (
    architecture_of,
    find_weights,
    read_weights,
    weight_shapes,
)

SMALL = {"filters": (3, 4, 2, 1), "taps": (7, 1, 3, 2)}
KERNEL = "conv1d_1/conv1d_1/kernel:0"  # in the files that `keras_2_file` writes
BIAS = "conv1d_1/conv1d_1/bias:0"
FORWARD = "bidirectional_1/bidirectional_1/forward_lstm_1"


def random_arrays(**arguments):
    rng = np.random.default_rng(0)
    return {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in weight_shapes(**arguments).items()
    }


def assert_same_arrays(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def arrays_of(network):
    variables = {"/".join(v.path.split("/")[-3:]): v for v in network.weights}
    return {
        re.sub(r"(bidirectional/|/lstm_cell)", "", path): keras.ops.convert_to_numpy(variable)
        for path, variable in variables.items()
    }


def keras_2_name(name, first=1, cell=""):
    """`convolution_3/bias` is `conv1d_3/conv1d_3/bias:0`, or another number where others start.

    A `first` of 0 leaves the first layer without a number, as tf.keras does.
    """
    layer, weight = name.split("/")
    if layer.endswith("_lstm"):
        number = f"_{first}" if first else ""
        wrapper = f"bidirectional{number}"
        return f"{wrapper}/{wrapper}/{layer}{number}{cell}/{weight}:0"
    kind, number = layer.split("_")
    kind = {"convolution": "conv1d", "normalization": "batch_normalization"}[kind]
    number = int(number) - 1 + first
    layer = f"{kind}_{number}" if number else kind
    return f"{layer}/{layer}/{weight}:0"


def keras_2_file(path, arrays, group="", **naming):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[group + keras_2_name(name, **naming)] = array
    return path


@pytest.fixture(scope="module")
def released():
    """A network for the files that are refused; no test changes it."""
    return build_network("released")


@pytest.fixture(scope="module")
def arrays():
    return random_arrays(variant="released")


@pytest.fixture(scope="module")
def good(tmp_path_factory, arrays):
    return keras_2_file(tmp_path_factory.mktemp("good") / "good.h5", arrays)


@pytest.fixture
def broken(tmp_path, good):
    """A copy of the good file, to be broken."""
    return Path(shutil.copy(good, tmp_path / "broken.h5"))


@pytest.fixture
def refuse(released):
    """Asserts that a file is refused in one line that names it, and the network left alone."""

    def check(path, message):
        before = [array.tobytes() for array in released.get_weights()]
        with pytest.raises(WeightsError, match=message) as error:
            load_weights(released, path)
        assert [array.tobytes() for array in released.get_weights()] == before
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)

    return check


# Files of the submission and others that Keras 2 wrote


@pytest.mark.parametrize("name", ["model_convnet_6", "Gewichte ✓ 6.h5", "-x"])
def test_the_published_file_under_any_name(data, tmp_path, name):
    path = tmp_path / name
    shutil.copy(data / "published" / "model_convnet_6", path)
    arrays = read_weights(path)
    assert len(arrays) == 22
    assert {name: array.shape for name, array in arrays.items()} == weight_shapes("released")
    assert architecture_of(arrays).variant == "released"
    with h5py.File(path) as file:
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, file[keras_2_name(name)][()])


def test_the_published_weights_by_name(data):
    network = load_network("published")
    assert network.name == "convi6_released"
    assert network.count_params() == 8_157


@pytest.mark.parametrize("batch_normalization", [False, True])
@pytest.mark.parametrize(
    "naming",
    [
        {"first": 1},
        {"first": 9},
        {"first": 0},
        {"first": 1, "group": "model_weights/"},
        {"first": 3, "cell": "/lstm_cell_3"},
        {"first": 0, "cell": "/lstm_cell", "group": "model_weights/"},
    ],
    ids=lambda naming: " ".join(f"{key}={value}" for key, value in naming.items()),
)
def test_layouts_of_keras_2(tmp_path, naming, batch_normalization):
    arguments = {"variant": "released", "batch_normalization": batch_normalization}
    arrays = random_arrays(**arguments)
    path = keras_2_file(tmp_path / "file.h5", arrays, **naming)
    with h5py.File(path, "a") as file:  # beside the weights, and no concern of ours
        file["optimizer_weights/training/Adam/iterations:0"] = np.int64(7)
        file["optimizer_weights/training/Adam/m_0:0"] = np.zeros(3, np.float32)
    found = read_weights(path)
    assert_same_arrays(found, arrays)
    assert architecture_of(found) == architecture_of(arrays)
    assert asdict(architecture_of(found)).items() >= arguments.items()


def test_double_precision_is_accepted(tmp_path, arrays):
    doubles = {name: array.astype(np.float64) for name, array in arrays.items()}
    assert_same_arrays(read_weights(keras_2_file(tmp_path / "file.h5", doubles)), arrays)


def test_compressed_arrays_are_accepted(tmp_path, arrays):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        for name, array in arrays.items():
            file.create_dataset(keras_2_name(name), data=array, compression="gzip", chunks=True)
    assert_same_arrays(read_weights(tmp_path / "file.h5"), arrays)


# Sizes are read from the arrays


@st.composite
def architectures(draw):
    length = draw(st.integers(4, 10))
    sizes = st.integers(1, 12)
    arguments = {
        "variant": draw(st.sampled_from(["described", "released"])),
        "filters": (*draw(st.tuples(*[sizes] * (length - 1))), 1),
        "taps": draw(st.tuples(*[sizes] * length)),
        "lstm_units": draw(sizes),
        "datasets": draw(st.integers(1, 40)),
        "id_joins": draw(st.sampled_from(["before", "after", "nowhere"])),
        "lstm_reads": draw(st.sampled_from(["output", "input"])),
        "batch_normalization": draw(st.booleans()),
    }
    if arguments["variant"] == "described":  # the LSTM's output is added to the third convolution
        first, second, _, *others = arguments["filters"]
        arguments["filters"] = (first, second, arguments["lstm_units"], *others)
        if arguments["id_joins"] == "after":
            # With more, the shapes are also those of `released` with 2 x lstm_units fewer, or none.
            arguments["datasets"] = draw(st.integers(1, 2 * arguments["lstm_units"] - 1))
    if arguments["id_joins"] == "nowhere":
        arguments["datasets"] = 10  # no array shows it
    _, second, third, *_ = arguments["filters"]
    if third == second + arguments["datasets"] * (arguments["id_joins"] == "before"):
        arguments["lstm_reads"] = "output"  # the third convolution gives as much as it takes
    return arguments


@settings(max_examples=150, deadline=None)
@given(architectures())
def test_architecture_gives_back_the_arguments(arguments):
    arrays = {name: np.empty(shape) for name, shape in weight_shapes(**arguments).items()}
    assert architecture_of(arrays) == Architecture(**arguments)


@pytest.mark.parametrize(
    ("many", "few"), [(30, {"id_joins": "after", "datasets": 10}), (20, {"id_joins": "nowhere"})]
)
def test_the_one_ambiguity_goes_to_fewer_datasets(many, few):
    many = {"variant": "described", "id_joins": "after", "datasets": many}
    few = {"variant": "released", **few}
    assert weight_shapes(**few) == weight_shapes(**many)
    assert asdict(architecture_of(random_arrays(**many))).items() >= few.items()


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("convolution_8/kernel", (5, 2, 3), r"expected \(5, 2, 1\), found \(5, 2, 3\)"),
        ("convolution_3/kernel", (5, 10, 10, 1), r"expected \(5, 20, 10\), found \(5, 10, 10, 1\)"),
        ("convolution_1/kernel", (0, 1, 10), r"expected \(300, 1, 10\), found \(0, 1, 10\)"),
        ("forward_lstm/recurrent_kernel", (40,), r"expected \(10, 40\), found \(40,\)"),
        ("backward_lstm/bias", (30,), r"expected \(40,\), found \(30,\)"),
        ("convolution_8/bias", None, r"expected \(1,\), found none"),
        ("convolution_9/bias", (1,), r"expected none, found \(1,\)"),
        ("normalization_1/gamma", (10,), r"expected none, found \(10,\)"),
    ],
)
def test_shapes_of_no_network(arrays, name, shape, message):
    others = {known: array for known, array in arrays.items() if known != name}
    if shape:
        others[name] = np.zeros(shape, np.float32)
    with pytest.raises(WeightsError, match=f"my.h5 does not fit the network; .*{name}: {message}"):
        architecture_of(others, "my.h5")


def test_a_described_network_whose_sum_is_impossible():
    with pytest.raises(WeightsError, match="does not fit the network"):
        arrays = random_arrays(variant="described")
        seven = random_arrays(variant="released", lstm_units=7)
        architecture_of(arrays | {name: seven[name] for name in arrays if "lstm" in name})


def test_no_arrays():
    with pytest.raises(WeightsError, match=r"convolution_1/kernel: expected .*, found none"):
        architecture_of({})


# Our own files

NETWORKS = [
    {"variant": "described"},
    {"variant": "released"},
    {"variant": "described", "batch_normalization": True},
    {"variant": "described", "lstm_reads": "input"},
    {"variant": "released", "id_joins": "after", "datasets": 3},
    {"variant": "described", "id_joins": "nowhere", "batch_normalization": True},
    {"variant": "released", "lstm_units": 5, "datasets": 1, **SMALL},
    {"variant": "described", "lstm_units": 2, "id_joins": "after", "datasets": 3, **SMALL},
]


@pytest.fixture(
    scope="module",
    params=NETWORKS,
    ids=lambda arguments: " ".join(f"{key}={value}" for key, value in arguments.items()),
)
def saved(request, tmp_path_factory):
    """A network's arguments, its arrays, all random, and its file."""
    network = build_network(**request.param)
    arrays = random_arrays(**request.param)
    set_weights(network, arrays)
    path = tmp_path_factory.mktemp("saved") / "x.weights.h5"
    save_weights(network, path)
    return request.param, arrays, path


def test_our_own_file_loads(saved):
    arguments, arrays, path = saved
    assert_same_arrays(read_weights(path), arrays)
    network = load_network(path)
    assert network.name == f"convi6_{arguments['variant']}"
    fresh = build_network(**arguments)
    load_weights(fresh, str(path))
    for loaded in (network, fresh):
        assert_same_arrays(arrays_of(loaded), arrays)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_our_own_file_loads_the_public_keras_way(saved):
    arguments, arrays, path = saved
    network = build_network(**arguments)
    network.load_weights(path)
    assert_same_arrays(arrays_of(network), arrays)


def test_a_compiled_networks_file_loads(tmp_path, arrays):
    network = build_network("released")
    set_weights(network, arrays)
    network.compile(optimizer="adam", loss="mse")
    network.optimizer.build(network.trainable_variables)
    path = tmp_path / "x.weights.h5"
    network.save_weights(path)
    with h5py.File(path) as file:
        assert len(file["optimizer/vars"]) > 2 * len(arrays)  # else this tests nothing
    assert_same_arrays(read_weights(path), arrays)
    assert_same_arrays(arrays_of(load_network(path)), arrays)
    load_weights(network, path)  # into the compiled network itself
    save_weights(network, path)  # ours leaves the optimiser out
    with h5py.File(path) as file:
        assert "optimizer" not in file


def test_a_stock_lstms_file_fits_ours(tmp_path, arrays):
    layers = keras.layers
    calcium, dataset = keras.Input((None, 1)), keras.Input((None, 10))
    x = layers.Conv1D(10, 300, padding="same", activation="tanh")(calcium)
    x = layers.Conv1D(10, 10, padding="same", activation="relu")(x)
    x = layers.Concatenate()([x, dataset])
    x = layers.Conv1D(10, 5, padding="same", activation="relu")(x)
    lstm = layers.LSTM(10, return_sequences=True, recurrent_activation=hard_sigmoid)
    x = layers.Concatenate()([x, layers.Bidirectional(lstm)(x)])
    for channels in (8, 4, 2, 2, 1):
        x = layers.Conv1D(channels, 5, padding="same")(x)
    stock = keras.Model([calcium, dataset], x)
    stock.set_weights([np.random.default_rng(1).random(w.shape) for w in stock.weights])
    stock.save_weights(tmp_path / "stock.weights.h5")
    ours = load_network(tmp_path / "stock.weights.h5")
    assert ours.name == "convi6_released"
    for a, b in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    set_weights(ours, arrays)
    save_weights(ours, tmp_path / "ours.weights.h5")
    stock.load_weights(tmp_path / "ours.weights.h5")
    for a, b in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_of_another_network(tmp_path, refuse):
    path = keras_2_file(tmp_path / "described.h5", random_arrays(variant="described"))
    refuse(path, r"the network; convolution_4/kernel: expected \(5, 30, 8\), found \(5, 10, 8\)$")


# Writing


def test_a_wrong_suffix(released, tmp_path):
    for name in ("x.h5", "x.weights", "weights.h5x", "x"):
        with pytest.raises(UsageError, match=rf"{name} must end in \.weights\.h5"):
            save_weights(released, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(released, tmp_path):
    folder = tmp_path / "x.weights.h5"
    folder.mkdir()
    with pytest.raises(OutputError, match="is a folder; name a file in it"):
        save_weights(released, folder)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write to the folder"):
        save_weights(released, tmp_path / "file" / "y" / "x.weights.h5")


def test_the_previous_file_stays_when_writing_fails(released, tmp_path, monkeypatch):
    def breaks_off(self, path, overwrite):
        Path(path).write_bytes(b"a part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save_weights", breaks_off)
    path = tmp_path / "x.weights.h5"
    path.write_bytes(b"the previous file")
    with pytest.raises(OutputError, match="No space left on device"):
        save_weights(released, path)
    assert path.read_bytes() == b"the previous file"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_leaves_the_previous_file(tmp_path):
    """The HDF5 library itself would end the process with a segmentation fault."""
    path = tmp_path / "x.weights.h5"
    path.write_bytes(b"the previous file")
    code = (
        "import resource, signal, sys\n"
        "from spikefinder_keras import errors\n"
        "from spikefinder_keras.network import build_network, keras_model as loading\n"
        "network = build_network()\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "for limit in (80_000, 20_000, 0):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "    try:\n        loading.save_weights(network, sys.argv[1])\n"
        "    except errors.OutputError as error:\n        print(error)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
    )
    message = f"cannot write {path} (File too large); free space or choose another place\n"
    assert child.stdout == 3 * message
    assert child.returncode == 0
    assert path.read_bytes() == b"the previous file"
    assert list(tmp_path.iterdir()) == [path]


def test_the_space_claimed_suffices(saved, tmp_path, monkeypatch):
    """Whatever size the network: what is claimed beforehand is no less than what is written."""
    arguments, *_ = saved
    claimed = []
    write = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda p, b: (claimed.append(len(b)), write(p, b)))
    save_weights(build_network(**arguments), tmp_path / "x.weights.h5")
    assert claimed[0] > (tmp_path / "x.weights.h5").stat().st_size > 0


# Names


def test_unknown_names(tmp_path):
    for name in ("mine", tmp_path, tmp_path / "absent.h5", "x" * 300):
        message = f"there are no weights {name}; name a file, or one of described, released, univ"
        with pytest.raises(UsageError, match=re.escape(message)):
            find_weights(name)
        with pytest.raises(UsageError, match="there are no weights"):
            load_network(name)


def test_a_path_is_its_own_name(good):
    assert find_weights(good) == find_weights(str(good)) == good


# Refused: damaged and foreign files


def test_the_good_file_is_good(good, arrays):
    """Else the tests of broken copies would prove nothing."""
    assert_same_arrays(read_weights(good), arrays)


@pytest.mark.parametrize("part", [1e-4, 5e-4, 1e-3, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1])
def test_truncated_files(broken, refuse, part):
    size = broken.stat().st_size
    length = min(round(part * size), size - 1)
    os.truncate(broken, length)
    refuse(broken, "is no usable weights file: it is (damaged|not an HDF5 file)")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["described", "released", "universal"])
def test_truncated_at_every_byte(tmp_path, name):
    path = tmp_path / "x.h5"
    path.write_bytes(find_weights(name).read_bytes())
    lengths = range(path.stat().st_size - 1, 0, -1)
    for length in lengths:
        os.truncate(path, length)
        with pytest.raises(hdf5_arrays.Unreadable):
            list(weights.parse_arrays(path))
    assert len(lengths) > 80_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"<!DOCTYPE html>\n", r"not an HDF5 file \(it begins with b'<!DOC", id="HTML"),
        pytest.param(
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            r"not an HDF5 file \(it begins with b'version ",
            id="LFS pointer",
        ),
        pytest.param(b"PK\x03\x04 a .keras file", "not an HDF5 file", id="Keras archive"),
        pytest.param(hdf5_arrays.SIGNATURE, "it is damaged", id="signature only"),
        pytest.param(hdf5_arrays.SIGNATURE + b"\0" * 999, "it is damaged", id="zeros"),
    ],
)
def test_files_that_are_none(tmp_path, refuse, content, message):
    path = tmp_path / "x.weights.h5"
    path.write_bytes(content)
    refuse(path, f"is no usable weights file: .*{message}")


def test_missing_and_unordinary_files(tmp_path, refuse):
    refuse(tmp_path / "absent.h5", r"cannot read .*absent.h5 \(No such file")
    refuse(tmp_path, "cannot read .*Is a directory")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path, refuse):
    os.mkfifo(tmp_path / "pipe.h5")
    refuse(tmp_path / "pipe.h5", "cannot read .*no ordinary file")


def test_too_large_a_file(broken, refuse):
    os.truncate(broken, weights.LARGEST_FILE + 1)  # sparse
    refuse(broken, "it is larger than 64 MiB")


def replace(file, name, array):
    del file[name]
    file[name] = array


def change(name, function):
    return lambda file: replace(file, name, function(file[name][()]))


def with_one(value, dtype=np.float32):
    def function(array):
        array = array.astype(dtype)
        array.flat[-1] = value
        return array

    return function


def enum(array):
    return array.astype(np.int8).astype(h5py.enum_dtype({"a": 0}, np.int8))


@pytest.mark.parametrize(
    ("breaking", "message"),
    [
        pytest.param(
            lambda file: file.move("conv1d_1", "dense_1"),
            r"dense_1/conv1d_1/\w+:0 is no array of this network; expected 8 conv.* found 22",
            id="wrong layer",
        ),
        pytest.param(
            lambda file: file.move(KERNEL, KERNEL.replace("kernel", "gamma")),
            r"convolution_1/kernel: expected \(300, 1, 10\), found none; convolution_1/gamma|"
            r"conv1d_1/conv1d_1/gamma:0 is no array",
            id="wrong weight",
        ),
        pytest.param(
            lambda file: file.__delitem__(BIAS),
            r"convolution_1/bias: expected \(10,\), found none$",
            id="missing array",
        ),
        pytest.param(
            lambda file: file.__setitem__(f"{FORWARD}/peephole:0", np.zeros(10, np.float32)),
            r"forward_lstm/peephole: expected none, found \(10,\)$",
            id="extra array of a layer",
        ),
        pytest.param(
            lambda file: file.__setitem__("dense_1/dense_1/kernel:0", np.zeros(10, np.float32)),
            "dense_1/dense_1/kernel:0 is no array of this network; .* found 23 arrays",
            id="extra layer",
        ),
        pytest.param(
            change(KERNEL, lambda array: array[:, 0]),
            r"convolution_1/kernel: expected \(300, 1, 10\), found \(300, 10\)$",
            id="wrong dimensions",
        ),
        pytest.param(
            change(f"{FORWARD}/bias:0", lambda array: array[:30]),
            r"forward_lstm/bias: expected \(40,\), found \(30,\)$",
            id="wrong shape",
        ),
        pytest.param(
            change(BIAS, lambda array: array.astype(np.int32)),
            f"{BIAS} holds int32 where floats belong",
            id="integers",
        ),
        pytest.param(
            change(BIAS, lambda array: array.astype(np.complex64)),
            f"{BIAS} holds complex64 where floats belong",
            id="complex",
        ),
        pytest.param(
            change(BIAS, enum), f"{BIAS} holds int8 where floats belong", id="enumeration"
        ),
        pytest.param(
            change(BIAS, lambda array: array.astype("S4")), rf"{BIAS} holds \|S4", id="text"
        ),
        pytest.param(
            change(BIAS, lambda array: array.astype([("a", np.float32), ("b", np.float32)])),
            f"{BIAS} holds .* where floats belong",
            id="records",
        ),
        pytest.param(
            change(BIAS, lambda array: array.astype(np.float16)),
            f"{BIAS} is float16; expected float32",
            id="half precision",
        ),
        pytest.param(change(KERNEL, with_one(np.nan)), f"{KERNEL} holds NaN or infinite", id="NaN"),
        pytest.param(
            change(BIAS, with_one(-np.inf)), f"{BIAS} holds NaN or infinite", id="infinite"
        ),
        pytest.param(
            change(BIAS, with_one(1e39, np.float64)),
            f"{BIAS} holds NaN or infinite",
            id="infinite as float32",
        ),
        pytest.param(
            lambda file: file.copy("conv1d_1", "model_weights/conv1d_1"),
            r"conv1d_1/\w+:0 are both convolution_1/\w+; expected one",
            id="two layouts",
        ),
        pytest.param(
            lambda file: file.copy(KERNEL, "conv1d_01/conv1d_1/kernel:0"),
            r"are both convolution_1/kernel; expected one",
            id="two spellings",
        ),
        pytest.param(
            lambda file: file.__setitem__("conv1d_1/hard", file[KERNEL]),
            "conv1d_1/hard is no array of this network",
            id="second name of an array",
        ),
        pytest.param(
            lambda file: file.__setitem__("a\x1b[2Jb\n", np.zeros(1, np.float32)),
            "a name in it is too long or holds control characters",
            id="control characters",
        ),
        pytest.param(
            lambda file: file.__setitem__(f"conv1d_{'9' * 5000}/x/kernel", np.zeros(1, np.float32)),
            "a name in it is too long or holds control characters",
            id="endless number",
        ),
        pytest.param(
            lambda file: file.__setitem__("type", np.dtype(np.float32)),
            "type is neither a group nor an array",
            id="named type",
        ),
        pytest.param(
            lambda file: replace(file, BIAS, h5py.Empty(np.float32)),
            f"{BIAS} has no shape of a network's weights",
            id="null array",
        ),
        pytest.param(
            change(BIAS, lambda array: array.reshape(1, 1, 1, 2, 5)),
            f"{BIAS} has no shape of a network's weights",
            id="five dimensions",
        ),
    ],
)
def test_broken_files(broken, refuse, breaking, message):
    with h5py.File(broken, "a") as file:
        breaking(file)
    refuse(broken, f"broken.h5.*({message})")


# Refused: files made to attack

SECRET = np.full(10, 42, np.float32)


@pytest.fixture
def secret(tmp_path):
    """A file elsewhere, raw and as HDF5, whose contents must not come into a network."""
    (tmp_path / "secret.bin").write_bytes(SECRET.tobytes())
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["array"] = SECRET
        file["group/conv1d_1/bias:0"] = SECRET
    return tmp_path


def external_storage(file, secret):
    raw = [(str(secret / "secret.bin"), 0, SECRET.nbytes)]
    file.create_dataset(BIAS, (10,), np.float32, external=raw)


def virtual(file, secret):
    layout = h5py.VirtualLayout((10,), np.float32)
    layout[:] = h5py.VirtualSource(secret / "secret.h5", "array", (10,))
    file.create_virtual_dataset(BIAS, layout)


def virtual_of_itself(file, secret):
    layout = h5py.VirtualLayout((10,), np.float32)
    layout[:] = h5py.VirtualSource(".", "conv1d_2/conv1d_2/bias:0", (10,))
    file.create_virtual_dataset(BIAS, layout)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        pytest.param(
            lambda file, secret: file.__setitem__(BIAS, h5py.SoftLink("/conv1d_2/conv1d_2/bias:0")),
            f"{BIAS} is a link to somewhere else",
            id="soft link",
        ),
        pytest.param(
            lambda file, secret: file.__setitem__(
                BIAS, h5py.ExternalLink(secret / "secret.h5", "array")
            ),
            f"{BIAS} is a link to somewhere else",
            id="external link",
        ),
        pytest.param(external_storage, f"{BIAS} takes its values from another file", id="storage"),
        pytest.param(virtual, f"{BIAS} takes its values from another file", id="virtual"),
        pytest.param(virtual_of_itself, f"{BIAS} takes its values", id="virtual of itself"),
    ],
)
def test_values_from_elsewhere(broken, secret, refuse, attack, message):
    with h5py.File(broken, "a") as file:
        del file[BIAS]
        attack(file, secret)
    with h5py.File(broken) as file:  # without the checks there would be an array
        assert file[BIAS].shape == (10,)
    refuse(broken, f"is no usable weights file: {message}")


def test_a_link_in_a_parent_group(broken, secret, refuse):
    with h5py.File(broken, "a") as file:
        del file["conv1d_1"]
        file["conv1d_1"] = h5py.ExternalLink(secret / "secret.h5", "group")
    refuse(broken, "conv1d_1 is a link to somewhere else")


def processor_time():
    """Seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


def peak_memory():
    """Bytes this process has taken at most since the last `reset_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10


def reset_peak():
    Path("/proc/self/clear_refs").write_text("5")


def claims(count, **options):
    return lambda file: file.create_dataset(BIAS, (count,), np.float32, **options)


def many_large_arrays(file):
    for number in range(100):
        file.create_dataset(f"array_{number}", (15 << 20,), np.float32)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc")
@pytest.mark.parametrize(
    ("bomb", "message"),
    [
        pytest.param(claims(1_047_000_000), "claims 4188000000 bytes", id="3.9 GiB"),
        pytest.param(claims(1 << 51), "claims 9007199254740992 bytes", id="8 PiB"),
        pytest.param(
            claims(1 << 51, chunks=(1 << 20,)), "claims 9007199254740992", id="8 PiB in chunks"
        ),
        pytest.param(
            claims(1 << 31, chunks=(1 << 29,), compression="gzip", fillvalue=1),
            "claims 8589934592 bytes",
            id="huge chunks",
        ),
        pytest.param(
            claims(10, chunks=(1 << 29,), maxshape=(None,)),
            "claims .* bytes, more than weights",
            id="huge chunks of a small array",
        ),
        pytest.param(many_large_arrays, "its arrays claim 62914[0-9]+ bytes", id="many arrays"),
    ],
)
def test_declared_sizes(broken, refuse, bomb, message):
    with h5py.File(broken, "a") as file:
        del file[BIAS]
        bomb(file)
    assert broken.stat().st_size < 1 << 20
    reset_peak()
    before, start = peak_memory(), processor_time()
    refuse(broken, message)
    assert processor_time() - start < 2
    assert peak_memory() - before < 100 << 20


def nest(file):
    group = file
    for _ in range(500):
        group = group.create_group("g")


def cycle(file):
    file["conv1d_1/loop"] = file["conv1d_1"]


def branching_cycle(file):
    group = file.create_group("g")
    for name in "abcdef":
        group[name] = group


def many_objects(file):
    for number in range(5_000):
        file.create_group(f"g{number}")


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (nest, "its groups are nested deeper than 12"),
        (cycle, "its groups are nested deeper than 12"),
        (branching_cycle, "nested deeper than 12|more than 2000 objects"),
        (many_objects, "it holds more than 2000 objects"),
    ],
)
def test_endless_structures(broken, refuse, attack, message):
    with h5py.File(broken, "a") as file:
        attack(file)
    start = processor_time()
    refuse(broken, message)
    assert processor_time() - start < 2


# A parser that hangs or crashes


@pytest.fixture
def child_program(tmp_path, monkeypatch):
    """Installs other code as what the child runs on the file."""

    def install(code):
        name = f"hostile_parser_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text(f"def parse_arrays(path):\n    {code}\n    yield")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(weights, "parse_arrays", import_module(name).parse_arrays)

    return install


def test_a_parser_that_hangs(good, refuse, child_program, monkeypatch):
    child_program("import time; time.sleep(60)")
    limited = functools.partial(weights.read_arrays, time_limit=0.5)
    monkeypatch.setattr(weights, "read_arrays", limited)
    start = time.monotonic()
    refuse(good, r"reading it took longer than 0\.5 s")
    assert time.monotonic() - start < 30  # the machine may have other work


@pytest.mark.parametrize("status", ["SIGSEGV", "SIGABRT", "exit"])
def test_a_parser_that_crashes(good, refuse, child_program, status):
    if status == "exit":
        child_program("import os; os._exit(1)")
    elif hasattr(signal, status):
        child_program(f"import signal; signal.raise_signal(signal.{status})")
    else:
        pytest.skip(f"no {status} here")
    refuse(good, "its parser failed, so it is damaged")


@pytest.mark.skipif(sys.platform != "linux", reason="the child knows its memory from /proc")
def test_a_parser_that_takes_memory(good, refuse, child_program):
    child_program("import numpy; numpy.ones(300 << 20, numpy.uint8)")
    refuse(good, "it needs too much memory")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("forward_lstm/recurrent_kernel", (700, 2_800)),
        ("forward_lstm/kernel", (60_010, 40)),
        ("convolution_1/kernel", (1_500_000, 1, 10)),
        ("convolution_1/kernel", (300, 1, 300)),
        ("convolution_3/kernel", (5, 60_010, 10)),
        ("convolution_3/bias", (2_000,)),
        ("rms_1/scale", (2_000,)),
    ],
)
def test_networks_beyond_reason_are_refused_before_they_are_built(name, shape, monkeypatch):
    """Their files have a few kB, as all of it may be zeros."""
    monkeypatch.setattr(weights, "convi6", pytest.fail)
    monkeypatch.setattr(weights, "universal", pytest.fail)
    arrays = {name: np.broadcast_to(np.float32(0), shape)}
    with pytest.raises(WeightsError, match=rf"mine\.h5: {name} has the shape .*; no more than"):
        weights.spec_of(arrays, "mine.h5")


@pytest.mark.parametrize("name", ["best.weights.h5", "universal.weights.h5"])
def test_the_folder_of_a_training_run_stands_for_its_weights(name, tmp_path):
    with pytest.raises(UsageError, match="or the folder of a training run"):
        find_weights(tmp_path)
    shutil.copy(find_weights("described"), tmp_path / name)
    assert find_weights(tmp_path) == tmp_path / name
