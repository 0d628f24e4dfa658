"""What a command takes: shared by the benchmarks that measure a whole process."""

import os
import subprocess
import sys
import time


def measure(command):
    """Seconds and peak memory in GiB of a command, which must succeed."""
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed ({child.returncode})")
    return time.perf_counter() - started, usage.ru_maxrss / 2**20
