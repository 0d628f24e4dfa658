"""Training: the run of 2017, its traces, its loss; that of `universal` and what is fitted for it;
experiments.

Here: whatever changes weights. Not here: the network itself (`network`), or how its rates are
scored (`competition.scoring`).
"""

from ..errors import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "convi6": ["Run", "resume", "train"],
        "settings": ["Settings"],
        "losses": ["pearson_loss", "pearson_loss_per_trace"],
    },
    plain=("pearson_loss", "pearson_loss_per_trace"),  # Keras calls them
)
