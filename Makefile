# Two commands do everything on a fresh machine: `make experiments` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# What takes no time that others could disturb; real proxies and loads have the machine for themselves.
SIDE_BY_SIDE := tests/unit tests/acceptance tests/simulations tests/mutation

.DEFAULT_GOAL := help
.PHONY: help setup experiments test check format lock bench mutate soak clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP)  ## create .venv with the locked dependencies, pytest and istio-chaos

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 setup"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python has no ensurepip here. Install it: sudo apt-get install -y python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

experiments: $(STAMP)  ## run the experiments on the local mesh
	$(BIN)/pytest experiments/

test: $(STAMP)  ## run the test suite
	$(BIN)/pytest $(SIDE_BY_SIDE) -n auto --dist worksteal $(ARGS)
	$(BIN)/pytest tests/ $(addprefix --ignore=,$(SIDE_BY_SIDE)) $(ARGS)

check: $(STAMP)  ## ruff, mypy strict, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=plugins $(BIN)/lint-imports

format: $(STAMP)  ## put the sources into form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(STAMP)  ## resolve the dependencies anew
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra local --group dev --output-file requirements.lock pyproject.toml

bench: $(STAMP)  ## measure: ratios in one run, with their goals
	$(BIN)/python -m benchmarks

mutate: $(STAMP)  ## which changes to claims and statistics does no test notice?
	$(BIN)/python -m tests.mutation.survivors

soak: mutate  ## the long suites in full
	$(BIN)/python -m tests.simulations.error_rates --runs 20000
	$(BIN)/pytest tests/integration/test_validate.py --hypothesis-profile=soak
	KUBEBUILDER_ASSETS=$$(.ci/apiserver) $(BIN)/pytest tests/integration/test_apiserver.py --require-apiserver --seeds=1000
	$(BIN)/pytest tests/integration/test_alike_live.py --seeds=200 -o log_cli=true -o log_cli_level=INFO

clean:  ## remove what make has made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
