"""A store that may only be read, as on a mounted snapshot: versions are listed and fetched from it, nothing in it changes."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from mlops import tracking
from mlops.config import Project
from mlops.errors import UserError


@pytest.fixture
def read_only(registered: Project, tmp_path) -> Iterator[Project]:
    """The project with a champion; its store is a read-only mount of a store that was made at another place."""
    snapshot = tmp_path / "snapshot"
    registered.store.rename(snapshot)
    registered.store.mkdir()
    place = str(registered.store)
    commands = (["mount", "--bind", str(snapshot), place], ["mount", "-o", "remount,ro,bind", place])
    if os.geteuid() or any(subprocess.run(command, capture_output=True).returncode for command in commands):
        pytest.skip("may not mount here")
    yield registered
    subprocess.run(["umount", "--lazy", place], check=False)


def test_its_versions_are_listed_and_fetched(read_only: Project, stored, load, command) -> None:
    database = (read_only.store / tracking.DATABASE).read_bytes()
    assert [load(read_only, version) for version in stored(read_only)] == [51]
    listed = command("history", "iris")
    assert (listed.code, "1.0.0" in listed.out) == (0, True), listed.err
    assert (read_only.store / tracking.DATABASE).read_bytes() == database


def test_what_would_change_it_is_refused_in_one_line(read_only: Project, run, stored) -> None:
    with pytest.raises(UserError, match="the store is read-only, so it can be read and nothing can change in it"):
        run(read_only, "parameters.regularisation=1.5")
    assert [version.number for version in stored(read_only)] == ["1.0.0"]
