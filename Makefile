# The targets of the project. Each does its own set-up: a virtual environment in
# .venv, installed again when pyproject.toml changes. Needs Python >= 3.10.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo backends test test-all soak check bench clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "cannot set up: $(PYTHON) is older than Python 3.10; name a newer one, as make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "cannot set up: $(PYTHON) makes no virtual environments; install its venv package (python3-venv on Debian), or name another, as make PYTHON=python3.12" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/.runtime: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

# In one go, not on top of .runtime: what all of it agrees on may be older.
$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $(VENV)/.runtime $@

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --editable . --group dev --group bench
	@touch $@

demo: $(VENV)/.runtime ## run real programs and show what was recorded
	@$(BIN)/otel-codomon demo

backends: $(VENV)/bin/python ## install the real programs that some tests run
	@$(BIN)/python -m tools.backends

test: $(VENV)/.dev ## run the tests, but for the long ones, in two processes
	$(BIN)/python -m pytest -m "not soak and not backends and not long" -n 2 --dist loadfile $(ARGS)

test-all: $(VENV)/.dev ## run all tests, one after the other, and check the coverage
	$(BIN)/python -m pytest -m "not soak" --cov=otel_codomon $(ARGS)

soak: $(VENV)/.dev ## run the long form of the reliability suite, and search for examples that fail
	$(BIN)/python -m pytest -m "soak or hypothesis" --hypothesis-profile=search -s $(ARGS)

check: $(VENV)/.dev ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/.bench ## measure against peers and print the tables
	$(BIN)/python -m benchmarks.run $(ARGS)

clean: ## remove what the other targets made
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
