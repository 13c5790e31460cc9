# Two commands do all set-up: `make demo` and `make test`. Each makes .venv and installs first, if need be.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
LOWEST := .venv-lowest

.PHONY: demo test test-all test-lowest coverage lint format bench evidence docs clean help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV): about 7 GB with a GPU build of torch, one to several minutes"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(READY)

demo: $(READY) ## ERM, RS, DRS and OPeN on the embedded digits, five seeds, table and figure
	@rm -rf outputs/demo
	$(BIN)/oponm train sweep=demo
	$(BIN)/oponm report outputs/demo

test: $(READY) ## the tests but for the slow ones, which start or kill processes, or compose hundreds of runs
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow"

test-all: $(READY) ## all tests
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-lowest: ## the tests with the lowest versions that pyproject.toml allows, on Python 3.10 where there is one
	@test -x $(LOWEST)/bin/python || $$(python3.10 -c '' 2>/dev/null && echo python3.10 || echo $(PYTHON)) -m venv $(LOWEST)
	@$(LOWEST)/bin/python tests/lowest_versions.py > $(LOWEST)/constraints.txt
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(LOWEST)/constraints.txt -e ".[dev]"
	$(LOWEST)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow"

coverage: $(READY) ## line and branch coverage of oponm/ by all tests, processes that they start included
	@rm -f .coverage .coverage.*
	$(BIN)/python -m coverage run -m pytest -n auto --dist loadfile --no-loadscope-reorder
	@$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

lint: $(READY) ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## the benchmarks, on an idle machine: benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.run

evidence: $(READY) ## docs/evidence.md, docs/open_on_top.md, their figures, docs/which_method.md and the README's table, from results/*.csv
	$(BIN)/python -m evidence

docs: $(READY) ## the documentation as a site: open site/index.html, which needs no server
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "Open site/index.html in a browser; no server is needed, search included"

clean: ## remove the virtual environment, caches and outputs
	rm -rf $(VENV) $(LOWEST) .coverage .coverage.* outputs site .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
