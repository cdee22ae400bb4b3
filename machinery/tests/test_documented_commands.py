"""What README and pages show is typed, page after page, in one copy of this repository, and prints what they show."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from checkouts import ROOT, commit, git
from churn import customers
from documentation import PAGES, blocks
from test_tutorial import IDENTITY

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

# Scripts that are not typed here, by what they begin with, and why. `test_documentation` holds them to the command line.
NOT_HERE = {
    "make test": "the suite itself",
    "make ui": "serves until it is stopped: tests/registry",
    "make workbench": "starts servers on fixed ports: tests/workbench",
    "make down": "the same",
    "make update": "asks GitHub: tests/project/test_updates.py",
    "make drift": "minutes: tests/monitoring",
    "mlops serve": "serves until it is stopped: tests/serving",
    "MLOPS_SERVE_PREDICTION_LOG=": "the same",
    "OTEL_": "the same",
    "mlops monitor": "needs what the server has logged: tests/monitoring",
    "python - <<'END'": "asks the server: tests/serving",
    "mlops deploy": "needs Docker or a cluster: tests/deploy",
    "curl": "asks what was deployed: tests/deploy",
    "mlops rollback": "goes back from a deployment: tests/deploy",
    "mlops store run": "acts on the remote: tests/registry",
    "mlops image": "needs Docker: tests/deploy",
    "docker": "the same",
    "mlops gitflow": "acts on branches and the remote: tests/gitflow, tests/workflows",
    "git commit": "between two of these",
    "mlops save": "commits what a person has changed: tests/data/test_large.py",
    "git checkout OLD": "a commit of the reader's: tests/data/test_large.py",
    "mlops deps": "asks a package index: tests/project/test_deps.py",
    "mlops score churn in/": "needs Java: tests/scoring, marker spark",
    "mlops score churn s3://": "needs a bucket: tests/scoring/test_object_storage.py",
    "spark-submit": "the same",
    "mlops run messages --set parameters.spark": "needs Java: tests/serving/test_spark_ml.py",
    "uvx": "needs a wheel: tests/project/test_new.py and test_tutorial.py",
    "mlflow server": "serves until it is stopped",
    "MLFLOW_TRACKING_URI": "needs a server: tests/registry, marker services",
    "cd machinery": "minutes, by hand",
}
# A project's own README is written for the project that it lies in; the tutorial is a story of its own (test_tutorial.py).
ORDER = [page for page in PAGES if "skeleton" not in page and not page.endswith("tutorial.md")]
# What is printed by no command of its page: the start of each such block.
NO_OUTPUT = {"config/ data/ notebooks/", '{"tag"', "error: src/use_cases/flowers"}  # the last: test_own_code.py


def lines(page: str) -> list[str]:
    """The commands of a page that are typed here, a line or a here-document each."""
    scripts = [script for block in blocks(page) for script in block.scripts]
    whole = [line for script in scripts for line in ([script] if "<<'" in script else script.splitlines())]
    return [line for line in whole if line.strip()]


def typed(page: str) -> list[str]:
    return [line for line in lines(page) if not line.startswith(tuple(NOT_HERE))]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree as git would hold it, on branch main with a remote, set up, with a table of customers."""
    root = tmp_path_factory.mktemp("documented") / "project"
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    rows = customers(1000).rename(columns={"left": "churned"})
    rows.to_csv(root / "churn.csv", index=False)
    rows.drop(columns="churned").head(5).to_csv(root / "new.csv", index=False)
    (root / "in").mkdir()
    rows.drop(columns="churned").to_parquet(root / "in" / "2026-11.parquet")
    git(root, "init", "--quiet", "--initial-branch=main")
    commit(root, "First commit")
    git(root.parent, "clone", "--quiet", "--bare", str(root), "origin.git")
    git(root, "remote", "add", "origin", str(root.parent / "origin.git"))
    git(root, "fetch", "--quiet")
    git(root, "branch", "--quiet", "--set-upstream-to=origin/main")
    for script in ("make setup", ".venv/bin/mlops run iris"):
        done = run(script, root)
        assert done.returncode == 0, done.stderr
    return root


def run(script: str, root: Path) -> subprocess.CompletedProcess[str]:
    """Type a script into bash in a folder; nothing of a developer's settings is seen."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "MLOPS_", "GITHUB_", "VIRTUAL_"))
    }
    places = {"PATH": f"{root / '.venv/bin'}:{kept['PATH']}", "GIT_CONFIG_GLOBAL": os.devnull}
    arguments = ["bash", "-euo", "pipefail", "-c", script]
    return subprocess.run(arguments, cwd=root, env=kept | IDENTITY | places, capture_output=True, text=True, timeout=600)


def missing(shown: list[str], printed: str) -> list[str]:
    """The shown lines that were not printed, in their order; `…` stands for any text, blanks count as one."""
    rest, gone = " ".join(printed.split()), []
    for line in shown:
        pattern = ".*?".join(map(re.escape, " ".join(line.split()).split("…")))
        found = re.search(pattern, rest)
        rest = rest[found.end() :] if found else rest
        gone += [] if found else [line]
    return gone


@pytest.fixture(scope="module")
def printed() -> dict[str, tuple[int, str]]:
    """What was typed so far → its exit code and what it printed; what a second page shows is not typed again."""
    return {}


@pytest.mark.parametrize("page", [page for page in ORDER if typed(page)])
def test_commands_of_the_page_end_well_and_print_what_it_shows(
    page: str, checkout: Path, printed: dict[str, tuple[int, str]]
) -> None:
    shown, failed = "", {}
    for block in blocks(page):
        refused = any(line.startswith("error: ") for line in block.output)
        for line in [line for line in typed(page) if any(line in script for script in block.scripts)]:
            text = line.partition("  #")[0].strip()
            if text not in printed:
                done = run(line, checkout)
                printed[text] = done.returncode, done.stdout + done.stderr
            code, output = printed[text]
            shown += output
            if (code != 0) is not refused:
                failed[line] = output[-2000:]
        if not block.body.startswith(tuple(NO_OUTPUT)):
            assert missing(block.output, shown) == [], shown
    assert failed == {}


def test_every_reason_not_to_type_a_command_is_needed() -> None:
    left = [line for page in ORDER for line in lines(page) if line not in typed(page)]
    assert {text for text in NOT_HERE if not any(line.startswith(text) for line in left)} == set()
    assert len([line for page in ORDER for line in typed(page)]) >= 25
