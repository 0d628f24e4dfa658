"""A recording's file in, a file of its rates out, in this process or by Dask's workers."""

from contextlib import nullcontext

from ..console import cores
from .formats.results import result_for
from .lazy import budget
from .pipeline import predict_into


def predict_file(
    task,
    out,
    memory=None,
    scheduler=None,
    series=None,
    overwrite=False,
    say=lambda line: None,
    progress=False,
):
    """Predict a file, and write the rates whole or not at all.

    Parameters
    ----------
    task : task.Task
    out : Path
        Checked by `formats.check_prediction_path`.
    memory : int, optional
        Bytes to take; by default a quarter of the machine's.
    scheduler : str, optional
        See `distributed.workers`; checked by `distributed.check_scheduler`.
    series, overwrite
        As for `formats.write_prediction`.
    say : function
        Called with each line that a user should know.
    progress : bool
        Show a bar on the standard error.

    Returns
    -------
    Prediction
        Of `.npy` and Zarr its rates stay in the file.

    Raises
    ------
    SpikefinderError
    """
    source, spikes = task.source, task.choice.get("spikes", False)
    count, by = cores(), nullcontext()
    if scheduler is not None:
        from .dask_workers import LOCAL, workers

        if scheduler == LOCAL:
            memory = budget(memory) // count
    recording, network = task.open(say, progress)
    identity = task.identity(recording, network)
    with result_for(out, recording, identity, memory, source, series, overwrite) as result:
        for line in result.notes:
            say(f"{out.name}: {line}")
        if scheduler is not None:
            by = workers(scheduler, task, result.folder, count)
        with by as by_workers:
            made = predict_into(result, network, recording, spikes, memory, progress, by_workers)
        made = result.finish(made)
    for line in (*made.recording.notes[len(recording.notes) :], *made.trust.warnings):
        say(f"{source.name}: {line}")
    return made
