"""The claims of REPRODUCING.md: each is checked, and a failed one is an exit status."""

import importlib
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from spikefinder_keras import cli

TREE = Path(__file__).parents[1]
LEVELS = ("quick", "scores", "training")
EMPTY = "".join(f"<!-- {level} -->\n<!-- end -->\n" for level in LEVELS)


@pytest.fixture(scope="module")
def reproduce():
    """The program, imported as it runs: from its own folder."""
    sys.path.insert(0, str(TREE / "benchmarks"))
    try:
        yield importlib.import_module("reproduce")
    finally:
        sys.path.remove(str(TREE / "benchmarks"))


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "REPRODUCING.md"
    path.write_text(EMPTY)
    return path


def run(reproduce, page, level="quick"):
    return reproduce.main([level, "--page", str(page), "--runs", str(page.parent / "runs")])


def test_every_claim_that_needs_no_download_holds(reproduce, page, capsys):
    assert run(reproduce, page) == 0
    output = capsys.readouterr().out
    assert "FAILS" not in output
    assert "not run" not in output
    text = page.read_text()
    assert text.count("| holds |") == output.count("holds  ") > 15
    assert re.search(
        r"Last run: commit \w+.*, Python 3\.\d+\.\d+, numpy .* keras .*; \d+ s\.", text
    )
    for level in LEVELS[1:]:  # whose tables stay as they were
        assert f"<!-- {level} -->\n<!-- end -->" in text


@pytest.mark.slow
def test_every_claim_of_the_scores_holds(reproduce, page, data, capsys):
    assert run(reproduce, page, "scores") == 0
    output = capsys.readouterr().out
    assert output.count("holds  ") > 8
    assert "FAILS" not in output


@pytest.mark.parametrize("wrong", ["a figure", "a word", "no figure"])
def test_a_failed_claim_is_an_exit_status(reproduce, page, monkeypatch, wrong):
    def claim(place):
        near = reproduce.near("c", "w", "make submission", 0.5, 0.52, 0.01, "tests")
        same = reproduce.same("c", "w", "make submission", "five", "four", "tests")
        return {"a figure": near, "a word": same, "no figure": replace(same, ours=None)}[wrong]

    monkeypatch.setitem(reproduce.LEVELS, "quick", (claim,))
    # What could not be looked at has not failed, but neither has it a row.
    assert run(reproduce, page) == (0 if wrong == "no figure" else 1)
    assert ("FAILS" in page.read_text()) == (wrong != "no figure")
    assert ("not run: c" in page.read_text()) == (wrong == "no figure")


def test_without_data_it_says_what_to_fetch(reproduce, page, monkeypatch, capsys):
    monkeypatch.delenv("SPIKEFINDER_DATA", raising=False)
    assert run(reproduce, page, "scores") == 2
    assert "spikefinder-keras download data" in capsys.readouterr().err
    assert page.read_text() == EMPTY


def test_the_page_has_a_row_for_every_claim():
    text = (TREE / "REPRODUCING.md").read_text()
    for level in ("quick", "scores"):
        body = re.search(rf"<!-- {level} -->\n(.*?)<!-- end -->", text, re.DOTALL)[1]
        rows = [line for line in body.splitlines() if line.startswith("| ")][2:]
        assert len(rows) > 8
        assert all("| holds |" in row for row in rows)
        assert "Last run: commit " in body


def test_every_command_file_and_test_of_the_page_is_there():
    text = (TREE / "REPRODUCING.md").read_text()
    commands = set(re.findall(r"`(spikefinder-keras [^`]*)`", text))
    assert len(commands) > 8
    for command in commands:
        # `RUN` and the like are names of files that parse as any other.
        words = shlex.split(command.partition(";")[0].removesuffix("--help"))
        arguments = cli._parser().parse_args(words[1:])
        assert callable(arguments.run)
    for name in re.findall(r"((?:tests|benchmarks|weights|docs)/[\w/-]+\.\w+)", text):
        assert (TREE / name).exists(), name
