"""The process in which files of unknown origin are parsed: it may fail in any way, we may not."""

import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from spikefinder_keras.errors import DataError, UsageError
from spikefinder_keras.files import sandbox
from spikefinder_keras.files.sandbox import Unreadable, check_size, parse, require

pytestmark = pytest.mark.fresh_sandbox

JOBS = """
import ctypes, os, time
import numpy as np
from spikefinder_keras.errors import UsageError
from spikefinder_keras.files.sandbox import Unreadable

def good(path, number):
    yield "number", number + 1
    yield "text", "ä"
    yield "array", np.arange(6).reshape(2, 3)
    yield "empty", np.empty((0, 3))
    yield "one", np.array(3.5)

def add(path, numbers):
    yield "sum", sum(numbers)

def hang(path):
    time.sleep(60)
    yield

def crash(path):
    ctypes.string_at(0)
    yield

def leave(path):
    os._exit(0)
    yield

def memory(path):
    yield "array", np.ones(1 << 28)

def raising(path, kind):
    errors = {"usage": UsageError(path + " is misused"), "unreadable": Unreadable("it is odd")}
    raise errors.get(kind) or ValueError("two\\nlines " + "x" * 999)
    yield

def busy(path):
    while True:
        pass
    yield

def lie(path, text):
    os.pwrite(3, text.encode() + len(text).to_bytes(8, "little"), 0)
    os._exit(0)
    yield

def attempt(path, code):
    # What a taken-over parser might try.
    try:
        exec(code, {"path": path})
    except BaseException as error:
        yield "refused", f"{type(error).__name__}: {error}"
    else:
        yield "refused", None

def parent(path):
    yield "pid", os.getpid()
    open(path, "w").write(str(os.getpid()))
    time.sleep(60)

def chatter(path):
    print("noise")
    os.write(2, b"noise" * 100_000)
    yield "quiet", True
"""


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "hostile_jobs.py").write_text(JOBS)
    monkeypatch.syspath_prepend(tmp_path / "jobs")
    import hostile_jobs

    yield hostile_jobs
    del sys.modules["hostile_jobs"]


def test_values_come_back(jobs, tmp_path):
    values = parse(jobs.good, tmp_path, 3)
    assert values["number"] == 4
    assert values["text"] == "ä"
    np.testing.assert_array_equal(values["array"], [[0, 1, 2], [3, 4, 5]])
    assert isinstance(values["array"], np.memmap)
    assert values["empty"].shape == (0, 3)
    assert values["one"] == 3.5


@pytest.mark.parametrize(
    ("name", "arguments", "options", "message"),
    [
        ("hang", (), {"time_limit": 0.5}, r"reading it took longer than 0\.5 s"),
        ("crash", (), {}, "its parser failed, so it is damaged"),
        ("leave", (), {}, "its parser failed, so it is damaged"),
        ("memory", (), {"memory": 1 << 30}, "cannot be read: it needs too much memory; split it"),
        ("raising", ("unreadable",), {}, "cannot be read: it is odd"),
        ("raising", ("other",), {}, r"kind not known here \(ValueError: two lines x+\)"),
        ("busy", (), {"time_limit": 1}, "its parser failed|took longer than 1 s"),
        ("lie", ("[]",), {}, "its parser failed"),
        ("lie", ('{"values": {}, "arrays": {"a": ["<f8", [1000], 0]}}',), {}, "parser failed"),
        ("lie", ('{"values": {}, "arrays": {"a": ["<f8", [1], -8]}}',), {}, "parser failed"),
        ("lie", ('{"values": {}, "arrays": {"a": ["O", [0], 0]}}',), {}, "parser failed"),
    ],
)
def test_children_that_fail(jobs, name, arguments, options, message):
    start = time.monotonic()
    with pytest.raises(DataError, match=message) as error:
        parse(getattr(jobs, name), "some/file.h5", *arguments, **options)
    assert str(error.value).startswith("some/file.h5")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    assert time.monotonic() - start < 20


def test_a_request_longer_than_an_argument(jobs, tmp_path):
    """Such as the numbers of many thousand neurons."""
    numbers = [*range(10_000_000, 10_050_000)]
    assert parse(jobs.add, tmp_path / "file", numbers)["sum"] == sum(numbers)


def test_errors_of_ours_pass(jobs):
    with pytest.raises(UsageError, match=r"^some/file\.h5 is misused$"):
        parse(jobs.raising, Path("some/file.h5"), "usage")


def test_chatter_is_dropped(jobs, capfd):
    assert parse(jobs.chatter, "file") == {"quiet": True}
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_no_threads_are_started(jobs):
    """Which the numerical libraries start for each core, and no parser needs."""
    code = "import os; assert len(os.listdir('/proc/self/task')) == 1"
    assert parse(jobs.attempt, "file", code)["refused"] is None


# Whatever takes over the parser, it has nothing to work with.

NATIVE = "import ctypes; c = ctypes.CDLL(None, use_errno=True); "
"""Past Python's own wall, straight to the C library."""

