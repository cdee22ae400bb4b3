"""A repository made from this tree and a fake of GitHub's API, for the runs under act."""

from __future__ import annotations

from collections.abc import Iterator

import offline
import pytest
from fake_github import FakeGitHub, serve


@pytest.fixture(scope="module")
def github() -> Iterator[FakeGitHub]:
    """The API of a fresh repository."""
    with serve() as fake:
        yield fake


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, github: FakeGitHub) -> offline.Project:
    """A repository with main alone, tested on one Python; its use case is iris."""
    return offline.make(tmp_path_factory.mktemp("project"), github.url)
