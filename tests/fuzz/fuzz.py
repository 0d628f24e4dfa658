"""Coverage-guided fuzzing of all that reads bytes from elsewhere: `python tests/fuzz/fuzz.py csv`.

Each target starts from small valid files and a dictionary of what its format says. The only outcome
besides success is an error that the package foresees. `--planted` puts a hole in, of the kind that
once was there, and fails if the fuzzer does not find it: one that cannot is worth nothing.
"""

import argparse
import contextlib
import functools
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np

FOLDER = Path(tempfile.gettempdir())
TRACES = np.random.default_rng(0).normal(1, 0.1, (2, 12)).astype(np.float32)


class Planted(BaseException):
    """What a planted hole does; no parser catches it."""


class Escaped(BaseException):
    """A parser did what none may do: it started something, or opened or changed another file."""


CHILDS = ("npz", "pickled", "mat", "caiman", "nwb", "weights", "zarr")
"""Targets whose library runs in the sandbox, where it may die. That of the others may not."""
JOBS = ("pickled", "weights")
"""Targets that are a job of the sandbox and no more: what a library says of a damaged file is
caught there. What the others say to the user must be foreseen."""


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# Seeds


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz():
    file = io.BytesIO()
    np.savez_compressed(file, dff=TRACES, fs=30.0)
    bz2 = io.BytesIO()
    with zipfile.ZipFile(bz2, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("dff.npy", npy(TRACES))
    packed = [b"\xff" + made.getvalue() for made in (file, bz2)]
    return packed + [bytes([method]) + npy(TRACES) for method in METHODS]


def pickled():
    settings = {"fs": 30.0, "neucoeff": 0.7, "badframes": np.zeros(12, bool), "n": (1, [2], "x")}
    made = [npy(np.array(settings, object), allow_pickle=True)]
    head = made[0][: made[0].index(b"\n") + 1]
    traps = (b"\x80\x04cnumpy\ndtype\n.", b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x93.")
    return made + [head + trap for trap in traps]


def hdf5(**datasets):
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as made:
        for name, value in datasets.items():
            if name.startswith("@"):
                made.attrs[name[1:]] = value
            else:
                made[name.replace(".", "/")] = value
    return file.getvalue()


def mat():
    from scipy.io import savemat

    made = []
    for options in ({}, {"do_compression": True}):
        file = io.BytesIO()
        savemat(file, {"dff": TRACES, "fs": 30.0, "s": {"a": TRACES}}, **options)
        made.append(file.getvalue())
    return made


def caiman():
    return [hdf5(**{"estimates.C": TRACES, "estimates.YrA": TRACES, "params.data.fr": 30.0})]


def nwb():
    made = {"@nwb_version": "2.7.0", "processing.ophys.Fluorescence.dff.data": TRACES.T}
    return [hdf5(**made)]


def weights():
    return [hdf5(**{"layers.conv1d.vars.0": TRACES, "layers.conv1d.vars.1": TRACES[0]})]


def zarrs():
    v2 = {
        "zarr_format": 2,
        "shape": [2, 12],
        "chunks": [2, 12],
        "dtype": "<f4",
        "fill_value": 0,
        "order": "C",
        "compressor": {"id": "zstd", "level": 1},
        "filters": [{"id": "shuffle", "elementsize": 4}],
    }
    v3 = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [2, 12],
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 12]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {},
    }
    return [json.dumps(each).encode() for each in (v2, v3)]


def runs():
    from dataclasses import asdict

    from spikefinder_keras.training.settings import Settings

    more = {"data": "/nowhere", "traces": "0" * 8, "backend": "tensorflow"}
    return [json.dumps({**asdict(Settings()), **more}).encode()]


CSV = [b"0,1\n1,2\n3,4\n", b"time;a;b\n0,1;2,5;\n0,2;3,5;4,5\n", b"# x\nframe\tn\n1\t2\n2\t3\n"]

