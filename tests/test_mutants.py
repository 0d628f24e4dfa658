"""Tests notice: each fault of `mutants.toml` has its line, and some of them are tried."""

import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

RUNNER = Path(__file__).with_name("mutants.py")
mutants = SimpleNamespace(**runpy.run_path(str(RUNNER)))


def test_every_fault_has_its_line_and_its_tests():
    every = mutants.read_list()
    assert len(every) >= 120
    assert sum(bool(each.known) for each in every) <= len(every) // 20
    for each in every:
        for test in each.tests:
            path, _, name = test.partition("::")
            text = (mutants.ROOT / path).read_text()
            assert not name or f"def {name.partition('[')[0]}(" in text, test


def fault(old, new="x", place=0):
    return mutants.Mutant("a fault", "a.py", old, new, ("tests",), place=place)


def test_a_line_that_is_gone_or_is_not_the_only_one():
    text = "a = 1\nb = 1\n"
    assert fault("a = 1").changed(text) == "x\nb = 1\n"
    assert fault("= 1", "= 2", place=2).changed(text) == "a = 1\nb = 2\n"
    for wrong, message in (
        (fault("c = 1"), "has no such line any more"),
        (fault("= 1"), "has 2 times"),
        (fault("= 1", place=3), "has no place 3"),
        (fault("a = 1\nb"), "not a change of one line"),
        (fault("a = 1", "a = 1"), "not a change of one line"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong.changed(text)


def test_every_fault_has_its_turn():
    every = mutants.read_list()
    days = [mutants.sample(every, 10, day) for day in range(-(-len(every) // 10))]
    assert all(len(each) <= 10 for each in days)
    assert {each for day in days for each in day} == set(every)


@pytest.mark.slow
def test_some_faults_of_today_are_noticed():
    program = [sys.executable, str(RUNNER), "--sample", "6"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=1_200)
    assert done.returncode == 0, done.stdout + done.stderr
