"""GitHub's REST API as far as the workflows use it, on loopback, in the state of a fresh repository.

What a request may do hangs on its token: "workflow-token" is that of a run (no pull requests, no settings), "fork" the
read-only token of a run for a fork, "app-token" one that may open pull requests, "admin-token" an administrator's.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

NAME = "ada/demo"
WRITERS = ("workflow-token", "app-token", "admin-token")
Answer = tuple[int, Any]


class FakeGitHub:
    """The state of one repository; every request is noted as (method, path, token)."""

    def __init__(self) -> None:
        self.pulls: list[dict[str, Any]] = []
        self.issues: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.rulesets: list[dict[str, Any]] = []
        self.environments: dict[str, dict[str, Any]] = {}
        self.permissions = {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False}
        self.jobs: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.releases: list[dict[str, Any]] = []
        self.assets: dict[int, bytes] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.dispatched: list[tuple[str, str]] = []
        self.plan_has_rulesets = True
        self.outages = 0
        self.default_branch = "main"
        self.branches = ["main"]
        self.allowed_actions = "all"
        self.url = ""
        self.lock = threading.Lock()

    def add_pull(self, head: str, base: str, sha: str = "", owner: str = "ada", title: str = "") -> dict[str, Any]:
        """Open a pull request, as a person does by hand."""
        number = len(self.pulls) + len(self.issues) + 1
        pull = {
            "number": number,
            "state": "open",
            "title": title,
            "head": {"ref": head, "sha": sha, "repo": {"full_name": f"{owner}/demo"}, "label": f"{owner}:{head}"},
            "base": {"ref": base, "repo": {"full_name": NAME}},
            "html_url": f"https://github.com/{NAME}/pull/{number}",
        }
        self.pulls.append(pull)
        return pull

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, token: str) -> Answer:
        """Return status and JSON of one request."""
        with self.lock:
            self.requests.append((method, path, token))
            if self.outages:
                self.outages -= 1
                return 502, {"message": "Server Error"}
            if method != "GET" and token == "fork-token":
                return 403, {"message": "Resource not accessible by integration"}
            for pattern, handle in ROUTES:
                match = re.fullmatch(pattern, f"{method} {path.removeprefix(f'/repos/{NAME}')}")
                if match:
                    return handle(self, match, query, body, token)
        return 404, {"message": "Not Found"}


def author(token: str) -> dict[str, Any]:
    """Who has written something, as GitHub says it: a bot for the tokens of runs and apps, a person for the others."""
    if token in ("workflow-token", "app-token"):
        return {"user": {"login": "github-actions[bot]", "type": "Bot"}, "author_association": "NONE"}
    return {"user": {"login": "ada", "type": "User"}, "author_association": "OWNER"}


def list_pulls(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    rows = [row for row in fake.pulls if row["state"] == query.get("state", "open")]
    rows = [row for row in rows if query.get("head", row["head"]["label"]) == row["head"]["label"]]
    return 200, _page([row for row in rows if query.get("base", row["base"]["ref"]) == row["base"]["ref"]], query)


def create_pull(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    if token != "app-token" and not fake.permissions["can_approve_pull_request_reviews"]:
        return 403, {"message": "GitHub Actions is not permitted to create or approve pull requests."}
    login = "github-actions[bot]" if token == "workflow-token" else "ada-app[bot]"
    pull = fake.add_pull(body["head"], body["base"], title=body["title"])
    pull.update(body=body["body"], user={"login": login, "type": "Bot"})
    return 201, pull


def list_issues(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    rows = [row for row in fake.issues if row["state"] == "open"]
    rows += [{**row, "pull_request": {}} for row in fake.pulls if row["state"] == "open"]
    return 200, _page(rows, query)


def create_issue(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    number = len(fake.pulls) + len(fake.issues) + 1
    page = f"https://github.com/{NAME}/issues/{number}"
    fake.issues.append({"number": number, "state": "open", "html_url": page, **author(token), **body})
    return 201, fake.issues[-1]


def update_issue(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    issue = next(row for row in fake.issues if row["number"] == int(match[1]))
    issue.update(body)
    return 200, issue


def list_comments(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    return 200, _page([row for row in fake.comments if row["issue"] == int(match[1])], query)


def create_comment(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    fake.comments.append({"id": len(fake.comments) + 1, "issue": int(match[1]), **author(token), **body})
    return 201, fake.comments[-1]


def update_comment(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    comment = next(row for row in fake.comments if row["id"] == int(match[1]))
    comment.update(body)
    return 200, comment


def list_rulesets(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    if not fake.plan_has_rulesets:
        return 403, {"message": "Upgrade to GitHub Pro or make this repository public to enable this feature."}
    return 200, _page([{"id": row["id"], "name": row["name"]} for row in fake.rulesets], query)


def read_ruleset(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    return 200, next(row for row in fake.rulesets if row["id"] == int(match[1]))


def write_ruleset(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    if token != "admin-token":
        return 403, {"message": "Resource not accessible by integration"}
    if match[0].startswith("POST"):
        fake.rulesets.append({"id": len(fake.rulesets) + 1, "source": NAME, **body})
        return 201, fake.rulesets[-1]
    ruleset = next(row for row in fake.rulesets if row["id"] == int(match[1]))
    ruleset.update(body)
    return 200, ruleset


def read_environment(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    return (200, {"name": match[1]}) if match[1] in fake.environments else (404, {"message": "Not Found"})


def write_environment(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    if token != "admin-token":
        return 403, {"message": "Resource not accessible by integration"}
    fake.environments.setdefault(match[1], {"policies": []}).update(body)
    return 200, {"name": match[1]}


def policies(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    environment = fake.environments[match[1]]
    if body:
        environment["policies"].append(body)
    return 200, {"branch_policies": _page(environment["policies"], query)}


def workflow_permissions(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    if token != "admin-token":
        return 403, {"message": "Resource not accessible by integration"}
    fake.permissions.update(body or {})
    return 200, fake.permissions


def read_repository(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    return 200, {"full_name": NAME, "default_branch": fake.default_branch, "private": False}


def read_branch(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    return (200, {"name": match[1]}) if match[1] in fake.branches else (404, {"message": "Branch not found"})


def actions_permissions(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    if token != "admin-token":
        return 403, {"message": "Resource not accessible by integration"}
    return 200, {"enabled": fake.allowed_actions != "", "allowed_actions": fake.allowed_actions}


def branch_rules(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    if not fake.plan_has_rulesets:
        return list_rulesets(fake, match, query, body, token)
    named = [row for row in fake.rulesets if f"refs/heads/{match[1]}" in row["conditions"]["ref_name"]["include"]]
    return 200, _page([rule for row in named for rule in row["rules"]], query)


def list_jobs(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    return 200, {"jobs": _page(fake.jobs, query)}


def list_runs(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    rows = [row for row in fake.runs if row["head_sha"] == query.get("head_sha", row["head_sha"])]
    rows = [row for row in rows if row["path"] == f".github/workflows/{match[1]}"]
    return 200, {"total_count": len(rows), "workflow_runs": _page(rows, query)}


def dispatch(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    fake.dispatched.append((match[1], body["ref"]))
    return 204, None


def list_releases(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    writes = token in WRITERS
    return 200, _page([row for row in fake.releases if writes or not row["draft"]], query)


def create_release(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    if any(row["tag_name"] == body["tag_name"] and not row["draft"] for row in fake.releases):
        return 422, {"message": "Validation Failed: tag_name already_exists"}
    number = len(fake.releases) + 1
    place = f"{fake.url}/repos/{NAME}/releases/{number}/assets"
    release = {"id": number, "draft": False, "prerelease": False, "assets": [], "upload_url": f"{place}{{?name,label}}"}
    page = f"https://github.com/{NAME}/releases/tag/{body['tag_name']}"
    fake.releases.append({**release, "html_url": page, **body})
    return 201, fake.releases[-1]


def update_release(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    release = next(row for row in fake.releases if row["id"] == int(match[1]))
    release.update(body)
    return 200, release


def add_asset(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    release = next(row for row in fake.releases if row["id"] == int(match[1]))
    if query["name"] in [row["name"] for row in release["assets"]]:
        return 422, {"message": "Validation Failed: name already_exists"}
    number = len(fake.assets) + 1
    fake.assets[number] = body
    url = f"{fake.url}/repos/{NAME}/releases/assets/{number}"
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    release["assets"].append({"id": number, "name": query["name"], "size": len(body), "digest": digest, "url": url})
    return 201, release["assets"][-1]


def read_asset(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    return 200, fake.assets[int(match[1])]


def remove_asset(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    for release in fake.releases:
        release["assets"] = [row for row in release["assets"] if row["id"] != int(match[1])]
    return 204, None


def create_status(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    """https://docs.github.com/en/rest/commits/statuses: whoever may push; the author is that of the token."""
    if token not in WRITERS or len(body["description"]) > 140:
        return (403, {"message": "Resource not accessible by integration"}) if token not in WRITERS else (422, {})
    bots = {"workflow-token": "github-actions[bot]", "app-token": "ada-app[bot]"}
    creator = {"login": bots.get(token, "ada"), "type": "Bot" if token in bots else "User"}
    fake.statuses.insert(0, {"id": len(fake.statuses) + 1, "sha": match[1], "creator": creator, **body})
    return 201, fake.statuses[0]


