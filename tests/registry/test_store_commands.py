"""`mlops store` as a person and a workflow call it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from checkouts import git
from click.testing import Result
from typer.testing import CliRunner

from mlops.cli import app
from mlops.errors import StoreUnreachable, UserError

WRITE = [
    sys.executable,
    "-c",
    "import pathlib; p = pathlib.Path('models/x'); p.parent.mkdir(exist_ok=True); p.write_text('1')",
]
Store = Callable[..., Result]


@pytest.fixture
def root(environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of a project with a bare origin."""
    git(tmp_path, "init", "--quiet", "--bare", "origin.git")
    git(tmp_path, "clone", "--quiet", "origin.git", "project")
    (tmp_path / "project" / "config").mkdir()
    settings = "name: demo\ndefault_use_case: demo\n"
    (tmp_path / "project" / "config" / "project.yaml").write_text(settings, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def mlops(root: Path) -> Store:
    return lambda *arguments: CliRunner().invoke(app, ["store", *arguments])


def test_run_pushes_what_the_command_leaves_and_status_tells(mlops: Store, root: Path) -> None:
    assert json.loads(mlops("pull", "--json").stdout)["commit"] is None
    assert mlops("run", "--", *WRITE).exit_code == 0
    told = json.loads(mlops("status", "--json").stdout)
    assert told["here"] == told["origin"] and (told["files"], told["size"]) == (1, 1)
    assert "in step" in mlops("status").stdout
    assert json.loads(mlops("pull", "--json").stdout)["commit"] == told["origin"]


def test_run_ends_with_the_code_of_its_command(mlops: Store, root: Path) -> None:
    assert mlops("run", "--", sys.executable, "-c", "raise SystemExit(7)").exit_code == 7
    assert git(root, "ls-remote", "origin") == ""
    assert mlops("run", "--keep", "1", "--", *WRITE[:2], WRITE[2] + "; raise SystemExit(1)").exit_code == 1
    assert "refs/mlops/store" in git(root, "ls-remote", "origin")
    assert isinstance(mlops("run").exception, UserError)
    assert "no command 'nothing-of-this-name'" in str(mlops("run", "--", "nothing-of-this-name").exception)


def test_push_refuses_when_somebody_was_faster(mlops: Store, root: Path) -> None:
    mlops("run", "--", *WRITE)
    git(root, "push", "--quiet", "origin", "+refs/mlops/store:refs/heads/keep")
    other = git(root, "commit-tree", git(root, "rev-parse", "refs/mlops/store^{tree}"), "-m", "another job")
    git(root, "push", "--quiet", "origin", f"+{other}:refs/mlops/store")
    (root / "models" / "x").write_text("2")
    refused = mlops("push")
    assert isinstance(refused.exception, StoreUnreachable) and "has changed since" in str(refused.exception)
    mlops("pull")
    (root / "models" / "x").write_text("2")
    assert mlops("push", "--json").exit_code == 0


def test_with_a_tracking_server_nothing_is_read_or_written(mlops: Store, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(root, "remote", "remove", "origin")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:secret@mlflow.example.org")
    for command in (["pull"], ["push"], ["status"], ["run", "--", *WRITE]):
        result = mlops(*command)
        assert result.exit_code == 0, result.exception
        assert "secret" not in result.stderr
    assert (root / "models" / "x").exists()
    assert mlops("run", "--", sys.executable, "-c", "raise SystemExit(5)").exit_code == 5
