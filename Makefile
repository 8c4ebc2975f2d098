# Set-up, tests, checks, benchmarks. Needs only make and Python 3.11 or newer with venv.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

VENV := .venv
BIN := $(VENV)/bin
# A new lock file or pyproject.toml means a new set-up; nothing else does.
STAMP := $(VENV)/.setup-$(shell cat requirements.lock pyproject.toml | sha256sum | cut -c1-16)
# The first of these that is new enough and can make an environment.
PYTHONS := python3.13 python3.12 python3.11 python3
TOO_OLD := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

.PHONY: help setup demo test check unit bench lock clean

help:
	@echo "make demo    the whole pipeline on a recording and live metrics (sets up first)"
	@echo "make test    lint, types, import layers and every test (sets up first)"
	@echo "make setup   only the set-up: $(VENV) with the observai command, Kafka's files"
	@echo "make check   ruff, mypy, import layers"
	@echo "make bench   every benchmark; JSON in bench-results/"
	@echo "make lock    resolve requirements.lock anew from pyproject.toml"
	@echo "make clean   remove $(VENV) and caches; data directories stay"

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@python=""; for name in $(PYTHONS); do \
	  if "$$name" -c "$(TOO_OLD)" 2>/dev/null; then python="$$name"; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11 or newer with venv is needed (Debian: apt-get install python3-venv)" >&2; exit 1; fi; \
	rm -f $(VENV)/.setup-*; \
	if [ ! -x $(BIN)/python ]; then \
	  echo "setup: $(VENV) with $$($$python --version)"; "$$python" -m venv $(VENV); fi
	@if [ ! -x $(BIN)/uv ]; then echo "setup: uv"; \
	  sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock; fi
	@echo "setup: packages of requirements.lock"
# The system's certificates, so that a company's own are trusted.
# Compiled now: without byte code each process of a first start takes a second longer.
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip sync --system-certs --compile-bytecode --require-hashes requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --system-certs --quiet --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q schemas pipeline topology ops
	@$(BIN)/observai setup
	@touch $(STAMP)

demo: setup
	@$(BIN)/observai demo

test: check unit

# Most of a test's time is waiting, so more processes than cores; a file's fixtures are made once.
unit: setup
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_layers.py

bench: setup
	@$(BIN)/python -m ops.bench

lock:
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra test --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate -o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis bench-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
