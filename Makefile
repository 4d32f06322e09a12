# Two commands do everything on a fresh machine: `make repro` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
# with this variable set, as in many containers, each of a hundred processes would compile the libraries that it imports
unexport PYTHONDONTWRITEBYTECODE
# pip warns of every unused line of a machine's own package sources
QUIET := 2>&1 | { grep -v "^WARNING: Location" || true; }
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

.PHONY: help install repro test test-fast lint format docs results ui clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# modules are compiled when they are first imported: compiling all of them takes a minute
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-compile -e '.[dev]' -c constraints.txt $(QUIET)
	touch $@

install: $(VENV)/installed  ## make .venv with the pinned set

repro: $(VENV)/installed  ## run the pipeline on params.yaml (default: synthetic, minutes on a CPU)
	@test -d .git || test -d .dvc/tmp || dvc config --local core.no_scm true
	ecgssl fingerprint
	dvc repro
	@ecgssl results

# a file is tested by one process, since its tests share what they make; one thread each, or they would wait for each other
test: $(VENV)/installed  ## all tests
	OMP_NUM_THREADS=1 python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

# files without the slow parts: no whole runs, models, services or clusters
FAST := tests/signal tests/config tests/html tests/model tests/probes tests/evaluation tests/store tests/training/test_optim.py \
	tests/training/test_device.py tests/test_errors.py tests/test_files.py tests/test_progress.py \
	tests/end_to_end/test_repository.py tests/end_to_end/test_wording.py

test-fast: $(VENV)/installed  ## the tests that need less than 90 s on two cores
	OMP_NUM_THREADS=1 python -m pytest -n auto --maxprocesses 2 --dist loadfile -m "not long and not real" $(FAST)

lint: $(VENV)/installed  ## ruff, codespell and mypy
	ruff check .
	ruff format --check .
	codespell
	mypy

format: $(VENV)/installed  ## rewrite the code in the house style
	ruff check --fix .
	ruff format .

docs: $(VENV)/installed  ## the documentation site in build/site; warnings are errors
	python docs/build_site.py

ui: $(VENV)/installed  ## MLflow's pages on http://127.0.0.1:5000
	mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --workers 1

clean: $(VENV)/installed  ## remove what the pipeline made (not .venv, not the data you brought, no private key)
	$(BIN)/python pipelines/clean.py data/raw data/processed data/selection models exports runs mlflow.db mlartifacts dvc_plots
