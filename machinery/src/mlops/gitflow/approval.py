"""Pull requests that the workflow's own token has opened: their checks wait until a person lets them run.

Since June 2026 GitHub holds back the runs of such a pull request, with the button *Approve workflows to run* on its page.
"""

from __future__ import annotations

from typing import Any

BOT = "github-actions[bot]"
HOW = (
    "Its checks wait: click **Approve workflows to run** at the end of its page, as GitHub starts none by itself for a pull "
    "request that a workflow's token has opened. With a token of an app in the secret `MLOPS_BOT_TOKEN` they start at once."
)
IF_THEY_WAIT = HOW.replace("Its checks wait: click", "If no check starts here, click").replace("of its page", "of this page")


def needed(pull: dict[str, Any]) -> bool:
    """Return whether the checks of a pull request, as the API describes it, wait for a person."""
    return bool((pull.get("user") or {}).get("login") == BOT)


def hint(pull: dict[str, Any]) -> str:
    """Return what to do for the checks to start, "" where they start by themselves."""
    return HOW if needed(pull) else ""
