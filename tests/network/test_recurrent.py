"""The fast layer against `keras.layers.Bidirectional(keras.layers.LSTM(...))`, and its gradients.

Everything here runs on the backend of the process; the JAX backend has a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from spikefinder_keras.network import recurrent
from spikefinder_keras.network.keras_model import load_network
from spikefinder_keras.network.recurrent import BLOCK, Bidirectional, hard_sigmoid


def pair(merge_mode, features, units=10, seed=0, dtype="float32", gate=hard_sigmoid):
    """Stock and fast layer with the same random weights, large enough to saturate some gates."""
    rng = np.random.default_rng(seed)
    layers = [
        kind(
            keras.layers.LSTM(
                units,
                return_sequences=True,
                recurrent_activation=gate,
                dtype=dtype,
                name="lstm",
            ),
            merge_mode=merge_mode,
            dtype=dtype,
            name="bidirectional",
        )
        for kind in (keras.layers.Bidirectional, Bidirectional)
    ]
    for layer in layers:
        layer.build((None, None, features))
    weights = [rng.normal(0, 0.5, weight.shape) for weight in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def signal(batch, time, features, dtype="float32", seed=1):
    return np.random.default_rng(seed).normal(size=(batch, time, features)).astype(dtype)


def output(layer, x):
    """The layer's output, compiled: the stock layer is slow otherwise."""
    network = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype.name), layer])
    return network.predict_on_batch(x)


