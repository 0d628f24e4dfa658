"""The state of a run in one file, replaced as a whole: the network, and what is said of it."""

import json

import numpy as np

from ..errors import DataError, TrainingError
from ..files.atomic import whole_file
from ..files.npz import read_npz


def save_checkpoint(path, network, about):
    """Write all of a compiled network that changes in training, and `about`, a dict for JSON."""
    variables = {f"variable_{k}": np.asarray(v) for k, v in enumerate(_state(network))}
    about = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, about=about, **variables)


def load_checkpoint(path, network, check):
    """Set a compiled network to what `save_checkpoint` wrote of one like it; all of it, or nothing.

    Parameters
    ----------
    path : Path
    network : keras.Model
    check : function of `about`
        Raises ValueError, KeyError or TypeError where it is not what this run wrote.

    Returns
    -------
    dict
        The `about`.

    Raises
    ------
    TrainingError
        If the file is damaged or of another network.
    """
    try:
        arrays = read_npz(path)
        about = json.loads(arrays.pop("about").tobytes())
        check(about)
        state = _state(network)
        values = [arrays[f"variable_{k}"] for k in range(len(state))]
        fits = all(tuple(s.shape) == v.shape for s, v in zip(state, values, strict=True))
        if not fits or len(arrays) != len(state):
            raise ValueError("other variables")
    except (DataError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise TrainingError(f"{path} is damaged or of another version; start a new run") from error
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
    return about


def _state(network):
    """Weights, dropout's random state, and the optimiser's."""
    return [*network.variables, *network.optimizer.variables]
