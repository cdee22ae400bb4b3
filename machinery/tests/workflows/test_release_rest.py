"""What a release asks of GitHub and tells it: the wait for training, the draft that is published, what is fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_github import NAME, FakeGitHub, serve

from mlops.errors import StoreUnreachable, UserError
from mlops.gitflow import github
from mlops.release import manifest, publish, wait

COMMIT = "c" * 40


@pytest.fixture
def api() -> Iterator[FakeGitHub]:
    with serve() as fake:
        yield fake


@pytest.fixture
def repo(api: FakeGitHub) -> github.Repository:
    return github.Repository(api.url, NAME, "workflow-token")


def run(number: int, status: str = "completed", conclusion: str | None = "success", **more: Any) -> dict[str, Any]:
    fields = {
        "head_sha": COMMIT,
        "path": ".github/workflows/train.yml",
        "run_number": number,
        "html_url": f"https://x/{number}",
    }
    return {**fields, "status": status, "conclusion": conclusion, **more}


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], "none"),
        ([run(1)], "done"),
        ([run(1, conclusion="failure")], "failed"),
        ([run(1, conclusion="timed_out")], "failed"),
        ([run(1, conclusion="cancelled")], "cancelled"),
        ([run(1, conclusion="skipped")], "skipped"),
        ([run(1, conclusion="action_required")], "under way"),
        ([run(1, "queued", None)], "under way"),
        ([run(2, "in_progress", None), run(1)], "under way"),
        ([run(1, conclusion="failure"), run(2)], "done"),
        ([run(2, run_attempt=2), run(2, conclusion="failure", run_attempt=1)], "done"),
    ],
)
def test_the_newest_run_says_how_training_stands(runs: list[dict[str, Any]], expected: str) -> None:
    assert wait.state_of(runs).word == expected


def test_the_wait_ends_when_training_does(api: FakeGitHub, repo: github.Repository) -> None:
    api.runs = [run(1, "in_progress", None), run(9, "queued", None, head_sha="d" * 40)]
    messages: list[str] = []

    def hear(message: str) -> None:
        messages.append(message)
        api.runs[0] |= {"status": "completed", "conclusion": "success"}

    state = wait.for_training(repo, COMMIT, timeout=30, poll=0.01, say=hear)
    assert state == ("done", "https://x/1")
    assert messages == ["the training of commit cccccccccccc is under way: https://x/1"]
    assert len(api.requests) == 2


def test_no_runner_waits_for_training_and_a_failed_one_ends_it_at_once(api: FakeGitHub, repo: github.Repository) -> None:
    api.runs = [run(1, "in_progress", None)]
    assert wait.for_training(repo, COMMIT, timeout=0.1, poll=0.05) == ("under way", "https://x/1")
    api.runs = [run(1, conclusion="failure")]
    with pytest.raises(UserError, match="has failed: fix it, see https://x/1"):
        wait.for_training(repo, COMMIT, timeout=30, poll=30)
    api.runs = []
    assert wait.for_training(repo, COMMIT, timeout=30, poll=30).word == "none"


LISTED = f"""{COMMIT}\trefs/tags/v1.0.0-rc.2
{"a" * 40}\trefs/tags/v1.0.0
{COMMIT}\trefs/tags/v1.0.0^{{}}
{COMMIT}\trefs/tags/nightly
{COMMIT}\trefs/tags/v1.0.0.1
{"b" * 40}\trefs/tags/v0.9.0
"""


def test_the_training_run_starts_the_releases_that_wait_for_it(
    api: FakeGitHub, repo: github.Repository, files: list[Path]
) -> None:
    tags = wait.tags_at(LISTED, COMMIT)
    assert tags == ["v1.0.0", "v1.0.0-rc.2"]
    publish.publish(repo, release(), "notes", files, candidate=False)
    wait.resume(repo, tags, lambda tag: publish.release_of(repo, tag) is not None)
    assert api.dispatched == [("release.yml", "v1.0.0-rc.2")]


def test_a_training_run_that_was_skipped_has_not_failed(api: FakeGitHub, repo: github.Repository) -> None:
    api.runs = [run(1, conclusion="skipped")]
    assert wait.for_training(repo, COMMIT, timeout=0, poll=0.01).word == "skipped"
    api.runs = [run(1, conclusion="cancelled")]
    with pytest.raises(UserError, match="was cancelled: run it again, see https://x/1"):
        wait.for_training(repo, COMMIT, timeout=0, poll=0.01)


def test_an_answer_5xx_does_not_end_the_wait(api: FakeGitHub, repo: github.Repository) -> None:
    api.runs, api.outages = [run(1)], 2
    messages: list[str] = []
    assert wait.for_training(repo, COMMIT, timeout=30, poll=0.01, say=messages.append).word == "done"
    assert [message.endswith("asking again") for message in messages] == [True, True]
    api.outages = 1
    with pytest.raises(StoreUnreachable, match="502"):
        wait.for_training(repo, COMMIT, timeout=0, poll=0.01)


def release(tag: str = "v1.0.0", commit: str = COMMIT) -> manifest.Release:
    image = f"ghcr.io/ada/demo/iris@sha256:{'d' * 64}"
    parts = {name: letter * 64 for name, letter in {"key": "a", "data": "b", "bundle": "e", "server": "f"}.items()}
    model = {"number": "1.0.0", "run_id": "r", "commit": COMMIT, "metrics": {"accuracy": 0.9}, "image": image, **parts}
    environment = "staging" if "rc" in tag else "production"
    content = {"tag": tag, "version": "1.0.0", "commit": commit, "environment": environment, "models": {"iris": model}}
    return manifest.parse(json.dumps(content), "made")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    manifest.write(tmp_path / "release.json", release())
    (tmp_path / "iris.cdx.json").write_text("{}")
    return [tmp_path / "release.json", tmp_path / "iris.cdx.json"]


def assets(api: FakeGitHub) -> dict[str, bytes]:
    return {row["name"]: api.assets[row["id"]] for row in api.releases[0]["assets"]}


def test_a_release_is_published_with_its_notes_and_assets(api: FakeGitHub, repo: github.Repository, files: list[Path]) -> None:
    done = publish.publish(repo, release(), "notes", files, candidate=False)
    assert done["html_url"].endswith("/releases/tag/v1.0.0")
    (published,) = api.releases
    assert (published["draft"], published["prerelease"], published["body"], published["make_latest"]) == (
        False,
        False,
        "notes",
        "legacy",
    )
    assert assets(api) == {file.name: file.read_bytes() for file in files}
    assert publish.fetch(repo, "v1.0.0") == release()


def test_a_candidate_is_a_prerelease_and_never_the_latest(api: FakeGitHub, repo: github.Repository, files: list[Path]) -> None:
    publish.publish(repo, release("v1.0.0-rc.1"), "notes", files, candidate=True)
    assert (api.releases[0]["prerelease"], api.releases[0]["make_latest"]) == (True, "false")


def test_what_broke_off_is_not_seen_and_is_completed_by_the_next_run(
    api: FakeGitHub, repo: github.Repository, files: list[Path], tmp_path: Path
) -> None:
    gone = tmp_path / "gone.json"
    with pytest.raises(FileNotFoundError):
        publish.publish(repo, release(), "half", [files[0], gone], candidate=False)
    assert api.releases[0]["draft"] is True
    with pytest.raises(UserError, match="no published release with a release.json"):
        publish.fetch(repo, "v1.0.0")
    publish.publish(repo, release(), "whole", files, candidate=False)
    assert len(api.releases) == 1 and api.releases[0]["body"] == "whole"
    assert set(assets(api)) == {"release.json", "iris.cdx.json"}
    sent = [path for method, path, _ in api.requests if method == "POST" and path.endswith("/assets")]
    assert len(sent) == 2, "what was there already was sent again"


def test_an_asset_of_other_content_is_replaced(api: FakeGitHub, repo: github.Repository, files: list[Path]) -> None:
    publish.publish(repo, release(), "notes", files, candidate=False)
    files[1].write_text("[]")
    publish.publish(repo, release(), "notes", files, candidate=False)
    assert assets(api)["iris.cdx.json"] == b"[]" and len(assets(api)) == 2


def test_a_tag_that_was_moved_rewrites_nothing(api: FakeGitHub, repo: github.Repository, files: list[Path]) -> None:
    publish.publish(repo, release(), "notes", files, candidate=False)
    before = json.dumps(api.releases, sort_keys=True)
    moved = release(commit="e" * 40)
    manifest.write(files[0], moved)
    with pytest.raises(UserError, match=f"v1.0.0 is published for commit {'c' * 12} and stands at {'e' * 12} now"):
        publish.publish(repo, moved, "other notes", files, candidate=False)
    assert json.dumps(api.releases, sort_keys=True) == before


def test_notes_that_somebody_wrote_are_kept_by_a_repeated_run(
    api: FakeGitHub, repo: github.Repository, files: list[Path]
) -> None:
    publish.publish(repo, release(), "notes", files[:1], candidate=False)
    api.releases[0].update(body="by hand", name="The first one", make_latest="true")
    publish.publish(repo, release(), "notes", files, candidate=False)
    kept = api.releases[0]
    assert (kept["body"], kept["name"], kept["make_latest"], kept["draft"]) == ("by hand", "The first one", "true", False)
    assert set(assets(api)) == {"release.json", "iris.cdx.json"}


def test_a_token_that_may_only_read_publishes_nothing(api: FakeGitHub, files: list[Path]) -> None:
    with pytest.raises(github.GitHubError, match="403"):
        publish.publish(github.Repository(api.url, NAME, "fork-token"), release(), "notes", files, candidate=False)
    assert api.releases == []


def test_a_damaged_manifest_of_a_release_is_refused(api: FakeGitHub, repo: github.Repository, files: list[Path]) -> None:
    files[0].write_text('{"tag": "v1.0.0"}')
    publish.publish(repo, release(), "notes", files, candidate=False)
    with pytest.raises(UserError, match="release.json of v1.0.0"):
        publish.fetch(repo, "v1.0.0")


def test_a_host_that_does_not_answer_is_reported(files: list[Path]) -> None:
    with pytest.raises(StoreUnreachable, match="does not answer"):
        publish.download(github.Repository("http://127.0.0.1:9", NAME, "t"), "http://127.0.0.1:9/assets/1")
