# Everything a contributor types. `make help` lists the targets; each does its own set-up.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
FLOOR_VENV := .venv-floor
PYTEST := $(BIN)/python -m pytest

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | while IFS='|' read -r name text; do printf '  %-14s %s\n' "$$name" "$$text"; done

# ---- set-up -----------------------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(VENV)/.ready ## Make .venv with rayfleet and its tools (quick when nothing changed)

# The last two: the editable install builds the planner's kernel.
$(VENV)/.ready: requirements/dev.lock pyproject.toml scripts/make_venv.sh hatch_build.py src/rayfleet/planner/packing/kernel.c
	@scripts/make_venv.sh $(VENV) requirements/dev.lock
	@touch $@

$(VENV)/.docs-ready: requirements/docs.lock $(VENV)/.ready
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/docs.lock
	@touch $@

$(FLOOR_VENV)/.ready: requirements/ray-floor.lock pyproject.toml scripts/make_venv.sh hatch_build.py src/rayfleet/planner/packing/kernel.c
	@scripts/make_venv.sh $(FLOOR_VENV) requirements/ray-floor.lock
	@touch $@

$(VENV)/.mutants-ready: requirements/mutants.lock $(VENV)/.ready
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/mutants.lock
	@touch $@

$(VENV)/.serve-ready: requirements/serve.lock $(VENV)/.ready
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/serve.lock
	@touch $@

.PHONY: lock
lock: ## Write requirements/*.lock anew (UPGRADE=1 takes newer versions)
	@UPGRADE=$(UPGRADE) scripts/lock.sh

# ---- use --------------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: setup ## Show a real Ray cluster on this machine grow with its work and shrink back to zero
	@$(BIN)/rayfleet demo $(ARGS)

# ---- tests ------------------------------------------------------------------------------------------------------------

# What runs where: pure and faked parts on all cores; then everything that starts real Ray, two files at a time (see
# scripts/real_tests.sh). The command from end to end, guides, Kubernetes, chaos and slow tests have targets of their own.
# tests/conftest.py sees to it that tests with a mark are in the folders that are named here.
QUICK := not ray and not redis and not slow and not guides and not e2e and not kubernetes
REAL := (ray or redis) and not slow and not guides and not e2e and not kubernetes
REAL_TESTS := tests/e2e tests/conformance tests/unit/kube_operator/raycluster

.PHONY: test
test: setup test-servers ## The tests that every change must pass, with real Ray (ten minutes on 2 cores)
	@$(PYTEST) tests -n auto --maxprocesses 8 -q -m '$(QUICK)' $(ARGS)
	@scripts/real_tests.sh $(BIN)/python $(REAL_TESTS) -q -m '$(REAL)' $(ARGS)

.PHONY: test-quick
test-quick: setup ## Only the tests that start no server (ARGS="-k name" for some of them)
	@$(PYTEST) tests -n auto --maxprocesses 8 -q -m '$(QUICK)' $(ARGS)

.PHONY: test-servers
test-servers:
	@if grep -rqs 'mark\.redis' tests --include='*.py'; then scripts/need_debian.sh redis-server; fi

.PHONY: test-matrix
test-matrix: $(FLOOR_VENV)/.ready ## The tests of the engine on the oldest supported Ray
	@$(FLOOR_VENV)/bin/python -c 'import ray; print("Ray", ray.__version__)'
	@scripts/real_tests.sh $(FLOOR_VENV)/bin/python tests/e2e/engine -q -m 'ray and not slow and not e2e' $(ARGS)

.PHONY: test-e2e
test-e2e: setup ## Demo and examples as a user runs them, the simulator beside real Ray, the dashboard in a browser, hosts over SSH
	@PATH="$$PATH:/usr/sbin" scripts/need_debian.sh /usr/sbin/sshd=openssh-server ssh=openssh-client rsync ip=iproute2 tmux screen prometheus prometheus-alertmanager chromium curl
	@scripts/real_tests.sh $(BIN)/python tests/e2e tests/conformance -q -m 'e2e and not slow and not guides' $(ARGS)

.PHONY: test-guides
test-guides: setup ## Type in what the users' guides show, and compare
	@scripts/real_tests.sh $(BIN)/python tests/guides -q -m guides $(ARGS)

# The programs of the control plane are in a cache outside of the tree; only the first run on a machine builds them.
.PHONY: test-kubernetes
test-kubernetes: setup ## On a real Kubernetes control plane (the first run on a machine builds it: seven minutes)
	@scripts/need_debian.sh openssl ip=iproute2 pgrep=procps
	@programs="$$(scripts/kubernetes_plane.sh)" && RAYFLEET_KUBERNETES="$$programs" \
		scripts/real_tests.sh $(BIN)/python tests/kubernetes tests/unit/deploy -q -m 'kubernetes and not slow' $(ARGS)

# Half an hour on 2 cores, and Ray Serve's own packages beside the locked ones: not among the tests of every change.
.PHONY: pods
pods: setup $(VENV)/.serve-ready ## The slow tests on Kubernetes: ACK's guide, fault tolerance and Serve under constant requests, real Ray in pods
	@scripts/need_debian.sh openssl ip=iproute2 pgrep=procps redis-server
	@programs="$$(scripts/kubernetes_plane.sh)" && RAYFLEET_KUBERNETES="$$programs" \
		$(PYTEST) tests/kubernetes -q -m 'kubernetes and slow' $(ARGS)

.PHONY: chaos
chaos: setup ## The slow tests: faults in real clusters, here and on other hosts, and hours of dense faults on virtual time
	@PATH="$$PATH:/usr/sbin" scripts/need_debian.sh /usr/sbin/sshd=openssh-server ssh=openssh-client rsync ip=iproute2 tmux screen
	@$(PYTEST) tests -q -m 'slow and not guides and not kubernetes' $(ARGS)

# All of the planner takes hours on one core; a sample, or one file, minutes: see docs/mutants.md.
.PHONY: mutants
mutants: $(VENV)/.mutants-ready ## Change the planner in small ways: does a test fail? (ARGS='--sample 20 "limits.*"')
	@PYTHONPATH=src:. nice -n 19 $(BIN)/python scripts/mutants.py $(ARGS)

.PHONY: bench
bench: setup ## Measure against Ray's own autoscaler, in one run, as ratios
	@$(BIN)/python -m benchmarks $(ARGS)

# ---- checks -----------------------------------------------------------------------------------------------------------

.PHONY: check
check: setup ## Lint, format, types, layers, spelling
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/codespell

.PHONY: charts
charts: setup ## Package the Helm charts, with an index, into dist/charts (URL=... where they will be)
	@$(BIN)/python scripts/charts.py packages $(if $(URL),--url '$(URL)')

.PHONY: format
format: setup ## Let ruff repair and format what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: docs
docs: $(VENV)/.docs-ready ## Build the documentation into site/, with every warning an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.PHONY: screenshots
screenshots: setup ## Take the dashboard's pictures for the documentation anew, into docs/images
	@scripts/need_debian.sh chromium
	@$(BIN)/python -m scripts.screenshots $(ARGS)

.PHONY: docs-serve
docs-serve: $(VENV)/.docs-ready ## Show the documentation on this machine while it is written
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

.PHONY: clean
clean: ## Remove environments, caches and everything built
	rm -rf $(VENV) $(FLOOR_VENV) site build dist mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
