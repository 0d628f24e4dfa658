"""A network as a list of layers: what the Keras model, the ONNX model, the shapes of the weights,
the table of layers and Figure 1 are made from.

The lists themselves are in `convi6` and `universal`, written as Keras' functional API is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..console import text_table

DIRECTIONS = ("forward", "backward")
"""The two directions of an LSTM, as their weights are named and stacked."""


@dataclass(frozen=True)
class Layer:
    """A layer, the names of the earlier ones that feed it, and its options.

    Its kind is "input" (channels), "convolution" (filters, taps, activation, and optionally stride;
    'same' padding), "lstm" (units, merge_mode; bidirectional, tanh and hard sigmoid, or another
    sigmoid as gates), "normalization" (of batches), "rms" (root-mean-square norm over channels),
    "activation" (activation), "dropout" (rate), "repeat" (each sample twice), "concatenate" or
    "add".
    """

    name: str
    kind: str
    sources: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


class Spec(list[Layer]):
    """The layers of a network, the inputs first; the last one is its output.

    Each method adds a layer and returns its name, as a Keras layer takes a tensor and returns one.
    """

    def add(self, name: str, kind: str, *sources: str, **options: Any) -> str:
        """Add a layer of any kind."""
        self.append(Layer(name, kind, sources, options))
        return name

    def input(self, name: str, channels: int) -> str:
        """`(batch, time, channels)`."""
        return self.add(name, "input", channels=channels)

    def conv(
        self, name: str, x: str, filters: int, taps: int, activation: str | None, **options: Any
    ) -> str:
        """A convolution over time with 'same' padding: `(batch, time, filters)`."""
        return self.add(
            name, "convolution", x, filters=filters, taps=taps, activation=activation, **options
        )

    def sum(self, name: str, *sources: str) -> str:
        """Two layers with as many channels, added."""
        return self.add(name, "add", *sources)

    def concatenate(self, name: str, *sources: str) -> str:
        """The channels of two layers, one after the other."""
        return self.add(name, "concatenate", *sources)


def channels(spec: Sequence[Layer]) -> dict[str, int]:
    """Output channels of each layer, by name."""
    found: dict[str, int] = {}
    for layer in spec:
        options = layer.options
        if layer.kind == "lstm":
            found[layer.name] = options["units"] * (2 if options["merge_mode"] == "concat" else 1)
        elif layer.kind == "concatenate":
            found[layer.name] = sum(found[name] for name in layer.sources)
        elif stated := options.get("channels", options.get("filters")):
            found[layer.name] = stated
        else:
            found[layer.name] = found[layer.sources[0]]
    return found


def shapes_of(spec: Sequence[Layer]) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of a network by their names, `convolution_1/kernel` and so on."""
    width, shapes = channels(spec), dict[str, tuple[int, ...]]()
    for layer in spec:
        name, options = layer.name, layer.options
        if layer.kind == "convolution":
            taps, filters = options["taps"], options["filters"]
            shapes[f"{name}/kernel"] = (taps, width[layer.sources[0]], filters)
            shapes[f"{name}/bias"] = (filters,)
        elif layer.kind == "normalization":
            for weight in ("gamma", "beta", "moving_mean", "moving_variance"):
                shapes[f"{name}/{weight}"] = (width[name],)
        elif layer.kind == "rms":
            shapes[f"{name}/scale"] = (width[name],)
        elif layer.kind == "lstm":
            units = options["units"]
            for direction in DIRECTIONS:  # the four gates side by side, as Keras has them
                shapes[f"{direction}_lstm/kernel"] = (width[layer.sources[0]], 4 * units)
                shapes[f"{direction}_lstm/recurrent_kernel"] = (units, 4 * units)
                shapes[f"{direction}_lstm/bias"] = (4 * units,)
    return shapes


def parameter_count(spec: Sequence[Layer]) -> int:
    """Number of weights, those included that batch normalisation only measures."""
    return sum(math.prod(shape) for shape in shapes_of(spec).values())


def layer_table(spec: Sequence[Layer], name: str) -> str:
    """A network as text: name, kind, output channels, weights, what feeds each layer."""
    rows, width, done = [("layer", "kind", "output", "weights", "from")], channels(spec), 0
    for number, layer in enumerate(spec, 1):
        output = f"(batch, time, {width[layer.name]})"
        count = parameter_count(spec[:number])
        sources = ", ".join(layer.sources)
        rows.append((layer.name, _in_words(layer), output, f"{count - done:,}", sources))
        done = count
    return f"{text_table(rows, right=(3,))}\n{name}: {done:,} parameters"


_IN_WORDS = {
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


def _in_words(layer: Layer) -> str:
    options = layer.options
    text = _IN_WORDS[layer.kind].format(**options)
    if layer.kind == "convolution" and options.get("stride", 1) > 1:
        text += f", stride {options['stride']}"
    if layer.kind == "convolution" and options["activation"]:
        text += f", {options['activation']}"
    return text
