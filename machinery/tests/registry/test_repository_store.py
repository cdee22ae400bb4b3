"""The store under a ref of the repository: real git, a bare origin, and jobs that race for it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops.errors import StoreUnreachable, UserError
from mlops.registry import repository_store as store
from mlops.registry.store_contents import contents

REGISTER = """
import pathlib, sqlite3, sys, time
name, wait = sys.argv[1], float(sys.argv[2])
folder = pathlib.Path("models")
(folder / "artifacts").mkdir(parents=True, exist_ok=True)
with sqlite3.connect(folder / "mlflow.db") as connection:
    connection.execute("PRAGMA journal_mode=wal")
    connection.execute("CREATE TABLE IF NOT EXISTS runs (run_uuid TEXT)")
    connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)")
    connection.execute("INSERT INTO runs VALUES (?)", (name,))
(folder / "artifacts" / name).write_text(name)
with open("runs.log", "a") as log:
    log.write(name + chr(10))
time.sleep(wait)
"""


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("GITHUB_", "GIT_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    path = tmp_path / "origin.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(path))
    return path


@pytest.fixture
def clone(origin: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Make checkouts of one origin, each as a runner has it."""

    def make(name: str) -> Path:
        git(tmp_path, "clone", "--quiet", str(origin), str(tmp_path / name))
        return tmp_path / name

    return make


def register(name: str, wait: float = 0) -> list[str]:
    """Return a command that adds a run, as a registration does."""
    return [sys.executable, "-c", textwrap.dedent(REGISTER), name, str(wait)]


def runs(root: Path) -> set[str]:
    return set(contents(root / "models" / "mlflow.db").runs)


def run(root: Path, name: str, wait: float = 0) -> tuple[int, str]:
    return store.transaction(root, root / "models", register(name, wait), pause=0.1)


def test_what_is_registered_in_one_checkout_is_pulled_by_another(clone: Callable[[str], Path]) -> None:
    first, second = clone("first"), clone("second")
    code, commit = run(first, "a")
    assert code == 0
    assert store.pull(second, second / "models") == commit
    assert runs(second) == {"a"}
    assert (second / "models" / "artifacts" / "a").read_text() == "a"


def test_a_fresh_repository_has_no_store_and_pulling_changes_nothing(clone: Callable[[str], Path]) -> None:
    root = clone("first")
    assert store.pull(root, root / "models") == ""
    assert not (root / "models").exists()


def test_the_store_is_one_commit_however_often_it_changes(clone: Callable[[str], Path], origin: Path) -> None:
    root = clone("first")
    for name in "abc":
        run(root, name)
    assert git(origin, "rev-list", "--count", store.REF) == "1"
    assert runs(root) == {"a", "b", "c"}
    assert sorted(git(origin, "ls-tree", "-r", "--name-only", store.REF).split()) == [
        "artifacts/a",
        "artifacts/b",
        "artifacts/c",
        "mlflow.db",
    ]


def test_a_clone_does_not_fetch_the_store(clone: Callable[[str], Path], origin: Path, tmp_path: Path) -> None:
    first = clone("first")
    git(first, "commit", "--quiet", "--allow-empty", "-m", "code")
    git(first, "push", "--quiet", "origin", "HEAD:main")
    _, commit = run(first, "a")
    git(tmp_path, "clone", "--quiet", f"file://{origin}", "fresh")
    done = subprocess.run(["git", "cat-file", "-e", commit], cwd=tmp_path / "fresh", capture_output=True)
    assert done.returncode != 0


def test_two_jobs_that_race_both_end_up_in_the_store_and_only_the_loser_repeats(clone: Callable[[str], Path]) -> None:
    slow, fast = clone("slow"), clone("fast")
    results: dict[str, tuple[int, str]] = {}
    thread = threading.Thread(target=lambda: results.update(slow=run(slow, "slow", wait=1.5)))
    thread.start()
    while not (slow / "runs.log").exists():
        pass
    results["fast"] = run(fast, "fast")
    thread.join()
    assert {name: code for name, (code, _) in results.items()} == {"slow": 0, "fast": 0}
    reader = clone("reader")
    store.pull(reader, reader / "models")
    assert runs(reader) == {"slow", "fast"}
    assert (slow / "runs.log").read_text().split() == ["slow", "slow"]
    assert (fast / "runs.log").read_text().split() == ["fast"]


