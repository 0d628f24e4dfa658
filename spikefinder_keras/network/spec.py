"""The network, layer by layer: the one place that says what the architecture is.

    calcium ─ conv 1 ─ conv 2 ─┬─ conv 3 ─┬──────────────────┬─ conv 4 ─ ... ─ conv 8 ─ rate
                    dataset ID ┘          └─ bidirectional ──┘
                                               LSTM

From it `architecture` builds the Keras network, `onnx_graph` the one that predicts, and `weights`
knows every shape. The 2017 description and the released program disagree on how the LSTM's output
joins the trunk: the text says added, the released weights were trained concatenated. Hence two
variants.
"""

import math
from dataclasses import dataclass, field

from ..console import text_table
from ..constants import DATASET_COUNT
from ..errors import UsageError

FILTERS = (10, 10, 10, 8, 4, 2, 2, 1)
TAPS = (300, 10, 5, 5, 5, 5, 5, 5)
LSTM_UNITS = 10
DIRECTIONS = ("forward", "backward")


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
LSTM_JOINS = ("sum", "concat", "absent")
LSTM_READS = ("output", "input")
GATES = ("hard_sigmoid", "sigmoid")


@dataclass(frozen=True)
class Layer:
    """A layer, what feeds it, and its options.

    Attributes
    ----------
    name : str
    kind : str
        "input" (channels), "convolution" (filters, taps, activation, and optionally stride; 'same'
        padding), "lstm" (units, merge_mode; bidirectional, tanh and hard sigmoid, or another
        sigmoid as gates), "normalization"
        (of batches), "rms" (root-mean-square norm over channels), "activation" (activation),
        "dropout" (rate), "repeat" (each sample twice), "concatenate" or "add".
    sources : tuple of str
        Names of earlier layers.
    options : dict
    """

    name: str
    kind: str
    sources: tuple = ()
    options: dict = field(default_factory=dict)


