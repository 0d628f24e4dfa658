"""The folder of a training run: what it is (`config.json`), what it has logged (`log.csv`), and its
state (`checkpoint.npz`), each replaced as a whole. Both trainings have it.

Keras takes seconds to load, and what is asked for is checked before: so it is only loaded here by
what needs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..errors import DataError, TrainingError, UsageError
from ..files.atomic import check_output_folder, read_json, whole_file, write_text
from ..files.npy import read_npz
from .settings import Settings

if TYPE_CHECKING:
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
    check_new(folder)
    # A run writes this file first: what is there without it is somebody else's.
    for name in WRITTEN:
        if (folder / name).exists():
            raise TrainingError(
                f"{folder / name} is there, and of no run; name another folder (--out)"
            )
    _write(folder, {**settings, **more, "backend": _backend()})


def check_new(folder: Path) -> None:
    """Raise `TrainingError` if there is a run in a folder."""
    if (folder / CONFIG).exists():
        raise TrainingError(f"{folder} already holds a run; --resume it, or name another (--out)")


def _write(folder: Path, config: Mapping[str, Any]) -> None:
    write_text(folder / CONFIG, json.dumps(config, indent=1) + "\n")


def _backend() -> str:
    from ..keras_backend import keras

    return keras.backend.backend()


def read_config(folder: Path, option: str = "--resume") -> dict[str, Any]:
    """What `write_config` wrote; `TrainingError` if there is no run in the folder, which an
    `option` has named, or its file is damaged."""
    try:
        config = read_json(folder / CONFIG)
    except FileNotFoundError:
        raise TrainingError(
            f"there is no run in {folder}; name the folder of one ({option})"
        ) from None
    except (OSError, ValueError) as error:
        raise damaged(folder / CONFIG) from error
    if not isinstance(config, dict):
        raise damaged(folder / CONFIG)
    return config


def known_run(
    folder: Path, changed: Mapping[str, Any] | None = None
) -> tuple[Settings, dict[str, Any]]:
    """The settings of the run of convi6 in a folder, and what else its configuration says.

    `changed` are settings that a user names again, which must be the run's, but for `epochs`: there
    may be more. `TrainingError` if they are others, or as by `read_config`.
    """
    config = read_config(folder)
    try:
        settings = Settings(**{each.name: config.pop(each.name) for each in fields(Settings)})
    except (KeyError, TypeError, UsageError) as error:
        raise damaged(folder / CONFIG) from error
    # A run of two settings would be neither's.
    for name, value in (changed or {}).items():
        if name == "epochs" and value > settings.epochs:
            settings = replace(settings, epochs=value)
        elif value != getattr(settings, name):
            more = ", or name more of them" if name == "epochs" else ""
            raise TrainingError(
                f"the run in {folder} has {name} {getattr(settings, name)}, not {value}; resume it "
                f"without that option{more}, or start a new run"
            )
    return settings, config


def set_epochs(folder: Path, epochs: int) -> None:
    """Make a run so many epochs long."""
    config = read_config(folder)
    if config["epochs"] != epochs:
        _write(folder, {**config, "epochs": epochs})


def damaged(path: Path) -> TrainingError:
    """The error that says so of a run's file."""
    return TrainingError(f"{path} is damaged; start a new run")


def check_backend(folder: Path, backend: Any) -> None:
    """Raise `TrainingError` unless a run began on the backend of this process."""
    # Each draws other random numbers, and has another state for them.
    if backend != _backend():
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
