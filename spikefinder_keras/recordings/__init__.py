"""Somebody's own recording: its files (`formats`), its way to the network's input and back
(`preparation`, `universal_preparation`, `pipeline`), the networks on that way (`universal`,
`convi6`), its trust; and recordings with known spikes.

Not here: the competition's own tables and treatment (`competition`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "pipeline": ["predict"],
        "recording": ["Prediction", "Recording", "as_recording"],
        "formats": ["read_recording", "to_pynapple", "write_prediction"],
        "convi6": ["choose_datasets"],
        "trust_words": ["trust_table"],
    },
)
