"""A thin project on GitHub: made by `mlops new`, or a copy of this tree made thin; the machinery that runs is its wheel's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import offline
import pytest
from checkouts import commit
from fake_github import FakeGitHub
from offline import Project, git
from scenes import published, pull_request, push

from mlops.project import answers, new

pytestmark = [pytest.mark.workflows, pytest.mark.timeout(1800)]


def created(root: Path) -> None:
    """A new project with the defaults."""
    new.create(root, answers.Answers(name="thin-models"), new.own_wheel())


def adopted(root: Path) -> None:
    """What *Use this template* copies, in its first commit, made thin by the command."""
    root.mkdir()
    new.copy(offline.TREE, root)
    git(root, "init", "--quiet")
    commit(root, "first")
    command = [sys.executable, "-m", "mlops", "--project", str(root), "adopt", "--defaults"]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run(["rm", "-rf", str(root / ".git")], check=True)
    # One use case is enough to see the workflows run.
    for path in [*root.glob("**/*ridership*"), *root.glob("notebooks/*train_and_compare*")]:
        subprocess.run(["rm", "-rf", str(path)], check=True)
    file = root / "config" / "project.yaml"
    file.write_text(file.read_text().replace("default_use_case: ridership", "default_use_case: iris"))


@pytest.fixture(scope="module", params=[created, adopted], ids=["new", "adopt"])
def thin(request, tmp_path_factory: pytest.TempPathFactory, github: FakeGitHub) -> Project:
    """The project, pushed."""
    folder = tmp_path_factory.mktemp("thin")
    request.param(folder / "project")
    return published(folder, github)


def test_1_its_first_pull_request_is_green(thin: Project) -> None:
    text = git(thin.root, "show", "main:config/iris.yaml").replace("regularisation: 1.0", "regularisation: 0.8")
    thin.commit("Less freedom", "feature/first", "origin/main", {"config/iris.yaml": text})
    run = pull_request(thin, "feature/first", "dev")
    assert run.names("success") == {"plan", "checks", "report", "gate"}, run.log[-30000:]
    assert "iris: ✅ passes the gate" in run.summary
    assert "/machinery/src/mlops" not in run.log


def test_2_its_merge_registers_a_challenger(thin: Project) -> None:
    thin.merge("feature/first", "dev")
    run = push(thin, "dev")
    assert run.names("success") == {"plan", "train", "test", "register"}, run.log[-30000:]
    assert "| iris | 1.0.0 | ✅ registered as version 1.0.0" in run.summary