ATTEMPTS = {
    "a shell": "import os; os.system('touch ' + path)",
    "a program": "import subprocess; subprocess.run(['touch', path])",
    "another process": "import os; os.fork() or open(path, 'w')",
    "a connection": "import socket; socket.create_connection(('127.0.0.1', 9), 1)",
    "a file": "open(path, 'w')",
    "another mode": "import os; os.open(path, os.O_RDWR | os.O_CREAT)",
    "a folder": "import os; os.mkdir(path)",
    "a removal": "import os; os.remove(__import__('sys').executable)",
    "a signal": "import os; os.kill(os.getppid(), 9)",
}
NATIVE_ATTEMPTS = {
    "a program": "r = c.execve(b'/bin/true', 0, 0)",
    "another process": "r = c.fork()",
    "a connection": "r = c.socket(2, 1, 0)",
    "a file": "r = c.open(path.encode(), 0o101, 0o600)",
    "another mode": "r = c.open(path.encode(), 0o102, 0o600)",
    "a folder": "r = c.mkdir(path.encode(), 0o700)",
    "a name": "r = c.rename(path.encode(), path.encode() + b'2')",
    "a signal": "r = c.kill(c.getppid(), 0)",
    "a trace": "r = c.ptrace(16, c.getppid(), 0, 0)",
    "a program by its handle": "r = c.syscall(322, -100, b'/bin/true', 0, 0, 0)",
    "words typed into a terminal": "r = c.ioctl(0, 0x5412, b'x')",
    "a signal with a value": "r = c.syscall(129, c.getppid(), 0, (ctypes.c_char * 128)())",
    "a signal to a thread": "r = c.syscall(297, c.getppid(), c.getppid(), 0, ctypes.c_char_p())",
    "a signal by a handle": "r = c.fcntl(1, 8, c.getppid())",
    "shared memory": "r = c.shmget(0, 4096, 0o1600)",
    "a message queue": "r = c.msgget(0, 0o1600)",
    "semaphores": "r = c.semget(0, 1, 0o1600)",
    "a POSIX queue": "r = c.syscall(240, b'spikefinder', 0o102, 0o600, 0)",
    "an attribute": "r = c.removexattr(path.encode(), b'user.a')",
    "flags of a file": "r = c.ioctl(c.open(b'/', 0), 0x40086602, ctypes.byref(ctypes.c_long(64)))",
    "cores of another": "r = c.sched_setaffinity(c.getppid(), 8, ctypes.byref(ctypes.c_long(1)))",
    "a scheduler": "r = c.sched_setscheduler(c.getppid(), 3, ctypes.byref(ctypes.c_int(0)))",
    "a rank": "r = c.syscall(251, 1, c.getppid(), 3 << 13)",
    "a comparison": "r = c.syscall(312, c.getppid(), c.getppid(), 1, 0, 0)",
    "a mount": "r = c.syscall(430, b'tmpfs', 0)",
    "a name of the network": "r = c.setdomainname(b'x', 1)",
    "watching files": "r = c.syscall(300, 0, 0)",
    "a message to an address": (
        "s = (ctypes.c_int * 2)(); c.socketpair(1, 2, 0, s); "
        "r = c.sendto(s[0], b'x', 1, 0, b'\\1\\0/x', 4)"
    ),
    "new limits": "r = c.setrlimit(9, ctypes.byref((ctypes.c_uint64 * 2)(2**40, 2**40)))",
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_python_refuses(jobs, tmp_path, attempt):
    target = tmp_path / "target"
    refused = parse(jobs.attempt, target, ATTEMPTS[attempt])["refused"]
    assert refused.startswith("PermissionError"), refused
    assert not target.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's wall is Linux'")
@pytest.mark.parametrize("attempt", NATIVE_ATTEMPTS)
def test_the_kernel_refuses(jobs, tmp_path, attempt):
    target = tmp_path / "target"
    code = f"{NATIVE}{NATIVE_ATTEMPTS[attempt]}\nif r == -1: raise OSError(ctypes.get_errno(), '')"
    refused = parse(jobs.attempt, target, code)["refused"]
    assert refused is not None, "it went through"
    assert refused.startswith("PermissionError"), refused
    assert not target.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's wall is Linux'")
def test_a_job_that_writes_is_refused_the_rest_too(jobs, tmp_path):
    changing = ("a file", "another mode", "a folder", "a name")
    for attempt, call in NATIVE_ATTEMPTS.items():
        code = f"{NATIVE}{call}\nif r == -1: raise OSError(ctypes.get_errno(), '')"
        refused = parse(jobs.attempt, tmp_path / "target", code, writes=True)["refused"]
        refused = refused or ""
        assert refused.startswith("PermissionError") == (attempt not in changing), attempt


@pytest.mark.skipif(sys.platform != "linux", reason="there is none")
def test_a_fork_of_the_tests_is_confined_as_a_fresh_process(
    jobs, tmp_path, monkeypatch, warm_sandbox
):
    """In which most other tests have their files parsed."""
    monkeypatch.setattr(sandbox, "subprocess", warm_sandbox)
    code = "import os, sys; raise ValueError([*os.listdir('/proc/self/fd'), *sys.modules])"
    found = [parse(jobs.attempt, "file", code)["refused"] for _ in range(3)]
    fresh, *forks = ({*text.split("'")[1::2]} for text in found)
    # What it has more is what it is called by.
    assert forks == [fresh | {"array", "socket", "_socket"}] * 2
    for attempt, call in NATIVE_ATTEMPTS.items():
        code = f"{NATIVE}{call}\nif r == -1: raise OSError(ctypes.get_errno(), '')"
        refused = parse(jobs.attempt, tmp_path / "target", code)["refused"] or ""
        assert refused.startswith("PermissionError"), attempt
    for name, options, message in (
        ("memory", {"memory": 1 << 30}, "it needs too much memory"),
        ("hang", {"time_limit": 0.5}, "reading it took longer than 0.5 s"),
        ("crash", {}, "its parser failed"),
    ):
        with pytest.raises(DataError, match=message):
            parse(getattr(jobs, name), "file", **options)


IN_A_TERMINAL = """
import pty, sys
code = '''
import sys
sys.path.insert(0, sys.argv[1])
import hostile_jobs
from spikefinder_keras.files.sandbox import parse
terminal = "open('/dev/tty')"
exec(terminal)
print("here there is one;", parse(hostile_jobs.attempt, '.', terminal)["refused"])
'''
pty.spawn([sys.executable, "-c", code, sys.argv[1]])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals")
def test_it_has_no_terminal(jobs, tmp_path):
    """As that of the user's shell, in which what is typed is run."""
    command = [sys.executable, "-c", IN_A_TERMINAL, str(tmp_path / "jobs")]
    run = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert run.stdout.startswith("here there is one; OSError: [Errno 6]"), run


def test_a_job_that_writes_keeps_that_power_alone(jobs, tmp_path):
    target = tmp_path / "target"
    assert parse(jobs.attempt, target, ATTEMPTS["a file"], writes=True)["refused"] is None
    assert target.exists()
    refused = parse(jobs.attempt, target, ATTEMPTS["a program"], writes=True)["refused"]
    assert refused.startswith("PermissionError")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
@pytest.mark.parametrize("limit", ["-v 6000000", "-t 100", "-f 1000"])
def test_the_users_own_limits(tmp_path, limit):
    """Kept, not exceeded and not stumbled over."""
    code = (
        "import sys; from spikefinder_keras.network.weights import read_arrays; "
        "print(len(read_arrays(sys.argv[1])))"
    )
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = np.ones(3)
    command = f"ulimit {limit}; exec '{sys.executable}' -c '{code}' '{tmp_path / 'a.h5'}'"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert found.stdout == "1\n", found.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="not there")
