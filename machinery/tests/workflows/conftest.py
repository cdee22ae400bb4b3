"""A repository made from this tree and a fake of GitHub's API, for the runs under act."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import offline
import pytest
import registry
from fake_github import FakeGitHub, serve

sys.path.append(str(Path(__file__).parents[2]))  # the benchmarks, whose tables are tried here too


@pytest.fixture(scope="module")
def github() -> Iterator[FakeGitHub]:
    """The API of a fresh repository."""
    with serve() as fake:
        yield fake


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, github: FakeGitHub) -> offline.Project:
    """A repository with main alone, tested on one Python; its use case is iris."""
    return offline.make(tmp_path_factory.mktemp("project"), github.url)


@pytest.fixture(scope="session")
def registry_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A container registry, one for all stories, as what lies below the images is pushed once."""
    if why := registry.why_not():
        pytest.skip(why)
    with registry.serve(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def releasing(tmp_path_factory: pytest.TempPathFactory, github: FakeGitHub, registry_host: str) -> Iterator[offline.Project]:
    """A repository with what a release needs; the images that it makes are removed in the end."""
    try:
        yield offline.make(tmp_path_factory.mktemp("releasing"), github.url, keep=("docker/",))
    finally:
        registry.remove_images(registry_host)
