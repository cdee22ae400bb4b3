"""Who is notified: one issue a use case, the webhook, and new raw data as a branch with its pull request."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command import mlops

from mlops.config import Project


def git(root: Path, *arguments: str) -> str:
    """Run git and return what it says."""
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def shared(registered: Project, github: Any, tmp_path: Path) -> Project:
    """The project with main and dev at a bare origin, and the fake of GitHub for its token."""
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(registered.root, "add", "--all")
    git(registered.root, "commit", "--quiet", "--allow-empty", "-m", "recorded")
    git(registered.root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(registered.root, "push", "--quiet", "origin", "main", "main:dev")
    os.environ |= {"GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": "ada/demo", "GITHUB_TOKEN": "app-token"}
    return registered


@pytest.fixture
def drifted(shared: Project, flowers: pd.DataFrame, answer: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """A log of larger flowers, and the file of their species: new flowers, each with a number of its own."""
    rows = flowers.sample(200, replace=True, random_state=1, ignore_index=True)
    rows = rows.assign(flower=range(1000, 1200), sepal_length=rows["sepal_length"] * 1.5)
    labels = pd.DataFrame({"request": [f"q-{index}" for index in range(200)], "row": 0})
    labels.assign(flower=rows["flower"], species=rows["species"]).to_csv(tmp_path / "labels.csv", index=False)
    return answer(rows), tmp_path / "labels.csv"


def monitor(log: Path, *more: object) -> Any:
    return mlops("monitor", "iris", "--log", log, "--github", "--json", *more)


def automatic(labels: Path | str) -> tuple[str, ...]:
    return ("--set", "monitor.retrain=auto", "--set", f"monitor.labels={labels}")


def test_drift_opens_one_issue_that_is_brought_up_to_date_and_closed(
    github: Any, drifted: tuple[Path, Path], flowers: pd.DataFrame, answer: Callable[..., Path]
) -> None:
    log, _ = drifted
    first = monitor(log)
    assert (first.code, first.value["notified"]["issue"]) == (0, "https://github.com/ada/demo/issues/1")
    (issue,) = github.issues
    assert issue["title"] == "Drift in service: iris" and "| sepal_length |" in issue["body"]
    assert "mlops data add iris FILE" in issue["body"]
    issue["body"] = "old"
    monitor(log)
    assert len(github.issues) == 1 and "| sepal_length |" in github.issues[0]["body"]
    (log / "iris.jsonl").unlink()
    answer(flowers.sample(300, replace=True, random_state=2, ignore_index=True))
    gone = monitor(log)
    assert (gone.value["verdict"], gone.value["notified"]["closed"], github.issues[0]["state"]) == ("ok", 1, "closed")


def test_too_few_rows_leave_the_issue_as_it_is(github: Any, drifted: tuple[Path, Path]) -> None:
    log, _ = drifted
    monitor(log)
    assert monitor(log, "--set", "monitor.min_rows=1000").value["notified"]["closed"] == 0
    assert github.issues[0]["state"] == "open"


def test_retrain_off_opens_no_issue_and_drift_keeps_its_exit_code(github: Any, drifted: tuple[Path, Path]) -> None:
    done = monitor(drifted[0], "--set", "monitor.retrain=off")
    assert (done.code, github.issues, done.value["verdict"]) == (1, [], "drift")


def test_a_token_that_may_not_write_issues_is_reported_and_drift_keeps_its_exit_code(
    github: Any, drifted: tuple[Path, Path]
) -> None:
    os.environ["GITHUB_TOKEN"] = "fork-token"
    done = monitor(drifted[0])
    assert done.code == 1 and "the report stays in the summary of the run" in done.err


def test_labelled_rows_are_proposed_as_new_raw_data_with_a_pull_request(
    shared: Project, github: Any, drifted: tuple[Path, Path]
) -> None:
    log, labels = drifted
    notified = monitor(log, *automatic(labels)).value["notified"]
    (pull,) = github.pulls
    assert notified["branch"].startswith("data/iris-20") and notified["pull_request"] == pull["html_url"]
    assert (pull["head"]["ref"], pull["base"]["ref"]) == (notified["branch"], "dev")
    assert pull["html_url"] in github.issues[0]["body"]
    git(shared.root, "fetch", "--quiet", "origin")
    changed = git(shared.root, "diff", "--name-only", "origin/dev", f"origin/{notified['branch']}").splitlines()
    name = notified["branch"].removeprefix("data/")
    assert changed == [f"data/raw/iris/{each}" for each in ("README.md", f"{name}.csv", f"{name}.csv.schema.json")]
    git(shared.root, "checkout", "--quiet", "--detach", f"origin/{notified['branch']}")
    added = pd.read_csv(shared.root / f"data/raw/iris/{name}.csv")
    assert len(added) == 200 and added["flower"].tolist() == sorted(range(1000, 1200), key=added["flower"].tolist().index)
    assert list(added) == ["flower", "sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
    assert mlops("data", "raw", "iris", "--json").code == 0
    assert mlops("gitflow", "check", "--head", notified["branch"], "--base", "dev").code == 0
    assert not git(shared.root, "worktree", "list").splitlines()[1:]


def test_a_second_check_makes_no_second_branch_and_after_the_merge_nothing_is_new(
    shared: Project, github: Any, drifted: tuple[Path, Path]
) -> None:
    log, labels = drifted
    first = monitor(log, *automatic(labels)).value["notified"]
    again = monitor(log, *automatic(labels)).value["notified"]
    assert again["branch"] == first["branch"] and "waits to be merged" in again["proposal"]
    assert len(github.pulls) == len(github.issues) == 1
    git(shared.root, "push", "--quiet", "origin", f"origin/{first['branch']}:dev")
    merged = monitor(log, *automatic(labels)).value["notified"]
    assert merged["branch"] == "" and "the 200 labelled rows are in the raw data already" in merged["proposal"]


def test_a_check_that_may_not_write_leaves_the_proposal_to_the_job_that_may(
    shared: Project, github: Any, drifted: tuple[Path, Path], tmp_path: Path
) -> None:
    log, labels = drifted
    notified = monitor(log, *automatic(labels), "--proposals", str(tmp_path / "left")).value["notified"]
    assert github.pulls == [] and git(shared.root, "ls-remote", "--heads", "origin", "data/*") == ""
    assert f"compare/dev...{notified['branch']}" in github.issues[0]["body"]
    assert mlops("propose", tmp_path / "left").code == 0
    (pull,) = github.pulls
    assert pull["head"]["ref"] == notified["branch"] and pull["html_url"] in github.issues[0]["body"]
    git(shared.root, "fetch", "--quiet", "origin")
    changed = git(shared.root, "diff", "--name-only", "origin/dev", f"origin/{notified['branch']}").splitlines()
    assert len(changed) == 3 and all(name.startswith("data/raw/iris/") for name in changed)
    facts = tmp_path / "left" / "iris" / "proposal.json"
    facts.write_text(facts.read_text().replace(notified["branch"], "main"))
    assert "is no branch of new data" in mlops("propose", tmp_path / "left").error


def test_rows_that_are_known_are_left_out(shared: Project, drifted: tuple[Path, Path]) -> None:
    log, labels = drifted
    rows = pd.read_csv(labels)
    rows.loc[:49, "flower"] = range(1, 51)  # keys of the raw data
    rows.loc[60, "flower"] = rows.loc[61, "flower"]  # the same key twice
    rows.to_csv(labels, index=False)
    notified = monitor(log, *automatic(labels)).value["notified"]
    assert notified["proposal"].startswith("149 new labelled rows are proposed")


def test_where_the_token_may_not_open_pull_requests_the_issue_holds_the_link(github: Any, drifted: tuple[Path, Path]) -> None:
    os.environ["GITHUB_TOKEN"] = "workflow-token"
    log, labels = drifted
    notified = monitor(log, *automatic(labels)).value["notified"]
    assert (notified["pull_request"], github.pulls) == ("", [])
    assert f"compare/dev...{notified['branch']}?expand=1" in github.issues[0]["body"]


def untold(labels: Path) -> str:
    return "''"


def none_belong(labels: Path) -> str:
    rows = pd.read_csv(labels)
    rows.assign(request="other").to_csv(labels, index=False)
    return str(labels)


def without_number(labels: Path) -> str:
    pd.read_csv(labels).drop(columns="flower").to_csv(labels, index=False)
    return str(labels)


def against_the_schema(labels: Path) -> str:
    pd.read_csv(labels).assign(species="tulip").to_csv(labels, index=False)
    return str(labels)


NOTHING = {
    untold: "no outcomes have come: set `monitor.labels`",
    none_belong: "none of the labels belongs to a row of the log yet",
    without_number: "column flower of the raw data is neither in the labels nor in the log",
    against_the_schema: "the labelled rows break the raw schema",
}


@pytest.mark.parametrize(("change", "why"), NOTHING.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_nothing_is_proposed_and_the_issue_says_why(
    shared: Project, github: Any, drifted: tuple[Path, Path], change: Callable[[Path], str], why: str
) -> None:
    log, labels = drifted
    notified = monitor(log, *automatic(change(labels))).value["notified"]
    assert (notified["branch"], github.pulls) == ("", [])
    assert why in notified["proposal"] and why in github.issues[0]["body"]
    assert git(shared.root, "ls-remote", "--heads", "origin", "data/*") == ""


def test_without_dev_nothing_is_proposed(shared: Project, drifted: tuple[Path, Path]) -> None:
    git(shared.root, "push", "--quiet", "origin", ":dev")
    log, labels = drifted
    assert "origin has no branch dev" in monitor(log, *automatic(labels)).value["notified"]["proposal"]


class Webhook(BaseHTTPRequestHandler):
    """Notes what it is sent, and answers as it is set to."""

    status = 200
    received: list[dict[str, str]] = []

    def do_POST(self) -> None:
        """Take one message."""
        Webhook.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(Webhook.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def webhook() -> Iterator[type[Webhook]]:
    """A webhook whose address, with its secret, stands in the environment."""
    Webhook.status, Webhook.received = 200, []
    server = HTTPServer(("127.0.0.1", 0), Webhook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    os.environ["MLOPS_WEBHOOK_URL"] = f"http://127.0.0.1:{server.server_address[1]}/T000/very-secret"
    yield Webhook
    server.shutdown()
    server.server_close()
    thread.join()


CALL = ("--set", "monitor.webhook=true")


def test_the_webhook_gets_one_text_that_names_what_drifted(
    drifted: tuple[Path, Path], webhook: type[Webhook], flowers: pd.DataFrame, answer: Callable[..., Path]
) -> None:
    monitor(drifted[0], *CALL)
    (message,) = webhook.received
    assert set(message) == {"text"} and re.match("iris has drifted: .*sepal_length", message["text"])
    assert message["text"].endswith("https://github.com/ada/demo/issues/1")
    monitor(drifted[0])  # not configured
    (drifted[0] / "iris.jsonl").unlink()
    monitor(answer(flowers.sample(300, replace=True, random_state=2, ignore_index=True)), *CALL)  # no drift
    assert len(webhook.received) == 1


@pytest.mark.parametrize("fault", ["refuses", "gone", "no address", "unset"])
def test_a_webhook_that_fails_is_a_notice_without_its_address(
    drifted: tuple[Path, Path], webhook: type[Webhook], fault: str
) -> None:
    if fault == "refuses":
        webhook.status = 404
    elif fault == "unset":
        del os.environ["MLOPS_WEBHOOK_URL"]
    else:
        os.environ["MLOPS_WEBHOOK_URL"] = "http://127.0.0.1:9/very-secret" if fault == "gone" else "very-secret"
    done = monitor(drifted[0], *CALL)
    assert done.code == 0 and "MLOPS_WEBHOOK_URL" in done.err
    assert "very-secret" not in done.out + done.err
