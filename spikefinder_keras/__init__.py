"""convi6, the spike-rate network that came second in the 2017 Spikefinder competition.

The public names below load what they need when first used, so that importing the package is
instant.
"""

from importlib import import_module

__version__ = "0.1.0"

_PUBLIC = {
    "SpikefinderError": "errors",
    "DATASETS": "datasets",
    "read_csv": "competition.tables",
    "write_csv": "competition.tables",
    "read_set": "competition.tables",
    "fetch_data": "files.download",
    "fetch_weights": "files.download",
    "simulate": "competition.simulation",
    "build_network": "network.architecture",
    "load_network": "network.weights",
    "load_weights": "network.weights",
    "save_weights": "network.weights",
    "predict": "recordings.pipeline",
    "predict_calcium": "network.prediction",
    "read_recording": "recordings.formats",
    "write_prediction": "recordings.formats",
    "calibrate": "recordings.fit_calibration",
    "submission": "competition.submission",
    "score": "competition.scoring",
    "pearson_loss": "training.losses",
    "pearson_loss_per_trace": "training.losses",
}

__all__ = list(_PUBLIC)


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__():
    return sorted([*globals(), *_PUBLIC])
