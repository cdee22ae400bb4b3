"""The version in setup.py, the changelog, and whether a release is ready for main."""

import pytest

from mlops.errors import UserError
from mlops.gitflow import versions

SETUP = 'setup(\n    name="x",\n    version="0.1.0",\n    python_requires=">=3.11",\n)\n'
CHANGELOG = """# Changelog

## [Unreleased]

## [1.1.0] - 2026-11-21

- Two things

## [1.0.0] - 2026-10-01

- One thing
"""


@pytest.mark.parametrize(
    ("version", "level", "expected"),
    [
        ("0.1.0", "major", "1.0.0"),
        ("1.4.7", "minor", "1.5.0"),
        ("1.4.9", "patch", "1.4.10"),
        ("1.4.9", "2.0.0", "2.0.0"),
    ],
)
def test_raising_a_version(version: str, level: str, expected: str) -> None:
    assert versions.raised(version, level) == expected


@pytest.mark.parametrize("wrong", ["1.0", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-rc.1", "", "next"])
def test_what_is_no_version_is_refused(wrong: str) -> None:
    with pytest.raises(UserError, match="X.Y.Z"):
        versions.raised("1.0.0", wrong)


def test_the_project_version_is_read_and_replaced_and_nothing_else_changes() -> None:
    assert versions.project_version(SETUP) == "0.1.0"
    assert versions.with_version(SETUP, "1.0.0") == SETUP.replace("0.1.0", "1.0.0")


@pytest.mark.parametrize("text", ["setup()\n", SETUP + SETUP])
def test_no_version_or_two_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="exactly one"):
        versions.project_version(text)


def test_the_changelog_is_read() -> None:
    assert versions.changelog_versions(CHANGELOG) == ["1.1.0", "1.0.0"]
    assert versions.changelog_entry(CHANGELOG, "1.1.0") == "- Two things"
    assert versions.changelog_entry(CHANGELOG, "1.0.0") == "- One thing"
    assert versions.changelog_entry(CHANGELOG, "9.9.9") == ""


@pytest.mark.parametrize(
    ("before", "entry"),
    [
        ("", ""),
        ("# Changelog\n", ""),
        ("# Changelog\n\n## [Unreleased]\n\n- New\n", "- New"),
        ("# Changelog\n\n## [Unreleased]\n\n- New\n\n## [0.9.0] - 2026-01-01\n\n- Old\n", "- New"),
        ("# Changelog\n\n## [0.9.0] - 2026-01-01\n\n- Old\n", ""),
    ],
)
def test_a_release_takes_what_was_unreleased(before: str, entry: str) -> None:
    after = versions.with_release(before, "1.0.0", "2026-11-21")
    assert versions.changelog_versions(after)[0] == "1.0.0"
    assert versions.changelog_entry(after, "1.0.0") == entry
    assert "[Unreleased]" not in after
    assert versions.changelog_entry(after, "0.9.0") == versions.changelog_entry(before, "0.9.0")
    assert versions.with_release(after, "1.0.0", "2027-01-01") == after


@pytest.mark.parametrize(
    ("tags", "expected"),
    [([], ""), (["v1.9.0", "v1.10.0", "v1.10.0-rc.1", "v2.0.0-rc.1", "nightly", "v3"], "1.10.0"), (["v2.0.0-rc.1"], "")],
)
def test_the_latest_release_is_the_greatest_number(tags: list[str], expected: str) -> None:
    assert versions.latest(tags) == expected


READY = "# Changelog\n\n## [1.1.0] - 2026-11-21\n\n## [1.0.0] - 2026-10-01\n"


@pytest.mark.parametrize(
    ("branch", "project", "changelog", "tags", "reason"),
    [
        ("release/1.1.0", "1.1.0", READY, ["v1.0.0"], ""),
        ("release/1.1.0", "1.1.0", READY, [], ""),
        ("hotfix/1.1.0", "1.1.0", READY, ["v1.0.9"], ""),
        ("feature/x", "0.0.1", "", ["v9.0.0"], ""),
        ("release/1.1.0", "1.0.0", READY, ["v1.0.0"], "setup.py says 1.0.0"),
        ("release/1.1.0", "1.1.0", "", ["v1.0.0"], "no entry for 1.1.0"),
        ("release/1.1.0", "1.1.0", "## [1.1.0]\n", [], "no entry for 1.1.0"),
        ("release/1.0.0", "1.0.0", READY, [], "1.1.0 above 1.0.0"),
        ("release/1.1.0", "1.1.0", READY, ["v1.1.0"], "not greater than the latest tag v1.1.0"),
        ("release/1.1.0", "1.1.0", READY, ["v1.10.0"], "not greater than the latest tag v1.10.0"),
    ],
)
def test_a_release_is_ready_when_branch_version_changelog_and_tags_agree(
    branch: str, project: str, changelog: str, tags: list[str], reason: str
) -> None:
    problems = versions.release_problems(branch, versions.with_version(SETUP, project), changelog, tags)
    if reason:
        assert len(problems) == 1 and reason in problems[0]
    else:
        assert problems == []
