"""Work folders: gone when their process is, whichever way it ended, and nothing of anybody else's with them."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from checkouts import git

from mlops import files, folders, pipeline
from mlops.config import Project
from mlops.folders import work_folder
from mlops.use_case import load_use_case

HOLD = """
import sys
from pathlib import Path
from mlops.folders import work_folder
with work_folder(Path(sys.argv[1])) as folder:
    (folder / "file").write_text("work")
    print(folder, flush=True)
    sys.stdin.read()
"""
# Registers a trained candidate, and is killed while the store takes the run: its work folder lies in TMPDIR then.
REGISTER = """
import os, signal
from mlops import pipeline
from mlops.config import load_project
from mlops.registry import runs
from mlops.use_case import load_use_case
runs.start = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
project = load_project()
pipeline.run(project, load_use_case(project, "iris"))
"""


def holder(around: Path) -> tuple[subprocess.Popen, Path]:
    """A process with a work folder, and that folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(around)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_the_folder_of_a_killed_process_is_removed_by_the_next_one_and_not_before(tmp_path: Path) -> None:
    process, folder = holder(tmp_path)
    with work_folder(tmp_path):
        assert (folder / "file").read_text() == "work", "its owner lives"
    process.kill()
    process.wait()
    assert folder.is_dir()
    with work_folder(tmp_path) as own:
        assert [path for path in tmp_path.iterdir()] == [own]
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_removed_that_has_another_name_owner_or_kind(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    place = tmp_path / "place"
    place.mkdir()
    names = ["mlops-abcdefgh", "mlops-work-notes", "mlops-work-abcdefgh1", "my-mlops-work-abcdefgh", "..mlops-work-abcdefgh"]
    for name in names:
        (place / name).mkdir()
    (place / "mlops-work-filefile").touch()
    (place / "mlops-work-linklink").symlink_to(elsewhere)
    expected = {*names, "mlops-work-filefile", "mlops-work-linklink"}
    if os.geteuid() == 0:
        (place / "mlops-work-foreign1").mkdir()
        os.chown(place / "mlops-work-foreign1", 65534, 65534)
        expected.add("mlops-work-foreign1")
    (place / "mlops-work-killed01").mkdir()
    with work_folder(place):
        pass
    assert {path.name for path in place.iterdir()} == expected
    assert (elsewhere / "kept").is_file()


def test_many_at_once_take_no_folder_from_each_other(tmp_path: Path) -> None:
    def use(number: int) -> bool:
        for _ in range(50):
            with work_folder(tmp_path) as folder:
                (folder / "file").write_text(str(number))
                folders.sweep(tmp_path)
                if (folder / "file").read_text() != str(number):
                    return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(8)))
    assert list(tmp_path.iterdir()) == []


def test_where_no_folder_can_be_locked_there_is_still_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, how: int) -> None:
        raise OSError(37, os.strerror(37))  # ENOLCK, as of NFS without its lock service

    monkeypatch.setattr("mlops.folders.fcntl.flock", refuse)
    with work_folder(tmp_path) as first, work_folder(tmp_path) as second:
        assert first.is_dir() and second.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_new_folder_that_was_half_made_is_removed_by_the_next_one(tmp_path: Path) -> None:
    code = "import os,sys; from pathlib import Path; from mlops import files\n"
    code += "with files.new_folder(Path(sys.argv[1])) as half: (half / 'a').touch(); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "candidate")])
    assert done.returncode == -signal.SIGKILL
    with files.new_folder(tmp_path / "candidate") as new:
        (new / "b").touch()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["candidate", "candidate/b"]


@pytest.mark.servers
def test_what_a_killed_registration_left_is_gone_after_the_next_one(project: Project, tmp_path: Path, monkeypatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = subprocess.run([sys.executable, "-c", REGISTER], env={**os.environ, "TMPDIR": str(temporary)}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert any(temporary.iterdir()), "the registration was killed before it had a work folder"
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    pipeline.run(project, load_use_case(project, "iris"))
    assert [path.name for path in temporary.iterdir() if "mlops" in path.name] == []
    assert git(project.root, "status", "--porcelain", "--ignored=no") == ""
