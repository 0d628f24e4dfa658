"""What an array is, for annotations, and how numpy is to calculate with it. Shape and unit of an
array stand in the docstring that has it.

A trace or a table of traces is of floats, NaN where missing. Inside the package tables are
`(time, neuron)`, unless a docstring says otherwise.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Array", "ArrayLike", "Mask", "Numbers", "Rates", "Table", "Times", "Trace", "numpy_settings"
]  # fmt: skip

Array: TypeAlias = NDArray[Any]
"""An array of numbers of any kind."""

Trace: TypeAlias = NDArray[Any]
"""One neuron's fluorescence or calcium over time, `(frame,)` or `(sample,)`."""

Table: TypeAlias = NDArray[Any]
"""Traces of several neurons, `(time, neuron)`."""

Rates: TypeAlias = NDArray[Any]
"""Spike rates, of one neuron `(time,)` or of several `(time, neuron)`."""

Times: TypeAlias = NDArray[Any]
"""Time stamps or spike times in s, float64."""

Mask: TypeAlias = NDArray[Any]
"""Truth values."""

Numbers: TypeAlias = NDArray[Any]
"""Whole numbers that count or choose: neurons, frames, dataset IDs."""


def numpy_settings() -> np.errstate:
    """Numpy's usual settings of what to warn of, whatever the user's; each thread needs it anew."""
    return np.errstate(divide="warn", over="warn", invalid="warn", under="ignore")
