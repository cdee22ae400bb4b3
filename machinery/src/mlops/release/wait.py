"""The run of the workflow `train` that writes the release record of a commit: how it stands, and what it starts afterwards.

A release does not wait for it on a runner: it looks, ends where training is under way, and is started anew by that run.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mlops.errors import StoreUnreachable, UserError
from mlops.gitflow import github
from mlops.gitflow.branches import VERSION

WORKFLOW, RELEASE = "train.yml", "release.yml"
# What waits for somebody's approval is under way; a run whose jobs were all skipped registered nothing and did not fail.
WORDS = {
    "success": "done",
    "skipped": "skipped",
    "neutral": "skipped",
    "cancelled": "cancelled",
    "action_required": "under way",
}

ENDED = {"failed": "has failed: fix it", "cancelled": "was cancelled: run it again"}


class State(NamedTuple):
    """How the training of a commit stands, and the page of its run: "none", "failed", or a value of WORDS."""

    word: str
    link: str


def state_of(runs: Sequence[dict[str, Any]]) -> State:
    """Return how the runs of a commit stand: the newest one counts."""
    if not runs:
        return State("none", "")
    newest = max(runs, key=lambda run: (run["run_number"], run.get("run_attempt", 1)))
    link = newest.get("html_url", "")
    if newest["status"] != "completed":
        return State("under way", link)
    return State(WORDS.get(newest["conclusion"], "failed"), link)


def for_training(
    repository: github.Repository,
    commit: str,
    timeout: float,
    poll: float,
    say: Callable[[str], None] = lambda message: None,
) -> State:
    """Return how the training of the commit stands when it has ended, or after `timeout`; times in seconds.

    A run that is in its last steps is waited for, as it has looked for tags already. Raises UserError when it has failed or
    was cancelled. A host that does not answer is asked again as long: StoreUnreachable is raised when it still does not.
    """
    began, reported = time.monotonic(), ""
    subject = f"the training of commit {commit[:12]}"
    while True:
        waited = time.monotonic() - began
        try:
            state = _state(repository, commit)
        except StoreUnreachable as error:
            if waited >= timeout:
                raise
            say(f"{error}; asking again")
            time.sleep(poll)
            continue
        if state.word in ("done", "none", "skipped"):
            return state
        if state.word in ("failed", "cancelled"):
            raise UserError(f"{subject} {ENDED[state.word]}, see {state.link}")
        if waited >= timeout:
            return state
        if state.word != reported:
            reported = state.word
            say(f"{subject} is {state.word}: {state.link}")
        time.sleep(poll)


def tags_at(listed: str, commit: str) -> list[str]:
    """Return the release tags that stand at a commit, from what `git ls-remote --tags` lists, sorted.

    An annotated tag is listed twice, its commit under its name with `^{}`.
    """
    matches = re.findall(rf"(?m)^{commit}\trefs/tags/(v[^\s^]+)(?:\^\{{\}})?$", listed)
    return sorted({name for name in matches if re.fullmatch(rf"v{VERSION}(?:-rc\.[1-9]\d*)?", name)})


def resume(repository: github.Repository, tags: Sequence[str], published: Callable[[str], bool]) -> list[str]:
    """Start the workflow `release` on the tags that are not published, and return these."""
    waiting = [tag for tag in tags if not published(tag)]
    for tag in waiting:
        github.call(repository, "POST", f"actions/workflows/{RELEASE}/dispatches", {"ref": tag})
    return waiting


def _state(repository: github.Repository, commit: str) -> State:
    return state_of(github.listed(repository, f"actions/workflows/{WORKFLOW}/runs", key="workflow_runs", head_sha=commit))
