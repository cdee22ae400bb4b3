"""The release record: which versions belong to a commit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from checkouts import git

from mlops import tracking
from mlops.config import Project
from mlops.errors import UserError
from mlops.registry import releases
from mlops.registry.releases import Entry


@pytest.fixture
def project(environment: None, tmp_path: Path) -> Project:
    """A project with a commit and an empty store; the variable for a server is set to nothing, as workflows do."""
    os.environ["MLFLOW_TRACKING_URI"] = ""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "first")
    return Project(root=tmp_path, name="demo", default_use_case="demo")


def test_a_record_is_found_by_its_commit_and_the_last_one_counts(project: Project) -> None:
    first = git(project.root, "rev-parse", "HEAD")
    releases.write(project, {"demo": "1.0.0"})
    git(project.root, "commit", "--quiet", "--allow-empty", "-m", "second")
    releases.write(project, {"demo": "1.0.1"})
    releases.write(project, {"demo": "1.1.0", "other": "1.0.0"})
    assert releases.read(project, first) == {"demo": "1.0.0"}
    assert releases.read(project, git(project.root, "rev-parse", "HEAD")) == {"demo": "1.1.0", "other": "1.0.0"}


def test_a_commit_without_a_record_names_the_job_to_run(project: Project) -> None:
    with pytest.raises(UserError, match="workflow `train`"):
        releases.read(project, "0" * 40)
    releases.write(project, {"demo": "1.0.0"})
    with pytest.raises(UserError, match="workflow `train`"):
        releases.read(project, "0" * 40)


def test_the_embedded_store_is_still_embedded_after_it_was_opened(project: Project) -> None:
    releases.write(project, {"demo": "1.0.0"})
    assert tracking.is_embedded(project) and project.tracking_uri is None
    with tracking.open_store(project) as client:
        experiment = client.get_experiment_by_name(releases.EXPERIMENT)
    assert experiment is not None and experiment.artifact_location.startswith(str(project.store))


def test_the_table_of_a_run_says_what_was_refused() -> None:
    passed = Entry("iris", "1.0.0", True, "registered as version 1.0.0", "yes", None)
    refused = Entry("taxi", "", False, "refused by the gate: worse", "", None)
    text = releases.markdown([passed, refused], "challenger")
    assert "| iris | 1.0.0 | ✅ registered as version 1.0.0 | yes |" in text
    assert "| taxi | – | ❌ refused by the gate: worse | – |" in text and "no release record" in text
    assert "no release record" not in releases.markdown([passed], "challenger")


def test_metrics_that_did_not_reproduce_are_loud_in_the_table() -> None:
    text = releases.markdown([Entry("iris", "1.0.0", True, "known", "no: mae 0.8 → 0.6", None)], "champion")
    assert "| ❗ no: mae 0.8 → 0.6 |" in text and "The gate judged the version in the store" in text
    assert "❗" not in releases.markdown([Entry("iris", "1.0.0", True, "known", "yes", None)], "champion")