SEEDS = {
    "csv": lambda: CSV,
    "npy": lambda: [npy(TRACES), npy(TRACES.astype("i2"))],
    "npz": npz,
    "pickled": pickled,
    "mat": mat,
    "caiman": caiman,
    "nwb": nwb,
    "weights": weights,
    "zarr": zarrs,
    "run": runs,
}
WORDS = {
    "csv": ["time (ms)", "frame", "unit", "sep=;", "\ufeff", '"', "1e400", "nan", "2026-01-01"],
    "npy": ["<f2", "<f4", "|O", "'descr': ", "'fortran_order': True", "(99999, 99999)"],
    "npz": ["<f2", "|O", "PK\x01\x02", "PK\x03\x04", "dff.npy", "../", "zarr.json"],
    "pickled": ["cnumpy.dtypes\n", "__builtins__.eval", "\x93", "R", "b", "cos\nsystem\n", "numpy"],
    "mat": ["dff", "raw", "YrA", "\x0e\0\0\0", "\x0f\0\0\0", "\x11\0\0\0"],
    "caiman": ["estimates", "YrA", "F_dff", "idx_components", "SNOD", "TREE", "HEAP"],
    "nwb": ["data", "rois", "nwb_version", "1.0.0", "timestamps", "SNOD", "TREE", "OHDR"],
    "weights": ["vars", "lays", "SNOD", "TREE", "HEAP", "\x08\0", "OHDR"],
    "zarr": ['"pickle"', '"id"', '"name"', '"codecs"', '"numcodecs.pickle"', '"sharding_indexed"'],
    "run": ['"released"', '"trace"', "NaN", "Infinity", "null", "1e999", "-1", "[0.1]", '""'],
}

# Targets: a function of a path, which runs what would run in the sandbox here


def drain(job, path, *arguments):
    """What a job of the sandbox yields, as it would arrive."""
    values = {}
    for name, value in job(str(path), *arguments):
        array = hasattr(value, "shape")
        values[name] = np.asarray(value[()]) if array else json.loads(json.dumps(value))
    return values


def parse_here(job, path, *arguments, **_limits):
    """As `sandbox.parse`, in this process."""
    from spikefinder_keras.errors import DataError, SpikefinderError

    try:
        return drain(job, path, *arguments)
    except SpikefinderError:
        raise
    except Exception as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def targets(name):
    from spikefinder_keras.files import csv as csv_reader
    from spikefinder_keras.files.sandbox import Unreadable
    from spikefinder_keras.network import weights
    from spikefinder_keras.recordings.formats import container, detect, pickled
    from spikefinder_keras.recordings.options import ReadOptions

    def another_target(*_arguments, **_options):
        raise Unreadable("what is in the sandbox has a target of its own")

    def read(path):
        detect.read(path, ReadOptions(frame_rate=30.0))

    container.parse = another_target if name == "npy" else parse_here
    if name == "run":  # imports Keras
        from spikefinder_keras.training.convi6 import resume

    def store(path):
        text = path.read_bytes()
        folder = path.with_suffix(".zarr")
        folder.mkdir(exist_ok=True)
        for each in (".zarray", "zarr.json"):
            (folder / each).unlink(missing_ok=True)
        (folder / (".zarray" if b'"zarr_format": 2' in text else "zarr.json")).write_bytes(text)
        read(folder)

    def run(path):
        folder = path.parent / "run"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_bytes(path.read_bytes())
        resume(folder, data=FOLDER / "nowhere")

    def zipped(path):
        """The rest as a zip if the first byte is large, else zipped: checksums stop mutations."""
        data = path.read_bytes()
        if data[:1] > b"\x7f":
            path.write_bytes(data[1:])
        else:
            method = METHODS[data[0] % len(METHODS)] if data else METHODS[0]
            with zipfile.ZipFile(path, "w", method) as archive:
                archive.writestr("dff.npy", data[1:])
        read(path)

    return {
        "csv": lambda path: csv_reader.read_table(path, strict=False),
        "npy": read,
        "npz": zipped,
        "pickled": lambda path: drain(
            pickled.parse_numbers, path.parent, [str(path)], {"fs": ["fs"], "n": ["a.b", "n"]}
        ),
        "mat": read,
        "caiman": read,
        "nwb": read,
        "weights": lambda path: drain(weights.parse_arrays, path),
        "zarr": store,
        "run": run,
    }[name]


