"""A small project in git with a bare origin, and a checkout of it as a person has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from checkouts import git

SETUP = 'from setuptools import setup\n\nsetup(\n    name="demo",\n    version="0.1.0",\n)\n'


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No workflow, no token, no git configuration of the machine."""
    for name in list(os.environ):
        if name.startswith(("GITHUB_", "GH_", "GIT_", "MLFLOW_", "MLOPS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with main and dev at a bare origin."""
    origin = tmp_path / "origin.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    root = tmp_path / "project"
    git(tmp_path, "clone", "--quiet", str(origin), str(root))
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        git(root, "config", key, value)
    (root / "setup.py").write_text(SETUP, encoding="utf-8")
    (root / ".gitignore").write_text("models/\n", encoding="utf-8")
    git(root, "checkout", "--quiet", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "-m", "first")
    git(root, "push", "--quiet", "-u", "origin", "main", "main:dev")
    git(root, "fetch", "--quiet", "origin")
    return root


@pytest.fixture
def another(project: Path) -> Callable[[str], Path]:
    """Make further checkouts of the same origin."""

    def clone(name: str) -> Path:
        root = project.parent / name
        git(project.parent, "clone", "--quiet", str(project.parent / "origin.git"), str(root))
        for key, value in (("user.name", name), ("user.email", f"{name}@example.org")):
            git(root, "config", key, value)
        return root

    return clone
