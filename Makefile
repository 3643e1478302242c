# GNU make 3.81 (macOS) or newer, and a POSIX sh. `make help` lists what there is.
PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# uv installs several times as fast as pip. It does not read pip's configuration (an index of one's own, say), and there
# are machines that it is not made for: there pip installs, and a line says so. Its own configuration, in pyproject.toml,
# is for the locks: a constraint there has no hash. Bytecode takes half a minute, once; without it, and where
# PYTHONDONTWRITEBYTECODE is set, a small sweep took 55 s instead of 31.
INSTALL = install() { \
	if test -x $(BIN)/uv && $(BIN)/uv pip install --no-config --quiet --compile-bytecode --python $(BIN)/python "$$@"; \
	then return; fi; \
	echo "uv cannot install the packages here; pip does it, which takes longer" >&2; $(PIP) "$$@"; }; install
N ?= 2
CHAOS_SEED := $(or $(CHAOS_SEED),$(shell date +%s))
NOTES := $(CURDIR)/.chaos.jsonl
# What an image says of its code: the commit, and whether there were changes beside those in results/.
VERSION = $$(sed -n 's/^__version__ = "\(.*\)"/\1/p' tune_mnist/__init__.py)
REVISION = $$({ git ls-files --error-unmatch Makefile >/dev/null && git rev-parse HEAD && \
	{ test -z "$$(git status --porcelain -- :/ ':(top,exclude)results')" || echo -dirty; }; } 2>/dev/null | tr -d '\n')
# The plugin where it is installed, else the older command. The results belong to whoever calls make. A checkout's
# cluster has a name of its own.
COMPOSE = COMPOSE_PROJECT_NAME="$${COMPOSE_PROJECT_NAME:-tune-mnist-$$(pwd -P | cksum | cut -d ' ' -f 1)}" \
	VERSION="$(VERSION)" REVISION="$(REVISION)" MNIST_USER="$${MNIST_USER:-$$(id -u):$$(id -g)}" \
	WORKER_GB="$${WORKER_GB:-$$(($${WORKER_CPUS:-1} + 3))}" \
	$$(docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose) -f docker/compose.yaml

.DEFAULT_GOAL := help
.PHONY: help .venv sweep report test test-all check bench scaling lock image cluster cluster-down chaos audit sbom

help: ## this list
	@sed -n 's/^\([.a-z-]*\):[^#]*## /make \1 /p' Makefile | awk '{ $$2 = sprintf("%-13s", $$2); print }'

sweep: .venv/.made ## the three sweeps; other sweeps with ARGS='--vary lr=0.01,0.05'
	@$(BIN)/python -m tune_mnist run $(ARGS)

