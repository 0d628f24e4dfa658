"""What an array is, for annotations; its shape stands in the docstring.

A trace or a table of traces is of floats, NaN where missing. Inside the package tables are
`(time, neuron)`, unless a docstring says otherwise.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Array", "ArrayLike", "Mask", "Numbers", "Rates", "Table", "Times", "Trace"]

Array: TypeAlias = NDArray[Any]
"""Of any kind of number."""

Trace: TypeAlias = NDArray[np.floating]
"""One neuron's fluorescence or calcium over time, `(frame,)` or `(sample,)`."""

Table: TypeAlias = NDArray[np.floating]
"""Traces of several neurons, `(time, neuron)`."""

Rates: TypeAlias = NDArray[np.floating]
"""Spike rates, of one neuron `(time,)` or of several `(time, neuron)`."""

Times: TypeAlias = NDArray[np.float64]
"""Time stamps or spike times in s."""

Mask: TypeAlias = NDArray[np.bool_]

Numbers: TypeAlias = NDArray[np.integer]
"""Whole numbers that count or choose: neurons, frames, dataset IDs."""
