"""`mlops gitflow doctor` against a fake of GitHub: a fresh repository, what `make protect` leaves, changes by hand."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from checkouts import git
from fake_github import NAME, FakeGitHub, serve
from typer.testing import CliRunner

from mlops.cli import app
from mlops.gitflow import health

TREE = Path(__file__).parents[3]
Doctor = Callable[..., tuple[int, dict[str, dict[str, str]]]]


@pytest.fixture
def api() -> Iterator[FakeGitHub]:
    with serve() as fake:
        yield fake


@pytest.fixture
def doctor(tmp_path: Path, api: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Run a command of gitflow with a token; return its exit code and its checks by what they are about."""
    git(tmp_path, "init", "--quiet")
    shutil.copytree(TREE / ".github" / "rulesets", tmp_path / ".github" / "rulesets")
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("GITHUB_", "GH_", "MLOPS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GITHUB_API_URL", api.url)
    monkeypatch.setenv("GITHUB_REPOSITORY", NAME)

    def run(token: str, *arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
        monkeypatch.setenv("GITHUB_TOKEN", token)
        done = CliRunner().invoke(app, ["gitflow", *(arguments or ("doctor",)), "--json"])
        return done.exit_code, {row["what"]: row for row in json.loads(done.stdout)}

    return run


def states(checks: dict[str, dict[str, str]], state: str) -> set[str]:
    return {what for what, row in checks.items() if row["state"] == state}


def test_a_fresh_repository_lacks_what_an_administrator_turns_on(doctor: Doctor, api: FakeGitHub) -> None:
    code, checks = doctor("fork-token")
    assert code == 2
    rulesets = {"ruleset main", "ruleset dev", "ruleset release and hotfix", "ruleset release tags"}
    required = {"required checks of main", "required checks of dev"}
    assert states(checks, "differs") == rulesets | required | {"branch dev", "environment staging", "environment production"}
    assert states(checks, "unknown") == {"Actions allowed", "workflow permissions"}
    assert states(checks, "ok") == {"default branch"}
    assert all(
        row["fix"].startswith((f"https://github.com/{NAME}/", "look at")) for row in checks.values() if row["state"] != "ok"
    )
    assert {method for method, _, _ in api.requests} == {"GET"}, "a doctor changes nothing"


def test_after_make_protect_nothing_differs(doctor: Doctor, api: FakeGitHub) -> None:
    api.branches.append("dev")
    assert doctor("admin-token", "protect", "--apply")[0] == 0
    code, checks = doctor("admin-token")
    assert (code, states(checks, "ok")) == (0, set(checks)), checks


def change(name: str, api: FakeGitHub) -> None:
    """Change one setting, as somebody does by hand."""
    rules = {row["name"]: row for row in api.rulesets}
    checks = next(rule for rule in rules["main"]["rules"] if rule["type"] == "required_status_checks")["parameters"]
    if name == "check renamed":
        checks["required_status_checks"][0]["context"] = "tests"
    if name == "rule removed":
        rules["dev"]["rules"] = [rule for rule in rules["dev"]["rules"] if rule["type"] != "deletion"]
    if name == "ruleset disabled":
        rules["release tags"]["enforcement"] = "disabled"
    if name == "default branch":
        api.default_branch = "develop"
    if name == "actions disabled":
        api.allowed_actions = ""
    if name == "only local actions":
        api.allowed_actions = "local_only"
    if name == "token may write":
        api.permissions["default_workflow_permissions"] = "write"
    if name == "any branch deploys":
        api.environments["production"]["policies"].append({"name": "*", "type": "branch"})
    if name == "tags may not deploy":
        api.environments["staging"]["policies"].pop(0)


CHANGES = {
    "check renamed": ({"ruleset main", "required checks of main"}, "no job reports 'tests': a merge waits for ever"),
    "rule removed": ({"ruleset dev"}, "rules lacks deletion"),
    "ruleset disabled": ({"ruleset release tags"}, "enforcement is 'disabled', expected 'active'"),
    "default branch": ({"default branch"}, "develop"),
    "actions disabled": ({"Actions allowed"}, "disabled"),
    "only local actions": ({"Actions allowed"}, "only this repository's"),
    "token may write": ({"workflow permissions"}, "default_workflow_permissions is 'write', expected 'read'"),
    "any branch deploys": ({"environment production"}, "* may deploy as well"),
    "tags may not deploy": ({"environment staging"}, "v*-rc.* may not deploy"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_by_hand_is_named_with_its_click(doctor: Doctor, api: FakeGitHub, name: str) -> None:
    api.branches.append("dev")
    doctor("admin-token", "protect", "--apply")
    change(name, api)
    code, checks = doctor("admin-token")
    expected, text = CHANGES[name]
    assert (code, states(checks, "differs")) == (2, expected)
    assert any(text in checks[what]["detail"] for what in expected)
    assert all("/settings" in checks[what]["fix"] for what in expected)


def test_a_plan_without_rulesets_is_no_difference(doctor: Doctor, api: FakeGitHub) -> None:
    api.plan_has_rulesets = False
    checks = doctor("admin-token")[1]
    rows = [checks[what] for what in ("ruleset main", "required checks of main")]
    assert [(row["state"], "plan" in row["detail"]) for row in rows] == [("unknown", True)] * 2


@pytest.mark.parametrize(
    ("actual", "wanted", "lines"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["a is 1, expected 2"]),
        ({}, {"a": {"b": 1}}, ["a is missing"]),
        ({"a": ["x"]}, {"a": ["x", "y"]}, ["a lacks y"]),
        ({"a": ["x", "y"]}, {"a": ["x"]}, ["a has y beside what is expected"]),
        ({"r": [{"type": "t", "n": 1}]}, {"r": [{"type": "t", "n": 2}]}, ["r[t].n is 1, expected 2"]),
    ],
)
def test_differences_are_named_by_their_place(actual: Any, wanted: Any, lines: list[str]) -> None:
    assert list(health.differences(actual, wanted)) == lines