def list_statuses(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    """The newest first."""
    return 200, _page([row for row in fake.statuses if row["sha"] == match[1]], query)


def read_user(fake: FakeGitHub, match: re.Match[str], query: dict[str, str], body: Any, token: str) -> Answer:
    return 200, {"login": match[1], "id": 4711}


ROUTES: list[tuple[str, Callable[[FakeGitHub, re.Match[str], dict[str, str], Any, str], Answer]]] = [
    ("GET ", read_repository),
    (r"GET /branches/(\w+)", read_branch),
    ("GET /actions/permissions", actions_permissions),
    (r"GET /rules/branches/(\w+)", branch_rules),
    ("GET /pulls", list_pulls),
    ("POST /pulls", create_pull),
    ("GET /issues", list_issues),
    ("POST /issues", create_issue),
    (r"PATCH /issues/(\d+)", update_issue),
    (r"GET /issues/(\d+)/comments", list_comments),
    (r"POST /issues/(\d+)/comments", create_comment),
    (r"PATCH /issues/comments/(\d+)", update_comment),
    ("GET /rulesets", list_rulesets),
    (r"GET /rulesets/(\d+)", read_ruleset),
    (r"POST /rulesets|PUT /rulesets/(\d+)", write_ruleset),
    (r"GET /environments/(\w+)", read_environment),
    (r"PUT /environments/(\w+)", write_environment),
    (r"(?:GET|POST) /environments/(\w+)/deployment-branch-policies", policies),
    ("(?:GET|PUT) /actions/permissions/workflow", workflow_permissions),
    (r"GET /actions/runs/\w+/jobs", list_jobs),
    (r"GET /actions/workflows/([\w.-]+)/runs", list_runs),
    (r"POST /actions/workflows/([\w.-]+)/dispatches", dispatch),
    (r"POST /statuses/(\w+)", create_status),
    (r"GET /commits/(\w+)/statuses", list_statuses),
    ("GET /releases", list_releases),
    ("POST /releases", create_release),
    (r"PATCH /releases/(\d+)", update_release),
    (r"POST /releases/(\d+)/assets", add_asset),
    (r"GET /releases/assets/(\d+)", read_asset),
    (r"DELETE /releases/assets/(\d+)", remove_asset),
    (r"GET /users/(\w+)", read_user),
]


def _page(rows: list[Any], query: dict[str, str]) -> list[Any]:
    size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
    return rows[(page - 1) * size : page * size]


@contextmanager
def serve() -> Iterator[FakeGitHub]:
    """Serve a fresh repository's API on a port that the system chooses, as long as the block lasts."""
    fake = FakeGitHub()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            url = urlsplit(self.path)
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            plain = url.path.endswith("/assets")
            body = text if plain else json.loads(text) if text else None
            status, answer = fake.answer(self.command, url.path, query, body, token)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
