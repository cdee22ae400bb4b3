"""All candidates of a commit registered together, and the record that says which versions belong to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from checkouts import git

from mlops.config import Project, load_project
from mlops.errors import UserError
from mlops.registry import releases
from mlops.registry.releases import Entry, register_all


@pytest.fixture
def one(registered: Project) -> Project:
    """A project whose only use case is iris; its 1.0.0 is the champion and its candidate lies in output/."""
    for file in (registered.root / "config").glob("*.yaml"):
        if file.stem not in ("project", "iris"):
            file.unlink()
    return load_project(registered.root)


def configured(project: Project, regularisation: float) -> None:
    """Change the configuration of iris, and with it the key."""
    file = project.root / "config" / "iris.yaml"
    text, count = re.subn(r"regularisation: [\d.]+", f"regularisation: {regularisation}", file.read_text(), count=1)
    assert count == 1
    file.write_text(text)


def recorded(project: Project) -> dict[str, str]:
    return releases.read(project, git(project.root, "rev-parse", "HEAD"))


def test_a_version_that_has_the_alias_is_unchanged_and_still_recorded(one: Project, tmp_path: Path) -> None:
    assert register_all(one, tmp_path / "none", "champion", "why") == [Entry("iris", "1.0.0", True, "unchanged", "", None)]
    assert recorded(one) == {"iris": "1.0.0"}


def test_a_known_key_without_a_candidate_gets_the_alias_from_the_store(one: Project, tmp_path: Path) -> None:
    (entry,) = register_all(one, tmp_path / "none", "candidate", "why")
    assert (entry.number, entry.passed, entry.reproduced) == ("1.0.0", True, "")
    assert "1.0.0 already" in entry.said and recorded(one) == {"iris": "1.0.0"}


def test_a_candidate_of_a_known_key_is_shown_to_reproduce(one: Project) -> None:
    (entry,) = register_all(one, one.output / "candidates", "candidate", "why")
    assert (entry.number, entry.passed, entry.reproduced) == ("1.0.0", True, "yes")


def test_what_is_missing_or_made_from_something_else_is_refused_and_nothing_is_recorded(one: Project, tmp_path: Path) -> None:
    configured(one, 0.7)
    with pytest.raises(UserError, match="no candidate below .* mlops train iris"):
        register_all(one, tmp_path / "none", "champion", "why")
    with pytest.raises(UserError, match="made from other code, configuration or data than this commit has"):
        register_all(one, one.output / "candidates", "champion", "why")
    with pytest.raises(UserError, match="has no release record"):
        recorded(one)


def test_only_one_use_case_may_be_asked_for_and_it_must_be_there(registered: Project, tmp_path: Path) -> None:
    (entry,) = register_all(registered, tmp_path / "none", "champion", "why", only="iris")
    assert (entry.use_case, entry.said) == ("iris", "unchanged")
    with pytest.raises(UserError, match="no use case 'roses'; there are: iris"):
        register_all(registered, tmp_path / "none", "champion", "why", only="roses")
