"""Projects on a wheel, in a git repository of their own."""

from pathlib import Path

from checkouts import git

from mlops.project import answers, new
from mlops.project.wheel import Wheel


def created(folder: Path, machinery: Wheel, **choices: object) -> Path:
    """A project in a git repository."""
    new.create(folder, answers.Answers(**{"use_case": "iris", **choices}), machinery)  # type: ignore[arg-type]
    git(folder, "init", "--quiet", "--initial-branch=main")
    committed(folder, "First commit")
    return folder


def committed(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)
