"""Which workflows an event starts: `on:` evaluated as GitHub does, which the offline runner does not.

Reference: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax (filter patterns)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

PULL_REQUEST_TYPES = ["opened", "synchronize", "reopened"]


def load(file: Path) -> dict[str, Any]:
    """Return a workflow; YAML 1.1 reads the key `on` as true, which is put right."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    if True in content:
        content["on"] = content.pop(True)
    return dict(content)


def started(folder: Path, event: str, ref: str = "", action: str = "", workflow: str = "") -> set[str]:
    """Return the file names of the workflows that an event starts.

    `ref` is the full ref of a push, the base branch of a pull request, the branch of the run that a workflow_run follows, and
    `workflow` that run's name; `action` is the type of the activity.
    """
    return {file.name for file in folder.glob("*.yml") if starts(load(file)["on"], event, ref, action, workflow)}


def starts(on: Any, event: str, ref: str = "", action: str = "", workflow: str = "") -> bool:
    """Return whether one `on:` is started by the event."""
    events = {on: None} if isinstance(on, str) else dict.fromkeys(on) if isinstance(on, list) else on
    if event not in events:
        return False
    filters = events[event] or {}
    if event == "push":
        return _push(filters, ref)
    if event == "workflow_run":
        followed = workflow in filters["workflows"] and action in filters.get("types", [action])
        return followed and fits(ref, filters.get("branches", ["**"]))
    if event == "pull_request" and action not in filters.get("types", PULL_REQUEST_TYPES):
        return False
    return fits(ref, filters["branches"]) if "branches" in filters and ref else True


def fits(name: str, patterns: list[str]) -> bool:
    """Return whether a branch or tag fits; the last pattern that fits decides, `!` takes out again."""
    matched = False
    for pattern in patterns:
        if re.fullmatch(_regex(pattern.removeprefix("!")), name):
            matched = not pattern.startswith("!")
    return matched


def _push(filters: dict[str, Any], ref: str) -> bool:
    branch, tag = ref.startswith("refs/heads/"), ref.startswith("refs/tags/")
    name = ref.split("/", 2)[2]
    if branch and ("branches" in filters or "tags" not in filters):
        return fits(name, filters.get("branches", ["**"]))
    if tag and ("tags" in filters or "branches" not in filters):
        return fits(name, filters.get("tags", ["**"]))
    return False


def _regex(pattern: str) -> str:
    tokens = re.findall(r"\*\*|\*|\?|\+|\[[^\]]+\]|.", pattern)
    return "".join(
        {"**": ".*", "*": "[^/]*", "?": "?", "+": "+"}.get(token, token if token.startswith("[") else re.escape(token))
        for token in tokens
    )
