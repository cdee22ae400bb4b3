"""Raw data of which git holds pointers alone: each job that trains brings them from the remote, or says what is missing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import events
import pandas as pd
import pytest
from offline import Project, git

INSTALLED = (Path(sys.prefix) / "dvc" / "bin" / "dvc").is_file()
pytestmark = [
    pytest.mark.workflows,
    pytest.mark.timeout(1800),
    pytest.mark.xdist_group("restored"),
    pytest.mark.skipif(not INSTALLED, reason="needs DVC: make dvc"),
]


def test_training_brings_the_raw_data_from_the_remote_and_without_it_no_model_is_trained(project: Project) -> None:
    remote, folder = project.work / "remote", project.root / "data" / "raw" / "iris"
    with (project.root / "config" / "project.yaml").open("a", encoding="utf-8") as settings:
        settings.write(f"\nlarge:\n  megabytes: 0.0001\n  remote: {remote}\n")
    rows = pd.read_csv(folder / "iris.csv").iloc[::6]
    rows.assign(flower=rows["flower"] + 1000, sepal_length=rows["sepal_length"] + 0.01).to_csv(folder / "may.csv", index=False)
    for command in (("data", "raw", "iris"), ("save", "-m", "Flowers of May")):
        done = project.mlops(*command)
        assert done.returncode == 0, done.stderr
    git(project.root, "push", "--quiet", "origin", "HEAD:main")
    commit = git(project.root, "rev-parse", "HEAD")
    tracked = git(project.root, "ls-files", "data/raw/iris").splitlines()
    assert "data/raw/iris/may.csv.dvc" in tracked and "data/raw/iris/may.csv" not in tracked
    # What a fresh clone has: neither the file nor a cache, so that only the remote can give it.
    shutil.rmtree(project.root / ".git" / "mlops-dvc", ignore_errors=True)
    (folder / "may.csv").unlink()
    away = remote.rename(remote.with_name("away"))
    failed = project.run("train.yml", "push", events.push("main", commit=commit))
    assert failed.jobs["train"] == "failure" and str(remote) in failed.log, failed.log[-4000:]
    assert project.registry() == {}
    away.rename(remote)
    trained = project.run("train.yml", "push", events.push("main", commit=commit))
    assert trained.jobs["register"] == "success", trained.log[-4000:]
    assert project.registry() == {"iris": {"champion": "1.0.0"}}
    assert f"| may.csv | {len(rows)} |" in project.mlops("card", "iris").stdout
