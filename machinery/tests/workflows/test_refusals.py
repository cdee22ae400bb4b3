"""What must not pass, planted in a repository and run: each fails, for its own reason."""

from __future__ import annotations

import events
import offline
import pytest
from fake_github import FakeGitHub
from offline import Project, Run, git

pytestmark = [pytest.mark.workflows, pytest.mark.timeout(1800)]

ON_ONE_PYTHON = '''"""A test that one version of Python fails."""

import os


def test_version() -> None:
    assert os.environ["TOLD_PYTHON"] != "3.11"
'''


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, github: FakeGitHub) -> Project:
    """A repository with main and dev, tested on two versions of Python."""
    copy = offline.make(tmp_path_factory.mktemp("refusals"), github.url, pythons=("3.11", "3.12"))
    git(copy.root, "push", "--quiet", "origin", "main:dev")
    git(copy.root, "fetch", "--quiet", "origin")
    return copy


def pull_request(project: Project, head: str, base: str, job: str, owner: str = "ada", token: str = "workflow-token") -> Run:
    """Run one job, and what it needs, for a pull request whose head is checked out."""
    sha, base_sha = git(project.root, "rev-parse", "HEAD"), git(project.root, "rev-parse", f"origin/{base}")
    payload = events.pull_request(head, base, sha, base_sha, owner)
    project.forget_artifacts()
    return project.run("pull-request.yml", "pull_request", payload, "--job", job, token=token)


def with_version(version: str, changelog: str) -> dict[str, str]:
    """Return setup.py with another version, and a changelog."""
    from mlops.gitflow.versions import with_version as changed

    return {"setup.py": changed((offline.TREE / "setup.py").read_text(encoding="utf-8"), version), "CHANGELOG.md": changelog}


ENTRY = "# Changelog\n\n## [1.0.0] - 2026-11-21\n"
POLICY = [
    # head, base, owner, version, changelog, the reason ("" passes)
    ("feature/x", "main", "ada", "0.1.0", "", "feature/x may not go into main"),
    ("release/1.0.0", "main", "eve", "1.0.0", ENTRY, "a fork's branch may not go into main"),
    ("main", "dev", "eve", "0.1.0", "", "a fork's main may not go into dev"),
    ("patch-1", "dev", "eve", "0.1.0", "", ""),
    ("release/1.0.0", "main", "ada", "1.0.0", "", "CHANGELOG.md has no entry for 1.0.0"),
    ("release/1.0.0", "main", "ada", "0.9.0", ENTRY, "the branch says 1.0.0, setup.py says 0.9.0"),
    ("release/1.0.0", "main", "ada", "1.0.0", ENTRY, ""),
]


@pytest.mark.parametrize(("head", "base", "owner", "version", "changelog", "reason"), POLICY)
def test_the_policy_refuses_for_its_own_reason(
    project: Project, head: str, base: str, owner: str, version: str, changelog: str, reason: str
) -> None:
    project.commit("planted", "planted", "origin/main", {**with_version(version, changelog)})
    run = pull_request(project, head, base, "plan", owner)
    assert run.jobs["plan"] == ("failure" if reason else "success"), run.log[-3000:]
    assert reason in run.log


def test_a_syntax_error_fails_the_lint_job_in_its_first_pass(project: Project) -> None:
    project.commit("planted", "planted", "origin/main", {"src/use_cases/broken.py": "def broken(:\n"})
    run = pull_request(project, "feature/x", "dev", "checks")
    assert run.jobs["checks"] == "failure" and "E999" in run.log


def test_a_test_that_fails_on_one_python_fails_the_matrix_there_alone(project: Project) -> None:
    project.commit("planted", "planted", "origin/main", {"tests/test_one.py": ON_ONE_PYTHON})
    run = pull_request(project, "feature/x", "dev", "checks")
    assert run.jobs["checks"] == "failure", run.log[-3000:]
    ended = [line for line in run.log.splitlines() if "Main make --keep-going" in line and "[" in line.split("Main make")[1]]
    assert any("(3.11)" in line and "Failure" in line for line in ended), run.log[-6000:]
    assert any("(3.12)" in line and "Success" in line for line in ended), run.log[-6000:]


def test_an_action_that_is_pinned_to_another_commit_has_no_stand_in_and_fails_the_run(project: Project) -> None:
    file = ".github/workflows/pull-request.yml"
    text = (project.root / file).read_text(encoding="utf-8")
    pinned = next(action for action in offline.stand_ins() if action.startswith("actions/upload-artifact@"))
    other = f"actions/upload-artifact@{'0' * 40}"
    project.commit("planted", "planted", "origin/main", {file: text.replace(pinned, other)})
    run = pull_request(project, "feature/x", "dev", "checks")
    assert run.jobs["checks"] == "failure" and other.split("@")[1] in run.log


def test_a_fork_reads_its_report_in_the_summary_and_gets_no_comment(project: Project, github: FakeGitHub) -> None:
    text = (project.root / "config" / "iris.yaml").read_text(encoding="utf-8")
    changed = text.replace("regularisation: 1.0", "regularisation: 0.9")
    sha = project.commit("planted", "planted", "origin/dev", {"config/iris.yaml": changed})
    run = pull_request(project, "patch-1", "dev", "report", owner="eve", token="fork-token")
    assert run.jobs["report"] == "success" and "no champion yet" in run.summary, run.log[-3000:]
    github.add_pull("patch-1", "dev", sha, owner="eve")
    git(project.root, "checkout", "--quiet", "main")
    payload = events.workflow_run("patch-1", sha, owner="eve")
    comment = project.run("report-comment.yml", "workflow_run", payload, token="fork-token")
    assert comment.jobs == {"comment": "success"} and github.comments == []
    assert "the report stays in the summary" in comment.log


def test_a_fork_is_not_shown_the_repositorys_store_for_the_servers(project: Project) -> None:
    """A fork's run gets no variables: that the store is a server it learns from the mark that other runs have left."""
    git(project.root, "push", "--quiet", "origin", "origin/main:refs/mlops/server")
    text = (project.root / "config" / "iris.yaml").read_text(encoding="utf-8")
    changed = text.replace("regularisation: 1.0", "regularisation: 0.8")
    project.commit("planted", "planted", "origin/dev", {"config/iris.yaml": changed})
    run = pull_request(project, "patch-2", "dev", "report", owner="eve", token="fork-token")
    git(project.root, "push", "--quiet", "origin", ":refs/mlops/server")
    assert run.jobs["report"] == "success", run.log[-3000:]
    assert "champion not readable here: the store is a tracking server" in run.summary
