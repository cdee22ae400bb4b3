"""The checkouts of the tests: what lies in them, and git there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The tests of the machinery run on these two use cases, whatever others a project has.
EXAMPLES = ("iris", "ridership")


def need_examples() -> None:
    """Skip the test in a project from which an example has been removed."""
    if gone := [name for name in EXAMPLES if not (ROOT / "config" / f"{name}.yaml").is_file()]:
        pytest.skip(f"the tests of the machinery run on the examples, and {gone[0]} has been removed")


def lay_out(root: Path, source: Path = ROOT) -> None:
    """Make a project of the two examples: configuration, raw data, lock file; what else `source` holds stays behind."""
    copied = {f"config/{name}.yaml": f"config/{name}.yaml" for name in EXAMPLES}
    copied |= {name: name for name in (*(f"data/raw/{name}" for name in EXAMPLES), "requirements/base.txt", ".gitignore")}
    copied["machinery/tests/project.yaml"] = "config/project.yaml"
    for name, place in copied.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, root / place)
        else:
            shutil.copyfile(source / name, root / place)


def commit(root: Path, message: str) -> None:
    """Commit all that there is, under a name of the tests: a machine need not know who commits on it."""
    git(root, "add", "-A")
    git(root, "-c", "user.name=Ann", "-c", "user.email=a@b.c", "commit", "--quiet", "-m", message)


def git(root: Path, *arguments: str) -> str:
    """Run git in a folder and return what it says."""
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()
