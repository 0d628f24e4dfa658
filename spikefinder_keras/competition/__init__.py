"""The Spikefinder competition: its tables, its scores, the published results, a simulation of it,
and the whole submission.

Not here: recordings of any other form (`recordings`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "tables": ["read_csv", "read_set", "write_csv"],
        "scoring": ["score"],
        "simulated_data": ["simulate"],
        "submission": ["find_data", "score_table"],
    },
)
