"""What training runs are made of, apart from their data."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..constants import FEW_DATA_WEIGHT
from ..errors import UsageError, is_of_kind
from ..network.convi6 import FILTERS, LSTM_UNITS, TAPS, Architecture
from ..network.universal import LEVELS, WIDTH

WEIGHTINGS = ("batch", "trace")
OBJECTIVES = ("25 Hz", "12.5 Hz", "6.25 Hz", "mean", "poisson")

LARGEST_SEED = 2**32  # Keras and numpy take seeds below it


@dataclass(frozen=True)
class Settings:
    """What a run of convi6 is made of; the defaults are the released run's. `UsageError` if a field
    is impossible.

    `weighting` is "batch" for the released loss, which weighs a whole batch by the mean weight of
    its traces, or "trace" to weigh each trace by its own. `few_data_weight` is the weight of sets 1
    to 5 relative to the others. `validation` is the share of the traces kept for validation, the
    last in stacking order. `objective` is the rate at which truth and prediction are compared, as
    in the released loss 25 Hz; the mean over three rates; or the Poisson likelihood. All that
    `convi6.Architecture` has too is the network's.
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
    dropout: tuple[float, ...] | None = None
    id_joins: str = "before"
    batch_normalization: bool = False
    objective: str = "25 Hz"
    lstm_joins: str | None = None
    lstm_reads: str = "output"
    gates: str = "hard_sigmoid"
    filters: tuple[int, ...] = FILTERS
    taps: tuple[int, ...] = TAPS
    lstm_units: int = LSTM_UNITS
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dropout", "filters", "taps"):
            if isinstance(getattr(self, name), list):  # as JSON and TOML have them
                object.__setattr__(self, name, tuple(getattr(self, name)))
        for field in fields(self):
            if not is_of_kind(getattr(self, field.name), field.type):
                raise UsageError(f"{field.name} cannot be {getattr(self, field.name)!r}")
        _check(
            self,
            {
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
                "seed": 0 <= self.seed < LARGEST_SEED,
            },
            "; see `train --help`",
        )

    def of_network(self) -> dict[str, Any]:
        """The arguments of `keras_model.build_network`."""
        names = [field.name for field in fields(Architecture)]
        return {name: getattr(self, name) for name in names if hasattr(self, name)}


@dataclass(frozen=True)
class UniversalSettings:
    """What a run of `universal` is made of; `UsageError` if a field is impossible.

    `windows` of `window` steps (40 ms each) from each of `neurons` neurons make a batch.
    `simulated` is the share of simulated neurons, of whom there are `simulated_neurons`.
    `smoothed` is the share of the loss that is of smoothed rates.
    `averaging` is how much of the averaged weights is kept per step. At the shares `align_at` of
    the run the delays of the sets are found anew.
    """

    steps: int = 2_400
    neurons: int = 4
    windows: int = 4
    window: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    averaging: float = 0.995
    smoothed: float = 0.3
    simulated: float = 0.25
    simulated_neurons: int = 400
    align_at: tuple[float, ...] = (0.15, 0.3, 0.45, 0.6)
    width: int = WIDTH
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "align_at", tuple(self.align_at))  # a list out of a file
        _check(
            self,
            {
                "steps": self.steps >= 1,
                "neurons": self.neurons >= 1,
                "windows": self.windows >= 1,
                "window": self.window >= 2**LEVELS and self.window % 2**LEVELS == 0,
                "learning_rate": 0 < self.learning_rate < np.inf,
                "weight_decay": 0 <= self.weight_decay < 1,
                "averaging": 0 <= self.averaging < 1,
                "smoothed": 0 <= self.smoothed <= 1,
                "simulated": 0 <= self.simulated <= 1,
                "simulated_neurons": self.simulated_neurons >= 1,
                "align_at": all(0 < share < 1 for share in self.align_at),
                "width": self.width >= 1,
                "seed": 0 <= self.seed < LARGEST_SEED,
            },
        )


def _check(settings: object, fine: dict[str, bool], advice: str = "") -> None:
    for name, possible in fine.items():
        if not possible:
            raise UsageError(f"{name} cannot be {getattr(settings, name)}{advice}")
