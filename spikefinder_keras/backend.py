"""Keras, loaded in one place: without what its backend prints, or with a line on how to install it.

Importing this module takes seconds; only what builds or trains a Keras network does.
"""

from .terminal import import_keras

import_keras(progress=False)

import keras  # noqa: E402

__all__ = ["keras"]
