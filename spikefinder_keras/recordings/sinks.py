"""Where a prediction collects: pieces of some neurons, in memory here, in files in `formats`."""

from dataclasses import asdict, dataclass

import numpy as np

from .missing import Missing
from .quality import NeuronTrust


@dataclass
class Piece:
    """What was predicted of some neurons.

    Attributes
    ----------
    neurons : range
    rates : float32 array `(neuron, frame)`, or None where it has been put away
    spikes : list of float64 arrays `(spike,)` in s, or None
    trust : list of trust.NeuronTrust
    missing : missing.Missing
        Found when the neurons were read.
    """

    neurons: range
    rates: np.ndarray | None
    spikes: list | None
    trust: list
    missing: Missing

    def told(self):
        """All but the rates, as what JSON can hold; numbers come back as they are."""
        return {
            "neurons": [self.neurons.start, self.neurons.stop],
            "spikes": self.spikes and [times.tolist() for times in self.spikes],
            "trust": [asdict(neuron) for neuron in self.trust],
            "missing": [self.missing.values, self.missing.neurons],
        }

    @classmethod
    def of(cls, told):
        """The piece that `told` tells of."""
        missing, spikes = Missing(), told["spikes"]
        missing.values, missing.neurons = told["missing"]
        return cls(
            range(*told["neurons"]),
            None,
            spikes and [np.array(times, np.float64) for times in spikes],
            [NeuronTrust(**neuron) for neuron in told["trust"]],
            missing,
        )


class Table:
    """A result in memory.

    Parameters
    ----------
    recording : Recording

    Attributes
    ----------
    rates : float32 array or Stored, `(neuron, frame)`
    notes : tuple of str
        What a user should know of it before.
    """

    notes = ()

    def __init__(self, recording):
        frames, neurons = recording.fluorescence.shape
        self.rates = np.empty((neurons, frames), np.float32)
        self._pieces = []

    def todo(self, size):
        """The neurons still to be predicted, as ranges of about `size`."""
        count = len(self.rates)
        return [range(k, min(k + size, count)) for k in range(0, count, size)]

    def write(self, piece):
        """Take in a `Piece`."""
        self.rates[piece.neurons.start : piece.neurons.stop] = piece.rates
        piece.rates = None
        self._pieces.append(piece)

    def pieces(self):
        """All that was taken in, without the rates and in the order of the neurons."""
        return sorted(self._pieces, key=lambda piece: piece.neurons.start)