RESULTS = $(sort $(dir $(wildcard results/*/*_results.csv)))
report: .venv/.made ## make figures and reports again, from the tables of every folder in results/; trains nothing
	@test -n "$(RESULTS)" || { echo "error: there are no results yet; run 'make sweep' first" >&2; exit 2; }
	@$(BIN)/python -m tune_mnist report $(RESULTS) $(ARGS)

# Each file's tests run in one of two processes, the files that may take long first (tests/conftest.py).
TWO = --numprocesses 2 --dist loadfile --no-loadscope-reorder
test: .venv/.tools ## the tests, in some minutes; some of them with ARGS='-k store'
	@$(BIN)/python -m pytest $(TWO) -m 'not (chaos or mishap or long or alone)' $(ARGS)

# pytest ends with 5 where nothing was chosen, which may be so for one half.
test-all: .venv/.tools ## all tests: the long ones, too, then with nothing beside them containers and a short bad week
	@$(BIN)/python -m pytest $(TWO) -m 'not (chaos or alone)' $(ARGS) || test $$? = 5
	@$(BIN)/python -m pytest -m 'alone and not chaos' $(ARGS) || test $$? = 5

check: .venv/.tools ## format, lint and types
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@! command -v $(BIN)/hadolint >/dev/null || $(BIN)/hadolint docker/Dockerfile

bench: .venv/.made ## ours against the usual way, in turns, with nothing beside it; FULL=1: all images, hours
	@$(BIN)/python bench/bench.py $(if $(FULL),--full) $(ARGS)

scaling: .venv/.made ## a thousand sleeping trials on 64 simulated CPUs: is the driver quick enough?
	@$(BIN)/python bench/scaling.py $(ARGS)

image: ## the container image mnist; another base with ARGS='--build-arg BASE=…'
	@docker build -t mnist -f docker/Dockerfile $(ARGS) --build-arg VERSION="$(VERSION)" --build-arg REVISION="$(REVISION)" .

cluster: ## the sweeps across a Ray head and 2 workers in containers; more workers with N=5
	@$(COMPOSE) build --quiet head
	@$(COMPOSE) up --detach --no-build --scale worker=$(N) head worker tensorboard || { \
		echo "error: the cluster has not started; where a port is taken, perhaps by another checkout's cluster," \
			"choose others: make cluster DASHBOARD_PORT=8266 TENSORBOARD_PORT=6007" >&2; exit 1; }
	@$(COMPOSE) run --rm --no-deps sweep $(ARGS)

cluster-down: ## stop the containers of make cluster; results and store stay
	@$(COMPOSE) down --volumes

# Machines over SSH in one process, other containers in a second, all others in a third: while one waits, another works.
# Then, with nothing beside it, what measures.
chaos: .venv/.tools ## a bad week: everything killed, cut, filled up and fuzzed at seeded instants; again with CHAOS_SEED=…
	@rm -f $(NOTES)
	@echo "CHAOS_SEED=$(CHAOS_SEED)"
	@export CHAOS_SEED=$(CHAOS_SEED) CHAOS_FULL=1 CHAOS_TABLE=$(NOTES); code=0; \
		$(BIN)/python -m pytest -v --numprocesses 3 --dist loadgroup -m '(chaos or mishap) and not measures' $(ARGS) || \
		test $$? = 5 || code=1; \
		$(BIN)/python -m pytest -v -m measures -s $(ARGS) || test $$? = 5 || code=1; \
		$(BIN)/python tests/chaos/table.py $(NOTES); exit $$code

audit: .venv/.made ## known weaknesses of the locked packages; asks a service on the network
	@$(PIP) pip-audit
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
		-r requirements.txt -r docker/requirements.txt -r requirements-dev.txt $(ARGS) || { \
		echo "error: a weakness is listed above, or a package could not be looked up, which needs a network" >&2; exit 1; }

sbom: image .venv/.tools ## what is in the image, as sbom.json (CycloneDX)
	@$(BIN)/python docker/sbom.py mnist sbom.json

lock: .venv/.made ## remake the lock files from pyproject.toml; today's releases with ARGS=--upgrade
	@$(PIP) uv
	@echo uv | $(COMPILE) $(ARGS) - -o requirements-uv.txt
	@$(COMPILE) $(ARGS) pyproject.toml -o requirements.txt
	@$(COMPILE) $(ARGS) --extra dashboard -c requirements.txt pyproject.toml -o docker/requirements.txt
	@$(COMPILE) $(ARGS) --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt

.venv: .venv/.made ## the environment alone; another Python with PYTHON=python3.12

# The stamp comes last: an environment that was interrupted half-way has none, and is made again from nothing.
.venv/.made: requirements.txt requirements-uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
		found=$$($(PYTHON) --version 2>&1) || found='not there'; \
		echo "error: $(PYTHON) is $$found; use Python 3.10, 3.11, 3.12 or 3.13, as in:" \
			"make .venv PYTHON=python3.12" >&2; exit 2; }
	@echo "making .venv; PyTorch is large, so this takes a minute or more"
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) --only-binary :all: --require-hashes -r requirements-uv.txt || true
	@$(INSTALL) --require-hashes -r requirements.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# What tests and checks need, over what a sweep needs.
.venv/.tools: .venv/.made requirements-dev.txt
	@echo "installing what tests and checks need"
	@$(INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@
