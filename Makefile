# Every target first makes or updates .venv from the locks (deploy/bootstrap.sh); that costs nothing where it is done.
# What a target hands on to its program: make run ARGS="--help", make test ARGS="-k ledger"

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Another Python that the caller has activated or pointed to has no say in here.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
# Whatever is compiled is kept: the checks and the tests start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

bin := .venv/bin
folders := core actors http deploy
ARGS ?=

.PHONY: help run demo test npm chaos browser fuzz fuzz-ledger bench bench-jobs fmt lock clean runtime dev links \
	check check-format check-lint check-types check-imports check-shell check-audit

help: ## Show this list
	@echo "make <target>:"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' Makefile | expand -t 12

run: runtime ## Start the service (settings come from the environment: PORT, HOST, MONGO_URL, ...)
	@exec $(bin)/promptforge serve $(ARGS)

demo: runtime ## Go from an empty database to a sale, over HTTP, step by step
	@exec $(bin)/promptforge demo $(ARGS)

# More than there are processors, for tests wait (for leases, timeouts, other processes): on two, four took 0.7 of the
# time that three did. Never more than four.
workers = $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 2 ? 2 : 4)))

# The first time all files of tests are compiled: once, beside the checks, and not by each process of the run.
collect = $(bin)/python -m pytest tests -q --ignore=tests/chaos --ignore=tests/browser --ignore=tests/bench --collect-only

# All processes of a run need one seed of hashes, for they have to find the same tests; each run has another one.
# Commits of a mongod wait for the disk; where there is much room in memory, the tests' need not.
test: dev npm ## Run the tests (without those of chaos and browser, which have targets of their own)
	@export PYTHONHASHSEED=$${PYTHONHASHSEED:-$$RANDOM}; echo "PYTHONHASHSEED=$$PYTHONHASHSEED"; \
	if (($$(df --output=avail -k /dev/shm 2>/dev/null | tail -1) > 8000000)); then \
		PYTEST_DEBUG_TEMPROOT=$$(mktemp -d /dev/shm/promptforge-tests-XXXXXX); export PYTEST_DEBUG_TEMPROOT; \
		trap 'rm -rf "$$PYTEST_DEBUG_TEMPROOT"' EXIT; \
	fi; \
	[ -d tests/__pycache__ ] || $(collect) >/dev/null || true; \
	$(bin)/python -m pytest tests -q --ignore=tests/chaos --ignore=tests/browser --ignore=tests/bench \
		--numprocesses $(workers) --dist loadfile --no-loadscope-reorder $(ARGS)

chaos: dev ## Run the tests that kill, freeze and overload (tests/chaos)
	@exec $(bin)/python -m pytest tests/chaos -q $(ARGS)

browser: dev ## Run the tests in a headless browser (tests/browser)
	@sh deploy/bootstrap.sh browser
	@exec $(bin)/python -m pytest tests/browser -q $(ARGS)

fuzz: dev ## Send every operation valid and invalid requests for ten minutes (ARGS="--seed 1 --max-time 60")
	@exec $(bin)/python -m tests.fuzz.run $(ARGS)

fuzz-ledger: dev ## Walk at random over the ledger's rules (ARGS="200000": so many steps; LEDGER_WALK_SEED)
	@LEDGER_WALK_SEED=$${LEDGER_WALK_SEED:-$$RANDOM} LEDGER_WALK_STEPS=$(or $(ARGS),200000) LEDGER_EXAMPLES=1000 \
		LEDGER_STORE_STEPS=2000 $(bin)/python -m pytest -q tests/unit/billing/test_ledger_walk.py \
		tests/unit/billing/test_ledger_machine.py tests/integration/billing/test_ledger_walk.py

bench: dev ## Measure (tests/bench)
	@exec $(bin)/python -m tests.bench.run $(ARGS)

check: dev ## Check format, lint, types, imports, shell scripts and known vulnerabilities; all, whichever fails
	@$(MAKE) --keep-going check-format check-lint check-types check-imports check-shell check-audit

check-format: dev
	@echo "== format"
	@$(bin)/ruff format --check .

check-lint: dev
	@echo "== lint"
	@$(bin)/ruff check .

# mypy sees the product through the links, as promptforge.core and so on; it is told to report the real paths.
check-types: dev links
	@echo "== types"
	@$(bin)/mypy -p promptforge -p tests | sed 's#^\.cache/typing/promptforge/##'

check-imports: dev links
	@echo "== imports"
	@PYTHONPATH=.cache/typing $(bin)/lint-imports --no-logo --cache-dir .cache/import-linter

check-shell:
	@echo "== shell scripts"
	@find . \( -name .git -o -name .venv -o -name .cache -o -name node_modules \) -prune \
		-o \( -name '*.sh' -o -path ./.ci/run \) -print | sort | while read -r script; do \
		bash -n "$$script"; \
		echo "$$script"; \
	done

# Where PyPI's advisories cannot be reached it says so, and passes.
check-audit: dev
	@echo "== known vulnerabilities"
	@$(bin)/python -m tests.support.advisories

bench-jobs: dev ## Measure jobs beside other job libraries (installs those, Redis and PostgreSQL for it)
	@bash tests/bench/jobs/install_peers.sh
	@exec $(bin)/python -m tests.bench.jobs.run $(ARGS)

fmt: dev ## Format the code and mend what can be mended
	@$(bin)/ruff check --fix --exit-zero --quiet .
	@$(bin)/ruff format .
	@$(bin)/ruff check .

# uv resolves, and lives in a .venv of its own. The locks name no addresses: pip's own settings decide where to look.
compile := .cache/uv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --extra embedded \
	--extra local-llm --group build --generate-hashes --no-emit-index-url --no-annotate --no-header $(if $(UPGRADE),--upgrade)

lock: ## Write the locks anew from pyproject.toml, keeping versions where they fit (UPGRADE=1: take the newest)
	@python=$$(sh deploy/bootstrap.sh python) && "$$python" -m venv .cache/uv
	@.cache/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(compile) --output-file requirements.lock
	@$(compile) --group dev --constraint requirements.lock --output-file requirements-dev.lock

clean: ## Remove what the targets made: .venv, caches, builds (never data)
	@rm -rf .venv .cache .ruff_cache .mypy_cache .pytest_cache .hypothesis build dist *.egg-info
	@find $(folders) tests -name __pycache__ -type d -prune -exec rm -rf {} +

runtime:
	@sh deploy/bootstrap.sh runtime

dev:
	@sh deploy/bootstrap.sh dev

# The tests use the real Firebase Auth emulator and a TypeScript client: installed once, into the user's cache.
npm: dev
	@$(bin)/python -m tests.support.node_tools

links:
	@mkdir -p .cache/typing/promptforge
	@for folder in $(folders); do ln -sfn "../../../$$folder" ".cache/typing/promptforge/$$folder"; done
