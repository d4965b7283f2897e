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

$(VENV)/.ready: requirements/dev.lock pyproject.toml scripts/make_venv.sh
	@scripts/make_venv.sh $(VENV) requirements/dev.lock
	@touch $@

$(VENV)/.docs-ready: requirements/docs.lock $(VENV)/.ready
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/docs.lock
	@touch $@

$(FLOOR_VENV)/.ready: requirements/ray-floor.lock pyproject.toml scripts/make_venv.sh
	@scripts/make_venv.sh $(FLOOR_VENV) requirements/ray-floor.lock
	@touch $@

.PHONY: lock
lock: ## Write requirements/*.lock anew (UPGRADE=1 takes newer versions)
	@UPGRADE=$(UPGRADE) scripts/lock.sh
