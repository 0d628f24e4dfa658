"""What several commands share: their options."""

import argparse
from collections.abc import Callable
from typing import TypeAlias

PROGRAM = "spikefinder-keras"

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""To which a command adds itself."""

AddOption: TypeAlias = Callable[..., argparse.Action]  # a command's `add_argument`


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], None], text: str
) -> AddOption:
    """Add a command with the options that all have, and return what adds another."""
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    option = command.add_argument
    option("--quiet", action="store_true", help="show no progress and no notices")
    option("--debug", action="store_true", help="show where a fault of the program is")
    return option


def add_weights(option: AddOption, default: str) -> None:
    """The option that names weights, by `default` others for each command."""
    option(
        "--weights",
        metavar="NAME-OR-FILE",
        help=f"universal, described, released (ours), published (of 2017), or a file ({default})",
    )


def add_overwrite(option: AddOption) -> None:
    """The option that allows to write over files of others."""
    option("--overwrite", action="store_true", help="replace also what this program did not write")
