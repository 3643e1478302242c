# GNU make 3.81 (macOS) or newer, and a POSIX sh. `make help` lists what there is.
PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
COMPILE := $(BIN)/uv --no-config pip compile --quiet --universal --python-version 3.10

.DEFAULT_GOAL := help
.PHONY: help .venv sweep report test check bench lock

help: ## this list
	@sed -n 's/^\([.a-z]*\):[^#]*## /make \1 /p' Makefile | awk '{ $$2 = sprintf("%-8s", $$2); print }'

sweep: .venv/.made ## the three sweeps; other sweeps with ARGS='--vary lr=0.01,0.05'
	@$(BIN)/python -m tune_mnist.run $(ARGS)

report: .venv/.made ## figures and reports of every folder in results/ again, from their tables; trains nothing
	@$(BIN)/python -m tune_mnist report $(patsubst %/mnist_results.csv,%,$(wildcard results/*/mnist_results.csv)) $(ARGS)

test: .venv/.made ## the tests; some of them with ARGS='-k store'
	@$(BIN)/python -m pytest $(ARGS)

check: .venv/.made ## format, lint and types
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy

bench: .venv/.made ## ours against the usual way, in turns, with nothing beside it; FULL=1: all images, hours
	@$(BIN)/python bench/bench.py $(if $(FULL),--full) $(ARGS)

lock: .venv/.made ## remake the lock files from pyproject.toml; today's releases with ARGS=--upgrade
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(COMPILE) $(ARGS) pyproject.toml -o requirements.txt
	@$(COMPILE) $(ARGS) --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt

.venv: .venv/.made ## the environment alone; another Python with PYTHON=python3.12

# The stamp comes last: an environment that was interrupted half-way has none, and is made again from nothing.
.venv/.made: requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
		found=$$($(PYTHON) --version 2>&1) || found='not there'; \
		echo "error: $(PYTHON) is $$found; use Python 3.10, 3.11, 3.12 or 3.13, as in:" \
			"make .venv PYTHON=python3.12" >&2; exit 2; }
	@echo "making .venv; PyTorch is large, so this takes some minutes"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
