"""Changelog fragments: a release collects them, and no back-merge conflicts about the changelog."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from checkouts import ROOT, git
from click.testing import Result
from typer.testing import CliRunner

from mlops.cli import app
from mlops.gitflow import fragments, versions

Mlops = Callable[..., Result]


@pytest.fixture
def mlops(project: Path, monkeypatch: pytest.MonkeyPatch) -> Mlops:
    """Run a gitflow command in the project, which keeps its changelog as this one does."""
    monkeypatch.chdir(project)
    git(project, "switch", "--quiet", "-c", "dev", "origin/dev")
    shutil.copyfile(ROOT / "pyproject.toml", project / "pyproject.toml")
    (project / "changelog.d").mkdir()
    shutil.copyfile(ROOT / "changelog.d" / "README.md", project / "changelog.d" / "README.md")
    save(project, "dev")
    return lambda *arguments: CliRunner().invoke(app, ["gitflow", *arguments])


def save(project: Path, branch: str, **fragment: str) -> None:
    """Commit fragments (name with _ for the dot before the kind) on a branch and push it."""
    for name, text in fragment.items():
        (project / "changelog.d" / f"+{name.replace('_', '.')}.md").write_text(text, encoding="utf-8")
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "--allow-empty", "-m", f"on {branch}")
    git(project, "push", "--quiet", "origin", f"HEAD:{branch}")


def merge(project: Path, head: str, base: str) -> None:
    """Merge as the button of a pull request does; fails where git finds a conflict."""
    git(project, "fetch", "--quiet", "origin")
    git(project, "checkout", "--quiet", "-B", base, f"origin/{base}")
    git(project, "merge", "--quiet", "--no-ff", "-m", f"Merge {head}", f"origin/{head}")
    git(project, "push", "--quiet", "origin", base)


def entry(project: Path, version: str) -> str:
    return versions.changelog_entry((project / "CHANGELOG.md").read_text(encoding="utf-8"), version)


def test_dev_with_its_next_fragment_takes_a_release_back_without_a_conflict(mlops: Mlops, project: Path) -> None:
    for number, version in enumerate(("1.0.0", "1.1.0")):
        git(project, "checkout", "--quiet", "dev")
        save(project, "dev", **{f"first{number}_added": f"Feature {number}.", f"second{number}_fixed": f"Fault {number}."})
        assert mlops("start", "release", version).exit_code == 0
        assert entry(project, version) == f"### Added\n\n- Feature {number}.\n\n### Fixed\n\n- Fault {number}."
        assert sorted(file.name for file in (project / "changelog.d").iterdir()) == ["README.md"]
        assert mlops("finish").exit_code == 0

        git(project, "checkout", "--quiet", "dev")
        save(project, "dev", **{f"next{number}_added": f"Next {number}."})
        merge(project, f"release/{version}", "main")
        decision = json.loads(mlops("backmerge", "--dry-run", "--json").stdout)
        assert (decision["action"], "conflict" in decision["reason"]) == ("propose", False)
        merge(project, "main", "dev")
        assert [file.name for file in sorted((project / "changelog.d").glob("+*"))] == [f"+next{number}.added.md"]
        assert "Next" not in (project / "CHANGELOG.md").read_text()
        (project / "changelog.d" / f"+next{number}.added.md").unlink()
        save(project, "dev")
    assert versions.changelog_versions((project / "CHANGELOG.md").read_text()) == ["1.1.0", "1.0.0"]
    assert "Unreleased" not in (project / "CHANGELOG.md").read_text()


def test_what_stood_under_unreleased_is_released_with_the_fragments(mlops: Mlops, project: Path) -> None:
    text = "# Changelog\n\n## [Unreleased]\n\n### Fixed\n\n- Old way.\n\n## [0.1.0] - 2026-01-01\n\n- First.\n"
    (project / "CHANGELOG.md").write_text(text, encoding="utf-8")
    save(project, "dev", new_added="New way.", more_fixed="More.")
    assert mlops("start", "release", "1.0.0").exit_code == 0
    assert entry(project, "1.0.0") == "### Added\n\n- New way.\n\n### Fixed\n\n- Old way.\n- More."
    assert entry(project, "0.1.0") == "- First."


def test_a_fragment_that_comes_late_is_refused_until_it_is_collected(mlops: Mlops, project: Path) -> None:
    save(project, "dev", first_added="First.")
    assert mlops("start", "release", "1.0.0").exit_code == 0
    save(project, "release/1.0.0", late_added="Late.")
    refused = mlops("check", "--json")
    (problem,) = json.loads(refused.stdout)["problems"]
    assert (refused.exit_code, "changelog.d/+late.added.md" in problem, "mlops gitflow collect" in problem) == (1, True, True)
    before = git(project, "rev-parse", "HEAD")
    assert mlops("collect", "--dry-run").exit_code == 0 and git(project, "rev-parse", "HEAD") == before
    assert mlops("collect").exit_code == 0
    assert entry(project, "1.0.0") == "### Added\n\n- First.\n- Late."
    assert (mlops("check").exit_code, git(project, "status", "--porcelain")) == (0, "")
    assert "nothing to collect" in mlops("collect").stderr


def test_a_fragment_of_no_kind_is_refused_before_it_is_lost(mlops: Mlops, project: Path) -> None:
    git(project, "switch", "--quiet", "-c", "feature/x")
    save(project, "feature/x", odd_wrong="Odd.")
    refused = mlops("check", "--json")
    assert "changelog.d/+odd.wrong.md is no fragment" in json.loads(refused.stdout)["problems"][0]
    save(project, "dev")
    assert "is no fragment" in str(mlops("start", "release", "1.0.0").exception)
    assert git(project, "branch", "--list", "release/*") == ""


@pytest.mark.parametrize("branch", ["dev", "feature/x"])
def test_only_a_release_branch_is_collected(mlops: Mlops, project: Path, branch: str) -> None:
    git(project, "checkout", "--quiet", "-B", branch)
    assert f"{branch} is no release branch" in str(mlops("collect").exception)


def test_the_settings_of_towncrier_name_the_kinds_that_the_check_knows() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["towncrier"]
    assert tuple(kind["directory"] for kind in settings["type"]) == fragments.KINDS
    assert (settings["directory"], settings["filename"]) == (fragments.FOLDER, "CHANGELOG.md")
