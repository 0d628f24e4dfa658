"""Keras, loaded in one place: without what its backend prints, or with a line on how to install it.

Importing this module takes seconds; only what builds or trains a Keras network does.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from .console import import_keras

import_keras(progress=False)

import keras  # noqa: E402

__all__ = ["keras", "own_settings"]

DTYPE = "float32"
_SETTINGS = {
    "floatx": DTYPE,
    "dtype_policy": DTYPE,
    "image_data_format": "channels_last",
    "epsilon": 1e-7,
}


@contextmanager
def own_settings() -> Iterator[None]:
    """Set Keras' global settings to their defaults, whatever the process or `keras.json` says.

    Layers state theirs; optimisers, losses and pooling ask for the global ones.
    """
    before = {name: getattr(keras.config, name)() for name in _SETTINGS}
    try:
        for name, value in _SETTINGS.items():
            getattr(keras.config, f"set_{name}")(value)
        yield
    finally:
        for name, value in before.items():
            getattr(keras.config, f"set_{name}")(value)
