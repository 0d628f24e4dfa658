"""The command `spikefinder-keras`: modules of commands, which parse, call and print.

Whatever is decided or computed lives in the other rooms.
"""

import argparse
import errno
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from .. import __version__
from ..console import cores, quiet_libraries, tell
from ..errors import SpikefinderError, UsageError
from ..text import did_you_mean, one_line
from . import competition, network, predict, training, view
from .options import PROGRAM

__all__ = ["main"]

_COMMANDS = (competition, predict, view, training, network)

_LIBRARIES = ("numpy", "scipy", "h5py", "onnxruntime", "keras", "tensorflow", "jax")
"""Whose versions a report of a fault, or of a number that differs, should name."""

LONGEST = 4_000
"""What is said of a mistake has at most so many characters: names in files may have any number."""

LEAST_ADDRESSES, FOR_A_CORE = 768 << 20, 64 << 20
"""Bytes of address space without which OpenBLAS, inside SciPy, may wait for ever for some."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (by default the process's own) and return its exit status.

    0 after success, 2 after a mistake, which is one line on the standard error, 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    _open_closed_streams()
    # Nothing of ours opens a window, and a name that matplotlib does not know would stop it.
    os.environ.pop("MPLBACKEND", None)
    quiet_libraries()
    try:
        with warnings.catch_warnings(), _heeding_ctrl_c():
            warnings.simplefilter("ignore")
            arguments = _parse(argv)
            _check_address_space()
            arguments.run(arguments)
        sys.stdout.flush()
    except SpikefinderError as error:
        return _complain(error)
    except BrokenPipeError:  # the reader of our output, such as `head`, has closed it
        # What is left of it goes nowhere, or Python would complain when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # what no module foresaw, such as a name of 300 letters
        place = f": {error.filename}" if error.filename else ""
        advice = "free space" if error.errno == errno.ENOSPC else "choose another place"
        return _complain(f"{error.strerror or error}{place}; {advice}")
    except KeyboardInterrupt:
        tell(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130
    except ImportError as error:
        return _complain(
            f"a library does not load ({error}): there is too little memory, or the installation "
            "is damaged; install again"
        )
    except MemoryError:
        return _complain("not enough memory; give fewer neurons at a time")
    except Exception as error:
        if "--debug" in argv:
            raise
        if "can't start new thread" in str(error):  # Python says it by no class of its own
            return _complain("the system allows no more threads; end other programs, or ulimit -u")
        if _while_loading(error):
            return _complain(
                f"a library does not load ({type(error).__name__}: {error}); the installation is "
                "damaged: install again"
            )
        return _complain(
            f"{type(error).__name__}: {error}; this is a fault of the program: run it again with "
            "--debug, and report what it prints"
        )
    return 0


@contextmanager
def _heeding_ctrl_c() -> Iterator[None]:
    """Raise `KeyboardInterrupt` also where a library that was loading made another error of it."""
    pressed = []

    def note(number: int, frame: object) -> NoReturn:
        pressed.append(number)
        raise KeyboardInterrupt

    # In a thread, or where somebody else handles it or wants it ignored, it is left as it is.
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ours = ours and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield
    except Exception as error:
        if pressed:
            raise KeyboardInterrupt from error
        raise
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _while_loading(error: Exception) -> bool:
    """Whether a module was being imported: its own code runs under this name, and no other."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    return any(frame.name == "<module>" for frame in frames)


def _check_address_space() -> None:
    try:
        import resource
    except ImportError:  # Windows knows no such limit
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    least = LEAST_ADDRESSES + FOR_A_CORE * cores()
    # Below it nothing fails in words: the process hangs in a library.
    if limit < least:
        raise UsageError(
            f"this shell allows {limit >> 10} kB of addresses; allow at least {least >> 10} "
            "(ulimit -v)"
        )


def _complain(text: object) -> int:
    line = one_line(text)
    line = line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
    with suppress(OSError, ValueError):  # whose standard error is full or closed sees no text
        tell(f"{PROGRAM}: {line}", file=sys.stderr)
        sys.stderr.flush()
    return 2


def _open_closed_streams() -> None:
    """Open what the caller has closed, or the next files opened would stand in their places."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w"))  # noqa: SIM115, PTH123


# argparse prints its usage above the mistake; here a mistake is one line.
class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}{self.meant(message)}; see `{self.prog} --help`")

    def meant(self, message: str) -> str:
        """What a word that is not known may stand for."""
        commands = _commands(self)
        if match := re.search(r"invalid choice: '([^']*)'", message):
            return did_you_mean(match[1], commands)
        words = message.partition("unrecognized arguments: ")[2].split()
        options = [word for word in words if word.startswith("-")]
        if words and not options:
            return (
                ": give one recording, or one file of a kind, at a time; run the command for each"
            )
        if not options:
            return ""
        word = options[0].partition("=")[0]
        having = [name for name, each in commands.items() if word in each._option_string_actions]
        if having:
            return f": it is an option of {', '.join(having)}"
        known = {option for each in commands.values() for option in each._option_string_actions}
        return did_you_mean(word, known)


class _Version(argparse.Action):
    """Print this version, and below it those that results may depend on; then the command ends."""

    def __init__(self, option_strings: Sequence[str], dest: str, **more: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **more)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib import metadata
        from platform import platform, python_version

        found = [f"Python {python_version()}"]
        for name in _LIBRARIES:
            # Keras and its backends are extras.
            with suppress(metadata.PackageNotFoundError):
                found.append(f"{name} {metadata.version(name)}")
        tell(f"{PROGRAM} {__version__}", f"{', '.join(found)}; {platform()}")
        sys.exit(0)


class _Completion(argparse.Action):
    """Print what makes a shell complete commands, options and names of files; then it ends."""

    def __call__(self, parser: argparse.ArgumentParser, *given: Any) -> NoReturn:
        from ..files.sandbox import require

        require("shtab", "--print-completion", "completion")
        import shtab

        for command in _commands(parser).values():
            for action in command._actions:
                if any(word in str(action.metavar) for word in ("FILE", "PATH", "DIR", "RUN")):
                    action.complete = shtab.FILE  # type: ignore[attr-defined]
        sys.stdout.write(shtab.complete(parser, given[1]) + "\n")
        sys.exit(0)


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command, by its name."""
    actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return {name: each for action in actions for name, each in action.choices.items()}


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        message = f"unrecognized arguments: {' '.join(unknown)}"
        # argparse would name the help of all commands.
        where = f"{PROGRAM} {arguments.command} --help"
        raise UsageError(f"{message}{parser.meant(message)}; see `{where}`")
    return arguments


def _parser() -> _Parser:
    parser = _Parser(
        prog=PROGRAM,
        description="Spike rates from calcium-imaging traces by convi6, the network that came "
        "second in the 2017 Spikefinder competition.",
    )
    parser.add_argument("--version", action=_Version, help="show it, and those of its libraries")
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        choices=("bash", "zsh", "tcsh"),
        help="print a script by which a shell completes; in bash: source <(spikefinder-keras "
        "--print-completion bash)",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser
