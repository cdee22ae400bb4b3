"""The watch on a served model as a workflow: drift opens an issue, is proposed for retraining, and is gone again."""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import events
import pytest
from fake_github import FakeGitHub
from offline import Project, Run, git

pytestmark = [pytest.mark.workflows, pytest.mark.timeout(1800), pytest.mark.xdist_group("monitor")]

INPUTS = ("sepal_length", "sepal_width", "petal_length", "petal_width")


def write_log(folder: Path, factor: float, count: int = 200) -> None:
    """Write the log of as many flowers, their sepals `factor` as long, and the labels that have come for them."""
    chance = random.Random(0)
    lines = (Path(__file__).parents[3] / "data/raw/iris/iris.csv").read_text(encoding="utf-8").splitlines()[1:]
    records, labels = [], ["request,flower,species"]
    for index in range(count):
        _, *lengths, species = chance.choice(lines).split(",")
        # No two flowers are the same: the gate takes rows that stand on both sides of the split for a leak.
        measured = (round(float(length) + chance.uniform(-0.03, 0.03), 4) for length in lengths)
        inputs = dict(zip(INPUTS, measured, strict=True))
        inputs["sepal_length"] = round(inputs["sepal_length"] * factor, 4)
        time = (datetime.now(UTC) - timedelta(days=2, seconds=-index)).isoformat()
        facts = {"time": time, "version": "1.0.0", "request": f"f{index}", "row": 0, "prediction": species}
        records.append(json.dumps({**facts, "inputs": inputs}))
        labels.append(f"f{index},{5000 + index},{species}")
    (folder / "log").mkdir(exist_ok=True)
    (folder / "log" / "iris.jsonl").write_text("\n".join(records) + "\n", encoding="utf-8")
    (folder / "labels.csv").write_text("\n".join(labels) + "\n", encoding="utf-8")


def check(project: Project, *more: str, bot: str = "") -> Run:
    """Run the workflow as the clock does, on main."""
    project.forget_artifacts()
    git(project.root, "fetch", "--quiet", "origin")
    git(project.root, "checkout", "--quiet", "-B", "main", "origin/main")
    return project.run("monitor.yml", "schedule", {"repository": events.REPOSITORY}, *more, bot=bot)


def test_1_a_repository_with_nothing_to_watch_is_green_and_shows_how_to_turn_it_on(project: Project) -> None:
    run = check(project)
    assert run.jobs == {"plan": "success", "monitor": "skipped", "propose": "skipped"}, run.log[-4000:]
    assert "No use case is watched yet" in run.summary and "monitor: {log_uri:" in run.summary


def test_2_a_model_is_registered_and_watched(project: Project) -> None:
    git(project.root, "push", "--quiet", "origin", "origin/main:refs/heads/dev")
    watched = f"monitor: {{log_uri: {project.work}/log, labels: {project.work}/labels.csv}}"
    text = re.sub("(?m)^monitor:.*$", watched, git(project.root, "show", "origin/main:config/iris.yaml"))
    for branch in ("dev", "main"):
        git(project.root, "fetch", "--quiet", "origin")
        project.commit("Watch iris", branch, f"origin/{branch}", {"config/iris.yaml": f"{text}\n"})
    commit = git(project.root, "rev-parse", "HEAD")
    project.forget_artifacts()
    run = project.run("train.yml", "push", events.push("main", commit=commit))
    assert run.names("success") == {"plan", "train", "register"}, run.log[-4000:]
    assert project.registry() == {"iris": {"champion": "1.0.0"}}


def test_3_drift_opens_an_issue_and_the_next_check_brings_it_up_to_date(project: Project, github: FakeGitHub) -> None:
    write_log(project.work, 1.5)
    run = check(project)
    assert run.jobs == {"plan": "success", "monitor": "success", "propose": "skipped"}, run.log[-4000:]
    assert "iris: 🔴 drift" in run.summary and "| sepal_length |" in run.summary
    (issue,) = github.issues
    assert issue["title"] == "Drift in service: iris" and issue["html_url"] in run.summary
    (report,) = (project.work / "artifacts").rglob("report.html")
    assert "<svg" in report.read_text(encoding="utf-8")
    issue["body"] = ""
    assert check(project).jobs["monitor"] == "success"
    assert len(github.issues) == 1 and "| sepal_length |" in github.issues[0]["body"]
    assert github.pulls == []


def test_4_with_retrain_auto_new_data_are_proposed_by_issue_or_pull_request(project: Project, github: FakeGitHub) -> None:
    automatic = ("--env", "MLOPS__IRIS__MONITOR__RETRAIN=auto")
    run = check(project, *automatic)
    assert run.jobs["monitor"] == "success", run.log[-4000:]
    branches = git(project.root, "ls-remote", "--heads", "origin", "data/*").split("refs/heads/")
    assert len(branches) == 2 and f"compare/dev...{branches[1]}?expand=1" in github.issues[0]["body"]
    assert github.pulls == []
    assert run.jobs["propose"] == "success", run.log[-4000:]
    assert check(project, *automatic, bot="app-token").jobs["propose"] == "success"
    (pull,) = github.pulls
    assert (pull["head"]["ref"], pull["base"]["ref"]) == (branches[1], "dev")
    assert pull["html_url"] in github.issues[0]["body"]


def test_5_merging_it_trains_a_challenger_through_the_gate(project: Project, github: FakeGitHub) -> None:
    head = github.pulls[0]["head"]["ref"]
    commit = project.merge(head, "dev")
    project.forget_artifacts()
    run = project.run("train.yml", "push", events.push("dev", commit=commit))
    assert run.names("success") == {"plan", "train", "test", "register"}, run.log[-4000:]
    entry = project.registry()["iris"]
    assert entry["champion"] == "1.0.0" and entry["challenger"] > "1.0.0"


def test_6_when_the_drift_is_gone_the_issue_is_closed(project: Project, github: FakeGitHub) -> None:
    write_log(project.work, 1.0)
    run = check(project)
    assert run.jobs["monitor"] == "success", run.log[-4000:]
    assert github.issues[0]["state"] == "closed" and "The drift is gone" in run.summary
