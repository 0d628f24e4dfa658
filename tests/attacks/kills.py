"""kill -9, again and again, at any moment: `python tests/attacks/kills.py training 300`.

A victim is a run of the command line, forked from a process that has loaded everything, so that it
dies at its work and not while it loads. After each death what stands on the disk is looked at, and
the next victim goes on from there.
"""

import argparse
import contextlib
import hashlib
import http.server
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

SUFFIXES = (".csv", ".npy", ".npz", ".mat", ".zarr")


WRITING = 0.03
"""s; about as long as it takes to write a file after its temporary one appears."""


class Victims:
    """Runs commands and kills them: after a random share of the time that one takes, or, as often,
    just after one of the first `files` temporary files has appeared."""

    def __init__(self, seed):
        self.seconds, self.draw, self.kills = 0.0, random.Random(seed), 0
        self.files = 4

    def run(self, command, folder=None):
        """True if the command was through before it was killed; it is, if there is no `folder`.

        The folder is where it writes.
        """
        from spikefinder_keras.cli import main

        child = forked(lambda: main([str(part) for part in command]))
        end, done = float("inf"), 0
        if folder:
            end = time.monotonic() + self.draw.uniform(0, self.seconds)
            wait = self.draw.random() < 0.5
            skipped = self.draw.randrange(self.files)
            seen = temporary(folder)
        while not done and time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if folder and wait:
                end = max(end, time.monotonic() + 1)
                new = temporary(folder) - seen
                if new and skipped:
                    seen, skipped = seen | new, skipped - 1
                elif new:
                    wait, end = False, time.monotonic() + self.draw.uniform(0, WRITING)
            time.sleep(0.001)
        if not done:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, -signal.SIGKILL), f"{command} ended with {code}"
        self.kills += code != 0
        return code == 0

    def time(self, command):
        """Let the command run to its end, and take its time for the longest."""
        started = time.monotonic()
        assert self.run(command)
        self.seconds = time.monotonic() - started


def forked(act, errors=None):
    """The number of a process that ends with the status which `act` returns; its standard error
    goes into the file `errors`, if there is one."""
    child = os.fork()
    if not child:
        status = 1
        with contextlib.suppress(BaseException):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if errors:
                os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            status = act()
        os._exit(status)
    return child


def temporary(folder):
    """Names of what is being written below a folder."""
    names = (name for _, folders, files in os.walk(folder) for name in (*folders, *files))
    return {name for name in names if ".partial" in name}  # zarr's end so


# Training


def small_network(variant, **_):
    """A convolution on either side of dropout, whose random state has to be stored too."""
    import keras

    calcium = keras.Input((None, 1), name="calcium")
    dataset = keras.Input((None, 10), name="dataset")
    rate = keras.layers.Concatenate()([calcium, dataset])
    rate = keras.layers.Conv1D(3, 5, padding="same", activation="tanh")(rate)
    rate = keras.layers.Dropout(0.3)(rate)
    rate = keras.layers.Conv1D(1, 3, padding="same", activation="sigmoid")(rate)
    return keras.Model([calcium, dataset], rate, name=f"convi6_{variant}")


def training(folder, count, seed):
    """Killed runs are resumed, killed again, and end as the one that was not: weights, optimiser,
    random state and log."""
    from spikefinder_keras.competition.tables import write_csv
    from spikefinder_keras.training import convi6 as module

    compile_network = module.compile_network

    def compile_for_now(network, settings):
        compile_network(network, settings)
        network.run_eagerly = True  # compiling would take most of each life

    module.build_network, module.compile_network = small_network, compile_for_now
    rng = np.random.default_rng(0)
    spikes = rng.poisson(0.05, (200, 5)).astype(float)
    data = folder / "data"
    data.mkdir()
    write_csv(data / "1.train.spikes.csv", spikes)
    write_csv(data / "1.train.calcium.csv", spikes + rng.normal(size=spikes.shape))
    start = ["train", "--data", data, "--epochs", "6", "--batch", "2", "--quiet", "--out"]
    victims = Victims(seed)
    victims.time([*start, folder / "whole"])
    expected, at, runs = state_of(folder / "whole"), Counter(), 0
    while victims.kills < count:
        run, through = folder / f"run{runs}", False
        while not through:
            begun = (run / "config.json").exists()
            command = ["train", "--resume", run, "--quiet"] if begun else [*start, run]
            through = victims.run(command, run if victims.kills < count else None)
            log = run / "log.csv"
            if not through:
                at[log.read_text().count("\n") - 1 if log.exists() else 0] += 1
        assert state_of(run) == expected, run
        assert not list(run.rglob(".partial-*"))
        shutil.rmtree(run)
        runs += 1
    return f"{victims.kills} kills after {dict(sorted(at.items()))} epochs, {runs} runs, all equal"


