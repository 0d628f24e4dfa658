"""What several commands share: their options, and what they print."""

import sys

from ..console import tell

PROGRAM = "spikefinder-keras"


def add_command(commands, name, run, text):
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    command.add_argument("--quiet", action="store_true", help="show no progress and no notices")
    command.add_argument(
        "--debug", action="store_true", help="show where a fault of the program is"
    )
    return command


def add_weights(command, default):
    command.add_argument(
        "--weights",
        metavar="NAME-OR-FILE",
        help=f"universal, described, released (ours), published (of 2017), or a file ({default})",
    )


def load_keras(arguments):
    from ..console import import_keras

    import_keras(progress=not arguments.quiet)


def say_to(arguments):
    return (lambda line: None) if arguments.quiet else lambda line: tell(line, file=sys.stderr)
