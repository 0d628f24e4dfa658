"""A prediction of a file, told so that another process can do a part of it, or go on with it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ..files.regular import open_ordinary
from .calibration import knowledge_path
from .choice import choose_network
from .formats import files_of, read_recording


@dataclass(frozen=True)
class Task:
    """What is to be predicted.

    Attributes
    ----------
    source : Path
        File or folder of the recording.
    reading : dict
        The other arguments of `formats.read_recording`.
    choice : dict
        Those of `choice.choose_network` but the recording.
    """

    source: Path
    reading: dict
    choice: dict

    def open(self, say=lambda line: None, progress=False):
        """The recording and the network: a `Recording`, and a `Universal` or `Convi6`.

        Each note on the recording is said before the network is loaded.
        """
        recording = read_recording(self.source, **self.reading)
        for line in recording.notes:
            say(f"{self.source.name}: {line}")
        return recording, choose_network(recording, **self.choice, progress=progress)

    def text(self):
        """The same as JSON, with absolute paths, for a process in another folder."""
        choice, weights = dict(self.choice), self.choice.get("weights")
        if weights is not None and Path(weights).is_file():
            choice["weights"] = str(Path(weights).absolute())
        return json.dumps([str(Path(self.source).absolute()), self.reading, choice])

    @classmethod
    def of(cls, text):
        """The task that `text` gave."""
        source, reading, choice = json.loads(text)
        return cls(Path(source), reading, choice)

    def identity(self, recording, network):
        """What makes a run another run, as what JSON can hold.

        The source with its size and time of change, all settings, and the hash of the weights and
        of what belongs to them; not the budget of memory.
        """
        reading = {key: value for key, value in self.reading.items() if key != "memory"}
        files = [network.path, knowledge_path(network.path)]
        digest = hashlib.sha256()
        for path in filter(Path.is_file, files):
            with open_ordinary(path) as file:
                digest.update(file.read())
        return {
            "source": str(Path(self.source).absolute()),
            "state": _state(Path(self.source)),
            "shape": list(recording.fluorescence.shape),
            "settings": [reading, self.choice, network.describe(recording)],
            "weights": digest.hexdigest(),
        }


def _state(path):
    """Number of files, their bytes, and when the last of them was changed, in ns."""
    about = [file.stat() for file in files_of(path)]
    return [len(about), sum(s.st_size for s in about), max(s.st_mtime_ns for s in about)]
