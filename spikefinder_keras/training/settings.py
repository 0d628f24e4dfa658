"""What a training run is made of, apart from its data."""

from dataclasses import dataclass, fields
from typing import get_args

import numpy as np

from ..constants import FEW_DATA_WEIGHT
from ..errors import UsageError
from ..network.convi6 import FILTERS, LSTM_UNITS, TAPS

WEIGHTINGS = ("batch", "trace")
OBJECTIVES = ("25 Hz", "12.5 Hz", "6.25 Hz", "mean", "poisson")


@dataclass(frozen=True)
class Settings:
    """What a run is made of; the defaults are the released run's.

    `weighting` is "batch" for the released loss, which weighs a whole batch by the mean weight of
    its traces, or "trace" to weigh each trace by its own. `few_data_weight` is the weight of sets 1
    to 5 relative to the others. `validation` is the share of the traces kept for validation, the
    last in stacking order. `dropout` None means the variant's rates. `objective` is the rate at
    which truth and prediction are compared, as in the released loss 25 Hz; the mean over three
    rates; or the Poisson likelihood. `id_joins` to `gates` and the sizes are `build_network`'s.
    """

    variant: str = "described"
    epochs: int = 50
    batch: int = 5
    learning_rate: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    validation: float = 0.2
    weighting: str = "batch"
    few_data_weight: float = FEW_DATA_WEIGHT
    dropout: tuple | None = None
    id_joins: str = "before"
    batch_normalization: bool = False
    objective: str = "25 Hz"
    lstm_joins: str | None = None
    lstm_reads: str = "output"
    gates: str = "hard_sigmoid"
    filters: tuple = FILTERS
    taps: tuple = TAPS
    lstm_units: int = LSTM_UNITS
    seed: int = 0

    def __post_init__(self):
        for name in ("dropout", "filters", "taps"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        for field in fields(self):
            if not _is_of_kind(getattr(self, field.name), field.type):
                raise UsageError(f"{field.name} cannot be {getattr(self, field.name)!r}")
        limits = {
            "epochs": self.epochs >= 1,
            "batch": self.batch >= 1,
            "learning_rate": 0 < self.learning_rate < np.inf,
            "beta_1": 0 <= self.beta_1 < 1,
            "beta_2": 0 <= self.beta_2 < 1,
            "epsilon": 0 < self.epsilon < np.inf,
            "validation": 0 <= self.validation < 1,
            "weighting": self.weighting in WEIGHTINGS,
            "objective": self.objective in OBJECTIVES,
            "few_data_weight": 0 < self.few_data_weight < np.inf,
            "dropout": all(0 <= rate < 1 for rate in self.dropout or ()),
            "seed": 0 <= self.seed < 2**32,
        }
        for name, fine in limits.items():
            if not fine:
                raise UsageError(f"{name} cannot be {getattr(self, name)}; see `train --help`")


def _is_of_kind(value, kind):
    """Whether a value, as from a file, is of a field's type: an int is a float, a bool is neither.

    In a tuple are numbers.
    """
    kinds = get_args(kind) or (kind,)
    kinds = (*kinds, int) if float in kinds else kinds
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return False
    return not isinstance(value, tuple) or all(type(each) in (int, float) for each in value)
