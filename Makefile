# Lurker. `make` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The stamp says when packages were installed: a newer lock file installs them again. Without
# --no-compile, pip spends a third of the time on modules that are never imported.
$(VENV)/.installed: requirements/test.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Lurker needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/test.txt
	@touch $@

.PHONY: install
install: $(VENV)/.installed  ## create .venv and install everything into it

# Dependabot reads these options in the header of each lock file, and recompiles the file with them.
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes

.PHONY: lock
lock: install  ## pin and hash requirements/*.in into requirements/*.txt (ARGS="--upgrade")
	@cd requirements && for name in base production local test; do \
	  ../$(BIN)/$(LOCK) --quiet --no-emit-index-url --custom-compile-command "make lock ($(LOCK))" \
	    --output-file $$name.txt $$name.in $(ARGS) || exit 1; done

.PHONY: lint
lint: install  ## ruff (lint and format), the import contracts, the types and the links of the docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	@$(MAKE) --no-print-directory docs

# Sphinx reads all pages again each time: only then does it see that a page lost the target of a link.
.PHONY: docs
docs: install  ## the docs as a site in var/site; a dead link is an error
	$(BIN)/sphinx-build --quiet --fail-on-warning --fresh-env --write-all --conf-dir docs --doctree-dir var/doctrees . var/site

.PHONY: audit
audit: install  ## known vulnerabilities in the locked packages (asks PyPI)
	$(BIN)/pip-audit --strict --progress-spinner off --disable-pip --require-hashes -r requirements/production.txt -r requirements/test.txt

.PHONY: types
types: install  ## mypy, strictly
	$(BIN)/mypy

# The number of parallel test processes. Each process has a database and broker keys of its own.
JOBS ?= 2

# Tests run on the servers that the environment names, or on embedded servers.
export TEST_DATABASE_URL ?= $(DATABASE_URL)
export TEST_CELERY_BROKER_URL ?= $(CELERY_BROKER_URL)

.PHONY: test
test: install  ## all tests (ARGS="-k words" for some); starts its own servers and ends them
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

.PHONY: test-fast
test-fast: install  ## the quick tests: no processes, no long walks
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow" $(ARGS)

# Failed tests give a report, too. The exit code is the exit code of the tests.
.PHONY: test-coverage
test-coverage: install  ## all tests, with a report of the lines that they miss in var/coverage/html
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n $(JOBS) --dist worksteal $(ARGS); status=$$?; \
	  $(BIN)/coverage combine --quiet && $(BIN)/coverage html --quiet && $(BIN)/coverage report; exit $$status

.PHONY: bench
bench: install  ## the benchmarks (ONLY="name ..." for some)
	$(BIN)/python -m benchmarks $(ONLY)

.PHONY: image
image:  ## build the container image and check docker-compose.yml (needs Docker)
	docker compose --env-file .ci/compose.env --profile "*" config --quiet
	docker compose --env-file .ci/compose.env build web

.PHONY: demo
demo: install  ## all of Lurker on this machine, on a simulated Reddit (ARGS="--once", ARGS="--help")
	@$(BIN)/python -m local.demo $(ARGS)

.PHONY: stop
stop:  ## end embedded servers that a killed process left running
	@test ! -x $(BIN)/python || $(BIN)/python -m local.servers stop

.PHONY: clean
clean: stop  ## remove data of the embedded servers, logs, results and caches
	rm -rf var .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache benchmarks/results
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
