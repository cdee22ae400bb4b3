"""What needs an administrator's token: rulesets, environments, and the leave of workflows to open pull requests.

Each wish is compared with what is there; applying it twice changes nothing. A plan that lacks a feature answers 403 or 404:
that is reported and the next wish is tried. Reference: https://docs.github.com/en/rest/repos/rules and
…/rest/deployments/environments
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from mlops.errors import UserError
from mlops.gitflow import github

# What may deploy there: a tag by being pushed; main by a dispatch, which redeploys a tag or goes back.
ENVIRONMENTS = {"staging": {"v*-rc.*": "tag", "main": "branch"}, "production": {"v*": "tag", "main": "branch"}}
PERMISSIONS = {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": True}
OPENED_BY_WORKFLOWS = (
    "the back-merge opens its pull request itself; its checks wait for a person's click on `Approve workflows to run`, "
    "unless the secret MLOPS_BOT_TOKEN holds a token of an app"
)


class Outcome(NamedTuple):
    """What became of one wish: "as it is", "would …", "created", "updated" or "not available", and why."""

    what: str
    state: str
    why: str


def wanted_rulesets(folder: Path) -> list[dict[str, Any]]:
    """Return the rulesets kept as JSON in the folder; raise UserError for a file that cannot be read."""
    rulesets = []
    for file in sorted(folder.glob("*.json")):
        try:
            rulesets.append(json.loads(file.read_text(encoding="utf-8")))
        except ValueError as error:
            raise UserError(f"{file}: not JSON ({error})") from error
    return rulesets


def protect(repository: github.Repository, folder: Path, reviewers: list[str], apply: bool) -> list[Outcome]:
    """Return the outcome of every wish; nothing is changed unless `apply`."""
    outcomes = [_ruleset(repository, ruleset, apply) for ruleset in wanted_rulesets(folder)]
    outcomes += [
        _environment(repository, name, patterns, reviewers if name == "production" else [], apply)
        for name, patterns in ENVIRONMENTS.items()
    ]
    return [*outcomes, _permissions(repository, apply)]


def _ruleset(repository: github.Repository, wanted: dict[str, Any], apply: bool) -> Outcome:
    what = f"ruleset {wanted['name']}"
    try:
        listed = github.listed(repository, "rulesets", includes_parents="false")
        current = next((row for row in listed if row["name"] == wanted["name"]), None)
        if current:
            current = github.call(repository, "GET", f"rulesets/{current['id']}")
            if _covers(current, wanted):
                return Outcome(what, "as it is", "")
        if not apply:
            return Outcome(what, "would update" if current else "would create", _rules(wanted))
        if current:
            github.call(repository, "PUT", f"rulesets/{current['id']}", wanted)
            return Outcome(what, "updated", _rules(wanted))
        github.call(repository, "POST", "rulesets", wanted)
        return Outcome(what, "created", _rules(wanted))
    except github.GitHubError as refused:
        return _not_available(what, refused)


def _environment(
    repository: github.Repository, name: str, patterns: dict[str, str], reviewers: list[str], apply: bool
) -> Outcome:
    what = f"environment {name}"
    try:
        policies = deployers(repository, name)
        missing = [pattern for pattern in patterns if pattern not in (policies or [])]
        if policies is not None and not missing and not reviewers:
            return Outcome(what, "as it is", "")
        why = f"deploys {' and '.join(patterns)}" + (f", reviewed by {', '.join(reviewers)}" if reviewers else "")
        if not apply:
            return Outcome(what, "would create" if policies is None else "would update", why)
        people = [{"type": "User", "id": github.call(repository, "GET", f"/users/{login}")["id"]} for login in reviewers]
        wish: dict[str, Any] = {"deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True}}
        github.call(repository, "PUT", f"environments/{name}", {**wish, **({"reviewers": people} if people else {})})
        for pattern in missing:
            rule = {"name": pattern, "type": patterns[pattern]}
            github.call(repository, "POST", f"environments/{name}/deployment-branch-policies", rule)
        return Outcome(what, "created" if policies is None else "updated", why)
    except github.GitHubError as refused:
        return _not_available(what, refused)


def _permissions(repository: github.Repository, apply: bool) -> Outcome:
    what = "workflows may open pull requests"
    try:
        current = github.call(repository, "GET", "actions/permissions/workflow")
        if _covers(current, PERMISSIONS):
            return Outcome(what, "as it is", "")
        if not apply:
            return Outcome(what, "would allow", OPENED_BY_WORKFLOWS)
        github.call(repository, "PUT", "actions/permissions/workflow", PERMISSIONS)
        return Outcome(what, "allowed", OPENED_BY_WORKFLOWS)
    except github.GitHubError as refused:
        return _not_available(what, refused)


def deployers(repository: github.Repository, name: str) -> list[str] | None:
    """Return the patterns that may deploy to an environment, None where the environment is not there."""
    try:
        github.call(repository, "GET", f"environments/{name}")
        listed = github.listed(repository, f"environments/{name}/deployment-branch-policies", key="branch_policies")
    except github.GitHubError as refused:
        if refused.status == 404:
            return None
        raise
    return [row["name"] for row in listed]


def _not_available(what: str, refused: github.GitHubError) -> Outcome:
    needs = (
        "an administrator's token, or a plan that has this" if refused.status in (401, 403, 404) else "a look at the answer"
    )
    return Outcome(what, "not available", f"{refused}: it needs {needs}")


def _covers(current: Any, wanted: Any) -> bool:
    """Return whether what is there says at least all that is wanted; the answer carries fields of its own."""
    if isinstance(wanted, dict):
        return isinstance(current, dict) and all(
            key in current and _covers(current[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        same_length = isinstance(current, list) and len(current) == len(wanted)
        return same_length and all(any(_covers(item, wish) for item in current) for wish in wanted)
    return bool(current == wanted)


def _rules(ruleset: dict[str, Any]) -> str:
    return ", ".join(rule["type"] for rule in ruleset["rules"])
