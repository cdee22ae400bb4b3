"""git, as subprocesses: answers as text, a failure as one line; and the commit that identifies a run."""

from __future__ import annotations

import os
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
    told = [line for line in lines if line.startswith(("error:", "fatal:", "remote: error", "! ["))]
    return "; ".join(told) if told else (lines[-1] if lines else "no message")


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
