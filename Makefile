# Everything a newcomer types. Plain venv and pip always work; uv, where it is installed, is only faster.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SERVE ?= 1

# Hundreds of tests begin processes: without kept bytecode each of these would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(abspath $(VENV))/pycache

.DEFAULT_GOAL := help
.PHONY: help install demo test check format settings fuzz bench lock rivals clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## make .venv with everything in requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "costmeter needs Python 3.11 or newer; set PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@if command -v uv >/dev/null 2>&1; then \
	  uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . ; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@touch $@

demo: $(STAMP) ## record a simulated day with the real OpenAI SDK and report it (SERVE=0 ends by itself)
	$(BIN)/costmeter demo $(if $(filter 0,$(SERVE)),,--serve)

test: $(STAMP) ## run every test
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

check: $(STAMP) ## formatting, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/house

format: $(STAMP) ## put the formatting right
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(STAMP) ## requests made of the API's description, for minutes
	$(BIN)/python -m tests.api.fuzzing

settings: $(STAMP) ## write docs/settings.md from the settings
	$(BIN)/python -m costmeter.settings_page > docs/settings.md

bench: $(STAMP) ## the benchmarks: each row is a ratio measured in one run
	$(BIN)/python -m benchmarks

lock: ## resolve requirements.lock, and the parts of it that the image installs, anew (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header -o requirements.lock
	uv pip compile pyproject.toml --extra server --extra postgres --extra finance --extra alerts --extra gateway --extra web --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --constraint requirements.lock -o deploy/server.lock
	echo hatchling | uv pip compile - --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --constraint requirements.lock -o deploy/build.lock

rivals: ## resolve the locks of the benchmarks' rivals anew (needs uv)
	for name in $(basename $(wildcard benchmarks/rivals/*.in)); do \
	  uv pip compile $$name.in --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --quiet -o $$name.lock || exit 1; \
	done

clean: ## remove what the targets made
	rm -rf $(VENV) .venv-rivals demo-output build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
