"""The embedded store kept in the repository itself, under one ref: fetched, changed and pushed as one transaction.

The folder models/ (a SQLite database and the artifacts beside it) is one squashed commit under refs/mlops/store: no clone
fetches it, no rule for branches touches it, and its past takes no room. Two jobs that change it at once cannot lose each
other's work: a push holds a lease on what was fetched, and who loses it fetches again and repeats the registration
(https://git-scm.com/docs/git-push, --force-with-lease).
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mlops import damage, folders
from mlops.damage import BACKUP, DATABASE
from mlops.errors import StoreUnreachable, UserError
from mlops.git import credentials, git, identity, last_words, run
from mlops.registry import store_contents
from mlops.registry.store_contents import contents
from mlops.tracking import alone

REF = "refs/mlops/store"
FETCHED = "refs/mlops/fetched"
LIMIT = 200 * 1024**2
# GitHub refuses a push with a larger file: https://docs.github.com/en/repositories/working-with-files/managing-large-files
FILE_LIMIT = 100 * 1024**2
ATTEMPTS = 6
READ_ONLY_EVENTS = ("pull_request", "pull_request_target", "merge_group", "workflow_run")
# The bytes go in and come out as they are, whatever line-ending or filter rules the machine has.
EXACT = ("-c", "core.autocrlf=false", "-c", f"core.attributesFile={os.devnull}", "-c", f"core.excludesFile={os.devnull}")


class LeaseLost(Exception):
    """Raised when another job has changed the store since it was fetched."""


class Size(NamedTuple):
    """What the store holds: number of files and their bytes together."""

    files: int
    size: int


def remote_commit(root: Path) -> str:
    """Return the commit that the store stands at in origin, "" where it has none; raise StoreUnreachable without an answer."""
    done = run("ls-remote", "origin", REF, root=root, env=credentials(root))
    if done.returncode:
        raise StoreUnreachable(f"the store cannot be read from origin: {last_words(done.stderr)}; check network and access")
    return done.stdout.split()[0] if done.stdout.strip() else ""


def pull(root: Path, folder: Path, force: bool = False) -> str:
    """Make `folder` what the store in origin holds and return its commit, "" where origin has no store yet.

    Runs, versions, tags and aliases that exist only here are not thrown away: raises UserError unless `force`. Without a
    store in origin nothing is changed.
    """
    if not remote_commit(root):
        return ""
    with alone(folder):
        commit = _fetch(root)
        if not force:
            _refuse_losing(root, folder, commit)
        _write_out(root, commit, folder)
        git("update-ref", REF, commit, root=root)
    return commit


def push(root: Path, folder: Path, expected: str, message: str, limit: int = LIMIT) -> str:
    """Put `folder` into origin as the store's one commit and return it.

    `expected` is the commit that the change builds upon ("" for a first push). Raises LeaseLost when origin has moved on,
    UserError when the store is too large or this run may only read, StoreUnreachable when origin refuses for another reason.
    """
    refuse_read_only()
    with alone(folder):
        checkpoint(folder)
        refuse_too_large(folder, limit)
        commit = _commit(root, folder, message)
    lease = f"--force-with-lease={REF}:{expected}"
    done = run("push", "--quiet", lease, "origin", f"{commit}:{REF}", root=root, env=credentials(root))
    if done.returncode:
        remote = remote_commit(root)
        if remote not in (expected, commit):
            raise LeaseLost(remote)
        if remote != commit:
            raise StoreUnreachable(
                f"origin refused the store: {last_words(done.stderr)}; the job needs the permission `contents: write`"
            )
    git("update-ref", REF, commit, root=root)
    return commit


def transaction(
    root: Path,
    folder: Path,
    command: Sequence[str],
    prune: Callable[[], object] = lambda: None,
    limit: int = LIMIT,
    attempts: int = ATTEMPTS,
    pause: float = 2.0,
    keep: Sequence[int] = (0,),
) -> tuple[int, str]:
    """Run `command` on the store of the moment and push what it leaves; return its exit code and the commit.

    A command whose exit code is not in `keep` changes nothing in origin. Where another job was faster, store and command begin
    anew, at most `attempts` times; then StoreUnreachable is raised. The pause between attempts grows and is drawn at random,
    in seconds.
    """
    refuse_read_only()
    for attempt in range(1, attempts + 1):
        expected = pull(root, folder, force=attempt > 1)
        code = run_command(command, root)
        if code not in keep:
            return code, expected
        prune()
        try:
            return code, push(root, folder, expected, f"mlops store: {' '.join(command)}", limit)
        except LeaseLost:
            time.sleep(random.uniform(0, pause * attempt))
    raise StoreUnreachable(f"{attempts} attempts were overtaken by other jobs that changed the store: run this job again")


def refuse_read_only() -> None:
    """Raise UserError in a run for a pull request: what is not merged registers nothing."""
    event = os.environ.get("GITHUB_EVENT_NAME", "")
    if os.environ.get("GITHUB_ACTIONS") == "true" and event in READ_ONLY_EVENTS:
        raise UserError(f"the store is read-only for the event {event}: merge the pull request, the push then registers")


def refuse_too_large(folder: Path, limit: int = LIMIT) -> None:
    """Raise UserError when the store would outgrow its limit in bytes, or one file what GitHub takes, naming the way out."""
    way_out = "keep it on a tracking server instead: set MLFLOW_TRACKING_URI (`mlops docs tracking-server`)"
    sizes = sorted(((path.stat().st_size, path) for path in _files(folder)), reverse=True)
    total = sum(size for size, _ in sizes)
    if total > limit:
        largest = ", ".join(f"{path.relative_to(folder)} {megabytes(size)}" for size, path in sizes[:3])
        raise UserError(
            f"the store would hold {megabytes(total)}, the limit is {megabytes(limit)} (largest: {largest}); {way_out}"
        )
    if sizes and sizes[0][0] > min(FILE_LIMIT, limit):
        size, path = sizes[0]
        raise UserError(
            f"{path.relative_to(folder)} has {megabytes(size)}, GitHub takes {megabytes(FILE_LIMIT)} a file; {way_out}"
        )


def measure(folder: Path) -> Size:
    """Return how many files the store holds and how many bytes."""
    sizes = [path.stat().st_size for path in _files(folder)]
    return Size(len(sizes), sum(sizes))


def megabytes(size: int) -> str:
    """Return a size in bytes as text in MB of 2**20 bytes."""
    return f"{size / 1024**2:.1f} MB"


def checkpoint(folder: Path) -> None:
    """Bring what the database still keeps in its write-ahead log into its file.

    Raises StoreUnreachable for a damaged database, and for one that cannot be used now.
    """
    database = folder / DATABASE
    if not database.is_file():
        return
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            damage.check(connection)
    except sqlite3.DatabaseError as error:
        raise StoreUnreachable(damage.advice(folder, str(error))) from error


def refuse_empty(folder: Path) -> None:
    """Raise UserError where there is no store in `folder`."""
    if not (folder / DATABASE).is_file():
        raise UserError(f"{folder} holds no store: bring it there with `mlops store pull`, or make one with `mlops run`")


def refuse_lacking(root: Path, folder: Path) -> None:
    """Raise UserError where `folder` lacks what was pulled last: a push would remove it from origin."""
    checkpoint(folder)
    pulled = run("ls-tree", "-r", "-z", "--name-only", REF, root=root).stdout.split("\0")
    gone = [name for name in pulled if name and not (folder / name).is_file()]
    with _database_at(root, REF) as database:
        store_contents.refuse_lacking(contents(folder / DATABASE), contents(database), len(gone), folder)


def _refuse_losing(root: Path, folder: Path, commit: str) -> None:
    with _database_at(root, commit) as shared, _database_at(root, REF) as pulled:
        store_contents.refuse_losing(contents(folder / DATABASE), contents(shared), contents(pulled), folder)


@contextlib.contextmanager
def _database_at(root: Path, reference: str) -> Iterator[Path]:
    with folders.work_folder() as scratch:
        path = scratch / DATABASE
        with open(path, "wb") as file:
            done = subprocess.run(
                ["git", "cat-file", "blob", f"{reference}:{DATABASE}"], cwd=root, stdout=file, stderr=subprocess.DEVNULL
            )
        if done.returncode:
            path.unlink()
        yield path


def _fetch(root: Path) -> str:
    """Fetch the store beside the one that was pulled last and return its commit."""
    arguments = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "origin", f"+{REF}:{FETCHED}")
    done = run(*arguments, root=root, env=credentials(root))
    if done.returncode:
        raise StoreUnreachable(f"the store cannot be fetched from origin: {last_words(done.stderr)}; check network and access")
    return git("rev-parse", FETCHED, root=root)


def _write_out(root: Path, commit: str, folder: Path) -> None:
    """Write the commit's files beside the folder, then exchange the two, so that a broken run leaves one whole store."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folders.work_folder(folder.parent) as scratch:
        with _index() as env:
            git("read-tree", commit, root=root, env=env)
            git(*EXACT, "checkout-index", "--all", "--force", f"--prefix={scratch}/new/", root=root, env=env)
        (scratch / "new").mkdir(exist_ok=True)
        folders.put_in_place(scratch / "new", folder)


