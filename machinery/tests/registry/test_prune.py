"""What the store can do without, on a real store with real runs."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mlops import tracking
from mlops.config import Project
from mlops.registry import prune, releases, runs

DAY = 86_400_000


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with one use case, no server and nothing in its store."""
    for name in list(os.environ):
        if name.startswith(("GITHUB_", "MLFLOW_", "MLOPS_")):
            monkeypatch.delenv(name)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "demo.yaml").touch()
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return Project(root=tmp_path, name="demo", default_use_case="demo")


@pytest.fixture
def version(project: Project) -> Callable[..., str]:
    """Make a version with a run that is `age` days old and return its number."""

    def make(age: float, alias: str = "", number: str = "", branch: str = "") -> str:
        with tracking.open_store(project) as client:
            experiment = runs.experiment(client, project, "demo", "a demo")
            run_id = client.create_run(experiment).info.run_id
            client.log_text(run_id, "x" * 1000, "artifact.txt")
            model = client.create_logged_model(experiment, name="demo", source_run_id=run_id)
            runs.make_registered_model(client, "demo", "a demo")
            tags = {"number": number, "model_id": model.model_id, "key": number}
            created = client.create_model_version("demo", f"models:/{model.model_id}", run_id, tags, model_id=model.model_id)
            if alias:
                client.set_registered_model_alias("demo", alias, created.version)
            if branch:
                records = runs.experiment(client, project, releases.EXPERIMENT, "records")
                record = {"git_commit": number, "git_branch": branch, "versions": json.dumps({"demo": number})}
                client.create_run(records, tags=record)
        with closing(sqlite3.connect(project.store / tracking.DATABASE)) as connection, connection:
            changed = "UPDATE runs SET start_time = start_time - ? WHERE run_uuid = ?"
            connection.execute(changed, (int(age * DAY), run_id))
        return run_id

    return make


def test_only_what_no_alias_no_release_and_no_recent_run_needs_goes(project: Project, version: Callable[..., str]) -> None:
    kept = {
        version(400, alias="champion", number="1.0.0"),
        version(300, number="1.0.1", branch="main"),
        version(200, number="1.0.2", branch="release/1.0.0"),
        version(5, number="1.0.5"),
    }
    gone = {version(100, number="1.0.3", branch="dev"), version(90, number="1.0.4")}
    newest = version(80, number="1.0.6")
    done = prune.prune(project, recent_runs=2, recent_days=30)
    assert (done.runs, done.versions) == (2, 2) and done.size > 0
    with tracking.open_store(project) as client:
        left = {item.run_id for item in client.search_model_versions("name = 'demo'")}
    assert left == kept | {newest}
    files = {path.parent.parent.name for path in project.store.rglob("artifact.txt")}
    assert files == kept | {newest} and not files & gone


def test_a_small_or_young_store_is_left_alone(project: Project, version: Callable[..., str]) -> None:
    assert prune.prune(project) == prune.Pruned(0, 0, 0)
    version(1, number="1.0.0")
    version(2, number="1.0.1")
    assert prune.prune(project, recent_runs=1, recent_days=30) == prune.Pruned(0, 0, 0)
    assert prune.prune(project, recent_runs=5, recent_days=0) == prune.Pruned(0, 0, 0)


def test_a_tracking_server_is_never_pruned(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert prune.prune(project, recent_runs=0, recent_days=0) == prune.Pruned(0, 0, 0)
