"""Predictions as pynapple's `TsdFrame`, for analyses in Python."""

import numpy as np

from ...files.sandbox import require


def to_pynapple(prediction):
    """Spike rates as a `pynapple.TsdFrame`.

    Parameters
    ----------
    prediction : Prediction

    Returns
    -------
    pynapple.TsdFrame
        `(frame, neuron)`, time stamps in s; its columns are the names of the neurons, as numbers
        where all of them are.

    Raises
    ------
    UsageError
        If pynapple is not installed.
    """
    require("pynapple", "a TsdFrame", "pynapple")
    import pynapple

    names = list(prediction.names)
    if all(name.isascii() and name.isdigit() for name in names):
        names = [int(name) for name in names]
    return pynapple.TsdFrame(
        t=np.asarray(prediction.times), d=np.asarray(prediction.table), columns=names
    )
