"""Every neuron to look at, in a browser: one page (`page`) or a window that is served (`server`),
both drawn (`drawing`) from a source of any size (`source`).

Not here: pictures that stand still (`figures`), and what is looked at, which the other rooms make.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "page": ["view_prediction", "write_page"],
        "source": ["PredictionSource", "Source"],
    },
)
