# `make` alone lists the commands. Each target makes .venv and installs what it needs on its first run.
#
# PyTorch's small CPU build instead of the one with CUDA (see README.md):
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-reliability check format clean

help: ## list these commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS="$$(printf '\t')" read -r name what; do \
		printf '  make %-17s %s\n' "$$name" "$$what"; done

demo: $(VENV)/.demo ## train, evaluate and try the starter model: Korean to English, no data needed, minutes
	$(BIN)/clearhead demo $(DEMO)

test: $(VENV)/.test ## the fast tests: offline, minutes, warnings are errors
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(TESTS)  # two files at once, a thread each

test-slow: $(VENV)/.test ## the tests that need real corpora (CLEARHEAD_DATA, else ../shared/data) or train for minutes
	$(BIN)/python -m pytest -m slow -rs $(TESTS)

test-reliability: $(VENV)/.test ## kills, power losses, damages and hostile files at full count: docs/reliability.md, about an hour
	$(BIN)/python -m pytest -m reliability -s -rs $(TESTS)

check: $(VENV)/.check ## style, types, the direction of imports, and what the package holds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	rm -rf $(VENV)/wheel
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir $(VENV)/wheel .
	$(BIN)/python -m zipfile --list $(VENV)/wheel/*.whl > $(VENV)/wheel/contents
	grep -q clearhead/recipes/starter-ko-en.toml $(VENV)/wheel/contents
	grep -q clearhead/messages.toml $(VENV)/wheel/contents
	grep -q clearhead/shipped/sentiment-analysis/gru/model.safetensors $(VENV)/wheel/contents
	grep -q clearhead/kernels/kernels.cpp $(VENV)/wheel/contents
	grep -q clearhead/inspection/page/fonts/hangul.woff $(VENV)/wheel/contents

format: $(VENV)/.check ## put the sources into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the virtual environment and what tools leave behind (runs/ stays)
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "clearhead needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# One stamp an extra; the package itself is installed in place, so that a change of the sources needs no new install.
$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP_INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/.check: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP_INSTALL) --editable '.[test,check]'
	@touch $@
