"""From a copy of the template, which holds the machinery's source, to a thin project; and back.

The wheel is built from the commit that the copy began with, which no edit of the team is in: an update takes what lies
in it for the state that edits are compared with.
"""

from __future__ import annotations

from pathlib import Path

from mlops import vendored
from mlops.config import load_project
from mlops.errors import UserError
from mlops.git import git, run
from mlops.project import naming, new, shipped, transaction, update, wheel
from mlops.project.answers import Answers
from mlops.project.wheel import Wheel

FOLDER = "machinery"
# What serves the template's own development. A workflow may be changed by no workflow's token: it stays, and skips itself.
TEMPLATE_ONLY = (".ci/", ".github/SECURITY.md", ".github/CODE_OF_CONDUCT.md")


def adopt(root: Path, answers: Answers, given: Wheel | None = None, force: bool = False) -> dict[str, bytes | None]:
    """Take the machinery's source out of a project, put its wheel in, and name the project; returns what was written.

    Raises UserError for a thin project, uncommitted changes, or a source that was edited since the copy was made.
    """
    transaction.finish(root)
    if vendored.read(root).folder != FOLDER:
        raise UserError(f"{root} is thin already: vendor/machinery.txt names a wheel; make update brings a later one")
    if not force:
        update.refuse_uncommitted(root)
    machinery = given or _of_first_commit(root)
    written = _named(root, answers) | {machinery.path: machinery.content}
    written |= {path: None for path in _tracked(root) if path.startswith((f"{FOLDER}/", *TEMPLATE_ONLY))}
    written[str(vendored.LINE)] = vendored.line(machinery.path, machinery.sha256).encode()
    transaction.change(root, written)
    return written


def eject(root: Path, force: bool = False) -> dict[str, bytes | None]:
    """Put the machinery's source, tests and documentation into the project as a folder, and take the wheel out.

    Raises UserError where the source is there already, or the installed package is not the wheel that the project pins.
    """
    transaction.finish(root)
    present = wheel.present(root)
    if (root / FOLDER).exists():
        raise UserError(f"{root / FOLDER} is in the way: move it, the machinery's source goes there")
    if not force:
        update.refuse_uncommitted(root)
    if vendored.of_wheel(present.content) != _installed():
        raise UserError("the package that runs is not the wheel that vendor/machinery.txt pins: make setup, then again")
    written: dict[str, bytes | None] = dict(shipped.source())
    written |= {str(vendored.LINE): f"-e ./{FOLDER}\n".encode(), present.path: None}
    transaction.change(root, written)
    return written


def _installed() -> dict[str, bytes]:
    package = Path(vendored.__file__).parent
    files = {file.relative_to(package).as_posix(): file for file in package.rglob("*.py")}
    return {path: file.read_bytes() for path, file in files.items() if not path.startswith("project/data/")}


def _of_first_commit(root: Path) -> Wheel:
    """The wheel of the commit that a copy of the template began with; raises UserError where the source differs since."""
    first = git("rev-list", "--max-parents=0", "HEAD", root=root).splitlines()[-1]
    before = run("rev-parse", "--verify", "--quiet", f"{first}:{FOLDER}", root=root).stdout.strip()
    if not before:
        raise UserError(
            "the first commit here is no copy of the template, so its machinery is not known: mlops adopt --wheel FILE"
        )
    if before != git("rev-parse", f"HEAD:{FOLDER}", root=root):
        edited = git("diff", "--name-only", first, "HEAD", "--", FOLDER, root=root).splitlines()
        raise UserError(
            f"{FOLDER}/ was edited ({edited[0]} and {len(edited) - 1} more), which a wheel would lose: keep the source, "
            f"all goes on working; or restore it with git checkout {first[:12]} -- {FOLDER}"
        )
    return wheel.of_commit(root, first)


def _named(root: Path, answers: Answers) -> dict[str, bytes | None]:
    """The files that name the project, with its name; pages of the template that no one has edited become the project's."""
    present = {path: (root / path).read_bytes() for path in _tracked(root) if (root / path).is_file()}
    default = load_project(root).default_use_case
    written: dict[str, bytes | None] = dict(naming.named(present, answers.model_copy(update={"use_case": default})))
    first = git("rev-list", "--max-parents=0", "HEAD", root=root).splitlines()[-1]
    for path, content in new.texts(answers).items():
        if present.get(path) == vendored.blob(root, first, path):
            written[path] = content
    return written


def _tracked(root: Path) -> list[str]:
    return [path for path in git("ls-files", "-z", root=root).split("\0") if path]
