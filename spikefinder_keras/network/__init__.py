"""The network: its layers, built in Keras and as the ONNX graph that predicts; its recurrent layer,
its weights, and calcium in, rates out.

Not here: how it is trained (`training`), and where its input comes from.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "keras_model": ["build_network"],
        "spec": ["convi6_layers", "layer_table"],
        "engine": ["load_engine"],
        "loading": ["load_network", "load_weights", "save_weights"],
        "predict": ["predict_calcium"],
    },
)
