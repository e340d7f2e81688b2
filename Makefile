# Every target sets up its own environment first; only Python (3.11 or newer) with venv, git and a C compiler are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
SEED ?= 1
SEEDS ?= 1000000
# One more than two cores: tests wait for a fifth of their time.
WORKERS ?= 3
SHARD ?= 1/1

.PHONY: demo test check bench agents liars nightly env clean

env: $(STAMP)

$(STAMP): pyproject.toml setup.py src/ganger/worker_api/client.c
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev --editable ".[agents]"
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/ganger demo

# What fails is tried once more by itself; a test that passes then is printed as FLAKY.
test: $(STAMP)
	$(BIN)/python tests/again.py -n $(WORKERS) --dist worksteal

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/check_docs.py

bench: $(STAMP)
	$(BIN)/python -m bench

# The agent programs that tests run, into a cache folder; AGENTS=all also those of the nightly run. Quick when all is there.
agents: $(STAMP)
	$(BIN)/python tests/agents/install.py $(AGENTS)

# Every lie that the verifier is tried with, the honest work, and the stubs; the libraries come from the package index.
# It can be stopped and gone on with, or done in pieces: make liars SHARD=2/5.
liars: $(STAMP)
	PYTHONPATH=tests/liars $(BIN)/python -m lies --workers $(WORKERS) --shard $(SHARD) --write docs/liars.md

nightly: $(STAMP)
	$(BIN)/python tests/agents/install.py all
	GANGER_SEED=$(SEED) GANGER_SEEDS=$(SEEDS) GANGER_POWER_STATES=1000000 GANGER_FLIPS=300000 GANGER_LANDINGS=300 \
	    GANGER_REAP_REPEATS=50 GANGER_ALL_AGENTS=1 \
	    $(BIN)/python -m pytest -n $(WORKERS) --timeout 0 tests
	PYTHONPATH=tests/liars $(BIN)/python -m lies --workers $(WORKERS) --seed $(SEED) --anew

clean:
	git clean -fdX
