"""Take from a process what parsing a file does not need, before the file can take it over.

Three walls, each for itself. On Linux the kernel refuses all that parsing does not need: to start
programs, to open connections, to reach other processes or a terminal, to change files (seccomp,
where libseccomp is installed, as on nearly all). On every system Python itself refuses what goes
through it (an audit hook), and what memory, processor time and disk can be taken is limited (not on
Windows).
"""

import ctypes
import errno
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyseccomp import Arg, SyscallFilter

LARGEST_OUTPUT = 16 << 30
"""Bytes that a confined process may write to a file."""

_ALLOWED = {
    "memory": ("brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "membarrier"),
    "threads": ("futex", "set_robust_list", "rseq", "set_tid_address", "sched_yield"),
    "itself": ("exit", "exit_group", "getpid", "gettid", "getppid", "getrusage", "times"),
    "its handlers": ("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack"),
    "time": ("clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday"),
    "the machine": ("uname", "sysinfo", "sched_getaffinity", "getcpu", "getrandom"),
    "its user": ("getuid", "geteuid", "getgid", "getegid", "getcwd"),
    "reading": ("read", "readv", "pread64", "preadv", "lseek", "close", "dup", "flock"),
    "folders": ("getdents64", "statfs", "fstatfs", "access", "faccessat", "faccessat2"),
    "files": ("stat", "lstat", "fstat", "newfstatat", "statx", "readlink", "readlinkat"),
    # What is open for writing is its answer.
    "the answer": ("write", "writev", "pwrite64", "pwritev"),
    # Zarr reads by an event loop, whose parts talk to each other.
    "its own parts": ("epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2"),
    "what they say": ("pipe2", "poll", "ppoll", "recvfrom", "getsockname", "restart_syscall"),
}
"""System calls that parsing needs, by what they are for: found by running the formats' tests, with
those that other versions of the C library take instead. The kernel refuses all others."""
_FOR_WRITING = (
    *("open", "openat", "creat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir"),
    *("mkdirat", "rmdir", "truncate", "ftruncate", "fallocate", "fsync", "fdatasync", "chmod"),
    *("fchmod", "fchmodat", "utimensat"),
)
"""Further ones for a job that changes files."""
_NEW_CALLS = ("clone3", "openat2")
"""Their flags stand in memory, where seccomp cannot see them; without them libraries fall back."""

_REFUSED_EVENTS = {
    "programs": ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile"),
    "processes": ("os.fork", "os.forkpty", "subprocess.Popen", "pty.spawn"),
    "signals": ("os.kill", "signal.pthread_kill"),
    "connections": ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"),
    "addresses": ("socket.getaddrinfo", "urllib.Request", "webbrowser.open"),
    "servers": ("ftplib.connect", "smtplib.connect", "http.client.connect"),
}
"""What Python's audit hooks refuse; these hold on every system."""
_CHANGING_EVENTS = {
    "folders": ("os.mkdir", "os.rmdir", "shutil.rmtree", "shutil.move"),
    "files": ("os.remove", "os.rename", "os.link", "os.symlink", "os.truncate"),
    "properties": ("os.chmod", "os.chown", "os.utime", "os.setxattr"),
}
_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""
_CLONE_THREAD, _AF_UNIX = 0x10000, 1
"""From linux/sched.h and linux/socket.h."""
_IOCTL = (0x5401, 0x5450, 0x5451, 0x5421, 0x541B)
"""TCGETS, FIONCLEX, FIOCLEX, FIONBIO and FIONREAD of asm-generic/ioctls.h."""
_FCNTL = (0, 1, 2, 3, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL and F_DUPFD_CLOEXEC of linux/fcntl.h."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def confine(memory: int, seconds: float, *, writes: bool = False) -> None:
    """Give up, for good, what this process does not need to parse a file.

    Parameters
    ----------
    memory
        Bytes that it may take beyond what it has now.
    seconds
        Of processor time that it may still use.
    writes
        Whether it may change files; then that is left to it.
    """
    limit_resources(memory, seconds, writes=writes)
    _seccomp(writes)  # before the next, as looking for libseccomp starts a program
    _audit(writes)


def limit_resources(memory: int, seconds: float, *, writes: bool = False) -> None:
    """Limit memory, processor time and the size of files, and never beyond the user's own limits.

    Windows knows no such limits; there the checks of the parsers and the time limit remain.
    """
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    limits = {
        "RLIMIT_CPU": int(used.ru_utime + used.ru_stime + seconds) + 1,
        "RLIMIT_CORE": 0,  # a crash must not write gigabytes beside the user's data
    }
    if not writes:
        limits["RLIMIT_FSIZE"] = LARGEST_OUTPUT
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits["RLIMIT_AS"] = pages * resource.getpagesize() + memory
    except OSError:  # only Linux says how much there is already
        pass
    for name, limit in limits.items():
        kind = getattr(resource, name)
        # A limit that the user has set lower, as schedulers of clusters do, stays.
        present = [each for each in resource.getrlimit(kind) if each != resource.RLIM_INFINITY]
        limit = min([limit, *present])
        resource.setrlimit(kind, (limit, limit))


def _audit(writes: bool) -> None:
    """Let Python refuse what a parser never does."""
    refused = {*chain(*_REFUSED_EVENTS.values())}
    if not writes:
        refused.update(*_CHANGING_EVENTS.values())

    def hook(event: str, arguments: tuple) -> None:
        if event in refused:
            raise PermissionError(errno.EPERM, f"{event} while a file is parsed")
        if event == "open" and not writes:
            path, _mode, flags = arguments
            if not isinstance(path, int) and flags & _WRITING:
                raise PermissionError(errno.EPERM, "writing while a file is parsed", str(path))

    sys.addaudithook(hook)


def _seccomp(writes: bool) -> bool:
    """Let the kernel refuse it too, whoever asks; True where it does."""
    try:
        import pyseccomp as seccomp

        rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
        # For all threads, those of the numerical libraries included.
        rules.set_attr(seccomp.Attr.CTL_TSYNC, 1)
    except (ImportError, OSError, RuntimeError):  # another system, or no libseccomp
        return False
    allow = partial(_add, rules, seccomp.ALLOW)
    for call in (*chain(*_ALLOWED.values()), *(_FOR_WRITING if writes else ())):
        allow(call)
    for call in _NEW_CALLS:
        _add(rules, seccomp.ERRNO(errno.ENOSYS), call)
    if not writes:
        for call, place in (("open", 1), ("openat", 2)):
            allow(call, seccomp.Arg(place, seccomp.MASKED_EQ, _WRITING, 0))
    # Threads are fine, other processes are not.
    allow("clone", seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD))
    # A process may signal itself, as abort does, and ask for its own limits.
    allow("tgkill", seccomp.Arg(0, seccomp.EQ, os.getpid()))
    allow("prlimit64", seccomp.Arg(0, seccomp.EQ, 0), seccomp.Arg(2, seccomp.EQ, 0))
    # Others of these type into a terminal, or have a signal sent to another process.
    for call, number in (*(("ioctl", each) for each in _IOCTL), *(("fcntl", n) for n in _FCNTL)):
        allow(call, seccomp.Arg(1, seccomp.EQ, number))
    # A pair of its own, and nothing to an address.
    allow("socketpair", seccomp.Arg(0, seccomp.EQ, _AF_UNIX))
    allow("sendto", seccomp.Arg(4, seccomp.EQ, 0))
    rules.load()
    return True


def _add(rules: "SyscallFilter", action: int, call: str, *arguments: "Arg") -> None:
    with suppress(OSError):  # a call that this processor or kernel does not have
        rules.add_rule(action, call, *arguments)


def end_with_parent(parent: int) -> None:
    """Let this process end when the process `parent`, which started it, does; not on Windows."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended already
            os._exit(1)
    elif sys.platform != "win32":
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
