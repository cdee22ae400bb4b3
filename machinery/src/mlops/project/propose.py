"""The change that `mlops adopt` makes, as a pull request to dev: what the first push of a copy of the template proposes."""

from __future__ import annotations

from pathlib import Path

from mlops import folders, vendored
from mlops.errors import UserError
from mlops.git import compare_link, credentials, fetch_branches, git, identity, repository, run
from mlops.gitflow import approval, branches, github
from mlops.project import adopt
from mlops.project.answers import Answers

BRANCH = "feature/adopt"
TITLE = "Take the machinery as a wheel"
BODY = """The machinery of this project, `machinery/`, becomes one wheel in `vendor/`, pinned by its hash, and the project
gets its name. What is the team's stays as it is, and no workflow changes. From then on `make test` runs the project's own
tests, and `make update` brings later versions.

Everything works without it: close this pull request to keep the source, for example to change it. `mlops adopt` does the
same later."""


def propose(root: Path, answers: Answers) -> str:
    """Push a branch with the change and open its pull request; returns in Markdown what was done, or what a person can do.

    Nothing is done in a project that is thin, has edited the source, or did not begin as a copy.
    """
    if vendored.read(root).folder != adopt.FOLDER:
        return "The machinery is a wheel here already."
    fetch_branches(root)
    if run("rev-parse", "--verify", "--quiet", f"refs/remotes/origin/{BRANCH}", root=root).returncode:
        try:
            _push(root, answers)
        except UserError as error:
            return f"The machinery stays as source: {error}."
    repo = github.connect(repository(root))
    try:
        pull = github.open_pull_request(repo, BRANCH, branches.DEV, TITLE, BODY)
    except github.GitHubError:
        link = compare_link(root, branches.DEV, BRANCH)
        return f"The branch `{BRANCH}` makes this project thin: [open its pull request]({link}).\n\n{BODY}"
    return "\n\n".join(filter(None, [f"The pull request {pull['html_url']} makes this project thin.", approval.hint(pull)]))


def _push(root: Path, answers: Answers) -> None:
    """Make the change in a checkout of dev beside this one, and push it."""
    with folders.work_folder() as folder:
        place = folder / "project"
        git("worktree", "add", "--quiet", "--detach", str(place), f"refs/remotes/origin/{branches.DEV}", root=root)
        try:
            adopt.adopt(place, answers)
            git("add", "--all", "--force", "vendor", root=place)
            git("add", "--all", root=place)
            git("commit", "--quiet", "--message", TITLE, root=place, env=identity(root))
            git("push", "--quiet", "origin", f"HEAD:refs/heads/{BRANCH}", root=place, env=credentials(root))
        finally:
            git("worktree", "remove", "--force", str(place), root=root)
