# Needs Python 3.11 or newer, make and a package index; everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PYTEST = $(BIN)/python -m pytest --numprocesses 2 --dist loadfile
# For each of ten readers.
FUZZ_SECONDS ?= 60
PIP = $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off

.PHONY: submission test slow mutants fuzz lint docs install install-tests clean

submission: install  ## rerun the competition submission, print scores
	$(BIN)/spikefinder-keras submission

test: install-tests lint  ## the whole test suite but its slow part
	$(PYTEST) -m "not slow"

slow: install-tests  ## the slow part
	$(PYTEST) -m slow

mutants: install-tests  ## one-line faults, each of which the tests beside it must notice; some 15 minutes
	$(BIN)/python tests/mutants.py

fuzz: $(VENV)/installed-fuzz  ## every reader of foreign bytes; finds planted holes, then looks for others
	$(BIN)/python tests/fuzz/fuzz.py all --planted --seconds 600
	$(BIN)/python tests/fuzz/fuzz.py all --seconds $(FUZZ_SECONDS)

lint: install-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install-tests  ## the pages of docs/ as a site; a warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

install: $(VENV)/installed

install-tests: $(VENV)/installed-tests

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one, as in: make PYTHON=python3.12 test")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "installing into $(VENV): 130 MB to fetch, 570 MB on the disk, a minute"
	$(PIP) --editable .
	touch $@

$(VENV)/installed-tests: $(VENV)/installed
	@echo "installing what the tests need: 840 MB more to fetch (TensorFlow, JAX), a few minutes"
	$(PIP) --editable ".[test]"
	touch $@

$(VENV)/installed-fuzz: $(VENV)/installed-tests
	$(PIP) "atheris>=3" || echo "there is no atheris for this system, so nothing is fuzzed"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info submission runs figures docs/_build docs/notebooks
