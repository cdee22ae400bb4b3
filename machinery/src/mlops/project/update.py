"""A project and the files that the machinery owns in it: compared, written anew, brought to a later version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops import vendored
from mlops.errors import UserError
from mlops.git import git
from mlops.project import locks, merge, requirements, shipped, transaction, wheel
from mlops.project.merge import Change
from mlops.project.wheel import Wheel

INPUT = re.compile(rf"{locks.FOLDER}/[\w-]+\.in")
# The locks whose inputs are written from setup.py; the others agree with dev, which is compiled first.
OF_SETUP = ("dev", "base")


@dataclass(frozen=True)
class Update:
    """What an update does: the two versions, each file, and the locks that are compiled again."""

    before: str
    after: str
    changes: list[Change]
    locks: dict[str, bytes]

    @property
    def conflicts(self) -> list[Change]:
        """The files that the team settles by hand."""
        return [change for change in self.changes if change.action == "conflict"]


def state(root: Path) -> list[Change]:
    """Return each file that the machinery owns and that differs here: edited, or removed by the team.

    Raises UserError where vendor/machinery.txt names no machinery, or the wheel is not the one that it pins.
    """
    owned = _owned(root)
    states = []
    for path, content in owned.items():
        file = root / path
        if not file.is_file():
            states.append(Change(path, "removed", content))
        elif file.read_bytes().replace(b"\r\n", b"\n") != content:
            states.append(Change(path, "edited", content))
    return states


def unsettled(root: Path) -> list[str]:
    """The texts of an update that still lie beside the files they are meant for."""
    return sorted(
        path for path in _listed(root) if path.endswith(merge.SUFFIX) and (root / path.removesuffix(merge.SUFFIX)).is_file()
    )


def write(root: Path, names: list[str]) -> list[Change]:
    """Write files that the machinery owns as it has them: those named, whatever they hold, else what the source has changed.

    With the machinery as a folder, the last commit's source is what edits are compared with. Raises UserError for another's.
    """
    owned = _owned(root)
    if unknown := [name for name in names if name not in owned]:
        raise UserError(f"{unknown[0]} is not the machinery's: mlops sync --list names its files")
    if names:
        changes = [Change(name, "updated", owned[name]) for name in names]
    else:
        changes = merge.reconcile(_committed(root, owned), owned, _ours(root, owned))
    transaction.change(root, {change.path: change.content for change in changes if _writes(change)})
    return changes


def update(root: Path, new: Wheel, force: bool = False, downgrade: bool = False) -> Update:
    """Bring a project to another wheel: the wheel with its hash, the files that it owns, and the locks if it needs others.

    Raises UserError for uncommitted changes without `force`, an older wheel without `downgrade`, or where the locks cannot be
    compiled; nothing has changed then.
    """
    transaction.finish(root)
    old = wheel.present(root)
    if not force:
        refuse_uncommitted(root)
    from packaging.version import Version

    if Version(new.version) < Version(old.version) and not downgrade:
        raise UserError(
            f"{new.version} is older than {old.version}, which is here: mlops update --to {new.version} --wheel … goes back"
        )
    if new.sha256 == old.sha256:
        return Update(old.version, new.version, [], {})
    changes = merge.reconcile(old.owned(), new.owned(), _ours(root, {**old.owned(), **new.owned()}))
    written: dict[str, bytes | None] = {new.path: new.content}
    written |= {change.path: change.content for change in changes if _writes(change)}
    relocked = compiled(root, old, new, changes)
    written |= relocked | dict.fromkeys(_orphaned(root, changes))
    # What names the wheel comes after all that the wheel brings; until then the project is installed as before.
    written[str(vendored.LINE)] = vendored.line(new.path, new.sha256).encode()
    if old.path != new.path:
        written[old.path] = None
    transaction.change(root, written)
    return Update(old.version, new.version, changes, relocked)


def compiled(root: Path, old: Wheel, new: Wheel, changes: list[Change]) -> dict[str, bytes]:
    """The locks that another wheel changes, with what they are compiled from: path → content.

    Those of setup.py where the wheel has other requirements; the rest where it brings another text of one of their inputs.
    Raises UserError where the requirements cannot be met.
    """
    texts = {change.path: change.content.decode() for change in changes if INPUT.fullmatch(change.path) and change.content}
    present = [path for path in new.owned() if INPUT.fullmatch(path) and (path in texts or (root / path).is_file())]
    others = [lock for lock in map(_lock, present) if lock not in OF_SETUP]
    names = others if any(_lock(path) in others for path in texts) else []
    if new.requirements != old.requirements:
        names = [*OF_SETUP, *names]
        texts |= requirements.of_project(root, new.requirements)
    return locks.compiled(root, texts, names, f"the packages that {new.name} needs") if names else {}


def _orphaned(root: Path, changes: list[Change]) -> list[str]:
    """The locks whose input goes; none where the team has to settle an input first, for its lock may lack them until then."""
    if any(INPUT.fullmatch(change.path.removesuffix(merge.SUFFIX)) for change in changes if change.action == "conflict"):
        return []
    gone = [change.path for change in changes if change.action == "removed" and INPUT.fullmatch(change.path)]
    paths = [f"{locks.FOLDER}/{_lock(path)}.txt" for path in gone]
    return [path for path in paths if (root / path).is_file()]


def _lock(path: str) -> str:
    """The name of the lock that is compiled from an input."""
    return Path(path).stem


def refuse_uncommitted(root: Path) -> None:
    """Raise UserError where the working tree differs from the commit: what a command writes would mix with it."""
    if changed := git("status", "--porcelain", "--", ".", root=root).splitlines():
        raise UserError(f"{root} has uncommitted changes ({changed[0].strip()}): commit them first, or give --force")


def _owned(root: Path) -> dict[str, bytes]:
    """The files that the project's machinery owns, be it a folder or the wheel that is pinned."""
    return shipped.owned() if vendored.read(root).folder else wheel.present(root).owned()


def _ours(root: Path, owned: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of the project that are owned, or lie in a folder with one that is."""
    folders = {path.rpartition("/")[0] for path in owned if path.startswith(".github/")}
    paths = {path for path in _listed(root) if path in owned or path.rpartition("/")[0] in folders}
    return {path: (root / path).read_bytes() for path in sorted(paths) if (root / path).is_file()}


def _listed(root: Path) -> list[str]:
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", root=root)
    return [path for path in listed.split("\0") if path]


def _committed(root: Path, owned: Mapping[str, bytes]) -> dict[str, bytes]:
    """The owned files as the last commit's source has them; those of now where it has none."""
    below = "machinery/src/mlops/project/owned/"
    names = git("ls-tree", "-r", "-z", "--name-only", "HEAD", below, root=root).split("\0")
    contents = {shipped.dotted(name.removeprefix(below)): vendored.blob(root, "HEAD", name) for name in names if name}
    return {path: content for path, content in contents.items() if content is not None} or dict(owned)


def _writes(change: Change) -> bool:
    return change.action not in ("kept", "left out")
