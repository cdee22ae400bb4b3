"""Folders that a killed process may leave behind: its work folder, and two folders that were changing places.

A work folder is locked by its owner for as long as that lives (flock on the folder itself, which the kernel gives up with
the process). Whoever makes the next one beside it removes those whose lock is free.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Nobody but this module gives such a name: mkdtemp adds eight characters to the mark.
MARK = "mlops-work-"
OURS = re.compile(rf"\.?{MARK}[a-z0-9_]{{8}}")
# From linux/fs.h and fcntl.h: exchange two names in one step, paths as they stand.
RENAME_EXCHANGE, AT_FDCWD = 2, -100
NOT_ABLE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


@contextlib.contextmanager
def work_folder(around: Path | None = None) -> Iterator[Path]:
    """A folder for one process, removed in the end; what killed processes left there is removed first.

    around: the folder that it is made in, under a hidden name; None is the system's folder for temporary files.
    """
    place = around or Path(tempfile.gettempdir())
    sweep(place)
    folder, lock = _claimed(place, f".{MARK}" if around else MARK)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def lasting_work_folder() -> Path:
    """A work folder that is removed when this process ends."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(work_folder())


def sweep(around: Path) -> None:
    """Remove this user's work folders that no living process holds."""
    try:
        left = [entry.path for entry in os.scandir(around) if OURS.fullmatch(entry.name) and _is_own_folder(entry)]
    except OSError:  # it need not be readable to be written in
        return
    for folder in left:
        with contextlib.suppress(OSError):
            lock = _lock(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def put_in_place(new: Path, folder: Path) -> None:
    """Let the folder `new` take the place of `folder`, if that is there, in one step where the system can.

    Otherwise it takes two, and a process that is killed between them leaves the old folder to `recover`. Nobody else may
    exchange the folder meanwhile.
    """
    recover(folder)
    if not folder.exists():
        new.rename(folder)
    elif exchange(new, folder):
        shutil.rmtree(new)
    else:
        folder.rename(_previous(folder))
        new.rename(folder)
        shutil.rmtree(_previous(folder))


def recover(folder: Path) -> None:
    """Bring back the folder that a process was replacing when it was killed; under the lock of who replaces it."""
    previous = _previous(folder)
    if not previous.is_dir():
        return
    with contextlib.suppress(OSError):
        folder.rmdir()  # one that is empty was made since
    if folder.exists():
        shutil.rmtree(previous)
    else:
        previous.rename(folder)


def is_half_replaced(folder: Path) -> bool:
    """Whether a process was killed while it replaced the folder, so that `recover` has something to do."""
    return _previous(folder).is_dir()


def exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where system or file system cannot.

    Source: renameat2(2), RENAME_EXCHANGE, Linux 3.15.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in NOT_ABLE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _previous(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.{MARK}previous")


def _claimed(around: Path, prefix: str) -> tuple[Path, int]:
    """A new folder and the handle that locks it; a sweep may have removed it before it was locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=around))
        try:
            lock = _lock(str(folder))
        except OSError:  # a file system without locks: no sweep can lock the folder either, so it stays
            return folder, os.open(folder, os.O_RDONLY)
        if lock is not None:
            return folder, lock


def _lock(folder: str) -> int | None:
    """The handle that locks a folder; None where another process holds it, or it is gone. Raises OSError without locks."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(folder, follow_symlinks=False)):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _is_own_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.getuid()
