"""The networks: convi6 as the description of 2017 has it and `universal`, both as lists of layers;
what is made of a list (the Keras model, the ONNX model, shapes, a table), weights, and calcium in,
rates out.

Not here: how they are trained (`training`), and where their input comes from.
"""

from ..errors import public

ENGINES = ("fast", "keras")  # what starts at once, or Keras to compare with; see `engine`

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "convi6": ["Architecture"],
        "spec": ["layer_table"],
        "keras_model": ["build_network", "load_network", "load_weights", "save_weights"],
        "engine": ["load_engine"],
        "predict": ["predict_calcium"],
    },
)