def test_many_jobs_at_once_lose_nothing(clone: Callable[[str], Path]) -> None:
    roots = {name: clone(name) for name in ("a", "b", "c", "d")}
    codes: list[int] = []
    threads = [
        threading.Thread(
            target=lambda n=name, r=root: codes.append(
                store.transaction(r, r / "models", register(n), pause=0.5, attempts=20)[0]
            )
        )
        for name, root in roots.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader = clone("reader")
    store.pull(reader, reader / "models")
    assert codes == [0, 0, 0, 0] and runs(reader) == set(roots)


def test_a_job_that_is_always_overtaken_gives_up_and_says_so(
    clone: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = clone("first")
    monkeypatch.setattr(store, "push", lambda *_: (_ for _ in ()).throw(store.LeaseLost()))
    with pytest.raises(StoreUnreachable, match="3 attempts were overtaken"):
        store.transaction(root, root / "models", register("a"), attempts=3, pause=0)
    assert (root / "runs.log").read_text().split() == ["a", "a", "a"]


def test_a_command_that_fails_changes_nothing(clone: Callable[[str], Path], origin: Path) -> None:
    root = clone("first")
    run(root, "a")
    before = git(origin, "rev-parse", store.REF)
    code, _ = store.transaction(root, root / "models", [*register("b")[:2], "raise SystemExit(1)"])
    assert code == 1 and git(origin, "rev-parse", store.REF) == before


def test_pruning_happens_before_the_push(clone: Callable[[str], Path], origin: Path) -> None:
    root = clone("first")
    run(root, "a")
    store.transaction(root, root / "models", register("b"), prune=(root / "models" / "artifacts" / "a").unlink)
    assert "artifacts/a" not in git(origin, "ls-tree", "-r", "--name-only", store.REF)


def test_bytes_come_back_as_they_were(clone: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = clone("first"), clone("second")
    content = {
        "crlf.txt": b"a\r\nb\n",
        "nul.bin": bytes(range(256)),
        ".gitignore": b"*\n",
        "umlaut ä.txt": b"",
        "deep/er/x": b"1",
    }
    for name, data in content.items():
        path = first / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    git(first, "config", "core.autocrlf", "input")
    git(second, "config", "core.autocrlf", "true")
    store.push(first, first / "models", "", "bytes")
    store.pull(second, second / "models")
    assert {name: (second / "models" / name).read_bytes() for name in content} == content
    assert store.measure(second / "models").files == len(content)


def test_runs_that_exist_only_here_are_not_thrown_away(clone: Callable[[str], Path]) -> None:
    first, second = clone("first"), clone("second")
    run(first, "a")
    store.pull(second, second / "models")
    run(first, "b")
    subprocess.run(register("mine"), cwd=second, check=True)
    with pytest.raises(UserError, match="1 runs or versions"):
        store.pull(second, second / "models")
    assert runs(second) == {"a", "mine"}
    store.pull(second, second / "models", force=True)
    assert runs(second) == {"a", "b"}


def change(root: Path, *statements: str) -> None:
    """Change the database of a checkout, which gets MLflow's tables of tags and aliases."""
    with contextlib.closing(sqlite3.connect(root / "models" / "mlflow.db")) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS registered_model_tags (name, key, value)")
        connection.execute("CREATE TABLE IF NOT EXISTS registered_model_aliases (name, alias, version)")
        connection.execute("CREATE TABLE IF NOT EXISTS model_version_tags (name, version, key, value)")
        for statement in statements:
            connection.execute(statement)


def notes(root: Path) -> set[tuple[str, ...]]:
    return set(contents(root / "models" / "mlflow.db").notes)


MOVE = "UPDATE registered_model_aliases SET version = {}"
NOTE = {
    "an alias that moved": (MOVE.format(2), 1),
    "an alias": ("INSERT INTO registered_model_aliases VALUES ('iris', 'staging', 1)", 1),
    "an archive mark": ("INSERT INTO model_version_tags VALUES ('iris', 1, 'archived', 'ada: old')", 1),
    "an entry of a log": ("INSERT INTO registered_model_tags VALUES ('iris', 'deploy.1', '{}')", 1),
}


@pytest.fixture
def pair(clone: Callable[[str], Path]) -> tuple[Path, Path]:
    """Two checkouts of one store, which has a run and an alias."""
    first, second = clone("first"), clone("second")
    subprocess.run(register("a"), cwd=first, check=True)
    change(first, "INSERT INTO registered_model_aliases VALUES ('iris', 'champion', 1)")
    store.push(first, first / "models", "", "first")
    store.pull(second, second / "models")
    return first, second


@pytest.mark.parametrize("what", NOTE)
def test_what_was_noted_only_here_is_not_thrown_away(pair: tuple[Path, Path], what: str) -> None:
    first, second = pair
    run(first, "b")
    statement, count = NOTE[what]
    change(second, statement)
    kept = notes(second)
    with pytest.raises(UserError, match=f"0 runs or versions and {count} tags or aliases"):
        store.pull(second, second / "models")
    assert notes(second) == kept
    store.pull(second, second / "models", force=True)
    assert notes(second) == notes(first) != kept


@pytest.mark.parametrize("what", NOTE)
def test_what_was_noted_in_origin_alone_is_pulled(pair: tuple[Path, Path], what: str) -> None:
    first, second = pair
    change(first, NOTE[what][0])
    store.push(first, first / "models", store.remote_commit(first), "noted")
    store.pull(second, second / "models")
    assert notes(second) == notes(first)


HOLD = """
import pathlib, time
from mlops.tracking import alone
with alone(pathlib.Path("models")):
    print("at work", flush=True)
    time.sleep(1)
    pathlib.Path("models/artifacts/written").touch()
"""


@pytest.mark.parametrize("exchange", ["pull", "push"])
def test_a_registration_at_work_ends_before_its_store_is_exchanged(pair: tuple[Path, Path], exchange: str) -> None:
    _, root = pair
    with subprocess.Popen([sys.executable, "-c", HOLD], cwd=root, stdout=subprocess.PIPE) as writer:
        assert writer.stdout and writer.stdout.readline() == b"at work\n"
        before = store.remote_commit(root)
        after = store.pull(root, root / "models") if exchange == "pull" else store.push(root, root / "models", before, "x")
    assert writer.returncode == 0
    written = "artifacts/written" in git(root, "ls-tree", "-r", "--name-only", after)
    assert written == (exchange == "push") == (root / "models" / "artifacts" / "written").exists()


def test_what_was_pruned_in_origin_does_not_count_as_lost(clone: Callable[[str], Path]) -> None:
    first, second = clone("first"), clone("second")
    run(first, "a")
    store.pull(second, second / "models")

    def forget() -> None:
        with contextlib.closing(sqlite3.connect(first / "models" / "mlflow.db")) as connection, connection:
            connection.execute("DELETE FROM runs WHERE run_uuid = 'a'")

    store.transaction(first, first / "models", register("b"), prune=forget)
    store.pull(second, second / "models")
    assert runs(second) == {"b"}


def test_a_store_that_grows_too_large_names_the_way_out(clone: Callable[[str], Path], origin: Path) -> None:
    root = clone("first")
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI") as refused:
        store.transaction(root, root / "models", register("a"), limit=1024)
    assert "mlflow.db" in str(refused.value) and git(origin, "for-each-ref") == ""


@pytest.mark.parametrize("event", store.READ_ONLY_EVENTS)
def test_a_pull_request_reads_and_does_not_write(
    clone: Callable[[str], Path], origin: Path, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    root = clone("first")
    run(root, "a")
    before = git(origin, "rev-parse", store.REF)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_EVENT_NAME", event)
    assert store.pull(root, root / "models") == before
    with pytest.raises(UserError, match="read-only"):
        run(root, "b")
    with pytest.raises(UserError, match="read-only"):
        store.push(root, root / "models", before, "x")
    assert git(origin, "rev-parse", store.REF) == before and runs(root) == {"a"}


def test_a_remote_that_refuses_is_not_taken_for_a_lost_race(clone: Callable[[str], Path], origin: Path) -> None:
    hook = origin / "hooks" / "update"
    hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    root = clone("first")
    with pytest.raises(StoreUnreachable, match="contents: write"):
        run(root, "a")
    assert (root / "runs.log").read_text().split() == ["a"]


def test_no_origin_is_reported_in_one_line(clone: Callable[[str], Path]) -> None:
    root = clone("first")
    git(root, "remote", "set-url", "origin", str(root.parent / "gone.git"))
    with pytest.raises(StoreUnreachable, match="cannot be read from origin"):
        store.pull(root, root / "models")


def test_a_damaged_database_is_never_pushed(clone: Callable[[str], Path], origin: Path) -> None:
    root = clone("first")
    (root / "models").mkdir()
    (root / "models" / "mlflow.db").write_bytes(b"SQLite format 3\x00" + b"garbage" * 500)
    with pytest.raises(StoreUnreachable, match="damaged"):
        store.push(root, root / "models", "", "x")
    assert git(origin, "for-each-ref") == ""


def test_what_belongs_to_one_machine_stays_there(clone: Callable[[str], Path], origin: Path) -> None:
    root = clone("first")
    run(root, "a")
    for name in ("mlflow.db.backup", "mlflow.db-wal"):
        (root / "models" / name).touch()
    run(root, "b")
    assert set(git(origin, "ls-tree", "--name-only", store.REF).split()) == {"artifacts", "mlflow.db"}


def test_an_exit_code_that_is_kept_is_pushed_and_returned(clone: Callable[[str], Path], origin: Path) -> None:
    root = clone("first")
    command = [*register("a")[:2], textwrap.dedent(REGISTER) + "raise SystemExit(1)", "a", "0"]
    assert store.transaction(root, root / "models", command, keep=(0, 1)) == (1, git(origin, "rev-parse", store.REF))


def test_the_token_reaches_git_only_through_the_environment(
    clone: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlops.git import credentials

    root = clone("first")
    monkeypatch.setenv("GITHUB_TOKEN", "secret-token")
    assert credentials(root) == {}
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    git(root, "remote", "set-url", "origin", "https://github.com/ada/demo")
    remote = credentials(root)
    assert remote["GIT_CONFIG_KEY_0"] == "http.https://github.com/.extraheader"
    assert "secret-token" not in "".join(remote.values()) and "secret-token" not in (root / ".git" / "config").read_text()