def state_of(run):
    """The weights, the checkpoint and the log of a run, without its times."""
    import h5py

    found = {}
    for name in ("last.weights.h5", "best.weights.h5"):
        with h5py.File(run / name) as file:

            def add(where, item, name=name):
                if hasattr(item, "shape"):
                    found[name, where] = item[()].tobytes()

            file.visititems(add)
    with np.load(run / "checkpoint.npz") as file:
        found |= {name: file[name].tobytes() for name in file if name != "about"}
    log = (run / "log.csv").read_text().splitlines()
    return found | {"log": [line.rpartition(",")[0] for line in log]}


# Prediction


def prediction(folder, count, seed):
    """What stood there is there, or what was to come; never half of it, and nothing else."""
    draw = np.random.default_rng(0)
    out, kept = folder / "out", folder / "kept"
    out.mkdir()
    commands = {}
    for name, frames in (("old", 300), ("new", 400)):
        source = folder / f"{name}.npy"
        np.save(source, draw.normal(1, 0.1, (2, frames)).astype("f4"))
        commands[name] = ["predict", source, "--frame-rate", "30", "--quiet", "--overwrite"]
    victims, whole, ended = Victims(seed), {}, Counter()
    for name in ("new", "old"):
        for suffix in SUFFIXES:
            victims.time([*commands[name], "--out", out / f"r{suffix}"])
        whole[name] = contents(out)
    shutil.copytree(out, kept)
    while victims.kills < count:
        suffix = SUFFIXES[victims.kills % len(SUFFIXES)]
        victims.files = 20 if suffix == ".zarr" else 4
        victims.run([*commands["new"], "--out", out / f"r{suffix}"], out)
        states = set()
        found = {name: data for name, data in contents(out).items() if ".partial-" not in name}
        assert set(found) == set(whole["old"])
        for name, data in found.items():
            if whole["old"][name] != whole["new"][name]:
                states |= {state for state in whole if whole[state][name] == data} or {"half"}
        assert "half" not in states
        ended["new" if "new" in states else "old"] += 1
        for place in [place for place in out.iterdir() if ".partial-" not in place.name]:
            (shutil.rmtree if place.is_dir() else os.unlink)(place)
        shutil.copytree(kept, out, dirs_exist_ok=True)
    for suffix in SUFFIXES:
        assert victims.run([*commands["new"], "--out", out / f"r{suffix}"])
    assert contents(out) == whole["new"]
    return f"{victims.kills} kills, after which stood {dict(ended)} files, each whole"


