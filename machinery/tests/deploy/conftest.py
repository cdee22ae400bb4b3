"""A bundle of iris with a server that answers for it, and a project whose store holds two versions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlops import pipeline
from mlops.config import Project, load_project
from mlops.deploy.contract import Manifest, read_bundle
from mlops.serving.bundle import build
from mlops.serving.manifest import Bundle
from mlops.use_case import load_use_case
from serving.conftest import flowers_model, labelled, make_candidate, serving

VERSION = {"number": "1.0.0", "run_id": "abc", "commit": "c0ffee", "metrics": {"macro_f1": 0.9}}
OTHER = ("parameters.regularisation=1.5",)


@pytest.fixture(scope="session")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What training leaves of a model of flowers."""
    return make_candidate(tmp_path_factory.mktemp("flowers"), flowers_model(), *labelled())


@pytest.fixture(scope="session")
def bundle(candidate: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of iris 1.0.0."""
    return build(candidate, tmp_path_factory.mktemp("bundle") / "iris", "iris", VERSION)


@pytest.fixture(scope="session")
def manifest(bundle: Bundle) -> Manifest:
    """What the bundle of iris 1.0.0 promises."""
    return read_bundle(bundle.folder)


@pytest.fixture(scope="session")
def server(bundle: Bundle) -> Iterator[str]:
    """A server on the bundle of iris 1.0.0."""
    with serving(bundle.folder) as (address, _):
        yield address


@pytest.fixture(scope="session")
def kept_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the project with two versions is kept for the next test."""
    return tmp_path_factory.mktemp("two") / "project"


@pytest.fixture
def two(project: Project, kept_two: Path) -> Project:
    """A project on branch main with iris 1.0.0 and 1.0.1, the champion."""
    if not kept_two.is_dir():
        pipeline.run(project, load_use_case(project, "iris"))
        pipeline.run(project, load_use_case(project, "iris", OTHER))
        shutil.copytree(project.root, kept_two.with_name("half"))
        kept_two.with_name("half").rename(kept_two)
    else:
        shutil.rmtree(project.root)
        shutil.copytree(kept_two, project.root)
    return load_project()
