"""What predicts a recording: `universal.Universal` or `convi6.Convi6`, chosen by `task`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..arrays import Rates, Times
from ..network.engine import Engine
from .recording import Certainty, NeuronQuality, Recording


@dataclass(frozen=True)
class Predicted:
    """What was predicted of some neurons.

    Attributes
    ----------
    rates : float32 (frame, neuron)
    spike_times
        In s, one array for each neuron; None where not asked for.
    quality
        One for each neuron.
    """

    rates: Rates
    spike_times: list[Times] | None
    quality: list[NeuronQuality]


class Predictor(Protocol):
    """A network with all that is known of a recording's indicator.

    Attributes
    ----------
    name
        Of its weights, for descriptions.
    path
        Of its weights; None where a loaded network was given.
    engine
    certainty
        What its neurons' certainty is.
    """

    name: str
    path: Path | None
    engine: Engine
    certainty: Certainty

    def predict(self, recording: Recording) -> Predicted:
        """Predict the neurons of a recording in memory, each by itself."""

    def describe(self, recording: Recording) -> dict[str, Any]:
        """What the rates are, as every written file says it: text and numbers."""


def described_alike(recording: Recording) -> dict[str, Any]:
    """What every predictor says of a recording."""
    return {
        "time": "mean over each frame's interval, centred on its time stamp in s",
        "frame_rate": recording.frame_rate,
        "source": recording.source,
        "notes": "; ".join(recording.notes),
    }
