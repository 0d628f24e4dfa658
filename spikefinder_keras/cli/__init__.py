"""The command `spikefinder-keras`: one module per command, which parses, calls and prints.

Whatever is decided or computed lives in the other rooms.
"""

import argparse
import os
import sys

from .. import __version__
from ..errors import SpikefinderError, UsageError
from . import (
    calibrate,
    describe,
    download,
    export,
    figures,
    predict,
    score,
    simulate,
    submission,
    train,
)
from .options import PROGRAM

__all__ = ["main"]

_COMMANDS = (
    *(submission, predict, score, train, calibrate),
    *(describe, export, figures, simulate, download),
)


def main(argv=None):
    """Run the command line `argv` (by default the process's own) and return its exit status.

    0 after success, 2 after a mistake, which is one line on the standard error, 130 after Ctrl-C.
    """
    try:
        arguments = _parser().parse_args(argv)
        arguments.run(arguments)
        sys.stdout.flush()
    except SpikefinderError as error:
        print(f"{PROGRAM}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, such as `head`, has closed it
        # What is left of it goes nowhere, or Python would complain when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # what no module foresaw, such as a name of 300 letters
        place = f": {error.filename}" if error.filename else ""
        text = f"{error.strerror or error}{place}; choose another place"
        print(f"{PROGRAM}: {' '.join(text.split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(f"{message}; see `{self.prog} --help`")


def _parser():
    parser = _Parser(
        prog=PROGRAM,
        description="Spike rates from calcium-imaging traces by convi6, the network that came "
        "second in the 2017 Spikefinder competition.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser
