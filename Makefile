# `make help` lists what there is. Everything lives in .venv; the first target that needs it makes it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
STAMP := $(VENV)/.stamp
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar on
WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help setup run test faults cluster chaos fuzz fuzz-api soak autobahn check docs chart fmt lock bench bench-docs clean sbom resync screenshots abuse

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  %-10s %s\n", $$1, $$2}'

$(RUNTIME): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed (make PYTHON=python3.12 ...)")'
	@echo "making $(VENV) with what the server needs: once, less than a minute ..."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .$(if $(EXTRAS),'[$(EXTRAS)]')
	@touch $(RUNTIME)

$(STAMP): $(RUNTIME)
	@echo "adding to $(VENV) what test and check need, servers for the tests included: once, a minute or two ..."
	$(PIP) 'pip>=25.1'
	$(PIP) --editable '.[aws,postgres,mysql,schemas,ed25519]' --group dev
	@touch $(STAMP)

setup: $(STAMP) ## make .venv with everything that run, test and check need

run: $(RUNTIME) ## start the server on embedded defaults (CONFIG=file to use yours; EXTRAS=aws for Lambda and SQS)
	@$(if $(EXTRAS),$(BIN)/python -c 'import boto3' 2>/dev/null || $(PIP) --editable '.[$(EXTRAS)]')
	$(BIN)/sockudo-py start$(if $(CONFIG), --config $(CONFIG)) --admin-key-file data/admin-key

test: $(STAMP) ## run the tests (ARGS='-k name' to choose)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow" $(ARGS)

# Those of tests/faults measure what others feel, so each has the machine for itself; the others mostly wait, so three of
# them run at a time. 5: ARGS chose none of a part.
faults: $(STAMP) ## run the slow tests: faults that take their time (docs/webhooks/promise.md)
	$(BIN)/python -m pytest -n 3 -m slow --ignore tests/faults $(ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -m slow tests/faults $(ARGS) || [ $$? -eq 5 ]

cluster: $(STAMP) ## the tests of several nodes over every kind of Redis, with a thousand deaths between a decision and the queue
	CLUSTER_DEATHS=1000 REDIS_EVERYWHERE=1 $(BIN)/python -m pytest -n $(WORKERS) tests/cluster tests/conformance/adapters \
		tests/conformance/caches tests/conformance/limits tests/conformance/queues $(ARGS)

chaos: $(STAMP) ## an hour of random steps and faults on several nodes (CHAOS_SECONDS=n CHAOS_SEED=n)
	$(BIN)/python -m tests.cluster.chaos --seconds $(or $(CHAOS_SECONDS),3600) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

fuzz-api: $(STAMP) ## some thousand made-up requests to all routes, held against docs/openapi.json (EXAMPLES=n SEED=n)
	OPENAPI_EXAMPLES=$(or $(EXAMPLES),100) OPENAPI_SEED=$(SEED) $(BIN)/python -m pytest tests/e2e/test_openapi.py $(ARGS)

soak: $(STAMP) ## ten minutes of random faults, with a line every ten seconds (SOAK_SECONDS=n SOAK_SEED=n)
	$(BIN)/python -u -m tests.faults.soak

abuse: $(STAMP) ## open and leave 100,000 sessions, with slow and endless requests beside them: what memory and others feel
	$(BIN)/python -m tests.faults.abuse $(ARGS)

autobahn: $(STAMP) ## Autobahn's cases against the WebSocket shell (ARGS='"6.*"' to choose; tests/autobahn/README.md)
	$(BIN)/python -m tests.autobahn $(ARGS)

fuzz: $(STAMP) ## fuzz for ten minutes (FUZZ_SECONDS=n; ARGS='frames heads' to choose; tests/fuzz/README.md)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(PIP) --only-binary :all: --group fuzz \
		|| echo "atheris can't be had for this Python: the changes are random"
	$(BIN)/python -m tests.fuzz --seconds $(or $(FUZZ_SECONDS),600) $(ARGS)

check: $(STAMP) ## lint, types and layers: what CI runs besides the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

resync: $(STAMP) ## a receiver that lost its state equals the server after a resync: a hundred random histories
	RESYNC_SEEDS=100 $(BIN)/python -m pytest -n $(WORKERS) tests/e2e/test_resync.py -k lost $(ARGS)

screenshots: $(STAMP) ## make the pictures of the dashboard in docs/img anew
	SCREENSHOTS=1 $(BIN)/python -m pytest -q tests/browser/test_screenshots.py

sbom: $(STAMP) ## write sbom.json: the packages that the image installs (CycloneDX)
	$(BIN)/python -m cyclonedx_py requirements requirements.lock --output-format JSON --output-file sbom.json

docs: $(STAMP) ## build the documentation site into site/ (open site/index.html)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

chart: $(STAMP) ## render the Helm chart to deploy/kubernetes (builds helm where there is none: Go, some minutes)
	$(BIN)/python -m tests.deploy.chart

fmt: $(STAMP) ## format the code and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

LOCK := --quiet --universal --python-version 3.12 --generate-hashes --no-annotate --upgrade --custom-compile-command 'make lock'

lock: $(STAMP) ## choose the newest versions for the image anew: requirements.lock, requirements-build.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile $(LOCK) --all-extras --output-file requirements.lock pyproject.toml
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(BIN)/uv pip compile $(LOCK) --output-file requirements-build.lock -

RESULTS := benchmarks/results
ROWS := $(RESULTS)/rows.json
SIZES := $(RESULTS)/sizes.json

bench: $(STAMP) ## run the benchmarks, 20 to 30 minutes, charts included (QUICK=1 to try; benchmarks/README.md)
	mkdir -p $(RESULTS)
	$(BIN)/python -m benchmarks --json $(ROWS) $(if $(QUICK),--quick)
	$(BIN)/python -m benchmarks.size --json $(SIZES) $(if $(QUICK),--quick)
	$(BIN)/python -m benchmarks.report $(ROWS) $(SIZES)

bench-docs: bench ## ... and put tables and charts into docs/performance.md
	$(BIN)/python -m benchmarks.report --docs $(ROWS) $(SIZES)

clean: ## remove everything that make made; the queue in data/ only with DATA=1
	rm -rf $(VENV) site dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	rm -rf $(RESULTS) benchmarks/.peers tests/e2e/js/node_modules tests/fuzz/found *.egg-info $(if $(DATA),data)
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
	@test ! -e data || echo "data/ holds webhooks that were not delivered yet, and is left alone: make clean DATA=1 removes it, too"
