"""`mlflow run .` does what `mlops run` does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import use_cases
from mlops import tracking
from mlops.config import Project
from mlops.pythons import supported_pythons
from mlops.registry import versions

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.servers
def test_a_run_that_mlflow_starts_registers_in_the_embedded_store_and_leaves_nothing_else(project: Project):
    for name in ("MLproject", "python_env.yaml"):
        shutil.copyfile(ROOT / name, project.root / name)
    shutil.copytree(Path(use_cases.__file__).parent, project.root / "src" / "use_cases")
    tracking.prepare(project)
    before = {path.name for path in project.root.iterdir()}
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "run", ".", "--env-manager", "local", "-P", "use_case=iris"],
        cwd=project.root,
        env={
            **{name: value for name, value in os.environ.items() if name != "MLOPS_PROJECT"},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_TRACKING_URI": "sqlite:///models/mlflow.db",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "iris 1.0.0 (champion)" in done.stdout
    assert versions.resolve(project, "iris", "champion").number == "1.0.0"
    assert {path.name for path in project.root.iterdir()} - before == {"output"}


def test_the_store_that_mlflow_takes_where_none_is_configured_is_the_embedded_one(project: Project, monkeypatch):
    embedded = tracking.uri(project)
    for unconfigured in (f"sqlite:///{project.root}/mlflow.db", embedded):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", unconfigured)
        assert tracking.is_embedded(project)
        assert tracking.uri(project) == embedded
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////srv/mlflow.db")
    assert not tracking.is_embedded(project)


@pytest.mark.servers
def test_the_environment_of_mlflow_run_is_a_supported_python_with_the_locked_packages():
    environment = yaml.safe_load((ROOT / "python_env.yaml").read_text(encoding="utf-8"))
    assert environment["python"] in supported_pythons()
    assert environment["dependencies"] == ["-r requirements/base.txt"]
