"""A pull request that brings a notebook: its review in the summary and the comment, and what the gate refuses."""

from __future__ import annotations

import html
import json
import re

import events
import offline
import pytest
from fake_github import FakeGitHub
from offline import Project, Run, git

from mlops.notebooks import content, export

pytestmark = [pytest.mark.workflows, pytest.mark.timeout(1800), pytest.mark.xdist_group("notebooks")]

IMPORTS = "from mlops.digests import of_value\n\nlimit = {}\nprint(of_value([])[:4])"


def notebook(*cells: tuple[str, str]) -> str:
    """Return a notebook that was run once, from (source, what it printed)."""
    rows = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "source": source,
            "execution_count": number,
            "outputs": [{"output_type": "stream", "name": "stdout", "text": printed}] if printed else [],
        }
        for number, (source, printed) in enumerate(cells, 1)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": rows})


def saved(text: str) -> dict[str, str]:
    """Return the files of a notebook as a save leaves them."""
    script = export.script(content.parse(text, "small.ipynb"), "small")
    return {"notebooks/.ipynb_saveprocess": "", "notebooks/small.ipynb": text, "notebooks/small/small.py": script}


BEFORE = saved(notebook((IMPORTS.format(3), ""), ("print(limit)", "3\n")))
AFTER = saved(notebook((IMPORTS.format(4), ""), ("print(limit)", "4\n"), ("print('@everyone')", "@everyone\n")))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, github: FakeGitHub) -> Project:
    """A repository with one small notebook on dev."""
    copy = offline.make(tmp_path_factory.mktemp("notebooks"), github.url)
    copy.commit("A notebook", "dev", "origin/main", BEFORE)
    return copy


def pull_request(project: Project, changes: dict[str, str], *more: str) -> tuple[str, Run]:
    """Run the workflow of a pull request that brings these files; return its head and the run."""
    git(project.root, "fetch", "--quiet", "origin")
    head = project.commit("Notebook", "feature/notebook", "origin/dev", changes)
    payload = events.pull_request("feature/notebook", "dev", head, git(project.root, "rev-parse", "origin/dev"))
    project.forget_artifacts()
    return head, project.run("pull-request.yml", "pull_request", payload, *more)


def test_the_review_is_in_the_summary_the_comment_and_the_artifact(project: Project, github: FakeGitHub) -> None:
    head, run = pull_request(project, AFTER, "--job", "checks")
    assert run.jobs["checks"] == "success", run.log[-4000:]
    assert "| `notebooks/small.ipynb` | changed | 1 |  | 2 | 2 |" in run.summary
    assert "-limit = 3\n+limit = 4" in run.summary and "-3\n+4" in run.summary
    assert f"https://github.com/{offline.NAME}/actions/runs/1#artifacts" in run.summary
    artifact = project.work / "artifacts" / "notebooks"
    (page,) = artifact.rglob("*.html")
    text = html.unescape(re.sub("<[^>]+>", "", page.read_text()))
    assert page.name == "index.html" and "limit = 3" in text and "limit = 4" in text
    assert f"https://github.com/{offline.NAME}/pull/1/files#diff-" in page.read_text()

    github.add_pull("feature/notebook", "dev", head)
    git(project.root, "checkout", "--quiet", "main")
    commented = project.run("report-comment.yml", "workflow_run", events.workflow_run("feature/notebook", head))
    assert commented.jobs == {"comment": "success"}, commented.log[-4000:]
    (comment,) = github.comments
    assert "-limit = 3\n+limit = 4" in comment["body"] and "@everyone" not in comment["body"]


def test_a_stale_export_fails_the_gate_and_the_review_is_there(project: Project) -> None:
    _, run = pull_request(project, {**AFTER, "notebooks/small/small.py": BEFORE["notebooks/small/small.py"]})
    assert run.names("failure") == {"checks", "gate"}, run.log[-4000:]
    assert "│ stale │" in run.log and "Success - Main mlops notebooks run" not in run.log
    assert "+limit = 4" in run.summary


def test_a_notebook_that_fails_fails_its_job_and_its_executed_copy_is_kept(project: Project) -> None:
    failing = saved(notebook((IMPORTS.format(0), ""), ("print('before')\n1 / limit", "before\n")))
    _, run = pull_request(project, failing, "--job", "checks")
    assert run.jobs["checks"] == "failure", run.log[-4000:]
    assert "cell 2: ZeroDivisionError: division by zero" in run.log
    copy = json.loads((project.work / "artifacts" / "notebooks" / "small.ipynb").read_text())
    assert "ZeroDivisionError" in json.dumps(copy) and "before" in json.dumps(copy)
