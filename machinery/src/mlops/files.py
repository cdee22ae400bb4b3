"""Writing files so that a crash leaves the old content or the new, never half of it."""

from __future__ import annotations

import errno
import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mlops import folders
from mlops.errors import UserError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within it, what the system says against writing the path is a UserError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path}: cannot be written ({reason}); clear what is in its way, or choose another path") from error


def make_folder(folder: Path) -> None:
    """Make a folder with those above it; raises UserError where a file is in its way or it may not be made."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A temporary path beside `file` that takes its place when the block ends well, and is removed when it does not.

    Raises UserError where the file cannot be there; what the block raises stays as it is.
    """
    make_folder(file.parent)
    with writing(file):
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=file.suffix, dir=file.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with writing(file):
            temporary.chmod(0o644)
            temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block ends well; if another process was first, its folder stays.

    Raises UserError as `replacing`.
    """
    make_folder(folder.parent)
    with ExitStack() as stack:
        with writing(folder):
            temporary = stack.enter_context(folders.work_folder(folder.parent)) / folder.name
            temporary.mkdir()
        yield temporary
        with writing(folder):
            temporary.chmod(0o755)
            try:
                temporary.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise


def as_json(value: Any, sort_keys: bool = False) -> str:
    """A value as JSON that every reader takes: what is not a number is null, what JSON does not know is its text."""
    try:
        return json.dumps(value, indent=2, default=str, sort_keys=sort_keys, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=2, default=str, sort_keys=sort_keys)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def write_json(file: Path, value: Any) -> None:
    """Write a value as JSON, atomically."""
    with replacing(file) as temporary:
        temporary.write_text(as_json(value) + "\n", encoding="utf-8")


def write_text(file: Path, text: str) -> None:
    """Write a text in UTF-8, atomically."""
    with replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def own_or(own: Path, shipped: Path) -> Path:
    """The project's own file where it has one, else the file of that name in a folder of the package."""
    return own if own.is_file() else shipped / own.name
