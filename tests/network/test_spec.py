"""The graph against the published tables."""

import keras
import numpy as np
import pytest

from spikefinder_keras.errors import UsageError
from spikefinder_keras.network.convi6 import Architecture, convi6
from spikefinder_keras.network.keras_model import build_network, set_weights
from spikefinder_keras.network.recurrent import Bidirectional, hard_sigmoid
from spikefinder_keras.network.spec import layer_table
from spikefinder_keras.network.weights import weight_shapes


@pytest.fixture(scope="module", params=["described", "released"])
def network(request):
    return build_network(request.param)


def layers_of(network, kind):
    return [layer for layer in network.layers if isinstance(layer, kind)]


def test_parameters():
    assert build_network("released").count_params() == 8_157
    assert build_network("described").count_params() == 7_357


def test_convolutions(network):
    convolutions = layers_of(network, keras.layers.Conv1D)
    sizes = [(c.filters, *c.kernel_size) for c in convolutions]
    assert sizes == [(10, 300), (10, 10), (10, 5), (8, 5), (4, 5), (2, 5), (2, 5), (1, 5)]
    names = [c.activation.__name__ for c in convolutions]
    assert names == ["tanh", *["relu"] * 6, "sigmoid"]
    assert all(c.padding == "same" and c.strides == (1,) for c in convolutions)


def test_dropout_rates():
    rates = {
        variant: [d.rate for d in layers_of(build_network(variant), keras.layers.Dropout)]
        for variant in ("described", "released")
    }
    assert rates == {"described": [0.3, 0.2, 0.1, 0.1, 0.1], "released": [0.3, 0.2, 0.1, 0.1]}


def test_dataset_joins_before_the_third_convolution(network):
    join = network.get_layer("join_dataset")
    assert join.output.shape[-1] == 20
    assert network.get_layer("convolution_3").input is join.output


def test_lstm_joins_before_the_fourth_convolution():
    described, released = build_network("described"), build_network("released")
    assert isinstance(described.get_layer("join_lstm"), keras.layers.Add)
    assert isinstance(released.get_layer("join_lstm"), keras.layers.Concatenate)
    assert described.get_layer("convolution_4").kernel.shape == (5, 10, 8)
    assert released.get_layer("convolution_4").kernel.shape == (5, 30, 8)


def test_hard_sigmoid_is_keras_2s():
    x = np.array([-3.0, -2.5, -1.0, 0.0, 1.0, 2.5, 3.0], np.float32)
    expected = [0.0, 0.0, 0.3, 0.5, 0.7, 1.0, 1.0]
    np.testing.assert_allclose(np.asarray(hard_sigmoid(x)), expected, atol=1e-7)
    lstm = build_network().get_layer("bidirectional").forward_layer
    assert lstm.cell.recurrent_activation is hard_sigmoid


def test_initial_weights_are_keras_2s():
    keras.utils.set_random_seed(0)
    network = build_network()
    bias = np.asarray(network.get_layer("bidirectional").forward_layer.cell.bias)
    np.testing.assert_array_equal(bias, [0] * 10 + [1] * 10 + [0] * 20)
    recurrent = np.asarray(network.get_layer("bidirectional").forward_layer.cell.recurrent_kernel)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(10), atol=1e-6)  # float32 QR
    kernel = np.asarray(network.get_layer("convolution_1").kernel)
    limit = np.sqrt(6 / (300 + 3000))
    assert limit * 0.98 < np.abs(kernel).max() <= limit


def test_even_kernels_pad_as_tensorflow():
    """300 taps: 149 zeros on the left. An impulse comes out as the kernel, reversed, 150 early."""
    network = build_network()
    layer = network.get_layer("convolution_1")
    impulse = np.zeros((1, 1000, 1), np.float32)
    impulse[0, 500] = 1.0
    bare = keras.ops.conv(impulse, layer.kernel, padding="same")
    expected = np.zeros((1000, 10), np.float32)
    expected[350:650] = np.asarray(layer.kernel)[::-1, 0]
    np.testing.assert_allclose(np.asarray(bare)[0], expected, atol=1e-7)


@pytest.mark.parametrize("id_joins", ["before", "after", "nowhere"])
@pytest.mark.parametrize("variant", ["described", "released"])
def test_where_the_dataset_joins(id_joins, variant):
    network = build_network(variant, id_joins=id_joins, datasets=7)
    assert len(network.inputs) == (1 if id_joins == "nowhere" else 2)
    shapes = weight_shapes(variant, id_joins=id_joins, datasets=7)
    set_weights(network, {name: np.zeros(shape) for name, shape in shapes.items()})
    inputs = [np.zeros((2, 64, 1)), np.zeros((2, 64, 7))][: len(network.inputs)]
    np.testing.assert_array_equal(np.asarray(network(inputs)), np.full((2, 64, 1), 0.5))


def test_batch_normalization_and_other_sizes():
    network = build_network(
        "released",
        filters=(4, 5, 6, 3, 1),
        taps=(30, 4, 3, 3, 3),
        lstm_units=7,
        dropout=(0.5, 0),
        batch_normalization=True,
    )
    assert len(layers_of(network, keras.layers.BatchNormalization)) == 4
    assert [d.rate for d in layers_of(network, keras.layers.Dropout)] == [0.5]
    assert network.get_layer("convolution_4").kernel.shape == (3, 6 + 14, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "conv16"}, "no variant 'conv16'; choose from described, released"),
        ({"id_joins": "behind"}, "cannot join 'behind'"),
        ({"filters": (10, 10, 10, 1)}, "must be of one length"),
        ({"filters": (10, 10, 10, 8, 4, 2, 2, 2)}, "must have one channel"),
        ({"lstm_units": 12}, "12 channels cannot be added to the 10"),
        ({"datasets": 0}, "must be at least 1"),
    ],
)
def test_impossible_networks(arguments, message):
    with pytest.raises(UsageError, match=message):
        build_network(**arguments)


@pytest.mark.parametrize(
    "options",
    [{}, {"variant": "released"}, {"id_joins": "nowhere"}, {"batch_normalization": True}],
    ids=str,
)
def test_layer_table_names_every_layer_and_its_source(options):
    network = build_network(**options)
    table = layer_table(convi6(Architecture(**options)), network.name)
    for layer in network.layers:
        (row,) = (line for line in table.splitlines() if line.startswith(f"{layer.name} "))
        assert f" {layer.count_params():,} " in f"{row} "
    assert "Conv1D 10 x 300" in table
    assert table.endswith(f"{network.name}: {network.count_params():,} parameters")


def test_saved_whole_model_comes_back(network, tmp_path):
    """Keras's own file of architecture and weights, through the registered classes."""
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.get_layer("bidirectional"), Bidirectional)
    inputs = [np.random.default_rng(0).normal(size=(2, 300, 1)), np.zeros((2, 300, 10))]
    np.testing.assert_array_equal(np.asarray(loaded(inputs)), np.asarray(network(inputs)))
