"""Simulated recordings: spike trains, what indicators make of them, and what a microscope sees.

Not here: the tables in the competition's form that are made of them (`competition.simulated_data`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"spike_trains": ["simulated_recordings"]}
)
