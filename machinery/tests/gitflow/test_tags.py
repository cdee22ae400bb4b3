"""Release tags: their grammar, where they must lie, where they go."""

import pytest

from mlops.errors import UserError
from mlops.gitflow import tags


@pytest.mark.parametrize(
    ("name", "version", "candidate", "environment"),
    [("v1.0.0", "1.0.0", 0, "production"), ("v1.10.0-rc.12", "1.10.0", 12, "staging")],
)
def test_a_tag_says_version_and_environment(name: str, version: str, candidate: int, environment: str) -> None:
    tag = tags.parse(name)
    assert (tag.version, tag.candidate, tag.environment) == (version, candidate, environment)


@pytest.mark.parametrize(
    "name", ["1.0.0", "v1.0", "v1.0.0-rc", "v1.0.0-rc.0", "v1.0.0-beta.1", "v01.0.0", "v1.0.0\n", "latest"]
)
def test_what_is_no_release_tag_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="no release tag"):
        tags.parse(name)


@pytest.mark.parametrize(
    ("name", "project", "on", "reason"),
    [
        ("v1.0.0", "1.0.0", ["main"], ""),
        ("v1.0.0-rc.1", "1.0.0", ["release/1.0.0"], ""),
        ("v1.0.1-rc.1", "1.0.1", ["hotfix/1.0.1"], ""),
        ("v1.0.0", "1.0.0", ["release/1.0.0"], "not on main"),
        ("v1.0.0", "1.0.0", [], "not on main"),
        ("v1.0.0-rc.1", "1.0.0", ["main"], "not on release/1.0.0"),
        ("v1.0.0-rc.1", "1.0.0", ["release/2.0.0"], "not on release/1.0.0"),
        ("v1.0.0", "0.9.0", ["main"], "setup.py says 0.9.0"),
    ],
)
def test_a_tag_is_deployed_only_from_its_branch_and_version(name: str, project: str, on: list[str], reason: str) -> None:
    problems = tags.problems(name, project, on)
    assert [reason in problem for problem in problems] == ([True] if reason else [])


@pytest.mark.parametrize(
    ("known", "expected"),
    [([], "v1.0.0-rc.1"), (["v1.0.0-rc.1", "v1.0.0-rc.9", "v1.0.0-rc.10", "v2.0.0-rc.40", "other"], "v1.0.0-rc.11")],
)
def test_candidates_are_numbered_on(known: list[str], expected: str) -> None:
    assert tags.next_candidate("1.0.0", known) == expected