def gradients(layer, x, weight_of_output):
    """Gradients of sum(output * weight) by the input and every weight of the layer."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function
        def run(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                total = tf.reduce_sum(layer(x) * weight_of_output)
            return tape.gradient(total, [x, *(v.value for v in layer.trainable_variables)])

        return [gradient.numpy() for gradient in run(tf.constant(x))]
    import jax

    variables = [v.value for v in layer.trainable_variables]
    others = [v.value for v in layer.non_trainable_variables]

    def total(x, variables):
        return (layer.stateless_call(variables, others, x)[0] * weight_of_output).sum()

    by_input, by_weights = jax.jit(jax.grad(total, argnums=(0, 1)))(x, variables)
    return [np.asarray(gradient) for gradient in (by_input, *by_weights)]


@pytest.mark.parametrize("merge_mode", ["sum", "concat"])
@pytest.mark.parametrize(
    ("batch", "time", "features", "units", "gate"),
    [
        (1, 1, 10, 10, hard_sigmoid),
        (3, 257, 4, 6, hard_sigmoid),
        (3, 257, 4, 6, "sigmoid"),
        (5, BLOCK, 10, 10, hard_sigmoid),
        (2, 2 * BLOCK + 1, 10, 10, hard_sigmoid),
    ],
)
def test_forward(merge_mode, batch, time, features, units, gate):
    stock, fast = pair(merge_mode, features, units, gate=gate)
    x = signal(batch, time, features)
    expected, found = output(stock, x), output(fast, x)
    assert found.shape == expected.shape == tuple(fast.compute_output_shape(x.shape))
    # A thousand steps of float32 in another order of summation; values are below 2.
    assert np.abs(found - expected).max() <= 1e-6


@pytest.mark.parametrize("merge_mode", ["sum", "concat"])
@pytest.mark.parametrize(
    ("time", "gate"),
    [(7, hard_sigmoid), (500, hard_sigmoid), (500, "sigmoid"), (2_000, hard_sigmoid)],
)
def test_gradients_in_float64(merge_mode, time, gate):
    if keras.backend.backend() == "jax":
        pytest.skip("on JAX Keras computes tanh in float32, whatever it is given")
    stock, fast = pair(merge_mode, 10, dtype="float64", gate=gate)
    x = signal(3, time, 10, "float64")
    weight = signal(3, time, 10 if merge_mode == "sum" else 20, "float64", seed=2)
    for expected, found in zip(
        gradients(stock, x, weight), gradients(fast, x, weight), strict=True
    ):
        assert np.abs(found - expected).max() <= 1e-8 * np.abs(expected).max()


@pytest.mark.parametrize("merge_mode", ["sum", "concat"])
def test_gradients_in_float32(merge_mode):
    """float32 sums over 3 x 1,500 steps: a relative 1e-5 of the largest entry of each tensor."""
    stock, fast = pair(merge_mode, 10)
    x = signal(3, 1_500, 10)
    weight = signal(3, 1_500, 10 if merge_mode == "sum" else 20, seed=2)
    for expected, found in zip(
        gradients(stock, x, weight), gradients(fast, x, weight), strict=True
    ):
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.fixture
def four_windows(monkeypatch):
    """So many, as the stock layer takes minutes for what is long enough for more."""
    monkeypatch.setattr(recurrent, "WINDOWS", 4)
    monkeypatch.setattr(recurrent, "MARGIN", 512)


def remember(layers):
    """Let the forget gates, the second of four, be open for good."""
    for layer in layers:
        weights = layer.get_weights()
        for bias in (weights[2], weights[5]):
            bias[len(bias) // 4 : len(bias) // 2] = 30
        layer.set_weights(weights)


def results(layer, x):
    """Output, and gradients by input and weights."""
    return [output(layer, x), *gradients(layer, x, signal(*x.shape[:2], 10, seed=2))]


def difference(some, others):
    """The largest of any, as a share of the largest of its kind."""
    pairs = zip(some, others, strict=True)
    return max(np.abs(one - other).max() / np.abs(other).max() for one, other in pairs)


@pytest.mark.parametrize("remembers", [False, True])
@pytest.mark.parametrize("time", [2_048, 2_900])
def test_windows_give_what_the_whole_gives(four_windows, monkeypatch, remembers, time):
    """As close as in `test_gradients_in_float32`, with states that are forgotten or not."""
    _, fast = pair("sum", 10)
    if remembers:
        remember([fast])
    x = signal(2, time, 10)
    found = results(fast, x)
    monkeypatch.setattr(recurrent, "WINDOWS", 1)
    assert difference(found, results(fast, x)) <= 1e-5


def test_what_is_remembered_is_not_cut(four_windows, monkeypatch):
    """Run once, windows give as good a result where states are forgotten, and only there."""
    monkeypatch.setattr(recurrent, "_alike", lambda some, _: ops.max(some[0]) < np.inf)
    (stock, fast), x = pair("sum", 10), signal(2, 2_900, 10)
    assert difference(results(fast, x), results(stock, x)) <= 1e-5
    remember([stock, fast])
    assert difference(results(fast, x), results(stock, x)) > 1e-2


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX compiles whatever it runs")
@pytest.mark.parametrize("name", ["described", "released"])
def test_trained_weights_forget(name, monkeypatch):
    """So windows are run once, or twice; also over the zeros behind a trace that is shorter."""
    import tensorflow as tf

    found, alike = [], recurrent._alike
    monkeypatch.setattr(
        recurrent, "_alike", lambda *states: found.append(alike(*states)) or found[-1]
    )
    network = load_network(name)
    x = np.random.default_rng(0).normal(0, 1, (2, recurrent.WINDOWS * recurrent.MARGIN, 1))
    x[1, 9_000:] = 0
    ids = np.zeros((*x.shape[:2], network.inputs[1].shape[-1]))
    ids[..., 0] = 1
    with tf.GradientTape() as tape:
        total = ops.sum(network([x, ids], training=True))
    tape.gradient(total, network.trainable_weights)
    assert sum(map(bool, found)) == 4  # two directions, to and fro
    assert len(found) <= 8


def test_saturated_gates_pass_no_gradient():
    _, fast = pair("sum", 2, 2)
    fast.set_weights([weight * 0 + 30 for weight in fast.get_weights()])  # all gates at 1
    by_input, *_ = gradients(fast, signal(1, 5, 2), np.ones((1, 5, 2), np.float32))
    assert np.isfinite(by_input).all()


@pytest.mark.parametrize("jit_compile", [True, False])
def test_trains_compiled_or_not(jit_compile):
    keras.utils.set_random_seed(0)
    lstm = keras.layers.LSTM(4, return_sequences=True, recurrent_activation=hard_sigmoid)
    network = keras.Sequential([keras.Input((None, 3)), Bidirectional(lstm, merge_mode="sum")])
    network.compile("adam", "mse", jit_compile=jit_compile)
    x, y = signal(4, 50, 3), signal(4, 50, 4, seed=3) * 0.1
    losses = network.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_same_names_shapes_and_order_as_the_stock_layer():
    stock, fast = pair("concat", 10)
    described = [(weight.path, tuple(weight.shape)) for weight in stock.weights]
    assert [(weight.path, tuple(weight.shape)) for weight in fast.weights] == described
    assert described[0] == ("bidirectional/forward_lstm/lstm_cell/kernel", (10, 40))


def test_configuration_comes_back():
    _, fast = pair("sum", 10)
    again = Bidirectional.from_config(fast.get_config())
    assert again.merge_mode == "sum"
    assert again.forward_layer.cell.recurrent_activation is hard_sigmoid


@pytest.mark.parametrize(
    "lstm",
    [
        {"units": 3, "return_sequences": True, "recurrent_activation": "relu"},
        {"units": 3, "recurrent_activation": hard_sigmoid},
        {"units": 3, "recurrent_activation": hard_sigmoid, "return_sequences": True, "dropout": 1},
    ],
)
def test_other_recurrences_are_refused(lstm):
    with pytest.raises(ValueError, match=r"use keras\.layers\.Bidirectional"):
        Bidirectional(keras.layers.LSTM(**lstm))


def test_other_merge_modes_are_refused():
    lstm = keras.layers.LSTM(3, return_sequences=True, recurrent_activation=hard_sigmoid)
    with pytest.raises(ValueError, match="must be 'concat' or 'sum', not 'ave'"):
        Bidirectional(lstm, merge_mode="ave")


RESUME = "training/test_run.py::test_resumed_run_ends_bit_for_bit_as_the_uninterrupted"


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="this is the other process")
@pytest.mark.slow
@pytest.mark.parametrize(
    "tests", ["network/test_recurrent.py", "training/test_losses.py", "test_parity.py", RESUME]
)
def test_on_jax(tests):
    pytest.importorskip("jax")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", Path(__file__).parents[1] / tests],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:]
    assert " passed" in run.stdout or "SPIKEFINDER_DATA names no folder" in run.stdout


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX knows all shapes")
def test_states_keep_their_shape_beside_inputs_of_unknown_shape():
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([3, 1, None])])
    def add_up(x):
        def step(carry, now):
            return (carry[0] + now[0],), (carry[0],)

        return recurrent._scan(step, (tf.zeros((1, 1)),), (x,))[0][0]

    assert add_up(tf.ones((3, 1, 1))).numpy().tolist() == [[3.0]]
