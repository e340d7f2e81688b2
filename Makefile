# Every target sets up its own environment first; only Python (3.11 or newer) with venv, git and a C compiler are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
SEED ?= 1
SEEDS ?= 1000000
WORKERS ?= 2

.PHONY: demo test check bench nightly env clean

env: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev --editable .
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/ganger demo

test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) tests

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/check_docs.py

bench: $(STAMP)
	$(BIN)/python -m bench

nightly: $(STAMP)
	GANGER_SEED=$(SEED) GANGER_SEEDS=$(SEEDS) GANGER_POWER_STATES=1000000 GANGER_FLIPS=300000 \
	    $(BIN)/python -m pytest -n $(WORKERS) --timeout 0 tests

clean:
	git clean -fdX
