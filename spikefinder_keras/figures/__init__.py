"""Whatever is drawn: plots from arrays, the network's diagram, the gallery of a submission, and the
page on how far to trust a prediction.

Not here: what is drawn; the numbers come from the other rooms.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "plots": [
            "dataset_ids",
            "differences",
            "kernels",
            "learning_curves",
            "predictions",
            "scores",
            "scores_by_rate",
        ],
        "diagram": ["network_diagram"],
        "style": ["save", "sign"],
        "gallery": ["make_figures"],
        "trust_report": ["example_traces", "rate_map", "write_report"],
    },
)
