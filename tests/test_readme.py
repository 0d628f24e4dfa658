"""What the README says can be done, can be done."""

import re
import shlex
from pathlib import Path

import pytest

from spikefinder_keras import cli

README = (Path(__file__).parents[1] / "README.md").read_text()
COMMANDS = re.findall(r"^(?:\S*/)?spikefinder-keras .*$", README, re.MULTILINE)
MODULES = re.findall(r"`(\w+\.py)`", README)


def test_there_are_commands():
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one(command):
    arguments = cli._parser().parse_args(shlex.split(command)[1:])
    assert callable(arguments.run)


def test_every_module_has_its_place():
    package = {path.name for path in Path(cli.__file__).parent.glob("[a-z]*.py")}
    rest = {"constants.py", "errors.py", "files.py", "terminal.py", "sources.py", "traces.py"}
    assert package - rest <= set(MODULES)
    assert set(MODULES) - {"test_parity.py"} <= package
