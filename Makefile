# Two commands do everything on a fresh machine: `make repro` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
# pip warns of every unused line of a machine's own package sources
QUIET := 2>&1 | { grep -v "^WARNING: Location" || true; }
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

.PHONY: help install repro test lint format results ui clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]' -c constraints.txt $(QUIET)
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

lint: $(VENV)/installed  ## ruff and mypy
	ruff check .
	ruff format --check .
	mypy

format: $(VENV)/installed  ## rewrite the code in the house style
	ruff check --fix .
	ruff format .

ui: $(VENV)/installed  ## MLflow's pages on http://127.0.0.1:5000
	mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --workers 1

clean:  ## remove what the pipeline made (not .venv, not the data you brought)
	rm -rf data/raw data/processed models exports runs mlflow.db mlartifacts dvc_plots
