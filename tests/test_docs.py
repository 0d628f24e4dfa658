"""What README and docs say can be done, can be done; and the pages build without a warning."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from spikefinder_keras import cli

TREE = Path(__file__).parents[1]
PAGES = [*TREE.glob("*.md"), *sorted((TREE / "docs").glob("*.md"))]
COMMANDS = {
    (page.name, command)
    for page in PAGES
    for command in re.findall(r"^(?:\S*/)?(spikefinder-keras .*)$", page.read_text(), re.MULTILINE)
}
TARGETS = re.findall(r"^([a-z-]+):", (TREE / "Makefile").read_text(), re.MULTILINE)
FILES = re.compile(r"`((?:tests|benchmarks|docs|weights|spikefinder_keras|notebooks)/[\w./-]*)`")


def test_there_are_commands():
    assert len(COMMANDS) > 12


@pytest.mark.parametrize(("page", "command"), sorted(COMMANDS))
def test_every_command_is_one(page, command):
    arguments = cli._parser().parse_args(shlex.split(command.partition("  #")[0])[1:])
    assert callable(arguments.run)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_target_is_there(page):
    text = page.read_text()
    for name in FILES.findall(text):
        assert (TREE / name).exists(), name
    for name in re.findall(r"\]\((?!https?:|#)([^)]+)\)", text):
        assert (page.parent / name).exists(), name
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE):
        assert target in TARGETS, target


def test_the_readme_is_short_and_names_the_two_commands():
    readme = (TREE / "README.md").read_text()
    assert len(readme.splitlines()) <= 120
    for command in ("make submission", "make test"):
        assert command in readme[:2_000]


def test_the_pages_build_without_a_warning(tmp_path):
    pytest.importorskip("myst_nb")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    run = subprocess.run(
        [*command, TREE / "docs", tmp_path / "html"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_the_page_on_open_questions_shows_what_was_measured():
    code = "import open_questions as page; print(*page.tables().values(), sep='\\n\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=TREE / "benchmarks",
        capture_output=True,
        text=True,
        check=True,
    )
    page = (TREE / "docs" / "open-questions.md").read_text()
    tables = done.stdout.strip().split("\n\n")
    assert len(tables) == 6
    for table in tables:
        assert table in page
