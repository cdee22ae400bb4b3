"""A store that is damaged or does not answer: said in one line, with a way on that works; nothing that was made is lost."""

import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mlops import pipeline, tracking
from mlops.config import Project
from mlops.damage import advice
from mlops.errors import StoreUnreachable
from mlops.training import candidate as candidates
from mlops.use_case import load_use_case

pytestmark = pytest.mark.servers

OTHER = ("parameters.regularisation=1.5",)


def truncate(database: Path) -> None:
    """Half of the file is gone."""
    content = database.read_bytes()
    database.write_bytes(content[: len(content) // 2])


def empty(database: Path) -> None:
    """All of the file is gone."""
    database.write_bytes(b"")


def garble(database: Path) -> None:
    """Another content."""
    database.write_bytes(bytes(range(256)) * 1000)


def flip_a_page(database: Path) -> None:
    """One page in the middle, overwritten."""
    with database.open("r+b") as stream:
        stream.seek(4096 * 40)
        stream.write(b"\xa5" * 4096)


def remove(database: Path) -> None:
    """The file is gone."""
    database.unlink()


@pytest.mark.parametrize("damage", [truncate, empty, garble, flip_a_page, remove])
def test_a_damaged_database_is_reported_in_one_line_whose_advice_repairs_it(
    registered: Project, command, run, stored, load, damage: Callable[[Path], None]
):
    damage(registered.store / tracking.DATABASE)
    result = command("history", "iris")
    assert result.code == 3
    assert result.err.count("\n") == 1
    assert "the store is damaged" in result.err
    advice = re.search(r"restore it with: (cp .*)", result.err)
    assert advice
    subprocess.run(advice[1], shell=True, check=True)
    assert [load(registered, version) for version in stored(registered)] == [51]
    assert run(registered, *OTHER).version.number == "1.0.1"


@pytest.mark.parametrize("arguments", [("run", "iris", "--set", OTHER[0]), ("bundle", "iris"), ("card", "iris")])
def test_files_that_the_store_has_lost_are_reported_in_one_line(
    registered: Project, command, stored, arguments: tuple[str, ...]
):
    shutil.rmtree(registered.store / tracking.ARTIFACTS)
    result = command(*arguments)
    assert result.code == 3
    assert "the store has lost files" in result.err.splitlines()[-1] and "Traceback" not in result.err
    assert [version.number for version in stored(registered)] == ["1.0.0"]


@pytest.mark.parametrize("damage", [garble, remove])
def test_no_backup_is_restored_over_a_newer_store(registered: Project, command, run, stored, damage: Callable[[Path], None]):
    older = (registered.store / tracking.BACKUP).read_bytes()
    assert run(registered, *OTHER).version.number == "1.0.1"
    (registered.store / tracking.BACKUP).write_bytes(older)
    damage(registered.store / tracking.DATABASE)
    result = command("history", "iris")
    assert (result.code, result.err.count("\n")) == (3, 1)
    assert "lacks 1 models" in result.err and ".recover" in result.err
    assert "cp " not in result.err and "mv " not in result.err


def test_on_a_locked_disk_nothing_is_to_be_restored(registered: Project, command, stored):
    with closing(sqlite3.connect(registered.store / tracking.DATABASE)) as other:
        other.execute("BEGIN EXCLUSIVE")
        result = command("history", "iris")
    assert (result.code, result.err.count("\n")) == (3, 1)
    assert "database is locked" in result.err and "it is not damaged: wait for the process" in result.err
    assert "restore" not in result.err and "damaged;" not in result.err
    assert [version.number for version in stored(registered)] == ["1.0.0"]


FULL = """
import resource, sys
from mlops import cli, tracking
from mlops.config import load_project
project = load_project()
limit = (project.store / tracking.DATABASE).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.argv = ["mlops", *sys.argv[1:]]
cli.main()
"""


def test_on_a_full_disk_nothing_is_to_be_restored_and_no_number_is_given_again(registered: Project, run, stored):
    done = subprocess.run([sys.executable, "-c", FULL, "run", "iris", "--set", OTHER[0]], capture_output=True, text=True)
    assert done.returncode == 3 and "it is not damaged" in done.stderr, done.stderr
    last = done.stderr.splitlines()[-1]
    assert "cp " not in last and "mv " not in last and "Traceback" not in done.stderr
    assert run(registered, *OTHER).version.number == "1.0.1"
    assert [version.number for version in stored(registered)] == ["1.0.1", "1.0.0"]


def test_without_room_for_the_backup_a_version_is_registered_and_a_note_tells(
    registered: Project, command, monkeypatch: pytest.MonkeyPatch, stored
):
    backup = registered.store / tracking.BACKUP
    backup.unlink()
    backup.mkdir()  # in the way of the copy, as a full disk is
    result = command("run", "iris", "--set", OTHER[0])
    assert result.code == 0, result.err
    assert f"{backup}: not written" in result.err
    assert [version.number for version in stored(registered)] == ["1.0.1", "1.0.0"]


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("database or disk is full", "free some space"),
        ("[Errno 28] No space left on device", "free some space"),
        ("database is locked", "wait for the process"),
        ("attempt to write a readonly database", "make the folder writable"),
        ("disk I/O error", "check disk"),
    ],
)
def test_the_advice_fits_the_error_of_a_sound_database(registered: Project, reason: str, hint: str):
    line = advice(registered.store, reason)
    assert hint in line and "it is not damaged" in line
    assert "cp " not in line and "mv " not in line


