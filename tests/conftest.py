"""Shared fixtures. Network tests run on whichever backend `KERAS_BACKEND` names."""

import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# A run says the same of the same code; `--hypothesis-profile=default` draws new examples.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")


@pytest.fixture(scope="session")
def data():
    """The folder of real data; tests that need it are skipped where it is not named."""
    folder = os.environ.get("SPIKEFINDER_DATA")
    if not folder:
        pytest.skip("SPIKEFINDER_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory):
    """Keep the tests out of the user's cache, and the user's data out of the tests' defaults."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SPIKEFINDER_CACHE", str(cache))
    return cache


WARM = """
import contextlib, importlib, json, os, socket, struct, sys
sys.path[:] = json.loads(sys.argv[1])
from spikefinder_keras.files.sandbox import main
for name in json.loads(sys.argv[2]):
    importlib.import_module(name)
with contextlib.suppress(ImportError, OSError, RuntimeError):
    importlib.import_module("pyseccomp")
calls = socket.socket(fileno=0)
while True:
    length, answer, *_ = socket.recv_fds(calls, 8, 1)
    if not length:
        sys.exit()  # the tests have ended
    call = json.loads(calls.recv(*struct.unpack("q", length), socket.MSG_WAITALL))
    if not (child := os.fork()):
        break
    os.close(*answer)
    _, status = os.waitpid(child, 0)
    calls.sendall(struct.pack("q", os.waitstatus_to_exitcode(status)))
calls.close()
os.open(os.devnull, os.O_RDONLY)  # as 0, which was the socket
os.dup2(*answer, 1)
os.close(*answer)
os.setsid()
os.chdir(call["folder"])
os.environ.update(call["environment"])
call["request"]["parent"] = os.getppid()
os._exit(main(json.dumps(call["request"])))
"""
"""A process that has imported what a child of the sandbox imports for jobs of one kind, and nothing
else, and forks into such a child for each file."""

OF_A_TEST = ("PYTEST_CURRENT_TEST", "SPIKEFINDER_CACHE")
"""Variables that differ from test to test; no library asks for them."""


class WarmSandbox:
    """Does what `subprocess.run` does for `files.sandbox`, by one process for each kind of job.

    The first file of a kind is parsed in a fresh process, as all of them are outside the tests.
    """

    def __init__(self):
        self.waiting = {}

    def run(self, command, *, stdout, timeout, env, **options):
        *python, _, paths, request = command
        request = json.loads(request)
        imports = json.dumps([*request["libraries"], request["module"]])
        here = {name: env[name] for name in OF_A_TEST if name in env}
        environment = {name: value for name, value in env.items() if name not in here}
        kind = (os.getpid(), paths, imports, *sorted(environment.items()))
        if kind not in self.waiting:
            self.waiting[kind] = None
            return subprocess.run(command, stdout=stdout, timeout=timeout, env=env, **options)
        started = self.waiting[kind] or start([*python, WARM, paths, imports], environment)
        self.waiting[kind] = None  # as long as it is busy, or for good if this fails
        process, calls = started
        calls.settimeout(timeout)
        call = {"request": request, "folder": str(Path.cwd()), "environment": here}
        text = json.dumps(call).encode()
        try:
            socket.send_fds(calls, [struct.pack("q", len(text))], [stdout.fileno()])
            calls.sendall(text)
            (status,) = struct.unpack("q", calls.recv(8))
        except TimeoutError:
            process.kill()  # and its child with it
            process.wait()
            raise subprocess.TimeoutExpired(command, timeout) from None
        self.waiting[kind] = started
        return subprocess.CompletedProcess(command, status)


def start(command, environment):
    calls, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    return process, calls


WARM_SANDBOX = WarmSandbox()


@pytest.fixture(autouse=True)
def warm_sandbox(request, monkeypatch):
    """Spare each child of the sandbox its imports, but for tests marked `fresh_sandbox`."""
    warm = SimpleNamespace(**{**vars(subprocess), "run": WARM_SANDBOX.run})
    if sys.platform == "linux" and "fresh_sandbox" not in request.keywords:
        monkeypatch.setattr("spikefinder_keras.files.sandbox.subprocess", warm)
    return warm
