"""The way from a branch to the champion and on, each step a workflow run for real on this machine.

The steps build on each other: each test is one scene, in the order in which a team goes through them.
"""

from __future__ import annotations

import re

import events
import pytest
from fake_github import FakeGitHub
from offline import Project, git
from scenes import pull_request, push

pytestmark = [pytest.mark.workflows, pytest.mark.timeout(1800), pytest.mark.xdist_group("story")]

BETTER, WORSE = "0.5", "0.0000001"


def tuned(project: Project, value: str) -> dict[str, str]:
    """Return the configuration of iris with another regularisation."""
    text = git(project.root, "show", "origin/dev:config/iris.yaml")
    return {"config/iris.yaml": re.sub(r"regularisation: [\d.]+", f"regularisation: {value}", text, count=1)}


def test_1_the_first_push_creates_dev_and_trains_nothing(project: Project) -> None:
    first = events.push("main", created=True)
    bootstrap = project.run("bootstrap.yml", "push", first)
    assert bootstrap.jobs == {"bootstrap": "success"}
    assert "| branch `dev` | created from `main` |" in bootstrap.summary
    assert "refs/heads/dev" in git(project.root, "ls-remote", "origin")
    train = project.run("train.yml", "push", first)
    assert train.names("success") == set()
    assert project.run("backmerge.yml", "push", first).names("success") == set()
    assert project.registry() == {}


def test_2_a_pull_request_to_dev_reports_that_there_is_no_champion_yet(project: Project, github: FakeGitHub) -> None:
    git(project.root, "fetch", "--quiet", "origin")
    commit = project.commit("Less freedom", "feature/first", "origin/dev", tuned(project, "0.8"))
    run = pull_request(project, "feature/first", "dev")
    assert run.names("success") == {"plan", "checks", "report", "gate"}, run.log[-4000:]
    assert "iris: ✅ passes the gate" in run.summary and "no champion yet" in run.summary
    assert "[pull request/gate (dev)" in run.log, run.log[-4000:]
    assert "refs/mlops/store" not in git(project.root, "ls-remote", "origin")
    github.add_pull("feature/first", "dev", commit)
    git(project.root, "checkout", "--quiet", "main")
    comment = project.run("report-comment.yml", "workflow_run", events.workflow_run("feature/first", commit))
    assert comment.jobs == {"comment": "success"}, comment.log[-4000:]
    assert "no champion yet" in github.comments[0]["body"]


def test_3_merging_to_dev_registers_a_challenger(project: Project) -> None:
    project.merge("feature/first", "dev")
    run = push(project, "dev")
    assert run.names("success") == {"plan", "train", "test", "register"}, run.log[-4000:]
    assert project.registry() == {"iris": {"challenger": "1.0.0"}}
    assert "| iris | 1.0.0 | ✅ registered as version 1.0.0" in run.summary


def test_4_a_release_branch_takes_the_same_version_and_trains_nothing(project: Project) -> None:
    git(project.root, "checkout", "--quiet", "dev")
    started = project.mlops("gitflow", "start", "release", "1.0.0")
    assert started.returncode == 0, started.stderr
    run = push(project, "release/1.0.0")
    assert run.names("success") == {"plan", "register"}, run.log[-4000:]
    assert project.registry() == {"iris": {"candidate": "1.0.0", "challenger": "1.0.0"}}


def test_5_the_release_goes_to_main_and_its_version_is_shown_to_reproduce(project: Project, github: FakeGitHub) -> None:
    policy = pull_request(project, "release/1.0.0", "main", "--job", "plan")
    assert policy.jobs["plan"] == "success", policy.log[-4000:]
    commit = project.merge("release/1.0.0", "main")
    run = push(project, "main")
    assert run.names("success") == {"plan", "train", "register"}, run.log[-4000:]
    assert project.registry() == {"iris": {"candidate": "1.0.0", "challenger": "1.0.0", "champion": "1.0.0"}}
    assert "| iris | 1.0.0 | ✅ nothing to register: the same key is version 1.0.0 already" in run.summary
    assert "| yes |" in run.summary
    assert '"iris": "1.0.0"' in project.mlops("gitflow", "record", commit, "--json").stdout


def test_6_the_release_is_brought_back_to_dev(project: Project, github: FakeGitHub) -> None:
    fresh = push(project, "main", "backmerge.yml")
    assert fresh.jobs == {"backmerge": "success"}
    (issue,) = github.issues
    assert "compare/dev...backmerge/main-" in issue["body"] and issue["html_url"] in fresh.summary
    with_app = push(project, "main", "backmerge.yml", bot="app-token")
    assert with_app.jobs == {"backmerge": "success"}
    (opened,) = [pull for pull in github.pulls if pull["title"] == "Back-merge main into dev"]
    assert opened["base"]["ref"] == "dev" and opened["html_url"] in with_app.summary
    project.merge(opened["head"]["ref"], "dev")
    assert "skip" in push(project, "main", "backmerge.yml").summary


def test_7_a_worse_model_is_refused_in_the_pull_request_and_registers_nothing_when_pushed(project: Project) -> None:
    git(project.root, "fetch", "--quiet", "origin")
    project.commit("No freedom", "feature/worse", "origin/dev", tuned(project, WORSE))
    run = pull_request(project, "feature/worse", "dev")
    assert run.names("failure") == {"report", "gate"}, run.log[-4000:]
    assert "❌ refused by the gate" in run.summary
    caches = (project.work / "caches" / "log").read_text().splitlines()
    assert {line.split()[1] for line in caches if line.startswith("save ")} == {"refs/heads/main", "refs/heads/dev"}
    assert "Cache restored from key: venv-dev-" in run.log, "the push to dev has left nothing that pull requests can read"
    before = project.registry()
    project.merge("feature/worse", "dev")
    pushed = push(project, "dev")
    assert pushed.names("failure") == {"register"}, pushed.log[-4000:]
    assert "no release record is written" in pushed.summary, pushed.log[-6000:]
    assert project.registry() == before


def test_8_a_better_model_becomes_the_champion(project: Project) -> None:
    project.commit("More freedom", "feature/better", "origin/dev", tuned(project, BETTER))
    project.merge("feature/better", "dev")
    assert push(project, "dev").jobs["register"] == "success"
    git(project.root, "checkout", "--quiet", "dev")
    assert project.mlops("gitflow", "start", "release", "minor").returncode == 0
    project.merge("release/1.1.0", "main")
    assert push(project, "main").jobs["register"] == "success"
    entry = project.registry()["iris"]
    assert entry["champion"] == entry["challenger"] and entry["champion"] > "1.0.0"


def test_9_no_run_left_a_credential_or_a_second_store_behind(project: Project) -> None:
    refs = git(project.origin, "for-each-ref", "--format=%(refname)").splitlines()
    assert [ref for ref in refs if ref.startswith("refs/mlops/")] == ["refs/mlops/store"]
    assert git(project.origin, "rev-list", "--count", "refs/mlops/store") == "1"
    assert "workflow-token" not in (project.root / ".git" / "config").read_text()
