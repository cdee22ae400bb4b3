"""The first pull request of a new project whose use case `mlops add` wrote, with nothing edited, is green at the first try."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_github import FakeGitHub
from offline import Project, git
from scenes import published, pull_request

from benchmarks.day_one import TABLES
from mlops.project import answers, new

pytestmark = [pytest.mark.workflows, pytest.mark.long, pytest.mark.timeout(3600)]


@pytest.fixture
def empty(tmp_path: Path, github: FakeGitHub) -> Project:
    """A new project without a use case, pushed."""
    new.create(tmp_path / "project", answers.Answers(name="day-one-models", use_case="none"), new.own_wheel())
    return published(tmp_path, github)


@pytest.mark.parametrize("name", ["diabetes", "wine", "churn", "sales"])
def test_the_first_pull_request_with_an_added_use_case_is_green(empty: Project, name: str, tmp_path: Path) -> None:
    rows, options = TABLES[name]()
    rows.to_csv(tmp_path / f"{name}.csv", index=False)
    git(empty.root, "checkout", "--quiet", "-b", f"feature/{name}")
    added = empty.mlops("add", name, "--from", str(tmp_path / f"{name}.csv"), *options)
    assert added.returncode == 0, added.stderr
    empty.commit(f"Add {name}", f"feature/{name}", "HEAD", {})
    run = pull_request(empty, f"feature/{name}", "dev")
    assert run.names("success") == {"plan", "checks", "report", "gate"}, run.log[-30000:]
    assert f"{name}: ✅ passes the gate" in run.summary
