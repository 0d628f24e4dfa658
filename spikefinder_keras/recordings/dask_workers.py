"""Chunks on the workers of Dask, on this machine or on many.

Dask gives out the work, and gives it out again where a worker dies. A worker reads its neurons from
the recording and writes their rates into the Zarr store itself; so all of them must see both under
the same paths.

Who reaches a scheduler or a worker can run programs in it. Those of this machine therefore talk by
TLS, with a certificate that is made for the run and stays in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import OutputError, SpikefinderError, UsageError
from ..files.sandbox import require

LOCAL = "local"  # instead of an address it asks for workers on this machine, one for each core
_NO_PAGES: dict[str, list[str]] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
"""Of Dask's settings: its web servers listen whatever is asked for, and would show logs and call
stacks to every user of the machine."""

PATIENCE = 30.0  # a scheduler must answer and have a worker within so many s
RETRIES = 2  # a chunk is tried so many times again: by then it is the chunk, not a worker

Update: TypeAlias = Callable[[int], Any]  # called at times with the number of neurons done
Workers: TypeAlias = Callable[[Sequence[range], Update], None]
"""Does a job for each of some ranges of neurons."""


def check_scheduler(address: str, out: Path) -> None:
    """Raise `UsageError`, before a long computation, unless workers can write there and Dask is
    there."""
    for library in ("distributed", *(("cryptography",) if address == LOCAL else ())):
        require(library, "--scheduler", "dask")
    if out.suffix.lower() != ".zarr":
        raise UsageError(
            f"workers (--scheduler) write into one Zarr store; end {out} in .zarr (--out)"
        )


@contextmanager
def workers(address: str, job: Callable[..., int], *, count: int, **run: str) -> Iterator[Workers]:
    """Connect to Dask's scheduler at an address such as `tcp://10.0.0.1:8786`, or to `count`
    workers of this machine (`LOCAL`); `UsageError` if there is none, or it has no worker.

    `job`, a function of a module, is called with a range of neurons and `run`, and returns how many
    are done. What is yielded raises `OutputError` if a chunk has failed on several workers; what is
    done stays, to go on with.
    """
    import dask
    from distributed import Client, LocalCluster, as_completed
    from distributed.security import Security

    def do_all(todo: Sequence[range], update: Update) -> None:
        futures = client.map(job, todo, **run, retries=RETRIES, pure=False)
        try:
            for future in as_completed(futures):
                update(future.result())
        except SpikefinderError:
            raise
        except Exception as error:  # whatever Dask says of a worker that died
            raise OutputError(
                f"a piece failed on several workers ({type(error).__name__}: {error}); what is "
                "done stays: run it again to go on"
            ) from error
        finally:
            client.cancel(futures)

    with ExitStack() as stack:
        try:
            scheduler, security = address, None
            if address == LOCAL:
                security = Security.temporary()
                stack.enter_context(dask.config.set(_NO_PAGES))
                scheduler = stack.enter_context(
                    LocalCluster(
                        n_workers=count,
                        threads_per_worker=1,  # there is a worker for each core
                        host="127.0.0.1",
                        dashboard_address=None,
                        security=security,
                    )
                )
            client = stack.enter_context(Client(scheduler, timeout=PATIENCE, security=security))
            client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(
                f"--scheduler {address} does not answer, or has no workers ({error}); start them "
                f"with `dask scheduler` and `dask worker`, or take {LOCAL}"
            ) from error
        yield do_all
