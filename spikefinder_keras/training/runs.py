"""The folder of a training run: what it is (`config.json`), what it has logged (`log.csv`), and its
state (`checkpoint.npz`), each replaced as a whole. Both trainings have it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..errors import DataError, TrainingError
from ..files.atomic import check_output_folder, read_json, whole_file, write_text
from ..files.npy import read_npz
from ..keras_backend import keras

CONFIG, LOG, CHECKPOINT = "config.json", "log.csv", "checkpoint.npz"
WRITTEN = (
    *(LOG, CHECKPOINT, "last.weights.h5", "best.weights.h5", "curves.png"),
    *("universal.weights.h5", "universal.calibration.json", "delays.json"),
)
"""What the two trainings write beside the first."""

Row: TypeAlias = dict[str, Any]  # a row of a run's log


def write_config(folder: Path, settings: Mapping[str, Any], **more: Any) -> None:
    """Write what a run is made of, the backend included, and make its folder."""
    check_output_folder(folder)
    # A run writes this file first: what is there without it is somebody else's.
    for name in WRITTEN:
        if (folder / name).exists():
            raise TrainingError(
                f"{folder / name} is there, and of no run; name another folder (--out)"
            )
    config = {**settings, **more, "backend": keras.backend.backend()}
    write_text(folder / CONFIG, json.dumps(config, indent=1) + "\n")


def read_config(folder: Path) -> dict[str, Any]:
    """What `write_config` wrote; `TrainingError` if there is no run in the folder, or its file is
    damaged."""
    try:
        config = read_json(folder / CONFIG)
    except FileNotFoundError:
        raise TrainingError(
            f"there is no run in {folder}; name the folder of one (--resume)"
        ) from None
    except (OSError, ValueError) as error:
        raise damaged(folder / CONFIG) from error
    if not isinstance(config, dict):
        raise damaged(folder / CONFIG)
    return config


def damaged(path: Path) -> TrainingError:
    """The error that says so of a run's file."""
    return TrainingError(f"{path} is damaged; start a new run")


def check_backend(folder: Path, backend: Any) -> None:
    """Raise `TrainingError` unless a run began on the backend of this process."""
    # Each draws other random numbers, and has another state for them.
    if backend != keras.backend.backend():
        raise TrainingError(f"the run in {folder} began on {backend}; set KERAS_BACKEND={backend}")


def save_state(folder: Path, network: keras.Model, history: Sequence[Row], **more: Any) -> None:
    """Write a run's log, and then the checkpoint, which says that the log is true: all of a
    compiled network that changes in training, the history, and `more` for JSON."""
    lines = [",".join(history[0]), *(",".join(map(str, row.values())) for row in history)]
    write_text(folder / LOG, "\n".join(lines) + "\n")
    variables: dict[str, Any] = {
        f"variable_{k}": np.asarray(v) for k, v in enumerate(_state(network))
    }
    # In one file with the variables, so that no kill can part them.
    about = {"history": list(history), **more}
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with whole_file(folder / CHECKPOINT) as temporary, temporary.open("wb") as file:
        np.savez(file, about=text, **variables)


def load_state(
    folder: Path, network: keras.Model, check: Callable[[dict[str, Any]], None]
) -> dict[str, Any] | None:
    """Set a compiled network to a run's last checkpoint, all of it or nothing, and return what
    stands beside it; None where the run was killed before it had one. `TrainingError` if the file
    is damaged or of another network, or if `check` of what stands beside finds a fault."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        arrays = read_npz(path)
        about = json.loads(arrays.pop("about").tobytes())
        check(about)
        state = _state(network)
        values = [arrays[f"variable_{k}"] for k in range(len(state))]
        fits = all(tuple(s.shape) == v.shape for s, v in zip(state, values, strict=True))
        if not fits or len(arrays) != len(state):
            raise ValueError("other variables")
    except (DataError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise TrainingError(f"{path} is damaged or of another version; start a new run") from error
    # Only now, when all is known to fit: a network is changed as a whole or not at all.
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)
    return about


def _state(network: keras.Model) -> list[Any]:
    """Weights, dropout's random state, and the optimiser's."""
    return [*network.variables, *network.optimizer.variables]
