"""What an array is, for annotations; its shape and unit stand in the docstring.

A trace or a table of traces is of floats, NaN where missing. Inside the package tables are
`(time, neuron)`, unless a docstring says otherwise.
"""

from typing import Any, TypeAlias

from numpy.typing import ArrayLike, NDArray

__all__ = ["Array", "ArrayLike", "Mask", "Numbers", "Rates", "Table", "Times", "Trace"]

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
