"""Figures of training: loss and validation over epochs, from arrays or from a run's log."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array, ArrayLike
from ..errors import TrainingError
from ..files.atomic import read_small
from .style import BLUE, ORANGE, house_style, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@house_style
def learning_curves(
    epochs: ArrayLike,
    loss: ArrayLike,
    validation: ArrayLike | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Training loss and, on a scale of its own, validation correlation over epochs.

    Parameters
    ----------
    epochs, loss : (epoch,)
        Epoch numbers from 1, and the mean loss of each: 1 - correlation, weighted.
    validation : (epoch,)
        Mean correlation over the validation traces at 25 Hz; its best epoch is marked.
    """
    ax = ax or new_axes(5.5, 3.2)
    epochs, loss = np.asarray(epochs), np.asarray(loss)
    validation = np.full(epochs.shape, np.nan) if validation is None else np.asarray(validation)
    # With few epochs a line alone hardly shows.
    marker = "." if len(epochs) < 15 else None
    lines = ax.plot(epochs, loss, color=BLUE, marker=marker, label="training loss")
    if np.isfinite(validation).any():
        # A correlation and a loss have no scale in common.
        right = ax.twinx()
        right.spines["right"].set_visible(True)
        right.set_ylabel("validation: mean correlation at 25 Hz", color=ORANGE)
        lines += right.plot(
            epochs, validation, color=ORANGE, linestyle="--", marker=marker, label="validation"
        )
        best = int(np.nanargmax(validation))
        label = f"best, epoch {epochs[best]}"
        lines += right.plot(epochs[best], validation[best], "o", color=ORANGE, label=label)
    ax.locator_params(axis="x", integer=True)
    ax.set_xlabel("epoch")
    ax.set_ylabel("training: weighted mean of 1 - correlation", color=BLUE)
    ax.set_title(title)
    ax.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=3)
    return ax


def draw_learning_curves(run: str | Path, ax: Axes | None = None) -> Axes:
    """`figures.learning_curves` of the training run in a folder."""
    log = read_log(run)
    title = f"Training run {Path(run).name}"
    return learning_curves(log["epoch"].astype(int), log["loss"], log["validation"], title, ax)


def read_log(run: str | Path) -> dict[str, Array]:
    """The log of a training run, arrays `(epoch,)` by the names `epoch`, `loss` and `validation`.
    `TrainingError` if the folder `run` holds no readable `log.csv`."""
    path = Path(run) / "log.csv"
    try:
        rows = list(csv.DictReader(read_small(path).splitlines()))
        log = {
            name: np.array([float(row[name]) for row in rows])
            for name in ("epoch", "loss", "validation")
        }
    except (FileNotFoundError, NotADirectoryError):
        advice = "name the folder of a training run (--run)"
        raise TrainingError(f"{path} does not exist; {advice}") from None
    except OSError as error:
        raise TrainingError(f"cannot read {path} ({error.strerror})") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise TrainingError(f"{path} is damaged; name the folder of another run (--run)") from error
    if not rows:
        raise TrainingError(f"{path} is empty; name the folder of another run (--run)")
    return log
