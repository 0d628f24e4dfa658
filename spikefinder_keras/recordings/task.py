"""What a run is: which recording, which predictor, and what makes it another run than any other.

All of it is decided before the data set out, so that another process can do a part of a run, or go
on with it.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..files.regular import open_ordinary
from ..network.weights import find_weights
from .calibration import calibration_path
from .convi6 import Convi6, choose_datasets
from .formats.detect import files_of, read
from .options import PredictOptions, ReadOptions, as_dict
from .recording import Predictor, Recording
from .universal import WEIGHTS as UNIVERSAL
from .universal import Universal


def check_options(options: PredictOptions) -> bool:
    """Whether a network of 2017 is meant, whatever the recording; `UsageError` if options don't go
    together, or if there is no such dataset."""
    weights = options.weights
    universal = weights is not None and _is_universal(weights)
    of_2017 = options.dataset is not None or options.area is not None
    if of_2017 and universal:
        raise UsageError(
            "--dataset and --area are for the networks of 2017; leave them out, or name their "
            "--weights, such as described"
        )
    of_2017 = of_2017 or (weights is not None and not universal)
    if of_2017:
        choose_datasets(options.dataset, options.indicator, options.area)
        if options.spikes:
            raise UsageError(
                "the rates of the networks of 2017 have no unit, so there are no spike times "
                "(--spikes) of them; take --weights universal, without --dataset and --area"
            )
    return of_2017


def choose_predictor(
    recording: Recording, options: PredictOptions, *, progress: bool = False
) -> Predictor:
    """The predictor for a recording; one in the competition's form is for the networks of 2017.
    Raises `UsageError` if the choice is impossible, `WeightsError` or `DownloadError` if the
    weights cannot be used."""
    of_2017 = check_options(options)
    if recording.unit != "competition":
        if of_2017:
            return Convi6(options, progress=progress)
        return Universal(options, recording.about, progress=progress)
    if not of_2017:
        if options.weights is not None:
            raise UsageError(
                f"{recording.source} is in the competition's form, for which --weights universal "
                "is not made; state the --frame-rate of raw traces, or leave --weights out"
            )
        # Its weights are of 2017 then, whatever was not stated: what they cannot do is refused.
        check_options(replace(options, weights="described"))
    return Convi6(options, as_in_2017=True, progress=progress)


def _is_universal(weights: Any) -> bool:
    """Whether weights, by name or file, are of `universal`: its calibration stands beside them."""
    if not isinstance(weights, (str, Path)):
        return False
    return str(weights) == UNIVERSAL or calibration_path(find_weights(weights)).is_file()


@dataclass(frozen=True)
class Task:
    """A file or folder to be predicted, and all that is stated of it."""

    source: Path
    reading: ReadOptions
    prediction: PredictOptions

    def open(
        self, say: Callable[[str], None] = lambda line: None, *, progress: bool = False
    ) -> tuple[Recording, Predictor]:
        """Read the recording, as far as it has to be, say each note on it, and then load its
        predictor."""
        recording = read(self.source, self.reading)
        for line in recording.notes:
            say(f"{self.source.name}: {line}")
        return recording, choose_predictor(recording, self.prediction, progress=progress)

    def as_text(self) -> str:
        """The same as JSON, with absolute paths, for a process in another folder."""
        # A name such as `universal` stays one: each process finds its own file of it.
        prediction, weights = as_dict(self.prediction), self.prediction.weights
        if weights is not None and Path(weights).is_file():
            prediction["weights"] = str(Path(weights).absolute())
        return json.dumps([str(self.source.absolute()), as_dict(self.reading), prediction])

    @classmethod
    def from_text(cls, text: str) -> "Task":
        """The task that `as_text` gave."""
        source, reading, prediction = json.loads(text)
        return cls(Path(source), ReadOptions(**reading), PredictOptions(**prediction))

    def identity(self, recording: Recording, predictor: Predictor) -> dict[str, Any]:
        """What makes a run another run, as what JSON can hold: the source with its size and time of
        change, all settings, and the hash of the weights and of what belongs to them; not the
        budget of memory."""
        # Weights of one name may change under it, so their bytes count.
        digest = hashlib.sha256()
        paths = [] if predictor.path is None else [predictor.path, calibration_path(predictor.path)]
        for path in filter(Path.is_file, paths):
            with open_ordinary(path) as file:
                digest.update(file.read())
        # Another budget of memory cuts other chunks of the same rates.
        reading = as_dict(replace(self.reading, memory=None))
        return {
            "source": str(self.source.absolute()),
            "state": _state(self.source),
            "shape": list(recording.fluorescence.shape),
            "settings": [reading, as_dict(self.prediction), predictor.describe(recording)],
            "weights": digest.hexdigest(),
        }


def _state(path: Path) -> list[int]:
    """Number of files, their bytes, and when the last of them was changed, in ns."""
    about = [file.stat() for file in files_of(path)]
    return [len(about), sum(s.st_size for s in about), max(s.st_mtime_ns for s in about)]
