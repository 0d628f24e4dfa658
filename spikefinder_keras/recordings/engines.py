"""What computes a network: the engine that starts at once, or Keras to compare with."""

from ..console import import_keras
from ..errors import UsageError

ENGINES = ("fast", "keras")


def choose_engine(path, engine="fast", progress=False):
    """Load a weights file into an engine.

    Parameters
    ----------
    path : str or Path
    engine : "fast" or "keras"
        What starts at once, or Keras to compare with.
    progress : bool
        Say on the terminal that Keras is loading.

    Returns
    -------
    convi6_engine.Convi6Engine, universal_engine.UniversalEngine or keras.Model
    str
        Its name for descriptions.

    Raises
    ------
    UsageError
        If there is no such engine.
    WeightsError
        If the weights cannot be used.
    """
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine}? choose from {', '.join(ENGINES)}")
    if engine == "fast":
        from ..network.engine import load_engine

        network = load_engine(path)
        return network, network.name
    import_keras(progress)
    from ..network.loading import load_network

    return load_network(path), "Keras, float32"