def contents(folder):
    """Of all files by their names; without the date in those of MATLAB."""
    return {
        str(path.relative_to(folder)): path.read_bytes()[116 if path.suffix == ".mat" else 0 :]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# Two runs at once into one store

NEURONS, FRAMES = 9, 300
NOT_ITS_OWN = 3  # the status of a victim that says it is through while its store is not whole
SIGN, SILENT = 0.05, 0.3  # s, instead of 30 and 600
LEFT_SINCE = 0.6  # s; so long after its last sign what another computer left is a stale temporary
NAMES = 60  # about as many files and folders appear while a store is written, and go again


class Rival:
    """One of two runs of `predict` into one place, which may believe to be on another computer, be
    killed, or sleep for a while."""

    def __init__(self, command, expected, *, draw, seconds, elsewhere, folder):
        self.command, self.expected, self.folder = command, expected, folder
        self.errors = folder.parent / f"errors-{id(self)}"
        self.elsewhere, self.status, self.stale = elsewhere, None, 86_400
        self.starts = draw.uniform(0, 0.3 * seconds)
        # It dies at some time, or when so many names have appeared in the folder, or not.
        self.dies, self.skips, how = float("inf"), 0, draw.random()
        if how < 0.35:
            self.dies = draw.uniform(0, 1.5 * seconds)
        elif how < 0.7:
            self.skips = draw.randrange(1, NAMES)
        self.sleeps = self.wakes = float("inf")
        if elsewhere and draw.random() < 0.7:
            self.sleeps = draw.uniform(0, seconds)
            self.wakes = self.sleeps + SILENT + draw.uniform(0, 1.5 * seconds)

    def spare(self):
        """Let it live."""
        self.dies, self.skips = float("inf"), 0

    def start(self):
        self.errors.touch()  # it may die before it can
        self.child = forked(self._act, self.errors)

    def _act(self):
        from spikefinder_keras.cli import main
        from spikefinder_keras.files import atomic
        from spikefinder_keras.recordings import sinks

        atomic.STALE = self.stale
        if self.elsewhere:
            atomic._system = lambda: "ffffffff"
        replace, whole = sinks.replace_folder, []

        def replace_and_look(new, path):
            handle = os.open(new, os.O_RDONLY)  # of the store, wherever it is moved to
            replace(new, path)
            now = contents(Path(f"/proc/self/fd/{handle}/"))
            # While this one slept, another may have replaced it and removed it since.
            replaced = not os.path.samestat(os.fstat(handle), path.stat())
            whole.append(now == self.expected or replaced)

        sinks.replace_folder = replace_and_look
        status = main([str(part) for part in self.command])
        return NOT_ITS_OWN if status == 0 and whole != [True] else status

    def step(self, seconds, names):
        """What happens to it, so many s after the beginning, when so many names have appeared."""
        if self.status is not None or seconds < self.starts:
            return
        if not hasattr(self, "child"):
            self.start()
        done, status = os.waitpid(self.child, os.WNOHANG)
        if done:
            self.status = os.waitstatus_to_exitcode(status)
        elif names > self.skips if self.skips else seconds > self.dies:
            self.dies = float("inf")
            os.kill(self.child, signal.SIGKILL)
        elif seconds > self.wakes:
            self.wakes = float("inf")
            os.kill(self.child, signal.SIGCONT)
        elif seconds > self.sleeps:
            self.sleeps = float("inf")
            os.kill(self.child, signal.SIGSTOP)

    def check(self):
        """Its status is one that it may have, and its error one line."""
        said = self.errors.read_text()
        self.errors.unlink()
        assert self.status in (0, 2, -signal.SIGKILL), (self.status, said)
        if self.status == 2:
            assert said.count("\n") == 1, said
            assert "fault of the program" not in said, said
        return self.status


def claims(folder, count, seed):
    """Two runs at once, of two recordings or one, on one computer or two; at the end of each round
    stands the whole store of one of them, or of one before."""
    from spikefinder_keras.files import claims as module
    from spikefinder_keras.recordings import recording as memory
    from spikefinder_keras.recordings.formats import writers

    # Chunks of two neurons, as of a store that is much larger.
    memory.CHUNK, writers.STORE_CHUNK = 2 * 4 * FRAMES, FRAMES
    module.SIGN, module.SILENT = SIGN, SILENT
    draw, values = random.Random(seed), np.random.default_rng(0)
    work, expected, commands = folder / "work", {}, {}
    out = work / "same.zarr"
    work.mkdir()
    victims = Victims(seed)
    for name in "ab":
        source = folder / f"{name}.npy"
        np.save(source, values.normal(1, 0.1, (NEURONS, FRAMES)).astype("f4"))
        commands[name] = ["predict", source, "--frame-rate", "30", "--quiet", "--out", out]
        victims.time(commands[name])
        expected[name] = contents(out)
        shutil.rmtree(out)
    assert expected["a"] != expected["b"]
    kills, rounds, ended, stood = 0, 0, Counter(), None
    while kills < count:
        if draw.random() < 0.4:  # else the last store stands there, to be replaced
            shutil.rmtree(out, ignore_errors=True)
            stood = None
        two = draw.choice(("ab", "ba", "ab", "ba", "aa"))
        elsewhere = draw.randrange(6) if draw.random() < 1 / 3 else None
        rivals = [
            Rival(
                commands[name],
                expected[name],
                draw=draw,
                seconds=victims.seconds,
                elsewhere=elsewhere is not None and elsewhere % 2 == k,
                folder=work,
            )
            for k, name in enumerate(two)
        ]
        if count - kills < len(rivals):
            rivals[0].spare()
        compete(rivals, work)
        statuses = [rival.check() for rival in rivals]
        through = [name for name, status in zip(two, statuses, strict=True) if status == 0]
        now = contents(out) if out.exists() else None
        # One that was killed may have given its store the name before.
        allowed = through or [stood, *two]
        names = [name for name in allowed if now == expected.get(name)]
        assert names, (two, statuses, stood)
        stood = names[0]
        kills += statuses.count(-signal.SIGKILL)
        ended.update(statuses)
        rounds += 1
        if draw.random() < 0.1 or kills >= count:
            stood = draw.choice("ab")
            undisturbed(commands[stood], expected[stood], draw, work)
            assert contents(out) == expected[stood]
            assert [path.name for path in work.iterdir()] == [out.name]
    runs = f"{ended[0]} runs through, {ended[2]} refused"
    return f"{kills} kills in {rounds} rounds, {runs}; every store whole, and of one run"


def compete(rivals, folder):
    """Let them run to their ends."""
    began, seen = time.monotonic(), set()
    before = names_in(folder)
    while any(rival.status is None for rival in rivals):
        seen |= names_in(folder) - before
        for rival in rivals:
            rival.step(time.monotonic() - began, len(seen))
        time.sleep(0.001)


def undisturbed(command, expected, draw, folder):
    """One run by itself, some time after all the others."""
    time.sleep(LEFT_SINCE)
    last = Rival(command, expected, draw=draw, seconds=0.0, elsewhere=False, folder=folder)
    last.spare()
    last.stale = LEFT_SINCE
    compete([last], folder)
    assert last.check() == 0


def names_in(folder):
    """Paths of all files and folders below a folder."""
    return {
        os.path.join(place, name)  # noqa: PTH118 - a thousand times a second
        for place, folders, files in os.walk(folder)
        for name in (*folders, *files)
    }


# Downloads


class Trickle(http.server.SimpleHTTPRequestHandler):
    """Sends a file in pieces, with pauses."""

    def copyfile(self, source, target):
        while piece := source.read(10_000):
            target.write(piece)
            time.sleep(0.002)

    def log_message(self, *_):
        pass


def download(folder, count, seed):
    """Each file is the published one or not there; the next run fetches what is missing."""
    from spikefinder_keras.files import downloads

    mirror, files = folder / "mirror", {}
    mirror.mkdir()
    for number in range(1, 9):
        content = random.Random(number).randbytes(60_000)
        name = f"{number}.train.calcium.csv"
        (mirror / name).write_bytes(content)
        files[name] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    downloads.COMPETITION_FILES = files
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: Trickle(*a, directory=str(mirror))
    )
    server.handle_error = lambda *_: None  # whoever asked has been killed
    address = f"http://127.0.0.1:{server.server_port}"
    serving = os.fork()
    if not serving:
        server.serve_forever()
    try:
        os.environ["SPIKEFINDER_CACHE"] = str(folder / "cache")
        command = ["download", "data", "--mirror", address, "--quiet", "--out"]
        victims = Victims(seed)
        victims.time([*command, folder / "whole"])
        whole, at, runs = contents(folder / "whole"), Counter(), 0
        assert len(whole) == len(files)
        while victims.kills < count:
            out, through = folder / f"out{runs}", False
            while not through:
                through = victims.run([*command, out], out if victims.kills < count else None)
                now = {n: data for n, data in contents(out).items() if ".partial-" not in n}
                assert now.items() <= whole.items()
                if not through:
                    at[len(now)] += 1
            assert contents(out) == whole
            shutil.rmtree(out)
            runs += 1
    finally:
        os.kill(serving, signal.SIGKILL)
        os.waitpid(serving, 0)
    return f"{victims.kills} kills after {dict(sorted(at.items()))} files, {runs} downloads, whole"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("training", "prediction", "claims", "download"))
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    kill = globals()[arguments.what]
    # Loaded before the first fork, and nothing more: threads would not survive it.
    if arguments.what == "training":
        import keras  # noqa: F401

        import spikefinder_keras.training.convi6  # noqa: F401
    elif arguments.what in ("prediction", "claims"):
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import scipy.io  # noqa: F401
        import zarr  # noqa: F401
    else:
        import pooch  # noqa: F401
        import requests  # noqa: F401
    with tempfile.TemporaryDirectory(prefix="spikefinder-kills-") as folder:
        started = time.monotonic()
        temporary = Path(folder, "tmp")
        temporary.mkdir()
        tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
        work = Path(folder, "work")
        work.mkdir()
        found = kill(work, arguments.count, arguments.seed)
        left = [path.name for path in temporary.rglob("*")]
        tempfile.tempdir = None
        assert not left, left
    seconds = time.monotonic() - started
    print(f"{arguments.what}: {found}; {seconds:.0f} s, {arguments.count / seconds:.2f} a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
