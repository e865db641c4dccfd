# Everything a developer runs. Needs python3 (3.11 or newer), make and git; the rest comes with `make install`.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
SOURCES := service workers migrations tests benchmarks examples

.DEFAULT_GOAL := help
.PHONY: help install test test-slow check format demo up bench openapi cards migration first-migration clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv with all that `stepsize up`, the worker and the tests need

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

test: check ## Run every check and every test that takes less than a minute
	$(BIN)/python -m pytest

test-slow: install ## Run the tests that take longer
	$(BIN)/python -m pytest -m slow

check: install ## Lint, types, layers, and that generated files are up to date
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m migrations check
	$(BIN)/python -m service.api.openapi --check
	$(BIN)/python -m workers.trainers.registry --check
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

format: install ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

demo: install ## Tune a real image classifier: learning rate × batch size, within three minutes
	$(BIN)/python examples/demo.py

up: install ## Run the service: API, one worker, SQLite in ./stepsize-data
	$(BIN)/stepsize up

bench: install ## Measure trials per second beside Optuna's own storage
	$(BIN)/python -m benchmarks.orchestration

openapi: install ## Write docs/openapi.json from the app
	$(BIN)/python -m service.api.openapi

cards: install ## Write the built-in trainers' cards into service/
	$(BIN)/python -m workers.trainers.registry --write

migration: install ## Write the next revision from models.py: make migration m="What changes"
	$(BIN)/python -m migrations revise "$(m)"
	$(BIN)/ruff format --quiet migrations
	$(BIN)/ruff check --fix --quiet migrations

first-migration: install ## Rewrite revision 0001 from models.py (before the first release only)
	$(BIN)/python -m migrations rewrite-first
	$(BIN)/ruff format --quiet migrations
	$(BIN)/ruff check --fix --quiet migrations

clean: ## Remove what can be made again, .venv included
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
