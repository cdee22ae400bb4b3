"""What the project's tests share."""

import os
from pathlib import Path

import pytest
from mlops import Project, copy_project

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of this project for one test, with a store of its own: nothing that it does is seen outside."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "GITHUB_", "MLOPS_"))]:
        monkeypatch.delenv(name)
    copy = copy_project(ROOT, tmp_path / "project")
    monkeypatch.setenv("MLOPS_PROJECT", str(copy.root))
    return copy
