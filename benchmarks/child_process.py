"""What the benchmarks share: time and memory of a process, and how a table is shown and kept."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

MEASURE = """
import json, os, subprocess, sys, time
started = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
child.returncode = os.waitstatus_to_exitcode(status)
print(json.dumps([child.returncode, time.perf_counter() - started, usage.ru_maxrss / 2**20]))
"""


def measure(command):
    """Seconds and peak memory in GiB of a command, which must succeed.

    A small process starts it: on Linux the peak of a new process begins with that of its parent.
    """
    failed, seconds, memory = answer(MEASURE, *command)
    if failed:
        sys.exit(f"{' '.join(map(str, command))} failed ({failed})")
    return seconds, memory


def answer(code, *arguments):
    """The JSON in the last line of what a piece of Python prints in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def add_json(parser):
    parser.add_argument("--json", type=Path, help="file to write the table to, with the machine")


def machine():
    """Processor, cores that may be used, and memory, as a dict."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_GiB": round(memory, 1),
        "python": platform.python_version(),
    }


def head(*columns):
    """Begin a table on the terminal."""
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns), flush=True)


def line(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def keep(path, rows, **more):
    """Say what machine it was, and write all of it where the user wants it."""
    about = machine()
    print("\n{processor}, {cores} cores, {memory_GiB} GiB, Python {python}".format(**about))
    if path:
        text = json.dumps({"machine": about, **more, "rows": rows}, indent=1)
        path.write_text(text + "\n", encoding="utf-8")
