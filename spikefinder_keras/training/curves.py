"""What a run shows of itself: a TensorBoard log, and its curves."""

from ..errors import OutputError
from ..figures import learning_curves, save


def log_for_tensorboard(run):
    """Add the last epoch to a TensorBoard log, where TensorFlow is there to write one."""
    try:
        import tensorflow as tf
    except ImportError:
        return
    row, folder = run.history[-1], run.folder / "tensorboard"
    try:
        writer = tf.summary.create_file_writer(str(folder))
        with writer.as_default(step=row["epoch"]):
            for name in ("loss", "validation", "seconds"):
                tf.summary.scalar(name, row[name])
        writer.close()
    except tf.errors.OpError as error:
        reason = error.message.rpartition("}}")[2].partition("[Op")[0].strip()
        raise OutputError(
            f"cannot write to {folder} ({reason}); free space, or move it away"
        ) from error


def draw_curves(run):
    """Draw loss and validation over epochs into the run's folder, `curves.png`."""
    columns = [[row[key] for row in run.history] for key in ("epoch", "loss", "validation")]
    title = f"{run.settings.variant}, seed {run.settings.seed}, {run.training} traces"
    ax = learning_curves(*columns, title)
    save(ax, run.folder / "curves.png")
