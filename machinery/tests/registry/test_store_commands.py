"""`mlops store` as a person and a workflow call it."""

from __future__ import annotations

import json
import subprocess
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
REGISTER = [
    *WRITE[:2],
    f"{WRITE[2]}; import sqlite3; c = sqlite3.connect('models/mlflow.db'); "
    "c.execute('CREATE TABLE IF NOT EXISTS runs (run_uuid, start_time)'); "
    "c.execute('CREATE TABLE IF NOT EXISTS alembic_version (version_num)'); "
    "c.execute('INSERT INTO runs VALUES (1, 0)'); c.commit()",
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
    status = json.loads(mlops("status", "--json").stdout)
    assert status["here"] == status["origin"] and (status["files"], status["size"]) == (1, 1)
    assert "in step" in mlops("status").stdout
    assert json.loads(mlops("pull", "--json").stdout)["commit"] == status["origin"]


def test_run_ends_with_the_code_of_its_command(mlops: Store, root: Path) -> None:
    assert mlops("run", "--", sys.executable, "-c", "raise SystemExit(7)").exit_code == 7
    assert git(root, "ls-remote", "origin") == ""
    assert mlops("run", "--keep", "1", "--", *WRITE[:2], WRITE[2] + "; raise SystemExit(1)").exit_code == 1
    assert "refs/mlops/store" in git(root, "ls-remote", "origin")
    assert isinstance(mlops("run").exception, UserError)
    assert "'/etc/passwd' cannot be run" in str(mlops("run", "--", "/etc/passwd").exception)
    assert "no command 'nothing-of-this-name'" in str(mlops("run", "--", "nothing-of-this-name").exception)


def test_push_refuses_when_somebody_was_faster(mlops: Store, root: Path) -> None:
    mlops("run", "--", *REGISTER)
    git(root, "push", "--quiet", "origin", "+refs/mlops/store:refs/heads/keep")
    other = git(root, "commit-tree", git(root, "rev-parse", "refs/mlops/store^{tree}"), "-m", "another job")
    git(root, "push", "--quiet", "origin", f"+{other}:refs/mlops/store")
    (root / "models" / "x").write_text("2")
    refused = mlops("push")
    assert isinstance(refused.exception, StoreUnreachable) and "has changed since" in str(refused.exception)
    mlops("pull")
    (root / "models" / "x").write_text("2")
    assert mlops("push", "--json").exit_code == 0


PRUNE = "import sqlite3; c = sqlite3.connect('models/mlflow.db'); c.execute('DELETE FROM runs'); c.commit()"


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (("rm", "-r", "models"), "models holds no store"),
        (("rm", "models/mlflow.db"), "models holds no store"),
        (("rm", "models/x"), "lacks 0 runs or versions, 0 tags or aliases and 1 files"),
        ((sys.executable, "-c", PRUNE), "lacks 1 runs or versions, 0 tags or aliases and 0 files"),
    ],
)
def test_push_does_not_remove_from_origin_what_is_gone_here(
    mlops: Store, root: Path, loss: tuple[str, ...], message: str
) -> None:
    mlops("run", "--", *REGISTER)
    before = git(root, "ls-remote", "origin")
    subprocess.run(loss, cwd=root, check=True)
    refused = mlops("push")
    assert isinstance(refused.exception, UserError) and message in str(refused.exception)
    assert git(root, "ls-remote", "origin") == before


def test_push_by_force_removes_what_is_gone_here(mlops: Store, root: Path) -> None:
    mlops("run", "--", *REGISTER)
    (root / "models" / "x").unlink()
    assert mlops("push", "--force").exit_code == 0
    assert git(root, "ls-tree", "--name-only", "refs/mlops/store") == "mlflow.db"
    (root / "models" / "mlflow.db").unlink()
    assert isinstance(mlops("push", "--force").exception, UserError)


def test_with_a_tracking_server_nothing_is_read_or_written(mlops: Store, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(root, "remote", "remove", "origin")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:secret@mlflow.example.org")  # pragma: allowlist secret
    for command in (["pull"], ["push"], ["status"], ["run", "--", *WRITE]):
        result = mlops(*command)
        assert result.exit_code == 0, result.exception
        assert "secret" not in result.stderr
    assert (root / "models" / "x").exists()
    assert mlops("run", "--", sys.executable, "-c", "raise SystemExit(5)").exit_code == 5


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A run for a push; returns the file that its later steps take variables from."""
    for name, value in {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_ACTOR": "ada"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GITHUB_ENV", str(tmp_path / "env"))
    return tmp_path / "env"


def test_a_run_without_the_server_reads_no_other_store(
    mlops: Store, root: Path, pushed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mlops("run", "--", *WRITE).exit_code == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:secret@mlflow.example.org")  # pragma: allowlist secret
    assert mlops("run", "--", *WRITE[:2], "pass").exit_code == 0
    (mark,) = [line for line in git(root, "ls-remote", "origin").splitlines() if "refs/mlops/server" in line]
    git(root, "fetch", "--quiet", "origin", "refs/mlops/server")
    assert "example.org" not in git(root, "cat-file", "-p", "FETCH_HEAD") and git(root, "ls-tree", "FETCH_HEAD") == ""

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    (root / "models" / "x").unlink()
    pulled = mlops("pull", "--json")
    assert json.loads(pulled.stdout)["server"] == "unknown" and not (root / "models" / "x").exists()
    assert pushed.read_text() == "MLOPS_STORE_UNREADABLE=true\n"
    assert "set MLFLOW_TRACKING_URI" in mlops("pull").stderr


def test_the_mark_goes_when_the_store_comes_back_into_the_repository(
    mlops: Store, root: Path, pushed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    mlops("run", "--", *WRITE[:2], "pass")
    assert "refs/mlops/server" in git(root, "ls-remote", "origin")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert mlops("run", "--", *WRITE).exit_code == 0
    assert "refs/mlops/server" not in git(root, "ls-remote", "origin")
    assert json.loads(mlops("pull", "--json").stdout)["commit"] and not pushed.exists()


def test_a_laptop_sets_no_mark(mlops: Store, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    assert mlops("run", "--", *WRITE[:2], "pass").exit_code == 0
    assert "refs/mlops/server" not in git(root, "ls-remote", "origin")


def test_the_report_then_says_that_the_champion_is_not_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops import tracking_uri

    tracking_uri.refuse_untold()
    monkeypatch.setenv(tracking_uri.UNTOLD, "true")
    with pytest.raises(StoreUnreachable, match="runs for forks get no variables"):
        tracking_uri.refuse_untold()
