# Targets for those who work on the machinery: its lint, tests and documentation come on top of the project's.
.PHONY: lint-machinery-style lint-machinery-types format-machinery test-machinery test-servers coverage test-all-machinery test-workflows benchmark-workflows drift drill wheel release-wheel docs-machinery lock-dvc lock-workbench

DOCS_TITLE := MLOps template
DOCS_EXTENSIONS := myst_parser,sphinx.ext.autodoc,sphinx.ext.napoleon

EXAMPLES := $(notdir $(wildcard machinery/examples/*))
SPACE := $(subst ,, )

CHECKS += lint-machinery-style lint-machinery-types
format: format-machinery
tests: test-machinery
docs: docs-machinery

lint-machinery-style: $(VENV)/.dev
	@$(BIN)/flake8 --config tox.ini --extend-exclude 'machinery/examples/*/notebooks' machinery
	@$(BIN)/black --check --quiet --extend-exclude '/examples/.*/notebooks/' machinery || { echo "black would change files: make format"; exit 1; }
	@$(BIN)/isort --check-only --quiet --settings-path machinery/pyproject.toml --skip-glob '*/examples/*' machinery || { echo "isort would sort imports: make format"; exit 1; }
	@# A use case's files are a project's, which sorts and checks them by its own settings.
	@$(BIN)/isort --check-only --quiet --settings-path . --skip-glob '*/notebooks/*' machinery/examples || { echo "isort would sort imports: make format"; exit 1; }
	@cd machinery && output=$$($(abspath $(BIN))/lint-imports --no-logo 2>&1) || { echo "$$output"; exit 1; }

lint-machinery-types: $(VENV)/.dev
	@# A cache of its own: under other options, each of the two runs would find the other's stale.
	@MYPY_CACHE_DIR="$${MYPY_CACHE_DIR:-.mypy_cache}/strict" $(BIN)/mypy --config-file machinery/pyproject.toml
	@MYPY_CACHE_DIR="$${MYPY_CACHE_DIR:-.mypy_cache}/examples" MYPYPATH="$(subst $(SPACE),:,$(EXAMPLES:%=machinery/examples/%/src))" $(BIN)/mypy --namespace-packages $(EXAMPLES:%=-p use_cases.%)

format-machinery: $(VENV)/.dev
	@$(BIN)/isort --quiet --settings-path machinery/pyproject.toml --skip-glob '*/examples/*' machinery
	@$(BIN)/isort --quiet --settings-path . --skip-glob '*/notebooks/*' machinery/examples
	@$(BIN)/black --quiet --extend-exclude '/examples/.*/notebooks/' machinery

test-machinery: fast-tests
	@$(BIN)/pytest machinery/tests -n auto --dist loadscope

test-servers: $(VENV)/.dev ## the machinery's tests that start servers and other processes, kill them, build wheels or environments
	@$(BIN)/pytest machinery/tests -n auto --dist loadscope -m servers

coverage: $(VENV)/.dev ## which lines and branches of the machinery the tests reach; fails below the floor
	@$(BIN)/pytest machinery/tests -n auto --dist loadscope -m "not docker and not workflows and not services and not spark and not long" --cov --cov-config machinery/pyproject.toml --cov-report term:skip-covered

test-all-machinery: $(VENV)/.dev ## the machinery's fast tests on every supported Python, against the built wheel
	@$(BIN)/tox run -c machinery/tox.ini -e "$$($(RUN) pythons --tox)" --skip-missing-interpreters

test-workflows: $(VENV)/.dev ## the GitHub workflows, run offline
	@$(BIN)/pytest machinery/tests/workflows -m workflows

benchmark-workflows: $(VENV)/.dev ## billed minutes of each event; seconds per job of a pull request, run offline
	@cd machinery && $(abspath $(BIN))/python -m benchmarks.workflows

drift: $(VENV)/.dev ## see a drift report: serve, send normal and drifted rows, check (after make run; NAME=iris for another)
	@PYTHONPATH=machinery $(BIN)/python -m benchmarks.drift $(NAME)

drill: $(VENV)/.dev ## a deployment drill with Docker: crash, hang, taken port, killed deployer; requests lost and the log's line
	@PYTHONPATH=machinery $(BIN)/python -m benchmarks.drill

wheel: $(VENV)/.base ## the machinery's wheel of this commit, in machinery/dist
	@$(BIN)/python machinery/make_wheel.py

WORKBENCH_LOCK := machinery/src/mlops/workbench/requirements.txt
lock-workbench: $(VENV)/.base ## compile what the workbench without Docker needs on top of requirements/dev.txt, into the package
	@$(BIN)/python machinery/make_workbench_lock.py requirements/dev.txt $(WORKBENCH_LOCK)

lock-dvc: $(VENV)/.base ## compile what DVC needs, in an environment of its own, into the package
	@$(BIN)/python -c 'from pathlib import Path; from mlops.project.requirements import of_extra; print(*of_extra(Path("machinery"), "dvc"))' | $(BIN)/uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock-dvc" -o machinery/src/mlops/dvc/requirements.txt

release-wheel: wheel
	@gh release create $(TAG) machinery/dist/*.whl --verify-tag --generate-notes

docs-machinery: $(VENV)/.dev
	@$(BIN)/sphinx-build -q -W -b html -c docs -D project="$(DOCS_TITLE)" -D html_title="$(DOCS_TITLE)" -D extensions=$(DOCS_EXTENSIONS) machinery/docs machinery/docs/_build/html
