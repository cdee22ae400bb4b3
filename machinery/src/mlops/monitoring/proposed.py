"""Proposals of new data that one job prepares and another pushes, so that only the latter may write to the repository.

What is handed over for a use case is a folder: `proposal.json` (branch, title, body, link, title of the issue) and, where the
branch is new, its commits as a git bundle. Only branches data/* are pushed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mlops import runner
from mlops.errors import UserError
from mlops.git import credentials, git
from mlops.gitflow import approval, branches, github

FACTS, BUNDLE = "proposal.json", "branch.bundle"
BRANCH = re.compile(r"data/[a-z0-9_-]+-\d{4}-\d{2}-\d{2}(?:-\d{6})?")


def set_aside(folder: Path, facts: dict[str, str], checkout: Path | None) -> None:
    """Write a proposal into a folder; `checkout` has the new branch's commits on top of dev, None is for a known branch."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FACTS).write_text(json.dumps(facts, indent=2), encoding="utf-8")
    if checkout:
        file = (folder / BUNDLE).resolve()
        git("bundle", "create", "--quiet", str(file), "HEAD", f"^refs/remotes/origin/{branches.DEV}", root=checkout)


def push(root: Path, folder: Path, repository: github.Repository) -> list[str]:
    """Push what lies below a folder, open its pull requests, and return for each a line of Markdown.

    Raises UserError for a branch that is no proposal's.
    """
    return [_push(root, file.parent, repository) for file in sorted(folder.glob(f"*/{FACTS}"))]


def _push(root: Path, folder: Path, repository: github.Repository) -> str:
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    branch = facts["branch"]
    if not BRANCH.fullmatch(branch):
        raise UserError(f"{folder / FACTS}: {branch!r} is no branch of new data: data/NAME-YYYY-MM-DD")
    if (folder / BUNDLE).is_file():
        git("fetch", "--quiet", str((folder / BUNDLE).resolve()), "HEAD", root=root)
        git("push", "--quiet", "origin", f"FETCH_HEAD:refs/heads/{branch}", root=root, env=credentials(root))
    try:
        pull = github.open_pull_request(repository, branch, branches.DEV, facts["title"], facts["body"])
    except github.GitHubError as refused:
        runner.notice(str(refused))
        return f"- `{branch}`: the token may not open pull requests: [open it]({facts['link']})"
    _name_in_issue(repository, facts, pull["html_url"])
    return f"- `{branch}`: {pull['html_url']} {approval.hint(pull)}".rstrip()


def _name_in_issue(repository: github.Repository, facts: dict[str, Any], address: str) -> None:
    """Put the pull request in the place of the link in our issue of the use case."""
    for issue in filter(github.is_ours, github.listed(repository, "issues", state="open")):
        if issue["title"] == facts["issue"] and "pull_request" not in issue and facts["link"] in (issue["body"] or ""):
            body = issue["body"].replace(facts["link"], address)
            github.call(repository, "PATCH", f"issues/{issue['number']}", {"body": body})
