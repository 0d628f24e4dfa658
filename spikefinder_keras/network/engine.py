"""The engine that predicts for a weights file, without Keras, and the network as an ONNX file."""

import hashlib

from .. import __version__
from ..files.regular import open_ordinary
from .onnx_model import build_graph
from .universal import LEVELS, are_universal
from .weights import find_weights, layers_of, read_weights

CONVI6_FILE = {
    "input": "calcium at 100 Hz, preprocessed as the Spikefinder competition's",
    "rate": "100 Hz",
    "unit": "arbitrary, between 0 and 1",
    "padding": "put 3000 zeros behind each trace, as the released run of 2017 did",
}
UNIVERSAL_FILE = {
    "input": "four channels at 25 Hz: the two halves of 40 ms in units of the noise and of the "
    "spread, see recordings.universal_preparation",
    "rate": "25 Hz",
    "unit": "proportional to expected spikes",
    "padding": f"a whole number of {2**LEVELS} steps",
}
"""What an exported file says of its input and output."""


def load_engine(name_or_path="described", mirror=None):
    """The engine for a weights file; see `weights.find_weights` for its names.

    Returns
    -------
    convi6_engine.Convi6Engine or universal_engine.UniversalEngine

    Raises
    ------
    WeightsError
        If the file is unreadable or fits no network of this kind.
    UsageError, DownloadError
        See `weights.find_weights`.
    """
    path = find_weights(name_or_path, mirror)
    layers, arrays = layers_of(read_weights(path), path)
    if are_universal(layers):
        from .universal_engine import UniversalEngine

        return UniversalEngine(layers, arrays)
    from .convi6_engine import Convi6Engine

    return Convi6Engine(layers, arrays)


def hash_of(path):
    """sha256 of a weights file."""
    with open_ordinary(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def export(path, weights="described"):
    """Write the network as an ONNX file for other programs and languages.

    Parameters
    ----------
    path : str or Path
        To be written, whole or not at all.
    weights : str or Path
        See `weights.find_weights`.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    OutputError, WeightsError, UsageError, DownloadError
    """
    import onnx

    from ..files.atomic import check_output, whole_file

    path, source = check_output(path), find_weights(weights)
    layers, arrays = layers_of(read_weights(source), source)
    metadata = {
        "software": f"spikefinder-keras {__version__}",
        "weights": str(weights),
        "weights_sha256": hash_of(source),
        **(UNIVERSAL_FILE if are_universal(layers) else CONVI6_FILE),
    }
    model = build_graph(layers, arrays, metadata)
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return model
