"""convi6, the spike-rate network that came second in the 2017 Spikefinder competition.

The public names below load what they need when first used, so that importing the package is
instant.
"""

from importlib import import_module

__version__ = "0.1.0"

_PUBLIC = {
    "SpikefinderError": "errors",
    "DATASETS": "datasets",
    "read_csv": "datasets",
    "write_csv": "datasets",
    "read_set": "datasets",
    "fetch_data": "download",
    "fetch_weights": "download",
    "simulate": "simulation",
    "build_network": "network",
    "load_network": "weights",
    "load_weights": "weights",
    "save_weights": "weights",
    "predict": "own_recordings",
    "predict_calcium": "prediction",
    "read_recording": "formats",
    "write_prediction": "formats",
    "calibrate": "fit_calibration",
    "submission": "competition",
    "score": "scoring",
    "pearson_loss": "losses",
    "pearson_loss_per_trace": "losses",
}

__all__ = list(_PUBLIC)


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__():
    return sorted([*globals(), *_PUBLIC])
