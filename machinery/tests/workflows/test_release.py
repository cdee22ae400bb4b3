"""A release without a target: what a tag makes, what it refuses, what a second run finds; images are built, run and pushed.

The scenes build on each other, in the order in which a team goes through them.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_github import NAME, FakeGitHub
from offline import TREE, Project, Run, git
from scenes import digest_at, dispatch, logins, push, release, tag

pytestmark = [
    pytest.mark.workflows,
    pytest.mark.docker,
    pytest.mark.timeout(1800),
    pytest.mark.xdist_group("release"),
]


def asset(github: FakeGitHub, name: str, file: str) -> bytes:
    """The content of an asset of a release."""
    (release,) = [row for row in github.releases if row["tag_name"] == name]
    (held,) = [row for row in release["assets"] if row["name"] == file]
    return github.assets[held["id"]]


def model(github: FakeGitHub, name: str) -> dict[str, Any]:
    """What release.json of a tag says of iris."""
    return dict(json.loads(asset(github, name, "release.json"))["models"]["iris"])


def failed(run: Run, job: str, reason: str) -> None:
    """Assert that a run failed in this job, for this reason, and that no later job was started."""
    assert run.jobs[job] == "failure", run.log[-5000:]
    later = list(run.jobs)[list(run.jobs).index(job) + 1 :]
    assert {run.jobs[name] for name in later} <= {"skipped"}, run.jobs
    assert reason in run.log, run.log[-5000:]


def test_1_a_commit_that_was_not_trained_is_not_released(releasing: Project, github: FakeGitHub, registry_host: str) -> None:
    git(releasing.root, "push", "--quiet", "origin", "main:dev")
    git(releasing.root, "fetch", "--quiet", "origin")
    started = releasing.mlops("gitflow", "start", "release", "1.0.0")
    assert started.returncode == 0, started.stderr
    assert tag(releasing, "release/1.0.0", "--rc") == "v1.0.0-rc.1"
    run = release(releasing, "v1.0.0-rc.1", registry_host)
    failed(run, "plan", "has no release record: run the workflow `train`")
    assert github.releases == []


def test_2_a_registry_that_does_not_answer_stops_it_before_anything_is_built(releasing: Project, github: FakeGitHub) -> None:
    assert push(releasing, "release/1.0.0").jobs["register"] == "success"
    failed(release(releasing, "v1.0.0-rc.1", "127.0.0.1:9"), "image", "docker login failed")
    assert github.releases == []


def test_3_a_candidate_is_built_tested_pushed_published_and_verified(
    releasing: Project, github: FakeGitHub, registry_host: str
) -> None:
    run = release(releasing, "v1.0.0-rc.1", registry_host, "--env", "STAND_IN_PLAN=free")
    assert set(run.jobs.values()) == {"success"}, run.log[-8000:]
    (published,) = github.releases
    assert (published["prerelease"], published["draft"], published["tag_name"]) == (True, False, "v1.0.0-rc.1")
    names = {row["name"] for row in published["assets"]}
    assert {"release.json", "iris.cdx.json", "iris.card.md"} <= names
    image = model(github, "v1.0.0-rc.1")
    repository, _, digest = image["image"].partition("@")
    assert repository == f"{registry_host}/{NAME}/iris" and image["number"] == "1.0.0" and image["promoted"] == ""
    assert digest_at(registry_host, f"{NAME}/iris", "v1.0.0-rc.1") == digest
    assert logins(releasing) == []
    parts = {part["name"] for part in json.loads(asset(github, "v1.0.0-rc.1", "iris.cdx.json"))["components"]}
    assert {"numpy", "onnxruntime", "starlette", "cpython", "libc6"} <= parts and "mlflow" not in parts
    assert "the image's digest is not attested" in run.log and "carry no attestation" in published["body"]
    assert "| iris | 1.0.0 | ✅ accuracy" in published["body"]
    assert "✅ verified, not deployed" in run.summary and "No target is configured for staging" in run.summary


def test_4_what_was_verified_stands_in_the_log_and_moves_no_alias(releasing: Project) -> None:
    assert "staging" not in releasing.registry()["iris"]
    (entry,) = json.loads(releasing.mlops("deployments", "iris", "--json").stdout)
    assert (entry["result"], entry["environment"], entry["tag"]) == ("verified, not deployed", "staging", "v1.0.0-rc.1")
    assert entry["why"] == "release v1.0.0-rc.1" and entry["who"] == "ada"


def test_5_a_container_that_breaks_its_contract_is_not_pushed(
    releasing: Project, github: FakeGitHub, registry_host: str
) -> None:
    text = (TREE / "machinery/src/mlops/bundle/serving.Dockerfile").read_text(encoding="utf-8")
    broken = text.replace('CMD ["/srv/bundle"]', 'CMD ["/srv/nothing"]')
    assert broken != text
    before = git(releasing.root, "rev-parse", "origin/release/1.0.0")
    releasing.commit("Serve nothing", "release/1.0.0", "origin/release/1.0.0", {"docker/serving.Dockerfile": broken})
    assert push(releasing, "release/1.0.0").jobs["register"] == "success"
    assert tag(releasing, "release/1.0.0", "--rc") == "v1.0.0-rc.2"
    run = release(releasing, "v1.0.0-rc.2", registry_host)
    failed(run, "image", "the container ended")
    assert len(github.releases) == 1 and logins(releasing) == []
    with pytest.raises(AssertionError, match="not found|unknown"):
        digest_at(registry_host, f"{NAME}/iris", "v1.0.0-rc.2")
    git(releasing.root, "push", "--quiet", "--force", "origin", f"{before}:refs/heads/release/1.0.0")


def test_6_a_release_that_is_not_on_main_is_refused(releasing: Project, github: FakeGitHub, registry_host: str) -> None:
    git(releasing.root, "fetch", "--quiet", "origin")
    git(releasing.root, "tag", "--annotate", "v1.0.0", "--message", "by hand", "origin/release/1.0.0")
    git(releasing.root, "push", "--quiet", "origin", "v1.0.0")
    failed(release(releasing, "v1.0.0", registry_host), "plan", "v1.0.0 is not on main: tag a commit of that branch")
    git(releasing.root, "push", "--quiet", "--delete", "origin", "v1.0.0")
    git(releasing.root, "tag", "--delete", "v1.0.0")
    assert len(github.releases) == 1


def test_7_the_release_takes_over_the_image_of_its_candidate(
    releasing: Project, github: FakeGitHub, registry_host: str
) -> None:
    releasing.merge("release/1.0.0", "main")
    assert push(releasing, "main").jobs["register"] == "success"
    assert tag(releasing, "main") == "v1.0.0"
    run = release(releasing, "v1.0.0", registry_host)
    assert set(run.jobs.values()) == {"success"}, run.log[-8000:]
    before, now = model(github, "v1.0.0-rc.1"), model(github, "v1.0.0")
    assert now["image"] == before["image"] and now["promoted"] == "v1.0.0-rc.1"
    assert ", the image of v1.0.0-rc.1, taken over unchanged" in github.releases[1]["body"]
    assert (releasing.work / "attested").read_text() == f"{now['image']}\n"
    assert f"gh attestation verify oci://{now['image']} --repo {NAME}" in github.releases[1]["body"]
    assert github.releases[1]["prerelease"] is False
    assert digest_at(registry_host, f"{NAME}/iris", "v1.0.0") == now["image"].partition("@")[2]


def test_8_a_run_that_is_repeated_changes_nothing(releasing: Project, github: FakeGitHub, registry_host: str) -> None:
    before = json.dumps([row["assets"] for row in github.releases], sort_keys=True)
    run = release(releasing, "v1.0.0", registry_host)
    assert set(run.jobs.values()) == {"success"}, run.log[-8000:]
    assert json.dumps([row["assets"] for row in github.releases], sort_keys=True) == before


def test_9_a_candidate_is_not_redeployed_to_production(releasing: Project, registry_host: str) -> None:
    inputs = {"action": "redeploy", "environment": "production", "tag": "v1.0.0-rc.1", "reason": "by mistake"}
    run = dispatch(releasing, registry_host, **inputs)
    assert run.jobs == {"plan": "success", "deploy": "failure", "record": "skipped"}, run.log[-4000:]
    assert "v1.0.0-rc.1 is a release candidate, it goes to staging only" in run.log
