"""convi6, the spike-rate network that came second in the 2017 Spikefinder competition.

The public names below load what they need when first used, so that importing the package is
instant. Each room says in its first lines what lives there.
"""

from typing import Any

import lazy_loader

__version__ = "0.2.0"

_load, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "errors": ["SpikefinderError"],
        "datasets": ["DATASETS"],
        "files": ["fetch_data", "fetch_weights"],
        "network": [
            *("build_network", "load_network", "load_weights", "save_weights", "predict_calcium"),
        ],
        "competition": ["read_csv", "read_set", "score", "simulate", "write_csv"],
        "competition.submission": ["submission"],
        "recordings": ["predict", "read_recording", "write_prediction"],
        "figures": ["example_traces"],
        "view": ["view_prediction"],
        "training": ["pearson_loss", "pearson_loss_per_trace"],
    },
)


_OF_PYTHON = (
    *("predict", "read_recording", "score", "write_prediction", "example_traces"),
    "view_prediction",
)


def __getattr__(name: str) -> Any:
    value = _load(name)
    # What the command line calls as well speaks of its options; here it speaks of parameters.
    if name in _OF_PYTHON:
        from .errors import in_python

        value = globals()[name] = in_python(value)
    return value
