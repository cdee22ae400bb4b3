"""git, as subprocesses: answers as text, a failure as one line; and the commit that identifies a run.

A token never stands on a command line or in a file.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mlops.errors import UserError


@dataclass(frozen=True)
class Commit:
    """The state of the code: `dirty` when a file differs from the commit or is not in it."""

    sha: str
    branch: str
    dirty: bool
    author: str


def git(*arguments: str, root: Path, check: bool = True, env: dict[str, str] | None = None, stdin: str | None = None) -> str:
    """Return what git says on standard output, stripped; raise UserError with git's own last words when it fails."""
    done = run(*arguments, root=root, env=env, stdin=stdin)
    if check and done.returncode:
        if "origin" in arguments and not run("remote", root=root).stdout.strip():
            raise UserError(f"{root} has no remote: git remote add origin ADDRESS && git push -u origin HEAD")
        raise UserError(f"git {arguments[0]} failed in {root}: {last_words(done.stderr)}")
    return done.stdout.strip()


def run(
    *arguments: str, root: Path, env: dict[str, str] | None = None, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run git in `root` and return the finished process, whatever its exit code."""
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=root,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise UserError("git is not installed, or the project folder is gone: install git 2.38 or newer") from error


def last_words(stderr: str) -> str:
    """Return git's message in one line: its lines of error, fatal or rejection, else the last one."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("error:", "fatal:", "remote: error", "! ["))]
    return "; ".join(errors) if errors else (lines[-1] if lines else "no message")


def commit(root: Path) -> Commit:
    """The commit that is checked out.

    On GitHub, where a detached commit is checked out, `GITHUB_HEAD_REF` or `GITHUB_REF_NAME` name the branch.
    Raises UserError where there is no repository or no commit yet.
    """
    try:
        sha = git("rev-parse", "HEAD", root=root)
    except UserError as error:
        raise UserError(f"{error}; a run is identified by its commit: git init && git add -A && git commit") from None
    branch = (
        os.environ.get("GITHUB_HEAD_REF") or os.environ.get("GITHUB_REF_NAME") or git("branch", "--show-current", root=root)
    )
    return Commit(
        sha=sha,
        branch=branch or "detached",
        dirty=bool(git("status", "--porcelain", root=root)),
        author=git("log", "-1", "--format=%an", root=root),
    )


def project_root() -> Path:
    """Return the top folder of the checkout that a command is about; raise UserError outside of one."""
    start = Path(os.environ.get("MLOPS_PROJECT") or ".").resolve()
    done = run("rev-parse", "--show-toplevel", root=start)
    if done.returncode:
        raise UserError(f"{start} is in no git repository: change into the project, or give --project DIR")
    return Path(done.stdout.strip())


def credentials(root: Path, remote: str = "origin") -> dict[str, str]:
    """Return the environment that lets git reach a GitHub remote with the token in GITHUB_TOKEN or GH_TOKEN.

    Workflows check out without keeping credentials, so that no later step finds them in .git/config; what needs the remote
    gets the token as a header for this one process. Empty where there is no token or the remote is not on HTTPS.
    """
    token = os.environ.get("GITHUB_TOKEN") or os.environ.get("GH_TOKEN")
    url = run("remote", "get-url", remote, root=root).stdout.strip()
    match = re.match(r"(https://[^/@]+/)", url)
    if not token or not match or not in_actions():
        return {}
    header = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{match[1]}.extraheader",
        "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {header}",
    }


def fetch_branches(root: Path) -> None:
    """Bring what origin's branches are now, and forget those that are gone."""
    refspec = "+refs/heads/*:refs/remotes/origin/*"
    git("fetch", "--quiet", "--prune", "origin", refspec, root=root, env=credentials(root))


def in_actions() -> bool:
    """Return whether this runs in a GitHub Actions job."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def identity(root: Path) -> dict[str, str]:
    """Return author and committer for a commit made by a command: git's own configuration, else the actor of the workflow."""
    if run("config", "user.email", root=root).stdout.strip():
        return {}
    actor = os.environ.get("GITHUB_ACTOR") or "mlops"
    email = f"{actor}@users.noreply.github.com"
    return {
        f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in (("NAME", actor), ("EMAIL", email))
    }


def current_branch(root: Path) -> str:
    """Return the branch that is checked out; raise UserError on a detached head."""
    branch = git("branch", "--show-current", root=root)
    if not branch:
        raise UserError(f"no branch is checked out in {root}: git switch to one, or give --head")
    return branch


def exists(reference: str, root: Path) -> bool:
    """Return whether a reference names a commit."""
    return run("rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}", root=root).returncode == 0


def text_at(reference: str, path: str, root: Path) -> str:
    """Return a file's text in a commit, "" where it has no such file."""
    done = run("show", f"{reference}:{path}", root=root)
    return done.stdout if done.returncode == 0 else ""


def tags(root: Path) -> list[str]:
    """Return the names of all tags."""
    return git("tag", "--list", root=root).split()


def compare_link(root: Path, base: str, head: str) -> str:
    """Return the address of the page that opens a pull request, "" where the remote is not a host that has such pages."""
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com").rstrip("/")
    name = repository(root)
    return f"{server}/{name}/compare/{base}...{head}?expand=1" if name else ""


def repository(root: Path, remote: str = "origin") -> str:
    """Return owner/name of the project on GitHub: GITHUB_REPOSITORY, else by the address of the remote; "" if none."""
    if os.environ.get("GITHUB_REPOSITORY"):
        return os.environ["GITHUB_REPOSITORY"]
    url = run("config", "--get", f"remote.{remote}.url", root=root).stdout.strip()
    match = re.match(r"(?:https?://(?:[^/@]+@)?|ssh://git@|git@)[^/:]+[:/]([^/]+/[^/]+?)(?:\.git)?/?$", url)
    return match[1] if match else ""
