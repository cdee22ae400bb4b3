"""The payloads of the events, as far as the workflows read them."""

from __future__ import annotations

from typing import Any

from fake_github import NAME

REPOSITORY = {"full_name": NAME, "default_branch": "main", "private": False, "is_template": False}


def push(branch: str, created: bool = False, commit: str = "", before: str = "") -> dict[str, Any]:
    """Return the payload of a push to a branch."""
    head = {"id": commit, "message": f"push to {branch}"}
    commits = {"before": before, "after": commit, "head_commit": head}
    return {"ref": f"refs/heads/{branch}", "created": created, **commits, "repository": REPOSITORY}


def tag(name: str) -> dict[str, Any]:
    """Return the payload of a tag that is pushed."""
    return {"ref": f"refs/tags/{name}", "created": True, "head_commit": {"message": name}, "repository": REPOSITORY}


def dispatch(branch: str, **inputs: str) -> dict[str, Any]:
    """Return the payload of a workflow that is started by hand."""
    return {"ref": f"refs/heads/{branch}", "inputs": inputs, "repository": REPOSITORY}


def pull_request(head: str, base: str, head_sha: str, base_sha: str, owner: str = "ada", changed: str = "") -> dict[str, Any]:
    """Return the payload of a pull request that is opened, or of which this was edited; `owner` other than ada is a fork."""
    return {
        **({"action": "edited", "changes": {changed: {"from": ""}}} if changed else {"action": "opened"}),
        "number": 1,
        "repository": REPOSITORY,
        "pull_request": {
            "number": 1,
            "head": {"ref": head, "sha": head_sha, "repo": {"full_name": f"{owner}/demo"}},
            "base": {"ref": base, "sha": base_sha, "repo": {"full_name": NAME}},
        },
    }


def workflow_run(head: str, head_sha: str, owner: str = "ada") -> dict[str, Any]:
    """Return the payload that follows a run of the workflow for pull requests."""
    run = {
        "id": 1,
        "event": "pull_request",
        "conclusion": "success",
        "head_branch": head,
        "head_sha": head_sha,
        "head_repository": {"full_name": f"{owner}/demo", "owner": {"login": owner}},
        "html_url": f"https://github.com/{NAME}/actions/runs/1",
    }
    return {"action": "completed", "repository": REPOSITORY, "workflow_run": run}


def trained(branch: str, conclusion: str = "success", is_template: bool = False) -> dict[str, Any]:
    """Return the payload that follows a training on a branch."""
    run = {"id": 1, "event": "push", "conclusion": conclusion, "head_branch": branch}
    return {"action": "completed", "repository": {**REPOSITORY, "is_template": is_template}, "workflow_run": run}
