"""What every attack is measured by: one line or success, in bounded time and memory, no trace."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

SECONDS = 60
"""Of wall time on a busy machine; an attack that works takes minutes, or for ever."""
MEMORY = 900 << 20
"""Bytes resident, of the program or any of its children, whichever is most."""

MEASURED = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(child.pid, 0)
child.returncode = 0
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss << 10)
"""
"""Runs a program and prints its status and memory.

In a process between: the memory of one that starts others counts as theirs, and that of the tests
is large.
"""


@pytest.fixture
def attack(tmp_path):
    """Run the command line on something hostile; its status, output and the time it took."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    def run(*arguments, status=None, memory=MEMORY, new=("rates.csv", "rates.csv.json")):
        before = everything(tmp_path)
        started = time.monotonic()
        with (tmp_path / "tmp.out").open("wb+") as out, (tmp_path / "tmp.err").open("wb+") as err:
            program = [sys.executable, "-m", "spikefinder_keras", *map(os.fspath, arguments)]
            subprocess.run(
                [sys.executable, "-c", MEASURED, *program],
                stdout=out,
                stderr=err,
                cwd=tmp_path,
                env={**os.environ, "TMPDIR": str(temporary)},
                check=True,
            )
            seconds = time.monotonic() - started
            texts = [f.seek(0) or f.read().decode(errors="surrogateescape") for f in (out, err)]
        *lines, numbers = texts[0].splitlines(keepends=True)
        returncode, most = map(int, numbers.split())
        texts[0] = "".join(lines)
        for name in ("tmp.out", "tmp.err"):
            (tmp_path / name).unlink()
        assert returncode in ((0, 2) if status is None else (status,)), texts
        if returncode == 2:
            assert texts[1].count("\n") == 1, texts[1]
            assert texts[1].startswith("spikefinder-keras: ")
            assert "fault of the program" not in texts[1], texts[1]
        assert seconds < SECONDS
        assert most < memory
        allowed = set(new) if returncode == 0 else set()
        assert {path for path in everything(tmp_path) ^ before if path not in allowed} == set()
        return SimpleNamespace(status=returncode, out=texts[0], err=texts[1])

    run.folder = tmp_path
    run.predict = lambda path, *more, **options: run(
        "predict", path, "--frame-rate", "30", "--quiet", "--out", "rates.csv", *more, **options
    )
    return run


def everything(folder):
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*")}
