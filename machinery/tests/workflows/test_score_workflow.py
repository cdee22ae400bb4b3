"""A batch that is configured, as a workflow: the champion scores what has come, the rest is put aside and shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import events
import pandas as pd
import pytest
from offline import Project, Run, git

pytestmark = [pytest.mark.workflows, pytest.mark.timeout(1800), pytest.mark.xdist_group("score")]

HEAD = "flower,sepal_length,sepal_width,petal_length,petal_width\n"


def score(project: Project, event: str = "schedule", **inputs: str) -> Run:
    """Run the workflow on main: as the clock does, or as a person who fills in the form."""
    project.forget_artifacts()
    git(project.root, "fetch", "--quiet", "origin")
    git(project.root, "checkout", "--quiet", "-B", "main", "origin/main")
    return project.run("score.yml", event, {"repository": events.REPOSITORY, "inputs": inputs})


def test_1_a_repository_with_nothing_to_score_is_green_and_shows_how_to_begin(project: Project) -> None:
    run = score(project)
    assert run.jobs == {"plan": "success", "score": "skipped"}, run.log[-4000:]
    assert "No use case is scored today" in run.summary and "serving: {batch: {input:" in run.summary


def test_2_the_champion_scores_what_is_configured_and_rejects_are_an_artifact(project: Project) -> None:
    commit = git(project.root, "rev-parse", "origin/main")
    run = project.run("train.yml", "push", events.push("main", commit=commit))
    assert project.registry() == {"iris": {"champion": "1.0.0"}}, run.log[-4000:]
    batch = f"{{input: {project.work}/new, output: {project.work}/scored, on_error: quarantine}}"
    text = git(project.root, "show", "origin/main:config/iris.yaml")
    text = re.sub("(?m)^serving:$", f"serving:\n  batch: {batch}", text)
    assert batch in text or not re.search("(?m)^serving:", text)
    text = text if batch in text else f"{text}\nserving:\n  batch: {batch}"
    project.commit("Score iris", "main", "origin/main", {"config/iris.yaml": f"{text}\n"})
    (project.work / "new").mkdir()
    (project.work / "new" / "monday.csv").write_text(f"{HEAD}1,5.1,3.5,1.4,0.2\n2,wide,3,5.1,1.8\n3,6.7,3,5.2,2.3\n")
    run = score(project)
    assert run.jobs == {"plan": "success", "score": "success"}, run.log[-4000:]
    assert "### iris 1.0.0: 2 predictions in" in run.summary
    assert f"| {project.work}/new/monday.csv | 3 | 2 | 1 | 0 |" in run.summary
    predictions = pd.read_parquet(project.work / "scored" / "predictions")
    assert predictions[["flower", "prediction"]].to_numpy().tolist() == [[1, "setosa"], [3, "virginica"]]
    (rejects,) = (project.work / "artifacts").rglob("part-*.csv")
    assert "column sepal_length: 'wide' is no float64" in rejects.read_text()
    (manifest,) = (project.work / "artifacts").rglob("manifest.json")
    assert json.loads(manifest.read_text())["rejects"] == 1


def test_3_a_person_scores_other_files_with_an_alias_of_choice(project: Project) -> None:
    other = project.work / "other"
    (project.work / "friday.csv").write_text(f"{HEAD}7,5.1,3.5,1.4,0.2\n")
    inputs = {"use_case": "iris", "input": f"{project.work}/friday.csv", "output": str(other), "alias": "nobody"}
    run = score(project, "workflow_dispatch", **inputs)
    assert run.jobs["score"] == "failure" and "nobody" in run.log
    run = score(project, "workflow_dispatch", **{**inputs, "alias": "champion"})
    assert run.jobs == {"plan": "success", "score": "success"}, run.log[-4000:]
    assert pd.read_parquet(other / "predictions")["flower"].tolist() == [7]
    assert not Path(project.work / "artifacts" / "score-iris" / "predictions").exists()
