"""What a run checks, and the back-merge that needs none."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkouts import git

from mlops.errors import UserError
from mlops.gitflow import base_rules, planning
from mlops.gitflow.checks import Merge

PYTHONS = ["3.9", "3.13", "3.10"]


@pytest.mark.parametrize(
    ("event", "branch", "expected"),
    [
        ("pull_request", "", {"3.9": "test", "3.10": "lint", "3.13": "test"}),
        ("merge_group", "", {"3.9": "test", "3.10": "lint", "3.13": "test"}),
        ("push", "dev", {"3.9": "tests", "3.10": "tests", "3.13": "tests"}),
        ("push", "main", {}),
        ("push", "release/1.0.0", {}),
        ("workflow_dispatch", "dev", {}),
    ],
)
def test_each_event_checks_what_it_has_to(event: str, branch: str, expected: dict[str, str]) -> None:
    assert {row["python"]: row["target"] for row in planning.checks(event, branch, PYTHONS)} == expected


def test_one_python_is_both_the_oldest_and_the_newest() -> None:
    (row,) = planning.checks("pull_request", "", ["3.12"])
    assert (row["target"], row["notebooks"], row["name"]) == ("test", True, "lint, test, notebooks (3.12)")


def test_the_notebooks_run_once_where_no_tests_do() -> None:
    rows = planning.checks("pull_request", "", ["3.10", "3.11", "3.12", "3.13"])
    assert [row["name"] for row in rows] == ["lint, test (3.10)", "lint (3.11)", "lint, notebooks (3.12)", "lint, test (3.13)"]


def released(project: Path, **files: str) -> tuple[str, str]:
    """Commit a release's version and changelog, and these files, on a branch; return the commits before and after."""
    before = git(project, "rev-parse", "origin/dev")
    git(project, "checkout", "--quiet", "-B", "backmerge/main-1", "origin/dev")
    setup = (project / "setup.py").read_text()
    written = {"setup.py": setup.replace("0.1.0", "1.0.0"), "CHANGELOG.md": "# Changelog\n", **files}
    for name, text in written.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "Release 1.0.0")
    return before, git(project, "rev-parse", "HEAD")


BACKMERGE = Merge("backmerge/main-1", "dev", foreign=False)


@pytest.mark.parametrize(
    ("merge", "files", "bare"),
    [
        (BACKMERGE, {}, True),
        (BACKMERGE, {"changelog.d/1.md": ""}, True),
        (BACKMERGE, {"src/x.py": ""}, False),
        (BACKMERGE, {"setup.py": "setup(\n    version='1.0.0',\n    install_requires=['evil'],\n)\n"}, False),
        (Merge("main", "dev", foreign=True), {}, False),
        (Merge("feature/x", "dev", foreign=False), {}, False),
        (None, {}, True),
        (None, {"src/x.py": ""}, False),
    ],
)
def test_only_a_back_merge_of_version_and_changelog_needs_no_check(
    project: Path, merge: Merge | None, files: dict[str, str], bare: bool
) -> None:
    before, _ = released(project, **files)
    assert planning.nothing_to_check(project, merge, {"before": before}) is bare


@pytest.mark.parametrize("event", [{}, {"before": "0" * 40}, {"before": "1" * 40}])
def test_a_push_whose_past_is_not_known_is_checked(project: Path, event: dict[str, str]) -> None:
    released(project)
    assert planning.nothing_to_check(project, None, event) is False


def test_the_rules_of_another_commit_are_those_that_decide(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "src/mlops/gitflow").mkdir(parents=True)
    for name, text in {"__init__": "", "__main__": "import sys\nsys.exit(7)\n", "gitflow/__init__": ""}.items():
        (project / f"src/mlops/{name}.py").write_text(text)
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "Rules that refuse")
    git(project, "branch", "base")
    (project / "src/mlops/__main__.py").write_text("")
    (project / "mlops.py").write_text("raise SystemExit(0)\n")
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "A pull request that lets everything pass")
    assert base_rules.check("base", project) == 7
    assert base_rules.check("HEAD", project) == 0


@pytest.mark.parametrize("folder", ["machinery/src", "src"])
def test_the_rules_lie_where_a_commit_has_them(project: Path, folder: str) -> None:
    file = project / folder / "mlops/gitflow/__init__.py"
    file.parent.mkdir(parents=True)
    file.touch()
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "rules")
    assert base_rules.place_of("HEAD", project) == folder
    git(project, "rm", "-rq", folder)
    (project / "vendor").mkdir()
    (project / "vendor/machinery.txt").write_text(f"./vendor/mlops-1.2.0-py3-none-any.whl --hash=sha256:{'0' * 64}\n")
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "wheel")
    assert base_rules.place_of("HEAD", project) == "vendor/mlops-1.2.0-py3-none-any.whl"


def test_a_commit_without_rules_is_refused_and_named(project: Path) -> None:
    with pytest.raises(UserError, match="no copy of the rules"):
        base_rules.check("HEAD", project)
    with pytest.raises(UserError, match="git fetch origin"):
        base_rules.check("1" * 40, project)
