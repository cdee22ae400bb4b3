"""Whether GitHub has what the files of a repository expect: rulesets, environments, settings; each difference with its click.

Everything is read, nothing is changed, so that a token that may only read is enough. What such a token cannot see is unknown,
with the page to look at. Reference: https://docs.github.com/en/rest/repos/rules, …/rest/actions/permissions
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mlops.gitflow import github, protect
from mlops.gitflow.branches import DEV, MAIN

OK, DIFFERS, UNKNOWN = "ok", "differs", "unknown"
PLAN = "Upgrade to GitHub"


class Check(NamedTuple):
    """One thing that was compared: its state, what GitHub has, and the page and click that fix it."""

    what: str
    state: str
    detail: str
    fix: str = ""


def examine(repository: github.Repository, folder: Path) -> list[Check]:
    """Return every check of a repository against the rulesets in `folder` and what the workflows need."""
    checks = [_branches(repository), _dev(repository), _actions(repository), _token(repository)]
    checks += [_ruleset(repository, wanted) for wanted in protect.wanted_rulesets(folder)]
    checks += [_required(repository, branch, _contexts(protect.wanted_rulesets(folder), branch)) for branch in (MAIN, DEV)]
    return checks + [_environment(repository, name, patterns) for name, patterns in protect.ENVIRONMENTS.items()]


def differences(actual: Any, wanted: Any, place: str = "") -> Iterator[str]:
    """Yield where `actual` lacks or contradicts what is wanted, a line each; fields that only GitHub has are none."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            below = f"{place}.{key}" if place else key
            if not isinstance(actual, dict) or key not in actual:
                yield f"{below} is missing"
            else:
                yield from differences(actual[key], value, below)
    elif isinstance(wanted, list):
        yield from _list_differences(actual if isinstance(actual, list) else [], wanted, place)
    elif actual != wanted:
        yield f"{place} is {actual!r}, expected {wanted!r}"


def _list_differences(actual: list[Any], wanted: list[Any], place: str) -> Iterator[str]:
    known = {_identity(item): item for item in actual}
    for item in wanted:
        name = _identity(item)
        if name not in known:
            yield f"{place} lacks {name}"
        else:
            yield from differences(known[name], item, f"{place}[{name}]")
    for name in known.keys() - {_identity(item) for item in wanted}:
        yield f"{place} has {name} beside what is expected"


def _identity(item: Any) -> str:
    return str(item.get("type") or item.get("context") or item) if isinstance(item, dict) else str(item)


def _branches(repository: github.Repository) -> Check:
    default = github.call(repository, "GET", "")["default_branch"]
    why = f"workflows by schedule and by hand are taken from it, `Use this template` copies it: set {MAIN}"
    fix = "" if default == MAIN else f"{_page(repository, 'settings')} → Default branch ⇄: {why}"
    return Check("default branch", OK if default == MAIN else DIFFERS, default, fix)


def _dev(repository: github.Repository) -> Check:
    try:
        github.call(repository, "GET", f"branches/{DEV}")
    except github.GitHubError as refused:
        if refused.status != 404:
            return _unknown(f"branch {DEV}", refused, _page(repository, "branches"))
        link = _page(repository, "actions/workflows/bootstrap.yml")
        return Check(f"branch {DEV}", DIFFERS, "missing", f"{link} → Run workflow: it creates {DEV} from {MAIN}")
    return Check(f"branch {DEV}", OK, "there")


def _actions(repository: github.Repository) -> Check:
    what, page = "Actions allowed", _page(repository, "settings/actions")
    try:
        settings = github.call(repository, "GET", "actions/permissions")
    except github.GitHubError as refused:
        return _unknown(what, refused, page)
    if not settings.get("enabled"):
        return Check(what, DIFFERS, "disabled", f"{page} → Actions permissions: allow actions")
    allowed = settings.get("allowed_actions", "all")
    if allowed == "local_only":
        return Check(
            what, DIFFERS, "only this repository's", f"{page} → Allow all actions: the workflows use pinned actions of others"
        )
    return Check(what, OK, allowed)