def test_it_ends_with_its_parent(jobs, tmp_path):
    target = tmp_path / "pid"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import hostile_jobs; "
        "from spikefinder_keras.files.sandbox import parse; "
        "parse(hostile_jobs.parent, sys.argv[2], writes=True)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "jobs"), str(target)])
    pid = int(wait_for(lambda: target.exists() and target.read_text()))
    parent.kill()
    parent.wait()

    def gone():
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().split()[2] == "Z"

    assert wait_for(gone)


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    return None


def test_no_file_is_left(jobs, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    array = parse(jobs.good, "file", 1)["array"]
    assert list(temporary.iterdir()) == []
    assert array.sum() == 15


def test_require():
    require("numpy", "adding", "maths")
    with pytest.raises(UsageError, match='needs no_such; install it with: pip install "spike'):
        require("no_such", "dreaming", "dream")


def test_how_much_an_array_may_be_compressed():
    """A hundred times where it is large; 64 MiB may be stored in any space."""
    million = 1 << 20
    check_size("a", (100 * million,), 1, million)
    with pytest.raises(Unreadable, match="claims 104857601 bytes, but the file holds 1048576"):
        check_size("a", (100 * million + 1,), 1, million)
    check_size("a", (64, million), 1, 10)
    with pytest.raises(Unreadable, match="but the file holds 10"):
        check_size("a", (64, million + 1), 1, 10)


def test_how_large_an_array_may_be():
    """4 GiB, but for one that is read in pieces; chunks are no larger than the whole."""
    check_size("a", (1 << 30,), 4, 4 << 30)
    with pytest.raises(Unreadable, match="more than 4 GiB; split it"):
        check_size("a", (1 << 30, 1), 5, 5 << 30)
    check_size("a", (1 << 30,), 5, 5 << 30, largest=None)
    check_size("a", (10,), 8, 80, chunks=(8 << 20,))
    with pytest.raises(Unreadable, match="claims chunks of 67108872 bytes"):
        check_size("a", (10,), 8, 80, chunks=((8 << 20) + 1,))
