"""A later version of a file comes to a project, and no edit of the team is lost."""

import pytest

from mlops.project.merge import SUFFIX, Change, reconcile

OLD = b"one\ntwo\nthree\nfour\nfive\nsix\n"
NEW = OLD.replace(b"two", b"2")
FAR = OLD.replace(b"six", b"VI")
NEAR = OLD.replace(b"two", b"zwei")
CRLF = OLD.replace(b"\n", b"\r\n")


def one(base: bytes | None, theirs: bytes | None, ours: bytes | None) -> Change | None:
    files = [{"file": content} if content is not None else {} for content in (base, theirs, ours)]
    changes = reconcile(*files)
    assert len(changes) <= 1
    return changes[0] if changes else None


@pytest.mark.parametrize(
    ("base", "theirs", "ours", "action", "content"),
    [
        (OLD, NEW, OLD, "updated", NEW),
        (OLD, NEW, CRLF, "updated", NEW.replace(b"\n", b"\r\n")),
        (OLD, NEW, FAR, "merged", FAR.replace(b"two", b"2")),
        (OLD, NEW, None, "left out", None),
        (None, NEW, None, "created", NEW),
        (OLD, None, OLD, "removed", None),
        (OLD, None, FAR, "kept", None),
    ],
    ids=["unedited", "other line ends", "edited elsewhere", "removed by the team", "new", "gone", "gone but edited"],
)
def test_what_happens_to_a_file(base, theirs, ours, action, content) -> None:
    change = one(base, theirs, ours)
    assert change is not None and (change.path, change.action, change.content) == ("file", action, content)


@pytest.mark.parametrize("ours", [OLD, FAR, NEW, CRLF])
def test_what_has_not_changed_or_is_there_already_is_left_alone(ours: bytes) -> None:
    assert one(OLD, OLD, ours) is None
    assert one(OLD, NEW, NEW) is None


@pytest.mark.parametrize("base", [OLD, None], ids=["the same line", "a file of the same name"])
def test_where_both_changed_the_same_lines_the_new_text_lies_beside(base: bytes | None) -> None:
    change = one(base, NEW, NEAR)
    assert change is not None and (change.path, change.action, change.content) == (f"file{SUFFIX}", "conflict", NEW)


def test_a_file_that_the_team_has_renamed_gets_the_change_where_it_is_now() -> None:
    changes = reconcile(
        {"w/train.yml": OLD}, {"w/train.yml": NEW}, {"w/fit.yml": FAR, "w/other.yml": b"x\n", "v/same.yml": OLD}
    )
    assert [(change.path, change.action) for change in changes] == [("w/fit.yml", "merged")]
    assert changes[0].content == FAR.replace(b"two", b"2")


def test_files_of_the_team_are_not_touched() -> None:
    assert reconcile({}, {}, {"w/own.yml": OLD}) == []
