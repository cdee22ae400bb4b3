"""The part of GitHub's REST API that the workflows use, over the standard library.

Addresses and tokens come from the variables that every workflow has: GITHUB_API_URL, GITHUB_REPOSITORY, GITHUB_TOKEN.
Reference: https://docs.github.com/en/rest
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, NamedTuple

from mlops.errors import StoreUnreachable, UserError

TIMEOUT = 30
PAGES = 20
# Who writes with the token of a workflow or of an app is a bot; with a person's token it is somebody of the project.
TRUSTED = ("OWNER", "MEMBER", "COLLABORATOR")


class GitHubError(UserError):
    """Raised when GitHub answers 4xx: `status` is the code. The token, the plan or a setting does not allow it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Repository(NamedTuple):
    """One repository behind the API: its address, owner/name and the token to send ("" sends none)."""

    api: str
    name: str
    token: str


def connect(name: str) -> Repository:
    """Return the repository `name` (owner/name) at the API that the environment names; raise UserError without a name."""
    if not name:
        raise UserError(
            "the repository on GitHub is not known: set GITHUB_REPOSITORY=owner/name or a remote `origin` on GitHub"
        )
    api = os.environ.get("GITHUB_API_URL") or "https://api.github.com"
    return Repository(api.rstrip("/"), name, os.environ.get("GITHUB_TOKEN") or os.environ.get("GH_TOKEN") or "")


def call(repository: Repository, method: str, path: str, body: Any = None, **query: str | int) -> Any:
    """Return the JSON answer of one request on /repos/<owner>/<name>/<path>, or on the path itself where it begins with a
    slash.

    Raises GitHubError for an answer 4xx, StoreUnreachable for 5xx or no answer.
    """
    place = path if path.startswith("/") else f"/repos/{repository.name}/{path}".rstrip("/")
    url = repository.api + place
    if query:
        url += "?" + urllib.parse.urlencode(query)
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Accept", "application/vnd.github+json")
    request.add_header("X-GitHub-Api-Version", "2022-11-28")
    request.add_header("Content-Type", "application/json")
    if repository.token:
        request.add_header("Authorization", f"Bearer {repository.token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            text = answer.read().decode("utf-8")
    except urllib.error.HTTPError as error:
        message = _message(error)
        if error.code >= 500:
            raise StoreUnreachable(f"GitHub answered {error.code} to {method} {url}: {message}; run it again later") from error
        raise GitHubError(
            error.code, f"GitHub refused {method} {path or repository.name} ({error.code}): {message}"
        ) from error
    except OSError as error:
        raise StoreUnreachable(f"GitHub does not answer at {repository.api}: {error}; check the network") from error
    return json.loads(text) if text.strip() else None


def listed(repository: Repository, path: str, key: str = "", **query: str | int) -> list[Any]:
    """Return all pages of a list; `key` names the field that holds it where the answer is an object."""
    items: list[Any] = []
    for page in range(1, PAGES + 1):
        answer = call(repository, "GET", path, per_page=100, page=page, **query)
        rows = answer.get(key, []) if key else answer
        items += rows
        if len(rows) < 100:
            break
    return items


def open_pull_request(repository: Repository, head: str, base: str, title: str, body: str) -> dict[str, Any]:
    """Return the open pull request from head to base, opened now if none is; raise GitHubError where the token may not."""
    owner = repository.name.split("/")[0]
    open_already = listed(repository, "pulls", state="open", base=base, head=f"{owner}:{head}")
    if open_already:
        return dict(open_already[0])
    return dict(call(repository, "POST", "pulls", {"title": title, "head": head, "base": base, "body": body}))


def is_ours(item: dict[str, Any]) -> bool:
    """Return whether a bot or somebody of the project wrote an issue or comment, not a stranger who copies its title."""
    return (item.get("user") or {}).get("type") == "Bot" or item.get("author_association") in TRUSTED


def open_issue(repository: Repository, title: str, body: str) -> dict[str, Any]:
    """Return our open issue of this title, opened now or brought up to date; a stranger's of that title is left alone."""
    for issue in listed(repository, "issues", state="open"):
        if issue["title"] == title and "pull_request" not in issue and is_ours(issue):
            return dict(call(repository, "PATCH", f"issues/{issue['number']}", {"body": body}))
    return dict(call(repository, "POST", "issues", {"title": title, "body": body}))


def close_issues(repository: Repository, title: str) -> int:
    """Close our open issues of this title, whose reason is gone; return how many there were."""
    closed = 0
    for issue in listed(repository, "issues", state="open"):
        if issue["title"] == title and "pull_request" not in issue and is_ours(issue):
            call(repository, "PATCH", f"issues/{issue['number']}", {"state": "closed", "state_reason": "completed"})
            closed += 1
    return closed


def put_comment(repository: Repository, number: int, marker: str, body: str) -> str:
    """Write our one comment that begins with `marker` on an issue or pull request; return "created" or "updated"."""
    text = f"{marker}\n{body}"
    for comment in listed(repository, f"issues/{number}/comments"):
        if comment["body"].startswith(marker) and is_ours(comment):
            call(repository, "PATCH", f"issues/comments/{comment['id']}", {"body": text})
            return "updated"
    call(repository, "POST", f"issues/{number}/comments", {"body": text})
    return "created"


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read().decode("utf-8")).get("message", error.reason))
    except (ValueError, AttributeError):
        return str(error.reason)
