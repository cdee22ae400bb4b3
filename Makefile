# Two commands do everything: `make run` and `make test`. Both set up .venv from the lock files first.
# They need Python 3.11 or newer (PYTHON=python3.12 chooses one), git and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
NAME ?=
RUN := $(BIN)/mlops

# The machinery: a wheel with its hash, or a folder with its source, as vendor/machinery.txt says. pip takes no hash of a folder.
MACHINERY := $(filter-out \#%,$(shell cat vendor/machinery.txt))
REQUIRE_HASHES := $(if $(filter -e,$(MACHINERY)),,--require-hashes)
PYTHON_FILES := src tests setup.py

.DEFAULT_GOAL := help
.PHONY: help workbench workbench-local down jupyter deploy-realtime-model score-realtime-model html setup run test lint lint-style lint-types lint-workflows lint-schemas secrets audit format tests fast-tests test-all protect lock update sync ui dvc restore-data spark spark-package raw-data interim-data processed-data docs lab notebooks clean

# The checks of `make lint`, which run side by side; each is a target.
CHECKS := lint-style lint-types lint-workflows lint-schemas secrets

# What a team adds: targets of its own, other values.
-include project.mk
# What is there where the machinery is a folder: its own tests, lint and documentation.
-include machinery/machinery.mk

workbench: $(VENV)/.dev ## JupyterLab :8888, MLflow :5000, PostgreSQL :5432 and an S3 store :9000, in containers (ARGS=…)
	@$(RUN) workbench start --docker $(ARGS)

workbench-local: $(VENV)/.workbench ## the same without Docker (ARGS="--port mlflow=5001")
	@$(RUN) workbench start $(ARGS)

down: $(VENV)/.dev ## end the workbench, its containers or processes and nothing else; its data stay
	@$(RUN) workbench stop

help: ## show this list
	@awk -F ':.*## ' '/^[a-z -]+:.*## / {gsub(/ /, ", ", $$1); printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# An environment works at the place where it was made alone: in a copied project it would run the code of the original. The
# stamp holds that place; where it is another one, the environment is made anew.
PLACE := $(if $(filter /%,$(VENV)),,$(shell pwd -P)/)$(VENV)
ifneq ($(PLACE),$(shell cat $(VENV)/.venv 2>/dev/null))
.PHONY: $(VENV)/.venv
endif
# pip brings uv and setuptools, uv the rest. A project from an earlier machinery has a lock for the two until `make lock`.
TOOLS := $(firstword $(wildcard requirements/bootstrap.txt) requirements/light.txt)
$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is %s: make PYTHON=python3.12 …" % sys.version.split()[0])'
	@$(PYTHON) -m venv $(if $(wildcard $(VENV)/pyvenv.cfg),--clear) $(VENV) || { echo "python -m venv failed: install the venv package of your Python (Debian: python3-venv)"; exit 2; }
	@awk '/^[a-z]/ {wanted = /^(setuptools|uv)==/} wanted' $(TOOLS) \
		| $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r /dev/stdin
	@echo "$(PLACE)" > $@

# What reads only branches, events and texts takes a fraction of the packages.
$(VENV)/.light: $(VENV)/.venv requirements/light.txt setup.py vendor/machinery.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/light.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(REQUIRE_HASHES) -r vendor/machinery.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

# The same environment grows from the main job's packages to the developers': dev.txt holds base.txt.
$(VENV)/.base: $(VENV)/.venv requirements/base.txt setup.py vendor/machinery.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/base.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(REQUIRE_HASHES) -r vendor/machinery.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.base requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@

# What only the workbench without Docker needs; its lock lies in the machinery.
$(VENV)/.workbench: $(VENV)/.dev
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes \
		-r "$$($(BIN)/python -c 'from importlib.resources import files; print(files("mlops.workbench") / "requirements.txt")')"
	@touch $@

setup: $(VENV)/.dev ## set up .venv with everything, from the lock files

run: $(VENV)/.base ## data, train, gate, register, report: the default use case (NAME=iris for another)
	@$(RUN) run $(NAME)

test: lint tests ## lint, types and the tests

tests: fast-tests

lint: $(VENV)/.dev ## flake8 in two passes, black, mypy; the workflows; whether the machinery's files are as it has them
	@$(MAKE) --no-print-directory --jobs 4 $(CHECKS)

lint-style: $(VENV)/.dev
	@$(BIN)/flake8 $(PYTHON_FILES) --select=E9,F63,F7,F82 --show-source --statistics
	@$(BIN)/flake8 $(PYTHON_FILES)
	@$(BIN)/black --check --quiet $(PYTHON_FILES) || { echo "black would change files: make format"; exit 1; }
	@$(BIN)/isort --check-only --quiet $(PYTHON_FILES) || { echo "isort would sort imports: make format"; exit 1; }
	@$(RUN) sync --check

lint-types: $(VENV)/.dev
	@$(BIN)/mypy

lint-workflows: $(VENV)/.dev
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/actionlint -oneline
	@$(BIN)/zizmor --offline --no-progress --quiet --strict-collection --persona pedantic --config .github/zizmor.yml .github

lint-schemas: $(VENV)/.dev
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema custom.github-workflows-require-timeout .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions .github/actions/*/action.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yml

# Locks and data hold digests and figures by the thousand; a line that is no secret says `pragma: allowlist secret`.
SCANNED := -- ':!requirements/*.txt' ':!data/raw' ':!machinery/examples/*/data' ':!*.png'
NO_GUESSES := --disable-plugin HexHighEntropyString --disable-plugin Base64HighEntropyString --disable-plugin KeywordDetector
secrets: $(VENV)/.dev ## look for keys, tokens and passwords in the files that git knows
	@git ls-files -z $(SCANNED) | xargs -0 $(BIN)/detect-secrets-hook $(NO_GUESSES)

audit: $(VENV)/.dev ## look for advisories on the locked packages; says so where no source of them answers
	@$(RUN) gitflow audit

format: $(VENV)/.dev ## format the Python files
	@$(BIN)/isort --quiet $(PYTHON_FILES)
	@$(BIN)/black --quiet $(PYTHON_FILES)

fast-tests: $(VENV)/.dev ## the project's tests
	@$(BIN)/pytest

test-all: $(VENV)/.dev ## the tests on every supported Python
	@$(BIN)/tox run -e "$$($(RUN) pythons --tox)" --skip-missing-interpreters

protect: $(VENV)/.base ## say what an administrator may turn on: rulesets, environments (APPLY=1 does it, GITHUB_TOKEN)
	@$(RUN) gitflow protect $(if $(APPLY),--apply)

# Run in requirements/, where Dependabot runs it; the header of each lock names the options, for it takes them from there.
OPTIONS := --universal --python-version 3.11
COMPILE := cd requirements && $(abspath $(BIN))/uv pip compile --quiet $(OPTIONS) --generate-hashes --custom-compile-command "make lock \# $(OPTIONS)"
lock: $(VENV)/.base ## compile the lock files from setup.py and the machinery's own requirements
	@$(RUN) requirements
	@$(COMPILE) dev.in -o dev.txt
	@$(COMPILE) light.in -c dev.txt -o light.txt --upgrade-package uv --upgrade-package setuptools
	@rm -f requirements/bootstrap.txt
	@for lock in base serve serve-skops serve-pyfunc; do \
		($(COMPILE) $$lock.in -c dev.txt -o $$lock.txt) || exit 1; done

update: $(VENV)/.base ## bring a later machinery: its wheel, and the files that it owns (WHEEL=FILE, TO=VERSION)
	@$(RUN) update $(if $(WHEEL),--wheel "$(WHEEL)") $(if $(TO),--to $(TO))

sync: $(VENV)/.base ## write the files that the machinery owns as it has them; an edited one is merged
	@$(RUN) sync

ui: $(VENV)/.base ## MLflow's own page on the store
	@$(RUN) ui

deploy-realtime-model: $(VENV)/.dev ## answer for the champion on port 8080 until Ctrl-C (NAME=iris for another use case)
	@$(RUN) serve $(NAME)

score-realtime-model: $(VENV)/.dev ## send rows of a file to it (INPUT=rows.csv)
	@$(if $(INPUT),$(RUN) client $(NAME) --input "$(INPUT)",echo "name a file of rows: make score-realtime-model INPUT=rows.csv"; exit 2)

raw-data interim-data processed-data: $(VENV)/.base ## one step of the data stage (NAME=iris for another use case)
	@$(RUN) data $(@:-data=) $(NAME)

# What only Spark needs; its lock lies in the machinery.
$(VENV)/.spark: $(VENV)/.base
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes \
		-r "$$($(BIN)/python -c 'from importlib.resources import files; print(files("mlops.spark") / "requirements.txt")')"
	@touch $@

spark: $(VENV)/.spark ## add Spark to .venv, for `mlops score --engine spark`; it needs Java 17

# DVC has an environment of its own, for it pins packages that the lock has in other versions.
$(VENV)/.dvc: $(VENV)/.base
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/dvc
	@$(BIN)/uv pip install --quiet --python $(VENV)/dvc --no-deps --require-hashes \
		-r "$$($(BIN)/python -c 'from importlib.resources import files; print(files("mlops.dvc") / "requirements.txt")')"
	@touch $@

dvc: $(VENV)/.dvc ## add DVC, which holds raw data too large for git: `mlops save`, `mlops data restore`

restore-data: $(VENV)/.dvc ## bring the raw data that git holds pointers of, as the commit has them
	@$(RUN) data restore

spark-package: $(VENV)/.base ## code and configuration for spark-submit, in output/spark
	@$(RUN) spark-package

lab jupyter: $(VENV)/.dev ## JupyterLab with the project's store and exports at each save; git learns to read notebooks
	@$(RUN) notebooks setup
	@$(RUN) notebooks lab

notebooks: $(VENV)/.dev ## the notebooks: rules checked, then each run on a fresh kernel
	@$(RUN) notebooks check
	@$(RUN) notebooks run

html: docs

docs: $(VENV)/.dev ## build the project's documentation with the card of each champion, warnings are errors
	@$(RUN) card --all
	@$(BIN)/sphinx-build -q -W -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean: ## remove what the commands made, not the store
	@rm -rf build dist .tox .pytest_cache .mypy_cache .hypothesis docs/_build output
