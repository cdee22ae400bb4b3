"""Who is notified of drift: one issue a use case, a webhook, and with `retrain: auto` a proposal of new data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import runner
from mlops.config import Project
from mlops.console import note
from mlops.git import repository
from mlops.gitflow import github
from mlops.monitoring import proposal, report
from mlops.monitoring.monitor import ALARMS, BLIND, TOO_FEW, Check

if TYPE_CHECKING:
    from mlops.use_case import UseCase

WEBHOOK = "MLOPS_WEBHOOK_URL"
TIMEOUT = 10


def title(use_case: str) -> str:
    """The title of a use case's issue; the issue is found by it again."""
    return f"Drift in service: {use_case}"


def send(project: Project, use_case: UseCase, check: Check, aside: Path | None = None) -> dict[str, Any]:
    """Write the summary of the run; open, update or close the issue; propose new data where that is configured.

    Returns issue (address or ""), closed (how many), branch, pull_request and proposal (in words). A token that may not write
    issues is named in a notice, and the report stays in the summary. Raises StoreUnreachable where GitHub does not answer.
    """
    text = report.markdown(check)
    notified: dict[str, Any] = {"issue": "", "closed": 0, "branch": "", "pull_request": "", "proposal": ""}
    retrain = use_case.config.monitor.retrain
    if check.verdict == "drift" and retrain == "auto":
        proposed = proposal.propose(project, use_case, check, aside)
        notified |= {"branch": proposed.branch, "pull_request": proposed.pull_request, "proposal": proposed.message}
        text += f"### New data\n\n{proposed.message}\n"
    if retrain != "off" and check.verdict != TOO_FEW:
        try:
            repo = github.connect(repository(project.root))
            if check.verdict in ALARMS:
                notified["issue"] = github.open_issue(
                    repo, title(use_case.name), f"{text}\n{_what_to_do(use_case, check, notified)}"
                )["html_url"]
            else:
                notified["closed"] = github.close_issues(repo, title(use_case.name))
        except github.GitHubError as refused:
            runner.notice(f"the report stays in the summary of the run: {refused}", "warning")
    if notified["issue"]:
        text += f"\nIssue: {notified['issue']}\n"
    runner.summary(text + ("\nThe drift is gone: its issue is closed.\n" if notified["closed"] else ""))
    return notified


def call_webhook(use_case: UseCase, check: Check, notified: dict[str, Any]) -> bool:
    """Send drift to the address in MLOPS_WEBHOOK_URL, in the form that Slack and what is compatible take.

    Whether it was sent; a webhook that fails is a notice and never stops a check, and its address, which is a secret, is not
    shown.
    """
    if not use_case.config.monitor.webhook or check.verdict not in ALARMS:
        return False
    address = os.environ.get(WEBHOOK, "")
    if not address:
        runner.notice(f"config/{use_case.name}.yaml has monitor.webhook, but {WEBHOOK} is not set: nobody is called")
        return False
    import requests

    link = notified.get("issue") or notified.get("pull_request") or ""
    state = "has drifted" if check.verdict == "drift" else "cannot be watched"
    text = f"{check.use_case} {state}: {report.headline(check)} {link}".strip()
    try:
        answer = requests.post(address, json={"text": text}, timeout=TIMEOUT)
    except (requests.RequestException, ValueError) as error:
        runner.notice(f"the webhook does not answer ({type(error).__name__}): correct {WEBHOOK}", "warning")
        return False
    if not answer.ok:
        runner.notice(f"the webhook refused with {answer.status_code}: correct {WEBHOOK}", "warning")
        return False
    note("the webhook was called")
    return True


def _what_to_do(use_case: UseCase, check: Check, notified: dict[str, Any]) -> str:
    """What a reader of the issue may do next."""
    name = use_case.name
    lines = ["### What to do", ""]
    if check.verdict == BLIND:
        return "\n".join([*lines, *_bring_back_sight(name)]) + "\n"
    lines += [
        "1. Look at the report with its pictures: artifact `monitor-" + name + "` of the run, "
        f"or `mlops monitor {name}` on a laptop. Is it the world that has changed, or a broken source of data?",
    ]
    if notified["branch"]:
        lines += ["2. The world: review the new data above and merge them; that trains the model anew, through the gate."]
    else:
        lines += [
            f"2. The world: add new labelled rows (`mlops data add {name} FILE`) on a branch and merge it into dev; "
            "that trains the model anew, through the gate.",
        ]
    lines += [
        "3. A feature that is meant to change: give it limits of its own, or `ignore`, "
        f"under `monitor.features` in `config/{name}.yaml`.",
        "",
        "This issue is brought up to date by each check, and closed when the drift is gone.",
    ]
    return "\n".join(lines) + "\n"


def _bring_back_sight(name: str) -> list[str]:
    """What to do where nothing is known of a service."""
    return [
        f"1. Check that the service answers: `mlops deployments {name} --check`.",
        "2. Check that it writes its log (`MLOPS_SERVE_PREDICTION_LOG`) and that the log reaches "
        f"`monitor.log_uri` of `config/{name}.yaml`; `mlops_prediction_log_dropped_total` of `/metrics` counts what it lost.",
        "",
        "This issue is closed by the first check that sees the service well.",
    ]
