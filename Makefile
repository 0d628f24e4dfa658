# Needs Python 3.11, 3.12 or 3.13, make and a package index; everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PYTEST = $(BIN)/python -m pytest --numprocesses 2 --dist loadfile
# Where the code is: a script of one's own beside it is nobody else's business.
OURS = spikefinder_keras benchmarks docs notebooks tests
# For each of ten readers.
FUZZ_SECONDS ?= 60
# The versions of all libraries, with hashes; LOCK= takes the newest that setup.cfg allows.
LOCK ?= requirements.lock
# Of `make reproduce`: quick, scores, training or all.
LEVEL ?= quick
PIP = $(BIN)/python -m pip install --disable-pip-version-check
# Says every 20 seconds how far an installation is, as pip is silent while it unpacks; ends with it.
ALIVE = while sleep 20 >/dev/null 2>&1 && kill -0 $$$$ 2>/dev/null; do \
	du -sh $(VENV) | sed 's/[[:space:]].*/B are in place .../'; done & alive=$$!
DONE = status=$$?; kill $$alive; exit $$status

.PHONY: submission reproduce test slow mutants fuzz lint lock docs install install-tests clean

submission: install  ## rerun the competition submission, print scores
	$(BIN)/spikefinder-keras submission

reproduce: install  ## each claim of REPRODUCING.md anew, and its tables
	$(BIN)/python benchmarks/reproduce.py $(LEVEL)

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
	$(BIN)/ruff check $(OURS)
	$(BIN)/ruff format --check $(OURS)
	$(BIN)/mypy

docs: install-tests  ## the pages of docs/ as a site; a warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "the pages are in docs/_build/html; open docs/_build/html/index.html"

lock:  ## requirements.lock anew, for every Python and system that setup.cfg allows; needs uv
	uv pip compile setup.cfg --extra tensorflow --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-annotate --custom-compile-command "make lock" --output-file requirements.lock

install: $(VENV)/installed

install-tests: $(VENV)/installed-tests

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one, as in: make PYTHON=python3.12 test")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.cfg pyproject.toml $(LOCK) | $(VENV)/bin/python
	@echo "installing into $(VENV), with Keras and TensorFlow: 720 MB to fetch, 2.6 GB on the disk, 2 to 5 minutes"
	@$(ALIVE); $(if $(LOCK),$(PIP) --require-hashes --requirement $(LOCK) &&) \
		$(PIP) --editable ".[tensorflow]"; $(DONE)
	touch $@

$(VENV)/installed-tests: $(VENV)/installed
	@echo "installing what the tests need besides (JAX, the programs whose files are read, linters): 240 MB to fetch, 2 minutes"
	@$(ALIVE); $(PIP) --editable ".[test]"; $(DONE)
	touch $@

$(VENV)/installed-fuzz: $(VENV)/installed-tests
	$(PIP) "atheris>=3" || echo "there is no atheris for this system, so nothing is fuzzed"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info submission runs figures docs/_build docs/notebooks
