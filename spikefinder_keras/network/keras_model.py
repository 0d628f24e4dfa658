"""The Keras network, built from its layers (`layers`)."""

import functools

from ..constants import DATASET_COUNT
from ..keras_backend import DTYPE, keras, own_settings
from .recurrent import Bidirectional, hard_sigmoid
from .spec import FILTERS, LSTM_UNITS, TAPS, convi6_layers


def build_network(
    variant="described",
    filters=FILTERS,
    taps=TAPS,
    lstm_units=LSTM_UNITS,
    dropout=None,
    datasets=DATASET_COUNT,
    id_joins="before",
    batch_normalization=False,
    lstm_joins=None,
    lstm_reads="output",
    gates="hard_sigmoid",
):
    """Build the convi6 network with random weights, not compiled.

    Parameters
    ----------
    variant : "described" or "released"
        See `layers.VARIANTS`.
    filters, taps : sequences of int
        Output channels and kernel lengths of the convolutions; at least four, the last of one
        channel. In `described`, the third must have `lstm_units` channels.
    lstm_units : int
        In each direction.
    dropout : sequence of float, optional
        Rates after the first convolutions; by default the variant's.
    datasets : int
        Channels of the one-hot dataset ID.
    id_joins : "before", "after" or "nowhere"
        Where the dataset ID joins the trunk, seen from the LSTM: before the third convolution (as
        published), before the fourth, or nowhere; then the network has no such input.
    batch_normalization : bool
        Normalise between each convolution and its activation, except the last; the authors tried
        it and found it worse.
    lstm_joins : "sum", "concat" or "absent", optional
        Its states are summed and added to the third convolution's output, or concatenated to it, or
        there is no LSTM; by default as the variant says.
    lstm_reads : "output" or "input"
        Of the third convolution: its output, as in the figure of 2017, the program and the weights,
        or its input, as the text says.
    gates : "hard_sigmoid" or "sigmoid"
        That of Keras 2.0, or the logistic function. Weights with the latter cannot be saved: their
        file would not tell.

    Returns
    -------
    keras.Model
        Inputs `calcium` `(batch, time, 1)`, preprocessed as the competition's at 100 Hz, and
        `dataset` `(batch, time, datasets)`, one-hot and constant over time; output the
        spike rate `(batch, time, 1)`, between 0 and 1 and without a unit: the published loss is
        blind to its scale. Glorot-uniform kernels, orthogonal recurrent kernels, forget-gate biases
        of 1 and all other biases 0, as in Keras 2.0.

    Raises
    ------
    UsageError
        If an argument is outside the above.
    """
    described = convi6_layers(
        variant,
        filters,
        taps,
        lstm_units,
        dropout,
        datasets,
        id_joins,
        batch_normalization,
        lstm_joins,
        lstm_reads,
        gates,
    )
    return build(described, f"convi6_{variant}")


@own_settings()
def build(layers, name):
    """Build a `keras.Model` from a list of `layers.Layer`; the last one is its output.

    It is of float32 and has channels last, also where Keras is told otherwise.
    """
    tensors, inputs = {}, []
    for layer in layers:
        sources = [tensors[source] for source in layer.sources]
        if layer.kind == "input":
            tensor = keras.Input((None, layer.options["channels"]), dtype=DTYPE, name=layer.name)
            inputs.append(tensor)
        else:
            made = _MAKERS[layer.kind](name=layer.name, dtype=DTYPE, **layer.options)
            tensor = made(sources if len(sources) > 1 else sources[0])
        tensors[layer.name] = tensor
    return keras.Model(inputs, tensor, name=name)


def _convolution(filters, taps, activation, name, dtype, stride=1):
    return keras.layers.Conv1D(
        filters,
        taps,
        strides=stride,
        padding="same",
        data_format="channels_last",
        activation=activation,
        name=name,
        dtype=dtype,
    )


def _lstm(units, merge_mode, name, dtype, gates="hard_sigmoid"):
    lstm = keras.layers.LSTM(
        units,
        return_sequences=True,
        recurrent_activation=hard_sigmoid if gates == "hard_sigmoid" else gates,
        name="lstm",
        dtype=dtype,
    )
    return Bidirectional(lstm, merge_mode=merge_mode, name=name, dtype=dtype)


_MAKERS = {
    "convolution": _convolution,
    "lstm": _lstm,
    "normalization": keras.layers.BatchNormalization,
    "rms": keras.layers.RMSNormalization,
    "repeat": functools.partial(keras.layers.UpSampling1D, 2),
    "activation": keras.layers.Activation,
    "dropout": keras.layers.Dropout,
    "concatenate": keras.layers.Concatenate,
    "add": keras.layers.Add,
}