def plant(name):
    """A hole in the parser, behind its checks."""
    from spikefinder_keras.files import columns
    from spikefinder_keras.files import npy as npy_arrays
    from spikefinder_keras.network import weights
    from spikefinder_keras.recordings.formats import mat, named_arrays, nwb, pickled, zarr
    from spikefinder_keras.training.settings import Settings

    def wrap(module, function, bad):
        original = getattr(module, function)

        @functools.wraps(original)
        def holed(*arguments, **options):
            if bad(*arguments):
                raise Planted
            return original(*arguments, **options)

        setattr(module, function, holed)

    if name == "csv":
        wrap(columns, "time_scale", lambda text: "(ms)" in text)
    elif name in ("npy", "npz"):
        original = npy_arrays.read_header

        def holed(file):
            found = original(file)
            if found[2] == np.float16:
                raise Planted
            return found

        npy_arrays.read_header = holed
    elif name == "pickled":
        wrap(pickled._Unpickler, "find_class", lambda self, module, each: "numpy.dtypes" in module)
    elif name == "mat":
        wrap(mat, "as_json", lambda objects: "dff" not in objects)
    elif name == "caiman":
        wrap(named_arrays, "source_of_caiman", lambda file, _: len(file.arrays) < 3)
    elif name == "nwb":
        known = {"nwb_version": "2.7.0"}
        wrap(nwb, "recognises", lambda file: {**known, **file.groups[""].attributes} != known)
    elif name == "weights":
        wrap(weights, "_checked_weights", lambda dataset, where: "/vars/" not in f"/{where}/")
    elif name == "zarr":
        original = zarr._codecs

        def codecs(metadata):
            for codec in original(metadata):
                if codec == "pickle":
                    raise Planted
                yield codec

        zarr._codecs = codecs
    else:
        wrap(Settings, "__post_init__", lambda self: self.variant == "released")


def places(value, path=()):
    """Where in a JSON value something can be replaced."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def mutate_near(data, largest, seed, seeds, mutate):
    """Every other input is one change away from a valid file: where a library refuses most bytes,
    the fuzzer otherwise collects files that are refused early, and changes only those."""
    draw = random.Random(seed)
    return mutate(draw.choice(seeds) if draw.random() < 0.5 else data, largest)


def mutate_json(data, largest, seed, name, mutate):
    """Another value at a random place of the document; else the bytes changed as they come."""
    draw = random.Random(seed)
    try:
        document = json.loads(data)
        *way, last = draw.choice([each for each in places(document) if each])
    except (ValueError, IndexError, RecursionError):
        return mutate(data, largest)
    if draw.random() < 0.2:
        return mutate(data, largest)
    inner = document
    for key in way:
        inner = inner[key]
    values = [word.strip('"') for word in WORDS[name]]
    values += [None, True, -1, 0, 1.5, 10**12, [], {}, [inner[last]], {"id": inner[last]}]
    inner[last] = draw.choice(values)
    return json.dumps(document).encode()[:largest]


def limit_memory():
    """As in the child, where what asks for more gets a MemoryError."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + (3 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


class Watch:
    """While it is on, whatever starts a program, connects, or touches other files escapes."""

    def __init__(self, folder):
        from spikefinder_keras.files import confinement

        self.on, self.folder = False, str(folder)
        self.writing = confinement._WRITING
        self.changes = {*chain(*confinement._CHANGING_EVENTS.values())}
        self.refused = {*chain(*confinement._REFUSED_EVENTS.values())}
        # pandas reads the time zone that a date names in at most five capitals, such as UTC; it and
        # we ask a container how many cores and how much memory it has.
        self.readable = (self.folder, "/proc/", "/usr/share/zoneinfo/", "/sys/fs/cgroup/")
        self.readable += (sys.prefix, sys.base_prefix, *filter(None, sys.path))
        # A warning shows the line of ours that caused it.
        self.readable += (str(Path(confinement.__file__).parents[1]),)
        sys.addaudithook(self.hook)

    def hook(self, event, arguments):
        if not self.on or not (event == "open" or event in self.changes | self.refused):
            return
        named = arguments[:1] if event == "open" else arguments
        places = [os.fsdecode(each) for each in named if isinstance(each, str | bytes)]
        bad = event in self.refused or not all(map(self.ours, places))
        if event == "open" and not arguments[2] & self.writing:
            bad = bad and not places[0].startswith(self.readable)
        if bad:
            self.on = False
            raise Escaped(event, arguments)

    def ours(self, place):
        return str(Path(place).resolve()).startswith(self.folder)


