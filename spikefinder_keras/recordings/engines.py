"""What computes a network: ONNX Runtime, or Keras to compare with."""

from ..errors import UsageError
from ..terminal import import_keras

ENGINES = ("onnx", "keras")


def choose_engine(path, engine="onnx", progress=False):
    """Load a weights file into an engine.

    Parameters
    ----------
    path : str or Path
    engine : "onnx" or "keras"
        ONNX Runtime, which starts at once, or Keras.
    progress : bool
        Say on the terminal that Keras is loading.

    Returns
    -------
    engine.Engine, engine.UniversalEngine or keras.Model, and its name for descriptions

    Raises
    ------
    UsageError
        If there is no such engine.
    WeightsError
        If the weights cannot be used.
    """
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine}? choose from {', '.join(ENGINES)}")
    if engine == "onnx":
        from ..network.engine import load_engine

        network = load_engine(path)
        return network, network.name
    import_keras(progress)
    from ..network.loading import load_network

    return load_network(path), "Keras, float32"
