"""What is not run, since nothing could come of it; and where heavy jobs run."""

from __future__ import annotations

import events
import offline
import pytest
from fake_github import FakeGitHub
from offline import Project, Run, git
from scenes import push

pytestmark = [pytest.mark.workflows, pytest.mark.timeout(1800), pytest.mark.xdist_group("economy")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, github: FakeGitHub) -> Project:
    """A repository with main and dev; a release on main has not come back to dev yet."""
    copy = offline.make(tmp_path_factory.mktemp("economy"), github.url)
    git(copy.root, "push", "--quiet", "origin", "main:dev")
    git(copy.root, "fetch", "--quiet", "origin")
    setup = (copy.root / "setup.py").read_text(encoding="utf-8")
    changed = {
        "setup.py": setup.replace('version="0.1.0"', 'version="1.0.0"'),
        "CHANGELOG.md": "# Changelog\n\n## [1.0.0] - 2026-11-21\n",
    }
    assert changed["setup.py"] != setup
    copy.commit("Release 1.0.0", "main", "origin/main", changed)
    return copy


def pull_request(project: Project, head: str, base: str, *more: str, changed: str = "") -> Run:
    """Run the workflow for a pull request of what is checked out; `changed` is what was edited."""
    sha, base_sha = git(project.root, "rev-parse", "HEAD"), git(project.root, "rev-parse", f"origin/{base}")
    project.forget_artifacts()
    return project.run(
        "pull-request.yml", "pull_request", events.pull_request(head, base, sha, base_sha, changed=changed), *more
    )


@pytest.mark.parametrize("part", ["title", "body"])
def test_an_edit_of_the_title_or_a_ticked_box_starts_no_job(project: Project, part: str) -> None:
    # The runner cannot skip the jobs that wait for a skipped one's matrix: the first is enough, the others need it.
    run = pull_request(project, "release/1.0.0", "dev", "--job", "plan", changed=part)
    assert set(run.jobs.values()) == {"skipped"} and run.code == 0, run.log[-3000:]


def test_a_changed_base_is_checked_like_a_new_pull_request(project: Project) -> None:
    run = pull_request(project, "release/1.0.0", "main", "--job", "plan", changed="base")
    assert run.jobs["plan"] == "success", run.log[-3000:]


def test_a_back_merge_of_version_and_changelog_runs_the_policy_and_nothing_else(project: Project) -> None:
    git(project.root, "checkout", "--quiet", "-B", "backmerge/main-1", "origin/main")
    git(project.root, "push", "--quiet", "origin", "backmerge/main-1")
    run = pull_request(project, "backmerge/main-1", "dev")
    assert run.names("success") == {"plan", "gate"} and run.code == 0, run.log[-3000:]
    project.merge("backmerge/main-1", "dev")
    pushed = push(project, "dev")
    assert pushed.jobs["test"] == "skipped" and pushed.jobs["plan"] == "success", pushed.log[-3000:]


def test_a_heavy_job_waits_for_the_runner_that_the_team_names(project: Project) -> None:
    git(project.root, "fetch", "--quiet", "origin")
    text = (project.root / "config" / "iris.yaml").read_text(encoding="utf-8")
    project.commit(
        "x", "feature/x", "origin/dev", {"config/iris.yaml": text.replace("regularisation: 1.0", "regularisation: 0.9")}
    )
    named = ("--job", "report", "--var", "RUNNER_TRAIN=gpu")
    missing = pull_request(project, "feature/x", "dev", *named)
    assert missing.jobs["plan"] == "success" and missing.jobs["report"] == "skipped", missing.log[-3000:]
    assert "Skipping unsupported platform" in missing.log and "gpu" in missing.log
    run = pull_request(project, "feature/x", "dev", *named, "--platform", "gpu=-self-hosted")
    assert run.jobs["report"] == "success", run.log[-3000:]
