"""What git says of the working tree: the facts that identify a run."""

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


def run(root: Path, *arguments: str) -> str:
    """The standard output of `git <arguments>` in `root`, stripped.

    Raises UserError with git's own message when the command fails.
    """
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise UserError("git is not installed; install it, as a run is identified by its commit") from None
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"{root}: git {' '.join(arguments[:2])} failed: {reason}") from None
    return done.stdout.strip()


def commit(root: Path) -> Commit:
    """The commit that is checked out.

    On GitHub, where a detached commit is checked out, `GITHUB_HEAD_REF` or `GITHUB_REF_NAME` name the branch.
    Raises UserError where there is no repository or no commit yet.
    """
    try:
        sha = run(root, "rev-parse", "HEAD")
    except UserError as error:
        raise UserError(f"{error}; a run is identified by its commit: git init && git add -A && git commit") from None
    branch = os.environ.get("GITHUB_HEAD_REF") or os.environ.get("GITHUB_REF_NAME") or run(root, "branch", "--show-current")
    return Commit(
        sha=sha,
        branch=branch or "detached",
        dirty=bool(run(root, "status", "--porcelain")),
        author=run(root, "log", "-1", "--format=%an"),
    )
