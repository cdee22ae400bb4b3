"""All candidates of a commit registered together, and the record that says which versions belong to it."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from checkouts import git

from mlops import tracking
from mlops.config import Project, load_project
from mlops.errors import UserError
from mlops.registry import releases, versions
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
    assert "1.0.0 already" in entry.message and recorded(one) == {"iris": "1.0.0"}


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


def test_of_several_candidates_that_of_the_commit_is_taken(one: Project) -> None:
    (folder,) = (one.output / "candidates" / "iris").iterdir()
    shutil.copytree(folder, folder.with_name("0000000000000000"))
    manifest = folder.with_name("0000000000000000") / "manifest.json"
    manifest.write_text(manifest.read_text().replace(folder.name, "0000000000000000"))
    (entry,) = register_all(one, one.output / "candidates", "candidate", "why")
    assert (entry.number, entry.reproduced) == ("1.0.0", "yes")


def test_only_one_use_case_may_be_asked_for_and_it_must_be_there(one: Project, tmp_path: Path) -> None:
    (entry,) = register_all(one, tmp_path / "none", "champion", "why", only="iris")
    assert (entry.use_case, entry.message) == ("iris", "unchanged") and recorded(one) == {"iris": "1.0.0"}
    with pytest.raises(UserError, match="no use case 'roses'; there are: iris"):
        register_all(one, tmp_path / "none", "champion", "why", only="roses")


@pytest.fixture
def two(one: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a second use case, other; its 1.0.0 has no alias and the key of another commit."""
    (one.root / "config" / "other.yaml").write_text((one.root / "config" / "iris.yaml").read_text())
    load = releases.load_use_case
    monkeypatch.setattr(releases, "load_use_case", lambda project, name: replace(load(project, "iris"), name=name))
    monkeypatch.setattr(releases, "key_of", lambda project, use_case: keys[use_case.name])
    with tracking.open_store(one) as client:
        (version,) = versions.all_of(client, "iris")
        keys = {"iris": version.tags["key"], "other": "of this commit"}
        tags = {**version.tags, "key": "of another commit"}
        client.create_registered_model("other")
        client.create_model_version("other", f"models:/{version.model_id}", version.run_id, tags=tags)
    return load_project(one.root)


def test_no_record_takes_the_version_that_another_use_case_has_from_another_commit(two: Project, command) -> None:
    arguments = ("gitflow", "register", str(two.root / "none"), "--alias", "champion", "--only", "iris")
    result = command(*arguments)
    assert result.code == 1 and "other: not asked for, and has no champion" in result.err
    with tracking.open_store(two) as client:
        client.set_registered_model_alias("other", "champion", "1")
    result = command(*arguments)
    assert result.code == 1 and "other: not asked for, and champion 1.0.0 was made from other code" in result.err
    assert "other: no release record is written" in result.err
    with pytest.raises(UserError, match="has no release record"):
        recorded(two)
    with tracking.open_store(two) as client:
        client.set_model_version_tag("other", "1", "key", "of this commit")
    assert command(*arguments).code == 0 and recorded(two) == {"iris": "1.0.0", "other": "1.0.0"}
