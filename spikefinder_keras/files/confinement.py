"""Take from a process what parsing a file does not need, before the file can take it over.

Three walls, each for itself. On Linux the kernel refuses to start programs, to open connections, to
reach into other processes and to open files for writing (seccomp, where libseccomp is installed, as
on nearly all). On every system Python itself refuses the same, as far as it goes through Python
(an audit hook), and what memory, processor time and disk can be taken is limited (not on Windows).
"""

import ctypes
import errno
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyseccomp import Arg, SyscallFilter

LARGEST_OUTPUT = 16 << 30
"""Bytes that a confined process may write to a file."""

_REFUSED = {
    "programs": ("execve", "execveat", "fork", "vfork"),
    "connections": ("socket", "connect", "bind", "listen", "accept", "accept4"),
    "signals": ("kill", "tkill", "setpriority", "prlimit64"),
    "memory of others": ("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise"),
    "handles of others": ("pidfd_open", "pidfd_getfd", "pidfd_send_signal"),
    "mounts": ("mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "quotactl"),
    # None of these is needed to parse a file, and most ways out of a process began at one.
    "the kernel": ("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "open_by_handle_at"),
    "keys": ("keyctl", "add_key", "request_key"),
    "modules": ("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load"),
    "the machine": ("reboot", "swapon", "swapoff", "sethostname", "settimeofday", "acct", "syslog"),
}
"""System calls that are refused, by what they would reach."""
_CHANGES = {
    "new and removed": ("creat", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat"),
    "devices and lengths": ("mknod", "mknodat", "truncate"),
    "names": ("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"),
    "modes": ("chmod", "fchmod", "fchmodat", "fchmodat2"),
    "owners": ("chown", "fchown", "lchown", "fchownat"),
    "times": ("utime", "utimes", "utimensat", "futimesat"),
    "attributes": ("setxattr", "lsetxattr", "fsetxattr"),
}
"""System calls that change files, refused where the job writes none."""
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
"""The same as Python's audit hooks name it; these hold on every system."""
_CHANGING_EVENTS = {
    "folders": ("os.mkdir", "os.rmdir", "shutil.rmtree", "shutil.move"),
    "files": ("os.remove", "os.rename", "os.link", "os.symlink", "os.truncate"),
    "properties": ("os.chmod", "os.chown", "os.utime", "os.setxattr"),
}
_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""
_CLONE_THREAD = 0x10000
"""From linux/sched.h."""
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

        rules = seccomp.SyscallFilter(seccomp.ALLOW)
        # For all threads, those of the numerical libraries included.
        rules.set_attr(seccomp.Attr.CTL_TSYNC, 1)
    except (ImportError, OSError, RuntimeError):  # another system, or no libseccomp
        return False
    no, unknown = seccomp.ERRNO(errno.EPERM), seccomp.ERRNO(errno.ENOSYS)
    groups = [*_REFUSED.values(), *([] if writes else _CHANGES.values())]
    for call in chain(*groups):
        _add(rules, no, call)
    for call in _NEW_CALLS:
        _add(rules, unknown, call)
    # Threads are fine, other processes are not.
    _add(rules, no, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, 0))
    # A process may signal itself, as abort does.
    _add(rules, no, "tgkill", seccomp.Arg(0, seccomp.NE, os.getpid()))
    if not writes:
        for call, place in (("open", 1), ("openat", 2)):
            for flag in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC):
                _add(rules, no, call, seccomp.Arg(place, seccomp.MASKED_EQ, flag, flag))
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