def convi6_layers(
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
    """The layers of convi6, from its inputs to the spike rate.

    Parameters
    ----------
    variant, filters, taps, lstm_units, dropout, datasets, id_joins, batch_normalization, \
    lstm_joins, lstm_reads, gates
        See `architecture.build_network`.

    Returns
    -------
    list of Layer

    Raises
    ------
    UsageError
        If an argument is impossible.
    """
    filters, taps = tuple(filters), tuple(taps)
    merge_mode = VARIANTS[variant].merge_mode if variant in VARIANTS else None
    merge_mode = merge_mode if lstm_joins is None else lstm_joins
    _check(variant, filters, taps, lstm_units, datasets, id_joins, merge_mode, lstm_reads, gates)
    dropout = tuple(VARIANTS[variant].dropout if dropout is None else dropout)
    activations = ("tanh", *["relu"] * (len(filters) - 2), "sigmoid")

    layers = [Layer("calcium", "input", (), {"channels": 1})]
    if id_joins != "nowhere":
        layers.append(Layer("dataset", "input", (), {"channels": datasets}))
    last = "calcium"

    def add(name, kind, *beside, **options):
        nonlocal last
        layers.append(Layer(name, kind, (last, *beside), options))
        last = name

    for n, size in enumerate(zip(filters, taps, activations, strict=True), 1):
        channels, length, activation = size
        if n == {"before": 3, "after": 4}.get(id_joins):
            add("join_dataset", "concatenate", "dataset")
        fed = last
        normalize = batch_normalization and n < len(filters)
        own = None if normalize else activation
        add(f"convolution_{n}", "convolution", filters=channels, taps=length, activation=own)
        if normalize:
            add(f"normalization_{n}", "normalization")
            add(f"activation_{n}", "activation", activation=activation)
        if n <= len(dropout) and dropout[n - 1]:
            add(f"dropout_{n}", "dropout", rate=dropout[n - 1])
        if n == 3 and merge_mode != "absent":
            trunk, last = last, last if lstm_reads == "output" else fed
            kind = {} if gates == "hard_sigmoid" else {"gates": gates}
            add("bidirectional", "lstm", units=lstm_units, merge_mode=merge_mode, **kind)
            states, last = last, trunk
            add("join_lstm", "add" if merge_mode == "sum" else "concatenate", states)
    return layers


def _check(variant, filters, taps, lstm_units, datasets, id_joins, lstm_joins, lstm_reads, gates):
    if variant not in VARIANTS:
        raise UsageError(f"there is no variant {variant!r}; choose from {', '.join(VARIANTS)}")
    if id_joins not in ID_JOINS:
        raise UsageError(f"the dataset ID cannot join {id_joins!r}; choose {', '.join(ID_JOINS)}")
    for what, value, known in (
        ("joins", lstm_joins, LSTM_JOINS),
        ("reads", lstm_reads, LSTM_READS),
        ("has gates", gates, GATES),
    ):
        if value not in known:
            raise UsageError(f"no LSTM {what} {value!r}; choose {', '.join(known)}")
    if len(filters) != len(taps) or len(filters) < 4 or filters[-1] != 1:
        raise UsageError(
            f"filters {filters} and taps {taps} must be of one length, at least 4, and the last "
            "convolution must have one channel"
        )
    if min(*filters, *taps, lstm_units) < 1 or (id_joins != "nowhere" and datasets < 1):
        raise UsageError("filters, taps, lstm_units and datasets must be at least 1")
    if lstm_joins == "sum" and filters[2] != lstm_units:
        raise UsageError(
            f"the LSTM's {lstm_units} channels cannot be added to the {filters[2]} of the third "
            "convolution; make them equal, or use the variant 'released', which concatenates"
        )


def channels(layers):
    """Output channels of each layer, a dict by name."""
    found = {}
    for layer in layers:
        sources = [found[name] for name in layer.sources]
        options = layer.options
        if layer.kind == "lstm":
            found[layer.name] = options["units"] * (2 if options["merge_mode"] == "concat" else 1)
        elif layer.kind == "concatenate":
            found[layer.name] = sum(sources)
        else:
            own = options.get("channels", options.get("filters"))
            found[layer.name] = sources[0] if own is None else own
    return found


def shapes_of(layers):
    """Names and shapes of the weights of layers, a dict: `convolution_1/kernel` and so on."""
    width, shapes = channels(layers), {}
    for layer in layers:
        name, options = layer.name, layer.options
        if layer.kind == "convolution":
            shapes[f"{name}/kernel"] = (
                *(options["taps"], width[layer.sources[0]], options["filters"]),
            )
            shapes[f"{name}/bias"] = (options["filters"],)
        elif layer.kind == "normalization":
            for weight in ("gamma", "beta", "moving_mean", "moving_variance"):
                shapes[f"{name}/{weight}"] = (width[name],)
        elif layer.kind == "rms":
            shapes[f"{name}/scale"] = (width[name],)
        elif layer.kind == "lstm":
            units = options["units"]
            for direction in DIRECTIONS:
                shapes[f"{direction}_lstm/kernel"] = (width[layer.sources[0]], 4 * units)
                shapes[f"{direction}_lstm/recurrent_kernel"] = (units, 4 * units)
                shapes[f"{direction}_lstm/bias"] = (4 * units,)
    return shapes


def parameter_count(layers):
    """Number of weights, those included that batch normalisation only measures."""
    return sum(math.prod(shape) for shape in shapes_of(layers).values())


def layer_table(layers, name):
    """Layers as text: name, kind, output channels, weights, what feeds them."""
    rows, width, done = [("layer", "kind", "output", "weights", "from")], channels(layers), 0
    for number, layer in enumerate(layers, 1):
        output = f"(batch, time, {width[layer.name]})"
        count = parameter_count(layers[:number])
        sources = ", ".join(layer.sources)
        rows.append((layer.name, _kind(layer), output, f"{count - done:,}", sources))
        done = count
    return f"{text_table(rows, right=(3,))}\n{name}: {done:,} parameters"


def _kind(layer):
    options = layer.options
    texts = {
        "input": "input",
        "convolution": "Conv1D {filters} x {taps}",
        "lstm": "LSTM x {units} both ways, {merge_mode}",
        "normalization": "BatchNormalization",
        "rms": "RMSNormalization",
        "repeat": "UpSampling1D 2",
        "activation": "Activation {activation}",
        "dropout": "Dropout {rate}",
        "concatenate": "Concatenate",
        "add": "Add",
    }
    text = texts[layer.kind].format(**options)
    if layer.kind == "convolution" and options.get("stride", 1) > 1:
        text += f", stride {options['stride']}"
    if layer.kind == "convolution" and options["activation"]:
        text += f", {options['activation']}"
    return text
