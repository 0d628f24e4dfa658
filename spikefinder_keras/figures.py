"""Figures: arrays in, axes out. No window opens and no global style changes."""

import numpy as np

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#707070"
"""Okabe and Ito's blue and vermilion, told apart by every eye and in grey print."""


def learning_curves(epochs, loss, validation=None, ax=None):
    """Training loss and validation correlation over epochs.

    Parameters
    ----------
    epochs, loss : arrays `(epoch,)`
        Epoch numbers from 1, and the mean loss 1 - r of each.
    validation : array `(epoch,)`, optional
        Mean correlation over the validation traces at 25 Hz; its best epoch is marked.
    ax : matplotlib Axes, optional
        By default a new figure's.

    Returns
    -------
    matplotlib Axes
    """
    ax = ax or _new_axes()
    epochs = np.asarray(epochs)
    ax.plot(epochs, 1 - np.asarray(loss), color=BLUE, label="training, 1 - loss")
    if validation is not None and np.isfinite(validation).any():
        ax.plot(epochs, validation, color=ORANGE, linestyle="--", label="validation")
        best = int(np.nanargmax(validation))
        ax.plot(
            epochs[best], validation[best], "o", color=ORANGE, label=f"best, epoch {epochs[best]}"
        )
    ax.set_xlabel("epoch")
    ax.set_ylabel("mean correlation at 25 Hz")
    ax.legend(frameon=False, loc="lower right")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def save(ax, path):
    """Write the figure of `ax` to `path`, whole or not at all, in the format its name ends in."""
    from .files import whole_file

    with whole_file(path) as temporary:
        ax.figure.savefig(temporary, dpi=200, bbox_inches="tight")


def _new_axes(width=5.0, height=3.2):
    """Axes of a figure that belongs to no window; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()
