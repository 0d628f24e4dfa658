"""What several commands share: their options."""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, TypeAlias

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


def add_weights(option: AddOption, default: str, more: str = "") -> None:
    """The option that names weights of convi6, by `default` others for each command, and of others
    by `more`."""
    option(
        "--weights",
        metavar="NAME-OR-FILE",
        help=f"{more}described, released (ours), published (of 2017), a file, or the folder of a "
        f"training run ({default})",
    )


def add_overwrite(option: AddOption) -> None:
    """The option that allows to write over files of others."""
    option("--overwrite", action="store_true", help="replace also what this program did not write")


def add_fields(option: AddOption, options: type, names: Iterable[str]) -> None:
    """An option for each of some fields of a dataclass, which say their own help text."""
    by_name = {field.name: field for field in fields(options)}
    for name in names:
        field = by_name[name]
        metadata = dict(field.metadata)
        if field.type is bool:
            metadata["action"] = "store_true"
        else:
            metadata["default"] = field.default
        # "float | None": what argparse has to call.
        for kind in (int, float):
            if field.type in (kind, kind | None):
                metadata["type"] = kind
        option(f"--{name.replace('_', '-')}", **metadata)


def fields_of(options: type, arguments: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of the fields of a dataclass, by name."""
    names = (field.name for field in fields(options))
    return {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}
