"""Digests: the content of files and values as SHA-256, in hexadecimal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def of_file(file: Path) -> str:
    """The digest of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def of_files(root: Path, files: Iterable[Path]) -> str:
    """One digest of many files, by their path below `root` and content; the order does not matter."""
    lines = sorted(f"{file.relative_to(root).as_posix()} {of_file(file)}" for file in files)
    return of_text("\n".join(lines))


def of_text(text: str) -> str:
    """The digest of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def of_value(value: Any) -> str:
    """The digest of a value that JSON can hold; the order of keys does not matter."""
    return of_text(json.dumps(value, sort_keys=True, default=str))
