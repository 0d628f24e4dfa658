"""Limits, streams, folders and variables as nobody would have them: success, or one line."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="ulimit and /dev/full are Linux's"),
]
PROGRAM = (sys.executable, "-m", "spikefinder_keras")
NOWHERE = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent", "MPLCONFIGDIR": "/proc/nope"}
TRACES = np.random.default_rng(0).normal(1, 0.1, (3, 300)).astype(np.float32)

# Commands of the shell before the program, and variables; then the status.
STRANGE = {
    **{f"files {n}": (f"ulimit -n {n}", {}, None) for n in (5, 8, 12, 32)},
    **{f"sizes {n}": (f"ulimit -f {n}", {}, None) for n in (0, 1, 64)},
    **{f"memory {n}": (f"ulimit -v {n}", {}, None) for n in (200_000, 400_000, 700_000, 10**6)},
    "processes": ("ulimit -u 1", {}, 0),
    "full output": ("exec >/dev/full", {}, 2),
    "all closed": ("exec <&- >&- 2>&-", {}, 0),
    "no folder": ("mkdir gone; cd gone; rmdir ../gone", {}, 0),
    "no home": ("unset HOME", {}, 0),
    "nonexistent home": ("true", NOWHERE, 0),
    "no temporary folder": ("true", {"TMPDIR": "/nonexistent"}, 0),
    "ASCII": ("true", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, 0),
    "no docstrings": ("true", {"PYTHONOPTIMIZE": "2"}, 0),
    "warnings": ("true", {"PYTHONWARNINGS": "error"}, 0),
    "threads": ("true", {"OMP_NUM_THREADS": "0", "OPENBLAS_NUM_THREADS": "x"}, 0),
    "backends": ("true", {"MPLBACKEND": "nonsense", "KERAS_BACKEND": "nonsense"}, 0),
    "columns": ("true", {"COLUMNS": "0"}, 0),
}


def run(folder, before, variables, arguments):
    shell = ["bash", "-c", f'{before}; exec "$@"', "bash", *PROGRAM, *map(os.fspath, arguments)]
    environment = {**os.environ, **variables}
    return subprocess.run(
        shell, capture_output=True, cwd=folder, env=environment, text=True, timeout=240
    )


@pytest.mark.parametrize("weights", ["universal", "described"])
@pytest.mark.parametrize("what", STRANGE)
def test_success_or_one_line(tmp_path, what, weights):
    savemat(tmp_path / "a.mat", {"dff": TRACES})
    before, variables, status = STRANGE[what]
    out = tmp_path / "r.csv"
    options = ["--frame-rate", "30", "--quiet", "--out", out, "--report", tmp_path / "r.html"]
    options += ["--weights", weights]
    found = run(tmp_path, before, variables, ["predict", tmp_path / "a.mat", *options])
    assert found.returncode in ((0, 2) if status is None else (status,)), found.stderr
    if found.returncode == 2:
        assert found.stderr.count("\n") == 1, found.stderr
        assert "fault of the program" not in found.stderr
    else:
        assert found.stderr == ""
        assert out.read_text().count("\n") == 301
    assert not list(tmp_path.glob(".partial-*"))


def test_an_error_that_nobody_can_read(tmp_path):
    found = run(tmp_path, "exec 2>/dev/full", {}, ["predict", "none.npy"])
    assert found.returncode == 2


@pytest.mark.parametrize("weights", ["universal", "described"])
def test_where_no_program_may_run_what_it_compiled(tmp_path, weights):
    """As systemd's MemoryDenyWriteExecute: nothing is compiled in order to predict."""
    code = (
        "import ctypes, sys\n"
        "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit(77)\n"  # PR_SET_MDWE, of Linux 6.3
        "from spikefinder_keras.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    np.save(tmp_path / "a.npy", TRACES)
    command = [sys.executable, "-c", code, "predict", tmp_path / "a.npy", "--frame-rate", "30"]
    command += ["--quiet", "--out", tmp_path / "r.csv", "--weights", weights]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode == 77:
        pytest.skip("this system has no such protection")
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("broken", ["", "import numpy.core.missing", "array = 1", "1 / 0"])
def test_a_broken_library_is_called_so(broken, tmp_path):
    """And not a fault of this program: what fails is the importing of a module."""
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text(broken)
    command = [sys.executable, "-m", "spikefinder_keras", "describe"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path.cwd())])}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 2
    assert "a library does not load" in run.stderr
    assert "install again" in run.stderr
    assert run.stderr.count("\n") == 1
