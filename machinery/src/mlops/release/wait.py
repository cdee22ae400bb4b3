"""Waiting, within bounds, for the run of the workflow `train` that writes the release record of a commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mlops.errors import UserError
from mlops.gitflow import github

WORKFLOW = "train.yml"


class State(NamedTuple):
    """How the training of a commit stands: "none", "under way", "failed" or "done"; and the page of its run."""

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
    return State("done" if newest["conclusion"] == "success" else "failed", link)


def for_training(
    repository: github.Repository,
    commit: str,
    timeout: float,
    poll: float,
    say: Callable[[str], None] = lambda message: None,
) -> State:
    """Return how the training of the commit stands when it has succeeded, or when there is no run of it; times in seconds.

    Raises UserError when it has failed, or is still under way after `timeout`.
    """
    began, said = time.monotonic(), ""
    subject = f"the training of commit {commit[:12]}"
    while True:
        state = state_of(github.listed(repository, f"actions/workflows/{WORKFLOW}/runs", key="workflow_runs", head_sha=commit))
        waited = time.monotonic() - began
        if state.word in ("done", "none"):
            return state
        if state.word == "failed":
            raise UserError(f"{subject} has failed: mend it, see {state.link}")
        if waited >= timeout:
            raise UserError(f"{subject} was not done within {timeout:.0f} s: see {state.link}, then run this again")
        if state.word != said:
            said = state.word
            say(f"{subject} is {state.word}: {state.link}")
        time.sleep(poll)
