"""Somebody's own recording: its files (`formats`) or what it is in memory (`objects`), the
recording that it becomes (`inputs`), its segments, the two networks that predict it (`universal`,
`convi6`), the journey (`pipeline`), where results go (`sinks`), and how far to trust them
(`quality`).

Not here: the competition's own tables and treatment (`competition`), and what is fitted once on
known spikes (`training`).
"""

from ..errors import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "pipeline": ["predict"],
        "inputs": ["as_recording"],
        "recording": ["Prediction", "Recording"],
        "formats": ["read_recording", "to_pynapple", "write_prediction"],
        "convi6": ["choose_datasets"],
        "quality": ["quality_table"],
    },
)
