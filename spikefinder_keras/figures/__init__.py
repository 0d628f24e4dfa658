"""Whatever is drawn, by subject: arrays in, axes out. Networks, traces, correlations, training; all
figures of a submission (`gallery`); the page of a recording.

A figure is drawn into `ax`, by default new axes, which it returns; NaN is a value that is missing.

Not here: what is drawn; the numbers come from the other rooms.
"""

from ..errors import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "network": ["kernels", "network_diagram"],
        "traces": ["dataset_ids", "predictions"],
        "correlations": ["differences", "scores", "scores_by_rate"],
        "training": ["learning_curves"],
        "style": ["save", "sign"],
        "gallery": ["make_figures"],
        "recording_page": ["example_traces", "rate_map", "write_report"],
    },
)
