"""After a release, main goes back into dev: whether there is anything to bring, and the text of its pull request."""

from __future__ import annotations

from typing import Any, NamedTuple

from mlops.gitflow.branches import DEV, MAIN

TITLE = "Back-merge main into dev"


class Decision(NamedTuple):
    """What to do: "skip", "create" (dev is missing) or "propose"; the branch to push; why, in one line."""

    action: str
    branch: str
    reason: str


def decide(main_commit: str, dev_tree: str, merged_tree: str, conflicts: tuple[str, ...] = ()) -> Decision:
    """Return what is to be done when main stands at `main_commit`.

    `dev_tree` is the tree of dev ("" where dev does not exist) and `merged_tree` the tree that merging main into it gives.
    Trees are compared, not histories: a back-merge that was squashed leaves main outside the history of dev for ever, and
    would be proposed again and again.
    """
    if not dev_tree:
        return Decision("create", DEV, f"{DEV} does not exist: it is created from {MAIN}")
    branch = f"backmerge/{MAIN}-{main_commit[:12]}"
    if conflicts:
        return Decision("propose", branch, f"{len(conflicts)} conflicting files to settle: {', '.join(sorted(conflicts))}")
    if merged_tree == dev_tree:
        return Decision("skip", "", f"{DEV} already holds all of {MAIN}")
    return Decision("propose", branch, f"{MAIN} has changes that {DEV} has not")


def body(decision: Decision, main_commit: str) -> str:
    """Return the Markdown text of the pull request."""
    lines = [
        f"{MAIN} stands at {main_commit}; this brings it back into {DEV}.",
        "",
        f"{decision.reason[:1].upper()}{decision.reason[1:]}.",
    ]
    if "conflicting" in decision.reason:
        lines += [
            "",
            "Settle them on this branch:",
            "",
            "```",
            f"git fetch origin && git switch {decision.branch}",
            f"git merge origin/{DEV}",
            "git push",
            "```",
        ]
    return "\n".join(lines) + "\n"


def issue_body(decision: Decision, main_commit: str, link: str) -> str:
    """Return the Markdown text of the issue that stands in where pull requests may not be opened by the workflow."""
    return (
        f"{body(decision, main_commit)}\n"
        f"The workflow's token may not open pull requests here. [Open it with one click]({link}).\n\n"
        "To have it opened next time: allow it under Settings → Actions → General → Workflow permissions, "
        "or store a token as the secret `MLOPS_BOT_TOKEN`.\n"
    )


def sentence(result: dict[str, Any]) -> str:
    """Return what `mlops gitflow backmerge` did, in a sentence for the summary of a run."""
    if result["pull_request"]:
        return f"Pull request: {result['pull_request']} ({result['reason']})\n\n{result['hint']}".rstrip()
    if result["issue"]:
        return f"The token may not open pull requests here; the link is in the issue {result['issue']} ({result['reason']})"
    pushed = f", branch `{result['branch']}`" if result["branch"] else ""
    return f"{result['action']}: {result['reason']}{pushed}"
