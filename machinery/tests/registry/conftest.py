"""An empty store, and what a test asks of a store: run, list, load."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from services import postgres, s3  # noqa: F401  (fixtures)

from mlops import pipeline, tracking
from mlops.config import Project
from mlops.registry import versions
from mlops.registry.register import Outcome
from mlops.registry.versions import Version
from mlops.use_case import load_use_case


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of an embedded store without content, to be copied: making one takes seconds."""
    folder = tmp_path_factory.mktemp("empty")
    tracking.prepare(Project.model_validate({"root": folder, "name": "empty", "default_use_case": "iris"}))
    return folder / "models" / tracking.DATABASE


@pytest.fixture
def fresh(project: Project, empty: Path) -> Project:
    """A project on branch main whose store is there and has no content."""
    project.store.mkdir()
    shutil.copyfile(empty, project.store / tracking.DATABASE)
    return project


@pytest.fixture
def run() -> Callable[..., Outcome]:
    """Run iris in a project, with overrides of its configuration."""

    def run(project: Project, *overrides: str, alias: str | None = None) -> Outcome:
        return pipeline.run(project, load_use_case(project, "iris", overrides), alias)

    return run


@pytest.fixture
def stored() -> Callable[[Project], list[Version]]:
    """The versions of iris in a project's store, the newest first."""

    def stored(project: Project) -> list[Version]:
        with tracking.open_store(project) as client:
            return versions.all_of(client, "iris")

    return stored


@pytest.fixture
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Project, Version], int]:
    """Fetch a version, digests verified, and let its model predict its holdout; returns how many rows agree with training."""

    def load(project: Project, version: Version) -> int:
        candidate = versions.fetch(project, version, tmp_path_factory.mktemp("fetched"))
        rows = candidate.holdout()
        predictions = tracking.load_model(candidate.path / "model").predict(
            rows[list(candidate.manifest["problem"]["schema"])]
        )
        assert (predictions == rows["__prediction__"]).all()
        return len(rows)

    return load
