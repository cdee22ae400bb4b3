"""The mark in the repository that the store is a tracking server.

GitHub hands no variables to a run for a pull request from a fork: there an empty MLFLOW_TRACKING_URI does not say that no
server is configured. The runs that do get the variable leave the ref `refs/mlops/server`, an empty commit without the address,
so that the others do not take the repository's store, which is out of date then or was never there, for the project's.
"""

from __future__ import annotations

from pathlib import Path

from mlops import runner
from mlops.git import credentials, git, identity, last_words, run
from mlops.tracking_uri import UNTOLD

REF = "refs/mlops/server"


def is_set(root: Path) -> bool:
    """Return whether origin has the mark; an origin that does not answer has none."""
    return bool(run("ls-remote", "origin", REF, root=root, env=credentials(root)).stdout.strip())


def bring_in_line(root: Path, server: bool) -> None:
    """Set or remove the mark in origin after a workflow has written to the store; where that fails, say so and go on."""
    if not runner.event_name() or is_set(root) is server:
        return
    source = _empty_commit(root) if server else ""
    done = run("push", "--quiet", "origin", f"{source}:{REF}", root=root, env=credentials(root))
    if done.returncode:
        runner.notice(f"{REF} could not be {'set' if server else 'removed'}: {last_words(done.stderr)}", "warning")


def leave_unread(root: Path) -> bool:
    """Return whether the store is a server that this run does not know; the later steps of the job then read no other."""
    if not is_set(root):
        return False
    runner.variable(UNTOLD, "true")
    return True


def _empty_commit(root: Path) -> str:
    tree = git("hash-object", "-t", "tree", "-w", "--stdin", root=root, stdin="")
    return git("commit-tree", tree, "-m", "The store is a tracking server", root=root, env=identity(root))
