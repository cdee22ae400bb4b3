"""Data files that a use case's code opens where it gets its rows as arguments: what is read there, no key covers."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from mlops.training.findings import Finding

# How the names of data files end.
DATA = tuple(
    ".csv .tsv .parquet .feather .arrow .xlsx .xls .json .jsonl .pkl .pickle .joblib .npy .npz .db .sqlite .txt .gz".split()
)
# What is installed, wherever: packages and what describes them.
INSTALLED = re.compile(r"[\\/](site-packages|dist-packages|[^\\/]+\.(dist|egg)-info)[\\/]")
_opened: ContextVar[list[str] | None] = ContextVar("opened", default=None)
_installed: list[bool] = []


@contextmanager
def watch() -> Iterator[list[str]]:
    """The data files that are opened for reading within it, in a list that fills while the block runs.

    Packages' own files and temporary ones do not count. A library that opens files without Python is not seen.
    """
    if not _installed:
        sys.addaudithook(_hook)  # it cannot be taken back: it does nothing outside of a watch
        _installed.append(True)
    opened: list[str] = []
    token = _opened.set(opened)
    try:
        yield opened
    finally:
        _opened.reset(token)


def finding(opened: list[str]) -> list[Finding]:
    """The finding of data files that were opened, none where there are none."""
    if not opened:
        return []
    names = ", ".join(dict.fromkeys(opened))
    return [Finding("leaks.files", f"code of the use case opens data files by itself: {names}; take rows from its arguments")]


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or (opened := _opened.get()) is None:
        return
    path, mode, flags = (*arguments, None, None)[:3]
    if not isinstance(path, str | bytes | os.PathLike) or (mode and "r" not in mode and "+" not in mode):
        return
    name = os.path.abspath(os.fsdecode(path))
    if not mode and isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
        return
    if name.lower().endswith(DATA) and not _is_foreign(name) and not _is_temporary(name):
        opened.append(name)


def _is_foreign(name: str) -> bool:
    """Whether a file belongs to Python, to the system or to something that is installed."""
    folders = (sys.prefix, sys.base_prefix, "/dev", "/proc", "/sys", "/usr")
    return name.startswith(tuple(f"{folder}{os.sep}" for folder in folders)) or bool(INSTALLED.search(name))


def _is_temporary(name: str) -> bool:
    """Whether workers of a library have put it aside: joblib's memory maps."""
    return "joblib_memmapping_folder" in name or os.path.basename(name).startswith(tempfile.gettempprefix())
