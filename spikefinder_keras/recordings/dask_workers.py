"""The pieces of a prediction on the workers of Dask, on this machine or on many.

Dask gives out the work, gives it out again where a worker dies, and shows it on its dashboard. A
worker reads its neurons from the recording and writes their rates into the Zarr store itself; so
all of them must see both under the same paths.
"""

from contextlib import ExitStack, contextmanager
from functools import lru_cache

from ..errors import OutputError, SpikefinderError, UsageError
from ..files.sandbox import require
from .formats.zarr_result import ZarrResult
from .pipeline import numpys_own, predict_piece
from .segments import find_blocks
from .task import Task

LOCAL = "local"
"""Instead of an address: workers of our own on this machine, one for each core."""

DASHBOARD = "127.0.0.1:8787"
PATIENCE = 30.0
"""s in which a scheduler must answer and have a worker."""
RETRIES = 2


def check_scheduler(out):
    """Find out before a long computation whether workers can write there, and Dask is there.

    Raises
    ------
    UsageError
    """
    require("distributed", "--scheduler", "dask")
    if out.suffix.lower() != ".zarr":
        raise UsageError(
            f"workers (--scheduler) write into one Zarr store; end {out} in .zarr (--out)"
        )


@contextmanager
def workers(address, task, folder, cores):
    """Connect to Dask.

    Parameters
    ----------
    address : str
        Of a scheduler, such as `tcp://10.0.0.1:8786`; or `LOCAL`.
    task : task.Task
    folder : Path
        Of the unfinished `ZarrResult`.
    cores : int
        How many workers `LOCAL` starts.

    Yields
    ------
    function
        `by` of `pipeline.predict_into`.

    Raises
    ------
    UsageError
        If there is no such scheduler, or it has no worker.
    OutputError
        If a piece has failed on several workers; what is done stays, to go on with.
    """
    from distributed import Client, LocalCluster, as_completed

    def by(pieces, update):
        told = {"task": task.text(), "folder": str(folder.absolute())}
        futures = client.map(_work, pieces, **told, retries=RETRIES, pure=False)
        try:
            for future in as_completed(futures):
                update(future.result())
        except SpikefinderError:
            raise
        except Exception as error:
            raise OutputError(
                f"a piece failed on several workers ({type(error).__name__}: {error}); what is "
                "done stays: run it again to go on"
            ) from error
        finally:
            client.cancel(futures)

    with ExitStack() as stack:
        try:
            place = address
            if address == LOCAL:
                place = stack.enter_context(
                    LocalCluster(
                        n_workers=cores,
                        threads_per_worker=1,
                        host="127.0.0.1",
                        dashboard_address=DASHBOARD,
                    )
                )
            client = stack.enter_context(Client(place, timeout=PATIENCE))
            client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(
                f"--scheduler {address} does not answer, or has no workers ({error}); start them "
                f"with `dask scheduler` and `dask worker`, or take {LOCAL}"
            ) from error
        yield by


def _work(neurons, task, folder):
    """On a worker: predict some neurons and write them; returns how many."""
    recording, network, blocks, spikes = _opened(task)
    with numpys_own():
        piece = predict_piece(network, neurons, recording.part(neurons), blocks, spikes)
    ZarrResult(folder).write(piece)
    return len(neurons)


@lru_cache(1)
def _opened(task):
    """Once for each worker and recording."""
    task = Task.of(task)
    recording, network = task.open()
    network.network.threads = 1  # Dask keeps the cores busy
    return recording, network, find_blocks(recording), task.choice.get("spikes", False)
