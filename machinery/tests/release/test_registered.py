"""A store that somebody with the right to push has overwritten is not released: what the register job wrote is known."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkouts import git
from command import Done, mlops
from fake_github import FakeGitHub, serve

from mlops import tracking
from mlops.config import Project, load_project
from mlops.errors import UserError
from mlops.registry import releases, versions
from mlops.release import manifest, publish

from .samples import model


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with serve() as fake:
        yield fake


@pytest.fixture
def trained(registered: Project, github: FakeGitHub, tmp_path: Path) -> Project:
    """A run of the workflow on main has registered iris, and its store lies in origin; the commit is tagged."""
    root = registered.root
    for file in (root / "config").glob("*.yaml"):
        if file.stem not in ("project", "iris"):
            file.unlink()
    (root / ".gitignore").write_text("models/\noutput/\n.models.lock\n")
    git(root, "init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    git(root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"ref": "refs/heads/main"}))
    os.environ |= {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": "ada/demo",
        "GITHUB_TOKEN": "workflow-token",
    }
    done = mlops("gitflow", "register", root / "none", "--alias", "champion")
    assert done.code == 0, done.err
    git(root, "tag", "v0.1.0")
    assert mlops("store", "push").code == 0
    return load_project(root)


def plan() -> Done:
    return mlops("release", "plan", "v0.1.0", "--json")


def overwritten(project: Project, tmp_path: Path) -> None:
    """Somebody changes the store and pushes it over the one in origin; the next job has that."""
    assert mlops("store", "push", "--force").code == 0
    shutil.rmtree(project.store)
    git(project.root, "update-ref", "-d", "refs/mlops/store")
    assert mlops("store", "pull").code == 0


def test_what_the_register_job_wrote_is_released(trained: Project, github: FakeGitHub) -> None:
    (status,) = github.statuses
    assert (status["sha"], status["creator"]["login"]) == (git(trained.root, "rev-parse", "HEAD"), "github-actions[bot]")
    assert plan().value["versions"] == {"iris": "1.0.0"}


def test_a_store_whose_record_names_another_version_is_refused(trained: Project, tmp_path: Path) -> None:
    assert mlops("run", "iris", "--set", "parameters.regularisation=0.5").code == 0
    with tracking.open_store(trained) as client:
        other = versions.all_of(client, "iris")[0].number
    assert other != "1.0.0"
    releases.write(trained, {"iris": other})
    overwritten(trained, tmp_path)
    assert "refs/mlops/store is not what the workflow registered" in plan().error
    assert "refs/mlops/store is not what" in mlops("release", "image", "iris", "--tag", "v0.1.0").error


def test_a_store_whose_version_has_other_files_is_refused(trained: Project, tmp_path: Path) -> None:
    with tracking.open_store(trained) as client:
        (version,) = versions.all_of(client, "iris")
        client.set_model_version_tag("iris", version.version, "manifest_digest", "0" * 64)
    overwritten(trained, tmp_path)
    assert "refs/mlops/store is not what the workflow registered" in plan().error


def test_a_status_by_anybody_else_is_none(trained: Project, github: FakeGitHub, tmp_path: Path) -> None:
    """Who may push may post a status too, in their own name; it neither hides the workflow's nor stands for it."""
    from mlops.gitflow import registered

    sha = git(trained.root, "rev-parse", "HEAD")
    genuine = github.statuses.pop()
    with tracking.open_store(trained) as client:
        (version,) = versions.all_of(client, "iris")
        client.set_model_version_tag("iris", version.version, "manifest_digest", "0" * 64)
    for token in ("admin-token", "app-token"):
        os.environ["GITHUB_TOKEN"] = token
        registered.post(trained, sha)
    os.environ["GITHUB_TOKEN"] = "workflow-token"
    assert [row["creator"]["login"] for row in github.statuses] == ["ada-app[bot]", "ada"]
    assert "has no status mlops/registered by github-actions[bot]" in plan().error
    github.statuses.append(genuine)
    assert "refs/mlops/store is not what" in plan().error


def test_where_github_does_not_answer_or_there_is_a_server_a_notice_says_so(
    trained: Project, github: FakeGitHub, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlops.gitflow import registered

    sha = git(trained.root, "rev-parse", "HEAD")
    github.outages = 1
    done = mlops("gitflow", "register", trained.root / "none", "--alias", "champion")
    assert (done.code, "its status mlops/registered is not posted" in done.err) == (0, True)
    os.environ["GITHUB_API_URL"] = "http://127.0.0.1:9"
    registered.verify(trained, sha)
    assert "the store is not compared with what was registered" in capsys.readouterr().err
    os.environ["MLFLOW_TRACKING_URI"] = "https://mlflow.example.org"
    server = load_project(trained.root)
    registered.verify(server, sha)
    assert "what it holds is not compared" in capsys.readouterr().err
    registered.post(server, sha)
    assert "no status is posted" in capsys.readouterr().err


def test_a_release_that_names_another_version_than_was_recorded_is_refused() -> None:
    content = {"tag": "v1.0.0", "version": "1.0.0", "commit": "a" * 40, "environment": "production"}
    release = manifest.Release.model_validate({**content, "models": {"iris": model()}})
    publish.refuse_other_versions(release, {"iris": release.models["iris"].number})
    with pytest.raises(UserError, match="the published file was changed"):
        publish.refuse_other_versions(release, {"iris": "9.9.9"})
