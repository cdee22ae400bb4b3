"""The versions of Python that a project supports, and uv, which makes environments and locks for them."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import sys
from pathlib import Path

from mlops.config import find_root
from mlops.errors import UserError


def uv() -> str:
    """The uv of this environment, else the one on the path; raises UserError where there is none."""
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if found is None:
        raise UserError("uv is not installed; install what the project locks: make setup")
    return found


def supported_pythons(root: Path | None = None) -> list[str]:
    """The versions that the project's setup.py names in its classifiers, as in `3.12`; those of the machinery without one."""
    file = (root or find_root()) / "setup.py"
    if file.is_file():
        return re.findall(r"Programming Language :: Python :: (3\.\d+)", file.read_text(encoding="utf-8"))
    classifiers = importlib.metadata.metadata("mlops-machinery").get_all("Classifier") or []
    return [line.rsplit(" ", 1)[1] for line in classifiers if re.search(r":: 3\.\d+$", line)]
