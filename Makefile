# Two commands do everything: `make run` and `make test`. Both set up .venv from the lock files first.
# They need Python 3.11 or newer (PYTHON=python3.12 chooses one) and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
NAME ?=
RUN := $(BIN)/mlops

.DEFAULT_GOAL := help
.PHONY: help setup run test lint format fast-tests test-all test-workflows benchmark-workflows protect lock ui drift raw-data interim-data processed-data docs lab notebooks clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is %s: make PYTHON=python3.12 …" % sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV) || { echo "python -m venv failed: install the venv package of your Python (Debian: python3-venv)"; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

# What reads only branches, events and texts takes a fraction of the packages.
$(VENV)/.light: $(VENV)/.venv requirements/light.txt setup.py
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/light.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

# The same environment grows from the main job's packages to the developers': dev.txt holds base.txt.
$(VENV)/.base: $(VENV)/.venv requirements/base.txt setup.py
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/base.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.base requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@

setup: $(VENV)/.dev ## set up .venv with everything, from the lock files

run: $(VENV)/.base ## data, train, gate, register, report: the default use case (NAME=iris for another)
	@$(RUN) run $(NAME)

test: lint fast-tests ## lint, types and the fast tests

lint: $(VENV)/.dev ## flake8 in two passes, black, mypy; the workflows
	@$(BIN)/flake8 src tests benchmarks docs setup.py --select=E9,F63,F7,F82 --show-source --statistics
	@$(BIN)/flake8 src tests benchmarks docs setup.py
	@$(BIN)/black --check --quiet src tests benchmarks docs setup.py || { echo "black would change files: make format"; exit 1; }
	@$(BIN)/mypy
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/actionlint -oneline
	@$(BIN)/zizmor --offline --no-progress --quiet --strict-collection --persona pedantic --config .github/zizmor.yml .
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema custom.github-workflows-require-timeout .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions .github/actions/*/action.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))

format: $(VENV)/.dev ## format the Python files
	@$(BIN)/black --quiet src tests benchmarks docs setup.py

fast-tests: $(VENV)/.dev
	@$(BIN)/pytest -n auto --dist loadscope

test-all: $(VENV)/.dev ## the fast tests on every supported Python, against the built wheel
	@$(BIN)/tox run -e "$$($(RUN) pythons --tox)" --skip-missing-interpreters

test-workflows: $(VENV)/.dev ## the GitHub workflows, run offline
	@$(BIN)/pytest -m workflows tests/workflows

benchmark-workflows: $(VENV)/.dev ## seconds per job of a pull request, run offline
	@$(BIN)/python -m benchmarks.workflows

protect: $(VENV)/.base ## say what an administrator may turn on: rulesets, environments (APPLY=1 does it, GITHUB_TOKEN)
	@$(RUN) gitflow protect $(if $(APPLY),--apply)

lock: $(VENV)/.venv ## compile the lock files from setup.py
	@$(BIN)/uv pip compile requirements/bootstrap.in --quiet --upgrade --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" -o requirements/bootstrap.txt
	@$(BIN)/uv pip compile setup.py --all-extras --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" -o requirements/dev.txt
	@$(BIN)/uv pip compile setup.py --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" -c requirements/dev.txt -o requirements/base.txt
	@for lock in light serve serve-skops serve-pyfunc; do \
		$(BIN)/uv pip compile requirements/$$lock.in --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" -c requirements/dev.txt -o requirements/$$lock.txt || exit 1; done

drift: $(VENV)/.dev ## see a drift report: serve, send normal and drifted rows, check (after make run; NAME=iris for another)
	@$(BIN)/python -m benchmarks.drift $(NAME)

ui: $(VENV)/.base ## MLflow's own page on the store
	@$(RUN) ui

raw-data interim-data processed-data: $(VENV)/.base ## one step of the data stage (NAME=iris for another use case)
	@$(RUN) data $(@:-data=) $(NAME)

lab: $(VENV)/.dev ## JupyterLab with the project's store and exports at each save; git learns to read notebooks
	@$(RUN) notebooks setup
	@$(RUN) notebooks lab

notebooks: $(VENV)/.dev ## the notebooks: rules checked, then each run on a fresh kernel
	@$(RUN) notebooks check
	@$(RUN) notebooks run

docs: $(VENV)/.dev ## build the documentation, warnings are errors
	@$(BIN)/sphinx-build -W -b html docs docs/_build/html

clean: ## remove what the commands made, not the store
	@rm -rf build dist .tox .pytest_cache .mypy_cache .hypothesis docs/_build output
