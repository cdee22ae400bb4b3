"""A pull that is killed at any step leaves one whole store, and nothing else that would stay."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from checkouts import git

from mlops.registry import repository_store as store
from mlops.tracking import alone

# A pull in a process of its own, which is killed before its n-th step that changes a folder; "two" takes the exchange away.
PULL = """
import os, signal, sys
from pathlib import Path
from mlops.registry import repository_store as store
steps, last = 0, int(sys.argv[1])
if sys.argv[2] == "two":
    from mlops import folders
    folders.exchange = lambda one, other: False
def hook(event, arguments):
    global steps
    if event in ("os.rename", "os.mkdir", "os.rmdir", "shutil.rmtree", "ctypes.dlsym"):
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
store.pull(Path.cwd(), Path.cwd() / "models")
"""
pytestmark = [pytest.mark.usefixtures("environment"), pytest.mark.servers]


def write_store(root: Path, name: str) -> None:
    """A store that holds one run and 20 artifacts of its name."""
    (root / "models" / "artifacts").mkdir(parents=True, exist_ok=True)
    for number in range(20):
        (root / "models" / "artifacts" / f"{number}").write_text(name)
    with closing(sqlite3.connect(root / "models" / "mlflow.db")) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)")  # as MLflow's has
        connection.execute("CREATE TABLE IF NOT EXISTS runs (run_uuid TEXT)")
        connection.execute("INSERT INTO runs VALUES (?)", (name,))


def content(root: Path) -> tuple[set[str], set[str]]:
    """The runs of a store and what its 20 artifacts hold."""
    with closing(sqlite3.connect(f"file:{root}/models/mlflow.db?mode=ro", uri=True)) as connection:
        runs = {row[0] for row in connection.execute("SELECT run_uuid FROM runs")}
    texts = [file.read_text() for file in (root / "models" / "artifacts").iterdir()]
    assert len(texts) == 20
    return runs, set(texts)


OLD, NEW = ({"old"}, {"old"}), ({"old", "new"}, {"new"})


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """A checkout that has pulled the store `old`, of an origin that has `new` by now."""
    git(tmp_path, "init", "--quiet", "--bare", "origin.git")
    writer, reader = tmp_path / "writer", tmp_path / "reader"
    for root in (writer, reader):
        git(tmp_path, "clone", "--quiet", "origin.git", root.name)
    write_store(writer, "old")
    first = store.push(writer, writer / "models", "", "old")
    store.pull(reader, reader / "models")
    write_store(writer, "new")
    store.push(writer, writer / "models", first, "new")
    assert content(reader) == OLD
    return reader


def killed(root: Path, step: int, way: str) -> bool:
    """Pull in a process that is killed before a step; whether it came so far."""
    done = subprocess.run([sys.executable, "-c", PULL, str(step), way], cwd=root, env=os.environ, capture_output=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("way", ["one", "two"])
def test_whenever_a_pull_is_killed_the_store_is_the_old_or_the_new_one(reader: Path, way: str) -> None:
    seen, step = [], 1
    while killed(reader, step, way):
        if way == "one" and sys.platform == "linux":
            assert content(reader) in (OLD, NEW), f"step {step}: not whole without recovery"
        with alone(reader / "models"):
            seen.append(content(reader))
        assert seen[-1] in (OLD, NEW), f"step {step}"
        step += 1
    assert seen[0] == OLD and seen[-1] == NEW, "no step before, or none after the exchange"
    assert content(reader) == NEW
    left = {path.name for path in reader.iterdir()} - {".git", "models", ".models.lock"}
    assert left == set(), "folders of killed pulls"
