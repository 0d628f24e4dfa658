"""The mathematics of traces that every room uses: lines, scales, resampling, noise, correlations.

Arrays in, arrays out. Not here: where traces come from, and what a number says about a neuron.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"preprocess": ["preprocess"]}
)