def test_without_a_backup_the_advice_begins_anew(registered: Project, command, run):
    (registered.store / tracking.BACKUP).unlink()
    garble(registered.store / tracking.DATABASE)
    result = command("run", "iris")
    assert result.code == 3
    advice = re.search(r"move it away: (mv .*)", result.err)
    assert advice
    subprocess.run(advice[1], shell=True, check=True)
    assert run(registered).version.number == "1.0.0"


def test_a_damaged_database_is_not_taken_for_a_backup(registered: Project, run):
    backup = (registered.store / tracking.BACKUP).read_bytes()
    flip_a_page(registered.store / tracking.DATABASE)
    with pytest.raises(StoreUnreachable):
        run(registered, *OTHER)
    assert (registered.store / tracking.BACKUP).read_bytes() == backup


@pytest.fixture
def closed_port() -> int:
    """A port of this machine where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where connections are taken and never answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener.getsockname()[1]


@pytest.fixture
def rude_port() -> Iterator[int]:
    """A port where connections are taken and closed at once."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)

        def hang_up() -> None:
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
@pytest.mark.parametrize("port", ["closed_port", "silent_port", "rude_port"])
def test_a_server_that_does_not_answer_ends_the_command_within_ten_seconds(
    registered: Project, command, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, scheme: str, port: str
):
    number = request.getfixturevalue(port)
    address = f"{scheme}://someone:secret@127.0.0.1:{number}/store"  # pragma: allowlist secret
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    started = time.monotonic()
    result = command("history", "iris")
    assert time.monotonic() - started < 10
    assert result.code == 3
    assert result.err.startswith(f"error: {scheme}://127.0.0.1:{number}: the tracking store does not answer")
    assert "secret" not in result.err


ADDRESSES = [
    "http://localhost:abc",
    "http://me:secret@localhost:99999",  # pragma: allowlist secret
    "http://[::1",
    "http:",
    "postgresql://me:secret#1@h/x",
]


@pytest.mark.parametrize("address", [*ADDRESSES, "foo", "file:///x", "s3://x"])
@pytest.mark.parametrize("arguments", [("history", "iris"), ("store", "status")])
def test_an_address_that_no_store_can_have_is_reported_in_one_line(
    project: Project, command, monkeypatch: pytest.MonkeyPatch, address: str, arguments: tuple[str, ...]
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    result = command(*arguments)
    assert (result.code, result.err.count("\n"), "correct MLFLOW_TRACKING_URI" in result.err) == (2, 1, True), result.err
    assert "secret" not in result.err


def test_the_trained_candidate_outlives_an_outage_and_is_registered_later(
    registered: Project, command, monkeypatch: pytest.MonkeyPatch, closed_port: int, stored
):
    with monkeypatch.context() as outage:
        outage.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port}")
        assert command("run", "iris", "--set", OTHER[0]).code == 3
    kept = candidates.newest(registered, "iris")
    assert kept.manifest["config"]["parameters"]["regularisation"] == 1.5
    assert command("register", "iris", "--set", OTHER[0], "--reason", "after the outage").code == 0
    assert stored(registered)[0].tags["key"] == kept.key


def test_without_a_readable_champion_the_report_says_so(
    registered: Project, monkeypatch: pytest.MonkeyPatch, closed_port: int
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port}")
    outcome = pipeline.try_out(registered, load_use_case(registered, "iris"))
    assert outcome.passed
    assert "champion not readable here" in outcome.report.read_text(encoding="utf-8")
