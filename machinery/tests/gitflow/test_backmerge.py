"""Whether main is to be brought back into dev."""

import pytest

from mlops.gitflow import backmerge

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BRANCH = "backmerge/main-0123456789ab"


@pytest.mark.parametrize(
    ("dev", "merged", "conflicts", "action", "branch"),
    [
        ("", "", (), "create", "dev"),
        ("t1", "t1", (), "skip", ""),
        ("t1", "t2", (), "propose", BRANCH),
        ("t1", "t1", ("setup.py",), "propose", BRANCH),
    ],
)
def test_the_decision_compares_trees(dev: str, merged: str, conflicts: tuple[str, ...], action: str, branch: str) -> None:
    assert backmerge.decide(COMMIT, dev, merged, conflicts)[:2] == (action, branch)


def test_conflicts_are_named_with_the_commands_that_settle_them() -> None:
    decision = backmerge.decide(COMMIT, "t1", "t2", ("setup.py", "CHANGELOG.md"))
    text = backmerge.body(decision, COMMIT)
    assert "CHANGELOG.md, setup.py" in text and f"git switch {BRANCH}" in text


def test_the_issue_that_stands_in_carries_the_link_and_the_setting() -> None:
    decision = backmerge.decide(COMMIT, "t1", "t2")
    text = backmerge.issue_body(decision, COMMIT, "https://host/compare")
    assert "(https://host/compare)" in text and "MLOPS_BOT_TOKEN" in text and "git switch" not in text
