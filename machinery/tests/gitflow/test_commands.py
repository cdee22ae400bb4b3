"""The commands on a real repository with a bare origin."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from checkouts import git
from click.testing import Result
from typer.testing import CliRunner

from mlops.cli import app
from mlops.gitflow import versions

Mlops = Callable[..., Result]


@pytest.fixture
def mlops(project: Path, monkeypatch: pytest.MonkeyPatch) -> Mlops:
    """Run a gitflow command in the project."""
    monkeypatch.chdir(project)
    return lambda *arguments: CliRunner().invoke(app, ["gitflow", *arguments])


def test_a_project_without_a_remote_is_told_how_to_get_one(mlops: Mlops, project: Path) -> None:
    git(project, "remote", "remove", "origin")
    result = mlops("start", "feature", "faster")
    assert result.exit_code != 0
    assert f"{project} has no remote: git remote add origin ADDRESS && git push -u origin HEAD" in str(result.exception)


def release(mlops: Mlops, project: Path, version: str) -> None:
    """Start a release and merge it into main, as the button of a pull request does."""
    assert mlops("start", "release", version).exit_code == 0
    git(project, "checkout", "--quiet", "main")
    git(project, "merge", "--quiet", "--no-ff", "-m", f"Release {version}", f"release/{version}")
    git(project, "push", "--quiet", "origin", "main")


def test_a_feature_grows_from_dev_and_is_pushed(mlops: Mlops, project: Path) -> None:
    assert mlops("start", "feature", "speed").exit_code == 0
    assert git(project, "branch", "--show-current") == "feature/speed"
    assert git(project, "rev-parse", "origin/feature/speed") == git(project, "rev-parse", "origin/dev")


def test_the_first_release_works_without_changelog_and_without_tag(mlops: Mlops, project: Path) -> None:
    assert mlops("start", "release", "1.0.0").exit_code == 0
    assert versions.project_version((project / "setup.py").read_text()) == "1.0.0"
    assert versions.changelog_versions((project / "CHANGELOG.md").read_text()) == ["1.0.0"]
    assert git(project, "show", "--stat", "--format=%s", "origin/release/1.0.0").splitlines()[0] == "Version 1.0.0"
    assert mlops("finish").exit_code == 0


def test_a_hotfix_raises_the_patch_of_main(mlops: Mlops, project: Path) -> None:
    release(mlops, project, "1.0.0")
    assert mlops("start", "hotfix", "patch").exit_code == 0
    assert git(project, "branch", "--show-current") == "hotfix/1.0.1"
    assert git(project, "merge-base", "HEAD", "origin/main") == git(project, "rev-parse", "origin/main")


def test_a_bugfix_may_grow_from_a_release(mlops: Mlops, project: Path) -> None:
    mlops("start", "release", "1.0.0")
    assert mlops("start", "bugfix", "typo", "--from", "release/1.0.0").exit_code == 0
    assert git(project, "rev-parse", "HEAD") == git(project, "rev-parse", "origin/release/1.0.0")


def test_dry_run_shows_the_commands_and_changes_nothing(mlops: Mlops, project: Path) -> None:
    before = git(project, "for-each-ref"), git(project, "status", "--porcelain")
    shown = mlops("start", "release", "minor", "--dry-run")
    assert shown.exit_code == 0
    assert "git switch --no-track --create release/0.2.0 origin/dev" in shown.stdout
    assert "0.1.0 → 0.2.0" in shown.stdout
    assert "git push --set-upstream origin release/0.2.0" in shown.stdout
    assert (git(project, "for-each-ref"), git(project, "status", "--porcelain")) == before


def test_a_release_below_the_latest_tag_is_not_started(mlops: Mlops, project: Path) -> None:
    git(project, "tag", "v1.2.0")
    git(project, "push", "--quiet", "origin", "v1.2.0")
    refused = mlops("start", "release", "1.1.0")
    assert "not greater than the latest tag v1.2.0" in str(refused.exception)


def test_a_branch_that_cannot_be_is_refused(mlops: Mlops) -> None:
    assert "no kind of branch" in str(mlops("start", "epic", "x").exception)
    assert "no name for a branch" in str(mlops("start", "feature", "a..b").exception)


def test_tagging_takes_main_and_the_changelog(mlops: Mlops, project: Path) -> None:
    release(mlops, project, "1.0.0")
    assert mlops("tag").exit_code == 0
    assert git(project, "ls-remote", "origin", "refs/tags/v1.0.0^{}").split()[0] == git(project, "rev-parse", "main")
    assert mlops("check", "--tag", "v1.0.0").exit_code == 0
    assert "v1.0.0 is there already" in str(mlops("tag").exception)


def test_the_message_of_a_tag_has_the_changelog_with_its_headings(mlops: Mlops, project: Path) -> None:
    entry = "### Added\n\n- A heading that git would take for a comment."
    (project / "CHANGELOG.md").write_text(f"# Changelog\n\n## [Unreleased]\n\n{entry}\n", encoding="utf-8")
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "changelog")
    git(project, "push", "--quiet", "origin", "main", "main:dev")
    release(mlops, project, "1.0.0")
    assert mlops("tag").exit_code == 0
    assert git(project, "tag", "--list", "--format=%(contents)", "v1.0.0") == f"Version 1.0.0\n\n{entry}"


def test_a_tag_that_origin_refuses_can_be_tried_again(mlops: Mlops, project: Path) -> None:
    release(mlops, project, "1.0.0")
    hook = project.parent / "origin.git" / "hooks" / "update"
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    assert "git push failed" in str(mlops("tag").exception)
    assert git(project, "tag", "--list") == ""
    hook.unlink()
    assert mlops("tag").exit_code == 0


def test_candidates_are_tagged_on_the_release_branch(mlops: Mlops, project: Path) -> None:
    mlops("start", "release", "1.0.0")
    assert [mlops("tag", "--rc").exit_code for _ in range(2)] == [0, 0]
    assert git(project, "tag", "--list").split() == ["v1.0.0-rc.1", "v1.0.0-rc.2"]
    assert mlops("check", "--tag", "v1.0.0-rc.2").exit_code == 0


def test_a_tag_off_its_branch_is_refused(mlops: Mlops, project: Path) -> None:
    mlops("start", "release", "1.0.0")
    git(project, "tag", "v1.0.0")
    refused = mlops("check", "--tag", "v1.0.0", "--json")
    assert refused.exit_code == 1
    assert "not on main" in json.loads(refused.stdout)["problems"][0]
    assert "there is no tag" in str(mlops("check", "--tag", "v9.0.0").exception)


def test_a_candidate_whose_branch_was_merged_and_removed_can_be_run_again(mlops: Mlops, project: Path) -> None:
    release(mlops, project, "1.0.0")
    git(project, "checkout", "--quiet", "release/1.0.0")
    assert mlops("tag", "--rc").exit_code == 0
    git(project, "push", "--quiet", "origin", "--delete", "release/1.0.0")
    assert mlops("check", "--tag", "v1.0.0-rc.1").exit_code == 0
    git(project, "commit", "--quiet", "--allow-empty", "-m", "never merged")
    git(project, "tag", "v1.0.0-rc.2")
    refused = mlops("check", "--tag", "v1.0.0-rc.2", "--json")
    assert "not on release/1.0.0" in json.loads(refused.stdout)["problems"][0]


def test_finish_prints_the_link_and_refuses_an_unready_release(mlops: Mlops, project: Path) -> None:
    git(project, "remote", "set-url", "origin", "git@github.com:ada/demo.git")
    git(project, "config", f"url.{project.parent / 'origin.git'}.insteadOf", "git@github.com:ada/demo.git")
    git(project, "switch", "--quiet", "-c", "feature/x")
    assert "https://github.com/ada/demo/compare/dev...feature/x?expand=1" in mlops("finish", "--dry-run").stdout
    git(project, "switch", "--quiet", "-c", "release/1.0.0")
    refused = mlops("finish")
    assert refused.exit_code == 1
    assert "setup.py says 0.1.0" in refused.stderr and "no entry for 1.0.0" in refused.stderr


@pytest.mark.parametrize(
    ("head", "base", "fork", "code"),
    [
        ("feature/x", "dev", False, 0),
        ("feature/x", "main", False, 1),
        ("release/0.1.0", "main", True, 1),
        ("p", "dev", True, 0),
    ],
)
def test_in_a_workflow_the_event_says_what_is_merged(
    mlops: Mlops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, base: str, fork: bool, code: int
) -> None:
    repository = {"full_name": "ada/demo"}
    event = {
        "pull_request": {
            "head": {"ref": head, "repo": {"full_name": "eve/demo"} if fork else repository},
            "base": {"ref": base, "repo": repository},
        }
    }
    path = tmp_path / "event.json"
    path.write_text(json.dumps(event), encoding="utf-8")
    for name, value in {"ACTIONS": "true", "EVENT_NAME": "pull_request", "EVENT_PATH": str(path)}.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    assert mlops("check").exit_code == code


def test_a_merge_queue_was_checked_before(mlops: Mlops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "event.json"
    group = {"head_ref": "refs/heads/gh-readonly-queue/main/pr-1", "base_ref": "refs/heads/main"}
    path.write_text(json.dumps({"merge_group": group}), encoding="utf-8")
    for name, value in {"ACTIONS": "true", "EVENT_NAME": "merge_group", "EVENT_PATH": str(path)}.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    assert mlops("check").exit_code == 0
