"""A version trained again in a workflow by hand: the summary holds the verdict, or why there is none."""

from __future__ import annotations

import re

import events
import pytest
from offline import Project, git

pytestmark = [pytest.mark.workflows, pytest.mark.timeout(1800), pytest.mark.xdist_group("reproduce")]


def test_a_version_of_an_older_commit_is_trained_again_and_a_missing_one_is_refused(project: Project) -> None:
    commit = git(project.root, "rev-parse", "HEAD")
    trained = project.run("train.yml", "push", events.push("main", commit=commit))
    assert trained.jobs["register"] == "success", trained.log[-4000:]
    text = (
        (project.root / "config/iris.yaml").read_text(encoding="utf-8").replace("regularisation: 1.0", "regularisation: 0.5")
    )
    later = project.commit("Another configuration", "main", "main", {"config/iris.yaml": text})
    assert later != commit
    run = project.run("audit.yml", "workflow_dispatch", events.dispatch("main", reproduce="iris@1.0.0"))
    assert run.jobs == {"audit": "skipped", "machinery": "skipped", "reproduce": "success"}, run.log[-4000:]
    assert (
        f"### ✅ iris 1.0.0 (champion), trained again from {commit[:12]}" in run.summary and "Equal: 3 metrics" in run.summary
    )
    assert re.search(r"\| log_loss \| (0\.\d{4}) \| \1 \| 0 \|", run.summary), run.summary
    missing = project.run("audit.yml", "workflow_dispatch", events.dispatch("main", reproduce="iris@9.0.0"))
    assert missing.jobs["reproduce"] == "failure" and "### iris@9.0.0 cannot be trained again" in missing.summary
