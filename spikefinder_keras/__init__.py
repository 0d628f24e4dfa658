"""convi6, the spike-rate network that came second in the 2017 Spikefinder competition.

The public names below load what they need when first used, so that importing the package is
instant. Each room says in its first lines what lives there.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
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
        "training": ["pearson_loss", "pearson_loss_per_trace"],
    },
)
