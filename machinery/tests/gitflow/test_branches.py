"""Which branch may go into which."""

import pytest

from mlops.errors import UserError
from mlops.gitflow import branches

MERGES = [
    # head, base, foreign, allowed
    ("feature/x", "dev", False, True),
    ("bugfix/x", "dev", False, True),
    ("release/1.0.0", "dev", False, True),
    ("hotfix/1.0.1", "dev", False, True),
    ("backmerge/main-0123456789ab", "dev", False, True),
    ("dependabot/pip/numpy-2.2", "dev", False, True),
    ("data/iris-2026-05-31", "dev", False, True),
    ("data/", "dev", False, False),
    ("data/iris-2026-05-31", "main", False, False),
    ("main", "dev", False, True),
    ("wip", "dev", False, False),
    ("Feature/x", "dev", False, False),
    ("feature/", "dev", False, False),
    ("release/1.0", "dev", False, False),
    ("release/1.0.0", "main", False, True),
    ("hotfix/1.0.1", "main", False, True),
    ("feature/x", "main", False, False),
    ("bugfix/x", "main", False, False),
    ("dev", "main", False, False),
    ("release/v1.0.0", "main", False, False),
    ("release/01.0.0", "main", False, False),
    ("release/1.0.0-rc.1", "main", False, False),
    ("backmerge/main-0123456789ab", "main", False, False),
    ("dependabot/pip/numpy-2.2", "main", False, False),
    ("bugfix/x", "release/1.0.0", False, True),
    ("feature/x", "release/1.0.0", False, False),
    ("dev", "release/1.0.0", False, False),
    ("release/1.0.0", "main", True, False),
    ("hotfix/1.0.1", "main", True, False),
    ("patch-1", "main", True, False),
    ("bugfix/x", "release/1.0.0", True, False),
    ("patch-1", "dev", True, True),
    ("feature/x", "dev", True, True),
    ("dev", "dev", True, True),
    ("main", "dev", True, False),
    ("backmerge/x", "dev", True, False),
    ("anything", "feature/stacked", False, True),
    ("renovate/numpy-2.x", "dev", False, True),
    ("copilot/fix-12", "dev", False, True),
    ("revert-12-feature/x", "dev", False, True),
    ("revert-12-bugfix/x", "release/1.0.0", False, True),
    ("patch-1", "dev", False, True),
    ("ada-patch-12", "dev", False, True),
    ("patch-x", "dev", False, False),
    ("revert-", "dev", False, False),
    ("revert-12-feature/x", "main", False, False),
    ("patch-1", "main", False, False),
    ("hotfix/1.0.1", "release/1.1.0", False, True),
    ("main", "release/1.1.0", False, True),
    ("backmerge/main-0123456789ab", "release/1.1.0", False, True),
    ("main", "release/1.1.0", True, False),
]


@pytest.mark.parametrize(("head", "base", "foreign", "allowed"), MERGES)
def test_a_merge_passes_only_where_the_table_says(head: str, base: str, foreign: bool, allowed: bool) -> None:
    assert (branches.problems(head, base, foreign) == []) is allowed


@pytest.mark.parametrize(
    ("head", "base", "foreign", "advice"),
    [
        ("feature/x", "main", False, "set the base of the pull request to dev"),
        ("wip", "main", False, "mlops gitflow start release"),
        ("wip", "dev", False, "git push origin wip:refs/heads/feature/wip"),
        ("fix", "release/1.0.0", False, "git push origin fix:refs/heads/bugfix/fix"),
        ("renovate/numpy-2.x", "main", False, "set the base of the pull request to dev"),
        ("revert-12-feature/x", "main", False, "set the base of the pull request to dev"),
        ("ada-patch-1", "release/1.0.0", False, "set the base of the pull request to dev"),
        ("feature/x", "release/1.0.0", False, "set the base of the pull request to dev"),
        ("dev", "release/1.0.0", False, "the rest by the next release"),
        ("patch-1", "main", True, "set the base of the pull request to dev"),
        ("main", "dev", True, "branch of another name"),
    ],
)
def test_a_refusal_names_both_branches_and_the_way_out(head: str, base: str, foreign: bool, advice: str) -> None:
    (problem,) = branches.problems(head, base, foreign)
    assert base in problem and advice in problem


@pytest.mark.parametrize(
    ("branch", "kind", "version"),
    [
        ("main", "main", ""),
        ("dev", "dev", ""),
        ("release/1.2.3", "release", "1.2.3"),
        ("hotfix/0.0.1", "hotfix", "0.0.1"),
        ("release/next", "", ""),
        ("feature/a/b", "feature", ""),
        ("mainline", "", ""),
    ],
)
def test_kind_and_version_of_a_name(branch: str, kind: str, version: str) -> None:
    assert (branches.kind(branch), branches.version_of(branch)) == (kind, version)


def test_where_branches_begin_and_end() -> None:
    assert [branches.start_point(kind) for kind in ("feature", "bugfix", "release", "hotfix")] == ["dev", "dev", "dev", "main"]
    assert [branches.target(name) for name in ("feature/x", "release/1.0.0", "hotfix/1.0.1")] == ["dev", "main", "main"]
    with pytest.raises(UserError, match="no kind of branch"):
        branches.start_point("epic")
    with pytest.raises(UserError, match="goes nowhere"):
        branches.target("dev")