def _commit(root: Path, folder: Path, message: str) -> str:
    git_dir = git("rev-parse", "--absolute-git-dir", root=root)
    with _index() as env:
        where = (f"--git-dir={git_dir}", f"--work-tree={folder}")
        done = run(*EXACT, *where, "add", "--all", "--force", ".", root=folder, env=env)
        if done.returncode:
            raise UserError(f"the store in {folder} cannot be read: {last_words(done.stderr)}")
        for path in _leftovers(folder):
            git(*where, "rm", "--quiet", "--cached", "--ignore-unmatch", path, root=folder, env=env)
        tree = git("write-tree", root=root, env=env)
    return git("commit-tree", tree, "-m", message, root=root, env=identity(root))


@contextlib.contextmanager
def _index() -> Iterator[dict[str, str]]:
    with folders.work_folder() as scratch:
        yield {"GIT_INDEX_FILE": str(scratch / "index")}


def _files(folder: Path) -> list[Path]:
    leftovers = set(_leftovers(folder))
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and str(path.relative_to(folder)) not in leftovers]


def _leftovers(folder: Path) -> list[str]:
    """Return what belongs to one machine alone: SQLite's log, empty once it was brought in, and the backup."""
    names = (f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal", BACKUP)
    return [name for name in names if (folder / name).exists()]


def run_command(command: Sequence[str], root: Path) -> int:
    """Run a command in the project and return its exit code; raise UserError where it cannot be run."""
    try:
        return subprocess.run(list(command), cwd=root).returncode
    except FileNotFoundError as error:
        raise UserError(f"there is no command {command[0]!r}: check what stands after `--`") from error
    except OSError as error:
        raise UserError(f"{command[0]!r} cannot be run ({error.strerror}): check what stands after `--`") from error
