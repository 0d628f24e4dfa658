"""The network, in one builder: both published variants and the options around them.

    calcium ─ conv 1 ─ conv 2 ─┬─ conv 3 ─┬──────────────────┬─ conv 4 ─ ... ─ conv 8 ─ rate
                    dataset ID ┘          └─ bidirectional ──┘
                                               LSTM

The 2017 description and the released program disagree on how the LSTM's output joins the trunk:
the text says added, the released weights were trained concatenated. Hence two variants.
"""

from dataclasses import dataclass

import keras
from keras import layers

from ..constants import DATASET_COUNT
from ..errors import UsageError
from ..terminal import text_table
from .recurrent import Bidirectional, hard_sigmoid

FILTERS = (10, 10, 10, 8, 4, 2, 2, 1)
TAPS = (300, 10, 5, 5, 5, 5, 5, 5)
LSTM_UNITS = 10


@dataclass(frozen=True)
class Variant:
    """How the LSTM joins the trunk, and the dropout rates after the first convolutions."""

    merge_mode: str
    dropout: tuple


VARIANTS = {
    "described": Variant("sum", (0.3, 0.2, 0.1, 0.1, 0.1)),
    "released": Variant("concat", (0.3, 0.2, 0.1, 0.1)),
}
"""`described`: forward and backward states are summed and added to the output of the third
convolution; dropout after the first five. `released`: they are concatenated to it; dropout after
the first four. The rates are the released program's; the description names none."""

ID_JOINS = ("before", "after", "nowhere")


def build_network(
    variant="described",
    filters=FILTERS,
    taps=TAPS,
    lstm_units=LSTM_UNITS,
    dropout=None,
    datasets=DATASET_COUNT,
    id_joins="before",
    batch_normalization=False,
):
    """Build the convi6 network with random weights, not compiled.

    Parameters
    ----------
    variant : "described" or "released"
        See `VARIANTS`.
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
    filters, taps = tuple(filters), tuple(taps)
    _check(variant, filters, taps, lstm_units, datasets, id_joins)
    merge_mode = VARIANTS[variant].merge_mode
    dropout = tuple(VARIANTS[variant].dropout if dropout is None else dropout)
    activations = ("tanh", *["relu"] * (len(filters) - 2), "sigmoid")

    calcium = keras.Input((None, 1), name="calcium")
    dataset = keras.Input((None, datasets), name="dataset")
    x = calcium
    for n, (channels, length, activation) in enumerate(
        zip(filters, taps, activations, strict=True), 1
    ):
        if n == {"before": 3, "after": 4}.get(id_joins):
            x = layers.Concatenate(name="join_dataset")([x, dataset])
        normalize = batch_normalization and n < len(filters)
        x = layers.Conv1D(
            channels,
            length,
            padding="same",
            activation=None if normalize else activation,
            name=f"convolution_{n}",
        )(x)
        if normalize:
            x = layers.BatchNormalization(name=f"normalization_{n}")(x)
            x = layers.Activation(activation, name=f"activation_{n}")(x)
        if n <= len(dropout) and dropout[n - 1]:
            x = layers.Dropout(dropout[n - 1], name=f"dropout_{n}")(x)
        if n == 3:
            lstm = layers.LSTM(
                lstm_units,
                return_sequences=True,
                recurrent_activation=hard_sigmoid,
                name="lstm",
            )
            states = Bidirectional(lstm, merge_mode=merge_mode, name="bidirectional")(x)
            join = layers.Add if merge_mode == "sum" else layers.Concatenate
            x = join(name="join_lstm")([x, states])
    inputs = [calcium] if id_joins == "nowhere" else [calcium, dataset]
    return keras.Model(inputs, x, name=f"convi6_{variant}")


def _check(variant, filters, taps, lstm_units, datasets, id_joins):
    if variant not in VARIANTS:
        raise UsageError(f"there is no variant {variant!r}; choose from {', '.join(VARIANTS)}")
    if id_joins not in ID_JOINS:
        raise UsageError(f"the dataset ID cannot join {id_joins!r}; choose {', '.join(ID_JOINS)}")
    if len(filters) != len(taps) or len(filters) < 4 or filters[-1] != 1:
        raise UsageError(
            f"filters {filters} and taps {taps} must be of one length, at least 4, and the last "
            "convolution must have one channel"
        )
    if min(*filters, *taps, lstm_units, datasets) < 1:
        raise UsageError("filters, taps, lstm_units and datasets must be at least 1")
    if VARIANTS[variant].merge_mode == "sum" and filters[2] != lstm_units:
        raise UsageError(
            f"the LSTM's {lstm_units} channels cannot be added to the {filters[2]} of the third "
            "convolution; make them equal, or use the variant 'released'"
        )


def layer_table(network):
    """The network's layers as text: name, kind, output channels, weights, what feeds it."""
    rows = [("layer", "kind", "output", "weights", "from")]
    for layer in network.layers:
        sources = ", ".join(
            tensor._keras_history.operation.name
            for node in layer._inbound_nodes
            for tensor in node.input_tensors
        )
        shape = "(" + ", ".join(["batch", "time", *map(str, layer.output.shape[2:])]) + ")"
        rows.append((layer.name, _kind(layer), shape, f"{layer.count_params():,}", sources))
    return f"{text_table(rows, right=(3,))}\n{network.name}: {network.count_params():,} parameters"


def _kind(layer):
    kind = type(layer).__name__
    if isinstance(layer, layers.Conv1D):
        return f"{kind} {layer.filters} x {layer.kernel_size[0]}, {layer.activation.__name__}"
    if isinstance(layer, Bidirectional):
        return f"LSTM x {layer.forward_layer.units} both ways, {layer.merge_mode}"
    if isinstance(layer, layers.Dropout):
        return f"{kind} {layer.rate}"
    return kind