def _token(repository: github.Repository) -> Check:
    what, page = "workflow permissions", _page(repository, "settings/actions")
    try:
        settings = github.call(repository, "GET", "actions/permissions/workflow")
    except github.GitHubError as refused:
        return _unknown(what, refused, f"{page} → Workflow permissions")
    differing = list(differences(settings, protect.PERMISSIONS))
    fix = f"{page} → Workflow permissions: read; allow GitHub Actions to create pull requests (else an issue holds the link)"
    return Check(what, DIFFERS if differing else OK, "; ".join(differing) or "as expected", fix if differing else "")


def _ruleset(repository: github.Repository, wanted: dict[str, Any]) -> Check:
    what, page = f"ruleset {wanted['name']}", _page(repository, "settings/rules")
    try:
        rows = github.listed(repository, "rulesets", includes_parents="false")
        row = next((row for row in rows if row["name"] == wanted["name"]), None)
        if row is None:
            return Check(what, DIFFERS, "missing", f"{page} → New ruleset → Import a ruleset, or make protect APPLY=1")
        differing = list(differences(github.call(repository, "GET", f"rulesets/{row['id']}"), wanted))
    except github.GitHubError as refused:
        return _unknown(what, refused, page)
    fix = f"{page}/{row['id']}, or make protect APPLY=1"
    return Check(what, DIFFERS if differing else OK, "; ".join(differing) or "as expected", fix if differing else "")


def _required(repository: github.Repository, branch: str, expected: set[str]) -> Check:
    """Compare the checks that a merge into a branch waits for, by whatever rule, with those that the workflows report."""
    what, page = f"required checks of {branch}", _page(repository, "settings/rules")
    try:
        rules = github.listed(repository, f"rules/branches/{branch}")
    except github.GitHubError as refused:
        return _unknown(what, refused, page)
    required = _names(rules)
    problems = [f"no job reports {name!r}: a merge waits for ever" for name in sorted(required - expected)]
    problems += [f"{name!r} is not required" for name in sorted(expected - required)]
    shown = "; ".join(problems) or ", ".join(sorted(required)) or "none"
    return Check(what, DIFFERS if problems else OK, shown, f"{page} → the rulesets of {branch}" if problems else "")


def _environment(repository: github.Repository, name: str, patterns: dict[str, str]) -> Check:
    what, page = f"environment {name}", _page(repository, "settings/environments")
    try:
        allowed = protect.deployers(repository, name)
    except github.GitHubError as refused:
        return _unknown(what, refused, page)
    if allowed is None:
        return Check(
            what,
            DIFFERS,
            "missing: any branch could deploy there",
            f"{page} → New environment {name}, or make protect APPLY=1",
        )
    lacking = [pattern for pattern in patterns if pattern not in allowed]
    more = [pattern for pattern in allowed if pattern not in patterns]
    differing = [f"{pattern} may not deploy" for pattern in lacking] + [f"{pattern} may deploy as well" for pattern in more]
    fix = f"{page} → {name} → Deployment branches and tags: {', '.join(patterns)}"
    return Check(what, DIFFERS if differing else OK, "; ".join(differing) or ", ".join(allowed), fix if differing else "")


def _contexts(rulesets: list[dict[str, Any]], branch: str) -> set[str]:
    named = [ruleset for ruleset in rulesets if f"refs/heads/{branch}" in ruleset["conditions"]["ref_name"]["include"]]
    return {name for ruleset in named for name in _names(ruleset["rules"])}


def _names(rules: list[dict[str, Any]]) -> set[str]:
    parameters = [rule.get("parameters", {}) for rule in rules if rule["type"] == "required_status_checks"]
    return {check["context"] for item in parameters for check in item.get("required_status_checks", [])}


def _unknown(what: str, refused: github.GitHubError, page: str) -> Check:
    if PLAN in str(refused):
        return Check(
            what, UNKNOWN, "the plan of this repository has none", f"{page}: public repositories and paid plans have it"
        )
    return Check(what, UNKNOWN, f"the token may not see it ({refused.status})", f"look at {page}")


def _page(repository: github.Repository, path: str) -> str:
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com").rstrip("/")
    return f"{server}/{repository.name}/{path}"
