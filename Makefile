# Needs Python 3.11 or newer, make and a package index; everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: submission test slow lint install clean

submission: install  ## rerun the competition submission, print scores
	$(BIN)/spikefinder-keras submission

test: install lint  ## the whole test suite but its slow part
	$(BIN)/python -m pytest -m "not slow"

slow: install  ## the slow part
	$(BIN)/python -m pytest -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

install: $(VENV)/installed

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one, as in: make PYTHON=python3.12 test")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[test]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info submission runs figures
