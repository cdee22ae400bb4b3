"""Many files change as one."""

import os
from pathlib import Path

import pytest

from mlops.errors import UserError
from mlops.project import transaction

CHANGE: dict[str, bytes | None] = {"a/new": b"1", "b": b"2", "c/gone": None, "last": b"3"}


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "vendor" not in path.parts
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "c").mkdir()
    for name, content in {"b": "old", "c/gone": "old", "kept": "same"}.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "b").chmod(0o755)
    return tmp_path


AFTER = {"a/new": b"1", "b": b"2", "last": b"3", "kept": b"same"}


def test_all_is_written_and_removed_and_modes_stay(root: Path) -> None:
    transaction.change(root, CHANGE)
    assert tree(root) == AFTER
    assert (root / "b").stat().st_mode & 0o777 == 0o755
    assert not (root / "c").exists() and list((root / "vendor").iterdir()) == []


class Killed(BaseException):
    """Stands for SIGKILL: nothing handles it."""


def test_killed_before_any_system_call_it_is_as_before_or_the_next_command_finishes(tmp_path: Path, monkeypatch) -> None:
    calls = ("rename", "replace", "unlink", "rmdir", "mkdir", "fsync")
    for moment in range(60):
        root = tmp_path / str(moment)
        (root / "c").mkdir(parents=True)
        for name, content in {"b": "old", "c/gone": "old", "kept": "same"}.items():
            (root / name).write_text(content)
        before, left = tree(root), [moment]

        def counted(real):
            def call(*arguments, **options):
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                return real(*arguments, **options)

            return call

        with monkeypatch.context() as patched:
            for name in calls:
                patched.setattr(os, name, counted(getattr(os, name)))
            try:
                transaction.change(root, CHANGE)
                assert moment > 5
                return
            except Killed:
                pass
        committed = (root / transaction.PLACE / transaction.PLAN).is_file()
        assert transaction.finish(root) is committed
        assert tree(root) == (AFTER if committed or tree(root) == AFTER else before), moment
        assert [path.name for path in (root / "vendor").glob(".*")] == []
    raise AssertionError("the change never came to its end")


@pytest.mark.parametrize("path", ["../outside", "/etc/outside", "c"])
def test_a_path_out_of_the_project_or_a_folder_is_refused_before_anything_changes(root: Path, path: str) -> None:
    before = tree(root)
    with pytest.raises(UserError, match="out of the project|folder is in the way"):
        transaction.change(root, {"b": b"2", path: b"x"})
    assert tree(root) == before


def test_a_link_is_not_written_through(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "file"
    outside.write_text("theirs")
    (root / "link").symlink_to(outside)
    with pytest.raises(UserError, match="link"):
        transaction.change(root, {"link": b"x"})
    assert outside.read_text() == "theirs"
