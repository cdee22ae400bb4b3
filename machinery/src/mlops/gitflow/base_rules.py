"""The rules of another commit, run on this checkout: a pull request is judged by its base's copy, not by its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

from mlops import folders
from mlops.errors import UserError
from mlops.git import exists, git, run, text_at

SOURCES = ("machinery/src", "src")
MACHINERY = "vendor/machinery.txt"


def place_of(reference: str, root: Path) -> str:
    """Return where a commit keeps the package `mlops`: a folder of source or the wheel that it names, "" for neither."""
    for folder in SOURCES:
        if run("cat-file", "-e", f"{reference}:{folder}/mlops/gitflow/__init__.py", root=root).returncode == 0:
            return folder
    wheel = re.search(r"(?m)^(?:\./)?(vendor/[\w.+-]+\.whl)\b", text_at(reference, MACHINERY, root))
    return wheel[1] if wheel else ""


def check(reference: str, root: Path) -> int:
    """Run `mlops gitflow check` as the commit has it, on what is checked out, and return its exit code.

    Raises UserError where the commit is not here or has no copy of the rules.
    """
    if not exists(reference, root):
        raise UserError(f"commit {reference} is not here: git fetch origin")
    place = place_of(reference, root)
    if not place:
        raise UserError(
            f"commit {reference} has no copy of the rules below {' or '.join(SOURCES)}, nor a wheel in {MACHINERY}"
        )
    with folders.work_folder() as folder:
        archive = folder / "rules.tar"
        git("archive", "--format=tar", f"--output={archive}", reference, place, root=root)
        with tarfile.open(archive) as content:
            content.extractall(folder, filter="data")
        path = os.pathsep.join(filter(None, [str(folder / place), os.environ.get("PYTHONPATH", "")]))
        # -P: a folder `mlops` in the checkout itself would come before the rules.
        command = [sys.executable, "-P", "-m", "mlops", "gitflow", "check"]
        return subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": path}).returncode
