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
from pathlib import Path

LARGEST_OUTPUT = 16 << 30
"""Bytes that a confined process may write to a file."""

_PROGRAMS = ("execve", "execveat", "fork", "vfork")
_CONNECTIONS = ("socket", "connect", "bind", "listen", "accept", "accept4")
_OTHER_PROCESSES = (
    *("kill", "tkill", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise"),
    *("pidfd_open", "pidfd_getfd", "pidfd_send_signal", "prlimit64", "setpriority"),
)
_THE_SYSTEM = (
    *("mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "bpf", "perf_event_open"),
    *("keyctl", "add_key", "request_key", "init_module", "finit_module", "delete_module"),
    *(
        "kexec_load",
        "kexec_file_load",
        "reboot",
        "swapon",
        "swapoff",
        "sethostname",
        "settimeofday",
    ),
    *("open_by_handle_at", "userfaultfd", "io_uring_setup", "quotactl", "acct", "syslog"),
)
_CHANGES = (
    *("creat", "truncate", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "mknod", "mknodat"),
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"),
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
    *("utime", "utimes", "utimensat", "futimesat", "setxattr", "lsetxattr", "fsetxattr"),
)
_NEW_CALLS = ("clone3", "openat2")
"""Their flags stand in memory, where seccomp cannot see them; without them libraries fall back."""

_EVENTS = (
    *(
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.fork",
        "os.forkpty",
        "os.startfile",
    ),
    *("subprocess.Popen", "pty.spawn", "os.kill", "signal.pthread_kill", "webbrowser.open"),
    *("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"),
    *("urllib.Request", "ftplib.connect", "smtplib.connect", "http.client.connect"),
)
_CHANGING_EVENTS = (
    *("os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "os.utime", "os.setxattr", "shutil.rmtree", "shutil.move"),
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def confine(memory, seconds, writes=False):
    """Give up, for good, what this process does not need to parse a file.

    Parameters
    ----------
    memory : int
        Bytes that it may take beyond what it has now.
    seconds : float
        Of processor time that it may still use.
    writes : bool
        Whether it may change files; then that is left to it.
    """
    limit_resources(memory, seconds, writes)
    _seccomp(writes)  # before the next, as looking for libseccomp starts a program
    _audit(writes)


def limit_resources(memory, seconds, writes=False):
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
        "RLIMIT_CORE": 0,
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
        present = [each for each in resource.getrlimit(kind) if each != resource.RLIM_INFINITY]
        limit = min([limit, *present])
        resource.setrlimit(kind, (limit, limit))


def _audit(writes):
    """Let Python refuse what a parser never does."""
    refused = frozenset(_EVENTS if writes else (*_EVENTS, *_CHANGING_EVENTS))

    def hook(event, arguments):
        if event in refused:
            raise PermissionError(errno.EPERM, f"{event} while a file is parsed")
        if event == "open" and not writes:
            path, _mode, flags = arguments
            if not isinstance(path, int) and flags & _WRITING:
                raise PermissionError(errno.EPERM, "writing while a file is parsed", str(path))

    sys.addaudithook(hook)


def _seccomp(writes):
    """Let the kernel refuse it too, whoever asks; True where it does."""
    try:
        import pyseccomp as seccomp

        rules = seccomp.SyscallFilter(seccomp.ALLOW)
        # For all threads, those of the numerical libraries included.
        rules.set_attr(seccomp.Attr.CTL_TSYNC, 1)
    except (ImportError, OSError, RuntimeError):  # another system, or no libseccomp
        return False
    no, unknown = seccomp.ERRNO(errno.EPERM), seccomp.ERRNO(errno.ENOSYS)
    refused = [*_PROGRAMS, *_CONNECTIONS, *_OTHER_PROCESSES, *_THE_SYSTEM]
    for call in refused if writes else (*refused, *_CHANGES):
        _add(rules, no, call)
    for call in _NEW_CALLS:
        _add(rules, unknown, call)
    thread = 0x10000  # CLONE_THREAD: threads are fine, other processes are not
    _add(rules, no, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, thread, 0))
    _add(rules, no, "tgkill", seccomp.Arg(0, seccomp.NE, os.getpid()))
    if not writes:
        for call, place in (("open", 1), ("openat", 2)):
            for flag in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC):
                _add(rules, no, call, seccomp.Arg(place, seccomp.MASKED_EQ, flag, flag))
    rules.load()
    return True


def _add(rules, action, call, *arguments):
    with suppress(OSError):  # a call that this processor or kernel does not have
        rules.add_rule(action, call, *arguments)


def end_with_parent(parent):
    """Let this process end when the process `parent`, which started it, does; not on Windows."""
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended already
            os._exit(1)
    elif sys.platform != "win32":
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent):
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
