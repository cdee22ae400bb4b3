"""Many files changed as one: killed at any moment, a project is as before, or the next command finishes the change.

What is to be written lies complete in vendor/.update/ before the first file of the project changes; that folder appears by one
rename, and each file leaves it by one. So a change that was interrupted is carried on with where it stopped.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlops import files
from mlops.errors import UserError

PLACE = Path("vendor") / ".update"
PLAN = "plan.json"


def change(root: Path, contents: Mapping[str, bytes | None]) -> None:
    """Write each content to its path below `root`, None removes the file; the last ones are written last.

    A file keeps its mode. Raises UserError for a path that leads out of the project or through a link.
    """
    for path in contents:
        _check(root, path)
    finish(root)
    _stage(root, contents)
    finish(root)


def finish(root: Path) -> bool:
    """Carry on with a change that was interrupted; returns whether there was one. What was not yet staged whole is dropped."""
    for half in root.glob(f"{PLACE.parent}/.update.*"):
        shutil.rmtree(half, ignore_errors=True)
    place = root / PLACE
    if not (place / PLAN).is_file():  # all was done but the clearing up
        shutil.rmtree(place, ignore_errors=True)
        return False
    for path, staged in json.loads((place / PLAN).read_text(encoding="utf-8")):
        _check(root, path)
        target = root / path
        if staged is None:
            target.unlink(missing_ok=True)
            _prune(root, target.parent)
        elif (place / staged).is_file():
            files.make_folder(target.parent)
            (place / staged).chmod(target.stat().st_mode & 0o777 if target.is_file() else 0o644)
            (place / staged).replace(target)
    shutil.rmtree(place)
    return True


def _stage(root: Path, contents: Mapping[str, bytes | None]) -> None:
    files.make_folder(root / PLACE.parent)
    half = Path(tempfile.mkdtemp(prefix=".update.", dir=root / PLACE.parent))
    plan: list[tuple[str, str | None]] = []
    for number, (path, content) in enumerate(contents.items()):
        plan.append((path, None if content is None else str(number)))
        if content is not None:
            (half / str(number)).write_bytes(content)
    (half / PLAN).write_text(json.dumps(plan), encoding="utf-8")
    for file in half.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    half.rename(root / PLACE)


def _check(root: Path, path: str) -> None:
    target = root / path
    if not target.resolve().is_relative_to(root.resolve()) or target.is_symlink():
        raise UserError(f"{path}: a link, or a path out of the project; replace it by a file of its own")
    if target.is_dir():
        raise UserError(f"{path}: a folder is in the way of a file; move it away")


def _prune(root: Path, folder: Path) -> None:
    """Remove a folder that has become empty, and those above it."""
    while folder != root and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
