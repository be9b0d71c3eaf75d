# `make help` lists the commands. Nothing but Python 3.11 or later and make is needed.

PYTHON ?= python3
# Tests at a time: most of them wait for a process, and two cores carry three.
JOBS ?= 3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
UV_VERSION := 0.13.8
LOCK_VENV := build/lock
LOCK := $(LOCK_VENV)/bin/uv --no-config pip compile pyproject.toml --universal --python-version 3.11 \
        --generate-hashes --no-header --no-annotate --quiet $(UPGRADE)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench soak lock clean

help:
	@echo 'make demo     show Media Worker at work: no account, no server (embedded PostgreSQL and S3)'
	@echo 'make test     run the tests;                 ARGS="tests/archive -k expiry" chooses'
	@echo 'make lint     ruff, mypy, import-linter'
	@echo 'make bench    run the benchmarks'
	@echo 'make soak     run the long fault tests'
	@echo 'make lock     write requirements/*.txt anew; UPGRADE=--upgrade takes newer versions'
	@echo 'make clean    remove the environment and what was built'
	@echo
	@echo 'PYTHON=python3.12 chooses the interpreter of the environment in $(VENV).'

demo: $(VENV)/demo.stamp
	$(BIN)/media-worker demo $(ARGS)

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev.stamp
	$(BIN)/python -m bench $(ARGS)

soak: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m soak --timeout 3600 $(ARGS)

# The constraint keeps one version of everything in all the lists.
lock: $(LOCK_VENV)/uv.stamp
	$(LOCK) --extra embedded --group dev --output-file requirements/dev.txt
	$(LOCK) --constraint requirements/dev.txt --extra embedded --output-file requirements/embedded.txt
	$(LOCK) --constraint requirements/dev.txt --output-file requirements/run.txt
	$(LOCK:pyproject.toml=--group build) --constraint requirements/dev.txt --output-file requirements/build.txt

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache

# The stamps say for which lists the environment was made: it is made again only when one changes.
$(VENV)/demo.stamp: $(VENV)/venv.stamp requirements/embedded.txt requirements/build.txt pyproject.toml
	$(PIP) install --require-hashes -r requirements/embedded.txt -r requirements/build.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/venv.stamp requirements/dev.txt pyproject.toml
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(VENV)/demo.stamp $@

$(VENV)/venv.stamp:
	@command -v $(PYTHON) >/dev/null || { \
	    echo 'Media Worker needs Python 3.11 or later, and there is no "$(PYTHON)" here.' >&2; \
	    echo 'Install it, or name another one: make $(MAKECMDGOALS) PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Media Worker needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V 2>&1)." >&2; \
	    echo 'Name another one: make $(MAKECMDGOALS) PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo '$(PYTHON) came without the venv module.' >&2; \
	    echo 'On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(LOCK_VENV)/uv.stamp: $(VENV)/venv.stamp Makefile
	$(BIN)/python -m venv $(LOCK_VENV)
	$(LOCK_VENV)/bin/python -m pip --disable-pip-version-check --quiet install uv==$(UV_VERSION)
	@touch $@
