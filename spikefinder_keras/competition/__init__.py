"""The Spikefinder competition: its tables, its scores, the published results, a simulation of it,
and the whole submission.

Not here: recordings of any other form (`recordings`).
"""

from ..errors import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "tables": ["read_csv", "read_set", "write_csv"],
        "scoring": ["score"],
        "simulated_data": ["simulate"],
        "submission": ["find_data", "score_table"],
    },
)