def fuzz(name, seconds, planted, runs, kept):
    import atheris

    with atheris.instrument_imports(include=["spikefinder_keras"]):
        target = targets(name)
    from spikefinder_keras.errors import SpikefinderError
    from spikefinder_keras.files.sandbox import Unreadable

    if planted:
        plant(name)
    foreseen = (Exception,) if name in JOBS else (SpikefinderError, Unreadable)
    work = tempfile.TemporaryDirectory(prefix="spikefinder-fuzz-")
    folder = Path(work.name)
    corpus = Path(kept) / name if kept else folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = SEEDS[name]()
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = (word.encode("latin1", "replace") for word in WORDS[name])
    lines = ('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in words)
    (folder / "words").write_text("\n".join(lines) + "\n")
    path = folder / "input"

    for seed in seeds:  # so that what is imported late is there
        path.write_bytes(seed)
        with contextlib.suppress(foreseen):
            target(path)
    watch = Watch(folder)

    def one(data):
        path.write_bytes(data)
        watch.on = True
        try:
            with contextlib.suppress(foreseen):
                target(path)
        finally:
            watch.on = False

    limit_memory()

    def mutate(data, largest, seed):
        if name in ("zarr", "run"):
            return mutate_json(data, largest, seed, name, atheris.Mutate)
        return mutate_near(data, largest, seed, seeds, atheris.Mutate)

    limits = [f"-max_total_time={seconds}"] if not runs else [f"-runs={runs}"]
    atheris.Setup(
        [
            sys.argv[0],
            *limits,
            "-max_len=20000",
            "-timeout=60",
            "-rss_limit_mb=0",
            "-verbosity=0",
            "-print_final_stats=1",
            f"-artifact_prefix={FOLDER}/spikefinder-fuzz-{name}-",
            f"-dict={folder / 'words'}",
            str(corpus),
        ],
        one,
        custom_mutator=mutate,
    )
    atheris.Fuzz()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=(*SEEDS, "all"))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("--corpus", default="", help="folder that keeps what a long run has found")
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("atheris is not installed (pip install atheris), so nothing is fuzzed")
        return 0
    if arguments.inner:
        fuzz(
            *(arguments.target, arguments.seconds, arguments.planted),
            *(arguments.runs, arguments.corpus),
        )
        return 0
    failed = []
    names = list(SEEDS) if arguments.target == "all" else [arguments.target]

    def one(name):
        with tempfile.TemporaryDirectory(prefix="spikefinder-fuzz-") as temporary:
            return in_turns(name, arguments, temporary)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each fuzzer is a process
        results = pool.map(one, names)
    for name, (inputs, deaths, seconds, said) in zip(names, results, strict=True):
        found = "\nPlanted" in said if arguments.planted else not said
        ending = "found the hole" if arguments.planted else "no fault"
        died = f", {deaths} deaths of the child" if deaths else ""
        ending = ending if found else "FAILED"
        print(f"{name}: {inputs} inputs in {seconds:.0f} s{died}, {ending}", flush=True)
        if not found:
            failed.append(name)
            print(said[-3000:])
    return bool(failed)


def in_turns(name, arguments, temporary):
    """Fuzz until the time is over or a fault is found, over deaths of a library in the child.

    Returns
    -------
    int, int, float, str
        Inputs, deaths, seconds, and what the fuzzer said of a fault.
    """
    inputs = deaths = 0
    started = time.monotonic()
    while True:
        left = round(arguments.seconds - (time.monotonic() - started))
        command = [sys.executable, __file__, name, "--inner", "--seconds", str(max(left, 1))]
        command += ["--runs", str(arguments.runs), "--corpus", arguments.corpus or temporary]
        command += ["--planted"] * arguments.planted
        run = subprocess.run(command, capture_output=True, env=os.environ, check=False)
        said = (run.stderr + run.stdout).decode(errors="replace")
        counts = [line.split()[-1] for line in said.splitlines() if "number_of_executed" in line]
        inputs += int(counts[-1]) if counts else 0
        seconds = time.monotonic() - started
        if run.returncode == 0:
            return inputs, deaths, seconds, ""
        if name not in CHILDS or "Uncaught Python exception" in said or not counts:
            return inputs, deaths, seconds, said
        deaths += 1
        if seconds > arguments.seconds - 5 or arguments.runs:
            return inputs, deaths, seconds, ""


if __name__ == "__main__":
    sys.exit(main())
