# Everything that one does with Pitwall. `make` or `make help` lists it; CONTRIBUTING.md says when to use which.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# `make up VEHICLES=50 REPLAY=FILE`: deploy.local reads these, and PITWALL_PORT_*, from its environment.
export VEHICLES RATE_HZ TIME_SCALE SEED REPLAY PITWALL_HOME

BIN := .venv/bin
STACK := $(BIN)/python -m deploy.local
PYTEST := $(BIN)/python -m pytest
# Tests mostly wait for servers. A file stays with one worker, so that what its tests share is started once.
TWO_AT_ONCE := --numprocesses 2 --dist loadfile --no-loadscope-reorder
# Extras are named: pip before 23.3 takes coverage for no pin of coverage[toml], and refuses once a newer one is out.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header
JAR_FOLDERS := deploy/local/kafka flink_jobs

.PHONY: help
help: ## lists these commands
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# --- the local stack --------------------------------------------------------------------------------------------

.PHONY: install
install: ## installs what is missing; says first what that is
	@deploy/local/bootstrap.sh

.PHONY: install-python
install-python:
	@deploy/local/bootstrap.sh --python

.PHONY: run
run: install ## the stack with simulated vehicles and a live view; Ctrl-C stops all of it
	@$(STACK) run

.PHONY: up
up: install ## the same in the background: [VEHICLES=12] [RATE_HZ=1] [TIME_SCALE=1] [SEED=1] [REPLAY=FILE]
	@$(STACK) up

.PHONY: down
down: install-python ## stops it; nothing is left running
	@$(STACK) down

.PHONY: recompute
recompute: ## windows from all their readings, also the late ones: FROM=2026-01-31T06:00:00Z TO=… (or seconds since 1970)
	@JAVA_HOME=$$($(BIN)/python -c 'import os; from deploy.local.tools import Tools; print(Tools(os.environ).java_home())') \
	  PYTHONPATH=. flink_jobs/.venv/bin/python -m flink_jobs --config "$${PITWALL_HOME:-.pitwall}/config/stream-jobs.toml" \
	  recompute --from="$(FROM)" --to="$(TO)"

# --- checks: `test` and `chaos` start servers of their own, the others need none --------------------------------------

.PHONY: check
check: install-python lint types imports ## the fast part, under a minute
	@$(PYTEST) $(TWO_AT_ONCE) tests/unit tests/contract

.PHONY: test
test: install promtool lint types imports ## everything, on servers of its own: under 20 minutes on two cores
	@$(PYTEST) $(TWO_AT_ONCE) -m 'not alone and not chaos' tests/integration tests/unit tests/model tests/contract
	@$(PYTEST) -m 'alone and not chaos' tests

.PHONY: chaos
chaos: ## breaks everything in turn while vehicles drive, on stacks of its own; takes root: half an hour, [FULL=1] an hour
	@deploy/local/bootstrap.sh --chaos
	@PITWALL_TEST_FULL=$(FULL) $(PYTEST) -s -m chaos tests/chaos tests/integration

.PHONY: mutation
mutation: install-python ## changes the pure cores bit by bit: their tests must notice: [MODULE=pitwall.domain.permit]
	@$(BIN)/python -m tests.mutation $(call option,MODULE)

.PHONY: soak
soak: install-python ## state machines, interleavings, the model, changed frames: [STEPS=] [INTERLEAVINGS=] [EVENTS=] [FRAMES=] [SEED=1]
	@$(BIN)/python -m tests.soak $(foreach one,STEPS INTERLEAVINGS EVENTS FRAMES SEED,$(call option,$(one)))

# `--steps=5` where STEPS is 5.
option = $(if $($(1)),--$(shell echo $(1) | tr A-Z a-z)=$($(1)))

# Fetched before a test that wants it has to be in time. Where it can't be had (69), that test is skipped.
.PHONY: promtool
promtool:
	@deploy/observability/promtool.sh >/dev/null || [ $$? = 69 ]

.PHONY: lint
lint:
	@$(BIN)/ruff format --check --quiet . || { echo 'not formatted: run `make format`'; exit 1; }
	@$(BIN)/ruff check --quiet .

.PHONY: types
types:
	@$(BIN)/mypy --no-error-summary

.PHONY: imports
imports:
	@said=$$($(BIN)/lint-imports 2>&1) || { echo "$$said"; exit 1; }

# --- what is generated ----------------------------------------------------------------------------------------------

.PHONY: format
format: install-python ## formats the code and mends what can be mended
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --fix .

.PHONY: proto
proto: install-python ## regenerates proto/gen
	@proto/generate.sh

.PHONY: lock
lock: install-python ## resolves all versions anew, after a change of pyproject.toml or pom.xml
	@$(COMPILE) pyproject.toml --all-extras --group dev -o requirements.lock >/dev/null
	@$(COMPILE) pyproject.toml --extra services --extra fleet -c requirements.lock -o deploy/docker/services.lock >/dev/null
	@$(COMPILE) flink_jobs/pyproject.toml -o flink_jobs/requirements.lock >/dev/null
	@$(COMPILE) --group flink_jobs/pyproject.toml:build -o flink_jobs/build.lock >/dev/null
	@for folder in $(JAR_FOLDERS); do \
	  rm -rf $$folder/target && mvn -q -B -f $$folder/pom.xml && (cd $$folder/target/libs && sha256sum *.jar) >$$folder/jars.sha256; \
	done
	@mvn -q -B -f flink_jobs/pom.xml dependency:copy@s3
	@(cd flink_jobs/target/plugins/s3-fs-presto && sha256sum *.jar) >flink_jobs/s3.sha256

.PHONY: bench
bench: install ## measures; a table here, JSON under .pitwall/bench/
	@$(BIN)/python -m tests.bench

.PHONY: clean
clean: ## stops the stack and removes what the other commands made
	@if [ -x $(BIN)/python ]; then $(STACK) clean; fi
	@rm -rf .venv flink_jobs/.venv $(addsuffix /target,$(JAR_FOLDERS) deploy/observability) .pitwall-test mutants
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
