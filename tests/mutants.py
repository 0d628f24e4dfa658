"""A test notices: one-line faults of `mutants.toml`, each of which the named tests must catch.

`python tests/mutants.py` puts them one after another into a copy of the package, two copies at a
time, and runs there the tests named with each. Real data are hidden from them. Its exit status is 1
if a fault passes unnoticed that is not listed as `known`, or its line is not in the package.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_name("mutants.toml")
COPIED = ("spikefinder_keras", "tests", "weights", "benchmarks", "pyproject.toml")
AT_A_TIME = 2
SECONDS = 300
"""A fault may make a loop endless; it is noticed then, too."""
PASSED, FAILED = 0, 1  # exit status of pytest; any other says that no test was run as meant


@dataclass(frozen=True)
class Mutant:
    """A fault: in `file` of the package the text `old` becomes `new`, and `tests`, arguments of
    pytest, must notice. `place` counts from 1 where a file has the text more than once; `known` is
    the reason why nobody notices."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    place: int = 0
    known: str = ""

    def changed(self, text: str) -> str:
        """The module's text with the fault in it; `ValueError` where its line is not certain."""
        parts = text.split(self.old)
        if "\n" in self.old or self.old == self.new:
            raise ValueError(f"{self.what}: not a change of one line")
        if len(parts) == 1:
            raise ValueError(f"{self.what}: {self.file} has no such line any more: {self.old}")
        if self.place == 0 and len(parts) != 2:
            raise ValueError(f"{self.what}: {self.file} has {len(parts) - 1} times: {self.old}")
        if self.place >= len(parts):
            raise ValueError(f"{self.what}: {self.file} has no place {self.place} of: {self.old}")
        at = max(self.place, 1)
        return self.old.join(parts[:at]) + self.new + self.old.join(parts[at:])


def read_list(path: Path = LIST) -> list[Mutant]:
    """All mutants; `ValueError` if the line of one is not in the package, or two are the same."""
    found = []
    for entry in tomllib.loads(path.read_text())["mutant"]:
        tests = tuple(entry.pop("tests"))
        mutant = Mutant(old=entry.pop("from"), new=entry.pop("to"), tests=tests, **entry)
        mutant.changed((ROOT / "spikefinder_keras" / mutant.file).read_text())
        found.append(mutant)
    if len({(m.file, m.old, m.new, m.place) for m in found}) != len(found):
        raise ValueError(f"{path} has a fault twice")
    return found


def sample(mutants: list[Mutant], count: int, day: int) -> list[Mutant]:
    """`count` of them, evenly chosen; the next day others, until all had their turn."""
    step = -(-len(mutants) // count)
    return mutants[day % step :: step]


@contextmanager
def copies(count: int) -> Iterator[SimpleQueue[Path]]:
    """Copies of what the tests need, each for one fault at a time."""
    ignore = shutil.ignore_patterns("__pycache__", ".*")
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        free: SimpleQueue[Path] = SimpleQueue()
        for number in range(count):
            copy = Path(folder, str(number))
            for name in COPIED:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, copy / name, ignore=ignore)
                else:
                    shutil.copy(ROOT / name, copy / name)
            free.put(copy)
        yield free


def run_tests(copy: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """The exit status of pytest in a copy, `FAILED` too where it never ends, and its output."""
    # Byte code goes by size and second of the source, so that of a fault could be another's.
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("SPIKEFINDER_DATA", None)
    program = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            program, cwd=copy, env=environment, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return FAILED, f"no end in {SECONDS} s"
    return done.returncode, done.stdout + done.stderr


def try_one(mutant: Mutant, free: SimpleQueue[Path]) -> str:
    """`caught`, `survived`, or what went wrong."""
    copy = free.get()
    module = copy / "spikefinder_keras" / mutant.file
    text = module.read_text()
    try:
        module.write_text(mutant.changed(text))
        status, output = run_tests(copy, mutant.tests)
    finally:
        module.write_text(text)
        free.put(copy)
    if status not in (PASSED, FAILED):
        return f"not tested: pytest ended with {status}\n{output[-2000:]}"
    return "survived" if status == PASSED else "caught"


def try_all(mutants: list[Mutant]) -> list[Mutant]:
    """Try each and print a line on it; returns those that failed: unnoticed, or not tested."""
    failed = []
    with copies(AT_A_TIME) as free, ThreadPoolExecutor(AT_A_TIME) as pool:
        # What fails without a fault would seem to notice every one.
        copy = free.get()
        status, output = run_tests(copy, tuple(sorted({t for m in mutants for t in m.tests})))
        free.put(copy)
        if status != PASSED:
            raise SystemExit(f"{output[-4000:]}\nthe tests fail without any fault")
        found = pool.map(lambda mutant: try_one(mutant, free), mutants)
        for mutant, answer in zip(mutants, found, strict=True):
            if answer != ("survived" if mutant.known else "caught"):
                failed.append(mutant)
            print(f"{answer:8} {mutant.file}: {mutant.what}", flush=True)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("words", nargs="*", help="only those with one of these in file or name")
    parser.add_argument("--sample", type=int, metavar="COUNT", help="about so many, by the day")
    options = parser.parse_args()
    mutants = read_list()
    if options.words:
        chosen = options.words
        mutants = [m for m in mutants if any(w in m.file or w in m.what for w in chosen)]
    if options.sample:
        mutants = sample(mutants, options.sample, int(time.time() // 86_400))
    started = time.monotonic()
    failed = try_all(mutants)
    seconds = time.monotonic() - started
    known = sum(bool(m.known) for m in mutants)
    print(f"{len(mutants)} faults in {seconds:.0f} s, {known} of them known to pass unnoticed")
    for mutant in failed:
        print(f"not as listed: {mutant.file}: {mutant.what}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
