"""What a project's own tests start from: a copy of the project in which they may train and register."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from mlops.config import Project, load_project

COPIED = ("config", "data/raw", "requirements/base.txt", ".gitignore")
AUTHOR = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")


def copy_project(root: Path, to: Path) -> Project:
    """Copy configuration, raw data and lock of a project into an empty folder, as a git repository on branch main.

    Its code is that of the working tree. What a test trains, registers or writes stays in the copy.
    """
    for name in COPIED:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        if (root / name).is_dir():
            shutil.copytree(root / name, to / name)
        else:
            shutil.copyfile(root / name, to / name)
    for arguments in (("init", "--initial-branch=main"), ("add", "--all"), ("commit", "--message=first")):
        subprocess.run(["git", *AUTHOR, *arguments], cwd=to, check=True, capture_output=True)
    return load_project(to)
