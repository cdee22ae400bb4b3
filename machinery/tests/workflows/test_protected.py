"""The way to the champion once more, where an administrator has turned on the rules and an app's token is there.

The origin keeps the rules that `make protect` has applied: a hook of it refuses what GitHub would refuse.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from unittest.mock import patch

import pytest
from fake_github import FakeGitHub
from offline import NAME, Project, git
from scenes import pull_request, push

pytestmark = [pytest.mark.workflows, pytest.mark.timeout(1800), pytest.mark.xdist_group("protected")]

ACTIONS = 15368  # the app of GitHub Actions, whose checks alone count; GET /apps/github-actions
HOOK = """#!{python}
import fnmatch, json, os, subprocess, sys
for line in sys.stdin:
    old, new, ref = line.split()
    for ruleset in json.load(open({rules!r})):
        names = ruleset["conditions"]["ref_name"]["include"]
        if not any(fnmatch.fnmatch(ref, name.replace("**", "*")) for name in names):
            continue
        kinds = {{rule["type"] for rule in ruleset["rules"]}}
        there, stays = set(old) != {{"0"}}, set(new) != {{"0"}}
        ahead = there and stays and subprocess.run(["git", "merge-base", "--is-ancestor", old, new]).returncode == 0
        refused = [
            "deletion" in kinds and not stays,
            "non_fast_forward" in kinds and there and stays and not ahead,
            "pull_request" in kinds and there and "MERGED_BY_PULL_REQUEST" not in os.environ,
        ]
        if any(refused):
            sys.exit("repository rule violations found for " + ref)
"""


def merge(project: Project, head: str, base: str) -> None:
    """Merge by the button of a pull request, which the rules allow."""
    with patch.dict(os.environ, MERGED_BY_PULL_REQUEST="1"):
        project.merge(head, base)


def test_1_make_protect_turns_the_rules_on_and_the_second_time_finds_them(project: Project, github: FakeGitHub) -> None:
    git(project.root, "push", "--quiet", "origin", "main:dev")
    source = {
        "PYTHONPATH": f"{project.root}/src:{project.root}/machinery/src",
        "GITHUB_REPOSITORY": NAME,
        "GITHUB_TOKEN": "admin-token",
    }
    env = {**os.environ, **project.environment(), **source}
    for state in ("created", "as it is"):
        done = subprocess.run(["make", "protect", "APPLY=1"], cwd=project.root, env=env, capture_output=True, text=True)
        assert done.returncode == 0 and state in done.stdout, done.stdout + done.stderr
    checks = {
        row["name"]: [rule for rule in row["rules"] if rule["type"] == "required_status_checks"] for row in github.rulesets
    }
    for branch in ("main", "dev"):
        assert checks[branch][0]["parameters"]["required_status_checks"] == [
            {"context": f"gate ({branch})", "integration_id": ACTIONS}
        ]
    assert set(github.environments) == {"staging", "production"}

    rules, hook = project.work / "rulesets.json", project.origin / "hooks" / "pre-receive"
    rules.write_text(json.dumps(github.rulesets))
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(HOOK.format(python=sys.executable, rules=str(rules)))
    hook.chmod(0o755)
    git(project.root, "commit", "--quiet", "--allow-empty", "-m", "past the pull request")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        git(project.root, "push", "--quiet", "origin", "HEAD:main")
    assert "repository rule violations found for refs/heads/main" in refused.value.stderr


def test_2_a_release_becomes_the_champion_by_its_pull_request(project: Project) -> None:
    git(project.root, "fetch", "--quiet", "origin")
    git(project.root, "checkout", "--quiet", "-B", "dev", "origin/dev")
    started = project.mlops("gitflow", "start", "release", "1.0.0")
    assert started.returncode == 0, started.stderr
    assert pull_request(project, "release/1.0.0", "main", "--job", "plan").jobs["plan"] == "success"
    merge(project, "release/1.0.0", "main")
    run = push(project, "main", bot="app-token")
    assert run.names("success") == {"plan", "train", "register"}, run.log[-4000:]
    assert project.registry() == {"iris": {"champion": "1.0.0"}}


def test_3_the_app_opens_the_pull_request_that_brings_it_back(project: Project, github: FakeGitHub) -> None:
    run = push(project, "main", "backmerge.yml", bot="app-token")
    assert run.jobs == {"backmerge": "success"}, run.log[-4000:]
    (pull,) = github.pulls
    assert (pull["base"]["ref"], github.issues) == ("dev", [])
    assert ("POST", f"/repos/{NAME}/pulls", "app-token") in github.requests
    assert pull_request(project, pull["head"]["ref"], "dev", "--job", "plan").jobs["plan"] == "success"
    merge(project, pull["head"]["ref"], "dev")
    assert "skip" in push(project, "main", "backmerge.yml", bot="app-token").summary
    assert len(github.pulls) == 1
