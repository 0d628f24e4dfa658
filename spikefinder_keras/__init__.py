"""convi6, the spike-rate network that came second in the 2017 Spikefinder competition.

The public names below load what they need when first used, so that importing the package is
instant. Each room says in its first lines what lives there.
"""

from .errors import public

__version__ = "0.2.0"

_LOSSES = ("pearson_loss", "pearson_loss_per_trace")  # Keras calls them

__getattr__, __dir__, __all__ = public(
    __name__,
    {
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
        "training": [*_LOSSES],
    },
    plain=_LOSSES,
)
